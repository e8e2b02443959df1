//! The seam to the disk, and the only file that names `std::fs`.
//!
//! Everything is relative to a directory that is held open, so that a handle of a folder that was removed
//! can never write into one that was made in its place. [`DiskFs`] is the operating system's file system;
//! `sim::SimFs` is the one that tests crash.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a name or an open file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link (only when a name is looked at, never an open file).
    Link,
    /// A FIFO, a socket, a device.
    Other,
}

/// Device and inode of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// The device number.
    pub dev: u64,
    /// The inode number.
    pub ino: u64,
}

/// What `stat` says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Device and inode.
    pub id: FileId,
    /// What it is.
    pub kind: Kind,
    /// How many names it has; 0 when it was removed while open.
    pub links: u64,
    /// Size in bytes.
    pub size: u64,
    /// Last change of its content, nanoseconds since 1970.
    pub modified_ns: i128,
    /// Last change of its content or attributes, nanoseconds since 1970.
    pub changed_ns: i128,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A file system: where directories are opened by path.
pub trait Fs: Send + Sync {
    /// Opens a directory; symbolic links are followed.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, and whatever the operating system says.
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>>;

    /// Makes one directory with these permission bits. Not durable until its parent is synced.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound` (the parent is missing), and whatever the operating system says.
    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()>;

    /// The absolute path with no symbolic link in it.
    ///
    /// # Errors
    /// `NotFound`, and whatever the operating system says.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;
}

/// A directory, held open. Names have no slash in them.
pub trait Dir: Send + Sync {
    /// `fstat` of the directory itself: no links when it was removed.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn stat(&self) -> io::Result<Stat>;

    /// All names in it, in no order, without `.` and `..`. A name that is not UTF-8 comes with U+FFFD in it.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn names(&self) -> io::Result<Vec<String>>;

    /// `stat` of a name, not following a symbolic link; `None` when there is no such name.
    ///
    /// # Errors
    /// Whatever the operating system says, other than that the name is missing.
    fn stat_name(&self, name: &str) -> io::Result<Option<Stat>>;

    /// Where a symbolic link leads, as it is written in it.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn read_link(&self, name: &str) -> io::Result<PathBuf>;

    /// Opens a directory by a path relative to this one (or an absolute one).
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>>;

    /// Opens a file to read, without waiting for a FIFO's other end; a symbolic link is an error.
    ///
    /// # Errors
    /// `NotFound`, and whatever the operating system says.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Opens a file to read and write; it must exist; a symbolic link is an error.
    ///
    /// # Errors
    /// `NotFound`, and whatever the operating system says.
    fn open_write(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Makes a new, empty file with these permission bits and opens it to read and write. The name is not
    /// durable until this directory is synced.
    ///
    /// # Errors
    /// `AlreadyExists`, and whatever the operating system says.
    fn create(&self, name: &str, mode: u32) -> io::Result<Arc<dyn File>>;

    /// Renames within this directory, over what is there. Atomic; not durable until this directory is synced.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name that is not a directory. Not durable until this directory is synced.
    ///
    /// # Errors
    /// `NotFound`, and whatever the operating system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all names in this directory durable.
    ///
    /// # Errors
    /// Whatever the operating system says; a file system that cannot sync a directory answers `EINVAL` or
    /// `ENOTSUP`, one who may not `EACCES` or `EPERM`.
    fn sync(&self) -> io::Result<()>;

    /// Makes everything durable that was written to the file system of this directory, names and data
    /// (`syncfs`).
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn sync_all(&self) -> io::Result<()>;

    /// Gives this directory an owner and a group.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()>;
}

/// An open file.
pub trait File: Send + Sync {
    /// `fstat`.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn stat(&self) -> io::Result<Stat>;

    /// Reads at an offset; fewer bytes than asked for are no error, 0 is the end.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at an offset; fewer bytes than given are no error. Not durable until synced.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Cuts the file, or grows it with zeros.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn set_len(&self, size: u64) -> io::Result<()>;

    /// Makes content and size durable (`fdatasync`). The name is the directory's.
    ///
    /// # Errors
    /// Whatever the operating system says. After an error the content on disk is not known, and a later
    /// success does not change that.
    fn sync(&self) -> io::Result<()>;

    /// Takes an exclusive lock of the whole file that ends with this open file (`flock`), without waiting:
    /// `false` when somebody else has it, in this process or another.
    ///
    /// # Errors
    /// Whatever the operating system says, above all that the file system has no locks.
    fn try_lock(&self) -> io::Result<bool>;

    /// Sets the permission bits.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn set_mode(&self, mode: u32) -> io::Result<()>;

    /// Sets owner and group.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()>;
}

/// A write that did not go through: how much of it did, and why no more.
#[derive(Debug)]
pub struct ShortWrite {
    /// Bytes written before the error.
    pub written: usize,
    /// The error.
    pub error: io::Error,
}

/// Writes all bytes at an offset.
///
/// # Errors
/// The first error of [`File::write_at`], with what was written before it.
pub fn write_all(file: &dyn File, bytes: &[u8], offset: u64) -> Result<(), ShortWrite> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        let at = offset.saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        match file.write_at(rest, at) {
            Ok(0) => return Err(ShortWrite { written, error: io::ErrorKind::WriteZero.into() }),
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ShortWrite { written, error }),
        }
    }
    Ok(())
}

/// Reads a file from an offset until the buffer is full or the file ends; says how much was read.
///
/// # Errors
/// The first error of [`File::read_at`].
pub fn read_full(file: &dyn File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
        let at = offset.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        match file.read_at(rest, at) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Syncs a directory where that is possible: a file system that cannot, or somebody who may not, is no error.
///
/// # Errors
/// Every other error of [`Dir::sync`].
pub fn sync_dir(dir: &dyn Dir) -> io::Result<()> {
    match dir.sync() {
        Err(error) if is_unsupported(&error) || is_forbidden(&error) => Ok(()),
        result => result,
    }
}

pub use disk::DiskFs;
use disk::{is_forbidden, is_unsupported};

#[cfg(unix)]
mod disk {
    use std::fs;
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::fs::{FileExt, PermissionsExt};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use rustix::fs::{self as sys, AtFlags, CWD, FileType, FlockOperation, Gid, Mode, OFlags, Uid};
    use rustix::io::Errno;

    use super::{Dir, File, FileId, Fs, Kind, Stat};

    /// The operating system's file system.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct DiskFs;

    struct DiskDir(OwnedFd);
    #[allow(clippy::disallowed_types, reason = "the one file that may name it")]
    struct DiskFile(fs::File);

    pub(super) fn is_unsupported(error: &io::Error) -> bool {
        [Errno::INVAL, Errno::NOTSUP].iter().any(|e| error.raw_os_error() == Some(e.raw_os_error()))
    }

    pub(super) fn is_forbidden(error: &io::Error) -> bool {
        [Errno::ACCESS, Errno::PERM].iter().any(|e| error.raw_os_error() == Some(e.raw_os_error()))
    }

    fn directory(at: impl AsFd, path: &Path) -> io::Result<Arc<dyn Dir>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Arc::new(DiskDir(sys::openat(at, path, flags, Mode::empty())?)))
    }

    // The types of these fields differ from platform to platform.
    #[allow(clippy::unnecessary_cast, clippy::as_conversions, clippy::useless_conversion)]
    fn stat(raw: &sys::Stat) -> Stat {
        let nanoseconds = |s: i128, ns: i128| s * 1_000_000_000 + ns;
        Stat {
            id: FileId { dev: raw.st_dev as u64, ino: raw.st_ino as u64 },
            kind: match FileType::from_raw_mode(raw.st_mode) {
                FileType::RegularFile => Kind::File,
                FileType::Directory => Kind::Dir,
                FileType::Symlink => Kind::Link,
                _ => Kind::Other,
            },
            links: raw.st_nlink as u64,
            size: u64::try_from(raw.st_size).unwrap_or(0),
            modified_ns: nanoseconds(raw.st_mtime.into(), raw.st_mtime_nsec as i128),
            changed_ns: nanoseconds(raw.st_ctime.into(), raw.st_ctime_nsec as i128),
            mode: Mode::from_raw_mode(raw.st_mode).bits() as u32,
            uid: raw.st_uid,
            gid: raw.st_gid,
        }
    }

    fn permissions(mode: u32) -> Mode {
        Mode::from_bits_truncate(mode)
    }

    impl Fs for DiskFs {
        fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
            directory(CWD, path)
        }

        fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
            Ok(sys::mkdirat(CWD, path, permissions(mode))?)
        }

        fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
            fs::canonicalize(path)
        }
    }

    impl DiskDir {
        #[allow(clippy::disallowed_types, reason = "the one file that may name it")]
        fn file(&self, name: &str, flags: OFlags, mode: u32) -> io::Result<Arc<dyn File>> {
            let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            Ok(Arc::new(DiskFile(fs::File::from(sys::openat(&self.0, name, flags, permissions(mode))?))))
        }
    }

    impl Dir for DiskDir {
        fn stat(&self) -> io::Result<Stat> {
            Ok(stat(&sys::fstat(&self.0)?))
        }

        fn names(&self) -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in sys::Dir::read_from(&self.0)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if name != "." && name != ".." {
                    names.push(name);
                }
            }
            Ok(names)
        }

        fn stat_name(&self, name: &str) -> io::Result<Option<Stat>> {
            match sys::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(raw) => Ok(Some(stat(&raw))),
                Err(Errno::NOENT) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }

        fn read_link(&self, name: &str) -> io::Result<PathBuf> {
            let target = sys::readlinkat(&self.0, name, Vec::new())?;
            Ok(PathBuf::from(target.to_string_lossy().into_owned()))
        }

        fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
            directory(&self.0, path)
        }

        fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
            self.file(name, OFlags::RDONLY, 0)
        }

        fn open_write(&self, name: &str) -> io::Result<Arc<dyn File>> {
            self.file(name, OFlags::RDWR, 0)
        }

        fn create(&self, name: &str, mode: u32) -> io::Result<Arc<dyn File>> {
            self.file(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode)
        }

        fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            Ok(sys::renameat(&self.0, from, &self.0, to)?)
        }

        fn remove(&self, name: &str) -> io::Result<()> {
            Ok(sys::unlinkat(&self.0, name, AtFlags::empty())?)
        }

        // Syncs go through the C library's functions, which a test can put a shim before.
        #[allow(clippy::disallowed_types, reason = "the one file that may name it")]
        fn sync(&self) -> io::Result<()> {
            fs::File::from(self.0.try_clone()?).sync_all()
        }

        fn sync_all(&self) -> io::Result<()> {
            #[cfg(target_os = "linux")]
            return Ok(sys::syncfs(&self.0)?);
            #[cfg(not(target_os = "linux"))]
            return Err(io::ErrorKind::Unsupported.into());
        }

        fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
            Ok(sys::fchown(&self.0, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
        }
    }

    impl File for DiskFile {
        fn stat(&self) -> io::Result<Stat> {
            Ok(stat(&sys::fstat(&self.0)?))
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            self.0.read_at(buffer, offset)
        }

        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
            self.0.write_at(bytes, offset)
        }

        fn set_len(&self, size: u64) -> io::Result<()> {
            self.0.set_len(size)
        }

        fn sync(&self) -> io::Result<()> {
            self.0.sync_data()
        }

        fn try_lock(&self) -> io::Result<bool> {
            match sys::flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => Ok(true),
                Err(Errno::WOULDBLOCK) => Ok(false),
                Err(error) => Err(error.into()),
            }
        }

        fn set_mode(&self, mode: u32) -> io::Result<()> {
            self.0.set_permissions(fs::Permissions::from_mode(mode))
        }

        fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
            Ok(sys::fchown(&self.0, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
        }
    }
}

#[cfg(not(unix))]
mod disk {
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use super::{Dir, Fs};

    /// The operating system's file system: not built for this platform yet, and says so at the first call.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct DiskFs;

    fn unsupported<T>() -> io::Result<T> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this version supports Linux only"))
    }

    pub(super) fn is_unsupported(_: &io::Error) -> bool {
        false
    }

    pub(super) fn is_forbidden(_: &io::Error) -> bool {
        false
    }

    impl Fs for DiskFs {
        fn open_dir(&self, _: &Path) -> io::Result<Arc<dyn Dir>> {
            unsupported()
        }

        fn create_dir(&self, _: &Path, _: u32) -> io::Result<()> {
            unsupported()
        }

        fn canonical(&self, _: &Path) -> io::Result<PathBuf> {
            unsupported()
        }
    }
}
