//! A part of a file in memory, moving forward through it.

use std::io;

use crate::format::{length, offset};
use crate::fs::{File, read_full};

/// What is read at once, in bytes.
pub(crate) const WINDOW_BYTES: usize = 1 << 20;

/// A part of the file in memory: as large as what is asked for, and never larger than the file.
pub(crate) struct Window<'f> {
    file: &'f dyn File,
    size: u64,
    /// Where the buffer's first byte stands in the file.
    start: u64,
    buffer: Vec<u8>,
    /// How much of the buffer was read.
    filled: usize,
    /// From here on nothing is forgotten.
    keep: Option<u64>,
}

impl<'f> Window<'f> {
    pub fn new(file: &'f dyn File, size: u64) -> Window<'f> {
        Window { file, size, start: 0, buffer: Vec::new(), filled: 0, keep: None }
    }

    /// The file's size, as far as this looks.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// From now on the file has this size.
    pub fn resize(&mut self, size: u64) {
        self.size = size;
    }

    /// Nothing from this offset on is forgotten any more, until it is told another one.
    pub fn keep_from(&mut self, at: u64) {
        self.keep = Some(at);
    }

    /// Everything may be forgotten again.
    pub fn let_go(&mut self) {
        self.keep = None;
    }

    /// The bytes of a part that was kept, as they were read.
    pub fn kept(&self, from: u64, to: u64) -> Vec<u8> {
        let at = |offset: u64| length(offset.saturating_sub(self.start)).min(self.filled);
        self.buffer.get(at(from)..at(to)).unwrap_or_default().to_vec()
    }

    /// Forgets everything, so that it is read again.
    pub fn forget(&mut self) {
        self.filled = 0;
    }

    /// Up to `count` bytes from an offset on, fewer only where the file ends. What lies before the offset is
    /// forgotten.
    pub fn view(&mut self, at: u64, count: usize) -> io::Result<&[u8]> {
        let wanted_end = at.saturating_add(offset(count)).min(self.size);
        let filled_end = self.start.saturating_add(offset(self.filled));
        if at < self.start || wanted_end > filled_end {
            self.move_to(at, count)?;
        }
        let from = length(at.saturating_sub(self.start)).min(self.filled);
        let to = from.saturating_add(count).min(self.filled);
        Ok(self.buffer.get(from..to).unwrap_or_default())
    }

    fn move_to(&mut self, at: u64, count: usize) -> io::Result<()> {
        let start = self.keep.map_or(at, |keep| keep.min(at));
        let past = length(start.saturating_sub(self.start));
        if start >= self.start && past <= self.filled {
            if past > 0 {
                self.buffer.copy_within(past..self.filled, 0);
                self.filled -= past;
            }
        } else {
            self.filled = 0;
        }
        self.start = start;
        let wanted_end = at.saturating_add(offset(count.max(WINDOW_BYTES))).min(self.size);
        let wanted = length(wanted_end.saturating_sub(start));
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        if let Some(rest) = self.buffer.get_mut(self.filled..wanted) {
            let asked = rest.len();
            let read = read_full(self.file, rest, start.saturating_add(offset(self.filled)))?;
            self.filled += read;
            if read < asked {
                self.size = start.saturating_add(offset(self.filled)); // it was cut meanwhile
            }
        }
        Ok(())
    }

    /// Exactly `count` bytes from an offset on; `None`, and nothing allocated, when the file has not so many.
    pub fn exactly(&mut self, at: u64, count: usize) -> io::Result<Option<&[u8]>> {
        if self.size.saturating_sub(at) < offset(count) {
            return Ok(None);
        }
        Ok(Some(self.view(at, count)?).filter(|bytes| bytes.len() == count))
    }
}
