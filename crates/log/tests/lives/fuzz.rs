//! Odd bytes and odd lives, from fixed random starts: no panic, no memory without bounds, nothing that was not
//! written, and what can be opened goes on.
//!
//! Ten million inputs with `BNA_FULL=1`; they and their order are fixed.

use std::sync::Arc;

use auth_log::sim::{Fault, Random};
use auth_log::{Change, Error, Log, Reader, Rules, salvage, verify};

use crate::common::{Act, Durability, LOG, SALT, World, disk, read_log, read_reader, scale};

/// Some valid logs: appended to, closed, compacted.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for seed in 0..12 {
        let (fs, folder) = disk();
        let rules = Rules::default().with_ahead(seed % 3 * 30);
        let (log, _) = Log::open_with_rules(Arc::clone(&folder), SALT, rules).unwrap();
        let mut random = Random::new(seed);
        for _ in 0..1 + random.below(6) {
            let value = vec![[0, 0x96, b'{'][random.below(3)]; random.below(60)];
            let change = match random.below(8) {
                0 => Change::Clear,
                1 => Change::Delete { key: b"k" },
                _ => Change::Put { key: &b"key"[random.below(3)..], label: b"l", flags: 7, value: &value },
            };
            if random.once_in(2) { log.commit(&[change]).unwrap() } else { log.append(&[change]).unwrap() }
        }
        if random.once_in(2) {
            log.close().unwrap();
        }
        seeds.push(fs.cached(LOG).unwrap());
    }
    seeds
}

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes: Vec<u8> = match random.below(8) {
        0 => (0..random.below(300)).map(|_| random.number() as u8).collect(),
        _ => seeds[random.below(seeds.len())].clone(),
    };
    for _ in 0..random.below(5) {
        let other = &seeds[random.below(seeds.len())];
        let (at, from, count) = (random.below(bytes.len() + 1), random.below(other.len()), random.below(90));
        match random.below(6) {
            0 => drop(bytes.splice(at..at, other[from..].iter().copied().take(count))),
            1 => drop(bytes.drain(at..(at + count).min(bytes.len()))),
            2 => bytes.truncate(at),
            3 => bytes.iter_mut().skip(at).take(count).for_each(|byte| *byte = 0),
            4 => bytes.extend(std::iter::repeat_n(0, count)),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
        }
    }
    // Now and then a frame whose checksum is right again.
    if random.once_in(3) {
        for start in 64..bytes.len().saturating_sub(52) {
            if bytes[start..].starts_with(b"BNAF") && random.once_in(2) {
                let length = u32::from_le_bytes(bytes[start + 28..start + 32].try_into().unwrap()) as usize;
                let end = start.saturating_add(48).saturating_add(length);
                if end + 4 <= bytes.len() {
                    if random.once_in(2) {
                        let at = start + random.below(end - start);
                        bytes[at] = random.number() as u8;
                    }
                    let checksum = crc32fast::hash(&bytes[start..end]).to_le_bytes();
                    bytes[end..end + 4].copy_from_slice(&checksum);
                }
            }
        }
    }
    bytes
}

/// What everything makes of these bytes as a log; says whether it opens.
fn try_bytes(bytes: &[u8]) -> bool {
    let (fs, folder) = disk();
    fs.install(LOG, bytes).unwrap();
    let reader = Reader::open(&*folder);
    let mut seen = 0u64;
    let verified = verify(&*folder, &mut |_| seen += 1);
    let salvaged = salvage(&*folder, &mut |_| ());
    if let Ok(verified) = &verified {
        assert_eq!(verified.records, seen);
        assert!(verified.faults.iter().all(|fault| fault.offset <= bytes.len() as u64));
    }
    assert!(fs.cached(LOG).unwrap() == bytes, "nothing of that changes anything");
    match Log::open(Arc::clone(&folder), SALT) {
        Ok((log, opened)) => {
            let state = read_log(&log).unwrap();
            assert_eq!(read_reader(&reader.unwrap().unwrap()), state, "a reader sees the same");
            let (verified, salvaged) = (verified.unwrap(), salvaged.unwrap());
            assert!(verified.faults.is_empty() && salvaged.lost.is_empty());
            assert_eq!((verified.records, salvaged.records), (seen, state.len() as u64));
            assert_eq!(verified.tail_bytes, opened.dropped_bytes);
            log.commit(&[Change::Put { key: b"k", label: b"", flags: 0, value: b"v" }]).unwrap();
            log.compact().unwrap();
            log.close().unwrap();
            let (log, _) = Log::open(folder, SALT).unwrap();
            assert_eq!(log.get(b"k").unwrap().unwrap().bytes, b"v");
            true
        }
        Err(Error::Corrupt { .. }) => {
            assert!(reader.is_err(), "a reader does not take it either");
            // Behind the damage there may be a frame of a newer release.
            let newer = matches!(verified, Err(Error::UnsupportedVersion { .. }));
            assert!(newer || !verified.unwrap().faults.is_empty(), "verifying finds it");
            assert!(fs.cached(LOG).unwrap() == bytes, "it stays as it was");
            false
        }
        Err(Error::UnsupportedVersion { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn any_bytes_as_a_log() {
    let seeds = seeds();
    let (runs, mut opened) = (scale(800_000), 0);
    for run in 0..runs {
        let bytes = mutate(&mut Random::new(run), &seeds);
        let result = std::panic::catch_unwind(|| try_bytes(&bytes));
        opened += u64::from(result.unwrap_or_else(|_| panic!("input {run}: {bytes:02x?}")));
    }
    println!("counted: fuzz inputs as a log {runs}, of them opened {opened}, seed 0");
    assert!(opened > runs / 20 && opened < runs - runs / 20);
}

/// One input drives several rounds of opening, changing, crashing and recovering.
fn live(input: &[u8]) -> Result<(), crate::common::Violation> {
    let mut bytes = input.iter().copied();
    let mut world =
        World::new(u64::from(bytes.next().unwrap_or(0)), [16, 64, 512][input.len() % 3], Rules::default());
    world.watching = false;
    let mut openings = 0;
    while let Some(byte) = bytes.next() {
        if world.log.is_none() {
            openings += 1;
            if openings > 12 {
                break;
            }
            world.open()?;
        }
        let argument = bytes.next().unwrap_or(0);
        let key = ["a", "b", "c"][usize::from(argument) % 3];
        let size = usize::from(argument);
        match byte % 16 {
            0..=3 => {
                _ = {
                    let put = world.put(key, size);
                    world.write(&[put], byte & 16 == 0)?
                }
            }
            4 => _ = world.write(&[Act::Delete(key.into())], byte & 16 == 0)?,
            5 => _ = world.write(&[Act::Clear], true)?,
            6 => _ = world.sync()?,
            7 => _ = world.close()?,
            8 => world.kill(),
            9 => world.power_cut(),
            10 => {
                _ = {
                    let put = world.put(key, size);
                    world.compact(Some((put, Durability::Appended)).filter(|_| byte & 16 == 0))?
                }
            }
            11 => world.fs.evict(),
            12 => world.close_zombie(),
            kind => {
                let fault = match kind {
                    13 => [Fault::Kill, Fault::Power][usize::from(byte >> 4) % 2],
                    14 => Fault::Eio,
                    _ => Fault::NoSpace(usize::from(byte >> 4)),
                };
                world.fs.fail_at(world.fs.operations() + 1 + u64::from(argument % 24), fault);
            }
        }
    }
    world.settle(input.len().is_multiple_of(2))
}

#[test]
fn one_input_drives_several_lives() {
    let runs = scale(200_000);
    for run in 0..runs {
        let mut random = Random::new(run ^ 0xf0f0);
        let input: Vec<u8> = (0..2 + random.below(60)).map(|_| random.number() as u8).collect();
        if let Err(violation) = live(&input) {
            panic!("input {run} {input:?}: {violation}");
        }
    }
    println!("counted: fuzz inputs as lives {runs}, seed {}", 0xf0f0);
}
