//! Calls that do not come back: a dead network mount keeps a thread as long as it likes.
//!
//! Each piece of work on a lane's thread is noted while it lasts. One that has not come back after a second gives its
//! place in the lane to others, so that dead folders do not use up the lanes; after ten it is told of, once. Looking for
//! such work is one timer, and none while nothing is under way.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use crate::events::{Event, Listeners};

/// How often it is looked.
const TICK: Duration = Duration::from_millis(500);
/// From here on work does not count in its lane.
const GIVES_PLACE: Duration = Duration::from_secs(1);
/// From here on it is told of.
const STUCK: Duration = Duration::from_secs(10);

/// On whose behalf work is done: who hears when it does not come back.
pub struct Client {
    /// Who hears.
    pub listeners: Listeners,
    /// The folder.
    pub path: PathBuf,
}

/// Work on a thread of a lane; dropped when it is done.
pub(crate) struct Work(u64);

struct Noted {
    lane: &'static Semaphore,
    gave_place: bool,
    client: Option<Arc<Client>>,
    since: Instant,
    told: bool,
}

#[derive(Default)]
struct All {
    made: u64,
    work: HashMap<u64, Noted>,
    watched: bool,
}

static ALL: LazyLock<Mutex<All>> = LazyLock::new(Mutex::default);
static STUCK_NOW: AtomicUsize = AtomicUsize::new(0);

/// How much work has given its place in its lane to others, and has not come back.
pub(crate) fn stuck() -> usize {
    STUCK_NOW.load(Ordering::Relaxed)
}

fn all() -> MutexGuard<'static, All> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Work {
    /// Notes work that has a place in this lane.
    pub fn begin(runtime: &Runtime, lane: &'static Semaphore, client: Option<&Arc<Client>>) -> Self {
        let mut all = all();
        all.made += 1;
        let number = all.made;
        let noted =
            Noted { lane, gave_place: false, client: client.cloned(), since: Instant::now(), told: false };
        all.work.insert(number, noted);
        if !std::mem::replace(&mut all.watched, true) {
            drop(all);
            runtime.spawn(watch());
        }
        Self(number)
    }

    /// It came back, and goes on with something else.
    pub fn goes_on(&self, client: Option<&Arc<Client>>) {
        if let Some(noted) = all().work.get_mut(&self.0) {
            (noted.since, noted.told) = (Instant::now(), false);
            noted.client = client.cloned();
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        match all().work.remove(&self.0) {
            Some(noted) if noted.gave_place => {
                STUCK_NOW.fetch_sub(1, Ordering::Relaxed);
            }
            Some(noted) => noted.lane.add_permits(1),
            None => {}
        }
    }
}

async fn watch() {
    loop {
        tokio::time::sleep(TICK).await;
        let mut stuck = Vec::new();
        {
            let mut all = all();
            if all.work.is_empty() {
                all.watched = false;
                return;
            }
            for noted in all.work.values_mut() {
                let age = noted.since.elapsed();
                if age >= GIVES_PLACE && !std::mem::replace(&mut noted.gave_place, true) {
                    STUCK_NOW.fetch_add(1, Ordering::Relaxed);
                    noted.lane.add_permits(1);
                }
                if age >= STUCK && !std::mem::replace(&mut noted.told, true) {
                    stuck.extend(noted.client.clone());
                }
            }
        }
        for client in stuck {
            let seconds = STUCK.as_secs();
            let message = format!(
                "a call has not come back for {seconds} s (a network mount that is gone?); what waits for it goes on \
                 waiting, and other accounts go on"
            );
            client.listeners.emit(&Event::warning("stuck", &client.path, message));
        }
    }
}
