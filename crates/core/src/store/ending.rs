//! How a store ends: failed, gone, or closed.

use std::sync::Arc;

use super::{Phase, State, Store};
use crate::error::{Code, Error, Result};
use crate::events::Event;
use crate::runtime::{Lane, run};

/// Why a write cannot be made any more.
pub(super) fn refusal(state: &State) -> Option<Error> {
    match &state.phase {
        Phase::Running | Phase::Closed => None,
        Phase::Failed(error) | Phase::Gone(error) => Some(error.clone()),
    }
}

/// From here on this store takes no writes (failed) or nothing (gone).
pub(super) fn end(state: &mut State, error: &Error) {
    if refusal(state).is_some() {
        return;
    }
    state.phase = match error.code() {
        Code::Gone | Code::Fenced => Phase::Gone(error.clone()),
        _ => Phase::Failed(failed_before(error)),
    };
}

fn failed_before(error: &Error) -> Error {
    let first = error.details();
    if first.code == Code::Failed {
        return error.clone();
    }
    Error::new(
        Code::Failed,
        format!(
            "an earlier write failed ({first}), so nothing more is written: open the folder again",
            first = first.message
        ),
    )
    .with(|details| {
        details.path = first.path.clone();
        details.cause = first.cause.clone();
        details.thrown = first.thrown.clone();
    })
}

/// A read, too, may find out that somebody else has the store.
pub(super) async fn end_if_final(store: &Store, error: Option<&Error>) {
    let Some(error) = error.filter(|error| error.is_final()) else { return };
    end(&mut store.state(), error);
    let_go(store).await;
}

/// Closes files where that may take its time.
pub(super) async fn drop_backend(store: &Store) {
    let backend = store.take_backend();
    // A panic in a drop has dropped it all the same.
    let _ = run(Lane::Commit, move || drop(backend)).await;
}

/// Tells whoever looks how this store has ended. That a folder is gone is no news to who removed it: a handle hears of it
/// when it is used.
pub(super) fn tell(store: &Store) {
    let phase = store.state().phase.clone();
    match phase {
        Phase::Running | Phase::Closed => {}
        Phase::Gone(error) if error.code() == Code::Gone => {
            store.listeners.emit(&Event::info("gone", &store.path, error.to_string()));
        }
        Phase::Failed(error) | Phase::Gone(error) => {
            let word = if error.code() == Code::Fenced { "fenced" } else { "latched" };
            store.listeners.emit(&Event::error(word, &store.path, error.to_string()));
            store.listeners.fatal(&error);
        }
    }
}

/// Lets go of what the backend holds, once, and tells how it has ended.
pub(super) async fn let_go(store: &Store) {
    if std::mem::replace(&mut store.state().letting_go, true) {
        return;
    }
    tell(store);
    if let Ok(backend) = store.backend() {
        backend.abandon().await;
    }
    // One that is under way stops by itself; whoever opens the folder anew waits for that.
    drop(store.compaction.lock().await);
    if matches!(store.state().phase, Phase::Gone(_)) {
        drop_backend(store).await;
    }
    store.released.send_replace(true);
}

/// The last handle is gone: waits for the reads, and closes the backend.
pub(super) async fn finish(store: &Store) -> Result<()> {
    let mut rested = store.rested.subscribe();
    while store.state().reading {
        if rested.changed().await.is_err() {
            break;
        }
    }
    let result = match store.backend() {
        Ok(backend) => backend.close().await,
        Err(error) => Err(error),
    };
    drop_backend(store).await;
    store.released.send_replace(true);
    result
}

/// A bug of ours must not leave callers waiting for ever.
pub(super) struct OnPanic(pub Option<Arc<Store>>);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if let Some(store) = self.0.take() {
            let mut state = store.state();
            state.phase = Phase::Gone(Error::internal("a store's task panicked"));
            // A later call starts a new task, which refuses it.
            (state.working, state.reading) = (false, false);
            let dropped = (std::mem::take(&mut state.calls), std::mem::take(&mut state.reads));
            let read = state.unread.drop_all();
            drop(state);
            store.no_wait_for(read);
            drop((dropped, store.take_backend()));
            tell(&store);
            store.released.send_replace(true);
            store.rested.send_modify(|times| *times += 1);
        }
    }
}
