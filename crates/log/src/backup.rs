//! A copy of a log as it is at one moment, beside its owner too.

use crate::error::Error;
use crate::folder::{self, Contents};
use crate::format::{Name, TEMPORARY};
use crate::fs::Dir;
use crate::index::Index;
use crate::making::{Attest, Making};
use crate::scan::{Behind, Look, NO_FRAME, Scan};
use crate::survey::highest;

/// What was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// How many keys are in the copy.
    pub records: usize,
    /// Size of the copy, in bytes.
    pub bytes: u64,
    /// The number of the log that was copied. The copy's is 1.
    pub generation: u64,
}

/// Copies the highest log of a folder into another one that has none, as `keys.1.log`: every whole frame up to
/// the last one, so that it is what an opening would find, and opens. It is durable when this returns. `None`
/// when there is no log. Needs no lock: the owner may write and compact meanwhile.
///
/// # Errors
/// `Corrupt`, `UnsupportedVersion`; `Full`, `Io` (also when there is a log already): nothing has its name then.
pub fn copy(dir: &dyn Dir, to: &dyn Dir) -> Result<Option<Copied>, Error> {
    let Some((generation, name, file)) = highest(dir)? else { return Ok(None) };
    let there = Contents::of(to)?;
    if let Some(log) = there.logs.last() {
        let exists = std::io::ErrorKind::AlreadyExists.into();
        return Err(Error::io("copying to", &Name::Log(*log).to_string(), exists));
    }
    if there.temporary {
        to.remove(TEMPORARY).map_err(|e| Error::io("removing", TEMPORARY, e))?;
    }
    let mut scan = Scan::start(&*file, &name, generation, Look::Beside)?;
    let mut making = Making::start(to, 1, scan.salt(), Attest::OwnStart)?;
    match copy_frames(&mut scan, &mut making).and_then(|records| {
        making.sync()?;
        Ok(records)
    }) {
        Ok(records) => {
            making.rename(to)?;
            folder::sync(to)?;
            Ok(Some(Copied { records, bytes: making.end(), generation }))
        }
        Err(error) => {
            making.discard(to);
            Err(error)
        }
    }
}

fn copy_frames(scan: &mut Scan<'_>, making: &mut Making) -> Result<usize, Error> {
    let name = scan.name();
    let mut index = Index::default();
    loop {
        while let Some(frame) = scan.next()? {
            index.apply_frame(name, frame.offset, frame.payload)?;
            making.push_frame(frame.bytes)?;
        }
        match scan.behind()? {
            Behind::Frame => {}
            Behind::Damage => return Err(Error::corrupt(name, scan.end(), NO_FRAME)),
            Behind::Tail(_) => break,
        }
    }
    making.go_on_from(scan.sequence());
    // So that the copy's last commit can be told from a torn one.
    making.finish()?;
    Ok(index.len())
}
