//! A log seen without touching it: beside its owner, and in a folder that cannot be written.

use std::sync::Arc;

use crate::error::Error;
use crate::folder::generations;
use crate::format::{Name, VERSION};
use crate::fs::{Dir, File};
use crate::index::{Index, Value, VisitSizes, read_value};
use crate::log::Sizes;
use crate::scan::{Behind, Look, NO_FRAME, Scan};

/// How often a file is read when it seems damaged: its owner may have been writing there.
const ATTEMPTS: usize = 3;

/// A read-only view of the log as it was when the view was opened. Nothing on disk changes by it: no folder
/// sync, no zeros, nothing written again, no lock.
pub struct Reader {
    file: Arc<dyn File>,
    name: String,
    generation: u64,
    index: Index,
    end: u64,
    file_bytes: u64,
    tail_bytes: u64,
    modified_ns: Option<i128>,
}

impl Reader {
    /// Reads the highest log of a folder, all of it; `None` when there is none. What it shows was written,
    /// but may be on disk only after the owner's next sync.
    ///
    /// # Errors
    /// `Corrupt` (when it still is at a second look), `UnsupportedVersion`, `Io`.
    pub fn open(dir: &dyn Dir) -> Result<Option<Reader>, Error> {
        let mut before = None;
        let mut attempt = 1;
        loop {
            let Some(generation) = generations(dir)?.pop() else { return Ok(None) };
            match Reader::read(dir, generation) {
                Err(Error::Corrupt { offset, .. })
                    if attempt < ATTEMPTS && before != Some((generation, offset)) =>
                {
                    before = Some((generation, offset));
                }
                // Its owner may just have written the next one.
                Err(Error::Io { source, .. })
                    if attempt < ATTEMPTS && source.kind() == std::io::ErrorKind::NotFound => {}
                result => return result.map(Some),
            }
            attempt += 1;
        }
    }

    fn read(dir: &dyn Dir, generation: u64) -> Result<Reader, Error> {
        let name = Name::Log(generation).to_string();
        let file = dir.open(&name).map_err(|e| Error::io("opening", &name, e))?;
        let mut index = Index::default();
        let modified_ns = file.stat().ok().map(|stat| stat.modified_ns);
        let mut scan = Scan::start(&*file, &name, generation, Look::Beside)?;
        let tail_bytes = loop {
            while let Some(frame) = scan.next()? {
                index.apply_frame(&name, frame.offset, frame.payload)?;
            }
            match scan.behind()? {
                Behind::Tail(bytes) => break bytes,
                Behind::Frame => {}
                Behind::Damage => return Err(Error::corrupt(&name, scan.end(), NO_FRAME)),
            }
        };
        let (end, file_bytes) = (scan.end(), scan.size());
        Ok(Reader { file, name, generation, index, end, file_bytes, tail_bytes, modified_ns })
    }

    /// The value of a key, read from the file and checked; `None` when the key is not there.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>, Error> {
        self.index.place(key).map(|place| read_value(&*self.file, &self.name, key, place)).transpose()
    }

    /// Whether a key is there. Reads nothing.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.index.place(key).is_some()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How large it is.
    pub fn sizes(&self) -> Sizes {
        Sizes::of(&self.index, self.end, self.file_bytes)
    }

    /// Bytes behind the last whole frame that are not zero: a commit that a crash cut off, or that the owner
    /// is just writing.
    pub fn tail_bytes(&self) -> u64 {
        self.tail_bytes
    }

    /// The number in the file's name.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The version of the file's format.
    pub fn version(&self) -> u32 {
        VERSION
    }

    /// When the file was last written, in nanoseconds since 1970, where that is known.
    pub fn modified_ns(&self) -> Option<i128> {
        self.modified_ns
    }

    /// Visits every key with its label and the size of its record in bytes, in no order. Reads nothing.
    pub fn for_each_size(&self, visit: &mut VisitSizes<'_>) {
        self.index.for_each_size(visit);
    }

    /// Visits every key with its label, in no order. Reads nothing.
    pub fn for_each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        self.index.for_each(visit);
    }
}
