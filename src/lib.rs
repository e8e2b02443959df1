//! The boundary: what `lib/` calls of Rust. The only crate that names napi, and no logic in it.
//!
//! Every call that waits returns a promise that *resolves* to its value or to `{ failure }`; `lib/` throws the error
//! class, so that codes, properties and JavaScript frames are right ([`error`], [`answer`]). Arguments are checked
//! in `lib/` ([`options`] says what reaches Rust).

mod answer;
pub mod custom;
mod error;
pub mod migration;
mod options;
mod quick;
mod texts;
mod transport;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use auth_core::backend::{Durability, FolderOptions, Format, Write};
use auth_core::creds::{Creds, Identity, KeyPair, fresh_identity};
use auth_core::error::{Code, Error};
use auth_core::events::{EnvironmentId, Listener, News, Sink};
use auth_core::store::{Handle, Reply, Store};
use auth_core::value::Value;
use auth_core::{maintenance, registry, runtime};
use napi::bindgen_prelude::{Either, Either3, External, Function, Object, Status, ToNapiValue, Uint8Array};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Result};
use napi_derive::napi;

use answer::{Answer, Rejected};
use error::to_throw;
use options::{
    FreshKeys, Inspected, Migrated, OpenOptions, OpenedAccount, RawKeyPair, Repaired, SizesAround, Told,
    Verified,
};
use quick::Quick;
use texts::{Asked, Texts, changes_of};

type Telling = ThreadsafeFunction<Told, (), Told, Status, false, true>;

/// A JavaScript environment, as `lib/` holds it.
pub struct Environment {
    id: EnvironmentId,
    sink: Sink,
}

impl Environment {
    /// Who hears of a handle: a number of its own in this environment.
    fn listener(&self, number: u32) -> Listener {
        Listener { environment: self.id, number: number.into(), sink: self.sink.clone() }
    }
}

/// Announces a JavaScript environment; `tell` gets its news and does not keep it alive.
///
/// # Errors
/// When the environment is ending.
#[napi(catch_unwind)]
pub fn start_environment(tell: Function<Told, ()>) -> Result<External<Environment>> {
    static STARTED: AtomicU32 = AtomicU32::new(1);
    let id = EnvironmentId(STARTED.fetch_add(1, Ordering::Relaxed).into());
    let telling: Telling = tell.build_threadsafe_function::<Told>().weak::<true>().build()?;
    let sink = Sink::new(move |news: News, listeners: Vec<u64>| {
        // An environment that is gone needs no news.
        let _ = telling.call(Told::new(news, listeners), ThreadsafeFunctionCallMode::NonBlocking);
    });
    Ok(External::new(Environment { id, sink }))
}

/// Opens an account in a folder; `listener` is a number of its own, for the news of this handle.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn open_account<'env>(
    env: &'env Env,
    environment: &External<Environment>,
    listener: u32,
    folder: String,
    options: OpenOptions,
) -> Result<Object<'env>> {
    let listener = environment.listener(listener);
    let options = FolderOptions {
        format: if options.native { Format::Native } else { Format::MultiFile },
        create: options.create,
        lock: options.lock,
        durability: if options.sync { Durability::Sync } else { Durability::Interval },
        lock_timeout: std::time::Duration::from_millis(options.lock_timeout_ms.into()),
    };
    promised(env, async move {
        registry::open(listener, PathBuf::from(folder), options).await.map(OpenedAccount::from)
    })
}

/// Reads keys of one type; `ids` are joined by NULs, none are `None`. At once when nothing has to be waited for, else a
/// promise.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn get_keys<'env>(
    env: &'env Env,
    handle: &External<Handle>,
    key_type: String,
    ids: Option<String>,
    as_stored: bool,
) -> Result<Either<Texts, Object<'env>>> {
    let (asked, keys) = Asked::keys(handle, &key_type, ids.as_deref(), as_stored);
    if let Some(values) = handle.read_now(&keys) {
        return Ok(Either::A(asked.answer(values)));
    }
    if !handle.reads_awake(keys.len()) {
        let (answer, promise) = Answer::new(env)?;
        let reply = move |values: auth_core::error::Result<Vec<Option<Value>>>| {
            answer.settle(values.map(|values| asked.answer(values)));
        };
        handle.read(keys, Box::new(reply));
        return Ok(Either::B(promise));
    }
    let quick = Quick::new();
    let replying = quick.replying();
    let reply = move |values: auth_core::error::Result<Vec<Option<Value>>>| {
        replying.reply(values.map(|values| asked.answer(values)));
    };
    handle.read(keys, Box::new(reply));
    let answered = quick.stay();
    if let Some(Ok(texts)) = answered {
        return Ok(Either::A(texts));
    }
    let (answer, promise) = Answer::new(env)?;
    match answered {
        Some(values) => answer.settle(values),
        None => quick.promise(answer),
    }
    Ok(Either::B(promise))
}

/// The same for many, so many of them at a time, with a promise for each part: the first values can be made while the
/// others are read.
///
/// # Errors
/// When the environment is ending; everything else is in the answers.
#[napi(catch_unwind)]
pub fn get_keys_in_parts<'env>(
    env: &'env Env,
    handle: &External<Handle>,
    key_type: String,
    ids: String,
    part: u32,
) -> Result<Vec<Object<'env>>> {
    let (mut promises, mut parts) = (Vec::new(), Vec::new());
    for (asked, keys) in Asked::parts(handle, &key_type, &ids, part) {
        let (answer, promise) = Answer::new(env)?;
        let reply: Reply<Vec<Option<Value>>> =
            Box::new(move |values| answer.settle(values.map(|values| asked.answer(values))));
        promises.push(promise);
        parts.push((keys, reply));
    }
    handle.read_in_parts(parts);
    Ok(promises)
}

/// Writes keys: of each its type, its id and its text (empty deletes), all joined by NULs. At once when it is as good as
/// done, else a promise.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn set_keys<'env>(
    env: &'env Env,
    handle: &External<Handle>,
    fields: String,
    identity: Option<Uint8Array>,
) -> Result<Either3<(), Rejected, Object<'env>>> {
    let changes = match changes_of(handle, fields, false) {
        Ok(changes) => changes,
        Err(error) => return Ok(Either3::B(Rejected::from(&error))),
    };
    let (write, identity) = (Write::Set(changes), identity_of(identity));
    if !handle.is_awake() {
        let (answer, promise) = Answer::new(env)?;
        handle.write(write, identity, Box::new(move |result| answer.settle(result)));
        return Ok(Either3::C(promise));
    }
    let quick = Quick::new();
    let replying = quick.replying();
    handle.write(write, identity, Box::new(move |result| replying.reply(result)));
    match quick.stay() {
        Some(Ok(())) => Ok(Either3::A(())),
        Some(Err(error)) => Ok(Either3::B(Rejected::from(&error))),
        None => {
            let (answer, promise) = Answer::new(env)?;
            quick.promise(answer);
            Ok(Either3::C(promise))
        }
    }
}

/// Deletes every key.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn clear_keys<'env>(
    env: &'env Env,
    handle: &External<Handle>,
    identity: Option<Uint8Array>,
) -> Result<Object<'env>> {
    let (answer, promise) = Answer::new(env)?;
    handle.write(Write::Clear, identity_of(identity), Box::new(move |result| answer.settle(result)));
    Ok(promise)
}

/// The ids of a type.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn list_ids<'env>(env: &'env Env, handle: &External<Handle>, key_type: String) -> Result<Object<'env>> {
    let (answer, promise) = Answer::new(env)?;
    handle.list(key_type, Box::new(move |ids| answer.settle(ids)));
    Ok(promise)
}

/// Saves credentials.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn save_creds<'env>(env: &'env Env, handle: &External<Handle>, text: String) -> Result<Object<'env>> {
    let (answer, promise) = Answer::new(env)?;
    match Creds::judge(text.into_bytes()) {
        Ok(creds) => handle.save_creds(creds, Box::new(move |result| answer.settle(result))),
        Err(_) => answer.settle(Err(Error::new(
            Code::InvalidArg,
            "state.creds has no signedIdentityKey of 32 bytes: it is not saved, what is stored stays",
        ))),
    }
    Ok(promise)
}

/// Waits for every call made before on a handle, and looks whether its folder is still there.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn settle_account<'env>(env: &'env Env, handle: &External<Handle>) -> Result<Object<'env>> {
    let (answer, promise) = Answer::new(env)?;
    handle.settle(Box::new(move |result| answer.settle(result)));
    Ok(promise)
}

/// Closes a handle.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn close_account<'env>(env: &'env Env, handle: &External<Handle>) -> Result<Object<'env>> {
    let (answer, promise) = Answer::new(env)?;
    handle.close(Box::new(move |result| answer.settle(result)));
    Ok(promise)
}

/// Looks at an account: nothing secret.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn inspect<'env>(env: &'env Env, folder: String) -> Result<Object<'env>> {
    promised(env, async move { maintenance::inspect(folder.into()).await.map(Inspected::from) })
}

/// Reads and checks everything.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn verify<'env>(env: &'env Env, folder: String) -> Result<Object<'env>> {
    promised(env, async move { maintenance::verify(folder.into()).await.map(Verified::from) })
}

/// Makes a new account folder of all that is sound in a damaged one.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn repair<'env>(env: &'env Env, folder: String, to: String) -> Result<Object<'env>> {
    promised(env, async move { maintenance::repair(folder.into(), to.into()).await.map(Repaired::from) })
}

/// Compacts a native store: of a folder, or the one that this handle has open.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn compact<'env>(env: &'env Env, account: Either<String, &External<Handle>>) -> Result<Object<'env>> {
    let store = store_of(&account);
    promised(env, async move {
        let compacted = match store {
            Ok(store) => store.compact().await,
            Err(folder) => maintenance::compact(folder).await,
        };
        compacted.map(SizesAround::from)
    })
}

/// Copies an account as it is at one moment.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn backup<'env>(env: &'env Env, folder: String, to: String) -> Result<Object<'env>> {
    promised(env, async move { maintenance::backup(folder.into(), to.into()).await.map(Migrated::from) })
}

/// Removes an account: in a folder, or the one that this handle has open; with a copy before where one is to be kept.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn delete_account<'env>(
    env: &'env Env,
    account: Either<String, &External<Handle>>,
    keep: Option<String>,
) -> Result<Object<'env>> {
    let (store, keep) = (store_of(&account), keep.map(PathBuf::from));
    promised(env, async move {
        match store {
            Ok(store) => store.delete(keep).await,
            Err(folder) => maintenance::delete(folder, keep).await,
        }
    })
}

/// The store that a handle has open, or the path of a folder.
fn store_of(account: &Either<String, &External<Handle>>) -> std::result::Result<Arc<Store>, PathBuf> {
    match account {
        Either::A(folder) => Err(PathBuf::from(folder)),
        Either::B(handle) => Ok(handle.store().clone()),
    }
}

/// A promise of what this resolves to, on our own runtime.
fn promised<'env, V: ToNapiValue + Send + 'static>(
    env: &'env Env,
    work: impl Future<Output = auth_core::error::Result<V>> + Send + 'static,
) -> Result<Object<'env>> {
    let (answer, promise) = Answer::new(env)?;
    runtime::spawn(async move { answer.settle(work.await) }).map_err(to_throw)?;
    Ok(promise)
}

/// The random part of fresh credentials.
///
/// # Errors
/// When the operating system has no randomness.
#[napi(catch_unwind)]
pub fn fresh_keys() -> Result<FreshKeys> {
    let fresh = fresh_identity().map_err(to_throw)?;
    let pair = |pair: KeyPair| RawKeyPair {
        public: pair.public.to_vec().into(),
        private: pair.private.to_vec().into(),
    };
    Ok(FreshKeys {
        noise: pair(fresh.noise),
        pairing_ephemeral: pair(fresh.pairing_ephemeral),
        identity: pair(fresh.identity),
        signed_pre_key: pair(fresh.signed_pre_key),
        signature: fresh.signature.to_vec().into(),
        registration_id: fresh.registration_id,
        adv_secret: fresh.adv_secret,
    })
}

fn identity_of(bytes: Option<Uint8Array>) -> Option<Identity> {
    bytes.and_then(|bytes| Identity::try_from(bytes.as_ref()).ok())
}
