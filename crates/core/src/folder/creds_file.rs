//! `creds.json`: judged, and watched for other programs' hands.

use auth_log::fs::{FileId, Stat};

use super::Folder;
use super::file::not_found;
use super::survey::Survey;
use crate::creds::{Creds, Summary};
use crate::error::{Code, Error, Result};

/// The file of the credentials, in both formats.
pub const CREDS: &str = "creds.json";

/// What tells that a file has not been written since: inode, size and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(FileId, u64, i128, i128);

impl From<Stat> for Stamp {
    fn from(stat: Stat) -> Self {
        Self(stat.id, stat.size, stat.modified_ns, stat.changed_ns)
    }
}

/// Reads and judges `creds.json`; `None` only when nothing at all is stored.
///
/// # Errors
/// `Corrupt` when it cannot be used, or when it is missing and a companion of it is there; `Io`.
pub fn read_creds(folder: &Folder) -> Result<Option<(Creds, Stamp)>> {
    let Some((text, stat)) = folder.read(CREDS)? else {
        // A link that leads nowhere reads as missing to nobody: `read` has refused it.
        let survey = Survey::of(folder)?;
        if survey.creds {
            // It came just now.
            return read_creds(folder);
        }
        return match survey.creds_companions.first() {
            None => Ok(None),
            Some(found) => Err(Error::new(
                Code::Corrupt,
                format!(
                    "creds.json is missing in {}, but {found} is there: rename it to creds.json if it is the account \
                     that you want, or remove it to begin a new one",
                    folder.path.display()
                ),
            )
            .at(&folder.path_of(CREDS))),
        };
    };
    match Creds::judge(text.clone()) {
        Ok(creds) => Ok(Some((creds, stat.into()))),
        Err(fault) => Err(Error::new(
            Code::Corrupt,
            format!(
                "{} {fault}; nothing was changed: put a good copy in its place, or remove the file to begin a new \
                 identity (the phone must be linked again)",
                folder.path_of(CREDS).display()
            ),
        )
        .at(&folder.path_of(CREDS))
        .with(|details| details.text = Some(String::from_utf8_lossy(&text).into_owned()))),
    }
}

/// One look at the folder: does it still hold the account, and whose is it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It does; `None` while nothing is stored.
    Here(Option<Summary>),
    /// Removed or emptied, as it seems: worth a second look a moment later.
    Gone,
    /// `creds.json` is torn, as it seems: worth a second look a moment later.
    Torn,
}

/// Remembers what was last seen of `creds.json`, so that a look is one `fstatat` while nobody wrote it.
#[derive(Debug, Default)]
pub struct Watch {
    stamp: Option<Stamp>,
    stored: Option<Summary>,
}

impl Watch {
    /// Takes note of what was just read or written.
    pub fn note(&mut self, stored: Summary, stamp: Option<Stamp>) {
        self.stored = Some(stored);
        self.stamp = stamp;
    }

    /// Looks.
    ///
    /// # Errors
    /// `Io`.
    pub fn look(&mut self, folder: &Folder) -> Result<Look> {
        let held =
            folder.dir.stat().map_err(|error| Error::io("look at the folder", &folder.path, &error))?;
        if held.links == 0 {
            return Ok(Look::Gone);
        }
        let Some(stat) = folder.stat(CREDS)? else {
            // Missing is evidence only when it was there, and nothing is left of it.
            return if self.stored.is_none() || self.has_companions(folder)? {
                Ok(Look::Here(self.stored))
            } else {
                Ok(Look::Gone)
            };
        };
        let stamp = Stamp::from(stat);
        if self.stamp == Some(stamp) {
            return Ok(Look::Here(self.stored));
        }
        match read_creds(folder) {
            Ok(Some((creds, stamp))) => {
                self.note(creds.summary, Some(stamp));
                Ok(Look::Here(self.stored))
            }
            Ok(None) if self.stored.is_some() => Ok(Look::Gone),
            Ok(None) => Ok(Look::Here(None)),
            Err(error) if error.code() == Code::Corrupt => Ok(Look::Torn),
            Err(error) => Err(error),
        }
    }

    fn has_companions(&self, folder: &Folder) -> Result<bool> {
        Ok(folder.stat("creds.json.tmp")?.is_some() || folder.stat("creds.json.bak")?.is_some())
    }
}

/// The error of an open, where an account is needed and none is stored.
#[must_use]
pub fn no_account(folder: &std::path::Path) -> Error {
    let shown = folder.display();
    not_found("find an account in", folder).with(|details| {
        details.message = format!(
            "no account is stored in {shown} (there is no creds.json): check the path; nothing was made"
        );
    })
}
