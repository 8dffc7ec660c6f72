//! The log of the coordinator's records.

use std::collections::VecDeque;
use std::time::Duration;

use tidegate_group::{AppendId, Record};

/// What is on record, and what is on its way there.
#[derive(Default)]
pub struct Disk {
    pub records: Vec<Record>,
    pub pending: VecDeque<(AppendId, Vec<Record>)>,
    /// When the next append ends.
    pub busy: Option<Duration>,
}

impl Disk {
    /// The coordinator stops: the first so many of what was on its way are there.
    pub fn crash(&mut self, written: usize) {
        for (_, records) in self.pending.drain(..).take(written) {
            self.records.extend(records);
        }
        self.busy = None;
    }

    /// Leaves out what later records replace, as compaction does.
    pub fn compact(&mut self) {
        let mut seen = std::collections::HashSet::new();
        let mut kept: Vec<Record> =
            self.records.iter().rev().filter(|r| seen.insert(r.key.clone())).cloned().collect();
        kept.reverse();
        self.records = kept;
    }
}
