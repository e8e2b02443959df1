//! The names that Unix, and Node on every system, give to the operating system's errors.

use std::io::{self, ErrorKind};

/// Errors that the standard library tells apart on every system.
const KINDS: [(ErrorKind, &str); 14] = [
    (ErrorKind::AlreadyExists, "EEXIST"),
    (ErrorKind::CrossesDevices, "EXDEV"),
    (ErrorKind::DirectoryNotEmpty, "ENOTEMPTY"),
    (ErrorKind::Interrupted, "EINTR"),
    (ErrorKind::InvalidInput, "EINVAL"),
    (ErrorKind::IsADirectory, "EISDIR"),
    (ErrorKind::NotADirectory, "ENOTDIR"),
    (ErrorKind::NotFound, "ENOENT"),
    (ErrorKind::PermissionDenied, "EACCES"),
    (ErrorKind::QuotaExceeded, "EDQUOT"),
    (ErrorKind::ReadOnlyFilesystem, "EROFS"),
    (ErrorKind::ResourceBusy, "EBUSY"),
    (ErrorKind::StaleNetworkFileHandle, "ESTALE"),
    (ErrorKind::StorageFull, "ENOSPC"),
];

/// The name that Node would give an operating system's error; `None` where it has none.
#[must_use]
pub fn errno_name(error: &io::Error) -> Option<&'static str> {
    if let Some(name) = error.raw_os_error().and_then(system::name) {
        return Some(name);
    }
    KINDS.iter().find(|(kind, _)| *kind == error.kind()).map(|(_, name)| *name)
}

/// The error that the operating system gives by this name, as it puts it.
#[must_use]
pub fn os_error(name: &str) -> io::Error {
    if let Some(raw) = system::number(name) {
        return io::Error::from_raw_os_error(raw);
    }
    let kind = KINDS.iter().find(|(_, other)| *other == name).map(|(kind, _)| *kind);
    kind.map_or_else(|| io::Error::other(name.to_owned()), io::Error::from)
}

#[cfg(unix)]
mod system {
    use rustix::io::Errno;

    const NAMES: [(Errno, &str); 27] = [
        (Errno::ACCESS, "EACCES"),
        (Errno::AGAIN, "EAGAIN"),
        (Errno::BUSY, "EBUSY"),
        (Errno::DQUOT, "EDQUOT"),
        (Errno::EXIST, "EEXIST"),
        (Errno::FBIG, "EFBIG"),
        (Errno::INTR, "EINTR"),
        (Errno::INVAL, "EINVAL"),
        (Errno::IO, "EIO"),
        (Errno::ISDIR, "EISDIR"),
        (Errno::LOOP, "ELOOP"),
        (Errno::MFILE, "EMFILE"),
        (Errno::NAMETOOLONG, "ENAMETOOLONG"),
        (Errno::NFILE, "ENFILE"),
        (Errno::NOENT, "ENOENT"),
        (Errno::NOLCK, "ENOLCK"),
        (Errno::NOMEM, "ENOMEM"),
        (Errno::NOSPC, "ENOSPC"),
        (Errno::NOSYS, "ENOSYS"),
        (Errno::NOTDIR, "ENOTDIR"),
        (Errno::NOTEMPTY, "ENOTEMPTY"),
        (Errno::NOTSUP, "ENOTSUP"),
        (Errno::NXIO, "ENXIO"),
        (Errno::PERM, "EPERM"),
        (Errno::ROFS, "EROFS"),
        (Errno::STALE, "ESTALE"),
        (Errno::XDEV, "EXDEV"),
    ];

    pub fn name(raw: i32) -> Option<&'static str> {
        NAMES.iter().find(|(errno, _)| errno.raw_os_error() == raw).map(|(_, name)| *name)
    }

    pub fn number(name: &str) -> Option<i32> {
        NAMES.iter().find(|(_, other)| *other == name).map(|(errno, _)| errno.raw_os_error())
    }
}

#[cfg(windows)]
mod system {
    /// What the standard library has no kind for, from `winerror.h`.
    const NAMES: [(i32, &str); 4] = [(4, "EMFILE"), (206, "ENAMETOOLONG"), (1117, "EIO"), (1921, "ELOOP")];

    pub fn name(raw: i32) -> Option<&'static str> {
        NAMES.iter().find(|(number, _)| *number == raw).map(|(_, name)| *name)
    }

    pub fn number(name: &str) -> Option<i32> {
        NAMES.iter().find(|(_, other)| *other == name).map(|(number, _)| *number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_made_by_its_name_has_that_name() {
        for name in ["ENOENT", "ELOOP", "EISDIR", "EINVAL", "ENOSPC", "EDQUOT", "EMFILE", "EIO"] {
            assert_eq!(errno_name(&os_error(name)), Some(name));
        }
        assert_eq!(errno_name(&io::Error::from(ErrorKind::NotFound)), Some("ENOENT"));
        assert_eq!(errno_name(&io::Error::other("ours")), None);
    }
}
