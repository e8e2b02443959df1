//! Our own tokio runtime: one a process, never shut down.
//!
//! Blocking work is done on its bounded pool of threads, never on libuv's (four slow syncs there would stop
//! DNS and `fs` for the whole bot), in lanes, so that a read does not queue behind other accounts' syncs.
//! Waiting is a timer, not a sleeping thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, oneshot};

use crate::error::{Error, Result};
pub use crate::watchdog::Client;
use crate::watchdog::Work;
use crate::{threads, watchdog};

/// What a piece of blocking work is: how much of each kind runs at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Reading values.
    Read,
    /// Writing and syncing.
    Commit,
    /// Opening.
    Open,
    /// Moving, copying and checking whole accounts.
    Move,
    /// Compacting.
    Compact,
}

const READ_THREADS: usize = 4;
const COMMIT_THREADS: usize = 16;
const OPEN_THREADS: usize = 4;
const MOVE_THREADS: usize = 4;
const COMPACT_THREADS: usize = 2;
const LANE_THREADS: usize = READ_THREADS + COMMIT_THREADS + OPEN_THREADS + MOVE_THREADS + COMPACT_THREADS;
/// Threads for calls that do not come back: they do not count in their lanes, and are no more than these. Two a folder.
const STUCK_THREADS: usize = 512;

struct Lanes {
    runtime: Runtime,
    read: Semaphore,
    commit: Semaphore,
    open: Semaphore,
    moving: Semaphore,
    compact: Semaphore,
}

impl Lanes {
    fn of(&self, lane: Lane) -> &Semaphore {
        match lane {
            Lane::Read => &self.read,
            Lane::Commit => &self.commit,
            Lane::Open => &self.open,
            Lane::Move => &self.moving,
            Lane::Compact => &self.compact,
        }
    }
}

fn lanes() -> Result<&'static Lanes> {
    static LANES: OnceLock<Result<Lanes>> = OnceLock::new();
    LANES
        .get_or_init(|| {
            let runtime = Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("baileys-auth")
                .enable_time()
                .build()
                .map_err(|error| Error::internal(format_args!("cannot start threads: {error}")))?;
            Ok(Lanes {
                runtime,
                read: Semaphore::new(READ_THREADS),
                commit: Semaphore::new(COMMIT_THREADS),
                open: Semaphore::new(OPEN_THREADS),
                moving: Semaphore::new(MOVE_THREADS),
                compact: Semaphore::new(COMPACT_THREADS),
            })
        })
        .as_ref()
        .map_err(Clone::clone)
}

/// Starts a future on the runtime.
///
/// # Errors
/// When there are no threads to be had.
pub fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    lanes()?.runtime.spawn(future);
    Ok(())
}

/// Starts a future that begins with blocking work of this lane: on a thread of the lane, where one is free, until it
/// has to wait for something; from there on it is a task like any other. That saves a small write three of its four
/// changes of thread.
///
/// # Errors
/// When there are no threads to be had.
pub fn start(lane: Lane, future: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    let lanes = lanes()?;
    let Ok(place) = lanes.of(lane).try_acquire() else { return spawn(future) };
    place.forget();
    let work = Work::begin(&lanes.runtime, lanes.of(lane), None);
    let mut future = Box::pin(future);
    let begin = move || {
        ON.set(Some((lane, work)));
        let polled =
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(Waker::noop()))));
        ON.take();
        // Nobody was told to wake it: the runtime polls it at once. One that panicked has been dropped with its guards.
        if matches!(polled, Ok(Poll::Pending)) {
            lanes.runtime.spawn(future);
        }
    };
    blocking(lanes, begin).map(drop)
}

thread_local! {
    /// The lane whose thread this is, while a future is begun on it.
    static ON: RefCell<Option<(Lane, Work)>> = const { RefCell::new(None) };
}

/// Runs blocking work in a lane; `client` hears when it does not come back.
///
/// # Errors
/// `Failed` when it panicked.
pub async fn run_for<T: Send + 'static>(
    client: Option<&Arc<Client>>,
    lane: Lane,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let here = ON.with_borrow(|on| {
        let here = on.as_ref().filter(|(at, _)| *at == lane);
        here.map(|(_, work)| work.goes_on(client)).is_some()
    });
    if here {
        return catch_unwind(AssertUnwindSafe(work))
            .map_err(|panic| Error::internal(panic_text(panic.as_ref())));
    }
    let lanes = lanes()?;
    lanes.of(lane).acquire().await.map_err(Error::internal)?.forget();
    let noted = Work::begin(&lanes.runtime, lanes.of(lane), client);
    let done = blocking(lanes, move || {
        let done = work();
        drop(noted);
        done
    });
    done?.await.unwrap_or_else(|error| Err(Error::internal(error)))
}

/// Runs blocking work in a lane.
///
/// # Errors
/// `Failed` when it panicked.
pub async fn run<T: Send + 'static>(lane: Lane, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    run_for(None, lane, work).await
}

/// How many pieces of shared work are taken at a time.
const SHARE: usize = 16;

/// Does many small pieces of blocking work on this thread, and on one more of its lane, if one is free: never more, for
/// a folder that hangs holds each of them. That one holds `second` as long as it is at it.
pub fn share<T, R>(
    lane: Lane,
    items: Vec<T>,
    second: impl Send + 'static,
    work: impl Fn(&T) -> R + Send + Sync + 'static,
) -> Vec<R>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
{
    let shares = items.len().div_ceil(SHARE);
    let doing = Arc::new(move |share: usize| -> Vec<R> {
        items.chunks(SHARE).nth(share).into_iter().flatten().map(&work).collect()
    });
    let next = Arc::new(AtomicUsize::new(0));
    let take =
        move |next: &AtomicUsize| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|share| *share < shares);
    let (send, receive) = channel();
    let helping = (doing.clone(), next.clone());
    help(lane, move || {
        let _second = second;
        let (doing, next) = helping;
        while let Some(share) = take(&next) {
            // Whoever has stopped waiting has everything.
            let _ = send.send((share, doing(share)));
        }
    });
    let mut done = BTreeMap::new();
    while let Some(share) = take(&next) {
        done.insert(share, doing(share));
    }
    while done.len() < shares {
        let Ok((share, results)) = receive.recv() else { break };
        done.insert(share, results);
    }
    // What a helper that panicked has left.
    (0..shares).flat_map(|share| done.remove(&share).unwrap_or_else(|| doing(share))).collect()
}

/// Begins blocking work in a lane, if a thread of it is free.
fn help(lane: Lane, work: impl FnOnce() + Send + 'static) {
    let Ok(lanes) = lanes() else { return };
    let Ok(place) = lanes.of(lane).try_acquire() else { return };
    place.forget();
    let noted = Work::begin(&lanes.runtime, lanes.of(lane), None);
    // Without a thread the work is dropped, and its place with it.
    let _ = blocking(lanes, move || {
        work();
        drop(noted);
    });
}

/// Whether this is a thread of the lane, on which a future was begun.
pub fn is_on(lane: Lane) -> bool {
    ON.with_borrow(|on| on.as_ref().is_some_and(|(at, _)| *at == lane))
}

/// Lets others have the thread, when work has gone on for long: a place in its lane, if they wait for one, or else the
/// runtime's own.
pub async fn give_way() {
    let nobody_waits = ON.with_borrow(|on| {
        let lane = on.as_ref().map(|(lane, _)| *lane);
        lane.is_some_and(|lane| lanes().is_ok_and(|lanes| lanes.of(lane).available_permits() > 0))
    });
    if !nobody_waits {
        ON.take();
        tokio::task::yield_now().await;
    }
}

/// Does work on a thread, and sends what comes of it, a panic too.
fn blocking<T: Send + 'static>(
    lanes: &'static Lanes,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<oneshot::Receiver<Result<T>>> {
    let (send, receive) = oneshot::channel();
    let job = move || {
        // For timers that are made on it.
        let _entered = lanes.runtime.enter();
        let done = catch_unwind(AssertUnwindSafe(work));
        // Whoever has stopped waiting needs no answer.
        let _ = send.send(done.map_err(|panic| Error::internal(panic_text(panic.as_ref()))));
    };
    let most = LANE_THREADS + watchdog::stuck().min(STUCK_THREADS);
    threads::spawn(Box::new(job), most)
        .map_err(|error| Error::internal(format_args!("cannot start threads: {error}")))?;
    Ok(receive)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without text")
}
