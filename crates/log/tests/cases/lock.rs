//! One writer a folder.

use auth_log::fs::{Dir, Fs};
use auth_log::sim::Fault;
use auth_log::{Attempt, Error, Holder, Lock, try_lock};

use crate::common::{FOLDER, disk};

fn me(pid: u32) -> Holder {
    Holder { pid, host: "a host".into(), started: "12345".into() }
}

fn acquired(folder: &dyn Dir, pid: u32) -> Lock {
    match try_lock(folder, &me(pid)).unwrap() {
        Attempt::Acquired(lock) => lock,
        Attempt::Held(holder) => panic!("held by {holder:?}"),
    }
}

fn holder(folder: &dyn Dir, pid: u32) -> Option<Holder> {
    match try_lock(folder, &me(pid)).unwrap() {
        Attempt::Acquired(_) => panic!("it is not held"),
        Attempt::Held(holder) => holder,
    }
}

#[test]
fn the_second_one_learns_who_holds_it() {
    let (fs, folder) = disk();
    let lock = acquired(&*folder, 4_000_000_000);
    assert_eq!(folder.stat_name("keys.lock").unwrap().unwrap().mode, 0o600);
    assert_eq!(holder(&*folder, 2), Some(me(4_000_000_000)));
    drop(lock);
    let lock = acquired(&*folder, 3);
    assert_eq!(
        fs.cached("/store/keys.lock").unwrap(),
        b"3\na host\n12345\n",
        "nothing of the longer text stays"
    );
    assert!(lock.is_current(&*folder).unwrap());
}

#[test]
fn a_lock_of_a_dead_process_is_no_lock() {
    let (fs, folder) = disk();
    let _lock = acquired(&*folder, 1);
    fs.kill();
    fs.restart();
    let folder = fs.open_dir(FOLDER.as_ref()).unwrap();
    let _again = acquired(&*folder, 2);
}

#[test]
fn a_text_that_says_nothing_is_no_holder_and_a_lock_file_that_is_there_is_no_lock() {
    let (fs, folder) = disk();
    for text in ["", "x", "12\nhost", "12\nhost\n", "12\nhost\nstarted", "\u{0}\n\n\n"] {
        fs.install("/store/keys.lock", text.as_bytes()).unwrap();
        let _lock = acquired(&*folder, 1);
        fs.install("/store/keys.lock", text.as_bytes()).unwrap();
        assert_eq!(holder(&*folder, 2), None, "{text:?}");
    }
    fs.install("/store/keys.lock", &[0xff; 5000]).unwrap();
    let _lock = acquired(&*folder, 1);
    fs.install("/store/keys.lock", &[0xff; 5000]).unwrap();
    assert_eq!(holder(&*folder, 2), None);
}

#[test]
fn line_breaks_in_a_host_name_do_not_shift_the_lines() {
    let (_, folder) = disk();
    let odd = Holder { pid: 1, host: "a\nb\r\n".into(), started: String::new() };
    let Attempt::Acquired(_lock) = try_lock(&*folder, &odd).unwrap() else { panic!("it was free") };
    assert_eq!(holder(&*folder, 2), Some(Holder { host: "a b  ".into(), ..odd }));
}

#[test]
fn a_replaced_lock_file_is_noticed() {
    let (_, folder) = disk();
    let lock = acquired(&*folder, 1);
    folder.remove("keys.lock").unwrap();
    assert!(!lock.is_current(&*folder).unwrap());
    let other = acquired(&*folder, 2);
    assert!(!lock.is_current(&*folder).unwrap());
    assert!(other.is_current(&*folder).unwrap());
    drop(lock);
    assert_eq!(holder(&*folder, 3), Some(me(2)), "dropping the old one releases nothing of the new one");
}

#[test]
fn the_text_is_for_messages_only_and_other_errors_are_errors() {
    for operation in 1..20 {
        let (fs, folder) = disk();
        fs.fail_at(fs.operations() + operation, Fault::Eio);
        let before = fs.operations();
        match try_lock(&*folder, &me(1)) {
            Ok(Attempt::Acquired(_)) => assert!(operation >= 6, "operation {operation}"),
            Ok(Attempt::Held(_)) => panic!("nobody has it"),
            Err(Error::Io { outcome_unknown, .. }) => assert!(!outcome_unknown && operation < 6),
            Err(error) => panic!("{error}"),
        }
        if fs.operations() < before + operation {
            break;
        }
        fs.heal();
        let _lock = acquired(&*folder, 1);
    }
}

#[test]
fn who_holds_the_lock_can_be_asked_without_taking_it() {
    let (fs, folder) = disk();
    assert_eq!(auth_log::holder(&*folder).unwrap(), None, "there is no lock file");
    let lock = acquired(&*folder, 7);
    assert_eq!(auth_log::holder(&*folder).unwrap(), Some(me(7)));
    fs.install("/store/keys.lock", b"7\n").unwrap();
    assert_eq!(auth_log::holder(&*folder).unwrap().map(|holder| holder.pid), Some(0), "not known yet");
    drop(lock);
    assert_eq!(auth_log::holder(&*folder).unwrap(), None, "what the file says is no lock");
    fs.fail_at(fs.operations() + 1, Fault::Eio);
    assert!(auth_log::holder(&*folder).is_err(), "not known is not nobody");
    fs.heal();
    drop(acquired(&*folder, 8));
}
