//! What crosses the boundary: a struct a call.

use auth_core::backend::Format;
use auth_core::events::{Event, News};
use auth_core::maintenance::{Compacted, Fault, Inspection, Repair, TypeCount, Verification};
use auth_core::migration::{self, Report};
use auth_core::store::{Handle, Opened};
use napi::bindgen_prelude::{Buffer, External};
use napi_derive::napi;
use std::collections::BTreeMap;

use crate::error::{Failure, lossy};

/// How to open an account. `lib/options.js` has checked it.
#[napi(object, object_to_js = false)]
pub struct OpenOptions {
    /// The native store; otherwise multi-file.
    pub native: bool,
    /// Make a new identity where there is none. Default `true`.
    pub create: bool,
    /// Lock a native store. Default `true`.
    pub lock: bool,
    /// A native `set` is on disk when it is answered; otherwise handed to the operating system. Default `false`.
    pub sync: bool,
    /// How long to wait for the lock, in milliseconds: 0 to 2^32-1, default 10,000.
    pub lock_timeout_ms: u32,
}

/// An opened account.
#[napi(object, object_from_js = false)]
pub struct OpenedAccount {
    /// To be handed to every other call.
    pub handle: External<Handle>,
    /// The stored credentials' text; none for a fresh identity.
    pub creds: Option<String>,
    /// Handles with the same number share one `creds` object.
    pub object: f64,
}

impl From<Opened> for OpenedAccount {
    fn from(opened: Opened) -> Self {
        Self {
            handle: External::new(opened.handle),
            creds: opened.creds.map(|creds| String::from_utf8_lossy(&creds.text).into_owned()),
            object: lossy(opened.object.0),
        }
    }
}

/// Something that happened, or the error with which a store has ended.
#[napi(object, object_from_js = false)]
pub struct Told {
    /// What happened.
    pub event: Option<Happened>,
    /// What every write gets from here on.
    pub failure: Option<Failure>,
    /// Whom it concerns, the oldest first.
    pub listeners: Vec<f64>,
}

impl Told {
    /// As it crosses the boundary.
    pub fn new(news: News, listeners: Vec<u64>) -> Self {
        let listeners = listeners.into_iter().map(lossy).collect();
        match news {
            News::Event(event) => Self { event: Some(event.into()), failure: None, listeners },
            News::Fatal(error) => Self { event: None, failure: Some(Failure::from(&error)), listeners },
        }
    }
}

/// Something that happened.
#[napi(object, object_from_js = false)]
pub struct Happened {
    /// One word for each kind.
    pub event: String,
    /// `info`, `warn` or `error`.
    pub level: String,
    /// The file or folder.
    pub path: String,
    /// For people.
    pub message: String,
    /// What it says in numbers.
    pub numbers: BTreeMap<String, f64>,
}

impl From<Event> for Happened {
    fn from(event: Event) -> Self {
        let Event { event, level, path, message, numbers } = event;
        let numbers = numbers.into_iter().map(|(name, number)| (name.to_owned(), lossy(number))).collect();
        Self { event: event.to_owned(), level: level.name().to_owned(), path, message, numbers }
    }
}

/// A Curve25519 key pair, 32 bytes each.
#[napi(object, object_from_js = false)]
pub struct RawKeyPair {
    /// Without version byte.
    pub public: Buffer,
    /// Clamped.
    pub private: Buffer,
}

/// The random part of fresh credentials.
#[napi(object, object_from_js = false)]
pub struct FreshKeys {
    /// `noiseKey`
    pub noise: RawKeyPair,
    /// `pairingEphemeralKeyPair`
    pub pairing_ephemeral: RawKeyPair,
    /// `signedIdentityKey`
    pub identity: RawKeyPair,
    /// `signedPreKey.keyPair`
    pub signed_pre_key: RawKeyPair,
    /// `signedPreKey.signature`, 64 bytes
    pub signature: Buffer,
    /// 14 bits
    pub registration_id: u16,
    /// `advSecretKey`
    pub adv_secret: String,
}

/// How many keys there are of a type, and how many bytes their values take.
#[napi(object, object_from_js = false)]
pub struct CountAndBytes {
    /// Keys.
    pub count: f64,
    /// Bytes.
    pub bytes: f64,
}

/// Who holds a store.
#[napi(object, object_from_js = false)]
pub struct LockHolder {
    /// The process.
    pub pid: u32,
    /// Its machine.
    pub host: String,
}

/// What is in a folder.
#[napi(object, object_from_js = false)]
pub struct Inspected {
    /// Absolute.
    pub path: String,
    /// `multi-file`, `native` or `both`.
    pub format: String,
    /// Of the log's format.
    pub version: Option<u32>,
    /// `present`, `missing` or `corrupt`.
    pub creds: String,
    /// `me.id`.
    pub id: Option<String>,
    /// `me.lid`.
    pub lid: Option<String>,
    /// `account` is there.
    pub paired: bool,
    /// The target of a migration that did not finish.
    pub unfinished: bool,
    /// By type.
    pub types: BTreeMap<String, CountAndBytes>,
    /// Of the values that count.
    pub live_bytes: f64,
    /// That a compaction would give back.
    pub dead_bytes: f64,
    /// Milliseconds since 1970.
    pub last_write_ms: Option<f64>,
    /// Who has it open.
    pub lock: Option<LockHolder>,
}

impl From<Inspection> for Inspected {
    fn from(found: Inspection) -> Self {
        let counted =
            |entry: TypeCount| CountAndBytes { count: lossy(entry.count), bytes: lossy(entry.bytes) };
        Self {
            path: found.path,
            format: found.format.to_owned(),
            version: found.version,
            creds: found.creds.to_owned(),
            id: found.id,
            lid: found.lid,
            paired: found.paired,
            unfinished: found.unfinished,
            types: found.types.into_iter().map(|(name, entry)| (name, counted(entry))).collect(),
            live_bytes: lossy(found.live_bytes),
            dead_bytes: lossy(found.dead_bytes),
            last_write_ms: found.last_write_ms.map(lossy),
            lock: found.holder.map(|holder| LockHolder { pid: holder.pid, host: holder.host }),
        }
    }
}

/// Something that is wrong, and where.
#[napi(object, object_from_js = false)]
pub struct FoundFault {
    /// The file.
    pub path: String,
    /// The key's type.
    #[napi(js_name = "type")]
    pub key_type: Option<String>,
    /// The key's id.
    pub id: Option<String>,
    /// Which field of the value.
    pub field: Option<String>,
    /// Where in the file, in bytes.
    pub offset: Option<f64>,
    /// For people.
    pub message: String,
}

impl From<Fault> for FoundFault {
    fn from(fault: Fault) -> Self {
        let Fault { path, key_type, id, field, offset, message } = fault;
        Self { path, key_type, id, field, offset: offset.map(lossy), message }
    }
}

/// What a verification found.
#[napi(object, object_from_js = false)]
pub struct Verified {
    /// Values that were read and checked.
    pub checked: f64,
    /// Bytes at the end of the log that are no whole commit.
    pub tail_bytes: f64,
    /// Everything that is wrong.
    pub faults: Vec<FoundFault>,
}

impl From<Verification> for Verified {
    fn from(found: Verification) -> Self {
        Self {
            checked: lossy(found.checked),
            tail_bytes: lossy(found.tail_bytes),
            faults: found.faults.into_iter().map(FoundFault::from).collect(),
        }
    }
}

/// What a repair saved.
#[napi(object, object_from_js = false)]
pub struct Repaired {
    /// Keys by type.
    pub counts: BTreeMap<String, u32>,
    /// What was not saved.
    pub lost: Vec<FoundFault>,
}

impl From<Repair> for Repaired {
    fn from(repair: Repair) -> Self {
        Self { counts: repair.counts, lost: repair.lost.into_iter().map(FoundFault::from).collect() }
    }
}

/// What a compaction gave back.
#[napi(object, object_from_js = false)]
pub struct SizesAround {
    /// Bytes before.
    pub before: f64,
    /// Bytes after.
    pub after: f64,
}

impl From<Compacted> for SizesAround {
    fn from(sizes: Compacted) -> Self {
        Self { before: lossy(sizes.before), after: lossy(sizes.after) }
    }
}

/// One end of a migration.
#[napi(object, object_from_js = false)]
pub struct Place {
    /// `multi-file` or `native`
    pub format: String,
    /// Absolute.
    pub path: String,
}

/// What was left out of a migration, and why.
#[napi(object, object_from_js = false)]
pub struct Remark {
    /// The file.
    pub path: Option<String>,
    /// The key's type.
    #[napi(js_name = "type")]
    pub key_type: Option<String>,
    /// The key's id.
    pub id: Option<String>,
    /// Which field of the value.
    pub field: Option<String>,
    /// For people.
    pub message: String,
}

impl From<migration::Remark> for Remark {
    fn from(remark: migration::Remark) -> Self {
        let migration::Remark { path, key_type, id, field, message } = remark;
        Self { path, key_type, id, field, message }
    }
}

/// What a migration did.
#[napi(object, object_from_js = false)]
pub struct Migrated {
    /// How many keys of each type.
    pub counts: BTreeMap<String, u32>,
    /// Every value was read back and compared.
    pub verified: bool,
    /// What was left alone.
    pub warnings: Vec<Remark>,
    /// Where the source is now, if it was renamed.
    pub retired: Option<String>,
    /// Of all values and the credentials.
    pub bytes: f64,
    /// Milliseconds.
    pub duration_ms: f64,
    /// The source.
    pub from: Place,
    /// The target.
    pub to: Place,
}

impl From<Report> for Migrated {
    fn from(report: Report) -> Self {
        let place = |format: Format, path: String| Place { format: format.name().to_owned(), path };
        Self {
            counts: report.counts,
            verified: report.verified,
            warnings: report.remarks.into_iter().map(Remark::from).collect(),
            retired: report.retired,
            bytes: lossy(report.bytes),
            duration_ms: report.duration.as_secs_f64() * 1000.0,
            from: place(report.from.0, report.from.1),
            to: place(report.to.0, report.to.1),
        }
    }
}
