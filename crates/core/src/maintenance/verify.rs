//! Reads and checks everything, and changes nothing.

use std::path::{Path, PathBuf};

use auth_log::fs::{DiskFs, Fs};
use auth_log::holder;

use super::{existing, on_accounts};
use crate::backend::{Format, judge_format, log_error};
use crate::error::Result;
use crate::folder::{CREDS, Folder, Stored, Survey};
use crate::keys::Key;
use crate::usable::unusable;
use crate::value::is_json;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, Default)]
pub struct Fault {
    /// The file.
    pub path: String,
    /// The key's type.
    pub key_type: Option<String>,
    /// The key's id.
    pub id: Option<String>,
    /// Which field of the value.
    pub field: Option<String>,
    /// Where in the file, in bytes.
    pub offset: Option<u64>,
    /// For people.
    pub message: String,
}

/// What was checked, and what is wrong.
#[derive(Clone, Debug, Default)]
pub struct Verification {
    /// How many values were read and checked, credentials included.
    pub checked: u64,
    /// Everything that is wrong.
    pub faults: Vec<Fault>,
    /// Bytes at the end of a log that are no whole commit: what a crash or a power cut leaves, and a file that was cut
    /// short in the middle of a commit. The next open drops them.
    pub tail_bytes: u64,
}

/// Checks an account, also beside its owner and in a folder that cannot be written.
///
/// # Errors
/// `Io`, `NotADirectory`; what is damaged is no error but a fault.
pub async fn verify(path: PathBuf) -> Result<Verification> {
    on_accounts(&[&path.clone()], move || verify_on(&DiskFs, &path)).await
}

fn verify_on(fs: &dyn Fs, path: &Path) -> Result<Verification> {
    let folder = existing(fs, path)?;
    let survey = Survey::of(&folder)?;
    let mut found = Verification::default();
    found.creds(&folder)?;
    for key in survey.keys.iter().chain(&survey.unknown_keys) {
        found.file(&folder, key)?;
    }
    if !survey.logs.is_empty() {
        found.log(&folder, &survey)?;
        let path = folder.path.display().to_string();
        found.faults.extend(judge_format(&folder, &survey, Format::Native).err().map(|error| {
            let message = error.to_string();
            // The fault says where itself.
            let message = message.strip_prefix(&format!("{path} ")).map_or(message.clone(), str::to_owned);
            Fault { path, message, ..Fault::default() }
        }));
    }
    Ok(found)
}

/// Whether the end of a log is not just being written: nobody has the store, and it is still the same.
fn is_left(folder: &Folder, tail_bytes: u64) -> Result<bool> {
    let again = auth_log::verify(folder.dir.as_ref(), &mut |_| {});
    let again = again.map_err(|error| log_error(error, &folder.path))?;
    // Where locks cannot be asked nobody is known to have it.
    Ok(again.tail_bytes == tail_bytes && holder(folder.dir.as_ref()).ok().flatten().is_none())
}

impl Verification {
    fn creds(&mut self, folder: &Folder) -> Result<()> {
        let path = folder.path_of(CREDS).display().to_string();
        self.checked += 1;
        let fault = match folder.read_stored_creds()? {
            Stored::Whole(..) => None,
            Stored::Missing => Some("is missing".to_owned()),
            Stored::Healed { message, .. } => Some(message),
            Stored::Torn { name, fault, .. } if name == CREDS => Some(fault.to_owned()),
            Stored::Torn { name, fault, .. } => Some(format!("is missing, and {name} {fault}")),
        };
        self.faults.extend(fault.map(|message| Fault { path, message, ..Fault::default() }));
        Ok(())
    }

    fn file(&mut self, folder: &Folder, key: &Key) -> Result<()> {
        let path = folder.path_of(&key.file_name());
        let (value, fault) = match folder.read_key(key)? {
            // One that went meanwhile is not there.
            Stored::Missing => return Ok(()),
            Stored::Whole(value, _) => (Some(value), None),
            Stored::Healed { value, message, .. } => (Some(value), Some(message)),
            Stored::Torn { fault, .. } => (None, Some(fault.to_owned())),
        };
        match value {
            Some(value) => self.value(&path, key, &value.text),
            None => self.checked += 1,
        }
        self.faults.extend(fault.map(|message| Fault {
            path: path.display().to_string(),
            key_type: Some(key.key_type.clone()),
            id: Some(key.id.clone()),
            message,
            ..Fault::default()
        }));
        Ok(())
    }

    fn value(&mut self, path: &Path, key: &Key, text: &[u8]) {
        self.checked += 1;
        let fault = |field: &str, message: String| Fault {
            path: path.display().to_string(),
            key_type: Some(key.key_type.clone()),
            id: Some(key.id.clone()),
            field: Some(field.to_owned()).filter(|field| !field.is_empty()),
            offset: None,
            message,
        };
        if !is_json(text) {
            self.faults.push(fault("", "is not whole JSON".to_owned()));
        } else if let Some(unusable) = unusable(&key.key_type, text) {
            let message = format!("Baileys cannot use this value: it should be {}", unusable.should_be);
            self.faults.push(fault(unusable.field, message));
        }
    }

    fn log(&mut self, folder: &Folder, survey: &Survey) -> Result<()> {
        let name =
            survey.logs.last().map(|n| auth_log::format::Name::Log(*n).to_string()).unwrap_or_default();
        let path = folder.path_of(&name);
        let mut visit = |record: auth_log::Record<'_>| {
            let key =
                std::str::from_utf8(record.key).ok().and_then(|stem| Key::from_label(stem, record.label));
            match key {
                Some(key) if key.is_ours() => {}
                Some(key) => self.value(&path, &key, record.value),
                None => self.faults.push(Fault {
                    path: path.display().to_string(),
                    message: "has a key that is none of ours".to_owned(),
                    ..Fault::default()
                }),
            }
        };
        let failed = |error| log_error(error, &folder.path);
        let verified = auth_log::verify(folder.dir.as_ref(), &mut visit).map_err(failed)?;
        if verified.tail_bytes > 0 && is_left(folder, verified.tail_bytes)? {
            self.tail_bytes = verified.tail_bytes;
        }
        self.faults.extend(verified.faults.into_iter().map(|fault| Fault {
            path: folder.path_of(&fault.name).display().to_string(),
            offset: Some(fault.offset),
            message: fault.detail.to_string(),
            ..Fault::default()
        }));
        Ok(())
    }
}
