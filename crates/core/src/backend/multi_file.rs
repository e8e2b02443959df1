//! Key files: one JSON file a key, as Baileys' `useMultiFileAuthState` writes them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Found, KeyStore, Write};
use crate::error::{Code, Error, Result};
use crate::folder::{Folder, Reach, Stamp};
use crate::keys::{Key, file_name_part, known_type, stem_of_file};
use crate::maintenance::Compacted;
use crate::value::{Value, is_json, is_plain};

/// The keys of a multi-file folder.
pub struct MultiFileKeys {
    folder: Arc<Folder>,
    /// Types that Baileys does not have and that were written since this was opened.
    own_types: Mutex<HashSet<String>>,
    /// Files that were found corrupt, as they were then.
    corrupt: Mutex<HashMap<String, Stamp>>,
}

impl MultiFileKeys {
    /// The keys in this folder.
    #[must_use]
    pub fn new(folder: Arc<Folder>) -> Self {
        Self { folder, own_types: Mutex::default(), corrupt: Mutex::default() }
    }

    /// The key files of known types and of those written here, each with its key.
    fn files(&self) -> Result<Vec<Key>> {
        let own = self.own_types.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let keys = self.folder.names()?.into_iter().filter_map(|name| self::key_of(&name, &own)).collect();
        Ok(keys)
    }

    fn write(&self, key: &Key, value: Option<&Value>) -> Result<()> {
        let name = key.file_name();
        let result = match value {
            Some(value) => self.folder.replace(&name, &value.text, Reach::Handed).map(drop),
            None => self.folder.remove(&name),
        };
        result.map_err(|error| error.of_key(&key.key_type, &key.id))
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
        // Each file stands for itself, as in Baileys: one that fails does not keep the others from being written.
        changes.iter().map(|(key, value)| self.write(key, value.as_ref())).fold(Ok(()), Result::and)
    }

    fn clear(&self) -> Result<()> {
        self.files()?.iter().map(|key| self.write(key, None)).fold(Ok(()), Result::and)
    }
}

fn key_of(name: &str, own_types: &HashSet<String>) -> Option<Key> {
    let stem = stem_of_file(name)?;
    let known = known_type(stem);
    let own = own_types.iter().filter_map(|own| {
        let id = stem.strip_prefix(&file_name_part(own))?.strip_prefix('-')?;
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
        let name = key.file_name();
        let of_key = |error: Error| error.of_key(&key.key_type, &key.id);
        let Some((text, stat)) = self.folder.read(&name).map_err(of_key)? else { return Ok(Found::Missing) };
        if is_json(&text) {
            return Ok(Found::Value(Value { plain: is_plain(&text), text: text.into() }));
        }
        let fault = if text.is_empty() { "is empty" } else { "is not whole JSON" };
        let known = self.corrupt.lock().unwrap_or_else(PoisonError::into_inner).get(&key.stem).copied();
        let error = Error::new(Code::Corrupt, format!("{name} {fault}"))
            .at(&self.folder.path_of(&name))
            .with(|details| details.text = Some(String::from_utf8_lossy(&text).into_owned()));
        Ok(Found::Corrupt { error: of_key(error), known: known == Some(stat.into()) })
    }

    fn note_corrupt(&self, key: &Key) {
        if let Ok(Some(stat)) = self.folder.stat(&key.file_name()) {
            let mut corrupt = self.corrupt.lock().unwrap_or_else(PoisonError::into_inner);
            corrupt.insert(key.stem.clone(), stat.into());
        }
    }

    fn commit(&self, writes: &[&Write]) -> Vec<Result<()>> {
        writes
            .iter()
            .map(|write| match write {
                Write::Set(changes) => self.set(changes),
                Write::Clear => self.clear(),
            })
            .collect()
    }

    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        // Handed to the operating system, in call order: that is what this format promises.
        Ok(())
    }

    fn list(&self, key_type: &str) -> Result<Vec<String>> {
        let keys = self.files()?.into_iter();
        Ok(keys.filter(|key| key.key_type == key_type).map(|key| key.id).collect())
    }

    fn close(&self) -> Result<()> {
        Ok(())
    }

    fn abandon(&self) {}

    fn in_place(&self) -> Result<bool> {
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
