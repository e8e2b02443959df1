//! What others do in the middle of a compaction, and what it makes of that.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use auth_log::fs::Dir;
use auth_log::sim::{Fault, Moment, SimFs};
use auth_log::{Compaction, Error, Log, generations};

use crate::common::{end_of, put, read_log, store};

/// Half a megabyte in few records, and as much that is dead.
fn half_a_megabyte() -> (SimFs, Arc<dyn Dir>, Arc<Log>) {
    let (fs, folder, log) = store();
    for key in [b"a", b"b", b"c", b"a", b"b", b"c"] {
        log.append(&[put(key, &[7; 170_000])]).unwrap();
    }
    log.sync().unwrap();
    (fs, folder, Arc::new(log))
}

#[test]
fn it_is_wanted_from_one_byte_over_a_megabyte_on_and_not_of_a_closed_log() {
    let too_much = |length: usize| {
        let (_, _, log) = store();
        log.append(&[put(b"a", &vec![7; length])]).unwrap();
        log.append(&[put(b"a", b"")]).unwrap();
        let sizes = log.sizes();
        (log, i64::try_from(sizes.dead_bytes).unwrap() - i64::try_from(sizes.live_bytes).unwrap() - (1 << 20))
    };
    let length = usize::try_from(1_000_000 - too_much(1_000_000).1).unwrap();
    let (log, more) = too_much(length);
    assert!(more == 0 && !log.wants_compaction());
    let (log, more) = too_much(length + 1);
    assert!(more == 1 && log.wants_compaction());
    log.close().unwrap();
    assert!(!log.wants_compaction());
}

#[test]
fn after_one_that_failed_the_log_must_grow_by_a_quarter_and_a_megabyte() {
    let (fs, _, log) = store();
    let grow = || log.append(&[put(b"a", &[7; 100_000])]).unwrap();
    (0..30).for_each(|_| grow());
    assert!(log.wants_compaction());
    let end = end_of(&log);
    fs.fail_at(fs.operations() + 2, Fault::Eio);
    let error = log.compact().unwrap_err();
    assert!(error.to_string().starts_with("making keys.tmp"), "{error}");
    let mut waited = 0;
    while !log.wants_compaction() {
        assert!(end_of(&log) < end + end / 4 + (1 << 20));
        grow();
        waited += 1;
    }
    assert!(end_of(&log) >= end + end / 4 + (1 << 20) && waited > 15);
}

#[test]
fn a_temporary_that_is_in_the_way_is_removed_and_one_that_cannot_be_is_an_error() {
    let (fs, folder, log) = store();
    log.commit(&[put(b"a", b"1")]).unwrap();
    fs.install("/store/keys.tmp", b"half a log").unwrap();
    fs.fail_at(fs.operations() + 2, Fault::Eio);
    let error = log.compact().unwrap_err();
    assert!(error.to_string().starts_with("removing keys.tmp"), "{error}");
    assert!(matches!(log.compact(), Ok(Compaction::Done { .. })));
    assert_eq!(folder.names().unwrap(), ["keys.2.log"]);
}

#[test]
fn a_temporary_that_was_removed_or_replaced_is_not_named() {
    for moment in [Moment::Made, Moment::Sync, Moment::Rename] {
        let (fs, folder, log) = half_a_megabyte();
        let before = read_log(&log).unwrap();
        let disk = fs.clone();
        fs.at_next(moment, Box::new(move || disk.remove_tree("/store/keys.tmp").unwrap()));
        assert_eq!(log.compact().unwrap(), Compaction::Stopped, "{moment:?}");
        assert_eq!(folder.names().unwrap(), ["keys.1.log"]);
        log.commit(&[put(b"d", b"goes on")]).unwrap();
        if moment == Moment::Rename {
            continue; // who replaces it that late is not found out
        }
        let disk = fs.clone();
        let replace = move || {
            disk.remove_tree("/store/keys.tmp").unwrap();
            disk.install("/store/keys.tmp", b"another one's").unwrap();
        };
        fs.at_next(moment, Box::new(replace));
        assert_eq!(log.compact().unwrap(), Compaction::Stopped, "{moment:?}");
        assert_eq!(generations(&*folder).unwrap(), [1]);
        assert_eq!(fs.cached("/store/keys.tmp").unwrap(), b"another one's", "nor is it removed");
        assert_eq!(read_log(&log).unwrap().len(), before.len() + 1);
    }
}

#[test]
fn a_log_that_lost_its_name_meanwhile_is_not_compacted_and_one_without_a_name_is_written_anew() {
    let (fs, folder, log) = half_a_megabyte();
    let disk = fs.clone();
    fs.at_next(Moment::Made, Box::new(move || disk.remove_tree("/store/keys.1.log").unwrap()));
    assert_eq!(log.compact().unwrap(), Compaction::Stopped);
    assert!(folder.names().unwrap().is_empty());
    // Its temporary is removed, too, and made again.
    let disk = fs.clone();
    fs.at_next(Moment::Made, Box::new(move || disk.remove_tree("/store/keys.tmp").unwrap()));
    log.write_anew().unwrap();
    assert_eq!(folder.names().unwrap(), ["keys.2.log"]);
    assert_eq!(log.len(), 3);
}

#[test]
fn a_log_that_is_closed_meanwhile_is_not_compacted_and_leaves_nothing() {
    let (fs, folder, log) = half_a_megabyte();
    let (closing, disk) = (Arc::clone(&log), fs.clone());
    let (send, closed) = channel();
    let close = move || {
        let log = Arc::clone(&closing);
        send.send((thread::spawn(move || closing.close()), disk.operations())).unwrap();
        // It waits for this compaction, but reads are refused.
        while !matches!(log.get(b"a"), Err(Error::Closed)) {
            thread::yield_now();
        }
    };
    fs.at_next(Moment::Made, Box::new(close));
    assert_eq!(log.compact().unwrap(), Compaction::Stopped);
    closed.recv().unwrap().0.join().unwrap().unwrap();
    assert_eq!(folder.names().unwrap(), ["keys.1.log"]);
}

#[test]
fn a_log_that_latches_meanwhile_stops_copying_and_names_nothing() {
    // Before it copies: it writes the header. When it has copied: this sync is the last.
    for (moment, operations) in [(Moment::Made, 2), (Moment::Sync, 1)] {
        let (fs, folder, log) = half_a_megabyte();
        let (latching, disk, (send, after)) = (Arc::clone(&log), fs.clone(), channel());
        let latch = move || {
            disk.fail_at(disk.operations() + 1, Fault::Eio);
            assert!(latching.commit(&[put(b"a", b"never")]).unwrap_err().outcome_unknown());
            send.send(disk.operations()).unwrap();
        };
        fs.at_next(moment, Box::new(latch));
        assert_eq!(log.compact().unwrap(), Compaction::Stopped, "{moment:?}");
        let more = fs.operations() - after.recv().unwrap();
        assert_eq!(more, operations, "it does nothing more, {moment:?}");
        assert_eq!(folder.names().unwrap(), ["keys.1.log", "keys.tmp"], "nor removes what may be another's");
        assert!(matches!(log.compact(), Err(Error::Failed)));
    }
}

#[test]
fn what_is_appended_meanwhile_is_copied_while_others_write_but_for_the_last_of_it() {
    for (bytes, copied_before) in [(300_000, true), (60_000, false)] {
        let (fs, _, log) = half_a_megabyte();
        let (writing, disk) = (Arc::clone(&log), fs.clone());
        let (send, written) = channel();
        let append = move || {
            let quarter = vec![1; bytes / 4];
            let keys = [b"meanwhile-1", b"meanwhile-2", b"meanwhile-3", b"meanwhile-4"];
            writing.append(&keys.map(|key| put(key, &quarter))).unwrap();
            // The next write is the compaction's, of just that.
            let second = move || {
                let (done, is_done) = channel();
                let other = thread::spawn(move || {
                    writing.append(&[put(b"last", b"of it")]).unwrap();
                    _ = done.send(());
                });
                let waits =
                    is_done.recv_timeout(Duration::from_millis(if copied_before { 20_000 } else { 50 }));
                send.send((waits.is_ok(), other)).unwrap();
            };
            disk.at_next(Moment::Write, Box::new(second));
        };
        fs.at_next(Moment::Sync, Box::new(append));
        assert!(matches!(log.compact().unwrap(), Compaction::Done { generation: 2, .. }));
        let (beside, other) = written.recv().unwrap();
        other.join().unwrap();
        assert_eq!(beside, copied_before, "{bytes} bytes");
        assert_eq!(log.get(b"meanwhile-4").unwrap().unwrap().bytes.len(), bytes / 4);
        assert_eq!(log.get(b"last").unwrap().unwrap().bytes, b"of it");
    }
}

#[test]
fn damage_in_what_is_appended_meanwhile_stops_it() {
    let (fs, folder, log) = half_a_megabyte();
    let (writing, disk) = (Arc::clone(&log), fs.clone());
    let damage = move || {
        writing.append(&[put(b"meanwhile", &[0x55; 1000])]).unwrap();
        let mut bytes = disk.cached("/store/keys.1.log").unwrap();
        let at = bytes.windows(9).position(|window| window == [0x55; 9]).unwrap();
        bytes[at] ^= 1;
        disk.install("/store/keys.1.log", &bytes).unwrap();
    };
    fs.at_next(Moment::Sync, Box::new(damage));
    assert!(matches!(log.compact(), Err(Error::Corrupt { name, .. }) if name == "keys.1.log"));
    assert_eq!(folder.names().unwrap(), ["keys.1.log"]);
}
