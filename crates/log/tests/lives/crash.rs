//! Every operation of a script is where the machine stops, in several ways, and so is every operation of the
//! openings that follow.

use auth_log::Rules;
use auth_log::sim::Fault;

use crate::common::{Act, Violation, World, scale};

/// A life with something of everything; it ends early where something fails.
fn script(world: &mut World) -> Result<bool, Violation> {
    if !world.open()? {
        return Ok(false);
    }
    let first = [
        vec![world.put("a", 10)],
        vec![world.put("b", 600)],
        vec![world.put("a", 60), world.put("c", 0), Act::Delete(b"b".to_vec())],
    ];
    for acts in first {
        if !world.write(&acts, true)? {
            return Ok(false);
        }
    }
    for bytes in [40, 5] {
        let put = world.put("d", bytes);
        if !world.write(&[put], false)? {
            return Ok(false);
        }
    }
    if !world.sync()? || !world.write(&[Act::Delete(b"c".to_vec())], true)? {
        return Ok(false);
    }
    if !world.close()? || !world.open()? {
        return Ok(false);
    }
    let then = [vec![world.put("a", 100)], vec![Act::Clear], vec![world.put("b", 20)]];
    for acts in then {
        if !world.write(&acts, true)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn world(seed: u64, sector: usize) -> World {
    let mut world = World::new(seed, sector, Rules::default());
    world.watching = false;
    world
}

/// How many operations the script has.
fn length() -> u64 {
    let mut world = world(0, 512);
    let before = world.fs.operations();
    assert!(script(&mut world).unwrap());
    world.fs.operations() - before
}

fn stop_at(world: &mut World, operation: u64, fault: Fault) {
    world.fs.fail_at(world.fs.operations() + operation, fault);
}

#[test]
fn a_stop_at_each_operation_keeps_every_acknowledged_commit_and_no_half_of_one() {
    let mut runs = 0;
    for operation in 1..=length() {
        for (fault, times) in [(Fault::Kill, 4), (Fault::Power, 16)] {
            for seed in 0..scale(times) {
                for sector in [1, 16, 64, 512] {
                    let mut world = world(1000 * operation + seed, sector);
                    stop_at(&mut world, operation, fault);
                    let run = script(&mut world).and_then(|done| {
                        assert!(!done && world.fs.is_down(), "operation {operation} did not stop it");
                        world.settle(seed % 2 == 0)
                    });
                    assert_eq!(run, Ok(()), "{fault:?} at {operation}, seed {seed}, sectors of {sector}");
                    runs += 1;
                }
            }
        }
    }
    println!("counted: crash points {runs}, operations of the script {}, seed 0", length());
}

#[test]
fn a_stop_at_each_operation_and_at_each_of_three_openings_loses_nothing() {
    let mut runs = 0;
    for operation in 1..=length() {
        for (fault, then) in [
            (Fault::Kill, Fault::Power),
            (Fault::Power, Fault::Power),
            (Fault::Power, Fault::Kill),
            (Fault::Power, Fault::Eio),
            (Fault::Kill, Fault::Eio),
        ] {
            for seed in 0..scale(2) {
                let mut within = 1;
                loop {
                    let mut world =
                        world(1000 * operation + 10 * within + seed, [16, 64, 512][seed as usize % 3]);
                    stop_at(&mut world, operation, fault);
                    let run = script(&mut world).and_then(|_| {
                        let mut reached = false;
                        for _ in 0..3 {
                            stop_at(&mut world, within, then);
                            reached |= !world.open()?;
                        }
                        world.settle(true)?;
                        Ok(reached)
                    });
                    runs += 1;
                    within += 1;
                    match run {
                        Ok(true) => {}
                        Ok(false) => break, // the opening has no operation that late
                        Err(violation) => {
                            panic!("{fault:?} at {operation}, {then:?} at {within}, seed {seed}: {violation}")
                        }
                    }
                }
            }
        }
    }
    println!("counted: crash points with three openings stopped {runs}, seed 0");
}

#[test]
fn a_failed_opening_between_a_torn_group_and_acknowledged_commits_loses_nothing() {
    let mut runs = 0;
    for seed in 0..scale(300) {
        for within in 1..=12 {
            let mut world = world(seed, 512);
            let run = script(&mut world).and_then(|_| {
                for _ in 0..3 {
                    let put = world.put("torn", 150);
                    world.write(&[put], false)?;
                }
                world.power_cut();
                stop_at(&mut world, within, Fault::Eio);
                world.open()?;
                world.fs.evict();
                world.open()?;
                let put = world.put("torn", 150);
                world.write(&[put], true)?;
                world.settle(true)
            });
            assert_eq!(run, Ok(()), "seed {seed}, operation {within}");
            runs += 1;
        }
    }
    println!("counted: torn groups, mended in two attempts {runs}, seed 0");
}
