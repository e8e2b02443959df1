//! What lies in a folder, by its names alone: one listing, read once.

use std::time::{SystemTime, UNIX_EPOCH};

use auth_log::format::Name;

use super::{CREDS, Folder};
use crate::error::Result;
use crate::keys::{Key, known_type, stem_of_file};

/// There while a migration into this folder has not finished.
pub const MARKER: &str = "migration-unfinished";

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
    /// Key files of types that Baileys has, each with the key that its name says.
    pub keys: Vec<Key>,
    /// Key files of other types.
    pub unknown_keys: Vec<Key>,
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
        for name in folder.names()? {
            if name == CREDS {
                survey.creds = true;
            } else if name == MARKER {
                survey.marker = true;
            } else if name.strip_prefix(CREDS).is_some_and(|rest| rest == ".tmp" || rest == ".bak") {
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
                let known = known_type(&key.stem).is_some();
                (if known { &mut survey.keys } else { &mut survey.unknown_keys }).push(key);
            } else {
                survey.foreign.push(name);
            }
        }
        survey.logs.sort_unstable();
        Ok(survey)
    }
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
