//! Logout: credentials, keys and our own files, and nothing else.

use std::path::PathBuf;

use auth_log::format::LOCK;
use auth_log::fs::{DiskFs, Fs};

use super::held;
use crate::backend::{Format, KeyStore, Locking, judge_format, lock_store, offline_keys};
use crate::error::Result;
use crate::folder::{CREDS, Folder, MARKER, Survey};
use crate::registry;
use crate::runtime::{Lane, run};

/// Removes an account. Open handles of this process are `Gone` from then on. Credentials go before keys, so that a
/// crash leaves no identity without its sessions.
///
/// # Errors
/// `Locked` by another process; `Io`.
pub async fn delete(path: PathBuf) -> Result<()> {
    let folder = held(path).await?;
    match registry::open_store(folder.id) {
        Some(store) => store.delete().await,
        None => run(Lane::Move, move || delete_closed(&folder)).await?,
    }
}

fn delete_closed(folder: &std::sync::Arc<Folder>) -> Result<()> {
    let survey = Survey::of(folder)?;
    let native = !survey.logs.is_empty();
    let lock = if native {
        match lock_store(folder)? {
            Locking::Mine(lock) => Some(lock),
            Locking::Theirs(error) => return Err(error),
        }
    } else {
        None
    };
    judge_format(folder, &survey, if native { Format::Native } else { Format::MultiFile })?;
    delete_account(folder, offline_keys(folder.clone(), native, lock).as_ref())
}

/// Removes what is stored in a folder, under its lock.
pub(crate) fn delete_account(folder: &Folder, keys: &dyn KeyStore) -> Result<()> {
    let survey = Survey::of(folder)?;
    // Companions first: what is left of them would be a `creds.json` that somebody might restore.
    for name in survey.creds_companions.iter().map(String::as_str).chain([CREDS]) {
        folder.remove(name)?;
    }
    folder.sync()?;
    keys.delete()?;
    for name in survey.temporaries.iter().map(String::as_str).chain([MARKER]) {
        folder.remove(name)?;
    }
    // A folder that has no log may have a lock: of a store that was never written, or whose log somebody removed.
    folder.remove(LOCK)?;
    folder.sync()?;
    // Somebody else's files keep the folder, and so does a folder that was renamed: both are fine.
    if DiskFs.open_dir(&folder.path).and_then(|dir| dir.stat()).is_ok_and(|stat| stat.id == folder.id) {
        let _ = DiskFs.remove_dir(&folder.path);
    }
    Ok(())
}
