//! What Baileys' unreleased helper leaves beside a file. It writes `<name>.tmp`, renames the old file to
//! `<name>.bak`, then the new one into place; a crash between two of these leaves a companion that holds what the file
//! itself should. Reading takes it from there and changes nothing.

use super::creds_file::Stamp;
use super::{CREDS, Folder};
use crate::creds::{Creds, Identity};
use crate::error::Result;
use crate::keys::{Key, MAX_NAME_BYTES};
use crate::value::Value;

/// What is written, before it takes the place of the file.
const TEMPORARY: &str = ".tmp";
/// What the file was before.
const BACKUP: &str = ".bak";

/// What may stand in for a missing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    /// Only what was about to become it: released Baileys deletes the file alone, and an old backup would bring an old
    /// ratchet back.
    Temporary,
    /// That, or what it was before.
    TemporaryOrBackup,
}

/// A file with its companions.
#[derive(Debug)]
pub enum Stored<T> {
    /// Nothing is stored.
    Missing,
    /// The file is whole.
    Whole(T, Stamp),
    /// The file is missing or torn, and a companion stands in for it.
    Healed {
        /// What the companion holds.
        value: T,
        /// What is wrong, and what stands in.
        message: String,
        /// What tells that nothing has changed: of the file, or of the companion when the file is missing.
        stamp: Stamp,
    },
    /// The file cannot be used, and nothing stands in for it.
    Torn {
        /// Its name, or a companion's when it is missing.
        name: String,
        /// What is wrong with it.
        fault: &'static str,
        /// What it holds.
        text: Vec<u8>,
        /// As it is now.
        stamp: Stamp,
    },
}

/// The file that a companion belongs to, and whether it may stand in for it when it is missing.
#[must_use]
pub fn companion_of(name: &str) -> Option<(&str, bool)> {
    let temporary = name.strip_suffix(TEMPORARY).map(|main| (main, true));
    temporary.or_else(|| name.strip_suffix(BACKUP).map(|main| (main, false)))
}

/// What may stand beside a file: a name that is too long stands nowhere.
fn companions(name: &str) -> impl Iterator<Item = String> {
    [TEMPORARY, BACKUP].into_iter().map(move |suffix| format!("{name}{suffix}")).filter(|name| fits(name))
}

fn fits(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
}

impl Folder {
    /// Reads credentials, or what stands in for them.
    ///
    /// # Errors
    /// `Io`.
    pub fn read_stored_creds(&self) -> Result<Stored<Creds>> {
        let judge = |text: &[u8]| Creds::judge(text.to_vec());
        self.read_stored(CREDS, Missing::TemporaryOrBackup, judge)
    }

    /// Reads a key file, or what stands in for it.
    ///
    /// # Errors
    /// `Io`.
    pub fn read_key(&self, key: &Key) -> Result<Stored<Value>> {
        let judge = |text: &[u8]| {
            let fault = if text.is_empty() { "is empty" } else { "is not whole JSON" };
            Value::check(text).ok_or(fault)
        };
        self.read_stored(&key.file_name(), Missing::Temporary, judge)
    }

    fn read_stored<T>(
        &self,
        name: &str,
        missing: Missing,
        judge: impl Fn(&[u8]) -> Result<T, &'static str>,
    ) -> Result<Stored<T>> {
        let look = |name: &str| -> Result<Option<Stored<T>>> {
            if !fits(name) {
                return Ok(None);
            }
            let Some((text, stat)) = self.read(name)? else { return Ok(None) };
            let stamp = stat.into();
            Ok(Some(match judge(&text) {
                Ok(value) => Stored::Whole(value, stamp),
                Err(fault) => Stored::Torn { name: name.to_owned(), fault, text, stamp },
            }))
        };
        let (temporary, backup) = (format!("{name}{TEMPORARY}"), format!("{name}{BACKUP}"));
        let mut main = look(name)?;
        let mut companion = None;
        if main.is_none() {
            companion = look(&temporary)?;
            if companion.is_none() {
                // It may have taken its place just now.
                main = look(name)?;
            }
        }
        let wanted = match &main {
            Some(Stored::Torn { .. }) => true,
            None => missing == Missing::TemporaryOrBackup && !matches!(companion, Some(Stored::Whole(..))),
            _ => false,
        };
        let mut stands_in = &temporary;
        if wanted && let Some(found) = look(&backup)? {
            (companion, stands_in) = (Some(found), &backup);
        }
        let healed = |value, fault: &str, stamp| {
            let message = format!("{name} {fault}: {stands_in} is read in its place, until it is written");
            Stored::Healed { value, message, stamp }
        };
        Ok(match (main, companion) {
            (Some(Stored::Torn { fault, stamp, .. }), Some(Stored::Whole(value, _))) => {
                healed(value, fault, stamp)
            }
            (Some(main), _) => main,
            (None, Some(Stored::Whole(value, stamp))) => healed(value, "is missing", stamp),
            // A torn key that never came to be is nothing; of credentials it says that there were some.
            (None, Some(torn)) if missing == Missing::TemporaryOrBackup => torn,
            (None, _) => Stored::Missing,
        })
    }

    /// Whether anything stands beside a file.
    ///
    /// # Errors
    /// `Io`.
    pub fn has_companions(&self, name: &str) -> Result<bool> {
        for companion in companions(name) {
            if self.stat(&companion)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes what stands beside a file, if anything.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove_companions(&self, name: &str) -> Result<()> {
        companions(name).try_for_each(|companion| self.remove(&companion))
    }

    /// After credentials were written: nothing beside them may stand in for another identity. A copy of this one is
    /// left alone, for people make such copies themselves. Best effort: the next save tries again.
    pub fn clear_creds_companions(&self, saved: &Identity) {
        let _ = self.remove(&format!("{CREDS}{TEMPORARY}"));
        let backup = format!("{CREDS}{BACKUP}");
        if let Ok(Some((text, _))) = self.read(&backup)
            && Creds::judge(text).is_ok_and(|creds| creds.summary.identity != *saved)
        {
            let _ = self.remove(&backup);
        }
    }
}
