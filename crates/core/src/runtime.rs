//! Our own tokio runtime: one a process, never shut down.
//!
//! Blocking work is done on its bounded pool of threads, never on libuv's (four slow syncs there would stop
//! DNS and `fs` for the whole bot), in lanes, so that a read does not queue behind other accounts' syncs.
//! Waiting is a timer, not a sleeping thread.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use crate::error::{Error, Result};

/// What a piece of blocking work is: how much of each kind runs at a time.
#[derive(Clone, Copy, Debug)]
pub enum Lane {
    /// Reading values.
    Read,
    /// Writing and syncing.
    Commit,
    /// Opening, closing, migrating.
    Open,
}

const READ_THREADS: usize = 4;
const COMMIT_THREADS: usize = 16;
const OPEN_THREADS: usize = 4;

struct Lanes {
    runtime: Runtime,
    read: Semaphore,
    commit: Semaphore,
    open: Semaphore,
}

fn lanes() -> Result<&'static Lanes> {
    static LANES: OnceLock<Result<Lanes>> = OnceLock::new();
    LANES
        .get_or_init(|| {
            let runtime = Builder::new_multi_thread()
                .worker_threads(1)
                .max_blocking_threads(READ_THREADS + COMMIT_THREADS + OPEN_THREADS)
                .thread_name("baileys-auth")
                .enable_time()
                .build()
                .map_err(|error| Error::internal(format_args!("cannot start threads: {error}")))?;
            Ok(Lanes {
                runtime,
                read: Semaphore::new(READ_THREADS),
                commit: Semaphore::new(COMMIT_THREADS),
                open: Semaphore::new(OPEN_THREADS),
            })
        })
        .as_ref()
        .map_err(Clone::clone)
}

/// Starts a future on the runtime.
///
/// # Errors
/// When there are no threads to be had.
pub fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    lanes()?.runtime.spawn(future);
    Ok(())
}

/// Runs blocking work in a lane.
///
/// # Errors
/// `Failed` when it panicked.
pub async fn run<T: Send + 'static>(lane: Lane, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let lanes = lanes()?;
    let semaphore = match lane {
        Lane::Read => &lanes.read,
        Lane::Commit => &lanes.commit,
        Lane::Open => &lanes.open,
    };
    let _permit = semaphore.acquire().await.map_err(Error::internal)?;
    lanes.runtime.spawn_blocking(work).await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => Error::internal(panic_text(panic.as_ref())),
        Err(error) => Error::internal(error),
    })
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without text")
}
