//! Moving an account: from one folder to another, or from and to whatever JavaScript has ([`Reading`], [`Writing`]).
//!
//! One way for all folders: a marker in the target, all keys, one sync of them, every value read back and compared, then
//! `creds.json`, then the marker goes, with a folder sync behind each. So the target opens whole, or, whenever the
//! machine stops before that, not at all, and another run starts over.

mod control;
mod origin;
mod session;
mod source;
mod target;
mod waves;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use auth_log::fs::{DiskFs, Fs, sync_dir};

use crate::backend::Format;
use crate::creds::Creds;
use crate::error::{Code, Error, Result};
use crate::events::Listeners;
use crate::folder::{CREDS, Folder, MARKER, Survey, free_name};
use crate::keys::{Key, known_type};
use crate::maintenance::{existing, on_accounts, reach};
use crate::registry::{self, Closed};
use crate::runtime::{Lane, run};
use crate::usable::Unusable;
pub use control::{Control, Phase, Progress};
pub use origin::Since;
pub use session::{Entry, Reading, Writing};
use source::Source;
pub(crate) use target::Target;

/// How long to wait for another process that moves the same account.
const ADOPT_POLL: Duration = Duration::from_millis(100);

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

/// What a target is made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aim {
    /// The account goes on there.
    #[default]
    Move,
    /// A backup, or what is sound of a damaged store.
    Copy,
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
    /// What the source is read as; `None` when it holds one format alone.
    pub source_format: Option<Format>,
    /// Read every value back and compare it.
    pub verify: bool,
    /// Leave key files out that are not JSON.
    pub skip_corrupt: bool,
    /// Rename the source afterwards.
    pub retire: bool,
    /// Take the source's lock, so that nobody writes it meanwhile. Without it a copy of one moment is made.
    pub lock_source: bool,
    /// What the target is for.
    pub aim: Aim,
    /// The caller's end.
    pub control: Control,
}

impl Plan {
    /// Everything from one folder to another, verified, the source under its lock and left where it is.
    #[must_use]
    pub fn new(from: &Path, to: &Path) -> Self {
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            format: None,
            source_format: None,
            verify: true,
            skip_corrupt: false,
            retire: false,
            lock_source: true,
            aim: Aim::Move,
            control: Control::default(),
        }
    }
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
    /// Where the source is now, if it was renamed.
    pub retired: Option<String>,
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
/// `Corrupt` (all bad files in one error, or a copy that differs), `Exists` (also where the source holds no account any
/// more and the target holds one: it was moved before), `Locked`, `WrongFormat`, `Changed`,
/// `Incomplete` (of the source), `Aborted`, `Io`, `Full`. The target does not open then, or was not touched.
pub async fn migrate(plan: Plan) -> Result<Report> {
    let fs: Arc<dyn Fs> = Arc::new(DiskFs);
    reach(&[&plan.from, &plan.to]).await?;
    let _closed = check_closed(&fs, &plan).await?;
    run(Lane::Move, move || migrate_on(fs.as_ref(), &plan)).await?
}

/// A native store that this process has open is moved by its handle; no folder is renamed under a handle: as long as what
/// this gives is there, one that is to be renamed is not opened.
async fn check_closed(fs: &Arc<dyn Fs>, plan: &Plan) -> Result<Option<Closed>> {
    let Plan { from, lock_source, retire, .. } = plan;
    if !lock_source {
        // Whoever reads it has seen to that.
        return Ok(None);
    }
    let (fs, path) = (fs.clone(), from.clone());
    let id = run(Lane::Move, move || {
        Folder::open(fs.as_ref(), &path, &Listeners::default()).map(|folder| folder.map(|folder| folder.id))
    })
    .await??;
    let Some(id) = id else { return Ok(None) };
    let open = match registry::open_or_closed(id).await {
        Err(closed) => return Ok(retire.then_some(closed)),
        Ok(store) => store.format(),
    };
    match open {
        Some(open) if *retire || open == Format::Native => {
            let (path, format) = (from.display(), open.name());
            let message = format!(
                "{path} is open in this process as {format}: close its handles before it is moved, or hand one of them in"
            );
            Err(Error::new(Code::Locked, message)
                .at(from)
                .with(|details| details.pid = Some(std::process::id())))
        }
        _ => Ok(None),
    }
}

/// The same, blocking, on any file system.
///
/// # Errors
/// As [`migrate`].
pub fn migrate_on(fs: &dyn Fs, plan: &Plan) -> Result<Report> {
    let moved_before = |error: Error| match error.details().errno.as_deref() {
        Some("ENOENT") if holds_account(fs, &plan.to) => already_moved(&plan.from, &plan.to),
        _ => error,
    };
    existing(fs, &plan.from).and_then(|folder| migrate_held(fs, &folder, plan)).map_err(moved_before)
}

fn holds_account(fs: &dyn Fs, path: &Path) -> bool {
    let folder = Folder::open(fs, path, &Listeners::default()).ok().flatten();
    folder.and_then(|folder| folder.stat(CREDS).ok().flatten()).is_some()
}

/// A script that moves an account and retires the source is run again.
fn already_moved(from: &Path, to: &Path) -> Error {
    let (shown, target) = (from.display(), to.display());
    let message = format!(
        "{shown} holds no account, and {target} holds one already: if it was moved there before, that is done, and there is \
         nothing left to do. If not, check the path: nothing was written"
    );
    Error::new(Code::Exists, message).at(to)
}

/// The same out of a folder that is held, whatever its path leads to by now.
pub(crate) fn migrate_held(fs: &dyn Fs, folder: &Arc<Folder>, plan: &Plan) -> Result<Report> {
    let started = Instant::now();
    let Plan { from, to, verify, control, .. } = plan;
    check_apart(fs, from, to)?;
    let mut source = Source::open(folder.clone(), plan)?;
    let format = plan.format.unwrap_or(match source.format() {
        Format::MultiFile => Format::Native,
        Format::Native => Format::MultiFile,
    });
    let target = Target::begin(fs, to, format, source.creds(), plan.aim)?;
    let moved = copy(&mut source, &target, plan).and_then(|moved| {
        control.begin(Phase::Publish, 0).end();
        control.check().map(|()| moved)
    });
    let Moved { counts, bytes, mut remarks } = match moved {
        Ok(moved) => moved,
        Err(error) => {
            target.abandon(fs);
            return Err(error);
        }
    };
    target.publish(source.creds())?;
    let retired = plan.retire.then(|| retire(fs, from, &source)).transpose();
    let retired = retired.unwrap_or_else(|remark| {
        remarks.push(remark);
        None
    });
    Ok(Report {
        counts,
        verified: *verify,
        remarks,
        retired,
        bytes,
        duration: started.elapsed(),
        from: (source.format(), from.display().to_string()),
        to: (format, to.display().to_string()),
    })
}

/// What was copied.
#[derive(Default)]
struct Moved {
    counts: BTreeMap<String, u32>,
    bytes: u64,
    remarks: Vec<Remark>,
}

impl Moved {
    fn count(&mut self, key: &Key, text: &[u8], fault: Option<Unusable>) {
        let counted = known_type(&key.stem).map_or("unknown", |_| key.key_type.as_str());
        *self.counts.entry(counted.to_owned()).or_insert(0) += 1;
        self.bytes += length(text);
        self.remarks.extend(fault.map(|fault| Remark::unusable(key, fault)));
    }
}

/// Everything but the credentials, on disk, compared.
fn copy(source: &mut Source, target: &Target, plan: &Plan) -> Result<Moved> {
    let mut moved = Moved { bytes: length(&source.creds().text), ..Moved::default() };
    let mut writer = target.writer()?;
    let mut step = plan.control.begin(Phase::Copy, source.len());
    source.read(0, usize::MAX, &mut |key, value, fault| {
        step.advance(length(&value.text))?;
        moved.count(key, &value.text, fault);
        writer.put(key.clone(), value)
    })?;
    step.end();
    let origin = match source.format() {
        Format::MultiFile => Some(source.origin()?),
        Format::Native => source.own_origin()?,
    };
    writer.finish(origin.as_ref())?;
    if plan.verify {
        let copy = target.read_back()?;
        let mut step = plan.control.begin(Phase::Verify, copy.len());
        let same = |key: &Key, hash: &[u8; 32]| {
            if copy.has(key, hash)? { Ok(()) } else { Err(differs(&plan.to, &key.file_name())) }
        };
        let read = source.compare(same, || step.advance(0))?;
        if read != copy.len() {
            return Err(differs(&plan.to, "the number of keys"));
        }
        step.end();
    }
    source.check_unchanged()?;
    moved.remarks.splice(..0, source.remarks());
    Ok(moved)
}

/// Renames the source, so that old code cannot go on with it, and says where it is. One that cannot be renamed is marked
/// at least, so that it is not moved once more.
fn retire(fs: &dyn Fs, from: &Path, source: &Source) -> std::result::Result<String, Remark> {
    let renamed = rename_aside(fs, from).map(|path| path.display().to_string());
    renamed.map_err(|why| origin::retire_failed(from, &why, origin::mark(source)))
}

fn rename_aside(fs: &dyn Fs, from: &Path) -> io::Result<PathBuf> {
    let parent = from.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = from.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
    let dir = fs.open_dir(parent)?;
    let retired = free_name(dir.as_ref(), &format!("{name}.migrated"))?;
    dir.rename(name, &retired)?;
    // Where that does not come to the disk, the source is back under its name: a later start says so.
    let _ = sync_dir(dir.as_ref());
    Ok(parent.join(retired))
}

/// What became of a source on the way to a store that is being opened.
#[derive(Debug)]
pub enum Adopted {
    /// There is nothing to move.
    Nothing,
    /// It was moved just now.
    Moved(Box<Report>),
    /// It was moved before, and is still there.
    Since(Since),
    /// It was moved before (in milliseconds since 1970) and not used since, and where it went nothing is stored any more:
    /// a dead account.
    LoggedOut(u64),
}

/// Moves an account to a native folder that has none yet, and retires the source; where it was moved before, looks
/// whether the source was used again since. Waits for another process that does the same, until `deadline`.
///
/// # Errors
/// As [`migrate`]; `Diverged`.
pub async fn adopt(from: PathBuf, to: PathBuf, deadline: Instant) -> Result<Adopted> {
    loop {
        if let Some(adopted) = look_before(&from, &to).await? {
            return Ok(adopted);
        }
        let plan = Plan { format: Some(Format::Native), retire: true, ..Plan::new(&from, &to) };
        match migrate(plan).await {
            Ok(report) => return Ok(Adopted::Moved(Box::new(report))),
            // Another process does it, and will be ready soon, or has it in use.
            Err(error)
                if matches!(error.code(), Code::Locked | Code::Exists | Code::Io | Code::Changed)
                    && Instant::now() < deadline =>
            {
                let moved = look_before(&from, &to).await?;
                if moved.is_none() && error.code() != Code::Locked {
                    return Err(error);
                }
                tokio::time::sleep(ADOPT_POLL).await;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn look_before(from: &Path, to: &Path) -> Result<Option<Adopted>> {
    let (source, target) = (from.to_owned(), to.to_owned());
    on_accounts(&[from, to], move || stored_before(&DiskFs, &source, &target)).await
}

/// `None` when the target has no account and the source has one.
fn stored_before(fs: &dyn Fs, from: &Path, to: &Path) -> Result<Option<Adopted>> {
    let Some(source) = Folder::open(fs, from, &Listeners::default())? else {
        return Ok(Some(Adopted::Nothing));
    };
    let found = Survey::of(&source)?;
    if !found.creds && found.creds_companions.is_empty() {
        return Ok(Some(Adopted::Nothing));
    }
    check_apart(fs, from, to)?;
    let target = Folder::open(fs, to, &Listeners::default())?;
    let survey = target.as_ref().map(Survey::of).transpose()?.unwrap_or_default();
    let target = target.filter(|_| survey.creds || !survey.creds_companions.is_empty());
    let Some(target) = target else {
        // What an unfinished run has left is to be finished.
        let dead = if survey.marker { None } else { origin::marked(fs, &source)? };
        return Ok(dead.map(Adopted::LoggedOut));
    };
    origin::since(fs, &source, &target).map(|since| Some(Adopted::Since(since)))
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
