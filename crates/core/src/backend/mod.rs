//! What a [`Store`](crate::store::Store) stands on. A backend is small: it loads and saves credentials, reads,
//! commits and lists keys. Order, pending writes, handles and identities are the store's.

mod account;
mod custom;
mod folder;
mod multi_file;
mod native;
mod patience;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use auth_log::Lock;

use crate::creds::{Creds, Identity, Summary};
use crate::error::{Code, Error, Result};
use crate::events::Event;
use crate::folder::{Folder, Stamp};
use crate::keys::Key;
use crate::maintenance::Compacted;
use crate::value::Value;

pub use account::{Account, Judged, free_beside, judge, judge_as, judge_format, shell_quoted};
pub use custom::{Answer, Call, Calls, CustomBackend, Question, Thrown};
pub use folder::{FolderBackend, FolderOptions, hold};
pub use multi_file::locked_folder;
pub use native::{FLAG_PLAIN, Locking, lock_store};

/// A future in a box: backends are used as trait objects.
pub type Future<'a, T> = Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;

/// How keys are stored in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Baileys' own: a JSON file a key.
    MultiFile,
    /// One append-only log.
    Native,
}

impl Format {
    /// As it is said to people and in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::MultiFile => "multi-file",
            Format::Native => "native",
        }
    }
}

/// Whom a write takes the stored account to be: anything else means that somebody else paired here.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    /// The one of the handle's `creds` object.
    Account {
        /// The identity in that object now.
        current: Option<Identity>,
        /// The identity with which that object was last read or saved.
        loaded: Option<Identity>,
    },
    /// Nobody yet: an account is being moved here.
    Nobody,
}

impl Expected {
    /// Whether a write may go on top of what is stored.
    ///
    /// # Errors
    /// `Stale`; `Exists` where nobody was expected.
    pub fn allows(&self, stored: Option<Summary>) -> Result<()> {
        match (self, stored) {
            (Self::Account { current, loaded }, Some(stored))
                if ![*current, *loaded].contains(&Some(stored.identity)) =>
            {
                Err(stale(
                    "creds.json holds another identity than this handle: somebody paired here anew. Nothing was \
                     written; close this handle and open the folder again",
                ))
            }
            (Self::Nobody, Some(_)) => Err(taken()),
            _ => Ok(()),
        }
    }

    /// Whether these credentials may replace what is stored: as [`Expected::allows`], and never a paired
    /// account by its own state from before the pairing.
    ///
    /// # Errors
    /// As [`Expected::allows`].
    pub fn allows_creds(&self, stored: Option<Summary>, creds: &Summary) -> Result<()> {
        self.allows(stored)?;
        match stored {
            Some(stored) if stored.identity == creds.identity && stored.paired && !creds.paired => {
                Err(stale(
                    "creds.json is paired, and these creds are the same identity from before that. Nothing was \
                 written; close this handle and open the folder again",
                ))
            }
            _ => Ok(()),
        }
    }
}

fn stale(message: &str) -> Error {
    Error::new(Code::Stale, message)
}

/// The error of a migration into what has an account by now.
fn taken() -> Error {
    Error::new(
        Code::Exists,
        "credentials were stored in the target while the account was moved there: they stay, and those that were to be \
         moved are not saved. Move it into another target",
    )
}

/// When a `set` on the native store is answered, and what it survives then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Handed to the operating system: it survives any end of the process. On disk within 100 ms, so that a power cut
    /// takes at most that from the ratchets, and never an identity: credentials are always synced, and everything set
    /// before them with them.
    #[default]
    Interval,
    /// On disk.
    Sync,
}

/// One `set` or `clear`.
#[derive(Debug)]
pub enum Write {
    /// Values by key; `None` deletes. Of two for one key the last wins.
    Set(Vec<(Key, Option<Value>)>),
    /// Deletes every key.
    Clear,
}

impl Write {
    /// Whether it deletes at the most.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Write::Set(changes) => changes.iter().all(|(_, value)| value.is_none()),
            Write::Clear => true,
        }
    }

    /// The bytes of its values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Write::Set(changes) => {
                changes.iter().filter_map(|(_, value)| value.as_ref()).map(|value| value.text.len()).sum()
            }
            Write::Clear => 0,
        }
    }
}

/// A write and whom it is meant for.
#[derive(Debug)]
pub struct Commit {
    /// What to write.
    pub write: Arc<Write>,
    /// Whom it takes the account to be.
    pub expected: Expected,
}

/// Where an account is stored.
pub trait Backend: Send + Sync {
    /// Whether a failed commit rejects every write behind it (an append-only log), or itself alone.
    fn fails_together(&self) -> bool;

    /// Whether a commit that is done needs no [`Backend::sync`] any more.
    fn synced_at_commit(&self) -> bool;

    /// Makes all commits durable.
    ///
    /// # Errors
    /// `Io`, `Full`, `Failed`: the store is finished then.
    fn sync(&self) -> Future<'_, Result<()>>;

    /// Reads a key without waiting for anything, when that is possible.
    fn read_now(&self, key: &Key) -> Option<Option<Value>>;

    /// The stored credentials; `None` when nothing is stored.
    ///
    /// # Errors
    /// `Gone`, `Corrupt`, `Io`: never taken for "nothing stored".
    fn load_creds(&self) -> Future<'_, Result<Option<Creds>>>;

    /// Stores credentials; on disk when it resolves, and every write before it too, unless it says `false`: of a log that
    /// has failed before.
    ///
    /// # Errors
    /// `Stale`, `Exists` (where nobody was expected), `Gone`, `Fenced`, `Io`, `Full`.
    fn save_creds(&self, creds: Creds, expected: Expected) -> Future<'_, Result<bool>>;

    /// Reads keys, in one read of the store; an answer for each.
    ///
    /// # Errors
    /// When nothing could be read at all.
    fn read(&self, keys: Vec<Key>) -> Future<'_, Result<Vec<Result<Option<Value>>>>>;

    /// Writes a group, in order; an answer for each.
    ///
    /// # Errors
    /// When nothing of the group was written.
    fn commit(&self, group: Vec<Commit>) -> Future<'_, Result<Vec<Result<()>>>>;

    /// The ids of a type.
    ///
    /// # Errors
    /// `Io`.
    fn list(&self, key_type: String) -> Future<'_, Result<Vec<String>>>;

    /// Finishes what is to be finished and lets go. Nothing is called after it.
    ///
    /// # Errors
    /// What the last sync said.
    fn close(&self) -> Future<'_, Result<()>>;

    /// Lets go of locks and writes nothing more. Reads still work.
    fn abandon(&self) -> Future<'_, ()>;

    /// Looks whether everything is still where it belongs, and mends what can be.
    ///
    /// # Errors
    /// `Gone`, `Fenced`, `Failed`, `Io`.
    fn look(&self) -> Future<'_, Result<()>>;

    /// Whether so much of the store is dead that [`Backend::compact`] is worth while.
    fn wants_compaction(&self) -> bool;

    /// Whether so much of the store is dead that writes should wait for a compaction under way.
    fn is_swollen(&self) -> bool;

    /// Gives dead space back; everything else goes on meanwhile.
    ///
    /// # Errors
    /// `Corrupt`, `Full`, `Io`: what was there stays.
    fn compact(&self) -> Future<'_, Result<Compacted>>;

    /// Removes everything that is stored, and lets go; copies it before to where it is to be kept.
    ///
    /// # Errors
    /// Of the copy: nothing was removed. `Io`; a part may be gone.
    fn delete(&self, keep: Option<PathBuf>) -> Future<'_, Result<()>>;
}

/// What a key store found under a key.
pub enum Found {
    /// Nothing.
    Missing,
    /// A value.
    Value(Value),
    /// A file that is torn, or missing where it was just being written.
    Odd {
        /// What is wrong with it.
        error: Error,
        /// What stands in for it.
        stand_in: Option<Value>,
        /// As it is now.
        stamp: Stamp,
        /// It was the same when it was reported.
        known: bool,
    },
}

/// The keys of a folder, blocking: what differs between the two formats.
pub trait KeyStore: Send + Sync {
    /// As [`Backend::fails_together`].
    fn fails_together(&self) -> bool;
    /// As [`Backend::synced_at_commit`].
    fn synced_at_commit(&self) -> bool;
    /// As [`Backend::read_now`].
    fn read_now(&self, key: &Key) -> Option<Option<Value>>;
    /// Reads one key.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    fn read(&self, key: &Key) -> Result<Found>;
    /// Remembers that this key's file was odd like this, so that the next look need not wait.
    fn note_odd(&self, key: &Key, stamp: Stamp);
    /// Writes in order; an answer for each, or, where one fails that may go through a moment later, for those up to it.
    fn commit(&self, writes: &[&Write]) -> Vec<Result<()>>;
    /// Sees to it that nobody else has the store that is to be deleted.
    ///
    /// # Errors
    /// `Locked`.
    fn claim(&self) -> Result<()>;
    /// Sees to it that nothing of another identity is here when credentials are written, and that nobody else has the
    /// store.
    ///
    /// # Errors
    /// `Fenced`, `Io`: they must not be written then.
    fn prepare(&self) -> Result<()>;
    /// Makes everything durable that must be before credentials are written.
    ///
    /// # Errors
    /// `Io`, `Full`, `Failed`.
    fn sync(&self) -> Result<()>;
    /// The ids of a type.
    ///
    /// # Errors
    /// `Io`.
    fn list(&self, key_type: &str) -> Result<Vec<String>>;
    /// Finishes and lets go of locks.
    ///
    /// # Errors
    /// `Io`.
    fn close(&self) -> Result<()>;
    /// Lets go of locks, writing nothing.
    fn abandon(&self);
    /// Whether the store's own files are still where they belong.
    ///
    /// # Errors
    /// `Io`.
    fn in_place(&self) -> Result<bool>;
    /// Puts them back, from what is held open.
    ///
    /// # Errors
    /// `Fenced` when somebody else has the store by now; `Failed`, `Io`.
    fn put_back(&self) -> Result<()>;
    /// As [`Backend::wants_compaction`].
    fn wants_compaction(&self) -> bool;
    /// As [`Backend::is_swollen`].
    fn is_swollen(&self) -> bool;
    /// As [`Backend::compact`].
    ///
    /// # Errors
    /// `Corrupt`, `Full`, `Io`.
    fn compact(&self) -> Result<Compacted>;
    /// Removes all keys and the store's own files, and lets go of locks.
    ///
    /// # Errors
    /// `Io`; a part may be gone.
    fn delete(&self) -> Result<()>;
}

/// The keys of a folder that is not opened, to be deleted.
#[must_use]
pub fn offline_keys(folder: Arc<Folder>, native: bool, lock: Option<Lock>) -> Box<dyn KeyStore> {
    if native {
        Box::new(native::NativeKeys::closed(folder, lock))
    } else {
        Box::new(multi_file::MultiFileKeys::new(folder))
    }
}

/// What an error of the log is to our callers.
#[must_use]
pub fn log_error(error: auth_log::Error, folder: &Path) -> Error {
    use auth_log::Error as Log;
    let unknown = error.outcome_unknown();
    let mapped = match error {
        Log::Corrupt { name, offset, detail } => {
            let path = folder.join(name);
            let shown = path.display();
            Error::new(
            Code::Corrupt,
            format!(
                "{shown} is damaged at byte {offset} ({detail}); nothing was changed. repairAuthState(folder, to) makes a \
                 new store of all that is sound in it"
            ),
        )
        .at(&path)
        .with(|details| details.offset = Some(offset))
        }
        Log::UnsupportedVersion { name, version } => Error::new(
            Code::UnsupportedVersion,
            format!(
                "{name} was written by a newer version of baileys-native-auth (format {version}): update it"
            ),
        )
        .at(&folder.join(name)),
        Log::Io { what, source, .. } => Error::io_below(&what, folder, &source)
            // A full disk that could not be taken back, or met at a sync, is a failed store like any other.
            .with(|details| details.code = Code::Io),
        Log::Full { source } => Error::io("write the log in", folder, &source),
        Log::Failed => Error::new(
            Code::Failed,
            "an earlier write of this store failed, so nothing more is written: open the folder again",
        )
        .at(folder),
        Log::TooLarge { bytes } => Error::new(
            Code::InvalidArg,
            format!("one set of {bytes} bytes is more than the 256 MiB that fit: split it"),
        ),
        Log::Closed => closed(),
    };
    mapped.with(|details| details.outcome_unknown = unknown)
}

/// A sync that takes longer is told of.
const SLOW_SYNC: Duration = Duration::from_millis(100);

/// Does what syncs, and tells when that takes long.
fn timed<T>(folder: &Folder, sync: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = sync();
    let took = begun.elapsed();
    if took > SLOW_SYNC {
        let ms = millis(took);
        let event =
            Event::warning("slow", &folder.path, format!("a sync took {ms} ms: is the disk slow, or busy?"));
        folder.events.emit(&event.with("durationMs", ms));
    }
    done
}

/// Whole milliseconds.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The error of a call on a closed handle.
#[must_use]
pub fn closed() -> Error {
    Error::new(Code::Closed, "this handle is closed: open the folder again")
}
