//! Staying awake while calls follow each other closely.
//!
//! A bot that handles a message calls `get`, `set`, `get`, `set`, each after the other's answer. Waking a sleeping
//! thread takes several times as long as the write that it is woken for, so a thread that has just finished waits for
//! the next call a moment, turning, before it sleeps: only where the last call came that soon too, one thread a process
//! at a time, and not on a machine with a single core.

use std::hint::spin_loop;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long to wait for the next call: longer than an answer takes through the event loop to who makes it.
const MOMENT: Duration = Duration::from_micros(120);
/// Calls that come this soon after the last one was finished are a burst.
const SOON: Duration = Duration::from_micros(400);

static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
static MANY_CORES: LazyLock<bool> =
    LazyLock::new(|| std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1));
static SOMEBODY_STAYS: AtomicBool = AtomicBool::new(false);

/// What is known of how calls follow each other.
#[derive(Default)]
pub struct Burst {
    /// There is a call to be taken.
    called: AtomicBool,
    /// When the last call was finished, in nanoseconds.
    rested: AtomicU64,
    lasts: AtomicBool,
    /// The thread that has finished is waiting for the next call.
    stays: AtomicBool,
}

fn now() -> u64 {
    u64::try_from(BEGINNING.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

impl Burst {
    /// A call was added, under the lock of the calls; `resting` says that nobody works on them.
    pub fn call(&self, resting: bool) {
        if resting {
            let since = now().saturating_sub(self.rested.load(Ordering::Relaxed));
            self.lasts.store(Duration::from_nanos(since) < SOON, Ordering::Relaxed);
        }
        self.called.store(true, Ordering::Release);
    }

    /// Whether a thread waits for the next call right now.
    pub fn stays(&self) -> bool {
        self.stays.load(Ordering::Acquire)
    }

    /// The last call was taken, under the lock of the calls.
    pub fn taken(&self) {
        self.called.store(false, Ordering::Release);
    }

    /// There is nothing to do: waits a moment for the next call, if one is likely.
    pub fn stay(&self) {
        let began = now();
        self.rested.store(began, Ordering::Relaxed);
        let likely = self.lasts.load(Ordering::Relaxed) && *MANY_CORES;
        if !likely || SOMEBODY_STAYS.swap(true, Ordering::Acquire) {
            return;
        }
        self.stays.store(true, Ordering::Release);
        let end = began.saturating_add(u64::try_from(MOMENT.as_nanos()).unwrap_or(0));
        while !self.called.load(Ordering::Acquire) && now() < end {
            for _ in 0..32 {
                spin_loop();
            }
        }
        self.stays.store(false, Ordering::Release);
        SOMEBODY_STAYS.store(false, Ordering::Release);
    }
}
