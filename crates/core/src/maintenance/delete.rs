//! Logout: credentials, keys and our own files, and nothing else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use auth_log::format::LOCK;
use auth_log::fs::{DiskFs, Fs};

use super::backup::copy;
use super::{held, reach};
use crate::backend::{Format, KeyStore, Locking, judge_format, lock_store, offline_keys};
use crate::error::{Code, Result};
use crate::folder::{CREDS, Folder, MARKER, MOVED, Survey, no_account};
use crate::registry;
use crate::runtime::{Lane, run};

/// Removes an account; copies it first to where it is to be kept, in one step: of each write of this process either the
/// copy has it, or it is refused. Open handles of this process are `Gone` from then on. Credentials go before keys, so
/// that a crash leaves no identity without its sessions.
///
/// # Errors
/// `Io` (`ENOENT` where there is nothing of an account); `Locked` by another process; of the copy (`WrongFormat` of a
/// folder that holds both), and nothing is removed then.
pub async fn delete(path: PathBuf, keep: Option<PathBuf>) -> Result<()> {
    let paths: Vec<&Path> = keep.iter().map(PathBuf::as_path).chain([path.as_path()]).collect();
    reach(&paths).await?;
    let folder = held(path).await?;
    let _closed = loop {
        match registry::open_or_closed(folder.id).await {
            Err(closed) => break closed,
            Ok(store) => match store.delete(keep.clone()).await {
                // It was closing: once it has let go, this is a folder like any other.
                Err(error) if error.code() == Code::Closed => store.released().await,
                deleted => return deleted,
            },
        }
    };
    run(Lane::Move, move || delete_closed(&folder, keep)).await?
}

fn delete_closed(folder: &Arc<Folder>, keep: Option<PathBuf>) -> Result<()> {
    let survey = Survey::of(folder)?;
    let native = !survey.logs.is_empty();
    let locked = folder.stat(LOCK)?.is_some();
    if survey.holds_nothing() && !locked {
        return Err(no_account(&folder.path));
    }
    let both = native && !survey.keys.is_empty();
    if both && keep.is_some() {
        judge_format(folder, &survey, Format::Native)?;
    }
    // Without a log, too: the store's may have been removed under it.
    let lock = if native || locked {
        match lock_store(folder)? {
            Locking::Mine(lock) => Some(lock),
            Locking::Theirs(error) => return Err(error),
        }
    } else {
        None
    };
    let (lock, stray) = if native { (lock, None) } else { (None, lock) };
    let keys = offline_keys(folder.clone(), native, lock);
    if let Some(to) = keep {
        keep_account(folder, keys.as_ref(), to)?;
    }
    // What another helper has left beside a log goes with it.
    let files = both.then(|| offline_keys(folder.clone(), false, None));
    let all: Vec<&dyn KeyStore> = files.iter().chain([&keys]).map(AsRef::as_ref).collect();
    delete_account(folder, &all)?;
    if stray.is_some() {
        folder.remove(LOCK)?;
        remove_folder(&DiskFs, folder);
    }
    Ok(())
}

/// Copies what is stored in a folder that is going to be deleted, under its lock.
pub(crate) fn keep_account(folder: &Arc<Folder>, keys: &dyn KeyStore, to: PathBuf) -> Result<()> {
    keys.claim()?;
    copy(folder, to).map(drop)
}

/// Removes what is stored in a folder, under its lock: the credentials, then these keys.
pub(crate) fn delete_account(folder: &Folder, keys: &[&dyn KeyStore]) -> Result<()> {
    keys.iter().try_for_each(|keys| keys.claim())?;
    let survey = Survey::of(folder)?;
    // Companions first: what is left of them would be a `creds.json` that somebody might restore.
    for name in survey.creds_companions.iter().map(String::as_str).chain([CREDS]) {
        folder.remove(name)?;
    }
    for name in survey.temporaries.iter().map(String::as_str).chain([MARKER, MOVED]) {
        folder.remove(name)?;
    }
    folder.sync()?;
    // Last, for with the keys the lock goes.
    keys.iter().try_for_each(|keys| keys.delete())?;
    folder.sync()?;
    remove_folder(&DiskFs, folder);
    Ok(())
}

/// Somebody else's files keep the folder, and so does a folder that was renamed: both are fine.
pub(crate) fn remove_folder(fs: &dyn Fs, folder: &Folder) {
    if fs.open_dir(&folder.path).and_then(|dir| dir.stat()).is_ok_and(|stat| stat.id == folder.id) {
        let _ = fs.remove_dir(&folder.path);
    }
}
