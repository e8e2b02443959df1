//! Waiting for what passes by itself. Always by a timer: no thread sleeps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::millis;
use crate::error::{Error, Result};
use crate::events::Event;
use crate::runtime::{Client, Lane, run_for};

/// How long to wait before a folder that looks gone, or a file that looks torn, is looked at again: other
/// programs remove files one by one, and released Baileys truncates before it writes.
const SECOND_LOOK: Duration = Duration::from_millis(100);

/// Too many open files, an interrupted call, a network mount that has moved: gone a moment later, often.
const PASSING: [&str; 5] = ["EMFILE", "ENFILE", "EAGAIN", "EINTR", "ESTALE"];
/// How long such a call is tried again.
const RETRY_FOR: Duration = Duration::from_secs(5);
/// How long to wait before the first time; twice as long before each later one.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest wait.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Waits for a second look.
pub(super) async fn second_look() {
    tokio::time::sleep(SECOND_LOOK).await;
}

/// Whether a call that failed so is worth another try.
pub(super) fn is_passing(error: &Error) -> bool {
    error.details().errno.as_deref().is_some_and(|errno| PASSING.contains(&errno))
}

/// One call's tries.
pub(super) struct Patience {
    began: Instant,
    pause: Duration,
    tries: u64,
}

impl Patience {
    pub fn new() -> Self {
        Self { began: Instant::now(), pause: FIRST_PAUSE, tries: 1 }
    }

    /// Waits, if another try is worth while.
    pub async fn allows(&mut self, error: &Error) -> bool {
        if !is_passing(error) || self.began.elapsed() >= RETRY_FOR {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.tries += 1;
        true
    }

    /// Tells of a call that was tried more than once: what became of it.
    pub fn tell(&self, client: &Client, failed: Option<&Error>) {
        let path = &client.path;
        let (tries, ms) = (self.tries, millis(self.began.elapsed()));
        let event = match failed {
            _ if tries == 1 => return,
            None => {
                let message = format!(
                    "a call went through at try {tries}, after {ms} ms: is the system short of files?"
                );
                Event::info("retried", path, message)
            }
            Some(error) => {
                Event::warning("retried", path, format!("a call failed {tries} times in {ms} ms: {error}"))
            }
        };
        client.listeners.emit(&event.with("tries", tries).with("durationMs", ms));
    }
}

/// Does blocking work until it goes through, or fails for good.
pub(super) async fn persist<T: Send + 'static>(
    lane: Lane,
    client: &Arc<Client>,
    work: impl Fn() -> Result<T> + Send + Sync + 'static,
) -> Result<T> {
    let (work, mut patience) = (Arc::new(work), Patience::new());
    loop {
        let attempt = work.clone();
        match run_for(Some(client), lane, move || attempt()).await? {
            Err(error) if patience.allows(&error).await => {}
            result => {
                patience.tell(client, result.as_ref().err());
                return result;
            }
        }
    }
}
