//! Moving an account from one folder to another, in the other format.
//!
//! One way for both: a marker in the target, all keys, one sync of them, every value read back and compared, then
//! `creds.json`, then the marker goes, with a folder sync behind each. So the target opens whole, or, whenever the
//! machine stops before that, not at all, and another run starts over.

mod source;
mod target;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use auth_log::fs::{DiskFs, Fs};

use crate::backend::Format;
use crate::creds::Creds;
use crate::error::{Code, Error, Result};
use crate::events::Listeners;
use crate::folder::{Folder, MARKER};
use crate::keys::{Key, known_type};
use crate::maintenance::existing;
use crate::registry;
use crate::runtime::{Lane, run};
use crate::usable::{Unusable, unusable};
use source::Source;
pub(crate) use target::Target;

/// Something that the owner should know: a file that was left out, or a value that Baileys cannot use.
#[derive(Clone, Debug, Default)]
pub struct Remark {
    /// The file.
    pub path: Option<String>,
    /// The key's type.
    pub key_type: Option<String>,
    /// The key's id.
    pub id: Option<String>,
    /// Which field of the value.
    pub field: Option<String>,
    /// For people.
    pub message: String,
}

impl Remark {
    /// A value that Baileys could not use.
    #[must_use]
    pub fn unusable(key: &Key, fault: Unusable) -> Self {
        Self {
            path: None,
            key_type: Some(key.key_type.clone()),
            id: Some(key.id.clone()),
            field: Some(fault.field.to_owned()).filter(|field| !field.is_empty()),
            message: format!("Baileys cannot use this value: it should be {}", fault.should_be),
        }
    }
}

/// What is moved, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The source.
    pub from: PathBuf,
    /// The target.
    pub to: PathBuf,
    /// The target's format; `None` is the other one than the source's.
    pub format: Option<Format>,
    /// Read every value back and compare it.
    pub verify: bool,
    /// Take the source's lock, so that nobody writes it meanwhile. Without it a copy of one moment is made.
    pub lock_source: bool,
}

/// What a migration did.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many keys of each type; of types that Baileys does not have, under `unknown`.
    pub counts: BTreeMap<String, u32>,
    /// Every value was read back and compared.
    pub verified: bool,
    /// What was left alone.
    pub remarks: Vec<Remark>,
    /// Of all values and the credentials.
    pub bytes: u64,
    /// From the call to the end.
    pub duration: Duration,
    /// The source.
    pub from: (Format, String),
    /// The target.
    pub to: (Format, String),
}

/// Moves an account. The source stays as it is; the target is whole and on disk when it resolves.
///
/// # Errors
/// `Corrupt` (all bad files in one error, or a copy that differs), `Exists`, `Locked`, `WrongFormat`, `Changed`,
/// `Incomplete` (of the source), `Io`, `Full`. The target does not open then, or was not touched.
pub async fn migrate(plan: Plan) -> Result<Report> {
    let fs: Arc<dyn Fs> = Arc::new(DiskFs);
    let (looked, path, from) = (fs.clone(), plan.from.clone(), plan.from.clone());
    let id = run(Lane::Move, move || {
        Folder::open(looked.as_ref(), &path, &Listeners::default())
            .map(|folder| folder.map(|folder| folder.id))
    })
    .await??;
    let open = match id {
        Some(id) => registry::open_store(id).await.and_then(|store| store.format()),
        None => None,
    };
    if let Some(open) = open.filter(|format| plan.lock_source && *format == Format::Native) {
        let (path, format) = (from.display(), open.name());
        return Err(Error::new(
            Code::Locked,
            format!("{path} is open in this process as {format}: close its handles before it is moved"),
        )
        .at(&from)
        .with(|details| details.pid = Some(std::process::id())));
    }
    run(Lane::Move, move || migrate_on(fs.as_ref(), &plan)).await?
}

/// The same, blocking, on any file system.
///
/// # Errors
/// As [`migrate`].
pub fn migrate_on(fs: &dyn Fs, plan: &Plan) -> Result<Report> {
    migrate_held(fs, &existing(fs, &plan.from)?, plan)
}

/// The same out of a folder that is held, whatever its path leads to by now.
pub(crate) fn migrate_held(fs: &dyn Fs, folder: &Arc<Folder>, plan: &Plan) -> Result<Report> {
    let started = Instant::now();
    let Plan { from, to, verify, .. } = plan;
    check_apart(fs, from, to)?;
    let source = Source::open(folder.clone(), plan.lock_source)?;
    source.check()?;
    let format = plan.format.unwrap_or(match source.format() {
        Format::MultiFile => Format::Native,
        Format::Native => Format::MultiFile,
    });
    let target = Target::begin(fs, to, format, source.creds())?;
    let mut counts = BTreeMap::new();
    let mut bytes = length(&source.creds().text);
    let mut remarks = source.remarks();
    let mut writer = target.writer()?;
    source.for_each(&mut |key, value| {
        let counted = known_type(&key.stem).map_or("unknown", |_| key.key_type.as_str());
        *counts.entry(counted.to_owned()).or_insert(0) += 1;
        bytes += length(&value.text);
        remarks.extend(unusable(&key.key_type, &value.text).map(|fault| Remark::unusable(&key, fault)));
        writer.put(key, value)
    })?;
    writer.finish()?;
    if *verify {
        let copy = target.read_back()?;
        let mut moved = 0;
        source.for_each(&mut |key, value| {
            moved += 1;
            match copy.get(&key)? {
                Some(text) if *text == *value.text => Ok(()),
                _ => Err(differs(to, &key.file_name())),
            }
        })?;
        if moved != copy.len() {
            return Err(differs(to, "the number of keys"));
        }
    }
    source.check_unchanged()?;
    target.publish(source.creds())?;
    Ok(Report {
        counts,
        verified: *verify,
        remarks,
        bytes,
        duration: started.elapsed(),
        from: (source.format(), from.display().to_string()),
        to: (format, to.display().to_string()),
    })
}

/// A target that is its source, or lies in it, would change it.
fn check_apart(fs: &dyn Fs, from: &Path, to: &Path) -> Result<()> {
    let Ok(source) = fs.canonical(from) else { return Ok(()) };
    // What is missing of the target would be made in the nearest folder that is there.
    let nearest = to.ancestors().find_map(|path| fs.canonical(path).ok().map(|real| (path == to, real)));
    let message = match nearest {
        Some((true, target)) if target == source => {
            format!("from and to are the same folder ({}): a migration makes a new one", source.display())
        }
        Some((_, target)) if target.starts_with(&source) => {
            format!("{} is inside {}: a migration does not change its source", to.display(), source.display())
        }
        _ => return Ok(()),
    };
    Err(Error::new(Code::InvalidArg, message).at(to))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn differs(to: &Path, what: &str) -> Error {
    let shown = to.display();
    Error::new(
        Code::Corrupt,
        format!("the copy in {shown} differs from its source ({what}): it was not published, run the migration again"),
    )
    .at(to)
}

/// The text of the marker for these credentials: their SHA-256.
fn marker_text(creds: &Creds) -> String {
    let hex: String = creds.summary.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex}\n")
}

/// Whether the marker in this folder is of the migration that wrote these credentials: then it is finished.
///
/// # Errors
/// `Io`.
pub fn marker_names(folder: &Folder, creds: &Creds) -> Result<bool> {
    let marker = folder.read(MARKER)?;
    Ok(marker.is_some_and(|(text, _)| text == marker_text(creds).as_bytes()))
}
