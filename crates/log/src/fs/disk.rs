//! The file system of Linux, macOS and other Unix systems.
//!
//! What only Linux has (`syncfs`, `preadv2`) has a plainer way beside it; what only Apple's systems need is
//! [`whole_sync`].

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self as sys, AtFlags, CWD, FileType, FlockOperation, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::{Dir, File, FileId, Fs, Kind, Stat};

#[cfg(target_os = "linux")]
mod now;
#[cfg(not(target_os = "linux"))]
mod now {
    /// Reads that do not wait: none, as far as can be known here.
    #[derive(Default)]
    pub(super) struct Now;

    impl Now {
        pub fn read(&self, _: &std::fs::File, _: &mut [u8], _: u64) -> std::io::Result<Option<usize>> {
            Ok(None)
        }
    }
}

/// The operating system's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFs;

struct DiskDir(OwnedFd);
#[allow(clippy::disallowed_types, reason = "the one file that may name it")]
struct DiskFile {
    file: fs::File,
    now: now::Now,
}

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

// The type of this number differs, too.
#[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions)]
fn permissions(mode: u32) -> Mode {
    Mode::from_bits_truncate(mode.try_into().unwrap_or_default())
}

/// Syncs go through the C library's functions, which a test can put a shim before. On Apple's systems the
/// standard library asks for `F_FULLFSYNC`, without which the bytes may stay in the disk's own cache. Shares and
/// odd file systems that do not know it are asked for the `fsync` that they know.
#[allow(clippy::disallowed_types, reason = "the one file that may name it")]
fn whole_sync(file: &fs::File, sync: impl Fn(&fs::File) -> io::Result<()>) -> io::Result<()> {
    match sync(file) {
        Err(error) if cfg!(target_vendor = "apple") && is_unsupported(&error) => Ok(sys::fsync(file)?),
        result => result,
    }
}

/// What `syncfs` does in one call where there is one.
#[cfg(any(not(target_os = "linux"), test))]
fn sync_each(dir: &dyn Dir) -> io::Result<()> {
    for name in dir.names()? {
        if dir.stat_name(&name)?.is_some_and(|stat| stat.kind == Kind::File) {
            dir.open(&name)?.sync()?;
        }
    }
    dir.sync()
}

impl Fs for DiskFs {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        directory(CWD, path)
    }

    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        Ok(sys::mkdirat(CWD, path, permissions(mode))?)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        Ok(sys::unlinkat(CWD, path, AtFlags::REMOVEDIR)?)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }
}

impl DiskDir {
    #[allow(clippy::disallowed_types, reason = "the one file that may name it")]
    fn file(&self, name: &str, flags: OFlags, mode: u32) -> io::Result<Arc<dyn File>> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = fs::File::from(sys::openat(&self.0, name, flags, permissions(mode))?);
        Ok(Arc::new(DiskFile { file, now: now::Now::default() }))
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
        let file = self.file(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode)?;
        // What root makes in another user's folder is that user's: `docker exec` must not lock a bot out.
        if geteuid().is_root() {
            let folder = Dir::stat(self)?;
            if folder.uid != 0 {
                match file.set_owner(folder.uid, folder.gid) {
                    Err(error) if !is_forbidden(&error) && !is_unsupported(&error) => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(sys::renameat(&self.0, from, &self.0, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(sys::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    #[allow(clippy::disallowed_types, reason = "the one file that may name it")]
    fn sync(&self) -> io::Result<()> {
        whole_sync(&fs::File::from(self.0.try_clone()?), fs::File::sync_all)
    }

    fn sync_all(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        return Ok(sys::syncfs(&self.0)?);
        #[cfg(not(target_os = "linux"))]
        return sync_each(self);
    }

    fn try_lock(&self) -> io::Result<bool> {
        flock(&self.0, FlockOperation::NonBlockingLockExclusive)
    }

    fn unlock(&self) -> io::Result<()> {
        flock(&self.0, FlockOperation::NonBlockingUnlock).map(drop)
    }

    fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        Ok(sys::fchown(&self.0, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
    }
}

fn flock(of: impl AsFd, how: FlockOperation) -> io::Result<bool> {
    match sys::flock(of, how) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl File for DiskFile {
    fn stat(&self) -> io::Result<Stat> {
        Ok(stat(&sys::fstat(&self.file)?))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn read_at_now(&self, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        self.now.read(&self.file, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)
    }

    #[allow(clippy::disallowed_types, reason = "the one file that may name it")]
    fn sync(&self) -> io::Result<()> {
        whole_sync(&self.file, fs::File::sync_data)
    }

    fn try_lock(&self) -> io::Result<bool> {
        flock(&self.file, FlockOperation::NonBlockingLockExclusive)
    }

    fn try_lock_shared(&self) -> io::Result<bool> {
        flock(&self.file, FlockOperation::NonBlockingLockShared)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.file.set_permissions(fs::Permissions::from_mode(mode))
    }

    fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        Ok(sys::fchown(&self.file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimFs;

    #[test]
    fn without_syncfs_each_file_is_synced_and_their_names() {
        let disk = SimFs::new(1);
        disk.create_dir("/folder".as_ref(), 0o700).unwrap();
        disk.create_dir("/folder/below".as_ref(), 0o700).unwrap();
        disk.open_dir("/".as_ref()).unwrap().sync().unwrap();
        let dir = disk.open_dir("/folder".as_ref()).unwrap();
        for name in ["a", "b"] {
            dir.create(name, 0o600).unwrap().write_at(name.as_bytes(), 0).unwrap();
        }
        sync_each(&*dir).unwrap();
        for name in ["a", "b"] {
            assert_eq!(disk.durable(format!("/folder/{name}")), Some(name.into()));
        }
    }
}
