//! Every operation of a script fails once, or from then on; then the store is opened again *without* a power
//! cut, takes a commit, and the power goes.

use std::sync::Arc;

use auth_log::fs::Fs;
use auth_log::sim::Fault;
use auth_log::{Change, Error, Log};

use crate::common::{FOLDER, LOG, SALT, end_of, put, store};

#[test]
fn a_failed_sync_latches_the_log_and_reads_go_on() {
    let (fs, _, log) = store();
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
fn a_write_that_found_no_room_at_all_has_nothing_to_be_taken_back() {
    let (fs, _, log) = store();
    fs.set_space(Some(0));
    let operations = fs.operations();
    assert!(matches!(log.commit(&[put(b"a", b"1")]), Err(Error::Full { .. })));
    assert_eq!(fs.operations(), operations + 1, "no sync");
}

#[test]
fn reads_show_the_last_acknowledged_state_after_a_failure() {
    let (fs, _, log) = store();
    log.commit(&[put(b"a", b"1")]).unwrap();
    fs.fail_at(fs.operations() + 1, Fault::Eio);
    assert!(log.commit(&[put(b"a", b"2"), put(b"b", b"2")]).unwrap_err().outcome_unknown());
    assert_eq!(log.get(b"a").unwrap().unwrap().bytes, b"1");
    assert_eq!(log.get(b"b").unwrap(), None);
    assert_eq!(log.len(), 1);
}

#[test]
fn a_full_disk_is_taken_back_and_sets_work_again_when_there_is_room() {
    let (fs, _, log) = store();
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
    let (fs, _, log) = store();
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
    let (fs, _, log) = store();
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
fn a_file_that_ends_inside_a_record_is_told_from_one_that_is_damaged() {
    let (fs, _, log) = store();
    log.commit(&[put(b"a", &[1; 1000])]).unwrap();
    let file = fs.open_dir(FOLDER.as_ref()).unwrap().open_write("keys.1.log").unwrap();
    file.set_len(500).unwrap();
    let error = log.get(b"a").unwrap_err().to_string();
    assert!(error.contains("the file ends inside the record"), "{error}");
}

#[test]
fn a_commit_that_is_too_large_writes_nothing() {
    let (fs, _, log) = store();
    let operations = fs.operations();
    let value: Arc<[u8]> = vec![0; (128 << 20) + 1].into();
    let error = log.commit(&[put(b"a", &value), put(b"b", &value)]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { bytes } if bytes > 256 << 20), "{error}");
    assert_eq!(fs.operations(), operations);
    log.commit(&[put(b"a", b"1")]).unwrap();
}

#[test]
fn what_changes_nothing_writes_nothing() {
    let (fs, _, log) = store();
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
fn an_append_writes_its_frame_alone_and_the_sync_zeros_ahead_of_the_next_ones() {
    let (fs, _, log) = store();
    let operations = fs.operations();
    log.append(&[put(b"a", b"1")]).unwrap();
    assert_eq!(fs.operations(), operations + 1);
    assert_eq!(fs.cached(LOG).unwrap().len(), end_of(&log));
    log.sync().unwrap();
    let ahead = end_of(&log) + (16 << 10);
    assert_eq!((fs.operations(), fs.cached(LOG).unwrap().len()), (operations + 3, ahead));
    log.append(&[put(b"b", &vec![1; 1 << 20])]).unwrap();
    log.sync().unwrap();
    assert_eq!(fs.cached(LOG).unwrap().len(), end_of(&log) + (64 << 10), "others wait meanwhile");
    log.append(&[put(b"c", b"1")]).unwrap();
    let operations = fs.operations();
    log.sync().unwrap();
    assert_eq!(fs.operations(), operations + 1, "there are some");
}

#[test]
fn zeros_ahead_are_a_quarter_of_what_is_live() {
    let (fs, _, log) = store();
    log.append(&[put(b"a", &vec![1; 200_000])]).unwrap();
    let ahead = usize::try_from(log.sizes().live_bytes / 4).unwrap();
    log.commit(&[put(b"b", b"1")]).unwrap();
    assert_eq!(fs.cached(LOG).unwrap().len(), end_of(&log) + ahead);
}

#[test]
fn a_close_that_fails_has_closed_all_the_same() {
    let (fs, _, log) = store();
    log.append(&[put(b"a", b"1")]).unwrap();
    fs.fail_at(fs.operations() + 1, Fault::Eio);
    assert!(matches!(log.close(), Err(Error::Io { .. })));
    assert!(matches!(log.commit(&[put(b"a", b"2")]), Err(Error::Closed)));
    assert!(log.close().is_ok(), "once");
}

#[test]
fn a_folder_that_cannot_be_synced_is_not_opened() {
    let (fs, _, log) = store();
    drop(log);
    fs.fail_at(fs.operations() + 2, Fault::Eio);
    let error = Log::open(fs.open_dir(FOLDER.as_ref()).unwrap(), SALT).err().unwrap();
    assert!(matches!(error, Error::Io { .. }) && !error.outcome_unknown(), "{error}");
}
