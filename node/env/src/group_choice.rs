//! Which way of syncing many files is the cheaper one here: each by itself, or the whole file system.
//!
//! One sync of a file costs the same however many there are; one of the file system costs more than
//! one file's and grows slowly, but also writes what strangers have dirty there. Which wins depends
//! on the device and on the hour, so both are timed. The way that seems dearer is tried again once
//! the cheaper one has run so long that the trial costs [`TRIAL_SHARE`] of it at most.
//!
//! Holds numbers only: no files, no clock.

use std::time::Duration;

/// How the files of a round are synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// Each file by itself.
    Each,
    /// All of them with the file system they are on.
    Together,
}

/// Trials of the other way take one part in this many of the time that syncs take.
const TRIAL_SHARE: f64 = 50.0;

/// A new time counts for one part in this many: one slow sync does not turn the choice.
const WEIGHT: f64 = 8.0;

/// Until it was timed, syncing the file system is taken to cost as much as this many files.
const TOGETHER_GUESS: f64 = 3.5;

/// So many files go together before a file was ever timed, as when a store opens.
const CLEARLY_MANY: usize = 16;

/// Rounds are classed by the power of two that their number of files reaches.
const CLASSES: usize = 16;

/// What was chosen for a round, to be given back with the time it took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Choice {
    pub(crate) way: Way,
    files: usize,
    /// It is the way that seems dearer.
    trial: bool,
}

/// Moving estimates, in seconds, of what each way costs.
#[derive(Clone, Debug, Default)]
pub(crate) struct SyncChoice {
    /// One file by itself.
    one: Option<f64>,
    /// The file system, by the class of the round.
    together: [Option<f64>; CLASSES],
    /// What may be spent on trying the other way.
    credit: f64,
}

fn class(files: usize) -> usize {
    (files.max(1).ilog2() as usize).min(CLASSES - 1)
}

fn blend(estimate: &mut Option<f64>, seen: f64) {
    *estimate = Some(estimate.map_or(seen, |old| old + (seen - old) / WEIGHT));
}

impl SyncChoice {
    /// The way to go for a round of this many files.
    pub(crate) fn choose(&self, files: usize) -> Choice {
        let one = match (self.one, self.together[class(files)]) {
            (Some(one), _) if files > 1 => one,
            (None, Some(together)) if files >= CLEARLY_MANY => together / TOGETHER_GUESS,
            (None, None) if files >= CLEARLY_MANY => {
                return Choice { way: Way::Together, files, trial: false };
            }
            _ => return Choice { way: Way::Each, files, trial: false },
        };
        let each = one * files as f64;
        let together = self.together[class(files)].unwrap_or(one * TOGETHER_GUESS);
        let (cheaper, other, dearer) = if each <= together {
            (Way::Each, Way::Together, together)
        } else {
            (Way::Together, Way::Each, each)
        };
        let trial = self.credit >= dearer;
        Choice { way: if trial { other } else { cheaper }, files, trial }
    }

    /// Takes in what a round took.
    pub(crate) fn observe(&mut self, choice: Choice, took: Duration) {
        let took = took.as_secs_f64();
        match choice.way {
            Way::Each => blend(&mut self.one, took / choice.files.max(1) as f64),
            Way::Together => blend(&mut self.together[class(choice.files)], took),
        }
        if choice.trial {
            self.credit = 0.0;
        } else if choice.files > 1 {
            self.credit += took / TRIAL_SHARE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs rounds of `files` on a device with these costs; how many went together, and the time.
    fn run(
        choice: &mut SyncChoice,
        rounds: usize,
        files: usize,
        one: Duration,
        together: Duration,
    ) -> (usize, Duration) {
        let (mut count, mut total) = (0, Duration::ZERO);
        for _ in 0..rounds {
            let chosen = choice.choose(files);
            let took = match chosen.way {
                Way::Each => one * u32::try_from(files).unwrap(),
                Way::Together => together,
            };
            count += usize::from(chosen.way == Way::Together);
            total += took;
            choice.observe(chosen, took);
        }
        (count, total)
    }

    const US: Duration = Duration::from_micros(1);

    #[test]
    fn one_file_is_always_synced_by_itself() {
        let mut choice = SyncChoice::default();
        assert_eq!(run(&mut choice, 1_000, 1, 500 * US, 1 * US).0, 0);
    }

    #[test]
    fn many_files_go_together_before_one_was_timed() {
        let mut choice = SyncChoice::default();
        assert_eq!(run(&mut choice, 20, 256, 500 * US, 5_000 * US).0, 20);
        // Where that is the dearer way, it is found out.
        let mut choice = SyncChoice::default();
        run(&mut choice, 2_000, 64, 90 * US, 90_000 * US);
        assert!(run(&mut choice, 2_000, 64, 90 * US, 90_000 * US).0 < 100);
    }

    #[test]
    fn the_cheaper_way_is_found_and_trials_cost_little() {
        for (files, one, together, expect_together) in [
            (2, 90, 180, false),
            (4, 100, 200, true),
            (16, 120, 280, true),
            (1_000, 140, 19_000, true),
            (64, 90, 90_000, false),
        ] {
            let mut choice = SyncChoice::default();
            run(&mut choice, 50, 1, one * US, together * US);
            run(&mut choice, 2_000, files, one * US, together * US);
            let (count, total) = run(&mut choice, 2_000, files, one * US, together * US);
            assert_eq!(count > 1_800, expect_together, "{files} files: {count} together");
            let best = (one * u32::try_from(files).unwrap()).min(together) * US * 2_000;
            assert!(total < best.mul_f64(1.05), "{files} files: {total:?}, best {best:?}");
        }
    }

    #[test]
    fn a_change_of_costs_is_noticed() {
        let mut choice = SyncChoice::default();
        run(&mut choice, 500, 16, 100 * US, 300 * US);
        // Somebody else writes gigabytes to the same file system.
        run(&mut choice, 200, 16, 100 * US, 80_000 * US);
        assert!(run(&mut choice, 500, 16, 100 * US, 80_000 * US).0 < 10);
        // And stops.
        run(&mut choice, 100_000, 16, 100 * US, 300 * US);
        assert!(run(&mut choice, 500, 16, 100 * US, 300 * US).0 > 450);
    }

    #[test]
    fn one_slow_sync_does_not_turn_the_choice() {
        let mut choice = SyncChoice::default();
        run(&mut choice, 500, 16, 100 * US, 300 * US);
        let chosen = choice.choose(16);
        choice.observe(chosen, 5_000 * US);
        assert!(run(&mut choice, 500, 16, 100 * US, 300 * US).0 > 450);
    }
}
