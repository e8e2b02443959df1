//! New generations: compaction, and a log that is written anew, with everything that can go wrong in them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test fails by a panic"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use auth_log::fs::{Dir, Fs};
use auth_log::sim::{Fault, Random, SimFs};
use auth_log::{Change, Compaction, Error, Log, Reader, Rule, Rules, copy, generations, remove};
use common::{Act, Durability, FOLDER, SALT, Violation, World, read_log, read_reader, scale};

/// A life around new generations; it ends early where something fails.
fn script(world: &mut World) -> Result<bool, Violation> {
    if !world.open()? {
        return Ok(false);
    }
    for (key, bytes) in [("a", 10), ("b", 300), ("a", 60), ("c", 5)] {
        let put = world.put(key, bytes);
        if !world.write(&[put], true)? {
            return Ok(false);
        }
    }
    let (tail, beside) = (world.put("d", 30), world.put("b", 20));
    if !world.write(&[tail], false)? || !world.compact(Some((beside, Durability::Appended)))? {
        return Ok(false);
    }
    let put = world.put("e", 50);
    if !world.write(&[put], true)? || !world.lose_and_write_anew()? {
        return Ok(false);
    }
    let put = world.put("f", 50);
    if !world.write(&[put], true)? || !world.compact(Some((Act::Clear, Durability::Synced)))? {
        return Ok(false);
    }
    let put = world.put("a", 9);
    Ok(world.write(&[put], true)? && world.close()? && world.open()? && world.compact(None)?)
}

fn world(seed: u64, sector: usize) -> World {
    let mut world = World::new(seed, sector, Rules::default());
    world.watching = false;
    world
}

fn length() -> u64 {
    let mut world = world(0, 512);
    let before = world.fs.operations();
    assert!(script(&mut world).unwrap());
    world.fs.operations() - before
}

#[test]
fn a_stop_at_each_operation_of_new_generations_loses_nothing() {
    let mut runs = 0;
    for operation in 1..=length() {
        for (fault, times) in [(Fault::Kill, 3), (Fault::Power, 12)] {
            for seed in 0..scale(times) {
                for sector in [16, 64, 512] {
                    let mut world = world(1000 * operation + seed, sector);
                    world.fs.fail_at(world.fs.operations() + operation, fault);
                    let run = script(&mut world).and_then(|_| world.settle(seed % 2 == 0));
                    assert_eq!(run, Ok(()), "{fault:?} at {operation}, seed {seed}, sectors of {sector}");
                    runs += 1;
                }
            }
        }
    }
    println!("{runs} stops in a script of {} operations", length());
}

#[test]
fn a_stop_in_new_generations_and_then_in_three_openings_loses_nothing() {
    let mut runs = 0;
    for operation in 1..=length() {
        for (fault, then) in [
            (Fault::Kill, Fault::Power),
            (Fault::Power, Fault::Kill),
            (Fault::Eio, Fault::Eio),
            (Fault::Eio, Fault::Power),
        ] {
            for within in 1..=14 {
                for seed in 0..scale(1) {
                    let mut world =
                        world(1000 * operation + 20 * within + seed, [16, 64, 512][within as usize % 3]);
                    world.fs.fail_at(world.fs.operations() + operation, fault);
                    let run = script(&mut world).and_then(|_| {
                        for _ in 0..3 {
                            world.fs.fail_at(world.fs.operations() + within, then);
                            world.open()?;
                        }
                        world.fs.heal();
                        world.close_zombie();
                        let put = world.put("again", 40);
                        world.write(&[put], true)?;
                        world.settle(true)
                    });
                    assert_eq!(run, Ok(()), "{fault:?} at {operation}, {then:?} at {within}, seed {seed}");
                    runs += 1;
                }
            }
        }
    }
    println!("{runs} stops in new generations and then in three openings");
}

#[test]
fn an_error_at_each_operation_of_new_generations_loses_nothing() {
    let faults = [
        Fault::Eio,
        Fault::EioForGood,
        Fault::Short,
        Fault::NoSpace(0),
        Fault::NoSpace(70),
        Fault::NoSpace(usize::MAX),
    ];
    let mut runs = 0;
    for operation in 1..=length() {
        for fault in faults {
            for seed in 0..scale(6) {
                let mut world =
                    World::new(100 * operation + seed, [16, 64, 512][seed as usize % 3], Rules::default());
                world.fs.fail_at(world.fs.operations() + operation, fault);
                let run = script(&mut world).and_then(|_| {
                    world.fs.heal();
                    if seed % 2 == 0 {
                        world.fs.evict();
                    }
                    assert!(world.log.is_some() || world.open()?, "it opens again on a healthy disk");
                    let put = world.put("again", 20);
                    assert!(world.write(&[put], true)?, "and takes writes");
                    world.close_zombie();
                    world.settle(true)
                });
                assert_eq!(run, Ok(()), "{fault:?} at {operation}, seed {seed}");
                runs += 1;
            }
        }
    }
    println!("{runs} errors in a script of {} operations", length());
}

fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Change<'a> {
    Change::Put { key, label: b"l", flags: 1, value }
}

fn store() -> (SimFs, Arc<dyn Dir>, Log) {
    let fs = SimFs::new(5);
    fs.create_dir(FOLDER.as_ref(), 0o700).unwrap();
    fs.open_dir("/".as_ref()).unwrap().sync().unwrap();
    let folder = fs.open_dir(FOLDER.as_ref()).unwrap();
    let (log, _) = Log::open(Arc::clone(&folder), SALT).unwrap();
    (fs, folder, log)
}

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
    assert!(matches!(log.compact(), Err(Error::Corrupt { .. })));
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
fn a_log_that_lost_its_name_is_written_anew_above_everything() {
    let (fs, folder, log) = store();
    log.append(&[put(b"a", b"1"), put(b"b", &[9; 5000])]).unwrap();
    fs.remove_tree("/store/keys.1.log").unwrap();
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
    let removed: Vec<String> =
        fs.trace().iter().filter_map(|l| Some(l.split_once(" remove ")?.1.to_owned())).collect();
    assert_eq!(removed, ["keys.9.aside", "keys.tmp", "keys.1.log", "keys.2.log", "keys.3.log"]);
    assert_eq!(folder.names().unwrap(), ["creds.json", "keys.lock"]);
    remove(&*folder).unwrap();
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
        let backups = scope.spawn(|| {
            let mut random = Random::new(1);
            while !stop.load(Ordering::Relaxed) {
                let to = SimFs::new(random.number());
                to.create_dir(FOLDER.as_ref(), 0o700).unwrap();
                let to = to.open_dir(FOLDER.as_ref()).unwrap();
                let copied = copy(&*folder, &*to).unwrap().unwrap();
                let (copy, opened) = Log::open(Arc::clone(&to), SALT).unwrap();
                assert_eq!((opened.records, opened.dropped_bytes), (copied.records, 0));
                // Whole commits only: both keys of a writer have the same round.
                for writer in 0..2u8 {
                    let value = |key: &[u8]| copy.get(key).unwrap().map(|value| value.bytes[..8].to_vec());
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
        backups.join().unwrap();
        compactor.join().unwrap()
    });
    println!("{compactions} compactions beside {} writes", 3 * rounds);
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
