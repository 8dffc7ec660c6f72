//! Many clients, a bad network, a bad disk and a coordinator that crashes, from a seed.
//!
//! Clients of both protocols join, leave, crash, come back, pause and lose their connections; their
//! clocks drift and the coordinator's time of day jumps; appends end late, fail, and may be on
//! record all the same; the coordinator stops and takes up what is on record; topics grow, go and
//! are made anew. At each step:
//!
//! - no partition is given to two members of one generation, or to one member of a consumer group
//!   while another one that is not fenced still has it;
//! - an acknowledged commit is never lost and never goes back; nothing is told that nobody sent;
//! - a commit of an old generation, or for a partition that went to somebody else, is refused;
//! - generations only rise, with one set of members each;
//! - every request is answered once;
//! - nobody is fenced who kept up.
//!
//! Once the faults end, every partition of every topic that a group reads has exactly one owner.
//!
//! `TIDEGATE_SEEDS=100000` runs more seeds, `TIDEGATE_SEED=17` that one alone. The last tests plant
//! faults in the world around the coordinator and want them caught.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod classic;
mod client;
mod consumer;
mod disk;
mod faults;
mod finale;
mod network;
mod oracle;
mod service;
#[path = "../../../../tests/simulated.rs"]
mod simulated;
mod world;

use simulated::{play, seeds};
use world::{Planted, Size, World};

#[test]
fn members_agree_and_commits_last_whatever_breaks() {
    play(150, |seed| {
        let tally = World::new(seed, Size::Small, None).run()?;
        Ok(tally.counts().collect::<Vec<_>>())
    });
}

#[test]
fn thousands_of_members_find_their_places() {
    let tally = World::new(seeds(1).start, Size::Large, None).run();
    match tally {
        Ok(tally) => println!("{tally:?}"),
        Err(error) => panic!("large world: {error}"),
    }
}

#[test]
fn a_seed_plays_the_same_run_twice() {
    for seed in 0..5 {
        let play = || World::new(seed, Size::Small, None).run().map(|tally| format!("{tally:?}"));
        assert_eq!(play(), play(), "seed {seed}");
    }
}

fn assert_caught(planted: Planted) {
    let caught = (0..60).find_map(|seed| World::new(seed, Size::Small, Some(planted)).run().err());
    match caught {
        Some(error) => println!("{planted:?}: {error}"),
        None => panic!("{planted:?} went unnoticed in 60 seeds"),
    }
}

#[test]
fn a_log_that_loses_what_it_called_durable_is_caught() {
    assert_caught(Planted::LoseDurable);
}

#[test]
fn clients_that_say_they_gave_up_what_they_still_own_are_caught() {
    assert_caught(Planted::EarlyAcknowledgement);
}

#[test]
fn an_answer_given_twice_is_caught() {
    assert_caught(Planted::AnswerTwice);
}

#[test]
fn a_leader_that_gives_a_partition_to_two_is_caught() {
    assert_caught(Planted::OverlappingAssignment);
}
