//! A model of what a log promises, against the log on a disk that crashes.
//!
//! Each seed is a run of random appends (idempotent and not, durable and merely written, several to
//! a request), rolls, failed writes and syncs, kills, power cuts and clean restarts; a mirror
//! copies one log into another as it is. After each start what the log holds is compared with what
//! was promised. `TIDEGATE_SEEDS=N` runs more of them, `TIDEGATE_SEED=S` a single one.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use common::*;
use tidegate_env::{Fault, FaultKind, FaultOn, Rng, SimDisk};
use tidegate_log::*;
use tidegate_types::*;

const LOGS: u32 = 2;
const MIRROR: u32 = 8;

type Answer = mpsc::Receiver<Result<Appended, AppendError>>;

/// A batch's bytes without what the log sets in it.
fn essence(bytes: &[u8]) -> Vec<u8> {
    at_offset(bytes.to_vec(), 0, 0)
}

/// A producer that retries until it is answered, in order.
struct Producer {
    id: i64,
    epoch: i16,
    next_sequence: i32,
    ack: When,
    /// Sent or to be sent, not acknowledged, oldest first: ids of its batches.
    unacked: VecDeque<u64>,
    /// Acknowledged ones, for repeating a retry that is not needed.
    acked: Vec<u64>,
}

struct Sent {
    bytes: Vec<u8>,
    records: i64,
    /// The offset it was acknowledged at.
    acked_at: Option<Offset>,
    /// No crash may lose it.
    durable: bool,
}

#[derive(Default)]
struct Model {
    sent: HashMap<u64, Sent>,
    by_essence: HashMap<Vec<u8>, u64>,
}

struct Run {
    rng: Rng,
    disk: SimDisk,
    stepped: Option<Stepped>,
    config: [LogConfig; LOGS as usize],
    models: Vec<Model>,
    producers: Vec<Vec<Producer>>,
    next_id: u64,
    advances: Arc<Mutex<HashMap<TopicPartition, LogOffsets>>>,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut rng = Rng::new(seed);
        let disk = SimDisk::new(rng.next_u64());
        let mut config = std::array::from_fn(|_| tiny(rng.between(2_000, 30_000)));
        // The log that is mirrored always syncs: a mirror must not get ahead of its source.
        if rng.chance(30) {
            config[1].flush = Flush::Os;
        }
        let producers = (0..LOGS).map(|_| {
            (1..=3)
                .map(|id| Producer {
                    id,
                    epoch: 0,
                    next_sequence: if id == 2 { i32::MAX - 20 } else { 0 },
                    ack: if id == 3 { When::Written } else { When::Durable },
                    unacked: VecDeque::new(),
                    acked: Vec::new(),
                })
                .collect()
        });
        let producers = producers.collect();
        Run {
            rng,
            disk,
            stepped: None,
            config,
            models: (0..LOGS).map(|_| Model::default()).collect(),
            producers,
            next_id: 1,
            advances: Arc::default(),
        }
    }

    fn open(&mut self) {
        let advances = Arc::clone(&self.advances);
        advances.lock().unwrap().clear();
        let on_advance = move |id, now: LogOffsets| {
            assert!(now.start <= now.durable && now.durable <= now.end, "{now:?}");
            let mut advances = advances.lock().unwrap();
            if let Some(before) = advances.insert(id, now) {
                assert!(
                    before.durable <= now.durable && before.end <= now.end,
                    "{before:?} {now:?}"
                );
            }
        };
        // From a checkpoint of every log at every tick to none at all.
        let uncovered = ByteSize::bytes([0, 10_000, 1 << 30][self.rng.below(3) as usize]);
        let on_advance: Option<OnAdvance> = Some(Arc::new(on_advance));
        let config = StoreConfig { on_advance, uncovered, ..small() };
        self.stepped = Some(Stepped::open_in(self.disk.clone(), Path::new(ROOT), config));
    }

    fn stepped(&mut self) -> &mut Stepped {
        self.stepped.as_mut().unwrap()
    }

    fn log(&mut self, n: u32) -> LogHandle {
        let config = self.config[n as usize % LOGS as usize];
        let stepped = self.stepped();
        // Opening a sealed log again may meet a fault too; each strikes once.
        let open = || stepped.store.open_log(log_id(n), Incarnation(u64::from(n) + 100), config);
        (0..50).find_map(|_| open().ok()).expect("the log does not open")
    }

    fn syncs(&self, n: u32) -> bool {
        self.config[n as usize % LOGS as usize].flush == Flush::Always
    }

    /// Makes a batch and remembers it.
    fn make(&mut self, n: u32, stamp: Option<ProducerStamp>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let records = self.rng.between(1, 3);
        let mut values = Vec::new();
        for _ in 0..records {
            let len = if self.rng.chance(10) { 4_000 } else { self.rng.between(0, 300) };
            let mut value = vec![0; len as usize];
            self.rng.fill(&mut value);
            value.extend_from_slice(&id.to_be_bytes());
            values.push(value);
        }
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let bytes = batch(stamp, &values);
        let model = &mut self.models[n as usize];
        model.by_essence.insert(essence(&bytes), id);
        let sent = Sent { bytes, records: records as i64, acked_at: None, durable: false };
        model.sent.insert(id, sent);
        id
    }

    fn produce(&mut self, n: u32, which: usize) {
        let Producer { id, epoch, next_sequence, .. } = self.producers[n as usize][which];
        let batch = self.make(n, Some(stamp(id, epoch, next_sequence)));
        let records = self.models[n as usize].sent[&batch].records as i32;
        let producer = &mut self.producers[n as usize][which];
        producer.next_sequence = Sequence(next_sequence).advance(records).get();
        producer.unacked.push_back(batch);
    }

    /// Everything a producer has not had acknowledged, in order, then runs rounds.
    fn send(&mut self, n: u32) {
        let (log, synced) = (self.log(n), self.syncs(n));
        let mut answers: Vec<(Option<usize>, Vec<u64>, When, Answer)> = Vec::new();
        for which in 0..self.producers[n as usize].len() {
            let producer = &self.producers[n as usize][which];
            let ack = producer.ack;
            let mut ids: VecDeque<u64> = producer.unacked.clone();
            // A retry whose ack got lost: the last few that were acknowledged, again.
            if ack == When::Durable && ids.is_empty() && !producer.acked.is_empty() {
                let back = self.rng.between(1, producer.acked.len().min(5) as u64) as usize;
                ids = producer.acked[producer.acked.len() - back..].iter().copied().collect();
            }
            while !ids.is_empty() {
                let together = self.rng.between(1, 3).min(ids.len() as u64) as usize;
                let group: Vec<u64> = ids.drain(..together).collect();
                let sent = &self.models[n as usize].sent;
                let bytes: Vec<u8> = group.iter().flat_map(|id| sent[id].bytes.clone()).collect();
                let answer = Stepped::queue(&log, request(bytes, ack));
                answers.push((Some(which), group, ack, answer));
                if self.rng.chance(20) {
                    self.stepped().step.run();
                }
            }
        }
        if self.rng.chance(50) {
            let id = self.make(n, None);
            let ack = if self.rng.chance(50) { When::Durable } else { When::Written };
            let bytes = self.models[n as usize].sent[&id].bytes.clone();
            answers.push((None, vec![id], ack, Stepped::queue(&log, request(bytes, ack))));
        }
        self.stepped().step.run();
        let mut started_over = HashSet::new();
        for (which, group, ack, answer) in answers {
            match answer.try_recv().unwrap() {
                Ok(appended) => {
                    // What it sent in its former epoch is no longer its concern.
                    let which = which.filter(|which| !started_over.contains(which));
                    self.acknowledged(n, which, &group, ack, appended);
                }
                Err(AppendError::Sealed { .. } | AppendError::DiskFull { .. }) => {}
                Err(AppendError::OutOfOrderSequence { .. }) => {
                    let which = which.unwrap();
                    if !started_over.insert(which) {
                        continue;
                    }
                    let producer = &mut self.producers[n as usize][which];
                    assert!(
                        producer.ack == When::Written || !synced,
                        "a durable producer met a gap"
                    );
                    // What it was promised only as written is gone: it starts over.
                    producer.epoch += 1;
                    producer.next_sequence = 0;
                    producer.unacked.clear();
                    producer.acked.clear();
                }
                Err(error) => panic!("log {n}: {error}"),
            }
        }
    }

    fn acknowledged(
        &mut self,
        n: u32,
        which: Option<usize>,
        group: &[u64],
        ack: When,
        appended: Appended,
    ) {
        let synced = self.syncs(n);
        let mut at = appended.base_offset;
        for (place, id) in group.iter().enumerate() {
            let sent = self.models[n as usize].sent.get_mut(id).unwrap();
            // Where only some of the group were duplicates, the first offset is all that is told.
            if place == 0 || !appended.duplicate {
                if let Some(before) = sent.acked_at
                    && place == 0
                {
                    assert_eq!(before, appended.base_offset, "acknowledged at another offset");
                    assert!(appended.duplicate || group.len() > 1);
                }
                if group.len() == 1 {
                    sent.acked_at = Some(at);
                }
            }
            at = at.advance(sent.records);
            sent.durable |= synced && ack == When::Durable;
            if let Some(which) = which {
                let producer = &mut self.producers[n as usize][which];
                producer.unacked.retain(|unacked| unacked != id);
                if !producer.acked.contains(id) {
                    producer.acked.push(*id);
                }
            }
        }
    }

    fn mirror(&mut self) {
        let (source, mirror) = (self.log(0), self.log(MIRROR));
        let from = mirror.offsets().end;
        let chunk = source.read(from, source.offsets().durable, ByteSize::kib(8)).unwrap();
        if !chunk.is_empty() {
            match self.stepped().append(&mirror, keep(chunk.batches)) {
                Ok(appended) => assert_eq!(appended.next_offset, chunk.next_offset),
                Err(AppendError::Sealed { .. } | AppendError::DiskFull { .. }) => {}
                Err(error) => panic!("mirror: {error}"),
            }
        }
    }

    /// Compares a log that was just opened with what was promised of it.
    fn check(&mut self, n: u32, power_was_cut: bool) {
        let log = self.log(n);
        assert_eq!(log.incarnation(), Incarnation(u64::from(n) + 100));
        assert_eq!(log.damage(), [], "log {n}: damage though no bit was flipped");
        let offsets = log.offsets();
        assert_eq!(offsets.durable, offsets.end, "log {n}");
        let batches = read_all(&log, Offset::ZERO).unwrap();
        let synced = self.syncs(n);
        let mut next = Offset::ZERO;
        let mut present: BTreeMap<u64, Offset> = BTreeMap::new();
        let model = &mut self.models[n as usize];
        for (base, bytes) in &batches {
            assert_eq!(*base, next, "log {n}: offsets are not contiguous");
            let id = *model.by_essence.get(&essence(bytes)).expect("a batch nobody sent");
            assert!(present.insert(id, *base).is_none(), "log {n}: batch {id} is there twice");
            next = next.advance(model.sent[&id].records);
        }
        assert_eq!(next, offsets.end, "log {n}");
        for (id, sent) in &mut model.sent {
            let found = present.get(id).copied();
            if sent.durable || (!power_was_cut && sent.acked_at.is_some()) {
                assert!(found.is_some(), "log {n}: acknowledged batch {id} is gone");
            }
            if let (Some(found), Some(acked_at)) = (found, sent.acked_at) {
                assert_eq!(found, acked_at, "log {n}: batch {id} moved");
            }
            // The log says that all of it is durable now, and must keep to that.
            sent.durable = found.is_some();
            if found.is_none() {
                sent.acked_at = None;
            }
        }
        // Of each producer: what is there is in order, and nothing is missing in between.
        for producer in &self.producers[n as usize] {
            let mine: Vec<u64> = producer.acked.iter().chain(&producer.unacked).copied().collect();
            let there: Vec<bool> = mine.iter().map(|id| present.contains_key(id)).collect();
            // One that was content with "written" may lose a batch and, forgotten, go on behind it.
            if producer.ack == When::Durable && synced {
                assert!(there.is_sorted_by(|a, b| a >= b), "log {n}: a gap in {}", producer.id);
            }
            let offsets: Vec<_> = mine.iter().filter_map(|id| present.get(id)).collect();
            assert!(offsets.is_sorted(), "log {n}: producer {} is out of order", producer.id);
        }
    }

    fn check_mirror(&mut self) {
        let (source, mirror) = (self.log(0), self.log(MIRROR));
        assert_eq!(mirror.damage(), []);
        let source = read_all(&source, Offset::ZERO).unwrap();
        let mirrored = read_all(&mirror, Offset::ZERO).unwrap();
        assert!(mirrored.len() <= source.len(), "the mirror is ahead of its source");
        assert!(mirrored[..] == source[..mirrored.len()], "the mirror differs from its source");
    }

    fn inject(&mut self) {
        let on = if self.rng.chance(50) { FaultOn::Sync } else { FaultOn::Write };
        let kind = if self.rng.chance(50) { FaultKind::Io } else { FaultKind::NoSpace };
        let path = if self.rng.chance(20) { "index.redb" } else { ".log" }.to_owned();
        let after = self.rng.below(6) as u32;
        self.disk.inject(Fault { on, after, kind, path });
    }

    fn restart(&mut self) {
        self.disk.clear_faults();
        let stepped = self.stepped.take().unwrap();
        let cut = match self.rng.below(4) {
            0 => {
                stepped.store.close();
                false
            }
            1 => {
                self.disk = self.disk.kill();
                drop(stepped);
                false
            }
            _ => {
                self.disk = self.disk.crash();
                drop(stepped);
                true
            }
        };
        self.open();
        for n in 0..LOGS {
            self.check(n, cut);
        }
        self.check_mirror();
    }

    fn run(&mut self) {
        self.open();
        for _ in 0..self.rng.between(1, 6) {
            for _ in 0..self.rng.between(1, 25) {
                let n = self.rng.below(u64::from(LOGS)) as u32;
                match self.rng.below(12) {
                    0 => self.mirror(),
                    1 => {
                        let millis = self.rng.below(3_000);
                        let stepped = self.stepped();
                        stepped.clock.advance(std::time::Duration::from_millis(millis));
                        stepped.step.run();
                    }
                    2 if self.rng.chance(25) => self.inject(),
                    3..=7 => {
                        let which = self.rng.below(3) as usize;
                        if self.producers[n as usize][which].unacked.len() < 5 {
                            self.produce(n, which);
                        }
                    }
                    _ => self.send(n),
                }
            }
            self.restart();
        }
        // Every producer gets its last batches in, once.
        for n in 0..LOGS {
            self.send(n);
            self.send(n);
            let producers = &self.producers[n as usize];
            let waiting: HashSet<_> = producers.iter().flat_map(|p| p.unacked.iter()).collect();
            assert!(waiting.is_empty(), "log {n}: never acknowledged: {waiting:?}");
        }
        self.restart();
    }
}

#[test]
fn what_was_promised_survives_any_crash() {
    let number = |name| std::env::var(name).ok().map(|text: String| text.parse::<u64>().unwrap());
    let seeds = match number("TIDEGATE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TIDEGATE_SEEDS").unwrap_or(300),
    };
    for seed in seeds {
        let run = std::panic::catch_unwind(|| Run::new(seed).run());
        if let Err(panic) = run {
            eprintln!("failing seed: TIDEGATE_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
