//! The one public error: a stable code, a message that says what to do, and where it happened.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use auth_log::fs::errno_name;

use crate::backend::Thrown;

/// What went wrong, for programs. `Code::name` is what JavaScript sees after `ERR_AUTH_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// An argument or a value that cannot be used.
    InvalidArg,
    /// Stored data is damaged.
    Corrupt,
    /// Somebody else holds the store.
    Locked,
    /// The path, or a part of it, is not a directory.
    NotADirectory,
    /// A folder of the other format, or of both.
    WrongFormat,
    /// Key files and no log, opened as native.
    NotMigrated,
    /// A migration into this folder did not finish.
    Incomplete,
    /// The target of a migration is taken.
    Exists,
    /// Written by a newer version.
    UnsupportedVersion,
    /// The operating system said no.
    Io,
    /// No room on the disk, or in the quota.
    Full,
    /// An earlier write or sync failed, or a bug of ours was met.
    Failed,
    /// The folder was removed or emptied under the open handle.
    Gone,
    /// The stored identity is not this handle's any more.
    Stale,
    /// Somebody else has taken the store over.
    Fenced,
    /// The handle is closed.
    Closed,
    /// The source of a migration was written while it was read.
    Changed,
    /// An account was moved, and its source was used again since.
    Diverged,
    /// The caller gave up.
    Aborted,
    /// A backend did not answer in time.
    Timeout,
}

impl Code {
    /// The name without its prefix, as in `ERR_AUTH_CORRUPT`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Code::InvalidArg => "INVALID_ARG",
            Code::Corrupt => "CORRUPT",
            Code::Locked => "LOCKED",
            Code::NotADirectory => "NOT_A_DIRECTORY",
            Code::WrongFormat => "WRONG_FORMAT",
            Code::NotMigrated => "NOT_MIGRATED",
            Code::Incomplete => "INCOMPLETE",
            Code::Exists => "EXISTS",
            Code::UnsupportedVersion => "UNSUPPORTED_VERSION",
            Code::Io => "IO",
            Code::Full => "FULL",
            Code::Failed => "FAILED",
            Code::Gone => "GONE",
            Code::Stale => "STALE",
            Code::Fenced => "FENCED",
            Code::Closed => "CLOSED",
            Code::Changed => "CHANGED",
            Code::Diverged => "DIVERGED",
            Code::Aborted => "ABORTED",
            Code::Timeout => "TIMEOUT",
        }
    }

    /// The code with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        const ALL: [Code; 20] = [
            Code::InvalidArg,
            Code::Corrupt,
            Code::Locked,
            Code::NotADirectory,
            Code::WrongFormat,
            Code::NotMigrated,
            Code::Incomplete,
            Code::Exists,
            Code::UnsupportedVersion,
            Code::Io,
            Code::Full,
            Code::Failed,
            Code::Gone,
            Code::Stale,
            Code::Fenced,
            Code::Closed,
            Code::Changed,
            Code::Diverged,
            Code::Aborted,
            Code::Timeout,
        ];
        ALL.into_iter().find(|code| code.name() == name)
    }
}

/// Everything that is known of a failure. Fields that do not apply are `None`.
#[derive(Clone, Debug)]
pub struct Details {
    /// The stable code.
    pub code: Code,
    /// For people: what happened and what to do.
    pub message: String,
    /// The file or folder.
    pub path: Option<String>,
    /// The key's type.
    pub key_type: Option<String>,
    /// The key's id.
    pub id: Option<String>,
    /// Where in the file, in bytes.
    pub offset: Option<u64>,
    /// The process that holds the store.
    pub pid: Option<u32>,
    /// The host of that process.
    pub host: Option<String>,
    /// The operating system's code, as `ENOENT`.
    pub errno: Option<String>,
    /// What the operating system, or the layer below, said.
    pub cause: Option<String>,
    /// Text that is not JSON: the boundary lets `JSON.parse` say why, as Baileys would have.
    pub text: Option<String>,
    /// It is not known whether the call took effect.
    pub outcome_unknown: bool,
    /// What a custom backend threw.
    pub thrown: Option<Arc<Thrown>>,
}

/// A failure. Cheap to clone: one failed commit rejects many calls.
#[derive(Clone)]
pub struct Error(Arc<Details>);

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure with a code and a message.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Arc::new(Details {
            code,
            message: message.into(),
            path: None,
            key_type: None,
            id: None,
            offset: None,
            pid: None,
            host: None,
            errno: None,
            cause: None,
            text: None,
            outcome_unknown: false,
            thrown: None,
        }))
    }

    /// What the operating system said about a file; a full disk or quota has a code of its own.
    #[must_use]
    pub fn io(doing: &str, path: &Path, source: &io::Error) -> Self {
        let errno = errno_name(source);
        let full = errno == Some("ENOSPC") || errno == Some("EDQUOT");
        let (code, advice) = if full { (Code::Full, "; make room and try again") } else { (Code::Io, "") };
        let path = path.display();
        Self::new(code, format!("cannot {doing} {path}: {source}{advice}")).with(|details| {
            details.path = Some(path.to_string());
            details.errno = errno.map(str::to_owned);
            details.cause = Some(source.to_string());
        })
    }

    /// What the operating system said to the layer below, which says in its own words what it was doing.
    #[must_use]
    pub fn io_below(what: &str, folder: &Path, source: &io::Error) -> Self {
        let shown = folder.display();
        Self::io("use", folder, source)
            .with(|details| details.message = format!("{what} failed in {shown}: {source}"))
    }

    /// A bug of ours: a panic that was caught, a reply that never came.
    #[must_use]
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(Code::Failed, format!("internal error of baileys-native-auth, please report it: {message}"))
            .with(|details| details.outcome_unknown = true)
    }

    /// The same failure with some details changed.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Details)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// The same failure, about this file or folder; an empty path is none.
    #[must_use]
    pub fn at(self, path: &Path) -> Self {
        if path.as_os_str().is_empty() {
            return self;
        }
        self.with(|details| details.path = Some(path.display().to_string()))
    }

    /// The same failure, about this key.
    #[must_use]
    pub fn of_key(self, key_type: &str, id: &str) -> Self {
        self.with(|details| {
            details.key_type = Some(key_type.to_owned());
            details.id = Some(id.to_owned());
        })
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Whether a store cannot go on after it, whatever call met it.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.code(), Code::Gone | Code::Fenced | Code::Failed)
    }

    /// All that is known.
    #[must_use]
    pub fn details(&self) -> &Details {
        &self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {}
