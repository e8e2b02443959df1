//! Accounts on a simulated disk, without a runtime.
#![allow(dead_code, reason = "each test takes what it needs")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use auth_core::backend::{Account, Commit, Durability, Expected, Format, Found, Locking, Write, lock_store};
use auth_core::creds::Creds;
use auth_core::error::Result;
use auth_core::events::Listeners;
use auth_core::folder::Folder;
use auth_core::keys::Key;
use auth_core::value::Value;
use auth_log::sim::{Fault, SimFs};

pub const FORMATS: [Format; 2] = [Format::MultiFile, Format::Native];

/// Small enough that a `creds.json` spans several sectors.
pub const SECTOR: usize = 64;

/// Every key of an account with its text; a deleted one is not there.
pub type Keys = BTreeMap<String, String>;

pub fn disk(seed: u64) -> SimFs {
    SimFs::new(seed).with_sector_size(SECTOR)
}

/// Credentials of an identity; `step` makes texts differ.
pub fn creds(identity: u8, paired: bool, step: u32) -> Creds {
    let key = format!("{{\"type\":\"Buffer\",\"data\":[{}]}}", vec![identity.to_string(); 32].join(","));
    let account = if paired { ",\"account\":{}" } else { "" };
    let text =
        format!("{{\"signedIdentityKey\":{{\"private\":{key},\"public\":{key}}},\"step\":{step}{account}}}");
    Creds::judge(text.into_bytes()).unwrap()
}

pub fn open(disk: &SimFs, path: &str, format: Format, create: bool) -> Result<Account> {
    let listeners = Listeners::default();
    let folder = if create {
        Folder::open_or_create(disk, path.as_ref(), &listeners)?
    } else {
        Folder::open(disk, path.as_ref(), &listeners)?
            .ok_or_else(|| auth_core::folder::no_account(path.as_ref()))?
    };
    let folder = Arc::new(folder);
    let judged = auth_core::backend::judge(&folder, format, create)?;
    let lock = match format {
        Format::MultiFile => None,
        Format::Native => match lock_store(&folder)? {
            Locking::Mine(lock) => Some(lock),
            Locking::Theirs(error) => return Err(error),
        },
    };
    Account::open(folder, format, judged, lock, Durability::Sync)
}

pub fn set(changes: &[(&str, Option<&str>)]) -> Write {
    Write::Set(
        changes
            .iter()
            .map(|(id, text)| {
                let value = text.map(|text| Value { text: text.to_owned().into(), plain: false });
                (Key::new("session", *id).unwrap(), value)
            })
            .collect(),
    )
}

pub fn commit(account: &Account, write: Write) -> Result<()> {
    let write = Arc::new(write);
    let group = [Commit { write, expected: Expected::Account { current: None, loaded: None } }];
    account.commit(&group, None).remove(0)
}

/// Every session of an account; files that are not JSON count as missing.
pub fn sessions(account: &Account) -> Result<Keys> {
    let mut keys = Keys::new();
    for id in account.keys().list("session")? {
        let key = Key::new("session", id).unwrap();
        if let Found::Value(value) = account.keys().read(&key)? {
            keys.insert(key.id, String::from_utf8(value.text.to_vec()).unwrap());
        }
    }
    Ok(keys)
}

/// All files of a folder as the cache shows them.
pub fn files(disk: &SimFs, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let inside = |path: &str| Path::new(path).parent() == Some(folder.as_ref());
    disk.image()
        .into_iter()
        .filter(|(path, ..)| inside(path))
        .map(|(path, cached, _)| (path, cached))
        .collect()
}

/// The ways to stop at an operation; power cuts settle differently by the disk's seed.
pub const CRASHES: [Fault; 2] = [Fault::Kill, Fault::Power];
