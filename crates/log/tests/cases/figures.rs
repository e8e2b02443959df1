//! What it costs: run with `cargo test --release -p auth-log --test cases -- --ignored --nocapture`, with
//! `FIGURES_DIR` on the disk that is meant.

use std::time::{Duration, Instant};

use auth_log::{Change, Log};

use crate::common::{RealFolder, SALT};

const RECORDS: u32 = 50_000;

fn key(number: u32) -> Vec<u8> {
    format!("session-4912345{number:06}.{:02}", number % 100).into_bytes()
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
#[ignore = "it measures"]
fn figures() {
    let parent = std::env::var_os("FIGURES_DIR").map_or_else(std::env::temp_dir, Into::into);
    let real = RealFolder::new(&parent, "figures");
    let folder = real.dir.clone();
    let (log, _) = Log::open(folder.clone(), SALT).unwrap();
    for chunk in (0..RECORDS).collect::<Vec<_>>().chunks(500) {
        let keys: Vec<Vec<u8>> = chunk.iter().map(|number| key(*number)).collect();
        let put = |key| Change::Put { key, label: b"s", flags: 1, value: &[7; 420] };
        log.append(&keys.iter().map(|key| put(key)).collect::<Vec<_>>()).unwrap();
    }
    log.close().unwrap();
    drop(log);
    let mut opens = Vec::new();
    let mut memory = u64::MAX;
    for _ in 0..9 {
        let (before, start) = (resident_bytes(), Instant::now());
        let (log, _) = Log::open(folder.clone(), SALT).unwrap();
        opens.push(start.elapsed());
        memory = memory.min(resident_bytes().saturating_sub(before).max(1));
        assert_eq!(log.len(), RECORDS as usize);
        drop(log);
    }
    let (log, _) = Log::open(folder, SALT).unwrap();
    println!("open {RECORDS} records, {} bytes: {:?}", log.sizes().file_bytes, median(opens));
    println!("memory by RSS at one of nine openings: {} bytes a record", memory / u64::from(RECORDS));
    let value = [9; 1200];
    let appends = (0..9).map(|_| {
        let start = Instant::now();
        for number in 0..4_000 {
            log.append(&[Change::Put { key: &key(number), label: b"s", flags: 1, value: &value }]).unwrap();
        }
        start.elapsed() / 4_000
    });
    println!("append 1.2 KB: {:?}", median(appends.collect()));
    log.sync().unwrap();
    let commits = (0..200).map(|number| {
        let start = Instant::now();
        log.commit(&[Change::Put { key: &key(number), label: b"s", flags: 1, value: &value }]).unwrap();
        start.elapsed()
    });
    println!("commit 1.2 KB: {:?}", median(commits.collect()));
    for (name, now) in [("get", false), ("get_now", true)] {
        let start = Instant::now();
        for number in 0..RECORDS {
            let value = if now { log.get_now(&key(number)).ok() } else { log.get(&key(number)).ok() };
            assert!(value.flatten().is_some());
        }
        println!("{name}: {:?}", start.elapsed() / RECORDS);
    }
    let start = Instant::now();
    println!("{:?} in {:?}", log.compact().unwrap(), start.elapsed());
}
