//! The files of a log in its folder.

use crate::error::Error;
use crate::format::Name;
use crate::fs::{Dir, sync_dir};

/// Whether a file's name is one that this crate gives: the logs, those set aside, the unfinished one, the lock.
pub fn is_own_name(name: &str) -> bool {
    Name::parse(name).is_some()
}

/// The numbers of the complete logs in a folder, ascending. The highest is the one that counts.
///
/// # Errors
/// `Io`.
pub fn generations(dir: &dyn Dir) -> Result<Vec<u64>, Error> {
    Ok(Contents::of(dir)?.logs)
}

/// Renames every log, so that the folder has none, without losing one: `keys.<n>.log` becomes
/// `keys.<n>.aside`, the one that counts last. Durable when it returns. No log may be open.
///
/// # Errors
/// `Io`; some may be renamed then.
pub fn set_aside(dir: &dyn Dir) -> Result<(), Error> {
    for generation in generations(dir)? {
        let name = Name::Log(generation).to_string();
        dir.rename(&name, &Name::Aside(generation).to_string())
            .map_err(|e| Error::io("renaming", &name, e))?;
    }
    sync(dir)
}

/// Removes every file of the log but the lock: an unfinished one, those set aside, then the logs, the one that
/// counts last, so that an older one never takes its place. Durable when it returns. No log may be open.
///
/// # Errors
/// `Io`; some may be gone then.
pub fn remove(dir: &dyn Dir) -> Result<(), Error> {
    let mut contents = Contents::of(dir)?;
    let highest = contents.logs.pop();
    let older = contents.logs.iter().map(|generation| Name::Log(*generation));
    let aside = contents.aside.iter().map(|generation| Name::Aside(*generation));
    for name in aside.chain(contents.temporary.then_some(Name::Temporary)).chain(older) {
        remove_one(dir, name)?;
    }
    if !contents.logs.is_empty() {
        sync(dir)?;
    }
    if let Some(generation) = highest {
        remove_one(dir, Name::Log(generation))?;
    }
    sync(dir)
}

/// Removes a file of ours, or finds that somebody else has.
pub(crate) fn remove_one(dir: &dyn Dir, name: Name) -> Result<(), Error> {
    match dir.remove(&name.to_string()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("removing", &name.to_string(), error))
        }
        _ => Ok(()),
    }
}

/// Makes the names in a folder durable, where that is possible.
pub(crate) fn sync(dir: &dyn Dir) -> Result<(), Error> {
    sync_dir(dir).map_err(|e| Error::io("syncing", "the folder", e))
}

/// Which files of ours a folder has.
#[derive(Default)]
pub(crate) struct Contents {
    /// Ascending.
    pub logs: Vec<u64>,
    /// In no order.
    pub aside: Vec<u64>,
    /// The highest number that is taken.
    pub highest: Option<u64>,
    pub temporary: bool,
}

impl Contents {
    pub fn of(dir: &dyn Dir) -> Result<Contents, Error> {
        let mut contents = Contents::default();
        for name in dir.names().map_err(|e| Error::io("listing", "the folder", e))? {
            match Name::parse(&name) {
                Some(Name::Log(generation)) => {
                    contents.logs.push(generation);
                    contents.highest = contents.highest.max(Some(generation));
                }
                Some(Name::Aside(generation)) => {
                    contents.aside.push(generation);
                    contents.highest = contents.highest.max(Some(generation));
                }
                Some(Name::Temporary) => contents.temporary = true,
                Some(Name::Lock) | None => {}
            }
        }
        contents.logs.sort_unstable();
        Ok(contents)
    }
}
