//! What stands beside a file, written and deleted with the process killed at every operation.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use auth_core::backend::{Account, Format, Found};
use auth_core::keys::Key;
use auth_log::fs::{Dir, Fs as _, write_all};
use auth_log::sim::{Fault, SimFs};
use common::{commit, creds, disk, open, set};

const FOLDER: &str = "/account";

fn put(dir: &dyn Dir, name: &str, text: &str) {
    let _ = dir.remove(name);
    write_all(dir.create(name, 0o600).unwrap().as_ref(), text.as_bytes(), 0).unwrap();
}

/// An account with a session `a` of this text, where there is one, and an old one on both sides of it.
fn with_companions(main: Option<&str>) -> SimFs {
    let disk = disk(1);
    open(&disk, FOLDER, Format::MultiFile, true).unwrap().save_creds(&creds(1, true, 1)).unwrap();
    let dir = disk.open_dir(FOLDER.as_ref()).unwrap();
    for (suffix, text) in [("", main), (".tmp", Some("\"tmp\"")), (".bak", Some("\"bak\""))] {
        if let Some(text) = text {
            put(dir.as_ref(), &format!("session-a.json{suffix}"), text);
        }
    }
    disk
}

fn read(account: &Account) -> Option<String> {
    let text = |value: auth_core::value::Value| String::from_utf8(value.text.to_vec()).unwrap();
    match account.keys().read(&Key::new("session", "a").unwrap()).unwrap() {
        Found::Missing => None,
        Found::Value(value) => Some(text(value)),
        Found::Odd { stand_in, .. } => stand_in.map(text),
    }
}

/// Kills the process at each operation of this; what is read then must be one of these.
fn killed_anywhere(main: Option<&str>, value: Option<&str>, allowed: &[Option<&str>]) {
    for operation in 1.. {
        let disk = with_companions(main);
        let account = open(&disk, FOLDER, Format::MultiFile, false).unwrap();
        disk.fail_at(disk.operations() + operation, Fault::Kill);
        let done = commit(&account, set(&[("a", value)])).is_ok();
        let over = !disk.is_down();
        disk.heal();
        disk.restart();
        let account = open(&disk, FOLDER, Format::MultiFile, false).unwrap();
        let now = read(&account);
        assert!(allowed.contains(&now.as_deref()), "killed at {operation}: {now:?}");
        assert!(!done || now.as_deref() == value, "{now:?} after it was acknowledged");
        if over {
            let names = account.folder().names().unwrap();
            assert!(!names.iter().any(|name| name.ends_with(".tmp") || name.ends_with(".bak")), "{names:?}");
            return;
        }
    }
}

#[test]
fn a_key_that_is_deleted_does_not_come_back_from_what_stood_beside_it() {
    killed_anywhere(Some("\"main\""), None, &[Some("\"main\""), None]);
    killed_anywhere(None, None, &[Some("\"tmp\""), None]);
}

#[test]
fn a_key_that_is_written_is_never_read_from_what_stood_beside_it() {
    killed_anywhere(Some("\"main\""), Some("\"new\""), &[Some("\"main\""), Some("\"new\"")]);
    killed_anywhere(Some("{\"torn"), Some("\"new\""), &[Some("\"bak\""), Some("\"new\"")]);
}

#[test]
fn a_clear_leaves_nothing_that_could_be_read() {
    let disk = with_companions(None);
    let account = open(&disk, FOLDER, Format::MultiFile, false).unwrap();
    assert_eq!(account.keys().list("session").unwrap(), ["a"]);
    commit(&account, auth_core::backend::Write::Clear).unwrap();
    assert_eq!(account.folder().names().unwrap(), ["creds.json"]);
}
