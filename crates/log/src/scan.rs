//! The one iterator over a log's frames: opening, the read-only view, verifying, salvage and
//! compaction all stand on it.
//!
//! It reads every byte of the file once, forward, through a window that is as large as the largest frame it
//! meets and never larger than the file. Reading once matters: after a failed sync a second read may give
//! other bytes than those that were checked. Only who reads beside the owner looks twice.

use std::io;

use memchr::memmem;

use crate::error::Error;
use crate::format::{BadHeader, FILE_HEADER_BYTES, FIRST_FRAME, FRAME_HEADER_BYTES, FRAME_MAGIC, FileHeader};
use crate::format::{FRAME_OVERHEAD_BYTES, VERSION, offset};
use crate::frame::{self, FrameHeader};
use crate::fs::{File, read_full};
use crate::window::{WINDOW_BYTES, Window};

/// What stands where a frame was, while a later frame says that there was one.
pub(crate) const NO_FRAME: &str = "there is no good frame, and a later frame says that there was";

/// A frame that passed every check but the parsing of its payload.
pub(crate) struct Frame<'s> {
    /// Where it stands in the file.
    pub offset: u64,
    /// All of it.
    pub bytes: &'s [u8],
    /// Its payload.
    pub payload: &'s [u8],
}

/// Who scans, and so how often it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The owner: nobody else writes. Frames that nothing attests stay in memory.
    Owner,
    /// A reader beside the owner, who may just have written where there was nothing.
    Beside,
}

/// What stands behind the last good frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// A torn tail, or nothing; so many of its bytes are not zero.
    Tail(u64),
    /// A frame, at the second look.
    Frame,
    /// Damage: a later frame attests what stood here.
    Damage,
}

/// A scan in progress.
pub(crate) struct Scan<'f> {
    file: &'f dyn File,
    name: &'f str,
    window: Window<'f>,
    look: Look,
    salt: [u8; 8],
    end: u64,
    sequence: u64,
    attested: u64,
    /// What the last bytes of the file say is attested, until the scan gets there.
    hint: u64,
}

/// Reads the first bytes of a file; what is wrong with them is for the caller to judge.
pub(crate) fn header(window: &mut Window<'_>, name: &str) -> Result<Result<FileHeader, BadHeader>, Error> {
    let bytes = window.view(0, FILE_HEADER_BYTES).map_err(|e| Error::io("reading", name, e))?;
    Ok(FileHeader::decode(bytes))
}

/// What is wrong with a header that has another number than the name of its file.
pub(crate) const OTHER_NUMBER: &str = "its header has another number than its name";

impl<'f> Scan<'f> {
    /// Reads and checks the header of a named file.
    ///
    /// # Errors
    /// `Corrupt` at 0, `UnsupportedVersion`, `Io`.
    pub fn start(file: &'f dyn File, name: &'f str, generation: u64, look: Look) -> Result<Scan<'f>, Error> {
        let size = file.stat().map_err(|e| Error::io("looking at", name, e))?.size;
        let mut window = Window::new(file, size);
        let header = header(&mut window, name)?.map_err(|bad| match bad {
            BadHeader::Version(version) => Error::UnsupportedVersion { name: name.to_owned(), version },
            BadHeader::Damaged(detail) => Error::corrupt(name, 0, detail),
        })?;
        if header.generation != generation {
            return Err(Error::corrupt(name, 0, OTHER_NUMBER));
        }
        Ok(Scan::of(file, name, window, look, header.salt))
    }

    /// A scan from the first frame on, whatever the header says.
    pub fn of(
        file: &'f dyn File,
        name: &'f str,
        mut window: Window<'f>,
        look: Look,
        salt: [u8; 8],
    ) -> Scan<'f> {
        if look == Look::Owner {
            window.keep_from(FIRST_FRAME);
        }
        Scan { file, name, window, look, salt, end: FIRST_FRAME, sequence: 0, attested: FIRST_FRAME, hint: 0 }
    }

    /// A scan that goes on behind a frame that is known to be good, up to `size`.
    pub fn resume(
        file: &'f dyn File,
        name: &'f str,
        salt: [u8; 8],
        end: u64,
        sequence: u64,
        size: u64,
    ) -> Scan<'f> {
        let window = Window::new(file, size);
        Scan { file, name, window, look: Look::Beside, salt, end, sequence, attested: FIRST_FRAME, hint: 0 }
    }

    /// Looks whether the file ends with a close frame: what that attests need not stay in memory. Only if the
    /// scan comes to it, see [`hint_holds`](Scan::hint_holds).
    ///
    /// # Errors
    /// `Io`.
    pub fn take_hint(&mut self) -> Result<(), Error> {
        let mut last = [0; FRAME_OVERHEAD_BYTES];
        let Some(at) = self.size().checked_sub(offset(last.len())) else { return Ok(()) };
        let read = read_full(self.file, &mut last, at).map_err(|e| Error::io("reading", self.name, e))?;
        let header = FrameHeader::decode(&last).filter(|header| header.salt == self.salt);
        let whole = read == last.len() && frame::payload(&last).is_some();
        if let Some(header) = header.filter(|header| whole && header.attested <= at) {
            self.hint = header.attested;
            self.window.keep_from(self.hint.max(FIRST_FRAME));
        }
        Ok(())
    }

    /// Whether everything that may have to be written again is still in memory.
    pub fn hint_holds(&self) -> bool {
        self.hint <= self.attested
    }

    /// From now on the file is as long as this.
    pub fn grow(&mut self, size: u64) {
        self.window.resize(size);
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
        let Some(header) = header.filter(|header| header.salt == self.salt) else { return Ok(None) };
        // What is attested is not needed again, and nothing else frees a group of frames that is not.
        let keep = self.attested.max(if header.attested <= at { header.attested } else { 0 });
        let Some(bytes) = self.window.exactly(at, header.frame_bytes()).map_err(reading)? else {
            return Ok(None);
        };
        if frame::payload(bytes).is_none() {
            return Ok(None);
        }
        if !header.reserved_zero {
            return Err(Error::UnsupportedVersion { name: name.to_owned(), version: VERSION });
        }
        if self.sequence.checked_add(1) != Some(header.sequence) || header.attested > at {
            return Ok(None); // a frame of an older tail
        }
        self.sequence = header.sequence;
        self.attested = keep;
        self.end = at.saturating_add(offset(header.frame_bytes()));
        if self.look == Look::Owner {
            self.window.keep_from(keep.max(self.hint));
        }
        // The same bytes: they are in the window.
        let bytes = self.window.view(at, header.frame_bytes()).map_err(reading)?;
        let end = bytes.len().saturating_sub(crate::format::CHECKSUM_BYTES);
        let payload = bytes.get(FRAME_HEADER_BYTES..end).unwrap_or_default();
        Ok(Some(Frame { offset: at, bytes, payload }))
    }

    /// Judges what stands behind the last good frame.
    ///
    /// # Errors
    /// `Io`.
    pub fn behind(&mut self) -> Result<Behind, Error> {
        let mut nonzero = 0;
        let mut at = self.end;
        let name = self.name;
        loop {
            let (found, passed) = self.mark(at).map_err(|e| Error::io("reading", name, e))?;
            nonzero += passed;
            let Some(mark) = found else { return Ok(Behind::Tail(nonzero)) };
            if mark > self.end
                && self.attests_beyond_the_end(mark).map_err(|e| Error::io("reading", name, e))?
            {
                return if self.is_a_frame_now()? { Ok(Behind::Frame) } else { Ok(Behind::Damage) };
            }
            nonzero += 1;
            at = mark.saturating_add(1);
        }
    }

    /// Goes on behind damage: at the next frame of this salt, anywhere up to the end of the file, that can
    /// have been written later. Says where it stands; `None` when there is none.
    ///
    /// # Errors
    /// `Io`.
    pub fn skip_damage(&mut self) -> Result<Option<u64>, Error> {
        let mut at = self.end;
        let name = self.name;
        let reading = |e| Error::io("reading", name, e);
        while let (Some(mark), _) = self.mark(at).map_err(reading)? {
            if let Some(header) = self.whole_frame(mark).map_err(reading)?
                && header.attested <= mark
                && header.sequence > self.sequence
            {
                (self.end, self.sequence) = (mark, header.sequence - 1);
                return Ok(Some(mark));
            }
            at = mark.saturating_add(1);
        }
        Ok(None)
    }

    /// The next place from an offset on where a frame of this salt may begin, and how many bytes before it are
    /// not zero.
    fn mark(&mut self, mut at: u64) -> io::Result<(Option<u64>, u64)> {
        let mark: Vec<u8> = FRAME_MAGIC.into_iter().chain(self.salt).collect();
        let finder = memmem::Finder::new(&mark);
        let mut nonzero = 0;
        loop {
            let block = self.window.view(at, WINDOW_BYTES)?;
            let found = finder.find(block);
            let last = block.len() < WINDOW_BYTES;
            // A mark may begin in the last bytes of a block, so they are looked at again with the next one.
            let done = found.unwrap_or(if last { block.len() } else { block.len() - mark.len() + 1 });
            nonzero += offset(block.iter().take(done).filter(|byte| **byte != 0).count());
            at = at.saturating_add(offset(done));
            if found.is_some() {
                return Ok((Some(at), nonzero));
            }
            if last {
                return Ok((None, nonzero));
            }
        }
    }

    /// What the header says of a frame that begins here and is whole.
    fn whole_frame(&mut self, at: u64) -> io::Result<Option<FrameHeader>> {
        let Some(header) = FrameHeader::decode(self.window.view(at, FRAME_HEADER_BYTES)?) else {
            return Ok(None);
        };
        let whole = self.window.exactly(at, header.frame_bytes())?.and_then(frame::payload).is_some();
        Ok(whole.then_some(header))
    }

    fn attests_beyond_the_end(&mut self, at: u64) -> io::Result<bool> {
        let header = FrameHeader::decode(self.window.view(at, FRAME_HEADER_BYTES)?);
        // One that attests beyond its own place was written further on: bytes before it are missing.
        if header.is_none_or(|header| header.attested <= self.end) {
            return Ok(false);
        }
        Ok(self.whole_frame(at)?.is_some())
    }

    /// The second look of who reads beside the owner: a frame that a later one attests was there before it.
    fn is_a_frame_now(&mut self) -> Result<bool, Error> {
        if self.look == Look::Owner {
            return Ok(false);
        }
        let size = self.file.stat().map_err(|e| Error::io("looking at", self.name, e))?.size;
        self.window.forget();
        self.window.resize(size);
        let (end, sequence, attested) = (self.end, self.sequence, self.attested);
        let found = self.next()?.is_some();
        (self.end, self.sequence, self.attested) = (end, sequence, attested);
        Ok(found)
    }

    /// The bytes of all good frames that none attests, exactly as they were checked, for the owner, once.
    pub fn unattested(&mut self) -> Vec<u8> {
        let bytes = self.window.kept(self.attested, self.end);
        self.window.let_go();
        bytes
    }

    /// Part of the file, through the same window.
    ///
    /// # Errors
    /// `Io`.
    pub fn bytes(&mut self, at: u64, count: usize) -> Result<&[u8], Error> {
        let name = self.name;
        self.window.view(at, count).map_err(|e| Error::io("reading", name, e))
    }

    /// The file's name.
    pub fn name(&self) -> &'f str {
        self.name
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

    /// The file's size when the scan began, or last looked.
    pub fn size(&self) -> u64 {
        self.window.size()
    }

    /// The log's salt.
    pub fn salt(&self) -> [u8; 8] {
        self.salt
    }
}
