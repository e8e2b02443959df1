//! A part of a file in memory, moving forward through it.

use std::io;

use crate::format::{length, offset};
use crate::fs::{File, read_full};

/// What is read at once, in bytes.
pub(crate) const WINDOW_BYTES: usize = 262_144;

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

#[cfg(test)]
#[allow(clippy::as_conversions, reason = "small numbers")]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fs::{Dir, Fs};
    use crate::sim::{Random, SimFs};

    const SIZE: usize = 3 * WINDOW_BYTES + 777;

    fn byte(at: usize) -> u8 {
        u8::try_from(at % 251).unwrap()
    }

    fn file() -> (SimFs, Arc<dyn Dir>, Arc<dyn File>) {
        let fs = SimFs::new(1);
        fs.create_dir("/folder".as_ref(), 0o700).unwrap();
        let bytes: Vec<u8> = (0..SIZE).map(byte).collect();
        fs.install("/folder/file", &bytes).unwrap();
        let dir = fs.open_dir("/folder".as_ref()).unwrap();
        let file = dir.open("file").unwrap();
        (fs, dir, file)
    }

    fn check(view: &[u8], at: usize, count: usize) {
        assert_eq!(view.len(), count.min(SIZE.saturating_sub(at)), "at {at}, {count}");
        assert!(view.iter().enumerate().all(|(index, found)| *found == byte(at + index)), "at {at}, {count}");
    }

    #[test]
    fn going_forward_every_byte_is_read_once() {
        let (fs, _, file) = file();
        let mut random = Random::new(7);
        for most in [100, 5000, 300_000, 2 * WINDOW_BYTES] {
            let mut window = Window::new(&*file, SIZE as u64);
            let (mut at, before) = (0, fs.operations());
            while at < SIZE {
                let count = 1 + random.below(most);
                check(window.view(at as u64, count).unwrap(), at, count);
                check(window.view(at as u64, count / 2).unwrap(), at, count / 2);
                assert!(window.buffer.len() <= WINDOW_BYTES.max(most) && window.start <= at as u64);
                at += count;
            }
            let forward = fs.operations();
            check(window.view(3, 5).unwrap(), 3, 5);
            assert_eq!(fs.operations(), forward + 1, "going back");
            // Pieces of the same file, each where the last one ended; and never so few bytes that it is slow.
            assert!(forward - before <= 4 + (SIZE / most) as u64, "{} reads", forward - before);
        }
    }

    #[test]
    fn what_is_kept_stays_as_it_was_read_and_what_is_forgotten_is_read_again() {
        let (fs, _, file) = file();
        let mut window = Window::new(&*file, SIZE as u64);
        check(window.view(10, 50).unwrap(), 10, 50);
        window.keep_from(20);
        fs.install("/folder/file", &[9; SIZE]).unwrap();
        check(window.view(WINDOW_BYTES as u64 - 30, 20).unwrap(), WINDOW_BYTES - 30, 20);
        let far = 2 * WINDOW_BYTES as u64;
        assert_eq!(*window.view(far, 3).unwrap(), [9; 3]);
        check(&window.kept(20, 60), 20, 40);
        check(window.view(30, 5).unwrap(), 30, 5);
        assert!(window.kept(far, far + 3) == [9; 3] && window.kept(0, 20).is_empty());
        assert_eq!(window.start, 20);
        window.let_go();
        assert_eq!(*window.view(far + 9, far as usize).unwrap(), [9; SIZE][..WINDOW_BYTES + 768]);
        assert_eq!(window.start, far + 9);
        fs.install("/folder/file", &[5; SIZE]).unwrap();
        assert_eq!(*window.view(far + 9, 2).unwrap(), [9; 2]);
        window.forget();
        assert_eq!(*window.view(far + 9, 2).unwrap(), [5; 2]);
        assert_eq!(*window.view(3, 2).unwrap(), [5; 2], "going back");
    }

    #[test]
    fn a_file_that_is_cut_or_grows_has_what_it_has() {
        let (fs, _, file) = file();
        let mut window = Window::new(&*file, 100);
        assert_eq!(window.size(), 100);
        check(&[window.view(90, 50).unwrap(), &[100, 101]].concat(), 90, 12);
        assert_eq!(window.exactly(90, 11).unwrap(), None);
        check(window.exactly(90, 10).unwrap().unwrap(), 90, 10);
        window.resize(120);
        check(window.exactly(90, 30).unwrap().unwrap(), 90, 30);
        assert_eq!(window.exactly(0, 121).unwrap(), None);
        // Cut while it is looked at.
        fs.install("/folder/file", &[9; 40]).unwrap();
        let mut window = Window::new(&*file, 50);
        assert_eq!(window.exactly(0, 50).unwrap(), None);
        assert_eq!((window.size(), window.view(0, 50).unwrap().len()), (40, 40));
    }
}
