//! Where a native store came from: a record in its log that tells, at a later start, whether the source that is still
//! there was used again.

use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use auth_log::format::Name;
use auth_log::fs::{Fs, write_all};
use auth_log::{Change, Reader};
use serde_json::{Value as Json, json};

use super::source::Source;
use super::{Plan, Remark};
use crate::backend::{free_beside, shell_quoted};
use crate::error::{Code, Error, Result};
use crate::folder::{CREDS, FILE_MODE, Folder, MOVED, Stamp, Survey, read_creds};
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
    /// Nothing in the log tells, and it holds another account.
    Other,
}

/// Looks whether the source of a store was used again since.
///
/// # Errors
/// `Diverged`; `Io`.
pub(super) fn since(fs: &dyn Fs, source: &Folder, target: &Folder) -> Result<Since> {
    let reader = Reader::open(target.dir.as_ref()).ok().flatten();
    let is_other = matches!((identity(source), identity(target)), (Some(there), Some(here)) if there != here);
    let Some(origin) = reader.and_then(|reader| Origin::read(&reader).ok().flatten()) else {
        return Ok(if is_other { Since::Other } else { Since::Unknown });
    };
    if is_as_it_was(fs, source, &origin)? {
        return Ok(Since::Unchanged(origin.moved_ms));
    }
    let message = if is_other { another(source, target) } else { went_on(source, target, &origin)? };
    Err(Error::new(Code::Diverged, message).at(&source.path))
}

/// Whose account is stored, where that can be read.
fn identity(folder: &Folder) -> Option<[u8; 32]> {
    Some(read_creds(folder).ok()??.creds.summary.identity)
}

fn another(source: &Folder, target: &Folder) -> String {
    let (from, to) = (source.path.display(), target.path.display());
    format!(
        "{from}, which migrateFrom names, holds another account than {to}, so nothing was moved or opened.\n\
         To go on with the account in {to}: leave migrateFrom out, or name the folder where this account was before.\n\
         To go on with the account in {from}: move it to a folder of its own, that does not exist yet"
    )
}

/// The same account in both: the times say which one was used last, and commands take the other out of the way.
fn went_on(source: &Folder, target: &Folder, origin: &Origin) -> Result<String> {
    let (from, to) = (source.path.display(), target.path.display());
    let (there, here) = (last_write(source)?, last_write(target)?);
    let last = if there > here { &from } else { &to };
    let aside = |folder: &Folder| {
        let old = free_beside(&folder.path, ".old");
        format!("mv {} {}", shell_quoted(&folder.path.display().to_string()), shell_quoted(&old))
    };
    Ok(format!(
        "{from} was moved to {to} at {moved}, and the same account went on in {from} since, so nothing was opened.\n\
         {from} was last written at {there}\n\
         {to} was last written at {here}\n\
         One of the two is out of date, and its sessions are broken. Go on with the one that the bot used last; by these \
         times that is {last}.\n\
         To go on with {to}:\n  {aside_source}\n\
         To go on with {from} (the next start moves it anew):\n  {aside_target}",
        moved = time(origin.moved_ms),
        there = time(there),
        here = time(here),
        aside_source = aside(source),
        aside_target = aside(target),
    ))
}

/// When a file of the account was last written, in milliseconds since 1970.
fn last_write(folder: &Folder) -> Result<u64> {
    let survey = Survey::of(folder)?;
    let keys = survey.keys.iter().chain(&survey.unknown_keys).map(Key::file_name);
    let logs = survey.logs.iter().map(|n| Name::Log(*n).to_string());
    let mut newest = 0;
    for name in keys.chain(logs).chain([CREDS.to_owned()]) {
        newest = newest.max(folder.stat(&name)?.map_or(0, |stat| stat.modified_ns));
    }
    Ok(u64::try_from(newest / 1_000_000).unwrap_or(0))
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
pub(super) fn retire_failed(path: &Path, why: &io::Error, marked: Result<()>) -> Remark {
    let advice = "remove it or move it away, so that old code cannot go on with it";
    let message = match marked {
        Ok(()) => format!("could not be renamed ({why}), and is marked as moved instead ({MOVED}): {advice}"),
        Err(error) => format!(
            "could not be renamed ({why}), nor marked as moved ({error}): {advice}, and so that migrateFrom does not move it \
             once more after a logout"
        ),
    };
    Remark { path: Some(path.display().to_string()), message, ..Remark::default() }
}

/// Leaves in a source how it is, for a later start that finds it there.
///
/// # Errors
/// `Io`, `Full`.
pub(super) fn mark(source: &Source) -> Result<()> {
    let folder = source.folder();
    let failed = |error: &io::Error| folder.io("write", MOVED, error);
    let file = match folder.dir.create(MOVED, FILE_MODE) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => folder.dir.open_write(MOVED),
        file => file,
    };
    let file = file.map_err(|error| failed(&error))?;
    // The folder is as it stays: its own time is in the record.
    let text = source.origin()?.text();
    file.set_len(0).map_err(|error| failed(&error))?;
    write_all(file.as_ref(), &text, 0).map_err(|short| failed(&short.error))?;
    file.sync().map_err(|error| failed(&error))?;
    folder.sync()
}

/// When a source was moved that is marked, in milliseconds since 1970; `None` when it is not, or was used since.
///
/// # Errors
/// `Io`.
pub(super) fn marked(fs: &dyn Fs, source: &Folder) -> Result<Option<u64>> {
    let found = source.read(MOVED)?.and_then(|(text, _)| Origin::parse(&text));
    let Some(origin) = found else { return Ok(None) };
    Ok(is_as_it_was(fs, source, &origin)?.then_some(origin.moved_ms))
}

fn is_as_it_was(fs: &dyn Fs, source: &Folder, origin: &Origin) -> Result<bool> {
    Ok(stamp(source)? == origin.stamp || hash_now(fs, &source.path)?.as_deref() == Some(&*origin.hash))
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
