//! Reads that do not wait: `preadv2` with `RWF_NOWAIT`, which ext4 and xfs know.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::AsFd;
use rustix::io::{Errno, ReadWriteFlags, preadv2};

#[derive(Default)]
pub(super) struct Now {
    /// The file system does not know them: it is not asked again.
    never: AtomicBool,
}

impl Now {
    pub fn read(&self, file: impl AsFd, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        if self.never.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let wanted = buffer.len();
        match preadv2(file, &mut [io::IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT) {
            Ok(read) => Ok((read == wanted).then_some(read)),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                self.never.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
