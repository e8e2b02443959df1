//! What is in a folder, for people; beside its owner, and where nothing can be written. Nothing secret.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use auth_log::fs::{DiskFs, Fs};
use auth_log::{Holder, Reader, holder};
use serde_json::Value as Json;

use super::{existing, on_accounts};
use crate::backend::log_error;
use crate::error::Result;
use crate::folder::{CREDS, Folder, Stored, Survey};
use crate::keys::{Key, known_type};

/// How many keys there are of a type, and how much they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypeCount {
    /// Keys.
    pub count: u64,
    /// Bytes of their files, or of their records in the log.
    pub bytes: u64,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The folder.
    pub path: String,
    /// `multi-file`, `native`, or `both` (somebody ran another helper on a native folder).
    pub format: &'static str,
    /// Of the log's format.
    pub version: Option<u32>,
    /// `present`, `missing` or `corrupt`.
    pub creds: &'static str,
    /// The account's own address (phone number), once it is known.
    pub id: Option<String>,
    /// The account's LID, once it is known.
    pub lid: Option<String>,
    /// The phone has confirmed the link.
    pub paired: bool,
    /// An unfinished migration's target.
    pub unfinished: bool,
    /// By type; types that Baileys does not have under `unknown`.
    pub types: BTreeMap<String, TypeCount>,
    /// Bytes that all keys take.
    pub live_bytes: u64,
    /// Bytes of the log that a compaction would give back.
    pub dead_bytes: u64,
    /// Milliseconds since 1970; of the newest file.
    pub last_write_ms: Option<u64>,
    /// Who has the store open.
    pub holder: Option<Holder>,
}

/// Looks at an account.
///
/// # Errors
/// `Io` (`ENOENT` when there is no folder), `NotADirectory`, `Corrupt` and `UnsupportedVersion` of the log.
pub async fn inspect(path: PathBuf) -> Result<Inspection> {
    on_accounts(&[&path.clone()], move || inspect_on(&DiskFs, &path)).await
}

fn inspect_on(fs: &dyn Fs, path: &Path) -> Result<Inspection> {
    let folder = existing(fs, path)?;
    let survey = Survey::of(&folder)?;
    let failed = |error| log_error(error, &folder.path);
    let reader = Reader::open(folder.dir.as_ref()).map_err(failed)?;
    let stored = folder.read_stored_creds()?;
    let creds = match &stored {
        Stored::Whole(creds, _) | Stored::Healed { value: creds, .. } => Some(creds),
        Stored::Missing | Stored::Torn { .. } => None,
    };
    let json: Option<Json> =
        creds.and_then(|creds| serde_json::from_str(&String::from_utf8_lossy(&creds.text)).ok());
    let me = |name: &str| json.as_ref()?.get("me")?.get(name)?.as_str().map(str::to_owned);
    let mut types = BTreeMap::<String, TypeCount>::new();
    let mut count = |key: &Key, bytes: u64| {
        let name = known_type(&key.stem).map_or("unknown", |_| key.key_type.as_str());
        let entry = types.entry(name.to_owned()).or_default();
        entry.count += 1;
        entry.bytes += bytes;
    };
    let mut newest = folder.stat(CREDS)?.map(|stat| stat.modified_ns);
    for key in &survey.keys {
        // One that went meanwhile is not there.
        if let Some(stat) = folder.stat(&key.file_name())? {
            newest = newest.max(Some(stat.modified_ns));
            count(key, stat.size);
        }
    }
    let mut dead_bytes = 0;
    if let Some(reader) = &reader {
        reader.for_each_size(&mut |stem, label, bytes| {
            let key = std::str::from_utf8(stem).ok().and_then(|stem| Key::from_label(stem, label));
            if let Some(key) = key.filter(|key| !key.is_ours()) {
                count(&key, bytes);
            }
        });
        dead_bytes = reader.sizes().dead_bytes;
        newest = newest.max(reader.modified_ns());
    }
    Ok(Inspection {
        path: path.display().to_string(),
        format: match (&reader, survey.keys.is_empty()) {
            (None, _) => "multi-file",
            (Some(_), true) => "native",
            (Some(_), false) => "both",
        },
        version: reader.as_ref().map(Reader::version),
        creds: match &stored {
            Stored::Missing => "missing",
            Stored::Whole(..) | Stored::Healed { .. } => "present",
            Stored::Torn { .. } => "corrupt",
        },
        id: me("id"),
        lid: me("lid"),
        paired: creds.is_some_and(|creds| creds.summary.paired),
        unfinished: survey.marker,
        live_bytes: types.values().map(|entry| entry.bytes).sum(),
        types,
        dead_bytes,
        last_write_ms: newest.and_then(|ns| u64::try_from(ns / 1_000_000).ok()),
        holder: lock_holder(&folder)?,
    })
}

fn lock_holder(folder: &Folder) -> Result<Option<Holder>> {
    holder(folder.dir.as_ref()).map_err(|error| log_error(error, &folder.path))
}
