//! The task that does a store's reads.

use std::sync::Arc;

use super::ending::{OnPanic, end_if_final};
use super::{ReadCall, Store};
use crate::error::{Error, Result};
use crate::runtime::{self, Lane};

/// Reads until no read waits: those that wait together are one read of the backend.
pub(super) fn read(store: Arc<Store>) -> impl Future<Output = ()> + Send {
    let guard = OnPanic(Some(store.clone()));
    read_on(store, guard)
}

/// So many keys are read at once, at the most, unless one call asks for more: who waits for the first ones has them while
/// the next ones are read.
const KEYS_AT_A_TIME: usize = 64;

/// The next reads that wait.
fn reads(store: &Store) -> Vec<ReadCall> {
    let mut state = store.state();
    let mut keys = 0;
    let mut fits = |call: &ReadCall| {
        keys += call.keys.len();
        keys <= KEYS_AT_A_TIME
    };
    let count = state.reads.iter().take_while(|call| fits(call)).count().max(1).min(state.reads.len());
    if count == state.reads.len() {
        store.reads_burst.taken();
    }
    state.reads.drain(..count).collect()
}

async fn read_on(store: Arc<Store>, mut guard: OnPanic) {
    loop {
        let mut calls = reads(&store);
        if calls.is_empty() {
            // Only where that keeps no task of others from its thread.
            if runtime::is_on(Lane::Read) {
                store.reads_burst.stay();
            }
            calls = reads(&store);
        }
        if calls.is_empty() {
            let mut state = store.state();
            // Under the lock: who adds a read from here on starts a new task.
            if state.reads.is_empty() {
                state.reading = false;
                break;
            }
            continue;
        }
        let unanswered = |call: &ReadCall| {
            let keys = call.keys.iter().zip(&call.answers);
            keys.filter(|(_, answer)| answer.is_none()).map(|(key, _)| key.clone()).collect::<Vec<_>>()
        };
        let keys = calls.iter().flat_map(unanswered).collect();
        let found = match store.backend() {
            Ok(backend) => backend.read(keys).await,
            Err(error) => Err(error),
        };
        // A write that waits for them may go now, whatever they say.
        store.read_is_done(calls.len());
        match found {
            Err(error) => calls.into_iter().for_each(|call| (call.reply)(Err(error.clone()))),
            Ok(found) => {
                let errors = || found.iter().filter_map(|found| found.as_ref().err());
                end_if_final(&store, errors().find(|error| error.is_final())).await;
                let mut found = found.into_iter();
                for call in calls {
                    let missing = || Err(Error::internal("a read without an answer"));
                    let answers: Vec<Result<_>> = call
                        .answers
                        .into_iter()
                        .map(|answer| answer.map_or_else(|| found.next().unwrap_or_else(missing), Ok))
                        .collect();
                    (call.reply)(answers.into_iter().collect());
                }
            }
        }
    }
    guard.0 = None;
    store.rested.send_modify(|times| *times += 1);
}
