//! What lies in a folder, by its names alone: one listing, read once.

use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use auth_log::format::Name;

use super::companions::companion_of;
use super::{CREDS, Folder};
use crate::error::Result;
use crate::keys::{Key, known_type, stem_of_file};

/// There while a migration into this folder has not finished.
pub const MARKER: &str = "migration-unfinished";

/// There in a source that was moved and could not be renamed: as it was then.
pub const MOVED: &str = ".migrated";

const TEMPORARY_PREFIX: &str = ".auth-";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// The name of a temporary of ours: short, hidden from `*.json`, unique by its number.
pub(super) fn temporary_name(number: u64) -> String {
    format!("{TEMPORARY_PREFIX}{number:016x}{TEMPORARY_SUFFIX}")
}

/// Whether a name is that of a temporary of ours.
fn is_temporary(name: &str) -> bool {
    name.strip_prefix(TEMPORARY_PREFIX)
        .and_then(|rest| rest.strip_suffix(TEMPORARY_SUFFIX))
        .is_some_and(|number| number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The names in a folder, sorted by what they are to us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// `creds.json` is there.
    pub creds: bool,
    /// Companions of `creds.json` that Baileys' unreleased helper leaves (`.tmp`, `.bak`).
    pub creds_companions: Vec<String>,
    /// An unfinished migration left its marker.
    pub marker: bool,
    /// Generations of a native log, ascending.
    pub logs: Vec<u64>,
    /// Key files of types that Baileys has, each with the key that its name says; also where only a companion is there
    /// that may stand in for it.
    pub keys: Vec<Key>,
    /// Key files of other types.
    pub unknown_keys: Vec<Key>,
    /// Companions of key files.
    pub key_companions: Vec<String>,
    /// Logs that were set aside.
    pub asides: Vec<String>,
    /// Temporaries of ours.
    pub temporaries: Vec<String>,
    /// Everything else that is not our own.
    pub foreign: Vec<String>,
}

impl Survey {
    /// Lists the folder.
    ///
    /// # Errors
    /// `Io`.
    pub fn of(folder: &Folder) -> Result<Self> {
        let mut survey = Survey::default();
        let (mut mains, mut waiting) = (HashSet::new(), Vec::new());
        for name in folder.names()? {
            if name == CREDS {
                survey.creds = true;
            } else if name == MARKER {
                survey.marker = true;
            } else if name == MOVED {
                // Whoever asks for it reads it.
            } else if companion_of(&name).is_some_and(|(main, _)| main == CREDS) {
                survey.creds_companions.push(name);
            } else if is_temporary(&name) {
                survey.temporaries.push(name);
            } else if name.contains(char::REPLACEMENT_CHARACTER) {
                // No name that we could ask for.
                survey.foreign.push(name);
            } else if let Some(own) = Name::parse(&name) {
                match own {
                    Name::Log(generation) => survey.logs.push(generation),
                    Name::Aside(_) => survey.asides.push(name),
                    Name::Temporary | Name::Lock => {}
                }
            } else if let Some(key) = stem_of_file(&name).and_then(Key::from_stem) {
                mains.insert(key.stem.clone());
                survey.add(key);
            } else if let Some((stem, waits)) = key_companion(&name) {
                waiting.extend(waits.then(|| stem.to_owned()));
                survey.key_companions.push(name);
            } else {
                survey.foreign.push(name);
            }
        }
        survey.logs.sort_unstable();
        let waiting = waiting.iter().filter(|stem| !mains.contains(*stem));
        waiting.filter_map(|stem| Key::from_stem(stem)).for_each(|key| survey.add(key));
        Ok(survey)
    }

    /// Whether nothing here is an account's, or what is left of one.
    #[must_use]
    pub fn holds_nothing(&self) -> bool {
        let Self { creds_companions, logs, keys, key_companions, asides, temporaries, .. } = self;
        let names = [creds_companions, key_companions, asides, temporaries];
        !self.creds
            && !self.marker
            && logs.is_empty()
            && keys.is_empty()
            && names.iter().all(|names| names.is_empty())
    }

    fn add(&mut self, key: Key) {
        let known = known_type(&key.stem).is_some();
        (if known { &mut self.keys } else { &mut self.unknown_keys }).push(key);
    }
}

/// The stem of the key file that a companion belongs to, and whether it may stand in for it when that is missing.
#[must_use]
pub fn key_companion(name: &str) -> Option<(&str, bool)> {
    let (main, waits) = companion_of(name)?;
    Some((stem_of_file(main)?, waits))
}

/// Temporaries that are older than this, in seconds, are left from a crash.
const STALE_SECONDS: u64 = 600;

/// Removes temporaries of ours that nobody writes any more.
///
/// # Errors
/// `Io`.
pub fn remove_stale(folder: &Folder, temporaries: &[String]) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let oldest = i128::from(now.as_secs().saturating_sub(STALE_SECONDS)) * 1_000_000_000;
    for name in temporaries {
        let stat = folder.dir.stat_name(name).map_err(|error| folder.io("look at", name, &error))?;
        if stat.is_some_and(|stat| stat.modified_ns < oldest) {
            folder.remove(name)?;
        }
    }
    Ok(())
}
