//! Where a native store came from: a record in its log that tells, at a later start, whether the source that is still
//! there was used again.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use auth_log::fs::Fs;
use auth_log::{Change, Reader};
use serde_json::{Value as Json, json};

use super::source::Source;
use super::{Plan, Remark};
use crate::error::{Code, Error, Result};
use crate::folder::{CREDS, Folder, Stamp};
use crate::keys::Key;
use crate::maintenance::existing;

/// What is remembered of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Of `creds.json` and the folder: while it is the same, nothing was used.
    stamp: String,
    /// Of everything that was moved.
    hash: String,
    /// When, in milliseconds since 1970.
    pub moved_ms: u64,
}

impl Origin {
    pub(super) fn now(folder: &Folder, hash: [u8; 32]) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let moved_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { stamp: stamp(folder)?, hash, moved_ms })
    }

    /// The record of a log, if it has one that is understood.
    pub(super) fn read(log: &Reader) -> Result<Option<Self>, auth_log::Error> {
        let found = log.get(Key::origin().stem.as_bytes())?;
        Ok(found.and_then(|found| Self::parse(&found.bytes)))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let json: Json = serde_json::from_slice(text).ok()?;
        let text = |name| json.get(name)?.as_str().map(str::to_owned);
        Some(Self { stamp: text("stamp")?, hash: text("hash")?, moved_ms: json.get("moved")?.as_u64()? })
    }

    /// Its text, as it stands in the log.
    pub(super) fn text(&self) -> Vec<u8> {
        json!({ "stamp": self.stamp, "hash": self.hash, "moved": self.moved_ms }).to_string().into_bytes()
    }
}

/// The record as a change of a log.
pub(super) fn put<'a>(key: &'a Key, label: &'a [u8], text: &'a [u8]) -> Change<'a> {
    Change::Put { key: key.stem.as_bytes(), label, flags: 0, value: text }
}

fn stamp(folder: &Folder) -> Result<String> {
    let dir = folder.dir.stat().map_err(|error| Error::io("look at the folder", &folder.path, &error))?;
    let creds = folder.stat(CREDS)?.map(Stamp::from);
    Ok(format!("{creds:?} {}", dir.modified_ns))
}

/// What a source is, after it was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// As it was then (in milliseconds since 1970).
    Unchanged(u64),
    /// Nothing in the log tells.
    Unknown,
}

/// Looks whether the source of a store was used again since.
///
/// # Errors
/// `Diverged`; `Io`.
pub(super) fn since(fs: &dyn Fs, source: &Folder, target: &Folder) -> Result<Since> {
    let reader = Reader::open(target.dir.as_ref()).ok().flatten();
    let Some(origin) = reader.and_then(|reader| Origin::read(&reader).ok().flatten()) else {
        return Ok(Since::Unknown);
    };
    if stamp(source)? == origin.stamp || hash_now(fs, &source.path)?.as_deref() == Some(&*origin.hash) {
        return Ok(Since::Unchanged(origin.moved_ms));
    }
    let used = source.stat(CREDS)?.map_or(0, |stat| stat.modified_ns / 1_000_000);
    let used = u64::try_from(used).unwrap_or(0);
    let (from, to) = (source.path.display(), target.path.display());
    let (moved, used) = (time(origin.moved_ms), time(used));
    Err(Error::new(
        Code::Diverged,
        format!(
            "{from} was moved to {to} at {moved}, and was used again since (its creds.json is of {used}): one of the two \
             is out of date, and going on with that one breaks the sessions. To go on with {to}, remove {from} or rename \
             it; to go on with {from}, remove {to}"
        ),
    )
    .at(&source.path))
}

/// Of all that is there now; `None` when it cannot be read, so it is not what it was.
fn hash_now(fs: &dyn Fs, path: &Path) -> Result<Option<String>> {
    let plan = Plan { skip_corrupt: true, lock_source: false, ..Plan::new(path, path) };
    let Ok(mut source) = existing(fs, path).and_then(|folder| Source::open(folder, &plan)) else {
        return Ok(None);
    };
    match source.read(0, source.len(), &mut |_, _, _| Ok(())) {
        Ok(()) => Ok(Some(source.origin()?.hash)),
        Err(error) if error.code() == Code::Io => Err(error),
        Err(_) => Ok(None),
    }
}

/// A time for people, in UTC.
fn time(ms: u64) -> String {
    let (days, second) = (ms / 86_400_000, ms / 1000 % 86_400);
    // Civil from days, by Howard Hinnant: years that begin in March, in eras of 400.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// What is said when a source is still where it was.
pub(super) fn retire_failed(path: &Path, why: &str) -> Remark {
    Remark {
        path: Some(path.display().to_string()),
        message: format!(
            "could not be renamed ({why}): remove it or move it away, so that old code cannot go on with it"
        ),
        ..Remark::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (ms, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399_999, "2000-02-28 23:59:59 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (1_764_167_200_000, "2025-11-26 14:26:40 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(time(ms), text);
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let origin = Origin { stamp: "\"odd\"".to_owned(), hash: "ab".to_owned(), moved_ms: 17 };
        assert_eq!(Origin::parse(&origin.text()), Some(origin));
        assert_eq!(Origin::parse(b"{}"), None);
    }
}
