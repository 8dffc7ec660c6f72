//! Shared by the log's tests: batches to append, and appends that answer at once.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use tidegate_env::{Clock, Disk, ManualClock};
use tidegate_log::*;
use tidegate_record::{BatchBuilder, BuildOptions};
use tidegate_types::*;

pub const DAY: Duration = Duration::from_secs(86_400);
pub const ROOT: &str = "/data";
pub const EPOCH: LeaderEpoch = LeaderEpoch(1);

pub fn log_id(n: u32) -> TopicPartition {
    TopicPartition { topic: TopicId(uuid::Uuid::from_u128(7)), partition: PartitionId(n) }
}

pub fn tiny(segment: u64) -> LogConfig {
    LogConfig { segment_bytes: ByteSize::bytes(segment), ..LogConfig::default() }
}

/// Compacts whatever there is, and closes no segment for its age.
pub fn compacting(segment: u64) -> LogConfig {
    let mut config = tiny(segment);
    config.policy.cleanup = Cleanup::Compact;
    config.policy.min_dirty_percent = 0;
    config.policy.segment_age = 3_650 * DAY;
    config
}

/// A store that takes up little of a simulated disk, whose bytes are memory.
pub fn small() -> StoreConfig {
    StoreConfig { reserve: ByteSize::kib(64), ..StoreConfig::default() }
}

pub fn stamp(id: i64, epoch: i16, sequence: i32) -> ProducerStamp {
    ProducerStamp {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
        base_sequence: Sequence(sequence),
    }
}

/// A batch with these values, the n-th record at time `first_time + n`.
pub fn batch_at(first_time: i64, stamp: Option<ProducerStamp>, values: &[&[u8]]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BuildOptions { stamp, ..BuildOptions::default() });
    for (n, value) in values.iter().enumerate() {
        builder.push(Timestamp(first_time + n as i64), None, Some(value), []).unwrap();
    }
    builder.build().unwrap()
}

pub fn batch(stamp: Option<ProducerStamp>, values: &[&[u8]]) -> Vec<u8> {
    batch_at(1_000, stamp, values)
}

pub fn at_offset(mut batch: Vec<u8>, offset: i64, epoch: i32) -> Vec<u8> {
    tidegate_record::set_base_offset(&mut batch, Offset(offset));
    tidegate_record::set_leader_epoch(&mut batch, LeaderEpoch(epoch));
    batch
}

pub fn request(batches: impl Into<Bytes>, ack: When) -> AppendRequest {
    let mode = AppendMode::Assign { leader_epoch: EPOCH };
    AppendRequest { batches: batches.into(), mode, ack }
}

pub fn keep(batches: impl Into<Bytes>) -> AppendRequest {
    AppendRequest { batches: batches.into(), mode: AppendMode::Keep, ack: When::Durable }
}

/// A store without a thread, on a disk and a clock that stand still.
pub struct Stepped {
    pub store: LogStore,
    pub step: WriterStep,
    pub clock: Arc<ManualClock>,
}

impl Stepped {
    pub fn open(disk: impl Disk + 'static) -> Stepped {
        Stepped::open_in(disk, Path::new(ROOT), small())
    }

    pub fn open_in(disk: impl Disk + 'static, root: &Path, config: StoreConfig) -> Stepped {
        let clock = Arc::new(ManualClock::new(Timestamp(1_700_000_000_000)));
        let as_clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let (store, step) = LogStore::open_stepped(Arc::new(disk), as_clock, root, config).unwrap();
        Stepped { store, step, clock }
    }

    pub fn log(&self, n: u32, config: LogConfig) -> LogHandle {
        self.store.open_log(log_id(n), Incarnation(u64::from(n) + 100), config).unwrap()
    }

    /// Queues an append; its answer comes out of the receiver.
    pub fn queue(
        log: &LogHandle,
        request: AppendRequest,
    ) -> mpsc::Receiver<Result<Appended, AppendError>> {
        let (sender, receiver) = mpsc::channel();
        log.append(request, Box::new(move |result| drop(sender.send(result))));
        receiver
    }

    pub fn append(
        &mut self,
        log: &LogHandle,
        request: AppendRequest,
    ) -> Result<Appended, AppendError> {
        let answer = Stepped::queue(log, request);
        self.step.run();
        answer.try_recv().unwrap()
    }

    /// Appends one record durably; its offset.
    pub fn put(&mut self, log: &LogHandle, value: &[u8]) -> Offset {
        self.append(log, request(batch(None, &[value]), When::Durable)).unwrap().base_offset
    }
}

/// All batches from `from` on, each with its base offset.
pub fn read_all(log: &LogHandle, from: Offset) -> Result<Vec<(Offset, Vec<u8>)>, ReadError> {
    let (mut at, mut found) = (from, Vec::new());
    loop {
        let chunk = log.read(at, log.offsets().end, ByteSize::kib(3))?;
        if chunk.is_empty() {
            return Ok(found);
        }
        for batch in tidegate_record::Batches::new(&chunk.batches) {
            let batch = batch.unwrap();
            found.push((batch.header().base_offset, batch.bytes().to_vec()));
        }
        assert!(chunk.next_offset > at, "reading does not get on at {at}");
        at = chunk.next_offset;
    }
}

/// The values of all records from `from` on.
pub fn values(log: &LogHandle, from: Offset) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    for (_, bytes) in read_all(log, from).unwrap() {
        let (batch, _) = tidegate_record::Batch::parse(&bytes).unwrap();
        let mut scratch = Vec::new();
        for record in batch.body(&mut scratch).unwrap() {
            values.push(record.unwrap().value.unwrap().to_vec());
        }
    }
    values
}

/// A segment's path in the simulated root.
pub fn segment_path(root: &Path, n: u32, base: i64) -> std::path::PathBuf {
    let id = log_id(n);
    root.join(format!("topics/{}/{}/{base:020}.log", id.topic, id.partition))
}
