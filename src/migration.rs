//! Migrations: from folder to folder in one call, and the halves of one whose other half is JavaScript's.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use auth_core::backend::{Format, Write};
use auth_core::creds::Creds;
use auth_core::error::{Code, Error, Result as CoreResult};
use auth_core::keys::Key;
use auth_core::migration::{self, Adopted, Aim, Control, Plan, Progress, Reading, Since, Writing};
use auth_core::store::Handle;
use auth_core::value::Value;
use napi::bindgen_prelude::{External, Function, Object, Status};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Result};
use napi_derive::napi;

use crate::answer::Answer;
use crate::error::lossy;
use crate::options::{Migrated, Remark};
use crate::promised;
use crate::texts::changes_of;

type Telling = ThreadsafeFunction<Done, (), Done, Status, false, true>;

/// How far a migration is.
#[napi(object, object_from_js = false)]
pub struct Done {
    /// `copy`, `verify` or `publish`.
    pub phase: String,
    /// Keys that are done.
    pub done: f64,
    /// Keys that there are.
    pub total: f64,
    /// Bytes of their values.
    pub bytes: f64,
}

/// How an account is moved. `lib/migrate.js` has checked it.
#[napi(object, object_to_js = false)]
pub struct MoveOptions {
    /// Read every value back and compare it.
    pub verify: bool,
    /// Leave out key files that are not JSON.
    pub skip_corrupt: bool,
    /// Rename the source afterwards.
    pub retire: bool,
    /// `multi-file` or `native`; none: the other one than the source's.
    pub target_format: Option<String>,
    /// `multi-file` or `native`; none: the one that the source has.
    pub source_format: Option<String>,
    /// Take the source's lock.
    pub lock: bool,
}

fn format_of(name: Option<String>) -> Option<Format> {
    let named = |format: Format| (name.as_deref() == Some(format.name())).then_some(format);
    named(Format::Native).or_else(|| named(Format::MultiFile))
}

fn plan(from: String, to: String, options: MoveOptions, control: &External<Control>) -> Plan {
    let MoveOptions { verify, skip_corrupt, retire, target_format, source_format, lock } = options;
    Plan {
        from: from.into(),
        to: to.into(),
        format: format_of(target_format),
        source_format: format_of(source_format),
        verify,
        skip_corrupt,
        retire,
        lock_source: lock,
        aim: Aim::Move,
        control: Control::clone(control),
    }
}

/// The caller's end of a migration; `tell` hears of its progress.
///
/// # Errors
/// When the environment is ending.
#[napi(catch_unwind)]
pub fn migration_control(tell: Option<Function<Done, ()>>) -> Result<External<Control>> {
    let tell = match tell {
        None => None,
        Some(tell) => {
            let telling: Telling = tell.build_threadsafe_function::<Done>().weak::<true>().build()?;
            let tell: Box<dyn Fn(Progress) + Send + Sync> = Box::new(move |progress: Progress| {
                let done = Done {
                    phase: progress.phase.name().to_owned(),
                    done: lossy(progress.done),
                    total: lossy(progress.total),
                    bytes: lossy(progress.bytes),
                };
                // An environment that is gone looks at no bar.
                let _ = telling.call(done, ThreadsafeFunctionCallMode::NonBlocking);
            });
            Some(tell)
        }
    };
    Ok(External::new(Control::new(tell)))
}

/// The migration is not wanted any more.
#[napi(catch_unwind)]
pub fn abort_migration(control: &External<Control>) {
    control.abort();
}

/// Moves an account from one folder to another.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn migrate<'env>(
    env: &'env Env,
    from: String,
    to: String,
    options: MoveOptions,
    control: &External<Control>,
) -> Result<Object<'env>> {
    let plan = plan(from, to, options, control);
    promised(env, async move { migration::migrate(plan).await.map(Migrated::from) })
}

/// What became of the source of a store that is being opened.
#[napi(object, object_from_js = false)]
pub struct AdoptedAccount {
    /// It was moved just now.
    pub moved: Option<Migrated>,
    /// It is still there, and was moved at this time, in milliseconds since 1970.
    pub unchanged_ms: Option<f64>,
    /// It is still there, and nothing tells whether it was used since.
    pub unknown: bool,
    /// It is still there, and holds another account.
    pub other: bool,
    /// It is still there, was moved before and not used since, and its account was logged out.
    pub logged_out: bool,
}

/// Moves an account to a native folder that has none, and retires the source.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn adopt<'env>(env: &'env Env, from: String, to: String, timeout_ms: u32) -> Result<Object<'env>> {
    let deadline = Instant::now() + Duration::from_millis(timeout_ms.into());
    promised(env, async move {
        let adopted = migration::adopt(from.into(), to.into(), deadline).await?;
        let (mut moved, mut unchanged_ms) = (None, None);
        let (mut unknown, mut other, mut logged_out) = (false, false, false);
        match adopted {
            Adopted::Nothing => {}
            Adopted::Moved(report) => moved = Some(Migrated::from(*report)),
            Adopted::Since(Since::Unchanged(ms)) => unchanged_ms = Some(lossy(ms)),
            Adopted::Since(Since::Unknown) => unknown = true,
            Adopted::Since(Since::Other) => other = true,
            Adopted::LoggedOut(_) => logged_out = true,
        }
        Ok(AdoptedAccount { moved, unchanged_ms, unknown, other, logged_out })
    })
}

/// A folder that is read.
#[napi(object, object_from_js = false)]
pub struct ReadFolder {
    /// To be handed to the other calls.
    pub reading: External<Reading>,
    /// The credentials' text.
    pub creds: String,
    /// `multi-file` or `native`
    pub format: String,
    /// How many keys there are, about.
    pub total: f64,
}

/// Keys and their values, parallel.
#[napi(object)]
pub struct Entries {
    /// Types.
    pub types: Vec<String>,
    /// Ids.
    pub ids: Vec<String>,
    /// JSON texts.
    pub texts: Vec<String>,
}

/// Begins to read a folder.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn read_folder<'env>(
    env: &'env Env,
    from: String,
    options: MoveOptions,
    control: &External<Control>,
) -> Result<Object<'env>> {
    let plan = plan(from, String::new(), options, control);
    promised(env, async move {
        let reading = Reading::begin(plan).await?;
        let (creds, format, total) = reading.head();
        Ok(ReadFolder {
            reading: External::new(reading),
            creds: String::from_utf8_lossy(&creds.text).into_owned(),
            format: format.name().to_owned(),
            total: lossy(u64::try_from(total).unwrap_or(u64::MAX)),
        })
    })
}

/// The next keys of a folder; none at the end.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn read_entries<'env>(env: &'env Env, reading: &External<Reading>, count: u32) -> Result<Object<'env>> {
    let reading = Reading::clone(reading);
    promised(env, async move {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let entries = reading.next(count).await?;
        Ok(entries.map(|entries| {
            let (mut types, mut ids, mut texts) = (Vec::new(), Vec::new(), Vec::new());
            for (key, value) in entries {
                types.push(key.key_type);
                ids.push(key.id);
                texts.push(String::from_utf8_lossy(&value.text).into_owned());
            }
            Entries { types, ids, texts }
        }))
    })
}

/// A folder was read whole: what is left where it is.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn end_reading<'env>(env: &'env Env, reading: &External<Reading>) -> Result<Object<'env>> {
    let reading = Reading::clone(reading);
    promised(env, async move {
        let remarks = reading.end().await?;
        Ok(remarks.into_iter().map(Remark::from).collect::<Vec<_>>())
    })
}

/// Lets go of a folder that was read.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn close_reading<'env>(env: &'env Env, reading: &External<Reading>) -> Result<Object<'env>> {
    let reading = Reading::clone(reading);
    promised(env, async move { reading.close().await })
}

/// Where a source is now.
#[napi(object, object_from_js = false)]
pub struct Retired {
    /// Its new path.
    pub path: Option<String>,
    /// Why it has none.
    pub warning: Option<Remark>,
}

/// Renames a folder that was read.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn retire_source<'env>(env: &'env Env, reading: &External<Reading>) -> Result<Object<'env>> {
    let reading = Reading::clone(reading);
    promised(env, async move {
        Ok(match reading.retire().await? {
            Ok(path) => Retired { path: Some(path), warning: None },
            Err(remark) => Retired { path: None, warning: Some(Remark::from(remark)) },
        })
    })
}

/// Begins to write a folder for these credentials; `from` is the folder of the source, if it has one.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn write_folder<'env>(
    env: &'env Env,
    from: Option<String>,
    to: String,
    format: String,
    creds: String,
) -> Result<Object<'env>> {
    promised(env, async move {
        let creds = source_creds(creds)?;
        let format = format_of(Some(format)).unwrap_or(Format::Native);
        let writing = Writing::begin(from.map(PathBuf::from), to.into(), format, creds).await?;
        Ok(External::new(writing))
    })
}

/// Whether these are credentials that an account can be opened with.
///
/// # Errors
/// When the environment is ending; everything else is in the answer: `CORRUPT`.
#[napi(catch_unwind)]
pub fn judge_creds<'env>(env: &'env Env, text: String) -> Result<Object<'env>> {
    promised(env, async move { source_creds(text).map(drop) })
}

fn source_creds(text: String) -> CoreResult<Creds> {
    Creds::judge(text.into_bytes()).map_err(|fault| {
        let advice = "JSON text of them is read with JSON.parse(text, BufferJSON.reviver)";
        Error::new(Code::Corrupt, format!("what was handed in as credentials {fault}. {advice}"))
    })
}

fn keys_of(types: Vec<String>, ids: Vec<String>) -> CoreResult<Vec<Key>> {
    types.into_iter().zip(ids).map(|(key_type, id)| Key::new(key_type, id)).collect()
}

/// Writes keys.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn write_entries<'env>(
    env: &'env Env,
    writing: &External<Writing>,
    entries: Entries,
) -> Result<Object<'env>> {
    let writing = Writing::clone(writing);
    promised(env, async move {
        let Entries { types, ids, texts } = entries;
        let value = |text: String| Value { plain: false, text: text.into_bytes().into() };
        writing.put(keys_of(types, ids)?.into_iter().zip(texts.into_iter().map(value)).collect()).await
    })
}

/// All keys are written: syncs them.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn finish_entries<'env>(env: &'env Env, writing: &External<Writing>) -> Result<Object<'env>> {
    let writing = Writing::clone(writing);
    promised(env, async move { writing.finish().await })
}

/// What was written under these keys.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn written_texts<'env>(
    env: &'env Env,
    writing: &External<Writing>,
    types: Vec<String>,
    ids: Vec<String>,
) -> Result<Object<'env>> {
    let writing = Writing::clone(writing);
    promised(env, async move {
        let values = writing.read(keys_of(types, ids)?).await?;
        let text = |value: Value| String::from_utf8_lossy(&value.text).into_owned();
        Ok(values.into_iter().map(|value| value.map(text)).collect::<Vec<_>>())
    })
}

/// Writes the credentials (`publish`), or takes back what was made.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn end_writing<'env>(env: &'env Env, writing: &External<Writing>, publish: bool) -> Result<Object<'env>> {
    let writing = Writing::clone(writing);
    promised(env, async move { if publish { writing.publish().await } else { writing.abandon().await } })
}

/// What Baileys could not use in a value, if anything.
#[napi(catch_unwind)]
pub fn unusable_value(key_type: String, id: String, text: String) -> Option<Remark> {
    let key = Key { stem: String::new(), key_type, id };
    let fault = auth_core::usable::unusable(&key.key_type, text.as_bytes())?;
    Some(Remark::from(migration::Remark::unusable(&key, fault)))
}

/// Writes keys of an account that is moved to where this handle is: of each its type, its id and its text, all joined by
/// NULs; none deletes all that is there. `EXISTS` where somebody has stored credentials.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn write_moved<'env>(
    env: &'env Env,
    handle: &External<Handle>,
    fields: Option<String>,
) -> Result<Object<'env>> {
    let (answer, promise) = Answer::new(env)?;
    match fields.map_or(Ok(Write::Clear), |fields| changes_of(handle, fields, true).map(Write::Set)) {
        Ok(write) => handle.write_moved(write, Box::new(move |result| answer.settle(result))),
        Err(error) => answer.settle(Err(error)),
    }
    Ok(promise)
}

/// The file names of keys. One that could not be stored is `INVALID_ARG` when it is written.
#[napi(catch_unwind)]
pub fn file_names(types: Vec<String>, ids: Vec<String>) -> Vec<String> {
    let name = |(key_type, id)| Key::new(key_type, id).map_or_else(|_| String::new(), |key| key.file_name());
    types.into_iter().zip(ids).map(name).collect()
}

/// Saves the credentials of an account that was moved to where this handle is. `EXISTS` where somebody has stored others.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn save_moved<'env>(env: &'env Env, handle: &External<Handle>, text: String) -> Result<Object<'env>> {
    let (answer, promise) = Answer::new(env)?;
    match source_creds(text) {
        Ok(creds) => handle.save_moved(creds, Box::new(move |result| answer.settle(result))),
        Err(error) => answer.settle(Err(error)),
    }
    Ok(promise)
}

/// Whether credentials are stored where this handle is.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn has_creds<'env>(env: &'env Env, handle: &External<Handle>) -> Result<Object<'env>> {
    let store = handle.store().clone();
    promised(env, async move { store.has_creds().await })
}
