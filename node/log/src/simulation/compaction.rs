//! Compaction: drives it, and takes in what it left of a log.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_env::{Fault, FaultKind, FaultOn};
use tidegate_types::{ByteSize, Cleanup, LogPolicy, Offset};

use super::batches;
use super::checks::split;
use super::history::Rules;
use super::model::{LogModel, Stored};
use super::world::World;

/// What a log shows of being compacted: bytes, files, and up to where it says that it is clean.
pub(super) type Shape = (ByteSize, usize, Offset);

impl World {
    /// What a run that compacts draws for a log; how often, hangs on the run.
    pub(super) fn draw_compaction(&mut self, policy: &mut LogPolicy) {
        if !self.compacts || self.rng.chance(25) {
            return;
        }
        policy.cleanup =
            if self.rng.chance(70) { Cleanup::Compact } else { Cleanup::CompactDelete };
        policy.min_dirty_percent = [0, 0, 20, 50][self.rng.below(4) as usize];
        if self.rng.chance(40) {
            policy.min_compaction_lag = Duration::from_millis(self.rng.between(1, 8_000));
        }
        policy.delete_retention = match self.rng.below(4) {
            0 => Duration::ZERO,
            1 => policy.delete_retention,
            _ => Duration::from_millis(self.rng.between(1, 10_000)),
        };
        if self.rng.chance(50) {
            policy.segment_age = Duration::from_millis(self.rng.between(1, 3_000));
        }
    }

    /// Compaction is mostly at work, and its disk not always well.
    pub(super) fn compact(&mut self) {
        if !self.compacts {
            return;
        }
        if self.rng.chance(15) {
            let on = match self.rng.below(8) {
                0 | 1 => FaultOn::Write,
                2 | 3 => FaultOn::Sync,
                4 => FaultOn::Rename,
                5 => FaultOn::Create,
                6 => FaultOn::SyncDir,
                _ => FaultOn::Remove,
            };
            let kind = if self.rng.chance(70) { FaultKind::Io } else { FaultKind::NoSpace };
            let path = match on {
                FaultOn::SyncDir => "",
                FaultOn::Remove => ".log",
                _ => ".cleaned",
            };
            let after = self.rng.below(3) as u32;
            self.inject(Fault { on, after, kind, path: path.to_owned() });
        }
        self.maintain();
    }

    /// Notes which files are closed: compaction knows of them as it begins.
    pub(super) fn note_closed(&mut self) {
        let uptime = self.uptime();
        for n in 0..self.logs.len() {
            if let Some(active) = self.segment_bases(n).last() {
                self.logs[n].history.note_closed(*active, uptime);
            }
        }
    }

    fn shape(&self, n: usize) -> Option<Shape> {
        let log = self.logs[n].handle.as_ref()?;
        Some((log.bytes(), log.segments(), log.compaction().0))
    }

    /// Takes in what compaction took from a log that stayed open.
    pub(super) fn observe_compaction(&mut self, n: usize) {
        let shape = self.shape(n);
        if !self.compacts || self.logs[n].hurt || shape == self.logs[n].shape {
            return;
        }
        let Some(log) = self.logs[n].handle.clone().filter(|_| self.disk.has_power()) else {
            return;
        };
        self.tell(format_args!("    {n} is compacted: {shape:?}"));
        let (start, end) = (log.offsets().start, self.logs[n].end);
        let (mut at, mut found) = (start, BTreeMap::new());
        while at < end {
            let Some(chunk) = self.read(&log, at, end, ByteSize::kib(64)) else { return };
            let chunk = chunk.unwrap_or_else(|error| panic!("log {n}, compacted: {error}"));
            let mirror = self.logs[n].mirror_of.is_some();
            assert!(!chunk.is_empty() || mirror, "log {n}: nothing at {at}, compacted");
            if chunk.is_empty() {
                break;
            }
            for (header, bytes) in split(&chunk) {
                at = header.next_offset();
                let base = header.base_offset;
                let known = self.logs[n].content.get(&base).filter(|s| s.bytes == bytes).cloned();
                let stored = known.unwrap_or_else(|| self.logs[n].history.remainder(base, &bytes));
                found.insert(base, stored);
            }
        }
        let model = &mut self.logs[n];
        model.content.retain(|_, stored| stored.next <= start);
        model.content.append(&mut found);
        let policy = model.config.policy;
        self.judge(n, &[policy]);
        self.logs[n].shape = shape;
        self.check_answers(n);
    }

    /// Compares what there is of a log with what compaction may have taken.
    pub(super) fn judge(&mut self, n: usize, policies: &[LogPolicy]) {
        let model = &self.logs[n];
        let start = model.start.max(model.shown).max(model.trimmed);
        let missed_looks = model.hurt;
        let uptime = self.uptime();
        let LogModel { history, content, damage, handle, .. } = &mut self.logs[n];
        let Some(log) = handle.as_ref() else { return };
        let clean = log.compaction().0;
        let excused = |offset| damage.iter().any(|range| range.contains(offset));
        let rules =
            Rules { log: n, start, policies, uptime, clean, excused: &excused, missed_looks };
        history.judge(content, &rules);
    }

    /// A batch that was found other than it was: what compaction left of it, if it is not new.
    pub(super) fn rewritten(&self, n: usize, base: Offset, bytes: &bytes::Bytes) -> Option<Stored> {
        let model = &self.logs[n];
        if !self.compacts || model.is_known(base, bytes) || batches::records(bytes).is_none() {
            return None;
        }
        Some(model.history.remainder(base, bytes))
    }

    /// In the end all that may be compacted is.
    pub(super) fn finish_compaction(&mut self) {
        if !self.compacts {
            return;
        }
        for n in 0..self.logs.len() {
            let Some(log) = self.log(n) else { continue };
            let model = &mut self.logs[n];
            let policy = &mut model.config.policy;
            policy.min_compaction_lag = Duration::ZERO;
            policy.min_dirty_percent = 0;
            log.set_config(model.config).unwrap();
        }
        // Longer than compaction rests after a failure.
        self.clock.advance(Duration::from_secs(700));
        self.maintain_once();
        self.maintain_once();
        let uptime = self.uptime();
        for n in 0..self.logs.len() {
            let files = self.segment_bases(n);
            let model = &self.logs[n];
            let Some(log) = model.handle.as_ref().filter(|_| !model.hurt) else { continue };
            let given_up = self.store.as_ref().is_some_and(|(s, _)| s.index_failure().is_some());
            if !model.config.policy.cleanup.compacts() || given_up {
                continue;
            }
            let (clean, trouble) = log.compaction();
            assert_eq!(trouble, None, "log {n}: it is not compacted");
            let rules = Rules {
                log: n,
                start: model.start,
                policies: &[model.config.policy],
                uptime,
                clean,
                excused: &|_| false,
                missed_looks: false,
            };
            let must = model.history.must_be_clean_to(&rules, &files);
            let clean = clean.max(model.start);
            assert!(clean >= must, "log {n}: clean to {clean}, not to {must}");
        }
    }
}
