//! Batches to append, and what is in them.

use std::hash::{DefaultHasher, Hash, Hasher};

use tidegate_env::Rng;
use tidegate_record::{Batch, BatchBuilder, BuildOptions, Compression};
use tidegate_types::{LeaderEpoch, Offset, ProducerStamp, Timestamp};

/// A record as the model sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub(super) offset: Offset,
    pub(super) time: Timestamp,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    /// As they lie in the batch.
    pub(super) headers: Vec<u8>,
}

impl Record {
    /// Whether it says that its key has no value any more.
    pub(super) fn is_tombstone(&self) -> bool {
        self.key.is_some() && self.value.is_none()
    }
}

/// What a batch is to be like.
pub(super) struct Wanted {
    /// No two batches of a run have the same.
    pub(super) id: u64,
    pub(super) stamp: Option<ProducerStamp>,
    pub(super) now: Timestamp,
    /// Mostly larger than an index entry's worth of them.
    pub(super) big: bool,
    /// It belongs to a transaction of its producer's.
    pub(super) transactional: bool,
}

/// A batch of one to three records.
pub(super) fn make(rng: &mut Rng, wanted: &Wanted) -> Vec<u8> {
    let compression = if rng.chance(15) { Compression::Lz4 } else { Compression::None };
    let mut builder = BatchBuilder::new(BuildOptions {
        stamp: wanted.stamp,
        compression,
        transactional: wanted.transactional,
        ..BuildOptions::default()
    });
    // Mostly in order; now and then a device whose clock is off.
    let late = if rng.chance(10) { rng.below(4_000_000) as i64 } else { rng.below(50) as i64 };
    for _ in 0..rng.between(1, 3) {
        let len = match rng.below(10) {
            0 => 4_000,
            _ if wanted.big => rng.between(3_000, 9_000),
            _ => rng.below(300),
        };
        let mut value = vec![0; len as usize];
        rng.fill(&mut value);
        let value = (!rng.chance(20)).then_some(&value[..]);
        let key = (!rng.chance(20)).then(|| vec![b'a' + rng.below(8) as u8]);
        let time = Timestamp(wanted.now.millis() - late + rng.below(20) as i64);
        let id = wanted.id.to_be_bytes();
        builder.push(time, key.as_deref(), value, [(&b"id"[..], Some(&id[..]))]).unwrap();
    }
    builder.build().unwrap()
}

/// The marker that ends a transaction of the producer's.
pub(super) fn marker(wanted: &Wanted, commits: bool) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BuildOptions {
        stamp: wanted.stamp,
        transactional: true,
        control: true,
        ..BuildOptions::default()
    });
    let key = [0, 0, 0, u8::from(commits)];
    let id = wanted.id.to_be_bytes();
    builder.push(wanted.now, Some(&key), Some(&[0; 6]), [(&b"id"[..], Some(&id[..]))]).unwrap();
    builder.build().unwrap()
}

/// What tells a batch from all others, wherever a log put it.
pub(super) fn essence(batch: &[u8]) -> u64 {
    let mut plain = batch.to_vec();
    tidegate_record::set_base_offset(&mut plain, Offset::ZERO);
    tidegate_record::set_leader_epoch(&mut plain, LeaderEpoch(0));
    let mut hasher = DefaultHasher::new();
    plain.hash(&mut hasher);
    hasher.finish()
}

/// The records of a whole batch; `None` if its CRC is wrong.
pub(super) fn records(batch: &[u8]) -> Option<Vec<Record>> {
    let (batch, _) = Batch::parse(batch).ok()?;
    let header = *batch.header();
    let mut scratch = Vec::new();
    let record = |record: tidegate_record::Record<'_>| Record {
        offset: header.offset_of(&record),
        time: header.timestamp_of(&record),
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: record.headers.raw().to_vec(),
    };
    let body = batch.body(&mut scratch).ok()?;
    body.map(|read| read.ok().map(record)).collect()
}
