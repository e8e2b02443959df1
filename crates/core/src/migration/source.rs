//! Where an account comes from: read, never changed.

use std::sync::Arc;

use auth_log::fs::Kind;
use auth_log::{Lock, Reader};

use super::Remark;
use crate::backend::{FLAG_PLAIN, Format, Judged, Locking, judge_surveyed, lock_store, log_error};
use crate::creds::Creds;
use crate::error::{Code, Error, Result};
use crate::folder::{CREDS, Folder, Stamp, Stored, Survey, no_account};
use crate::keys::Key;
use crate::value::Value;

/// The account that is moved.
pub(super) struct Source {
    folder: Arc<Folder>,
    format: Format,
    creds: Creds,
    /// What is wrong with its `creds.json`, and what stands in for it.
    healed: Option<String>,
    creds_stamp: Option<Stamp>,
    survey: Survey,
    keys: Keys,
    /// Held as long as it is read.
    lock: Option<Lock>,
}

enum Keys {
    /// Each with what its file was when it was first looked at.
    Files(Vec<(Key, Stamp)>),
    Log(Box<Reader>),
}

impl Source {
    /// Judges the folder and takes in what is in it.
    pub fn open(folder: Arc<Folder>, take_lock: bool) -> Result<Self> {
        let survey = Survey::of(&folder)?;
        let format = if survey.logs.is_empty() { Format::MultiFile } else { Format::Native };
        let lock = match format {
            Format::MultiFile => None,
            Format::Native if take_lock => lock(&folder)?,
            Format::Native => None,
        };
        let creds_stamp = folder.stat(CREDS)?.map(Stamp::from);
        let Judged { creds, healed, survey } = judge_surveyed(&folder, survey, format, false)?;
        let creds = creds.ok_or_else(|| no_account(&folder.path))?;
        let keys = match format {
            Format::MultiFile => Keys::Files(stamped(&folder, &survey)?),
            Format::Native => {
                let reader =
                    Reader::open(folder.dir.as_ref()).map_err(|error| log_error(error, &folder.path))?;
                Keys::Log(Box::new(reader.ok_or_else(|| changed(&folder, "the log"))?))
            }
        };
        Ok(Self { folder, format, creds, healed, creds_stamp, survey, keys, lock })
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub fn creds(&self) -> &Creds {
        &self.creds
    }

    /// Reads everything once, so that a source that cannot be moved is found before a target is made.
    pub fn check(&self) -> Result<()> {
        let Keys::Files(keys) = &self.keys else { return self.for_each(&mut |_, _| Ok(())) };
        let mut bad = Vec::new();
        for (key, stamp) in keys {
            if self.read_file(key, *stamp)?.is_none() {
                bad.push(key.file_name());
            }
        }
        let Some(first) = bad.first() else { return Ok(()) };
        let path = self.folder.path_of(first);
        let (count, list) = (bad.len(), bad.join(", "));
        Err(Error::new(
            Code::Corrupt,
            format!(
                "{count} of the key files in {} are not whole JSON: {list}. Nothing was moved. To Baileys they count as \
                 missing already, and Signal makes such keys anew: remove them (an app-state-sync-key cannot be made \
                 anew: look for a copy), and run the migration again",
                self.folder.path.display()
            ),
        )
        .at(&path))
    }

    /// Every key with its value.
    pub fn for_each(&self, visit: &mut dyn FnMut(Key, Value) -> Result<()>) -> Result<()> {
        match &self.keys {
            Keys::Files(keys) => {
                for (key, stamp) in keys {
                    let value = self.read_file(key, *stamp)?;
                    visit(key.clone(), value.ok_or_else(|| changed(&self.folder, &key.file_name()))?)?;
                }
            }
            Keys::Log(reader) => {
                for key in labelled(reader, &self.folder)? {
                    let found = reader
                        .get(key.stem.as_bytes())
                        .map_err(|error| log_error(error, &self.folder.path))?;
                    let found = found.ok_or_else(|| changed(&self.folder, &key.file_name()))?;
                    let plain = found.flags & FLAG_PLAIN != 0;
                    visit(key, Value { text: found.bytes.into(), plain })?;
                }
            }
        }
        Ok(())
    }

    /// The value of a key file, or what stands in for it; `None` when it is not JSON.
    fn read_file(&self, key: &Key, stamp: Stamp) -> Result<Option<Value>> {
        let (value, seen) = match self.folder.read_key(key)? {
            Stored::Missing => return Err(changed(&self.folder, &key.file_name())),
            Stored::Whole(value, stamp) | Stored::Healed { value, stamp, .. } => (Some(value), stamp),
            Stored::Torn { stamp, .. } => (None, stamp),
        };
        if seen == stamp { Ok(value) } else { Err(changed(&self.folder, &key.file_name())) }
    }

    /// Nothing was written to the source since it was opened.
    pub fn check_unchanged(&self) -> Result<()> {
        // A log beside its owner is read after the credentials: it has all that was set before they were saved, and
        // that is as good a moment as any.
        if matches!(self.keys, Keys::Log(_)) && self.lock.is_none() {
            return Ok(());
        }
        if self.folder.stat(CREDS)?.map(Stamp::from) != self.creds_stamp {
            return Err(changed(&self.folder, CREDS));
        }
        if let Keys::Files(keys) = &self.keys {
            let now = stamped(&self.folder, &Survey::of(&self.folder)?)?;
            let differs = keys.iter().zip(&now).find(|(before, now)| before != now);
            if let Some(((key, _), _)) = differs {
                return Err(changed(&self.folder, &key.file_name()));
            }
            if now.len() != keys.len() {
                return Err(changed(&self.folder, "the number of key files"));
            }
        }
        Ok(())
    }

    /// What is left where it is.
    pub fn remarks(&self) -> Vec<Remark> {
        let Survey { foreign, creds_companions, key_companions, .. } = &self.survey;
        let healed = self.healed.iter().map(|message| Remark {
            path: Some(self.folder.path_of(CREDS).display().to_string()),
            message: message.clone(),
            ..Remark::default()
        });
        let left = foreign.iter().chain(creds_companions).chain(key_companions).map(|name| Remark {
            path: Some(self.folder.path_of(name).display().to_string()),
            message: "is not part of the account, and stays where it is".to_owned(),
            ..Remark::default()
        });
        healed.chain(left).collect()
    }
}

/// The key files, by stem, each with its stamp.
fn stamped(folder: &Folder, survey: &Survey) -> Result<Vec<(Key, Stamp)>> {
    let mut files = Vec::with_capacity(survey.keys.len() + survey.unknown_keys.len());
    for key in survey.keys.iter().chain(&survey.unknown_keys) {
        let name = key.file_name();
        match folder.stat(&name)? {
            // A folder that is named like a key file is somebody else's.
            Some(stat) if stat.kind == Kind::Dir => {}
            Some(stat) => files.push((key.clone(), stat.into())),
            // Only what was about to become it is there; half of that is nothing.
            None => match folder.read_key(key)? {
                Stored::Missing => {}
                Stored::Whole(_, stamp) | Stored::Healed { stamp, .. } | Stored::Torn { stamp, .. } => {
                    files.push((key.clone(), stamp));
                }
            },
        }
    }
    files.sort_by(|(a, _), (b, _)| a.stem.cmp(&b.stem));
    Ok(files)
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
    keys.sort_by(|a, b| a.stem.cmp(&b.stem));
    Ok(keys)
}

/// The source's lock; none where the folder cannot be written.
fn lock(folder: &Folder) -> Result<Option<Lock>> {
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
