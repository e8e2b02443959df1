//! A migration, crashed and failing at every operation: the target is absent, unfinished or whole, the source as it
//! was, and another run needs nobody to clean up.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use auth_core::backend::Format;
use auth_core::error::{Code, Result};
use auth_core::migration::{Control, Phase, Plan, Progress, Report, migrate_on};
use auth_log::fs::Fs as _;
use auth_log::sim::{Fault, SimFs};
use common::{CRASHES, FORMATS, Keys, commit, creds, disk, files, open, sessions, set};

const FROM: &str = "/from";
const TO: &str = "/bots/to";
const SEEDS: u64 = 40;

fn keys() -> Keys {
    let long = format!("\"{}\"", "y".repeat(200));
    [("1", "{}"), ("2", " [1.0, 2] "), ("3", &long)].map(|(id, text)| (id.to_owned(), text.to_owned())).into()
}

/// A disk with an account on it, durable, which nobody has open.
fn with_source(seed: u64, format: Format) -> SimFs {
    let disk = disk(seed);
    let account = open(&disk, FROM, format, true).unwrap();
    for (id, text) in &keys() {
        commit(&account, set(&[(id, Some(text))])).unwrap();
    }
    account.save_creds(&creds(1, true, 1)).unwrap();
    account.keys().close().unwrap();
    disk.open_dir(FROM.as_ref()).unwrap().sync_all().unwrap();
    disk
}

fn migrate(disk: &SimFs) -> Result<Report> {
    let plan = Plan::new(FROM.as_ref(), TO.as_ref());
    migrate_on(disk, &plan)
}

fn other(format: Format) -> Format {
    if format == Format::Native { Format::MultiFile } else { Format::Native }
}

fn contents(disk: &SimFs) -> BTreeMap<String, Vec<u8>> {
    let mut files = files(disk, FROM);
    // The lock's text says who had it last: it is for messages.
    files.retain(|path, _| !path.ends_with("keys.lock"));
    files
}

/// Opens the target as a program would; says whether it is whole.
fn look(disk: &SimFs, format: Format, context: &str) -> bool {
    match open(disk, TO, format, false) {
        Ok(account) => {
            assert_eq!(sessions(&account).unwrap(), keys(), "{context}: it opens, and is not whole");
            assert_eq!(account.load_creds().unwrap().unwrap().text, creds(1, true, 1).text, "{context}");
            account.keys().close().unwrap();
            true
        }
        Err(error) => {
            let absent = error.details().errno.as_deref() == Some("ENOENT");
            assert!(absent || error.code() == Code::Incomplete, "{context}: {error}");
            if !absent {
                // What refuses to open must not become a new identity either.
                assert_eq!(
                    open(disk, TO, format, true).err().map(|error| error.code()),
                    Some(Code::Incomplete)
                );
            }
            false
        }
    }
}

fn run_again(disk: &SimFs, format: Format, whole: bool, context: &str) {
    match migrate(disk) {
        Ok(report) => assert_eq!(report.counts["session"], 3, "{context}"),
        Err(error) => assert!(whole && error.code() == Code::Exists, "{context}, again: {error}"),
    }
    disk.power_cut();
    disk.restart();
    assert!(look(disk, format, context), "{context}: not whole after it was said to be");
}

#[test]
fn a_crash_at_any_operation_leaves_a_target_that_is_absent_unfinished_or_whole() {
    let mut points = 0;
    for format in FORMATS {
        let healthy = with_source(0, format);
        let start = healthy.operations();
        migrate(&healthy).unwrap();
        let source = contents(&healthy);
        for operation in 1..=healthy.operations() - start {
            for fault in CRASHES {
                for seed in 0..if fault == Fault::Power { SEEDS } else { 1 } {
                    let disk = with_source(seed, format);
                    disk.fail_at(disk.operations() + operation, fault);
                    let context = format!("from {} {fault:?} at {operation}, seed {seed}", format.name());
                    let result = migrate(&disk);
                    assert!(disk.is_down(), "{context}: {result:?}");
                    disk.restart();
                    let whole = look(&disk, other(format), &context);
                    assert!(whole || result.is_err(), "{context}");
                    let mut now = contents(&disk);
                    now.retain(|path, _| source.contains_key(path));
                    assert_eq!(
                        now.keys().collect::<Vec<_>>(),
                        source.keys().collect::<Vec<_>>(),
                        "{context}"
                    );
                    run_again(&disk, other(format), whole, &context);
                    points += 1;
                }
            }
        }
    }
    println!("counted: crash points {points}");
}

#[test]
fn a_failing_operation_leaves_a_target_that_is_absent_unfinished_or_whole() {
    let mut points = 0;
    for format in FORMATS {
        let healthy = with_source(0, format);
        let start = healthy.operations();
        migrate(&healthy).unwrap();
        for operation in 1..=healthy.operations() - start {
            for fault in [Fault::Eio, Fault::NoSpace(5), Fault::Short] {
                let disk = with_source(operation, format);
                let source = contents(&disk);
                disk.fail_at(disk.operations() + operation, fault);
                let context = format!("from {} {fault:?} at {operation}", format.name());
                let result = migrate(&disk);
                disk.heal();
                let whole = look(&disk, other(format), &context);
                assert!(whole || result.is_err(), "{context}");
                assert_eq!(contents(&disk), source, "{context}: the source changed");
                run_again(&disk, other(format), whole, &context);
                points += 1;
            }
        }
    }
    println!("counted: failing operations {points}");
}

#[test]
fn a_corrupt_source_is_named_whole_and_nothing_is_made() {
    let disk = with_source(1, Format::MultiFile);
    disk.install("/from/session-2.json", b"{\"torn\":").unwrap();
    disk.install("/from/session-3.json", b"").unwrap();
    let error = migrate(&disk).unwrap_err();
    assert_eq!(error.code(), Code::Corrupt);
    assert!(error.to_string().contains("session-2.json, session-3.json"), "{error}");
    assert!(disk.open_dir(TO.as_ref()).is_err());
}

/// Migrates, and does something when a phase begins.
fn migrate_with(
    disk: &SimFs,
    phase: Phase,
    verify: bool,
    meanwhile: impl Fn(&SimFs) + Send + Sync + 'static,
) -> Result<Report> {
    let there = disk.clone();
    let tell = move |progress: Progress| {
        if progress.phase == phase && progress.done == 0 {
            meanwhile(&there);
        }
    };
    let control = Control::new(Some(Box::new(tell)));
    let plan = Plan { verify, control, ..Plan::new(FROM.as_ref(), TO.as_ref()) };
    migrate_on(disk, &plan)
}

/// What is in the file of the target that has this text in it, with that text changed.
fn damage(disk: &SimFs, from: &[u8], to: &[u8]) {
    let mut damaged = 0;
    for (path, mut text) in files(disk, TO) {
        let Some(at) = text.windows(from.len()).position(|part| part == from) else { continue };
        text.splice(at..at + from.len(), to.iter().copied());
        disk.install(&path, &text).unwrap();
        damaged += 1;
    }
    assert_eq!(damaged, 1);
}

#[test]
fn a_target_that_is_damaged_before_it_is_read_back_is_not_published_and_the_source_stays() {
    let long = "y".repeat(200);
    let damages: [(&[u8], &[u8]); 3] = [
        // One bit, a value that is as good as the right one, and one that is shorter.
        (b"[1.0, 2]", b"[1.0, 3]"),
        (long.as_bytes(), &b"x".repeat(200)),
        (b" [1.0, 2] ", b"          "),
    ];
    for format in FORMATS {
        for (from, to) in damages {
            let disk = with_source(1, format);
            let source = contents(&disk);
            let (from, to) = (from.to_vec(), to.to_vec());
            let error = migrate_with(&disk, Phase::Verify, true, move |disk| damage(disk, &from, &to));
            let context = format!("from {}", format.name());
            assert_eq!(error.expect_err(&context).code(), Code::Corrupt, "{context}");
            assert_eq!(contents(&disk), source, "{context}: the source changed");
            assert!(!look(&disk, other(format), &context), "{context}: it was published");
            run_again(&disk, other(format), false, &context);
        }
    }
}

#[test]
fn a_key_too_many_in_the_target_is_found_by_their_number() {
    let disk = with_source(1, Format::Native);
    let error = migrate_with(&disk, Phase::Copy, true, |disk| {
        disk.install(format!("{TO}/session-9.json"), b"{}").unwrap();
    });
    assert_eq!(error.unwrap_err().code(), Code::Corrupt);
    assert!(!look(&disk, Format::MultiFile, "too many"));
}

#[test]
fn all_keys_that_would_merge_with_another_are_named() {
    let disk = with_source(1, Format::Native);
    // As on a disk that folds case: the names are there already.
    let error = migrate_with(&disk, Phase::Copy, true, |disk| {
        for id in ["1", "3"] {
            disk.install(format!("{TO}/session-{id}.json"), b"{}").unwrap();
        }
    })
    .unwrap_err();
    assert_eq!(error.code(), Code::Exists);
    assert!(error.to_string().contains("session-1.json, session-3.json"), "{error}");
    assert!(disk.open_dir(TO.as_ref()).is_err());
}
