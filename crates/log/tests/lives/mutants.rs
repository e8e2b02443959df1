//! The tests tested: each rule of opening and of failure is broken in turn, and a random life of the store
//! must find it out; with all rules kept, none may find anything. A disk that lies must be found out too.

use auth_log::sim::Lie;
use auth_log::{Rule, Rules};

use crate::common::history::{history, history_traced};
use crate::common::scale;

/// Lives until one finds a violation.
fn lives_until_found(rules: Rules, lie: Option<Lie>, most: u64) -> Option<u64> {
    (0..most).find(|seed| history(*seed, rules, lie).is_err())
}

#[test]
fn the_rules_as_they_are_survive_every_random_history() {
    let lives = scale(150_000);
    for seed in 0..lives {
        if let Err((violation, _)) = history(seed, Rules::default(), None) {
            let trace = history_traced(seed, Rules::default(), None, true).err().unwrap().1;
            panic!("seed {seed}: {violation}\n{}", trace.join("\n"));
        }
    }
    println!("counted: random histories {lives}, seed 0");
}

#[test]
fn every_mutant_is_caught() {
    let mut survivors = Vec::new();
    for rule in Rule::ALL {
        // No crash makes damage, and a log that latches too early loses nothing: tests/cases breaks these.
        if [Rule::DamageIsNoTail, Rule::ZerosAheadMayFail, Rule::GenerationAttested].contains(&rule) {
            continue;
        }
        match lives_until_found(Rules::without(rule), None, 200_000) {
            Some(seed) => println!("without {rule:?}: caught in history {seed}"),
            None => survivors.push(rule),
        }
    }
    assert!(survivors.is_empty(), "nothing finds out that these are broken: {survivors:?}");
}

#[test]
fn a_disk_that_is_too_kind_hides_a_mutant() {
    // Were every rename durable at once, nobody would notice that opening does not sync the folder.
    let mutant = Rules::without(Rule::FolderSynced);
    assert_eq!(lives_until_found(mutant, Some(Lie::NamesDurableAtOnce), 5_000), None);
    assert!(lives_until_found(mutant, None, 5_000).is_some());
}

#[test]
fn a_disk_that_lies_is_found_out() {
    for lie in [Lie::SyncDoesNothing, Lie::FolderSyncDoesNothing, Lie::ZerosNotKept] {
        let caught = lives_until_found(Rules::default(), Some(lie), 60_000);
        println!("{lie:?}: caught in history {caught:?}");
        assert!(caught.is_some(), "{lie:?} goes unnoticed");
    }
}

#[test]
fn the_same_seed_ends_the_same() {
    for seed in 0..scale(300) {
        let run = |seed| {
            history_traced(seed, Rules::default(), None, true)
                .map(|world| (world.fs.operations(), world.fs.trace(), world.fs.image()))
                .map_err(|(violation, _)| violation)
                .unwrap()
        };
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
