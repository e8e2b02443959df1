//! A log that is open to write.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use crate::error::Error;
use crate::frame::Change;
use crate::fs::{Dir, File};
use crate::index::{Index, Place, Value, read_value};
use crate::recover::{self, Recovered};
use crate::rules::{Rule, Rules};
use crate::writer::Tail;

/// What opening found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// There was no log, and now there is one.
    pub created: bool,
    /// Bytes of a commit that a crash had cut off, not counting zeros. They are gone; nobody had been told that
    /// they were there.
    pub dropped_bytes: u64,
    /// How many keys there are.
    pub records: usize,
}

/// An append-only log of keys and values, and the only writer of its file (see [`try_lock`](crate::try_lock)).
///
/// All methods take `&self`. Writers wait for each other, at the end of the file; readers wait for nobody:
/// the index is locked only to look a key up and to switch to what a commit wrote.
///
/// Dropping a log writes nothing; whatever was acknowledged is there at the next opening.
pub struct Log {
    /// Taken before `index`, when both are.
    tail: Mutex<Tail>,
    index: RwLock<Published>,
    rules: Rules,
}

/// What readers see: which file, and what stands where in it.
struct Published {
    file: Arc<dyn File>,
    name: Arc<str>,
    index: Index,
    closed: bool,
}

/// Changes that are in the file, and where.
struct Written<'a> {
    changes: Vec<Change<'a>>,
    places: Vec<Place>,
}

impl Log {
    /// Opens the log of a folder: the highest complete one, or a new, empty one with this salt, which must be
    /// random. Checks every byte, and decides what a crash left; that is on disk when it returns.
    ///
    /// The caller holds the lock, and syncs the folder's parent when the folder is new.
    ///
    /// # Errors
    /// `Corrupt` and `UnsupportedVersion` change nothing on disk. `Io`, `Full`: the next opening does all of it again.
    pub fn open(dir: Arc<dyn Dir>, salt: [u8; 8]) -> Result<(Log, Opened), Error> {
        Log::start(&*dir, salt, Rules::default())
    }

    /// For tests: opens with a rule broken.
    ///
    /// # Errors
    /// As [`open`](Log::open).
    #[cfg(any(test, feature = "sim"))]
    #[doc(hidden)]
    pub fn open_with_rules(dir: Arc<dyn Dir>, salt: [u8; 8], rules: Rules) -> Result<(Log, Opened), Error> {
        Log::start(&*dir, salt, rules)
    }

    fn start(dir: &dyn Dir, salt: [u8; 8], rules: Rules) -> Result<(Log, Opened), Error> {
        let Recovered { tail, index, created, dropped_bytes } = recover::open(dir, salt, rules)?;
        let opened = Opened { created, dropped_bytes, records: index.len() };
        let (file, name) = (Arc::clone(tail.file()), tail.name().into());
        let published = Published { file, name, index, closed: false };
        Ok((Log { tail: Mutex::new(tail), index: RwLock::new(published), rules }, opened))
    }

    /// Makes changes, all of them or none, in order. They are on disk when it returns, and are seen by `get`
    /// only then. Where nothing would change, nothing is written and nothing synced.
    ///
    /// # Errors
    /// `TooLarge`, `Full`, `Failed`, `Closed`: nothing was changed. `Io`: [`Error::outcome_unknown`], and
    /// every later call is `Failed`; `get` shows what was acknowledged before.
    pub fn commit(&self, changes: &[Change<'_>]) -> Result<(), Error> {
        let mut tail = self.tail();
        let Some(written) = self.write(&mut tail, changes)? else { return Ok(()) };
        if self.rules.holds(Rule::SyncedBeforeAcknowledged) {
            tail.sync()?;
        }
        self.publish(&written);
        Ok(())
    }

    /// The first half of [`commit`](Log::commit), for loading much at once: `get` sees the changes when it
    /// returns, but they are on disk only after the next [`sync`](Log::sync) or `commit`. A crash leaves a
    /// whole number of appends.
    ///
    /// # Errors
    /// As `commit`.
    pub fn append(&self, changes: &[Change<'_>]) -> Result<(), Error> {
        let mut tail = self.tail();
        if let Some(written) = self.write(&mut tail, changes)? {
            self.publish(&written);
        }
        Ok(())
    }

    /// Makes everything durable that was appended; nothing to do when that is so already.
    ///
    /// # Errors
    /// `Failed`, `Closed`. `Io`: what was appended since the last sync may or may not be there after the next
    /// opening, and every later call is `Failed`.
    pub fn sync(&self) -> Result<(), Error> {
        let mut tail = self.tail();
        tail.check_open()?;
        if tail.is_dirty() { tail.sync() } else { Ok(()) }
    }

    /// The value of a key, read from the file and checked; `None` when the key is not there.
    ///
    /// # Errors
    /// `Closed`; `Corrupt` when the bytes are not what was written, or another key's; `Io`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>, Error> {
        let (file, name, place) = {
            let published = self.published();
            if published.closed {
                return Err(Error::Closed);
            }
            let Some(place) = published.index.place(key) else { return Ok(None) };
            (Arc::clone(&published.file), Arc::clone(&published.name), place)
        };
        read_value(&*file, &name, key, place).map(Some)
    }

    /// Whether a key is there. Reads nothing.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.published().index.place(key).is_some()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.published().index.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Visits every key with its label, in no order. Reads nothing; no commit finishes while it runs, and
    /// `visit` must not call this log.
    pub fn for_each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        self.published().index.for_each(visit);
    }

    /// Closes the log: everything is on disk when it returns, the last commit is attested, and space beyond
    /// the end is given back. A second call does nothing.
    ///
    /// # Errors
    /// `Failed` when an earlier write had failed: then it writes nothing. `Io`: whatever was acknowledged is
    /// there at the next opening all the same. It is closed in any case.
    pub fn close(&self) -> Result<(), Error> {
        let mut tail = self.tail();
        self.index.write().unwrap_or_else(PoisonError::into_inner).closed = true;
        tail.close()
    }

    /// Appends what of these changes has an effect; `None` when nothing has.
    fn write<'a>(&self, tail: &mut Tail, changes: &[Change<'a>]) -> Result<Option<Written<'a>>, Error> {
        tail.check_open()?;
        let changes = self.published().index.effective(changes);
        if changes.is_empty() {
            return Ok(None);
        }
        let places = tail.append(&changes)?;
        Ok(Some(Written { changes, places }))
    }

    fn publish(&self, written: &Written<'_>) {
        let mut published = self.index.write().unwrap_or_else(PoisonError::into_inner);
        for (change, place) in written.changes.iter().zip(&written.places) {
            published.index.apply(change, *place);
        }
    }

    /// A thread that panicked at the end of the file may have left anything there: that latches as an error
    /// would.
    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(|poisoned| {
            let mut tail = poisoned.into_inner();
            tail.latch();
            tail
        })
    }

    /// The index is only ever switched as a whole, key by key: no panic leaves half an entry.
    fn published(&self) -> RwLockReadGuard<'_, Published> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }
}
