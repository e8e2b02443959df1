//! Who may write: an exclusive lock on `keys.lock`, never judged by what the file says.
//!
//! The lock ends with the open file, so that of a dead process is none. The text in it (process, host, start
//! time) is for messages only.

use std::io;
use std::sync::Arc;

use crate::error::Error;
use crate::format::{FILE_MODE, LOCK, offset};
use crate::fs::{Dir, File, FileId, read_full, write_all};

/// How often a lock file that was replaced meanwhile is opened again.
const ATTEMPTS: usize = 16;

/// The most that is read of the lock file's text, in bytes.
const TEXT_BYTES: usize = 1024;

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// The machine's name.
    pub host: String,
    /// When that process started, in whatever form the caller writes it.
    pub started: String,
}

impl Holder {
    fn text(&self) -> String {
        let line = |text: &str| text.replace(['\r', '\n'], " ");
        format!("{}\n{}\n{}\n", self.pid, line(&self.host), line(&self.started))
    }

    /// What a lock file says; `None` when it says nothing, or is just being written.
    fn read(file: &dyn File) -> Option<Holder> {
        let mut bytes = [0; TEXT_BYTES];
        let count = read_full(file, &mut bytes, 0).ok()?;
        let text = std::str::from_utf8(bytes.get(..count)?).ok()?;
        let mut lines = text.split_inclusive('\n').map(|line| line.strip_suffix('\n'));
        let mut next = || lines.next().flatten();
        Some(Holder { pid: next()?.parse().ok()?, host: next()?.into(), started: next()?.into() })
    }
}

/// A lock that is held; dropping it releases it.
pub struct Lock {
    // Never read: the lock lasts as long as the file is open.
    _file: Arc<dyn File>,
    id: FileId,
}

/// What became of an attempt to lock.
pub enum Attempt {
    /// The lock is ours.
    Acquired(Lock),
    /// Somebody else has it, in this process or another one.
    Held(Option<Holder>),
}

/// Takes the lock of a folder, without waiting. The file is made if it is missing; it stays when the lock ends.
///
/// # Errors
/// `Io`, above all when the file system has no locks, or when the folder cannot be written.
pub fn try_lock(dir: &dyn Dir, me: &Holder) -> Result<Attempt, Error> {
    for _ in 0..ATTEMPTS {
        let Some(file) = open_or_create(dir)? else { continue };
        if !file.try_lock().map_err(|e| Error::io("locking", LOCK, e))? {
            return Ok(Attempt::Held(Holder::read(&*file)));
        }
        let id = file.stat().map_err(|e| Error::io("looking at", LOCK, e))?.id;
        let lock = Lock { _file: Arc::clone(&file), id };
        // Whoever removed the file meanwhile may have locked another one under the same name.
        if lock.is_current(dir)? {
            let text = me.text();
            if write_all(&*file, text.as_bytes(), 0).is_ok() {
                // The text is for messages only: the lock is ours even if it is wrong.
                let _ = file.set_len(offset(text.len()));
            }
            return Ok(Attempt::Acquired(lock));
        }
    }
    let replaced = io::Error::other("the file is replaced again and again");
    Err(Error::io("locking", LOCK, replaced))
}

/// Who holds the lock of a folder, for messages: `None` when nobody does. Writes nothing, and needs no right to.
/// What the holder has not written yet is empty.
///
/// # Errors
/// `Io`.
pub fn holder(dir: &dyn Dir) -> Result<Option<Holder>, Error> {
    let file = match dir.open(LOCK) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result.map_err(|e| Error::io("opening", LOCK, e))?,
    };
    // A shared one: others who ask at the same time are no holders.
    if file.try_lock_shared().map_err(|e| Error::io("asking for the lock of", LOCK, e))? {
        return Ok(None);
    }
    let nobody_known = Holder { pid: 0, host: String::new(), started: String::new() };
    Ok(Some(Holder::read(&*file).unwrap_or(nobody_known)))
}

/// `None` when the file came or went between the two attempts.
fn open_or_create(dir: &dyn Dir) -> Result<Option<Arc<dyn File>>, Error> {
    match dir.open_write(LOCK) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => return result.map(Some).map_err(|e| Error::io("opening", LOCK, e)),
    }
    match dir.create(LOCK, FILE_MODE) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        result => result.map(Some).map_err(|e| Error::io("making", LOCK, e)),
    }
}

impl Lock {
    /// Whether the folder still names the file that is locked. If not, others can lock what it names now.
    ///
    /// # Errors
    /// `Io`.
    pub fn is_current(&self, dir: &dyn Dir) -> Result<bool, Error> {
        let named = dir.stat_name(LOCK).map_err(|e| Error::io("looking at", LOCK, e))?;
        Ok(named.is_some_and(|stat| stat.id == self.id))
    }
}
