//! One store a folder a process, by the folder's device and inode: however often, from whatever thread and under
//! whatever path it is opened.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use auth_log::fs::{DiskFs, FileId};

use crate::backend::{Calls, CustomBackend, FolderBackend, FolderOptions, Format, closed, hold, judge};
use crate::error::{Code, Error, Result};
use crate::events::{Listener, Listeners};
use crate::folder::{Folder, no_account};
use crate::runtime::{Lane, run};
use crate::store::{NotOpened, Opened, Store, Turn};

/// The store of one account, if it is open; the lock is held while it is being opened.
pub type Slot = Arc<tokio::sync::Mutex<Weak<Store>>>;

static SLOTS: LazyLock<Mutex<Slots>> = LazyLock::new(Mutex::default);

/// How often a lock that another process holds is tried.
const LOCK_POLL: Duration = Duration::from_millis(25);

/// Slots are swept when there are more than this.
const FIRST_SWEEP: usize = 64;

/// What a slot is of.
#[derive(PartialEq, Eq, Hash)]
enum Of {
    /// A folder, whatever its path.
    Folder(FileId),
    /// A path: which store was opened there last. Its lock is held while it is found out which folder that is now, so
    /// that a path that hangs holds one thread, however often it is opened.
    Path(PathBuf),
}

#[derive(Default)]
struct Slots {
    slots: HashMap<Of, Slot>,
    sweep_at: usize,
}

fn slot(of: Of) -> Slot {
    let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
    if slots.slots.len() >= slots.sweep_at.max(FIRST_SWEEP) {
        let in_use = |slot: &Slot| {
            Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|store| store.strong_count() > 0)
        };
        slots.slots.retain(|_, slot| in_use(slot));
        slots.sweep_at = slots.slots.len() * 2;
    }
    slots.slots.entry(of).or_default().clone()
}

/// Waits until a path can be reached, one call at a time: one that hangs holds one thread, however much is to be done there
/// and however often it is opened. Nothing is held when it resolves.
///
/// # Errors
/// When there are no threads to be had. What is wrong with the path is not looked at.
pub async fn reach(path: PathBuf) -> Result<()> {
    let place = slot(Of::Path(path.clone()));
    let last = place.lock().await;
    let _turn = turn_of(&last).await;
    // Not among the moves, which take their time: whoever has the account open waits meanwhile.
    run(Lane::Open, move || drop(Folder::open(&DiskFs, &path, &Listeners::default()))).await
}

/// The turn of the store that is open at a path: one that hangs is not waited for by another thread.
async fn turn_of(last: &Weak<Store>) -> Option<Turn> {
    match last.upgrade() {
        Some(store) => store.turn().await,
        None => None,
    }
}

/// As long as it is there, nobody opens the folder in this process.
pub type Closed = tokio::sync::OwnedMutexGuard<Weak<Store>>;

/// The store of a folder, if it is open in this process; else what keeps it from being opened.
pub async fn open_or_closed(folder: FileId) -> Result<Arc<Store>, Closed> {
    let slot = slot(Of::Folder(folder)).lock_owned().await;
    match slot.upgrade() {
        Some(store) if store.is_finished() => {
            store.released().await;
            Err(slot)
        }
        Some(store) => Ok(store),
        None => Err(slot),
    }
}

/// The store of a folder, if it is open in this process. One that is just closing has let go when this resolves.
pub async fn open_store(folder: FileId) -> Option<Arc<Store>> {
    open_or_closed(folder).await.ok()
}

/// Opens an account in a folder: another handle of the store that is open, or a new store.
///
/// # Errors
/// As the backend's opening; `WrongFormat` when this process has it open in the other format.
pub async fn open(listener: Listener, path: PathBuf, options: FolderOptions) -> Result<Opened> {
    let deadline = Instant::now() + options.lock_timeout;
    loop {
        let listeners = Listeners::default();
        listeners.add(&listener);
        let place = slot(Of::Path(path.clone()));
        let folder = {
            let last = place.lock().await;
            let _turn = turn_of(&last).await;
            hold(Arc::new(DiskFs), path.clone(), options.create, listeners).await?
        };
        match open_held(&listener, folder, &options).await {
            Ok(opened) if opened.creds.is_none() && !options.create => return Err(no_account(&path)),
            Ok(opened) => {
                // Somebody else may be just opening it.
                if let Ok(mut last) = place.try_lock() {
                    *last = Arc::downgrade(opened.handle.store());
                }
                return Ok(opened);
            }
            // Another process has it; this one waits by a timer, and keeps nobody else from waiting.
            Err(NotOpened::Failed(error)) if error.code() == Code::Locked && Instant::now() < deadline => {
                tokio::time::sleep(LOCK_POLL).await;
            }
            Err(NotOpened::Failed(error)) => return Err(error),
            // It was closing, gone or failed, and has let go: the path is looked at anew.
            Err(NotOpened::Finished) => {}
        }
    }
}

async fn open_held(
    listener: &Listener,
    folder: Arc<Folder>,
    options: &FolderOptions,
) -> Result<Opened, NotOpened> {
    let slot = slot(Of::Folder(folder.id));
    let (mut slot, waited) = match slot.try_lock() {
        Ok(free) => (free, false),
        Err(_) => (slot.lock().await, true),
    };
    let store = match slot.upgrade() {
        // What it has waited for may have moved the folder away.
        None if waited => return Err(NotOpened::Finished),
        Some(store) if store.is_finished() => {
            store.released().await;
            make(folder, options).await
        }
        Some(store) if store.format() == Some(options.format) => Ok(store),
        Some(store) => Err(other_format(folder, options, &store).await),
        None => make(folder, options).await,
    };
    let store = store.map_err(NotOpened::Failed)?;
    *slot = Arc::downgrade(&store);
    let opened = store.open(listener.clone()).await;
    if matches!(opened, Err(NotOpened::Finished)) {
        store.released().await;
    }
    opened
}

async fn make(folder: Arc<Folder>, options: &FolderOptions) -> Result<Arc<Store>> {
    let (path, listeners) = (folder.path.clone(), folder.events.clone());
    let backend = FolderBackend::open(folder, options.clone()).await?;
    let store = Store::new(Arc::new(backend), Some(options.format), path, listeners);
    store.look_after()?;
    Ok(store)
}

/// What is said when the folder is open in this process in the other format.
async fn other_format(folder: Arc<Folder>, options: &FolderOptions, store: &Store) -> Error {
    let (judged, format, create) = (folder.clone(), options.format, options.create);
    let verdict = run(Lane::Open, move || judge(&judged, format, create).map(drop)).await;
    match verdict {
        Ok(Err(error)) | Err(error) => error,
        Ok(Ok(())) => {
            let (path, open) = (folder.path.display(), store.format().map_or("", Format::name));
            Error::new(
                Code::WrongFormat,
                format!("{path} is open in this process as {open}: close that first"),
            )
            .at(&folder.path)
        }
    }
}

/// Opens an account of a custom backend: another handle of the store that is open, or a new store over the backend with
/// this number.
///
/// # Errors
/// What `loadCredentials` failed with; `Io` with `ENOENT` where nothing is stored and `create` is false.
pub async fn open_custom(
    listener: Listener,
    slot: Slot,
    calls: Arc<Calls>,
    number: u32,
    create: bool,
) -> Result<Opened> {
    let listeners = Listeners::default();
    listeners.add(&listener);
    let mut backend = Some(CustomBackend::new(calls, number, listeners.clone()));
    loop {
        let mut open = slot.lock().await;
        let store = match open.upgrade() {
            Some(store) if !store.is_finished() => store,
            finished => {
                if let Some(store) = finished {
                    store.released().await;
                }
                // Taken once: a store made here and finished at once ends the loop.
                let Some(backend) = backend.take() else { return Err(closed()) };
                let store = Store::new(Arc::new(backend.in_use()), None, PathBuf::new(), listeners.clone());
                *open = Arc::downgrade(&store);
                store
            }
        };
        let opened = store.open(listener.clone()).await;
        match opened {
            Ok(opened) if opened.creds.is_none() && !create => return Err(nothing_stored()),
            Ok(opened) => return Ok(opened),
            Err(NotOpened::Failed(error)) => return Err(error),
            Err(NotOpened::Finished) if backend.is_none() => {
                return Err(store.ended_with().unwrap_or_else(closed));
            }
            Err(NotOpened::Finished) => {}
        }
    }
}

fn nothing_stored() -> Error {
    let message = "no account is stored (loadCredentials gave none): check the context; nothing was made";
    Error::new(Code::Io, message).with(|details| details.errno = Some("ENOENT".to_owned()))
}
