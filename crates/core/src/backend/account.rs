//! An account in a folder, blocking: `creds.json` and a key store. Everything that is the same on both formats,
//! and all that a simulated disk has to crash.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use auth_log::format::Name;
use auth_log::fs::{DiskFs, Fs};
use auth_log::{Lock, Reader};

use super::multi_file::MultiFileKeys;
use super::native::NativeKeys;
use super::{Commit, Durability, Expected, Format, KeyStore, Write, timed};
use crate::creds::{Creds, Summary};
use crate::error::{Code, Error, Result};
use crate::events::Event;
use crate::folder::{
    CREDS, Folder, Look, MARKER, Reach, StoredCreds, Survey, Watch, free_name, no_account, read_creds,
    remove_stale,
};
use crate::maintenance::{delete_account, keep_account};
use crate::migration::marker_names;

/// A folder that may be opened as a format: what was found in it.
pub struct Judged {
    /// The stored credentials; `None` for a fresh identity.
    pub creds: Option<Creds>,
    /// What is wrong with `creds.json`, and what stands in for it.
    pub healed: Option<String>,
    /// The names in it.
    pub survey: Survey,
}

/// Judges a folder before anything is made in it.
///
/// # Errors
/// `Incomplete`, `WrongFormat`, `NotMigrated`, `Corrupt`, `Io` (`ENOENT` without an account when `create` is
/// false): the folder stays as it is.
pub fn judge(folder: &Folder, format: Format, create: bool) -> Result<Judged> {
    let judged = judge_as(folder, Survey::of(folder)?, format, false)?;
    if judged.creds.is_none() && !create {
        return Err(no_account(&folder.path));
    }
    Ok(judged)
}

/// The same, by what was found in the folder a moment ago, and where it may be without an account; with `said`, whatever
/// it holds of the other format.
///
/// # Errors
/// As [`judge`].
pub fn judge_as(folder: &Folder, survey: Survey, format: Format, said: bool) -> Result<Judged> {
    let stored = read_creds(folder);
    // An unfinished migration says more than what it has left.
    let finished = |creds: &Creds| marker_names(folder, creds).unwrap_or(false);
    if survey.marker && !matches!(&stored, Ok(Some(stored)) if finished(&stored.creds)) {
        let path = folder.path.display();
        let message = if survey.creds {
            let marker = shell_quoted(&folder.path_of(MARKER).display().to_string());
            format!(
                "a migration into {path} did not finish, and somebody has put other credentials there since. To keep \
                 those: rm {marker}. Else migrate into a path that does not exist yet"
            )
        } else {
            format!("a migration into {path} did not finish: run it again, it starts over by itself")
        };
        return Err(Error::new(Code::Incomplete, message).at(&folder.path));
    }
    if !said {
        judge_format(folder, &survey, format)?;
    }
    let (creds, healed) = match stored? {
        Some(stored) => (Some(stored.creds), stored.healed),
        None => (None, None),
    };
    Ok(Judged { creds, healed, survey })
}

/// Judges what a folder holds for a format, by its names.
///
/// # Errors
/// `WrongFormat`, `NotMigrated`.
pub fn judge_format(folder: &Folder, survey: &Survey, format: Format) -> Result<()> {
    let path = folder.path.display();
    let quoted = shell_quoted(&path.to_string());
    let beside = |what: &str| shell_quoted(&free_beside(&folder.path, what));
    let log = survey.logs.last().map(|n| Name::Log(*n));
    let (code, message) = match (log, survey.keys.first(), format) {
        (Some(log), Some(key), _) => (
            Code::WrongFormat,
            format!(
                "{path} holds both a native log ({log}) and key files ({} and others): another helper ran on a \
                 native folder. Take one of the two out.\n\
                 To keep the log, which has all from before, then open it with useNativeAuthState:\n  \
                 mkdir {keys} && mv {quoted}/*-*.json {keys}\n\
                 To go on with what the other helper wrote alone, then open it with useMultiFileAuthState:\n  \
                 mkdir {logs} && mv {quoted}/keys.*.log {logs}\n\
                 Or move one of them to a new folder: migrateAuthState({{ from, to, sourceFormat }}), with 'native' or \
                 'multi-file'",
                key.file_name(),
                keys = beside("-key-files"),
                logs = beside("-log"),
            ),
        ),
        (Some(log), None, Format::MultiFile) => (
            Code::WrongFormat,
            format!(
                "{path} is a native store ({log}): open it with useNativeAuthState, or move it back with \
                 migrateAuthState({{ from, to }})"
            ),
        ),
        (None, Some(key), Format::Native) => (
            Code::NotMigrated,
            format!(
                "{path} is a multi-file folder ({} and others): move it to a native one first, with \
                 migrateAuthState({{ from, to }})",
                key.file_name()
            ),
        ),
        _ => return Ok(()),
    };
    Err(Error::new(code, message).at(&folder.path))
}

/// A path as a shell takes it, in a command for people to copy.
#[must_use]
pub fn shell_quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', "'\\''"))
}

/// The path of a folder with something behind it, and a number where that is taken: for a command that makes it.
#[must_use]
pub fn free_beside(path: &Path, what: &str) -> String {
    let named = |name: &str| path.with_file_name(name).display().to_string();
    let name = format!("{}{what}", path.file_name().unwrap_or_default().to_string_lossy());
    let parent = path.parent().unwrap_or(Path::new("/"));
    let free = DiskFs.open_dir(parent).and_then(|dir| free_name(dir.as_ref(), &name));
    // Where nobody may look, the command says what is in its way.
    named(&free.unwrap_or(name))
}

/// Whether the log has keys, or cannot be read: a store that was opened and never written has none.
fn has_keys(folder: &Folder, survey: &Survey) -> bool {
    let empty = |reader: Option<Reader>| reader.is_none_or(|reader| reader.is_empty());
    !survey.logs.is_empty() && !Reader::open(folder.dir.as_ref()).is_ok_and(empty)
}

fn fresh_beside_keys(folder: &Folder, format: Format) -> Event {
    let message = match format {
        Format::MultiFile => "there are keys but no creds.json: a new identity is made beside them",
        Format::Native => {
            "there is a log but no creds.json: a new identity is made, and the log is set aside at the first write"
        }
    };
    Event::warning("orphaned", &folder.path, message)
}

/// An open account.
pub struct Account {
    folder: Arc<Folder>,
    format: Format,
    keys: Box<dyn KeyStore>,
    watch: Mutex<Watch>,
    /// Whether the disk folds case was found out.
    knows_case: AtomicBool,
}

impl Account {
    /// Opens the account of a judged folder; on native under its lock, unless locking is off.
    ///
    /// # Errors
    /// `Corrupt`, `UnsupportedVersion`, `Io`, `Full` of the log.
    pub fn open(
        folder: Arc<Folder>,
        format: Format,
        judged: Judged,
        lock: Option<Lock>,
        durability: Durability,
    ) -> Result<Self> {
        let Judged { creds, healed, survey } = judged;
        if let Some(message) = healed {
            folder.events.emit(&Event::warning("healed", &folder.path_of(CREDS), message));
        }
        remove_stale(&folder, &survey.temporaries)?;
        if survey.marker {
            folder.remove(MARKER)?;
            folder.sync()?;
        }
        let mut old_log = false;
        if creds.is_none() {
            folder.sync_parents()?;
            old_log = has_keys(&folder, &survey);
            if old_log || !survey.keys.is_empty() {
                folder.events.emit(&fresh_beside_keys(&folder, format));
            }
        }
        if creds.is_some() && format == Format::Native && survey.logs.is_empty() {
            let message =
                "there is a creds.json and no log: the account begins with no keys (a seeded folder does)";
            folder.events.emit(&Event::warning("keyless", &folder.path, message));
        }
        let mut watch = Watch::default();
        if let Some(creds) = &creds {
            watch.note(creds.summary, None);
        }
        let keys: Box<dyn KeyStore> = match format {
            Format::MultiFile => Box::new(MultiFileKeys::open(folder.clone(), &survey)),
            Format::Native => Box::new(NativeKeys::open(folder.clone(), lock, old_log, durability)?),
        };
        let account =
            Self { folder, format, keys, watch: Mutex::new(watch), knows_case: AtomicBool::new(false) };
        account.find_case()?;
        Ok(account)
    }

    /// Finds out, once there is a file, whether ids that differ in case alone share a file.
    fn find_case(&self) -> Result<()> {
        if self.format == Format::Native || self.knows_case.load(Ordering::Relaxed) {
            return Ok(());
        }
        let Some(folds) = self.folder.folds_case(CREDS)? else { return Ok(()) };
        if !self.knows_case.swap(true, Ordering::Relaxed) && folds {
            let message =
                "this disk does not tell upper case from lower: ids that differ in case alone share a file";
            self.folder.events.emit(&Event::warning("folding", &self.folder.path, message));
        }
        Ok(())
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &dyn KeyStore {
        self.keys.as_ref()
    }

    /// Looks whether the folder still holds the account, and whose; `again` as for [`Watch::look`].
    ///
    /// # Errors
    /// `Io`.
    pub fn look(&self, again: bool) -> Result<Look> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).look(&self.folder, again)
    }

    /// Reads the stored credentials.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub fn load_creds(&self) -> Result<Option<Creds>> {
        let Some(StoredCreds { creds, stamp, .. }) = read_creds(&self.folder)? else { return Ok(None) };
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).note(creds.summary, stamp);
        Ok(Some(creds))
    }

    /// Writes credentials durably, after everything that was set before them; says whether that is on disk, too. It is
    /// not where the log has failed before, and that is no reason to lose an identity.
    ///
    /// # Errors
    /// `Io`, `Full`, `Fenced`; of a sync of the log that fails now, with the credentials written.
    pub fn save_creds(&self, creds: &Creds) -> Result<bool> {
        self.keys.prepare()?;
        let synced = self.keys.sync();
        let written = timed(&self.folder, || self.folder.replace(CREDS, &creds.text, Reach::Synced))?;
        // Somebody else's file that came meanwhile is not ours to know.
        let stat = self.folder.stat(CREDS)?.filter(|stat| written.is_none_or(|id| id == stat.id));
        let stamp = stat.map(Into::into);
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).note(creds.summary, stamp);
        self.folder.clear_creds_companions(&creds.summary.identity);
        // They are saved; what else there is to find out can wait.
        let _ = self.find_case();
        match synced {
            Ok(()) => Ok(true),
            // It was said before, to whoever wrote keys.
            Err(error) if error.code() == Code::Failed => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes a group in order, except what is meant for another account than the stored one; answers as
    /// [`KeyStore::commit`].
    pub fn commit(&self, group: &[Commit], stored: Option<Summary>) -> Vec<Result<()>> {
        let verdicts: Vec<Result<()>> = group.iter().map(|commit| commit.expected.allows(stored)).collect();
        let writes: Vec<&Write> = group
            .iter()
            .zip(&verdicts)
            .filter(|(_, verdict)| verdict.is_ok())
            .map(|(commit, _)| commit.write.as_ref())
            .collect();
        let mut results = self.keys.commit(&writes).into_iter();
        verdicts
            .into_iter()
            .map_while(|verdict| match verdict {
                Ok(()) => results.next(),
                stale => Some(stale.map_err(|error| error.at(&self.folder.path_of(CREDS)))),
            })
            .collect()
    }

    /// Copies the account before it is deleted.
    ///
    /// # Errors
    /// As a backup; `Locked`.
    pub fn keep(&self, to: PathBuf) -> Result<()> {
        keep_account(&self.folder, self.keys.as_ref(), to)
    }

    /// Removes the account from its folder.
    ///
    /// # Errors
    /// `Locked`; `Io`; a part may be gone, the credentials first.
    pub fn delete(&self) -> Result<()> {
        delete_account(&self.folder, &[self.keys.as_ref()])
    }

    /// Whether these credentials may be written.
    ///
    /// # Errors
    /// `Stale`, `Exists`; `Corrupt` where nobody is expected, and somebody's cannot be read.
    pub fn allows_creds(&self, creds: &Creds, expected: &Expected, stored: Option<Summary>) -> Result<()> {
        // A torn file is as good as none to who has the account, and not to who brings another one.
        let stored = match expected {
            Expected::Nobody => self.load_creds()?.map(|creds| creds.summary),
            Expected::Account { .. } => stored,
        };
        expected.allows_creds(stored, &creds.summary).map_err(|error| error.at(&self.folder.path_of(CREDS)))
    }
}
