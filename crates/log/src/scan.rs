//! The one iterator over a log's frames: opening and the read-only view both stand on it.
//!
//! It reads every byte of the file once, forward, through a window that is as large as the largest frame it
//! meets and never larger than the file. Reading once matters: after a failed sync a second read may give
//! other bytes than those that were checked.

use std::io;

use memchr::memmem;

use crate::error::Error;
use crate::format::{BadHeader, FILE_HEADER_BYTES, FIRST_FRAME, FRAME_HEADER_BYTES, FRAME_MAGIC, FileHeader};
use crate::format::{VERSION, length, offset};
use crate::frame::{self, FrameHeader};
use crate::fs::{File, read_full};

/// What is read at once, in bytes.
const WINDOW_BYTES: usize = 256 << 10;

/// A frame that passed every check but the parsing of its payload.
pub(crate) struct Frame<'s> {
    /// Where it stands in the file.
    pub offset: u64,
    /// What it attests.
    pub attested: u64,
    /// All of it.
    pub bytes: &'s [u8],
    /// Its payload.
    pub payload: &'s [u8],
}

/// A scan in progress.
pub(crate) struct Scan<'f> {
    name: &'f str,
    window: Window<'f>,
    header: FileHeader,
    end: u64,
    sequence: u64,
    attested: u64,
}

impl<'f> Scan<'f> {
    /// Reads and checks the header of a named file.
    ///
    /// # Errors
    /// `Corrupt` at 0, `UnsupportedVersion`, `Io`.
    pub fn start(file: &'f dyn File, name: &'f str, generation: u64) -> Result<Scan<'f>, Error> {
        let size = file.stat().map_err(|e| Error::io("looking at", name, e))?.size;
        let mut window = Window { file, size, start: 0, bytes: Vec::new() };
        let bytes = window.view(0, FILE_HEADER_BYTES).map_err(|e| Error::io("reading", name, e))?;
        let header = FileHeader::decode(bytes).map_err(|bad| match bad {
            BadHeader::Version(version) => Error::UnsupportedVersion { name: name.to_owned(), version },
            BadHeader::Damaged(detail) => Error::corrupt(name, 0, detail),
        })?;
        if header.generation != generation {
            return Err(Error::corrupt(name, 0, "its header has another number than its name"));
        }
        Ok(Scan { name, window, header, end: FIRST_FRAME, sequence: 0, attested: FIRST_FRAME })
    }

    /// The next good frame; `None` at the first bad one and at the end of the file.
    ///
    /// # Errors
    /// `UnsupportedVersion` when a whole frame uses what this version leaves zero, `Io`.
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, Error> {
        let at = self.end;
        let name = self.name;
        let reading = |e| Error::io("reading", name, e);
        let header = FrameHeader::decode(self.window.view(at, FRAME_HEADER_BYTES).map_err(reading)?);
        let Some(header) = header.filter(|header| header.salt == self.header.salt) else { return Ok(None) };
        let Some(bytes) = self.window.exactly(at, header.frame_bytes()).map_err(reading)? else {
            return Ok(None);
        };
        let Some(payload) = frame::payload(bytes) else { return Ok(None) };
        if !header.reserved_zero {
            return Err(Error::UnsupportedVersion { name: name.to_owned(), version: VERSION });
        }
        if self.sequence.checked_add(1) != Some(header.sequence) || header.attested > at {
            return Ok(None); // a frame of an older tail
        }
        self.sequence = header.sequence;
        self.attested = self.attested.max(header.attested);
        self.end = at.saturating_add(offset(bytes.len()));
        Ok(Some(Frame { offset: at, attested: header.attested, bytes, payload }))
    }

    /// Judges what stands behind the last good frame: a torn tail, or damage. Says how many of its bytes are
    /// not zero.
    ///
    /// # Errors
    /// `Corrupt` when a later frame, anywhere up to the end of the file, attests an offset beyond the first
    /// bad one; `Io`.
    pub fn tail(&mut self) -> Result<u64, Error> {
        let mark: Vec<u8> = FRAME_MAGIC.into_iter().chain(self.header.salt).collect();
        let finder = memmem::Finder::new(&mark);
        let reading = |e| Error::io("reading", self.name, e);
        let mut nonzero = 0;
        let mut at = self.end;
        loop {
            let block = self.window.view(at, WINDOW_BYTES).map_err(reading)?;
            let found = finder.find(block);
            let last = block.len() < WINDOW_BYTES;
            // A mark may begin in the last bytes of a block, so they are looked at again with the next one.
            let done = found.unwrap_or(if last { block.len() } else { block.len() - mark.len() + 1 });
            nonzero += offset(block.iter().take(done).filter(|byte| **byte != 0).count());
            at = at.saturating_add(offset(done));
            if found.is_some() {
                if self.attests_beyond_the_end(at).map_err(reading)? {
                    return Err(Error::corrupt(
                        self.name,
                        self.end,
                        "there is no good frame, and a later frame says that there was",
                    ));
                }
                nonzero += 1;
                at = at.saturating_add(1);
            } else if last {
                return Ok(nonzero);
            }
        }
    }

    fn attests_beyond_the_end(&mut self, at: u64) -> io::Result<bool> {
        let Some(header) = FrameHeader::decode(self.window.view(at, FRAME_HEADER_BYTES)?) else {
            return Ok(false);
        };
        if header.attested <= self.end || header.attested > at {
            return Ok(false);
        }
        Ok(self.window.exactly(at, header.frame_bytes())?.and_then(frame::payload).is_some())
    }

    /// Where the first bad frame is, or the next one would be.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The last good frame's number.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The highest offset that a good frame attests; at least the first frame's.
    pub fn attested(&self) -> u64 {
        self.attested
    }

    /// The file's size when the scan began.
    pub fn size(&self) -> u64 {
        self.window.size
    }

    /// The log's salt.
    pub fn salt(&self) -> [u8; 8] {
        self.header.salt
    }
}

/// A part of the file in memory, moving forward.
struct Window<'f> {
    file: &'f dyn File,
    size: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// Up to `count` bytes from an offset on, fewer only where the file ends. What lies before the offset is
    /// forgotten.
    fn view(&mut self, at: u64, count: usize) -> io::Result<&[u8]> {
        let past = length(at.saturating_sub(self.start)).min(self.bytes.len());
        let filled = self.start.saturating_add(offset(self.bytes.len())).max(at);
        let mut from = past;
        if self.bytes.len() - past < count && filled < self.size {
            self.bytes.drain(..past);
            from = 0;
            self.start = at;
            let kept = self.bytes.len();
            let wanted = offset(count.max(WINDOW_BYTES)).min(self.size.saturating_sub(at));
            self.bytes.resize(length(wanted), 0);
            let read = match self.bytes.get_mut(kept..) {
                Some(rest) => read_full(self.file, rest, filled)?,
                None => 0,
            };
            if kept + read < self.bytes.len() {
                self.bytes.truncate(kept + read);
                self.size = filled.saturating_add(offset(read)); // it was cut meanwhile
            }
        }
        let available = self.bytes.get(from..).unwrap_or_default();
        Ok(available.get(..count).unwrap_or(available))
    }

    /// Exactly `count` bytes from an offset on; `None`, and nothing allocated, when the file has not so many.
    fn exactly(&mut self, at: u64, count: usize) -> io::Result<Option<&[u8]>> {
        if self.size.saturating_sub(at) < offset(count) {
            return Ok(None);
        }
        Ok(Some(self.view(at, count)?).filter(|bytes| bytes.len() == count))
    }
}
