//! Where an account comes from: read once, never changed.

use std::sync::Arc;

use auth_log::fs::Kind;
use auth_log::{Lock, Reader};
use sha2::{Digest, Sha256};

use super::origin::Origin;
use super::waves::in_waves;
use super::{Plan, Remark};
use crate::backend::{FLAG_PLAIN, Format, Judged, Locking, judge_as, lock_store, locked_folder, log_error};
use crate::creds::Creds;
use crate::error::{Code, Error, Result};
use crate::folder::{CREDS, Folder, Stamp, Stored, Survey, no_account};
use crate::keys::Key;
use crate::usable::{Unusable, unusable};
use crate::value::Value;

/// The account that is moved.
pub struct Source {
    folder: Arc<Folder>,
    format: Format,
    creds: Creds,
    /// What is wrong with its `creds.json`, and what stands in for it.
    healed: Option<String>,
    creds_stamp: Option<Stamp>,
    survey: Survey,
    /// By stem.
    keys: Vec<Key>,
    /// What was read under each key, as far as it was read.
    seen: Vec<Option<Seen>>,
    log: Option<Reader>,
    /// Held as long as it is read.
    lock: Option<Lock>,
    /// What is said when somebody has it open.
    in_use: Option<String>,
    skip_corrupt: bool,
    corrupt: Vec<(Key, Stamp)>,
}

/// Takes a key, its value, and what Baileys could not use in that.
pub type Visit<'a> = dyn FnMut(&Key, Value, Option<Unusable>) -> Result<()> + 'a;

/// What a key was when it was read.
#[derive(Clone, Copy)]
struct Seen {
    stamp: Option<Stamp>,
    hash: [u8; 32],
}

/// What is found under a key.
enum Found {
    Value(Value, Option<Stamp>),
    Corrupt(Stamp),
    /// A folder that is named like a key file, or half of a file that never came to be.
    Nothing,
}

impl Source {
    /// Judges the folder and takes in what is in it.
    pub fn open(folder: Arc<Folder>, plan: &Plan) -> Result<Self> {
        let survey = Survey::of(&folder)?;
        let format = format_of(&folder, &survey, plan.source_format)?;
        let native = format == Format::Native;
        let (mut lock, mut in_use) = (None, None);
        match format {
            Format::Native if plan.lock_source => lock = lock_log(&folder)?,
            Format::MultiFile if plan.lock_source => in_use = lock_files(&folder, plan.retire)?,
            _ => {}
        }
        let creds_stamp = folder.stat(CREDS)?.map(Stamp::from);
        // The other format's files are not looked at, when it is said which one it is.
        let said = plan.source_format.is_some();
        let Judged { creds, healed, mut survey } = judge_as(&folder, survey, format, said)?;
        let creds = creds.ok_or_else(|| no_account(&folder.path))?;
        let (log, keys) = if native {
            let reader = Reader::open(folder.dir.as_ref()).map_err(|error| log_error(error, &folder.path))?;
            let reader = reader.ok_or_else(|| changed(&folder, "the log"))?;
            let keys = labelled(&reader, &folder)?;
            let left = survey.keys.drain(..).map(|key| key.file_name());
            survey.foreign.extend(left);
            (Some(reader), keys)
        } else {
            (None, key_files(&mut survey))
        };
        let seen = vec![None; keys.len()];
        let (skip_corrupt, corrupt) = (plan.skip_corrupt, Vec::new());
        Ok(Self {
            folder,
            format,
            creds,
            healed,
            creds_stamp,
            survey,
            keys,
            seen,
            log,
            lock,
            in_use,
            skip_corrupt,
            corrupt,
        })
    }

    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub fn creds(&self) -> &Creds {
        &self.creds
    }

    /// How many keys there are, about: what turns out to be none is among them.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Every key with its value, by stem, and what Baileys could not use in it; from the `first` on, so many.
    ///
    /// # Errors
    /// `Corrupt` with all bad files in one error, after all were read, those behind the `count` too; what `visit` gives.
    pub fn read(&mut self, first: usize, count: usize, visit: &mut Visit<'_>) -> Result<()> {
        let keys = self.keys.get(first..).unwrap_or_default();
        let keys = keys.get(..count).unwrap_or(keys);
        let keys_read = keys.len();
        let find = |key: &Key| {
            self.find(key).map(|found| match &found {
                Found::Value(value, _) => {
                    let fault = unusable(&key.key_type, &value.text);
                    (Sha256::digest(&value.text).into(), fault, found)
                }
                Found::Corrupt(_) | Found::Nothing => ([0; 32], None, found),
            })
        };
        let (mut seen, mut corrupt) = (Vec::with_capacity(keys.len()), Vec::new());
        in_waves(keys, find, |place, found| {
            let Some(key) = keys.get(place) else { return Ok(()) };
            let (hash, fault, found) = found?;
            seen.push(None);
            match found {
                Found::Nothing => {}
                Found::Corrupt(stamp) => corrupt.push((key.clone(), stamp)),
                // Nothing is moved: the rest is only looked at, so that all that is bad is in one error.
                Found::Value(..) if !corrupt.is_empty() && !self.skip_corrupt => {}
                Found::Value(value, stamp) => {
                    if let Some(last) = seen.last_mut() {
                        *last = Some(Seen { stamp, hash });
                    }
                    visit(key, value, fault)?;
                }
            }
            Ok(())
        })?;
        self.seen.splice(first..first + seen.len(), seen);
        self.corrupt.extend(corrupt);
        let last = first + keys_read;
        if !self.skip_corrupt && !self.corrupt.is_empty() && last < self.keys.len() {
            // What is behind is only looked at, so that all that is bad is in one error.
            return self.read(last, usize::MAX, &mut |_, _, _| Ok(()));
        }
        // Half of a file that was just being written is no damage.
        self.check_stamps(self.corrupt.iter().map(|(key, stamp)| (key, *stamp)).collect())?;
        if self.skip_corrupt || self.corrupt.is_empty() { Ok(()) } else { Err(self.corrupt_error()) }
    }

    fn find(&self, key: &Key) -> Result<Found> {
        let name = key.file_name();
        if let Some(log) = &self.log {
            let found = log.get(key.stem.as_bytes()).map_err(|error| log_error(error, &self.folder.path))?;
            let found = found.ok_or_else(|| changed(&self.folder, &name))?;
            let plain = found.flags & FLAG_PLAIN != 0;
            return Ok(Found::Value(Value { text: found.bytes.into(), plain }, None));
        }
        match self.folder.read_key(key) {
            Ok(Stored::Missing) => Ok(Found::Nothing),
            Ok(Stored::Whole(value, stamp) | Stored::Healed { value, stamp, .. }) => {
                Ok(Found::Value(value, Some(stamp)))
            }
            Ok(Stored::Torn { stamp, .. }) => Ok(Found::Corrupt(stamp)),
            // A folder that is named like a key file is somebody else's.
            Err(_) if matches!(self.folder.stat(&name), Ok(Some(stat)) if stat.kind == Kind::Dir) => {
                Ok(Found::Nothing)
            }
            Err(error) => Err(error),
        }
    }

    fn corrupt_error(&self) -> Error {
        let names: Vec<String> = self.corrupt.iter().map(|(key, _)| key.file_name()).collect();
        let (count, list) = (names.len(), names.join(", "));
        let path = self.folder.path_of(names.first().map_or("", String::as_str));
        let folder = self.folder.path.display();
        Error::new(
            Code::Corrupt,
            format!(
                "{count} of the key files in {folder} are not whole JSON: {list}. Nothing was moved. To Baileys they count \
                 as missing already, and Signal makes such keys anew (not an app-state-sync-key: look for a copy): remove \
                 them and run the migration again, or run it with skipCorrupt: true"
            ),
        )
        .at(&path)
    }

    /// Compares what was read with a copy of it; gives the number of keys.
    ///
    /// # Errors
    /// What `compare` gives, of a key and the SHA-256 of its value; what `done` gives, after each.
    pub fn compare(
        &self,
        compare: impl Fn(&Key, &[u8; 32]) -> Result<()> + Sync,
        mut done: impl FnMut() -> Result<()>,
    ) -> Result<usize> {
        let read = self.keys.iter().zip(&self.seen).filter_map(|(key, seen)| Some((key, seen.as_ref()?)));
        let read: Vec<(&Key, &Seen)> = read.collect();
        in_waves(&read, |(key, seen)| compare(key, &seen.hash), |_, same| same.and_then(|()| done()))?;
        Ok(read.len())
    }

    /// Nothing was written to the source since it was opened.
    ///
    /// # Errors
    /// `Changed`.
    pub fn check_unchanged(&self) -> Result<()> {
        // A log beside its owner is read after the credentials: it has all that was set before they were saved, and
        // that is as good a moment as any.
        if self.log.is_some() && self.lock.is_none() {
            return Ok(());
        }
        if self.folder.stat(CREDS)?.map(Stamp::from) != self.creds_stamp {
            return Err(changed(&self.folder, CREDS));
        }
        if self.log.is_some() {
            return Ok(());
        }
        if key_files(&mut Survey::of(&self.folder)?) != self.keys {
            return Err(changed(&self.folder, "the number of key files"));
        }
        let read: Vec<(&Key, Stamp)> = self
            .keys
            .iter()
            .zip(&self.seen)
            .filter_map(|(key, seen)| Some((key, seen.as_ref()?.stamp?)))
            .collect();
        self.check_stamps(read)
    }

    fn check_stamps(&self, read: Vec<(&Key, Stamp)>) -> Result<()> {
        let now = |(key, _): &(&Key, Stamp)| match self.folder.stat(&key.file_name())? {
            Some(stat) => Ok(Some(Stamp::from(stat))),
            // What stands in for it was read.
            None => match self.folder.read_key(key)? {
                Stored::Whole(_, stamp) | Stored::Healed { stamp, .. } => Ok(Some(stamp)),
                Stored::Missing | Stored::Torn { .. } => Ok(None),
            },
        };
        in_waves(&read, now, |place, now: Result<Option<Stamp>>| match read.get(place) {
            Some((key, before)) if now? != Some(*before) => Err(changed(&self.folder, &key.file_name())),
            _ => Ok(()),
        })
    }

    /// What is to be remembered of a source that was read whole, in the target's log.
    ///
    /// # Errors
    /// `Io`.
    pub fn origin(&self) -> Result<Origin> {
        let mut all = Sha256::new();
        all.update(self.creds.summary.hash);
        for (key, seen) in self.keys.iter().zip(&self.seen) {
            all.update(key.stem.as_bytes());
            all.update([0]);
            all.update(seen.map_or([0; 32], |seen| seen.hash));
        }
        Origin::now(&self.folder, all.finalize().into())
    }

    /// The record of where a native source itself came from.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub fn own_origin(&self) -> Result<Option<Origin>> {
        match &self.log {
            Some(log) => Origin::read(log).map_err(|error| log_error(error, &self.folder.path)),
            None => Ok(None),
        }
    }

    /// What is left where it is.
    pub fn remarks(&self) -> Vec<Remark> {
        let Survey { foreign, creds_companions, key_companions, .. } = &self.survey;
        let at = |name: &str| Some(self.folder.path_of(name).display().to_string());
        let in_use = self.in_use.iter().map(|who| Remark {
            path: Some(self.folder.path.display().to_string()),
            message: format!("{who}. What is written there from now on is not in the copy"),
            ..Remark::default()
        });
        let healed = self.healed.iter().map(|message| Remark {
            path: at(CREDS),
            message: message.clone(),
            ..Remark::default()
        });
        let left = foreign.iter().chain(creds_companions).chain(key_companions).map(|name| Remark {
            path: at(name),
            message: "is not part of the account, and stays where it is".to_owned(),
            ..Remark::default()
        });
        let skipped = self.corrupt.iter().map(|(key, _)| Remark {
            path: at(&key.file_name()),
            key_type: Some(key.key_type.clone()),
            id: Some(key.id.clone()),
            message: "is not whole JSON, and was left out".to_owned(),
            ..Remark::default()
        });
        in_use.chain(healed).chain(left).chain(skipped).collect()
    }
}

/// What a folder is read as.
fn format_of(folder: &Folder, survey: &Survey, said: Option<Format>) -> Result<Format> {
    let has_log = !survey.logs.is_empty();
    let missing = match said {
        None => return Ok(if has_log { Format::Native } else { Format::MultiFile }),
        Some(Format::Native) if !has_log => "a log",
        Some(Format::MultiFile) if has_log && survey.keys.is_empty() => "key files",
        Some(said) => return Ok(said),
    };
    let path = folder.path.display();
    let message = format!("{path} has not got {missing}, as sourceFormat says: leave that option out");
    Err(Error::new(Code::WrongFormat, message).at(&folder.path))
}

/// Takes the key files out, by stem.
fn key_files(survey: &mut Survey) -> Vec<Key> {
    let mut keys = std::mem::take(&mut survey.keys);
    keys.append(&mut survey.unknown_keys);
    keys.sort_by(|a, b| a.stem.cmp(&b.stem));
    keys
}

/// The keys of a log, by stem.
fn labelled(reader: &Reader, folder: &Folder) -> Result<Vec<Key>> {
    let mut keys = Vec::with_capacity(reader.len());
    let mut odd = None;
    reader.for_each(&mut |stem, label| match std::str::from_utf8(stem)
        .ok()
        .and_then(|stem| Key::from_label(stem, label))
    {
        Some(key) => keys.push(key),
        None => odd = Some(String::from_utf8_lossy(stem).into_owned()),
    });
    if let Some(odd) = odd {
        let message = format!("the log has a key that is none of ours: {odd:?}; nothing was moved");
        return Err(Error::new(Code::Corrupt, message).at(&folder.path));
    }
    keys.retain(|key| !key.is_ours());
    keys.sort_by(|a, b| a.stem.cmp(&b.stem));
    Ok(keys)
}

/// Whether somebody has a folder of key files open; nobody may, where it is going to be renamed: it is locked then.
fn lock_files(folder: &Folder, retire: bool) -> Result<Option<String>> {
    match folder.dir.try_lock() {
        Ok(true) if retire => Ok(None),
        Ok(true) => {
            // It ends with the folder at the latest.
            let _ = folder.dir.unlock();
            Ok(None)
        }
        Ok(false) if retire => Err(locked_folder(folder)),
        Ok(false) => Ok(Some(locked_folder(folder).to_string())),
        // There are no locks here.
        Err(_) => Ok(None),
    }
}

/// The source's lock; none where the folder cannot be written.
fn lock_log(folder: &Folder) -> Result<Option<Lock>> {
    match lock_store(folder) {
        Ok(Locking::Mine(lock)) => Ok(Some(lock)),
        Ok(Locking::Theirs(error)) => Err(error),
        Err(error) if matches!(error.details().errno.as_deref(), Some("EACCES" | "EPERM" | "EROFS")) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn changed(folder: &Folder, what: &str) -> Error {
    let path = folder.path.display();
    Error::new(
        Code::Changed,
        format!("{path} was written while it was read ({what}): stop the bot that uses it and run the migration again"),
    )
    .at(&folder.path)
}
