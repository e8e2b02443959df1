//! What fails half-way: setting an old log aside, saving beside somebody who has taken over, deleting.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use auth_core::backend::{Account, Format};
use auth_core::error::Code;
use auth_log::sim::{Fault, SimFs};
use common::{FORMATS, Keys, commit, creds, disk, files, open, sessions, set};

const FOLDER: &str = "/accounts/one";
const FAULTS: [Fault; 6] =
    [Fault::Eio, Fault::EioForGood, Fault::NoSpace(0), Fault::Short, Fault::Kill, Fault::Power];

/// An account of identity 1 with one session, closed.
fn account(seed: u64, format: Format) -> SimFs {
    let disk = disk(seed);
    let account = open(&disk, FOLDER, format, true).unwrap();
    account.save_creds(&creds(1, true, 1)).unwrap();
    commit(&account, set(&[("a", Some("1")), ("b", Some("2"))])).unwrap();
    account.keys().close().unwrap();
    disk
}

fn only(id: &str, text: &str) -> Keys {
    Keys::from([(id.to_owned(), text.to_owned())])
}

/// Makes the `n`th operation from now fail in `act`; says whether there was one.
fn failing(disk: &SimFs, n: u64, fault: Fault, act: impl FnOnce()) -> bool {
    let before = disk.operations();
    disk.fail_at(before + n, fault);
    act();
    let reached = disk.operations() >= before + n;
    disk.heal();
    if disk.is_down() {
        disk.restart();
    }
    reached
}

#[test]
fn an_old_log_that_cannot_be_set_aside_is_served_to_nobody_and_stays_whole() {
    let mut points = 0;
    for fault in FAULTS {
        for operation in 1.. {
            let disk = account(operation, Format::Native);
            let old = disk.cached(format!("{FOLDER}/keys.1.log")).unwrap();
            let folder = auth_log::fs::Fs::open_dir(&disk, FOLDER.as_ref()).unwrap();
            folder.remove("creds.json").unwrap();
            folder.sync().unwrap();
            let context = format!("{fault:?} at {operation}");
            let mut pairing = open(&disk, FOLDER, Format::Native, true).unwrap();
            let reached = failing(&disk, operation, fault, || {
                if commit(&pairing, set(&[("c", Some("3"))])).is_err() && !disk.is_down() {
                    assert!(
                        !sessions(&pairing).unwrap_or_default().contains_key("a"),
                        "{context}: it is served"
                    );
                }
            });
            if matches!(fault, Fault::Kill | Fault::Power)
                || commit(&pairing, set(&[("c", Some("3"))])).is_err()
            {
                // A new process, or a store that latched: either begins anew.
                pairing.keys().abandon();
                pairing = open(&disk, FOLDER, Format::Native, true).unwrap();
                commit(&pairing, set(&[("c", Some("3"))]))
                    .unwrap_or_else(|error| panic!("{context}: {error}"));
            }
            pairing.save_creds(&creds(2, false, 1)).unwrap();
            assert_eq!(sessions(&pairing).unwrap(), only("c", "3"), "{context}");
            pairing.keys().close().unwrap();
            let again = open(&disk, FOLDER, Format::Native, false).unwrap();
            assert_eq!(sessions(&again).unwrap(), only("c", "3"), "{context}, opened again");
            let asides = files(&disk, FOLDER).into_iter().filter(|(path, _)| path.ends_with(".aside"));
            let asides: Vec<_> = asides.map(|(_, bytes)| bytes).collect();
            assert!(asides.contains(&old), "{context}: the old log is not beside it");
            points += 1;
            if !reached {
                break;
            }
        }
    }
    println!("counted: failing operations {points}");
}

#[test]
fn a_failed_store_saves_no_creds_over_whoever_has_the_account_now() {
    let disk = account(1, Format::Native);
    let failed = open(&disk, FOLDER, Format::Native, false).unwrap();
    failed.load_creds().unwrap();
    disk.fail_at(disk.operations() + 1, Fault::EioForGood);
    assert_eq!(commit(&failed, set(&[("a", Some("2"))])).unwrap_err().code(), Code::Io);
    disk.heal();
    // As the store does when it fails.
    failed.keys().abandon();
    failed
        .save_creds(&creds(1, true, 2))
        .expect("nobody else is there: an identity is saved without its log");

    let next = open(&disk, FOLDER, Format::Native, false).unwrap();
    next.save_creds(&creds(1, true, 3)).unwrap();
    let stored = disk.cached(format!("{FOLDER}/creds.json"));
    assert_eq!(failed.save_creds(&creds(1, true, 4)).unwrap_err().code(), Code::Fenced);
    assert_eq!(disk.cached(format!("{FOLDER}/creds.json")), stored);
    next.keys().close().unwrap();
    drop(next);
    failed.save_creds(&creds(1, true, 5)).expect("it has gone again");
}

#[test]
fn a_deletion_that_stops_anywhere_leaves_the_account_or_no_identity_and_can_be_made_again() {
    let mut points = 0;
    for format in FORMATS {
        for fault in FAULTS {
            for operation in 1.. {
                let disk = account(operation, format);
                let bak = disk.cached(format!("{FOLDER}/creds.json")).unwrap();
                disk.install(format!("{FOLDER}/creds.json.bak"), &bak).unwrap();
                let context = format!("{}, {fault:?} at {operation}", format.name());
                let open_now = |create| open(&disk, FOLDER, format, create);
                let deleted = open_now(false).unwrap();
                let mut done = false;
                let reached = failing(&disk, operation, fault, || done = deleted.delete().is_ok());
                deleted.keys().abandon();
                drop(deleted);
                match open_now(false).map(|account| (sessions(&account).unwrap(), account)) {
                    Ok((keys, account)) => {
                        assert!(!done, "{context}: it is still there");
                        // Key files were handed to the operating system, and may go with the power.
                        let may_go = format == Format::MultiFile && fault == Fault::Power;
                        assert!(keys.len() == 2 || may_go, "{context}: an identity without its sessions");
                        account.delete().unwrap();
                    }
                    Err(error) => {
                        assert_eq!(error.code(), Code::Io, "{context}: {error}");
                        let fresh = open_now(true).unwrap_or_else(|error| panic!("{context}: {error}"));
                        assert!(fresh.load_creds().unwrap().is_none(), "{context}: an identity came back");
                        if format == Format::Native {
                            assert_eq!(
                                sessions(&fresh).unwrap(),
                                Keys::new(),
                                "{context}: old keys are served"
                            );
                        }
                        Account::delete(&fresh).unwrap();
                    }
                }
                let left = files(&disk, FOLDER);
                assert!(left.is_empty(), "{context}: {:?}", left.keys());
                points += 1;
                if !reached {
                    break;
                }
            }
        }
    }
    println!("counted: failing operations {points}");
}
