//! Files in the held folder: read whole, replaced atomically.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use auth_log::fs::{Dir, File, FileId, Kind, Stat, errno_name, os_error, read_full, sync_dir, write_all};

use super::survey::temporary_name;
use super::{FILE_MODE, Folder, ignore_forbidden};
use crate::error::{Error, Result};
use crate::events::Event;

/// How often a file is written whose temporary was removed by somebody else: a cleaner that never rests finds it in
/// most tries, for it lies there as long as its sync takes.
const ATTEMPTS: usize = 64;

/// How many symbolic links lead on before we give up, as in Linux.
const MAX_LINKS: usize = 40;

/// How far a replaced file must have come when [`Folder::replace`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Handed to the operating system: survives the end of the process, not a power cut.
    Handed,
    /// On disk: data synced before the rename, the folder after it.
    Synced,
}

/// Where a name leads to when its symbolic links are followed.
struct Place {
    dir: Option<Arc<dyn Dir>>,
    name: String,
    stat: Option<Stat>,
}

impl Folder {
    /// Reads a file whole; `None` when there is none. Symbolic links are followed.
    ///
    /// # Errors
    /// `Io`, also when it is no regular file or a link that leads nowhere.
    pub fn read(&self, name: &str) -> Result<Option<(Vec<u8>, Stat)>> {
        let failed = |error: &io::Error| self.io("read", name, error);
        let file = match self.dir.open(name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if errno_name(&error) == Some("ELOOP") => {
                let place = self.follow(name)?;
                if place.stat.is_none() {
                    let error = missing();
                    return Err(self.io("read (it is a symbolic link that leads nowhere)", name, &error));
                }
                place.dir(self).open(&place.name).map_err(|error| failed(&error))?
            }
            Err(error) => return Err(failed(&error)),
        };
        let stat = file.stat().map_err(|error| failed(&error))?;
        if stat.kind != Kind::File {
            return Err(failed(&not_regular(stat.kind)));
        }
        Ok(Some((read_whole(file.as_ref(), stat.size).map_err(|error| failed(&error))?, stat)))
    }

    /// What a name is, its symbolic links followed; `None` when nothing has it.
    ///
    /// # Errors
    /// `Io`, also for a link that leads nowhere.
    pub fn stat(&self, name: &str) -> Result<Option<Stat>> {
        match self.dir.stat_name(name) {
            Ok(Some(stat)) if stat.kind == Kind::Link => match self.follow(name)?.stat {
                None => Err(self.io("follow the symbolic link (it leads nowhere)", name, &missing())),
                stat => Ok(stat),
            },
            Ok(stat) => Ok(stat),
            Err(error) => Err(self.io("look at", name, &error)),
        }
    }

    /// Replaces a file, or makes it: written to a temporary beside it and renamed over it, so that nobody ever
    /// reads half of it. Keeps mode and, where we may, owner. Where a rename is impossible (a file mounted by
    /// itself) it is written in place, with a warning. Says which file it is now, when it is a new one and on disk.
    ///
    /// # Errors
    /// `Io`, `Full`; the temporary is removed and the old content stays.
    pub fn replace(&self, name: &str, bytes: &[u8], reach: Reach) -> Result<Option<FileId>> {
        let failed = |doing: &str, error: &io::Error| self.io(doing, name, error);
        let place = match self.dir.stat_name(name) {
            Ok(Some(stat)) if stat.kind == Kind::Link => self.follow(name)?,
            Ok(stat) => Place { dir: None, name: name.to_owned(), stat },
            Err(error) => return Err(failed("look at", &error)),
        };
        if let Some(stat) = place.stat.filter(|stat| stat.kind != Kind::File) {
            return Err(failed("write", &not_regular(stat.kind)));
        }
        let dir = place.dir(self);
        let mut result = self.replace_once(dir, bytes, &place, reach);
        for _ in 1..ATTEMPTS {
            match &result {
                // Somebody who clears the folder has removed the temporary.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    result = self.replace_once(dir, bytes, &place, reach);
                }
                _ => break,
            }
        }
        if let Err(error) = &result {
            if !matches!(errno_name(error), Some("EBUSY" | "EXDEV")) || place.stat.is_none() {
                return Err(failed("write", error));
            }
            if self.in_place.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned()) {
                let message = "cannot be replaced by a rename (is it mounted by itself?): it is written in place, \
                               where a crash can leave half of it";
                self.events.emit(&Event::warning("inplace", &self.path_of(name), message));
            }
            write_in_place(dir, &place.name, bytes, reach).map_err(|error| failed("write", &error))?;
        }
        if reach == Reach::Synced {
            sync_dir(dir).map_err(|error| failed("sync the folder of", &error))?;
        }
        Ok(result.ok().flatten())
    }

    fn replace_once(
        &self,
        dir: &dyn Dir,
        bytes: &[u8],
        place: &Place,
        reach: Reach,
    ) -> io::Result<Option<FileId>> {
        let temporary = temporary_name(unique());
        let result = self
            .write_temporary(dir, &temporary, bytes, place, reach)
            .and_then(|id| dir.rename(&temporary, &place.name).map(|()| id));
        if result.is_err() {
            // Best effort: what stays is found and removed by a later open.
            let _ = dir.remove(&temporary);
        }
        result
    }

    fn write_temporary(
        &self,
        dir: &dyn Dir,
        temporary: &str,
        bytes: &[u8],
        place: &Place,
        reach: Reach,
    ) -> io::Result<Option<FileId>> {
        let file = dir.create(temporary, place.stat.map_or(FILE_MODE, |old| old.mode & FILE_MODE))?;
        write_all(file.as_ref(), bytes, 0).map_err(|short| short.error)?;
        if let Some(model) = place.stat {
            let own = file.stat()?;
            if (own.uid, own.gid) != (model.uid, model.gid) {
                ignore_forbidden(file.set_owner(model.uid, model.gid))?;
            }
            if own.mode != model.mode {
                ignore_forbidden(file.set_mode(model.mode))?;
            }
        }
        match reach {
            Reach::Handed => Ok(None),
            Reach::Synced => {
                file.sync()?;
                file.stat().map(|stat| Some(stat.id))
            }
        }
    }

    fn follow(&self, name: &str) -> Result<Place> {
        let failed = |error: &io::Error| self.io("follow the symbolic link", name, error);
        let mut place = Place { dir: None, name: name.to_owned(), stat: None };
        for _ in 0..MAX_LINKS {
            let dir = place.dir(self);
            let target = match dir.stat_name(&place.name).map_err(|error| failed(&error))? {
                Some(stat) if stat.kind == Kind::Link => {
                    dir.read_link(&place.name).map_err(|error| failed(&error))?
                }
                stat => return Ok(Place { stat, ..place }),
            };
            let Some(last) = target.file_name().map(|last| last.to_string_lossy().into_owned()) else {
                break;
            };
            let above = target.parent().filter(|above| !above.as_os_str().is_empty());
            let next = match above.map(|above| dir.open_dir(above)).transpose() {
                Ok(next) => next,
                // It leads into a folder that is not there: a volume that is not mounted.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(failed(&missing())),
                Err(error) => return Err(failed(&error)),
            };
            place = Place { dir: next.or(place.dir), name: last, stat: None };
        }
        Err(failed(&os_error("ELOOP")))
    }
}

impl Place {
    fn dir<'a>(&'a self, folder: &'a Folder) -> &'a dyn Dir {
        self.dir.as_ref().unwrap_or(&folder.dir).as_ref()
    }
}

fn write_in_place(dir: &dyn Dir, name: &str, bytes: &[u8], reach: Reach) -> io::Result<()> {
    let file = dir.open_write(name)?;
    write_all(file.as_ref(), bytes, 0).map_err(|short| short.error)?;
    file.set_len(u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
    if reach == Reach::Synced { file.sync() } else { Ok(()) }
}

fn read_whole(file: &dyn File, size: u64) -> io::Result<Vec<u8>> {
    let size = usize::try_from(size).map_err(io::Error::other)?;
    let mut bytes = vec![0; size + 1];
    // Asked for one byte too many: what is as long as it was a moment ago has ended, and takes one call.
    let mut read = file.read_at(&mut bytes, 0)?;
    while read != size {
        let offset = u64::try_from(read).map_err(io::Error::other)?;
        read += read_full(file, bytes.get_mut(read..).unwrap_or_default(), offset)?;
        if read < bytes.len() {
            break;
        }
        bytes.resize(bytes.len() * 2, 0);
    }
    bytes.truncate(read);
    Ok(bytes)
}

fn missing() -> io::Error {
    os_error("ENOENT")
}

fn not_regular(kind: Kind) -> io::Error {
    os_error(if kind == Kind::Dir { "EISDIR" } else { "EINVAL" })
}

/// A number that no other temporary of any process has by now: random once a process, then counted.
fn unique() -> u64 {
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| {
        let random = crate::creds::random().map(u64::from_le_bytes).unwrap_or_else(|_| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            now.as_secs() ^ (u64::from(now.subsec_nanos()) << 32)
        });
        AtomicU64::new(random)
    });
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// An error for a missing thing, as the operating system would put it.
#[must_use]
pub fn not_found(doing: &str, path: &std::path::Path) -> Error {
    Error::io(doing, path, &missing())
}
