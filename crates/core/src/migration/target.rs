//! Where an account goes: made whole, then published.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use auth_log::fs::{File, Fs, errno_name, write_all};
use auth_log::{Change, Lock, Log, Reader};
use sha2::{Digest, Sha256};

use super::origin::{self, Origin};
use super::{Aim, marker_text};
use crate::backend::{FLAG_PLAIN, Format, Locking, lock_store, log_error, shell_quoted};
use crate::creds::{Creds, random};
use crate::error::{Code, Error, Result};
use crate::events::Listeners;
use crate::folder::{CREDS, FILE_MODE, Folder, MARKER, MOVED, Reach, Survey, read_creds};
use crate::keys::Key;
use crate::maintenance::remove_folder;
use crate::value::Value;

/// How often a marker that was removed meanwhile is made again.
const MARK_ATTEMPTS: usize = 16;

/// Keys are written to a log in frames of about this many bytes.
const FRAME_BYTES: usize = 1 << 20;

/// A target that is begun: its marker is on disk.
pub(crate) struct Target {
    folder: Arc<Folder>,
    /// It was not there before.
    made_folder: bool,
    format: Format,
    /// Locked as long as this target is being made.
    _marker: Arc<dyn File>,
    _lock: Option<Lock>,
}

impl Target {
    /// Makes the folder, checks that it is free, and marks it as unfinished.
    pub fn begin(fs: &dyn Fs, path: &Path, format: Format, creds: &Creds, aim: Aim) -> Result<Self> {
        let made_folder = Folder::open(fs, path, &Listeners::default())?.is_none();
        let folder = Arc::new(Folder::open_or_create(fs, path, &Listeners::default())?);
        check_free(&folder, &Survey::of(&folder)?, creds, aim)?;
        let lock = match format {
            Format::MultiFile => None,
            Format::Native => match lock_store(&folder)? {
                Locking::Mine(lock) => Some(lock),
                Locking::Theirs(error) => return Err(error),
            },
        };
        let (marker, made) = mark(&folder, format)?;
        let begun = Self::begin_marked(&folder, marker.as_ref(), creds, aim);
        if begun.is_err() && made {
            // An empty marker would keep an account that is there from being opened.
            folder.remove(MARKER)?;
        }
        begun?;
        Ok(Self { folder, made_folder, format, _marker: marker, _lock: lock })
    }

    fn begin_marked(folder: &Folder, marker: &dyn File, creds: &Creds, aim: Aim) -> Result<()> {
        // With the marker locked nobody else begins here.
        let survey = Survey::of(folder)?;
        check_free(folder, &survey, creds, aim)?;
        folder.sync_parents()?;
        let failed = |error: &std::io::Error| folder.io("write", MARKER, error);
        write_all(marker, marker_text(creds).as_bytes(), 0).map_err(|short| failed(&short.error))?;
        marker.sync().map_err(|error| failed(&error))?;
        folder.sync()?;
        remove_remains(folder, &survey)
    }

    /// Takes keys.
    pub fn writer(&self) -> Result<Writer> {
        let kind = match self.format {
            Format::MultiFile => Kind::Files,
            Format::Native => {
                let (log, _) = Log::open(self.folder.dir.clone(), random()?)
                    .map_err(|error| failed(&self.folder, error))?;
                Kind::Log { log: Box::new(log), waiting: Vec::new(), bytes: 0 }
            }
        };
        Ok(Writer { folder: self.folder.clone(), kind, merged: Vec::new() })
    }

    /// What was written, read anew.
    pub fn read_back(&self) -> Result<Copy> {
        let log = match self.format {
            Format::MultiFile => None,
            Format::Native => {
                let reader =
                    Reader::open(self.folder.dir.as_ref()).map_err(|error| failed(&self.folder, error))?;
                Some(reader.ok_or_else(|| Error::internal("the log that was just written is missing"))?)
            }
        };
        let count = match &log {
            // A record of our own is no key.
            Some(log) => log.len() - usize::from(has_origin(log)),
            None => {
                let survey = Survey::of(&self.folder)?;
                survey.keys.len() + survey.unknown_keys.len()
            }
        };
        Ok(Copy { folder: self.folder.clone(), log, count })
    }

    /// Writes the credentials, and takes the marker away: from here on the account opens.
    ///
    /// # Errors
    /// `Exists` when somebody has stored credentials there meanwhile: they stay; `Io`.
    pub fn publish(&self, creds: &Creds) -> Result<()> {
        if self.folder.stat(CREDS)?.is_some() || self.folder.has_companions(CREDS)? {
            let message = format!(
                "credentials came to {} while the account was moved: they stay, beside the keys that were moved. Move into \
                 another folder",
                self.folder.path.display()
            );
            return Err(Error::new(Code::Exists, message).at(&self.folder.path));
        }
        self.folder.replace(CREDS, &creds.text, Reach::Synced)?;
        self.folder.remove(MARKER)?;
        self.folder.sync()
    }

    /// Takes back what was made, as far as that goes: the marker last, so that what stays does not open.
    pub fn abandon(self, fs: &dyn Fs) {
        let Self { folder, made_folder, _marker: marker, _lock: lock, .. } = self;
        let removed = Survey::of(&folder).and_then(|survey| {
            remove_remains(&folder, &survey)?;
            if lock.is_some() {
                folder.remove(auth_log::format::LOCK)?;
            }
            folder.remove(MARKER)
        });
        drop((marker, lock));
        if removed.is_ok() && made_folder {
            remove_folder(fs, &folder);
        }
    }
}

fn failed(folder: &Folder, error: auth_log::Error) -> Error {
    // Whatever became of it: a target that is not published does not open.
    log_error(error, &folder.path).with(|details| details.outcome_unknown = false)
}

fn has_origin(log: &Reader) -> bool {
    matches!(log.get(Key::origin().stem.as_bytes()), Ok(Some(_)))
}

/// Takes the keys of a target.
pub(crate) struct Writer {
    folder: Arc<Folder>,
    kind: Kind,
    /// Keys whose file names others have already.
    merged: Vec<Key>,
}

enum Kind {
    Files,
    Log { log: Box<Log>, waiting: Vec<(Key, Value)>, bytes: usize },
}

impl Writer {
    pub fn put(&mut self, key: Key, value: Value) -> Result<()> {
        match &mut self.kind {
            Kind::Files => {
                if !write_new(&self.folder, &key, &value)? {
                    self.merge(&key);
                }
                Ok(())
            }
            Kind::Log { log, waiting, bytes } => {
                *bytes += value.text.len();
                waiting.push((key, value));
                if *bytes >= FRAME_BYTES {
                    *bytes = 0;
                    append(log, waiting).map_err(|error| failed(&self.folder, error))?;
                }
                Ok(())
            }
        }
    }

    /// A key that would merge with another one: it is not written, and in the end all of them are refused.
    pub fn merge(&mut self, key: &Key) {
        self.merged.push(key.clone());
    }

    /// One sync of all keys; a log remembers where they came from.
    ///
    /// # Errors
    /// `Exists` with all keys that would merge with others; `Io`, `Full`.
    pub fn finish(mut self, origin: Option<&Origin>) -> Result<()> {
        if let Some(first) = self.merged.first() {
            return Err(would_merge(&self.folder, first, &self.merged));
        }
        match &mut self.kind {
            Kind::Files => {
                let folder = &self.folder;
                folder
                    .dir
                    .sync_all()
                    .map_err(|error| Error::io("sync the files in", &folder.path, &error))?;
                folder.sync()
            }
            Kind::Log { log, waiting, .. } => append(log, waiting)
                .and_then(|()| match origin {
                    None => Ok(()),
                    Some(origin) => {
                        let (key, text) = (Key::origin(), origin.text());
                        log.append(&[origin::put(&key, &key.label(), &text)])
                    }
                })
                .and_then(|()| log.sync())
                .and_then(|()| log.close())
                .map_err(|error| failed(&self.folder, error)),
        }
    }
}

fn append(log: &Log, waiting: &mut Vec<(Key, Value)>) -> Result<(), auth_log::Error> {
    let labels: Vec<Cow<'_, [u8]>> = waiting.iter().map(|(key, _)| key.label()).collect();
    let changes: Vec<Change<'_>> = waiting
        .iter()
        .zip(&labels)
        .map(|((key, value), label)| Change::Put {
            key: key.stem.as_bytes(),
            label,
            flags: if value.plain { FLAG_PLAIN } else { 0 },
            value: &value.text,
        })
        .collect();
    log.append(&changes)?;
    waiting.clear();
    Ok(())
}

/// Writes a file that is not there yet; says whether that is so.
fn write_new(folder: &Folder, key: &Key, value: &Value) -> Result<bool> {
    let name = key.file_name();
    let failed = |error: std::io::Error| folder.io("write", &name, &error).of_key(&key.key_type, &key.id);
    let file = match folder.dir.create(&name, FILE_MODE) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        file => file.map_err(failed)?,
    };
    write_all(file.as_ref(), &value.text, 0).map_err(|short| failed(short.error))?;
    Ok(true)
}

fn would_merge(folder: &Folder, first: &Key, merged: &[Key]) -> Error {
    let names: Vec<String> = merged.iter().map(Key::file_name).collect();
    let (list, path) = (names.join(", "), folder.path.display());
    let message = format!(
        "two keys of the source have one file name in {path}, which cannot hold both (does its disk fold case?): {list}. \
         Nothing was published"
    );
    Error::new(Code::Exists, message).at(&folder.path).of_key(&first.key_type, &first.id)
}

/// What was written to a target.
pub(crate) struct Copy {
    folder: Arc<Folder>,
    log: Option<Reader>,
    count: usize,
}

impl Copy {
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether a value is there, and is this one.
    pub fn has(&self, key: &Key, hash: &[u8; 32]) -> Result<bool> {
        Ok(self.get(key)?.is_some_and(|text| Sha256::digest(&text)[..] == hash[..]))
    }

    pub fn get(&self, key: &Key) -> Result<Option<Vec<u8>>> {
        match &self.log {
            Some(log) => {
                let found = log.get(key.stem.as_bytes()).map_err(|error| failed(&self.folder, error))?;
                Ok(found.map(|value| value.bytes))
            }
            None => Ok(self.folder.read(&key.file_name())?.map(|(text, _)| text)),
        }
    }
}

/// Makes the marker, or takes over one that an unfinished run has left, and locks it. Says whether it is new.
fn mark(folder: &Folder, format: Format) -> Result<(Arc<dyn File>, bool)> {
    let failed = |error: &std::io::Error| folder.io("lock", MARKER, error);
    for _ in 0..MARK_ATTEMPTS {
        let (file, made) = match folder.dir.create(MARKER, FILE_MODE) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => match folder.dir.open_write(MARKER) {
                // The run that had it has finished just now.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                file => (file.map_err(|error| failed(&error))?, false),
            },
            file => (file.map_err(|error| failed(&error))?, true),
        };
        match file.try_lock() {
            Ok(true) => {}
            Ok(false) => break,
            // Key files can be where there are no locks.
            Err(error) if format == Format::MultiFile && has_no_locks(&error) => {}
            Err(error) => return Err(failed(&error)),
        }
        let named = folder.dir.stat_name(MARKER).map_err(|error| failed(&error))?;
        if named.map(|stat| stat.id) == Some(file.stat().map_err(|error| failed(&error))?.id) {
            return Ok((file, made));
        }
    }
    let message = format!("another migration into {} is under way: wait for it", folder.path.display());
    Err(Error::new(Code::Locked, message).at(&folder.path))
}

fn has_no_locks(error: &std::io::Error) -> bool {
    matches!(errno_name(error), Some("ENOLCK" | "ENOTSUP" | "ENOSYS" | "EINVAL"))
}

/// A target must be empty, or hold the remains of an unfinished run. Whether what is there is older or newer than the
/// source nobody has looked, so the command that removes it comes last, and says so; a copy has always another place to go.
fn check_free(folder: &Folder, survey: &Survey, creds: &Creds, aim: Aim) -> Result<()> {
    let path = folder.path.display();
    let refuse = |what: &str, way_out: &str| {
        let message =
            format!("{path} {what}, and nothing was written: choose a path that does not exist yet{way_out}");
        Err(Error::new(Code::Exists, message).at(&folder.path))
    };
    let taken = |what: &str| refuse(what, "");
    if let Some(name) = survey.asides.first() {
        return taken(&format!("is not empty ({name})"));
    }
    if survey.creds || !survey.creds_companions.is_empty() {
        let there = read_creds(folder).ok().flatten().map(|stored| stored.creds.summary.identity);
        let removal = match aim {
            Aim::Move => format!(
                ". Only if nobody needs it any more (it may be newer than what is moved): rm -r {}",
                shell_quoted(&path.to_string())
            ),
            Aim::Copy => String::new(),
        };
        let what = match there {
            Some(there) if there == creds.summary.identity => match aim {
                Aim::Move => {
                    "holds this account already (if it was moved there before, that is done: open it)"
                }
                Aim::Copy => "holds this account already",
            },
            Some(_) => "holds another account",
            None => "holds credentials already",
        };
        return refuse(what, &removal);
    }
    let foreign = survey.foreign.iter().find(|name| !name.starts_with('.') && *name != "lost+found");
    let ours = survey.keys.iter().chain(&survey.unknown_keys).map(Key::file_name).next();
    let ours = ours.or_else(|| survey.logs.last().map(|n| auth_log::format::Name::Log(*n).to_string()));
    match (foreign, ours) {
        (Some(name), _) => taken(&format!("is not empty ({name})")),
        (None, Some(name)) if !survey.marker => taken(&format!("holds keys already ({name})")),
        _ => Ok(()),
    }
}

/// Removes what an unfinished run has left, under the new run's marker.
fn remove_remains(folder: &Folder, survey: &Survey) -> Result<()> {
    // What once went from here comes back.
    folder.remove(MOVED)?;
    for key in survey.keys.iter().chain(&survey.unknown_keys) {
        folder.remove(&key.file_name())?;
    }
    for number in &survey.logs {
        folder.remove(&auth_log::format::Name::Log(*number).to_string())?;
    }
    for name in survey.temporaries.iter().chain(&survey.key_companions) {
        folder.remove(name)?;
    }
    folder.sync()
}
