//! A [`Store`]: one a folder a process, whoever opened it and how often. It owns what every backend needs: the
//! order of calls, the writes on their way, the handles and their `creds` objects, and the end.
//!
//! JavaScript's threads only ever take the state's lock, for moments; system calls are the worker's, a task on
//! the runtime that lives while there is work. So a store at rest costs no thread.

mod burst;
mod ending;
mod handle;
mod objects;
mod pending;
mod reader;
mod unread;
mod worker;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::backend::{Backend, Expected, Format, Write, closed};
use crate::creds::{Creds, Identity};
use crate::error::{Error, Result};
use crate::events::{EnvironmentId, Listener, Listeners};
use crate::keys::Key;
use crate::maintenance::Compacted;
use crate::runtime::{self, Lane};
use crate::value::Value;
use burst::Burst;
pub use handle::Handle;
pub use objects::ObjectId;
use objects::Objects;
use pending::{Pending, Sequence, Unsynced};
use unread::Unread;

/// How often an idle store looks whether its folder is still as it should be.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How a call is answered: once, on whatever thread. Dropped unanswered only when a bug of ours met a panic.
pub type Reply<T> = Box<dyn FnOnce(Result<T>) + Send>;

/// An opened handle, and the credentials to begin with.
pub struct Opened {
    /// The handle.
    pub handle: Handle,
    /// The stored credentials, `None` for a fresh identity.
    pub creds: Option<Creds>,
    /// Which `creds` object this handle shares.
    pub object: ObjectId,
}

/// A turn among a store's calls: nothing of them is done until it is dropped.
pub struct Turn {
    _over: oneshot::Sender<()>,
}

/// Why a store could not be opened once more.
pub enum NotOpened {
    /// It is closing, gone or failed: wait until it has let go, and make a new one.
    Finished,
    /// The open itself failed.
    Failed(Error),
}

/// Whom a write is meant for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meant {
    /// The account of the handle's `creds` object, which has this identity at the call.
    Account(Option<Identity>),
    /// Nobody who is there: an account is being moved here.
    Nobody,
}

impl Meant {
    fn expected(self, state: &State, object: ObjectId) -> Expected {
        match self {
            Self::Account(current) => Expected::Account { current, loaded: state.objects.identity(object) },
            Self::Nobody => Expected::Nobody,
        }
    }
}

struct WriteCall {
    write: Arc<Write>,
    sequence: Sequence,
    object: ObjectId,
    meant: Meant,
    /// How many reads were made before it that ask for one of its keys, or before those: it waits for them.
    behind: u64,
    reply: Reply<()>,
}

struct SaveCall {
    creds: Creds,
    environment: EnvironmentId,
    object: ObjectId,
    meant: Meant,
    reply: Reply<()>,
}

enum Call {
    Write(WriteCall),
    Save(SaveCall),
    /// Looks whether the folder is still as it should be.
    Look {
        reply: Option<Reply<()>>,
    },
    Delete {
        keep: Option<PathBuf>,
        reply: Reply<()>,
    },
    /// Syncs what was answered before it was on disk; with the error of a compaction in any case, for that may have
    /// latched the log.
    Sync {
        doubt: Option<Error>,
    },
    List {
        key_type: String,
        reply: Reply<Vec<String>>,
    },
    /// Lets somebody else work on the folder, until what is sent here is dropped.
    Turn(oneshot::Sender<Turn>),
    Open {
        listener: Listener,
        reply: Box<dyn FnOnce(Result<Opened, NotOpened>) + Send>,
    },
    Close {
        listener: Listener,
        object: ObjectId,
        reply: Option<Reply<()>>,
    },
}

struct ReadCall {
    keys: Vec<Key>,
    /// What is answered by writes on their way; the rest is read.
    answers: Vec<Option<Option<Value>>>,
    reply: Reply<Vec<Option<Value>>>,
}

#[derive(Clone)]
enum Phase {
    Running,
    /// A write failed: no more writes, reads go on.
    Failed(Error),
    /// The folder is gone.
    Gone(Error),
    /// The last handle was closed.
    Closed,
}

struct State {
    phase: Phase,
    handles: usize,
    calls: VecDeque<Call>,
    working: bool,
    reads: VecDeque<ReadCall>,
    reading: bool,
    unread: Unread,
    pending: Pending,
    unsynced: Unsynced,
    /// A sync is on its way.
    sync_is_due: bool,
    /// It has ended, and somebody sees to what that means.
    letting_go: bool,
    objects: Objects,
}

impl State {
    fn settle_synced(&mut self) {
        self.unsynced.settle(&mut self.pending);
    }
}

/// One account, open.
pub struct Store {
    /// Dropped, with its descriptors, when this store reads no more.
    backend: Mutex<Option<Arc<dyn Backend>>>,
    /// As [`Backend::fails_together`].
    fails_together: bool,
    /// As [`Backend::synced_at_commit`].
    synced_at_commit: bool,
    /// `None`: not a folder.
    format: Option<Format>,
    listeners: Listeners,
    /// Empty: not a folder.
    path: PathBuf,
    state: Mutex<State>,
    burst: Burst,
    reads_burst: Burst,
    /// Held while the backend is compacted.
    compaction: Arc<tokio::sync::Mutex<()>>,
    /// Becomes true when the backend has let go of everything.
    released: watch::Sender<bool>,
    /// Counts the times that the reader came to rest.
    rested: watch::Sender<u64>,
    /// Counts the reads that are done.
    read: watch::Sender<u64>,
}

impl Store {
    /// A store over an opened backend, without handles yet. One that is no folder has no format and an empty path.
    #[must_use]
    pub fn new(
        backend: Arc<dyn Backend>,
        format: Option<Format>,
        path: PathBuf,
        listeners: Listeners,
    ) -> Arc<Self> {
        Arc::new(Self {
            fails_together: backend.fails_together(),
            synced_at_commit: backend.synced_at_commit(),
            backend: Mutex::new(Some(backend)),
            format,
            listeners,
            path,
            state: Mutex::new(State {
                phase: Phase::Running,
                handles: 0,
                calls: VecDeque::new(),
                working: false,
                reads: VecDeque::new(),
                reading: false,
                unread: Unread::default(),
                pending: Pending::default(),
                unsynced: Unsynced::default(),
                sync_is_due: false,
                letting_go: false,
                objects: Objects::default(),
            }),
            burst: Burst::default(),
            reads_burst: Burst::default(),
            compaction: Arc::default(),
            released: watch::Sender::new(false),
            rested: watch::Sender::new(0),
            read: watch::Sender::new(0),
        })
    }

    /// How its keys are stored; `None` when it is no folder.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        self.format
    }

    /// Whether it takes no more handles: closed, failed or gone.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        !matches!(self.state().phase, Phase::Running)
    }

    /// Why it has ended, unless it was only closed.
    #[must_use]
    pub fn ended_with(&self) -> Option<Error> {
        match &self.state().phase {
            Phase::Failed(error) | Phase::Gone(error) => Some(error.clone()),
            Phase::Running | Phase::Closed => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a handle, after every call made before.
    ///
    /// # Errors
    /// `Finished` when this store takes no handles any more; what reading the credentials said.
    pub async fn open(self: &Arc<Self>, listener: Listener) -> Result<Opened, NotOpened> {
        let (send, receive) = oneshot::channel();
        {
            let mut state = self.state();
            if !matches!(state.phase, Phase::Running) {
                return Err(NotOpened::Finished);
            }
            state.handles += 1;
            let reply = Box::new(move |opened| {
                // Nobody waits any more only when the runtime drops the opener: the handle closes itself.
                let _ = send.send(opened);
            });
            self.enqueue(state, Call::Open { listener, reply });
        }
        receive.await.unwrap_or(Err(NotOpened::Finished))
    }

    /// A turn after every call made before; `None` when the store's task has met a bug.
    pub async fn turn(self: &Arc<Self>) -> Option<Turn> {
        let (send, receive) = oneshot::channel();
        self.enqueue(self.state(), Call::Turn(send));
        receive.await.ok()
    }

    /// Removes everything that is stored, after every call made before; copies it first to where it is to be kept. This
    /// store's handles are `Gone` then: of each write either the copy has it, or it is refused.
    ///
    /// # Errors
    /// Of the copy: nothing was removed, and everything goes on. `Io`; a part may be gone.
    pub async fn delete(self: &Arc<Self>, keep: Option<PathBuf>) -> Result<()> {
        let (send, receive) = oneshot::channel();
        let reply = Box::new(move |result| {
            // Who asked may have stopped waiting.
            let _ = send.send(result);
        });
        self.enqueue(self.state(), Call::Delete { keep, reply });
        receive.await.unwrap_or_else(|_| Err(Error::internal("a delete without an answer")))
    }

    /// Whether credentials are stored.
    ///
    /// # Errors
    /// What loading them says.
    pub async fn has_creds(&self) -> Result<bool> {
        Ok(self.backend()?.load_creds().await?.is_some())
    }

    /// Compacts now, while everything else goes on.
    ///
    /// # Errors
    /// `Corrupt`, `Full`, `Io`: what was there stays.
    pub async fn compact(self: &Arc<Self>) -> Result<Compacted> {
        let compacting = self.compaction.lock().await;
        let compacted = self.backend()?.compact().await;
        drop(compacting);
        if let Err(error) = &compacted {
            self.enqueue(self.state(), Call::Sync { doubt: Some(error.clone()) });
        }
        compacted
    }

    /// Looks at the folder once a minute, until this store is finished or nobody has it any more.
    ///
    /// # Errors
    /// When there are no threads to be had.
    pub fn look_after(self: &Arc<Self>) -> Result<()> {
        let store = Arc::downgrade(self);
        runtime::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                match store.upgrade() {
                    Some(store) if !store.is_finished() => {
                        store.enqueue(store.state(), Call::Look { reply: None })
                    }
                    _ => break,
                }
            }
        })
    }

    /// Waits until the backend has let go: of its locks, and of all work under way.
    pub async fn released(&self) {
        // The sender is in `self`: it cannot be gone.
        let _ = self.released.subscribe().wait_for(|released| *released).await;
    }

    fn backend(&self) -> Result<Arc<dyn Backend>> {
        let backend = self.backend.lock().unwrap_or_else(PoisonError::into_inner).clone();
        backend.ok_or_else(|| match &self.state().phase {
            Phase::Gone(error) | Phase::Failed(error) => error.clone(),
            Phase::Running | Phase::Closed => closed().at(&self.path),
        })
    }

    /// Whether the backend has let go already: failed or gone.
    fn is_let_go(&self) -> bool {
        *self.released.borrow()
    }

    fn take_backend(&self) -> Option<Arc<dyn Backend>> {
        self.backend.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn enqueue(self: &Arc<Self>, mut state: MutexGuard<'_, State>, call: Call) {
        state.calls.push_back(call);
        self.burst.call(!state.working);
        if !std::mem::replace(&mut state.working, true) {
            drop(state);
            self.start(Lane::Commit, worker::work(self.clone()));
        }
    }

    /// So many reads are done, in the order in which they were made.
    fn read_is_done(&self, count: usize) {
        let done = self.state().unread.done(count);
        self.no_wait_for(done);
    }

    /// No write waits for the first so many reads any more.
    fn no_wait_for(&self, reads: u64) {
        self.read.send_if_modified(|done| std::mem::replace(done, reads.max(*done)) < reads);
    }

    /// Waits until so many reads are done, or that long; says whether they are.
    async fn read_before(&self, behind: u64, patience: Duration) -> bool {
        let mut read = self.read.subscribe();
        tokio::time::timeout(patience, read.wait_for(|done| *done >= behind)).await.is_ok()
    }

    fn start(&self, lane: Lane, task: impl Future<Output = ()> + Send + 'static) {
        // Without a thread the task is dropped, and its guard with it, which refuses the calls that wait.
        let _ = runtime::start(lane, task);
    }
}
