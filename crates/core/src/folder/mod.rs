//! The held folder: everything that both formats do to files in it. Both stand on one descriptor, so that an
//! old handle cannot write into a folder that was made anew under the same path.

mod companions;
mod creds_file;
mod file;
mod survey;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use auth_log::fs::{Dir, FileId, Fs, errno_name, os_error, sync_dir};

use crate::error::{Code, Error, Result};
use crate::events::Listeners;
use crate::runtime::Client;

pub use companions::Stored;
pub use creds_file::{CREDS, Look, Stamp, StoredCreds, Watch, no_account, read_creds};
pub use file::{Reach, not_found};
pub use survey::{MARKER, MOVED, Survey, key_companion, remove_stale};

/// Permission bits of a new folder: nobody but its owner.
const FOLDER_MODE: u32 = 0o700;
/// Permission bits of the folders above a new one.
const PARENT_MODE: u32 = 0o777;
/// Permission bits of a new file.
pub const FILE_MODE: u32 = 0o600;

/// An account's folder, held open.
pub struct Folder {
    /// The directory.
    pub dir: Arc<dyn Dir>,
    /// Its absolute path when it was opened, for messages.
    pub path: PathBuf,
    /// Which directory it is, under whatever path.
    pub id: FileId,
    /// Who hears of what happens to it.
    pub events: Listeners,
    /// The same, for calls that do not come back.
    pub client: Arc<Client>,
    /// Files that had to be written in place, as was said.
    in_place: Mutex<HashSet<String>>,
}

impl Folder {
    /// Opens a folder; `None` when there is none.
    ///
    /// # Errors
    /// `NotADirectory`; `Io`, also for a link that leads nowhere.
    pub fn open(fs: &dyn Fs, path: &Path, events: &Listeners) -> Result<Option<Self>> {
        match fs.open_dir(path) {
            Ok(dir) => Self::hold(dir, path, events).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(not_a_directory(path)),
            Err(error) => Err(Error::io("open the folder", path, &error)),
        }
    }

    /// Opens a folder, or makes it with all that is missing above it; durable after [`Folder::sync_parents`].
    ///
    /// # Errors
    /// As [`Folder::open`]; a name that is there and leads nowhere is `Io` with `ENOENT`.
    pub fn open_or_create(fs: &dyn Fs, path: &Path, events: &Listeners) -> Result<Self> {
        if let Some(folder) = Self::open(fs, path, events)? {
            return Ok(folder);
        }
        create(fs, path, FOLDER_MODE)?;
        Self::open(fs, path, events)?.ok_or_else(|| {
            Error::io("open the folder (its name is there, but leads nowhere)", path, &os_error("ENOENT"))
        })
    }

    fn hold(dir: Arc<dyn Dir>, path: &Path, events: &Listeners) -> Result<Self> {
        let id = dir.stat().map_err(|error| Error::io("look at the folder", path, &error))?.id;
        let client = Arc::new(Client { listeners: events.clone(), path: path.to_owned() });
        let (path, events) = (path.to_owned(), events.clone());
        Ok(Self { dir, path, id, events, client, in_place: Mutex::default() })
    }

    /// The path of a file in it, for messages.
    #[must_use]
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What an operation on a file in it failed with.
    #[must_use]
    pub fn io(&self, doing: &str, name: &str, error: &io::Error) -> Error {
        Error::io(doing, &self.path_of(name), error)
    }

    /// All names in it.
    ///
    /// # Errors
    /// `Io`.
    pub fn names(&self) -> Result<Vec<String>> {
        self.dir.names().map_err(|error| Error::io("list the folder", &self.path, &error))
    }

    /// Makes the names in it durable.
    ///
    /// # Errors
    /// `Io`, `Full`.
    pub fn sync(&self) -> Result<()> {
        sync_dir(self.dir.as_ref()).map_err(|error| Error::io("sync the folder", &self.path, &error))
    }

    /// Makes the folder itself durable: its name, and those of the folders above it. An earlier open may have made
    /// them and failed before it could say so.
    ///
    /// # Errors
    /// `Io`, `Full`.
    pub fn sync_parents(&self) -> Result<()> {
        let failed = |error: &io::Error| Error::io("sync the folders above", &self.path, error);
        let (mut below, mut dir) = (self.id, self.dir.clone());
        loop {
            let above = match dir.open_dir("..".as_ref()) {
                // Where we may not look, somebody else made what is there.
                Err(error) if matches!(errno_name(&error), Some("EACCES" | "EPERM")) => return Ok(()),
                above => above.map_err(|error| failed(&error))?,
            };
            let id = above.stat().map_err(|error| failed(&error))?.id;
            if id == below {
                return Ok(());
            }
            sync_dir(above.as_ref()).map_err(|error| failed(&error))?;
            (below, dir) = (id, above);
        }
    }

    /// Whether a name leads to a file in upper case too: the disk folds case. `None` where there is no such file.
    ///
    /// # Errors
    /// `Io`.
    pub fn folds_case(&self, name: &str) -> Result<Option<bool>> {
        let id = |name: &str| {
            let stat = self.dir.stat_name(name).map_err(|error| self.io("look at", name, &error))?;
            Ok(stat.map(|stat| stat.id))
        };
        let Some(file) = id(name)? else { return Ok(None) };
        Ok(Some(id(&name.to_ascii_uppercase())? == Some(file)))
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove(&self, name: &str) -> Result<()> {
        match self.dir.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.io("remove", name, &error)),
            _ => Ok(()),
        }
    }
}

/// A name that is free in a folder: this one, or with a number behind it.
///
/// # Errors
/// Whatever the operating system says.
pub fn free_name(dir: &dyn Dir, name: &str) -> io::Result<String> {
    let mut free = name.to_owned();
    let mut number = 2;
    while dir.stat_name(&free)?.is_some() {
        free = format!("{name}-{number}");
        number += 1;
    }
    Ok(free)
}

fn not_a_directory(path: &Path) -> Error {
    let shown = path.display();
    Error::new(
        Code::NotADirectory,
        format!("{shown}, or a part of that path, is a file and not a directory: choose another folder"),
    )
    .at(path)
}

fn create(fs: &dyn Fs, path: &Path, mode: u32) -> Result<()> {
    let failed = |error: &io::Error| Error::io("make the folder", path, error);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match fs.create_dir(path, mode) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.parent().is_some() => {
            create(fs, parent, PARENT_MODE)?;
            match fs.create_dir(path, mode) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(&error)),
                _ => {}
            }
        }
        // Somebody was faster, or it is a link that leads nowhere: opening it will tell.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(not_a_directory(parent)),
        Err(error) => return Err(failed(&error)),
    }
    let above = fs.open_dir(parent).map_err(|error| failed(&error))?;
    let owner = above.stat().map_err(|error| failed(&error))?;
    let made = fs.open_dir(path).map_err(|error| failed(&error))?;
    let own = made.stat().map_err(|error| failed(&error))?;
    // What root makes in another user's folder gets that folder's owner (`docker exec` beside a bot).
    if own.uid == 0 && (own.uid, own.gid) != (owner.uid, owner.gid) {
        ignore_forbidden(made.set_owner(owner.uid, owner.gid)).map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// Not being allowed to change an owner or a mode is no failure.
fn ignore_forbidden(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if matches!(errno_name(&error), Some("EPERM" | "ENOTSUP" | "EINVAL")) => Ok(()),
        result => result,
    }
}
