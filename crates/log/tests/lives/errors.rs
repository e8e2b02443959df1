//! Every operation of a script fails once, or from then on; then the store is opened again *without* a power
//! cut, takes a commit, and the power goes.

use auth_log::Rules;
use auth_log::sim::Fault;

use crate::common::{Act, Violation, World, scale};

fn script(world: &mut World) -> Result<bool, Violation> {
    if !world.open()? {
        return Ok(false);
    }
    for (key, bytes) in [("a", 10), ("b", 300), ("a", 40)] {
        let put = world.put(key, bytes);
        if !world.write(&[put], true)? {
            return Ok(false);
        }
    }
    let put = world.put("c", 30);
    if !world.write(&[put], false)? || !world.sync()? {
        return Ok(false);
    }
    if !world.write(&[Act::Delete(b"b".to_vec())], true)? || !world.close()? || !world.open()? {
        return Ok(false);
    }
    let put = world.put("b", 100);
    world.write(&[put], true)
}

#[test]
fn an_error_at_each_operation_loses_nothing_acknowledged() {
    let length = {
        let mut world = World::new(0, 64, Rules::default());
        let before = world.fs.operations();
        assert!(script(&mut world).unwrap());
        world.fs.operations() - before
    };
    let faults = [
        Fault::Eio,
        Fault::EioForGood,
        Fault::Short,
        Fault::NoSpace(0),
        Fault::NoSpace(1),
        Fault::NoSpace(70),
        Fault::NoSpace(usize::MAX),
    ];
    let mut runs = 0;
    for operation in 1..=length {
        for fault in faults {
            for seed in 0..scale(12) {
                let mut world =
                    World::new(100 * operation + seed, [16, 64, 512][seed as usize % 3], Rules::default());
                world.fs.fail_at(world.fs.operations() + operation, fault);
                let run = script(&mut world).and_then(|_| {
                    if fault == Fault::EioForGood && world.log.is_none() {
                        assert!(!world.open()?, "nothing can be opened while nothing can be written");
                    }
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
    println!("counted: input and output errors {runs}, operations of the script {length}, seed 0");
}
