//! What leaves a log: trims, retention by size and by two clocks, and what that promises.
//!
//! A log's start moves only forward, only as far as something that was done explains, and what was
//! seen to be gone stays gone. Where the index was lost it may lie at the first file's base again.

use std::path::Path;
use std::time::Duration;

use tidegate_env::{Clock, Disk};
use tidegate_types::{ByteSize, LogPolicy, Offset, Timestamp, WhenFull};

use super::model::LogModel;
use super::world::{LOGS, ROOT, World, log_id};
use crate::{LogConfig, LogHandle, TrimError};

/// The largest jump of the wall clock: 30 years.
const JUMP: u64 = 30 * 365 * 86_400_000;

/// The wall clock of a run begins here: late in 2023.
pub(super) const TODAY: i64 = 1_700_000_000_000;

impl World {
    /// All the time that passed while a process ran; never less than the store counts.
    pub(super) fn uptime(&self) -> Duration {
        self.clock.monotonic()
    }

    /// What is to become of old records: mostly nothing.
    pub(super) fn draw_policy(&mut self) -> LogPolicy {
        let mut policy = LogPolicy::default();
        self.draw_compaction(&mut policy);
        if self.rng.chance(60) {
            return policy;
        }
        if self.rng.chance(50) {
            policy.retention = Some(Duration::from_millis(self.rng.between(200, 15_000)));
        }
        if self.rng.chance(50) {
            policy.retention_bytes = Some(ByteSize::bytes(self.rng.between(0, 60_000)));
        }
        if self.rng.chance(50) {
            policy.segment_age = Duration::from_millis(self.rng.between(1, 10_000));
        }
        if self.rng.chance(30) {
            policy.when_full = WhenFull::DropOldest;
        }
        policy
    }

    /// Other settings for a log that stays open.
    pub(super) fn reconfigure(&mut self, n: usize) {
        let Some(log) = self.log(n) else { return };
        let policy = self.draw_policy();
        let segment_bytes = ByteSize::bytes(self.rng.between(2_000, 30_000));
        let model = &mut self.logs[n];
        model.configure(LogConfig { segment_bytes, policy, ..model.config });
        log.set_config(model.config).unwrap();
        assert_eq!(log.config(), model.config);
    }

    /// The wall clock jumps by years, or is set right again.
    pub(super) fn jump(&mut self) {
        let passed = self.uptime().as_millis() as i64;
        let by = match self.rng.below(4) {
            0 => self.rng.below(JUMP) as i64,
            1 => -(self.rng.below(JUMP) as i64),
            _ => 0,
        };
        self.clock.set_wall(Timestamp(TODAY + passed + by));
    }

    /// Maintenance looks at all logs, before and after the writer closed what it asked for; in part
    /// of the cases the power fails meanwhile.
    pub(super) fn maintain(&mut self) {
        self.run_writer();
        for n in 0..LOGS {
            self.catch_up(n);
        }
        if self.rng.chance(25) {
            let changes = self.rng.below(30);
            self.disk.crash_after(changes);
        }
        for _ in 0..2 {
            self.maintain_once();
        }
    }

    pub(super) fn maintain_once(&mut self) {
        if !self.disk.has_power() {
            return;
        }
        if self.compacts {
            self.note_closed();
        }
        let Some((store, _)) = &self.store else { return };
        store.maintenance_step().run();
        if store.index_failure().is_some() {
            self.note_unsure_starts();
        }
        for n in 0..LOGS {
            self.catch_up(n);
            self.observe_compaction(n);
        }
        self.run_writer();
    }

    /// Somebody wants everything before an offset gone.
    pub(super) fn trim(&mut self, n: usize) {
        let Some(log) = self.log(n) else { return };
        self.catch_up(n);
        let offsets = log.offsets();
        let to = match self.rng.below(10) {
            0 => offsets.end.advance(1),
            1 | 2 => offsets.durable,
            _ => Offset(self.rng.between(0, offsets.durable.0 as u64) as i64),
        };
        if self.rng.chance(25) {
            let changes = self.rng.below(10);
            self.disk.crash_after(changes);
        }
        self.tell(format_args!("    to {to} of {offsets:?}"));
        let refused = to > offsets.durable;
        let model = &mut self.logs[n];
        if !refused {
            model.trimmed = model.trimmed.max(to);
        }
        match log.trim(to) {
            Ok(start) => {
                assert!(!refused, "log {n}: trimmed to {to}, beyond what is durable");
                assert_eq!(start, offsets.start.max(to), "log {n}: trimmed elsewhere");
                // On return it is there, power or not, and so is what it says is gone.
                model.shown = model.shown.max(start);
                model.durable = model.durable.max(start);
            }
            Err(TrimError::BeyondEnd { .. }) => assert!(refused, "log {n}: a trim is refused"),
            Err(error) => {
                let given_up =
                    self.store.as_ref().is_some_and(|(store, _)| store.index_failure().is_some());
                let why = self.armed || given_up || !self.disk.has_power();
                assert!(why, "log {n}: {error}");
            }
        }
    }

    /// An index that was moved aside, as after a sync of it failed, is one that is lost.
    pub(super) fn note_moved_index(&mut self) {
        let path = Path::new(ROOT).join("index.redb.damaged");
        if self.disk.exists(&path).unwrap_or(false) {
            self.index_lost = true;
            // Another one may follow.
            let _ = self.disk.remove_file(&path);
        }
    }

    /// A commit that failed may be there all the same once the process is killed: where a log was
    /// about to start it may start then.
    fn note_unsure_starts(&mut self) {
        let (uptime, wall) = (self.uptime(), self.now());
        for n in 0..LOGS {
            let bases = self.segment_bases(n);
            let model = &mut self.logs[n];
            let drops = self.armed && model.config.policy.when_full == WhenFull::DropOldest;
            let may = |start: &&Offset| drops || model.may_start_at(**start, uptime, wall);
            let furthest = bases.iter().rev().find(may).copied();
            model.trimmed = model.trimmed.max(furthest.unwrap_or(Offset::ZERO));
        }
    }

    /// A log's head leaves only for a reason.
    pub(super) fn check_start(&mut self, n: usize, start: Offset) {
        let (uptime, wall) = (self.uptime(), self.now());
        let model = &mut self.logs[n];
        if start == model.start {
            return;
        }
        let policies = model.policies();
        if self.armed && policies.iter().any(|policy| policy.when_full == WhenFull::DropOldest) {
            // What a full disk took is an explicit gap, up to where it says; after a restart it is
            // told no more.
            let told = model.handle.as_ref().filter(|_| model.checked).map(LogHandle::dropped);
            let dropped = told.map_or(start, |told| told.map_or(model.start, |d| d.last.end));
            assert!(dropped <= start, "log {n}: the gap ends at {dropped}, the start is {start}");
            model.set_start(dropped.max(model.start));
        }
        let may = model.may_start_at(start, uptime, wall);
        assert!(may, "log {n}: it starts at {start}, not at {}", model.start);
        model.set_start(start);
    }

    /// Where a log that was just opened may start.
    pub(super) fn check_start_reopened(&mut self, n: usize, start: Offset, bases: &[Offset]) {
        let store = self.store.as_ref();
        let given_up = store.is_some_and(|(store, _)| store.index_failure().is_some());
        let lost = self.index_lost || self.index_hurt || given_up;
        let model = &mut self.logs[n];
        if lost && start < model.start.max(model.shown) {
            // The start is known from the first file alone, or as it once was; what its producers
            // sent before, not.
            let known = bases.first() == Some(&start) || self.index_hurt;
            assert!(known, "log {n}: it starts at {start} without the index");
            // A part of the index that can be read again may know better.
            model.trimmed = model.trimmed.max(model.start).max(model.shown);
            model.shown = start;
            model.set_start(start);
            self.advances.lock().unwrap().remove(&log_id(n));
        }
        model.beheaded |= lost && start > Offset::ZERO;
        model.forgot |= lost && (start > Offset::ZERO || self.compacts);
        assert!(start >= model.start, "log {n}: its start went back to {start}");
        assert!(start >= model.shown, "log {n}: what was trimmed to {} is back", model.shown);
        self.check_start(n, start);
    }
}

impl LogModel {
    /// Gives it other settings.
    pub(super) fn configure(&mut self, config: LogConfig) {
        self.policies_before.push(self.config.policy);
        self.config = config;
    }

    /// The policies under which what is seen of it may have been done.
    pub(super) fn policies(&self) -> Vec<LogPolicy> {
        self.policies_before.iter().copied().chain([self.config.policy]).collect()
    }

    /// Whether a policy allows the log to start at `start` now.
    fn lets_go(&self, policy: LogPolicy, start: Offset, uptime: Duration, wall: Timestamp) -> bool {
        let kept: usize = self.content.range(start..).map(|(_, stored)| stored.bytes.len()).sum();
        let kept = kept as u64 + self.filler;
        let by_size = policy.retention_bytes.is_some_and(|least| kept >= least.get());
        let before = || self.content.range(..start).map(|(_, stored)| stored);
        let gone = || before().filter(|stored| stored.next > self.start);
        let by_age = policy.retention.is_some_and(|age| {
            let young = |time: Timestamp| {
                let millis = u64::try_from(wall.millis().saturating_sub(time.millis()));
                millis.is_ok_and(|millis| Duration::from_millis(millis) <= age)
            };
            // What lies ahead of the clock, or far behind, may stand for others in its file.
            let all_young = gone().flat_map(|stored| &stored.records).all(|r| young(r.time));
            // Where compaction left a file no record, nothing tells how old it is.
            let tells_nothing = gone().any(|stored| stored.records.is_empty());
            let held = gone().all(|stored| uptime.saturating_sub(stored.seen_at) > age);
            held && (!all_young || tells_nothing)
        });
        policy.cleanup.deletes() && (by_size || by_age)
    }

    /// Whether anything that was done explains that the log starts at `start`.
    fn may_start_at(&self, start: Offset, uptime: Duration, wall: Timestamp) -> bool {
        self.hurt
            || start <= self.start.max(self.trimmed)
            || self.policies().iter().any(|policy| self.lets_go(*policy, start, uptime, wall))
    }

    /// What lies before is gone: nobody sends it again.
    pub(super) fn set_start(&mut self, start: Offset) {
        self.start = start;
        for (_, whole) in self.history.batches() {
            let Some(id) = whole.id else { continue };
            self.sent[id].left = whole.next() <= start;
            if !self.sent[id].left {
                continue;
            }
            for producer in &mut self.producers {
                if let Some(at) = producer.unacked.iter().position(|unacked| *unacked == id) {
                    producer.unacked.remove(at);
                    producer.acked.push(id);
                }
            }
        }
    }
}
