//! The end of the log, where frames are written. One thread at a time is here, behind one lock.

use std::sync::Arc;

use crate::error::{Error, is_full};
use crate::format::offset;
use crate::frame::{self, Change};
use crate::fs::{File, write_all};
use crate::index::Place;
use crate::rules::{Rule, Rules};

/// What the log may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// A write or a sync failed: the file may hold anything from `synced` on, and a later sync that succeeds
    /// would say nothing of it. Only an opening looks at it again.
    Latched,
    Closed,
}

/// The end of the log.
pub(crate) struct Tail {
    file: Arc<dyn File>,
    name: String,
    salt: [u8; 8],
    rules: Rules,
    state: State,
    /// Where the next frame goes.
    end: u64,
    /// The last frame's number.
    sequence: u64,
    /// The file's size, as far as known; zeros from `end` on.
    size: u64,
    /// The end when the last successful sync began. The next frame attests it.
    synced: u64,
    /// The end of the last frame that changed something.
    changed: u64,
    /// The highest offset that a frame attests.
    attested: u64,
}

impl Tail {
    pub fn new(file: Arc<dyn File>, name: String, salt: [u8; 8], rules: Rules) -> Tail {
        let state = State::Open;
        Tail {
            file,
            name,
            salt,
            rules,
            state,
            end: 0,
            sequence: 0,
            size: 0,
            synced: 0,
            changed: 0,
            attested: 0,
        }
    }

    /// A log whose every byte is on disk.
    pub fn at(mut self, end: u64, sequence: u64, size: u64) -> Tail {
        (self.end, self.synced, self.sequence, self.size) = (end, end, sequence, size.max(end));
        self
    }

    /// What its frames say: the end of the last one that changed something, and what they attest.
    pub fn changed(&mut self, changed: u64, attested: u64) {
        (self.changed, self.attested) = (changed, attested);
    }

    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    pub fn name(&self) -> &str {
        &self.name
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
        }
    }

    /// Writes one frame, in one write, and says where its records are. Not synced.
    ///
    /// # Errors
    /// `TooLarge` and `Full` leave the log as it was; `Io` latches it.
    pub fn append(&mut self, changes: &[Change<'_>]) -> Result<Vec<Place>, Error> {
        let synced = if self.rules.holds(Rule::AttestsOnlyTheSynced) { self.synced } else { self.end };
        let sequence = self.sequence.saturating_add(1);
        let (bytes, spans) = frame::encode(self.salt, sequence, synced, changes.iter().copied())
            .map_err(|frame::TooLarge(bytes)| Error::TooLarge { bytes })?;
        if let Err(short) = write_all(&*self.file, &bytes, self.end) {
            if !is_full(&short.error) {
                self.latch();
                return Err(Error::cut_off("writing", &self.name, short.error));
            }
            let taken_back = self.take_back(short.written);
            if self.rules.holds(Rule::FailedTakingBackLatches) {
                taken_back?;
            }
            return Err(Error::Full { source: short.error });
        }
        let frame = self.end;
        self.end = self.end.saturating_add(offset(bytes.len()));
        self.size = self.size.max(self.end);
        self.sequence = sequence;
        self.attested = self.attested.max(synced);
        if !changes.is_empty() {
            self.changed = self.end;
        }
        Ok(spans.into_iter().map(|span| Place::in_frame(frame, span)).collect())
    }

    /// Overwrites what was written of a frame with zeros, and syncs that: then nobody sees it again, whatever
    /// happens.
    fn take_back(&mut self, written: usize) -> Result<(), Error> {
        if written == 0 || !self.rules.holds(Rule::FullTakenBack) {
            return Ok(());
        }
        self.size = self.size.max(self.end.saturating_add(offset(written)));
        if let Err(short) = write_all(&*self.file, &vec![0; written], self.end) {
            if self.rules.holds(Rule::FailedTakingBackLatches) {
                self.latch();
            }
            return Err(Error::cut_off("taking back a write of", &self.name, short.error));
        }
        if self.rules.holds(Rule::TakenBackSynced) { self.sync() } else { Ok(()) }
    }

    /// Makes every frame durable that was written.
    ///
    /// # Errors
    /// `Io`, and the log is latched: what the file holds on disk is not known any more.
    pub fn sync(&mut self) -> Result<(), Error> {
        let end = self.end;
        if let Err(error) = self.file.sync() {
            self.latch();
            return Err(Error::cut_off("syncing", &self.name, error));
        }
        self.synced = end;
        Ok(())
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
                Ok(_) | Err(Error::Full { .. }) => {}
                Err(error) => return Err(error),
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
