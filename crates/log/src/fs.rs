//! The seam to the disk, and with `fs/disk.rs` the only place that names `std::fs`.
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

    /// Removes an empty directory. Not durable until its parent is synced.
    ///
    /// # Errors
    /// `NotFound`, `DirectoryNotEmpty`, and whatever the operating system says.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
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

    /// Makes a new, empty file with these permission bits and opens it to read and write. What root makes in
    /// another user's directory gets that directory's owner and group. The name is not durable until this
    /// directory is synced.
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

    /// Makes everything durable that was written in this directory, names and data: all of its file system
    /// (`syncfs`) where that can be asked for, else each file.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn sync_all(&self) -> io::Result<()>;

    /// Takes an exclusive lock of the directory itself that ends with this open one (`flock`), without waiting:
    /// `false` when somebody else has it, in this process or another.
    ///
    /// # Errors
    /// Whatever the operating system says, above all that directories have no locks here.
    fn try_lock(&self) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Lets go of that lock.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn unlock(&self) -> io::Result<()> {
        Ok(())
    }

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

    /// The same where it need not wait for the disk: `None` when it would have to, when it gets fewer bytes
    /// than asked for, and where that cannot be known.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn read_at_now(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<Option<usize>> {
        Ok(None)
    }

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

    /// The same for a lock that others may have at the same time, but not beside an exclusive one.
    ///
    /// # Errors
    /// As [`try_lock`](File::try_lock).
    fn try_lock_shared(&self) -> io::Result<bool> {
        self.try_lock()
    }

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
    forgiven(dir.sync())
}

fn forgiven(synced: io::Result<()>) -> io::Result<()> {
    match synced {
        Err(error) if is_unsupported(&error) || is_forbidden(&error) => Ok(()),
        result => result,
    }
}

#[cfg(unix)]
mod disk;
#[cfg(windows)]
#[path = "fs/windows.rs"]
mod disk;

mod errno;

pub use disk::DiskFs;
use disk::{is_forbidden, is_unsupported};
pub use errno::{errno_name, os_error};

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::sync::Mutex;

    use rustix::io::Errno;

    use super::*;

    /// A file whose calls end as a list says: so many bytes, or an error.
    struct Scripted(Mutex<Vec<io::Result<usize>>>);

    impl Scripted {
        fn new(results: Vec<io::Result<usize>>) -> Scripted {
            Scripted(Mutex::new(results.into_iter().rev().collect()))
        }

        fn next(&self) -> io::Result<usize> {
            self.0.lock().unwrap().pop().expect("no more calls were expected")
        }
    }

    impl File for Scripted {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let count = self.next()?;
            for (at, byte) in buffer.iter_mut().take(count).enumerate() {
                *byte = u8::try_from(offset).unwrap() + u8::try_from(at).unwrap();
            }
            Ok(count)
        }
        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
            assert_eq!(u64::from(bytes[0]), offset, "each byte where it belongs");
            self.next()
        }
        fn stat(&self) -> io::Result<Stat> {
            unimplemented!()
        }
        fn set_len(&self, _: u64) -> io::Result<()> {
            unimplemented!()
        }
        fn sync(&self) -> io::Result<()> {
            unimplemented!()
        }
        fn try_lock(&self) -> io::Result<bool> {
            unimplemented!()
        }
        fn set_mode(&self, _: u32) -> io::Result<()> {
            unimplemented!()
        }
        fn set_owner(&self, _: u32, _: u32) -> io::Result<()> {
            unimplemented!()
        }
    }

    fn error(errno: Errno) -> io::Result<usize> {
        Err(errno.into())
    }

    #[test]
    fn short_and_interrupted_calls_go_on_where_they_stopped() {
        let bytes = [7, 8, 9, 10, 11];
        let file = Scripted::new(vec![Ok(2), error(Errno::INTR), Ok(3)]);
        write_all(&file, &bytes, 7).unwrap();
        write_all(&file, &[], 7).unwrap();
        let file = Scripted::new(vec![error(Errno::INTR), Ok(2), Ok(3)]);
        let mut read = [0; 5];
        assert_eq!((read_full(&file, &mut read, 7).unwrap(), read), (5, bytes));
        let file = Scripted::new(vec![Ok(2), Ok(0)]);
        assert_eq!(read_full(&file, &mut read, 7).unwrap(), 2, "the end");
        assert_eq!(read_full(&file, &mut [], 7).unwrap(), 0);
    }

    #[test]
    fn another_error_ends_it_and_says_how_much_was_written() {
        let bytes = [7, 8, 9, 10, 11];
        for (last, kind) in
            [(error(Errno::IO), io::Error::from(Errno::IO).kind()), (Ok(0), io::ErrorKind::WriteZero)]
        {
            let file = Scripted::new(vec![Ok(2), Ok(1), last]);
            let short = write_all(&file, &bytes, 7).unwrap_err();
            assert_eq!((short.written, short.error.kind()), (3, kind));
        }
        let file = Scripted::new(vec![Ok(2), error(Errno::IO)]);
        assert!(read_full(&file, &mut [0; 5], 7).is_err());
    }

    #[test]
    fn a_folder_that_cannot_be_synced_is_no_error_and_one_whose_sync_fails_is() {
        for errno in [Errno::INVAL, Errno::NOTSUP, Errno::ACCESS, Errno::PERM] {
            forgiven(Err(errno.into())).unwrap();
        }
        forgiven(Ok(())).unwrap();
        for errno in [Errno::IO, Errno::NOSPC, Errno::ROFS] {
            assert!(forgiven(Err(errno.into())).is_err());
        }
    }
}
