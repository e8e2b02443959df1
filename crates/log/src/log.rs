//! A log that is open to write.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::Error;
use crate::format::FIRST_FRAME;
use crate::frame::Change;
use crate::fs::{Dir, File};
use crate::index::{Index, Value, VisitSizes, read_value, value_of};
use crate::recover::{self, Recovered};
use crate::rules::{Rule, Rules};
use crate::writer::{AHEAD_BYTES_AT_ONCE, NotAppended, Tail};

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

/// How large a log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of the records that count.
    pub live_bytes: u64,
    /// Bytes of records that were overwritten or deleted, of deletes and of frames around them.
    pub dead_bytes: u64,
    /// Size of the file, in bytes: its header, the two above, and zeros that were written ahead.
    pub file_bytes: u64,
    /// How many keys there are.
    pub records: usize,
}

impl Sizes {
    pub(crate) fn of(index: &Index, end: u64, file_bytes: u64) -> Sizes {
        let live_bytes = index.live_bytes();
        let dead_bytes = end.saturating_sub(FIRST_FRAME).saturating_sub(live_bytes);
        Sizes { live_bytes, dead_bytes, file_bytes, records: index.len() }
    }
}

/// The value may be there, but to say so would mean to wait: for the disk, or for the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotNow;

/// An append-only log of keys and values, and the only writer of its file (see [`try_lock`](crate::try_lock)).
///
/// All methods take `&self`. Writers wait for each other, at the end of the file; readers wait for nobody:
/// the index is locked only to look a key up and to switch to what a commit wrote, never across a call to the
/// operating system.
///
/// Dropping a log writes nothing; whatever was acknowledged is there at the next opening.
pub struct Log {
    pub(crate) dir: Arc<dyn Dir>,
    /// Taken before `index`, when both are.
    tail: Mutex<Tail>,
    /// A sync, or the taking back of a write, has ended that did not hold `tail` all the time.
    ended: Condvar,
    index: RwLock<Published>,
    /// Held by whoever writes a new generation; taken before `tail`, when both are. What salts come from.
    pub(crate) renewing: Mutex<u64>,
    /// Nothing may be written any more: it was closed, or is being closed, or latched.
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) rules: Rules,
}

/// What readers see: which file, and what stands where in it.
pub(crate) struct Published {
    pub file: Arc<dyn File>,
    pub name: Arc<str>,
    pub generation: u64,
    pub index: Index,
    /// Where the last frame ends that the index knows.
    pub end: u64,
    pub file_bytes: u64,
    /// Something is here that no sync covered.
    pub unsynced: bool,
    pub closed: bool,
    /// After a compaction that failed, the end at which another one is worth a try.
    pub patience: u64,
}

impl Log {
    /// Opens the log of a folder: the highest complete one, or a new, empty one with this salt, which must be
    /// random (also when there is a log: later generations get theirs from it). Checks every byte, and decides
    /// what a crash left; that is on disk when it returns.
    ///
    /// The caller holds the lock, and syncs the folder's parent when the folder is new.
    ///
    /// # Errors
    /// `Corrupt` and `UnsupportedVersion` change nothing on disk. `Io`, `Full`: the next opening does all of it again.
    pub fn open(dir: Arc<dyn Dir>, salt: [u8; 8]) -> Result<(Log, Opened), Error> {
        Log::start(dir, salt, Rules::default())
    }

    /// For tests: opens with a rule broken.
    ///
    /// # Errors
    /// As [`open`](Log::open).
    #[cfg(any(test, feature = "sim"))]
    #[doc(hidden)]
    pub fn open_with_rules(dir: Arc<dyn Dir>, salt: [u8; 8], rules: Rules) -> Result<(Log, Opened), Error> {
        Log::start(dir, salt, rules)
    }

    fn start(dir: Arc<dyn Dir>, salt: [u8; 8], rules: Rules) -> Result<(Log, Opened), Error> {
        let Recovered { tail, index, created, dropped_bytes } = recover::open(&*dir, salt, rules)?;
        let opened = Opened { created, dropped_bytes, records: index.len() };
        let published = Published::new(&tail, index);
        let stop = Arc::clone(tail.stop());
        let log = Log {
            dir,
            stop,
            tail: Mutex::new(tail),
            ended: Condvar::new(),
            index: RwLock::new(published),
            renewing: Mutex::new(u64::from_le_bytes(salt)),
            rules,
        };
        Ok((log, opened))
    }

    /// Makes changes, all of them or none, in order. They are on disk when it returns, and are seen by `get`
    /// only then. Where nothing would change, nothing is written and nothing synced.
    ///
    /// # Errors
    /// `TooLarge`, `Full`, `Failed`, `Closed`: nothing was changed. `Io`: [`Error::outcome_unknown`], and
    /// every later call is `Failed`; `get` shows what was acknowledged before.
    pub fn commit(&self, changes: &[Change<'_>]) -> Result<(), Error> {
        let tail = self.quiet();
        let (mut tail, written) = self.write(tail, changes)?;
        if written.is_empty() {
            return Ok(());
        }
        self.write_ahead(&mut tail, u64::MAX)?;
        if self.rules.holds(Rule::SyncedBeforeAcknowledged) {
            tail.sync()?;
        }
        self.publish(&mut tail, &written);
        Ok(())
    }

    /// Makes changes, all of them or none, in order. They are handed to the operating system when it returns,
    /// and `get` sees them: they survive any end of the process, and a power cut after the next
    /// [`sync`](Log::sync), `commit` or `close`. A power cut before leaves a whole number of appends. A sync
    /// that runs meanwhile is not waited for.
    ///
    /// # Errors
    /// As `commit`.
    pub fn append(&self, changes: &[Change<'_>]) -> Result<(), Error> {
        let tail = self.wait_until(self.tail(), |tail| !tail.taking_back);
        let (mut tail, written) = self.write(tail, changes)?;
        if !written.is_empty() {
            self.publish(&mut tail, &written);
        }
        Ok(())
    }

    /// Makes everything durable that was appended before; nothing to do when that is so already. Appends go on
    /// while it runs.
    ///
    /// # Errors
    /// `Failed`, `Closed`. `Io`: what was appended since the last sync may or may not be there after the next
    /// opening, and every later call is `Failed`.
    pub fn sync(&self) -> Result<(), Error> {
        let mut tail = self.quiet();
        tail.check_open()?;
        if !tail.is_dirty() {
            return Ok(());
        }
        self.write_ahead(&mut tail, AHEAD_BYTES_AT_ONCE)?;
        let sync = tail.begin_sync();
        drop(tail);
        let result = sync.file.sync();
        let mut tail = self.tail();
        let result = tail.end_sync(&sync, result);
        self.ended.notify_all();
        self.published_mut().unsynced = tail.is_dirty();
        result
    }

    /// Whether something was appended that is not on disk yet. Waits for nothing. On a log that failed it
    /// stays as it was.
    pub fn unsynced(&self) -> bool {
        self.published().unsynced
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

    /// The same where it need not wait: for a value in the page cache, and for a key that is not there.
    ///
    /// # Errors
    /// [`NotNow`] when the disk would have to be asked, or [`get`](Log::get) would be an error.
    pub fn get_now(&self, key: &[u8]) -> Result<Option<Value>, NotNow> {
        let (file, place) = {
            let published = self.published();
            if published.closed {
                return Err(NotNow);
            }
            let Some(place) = published.index.place(key) else { return Ok(None) };
            (Arc::clone(&published.file), place)
        };
        let mut bytes = vec![0; place.length];
        match file.read_at_now(&mut bytes, place.offset) {
            Ok(Some(_)) => value_of(bytes, key).map(Some).map_err(|_| NotNow),
            _ => Err(NotNow),
        }
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

    /// How large it is. Waits for nothing.
    pub fn sizes(&self) -> Sizes {
        let published = self.published();
        Sizes::of(&published.index, published.end, published.file_bytes)
    }

    /// Visits every key with its label, in no order. Reads nothing; no commit finishes while it runs, and
    /// `visit` must not call this log.
    pub fn for_each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        self.published().index.for_each(visit);
    }

    /// The same with the size of each record, in bytes.
    pub fn for_each_size(&self, visit: &mut VisitSizes<'_>) {
        self.published().index.for_each_size(visit);
    }

    /// The number of the file that is written.
    pub fn generation(&self) -> u64 {
        self.published().generation
    }

    /// Whether the file that is written is still the one that the folder names. If not, somebody removed or
    /// replaced it: see [`write_anew`](Log::write_anew).
    ///
    /// # Errors
    /// What the operating system says of the file or its name: then it is not known.
    pub fn is_in_place(&self) -> Result<bool, io::Error> {
        loop {
            let (file, name) = {
                let published = self.published();
                (Arc::clone(&published.file), Arc::clone(&published.name))
            };
            let held = file.stat();
            let named = self.dir.stat_name(&name);
            // A compaction may have switched meanwhile, and removed this one.
            if Arc::ptr_eq(&file, &self.published().file) {
                let held = held?;
                return Ok(held.links > 0 && named?.is_some_and(|named| named.id == held.id));
            }
        }
    }

    /// Closes the log: everything is on disk when it returns, the last commit is attested, and space beyond
    /// the end is given back. A running compaction stops first, of a log that failed too. A second call does
    /// nothing.
    ///
    /// # Errors
    /// `Failed` when an earlier write had failed: then it writes nothing. `Io`: whatever was acknowledged is
    /// there at the next opening all the same. It is closed in any case.
    pub fn close(&self) -> Result<(), Error> {
        // Before the tail is waited for: a compaction that pauses the writer looks at this.
        self.stop.store(true, Ordering::SeqCst);
        let result = {
            let mut tail = self.quiet();
            let result = tail.close();
            let mut published = self.published_mut();
            (published.closed, published.unsynced) = (true, tail.is_dirty());
            result
        };
        drop(self.renewing.lock());
        result
    }

    /// Appends what of these changes has an effect, and says which; none when none has.
    fn write<'l, 'c, 'a>(
        &'l self,
        mut tail: MutexGuard<'l, Tail>,
        changes: &'c [Change<'a>],
    ) -> Result<(MutexGuard<'l, Tail>, std::borrow::Cow<'c, [Change<'a>]>), Error> {
        tail.check_open()?;
        let changes = self.published().index.effective(changes);
        if changes.is_empty() {
            return Ok((tail, changes));
        }
        match tail.append(&changes) {
            Ok(()) => Ok((tail, changes)),
            Err(NotAppended::Failed(error)) => Err(error),
            Err(NotAppended::NoRoom(short)) => {
                // Its sync must not run beside another one, which could be told of an error in its place.
                tail.taking_back = true;
                let mut tail = self.wait_until(tail, |tail| !tail.syncing);
                tail.taking_back = false;
                self.ended.notify_all();
                tail.check_open().map_err(|_| Error::given_up(tail.name()))?;
                let error = tail.take_back(short);
                let mut published = self.published_mut();
                (published.file_bytes, published.unsynced) = (tail.size(), tail.is_dirty());
                Err(error)
            }
        }
    }

    fn write_ahead(&self, tail: &mut Tail, most: u64) -> Result<(), Error> {
        let live_bytes = self.published().index.live_bytes();
        let result = tail.write_ahead(live_bytes, most);
        self.published_mut().file_bytes = tail.size();
        result
    }

    fn publish(&self, tail: &mut Tail, changes: &[Change<'_>]) {
        let mut published = self.published_mut();
        for (change, place) in tail.appended(changes) {
            published.index.apply(change, place);
        }
        (published.end, published.file_bytes) = (tail.end(), tail.size());
        published.unsynced = tail.is_dirty();
        drop(published);
        tail.settle();
    }

    /// The end of the file, while nothing else is under way there.
    pub(crate) fn quiet(&self) -> MutexGuard<'_, Tail> {
        self.wait_until(self.tail(), |tail| !tail.syncing && !tail.taking_back)
    }

    fn wait_until<'l>(
        &self,
        mut tail: MutexGuard<'l, Tail>,
        ready: impl Fn(&Tail) -> bool,
    ) -> MutexGuard<'l, Tail> {
        while !ready(&tail) {
            tail = self.ended.wait(tail).unwrap_or_else(PoisonError::into_inner);
        }
        tail
    }

    /// A thread that panicked at the end of the file may have left anything there: that latches as an error
    /// would.
    pub(crate) fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(|poisoned| {
            let mut tail = poisoned.into_inner();
            tail.latch();
            tail
        })
    }

    /// The index is only ever switched as a whole, key by key: no panic leaves half an entry.
    pub(crate) fn published(&self) -> RwLockReadGuard<'_, Published> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn published_mut(&self) -> RwLockWriteGuard<'_, Published> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Published {
    pub fn new(tail: &Tail, index: Index) -> Published {
        Published {
            file: Arc::clone(tail.file()),
            name: tail.name().into(),
            generation: tail.generation(),
            index,
            end: tail.end(),
            file_bytes: tail.size(),
            unsynced: false,
            closed: false,
            patience: 0,
        }
    }
}
