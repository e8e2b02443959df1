//! Platforms that have no disk yet.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Dir, Fs};

/// The operating system's file system: not built for this platform yet, and says so at the first call.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFs;

fn unsupported<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this version supports Linux only"))
}

pub(super) fn is_unsupported(_: &io::Error) -> bool {
    false
}

pub(super) fn is_forbidden(_: &io::Error) -> bool {
    false
}

impl Fs for DiskFs {
    fn open_dir(&self, _: &Path) -> io::Result<Arc<dyn Dir>> {
        unsupported()
    }

    fn create_dir(&self, _: &Path, _: u32) -> io::Result<()> {
        unsupported()
    }

    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        unsupported()
    }

    fn canonical(&self, _: &Path) -> io::Result<PathBuf> {
        unsupported()
    }
}
