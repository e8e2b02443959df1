//! A stop and an error at every operation of a life with new generations in it.

use auth_log::Rules;
use auth_log::sim::Fault;

use crate::common::{Act, Durability, Violation, World, scale};

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
    println!(
        "counted: crash points in new generations {runs}, operations of the script {}, seed 0",
        length()
    );
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
                    // An error is no crash.
                    runs += u64::from(fault != Fault::Eio || then != Fault::Eio);
                }
            }
        }
    }
    println!("counted: crash points in new generations with three openings stopped {runs}, seed 0");
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
    println!(
        "counted: input and output errors in new generations {runs}, operations of the script {}, seed 0",
        length()
    );
}
