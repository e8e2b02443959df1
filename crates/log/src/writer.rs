//! The end of the log, where frames are written. One thread at a time is here, behind one lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, is_full};
use crate::format::offset;
use crate::frame::{self, Builder, Change};
use crate::fs::{File, ShortWrite, write_all};
use crate::index::Place;
use crate::rules::{Rule, Rules};

/// What is written ahead at least and at most, in bytes.
const AHEAD_BYTES: std::ops::RangeInclusive<u64> = 16 << 10..=1 << 20;

/// The most where others wait for the end of the log meanwhile.
pub(crate) const AHEAD_BYTES_AT_ONCE: u64 = 64 << 10;

/// How many zeros are written at once, in bytes.
const ZEROS_BYTES: usize = 64 << 10;

static ZEROS: [u8; ZEROS_BYTES] = [0; ZEROS_BYTES];

/// Writes zeros over a part of a file; a short write says how much of it was written in all.
pub(crate) fn write_zeros(file: &dyn File, from: u64, to: u64) -> Result<(), ShortWrite> {
    let mut at = from;
    while at < to {
        let count = usize::try_from(to - at).unwrap_or(usize::MAX).min(ZEROS_BYTES);
        write_all(file, ZEROS.get(..count).unwrap_or(&ZEROS), at).map_err(|short| {
            let written = crate::format::length(at - from).saturating_add(short.written);
            ShortWrite { written, ..short }
        })?;
        at = at.saturating_add(offset(count));
    }
    Ok(())
}

/// What the log may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// A write or a sync failed: the file may hold anything from `synced` on, and a later sync that succeeds
    /// would say nothing of it. Only an opening looks at it again.
    Latched,
    Closed,
}

/// Why a frame was not appended.
pub(crate) enum NotAppended {
    /// No room; what was written of it stands behind the end and must be taken back.
    NoRoom(ShortWrite),
    /// Anything else.
    Failed(Error),
}

/// A sync that is under way, and so what it covers if it succeeds.
pub(crate) struct Syncing {
    pub file: Arc<dyn File>,
    end: u64,
}

/// The end of the log.
pub(crate) struct Tail {
    file: Arc<dyn File>,
    name: String,
    generation: u64,
    salt: [u8; 8],
    rules: Rules,
    state: State,
    /// Set when nothing may be written any more: a running compaction looks at it.
    stop: Arc<AtomicBool>,
    /// Where the next frame goes.
    end: u64,
    /// The last frame's number.
    sequence: u64,
    /// The file's size, as far as known; zeros from `end` on. Nobody else changes it, so nobody has to ask.
    size: u64,
    /// The end when the last successful sync began. The next frame attests it.
    synced: u64,
    /// The end of the last frame that changed something.
    changed: u64,
    /// The highest offset that a frame attests.
    attested: u64,
    builder: Builder,
    /// A sync runs that does not hold the lock. Only one at a time: an error of one would not be told to
    /// another.
    pub syncing: bool,
    /// A write that found no room waits to be taken back; until then nobody may write at the end.
    pub taking_back: bool,
}

impl Tail {
    pub fn new(file: Arc<dyn File>, name: String, generation: u64, salt: [u8; 8], rules: Rules) -> Tail {
        Tail {
            file,
            name,
            generation,
            salt,
            rules,
            state: State::Open,
            stop: Arc::default(),
            end: 0,
            sequence: 0,
            size: 0,
            synced: 0,
            changed: 0,
            attested: 0,
            builder: Builder::default(),
            syncing: false,
            taking_back: false,
        }
    }

    /// A log whose every byte is on disk.
    pub fn at(mut self, end: u64, sequence: u64, size: u64) -> Tail {
        (self.end, self.synced, self.sequence, self.size) = (end, end, sequence, size.max(end));
        self
    }

    /// What its frames say: the end of the last one that changed something, and what they attest.
    pub fn changed(mut self, changed: u64, attested: u64) -> Tail {
        (self.changed, self.attested) = (changed, attested);
        self
    }

    /// Goes on in another file, which holds the same.
    pub fn switch(&mut self, mut to: Tail) {
        to.stop = Arc::clone(&self.stop);
        to.builder = std::mem::take(&mut self.builder);
        *self = to;
    }

    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn salt(&self) -> [u8; 8] {
        self.salt
    }

    pub fn end(&self) -> u64 {
        self.end
    }

    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The file's size, zeros ahead included.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Tells a compaction that nothing may be written any more.
    pub fn stop(&self) -> &Arc<AtomicBool> {
        &self.stop
    }

    /// # Errors
    /// `Closed`, `Failed`.
    pub fn check_open(&self) -> Result<(), Error> {
        match self.state {
            State::Open => Ok(()),
            State::Latched => Err(Error::Failed),
            State::Closed => Err(Error::Closed),
        }
    }

    pub fn latch(&mut self) {
        if self.state == State::Open && self.rules.holds(Rule::Latched) {
            self.state = State::Latched;
            self.stop.store(true, Ordering::SeqCst);
        }
    }

    /// Writes one frame, in one write. Not synced.
    ///
    /// # Errors
    /// `TooLarge` leaves the log as it was, `Io` latches it.
    pub fn append(&mut self, changes: &[Change<'_>]) -> Result<(), NotAppended> {
        let synced = if self.rules.holds(Rule::AttestsOnlyTheSynced) { self.synced } else { self.end };
        let sequence = self.sequence.saturating_add(1);
        let too_large = |frame::TooLarge(bytes)| NotAppended::Failed(Error::TooLarge { bytes });
        self.builder.fill(changes).map_err(too_large)?;
        let bytes = self.builder.finish(self.salt, sequence, synced).map_err(too_large)?;
        let end = self.end.saturating_add(offset(bytes.len()));
        if let Err(short) = write_all(&*self.file, bytes, self.end) {
            if is_full(&short.error) {
                return Err(NotAppended::NoRoom(short));
            }
            return Err(NotAppended::Failed(self.failed("writing", short.error)));
        }
        self.size = self.size.max(end);
        self.end = end;
        self.sequence = sequence;
        self.attested = self.attested.max(synced);
        if !changes.is_empty() {
            self.changed = end;
        }
        Ok(())
    }

    /// Writes zeros behind the last frame, a quarter of the live size, when there are none: the next syncs do not change
    /// the file's size, and are faster. For whoever is about to sync. That there is no room is no error.
    ///
    /// # Errors
    /// `Io`, and the log is latched.
    pub fn write_ahead(&mut self, live_bytes: u64, most: u64) -> Result<(), Error> {
        if self.size > self.end {
            return Ok(());
        }
        let ahead = (live_bytes / 4).clamp(*AHEAD_BYTES.start(), *AHEAD_BYTES.end()).min(most);
        let to = self.end.saturating_add(self.rules.ahead_bytes(ahead));
        match write_zeros(&*self.file, self.end, to) {
            Ok(()) => self.size = to,
            Err(short) if is_full(&short.error) && self.rules.holds(Rule::ZerosAheadMayFail) => {
                self.size = self.end.saturating_add(offset(short.written));
            }
            Err(short) => return Err(self.failed("writing ahead in", short.error)),
        }
        Ok(())
    }

    fn failed(&mut self, doing: &str, error: std::io::Error) -> Error {
        self.latch();
        Error::cut_off(doing, &self.name, error)
    }

    /// The changes of the frame that was just appended, each with its place.
    pub fn appended<'a, 'c>(
        &'a self,
        changes: &'a [Change<'c>],
    ) -> impl Iterator<Item = (&'a Change<'c>, Place)> {
        let spans = self.builder.spans();
        let start = self.end.saturating_sub(offset(self.builder.frame_bytes()));
        changes.iter().zip(spans).map(move |(change, span)| (change, Place::in_frame(start, *span)))
    }

    /// Large buffers are not kept.
    pub fn settle(&mut self) {
        self.builder.settle();
    }

    /// Overwrites what was written of a frame with zeros, and syncs that: then nobody sees it again, whatever
    /// happens. Gives the error that its caller hears of.
    pub fn take_back(&mut self, short: ShortWrite) -> Error {
        match self.zero(short.written) {
            Err(error) if self.rules.holds(Rule::FailedTakingBackLatches) => error,
            _ => Error::Full { source: short.error },
        }
    }

    fn zero(&mut self, written: usize) -> Result<(), Error> {
        if written == 0 || !self.rules.holds(Rule::FullTakenBack) {
            return Ok(());
        }
        let to = self.end.saturating_add(offset(written));
        self.size = self.size.max(to);
        if let Err(short) = write_zeros(&*self.file, self.end, to) {
            if self.rules.holds(Rule::FailedTakingBackLatches) {
                self.latch();
            }
            return Err(Error::cut_off("taking back a write of", &self.name, short.error));
        }
        if self.rules.holds(Rule::TakenBackSynced) { self.sync() } else { Ok(()) }
    }

    /// Begins a sync that does not need the lock.
    pub fn begin_sync(&mut self) -> Syncing {
        self.syncing = true;
        Syncing { file: Arc::clone(&self.file), end: self.end }
    }

    /// Notes how it ended.
    ///
    /// # Errors
    /// `Io`, and the log is latched: what the file holds on disk is not known any more.
    pub fn end_sync(&mut self, sync: &Syncing, result: std::io::Result<()>) -> Result<(), Error> {
        self.syncing = false;
        result.map_err(|error| self.failed("syncing", error))?;
        let begun = self.rules.holds(Rule::AttestsWhatTheSyncBeganWith);
        self.synced = if begun { sync.end } else { self.end };
        Ok(())
    }

    /// Makes every frame durable that was written, while nobody else can write one.
    ///
    /// # Errors
    /// As [`end_sync`](Tail::end_sync).
    pub fn sync(&mut self) -> Result<(), Error> {
        let sync = self.begin_sync();
        let result = sync.file.sync();
        self.end_sync(&sync, result)
    }

    /// Whether something was written that no successful sync covered.
    pub fn is_dirty(&self) -> bool {
        self.synced < self.end
    }

    /// Closes: syncs what is not, attests the last commit, gives space back. A latched log writes nothing.
    ///
    /// # Errors
    /// `Failed` (latched), `Io`. It is closed all the same.
    pub fn close(&mut self) -> Result<(), Error> {
        self.stop.store(true, Ordering::SeqCst);
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Open if self.is_dirty() => self.finish(),
            State::Open => self.finish().map_err(Error::without_commit),
            State::Latched if self.rules.holds(Rule::LatchedCloseSilent) => Err(Error::Failed),
            State::Latched => self.finish(),
            State::Closed => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        if self.is_dirty() {
            self.sync()?;
        }
        if self.changed > self.attested {
            match self.append(&[]) {
                Ok(()) => {}
                Err(NotAppended::NoRoom(short)) => match self.take_back(short) {
                    Error::Full { .. } => {}
                    error => return Err(error),
                },
                Err(NotAppended::Failed(error)) => return Err(error),
            }
        }
        let surplus = self.size > self.end;
        if surplus {
            self.file.set_len(self.end).map_err(|e| Error::io("cutting", &self.name, e))?;
            self.size = self.end;
        }
        if surplus || self.is_dirty() { self.sync() } else { Ok(()) }
    }
}
