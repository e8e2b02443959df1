//! `creds.json`: judged, and watched for other programs' hands.

use auth_log::fs::{FileId, Stat};

use super::Folder;
use super::companions::Stored;
use super::file::not_found;
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

/// Credentials as they are stored.
pub struct StoredCreds {
    /// What they are.
    pub creds: Creds,
    /// Of `creds.json`; `None` when a companion stands in for it.
    pub stamp: Option<Stamp>,
    /// What is wrong with `creds.json`, and what stands in for it.
    pub healed: Option<String>,
}

/// Reads and judges `creds.json`, or what stands in for it; `None` only when nothing at all is stored.
///
/// # Errors
/// `Corrupt` when it cannot be used, and nothing stands in for it; `Io`.
pub fn read_creds(folder: &Folder) -> Result<Option<StoredCreds>> {
    let (name, fault, text) = match folder.read_stored_creds()? {
        Stored::Missing => return Ok(None),
        Stored::Whole(creds, stamp) => {
            return Ok(Some(StoredCreds { creds, stamp: Some(stamp), healed: None }));
        }
        Stored::Healed { value: creds, message, .. } => {
            return Ok(Some(StoredCreds { creds, stamp: None, healed: Some(message) }));
        }
        Stored::Torn { name, fault, text, .. } => (name, fault, text),
    };
    let path = folder.path_of(&name);
    let missing = if name == CREDS { "" } else { "creds.json is missing, and " };
    Err(Error::new(
        Code::Corrupt,
        format!(
            "{missing}{} {fault}; nothing was changed: put a good copy in the place of creds.json, or remove it (and any \
             creds.json.tmp and creds.json.bak) to begin a new identity (the phone must be linked again)",
            path.display()
        ),
    )
    .at(&path)
    .with(|details| details.text = Some(String::from_utf8_lossy(&text).into_owned())))
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
    /// It was torn like this, and still so at a second look.
    torn: Option<Stamp>,
}

impl Watch {
    /// Takes note of what was just read or written.
    pub fn note(&mut self, stored: Summary, stamp: Option<Stamp>) {
        (self.stored, self.stamp, self.torn) = (Some(stored), stamp, None);
    }

    /// Looks; `again` when the last look, a moment ago, found it torn. A file that is still torn at the second look is no evidence of whose the folder is, until it is written.
    ///
    /// # Errors
    /// `Io`.
    pub fn look(&mut self, folder: &Folder, again: bool) -> Result<Look> {
        let held =
            folder.dir.stat().map_err(|error| Error::io("look at the folder", &folder.path, &error))?;
        if held.links == 0 {
            return Ok(Look::Gone);
        }
        let Some(stat) = folder.stat(CREDS)? else { return self.look_without(folder) };
        let stamp = Stamp::from(stat);
        if self.stamp == Some(stamp) {
            return Ok(Look::Here(self.stored));
        }
        if self.torn == Some(stamp) {
            return Ok(Look::Here(None));
        }
        let Some((text, stat)) = folder.read(CREDS)? else { return self.look_without(folder) };
        match Creds::judge(text) {
            Ok(creds) => {
                self.note(creds.summary, Some(stat.into()));
                Ok(Look::Here(self.stored))
            }
            Err(_) if again => {
                self.torn = Some(stat.into());
                Ok(Look::Here(None))
            }
            Err(_) => Ok(Look::Torn),
        }
    }

    /// Missing is evidence only when it was there, and nothing is left of it.
    fn look_without(&self, folder: &Folder) -> Result<Look> {
        let left = self.stored.is_none() || folder.has_companions(CREDS)?;
        Ok(if left { Look::Here(self.stored) } else { Look::Gone })
    }
}

/// The error of an open, where an account is needed and none is stored.
#[must_use]
pub fn no_account(folder: &std::path::Path) -> Error {
    let shown = folder.display();
    not_found("find an account in", folder).with(|details| {
        details.message = format!(
            "no account is stored in {shown} (there is no creds.json): check the path; nothing was changed"
        );
    })
}
