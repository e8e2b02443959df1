//! Salvage: all that is sound goes into a new store; the damaged one stays as it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use auth_log::fs::{DiskFs, Fs};
use bytes::Bytes;

use super::verify::Fault;
use super::{existing, on_accounts};
use crate::backend::{FLAG_PLAIN, Format, judge_format, log_error};
use crate::error::Result;
use crate::folder::{Folder, Stored, Survey, no_account, read_creds};
use crate::keys::{Key, known_type};
use crate::migration::{Aim, Target};
use crate::value::Value;

/// What was saved, and what was not.
#[derive(Clone, Debug, Default)]
pub struct Repair {
    /// Keys of each type that are in the new store; of types that Baileys does not have, under `unknown`.
    pub counts: BTreeMap<String, u32>,
    /// What could not be saved, and where it was.
    pub lost: Vec<Fault>,
}

/// Makes a new account folder, in the same format, of all that is sound in a damaged one. It is on disk when this
/// resolves.
///
/// # Errors
/// `Corrupt` when the credentials are (nothing can stand for them), `WrongFormat` of a folder that holds both, `Exists`,
/// `Locked`, `Io`, `Full`.
pub async fn repair(from: PathBuf, to: PathBuf) -> Result<Repair> {
    on_accounts(&[&from.clone(), &to.clone()], move || repair_on(&DiskFs, &from, &to)).await
}

fn repair_on(fs: &dyn Fs, from: &Path, to: &Path) -> Result<Repair> {
    let folder = existing(fs, from)?;
    let survey = Survey::of(&folder)?;
    let creds = read_creds(&folder)?.ok_or_else(|| no_account(from))?.creds;
    let native = !survey.logs.is_empty();
    let format = if native { Format::Native } else { Format::MultiFile };
    judge_format(&folder, &survey, format)?;
    let target = Target::begin(fs, to, format, &creds, Aim::Copy)?;
    let mut writer = target.writer()?;
    let mut repair = Repair::default();
    let mut failed = Ok(());
    let mut put = |key: Key, value: Value| {
        let counted = known_type(&key.stem).map_or("unknown", |_| key.key_type.as_str());
        *repair.counts.entry(counted.to_owned()).or_insert(0) += 1;
        writer.put(key, value)
    };
    if native {
        let mut odd = Vec::new();
        let mut visit = |record: auth_log::Record<'_>| {
            let key =
                std::str::from_utf8(record.key).ok().and_then(|stem| Key::from_label(stem, record.label));
            let Some(key) = key else { return odd.push(from.display().to_string()) };
            if key.is_ours() {
                return;
            }
            let plain = record.flags & FLAG_PLAIN != 0;
            let value = Value { text: Bytes::copy_from_slice(record.value), plain };
            if failed.is_ok() {
                failed = put(key, value);
            }
        };
        let salvaged = auth_log::salvage(folder.dir.as_ref(), &mut visit);
        let salvaged = salvaged.map_err(|error| log_error(error, &folder.path))?;
        failed?;
        repair.lost.extend(salvaged.lost.into_iter().map(|fault| Fault {
            path: folder.path_of(&fault.name).display().to_string(),
            offset: Some(fault.offset),
            message: fault.detail.to_string(),
            ..Fault::default()
        }));
    } else {
        repair.lost = files(&folder, &survey, &mut put)?;
    }
    writer.finish(None)?;
    target.publish(&creds)?;
    Ok(repair)
}

fn files(
    folder: &Folder,
    survey: &Survey,
    put: &mut dyn FnMut(Key, Value) -> Result<()>,
) -> Result<Vec<Fault>> {
    let mut lost = Vec::new();
    for key in survey.keys.iter().chain(&survey.unknown_keys) {
        match folder.read_key(key)? {
            Stored::Missing => {}
            Stored::Whole(value, _) | Stored::Healed { value, .. } => put(key.clone(), value)?,
            Stored::Torn { name, fault, .. } => lost.push(Fault {
                path: folder.path_of(&name).display().to_string(),
                key_type: Some(key.key_type.clone()),
                id: Some(key.id.clone()),
                message: fault.to_owned(),
                ..Fault::default()
            }),
        }
    }
    Ok(lost)
}
