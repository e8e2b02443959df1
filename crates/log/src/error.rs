//! What can go wrong, and what it means for what was being written.

use std::io;

/// Why a call on a log failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bytes that were once on disk are not what was written. Nothing was changed.
    #[error("{name} is damaged at byte {offset}: {detail}")]
    Corrupt {
        /// The file.
        name: String,
        /// Where the damage begins, in bytes from the start of the file.
        offset: u64,
        /// What is wrong there.
        detail: &'static str,
    },

    /// The file was written by a release newer than this one. Nothing was changed.
    #[error("{name} was written by a newer release (format version {version})")]
    UnsupportedVersion {
        /// The file.
        name: String,
        /// The format version in its header.
        version: u32,
    },

    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, with the file's name.
        what: String,
        /// What the operating system said.
        source: io::Error,
        /// Whether a commit was cut off by it, so that it may or may not be there after the next opening.
        outcome_unknown: bool,
    },

    /// No room at a write. What had been written of it was taken back: the log is as it was before the call,
    /// and takes writes again when there is room. (At an opening: it did not open, and can be opened again.)
    #[error("no room on the disk: {source}")]
    Full {
        /// What the operating system said.
        source: io::Error,
    },

    /// An earlier write or sync failed, so nothing more is written until the log is opened again.
    #[error("an earlier write failed; the log must be opened again")]
    Failed,

    /// The changes of one call do not fit in one frame. Nothing was written.
    #[error("{bytes} bytes do not fit in one commit")]
    TooLarge {
        /// The size of the payload that these changes would make.
        bytes: u64,
    },

    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

impl Error {
    /// Whether the changes of the failed call may or may not be there after the next opening. After every
    /// other error they are not there.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Error::Io { outcome_unknown: true, .. })
    }

    /// An operation that failed before anything of a commit was written.
    pub(crate) fn io(doing: &str, name: &str, source: io::Error) -> Error {
        Error::Io { what: format!("{doing} {name}"), source, outcome_unknown: false }
    }

    /// A write that failed before anything of a commit was written.
    pub(crate) fn write(doing: &str, name: &str, source: io::Error) -> Error {
        if is_full(&source) { Error::Full { source } } else { Error::io(doing, name, source) }
    }

    /// The same error where no commit was under way.
    pub(crate) fn without_commit(mut self) -> Error {
        if let Error::Io { outcome_unknown, .. } = &mut self {
            *outcome_unknown = false;
        }
        self
    }

    /// An operation that failed in the middle of a commit.
    pub(crate) fn cut_off(doing: &str, name: &str, source: io::Error) -> Error {
        Error::Io { what: format!("{doing} {name}"), source, outcome_unknown: true }
    }

    /// A commit in the middle of which the log latched, by another's failure.
    pub(crate) fn given_up(name: &str) -> Error {
        Error::cut_off("taking back a write of", name, io::Error::other("an earlier write failed"))
    }

    pub(crate) fn corrupt(name: &str, offset: u64, detail: &'static str) -> Error {
        Error::Corrupt { name: name.to_owned(), offset, detail }
    }
}

/// No space, or none left of a quota.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::os_error;

    #[test]
    fn no_space_and_no_quota_are_full_and_nothing_else_is() {
        for name in ["ENOSPC", "EDQUOT"] {
            assert!(matches!(Error::write("writing", "x", os_error(name)), Error::Full { .. }));
        }
        for name in ["EIO", "EFBIG", "EROFS"] {
            assert!(matches!(
                Error::write("writing", "x", os_error(name)),
                Error::Io { outcome_unknown: false, .. }
            ));
        }
    }
}
