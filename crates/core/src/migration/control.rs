//! How far a migration is, and whether it is still wanted.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Code, Error, Result};

/// Progress is told this often at the most; the end of a phase always.
const TELL_EVERY: Duration = Duration::from_millis(50);

/// What a migration is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Every value is read from the source and written to the target.
    Copy,
    /// Every value is read back and compared.
    Verify,
    /// The credentials are written: from here on the account opens.
    Publish,
}

impl Phase {
    /// As it is said to people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Phase::Copy => "copy",
            Phase::Verify => "verify",
            Phase::Publish => "publish",
        }
    }
}

/// How far a phase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The phase.
    pub phase: Phase,
    /// Keys that are done.
    pub done: u64,
    /// Keys that there are.
    pub total: u64,
    /// Bytes of the values that are done.
    pub bytes: u64,
}

type Tell = Box<dyn Fn(Progress) + Send + Sync>;

/// The caller's end of a migration. Cheap to clone.
#[derive(Clone, Default)]
pub struct Control(Arc<Shared>);

#[derive(Default)]
struct Shared {
    aborted: AtomicBool,
    tell: Option<Tell>,
    told: Mutex<Option<Instant>>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Control")
    }
}

impl Control {
    /// A control that tells of progress.
    pub fn new(tell: Option<Tell>) -> Self {
        Self(Arc::new(Shared { tell, ..Shared::default() }))
    }

    /// The migration is not wanted any more: it stops at the next key, and nothing is published.
    pub fn abort(&self) {
        self.0.aborted.store(true, Ordering::Release);
    }

    /// # Errors
    /// `Aborted`.
    pub(super) fn check(&self) -> Result<()> {
        if self.0.aborted.load(Ordering::Acquire) {
            let message = "the migration was aborted, and nothing was published: run it again to start over";
            return Err(Error::new(Code::Aborted, message));
        }
        Ok(())
    }

    pub(super) fn begin(&self, phase: Phase, total: usize) -> Step<'_> {
        let total = u64::try_from(total).unwrap_or(u64::MAX);
        let step = Step { control: self, progress: Progress { phase, done: 0, total, bytes: 0 } };
        self.tell(step.progress, true);
        step
    }

    fn tell(&self, progress: Progress, always: bool) {
        let Some(tell) = &self.0.tell else { return };
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        if always || told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            *told = Some(Instant::now());
            tell(progress);
        }
    }
}

/// One phase under way.
pub(super) struct Step<'a> {
    control: &'a Control,
    progress: Progress,
}

impl Step<'_> {
    /// One key more.
    ///
    /// # Errors
    /// `Aborted`.
    pub fn advance(&mut self, bytes: u64) -> Result<()> {
        self.control.check()?;
        self.progress.done += 1;
        self.progress.bytes += bytes;
        self.control.tell(self.progress, false);
        Ok(())
    }

    /// The phase is over.
    pub fn end(mut self) {
        // What was left out is done with, too.
        self.progress.total = self.progress.done;
        self.control.tell(self.progress, true);
    }
}
