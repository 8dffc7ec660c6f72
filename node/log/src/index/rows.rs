//! The rows of the index: their tables, keys and values.
//!
//! The only place that knows how a row is encoded. Every value ends with a CRC-32C over its table's
//! name, its key and its content: the database does not verify what it reads, so a row that a bad
//! page changed or misplaced must be seen here. Such a row is as if it were not there.

use std::sync::Arc;
use std::time::Duration;

use redb::TableDefinition;
use serde::{Deserialize, Serialize};
use tidegate_types::{Incarnation, LeaderEpoch, Offset, Timestamp, TopicPartition};

use crate::DamageRange;
use crate::clean::CleanRow;
use crate::epochs::Epochs;
use crate::producers::Snapshot;
use crate::sparse::SparseIndex;

pub(super) type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// A table of the index: its name is part of what its rows' checksums cover.
#[derive(Clone, Copy)]
pub(super) struct Rows(&'static str);

pub(super) const LOGS: Rows = Rows("logs");
pub(super) const SEGMENTS: Rows = Rows("segments");
pub(super) const SPARSE: Rows = Rows("sparse");
pub(super) const PRODUCERS: Rows = Rows("producers");
pub(super) const DURABLE: Rows = Rows("durable");
pub(super) const CLEANING: Rows = Rows("cleaning");
pub(super) const UPTIME: Rows = Rows("uptime");
pub(super) const TABLES: [Rows; 7] = [LOGS, SEGMENTS, SPARSE, PRODUCERS, DURABLE, CLEANING, UPTIME];

/// The one key of the table `uptime`.
pub(super) const UPTIME_KEY: &[u8] = &[];

pub(super) const LOG_KEY: usize = 20;
pub(super) const SEGMENT_KEY: usize = LOG_KEY + 8;
const CHECKSUM: usize = 4;

impl Rows {
    pub(super) const fn definition(self) -> Definition {
        TableDefinition::new(self.0)
    }

    fn checksum(self, key: &[u8], content: &[u8]) -> [u8; CHECKSUM] {
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        for part in [self.0.as_bytes(), key, content] {
            digest.update(part);
        }
        (digest.finalize() as u32).to_le_bytes()
    }

    /// The value to store for `content` under `key`.
    pub(super) fn seal(self, key: &[u8], mut content: Vec<u8>) -> Vec<u8> {
        let checksum = self.checksum(key, &content);
        content.extend_from_slice(&checksum);
        content
    }

    /// The content of a stored value; `None` if it is not what was stored under `key`.
    pub(super) fn unseal<'v>(self, key: &[u8], value: &'v [u8]) -> Option<&'v [u8]> {
        let (content, checksum) = value.split_last_chunk::<CHECKSUM>()?;
        if self.checksum(key, content) == *checksum {
            return Some(content);
        }
        tracing::error!(table = self.0, "a row of the index is damaged; it counts as missing");
        None
    }
}

/// What is known of one log as a whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct LogMeta {
    pub(crate) incarnation: Incarnation,
    pub(crate) start: Offset,
    pub(crate) epochs: Vec<(LeaderEpoch, Offset)>,
    pub(crate) damage: Vec<DamageRange>,
}

impl LogMeta {
    /// As it is stored once something else is known of the log: its start only moves forward.
    pub(super) fn after(&self, stored: Option<LogMeta>) -> LogMeta {
        let stored = stored.filter(|stored| stored.incarnation == self.incarnation);
        let start = stored.map_or(self.start, |stored| stored.start.max(self.start));
        LogMeta { start, ..self.clone() }
    }

    /// The log without what lies before `start`.
    pub(super) fn cut_head(
        stored: Option<LogMeta>,
        incarnation: Incarnation,
        start: Offset,
    ) -> LogMeta {
        let stored = stored.filter(|stored| stored.incarnation == incarnation);
        let Some(mut meta) = stored else {
            return LogMeta { incarnation, start, epochs: Vec::new(), damage: Vec::new() };
        };
        meta.start = meta.start.max(start);
        if let Some(mut epochs) = Epochs::from_starts(std::mem::take(&mut meta.epochs)) {
            epochs.cut_head(meta.start);
            meta.epochs = epochs.starts().to_vec();
        }
        meta.damage.retain(|range| range.end > start);
        meta
    }
}

/// What is known of a segment: all of it if it takes no more batches, and of the last one the part
/// that was synced when the index was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct SegmentMeta {
    /// Length in the file; it holds whole batches and nothing else, damaged ranges apart.
    pub(crate) len: u64,
    /// The offset after its last batch.
    pub(crate) next: Offset,
    pub(crate) max_timestamp: Timestamp,
}

/// One change; changes committed together are there together or not at all.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Within one life of a log its start only moves forward, whatever the order of commits.
    Log(TopicPartition, LogMeta),
    /// The log's start; epochs and damage before it go.
    Start(TopicPartition, Incarnation, Offset),
    Segment(TopicPartition, Offset, SegmentMeta, Arc<SparseIndex>),
    /// What of a log was found to be damaged.
    Damage(TopicPartition, Incarnation, DamageRange),
    RemoveSegment(TopicPartition, Offset),
    RemoveSegments(TopicPartition),
    Producers(TopicPartition, Offset, Snapshot),
    Durable(TopicPartition, Offset),
    Cleaning(TopicPartition, CleanRow),
    /// How long the store was open, over all its lives.
    Uptime(Duration),
    RemoveLog(TopicPartition),
}

/// All that is known of one log.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) meta: Option<LogMeta>,
    pub(crate) segments: Vec<(Offset, SegmentMeta)>,
    pub(crate) producers: Option<(Offset, Snapshot)>,
    pub(crate) durable: Option<Offset>,
    pub(crate) cleaning: Option<CleanRow>,
}

pub(super) fn log_key(log: TopicPartition) -> [u8; LOG_KEY] {
    let mut key = [0; LOG_KEY];
    key[..16].copy_from_slice(log.topic.0.as_bytes());
    key[16..].copy_from_slice(&log.partition.0.to_be_bytes());
    key
}

pub(super) fn segment_key(log: TopicPartition, base: Offset) -> [u8; SEGMENT_KEY] {
    let mut key = [0; SEGMENT_KEY];
    key[..LOG_KEY].copy_from_slice(&log_key(log));
    key[LOG_KEY..].copy_from_slice(&base.0.to_be_bytes());
    key
}

/// Encoding plain structs into memory does not fail; an empty value would read as damaged.
pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).unwrap_or_default()
}

pub(super) fn decode<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Option<T> {
    postcard::take_from_bytes(bytes).ok().and_then(|(value, rest)| rest.is_empty().then_some(value))
}

/// A producers' snapshot with the offset that it was taken at.
pub(super) fn encode_producers(at: Offset, snapshot: &Snapshot) -> Vec<u8> {
    let mut content = at.0.to_be_bytes().to_vec();
    content.extend_from_slice(&encode(snapshot));
    content
}

pub(super) fn decode_producers(bytes: &[u8]) -> Option<(Offset, Snapshot)> {
    let (at, rest) = decode_offset(bytes)?;
    Some((at, decode(rest)?))
}

pub(super) fn encode_uptime(uptime: Duration) -> Vec<u8> {
    u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX).to_be_bytes().to_vec()
}

pub(super) fn decode_uptime(bytes: &[u8]) -> Option<Duration> {
    bytes.try_into().ok().map(u64::from_be_bytes).map(Duration::from_millis)
}

pub(super) fn decode_offset(bytes: &[u8]) -> Option<(Offset, &[u8])> {
    let (offset, rest) = bytes.split_first_chunk()?;
    let offset = i64::from_be_bytes(*offset);
    (offset >= 0).then_some((Offset(offset), rest))
}
