//! A source and a sink over a bad line, from a seed.
//!
//! Messages are delayed, damaged and cut off; either site crashes and comes back with what was
//! durable; appends become durable late; the source trims. At each step the copy must be a run of
//! what the source holds durable, byte for byte, and the source must not believe more durable than
//! is. Once the faults end, both ends must become equal, or the source must tell why not.
//!
//! `TIDEGATE_SEEDS=100000` runs more seeds, `TIDEGATE_SEED=17` that one alone. The last tests plant
//! faults and want them caught.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod line;
mod log;
mod rng;
#[path = "../../../../tests/simulated.rs"]
mod simulated;
mod world;

use world::{Fault, World};

/// Runs a seed; what went wrong, if anything did.
fn run(seed: u64, fault: Option<Fault>) -> Result<world::Tally, String> {
    World::new(seed, fault).run()
}

#[test]
fn a_copy_is_always_a_prefix_and_catches_up() {
    simulated::play(2_000, |seed| Ok(run(seed, None)?.counts()));
}

fn assert_caught(fault: Fault) {
    let caught = (0..200).filter(|seed| run(*seed, Some(fault)).is_err()).count();
    assert!(caught > 0, "{fault:?} went unnoticed in 200 seeds");
}

#[test]
fn a_sink_that_tells_progress_before_it_is_durable_is_caught() {
    assert_caught(Fault::ProgressBeforeDurable);
}

#[test]
fn a_sink_that_resumes_from_what_is_not_durable_is_caught() {
    assert_caught(Fault::ResumeBeforeDurable);
}

#[test]
fn a_source_that_skips_ahead_after_a_reconnect_is_caught() {
    assert_caught(Fault::SkipAfterReconnect);
}

#[test]
fn a_line_that_loses_one_message_and_goes_on_is_caught() {
    assert_caught(Fault::LoseOneMessage);
}

#[test]
fn a_source_that_never_hears_of_new_records_is_caught() {
    assert_caught(Fault::DeafSource);
}
