//! What is done to a whole account: looked at, checked, copied, mended, removed. A store that this process has open
//! is reached through itself, so that everything keeps its place in the order of calls.

mod backup;
mod compact;
mod delete;
mod inspect;
mod repair;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use auth_log::fs::{DiskFs, Fs};

use crate::error::Result;
use crate::events::Listeners;
use crate::folder::{Folder, no_account};
use crate::registry;
use crate::runtime::{Lane, run};

pub use backup::backup;
pub use compact::{Compacted, compact};
pub use delete::delete;
pub(crate) use delete::{delete_account, keep_account, remove_folder};
pub use inspect::{Inspection, TypeCount, inspect};
pub use repair::{Repair, repair};
pub use verify::{Fault, Verification, verify};

/// Opens the folder of an account, which must be there.
pub(crate) fn existing(fs: &dyn Fs, path: &Path) -> Result<Arc<Folder>> {
    let folder = Folder::open(fs, path, &Listeners::default())?;
    folder.map(Arc::new).ok_or_else(|| no_account(path))
}

async fn held(path: PathBuf) -> Result<Arc<Folder>> {
    run(Lane::Move, move || existing(&DiskFs, &path)).await?
}

/// Does blocking work on the accounts at these paths, when each can be reached.
pub(crate) async fn on_accounts<T: Send + 'static>(
    paths: &[&Path],
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    reach(paths).await?;
    run(Lane::Move, work).await?
}

/// Waits until each of these paths can be reached.
pub(crate) async fn reach(paths: &[&Path]) -> Result<()> {
    for path in paths {
        registry::reach(path.to_path_buf()).await?;
    }
    Ok(())
}
