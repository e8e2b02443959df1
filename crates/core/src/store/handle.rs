//! A handle: how JavaScript's calls come to a store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};

use super::{Call, Meant, ObjectId, Phase, ReadCall, Reply, SaveCall, State, Store, WriteCall, reader};
use crate::backend::{Write, closed};
use crate::creds::{Creds, Identity};
use crate::error::Result;
use crate::events::Listener;
use crate::keys::Key;
use crate::runtime::Lane;
use crate::value::Value;

/// More keys than this are read on the pool: the JavaScript thread has other things to do.
const MAX_READ_NOW: usize = 64;

/// So many keys are read from their files within microseconds, when they are in the page cache.
const FEW: usize = 2;

/// Keys to be read, and who gets their values.
pub type Part = (Vec<Key>, Reply<Vec<Option<Value>>>);

/// An open account, as JavaScript holds it. Dropping it closes it.
pub struct Handle {
    pub(super) store: Arc<Store>,
    pub(super) listener: Listener,
    pub(super) object: ObjectId,
    pub(super) closed: AtomicBool,
}

impl Handle {
    /// Writes keys, or deletes them all. `current` is the identity in the `creds` object at the call. Takes effect in
    /// call order; what is durable then is the backend's.
    pub fn write(&self, write: Write, current: Option<Identity>, reply: Reply<()>) {
        self.enqueue_write(write, Meant::Account(current), reply);
    }

    /// Writes keys of an account that is being moved here, or deletes them all: `Exists` where somebody has stored
    /// credentials.
    pub fn write_moved(&self, write: Write, reply: Reply<()>) {
        self.enqueue_write(write, Meant::Nobody, reply);
    }

    fn enqueue_write(&self, write: Write, meant: Meant, reply: Reply<()>) {
        match self.running() {
            Err(error) => reply(Err(error)),
            Ok(mut state) => {
                let write = Arc::new(write);
                let sequence = state.pending.add(&write);
                let behind = state.unread.before(&write);
                let call = WriteCall { write, sequence, object: self.object, meant, behind, reply };
                self.store.enqueue(state, Call::Write(call));
            }
        }
    }

    /// A key of this store.
    ///
    /// # Errors
    /// `InvalidArg` when a folder could not hold it: every account can be moved to one.
    pub fn key(&self, key_type: impl Into<String>, id: impl Into<String>) -> Result<Key> {
        let key = Key::new(key_type, id)?;
        Ok(if self.store.format.is_some() { key } else { key.exact() })
    }

    /// Whether a small write would be answered within microseconds: its thread is awake, and waits for no disk.
    #[must_use]
    pub fn is_awake(&self) -> bool {
        !self.store.synced_at_commit && self.store.burst.stays()
    }

    /// Whether a read of so many keys would be answered within microseconds: its thread is awake.
    #[must_use]
    pub fn reads_awake(&self, keys: usize) -> bool {
        keys <= FEW && self.store.reads_burst.stays()
    }

    /// Saves credentials: on disk when answered, with everything that was written before.
    pub fn save_creds(&self, creds: Creds, reply: Reply<()>) {
        let meant = Meant::Account(Some(creds.summary.identity));
        self.enqueue_save(creds, meant, reply);
    }

    /// Saves the credentials of an account that was moved here, on disk when answered: `Exists` where somebody has stored
    /// others. The handle's `creds` object is theirs from then on; as long as it holds another identity, saving that is
    /// `Stale`.
    pub fn save_moved(&self, creds: Creds, reply: Reply<()>) {
        self.enqueue_save(creds, Meant::Nobody, reply);
    }

    fn enqueue_save(&self, creds: Creds, meant: Meant, reply: Reply<()>) {
        match self.readable() {
            Err(error) => reply(Err(error)),
            Ok(state) => {
                let (environment, object) = (self.listener.environment, self.object);
                let call = SaveCall { creds, environment, object, meant, reply };
                self.store.enqueue(state, Call::Save(call));
            }
        }
    }

    /// Reads keys without waiting, when that is possible: from the writes on their way, an index or the page cache.
    /// Sees every write made before, acknowledged or not. `None`: use [`Handle::read`].
    #[must_use]
    pub fn read_now(&self, keys: &[Key]) -> Option<Vec<Option<Value>>> {
        if keys.len() > MAX_READ_NOW {
            return None;
        }
        let pending: Vec<_> = {
            let state = self.readable().ok()?;
            keys.iter().map(|key| state.pending.get(key)).collect()
        };
        if pending.iter().all(Option::is_some) {
            return Some(pending.into_iter().map(Option::flatten).collect());
        }
        let backend = self.store.backend().ok()?;
        keys.iter().zip(pending).map(|(key, found)| found.or_else(|| backend.read_now(key))).collect()
    }

    /// Reads keys: sees every write made before, acknowledged or not, and none that is made later, unless the reading takes
    /// more than a second.
    pub fn read(&self, keys: Vec<Key>, reply: Reply<Vec<Option<Value>>>) {
        self.read_in_parts(vec![(keys, reply)]);
    }

    /// Reads keys in parts, each with its own answer: all of them at the same moment, as far as writes go.
    pub fn read_in_parts(&self, parts: Vec<Part>) {
        let mut state = match self.readable() {
            Ok(state) => state,
            Err(error) => return parts.into_iter().for_each(|(_, reply)| reply(Err(error.clone()))),
        };
        let (mut known, mut added) = (Vec::new(), false);
        for (keys, reply) in parts {
            let answers: Vec<_> = keys.iter().map(|key| state.pending.get(key)).collect();
            if answers.iter().all(Option::is_some) {
                known.push((answers, reply));
                continue;
            }
            added = true;
            let unanswered = keys.iter().zip(&answers).filter(|(_, answer)| answer.is_none());
            state.unread.add(unanswered.map(|(key, _)| key));
            state.reads.push_back(ReadCall { keys, answers, reply });
        }
        if added {
            self.store.reads_burst.call(!state.reading);
        }
        let start = added && !std::mem::replace(&mut state.reading, true);
        drop(state);
        if start {
            self.store.start(Lane::Read, reader::read(self.store.clone()));
        }
        for (answers, reply) in known {
            reply(Ok(answers.into_iter().map(Option::flatten).collect()));
        }
    }

    /// Waits for every call made before, and looks whether the folder is still there.
    pub fn settle(&self, reply: Reply<()>) {
        match self.readable() {
            Err(error) => reply(Err(error)),
            Ok(state) => self.store.enqueue(state, Call::Look { reply: Some(reply) }),
        }
    }

    /// The ids of a type, after every write made before.
    pub fn list(&self, key_type: String, reply: Reply<Vec<String>>) {
        match self.readable() {
            Err(error) => reply(Err(error)),
            Ok(state) => self.store.enqueue(state, Call::List { key_type, reply }),
        }
    }

    /// The store, for what is done to all of it.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Waits for every call made before, and lets go. A second call is answered at once.
    pub fn close(&self, reply: Reply<()>) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return reply(Ok(()));
        }
        self.enqueue_close(Some(reply));
    }

    fn enqueue_close(&self, reply: Option<Reply<()>>) {
        let (listener, object) = (self.listener.clone(), self.object);
        self.store.enqueue(self.store.state(), Call::Close { listener, object, reply });
    }

    fn readable(&self) -> Result<MutexGuard<'_, State>> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed().at(&self.store.path));
        }
        let state = self.store.state();
        match &state.phase {
            Phase::Running | Phase::Failed(_) => Ok(state),
            Phase::Gone(error) => Err(error.clone()),
            Phase::Closed => Err(closed().at(&self.store.path)),
        }
    }

    fn running(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.readable()?;
        match &state.phase {
            Phase::Failed(error) => Err(error.clone()),
            _ => Ok(state),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            self.enqueue_close(None);
        }
    }
}
