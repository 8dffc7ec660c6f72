//! A log that forgets what was not synced when it crashes.

use bytes::Bytes;
use tidegate_link::Run;
use tidegate_record::{Batch, BatchBuilder, BuildOptions};
use tidegate_types::{Incarnation, LeaderEpoch, Offset, Timestamp};

use crate::rng::Rng;

#[derive(Clone)]
pub struct Stored {
    pub base: Offset,
    pub next: Offset,
    pub bytes: Bytes,
}

pub struct Log {
    pub incarnation: Incarnation,
    pub batches: Vec<Stored>,
    /// How many of them are synced.
    pub synced: usize,
    /// The first one that was not trimmed.
    pub first: usize,
    pub epoch: LeaderEpoch,
}

impl Log {
    pub fn new(incarnation: Incarnation) -> Log {
        Log { incarnation, batches: Vec::new(), synced: 0, first: 0, epoch: LeaderEpoch(0) }
    }

    /// Never above what is durable.
    pub fn start(&self) -> Offset {
        self.batches[self.first..self.synced].first().map_or(self.durable(), |batch| batch.base)
    }

    pub fn end(&self) -> Offset {
        self.batches.last().map_or(Offset::ZERO, |batch| batch.next)
    }

    pub fn durable(&self) -> Offset {
        self.batches[..self.synced].last().map_or(Offset::ZERO, |batch| batch.next)
    }

    /// Epoch of the last synced batch.
    pub fn durable_epoch(&self) -> LeaderEpoch {
        epoch_of(self.batches[..self.synced].last())
    }

    /// Epoch of the last batch.
    pub fn last_epoch(&self) -> LeaderEpoch {
        epoch_of(self.batches.last())
    }

    /// Appends a new batch, now and then after a hole such as compaction leaves.
    pub fn produce(&mut self, rng: &mut Rng) {
        let hole = if rng.chance(10) { rng.between(1, 20) as i64 } else { 0 };
        let base = self.end().advance(hole);
        let mut builder = BatchBuilder::new(BuildOptions {
            base_offset: base,
            leader_epoch: self.epoch,
            ..Default::default()
        });
        let value = rng.next().to_le_bytes();
        for n in 0..rng.between(1, 3) {
            builder.push(Timestamp(n as i64), None, Some(&value), []).unwrap();
        }
        let bytes = Bytes::from(builder.build().unwrap());
        let next = Run::of_trusted(&bytes).unwrap().next;
        self.batches.push(Stored { base, next, bytes });
    }

    /// Keeps what is synced, and of the rest as much as `luck` says.
    pub fn crash(&mut self, luck: usize) {
        let kept = (self.synced + luck).min(self.batches.len());
        self.batches.truncate(kept);
        self.synced = kept;
    }

    /// Whole batches from `from` on, at least one; `None` if they were trimmed.
    pub fn read(&self, from: Offset, end: Offset, max: u64) -> Option<Bytes> {
        if from < self.start() {
            return None;
        }
        let mut bytes: Vec<u8> = Vec::new();
        let wanted = self.batches[self.first..].iter().skip_while(|batch| batch.next <= from);
        for batch in wanted.take_while(|batch| batch.next <= end) {
            if !bytes.is_empty() && (bytes.len() + batch.bytes.len()) as u64 > max {
                break;
            }
            bytes.extend_from_slice(&batch.bytes);
        }
        Some(bytes.into())
    }
}

fn epoch_of(batch: Option<&Stored>) -> LeaderEpoch {
    batch.map_or(LeaderEpoch::NONE, |batch| {
        Batch::parse_trusted(&batch.bytes).unwrap().0.header().leader_epoch
    })
}
