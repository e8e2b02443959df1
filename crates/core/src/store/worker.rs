//! The task that does a store's calls, in order.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::oneshot;

use super::ending::{OnPanic, drop_backend, end, end_if_final, finish, let_go, refusal};
use super::{Call, Handle, Meant, NotOpened, Opened, Phase, SaveCall, State, Store, Turn, WriteCall};
use crate::backend::Commit;
use crate::creds::Creds;
use crate::error::{Code, Error, Result};
use crate::events::{Event, Listener};
use crate::runtime::{self, Lane, give_way};

/// After so many steps other stores have their turn.
const STEPS_AT_A_TIME: usize = 64;

/// How long a write may wait for its sync when it was answered before it: 100 ms with the sync itself.
const SYNC_AFTER: Duration = Duration::from_millis(80);
/// How long a write waits for reads that were made before it, and when a sync that is due does not wait with it any more.
const READS_FIRST: Duration = Duration::from_secs(1);
const READS_ALONE: Duration = Duration::from_millis(10);

/// Values that are kept in memory until they are synced, in bytes, at the most.
const MAX_UNSYNCED_BYTES: usize = 8 << 20;

/// What is taken from the queue at a time.
enum Step {
    /// Writes that wait together go together.
    Commit(Vec<WriteCall>),
    /// Saves of one object that wait together are written as one, the last.
    Save(Vec<SaveCall>),
    One(Call),
}

/// Works until there is no call left.
pub(super) fn work(store: Arc<Store>) -> impl Future<Output = ()> + Send {
    // Made now, not at the first poll: a task that is never begun must refuse its calls too.
    let guard = OnPanic(Some(store.clone()));
    work_on(store, guard)
}

async fn work_on(store: Arc<Store>, mut guard: OnPanic) {
    let mut steps = 0;
    while let Some(step) = next(&store).or_else(|| next_after_a_moment(&store)) {
        steps += 1;
        if steps % STEPS_AT_A_TIME == 0 {
            give_way().await;
        }
        match step {
            Step::Commit(calls) => commit(&store, calls).await,
            Step::Save(calls) => save(&store, calls).await,
            Step::One(call) => one(&store, call).await,
        }
    }
    guard.0 = None;
}

/// Nothing waits: stays awake a moment where another call is likely, and rests otherwise.
fn next_after_a_moment(store: &Store) -> Option<Step> {
    // Only where that keeps no task of others from its thread.
    if runtime::is_on(Lane::Commit) {
        store.burst.stay();
    }
    {
        let mut state = store.state();
        if state.calls.is_empty() {
            // Under the lock: who adds a call from here on starts a new task.
            state.working = false;
            return None;
        }
    }
    next(store)
}

fn next(store: &Store) -> Option<Step> {
    let mut state = store.state();
    let step = match state.calls.pop_front() {
        None => return None,
        Some(Call::Write(first)) => {
            let mut calls = vec![first];
            while let Some(Call::Write(_)) = state.calls.front() {
                if let Some(Call::Write(call)) = state.calls.pop_front() {
                    calls.push(call);
                }
            }
            Step::Commit(calls)
        }
        Some(Call::Save(first)) => {
            let (object, ordinary) = (first.object, first.meant != Meant::Nobody);
            let mut calls = vec![first];
            let goes_with =
                |call: &SaveCall| ordinary && call.object == object && call.meant != Meant::Nobody;
            while matches!(state.calls.front(), Some(Call::Save(call)) if goes_with(call)) {
                if let Some(Call::Save(call)) = state.calls.pop_front() {
                    calls.push(call);
                }
            }
            Step::Save(calls)
        }
        Some(call) => Step::One(call),
    };
    if state.calls.is_empty() {
        store.burst.taken();
    }
    Some(step)
}

/// Lets the reads go first that were made before a write and ask for its keys. One that hangs must not keep writes and
/// credentials waiting for ever: then it may see them.
async fn wait_for_reads(store: &Arc<Store>, behind: u64) {
    if behind == 0 || store.read_before(behind, READS_ALONE).await {
        return;
    }
    // The sync that is due comes behind this write.
    sync(store, None).await;
    store.read_before(behind, READS_FIRST).await;
    store.no_wait_for(behind);
}

async fn commit(store: &Arc<Store>, calls: Vec<WriteCall>) {
    wait_for_reads(store, calls.iter().map(|call| call.behind).max().unwrap_or(0)).await;
    let (group, refused) = {
        let state = store.state();
        let expected = |call: &WriteCall| call.meant.expected(&state, call.object);
        let group =
            calls.iter().map(|call| Commit { write: call.write.clone(), expected: expected(call) }).collect();
        (group, refusal(&state))
    };
    let outcome = match refused {
        Some(error) => Err(error),
        None => match store.backend() {
            Ok(backend) => backend.commit(group).await,
            Err(error) => Err(error),
        },
    };
    let (results, mut fatal): (Vec<Result<()>>, Option<Error>) = match outcome {
        Ok(results) => {
            let mut errors = results.iter().filter_map(|result| result.as_ref().err());
            let fatal = errors
                .find(|error| error.is_final() || (store.fails_together && is_latching(error)))
                .cloned();
            (results, fatal)
        }
        Err(error) => {
            let fatal = error.is_final().then(|| error.clone());
            (calls.iter().map(|_| Err(error.clone())).collect(), fatal)
        }
    };
    let not_tried = results
        .iter()
        .filter_map(|result| result.as_ref().err())
        .find(|error| store.fails_together && error.code() == Code::Full)
        .cloned();
    let mut behind = Vec::new();
    {
        let mut state = store.state();
        for (call, result) in calls.iter().zip(&results) {
            if result.is_ok() && !store.synced_at_commit {
                state.unsynced.push(call.sequence, &call.write);
            } else {
                state.pending.settle(call.sequence, &call.write);
            }
        }
        if not_tried.is_some() {
            behind = writes_behind(&mut state);
        }
        if let Some(error) = &fatal {
            end(&mut state, error);
        }
    }
    let mut results = results.into_iter();
    for call in calls {
        (call.reply)(results.next().unwrap_or_else(|| Err(Error::internal("a commit without an answer"))));
    }
    if let Some(error) = not_tried {
        for call in behind {
            (call.reply)(Err(error.clone()));
        }
    }
    if fatal.take().is_some() {
        let_go(store).await;
    } else {
        sync_soon(store).await;
        compact_if_worth_while(store).await;
    }
}

/// Compacts in the background. A log that grows faster than that waits for it: it stays bounded.
async fn compact_if_worth_while(store: &Arc<Store>) {
    let Ok(backend) = store.backend() else { return };
    if backend.is_swollen() {
        // Held by a compaction under way.
        drop(store.compaction.lock().await);
    }
    if !backend.wants_compaction() {
        return;
    }
    let Ok(compacting) = store.compaction.clone().try_lock_owned() else { return };
    let store = store.clone();
    // The runtime is there: this runs on it.
    let _ = runtime::spawn(async move {
        let compacted = backend.compact().await;
        drop(compacting);
        if let Err(error) = compacted.as_ref().map(drop)
            && !matches!(error.code(), Code::Closed | Code::Failed)
        {
            let message = format!("the log could not be compacted: {error}");
            store.listeners.emit(&Event::warning("uncompacted", &store.path, message));
            store.enqueue(store.state(), Call::Sync { doubt: Some(error.clone()) });
        }
    });
}

/// Sees to it that what is handed to the operating system alone is on disk within [`SYNC_AFTER`] and a sync.
async fn sync_soon(store: &Arc<Store>) {
    let too_much = {
        let mut state = store.state();
        if state.unsynced.is_empty() {
            return;
        }
        let too_much = state.unsynced.bytes() > MAX_UNSYNCED_BYTES;
        if !too_much && std::mem::replace(&mut state.sync_is_due, true) {
            return;
        }
        too_much
    };
    if too_much {
        return sync(store, None).await;
    }
    let later = store.clone();
    // The runtime is there: this runs on it.
    let _ = runtime::spawn(async move {
        tokio::time::sleep(SYNC_AFTER).await;
        later.enqueue(later.state(), Call::Sync { doubt: None });
    });
}

async fn sync(store: &Arc<Store>, doubt: Option<Error>) {
    let due = {
        let mut state = store.state();
        state.sync_is_due = false;
        (doubt.is_some() || !state.unsynced.is_empty()) && refusal(&state).is_none()
    };
    if due {
        // A sync writes, too.
        look(store).await;
    }
    let result = match store.backend() {
        Ok(backend) if due && refusal(&store.state()).is_none() => backend.sync().await,
        _ => return,
    };
    match result {
        Ok(()) => store.state().settle_synced(),
        Err(error) => {
            // What was acknowledged stays in memory, and is read from there.
            let first = doubt.filter(|_| error.code() == Code::Failed).unwrap_or(error);
            end(&mut store.state(), &first);
            let_go(store).await;
        }
    }
}

/// Takes out the writes that wait behind a failed commit.
fn writes_behind(state: &mut State) -> Vec<WriteCall> {
    let (mut behind, mut others) = (Vec::new(), Default::default());
    std::mem::swap(&mut others, &mut state.calls);
    for call in others {
        match call {
            Call::Write(call) => {
                state.pending.settle(call.sequence, &call.write);
                behind.push(call);
            }
            other => state.calls.push_back(other),
        }
    }
    behind
}

fn is_latching(error: &Error) -> bool {
    error.code() == Code::Io
}

async fn save(store: &Arc<Store>, calls: Vec<SaveCall>) {
    let Some(last) = calls.last() else { return };
    let (expected, refused) = {
        let state = store.state();
        let gone = match &state.phase {
            Phase::Gone(error) => Some(error.clone()),
            // A log that has failed is no reason to lose an identity.
            Phase::Running | Phase::Failed(_) | Phase::Closed => None,
        };
        (last.meant.expected(&state, last.object), gone)
    };
    let (environment, object, summary, meant) =
        (last.environment, last.object, last.creds.summary, last.meant);
    let result = match refused {
        Some(error) => Err(error),
        None => match store.backend() {
            Ok(backend) => backend.save_creds(last.creds.clone(), expected).await,
            Err(error) => Err(error),
        },
    };
    let fatal = result.as_ref().err().filter(|error| error.is_final());
    {
        let mut state = store.state();
        match (&result, fatal) {
            (Ok(synced), _) => {
                match meant {
                    Meant::Account(_) => state.objects.saved(environment, object, &summary),
                    Meant::Nobody => state.objects.moved(environment, object, &summary),
                }
                if *synced {
                    state.settle_synced();
                }
            }
            (Err(_), Some(error)) if refusal(&state).is_none() => end(&mut state, error),
            _ => {}
        }
    }
    for call in calls {
        (call.reply)(result.clone().map(drop));
    }
    if fatal.is_some() {
        let_go(store).await;
    }
}

async fn one(store: &Arc<Store>, call: Call) {
    match call {
        Call::List { key_type, reply } => {
            let listed = match store.backend() {
                Ok(backend) => backend.list(key_type).await,
                Err(error) => Err(error),
            };
            end_if_final(store, listed.as_ref().err()).await;
            reply(listed);
        }
        Call::Open { listener, reply } => reply(open(store, listener).await),
        Call::Close { listener, object, reply } => {
            let result = close(store, &listener, object).await;
            if let Some(reply) = reply {
                reply(result);
            }
        }
        Call::Sync { doubt } => sync(store, doubt).await,
        Call::Turn(reply) => {
            let (over, dropped) = oneshot::channel();
            if reply.send(Turn { _over: over }).is_ok() {
                // It ends by being dropped.
                let _ = dropped.await;
            }
        }
        Call::Look { reply } => {
            look(store).await;
            if let Some(reply) = reply {
                reply(match &store.state().phase {
                    Phase::Gone(error) => Err(error.clone()),
                    Phase::Running | Phase::Failed(_) | Phase::Closed => Ok(()),
                });
            }
        }
        Call::Delete { keep, reply } => reply(delete(store, keep).await),
        // Those two come in groups.
        Call::Write(call) => commit(store, vec![call]).await,
        Call::Save(call) => save(store, vec![call]).await,
    }
}

async fn open(store: &Arc<Store>, listener: Listener) -> Result<Opened, NotOpened> {
    let finished = refusal(&store.state()).is_some();
    let loaded = match store.backend() {
        Ok(backend) if !finished => Some(backend.load_creds().await),
        _ => None,
    };
    let (result, unused) = settle_open(store, listener, loaded);
    match &result {
        // Gone: this is what has found out.
        Err(NotOpened::Finished) if !finished => let_go(store).await,
        // The open's own error says more than what closing a store that nobody used could.
        _ if unused => drop(finish(store).await),
        _ => {}
    }
    result
}

/// Makes the handle, or takes its place back; says whether the store is without handles now.
fn settle_open(
    store: &Arc<Store>,
    listener: Listener,
    loaded: Option<Result<Option<Creds>>>,
) -> (Result<Opened, NotOpened>, bool) {
    let mut state = store.state();
    let result = match loaded {
        Some(Ok(creds)) => {
            let object = state.objects.open(listener.environment, creds.as_ref().map(|creds| &creds.summary));
            store.listeners.add(&listener);
            let handle = Handle { store: store.clone(), listener, object, closed: AtomicBool::new(false) };
            return (Ok(Opened { handle, creds, object }), false);
        }
        Some(Err(error)) if error.is_final() => {
            end(&mut state, &error);
            Err(NotOpened::Finished)
        }
        Some(Err(error)) => Err(NotOpened::Failed(error)),
        None => Err(NotOpened::Finished),
    };
    state.handles -= 1;
    let unused = state.handles == 0 && refusal(&state).is_none();
    if unused {
        state.phase = Phase::Closed;
    }
    (result, unused)
}

async fn look(store: &Arc<Store>) {
    let Ok(backend) = store.backend() else { return };
    if refusal(&store.state()).is_some() {
        return;
    }
    // A look that fails otherwise is no evidence of anything.
    if let Err(error) = backend.look().await
        && error.is_final()
    {
        end(&mut store.state(), &error);
        let_go(store).await;
    }
}

async fn delete(store: &Arc<Store>, keep: Option<PathBuf>) -> Result<()> {
    if let Phase::Gone(error) = &store.state().phase {
        return Err(error.clone());
    }
    // What could not be removed is still there, and so is this store. One that has failed is deleted like any other.
    let backend = store.backend()?;
    if let Err(error) = backend.delete(keep).await {
        if store.is_let_go() {
            backend.abandon().await;
        }
        return Err(error);
    }
    drop(backend);
    let path = store.path.display();
    store.state().phase = Phase::Gone(Error::new(Code::Gone, format!("{path} was deleted")).at(&store.path));
    let_go(store).await;
    // One that had failed has let go before, but for what its reads needed.
    drop_backend(store).await;
    Ok(())
}

async fn close(store: &Arc<Store>, listener: &Listener, object: super::ObjectId) -> Result<()> {
    let (is_last, ended) = {
        let state = store.state();
        (state.handles == 1, refusal(&state).is_some())
    };
    if is_last && !ended {
        // What somebody removed is put back before the end, and where somebody else writes by now nothing is written.
        look(store).await;
    }
    {
        let mut state = store.state();
        state.objects.close(listener.environment, object);
        // Closing the last one may have something to tell, and it wants to know.
        if state.handles > 1 {
            store.listeners.remove(listener);
        }
        state.handles -= 1;
        if state.handles > 0 {
            return Ok(());
        }
        if refusal(&state).is_none() {
            state.phase = Phase::Closed;
        }
    }
    if store.is_let_go() {
        drop_backend(store).await;
        return match store.ended_with() {
            // Nobody has heard of it yet.
            Some(error) if !ended && error.code() == Code::Fenced => Err(error),
            _ => Ok(()),
        };
    }
    finish(store).await
}
