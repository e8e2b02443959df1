//! Compaction now, instead of when the store itself thinks it worth while.

use std::path::PathBuf;
use std::sync::Arc;

use super::{held, reach};
use crate::backend::{Account, Durability, Format, Locking, lock_store};
use crate::error::{Code, Result};
use crate::folder::{Survey, no_account};
use crate::registry;
use crate::runtime::{Lane, run};

/// Sizes of a log before and after a compaction, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
}

/// Compacts a native store; a multi-file folder has nothing to compact.
///
/// # Errors
/// As opening a native store; `Locked` when another process has it open (it compacts by itself); `Corrupt`, `Full`,
/// `Io`: the old log stays.
pub async fn compact(path: PathBuf) -> Result<Compacted> {
    reach(&[&path]).await?;
    let folder = held(path).await?;
    while let Some(store) = registry::open_store(folder.id).await {
        match store.compact().await {
            // It was closing: once it has let go, this is a folder like any other.
            Err(error) if error.code() == Code::Closed => store.released().await,
            compacted => return compacted,
        }
    }
    run(Lane::Move, move || {
        let survey = Survey::of(&folder)?;
        if survey.logs.is_empty() {
            let empty = survey.holds_nothing().then(|| no_account(&folder.path));
            return empty.map_or(Ok(Compacted::default()), Err);
        }
        crate::backend::judge(&folder, Format::Native, false)?;
        let lock = match lock_store(&folder)? {
            Locking::Mine(lock) => Some(lock),
            Locking::Theirs(error) => return Err(error),
        };
        let judged = crate::backend::judge(&folder, Format::Native, false)?;
        let account = Account::open(Arc::clone(&folder), Format::Native, judged, lock, Durability::Sync)?;
        let compacted = account.keys().compact()?;
        account.keys().close()?;
        Ok(compacted)
    })
    .await?
}
