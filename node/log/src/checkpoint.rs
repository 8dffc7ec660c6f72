//! Checkpoints: what the index is told while logs are written, so that a start after a crash reads
//! little.
//!
//! Once a tick every log that was synced since tells how far. Beyond that a log can be
//! *checkpointed*: the rows that a clean close writes (segment, sparse index, epochs, producers) are
//! written for the part of its active segment that is synced, and recovery scans only what lies
//! behind it. Which logs, [`choose`] says, from plain numbers: as few as keep the bytes behind
//! checkpoints, over all logs of the store, under a bound, and none whose checkpoint would cost much
//! beside what it saves, since flash wears out. A node that is idle writes nothing.
//!
//! Holds true: rows vouch for synced bytes only, and rows of one log that belong together are of the
//! same moment. Runs on the writer thread between rounds, where nothing is staged.

use std::sync::Arc;

use tidegate_types::{ByteSize, Offset};

use crate::index::Change;
use crate::log::{Log, lock};
use crate::planted::Planted;

/// A checkpoint may write one byte for so many that need not be read again.
const PAYS: u64 = 16;

/// What one log's rows cost at the least: pages are written whole, but shared with its neighbours'.
const ROWS_COST: u64 = 4 << 10;

/// Bytes of one entry of the sparse index, and of one producer, in a row.
const ENTRY_COST: u64 = 8;
const PRODUCER_COST: u64 = 128;

/// One log's case for a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Case {
    /// Synced bytes that its last checkpoint does not cover.
    uncovered: u64,
    /// About what a checkpoint would write.
    cost: u64,
}

/// Which logs to checkpoint: nothing while `bound` is kept; then, those with most to gain first,
/// until half of it is.
fn choose(cases: &[Case], bound: u64) -> Vec<usize> {
    let mut left: u64 = cases.iter().map(|case| case.uncovered).sum();
    if left <= bound {
        return Vec::new();
    }
    // However dear, a log that alone exceeds the bound is worth it.
    let pays = |case: &Case| case.uncovered >= case.cost.saturating_mul(PAYS).min(bound.max(1));
    let mut by_gain: Vec<usize> = (0..cases.len()).filter(|at| pays(&cases[*at])).collect();
    by_gain.sort_by_key(|at| std::cmp::Reverse(cases[*at].uncovered));
    let chosen = by_gain.into_iter().take_while(|at| {
        let more = left > bound / 2;
        left -= cases[*at].uncovered;
        more
    });
    chosen.collect()
}

/// What is told to the index at one tick.
pub(crate) struct Round {
    pub(crate) changes: Vec<Change>,
    told: Vec<Told>,
}

struct Told {
    log: Arc<Log>,
    synced: Offset,
    /// The length covered, where the log was checkpointed.
    covered: Option<u64>,
}

impl Round {
    /// Collects what `logs` have to tell.
    pub(crate) fn take(logs: &[Arc<Log>], bound: ByteSize) -> Round {
        let cases: Vec<Option<Case>> = logs.iter().map(|log| case(log)).collect();
        let known: Vec<usize> = (0..logs.len()).filter(|at| cases[*at].is_some()).collect();
        let with_case: Vec<Case> = cases.iter().copied().flatten().collect();
        let mut chosen = vec![false; logs.len()];
        for at in choose(&with_case, bound.get()) {
            chosen[known[at]] = true;
        }
        let mut round = Round { changes: Vec::new(), told: Vec::new() };
        for (log, chosen) in logs.iter().zip(chosen) {
            round.tell(log, chosen);
        }
        round
    }

    fn tell(&mut self, log: &Arc<Log>, checkpoint: bool) {
        let active = lock(&log.active);
        let early = log.shared.planted(Planted::CheckpointUnsynced);
        let synced = if early { active.segment.next() } else { active.synced };
        if log.shared.planted(Planted::ProducersUnsynced) {
            let producers = lock(&log.producers).snapshot();
            self.changes.push(Change::Producers(log.id, active.segment.next(), producers));
        }
        let mut covered = None;
        if checkpoint && active.is_settled() && log.check_open().is_ok() {
            let segment = &active.segment;
            let (meta, index) = (segment.meta(), segment.active_index().unwrap_or_default());
            self.changes.push(Change::Segment(log.id, segment.base, meta, Arc::new(index)));
            self.changes.extend(active.checkpoint(log));
            covered = Some(meta.len);
        } else if synced > active.checkpointed {
            self.changes.push(Change::Durable(log.id, synced));
        } else {
            return;
        }
        self.told.push(Told { log: Arc::clone(log), synced, covered });
    }

    /// Notes in the logs that the changes were committed.
    pub(crate) fn told(self) {
        for Told { log, synced, covered } in self.told {
            let mut active = lock(&log.active);
            active.checkpointed = active.checkpointed.max(synced);
            if let Some(covered) = covered {
                active.covered = covered;
            }
        }
    }
}

fn case(log: &Log) -> Option<Case> {
    let active = lock(&log.active);
    if !active.is_settled() || log.check_open().is_err() {
        return None;
    }
    let uncovered = active.segment.len().checked_sub(active.covered).filter(|bytes| *bytes > 0)?;
    let entries = active.segment.active_entries() as u64;
    let producers = lock(&log.producers).len() as u64;
    Some(Case { uncovered, cost: ROWS_COST + entries * ENTRY_COST + producers * PRODUCER_COST })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(uncovered: u64, cost: u64) -> Case {
        Case { uncovered, cost }
    }

    #[test]
    fn nothing_is_chosen_while_the_bound_is_kept() {
        assert_eq!(choose(&[], 0), [0; 0]);
        assert_eq!(choose(&[case(50, 1), case(50, 1)], 100), [0; 0]);
    }

    #[test]
    fn those_with_most_to_gain_go_first_until_half_of_the_bound_is_kept() {
        let cases = [case(20, 1), case(60, 1), case(40, 1), case(30, 1)];
        assert_eq!(choose(&cases, 100), [1, 2], "150 less 100 is half of the bound");
        assert_eq!(choose(&cases, 149), [1, 2]);
        assert_eq!(choose(&cases, 10), [1, 2, 3, 0]);
    }

    #[test]
    fn what_costs_too_much_waits_unless_it_alone_exceeds_the_bound() {
        let cases = [case(320, 30), case(319, 20), case(320, 20), case(900, 1_000)];
        assert_eq!(choose(&cases, 1_000), [2]);
        assert_eq!(choose(&cases, 900), [3, 2]);
        assert_eq!(choose(&[case(1, 1_000)], 0), [0], "a bound of 0 takes every log");
    }

    #[test]
    fn what_stays_uncovered_is_bounded() {
        let mut rng = tidegate_env::Rng::new(9);
        for _ in 0..500 {
            let bound = rng.between(1_000, 100_000);
            let make = |rng: &mut tidegate_env::Rng| case(rng.below(20_000), rng.between(1, 300));
            let cases: Vec<Case> = (0..rng.below(60)).map(|_| make(&mut rng)).collect();
            let chosen = choose(&cases, bound);
            let left = |at: usize| if chosen.contains(&at) { 0 } else { cases[at].uncovered };
            let total: u64 = (0..cases.len()).map(left).sum();
            let dear: u64 = cases.iter().map(|case| (case.cost * PAYS).min(case.uncovered)).sum();
            assert!(total <= bound + dear, "{total} of {bound} in {cases:?}");
        }
    }
}
