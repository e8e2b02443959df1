//! The keys of a native folder: one append-only log, and its lock.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use auth_log::{Attempt, Change, Compaction, Holder, Lock, Log, try_lock};

use super::{Durability, Found, KeyStore, Write, log_error, millis, timed};
use crate::creds::random;
use crate::error::{Code, Error, Result};
use crate::events::Event;
use crate::folder::{CREDS, Folder, Stamp};
use crate::keys::Key;
use crate::maintenance::Compacted;
use crate::value::{Value, is_plain};

/// The flag of a record whose value is plain.
pub const FLAG_PLAIN: u8 = 1;

/// How much more than the live bytes may be dead before writes wait for the compaction under way. It began a megabyte
/// earlier; with the new log beside the old one the folder has three times the live bytes then, and this.
const SWOLLEN_BYTES: u64 = 2 << 20;

/// So much is read of `/proc/locks`: some thousands of locks.
const PROC_LOCKS_BYTES: usize = 1 << 20;

/// A group is written in frames of about this many bytes of values.
const FRAME_BYTES: usize = 32 << 20;

/// An attempt to lock a store.
pub enum Locking {
    /// It is ours until this is dropped.
    Mine(Lock),
    /// Somebody else has it: the error that says who.
    Theirs(Error),
}

/// Tries to lock the store in a folder, without waiting.
///
/// # Errors
/// `Io`, also where the file system has no locks.
pub fn lock_store(folder: &Folder) -> Result<Locking> {
    match try_lock(folder.dir.as_ref(), &me()).map_err(|error| log_error(error, &folder.path))? {
        Attempt::Acquired(lock) => Ok(Locking::Mine(lock)),
        Attempt::Held(holder) => Ok(Locking::Theirs(locked(folder, holder))),
    }
}

fn fenced(error: Error) -> Error {
    error.with(|details| {
        details.code = Code::Fenced;
        details.message =
            format!("somebody else has the store now, and nothing was written: {}", details.message);
    })
}

/// The error of a store that somebody else holds.
pub(super) fn locked(folder: &Folder, holder: Option<Holder>) -> Error {
    let path = folder.path.display();
    let Some(holder) = holder else {
        return Error::new(Code::Locked, format!("{path} is in use by another process: stop it first"))
            .at(&folder.path);
    };
    let who = if holder == me() {
        "by this process: by a migration or a repair, or by another copy of baileys-native-auth".to_owned()
    } else {
        format!("by process {} on {}: stop it first", holder.pid, holder.host)
    };
    Error::new(Code::Locked, format!("{path} is in use {who}")).at(&folder.path).with(|details| {
        details.pid = Some(holder.pid);
        details.host = Some(holder.host);
    })
}

/// This process, for the messages of others.
fn me() -> Holder {
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    Holder { pid: std::process::id(), host, started: start_time() }
}

/// When this process started: with pid and host it tells one process from another (in containers all are 1).
fn start_time() -> String {
    static STARTED: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    STARTED
        .get_or_init(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            own_start_ticks().unwrap_or_else(|| now.as_millis().to_string())
        })
        .clone()
}

/// Who has a folder itself locked, as far as this system says.
pub(super) fn folder_holder(folder: &Folder) -> Option<Holder> {
    let text = proc_text("/proc", "locks", PROC_LOCKS_BYTES)?;
    let inode = format!(":{}", folder.id.ino);
    let pid = text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // `1: FLOCK ADVISORY WRITE 4711 fe:00:1234 0 EOF`, and `->` in the second place for one that only waits.
        match fields.as_slice() {
            [_, "FLOCK", _, _, pid, place, ..] if place.ends_with(&inode) => pid.parse().ok(),
            _ => None,
        }
    });
    let own = me();
    // Another container's process has no number here.
    let pid: u32 = pid.filter(|pid| *pid > 0)?;
    Some(if pid == own.pid { own } else { Holder { pid, host: own.host, started: String::new() } })
}

/// The beginning of a file that the kernel makes up.
fn proc_text(dir: &str, name: &str, bytes: usize) -> Option<String> {
    use auth_log::fs::{DiskFs, Fs as _, read_full};
    let file = DiskFs.open_dir(dir.as_ref()).ok()?.open(name).ok()?;
    let mut buffer = vec![0; bytes];
    let read = read_full(file.as_ref(), &mut buffer, 0).ok()?;
    buffer.truncate(read);
    Some(String::from_utf8_lossy(&buffer).into_owned())
}

/// The 22nd field of `/proc/self/stat`, in clock ticks since boot: the same for two copies of this package in
/// one process.
fn own_start_ticks() -> Option<String> {
    let text = proc_text("/proc/self", "stat", 1024)?;
    let (_, after_name) = text.rsplit_once(')')?;
    after_name.split_whitespace().nth(19).map(str::to_owned)
}

enum State {
    /// A fresh identity beside an old log: not served, and set aside at the first write.
    OldLog,
    Open(Arc<Log>),
    /// Deleted, or never opened.
    Closed,
}

/// The keys of a native folder.
pub struct NativeKeys {
    folder: Arc<Folder>,
    state: Mutex<State>,
    lock: Mutex<Option<Lock>>,
    durability: Durability,
    /// It was opened under its lock.
    locking: bool,
}

impl NativeKeys {
    /// Opens the log, or makes it; with `fresh_identity` an old one is left alone until the first write.
    ///
    /// # Errors
    /// `Corrupt`, `UnsupportedVersion`, `Io`, `Full`.
    pub fn open(
        folder: Arc<Folder>,
        lock: Option<Lock>,
        fresh_identity: bool,
        durability: Durability,
    ) -> Result<Self> {
        let state = if fresh_identity { State::OldLog } else { State::Open(open_log(&folder)?) };
        let locking = lock.is_some();
        Ok(Self { folder, state: Mutex::new(state), lock: Mutex::new(lock), durability, locking })
    }

    /// A store that is not opened, to be deleted under its lock.
    #[must_use]
    pub fn closed(folder: Arc<Folder>, lock: Option<Lock>) -> Self {
        let durability = Durability::default();
        Self { folder, state: Mutex::new(State::Closed), lock: Mutex::new(lock), durability, locking: true }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn to_read(&self) -> Option<Arc<Log>> {
        match &*self.state() {
            State::OldLog | State::Closed => None,
            State::Open(log) => Some(log.clone()),
        }
    }

    fn to_write(&self) -> Result<Arc<Log>> {
        let mut state = self.state();
        match &*state {
            State::Open(log) => return Ok(log.clone()),
            State::Closed => return Err(self.error(auth_log::Error::Closed)),
            State::OldLog => {}
        }
        auth_log::set_aside(self.folder.dir.as_ref()).map_err(|error| self.error(error))?;
        let log = open_log(&self.folder)?;
        *state = State::Open(log.clone());
        Ok(log)
    }

    fn error(&self, error: auth_log::Error) -> Error {
        log_error(error, &self.folder.path)
    }

    /// Takes the lock under its own name again, when somebody removed the file.
    fn lock_again(&self) -> Result<()> {
        let mut held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_none_or(|lock| lock.is_current(self.folder.dir.as_ref()).unwrap_or(false)) {
            return Ok(());
        }
        match lock_store(&self.folder)? {
            Locking::Mine(lock) => {
                *held = Some(lock);
                Ok(())
            }
            Locking::Theirs(error) => Err(fenced(error)),
        }
    }

    /// A failed store has let go of its lock: somebody may have the account by now, this process too. `None` where nothing
    /// was let go of.
    fn lock_after_failure(&self, held: Option<&Lock>) -> Result<Option<Locking>> {
        (held.is_none() && self.locking).then(|| lock_store(&self.folder)).transpose()
    }

    fn release(&self) {
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn open_log(folder: &Folder) -> Result<Arc<Log>> {
    let (log, opened) =
        Log::open(folder.dir.clone(), random()?).map_err(|error| log_error(error, &folder.path))?;
    if opened.dropped_bytes > 0 {
        let message = format!(
            "{} bytes at the end of the log were no whole commit and were dropped (a crash, a power cut, or a file that \
             was cut): keys that were written last may be missing, or old",
            opened.dropped_bytes
        );
        let event = Event::warning("recovered", &folder.path, message);
        folder.events.emit(&event.with("bytes", opened.dropped_bytes));
    }
    Ok(Arc::new(log))
}

/// Writes in frames: as many whole ones together as stay within [`FRAME_BYTES`], at least one.
fn frames<'a, 'b>(writes: &'b [&'a Write]) -> impl Iterator<Item = &'b [&'a Write]> {
    let mut rest = writes;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |write: &&&Write| {
            bytes += write.bytes();
            bytes <= FRAME_BYTES
        };
        let count = rest.iter().take_while(fits).count().max(1).min(rest.len());
        let (frame, after) = rest.split_at_checked(count)?;
        rest = after;
        (!frame.is_empty()).then_some(frame)
    })
}

fn commit_frame(log: &Log, writes: &[&Write], durability: Durability) -> Result<(), auth_log::Error> {
    let labels: Vec<Cow<'_, [u8]>> = writes
        .iter()
        .flat_map(|write| match write {
            Write::Set(changes) => changes.as_slice(),
            Write::Clear => &[],
        })
        .map(|(key, _)| key.label())
        .collect();
    let mut labels = labels.iter();
    // A store that is cleared still came from where it came from.
    let (origin, label) = (Key::origin(), Key::origin().label());
    let clears = writes.iter().any(|write| matches!(write, Write::Clear));
    let kept = if clears { log.get(origin.stem.as_bytes()).ok().flatten() } else { None };
    let mut changes = Vec::new();
    for write in writes {
        let Write::Set(set) = write else {
            changes.push(Change::Clear);
            changes.extend(kept.as_ref().map(|kept| Change::Put {
                key: origin.stem.as_bytes(),
                label: &label,
                flags: kept.flags,
                value: &kept.bytes,
            }));
            continue;
        };
        for ((key, value), label) in set.iter().zip(labels.by_ref()) {
            let key = key.stem.as_bytes();
            changes.push(match value {
                Some(Value { text, plain }) => {
                    let plain = *plain || is_plain(text);
                    Change::Put { key, label, flags: if plain { FLAG_PLAIN } else { 0 }, value: text }
                }
                None => Change::Delete { key },
            });
        }
    }
    match durability {
        Durability::Interval => log.append(&changes),
        Durability::Sync => log.commit(&changes),
    }
}

impl KeyStore for NativeKeys {
    fn fails_together(&self) -> bool {
        true
    }

    fn synced_at_commit(&self) -> bool {
        self.durability == Durability::Sync
    }

    fn read_now(&self, key: &Key) -> Option<Option<Value>> {
        // Held across system calls only while an old log is set aside: not waited for.
        let log = match &*self.state.try_lock().ok()? {
            State::OldLog | State::Closed => return Some(None),
            State::Open(log) => log.clone(),
        };
        let found = log.get_now(key.stem.as_bytes()).ok()?;
        Some(found.map(|value| Value { plain: value.flags & FLAG_PLAIN != 0, text: value.bytes.into() }))
    }

    fn read(&self, key: &Key) -> Result<Found> {
        let Some(log) = self.to_read() else { return Ok(Found::Missing) };
        let found =
            log.get(key.stem.as_bytes()).map_err(|error| self.error(error).of_key(&key.key_type, &key.id))?;
        Ok(match found {
            Some(value) => {
                Found::Value(Value { plain: value.flags & FLAG_PLAIN != 0, text: value.bytes.into() })
            }
            None => Found::Missing,
        })
    }

    fn note_odd(&self, _: &Key, _: Stamp) {}

    fn commit(&self, writes: &[&Write]) -> Vec<Result<()>> {
        if matches!(&*self.state(), State::OldLog) && writes.iter().all(|write| write.is_empty()) {
            return writes.iter().map(|_| Ok(())).collect();
        }
        let log = match self.to_write() {
            Ok(log) => log,
            Err(error) => return writes.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut failed: Option<Error> = None;
        let mut results = Vec::with_capacity(writes.len());
        for frame in frames(writes) {
            let result = match &failed {
                // What stands behind a failed commit is not tried.
                Some(error) if error.code() == Code::Full => Err(error.clone()),
                Some(_) => Err(self.error(auth_log::Error::Failed)),
                None => timed(&self.folder, || commit_frame(&log, frame, self.durability))
                    .map_err(|error| self.error(error)),
            };
            if let Err(error) = &result {
                // Too large for a frame is that set's own fault.
                if error.code() != Code::InvalidArg {
                    failed = Some(error.clone());
                }
            }
            results.extend(frame.iter().map(|_| result.clone()));
        }
        results
    }

    fn claim(&self) -> Result<()> {
        let mut held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        match self.lock_after_failure(held.as_ref())? {
            Some(Locking::Mine(lock)) => *held = Some(lock),
            Some(Locking::Theirs(error)) => return Err(error),
            None => {}
        }
        Ok(())
    }

    fn prepare(&self) -> Result<()> {
        self.to_write()?;
        let held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        match self.lock_after_failure(held.as_ref())? {
            Some(Locking::Theirs(error)) => Err(fenced(error)),
            Some(Locking::Mine(_)) | None => Ok(()),
        }
    }

    fn sync(&self) -> Result<()> {
        let log = self.to_write()?;
        timed(&self.folder, || log.sync()).map_err(|error| self.error(error))
    }

    fn list(&self, key_type: &str) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        if let Some(log) = self.to_read() {
            log.for_each(&mut |stem, label| {
                let key = std::str::from_utf8(stem).ok().and_then(|stem| Key::from_label(stem, label));
                ids.extend(key.filter(|key| key.key_type == key_type && !key.is_ours()).map(|key| key.id));
            });
        }
        Ok(ids)
    }

    fn close(&self) -> Result<()> {
        // A program that writes `creds.json` itself has made the fresh identity the stored one.
        if matches!(&*self.state(), State::OldLog) && self.folder.stat(CREDS)?.is_some() {
            self.to_write()?;
        }
        let result = self.to_read().map_or(Ok(()), |log| log.close().map_err(|error| self.error(error)));
        self.release();
        result
    }

    fn abandon(&self) {
        self.release();
    }

    fn in_place(&self) -> Result<bool> {
        let Some(log) = self.to_read() else { return Ok(true) };
        let dir = self.folder.dir.as_ref();
        let locked = self
            .lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .is_none_or(|lock| lock.is_current(dir).unwrap_or(false));
        // What cannot be looked at is not there.
        Ok(locked && log.is_in_place().unwrap_or(false))
    }

    fn put_back(&self) -> Result<()> {
        let Some(log) = self.to_read() else { return Ok(()) };
        self.lock_again()?;
        if log.is_in_place().unwrap_or(false) {
            return Ok(());
        }
        log.write_anew().map_err(|error| self.error(error))?;
        let message = "the log was removed under the open store (a \"clear session\" command?) and was written anew: \
                       nothing is lost";
        self.folder.events.emit(&Event::warning("rewritten", &self.folder.path, message));
        Ok(())
    }

    fn wants_compaction(&self) -> bool {
        self.to_read().is_some_and(|log| log.wants_compaction())
    }

    fn is_swollen(&self) -> bool {
        self.to_read().is_some_and(|log| {
            let sizes = log.sizes();
            sizes.dead_bytes > sizes.live_bytes.saturating_add(SWOLLEN_BYTES)
        })
    }

    fn compact(&self) -> Result<Compacted> {
        let Some(log) = self.to_read() else { return Ok(Compacted::default()) };
        let before = log.sizes().file_bytes;
        let begun = Instant::now();
        let done = log.compact().map_err(|error| self.error(error))?;
        let after = log.sizes().file_bytes;
        if matches!(done, Compaction::Done { .. }) {
            let message = format!("compacted from {before} to {after} bytes");
            let event = Event::info("compacted", &self.folder.path, message);
            let event = event.with("before", before).with("after", after);
            self.folder.events.emit(&event.with("durationMs", millis(begun.elapsed())));
        }
        Ok(Compacted { before, after })
    }

    fn delete(&self) -> Result<()> {
        // Nothing is written any more: neither by a commit that comes late, nor by a compaction.
        if let State::Open(log) = std::mem::replace(&mut *self.state(), State::Closed) {
            // What its last sync says is of no interest now.
            let _ = log.close();
        }
        auth_log::remove(self.folder.dir.as_ref()).map_err(|error| self.error(error))?;
        self.folder.remove(auth_log::format::LOCK)?;
        self.release();
        Ok(())
    }
}
