//! Random lives of a store, the same for the same seed: anything at any time, and two shapes that anything at
//! any time comes to too rarely.

use auth_log::Rules;
use auth_log::sim::{Fault, Lie, Random};

use super::{Act, Durability, Violation, World, number};

/// A random life of a store on a disk that fails, as a seed says.
pub fn history(seed: u64, rules: Rules, lie: Option<Lie>) -> Result<World, (Violation, Vec<String>)> {
    history_traced(seed, rules, lie, false)
}

pub fn history_traced(
    seed: u64,
    rules: Rules,
    lie: Option<Lie>,
    trace: bool,
) -> Result<World, (Violation, Vec<String>)> {
    let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9));
    let sector = [16, 64, 512, 512][random.below(4)];
    let mut world = World::new(seed, sector, rules);
    world.fs.set_lie(lie);
    if trace {
        world.fs.record_trace();
    }
    match live(&mut world, &mut random) {
        Ok(()) => Ok(world),
        Err(violation) => Err((violation, world.fs.trace())),
    }
}

fn live(world: &mut World, random: &mut Random) -> Result<(), Violation> {
    match random.below(10) {
        0 => torn_group(world, random)?,
        1 => no_room_in_old_zeros(world, random)?,
        2 => new_generation(world, random)?,
        3 => beside_a_sync(world, random)?,
        _ => wander(world, random)?,
    }
    world.settle(random.once_in(2))
}

/// A group of frames is torn, mending it goes wrong, and then a frame of the same size as the first comes into
/// its place: whatever is left of the group behind it fits on.
fn torn_group(world: &mut World, random: &mut Random) -> Result<(), Violation> {
    // The one way that nothing else shows: the group ends with sectors, and the sync of its mending fails.
    let exact = random.once_in(2);
    world.open()?;
    let mut bytes = [0, 30, 60][random.below(3)];
    let before = world.file_bytes();
    let put = world.put("a", bytes);
    world.write(&[put], true)?;
    let after = world.file_bytes();
    if exact || random.once_in(2) {
        // The first frame of the group ends with a sector: then its place can be written without the next one.
        let end = after + (after - before);
        let room = end.next_multiple_of(world.sector) - end;
        // A value of 256 bytes and more has one byte more in front of it.
        bytes += if bytes + 8 + room < 256 { room } else { room - 1 };
    }
    for _ in 0..2 + random.below(2) {
        let put = world.put("a", bytes);
        world.write(&[put], false)?;
    }
    if !exact && random.once_in(4) {
        world.kill()
    } else {
        world.power_cut()
    }
    let mendings = if exact { 1 } else { random.below(4) };
    for _ in 0..mendings {
        let any = [Fault::Eio, Fault::Eio, Fault::Kill, Fault::Power, Fault::Evict][random.below(5)];
        let (fault, ahead) =
            if exact { (Fault::Eio, 10 + random.below(2)) } else { (any, 4 + random.below(10)) };
        world.fs.fail_at(world.fs.operations() + number(ahead), fault);
        world.open()?;
    }
    world.fs.heal();
    world.open()?;
    let put = world.put("a", bytes);
    world.write(&[put], true)?;
    if exact {
        world.power_cut();
        world.open()?;
    }
    Ok(())
}

/// A frame finds no room for its last byte, where a longer tail was zeroed before: if its last byte is a zero,
/// it is whole all the same.
fn no_room_in_old_zeros(world: &mut World, random: &mut Random) -> Result<(), Violation> {
    world.open()?;
    let put = world.put("long", 300);
    world.fs.fail_at(world.fs.operations() + 1, Fault::Kill);
    world.write(&[put], false)?;
    world.open()?;
    let tries = if random.once_in(8) { 64 } else { 1 + random.below(4) };
    for _ in 0..tries {
        world.fs.fail_at(world.fs.operations() + 1, Fault::NoSpace(usize::MAX));
        if random.once_in(2) {
            let taking_back = [Fault::Eio, Fault::NoSpace(random.below(20))][random.below(2)];
            world.fs.fail_at(world.fs.operations() + 3, taking_back);
        }
        let put = world.put("a", random.below(20));
        world.write(&[put], true)?;
        match random.below(4) {
            0 => world.kill(),
            1 | 2 => world.power_cut(),
            _ => {}
        }
        world.open()?;
    }
    Ok(())
}

/// A new generation, with trouble in it, and then commits on top.
fn new_generation(world: &mut World, random: &mut Random) -> Result<(), Violation> {
    world.open()?;
    for key in ["a", "b", "a"] {
        let put = world.put(key, [0, 30, 200][random.below(3)]);
        world.write(&[put], random.once_in(2))?;
    }
    for _ in 0..1 + random.below(3) {
        if random.once_in(6) {
            world.fs.heal();
            world.latch_in_compaction()?;
        } else {
            if !random.once_in(4) {
                let fault =
                    [Fault::Eio, Fault::Eio, Fault::Kill, Fault::Power, Fault::NoSpace(9)][random.below(5)];
                world.fs.fail_at(world.fs.operations() + 1 + number(random.below(24)), fault);
            }
            compact(world, random)?;
        }
        world.fs.heal();
        match random.below(8) {
            0 | 1 => world.power_cut(),
            2 => world.kill(),
            3 => world.fs.evict(),
            4 => world.close_zombie(),
            _ => {}
        }
        if world.log.is_none() {
            world.open()?;
        }
        let put = world.put(["a", "c"][random.below(2)], [3, 60][random.below(2)]);
        world.write(&[put], true)?;
    }
    Ok(())
}

fn compact(world: &mut World, random: &mut Random) -> Result<(), Violation> {
    let how = if random.once_in(2) { Durability::Synced } else { Durability::Appended };
    let beside = match random.below(6) {
        0..=2 => None,
        3 => Some((Act::Clear, how)),
        4 => Some((Act::Delete(b"a".to_vec()), how)),
        _ => Some((world.put("b", 40), how)),
    };
    world.compact(beside)?;
    Ok(())
}

/// What is appended while a sync runs is not on disk after it.
fn beside_a_sync(world: &mut World, random: &mut Random) -> Result<(), Violation> {
    world.open()?;
    for _ in 0..1 + random.below(3) {
        let put = world.put("a", [0, 40, 90][random.below(3)]);
        world.write(&[put], false)?;
        let put = world.put("b", [0, 40, 90][random.below(3)]);
        if random.once_in(5) {
            world.fs.fail_at(world.fs.operations() + 1 + number(random.below(3)), Fault::Eio);
        }
        world.sync_beside(put)?;
        let put = world.put("c", [0, 40, 90][random.below(3)]);
        world.write(&[put], random.once_in(4))?;
        if random.once_in(2) {
            world.power_cut();
            world.open()?;
        }
    }
    Ok(())
}

fn wander(world: &mut World, random: &mut Random) -> Result<(), Violation> {
    let steps = 2 + random.below(12);
    let mut faults = 1 + random.below(6);
    let mut openings = 0;
    let patience = [2, 4, 10][random.below(3)];
    for _ in 0..steps {
        if faults > 0 && random.once_in(patience) {
            faults -= 1;
            let fault = match random.below(12) {
                0 | 1 => Fault::Kill,
                2 | 3 => Fault::Power,
                4..=6 => Fault::Eio,
                7 => Fault::NoSpace(random.below(200)),
                8 => Fault::Short,
                _ => Fault::Evict,
            };
            world.fs.fail_at(world.fs.operations() + 1 + number(random.below(12)), fault);
        }
        if world.log.is_none() {
            openings += 1;
            if openings > 10 {
                break;
            }
            world.open()?;
            continue;
        }
        let key = ["a", "b", "key of some length"][random.below(3)];
        match random.below(17) {
            0..=4 => {
                let put = world.put(key, [0, 0, 10, 50, 300][random.below(5)]);
                world.write(&[put], true)?;
            }
            5 => {
                let acts = [Act::Delete(b"a".to_vec()), world.put("b", 7), world.put(key, 60)];
                world.write(&acts, true)?;
            }
            6 => {
                let act = if random.once_in(2) { Act::Delete(key.into()) } else { Act::Clear };
                world.write(&[act], true)?;
            }
            7 | 8 => {
                let put = world.put(key, [0, 20, 100][random.below(3)]);
                world.write(&[put], false)?;
            }
            9 => {
                world.sync()?;
            }
            10 => {
                world.close()?;
            }
            11 if random.once_in(2) => world.kill(),
            11 => world.power_cut(),
            12 => world.close_zombie(),
            13 => compact(world, random)?,
            14 => {
                let put = world.put(key, [0, 20, 100][random.below(3)]);
                // No room would be taken back after the sync, for which one thread cannot wait.
                world.fs.heal();
                world.sync_beside(put)?;
            }
            15 if random.once_in(4) => {
                world.lose_and_write_anew()?;
            }
            _ => world.fs.evict(),
        }
    }
    Ok(())
}
