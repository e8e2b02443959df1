//! A new generation of the log, without what is dead in the old one; and the same for a log whose file lost its
//! name.
//!
//! Live records are copied in the order of the file, then what was appended meanwhile, again and again until
//! little is left. Only for that the writer pauses; then the new file is synced, named, the name synced, and
//! everybody goes on with it. Until it has its name nothing hangs on it, so any trouble before that gives it up.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use crate::error::Error;
use crate::folder::{self, Contents};
use crate::format::{FIRST_FRAME, Name, TEMPORARY, length};
use crate::frame;
use crate::fs::{File, read_full};
use crate::index::Place;
use crate::log::{Log, Published};
use crate::making::{Attest, Making};
use crate::rules::Rule;
use crate::scan::Scan;
use crate::writer::Tail;

/// How much is dead at least, beside as much as is live, before compacting is worth it, in bytes.
const DEAD_BYTES: u64 = 1 << 20;

/// How many records are looked up at once: bounds memory, and how long the index is locked.
const BATCH: usize = 16 << 10;

/// How much is read at once, in bytes, and how much of it may be dead in one piece.
const RUN_BYTES: u64 = 512 << 10;
const GAP_BYTES: u64 = 64 << 10;

/// What may be left for the pause, in bytes.
const PAUSE_BYTES: u64 = 65_536;

/// How often a log is written anew while somebody goes on removing files.
const ATTEMPTS: usize = 32;

/// How often it is tried to get there, while others write.
const ROUNDS: usize = 16;

/// How a compaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compaction {
    /// There is a new generation.
    Done {
        /// Its number.
        generation: u64,
        /// Size of the old file, in bytes.
        before_bytes: u64,
        /// Size of the new one, in bytes.
        after_bytes: u64,
    },
    /// It was stopped, and nothing has changed: the log is being closed or failed meanwhile, or its file is not
    /// the one any more that the folder names.
    Stopped,
}

/// What a new generation is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// The folder names the old one.
    Compact,
    /// The folder does not name it, whatever it names: only its descriptor is left.
    WriteAnew,
}

/// Why there is no new generation.
enum Trouble {
    /// Nothing has changed.
    Stopped,
    /// The old file cannot be read, or is damaged.
    Old(Error),
    /// The new one cannot be written.
    New(Error),
}

/// The old file, up to where it was when this began.
struct Old {
    file: Arc<dyn File>,
    name: String,
    generation: u64,
    salt: [u8; 8],
    end: u64,
    sequence: u64,
    size: u64,
}

impl Log {
    /// Whether compacting is worth it: more than 1 MB and more than what is live is dead. After one that failed
    /// not before the log has grown.
    pub fn wants_compaction(&self) -> bool {
        let (sizes, ready) = {
            let published = self.published();
            let ready = !published.closed && published.end >= published.patience;
            (crate::log::Sizes::of(&published.index, published.end, published.file_bytes), ready)
        };
        ready && sizes.dead_bytes > sizes.live_bytes.saturating_add(DEAD_BYTES)
    }

    /// Writes a new generation without what is dead, and goes on in it; for a thread in the background. Reads
    /// never wait for it; writes only while the last 64 KB are copied, synced and named. Memory: a second index
    /// while it runs.
    ///
    /// # Errors
    /// `Corrupt`, `Full`, and `Io` before the new file has its name: the log goes on in the old one. `Io` at or
    /// after that: the log is `Failed` from then on. `Failed`, `Closed`.
    pub fn compact(&self) -> Result<Compaction, Error> {
        self.renew(Purpose::Compact)
    }

    /// Writes a new generation from the file that is held open, for when its name is gone (see
    /// [`is_in_place`](Log::is_in_place)), numbered above every log in the folder; it is durable when this
    /// returns. The caller has the lock anew.
    ///
    /// # Errors
    /// `Full`, `Io`: it can be tried again, unless the old file cannot be read or the new name not be made
    /// durable: then the log is `Failed`. `Closed`.
    pub fn write_anew(&self) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            match self.renew(Purpose::WriteAnew)? {
                Compaction::Done { .. } => return Ok(()),
                // Whoever removed the log has removed what was to become the new one, too.
                Compaction::Stopped => self.tail().check_open()?,
            }
        }
        let gone = std::io::ErrorKind::NotFound.into();
        Err(Error::io("writing anew, for it is removed again and again,", TEMPORARY, gone))
    }

    fn renew(&self, purpose: Purpose) -> Result<Compaction, Error> {
        let mut seed = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = &*self.dir;
        let old = Old::of(&self.quiet())?;
        let contents = Contents::of(dir)?;
        if purpose == Purpose::Compact && contents.logs.last() != Some(&old.generation) {
            return Ok(Compaction::Stopped);
        }
        let taken = contents.highest.max(Some(old.generation)).unwrap_or_default();
        let Some(generation) = taken.checked_add(1) else { return Ok(Compaction::Stopped) };
        if contents.temporary {
            folder::remove_one(dir, Name::Temporary)?;
        }
        let attests = self.rules.holds(Rule::GenerationAttested);
        let attest = if attests { Attest::OwnStart } else { Attest::Nothing };
        let result = Making::start(dir, generation, next_salt(&mut seed), attest)
            .map_err(Trouble::New)
            .and_then(|making| self.write_generation(making, &old, purpose));
        match result {
            Ok(after_bytes) => {
                self.remove_older(generation);
                Ok(Compaction::Done { generation, before_bytes: old.size, after_bytes })
            }
            Err(Trouble::Stopped) => Ok(Compaction::Stopped),
            Err(Trouble::Old(error)) if purpose == Purpose::WriteAnew => {
                self.tail().latch();
                Err(error)
            }
            Err(Trouble::Old(error) | Trouble::New(error)) => {
                let mut published = self.published_mut();
                let more = (published.end / 4).saturating_add(DEAD_BYTES);
                published.patience = published.end.saturating_add(more);
                Err(error)
            }
        }
    }

    /// Fills it, names it, and goes on in it. Says how large it is.
    fn write_generation(&self, mut making: Making, old: &Old, purpose: Purpose) -> Result<u64, Trouble> {
        let filled = self.fill(&mut making, old).and_then(|tail| {
            let looking = |e| Trouble::New(Error::io("looking at", &old.name, e));
            let in_place = purpose == Purpose::WriteAnew || self.is_in_place().map_err(looking)?;
            let ours = making.is_in_place(&*self.dir).map_err(Trouble::New)?;
            self.go_on(&tail)?;
            if in_place && ours { Ok(tail) } else { Err(Trouble::Stopped) }
        });
        let mut tail = match filled {
            Ok(tail) => tail,
            Err(trouble) => {
                // A log that latched writes nothing any more, and a newer one may have begun such a file.
                if self.tail().check_open().map_or_else(|error| !matches!(error, Error::Failed), |()| true) {
                    making.discard(&*self.dir);
                }
                return Err(trouble);
            }
        };
        if !self.rules.holds(Rule::OldGoLast) {
            self.remove_older(old.generation.saturating_add(1));
        }
        let renamed = match making.rename(&*self.dir) {
            // It was removed just now, and nothing has been renamed: nothing has changed.
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(Trouble::Stopped);
            }
            renamed => renamed,
        };
        let named = renamed.and_then(|name| {
            if self.rules.holds(Rule::GenerationNameSynced) {
                folder::sync(&*self.dir)?;
            }
            Ok(name)
        });
        // Which of the two a power cut leaves is not known, so nothing may be written to either.
        let name = named.map_err(|error| {
            tail.latch();
            Trouble::New(error)
        })?;
        let (to, index) = making.into_log(name, self.rules);
        let after_bytes = to.size();
        let mut replaced = Published::new(&to, index);
        tail.switch(to);
        std::mem::swap(&mut *self.published_mut(), &mut replaced);
        drop(tail);
        drop(replaced); // the old index, and maybe the old file, while nobody waits
        Ok(after_bytes)
    }

    /// Copies everything. The writer is paused when it returns.
    fn fill<'l>(&'l self, making: &mut Making, old: &Old) -> Result<MutexGuard<'l, Tail>, Trouble> {
        self.copy_live(making, old)?;
        let mut scan = Scan::resume(&*old.file, &old.name, old.salt, old.end, old.sequence, old.end);
        drop(self.catch_up(making, &mut scan)?);
        // What is synced now need not be while the writer waits.
        making.flush().map_err(Trouble::New)?;
        self.sync_new(making)?;
        let tail = self.catch_up(making, &mut scan)?;
        copy_appended(making, &mut scan, tail.end())?;
        making.finish().map_err(Trouble::New)?;
        self.sync_new(making)?;
        Ok(tail)
    }

    /// Copies what was live when this began and still is.
    fn copy_live(&self, making: &mut Making, old: &Old) -> Result<(), Trouble> {
        let mut from = FIRST_FRAME;
        let mut bytes = Vec::new();
        loop {
            let places = self.published().index.places(from..old.end, BATCH);
            let Some(last) = places.last() else { return Ok(()) };
            from = last.end();
            let mut rest = places.as_slice();
            while let Some(first) = rest.first() {
                self.check_stop()?;
                let (run, behind) = rest.split_at(run_of(rest));
                rest = behind;
                let end = run.last().map_or(first.offset, |place| place.end());
                bytes.resize(length(end.saturating_sub(first.offset)), 0);
                let read = read_full(&*old.file, &mut bytes, first.offset)
                    .map_err(|e| Trouble::Old(Error::io("reading", &old.name, e)))?;
                for place in run {
                    let at = length(place.offset.saturating_sub(first.offset));
                    let record =
                        bytes.get(at..at.saturating_add(place.length)).filter(|_| read == bytes.len());
                    let Some((record, change)) = record.and_then(|r| Some((r, frame::record(r)?))) else {
                        let damaged = Error::corrupt(&old.name, place.offset, "the record is damaged");
                        return Err(Trouble::Old(damaged));
                    };
                    making.push(&change, record).map_err(Trouble::New)?;
                }
            }
        }
    }

    /// Copies what was appended meanwhile, until little is left of it, or others write as fast for long. The
    /// writer is paused when it returns.
    fn catch_up<'l>(
        &'l self,
        making: &mut Making,
        scan: &mut Scan<'_>,
    ) -> Result<MutexGuard<'l, Tail>, Trouble> {
        let mut rounds = 0..ROUNDS;
        loop {
            let tail = self.quiet();
            self.go_on(&tail)?;
            let end = tail.end();
            if end.saturating_sub(scan.end()) <= PAUSE_BYTES || rounds.next().is_none() {
                return Ok(tail);
            }
            drop(tail);
            copy_appended(making, scan, end)?;
        }
    }

    /// A sync that fails is not tried again: the next one would say nothing of what this one lost.
    fn sync_new(&self, making: &Making) -> Result<(), Trouble> {
        if !self.rules.holds(Rule::GenerationSynced) {
            return Ok(());
        }
        match making.sync() {
            Err(_) if !self.rules.holds(Rule::FailedGenerationGivenUp) => making.sync().map_err(Trouble::New),
            result => result.map_err(Trouble::New),
        }
    }

    /// While it copies; what has been copied is of no use.
    fn check_stop(&self) -> Result<(), Trouble> {
        self.unless(self.stop.load(Ordering::SeqCst))
    }

    /// While nobody can write: so that it is true until it has its name.
    fn go_on(&self, tail: &Tail) -> Result<(), Trouble> {
        self.unless(tail.check_open().is_err())
    }

    fn unless(&self, stopped: bool) -> Result<(), Trouble> {
        if stopped && self.rules.holds(Rule::LatchStopsCompaction) { Err(Trouble::Stopped) } else { Ok(()) }
    }

    /// Removes lower generations, lowest first. One that stays is removed at the next opening.
    fn remove_older(&self, generation: u64) {
        let Ok(contents) = Contents::of(&*self.dir) else { return };
        for older in contents.logs.into_iter().filter(|older| *older < generation) {
            if folder::remove_one(&*self.dir, Name::Log(older)).is_err() {
                return;
            }
        }
    }
}

/// How many of these places are worth reading at once.
fn run_of(places: &[Place]) -> usize {
    let Some(first) = places.first() else { return 0 };
    let mut end = first.end();
    let fits = |place: &&Place| {
        let near = place.offset.saturating_sub(end) <= GAP_BYTES;
        end = place.end();
        near && end.saturating_sub(first.offset) <= RUN_BYTES
    };
    1 + places.iter().skip(1).take_while(fits).count()
}

/// Copies every record of the frames up to an offset that are not copied yet.
fn copy_appended(making: &mut Making, scan: &mut Scan<'_>, to: u64) -> Result<(), Trouble> {
    let name = scan.name();
    scan.grow(to);
    while let Some(frame) = scan.next().map_err(Trouble::Old)? {
        for record in frame::records(frame.payload) {
            let copied = record.and_then(|(change, span)| {
                let bytes = frame.payload.get(span.start..span.start.saturating_add(span.length))?;
                Some((change, bytes))
            });
            let Some((change, bytes)) = copied else {
                return Err(Trouble::Old(Error::corrupt(name, frame.offset, frame::NOT_RECORDS)));
            };
            making.push(&change, bytes).map_err(Trouble::New)?;
        }
    }
    if scan.end() < to {
        return Err(Trouble::Old(Error::corrupt(name, scan.end(), "the frame is damaged")));
    }
    Ok(())
}

/// The salt of a new generation: random as the one that the log was opened with.
fn next_salt(seed: &mut u64) -> [u8; 8] {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)).to_le_bytes()
}

impl Old {
    fn of(tail: &Tail) -> Result<Old, Error> {
        tail.check_open()?;
        Ok(Old {
            file: Arc::clone(tail.file()),
            name: tail.name().to_owned(),
            generation: tail.generation(),
            salt: tail.salt(),
            end: tail.end(),
            sequence: tail.sequence(),
            size: tail.size(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_near_is_read_at_once_and_no_more_than_half_a_megabyte() {
        let places = |gaps: &[(u64, usize)]| {
            let mut at = 64;
            let place = |(gap, length): &(u64, usize)| {
                let place = Place { offset: at + gap, length: *length };
                at = place.end();
                place
            };
            gaps.iter().map(place).collect::<Vec<_>>()
        };
        assert_eq!(run_of(&[]), 0);
        assert_eq!(run_of(&places(&[(0, 9)])), 1);
        assert_eq!(run_of(&places(&[(0, 9), (65_536, 9), (0, 9), (65_537, 9), (0, 9)])), 3);
        assert_eq!(run_of(&places(&[(7, 400_000), (0, 124_288), (0, 9)])), 2);
        assert_eq!(run_of(&places(&[(7, 400_000), (0, 124_289), (0, 9)])), 1);
        assert_eq!(run_of(&places(&[(0, 9_000_000), (0, 9)])), 1, "a large one alone");
    }

    #[test]
    fn salts_come_from_splitmix64() {
        // The first numbers that its authors give for this start.
        let mut seed = 1_234_567;
        let numbers = [next_salt(&mut seed), next_salt(&mut seed), next_salt(&mut seed)];
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(numbers, expected.map(u64::to_le_bytes));
    }
}
