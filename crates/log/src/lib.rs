//! An append-only, checksummed log of keys and values in one folder. It knows bytes only.
//!
//! From the disk upward:
//!
//! - [`fs`] is the seam to the disk; `sim` (feature `sim`) simulates one that crashes.
//! - [`mod@format`] has the constants of the file format and the file's names, `frame` turns commits into bytes
//!   and back. `docs/format.md` draws both, and says what a crash can leave.
//! - `scan` reads a file from its start, through a `window`, and finds its end, or damage. `recover` opens with it, and is the only
//!   code that cuts anything off; [`Reader`] looks with it, and changes nothing.
//! - `index` holds in memory which key stands where.
//! - `writer` is the end of the file, where frames are written, synced and, on a full disk, taken back.
//!   [`Log`] puts a lock around it and another around the index.
//! - `making` makes a file of its own and names it when it is on disk: a new log, a new generation of one
//!   (`compaction`).
//! - [`verify()`] and [`salvage`] read on where an opening stops.
//! - [`try_lock`] sees to it that there is one writer.
//! - `rules` names what must hold, so that tests can break it.
//!
//! ```
//! # #[cfg(feature = "sim")] {
//! use auth_log::{Change, Log, fs::Fs, sim::SimFs};
//!
//! let disk = SimFs::new(1);
//! disk.create_dir("/store".as_ref(), 0o700)?;
//! let (log, _) = Log::open(disk.open_dir("/store".as_ref())?, *b"a secret")?;
//! log.commit(&[Change::Put { key: b"k", label: b"", flags: 0, value: b"v" }])?;
//! assert_eq!(log.get(b"k")?.map(|value| value.bytes), Some(b"v".to_vec()));
//! log.close()?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod compaction;
mod error;
mod folder;
pub mod format;
mod frame;
pub mod fs;
mod index;
mod lock;
mod log;
mod making;
mod reader;
mod recover;
mod rules;
mod scan;
#[cfg(all(unix, any(test, feature = "sim")))]
pub mod sim;
mod survey;
mod window;
mod writer;

pub use compaction::Compaction;
pub use error::Error;
pub use folder::{generations, is_own_name, remove, set_aside};
pub use frame::Change;
pub use index::{Value, VisitSizes};
pub use lock::{Attempt, Holder, Lock, holder, try_lock};
pub use log::{Log, NotNow, Opened, Sizes};
pub use reader::Reader;
#[cfg(any(test, feature = "sim"))]
#[doc(hidden)]
pub use rules::{Rule, Rules};
pub use survey::{Fault, Record, Salvaged, Verified, salvage, verify};
