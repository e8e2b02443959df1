//! Opening a log: the only code that cuts frames, and the only one that decides what a crash left.
//!
//! What it decides becomes true on disk before the log is used: zeros over the tail, what no frame attests
//! written again, one sync for both. If any of it fails the opening fails, and the next one does all of it
//! again. `docs/format.md` says why each step is there.

use std::sync::Arc;

use crate::error::Error;
use crate::folder::{self, Contents};
use crate::format::{FIRST_FRAME, Name, length, offset};
use crate::fs::{Dir, File, read_full, write_all};
use crate::index::Index;
use crate::making::{Attest, Making};
use crate::rules::{Rule, Rules};
use crate::scan::{Behind, Look, NO_FRAME, Scan};
use crate::writer::{Tail, write_zeros};

/// From which part of a log is judged how much is in all of it.
const EXPECTED_AFTER: u64 = 16;

/// A log that is on disk as it is in memory.
pub(crate) struct Recovered {
    pub tail: Tail,
    pub index: Index,
    pub created: bool,
    pub dropped_bytes: u64,
}

/// Opens the highest log of a folder, or makes one.
pub(crate) fn open(dir: &dyn Dir, salt: [u8; 8], rules: Rules) -> Result<Recovered, Error> {
    // A rename that only the cache shows must not carry commits that a power cut takes with it.
    if rules.holds(Rule::FolderSynced) {
        folder::sync(dir)?;
    }
    let contents = Contents::of(dir)?;
    if contents.temporary {
        folder::remove_one(dir, Name::Temporary)?;
    }
    let Some((newest, older)) = contents.logs.split_last() else {
        return create(dir, contents.highest.map_or(1, |taken| taken.saturating_add(1)), salt, rules);
    };
    let recovered = recover(dir, *newest, rules, Hint::Taken)?;
    for generation in older {
        folder::remove_one(dir, Name::Log(*generation))?;
    }
    Ok(recovered)
}

/// Makes an empty log.
fn create(dir: &dyn Dir, generation: u64, salt: [u8; 8], rules: Rules) -> Result<Recovered, Error> {
    let mut making = Making::start(dir, generation, salt, Attest::OwnStart)?;
    making.finish()?;
    if rules.holds(Rule::SyncedBeforeNamed) {
        making.sync()?;
    }
    let name = making.rename(dir)?;
    folder::sync(dir)?;
    let (tail, index) = making.into_log(name, rules);
    Ok(Recovered { tail, index, created: true, dropped_bytes: 0 })
}

/// Whether the last bytes of the file are believed, until the scan comes to them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hint {
    Taken,
    Ignored,
}

fn recover(dir: &dyn Dir, generation: u64, rules: Rules, hint: Hint) -> Result<Recovered, Error> {
    let name = Name::Log(generation).to_string();
    let file = dir.open_write(&name).map_err(|e| Error::io("opening", &name, e))?;
    let mut index = Index::default();
    let mut changed = FIRST_FRAME;
    let mut scan = Scan::start(&*file, &name, generation, Look::Owner)?;
    if hint == Hint::Taken {
        scan.take_hint()?;
    }
    let mut expected = false;
    while let Some(frame) = scan.next()? {
        index.apply_frame(&name, frame.offset, frame.payload)?;
        if !frame.payload.is_empty() {
            changed = frame.offset.saturating_add(offset(frame.bytes.len()));
        }
        make_room(&mut index, &mut expected, scan.end(), scan.size());
    }
    index.settle();
    if !scan.hint_holds() {
        return recover(dir, generation, rules, Hint::Ignored);
    }
    let unattested = Kept { from: scan.attested(), bytes: scan.unattested() };
    let dropped_bytes = match scan.behind()? {
        Behind::Tail(dropped_bytes) => dropped_bytes,
        _ if !rules.holds(Rule::DamageIsNoTail) => 0,
        _ => return Err(Error::corrupt(&name, scan.end(), NO_FRAME)),
    };
    let (end, size) = (scan.end(), scan.size());
    settle(&*file, &name, unattested, end, size, rules)?;
    let tail = Tail::new(Arc::clone(&file), name.clone(), generation, scan.salt(), rules)
        .at(end, scan.sequence(), size)
        .changed(changed, scan.attested());
    Ok(Recovered { tail, index, created: false, dropped_bytes })
}

/// Once, after a part of the file.
fn make_room(index: &mut Index, expected: &mut bool, part: u64, all: u64) {
    if !*expected && part >= all / EXPECTED_AFTER {
        *expected = true;
        index.expect(part, all);
    }
}

/// The frames that no frame attests, as they were when they passed the check.
struct Kept {
    from: u64,
    bytes: Vec<u8>,
}

/// Makes the disk hold what was decided: frames up to `end`, zeros from there to the end of the file.
fn settle(
    file: &dyn File,
    name: &str,
    mut kept: Kept,
    end: u64,
    size: u64,
    rules: Rules,
) -> Result<(), Error> {
    let writing = |error| Error::write("mending the end of", name, error);
    if zeroes_tail(file, name, end, size, rules)? {
        write_zeros(file, end, size).map_err(|short| writing(short.error))?;
    }
    if rules.holds(Rule::Rewritten) {
        if !rules.holds(Rule::RewrittenFromTheCheckedBytes) {
            read_full(file, &mut kept.bytes, kept.from).map_err(|e| Error::io("reading", name, e))?;
        }
        write_all(file, &kept.bytes, kept.from).map_err(|short| writing(short.error))?;
    }
    if rules.holds(Rule::SyncedBeforeAttested) {
        file.sync().map_err(|e| Error::io("syncing", name, e))?;
    }
    Ok(())
}

/// Always, since the cache can show zeros where the disk has a frame; the rest is for the tests of that.
fn zeroes_tail(file: &dyn File, name: &str, end: u64, size: u64, rules: Rules) -> Result<bool, Error> {
    if !rules.holds(Rule::TailZeroed) {
        return Ok(false);
    }
    if rules.holds(Rule::TailZeroedWhateverItReads) {
        return Ok(true);
    }
    let mut tail = vec![0; length(size.saturating_sub(end))];
    read_full(file, &mut tail, end).map_err(|e| Error::io("reading", name, e))?;
    Ok(tail.iter().any(|byte| *byte != 0))
}
