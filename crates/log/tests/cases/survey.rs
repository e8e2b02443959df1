//! Verifying finds each kind of damage and says where; salvage gets out everything that is sound.

use std::sync::Arc;

use auth_log::{Change, Error, Log, Salvaged, Verified, salvage, verify};

use crate::common::{Act, LOG, SALT, State, disk};

/// A closed log, where each of its frames begins, and its content.
fn healthy() -> (Vec<u8>, Vec<usize>, State) {
    let (fs, folder) = disk();
    let (log, _) = Log::open(folder, SALT).unwrap();
    let put = |key: &str, size: usize| Act::Put(key.into(), b"label".to_vec(), 3, vec![0x96; size]);
    let mut state = State::new();
    let commits = [
        vec![put("old", 9), put("gone", 5)],
        vec![put("a", 40), put("b", 60)],
        vec![Act::Delete(b"gone".to_vec()), put("c", 0), put("d", 300), put("old", 12)],
        vec![put("e", 20)],
    ];
    let mut ends = vec![64, 116];
    for acts in commits {
        log.commit(&acts.iter().map(Act::change).collect::<Vec<_>>()).unwrap();
        acts.iter().for_each(|act| _ = act.apply(&mut state));
        ends.push(crate::common::end_of(&log));
    }
    log.close().unwrap();
    (fs.cached(LOG).unwrap(), ends, state)
}

fn examine(bytes: &[u8]) -> (Verified, State, Salvaged, State) {
    let (fs, folder) = disk();
    fs.install(LOG, bytes).unwrap();
    let (mut seen, mut saved) = (State::new(), State::new());
    let verified = verify(&*folder, &mut |record| {
        seen.insert(record.key.to_vec(), (record.label.to_vec(), record.flags, record.value.to_vec()));
    });
    let salvaged = salvage(&*folder, &mut |record| {
        saved.insert(record.key.to_vec(), (record.label.to_vec(), record.flags, record.value.to_vec()));
    });
    assert_eq!(fs.cached(LOG).unwrap(), bytes, "nothing is changed");
    (verified.unwrap(), seen, salvaged.unwrap(), saved)
}

#[test]
fn a_healthy_log_has_no_fault_and_all_of_it_is_visited() {
    let (mut bytes, _, state) = healthy();
    let (verified, seen, salvaged, saved) = examine(&bytes);
    assert_eq!((verified.faults.len(), verified.tail_bytes, verified.records), (0, 0, 6));
    assert_eq!((verified.frames, verified.checked), (6, 9));
    assert_eq!((&seen, &saved), (&state, &state));
    assert_eq!((salvaged.records, salvaged.lost.len()), (6, 0));
    // A torn tail is no fault.
    bytes.extend([0x42; 30]);
    let (verified, seen, salvaged, _) = examine(&bytes);
    assert_eq!((verified.faults.len(), verified.tail_bytes, seen), (0, 30, state));
    assert_eq!((salvaged.lost.len(), salvaged.tail_bytes), (0, 30));
}

#[test]
fn every_flipped_bit_is_found_and_placed_and_everything_else_is_saved() {
    let (bytes, frames, state) = healthy();
    let close = bytes.len() - 52;
    for bit in 0..8 * close {
        let mut bad = bytes.clone();
        let at = bit / 8;
        bad[at] ^= 1 << (bit % 8);
        let (verified, _, salvaged, saved) = examine(&bad);
        let start = if at < 64 { 0 } else { *frames.iter().rev().find(|start| **start <= at).unwrap() };
        let fault = &verified.faults[0];
        assert_eq!((fault.name.as_str(), fault.offset), ("keys.1.log", start as u64), "bit {bit}");
        let length = fault.length.unwrap_or(u64::MAX);
        assert!((at as u64) < fault.offset.saturating_add(length), "bit {bit} is in it");
        assert!(verified.faults.len() <= 2);
        assert!(!salvaged.lost.is_empty());
        // At most one record can have been hit: every other is there, as it was or as it was before.
        let different = state.iter().filter(|(key, value)| saved.get(*key) != Some(value)).count();
        let returned = saved.keys().filter(|key| !state.contains_key(*key)).count();
        assert!(different + returned <= 1, "bit {bit}: {different} {returned}");
        if at < 64 + 52 {
            assert_eq!(saved, state, "no record stands there, bit {bit}");
        }
    }
    println!("counted: bits of a log flipped and placed {}", 8 * close);
}

#[test]
fn damage_in_two_frames_is_two_faults_each_as_long_as_its_frame_and_what_lies_between_is_checked() {
    let (mut bytes, frames, _) = healthy();
    for damaged in [1, 3] {
        bytes[frames[damaged] + 60] ^= 1;
    }
    let (verified, seen, ..) = examine(&bytes);
    let faults: Vec<_> = verified.faults.iter().map(|fault| (fault.offset, fault.length)).collect();
    let whole = |at: usize| (frames[at] as u64, Some((frames[at + 1] - frames[at]) as u64));
    assert_eq!(faults, [whole(1), whole(3)]);
    // The first frame (empty), the second commit, the fourth, and the close frame.
    assert_eq!((verified.frames, verified.checked, verified.tail_bytes), (4, 3, 0));
    assert_eq!(seen.keys().collect::<Vec<_>>(), [&b"a"[..], b"b", b"e"]);
}

#[test]
fn a_whole_frame_with_a_damaged_record_is_a_fault_and_the_others_in_it_are_saved() {
    let (mut bytes, frames, state) = healthy();
    let (start, end) = (frames[2], frames[3] - 4);
    let last = bytes[..end].iter().rposition(|byte| *byte == 0x96).unwrap();
    bytes[last] ^= 1;
    let checksum = crc32fast::hash(&bytes[start..end]).to_le_bytes();
    bytes[end..end + 4].copy_from_slice(&checksum);
    let (verified, seen, salvaged, saved) = examine(&bytes);
    let faults: Vec<_> = verified.faults.iter().map(|fault| (fault.offset, fault.length)).collect();
    assert_eq!(faults, [(start as u64, Some((end + 4 - start) as u64))]);
    assert_eq!((verified.frames, verified.checked), (6, 7));
    assert!(!seen.contains_key(&b"a"[..]) && saved.get(&b"a"[..]) == state.get(&b"a"[..]));
    assert!(!saved.contains_key(&b"b"[..]));
    assert_eq!((salvaged.records, salvaged.lost.len()), (5, 1));
}

/// The bytes of a record, as they stand in a log.
fn record_bytes(key: &[u8]) -> Vec<u8> {
    let (fs, folder) = disk();
    let (log, _) = Log::open(folder, SALT).unwrap();
    log.commit(&[Change::Put { key, label: b"", flags: 0, value: b"no key" }]).unwrap();
    fs.cached(LOG).unwrap()[116 + 48..crate::common::end_of(&log) - 4].to_vec()
}

#[test]
fn what_looks_like_a_record_inside_a_damaged_value_is_none() {
    let inner = record_bytes(b"inner");
    // Behind the damaged record stand another one, a frame, and the end.
    for commits in [&[&["outer", "other"][..]][..], &[&["outer"], &["other"]], &[&["other"], &["outer"]]] {
        let (fs, folder) = disk();
        let (log, _) = Log::open(folder, SALT).unwrap();
        for keys in commits {
            let put =
                |key: &&'static str| Change::Put { key: key.as_bytes(), label: b"", flags: 0, value: &inner };
            log.commit(&keys.iter().map(put).collect::<Vec<_>>()).unwrap();
        }
        log.close().unwrap();
        let mut bytes = fs.cached(LOG).unwrap();
        // The key's name and so its checksum are wrong, and its frame's checksum, and that of every frame behind it.
        let outer = bytes.windows(5).position(|window| window == b"outer").unwrap();
        bytes[outer] ^= 1;
        let other = bytes.windows(5).position(|window| window == b"other").unwrap();
        let end = bytes.len() - 52;
        bytes[end - 1] ^= 1;
        let (.., saved) = examine(&bytes);
        assert_eq!(saved.keys().collect::<Vec<_>>(), [&b"other"[..]], "outer at {outer}, other at {other}");
    }
}

#[test]
fn a_log_without_its_header_is_saved_by_the_salt_that_most_of_its_frames_have() {
    let log_of = |salt: [u8; 8], values: &[usize]| {
        let (fs, folder) = disk();
        let (log, _) = Log::open(folder, salt).unwrap();
        for size in values {
            log.commit(&[Change::Put { key: b"a", label: b"", flags: 0, value: &vec![7; *size] }]).unwrap();
        }
        (fs.cached(LOG).unwrap(), crate::common::end_of(&log))
    };
    // Around the end of what is looked at once.
    let overhead = log_of(SALT, &[1 << 20]).1 - (1 << 20);
    // The frame before it begins at 116, and the search goes on behind that byte.
    let end = 117 + (1 << 20);
    for next_frame in (end - 6..end + 6).chain([3 << 20]) {
        let (mut bytes, size) = log_of(SALT, &[next_frame - overhead, 5]);
        // The first frames are damaged, too: what is left begins here.
        assert_eq!(&bytes[next_frame..next_frame + 4], b"BNAF");
        bytes[10] ^= 1;
        bytes[64 + 50] ^= 1;
        bytes[next_frame - 1] ^= 1;
        bytes.truncate(size);
        let (.., saved) = examine(&bytes);
        assert_eq!(saved[&b"a"[..]].2.len(), 5, "{next_frame}");
    }
    for (few, many) in [([1; 8], [2; 8]), ([2; 8], [1; 8])] {
        let (stranger, _) = log_of(few, &[9]);
        let (mut bytes, end) = log_of(many, &[1, 2, 3]);
        bytes[10] ^= 1;
        bytes.truncate(end);
        bytes.extend(&stranger[64..]);
        let (.., saved) = examine(&bytes);
        assert_eq!(saved[&b"a"[..]].2.len(), 3);
    }
}

#[test]
fn an_old_frame_where_a_later_one_stood_is_damage_and_nothing_in_it_counts() {
    let (fs, folder) = disk();
    let (log, _) = Log::open(folder, SALT).unwrap();
    let mut ends = vec![];
    for value in [b"1", b"2", b"3"] {
        log.commit(&[Change::Put { key: b"a", label: b"", flags: 0, value }]).unwrap();
        ends.push(crate::common::end_of(&log));
    }
    log.close().unwrap();
    let mut bytes = fs.cached(LOG).unwrap();
    // The first commit stands where the second was.
    bytes.copy_within(116..ends[0], ends[0]);
    let (verified, seen, ..) = examine(&bytes);
    let faults: Vec<_> = verified.faults.iter().map(|fault| (fault.offset, fault.length)).collect();
    assert_eq!(faults, [(ends[0] as u64, Some((ends[1] - ends[0]) as u64))]);
    assert_eq!((verified.frames, verified.checked), (4, 2));
    assert_eq!(seen[&b"a"[..]].2, b"3");
}

#[test]
fn zeroed_sectors_are_found_and_the_frames_around_them_saved() {
    let (bytes, frames, state) = healthy();
    for sector in [16, 64] {
        for start in (0..bytes.len() - 52 - sector).step_by(sector) {
            let mut bad = bytes.clone();
            bad[start..start + sector].fill(0);
            if bad == bytes {
                continue;
            }
            let (verified, _, _, saved) = examine(&bad);
            assert!(!verified.faults.is_empty(), "sector at {start}");
            let hit = |from: usize, to: usize| from < start + sector && start < to;
            for (key, frame) in [(&b"a"[..], 2), (b"b", 2), (b"c", 3), (b"d", 3), (b"e", 4)] {
                match saved.get(key) {
                    Some(value) => assert_eq!(Some(value), state.get(key), "never wrong data"),
                    None => assert!(hit(frames[frame], frames[frame + 1]), "sector at {start}"),
                }
            }
        }
    }
}

#[test]
fn a_file_without_anything_sound_has_a_fault_and_nothing_to_save() {
    for bytes in [vec![], vec![7; 40], vec![7; 64], vec![7; 65], vec![7; 5000], vec![0; 5000]] {
        let (verified, seen, salvaged, saved) = examine(&bytes);
        // The header, and what is behind it.
        assert_eq!(verified.faults.len(), 1 + usize::from(bytes.len() > 64));
        assert!(verified.faults[0].offset == 0 && seen.is_empty() && saved.is_empty());
        assert_eq!((salvaged.records, salvaged.lost.is_empty()), (0, false));
    }
    let (_, folder) = disk();
    assert_eq!(verify(&*folder, &mut |_| ()).unwrap(), Verified::default());
    let mut newer = healthy().0;
    newer[8] = 2;
    let checksum = crc32fast::hash(&newer[..60]).to_le_bytes();
    newer[60..64].copy_from_slice(&checksum);
    let (fs, folder) = disk();
    fs.install(LOG, &newer).unwrap();
    assert!(matches!(verify(&*folder, &mut |_| ()), Err(Error::UnsupportedVersion { version: 2, .. })));
}

#[test]
fn verifying_beside_an_owner_that_appends_and_compacts_finds_nothing() {
    let (_, folder) = disk();
    let (log, _) = Log::open(Arc::clone(&folder), SALT).unwrap();
    std::thread::scope(|scope| {
        let verifier = scope.spawn(|| {
            for _ in 0..200 {
                let verified = verify(&*folder, &mut |_| ()).unwrap();
                assert_eq!(verified.faults, []);
            }
        });
        let mut round = 0u32;
        while !verifier.is_finished() {
            round += 1;
            let value = vec![1; round as usize * 37 % 4000];
            log.append(&[Change::Put { key: &[round as u8 % 16], label: b"", flags: 0, value: &value }])
                .unwrap();
            if round.is_multiple_of(300) {
                log.compact().unwrap();
            }
        }
        verifier.join().unwrap();
    });
}
