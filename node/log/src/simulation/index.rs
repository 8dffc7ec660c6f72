//! The index against the files: what a failed commit, and the power after it, leave of it.

use std::path::Path;
use std::sync::Arc;

use tidegate_env::{Disk, Fault, FaultKind, FaultOn};

use super::world::{End, ROOT, World};
use crate::check::{self, CheckOptions, Problem, ProblemKind, Severity};

impl World {
    /// Writing the index fails while logs are rolled, trimmed or compacted, and then, mostly, the
    /// power: what it says must not be believed beyond what it was told.
    pub(super) fn fail_index(&mut self, n: usize) {
        let on = if self.rng.chance(50) { FaultOn::Sync } else { FaultOn::Write };
        let kind = if self.rng.chance(80) { FaultKind::Io } else { FaultKind::NoSpace };
        let after = self.rng.below(8) as u32;
        self.inject(Fault { on, after, kind, path: "index.redb".to_owned() });
        for _ in 0..self.rng.between(1, 4) {
            match self.rng.below(4) {
                0 => self.trim(n),
                1 => self.send(n),
                2 => self.wait(),
                _ => self.maintain(),
            }
            if !self.disk.has_power() {
                return;
            }
        }
        if self.rng.chance(80) {
            self.end(End::Cut);
            self.start();
            self.disk.clear_faults();
            self.disk.set_capacity(None);
            self.close_and_walk();
            self.start();
        }
    }

    /// Closes the store, and compares all that the index says of files with a walk over them.
    pub(super) fn close_and_walk(&mut self) {
        let index_fails =
            self.store.as_ref().is_none_or(|(store, _)| store.index_failure().is_some());
        self.end(End::Close);
        if index_fails || self.index_hurt || !self.disk.has_power() {
            return;
        }
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let report = check::check(&disk, Path::new(ROOT), CheckOptions::default(), &mut |_| {});
        for log in report.unwrap().logs_with(Severity::Repairable) {
            let n = log.log.partition.0 as usize;
            // A cut that was lost with a failed sync leaves bytes behind the last batch of a file.
            let counts = |problem: &&Problem| match problem.kind {
                ProblemKind::Damaged { range, .. } => range.from < range.end,
                _ => problem.kind.severity() >= Severity::Repairable,
            };
            let problems: Vec<&Problem> = log.problems.iter().filter(counts).collect();
            let sound = problems.is_empty() || self.logs[n].hurt;
            assert!(sound, "log {n}: the index and its files: {problems:?}");
        }
    }
}
