//! Bytes that are not what was written: found, or within the rule of the torn tail; never wrong data, never a
//! panic.

use std::sync::Arc;

use auth_log::sim::Random;
use auth_log::{Change, Error, Log, Reader, Rule, Rules};

use crate::common::{Act, LOG, SALT, State, disk, end_of, read_log, read_reader, scale};

/// The bytes of a small log, and every state that it went through.
fn small_log(closed: bool) -> (Vec<u8>, Vec<State>) {
    let (fs, folder) = disk();
    let (log, _) = Log::open(folder, SALT).unwrap();
    let put = |key: &str, value: &[u8]| Act::Put(key.into(), b"label".to_vec(), 3, value.to_vec());
    let commits =
        [vec![put("a", b"one")], vec![put("b", &[7; 40]), Act::Delete(b"a".to_vec())], vec![put("c", b"")]];
    let mut states = vec![State::new()];
    for acts in &commits {
        log.commit(&acts.iter().map(Act::change).collect::<Vec<_>>()).unwrap();
        let mut state = states.last().unwrap().clone();
        for act in acts {
            act.apply(&mut state);
        }
        states.push(state);
    }
    let mut bytes = fs.cached(LOG).unwrap();
    bytes.truncate(end_of(&log));
    if closed {
        log.close().unwrap();
        bytes = fs.cached(LOG).unwrap();
    }
    (bytes, states)
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Corrupt(u64),
    State(usize),
}

/// What an opening makes of a file, and a reader before it; both must agree, and damage changes nothing.
fn judge(bytes: &[u8], states: &[State], rules: Rules) -> Verdict {
    let (fs, folder) = disk();
    fs.install(LOG, bytes).unwrap();
    let read = Reader::open(&*folder).map(|reader| read_reader(&reader.unwrap()));
    assert_eq!(fs.cached(LOG).unwrap(), bytes, "a reader changes nothing");
    match Log::open_with_rules(Arc::clone(&folder), SALT, rules) {
        Ok((log, _)) => {
            let found = read_log(&log).unwrap();
            if let Ok(read) = read {
                assert_eq!(read, found);
            }
            let known = states.iter().position(|state| *state == found);
            Verdict::State(known.unwrap_or_else(|| panic!("wrong data: {found:?}")))
        }
        Err(Error::Corrupt { offset, name, .. }) => {
            assert_eq!(name, "keys.1.log");
            assert!(matches!(read, Err(Error::Corrupt { offset: seen, .. }) if seen == offset));
            assert_eq!(fs.cached(LOG).unwrap(), bytes, "damage is left as it is");
            Verdict::Corrupt(offset)
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn every_flipped_bit_of_a_closed_log_is_found_or_hit_nothing_but_the_close_frame() {
    let (bytes, states) = small_log(true);
    let last = states.len() - 1;
    let close_frame = bytes.len() - 52;
    for bit in 0..8 * bytes.len() {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        match judge(&bad, &states, Rules::default()) {
            Verdict::Corrupt(offset) => {
                assert!(bit / 8 < close_frame);
                assert!(offset <= bit as u64 / 8, "it says where: {offset}, bit {bit}");
                assert_eq!(offset == 0, bit / 8 < 64, "the header is at 0, bit {bit}");
            }
            Verdict::State(state) => assert!(state == last && bit / 8 >= close_frame, "lost: bit {bit}"),
        }
    }
    println!("counted: bits of a log flipped {}", 8 * bytes.len());
}

#[test]
fn a_flipped_bit_of_a_log_that_was_not_closed_costs_at_most_the_last_commit() {
    let (bytes, states) = small_log(false);
    let last = states.len() - 1;
    for bit in 0..8 * bytes.len() {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let verdict = judge(&bad, &states, Rules::default());
        assert!(matches!(verdict, Verdict::Corrupt(_)) || verdict == Verdict::State(last - 1), "bit {bit}");
    }
}

#[test]
fn every_damaged_sector_of_a_closed_log_is_found() {
    let (bytes, states) = small_log(true);
    for sector in [1, 16, 32] {
        for (number, start) in (0..bytes.len() - 52).step_by(sector).enumerate() {
            for fill in [0, 0xff, 0xa5] {
                let mut bad = bytes.clone();
                let end = (start + sector).min(bytes.len());
                bad[start..end].fill(fill);
                if bad == bytes {
                    continue;
                }
                let verdict = judge(&bad, &states, Rules::default());
                // Where it reaches into the close frame, the only frame that says so may be gone with it.
                if end <= bytes.len() - 52 {
                    assert!(
                        matches!(verdict, Verdict::Corrupt(_)),
                        "sector {number} of {sector}: {verdict:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn damage_taken_for_a_tail_would_lose_commits() {
    let (mut bytes, states) = small_log(true);
    bytes[64 + 52 + 60] ^= 1;
    assert_eq!(judge(&bytes, &states, Rules::default()), Verdict::Corrupt(64 + 52));
    let mutant = std::panic::catch_unwind(|| judge(&bytes, &states, Rules::without(Rule::DamageIsNoTail)));
    assert_eq!(mutant.unwrap(), Verdict::State(0), "the rule broken, everything is lost, silently");
}

#[test]
fn a_frame_that_tells_of_damage_is_found_wherever_it_stands() {
    // What is read at once has 262,144 bytes: the telling frame begins around the end of such a block.
    let block = 256 << 10;
    for before in (0..20).chain([block - 1, block, 2 * block - 7]) {
        let (fs, folder) = disk();
        let (log, _) = Log::open(Arc::clone(&folder), SALT).unwrap();
        let put =
            |value: &[u8]| log.commit(&[Change::Put { key: b"k", label: b"", flags: 0, value }]).unwrap();
        put(b"damaged, where the first bad frame is");
        let filler = fs.cached(LOG).unwrap().len();
        put(&vec![7; 3 * block - before + 1 - 70]);
        let telling = fs.cached(LOG).unwrap().len();
        assert_eq!(telling, filler + 3 * block - before + 1);
        put(b"tells");
        let mut bytes = fs.cached(LOG).unwrap();
        for frame in [116, filler] {
            bytes[frame + 20] ^= 1;
        }
        fs.install(LOG, &bytes).unwrap();
        let error = Log::open(folder, SALT).err().unwrap();
        assert!(matches!(error, Error::Corrupt { offset: 116, .. }), "{before}: {error}");
    }
}

#[test]
fn a_log_cut_at_any_byte_opens_with_whole_commits_or_is_damaged() {
    for closed in [false, true] {
        let (bytes, states) = small_log(closed);
        let mut seen = 0;
        for end in 0..bytes.len() {
            match judge(&bytes[..end], &states, Rules::default()) {
                Verdict::Corrupt(offset) => assert!(end < 64 && offset == 0),
                Verdict::State(state) => {
                    assert!(end >= 64 && state >= seen);
                    seen = state;
                }
            }
        }
        assert_eq!(seen, states.len() - if closed { 1 } else { 2 });
    }
}

#[test]
fn any_bytes_as_a_log_neither_panic_nor_take_memory() {
    let (good, _) = small_log(true);
    let mut random = Random::new(3);
    let runs = scale(20_000);
    let mut opened = 0;
    for _ in 0..runs {
        let mut bytes: Vec<u8> = match random.below(3) {
            0 => (0..random.below(300)).map(|_| u8::try_from(random.below(256)).unwrap()).collect(),
            _ => good.clone(),
        };
        for _ in 0..random.below(6) {
            let (at, from) = (random.below(bytes.len() + 1), random.below(good.len()));
            let count = random.below(80);
            match random.below(4) {
                0 => drop(bytes.splice(at..at, good[from..].iter().copied().take(count))),
                1 => drop(bytes.drain(at..(at + count).min(bytes.len()))),
                2 => bytes.truncate(at),
                _ => {
                    bytes.iter_mut().skip(at).take(count % 4).for_each(|byte| *byte = random.below(256) as u8)
                }
            }
        }
        let (fs, folder) = disk();
        fs.install(LOG, &bytes).unwrap();
        drop(Reader::open(&*folder));
        match Log::open(Arc::clone(&folder), SALT) {
            Ok((log, _)) => {
                opened += 1;
                read_log(&log).unwrap();
                log.commit(&[Change::Put { key: b"k", label: b"", flags: 0, value: b"v" }]).unwrap();
                log.close().unwrap();
                let (log, _) = Log::open(folder, SALT).unwrap();
                assert_eq!(log.get(b"k").unwrap().unwrap().bytes, b"v");
            }
            Err(Error::Corrupt { .. }) => assert_eq!(fs.cached(LOG).unwrap(), bytes),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(opened > runs / 20 && opened < runs, "{opened}");
    println!("counted: files of odd bytes {runs}, of them opened {opened}, seed 0");
}

#[test]
fn a_length_beyond_the_file_is_a_tail_and_nothing_is_allocated_for_it() {
    let (mut bytes, states) = small_log(false);
    let end = bytes.len();
    bytes.extend_from_within(64..64 + 48);
    bytes[end + 28..end + 32].copy_from_slice(&(256u32 << 20).to_le_bytes());
    assert_eq!(judge(&bytes, &states, Rules::default()), Verdict::State(states.len() - 1));
    bytes[end + 28..end + 32].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(judge(&bytes, &states, Rules::default()), Verdict::State(states.len() - 1));
}

/// The file with its first commit's frame changed, and its checksum made right again.
fn resealed(change: impl Fn(&mut [u8])) -> Vec<u8> {
    let (mut bytes, _) = small_log(false);
    reseal(&mut bytes, 64 + 52, change);
    bytes
}

/// Changes a frame, and makes its checksum right again.
fn reseal(bytes: &mut [u8], start: usize, change: impl Fn(&mut [u8])) {
    let payload = u32::from_le_bytes(bytes[start + 28..start + 32].try_into().unwrap()) as usize;
    let end = start + 48 + payload;
    change(&mut bytes[start..end]);
    let checksum = crc32(&bytes[start..end]).to_le_bytes();
    bytes[end..end + 4].copy_from_slice(&checksum);
}

/// Where each frame of a file starts.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![64];
    loop {
        let start = *starts.last().unwrap();
        let payload = u32::from_le_bytes(bytes[start + 28..start + 32].try_into().unwrap()) as usize;
        if start + 52 + payload == bytes.len() {
            return starts;
        }
        starts.push(start + 52 + payload);
    }
}

#[test]
fn a_whole_frame_that_does_not_fit_where_it_stands_is_a_tail() {
    let (bytes, states) = small_log(false);
    let last = *frames(&bytes).last().unwrap();
    let without_the_last = Verdict::State(states.len() - 2);
    let beyond_itself = |frame: &mut [u8]| frame[20..28].copy_from_slice(&(last as u64 + 1).to_le_bytes());
    let another_salt = |frame: &mut [u8]| frame[4] ^= 1;
    let another_number = |frame: &mut [u8]| frame[12] += 1;
    for change in [&beyond_itself as &dyn Fn(&mut [u8]), &another_salt, &another_number] {
        let mut odd = bytes.clone();
        reseal(&mut odd, last, change);
        assert_eq!(judge(&odd, &states, Rules::default()), without_the_last);
    }
    // A copy of an older frame, behind the last one.
    let starts = frames(&bytes);
    let mut copied = bytes.clone();
    copied.extend_from_within(starts[1]..starts[2]);
    assert_eq!(judge(&copied, &states, Rules::default()), Verdict::State(states.len() - 1));
}

#[test]
fn a_close_attests_what_was_never_synced_before_it() {
    let (fs, folder) = disk();
    let (log, _) = Log::open(folder, SALT).unwrap();
    for key in [b"a", b"b"] {
        log.append(&[Change::Put { key, label: b"", flags: 0, value: b"v" }]).unwrap();
    }
    log.close().unwrap();
    let mut bytes = fs.cached(LOG).unwrap();
    let starts = frames(&bytes);
    assert_eq!(starts.len(), 4);
    bytes[starts[2] + 50] ^= 1;
    let error = open_bytes(&bytes).unwrap_err();
    assert!(matches!(error, Error::Corrupt { offset, .. } if offset == starts[2] as u64), "{error}");
}

/// Written out, so that the format is held against something else than the crate that it uses.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

fn open_bytes(bytes: &[u8]) -> Result<State, Error> {
    let (fs, folder) = disk();
    fs.install(LOG, bytes).unwrap();
    Log::open(folder, SALT).map(|(log, _)| read_log(&log).unwrap())
}

#[test]
fn a_whole_frame_that_does_not_parse_is_damage_and_one_of_a_newer_version_says_so() {
    let start = 64 + 52;
    for at in [48, 49, 52, 60] {
        let error = open_bytes(&resealed(|frame| frame[at] ^= 0x55)).unwrap_err();
        assert!(matches!(error, Error::Corrupt { offset, .. } if offset == start), "byte {at}: {error}");
    }
    for at in [32, 39, 40, 41, 42, 44, 47] {
        let error = open_bytes(&resealed(|frame| frame[at] = 1)).unwrap_err();
        assert!(matches!(error, Error::UnsupportedVersion { .. }), "byte {at}: {error}");
    }
}

#[test]
fn a_newer_header_is_unsupported_and_another_number_than_the_name_is_damage() {
    let (bytes, _) = small_log(true);
    let with = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        let checksum = crc32(&bytes[..60]).to_le_bytes();
        bytes[60..64].copy_from_slice(&checksum);
        open_bytes(&bytes).unwrap_err()
    };
    assert!(matches!(with(8, 2), Error::UnsupportedVersion { version: 2, .. }));
    for (at, value) in [(8, 0), (24, 2), (12, 1), (32, 1), (59, 1), (0, b'b')] {
        assert!(matches!(with(at, value), Error::Corrupt { offset: 0, .. }), "byte {at}");
    }
}

/// What stands before a value in a record whose key has 1 byte and whose label has 2.
const RECORD_HEAD: usize = 12;

#[test]
fn get_checks_the_record_that_it_reads() {
    let (fs, folder) = disk();
    let (log, _) = Log::open(folder, SALT).unwrap();
    log.commit(&[
        Change::Put { key: b"a", label: b"la", flags: 1, value: b"the value" },
        Change::Put { key: b"b", label: b"lb", flags: 2, value: b"the other" },
    ])
    .unwrap();
    let bytes = fs.cached(LOG).unwrap();
    let record = bytes.windows(9).position(|window| window == b"the value").unwrap() - RECORD_HEAD;
    for bit in 0..8 * (RECORD_HEAD + 9 + 5) {
        let mut bad = bytes.clone();
        bad[record + bit / 8] ^= 1 << (bit % 8);
        fs.install(LOG, &bad).unwrap();
        let error = log.get(b"a").unwrap_err();
        assert!(
            matches!(error, Error::Corrupt { offset, .. } if offset == record as u64),
            "bit {bit}: {error}"
        );
        assert_eq!(log.get(b"b").unwrap().unwrap().bytes, b"the other", "one record says nothing of another");
    }
    // Another key's record, whole, in its place.
    let mut swapped = bytes.clone();
    let other = bytes.windows(9).position(|window| window == b"the other").unwrap() - RECORD_HEAD;
    let length = other - record;
    swapped.copy_within(other..other + length, record);
    fs.install(LOG, &swapped).unwrap();
    assert!(matches!(log.get(b"a"), Err(Error::Corrupt { .. })));
    fs.install(LOG, &bytes[..record + 5]).unwrap();
    assert!(matches!(log.get(b"a"), Err(Error::Corrupt { .. })), "a file that was cut");
}

#[test]
fn a_later_frame_is_found_wherever_it_begins() {
    /// A log of three commits, the second with so large a value; where the second begins, and the third.
    fn log_with(value: usize) -> (Vec<u8>, usize, usize) {
        let (fs, folder) = disk();
        let (log, _) = Log::open(folder, SALT).unwrap();
        let put = |value: &[u8]| {
            log.commit(&[Change::Put { key: b"a", label: b"", flags: 0, value }]).unwrap();
            end_of(&log)
        };
        let (second, third) = (put(b"1"), put(&vec![7; value]));
        put(b"3");
        (fs.cached(LOG).unwrap(), second, third)
    }
    let (_, second, third) = log_with(1 << 20);
    let overhead = third - second - (1 << 20);
    // So much is looked at once: its end, and that of the next one.
    let ends = [1 << 20, 2 << 20];
    for distance in ends.into_iter().flat_map(|end| end - 16..end + 16) {
        let (mut bytes, second, third) = log_with(distance - overhead);
        assert_eq!(third - second, distance);
        bytes[second] ^= 1;
        let (fs, folder) = disk();
        fs.install(LOG, &bytes).unwrap();
        match Log::open(folder, SALT) {
            Err(Error::Corrupt { offset, .. }) => assert_eq!(offset, second as u64),
            _ => panic!("{distance} bytes of an acknowledged commit are taken for a tail"),
        }
    }
}
