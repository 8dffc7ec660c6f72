//! What the model knows of one log: what was sent to it, what it holds, what it may not lose.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;
use tidegate_record::BatchHeader;
use tidegate_types::{LeaderEpoch, LogPolicy, Offset, ProducerStamp, Sequence, Timestamp};

use super::batches::{self, Record};
use super::compaction::Shape;
use super::history::History;
use crate::{DamageRange, LogConfig, LogHandle, When};

/// Producers of a log; the last one's batches may belong to transactions.
const PRODUCERS: i64 = 4;

/// Names a batch among those sent to one log.
pub(super) type BatchId = usize;

/// What became of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// Not handed over since it was last known not to be in the log.
    Unsent,
    /// Handed over; whether it is in the log was not said.
    Unknown,
    /// Refused without having been written. At most a crash may bring it back.
    Refused,
    /// Acknowledged.
    Accepted,
}

/// A batch that was made for a log.
pub(super) struct Sent {
    pub(super) bytes: Vec<u8>,
    pub(super) stamp: Option<ProducerStamp>,
    pub(super) records: i32,
    pub(super) fate: Fate,
    /// Where the log has it.
    pub(super) at: Option<Offset>,
    /// Acknowledged as durable while nobody could look any more.
    pub(super) promised: bool,
    /// It was trimmed, or is past retention.
    pub(super) left: bool,
}

/// A batch that the log holds.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) next: Offset,
    pub(super) bytes: Bytes,
    pub(super) records: Vec<Record>,
    pub(super) id: Option<BatchId>,
    /// The running time when it was first seen.
    pub(super) seen_at: Duration,
    /// A bit of it was turned.
    pub(super) hurt: bool,
}

/// A producer that retries until it is answered, in order.
pub(super) struct Producer {
    pub(super) id: i64,
    pub(super) epoch: i16,
    pub(super) next_sequence: i32,
    pub(super) ack: When,
    /// Sent or to be sent, not acknowledged, oldest first.
    pub(super) unacked: VecDeque<BatchId>,
    /// Acknowledged ones of this epoch, for repeating a retry that is not needed.
    pub(super) acked: Vec<BatchId>,
    /// What it makes belongs to a transaction.
    pub(super) in_transaction: bool,
}

impl Producer {
    fn new(id: i64) -> Producer {
        Producer {
            id,
            epoch: 0,
            next_sequence: if id == 2 { i32::MAX - 20 } else { 0 },
            ack: if id == 3 { When::Written } else { When::Durable },
            unacked: VecDeque::new(),
            acked: Vec::new(),
            in_transaction: false,
        }
    }

    /// Whether it uses transactions at all.
    pub(super) fn is_transactional(&self) -> bool {
        self.id == PRODUCERS
    }

    /// Gives up what it sent and begins a new epoch.
    pub(super) fn start_over(&mut self) {
        self.epoch += 1;
        self.next_sequence = 0;
        self.unacked.clear();
        self.acked.clear();
    }

    pub(super) fn next_stamp(&self) -> ProducerStamp {
        ProducerStamp {
            id: tidegate_types::ProducerId(self.id),
            epoch: tidegate_types::ProducerEpoch(self.epoch),
            base_sequence: Sequence(self.next_sequence),
        }
    }
}

/// One log of the run.
pub(super) struct LogModel {
    pub(super) config: LogConfig,
    pub(super) handle: Option<LogHandle>,
    /// What the handle shows was compared since it was opened.
    pub(super) checked: bool,
    /// The log that this one copies.
    pub(super) mirror_of: Option<usize>,
    pub(super) epoch: LeaderEpoch,
    pub(super) producers: Vec<Producer>,
    pub(super) sent: Vec<Sent>,
    by_essence: HashMap<u64, BatchId>,
    /// All that a mirror was offered, by base offset.
    pub(super) offered: BTreeMap<Offset, Vec<Bytes>>,
    /// What it holds, by base offset, and what it held before its start.
    pub(super) content: BTreeMap<Offset, Stored>,
    /// What it once held, and what compaction took of that.
    pub(super) history: History,
    /// What it looked like when that was last compared.
    pub(super) shape: Option<Shape>,
    pub(super) start: Offset,
    /// How far a trim may have moved the start, answered or not.
    pub(super) trimmed: Offset,
    /// The furthest start that it showed; no power cut takes it back.
    pub(super) shown: Offset,
    /// What its policies were before: those since it was opened, and one more. What the cleaner began
    /// under any of them may come to its end when the log is opened again.
    pub(super) policies_before: Vec<LogPolicy>,
    pub(super) end: Offset,
    /// No power cut may lose what lies before.
    pub(super) durable: Offset,
    /// What the log last said of that; more than is promised once it stopped syncing.
    pub(super) claimed: Offset,
    /// What the next check demands to find.
    pub(super) floor: Offset,
    pub(super) damage: Vec<DamageRange>,
    /// Bytes behind the last batches of its files, where a cut was lost with a failed sync.
    pub(super) filler: u64,
    /// A bit was turned somewhere in it: what its producers are told is no longer foretold.
    pub(super) hurt: bool,
    /// It left syncing to the system at some time: its producers may have met a gap.
    pub(super) lossy: bool,
    /// Some of what its producers sent is remembered by the index alone, or by nothing.
    pub(super) forgot: bool,
    /// That may be all of what a producer sent: its last batch may lie before the start.
    pub(super) beheaded: bool,
}

impl LogModel {
    pub(super) fn new(config: LogConfig, mirror_of: Option<usize>) -> LogModel {
        LogModel {
            config,
            handle: None,
            checked: false,
            mirror_of,
            epoch: LeaderEpoch(1),
            producers: (1..=PRODUCERS).map(Producer::new).collect(),
            sent: Vec::new(),
            by_essence: HashMap::new(),
            offered: BTreeMap::new(),
            content: BTreeMap::new(),
            history: History::default(),
            shape: None,
            start: Offset::ZERO,
            trimmed: Offset::ZERO,
            shown: Offset::ZERO,
            policies_before: Vec::new(),
            end: Offset::ZERO,
            durable: Offset::ZERO,
            claimed: Offset::ZERO,
            floor: Offset::ZERO,
            damage: Vec::new(),
            filler: 0,
            hurt: false,
            lossy: false,
            forgot: false,
            beheaded: false,
        }
    }

    pub(super) fn add(&mut self, bytes: Vec<u8>) -> BatchId {
        let header = BatchHeader::parse(&bytes).unwrap();
        let id = self.sent.len();
        self.by_essence.insert(batches::essence(&bytes), id);
        let (stamp, records) = (header.stamp(), header.last_offset_delta + 1);
        self.sent.push(Sent {
            bytes,
            stamp,
            records,
            fate: Fate::Unsent,
            at: None,
            promised: false,
            left: false,
        });
        id
    }

    /// The batch as the model keeps it; the panic if nobody sent it.
    pub(super) fn identify(&self, bytes: &Bytes, seen_at: Duration) -> Stored {
        let header = BatchHeader::parse(bytes).unwrap();
        let records = batches::records(bytes).expect("a batch that was never flipped is not whole");
        let base = header.base_offset;
        let id = if self.mirror_of.is_some() {
            assert!(self.is_known(base, bytes), "not what was offered at {base}");
            None
        } else {
            let known = self.by_essence.get(&batches::essence(bytes));
            Some(*known.unwrap_or_else(|| panic!("a batch at {base} that nobody sent")))
        };
        let next = header.next_offset();
        Stored { next, bytes: bytes.clone(), records, id, seen_at, hurt: false }
    }

    /// Whether somebody sent this batch just so.
    pub(super) fn is_known(&self, base: Offset, bytes: &Bytes) -> bool {
        match self.mirror_of {
            Some(_) => self.offered.get(&base).is_some_and(|offered| offered.contains(bytes)),
            None => self.by_essence.contains_key(&batches::essence(bytes)),
        }
    }

    /// The first batch that ends after `offset`.
    pub(super) fn batch_at(&self, offset: Offset) -> Option<(Offset, &Stored)> {
        let before = self.content.range(..=offset).next_back();
        before
            .filter(|(_, stored)| stored.next > offset)
            .map(|(base, stored)| (*base, stored))
            .or_else(|| {
                let after = (Bound::Excluded(offset), Bound::Unbounded);
                self.content.range(after).next().map(|(base, stored)| (*base, stored))
            })
    }

    pub(super) fn damage_at(&self, offset: Offset) -> Option<DamageRange> {
        self.damage.iter().find(|range| range.contains(offset)).copied()
    }

    /// The first record at or after `time`.
    pub(super) fn first_at(&self, time: Timestamp) -> Option<(Offset, Timestamp)> {
        let records = self.content.values().flat_map(|stored| &stored.records);
        let mut found = records.filter(|r| r.time >= time && r.offset >= self.start);
        found.next().map(|record| (record.offset, record.time))
    }
}
