//! One run: a disk, a clock, a store on them, and a model of each log.
//!
//! [`World::run`] draws operations until the run ends. After each one the model looks at what the
//! logs gained; when the power failed, or a log was sealed, what comes back is compared whole.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_env::{Clock, ManualClock, Rng, SimDisk};
use tidegate_types::{
    ByteSize, Flush, Incarnation, Offset, PartitionId, Timestamp, TopicId, TopicPartition,
};

use super::model::{Fate, LogModel};
use super::ops;
use crate::planted::Planted;
use crate::{LogConfig, LogHandle, LogOffsets, LogStore, StoreConfig, WriterStep};

pub(super) const ROOT: &str = "/data";

/// Logs of a run: the first is mirrored, the second may leave syncing to the system, the last is
/// the mirror.
pub(super) const LOGS: usize = 3;
pub(super) const MIRROR: usize = 2;

/// How a run of the process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub(super) enum End {
    /// The store is closed.
    Close,
    /// The process is killed; what it wrote stays.
    Kill,
    /// The power fails.
    Cut,
}

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) disk: SimDisk,
    pub(super) clock: Arc<ManualClock>,
    pub(super) store: Option<(LogStore, WriterStep)>,
    pub(super) logs: Vec<LogModel>,
    /// Faults may be waiting: calls may fail, though never lie.
    pub(super) armed: bool,
    /// The index was damaged or lost since the logs were last opened.
    pub(super) index_lost: bool,
    /// The index was damaged at some time: that may be found out late.
    pub(super) index_hurt: bool,
    /// Bits are turned in this run.
    pub(super) flips: bool,
    /// Logs are compacted in this run.
    pub(super) compacts: bool,
    pub(super) next_id: u64,
    /// Nothing goes wrong any more: all that is waiting must get in.
    pub(super) finishing: bool,
    pub(super) advances: Arc<Mutex<BTreeMap<TopicPartition, LogOffsets>>>,
    planted: Option<Planted>,
    trace: DefaultHasher,
    /// Every step is told, for whoever plays a single seed again.
    talks: bool,
}

pub(super) fn log_id(n: usize) -> TopicPartition {
    TopicPartition { topic: TopicId(uuid::Uuid::from_u128(7)), partition: PartitionId(n as u32) }
}

fn incarnation(n: usize) -> Incarnation {
    Incarnation(n as u64 + 100)
}

impl World {
    pub(super) fn new(seed: u64, planted: Option<Planted>) -> World {
        let mut rng = Rng::new(seed);
        let disk = SimDisk::new(rng.next_u64());
        let (flips, compacts) = (rng.chance(10), rng.chance(50));
        let mut logs = Vec::new();
        for n in 0..LOGS {
            logs.push(LogModel::new(LogConfig::default(), (n == MIRROR).then_some(0)));
        }
        let mut world = World {
            rng,
            disk,
            clock: Arc::new(ManualClock::new(Timestamp(super::clean::TODAY))),
            store: None,
            logs,
            armed: false,
            index_lost: false,
            index_hurt: false,
            flips,
            compacts,
            next_id: 1,
            finishing: false,
            advances: Arc::default(),
            planted,
            trace: DefaultHasher::new(),
            talks: super::plays_one(),
        };
        world.draw_configs();
        world
    }

    /// Other settings for each log, as a restart may bring them.
    fn draw_configs(&mut self) {
        for n in 0..LOGS {
            let most = match self.rng.below(10) {
                0 => 300_000,
                1..=6 if self.compacts => 6_000,
                _ => 30_000,
            };
            let segment_bytes = ByteSize::bytes(self.rng.between(2_000, most));
            // The log that is mirrored always syncs: a mirror must not get ahead of its source.
            let lazy = n == 1 && self.rng.chance(30);
            let flush = if lazy { Flush::Os } else { Flush::Always };
            self.logs[n].lossy |= lazy;
            let policy = self.draw_policy();
            self.logs[n].configure(LogConfig { segment_bytes, flush, policy });
        }
    }

    /// Plays the run; what it comes to, the same each time.
    pub(super) fn run(mut self) -> u64 {
        self.start();
        for _ in 0..self.rng.between(1, 6) {
            for _ in 0..self.rng.between(1, 25) {
                let (name, op) = ops::draw(&mut self.rng);
                let n = self.rng.below(LOGS as u64) as usize;
                (name, n).hash(&mut self.trace);
                self.tell(format_args!("{name} {n}"));
                op(&mut self, n);
                self.settle();
            }
            self.restart();
        }
        self.finish();
        self.trace.finish()
    }

    pub(super) fn tell(&self, what: impl std::fmt::Display) {
        if self.talks {
            eprintln!("{what}");
        }
    }

    /// Every producer gets its last batches in, once, and nothing is lost by closing.
    fn finish(&mut self) {
        self.finishing = true;
        self.calm();
        for n in 0..LOGS {
            for _ in 0..2 {
                self.send(n);
                self.settle();
            }
            let waiting: usize = self.logs[n].producers.iter().map(|p| p.unacked.len()).sum();
            assert_eq!(waiting, 0, "log {n}: batches are never acknowledged");
        }
        self.close_and_walk();
        self.start();
        self.finish_compaction();
        self.close_and_walk();
    }

    /// Takes everything out of the way that makes calls fail.
    fn calm(&mut self) {
        self.disk.clear_faults();
        self.disk.set_capacity(None);
        self.armed = false;
        for _ in 0..3 {
            self.clock.advance(Duration::from_secs(2));
            self.run_writer();
            self.settle();
        }
    }

    /// After each operation: a machine without power is started again, and the model catches up.
    fn settle(&mut self) {
        if !self.disk.has_power() {
            let end = if self.rng.chance(30) { End::Kill } else { End::Cut };
            self.end(end);
            self.start();
        }
        for n in 0..LOGS {
            self.catch_up(n);
            let log = self.logs[n].handle.as_ref().unwrap();
            (log.offsets().start, log.offsets().durable, log.offsets().end).hash(&mut self.trace);
            log.sealed_reason().hash(&mut self.trace);
            let (offsets, safe) = (log.offsets(), self.logs[n].durable);
            let (start, durable, end) = (offsets.start, offsets.durable, offsets.end);
            let sealed = log.sealed_reason();
            self.tell(format_args!("    {n}: {start} {durable} {end}, safe {safe} {sealed:?}"));
        }
        let counts = self.disk.counts();
        (counts.reads, counts.writes, counts.bytes_written, counts.syncs, counts.dir_syncs)
            .hash(&mut self.trace);
    }

    /// The log, opened again if it is sealed; `None` without power.
    pub(super) fn log(&mut self, n: usize) -> Option<LogHandle> {
        let sealed = self.logs[n].handle.as_ref().is_none_or(|log| log.sealed_reason().is_some());
        if sealed {
            let model = &mut self.logs[n];
            model.handle = None;
            // Nothing was lost but what was never seen.
            model.floor = model.end.max(model.floor);
            self.open_log(n)?;
            self.check_reopened(n);
            if !self.disk.has_power() {
                // What was opened as the power failed could not be looked at.
                return None;
            }
        }
        self.logs[n].handle.clone()
    }

    /// Opens a log, however many faults wait on the way; `None` if the power failed.
    fn open_log(&mut self, n: usize) -> Option<()> {
        let (store, _) = self.store.as_ref()?;
        for _ in 0..50 {
            match store.open_log(log_id(n), incarnation(n), self.logs[n].config) {
                Ok(log) => {
                    assert_eq!(log.incarnation(), incarnation(n));
                    self.logs[n].handle = Some(log);
                    self.logs[n].checked = false;
                    return Some(());
                }
                Err(_) if !self.disk.has_power() => return None,
                Err(error) => assert!(self.armed, "log {n} does not open: {error:?}"),
            }
            // A disk that is full stays so until somebody makes room.
            self.disk.set_capacity(None);
        }
        panic!("log {n} does not open");
    }

    /// Ends this run of the process, and makes of the disk what the next one finds.
    pub(super) fn end(&mut self, end: End) {
        end.hash(&mut self.trace);
        self.tell(format_args!("{end:?}"));
        for n in 0..LOGS {
            // What it said until the very last counts, though it can no longer be read.
            let handle = self.logs[n].handle.take();
            if let Some(log) = handle.filter(|_| self.logs[n].checked) {
                self.observe_promise(n, log.offsets());
                self.logs[n].floor = log.offsets().end;
                self.logs[n].shown = self.logs[n].shown.max(log.offsets().start);
            }
            let model = &mut self.logs[n];
            model.floor = if end == End::Cut { model.durable } else { model.floor };
        }
        let store = self.store.take();
        match end {
            End::Close => {
                if let Some((store, _)) = store {
                    store.close();
                }
            }
            End::Kill => self.disk = self.disk.kill(),
            End::Cut => self.disk = self.disk.crash(),
        }
    }

    fn restart(&mut self) {
        let end = match self.rng.below(4) {
            0 => End::Close,
            1 => End::Kill,
            _ => End::Cut,
        };
        if self.rng.chance(70) {
            self.disk.clear_faults();
            self.disk.set_capacity(None);
            self.armed = false;
        }
        self.end(end);
        if !self.disk.has_power() {
            self.end(End::Cut);
        }
        ops::between_starts(self);
        if self.rng.chance(30) {
            self.draw_configs();
        }
        self.start();
    }

    /// Opens the store and its logs, however often the power fails meanwhile, and checks them.
    pub(super) fn start(&mut self) {
        while self.try_start().is_none() || !self.disk.has_power() {
            self.end(End::Cut);
        }
        for n in 0..LOGS {
            self.check_reopened(n);
        }
        self.index_lost = false;
    }

    fn try_start(&mut self) -> Option<()> {
        let advances = Arc::clone(&self.advances);
        advances.lock().unwrap().clear();
        let on_advance = move |id, now: LogOffsets| {
            assert!(now.start <= now.durable && now.durable <= now.end, "{now:?}");
            let mut advances = advances.lock().unwrap();
            if let Some(before) = advances.insert(id, now) {
                let forward = before.start <= now.start
                    && before.durable <= now.durable
                    && before.end <= now.end;
                assert!(forward, "{before:?} {now:?}");
            }
        };
        // From a checkpoint of every log at every tick to none at all.
        let uncovered = ByteSize::bytes([0, 10_000, 1 << 30][self.rng.below(3) as usize]);
        // From a dozen keys to all of them.
        let compaction_memory = ByteSize::bytes([500, 3_000, 1 << 20][self.rng.below(3) as usize]);
        let config = StoreConfig {
            uncovered,
            reserve: ByteSize::kib(64),
            on_advance: Some(Arc::new(on_advance)),
            opening_threads: 1,
            compaction_memory,
            planted: self.planted,
            ..StoreConfig::default()
        };
        self.note_moved_index();
        for _ in 0..50 {
            let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
            let disk = Arc::new(self.disk.clone());
            match LogStore::open_stepped(disk, clock, Path::new(ROOT), config.clone()) {
                Ok(opened) => {
                    self.store = Some(opened);
                    break;
                }
                Err(_) if !self.disk.has_power() => return None,
                Err(error) => assert!(self.armed, "the store does not open: {error:?}"),
            }
            self.disk.set_capacity(None);
        }
        assert!(self.store.is_some(), "the store does not open");
        self.note_moved_index();
        for n in 0..LOGS {
            // Its old handle may be open still, from before another log failed to open.
            self.open_log(n)?;
        }
        Some(())
    }

    /// The offset that the log's own promise covers, and what follows from that.
    pub(super) fn observe_promise(&mut self, n: usize, offsets: LogOffsets) {
        let model = &mut self.logs[n];
        assert!(model.start <= offsets.start, "log {n}: its start went back");
        assert!(model.claimed <= offsets.durable, "log {n}: its durable end went back");
        assert!(offsets.durable <= offsets.end, "log {n}: durable beyond its end");
        if model.config.flush == Flush::Always && offsets.durable > model.claimed {
            model.durable = offsets.durable;
        }
        model.claimed = offsets.durable;
    }

    /// A batch for a log, not sent yet.
    pub(super) fn make(
        &mut self,
        n: usize,
        stamp: Option<tidegate_types::ProducerStamp>,
        transactional: bool,
    ) -> super::model::BatchId {
        let wanted = super::batches::Wanted {
            id: self.next_id,
            stamp,
            now: self.clock.wall(),
            big: self.logs[n].config.segment_bytes > ByteSize::bytes(60_000),
            transactional,
        };
        self.next_id += 1;
        let bytes = super::batches::make(&mut self.rng, &wanted);
        self.logs[n].add(bytes)
    }

    /// Whether a batch may be in the log now that was not there before.
    pub(super) fn may_appear(fate: Fate, after_a_start: bool) -> bool {
        match fate {
            Fate::Unsent => false,
            Fate::Refused => after_a_start,
            Fate::Unknown | Fate::Accepted => true,
        }
    }

    /// Where the model says that `offset` is no offset of the log's.
    pub(super) fn outside(&self, n: usize, offset: Offset) -> bool {
        offset < self.logs[n].start || offset > self.logs[n].end
    }
}
