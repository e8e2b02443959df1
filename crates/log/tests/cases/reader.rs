//! A view beside the owner: what it tells, and how often it looks again.

use std::sync::Arc;

use auth_log::format::VERSION;
use auth_log::sim::{Moment, SimFs};
use auth_log::{Error, Log, Reader, verify};

use crate::common::{LOG, put, store};

#[test]
fn it_tells_what_the_log_tells() {
    let (fs, folder, log) = store();
    assert!(Reader::open(&*folder).unwrap().unwrap().is_empty());
    log.commit(&[put(b"a", b"1"), put(b"b", b"22")]).unwrap();
    log.commit(&[put(b"a", b"333")]).unwrap();
    log.compact().unwrap();
    log.commit(&[put(b"b", b"4444")]).unwrap();
    let (sizes, mut live) = (log.sizes(), 0);
    log.for_each_size(&mut |_, _, size| live += size);
    assert_eq!(live, sizes.live_bytes);
    drop(log);
    let mut torn = fs.cached("/store/keys.2.log").unwrap();
    torn.extend([1; 30]);
    fs.install("/store/keys.2.log", &torn).unwrap();
    let reader = Reader::open(&*folder).unwrap().unwrap();
    assert!(reader.len() == 2 && !reader.is_empty() && reader.contains(b"a") && !reader.contains(b"c"));
    assert_eq!((reader.generation(), reader.version(), reader.tail_bytes()), (2, VERSION, 30));
    assert_eq!((reader.sizes().live_bytes, reader.sizes().dead_bytes), (sizes.live_bytes, sizes.dead_bytes));
    assert_eq!((reader.sizes().records, reader.sizes().file_bytes), (2, torn.len() as u64));
    let modified = folder.stat_name("keys.2.log").unwrap().unwrap().modified_ns;
    assert!(modified > 1 && reader.modified_ns() == Some(modified));
    let (mut keys, mut bytes) = (Vec::new(), 0);
    reader.for_each(&mut |key, _| keys.push(key.to_vec()));
    reader.for_each_size(&mut |_, _, size| bytes += size);
    keys.sort();
    assert_eq!((keys, bytes), (vec![b"a".to_vec(), b"b".to_vec()], sizes.live_bytes));
}

/// Compacts right before the file is opened that was just listed, so many times in a row.
fn compact_before_opening(fs: &SimFs, log: &Arc<Log>, times: u32) {
    let (disk, compacting) = (fs.clone(), Arc::clone(log));
    let compact = move || {
        compacting.compact().unwrap();
        if times > 1 {
            compact_before_opening(&disk, &compacting, times - 1);
        }
    };
    fs.at_next(Moment::Open, Box::new(compact));
}

#[test]
fn a_log_that_was_just_replaced_is_looked_for_again_and_not_for_ever() {
    let (fs, folder, log) = store();
    let log = Arc::new(log);
    log.commit(&[put(b"a", b"1")]).unwrap();
    for (times, found) in [(1, true), (2, true), (3, false)] {
        compact_before_opening(&fs, &log, times);
        match Reader::open(&*folder) {
            Ok(reader) => assert!(found && reader.unwrap().len() == 1),
            Err(error) => assert!(!found && error.to_string().starts_with("opening keys."), "{error}"),
        }
        assert!(!fs.forget_meanwhile());
    }
    for (times, found) in [(7, true), (8, false)] {
        compact_before_opening(&fs, &log, times);
        assert_eq!(verify(&*folder, &mut |_| ()).is_ok(), found, "{times} times");
        assert!(!fs.forget_meanwhile());
    }
}

/// Puts other bytes in the place of the log, each time it is opened.
fn replace_before_opening(fs: &SimFs, versions: &[Vec<u8>]) {
    let [first, rest @ ..] = versions else { return };
    let (disk, first, rest) = (fs.clone(), first.clone(), rest.to_vec());
    let replace = move || {
        disk.install(LOG, &first).unwrap();
        replace_before_opening(&disk, &rest);
    };
    fs.at_next(Moment::Open, Box::new(replace));
}

#[test]
fn what_seems_damaged_is_looked_at_again_until_it_stays_the_same() {
    let (fs, folder, log) = store();
    for key in [b"a", b"b", b"c", b"d"] {
        log.commit(&[put(key, &[7; 50])]).unwrap();
    }
    log.close().unwrap();
    let good = fs.cached(LOG).unwrap();
    let damaged_at = |commit: usize| {
        let mut bytes = good.clone();
        let places: Vec<usize> =
            (0..bytes.len() - 50).filter(|at| bytes[*at..].starts_with(&[7; 50])).collect();
        bytes[places[commit]] ^= 1;
        bytes
    };
    let (one, other, third) = (damaged_at(0), damaged_at(1), damaged_at(2));
    let opens = || fs.trace().iter().filter(|line| line.contains("open keys.1.log")).count();
    fs.record_trace();
    for (versions, looks, sound) in [
        (vec![good.clone()], 1, true),
        (vec![one.clone(), good.clone()], 2, true),
        (vec![one.clone(), other.clone(), good.clone()], 3, true),
        (vec![one.clone(), one.clone(), good.clone()], 2, false),
        (vec![one.clone(), other, third, good.clone()], 3, false),
    ] {
        let before = opens();
        replace_before_opening(&fs, &versions);
        let read = Reader::open(&*folder);
        fs.forget_meanwhile();
        assert_eq!((read.is_ok(), opens() - before), (sound, looks));
        assert!(sound || matches!(read, Err(Error::Corrupt { .. })));
    }
}
