//! Opening a log: the only code that cuts frames, and the only one that decides what a crash left.
//!
//! What it decides becomes true on disk before the log is used: zeros over the tail, what no frame attests
//! written again, one sync for both. If any of it fails the opening fails, and the next one does all of it
//! again. `docs/format.md` says why each step is there.

use std::sync::Arc;

use crate::error::Error;
use crate::folder::{self, Contents};
use crate::format::{FILE_MODE, FIRST_FRAME, FileHeader, Name, TEMPORARY, length, offset};
use crate::frame;
use crate::fs::{Dir, File, read_full, write_all};
use crate::index::Index;
use crate::rules::{Rule, Rules};
use crate::scan::Scan;
use crate::writer::Tail;

/// How many zeros are written at once, in bytes.
const ZEROS_BYTES: usize = 64 << 10;

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
        remove(dir, TEMPORARY)?;
    }
    let Some((newest, older)) = contents.logs.split_last() else {
        return create(dir, contents.highest.map_or(1, |taken| taken.saturating_add(1)), salt, rules);
    };
    let recovered = recover(dir, *newest, rules)?;
    for generation in older {
        remove(dir, &Name::Log(*generation).to_string())?;
    }
    Ok(recovered)
}

fn remove(dir: &dyn Dir, name: &str) -> Result<(), Error> {
    dir.remove(name).map_err(|e| Error::io("removing", name, e))
}

/// Writes an empty log under the temporary name, and names it once it is on disk.
fn create(dir: &dyn Dir, generation: u64, salt: [u8; 8], rules: Rules) -> Result<Recovered, Error> {
    let file = dir.create(TEMPORARY, FILE_MODE).map_err(|e| Error::write("making", TEMPORARY, e))?;
    let (first, _) = frame::encode(salt, 1, FIRST_FRAME, std::iter::empty())
        .map_err(|frame::TooLarge(bytes)| Error::TooLarge { bytes })?;
    let mut bytes = FileHeader { salt, generation }.encode().to_vec();
    bytes.extend_from_slice(&first);
    write_all(&*file, &bytes, 0).map_err(|short| Error::write("writing", TEMPORARY, short.error))?;
    if rules.holds(Rule::SyncedBeforeNamed) {
        file.sync().map_err(|e| Error::io("syncing", TEMPORARY, e))?;
    }
    let name = Name::Log(generation).to_string();
    dir.rename(TEMPORARY, &name).map_err(|e| Error::io("naming", &name, e))?;
    folder::sync(dir)?;
    let end = offset(bytes.len());
    let tail = Tail::new(file, name, salt, rules).at(end, 1, end);
    Ok(Recovered { tail, index: Index::default(), created: true, dropped_bytes: 0 })
}

fn recover(dir: &dyn Dir, generation: u64, rules: Rules) -> Result<Recovered, Error> {
    let name = Name::Log(generation).to_string();
    let file = dir.open_write(&name).map_err(|e| Error::io("opening", &name, e))?;
    let mut index = Index::default();
    let mut kept = Kept { from: FIRST_FRAME, bytes: Vec::new() };
    let mut changed = FIRST_FRAME;
    let mut scan = Scan::start(&*file, &name, generation)?;
    while let Some(frame) = scan.next()? {
        index.apply_frame(&name, frame.offset, frame.payload)?;
        kept.bytes.extend_from_slice(frame.bytes);
        kept.attested(frame.attested);
        if !frame.payload.is_empty() {
            changed = frame.offset.saturating_add(offset(frame.bytes.len()));
        }
    }
    let dropped_bytes = if rules.holds(Rule::DamageIsNoTail) { scan.tail()? } else { 0 };
    let (end, size) = (scan.end(), scan.size());
    settle(&*file, &name, &mut kept, end, size, rules)?;
    let mut tail =
        Tail::new(Arc::clone(&file), name.clone(), scan.salt(), rules).at(end, scan.sequence(), size);
    tail.changed(changed, scan.attested());
    Ok(Recovered { tail, index, created: false, dropped_bytes })
}

/// The frames that no frame attests, as they were when they passed the check.
struct Kept {
    from: u64,
    bytes: Vec<u8>,
}

impl Kept {
    fn attested(&mut self, attested: u64) {
        if attested > self.from {
            let count = length(attested - self.from).min(self.bytes.len());
            self.bytes.drain(..count);
            self.from = attested;
        }
    }
}

/// Makes the disk hold what was decided: frames up to `end`, zeros from there to the end of the file.
fn settle(
    file: &dyn File,
    name: &str,
    kept: &mut Kept,
    end: u64,
    size: u64,
    rules: Rules,
) -> Result<(), Error> {
    let writing = |error| Error::write("mending the end of", name, error);
    if zeroes_tail(file, name, end, size, rules)? {
        let zeros = [0; ZEROS_BYTES];
        let mut at = end;
        while at < size {
            let count = length(size - at).min(ZEROS_BYTES);
            let block = zeros.get(..count).unwrap_or(&zeros);
            write_all(file, block, at).map_err(|short| writing(short.error))?;
            at = at.saturating_add(offset(count));
        }
    }
    if rules.holds(Rule::Rewritten) && !kept.bytes.is_empty() {
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
