//! A copy of one moment in the same format, also beside an owner in another process.

use std::path::PathBuf;
use std::sync::Arc;

use auth_log::fs::DiskFs;

use super::{existing, on_accounts};
use crate::backend::Format;
use crate::error::{Code, Result};
use crate::folder::{Folder, Survey};
use crate::migration::{Aim, Plan, Report, migrate_held};

/// How often a source that is written meanwhile is read before it is `Changed`.
const ATTEMPTS: usize = 3;

/// Copies an account into a folder that is missing or empty. The copy is verified, on disk, and opens.
///
/// # Errors
/// As a migration; `Changed` when key files were written during each of three readings.
pub async fn backup(from: PathBuf, to: PathBuf) -> Result<Report> {
    on_accounts(&[&from.clone(), &to.clone()], move || copy(&existing(&DiskFs, &from)?, to)).await
}

/// The same of a folder that is held, blocking.
pub(crate) fn copy(folder: &Arc<Folder>, to: PathBuf) -> Result<Report> {
    let native = !Survey::of(folder)?.logs.is_empty();
    let format = Some(if native { Format::Native } else { Format::MultiFile });
    let plan = Plan { format, lock_source: false, aim: Aim::Copy, ..Plan::new(&folder.path, &to) };
    let mut attempt = 1;
    loop {
        match migrate_held(&DiskFs, folder, &plan) {
            Err(error) if error.code() == Code::Changed && attempt < ATTEMPTS => attempt += 1,
            result => return result,
        }
    }
}
