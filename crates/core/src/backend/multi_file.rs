//! Key files: one JSON file a key, as Baileys' `useMultiFileAuthState` writes them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::native::{folder_holder, locked};
use super::patience::is_passing;
use super::{Found, KeyStore, Write};
use crate::error::{Code, Error, Result};
use crate::events::Event;
use crate::folder::{Folder, Reach, Stamp, Stored, Survey, key_companion};
use crate::keys::{Key, file_name_part, known_type, stem_of_file};
use crate::maintenance::Compacted;
use crate::value::Value;

/// The keys of a multi-file folder.
pub struct MultiFileKeys {
    folder: Arc<Folder>,
    /// Types that Baileys does not have and that were written since this was opened.
    own_types: Mutex<HashSet<String>>,
    seen: Mutex<Seen>,
    /// Who has the lock of the folder.
    held: Mutex<Held>,
}

/// The error of a folder that somebody else has locked.
#[must_use]
pub fn locked_folder(folder: &Folder) -> Error {
    locked(folder, folder_holder(folder))
}

/// What was seen of files, by their stems.
#[derive(Default)]
struct Seen {
    /// Odd, and reported: as they were then.
    odd: HashMap<String, Stamp>,
    /// Something stands beside them, since before this was opened: to look for that at each write would cost a fifth of
    /// it.
    accompanied: HashSet<String>,
}

/// Who has the lock of a folder. Nobody waits for it, and nothing but a deletion is refused without it: two processes
/// on one folder are what people have, and released Baileys takes no lock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    ByUs,
    ByOther,
    /// Not asked for, or there are no locks here.
    Unknown,
}

impl MultiFileKeys {
    /// The keys in this folder, which is not opened.
    #[must_use]
    pub fn new(folder: Arc<Folder>) -> Self {
        let held = Mutex::new(Held::Unknown);
        Self { folder, own_types: Mutex::default(), seen: Mutex::default(), held }
    }

    /// The keys in this folder, under its lock where that is to be had; with a warning where another process has it.
    #[must_use]
    pub fn open(folder: Arc<Folder>, survey: &Survey) -> Self {
        let keys = Self::new(folder);
        let companions = survey.key_companions.iter().filter_map(|name| key_companion(name));
        keys.seen().accompanied.extend(companions.map(|(stem, _)| stem.to_owned()));
        if keys.take_lock() == Held::ByOther {
            let message = "another process, or another copy of this package, has this folder open too: each writes what \
                           the other does not know of, and messages get lost. Stop one of them";
            keys.folder.events.emit(&Event::warning("shared", &keys.folder.path, message));
        }
        keys
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_lock(&self) -> Held {
        let mut held = self.held();
        if *held != Held::ByUs {
            *held = match self.folder.dir.try_lock() {
                Ok(true) => Held::ByUs,
                Ok(false) => Held::ByOther,
                Err(_) => Held::Unknown,
            };
        }
        *held
    }

    /// Not by closing the folder: a read that is still under way may hold it.
    fn let_go(&self) {
        if std::mem::replace(&mut *self.held(), Held::Unknown) == Held::ByUs {
            // It ends with the folder at the latest.
            let _ = self.folder.dir.unlock();
        }
    }

    /// The keys of known types and of those written here, by the names in the folder.
    fn names(&self) -> Result<Names> {
        let own = self.own_types.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let names = self.folder.names()?;
        let files: HashSet<&str> = names.iter().filter_map(|name| stem_of_file(name)).collect();
        let beside = |wanted: bool| -> Vec<Key> {
            let found = names.iter().filter_map(|name| key_companion(name));
            let stems = found.filter(|(stem, waits)| *waits == wanted && !files.contains(stem));
            stems.filter_map(|(stem, _)| key_of(stem, &own)).collect()
        };
        Ok(Names {
            waiting: beside(true),
            left: beside(false),
            files: files.iter().filter_map(|stem| key_of(stem, &own)).collect(),
        })
    }

    fn write(&self, key: &Key, value: Option<&Value>) -> Result<()> {
        let name = key.file_name();
        let of_key = |error: Error| error.of_key(&key.key_type, &key.id);
        match value {
            // The file first: what stands beside one that is whole counts for nothing.
            Some(value) => {
                self.folder.replace(&name, &value.text, Reach::Handed).map_err(of_key)?;
                if self.seen().accompanied.contains(&key.stem) {
                    self.folder.remove_companions(&name).map_err(of_key)?;
                }
            }
            // The file last: what stands beside a missing one may count.
            None => self
                .folder
                .remove_companions(&name)
                .and_then(|()| self.folder.remove(&name))
                .map_err(of_key)?,
        }
        let mut seen = self.seen();
        seen.accompanied.remove(&key.stem);
        seen.odd.remove(&key.stem);
        Ok(())
    }

    fn set(&self, changes: &[(Key, Option<Value>)]) -> Result<()> {
        let new: Vec<&Key> = changes
            .iter()
            .map(|(key, _)| key)
            .filter(|key| known_type(&key.stem) != Some(&*key.key_type))
            .collect();
        if !new.is_empty() {
            let mut own = self.own_types.lock().unwrap_or_else(PoisonError::into_inner);
            own.extend(new.iter().map(|key| key.key_type.clone()));
        }
        all(changes.iter().map(|(key, value)| self.write(key, value.as_ref())))
    }

    fn clear(&self) -> Result<()> {
        let Names { files, waiting, left } = self.names()?;
        all(files.iter().chain(&waiting).chain(&left).map(|key| self.write(key, None)))
    }
}

/// Each file stands for itself, as in Baileys: one that fails does not keep the others from being written. Of several
/// errors one that may pass counts, for then all of it is tried again.
fn all(results: impl Iterator<Item = Result<()>>) -> Result<()> {
    let errors: Vec<Error> = results.filter_map(Result::err).collect();
    let passing = errors.iter().find(|error| is_passing(error));
    passing.or(errors.first()).map_or(Ok(()), |error| Err(error.clone()))
}

/// What there is of keys.
struct Names {
    /// Their files.
    files: Vec<Key>,
    /// No file, but what was about to become it.
    waiting: Vec<Key>,
    /// No file, but what it was.
    left: Vec<Key>,
}

fn key_of(stem: &str, own_types: &HashSet<String>) -> Option<Key> {
    let known = known_type(stem);
    let own = own_types.iter().filter_map(|own| {
        let id = stem.strip_prefix(&*file_name_part(own))?.strip_prefix('-')?;
        Some(Key { key_type: own.clone(), id: id.to_owned(), stem: stem.to_owned() })
    });
    // The longest type that the name begins with.
    match own.max_by_key(|key| key.key_type.len()) {
        Some(key) if known.is_none_or(|known| known.len() < key.key_type.len()) => Some(key),
        _ => known.and_then(|_| Key::from_stem(stem)),
    }
}

impl KeyStore for MultiFileKeys {
    fn fails_together(&self) -> bool {
        false
    }

    fn synced_at_commit(&self) -> bool {
        // Handed to the operating system is all that this format promises.
        true
    }

    fn read_now(&self, _: &Key) -> Option<Option<Value>> {
        None
    }

    fn read(&self, key: &Key) -> Result<Found> {
        let of_key = |error: Error| error.of_key(&key.key_type, &key.id);
        let (message, text, stand_in, stamp) = match self.folder.read_key(key).map_err(of_key)? {
            Stored::Missing => return Ok(Found::Missing),
            Stored::Whole(value, _) => return Ok(Found::Value(value)),
            Stored::Healed { value, message, stamp } => (message, None, Some(value), stamp),
            Stored::Torn { name, fault, text, stamp } => {
                let text = String::from_utf8_lossy(&text).into_owned();
                (format!("{name} {fault}"), Some(text), None, stamp)
            }
        };
        let error = Error::new(Code::Corrupt, message)
            .at(&self.folder.path_of(&key.file_name()))
            .with(|details| details.text = text);
        let mut seen = self.seen();
        if stand_in.is_some() {
            seen.accompanied.insert(key.stem.clone());
        }
        let known = seen.odd.get(&key.stem) == Some(&stamp);
        Ok(Found::Odd { error: of_key(error), stand_in, stamp, known })
    }

    fn note_odd(&self, key: &Key, stamp: Stamp) {
        self.seen().odd.insert(key.stem.clone(), stamp);
    }

    fn commit(&self, writes: &[&Write]) -> Vec<Result<()>> {
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            let answer = match write {
                Write::Set(changes) => self.set(changes),
                Write::Clear => self.clear(),
            };
            let stop = answer.as_ref().is_err_and(is_passing);
            answers.push(answer);
            if stop {
                // A later write of the same key must not come before it.
                break;
            }
        }
        answers
    }

    fn claim(&self) -> Result<()> {
        match self.take_lock() {
            Held::ByOther => Err(locked_folder(&self.folder)),
            Held::ByUs | Held::Unknown => Ok(()),
        }
    }

    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        // Handed to the operating system, in call order: that is what this format promises.
        Ok(())
    }

    fn list(&self, key_type: &str) -> Result<Vec<String>> {
        let Names { files, waiting, .. } = self.names()?;
        let of_type = |key: &Key| key.key_type == key_type;
        let mut ids: Vec<String> = files.into_iter().filter(of_type).map(|key| key.id).collect();
        for key in waiting.into_iter().filter(of_type) {
            if !matches!(self.folder.read_key(&key)?, Stored::Missing) {
                ids.push(key.id);
            }
        }
        Ok(ids)
    }

    fn close(&self) -> Result<()> {
        self.let_go();
        Ok(())
    }

    fn abandon(&self) {
        self.let_go();
    }

    fn in_place(&self) -> Result<bool> {
        if *self.held() == Held::ByOther {
            // Whoever had it may have stopped.
            self.take_lock();
        }
        Ok(true)
    }

    fn put_back(&self) -> Result<()> {
        Ok(())
    }

    fn wants_compaction(&self) -> bool {
        false
    }

    fn is_swollen(&self) -> bool {
        false
    }

    fn compact(&self) -> Result<Compacted> {
        Ok(Compacted::default())
    }

    fn delete(&self) -> Result<()> {
        self.clear()
    }
}
