//! The file system of Windows, which has no directories that are held open and asked for names.
//!
//! So every name goes by the full path, after a look that it still leads to the folder that was opened. Files are
//! opened so that they can be renamed and removed meanwhile, a folder is never synced (NTFS logs its changes of
//! names itself), and there are no modes and owners.

use std::fs;
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use file_guard::{FileGuard, Lock};
use winapi_util::file::{Information, information};

use super::{Dir, File, FileId, Fs, Kind, Stat};

/// `FILE_FLAG_BACKUP_SEMANTICS`: folders can be opened too.
const FOLDERS_TOO: u32 = 0x0200_0000;
/// `FILE_FLAG_OPEN_REPARSE_POINT`: a link is opened, not what it leads to.
const LINKS_THEMSELVES: u32 = 0x0020_0000;
const ATTRIBUTE_FOLDER: u64 = 0x10;
const ATTRIBUTE_REPARSE_POINT: u64 = 0x400;
/// `ERROR_CANT_RESOLVE_FILENAME`.
const CANNOT_FOLLOW: i32 = 1921;
/// Between 1601, when Windows' clock begins, and 1970, in its ticks of 100 ns.
const TICKS_BEFORE_1970: i128 = 116_444_736_000_000_000;

/// A byte that no text of a lock file reaches: who has it has the lock, and others can still read the text.
const LOCK_BYTE: usize = 1 << 30;

/// The operating system's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFs;

#[allow(clippy::disallowed_types, reason = "one of the files that may name it")]
struct DiskDir {
    path: PathBuf,
    /// Open for as long as this lives, so that nothing else gets its number.
    held: fs::File,
    id: FileId,
}

#[allow(clippy::disallowed_types, reason = "one of the files that may name it")]
struct DiskFile {
    file: Arc<fs::File>,
    lock: Mutex<Option<FileGuard<Arc<fs::File>>>>,
}

pub(super) fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
}

pub(super) fn is_forbidden(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

fn stat(found: &Information) -> Stat {
    let attributes = found.file_attributes();
    let written = i128::from(found.last_write_time().unwrap_or_default());
    let modified_ns = (written - TICKS_BEFORE_1970) * 100;
    Stat {
        id: FileId { dev: found.volume_serial_number(), ino: found.file_index() },
        kind: if attributes & ATTRIBUTE_REPARSE_POINT != 0 {
            Kind::Link
        } else if attributes & ATTRIBUTE_FOLDER != 0 {
            Kind::Dir
        } else {
            Kind::File
        },
        links: found.number_of_links(),
        size: found.file_size(),
        modified_ns,
        changed_ns: modified_ns,
        mode: 0o600,
        uid: 0,
        gid: 0,
    }
}

/// Opens whatever is there to be looked at.
#[allow(clippy::disallowed_types, reason = "one of the files that may name it")]
fn open_to_look(path: &Path, flags: u32) -> io::Result<fs::File> {
    fs::OpenOptions::new().access_mode(0).custom_flags(FOLDERS_TOO | flags).open(path)
}

fn look(path: &Path, flags: u32) -> io::Result<Stat> {
    Ok(stat(&information(&open_to_look(path, flags)?)?))
}

/// Renaming and removing others' open files is allowed: that is the standard library's share mode.
#[allow(clippy::disallowed_types, reason = "one of the files that may name it")]
fn file(path: &Path, options: &mut fs::OpenOptions) -> io::Result<Arc<dyn File>> {
    let file = options.read(true).custom_flags(LINKS_THEMSELVES | FOLDERS_TOO).open(path)?;
    if stat(&information(&file)?).kind == Kind::Link {
        return Err(io::Error::from_raw_os_error(CANNOT_FOLLOW));
    }
    Ok(Arc::new(DiskFile { file: Arc::new(file), lock: Mutex::default() }))
}

impl Fs for DiskFs {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        let held = open_to_look(path, 0)?;
        let found = stat(&information(&held)?);
        if found.kind != Kind::Dir {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        // Absolute, so that a later change of the working directory is nothing to it.
        Ok(Arc::new(DiskDir { path: std::path::absolute(path)?, held, id: found.id }))
    }

    fn create_dir(&self, path: &Path, _: u32) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }
}

impl DiskDir {
    /// Whether the path still leads to the folder that was opened.
    fn is_in_place(&self) -> io::Result<bool> {
        match look(&self.path, 0) {
            Ok(found) => Ok(found.id == self.id),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The path of a name, in the folder that was opened and in no other.
    fn at(&self, name: &str) -> io::Result<PathBuf> {
        if self.is_in_place()? { Ok(self.path.join(name)) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

impl Dir for DiskDir {
    fn stat(&self) -> io::Result<Stat> {
        let found = stat(&information(&self.held)?);
        // A folder that was removed while it is open has a link on some of these systems.
        Ok(if self.is_in_place()? { found } else { Stat { links: 0, ..found } })
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(self.at("")?)?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn stat_name(&self, name: &str) -> io::Result<Option<Stat>> {
        match look(&self.at(name)?, LINKS_THEMSELVES) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read_link(&self, name: &str) -> io::Result<PathBuf> {
        fs::read_link(self.at(name)?)
    }

    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        DiskFs.open_dir(&self.at("")?.join(path))
    }

    #[allow(clippy::disallowed_types, reason = "one of the files that may name it")]
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        file(&self.at(name)?, &mut fs::OpenOptions::new())
    }

    #[allow(clippy::disallowed_types, reason = "one of the files that may name it")]
    fn open_write(&self, name: &str) -> io::Result<Arc<dyn File>> {
        file(&self.at(name)?, fs::OpenOptions::new().write(true))
    }

    #[allow(clippy::disallowed_types, reason = "one of the files that may name it")]
    fn create(&self, name: &str, _: u32) -> io::Result<Arc<dyn File>> {
        file(&self.at(name)?, fs::OpenOptions::new().write(true).create_new(true))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from)?, self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.at(name)?)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        for name in self.names()? {
            if self.stat_name(&name)?.is_some_and(|stat| stat.kind == Kind::File) {
                // Only who may write may ask for it.
                self.open_write(&name)?.sync()?;
            }
        }
        Ok(())
    }

    fn set_owner(&self, _: u32, _: u32) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile {
    fn lock(&self, how: Lock) -> io::Result<bool> {
        match file_guard::try_lock(Arc::clone(&self.file), how, LOCK_BYTE, 1) {
            Ok(guard) => {
                *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl File for DiskFile {
    fn stat(&self) -> io::Result<Stat> {
        Ok(stat(&information(&*self.file)?))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.seek_read(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.seek_write(bytes, offset)
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.lock(Lock::Exclusive)
    }

    fn try_lock_shared(&self) -> io::Result<bool> {
        self.lock(Lock::Shared)
    }

    fn set_mode(&self, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn set_owner(&self, _: u32, _: u32) -> io::Result<()> {
        Ok(())
    }
}
