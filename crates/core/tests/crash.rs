//! The making of an account, its `creds.json` and its keys, crashed at every operation.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use auth_core::backend::{Account, Format};
use auth_core::creds::Creds;
use auth_core::error::Result;
use auth_log::sim::{Fault, SimFs};
use common::{CRASHES, FORMATS, Keys, commit, creds, disk, open, sessions, set};

const FOLDER: &str = "/accounts/one";
const SEEDS: u64 = 40;

/// What the script has been told, and what it was doing when it was told no more.
#[derive(Default)]
struct Told {
    saved: Option<Creds>,
    saving: Option<Creds>,
    keys: Keys,
    setting: Option<Keys>,
}

impl Told {
    fn save(&mut self, account: &Account, creds: Creds) -> Result<()> {
        self.saving = Some(creds.clone());
        account.save_creds(&creds)?;
        self.saved = self.saving.take();
        Ok(())
    }

    fn set(&mut self, account: &Account, changes: &[(&str, Option<&str>)]) -> Result<()> {
        let mut after = self.keys.clone();
        for (id, text) in changes {
            match text {
                Some(text) => after.insert((*id).to_owned(), (*text).to_owned()),
                None => after.remove(*id),
            };
        }
        self.setting = Some(after.clone());
        commit(account, set(changes))?;
        self.keys = after;
        self.setting = None;
        Ok(())
    }
}

/// A first login, a pairing, a conversation, a close.
fn script(disk: &SimFs, format: Format, told: &mut Told) -> Result<()> {
    let long = format!("\"{}\"", "x".repeat(300));
    let account = open(disk, FOLDER, format, true)?;
    told.set(&account, &[("a", Some("1")), ("b", Some(&long))])?;
    told.save(&account, creds(1, false, 1))?;
    told.set(&account, &[("a", Some("22")), ("c", Some("3"))])?;
    told.save(&account, creds(1, true, 2))?;
    told.set(&account, &[("b", None), ("d", Some(&long))])?;
    account.keys().close()?;
    drop(account);
    let account = open(disk, FOLDER, format, false)?;
    told.set(&account, &[("a", Some("333"))])?;
    told.save(&account, creds(1, true, 3))?;
    account.keys().close()
}

fn check(format: Format, told: &Told, account: &Account, powers: bool, context: &str) {
    let stored = account.load_creds().unwrap_or_else(|error| panic!("{context}: {error}"));
    let stored = stored.map(|creds| creds.text);
    let text = |creds: &Option<Creds>| creds.as_ref().map(|creds| creds.text.clone());
    let fits = stored == text(&told.saved) || (told.saving.is_some() && stored == text(&told.saving));
    assert!(fits, "{context}: creds are neither those saved nor those being saved");
    let keys = sessions(account).unwrap_or_else(|error| panic!("{context}: {error}"));
    match format {
        // Keys of an identity that was never saved are nobody's.
        Format::Native if stored.is_none() => assert_eq!(keys, Keys::new(), "{context}"),
        Format::Native => {
            let fits = keys == told.keys || told.setting.as_ref() == Some(&keys);
            assert!(fits, "{context}: {keys:?}, told {:?}, setting {:?}", told.keys, told.setting);
        }
        // Key files are handed to the operating system: a power cut may take them, each whole.
        Format::MultiFile if powers => {}
        Format::MultiFile => {
            let setting = told.setting.as_ref().unwrap_or(&told.keys);
            for id in ["a", "b", "c", "d"] {
                let now = keys.get(id);
                assert!(now == told.keys.get(id) || now == setting.get(id), "{context}: {id} is {now:?}");
            }
        }
    }
}

/// What comes after a crash: it opens, goes on, and what is saved then survives the next power cut.
fn go_on(disk: &SimFs, format: Format, told: &mut Told, powers: bool, context: &str) {
    let account = open(disk, FOLDER, format, true).unwrap_or_else(|error| panic!("{context}: {error}"));
    check(format, told, &account, powers, context);
    told.keys = sessions(&account).unwrap();
    told.setting = None;
    told.set(&account, &[("e", Some("5"))]).unwrap();
    told.save(&account, creds(1, true, 9)).unwrap();
    drop(account);
    disk.power_cut();
    disk.restart();
    let account =
        open(disk, FOLDER, format, false).unwrap_or_else(|error| panic!("{context}, then power: {error}"));
    check(format, told, &account, true, context);
}

#[test]
fn a_crash_at_any_operation_loses_no_saved_creds_and_no_acknowledged_native_set() {
    let mut points = 0;
    for format in FORMATS {
        let whole = disk(0);
        script(&whole, format, &mut Told::default()).unwrap();
        for operation in 1..=whole.operations() {
            for fault in CRASHES {
                for seed in 0..if fault == Fault::Power { SEEDS } else { 1 } {
                    let (disk, mut told) = (disk(seed), Told::default());
                    disk.fail_at(operation, fault);
                    let context = format!("{} {fault:?} at {operation}, seed {seed}", format.name());
                    // A sync that may fail without harm hides the end of the machine until the next call.
                    let _ = script(&disk, format, &mut told);
                    assert!(disk.is_down(), "{context}: nothing happened");
                    disk.restart();
                    go_on(&disk, format, &mut told, fault == Fault::Power, &context);
                    points += 1;
                }
            }
        }
    }
    println!("counted: crash points {points}");
}

#[test]
fn a_failing_operation_loses_no_saved_creds_and_no_acknowledged_native_set() {
    let mut points = 0;
    for format in FORMATS {
        let whole = disk(0);
        script(&whole, format, &mut Told::default()).unwrap();
        for operation in 1..=whole.operations() {
            for fault in [Fault::Eio, Fault::EioForGood, Fault::NoSpace(7), Fault::Short] {
                let (disk, mut told) = (disk(operation), Told::default());
                disk.fail_at(operation, fault);
                let context = format!("{} {fault:?} at {operation}", format.name());
                let _ = script(&disk, format, &mut told);
                disk.heal();
                go_on(&disk, format, &mut told, false, &context);
                points += 1;
            }
        }
    }
    println!("counted: failing operations {points}");
}

#[test]
fn a_fresh_identity_never_serves_the_keys_of_an_old_log() {
    for operation in 1..400 {
        for seed in 0..SEEDS {
            let (disk, mut told) = (disk(seed), Told::default());
            let account = open(&disk, FOLDER, Format::Native, true).unwrap();
            told.set(&account, &[("a", Some("1"))]).unwrap();
            told.save(&account, creds(1, true, 1)).unwrap();
            account.keys().close().unwrap();
            drop(account);
            let folder = auth_log::fs::Fs::open_dir(&disk, FOLDER.as_ref()).unwrap();
            folder.remove("creds.json").unwrap();
            folder.sync().unwrap();
            let start = disk.operations();
            disk.fail_at(start + operation, Fault::Power);
            let pair = || {
                let account = open(&disk, FOLDER, Format::Native, true)?;
                assert_eq!(sessions(&account).ok(), Some(Keys::new()), "keys of the old identity are served");
                account.save_creds(&creds(2, false, 1))?;
                account.keys().close()
            };
            let done = pair().is_ok();
            let all_operations_done = !disk.is_down();
            disk.heal();
            disk.restart();
            let account = open(&disk, FOLDER, Format::Native, true).unwrap();
            assert_eq!(sessions(&account).unwrap(), Keys::new(), "power cut at {operation}, seed {seed}");
            let stored = account.load_creds().unwrap().map(|creds| creds.summary.identity);
            assert!(
                stored == Some([2; 32]) || (!done && stored.is_none()),
                "power cut at {operation}: {stored:?}"
            );
            if all_operations_done {
                return;
            }
        }
    }
}
