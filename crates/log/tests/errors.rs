//! Every operation of a script fails once, or from then on; then the store is opened again *without* a power
//! cut, takes a commit, and the power goes.

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

use auth_log::fs::Fs;
use auth_log::sim::{Fault, SimFs};
use auth_log::{Change, Error, Log, Rules};
use common::{Act, FOLDER, LOG, SALT, Violation, World, end_of, scale};

fn script(world: &mut World) -> Result<bool, Violation> {
    if !world.open()? {
        return Ok(false);
    }
    for (key, bytes) in [("a", 10), ("b", 300), ("a", 40)] {
        let put = world.put(key, bytes);
        if !world.write(&[put], true)? {
            return Ok(false);
        }
    }
    let put = world.put("c", 30);
    if !world.write(&[put], false)? || !world.sync()? {
        return Ok(false);
    }
    if !world.write(&[Act::Delete(b"b".to_vec())], true)? || !world.close()? || !world.open()? {
        return Ok(false);
    }
    let put = world.put("b", 100);
    world.write(&[put], true)
}

#[test]
fn an_error_at_each_operation_loses_nothing_acknowledged() {
    let length = {
        let mut world = World::new(0, 64, Rules::default());
        let before = world.fs.operations();
        assert!(script(&mut world).unwrap());
        world.fs.operations() - before
    };
    let faults = [
        Fault::Eio,
        Fault::EioForGood,
        Fault::Short,
        Fault::NoSpace(0),
        Fault::NoSpace(1),
        Fault::NoSpace(70),
        Fault::NoSpace(usize::MAX),
    ];
    let mut runs = 0;
    for operation in 1..=length {
        for fault in faults {
            for seed in 0..scale(12) {
                let mut world =
                    World::new(100 * operation + seed, [16, 64, 512][seed as usize % 3], Rules::default());
                world.fs.fail_at(world.fs.operations() + operation, fault);
                let run = script(&mut world).and_then(|_| {
                    if fault == Fault::EioForGood && world.log.is_none() {
                        assert!(!world.open()?, "nothing can be opened while nothing can be written");
                    }
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
    println!("{runs} errors in a script of {length} operations");
}

fn store() -> (SimFs, Log) {
    let fs = SimFs::new(5);
    fs.create_dir(FOLDER.as_ref(), 0o700).unwrap();
    fs.open_dir("/".as_ref()).unwrap().sync().unwrap();
    let (log, _) = Log::open(fs.open_dir(FOLDER.as_ref()).unwrap(), SALT).unwrap();
    (fs, log)
}

fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Change<'a> {
    Change::Put { key, label: b"", flags: 0, value }
}

#[test]
fn a_failed_sync_latches_the_log_and_reads_go_on() {
    let (fs, log) = store();
    log.commit(&[put(b"a", b"1")]).unwrap();
    fs.fail_at(fs.operations() + 2, Fault::Eio);
    let error = log.commit(&[put(b"a", b"2")]).unwrap_err();
    assert!(error.outcome_unknown(), "{error}");
    let operations = fs.operations();
    for error in [log.commit(&[put(b"a", b"3")]), log.append(&[put(b"a", b"3")]), log.sync(), log.close()] {
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Failed) && !error.outcome_unknown(), "{error}");
    }
    assert_eq!(fs.operations(), operations, "a latched log does nothing on disk");
    assert!(matches!(log.get(b"a"), Err(Error::Closed)));
}

#[test]
fn reads_show_the_last_acknowledged_state_after_a_failure() {
    let (fs, log) = store();
    log.commit(&[put(b"a", b"1")]).unwrap();
    fs.fail_at(fs.operations() + 1, Fault::Eio);
    assert!(log.commit(&[put(b"a", b"2"), put(b"b", b"2")]).unwrap_err().outcome_unknown());
    assert_eq!(log.get(b"a").unwrap().unwrap().bytes, b"1");
    assert_eq!(log.get(b"b").unwrap(), None);
    assert_eq!(log.len(), 1);
}

#[test]
fn a_full_disk_is_taken_back_and_sets_work_again_when_there_is_room() {
    let (fs, log) = store();
    log.commit(&[put(b"a", b"1")]).unwrap();
    let before = fs.cached(LOG).unwrap()[..end_of(&log)].to_vec();
    for room in [0, 1, 50] {
        fs.set_space(Some(room));
        let error = log.commit(&[put(b"a", &[2; 20_000])]).unwrap_err();
        assert!(matches!(error, Error::Full { .. }) && !error.outcome_unknown(), "{error}");
        let after = fs.durable(LOG).unwrap();
        assert_eq!(after[..before.len()], before, "what was there is there");
        assert!(after[before.len()..].iter().all(|byte| *byte == 0), "and nothing else, durably");
        assert_eq!(log.get(b"a").unwrap().unwrap().bytes, b"1");
    }
    fs.set_space(None);
    log.commit(&[put(b"a", b"3")]).unwrap();
    log.close().unwrap();
    assert_eq!(fs.cached(LOG), fs.durable(LOG));
}

#[test]
fn space_that_a_taken_back_write_took_is_given_back_at_close() {
    let (fs, log) = store();
    log.commit(&[put(b"a", b"1")]).unwrap();
    let (before, size) = (end_of(&log), fs.cached(LOG).unwrap().len());
    assert_eq!(size, before + (16 << 10), "zeros ahead");
    fs.set_space(Some(300));
    assert!(matches!(log.commit(&[put(b"a", &[2; 20_000])]), Err(Error::Full { .. })));
    assert_eq!(fs.cached(LOG).unwrap().len(), size + 300);
    log.close().unwrap();
    assert_eq!(fs.durable(LOG).unwrap().len(), before + 52, "the close frame went into the zeros");
}

#[test]
fn no_room_for_the_close_frame_is_no_error() {
    let (fs, log) = store();
    log.commit(&[put(b"a", b"1")]).unwrap();
    for room in [0, 30] {
        fs.set_space(Some(room));
        log.close().unwrap();
    }
    let (log, opened) = Log::open(fs.open_dir(FOLDER.as_ref()).unwrap(), SALT).unwrap();
    assert_eq!((opened.created, opened.records, opened.dropped_bytes), (false, 1, 0));
    assert_eq!(log.get(b"a").unwrap().unwrap().bytes, b"1");
}

#[test]
fn a_commit_that_is_too_large_writes_nothing() {
    let (fs, log) = store();
    let operations = fs.operations();
    let value: Arc<[u8]> = vec![0; (128 << 20) + 1].into();
    let error = log.commit(&[put(b"a", &value), put(b"b", &value)]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { bytes } if bytes > 256 << 20), "{error}");
    assert_eq!(fs.operations(), operations);
    log.commit(&[put(b"a", b"1")]).unwrap();
}

#[test]
fn what_changes_nothing_writes_nothing() {
    let (fs, log) = store();
    let operations = fs.operations();
    log.commit(&[]).unwrap();
    log.commit(&[Change::Clear, Change::Delete { key: b"a" }]).unwrap();
    log.sync().unwrap();
    assert_eq!(fs.operations(), operations);
    log.commit(&[put(b"a", b"1")]).unwrap();
    assert_eq!(fs.operations(), operations + 3, "the first one writes zeros ahead, too");
    log.commit(&[put(b"a", b"2")]).unwrap();
    assert_eq!(fs.operations(), operations + 5, "one write and one sync a commit");
}

#[test]
fn a_folder_that_cannot_be_synced_is_not_opened() {
    let (fs, log) = store();
    drop(log);
    fs.fail_at(fs.operations() + 2, Fault::Eio);
    let error = Log::open(fs.open_dir(FOLDER.as_ref()).unwrap(), SALT).err().unwrap();
    assert!(matches!(error, Error::Io { .. }) && !error.outcome_unknown(), "{error}");
}
