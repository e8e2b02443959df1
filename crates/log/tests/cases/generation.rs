//! New generations: compaction, and a log that is written anew, with everything that can go wrong in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use auth_log::fs::Fs;
use auth_log::sim::{Fault, Random, SimFs};
use auth_log::{Change, Compaction, Error, Log, Reader, Rule, Rules, generations, remove, verify};

use crate::common::{FOLDER, LOG, SALT, end_of, put, read_log, read_reader, scale, store};

#[test]
fn compaction_is_wanted_when_much_is_dead_and_leaves_what_is_live() {
    let (fs, folder, log) = store();
    let value = vec![7; 100_000];
    for round in 0..30u32 {
        log.commit(&[put(b"a", &value), put(&round.to_le_bytes(), b"small")]).unwrap();
        assert_eq!(log.wants_compaction(), log.sizes().dead_bytes > log.sizes().live_bytes + (1 << 20));
    }
    assert!(log.wants_compaction());
    let before = read_log(&log).unwrap();
    let Compaction::Done { generation, before_bytes, after_bytes } = log.compact().unwrap() else { panic!() };
    assert!(generation == 2 && before_bytes > 3_000_000 && after_bytes < 110_000);
    assert!(!log.wants_compaction() && log.generation() == 2 && !log.unsynced());
    assert_eq!(read_log(&log).unwrap(), before);
    assert_eq!(generations(&*folder).unwrap(), [2]);
    assert_eq!(fs.durable("/store/keys.2.log").unwrap().len() as u64, after_bytes);
    assert!(log.sizes().dead_bytes < 1000 && log.sizes().records == 31);
    assert!(log.is_in_place().unwrap());
}

#[test]
fn a_failed_temporary_is_removed_and_the_log_goes_on() {
    let (fs, folder, log) = store();
    log.commit(&[put(b"a", b"1"), put(b"b", b"2")]).unwrap();
    let length = {
        let before = fs.operations();
        log.compact().unwrap();
        fs.operations() - before
    };
    let mut latched = 0;
    for at in 1..=length {
        for fault in [Fault::Eio, Fault::NoSpace(3)] {
            let (fs, folder, log) = store();
            log.commit(&[put(b"a", b"1"), put(b"b", b"2")]).unwrap();
            fs.fail_at(fs.operations() + at, fault);
            let result = log.compact();
            fs.heal();
            match log.commit(&[put(b"c", b"3")]) {
                Ok(()) => assert_eq!(log.len(), 3),
                Err(Error::Failed) => {
                    latched += 1;
                    continue; // it writes nothing more, and removes nothing
                }
                Err(error) => panic!("{error}"),
            }
            if !matches!(result, Ok(Compaction::Done { .. })) {
                assert!(matches!(log.close(), Ok(()) | Err(Error::Failed)));
                let left: Vec<String> = folder.names().unwrap();
                assert!(left.len() == 1 || fault == Fault::Eio, "{left:?}");
            }
        }
    }
    // The rename and the folder's sync, each with both faults, and nothing else.
    assert_eq!(latched, 4);
    assert_eq!(folder.names().unwrap(), ["keys.2.log"]);
}

#[test]
fn damage_stops_a_compaction_and_the_old_generation_stays() {
    let (fs, folder, log) = store();
    log.commit(&[put(b"a", &[1; 50]), put(b"b", &[2; 50])]).unwrap();
    let mut bytes = fs.cached("/store/keys.1.log").unwrap();
    let at = bytes.windows(50).position(|window| window == [2; 50]).unwrap();
    bytes[at] ^= 1;
    fs.install("/store/keys.1.log", &bytes).unwrap();
    assert!(matches!(log.compact(), Err(Error::Corrupt { name, .. }) if name == "keys.1.log"));
    assert_eq!(folder.names().unwrap(), ["keys.1.log"]);
    log.commit(&[put(b"c", b"3")]).unwrap();
    assert!(matches!(log.write_anew(), Err(Error::Corrupt { .. })));
    assert!(matches!(log.commit(&[put(b"c", b"3")]), Err(Error::Failed)), "what cannot be read latches");
}

#[test]
fn a_flipped_bit_in_a_new_generation_is_found_before_any_commit() {
    for (rules, found) in [(Rules::default(), true), (Rules::without(Rule::GenerationAttested), false)] {
        let fs = SimFs::new(3);
        fs.create_dir(FOLDER.as_ref(), 0o700).unwrap();
        let folder = fs.open_dir(FOLDER.as_ref()).unwrap();
        let (log, _) = Log::open_with_rules(Arc::clone(&folder), SALT, rules).unwrap();
        log.commit(&[put(b"a", b"1")]).unwrap();
        log.compact().unwrap();
        drop(log);
        let mut bytes = fs.cached("/store/keys.2.log").unwrap();
        bytes[64 + 50] ^= 1;
        fs.install("/store/keys.2.log", &bytes).unwrap();
        assert_eq!(matches!(Log::open(folder, SALT), Err(Error::Corrupt { .. })), found);
    }
}

#[test]
fn no_room_for_zeros_ahead_is_no_failure() {
    for (rules, well) in [(Rules::default(), true), (Rules::without(Rule::ZerosAheadMayFail), false)] {
        let fs = SimFs::new(3);
        fs.create_dir(FOLDER.as_ref(), 0o700).unwrap();
        let (log, _) = Log::open_with_rules(fs.open_dir(FOLDER.as_ref()).unwrap(), SALT, rules).unwrap();
        fs.set_space(Some(200));
        assert_eq!(log.commit(&[put(b"a", b"1")]).is_ok(), well);
        assert_eq!(log.commit(&[put(b"a", b"2")]).is_ok(), well);
    }
}

#[test]
fn zeros_ahead_that_found_room_in_part_count_in_the_size_of_the_file() {
    let (fs, _, log) = store();
    log.append(&[put(b"a", &vec![1; 1 << 20])]).unwrap();
    fs.set_space(Some(100_000));
    log.commit(&[put(b"b", b"1")]).unwrap();
    let size = fs.cached(LOG).unwrap().len();
    assert!(size > end_of(&log) + (64 << 10), "more than one write of zeros");
    assert_eq!(log.sizes().file_bytes, u64::try_from(size).unwrap());
}

#[test]
fn a_log_that_lost_its_name_is_written_anew_above_everything() {
    let (fs, folder, log) = store();
    log.append(&[put(b"a", b"1"), put(b"b", &[9; 5000])]).unwrap();
    folder.rename("keys.1.log", "elsewhere").unwrap();
    assert!(!log.is_in_place().unwrap(), "another name is no place");
    fs.remove_tree("/store/elsewhere").unwrap();
    assert!(!log.is_in_place().unwrap());
    assert_eq!(log.compact().unwrap(), Compaction::Stopped);
    fs.install("/store/keys.7.aside", b"").unwrap();
    log.write_anew().unwrap();
    assert!(log.is_in_place().unwrap());
    assert_eq!(generations(&*folder).unwrap(), [8]);
    log.commit(&[put(b"c", b"3")]).unwrap();
    fs.power_cut();
    fs.restart();
    let (log, _) = Log::open(fs.open_dir(FOLDER.as_ref()).unwrap(), SALT).unwrap();
    assert_eq!(log.len(), 3);
}

#[test]
fn remove_takes_everything_and_the_log_that_counts_last() {
    let (fs, folder, log) = store();
    log.commit(&[put(b"a", b"1")]).unwrap();
    let bytes = fs.cached("/store/keys.1.log").unwrap();
    for name in ["keys.3.log", "keys.2.log", "keys.9.aside", "keys.tmp", "creds.json", "keys.lock"] {
        fs.install(format!("/store/{name}"), &bytes).unwrap();
    }
    fs.record_trace();
    remove(&*folder).unwrap();
    let step = |line: &String| {
        let (_, what) = line.split_once(' ')?;
        let synced = what.starts_with("sync").then_some("synced");
        what.strip_prefix("remove ").or(synced).map(str::to_owned)
    };
    assert_eq!(
        fs.trace().iter().filter_map(step).collect::<Vec<_>>(),
        ["keys.9.aside", "keys.tmp", "keys.1.log", "keys.2.log", "synced", "keys.3.log", "synced"]
    );
    assert_eq!(folder.names().unwrap(), ["creds.json", "keys.lock"]);
    remove(&*folder).unwrap();
    // A log that cannot be removed is an error; one that another removes meanwhile is not.
    let bytes = || fs.install("/store/keys.1.log", &bytes).unwrap();
    bytes();
    fs.fail_at(fs.operations() + 2, Fault::Eio);
    let error = remove(&*folder).unwrap_err();
    assert!(error.to_string().starts_with("removing keys.1.log"), "{error}");
    let operations = fs.operations();
    remove(&*folder).unwrap();
    assert_eq!(fs.operations(), operations + 3, "with no older ones, one sync is enough");
}

#[test]
fn threads_that_write_read_and_clear_while_it_is_compacted_see_what_they_wrote() {
    let (_, folder, log) = store();
    let stop = AtomicBool::new(false);
    let rounds = scale(300);
    let compactions = thread::scope(|scope| {
        let compactor = scope.spawn(|| {
            let mut done = 0;
            while !stop.load(Ordering::Relaxed) {
                assert!(matches!(log.compact().unwrap(), Compaction::Done { .. }));
                done += 1;
            }
            done
        });
        let readers = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let reader = Reader::open(&*folder).unwrap().unwrap();
                // Whole commits only: both keys of a writer have the same round.
                for writer in 0..2u8 {
                    let value = |key: &[u8]| reader.get(key).unwrap().map(|value| value.bytes[..8].to_vec());
                    assert_eq!(value(&[writer, 0]), value(&[writer, 1]));
                }
            }
        });
        let writers: Vec<_> = (0..3u8)
            .map(|writer| {
                let log = &log;
                scope.spawn(move || {
                    let mut random = Random::new(writer.into());
                    for round in 0..rounds {
                        let mut value = round.to_le_bytes().to_vec();
                        value.resize(8 + random.below(3000), writer);
                        let keys = [[writer, 0], [writer, 1]];
                        if writer == 2 && random.once_in(4) {
                            log.append(&[Change::Delete { key: &keys[0] }]).unwrap();
                            assert_eq!(log.get(&keys[0]).unwrap(), None);
                            continue;
                        }
                        let changes = [put(&keys[0], &value), put(&keys[1], &value)];
                        if random.once_in(2) {
                            log.commit(&changes).unwrap()
                        } else {
                            log.append(&changes).unwrap()
                        }
                        assert_eq!(log.get(&keys[0]).unwrap().unwrap().bytes, value);
                        assert_eq!(log.get(&keys[1]).unwrap().unwrap().bytes, value);
                    }
                })
            })
            .collect();
        let clears = scope.spawn(|| log.sync());
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        clears.join().unwrap().unwrap();
        stop.store(true, Ordering::Relaxed);
        readers.join().unwrap();
        compactor.join().unwrap()
    });
    println!("counted: writes beside compactions {}, compactions {compactions}", 3 * rounds);
    let shown = read_log(&log).unwrap();
    log.close().unwrap();
    assert!(matches!(log.compact(), Err(Error::Closed)));
    assert_eq!(read_reader(&Reader::open(&*folder).unwrap().unwrap()), shown);
    assert!(compactions > 0 && shown.len() >= 5);
}

#[test]
fn close_waits_for_a_compaction_and_nothing_is_named_after_it() {
    for seed in 0..scale(30) {
        let (fs, folder, log) = store();
        for key in 0..200u32 {
            log.append(&[put(&key.to_le_bytes(), &[1; 2000])]).unwrap();
        }
        thread::scope(|scope| {
            let compaction = scope.spawn(|| log.compact());
            (0..seed * 20).for_each(|_| thread::yield_now());
            log.close().unwrap();
            let operations = fs.operations();
            assert!(matches!(compaction.join().unwrap(), Ok(_) | Err(Error::Closed)));
            assert_eq!(fs.operations(), operations, "nothing is done after the close");
        });
        assert_eq!(read_reader(&Reader::open(&*folder).unwrap().unwrap()).len(), 200);
        assert_eq!(folder.names().unwrap().len(), 1);
    }
}

#[test]
fn a_new_generation_has_frames_of_a_quarter_of_a_megabyte() {
    for (bytes, frames) in [(65_520, 2), (65_521, 3)] {
        let (_, folder, log) = store();
        for key in 0..4 {
            log.append(&[put(&[key], &vec![7; bytes])]).unwrap();
        }
        assert_eq!(log.sizes().live_bytes, 4 * (bytes as u64 + 16));
        log.compact().unwrap();
        let verified = verify(&*folder, &mut |_| ()).unwrap();
        assert_eq!((verified.frames, verified.records), (frames, 4), "and one that is empty at its end");
    }
}
