//! A model of what the logs promise, against the logs on a disk that crashes.
//!
//! Each seed is a run: producers (idempotent and not, transactional, durable and merely written,
//! several batches to a request, retries, lost answers) write to logs that are rolled, sealed by
//! faults, copied by a mirror, trimmed, kept to an age and a size while the clock jumps by years,
//! dropped from a full disk, in half of the runs compacted by key, given other settings, closed,
//! killed and cut from their power at any change to the disk, starts, maintenance and compaction
//! included. The disk fills up, the index is lost or damaged or fails to be written, in some runs
//! bits are turned. All that the logs say is compared with a plain model in memory:
//!
//! - what was promised to survive is there, where it was, once, and in order;
//! - what is there was sent, and not refused; nothing that was gone comes back;
//! - what leaves at the head leaves for a reason, and stays gone;
//! - what compaction takes is superseded, aborted or a tombstone that was shown for long enough; it
//!   leaves offsets, times and producers as they were, one record of each key where it says that
//!   the log is clean, and in the end that is all of the log that may be compacted;
//! - reads, times, epochs and duplicates are answered as the model says, at random places;
//! - what the index says of the files is what a walk over them finds;
//! - damage is told, is no larger than it must be, and comes of something that was done.
//!
//! `world` drives a run, `ops` has its operations (one is a line in a table), `produce` what
//! appends, `clean` what leaves, `compaction` what is compacted, `index` what becomes of the index,
//! `checks` and `reopened` what is compared, `model`, `history` and `batches` the model. Everything
//! follows from the seed: `TIDEGATE_SEED=S` plays one again and tells each step, `TIDEGATE_SEEDS=N`
//! plays the first N, and both together the N from S on, for whoever goes on where others ended:
//!
//! ```text
//! TIDEGATE_SEEDS=1000000 cargo test --release -p tidegate-log --lib simulation
//! ```
//!
//! It does not run the writer's thread, and so no races between threads: reads happen between
//! rounds.

mod batches;
mod checks;
mod clean;
mod compaction;
mod history;
mod index;
mod model;
mod ops;
mod produce;
mod reopened;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::planted::Planted;
use world::World;

/// Plays one seed; what the run came to.
fn play(seed: u64, planted: Option<Planted>) -> u64 {
    World::new(seed, planted).run()
}

/// Plays seeds on all cores; the lowest failing one that was met, and what it said.
fn sweep(seeds: std::ops::Range<u64>, planted: Option<Planted>) -> Option<(u64, String)> {
    let next = AtomicU64::new(seeds.start);
    let failed: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let Err(panic) = catch_unwind(AssertUnwindSafe(|| play(seed, planted))) else {
                continue;
            };
            // Nobody begins another one.
            next.store(seeds.end, Ordering::Relaxed);
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            let said = said.unwrap_or_else(|| "a panic without words".to_owned());
            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
            if failed.as_ref().is_none_or(|(lowest, _)| seed < *lowest) {
                *failed = Some((seed, said));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Whether a single seed is played, by somebody who wants to see what it does.
fn plays_one() -> bool {
    number("TIDEGATE_SEED").is_some() && number("TIDEGATE_SEEDS").is_none()
}

#[test]
fn what_was_promised_survives_any_crash() {
    let seeds = match (number("TIDEGATE_SEED"), number("TIDEGATE_SEEDS")) {
        (Some(seed), count) => seed..seed + count.unwrap_or(1),
        (None, count) => 0..count.unwrap_or(10_000),
    };
    if let Some((seed, said)) = sweep(seeds, None) {
        panic!(
            "seed {seed}: {said}\nto play it again: \
             TIDEGATE_SEED={seed} cargo test -p tidegate-log --lib simulation"
        );
    }
}

#[test]
fn every_planted_fault_is_caught() {
    let mut missed = Vec::new();
    for fault in Planted::ALL {
        match sweep(0..3_000, Some(fault)) {
            Some((seed, said)) => println!("{fault:?}: seed {seed}: {said}"),
            None => missed.push(fault),
        }
    }
    assert_eq!(missed, [], "the model is too weak for these");
}

#[test]
fn a_seed_plays_the_same_run_twice() {
    let first = number("TIDEGATE_SEED").unwrap_or(0);
    for seed in first..first + 40 {
        assert_eq!(play(seed, None), play(seed, None), "seed {seed}");
    }
}
