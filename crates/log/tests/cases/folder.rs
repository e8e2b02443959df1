//! Which files a folder has, and which of them counts; and the same on a real disk.

use std::sync::Arc;

use auth_log::fs::Dir;
use auth_log::sim::Fault;
use auth_log::{
    Attempt, Change, Compaction, Error, Holder, Log, Reader, generations, is_own_name, set_aside, try_lock,
};

use crate::common::{FOLDER, LOG, RealFolder, SALT, disk, end_of, put, read_reader};

fn names(folder: &dyn Dir) -> Vec<String> {
    let mut names = folder.names().unwrap();
    names.sort();
    names
}

/// The bytes of a log of another generation, with one key in it.
fn generation(number: u64) -> Vec<u8> {
    let (fs, folder) = disk();
    fs.install(format!("{FOLDER}/keys.{}.aside", number - 1), b"").unwrap();
    let (log, _) = Log::open(folder, SALT).unwrap();
    log.commit(&[put(b"generation", number.to_string().as_bytes())]).unwrap();
    fs.cached(format!("{FOLDER}/keys.{number}.log")).unwrap()
}

#[test]
fn the_highest_log_counts_and_the_older_ones_go() {
    let (fs, folder) = disk();
    for number in [2, 9, 10] {
        fs.install(format!("{FOLDER}/keys.{number}.log"), &generation(number)).unwrap();
    }
    fs.install(format!("{FOLDER}/keys.tmp"), b"half a log").unwrap();
    for foreign in ["creds.json", "keys.09.log", "keys.11.log.bak", "keys.11.tmp", "keys.3.aside"] {
        fs.install(format!("{FOLDER}/{foreign}"), b"foreign").unwrap();
    }
    assert_eq!(generations(&*folder).unwrap(), [2, 9, 10]);
    let before = fs.image();
    let reader = Reader::open(&*folder).unwrap().unwrap();
    assert_eq!(reader.get(b"generation").unwrap().unwrap().bytes, b"10");
    assert!(fs.image() == before, "a reader changes nothing");
    fs.record_trace();
    let (log, opened) = Log::open(Arc::clone(&folder), SALT).unwrap();
    assert_eq!(log.get(b"generation").unwrap().unwrap().bytes, b"10");
    let trace = fs.trace();
    let step = |what: &str| trace.iter().position(|step| step.contains(what)).unwrap();
    assert!(step("sync directory") < step("open keys.10.log"));
    assert!(step("open keys.10.log") < step("remove keys.2.log"));
    assert!(step("remove keys.2.log") < step("remove keys.9.log"));
    assert_eq!((opened.created, opened.records), (false, 1));
    let left = ["creds.json", "keys.09.log", "keys.10.log", "keys.11.log.bak", "keys.11.tmp", "keys.3.aside"];
    assert_eq!(names(&*folder), left);
}

#[test]
fn damage_in_the_highest_log_is_not_answered_with_an_older_one() {
    let (fs, folder) = disk();
    fs.install(format!("{FOLDER}/keys.2.log"), &generation(2)).unwrap();
    for bad in [&b""[..], b"BNALOG\r\n", &[0; 64], &generation(2)] {
        fs.install(format!("{FOLDER}/keys.3.log"), bad).unwrap();
        let error = Log::open(Arc::clone(&folder), SALT).err().unwrap();
        assert!(matches!(error, Error::Corrupt { offset: 0, .. }), "{error}");
        assert_eq!(generations(&*folder).unwrap(), [2, 3], "nothing is touched");
    }
}

#[test]
fn logs_set_aside_are_kept_and_the_next_log_has_a_higher_number() {
    let (fs, folder) = disk();
    for number in [2, 3] {
        fs.install(format!("{FOLDER}/keys.{number}.log"), &generation(number)).unwrap();
    }
    set_aside(&*folder).unwrap();
    assert_eq!(names(&*folder), ["keys.2.aside", "keys.3.aside"]);
    for number in [2, 3] {
        let aside = fs.durable(format!("{FOLDER}/keys.{number}.aside"));
        assert_eq!(aside, Some(generation(number)), "whole, and durably");
        assert_eq!(fs.durable(format!("{FOLDER}/keys.{number}.log")), None);
    }
    assert!(Reader::open(&*folder).unwrap().is_none());
    let (log, opened) = Log::open(Arc::clone(&folder), SALT).unwrap();
    assert!(opened.created && log.is_empty());
    assert_eq!(names(&*folder), ["keys.2.aside", "keys.3.aside", "keys.4.log"]);
    set_aside(&*folder).unwrap();
    set_aside(&*folder).unwrap();
    assert_eq!(names(&*folder), ["keys.2.aside", "keys.3.aside", "keys.4.aside"]);
}

#[test]
fn a_reader_needs_nothing_that_can_be_written() {
    let (fs, folder) = disk();
    let (log, _) = Log::open(Arc::clone(&folder), SALT).unwrap();
    log.commit(&[put(b"a", b"1")]).unwrap();
    drop(log);
    fs.install(LOG, &[fs.cached(LOG).unwrap(), vec![1; 99]].concat()).unwrap();
    fs.fail_at(fs.operations() + 1, Fault::EioForGood);
    let reader = Reader::open(&*folder).unwrap().unwrap();
    assert_eq!(reader.get(b"a").unwrap().unwrap().bytes, b"1");
    assert!(Log::open(folder, SALT).is_err());
}

#[test]
fn own_names_are_known() {
    for name in ["keys.1.log", "keys.20.aside", "keys.tmp", "keys.lock"] {
        assert!(is_own_name(name), "{name}");
    }
    for name in ["creds.json", "keys.log", "keys.1.log.gz", "session-1.json", "keys.-1.log"] {
        assert!(!is_own_name(name), "{name}");
    }
}

#[test]
fn new_files_are_for_the_owner_alone() {
    let (_, folder) = disk();
    let (log, _) = Log::open(Arc::clone(&folder), SALT).unwrap();
    assert_eq!(folder.stat_name("keys.1.log").unwrap().unwrap().mode, 0o600);
    drop(log);
}

#[test]
fn a_clean_close_gives_space_back_and_attests_once() {
    let (fs, folder) = disk();
    let (log, _) = Log::open(Arc::clone(&folder), SALT).unwrap();
    log.commit(&[put(b"a", b"1")]).unwrap();
    let before = end_of(&log);
    assert!(fs.cached(LOG).unwrap().len() > before);
    log.close().unwrap();
    let closed = fs.cached(LOG).unwrap();
    assert_eq!(closed.len(), before + 52, "one empty frame, and no zeros");
    for _ in 0..3 {
        let (log, _) = Log::open(Arc::clone(&folder), SALT).unwrap();
        log.close().unwrap();
        assert_eq!(fs.cached(LOG).unwrap(), closed, "nothing new to attest");
    }
    // Old frames count byte for byte, too: all but zeros.
    fs.install(LOG, &[&closed[..], &closed[64..]].concat()).unwrap();
    let (log, opened) = Log::open(Arc::clone(&folder), SALT).unwrap();
    assert_eq!(opened.dropped_bytes, closed[64..].iter().filter(|byte| **byte != 0).count() as u64);
    log.close().unwrap();
    for torn in [1, 1000, 65_536, 65_537, 300_000] {
        fs.install(LOG, &[&closed[..], &vec![0x42; torn]].concat()).unwrap();
        let (log, opened) = Log::open(Arc::clone(&folder), SALT).unwrap();
        assert_eq!(opened.dropped_bytes, torn as u64);
        let mended = fs.durable(LOG).unwrap();
        assert!(mended.len() == closed.len() + torn && mended[closed.len()..].iter().all(|byte| *byte == 0));
        log.close().unwrap();
        assert_eq!(fs.durable(LOG).unwrap(), closed);
    }
}

#[test]
fn a_log_on_a_real_disk_keeps_what_it_was_given() {
    let real = RealFolder::new(&std::env::temp_dir(), "keeps");
    let folder = Arc::clone(&real.dir);
    let me = Holder { pid: std::process::id(), host: "here".into(), started: "now".into() };
    let Attempt::Acquired(lock) = try_lock(&*folder, &me).unwrap() else { panic!("nobody has it") };
    assert!(matches!(try_lock(&*folder, &me).unwrap(), Attempt::Held(Some(holder)) if holder == me));
    let (log, opened) = Log::open(Arc::clone(&folder), SALT).unwrap();
    assert!(opened.created);
    let big = vec![5; 300_000];
    for round in 0..50u32 {
        log.commit(&[put(b"round", &round.to_le_bytes()), put(&round.to_le_bytes(), &big)]).unwrap();
    }
    log.commit(&[Change::Delete { key: &7u32.to_le_bytes() }]).unwrap();
    let reader = Reader::open(&*folder).unwrap().unwrap();
    assert_eq!(read_reader(&reader).len(), 50);
    drop(log); // and not closed
    let (log, opened) = Log::open(Arc::clone(&folder), SALT).unwrap();
    assert_eq!((opened.records, opened.dropped_bytes), (50, 0));
    assert_eq!(log.get(b"round").unwrap().unwrap().bytes, 49u32.to_le_bytes());
    assert_eq!(log.get(&3u32.to_le_bytes()).unwrap().unwrap().bytes, big);
    // From the page cache, or not at all: both are right, another value is not.
    let now = (0..50).find_map(|_| log.get_now(&3u32.to_le_bytes()).ok());
    let cached = folder.open("keys.1.log").unwrap().read_at_now(&mut [0; 64], 0).unwrap();
    assert_eq!(now.is_some(), cached.is_some());
    assert!(now.is_none_or(|now| now.unwrap().bytes == big));
    assert_eq!(log.get_now(b"no such key").unwrap(), None);
    assert!(matches!(log.compact().unwrap(), Compaction::Done { generation: 2, .. }));
    assert_eq!(log.get(&3u32.to_le_bytes()).unwrap().unwrap().bytes, big);
    log.close().unwrap();
    assert!(log.get_now(b"round").is_err());
    drop(lock);
    assert_eq!(names(&*folder), ["keys.2.log", "keys.lock"]);
}
