//! The bytes on disk are the format: one file byte for byte, and a checksum over many.

use auth_log::Change;
use auth_log::sim::Random;

use crate::common::{LOG, end_of, store};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_log_has_these_bytes() {
    let (fs, _, log) = store();
    log.commit(&[
        Change::Put { key: b"pre-key-1", label: b"id", flags: 1, value: b"{\"k\":1}" },
        Change::Delete { key: b"not there" },
    ])
    .unwrap();
    log.commit(&[Change::Delete { key: b"pre-key-1" }]).unwrap();
    log.close().unwrap();
    let expected = include_str!("golden.hex");
    let lines: Vec<&str> = expected.lines().map(|line| line.split('#').next().unwrap()).collect();
    assert_eq!(hex(&fs.cached(LOG).unwrap()), lines.concat().replace(' ', ""));
}

#[test]
fn many_logs_have_these_bytes() {
    let mut all = Vec::new();
    for seed in 0..40 {
        let (fs, _, log) = store();
        let mut random = Random::new(seed);
        for _ in 0..random.below(30) {
            let value = vec![random.number().to_le_bytes()[0]; random.below(70_000) >> random.below(16)];
            let key = [u8::try_from(random.below(9)).unwrap()];
            let flags = random.number().to_le_bytes()[0];
            let change = match random.below(8) {
                0 => Change::Delete { key: &key },
                1 => Change::Clear,
                _ => Change::Put { key: &key, label: b"label", flags, value: &value },
            };
            if random.once_in(3) { log.append(&[change]).unwrap() } else { log.commit(&[change]).unwrap() }
        }
        if random.once_in(2) {
            log.close().unwrap();
            all.extend(fs.cached(LOG).unwrap());
            continue;
        }
        // Zeros ahead come and go, and are no part of it.
        all.extend(fs.cached(LOG).unwrap().into_iter().take(end_of(&log)));
    }
    println!("{} bytes", all.len());
    assert_eq!(crc32fast::hash(&all), 2_308_379_209, "the format has changed: that needs a new version");
}
