//! One error type per operation.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tidegate_record::BatchError;
use tidegate_types::{ByteSize, Offset, ProducerEpoch, ProducerId, Sequence, TopicPartition};

use crate::config::MAX_SEGMENT;
use crate::index::IndexError;

/// Why a store or a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the store.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The disk failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The index can neither be opened nor be made anew.
    #[error("cannot open the index {}", path.display())]
    Index {
        /// Its file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: IndexError,
    },
    /// The writer thread could not be started.
    #[error("cannot start the log writer thread")]
    Thread {
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The log's configuration is not possible.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Of several logs opened together two are the same.
    #[error("log {log} is to be opened twice at once")]
    Twice {
        /// The one named before.
        log: TopicPartition,
    },
    /// The store was closed.
    #[error("the log store is closed")]
    Closed,
}

impl OpenError {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> OpenError {
        let path = path.into();
        move |source| OpenError::Io { action, path, source }
    }
}

/// Why a log cannot be configured so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A segment size outside what is allowed.
    #[error("segment size {found} is outside 1 B to {MAX_SEGMENT}")]
    SegmentSize {
        /// The size asked for.
        found: ByteSize,
    },
}

/// Why a log could not be deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// There is no such log, open or on disk.
    #[error("there is no log {log}")]
    Unknown {
        /// The one asked for.
        log: TopicPartition,
    },
    /// The disk failed. What is left is removed when the log is opened or deleted again.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Why batches were not appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// Too many bytes wait for the disk. Nothing was written; try again once there is room.
    #[error("{waiting} wait for the disk, the limit is {limit}")]
    Backlog {
        /// Bytes waiting.
        waiting: ByteSize,
        /// The most that may.
        limit: ByteSize,
    },
    /// The disk is full. Nothing was written; try again once there is room.
    #[error("the disk is full: {free} are free, {reserve} are kept")]
    DiskFull {
        /// What the file system had left when it was asked last.
        free: ByteSize,
        /// What is kept of it for metadata, the index and deletes.
        reserve: ByteSize,
    },
    /// The store was closed. Nothing was written.
    #[error("the log store is closed")]
    Closed,
    /// The log was deleted. Nothing was written.
    #[error("the log was deleted")]
    Deleted,
    /// A write or sync failed, now or earlier; the log takes nothing until it is opened again.
    /// Whether these batches were written is not known.
    #[error("the log is sealed: {reason}")]
    Sealed {
        /// The first failure.
        reason: Arc<str>,
    },
    /// No batch was given.
    #[error("there is no batch to append")]
    Empty,
    /// The bytes are not whole batches. Nothing was written.
    #[error("batch {index} cannot be appended")]
    Malformed {
        /// Which of the batches, from 0.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: Arc<BatchError>,
    },
    /// A batch to be kept as it is lies before the log's end. Nothing was written.
    #[error("batch starts at offset {base}, before the log end offset {end}")]
    OffsetTooLow {
        /// Its base offset.
        base: Offset,
        /// The log's end.
        end: Offset,
    },
    /// The offset space is used up. Nothing was written.
    #[error("no offsets are left after {end}")]
    OffsetsExhausted {
        /// The log's end.
        end: Offset,
    },
    /// The producer was fenced by one with the same id. Nothing was written.
    #[error("producer {id} has epoch {found}, but epoch {current} has written already")]
    InvalidProducerEpoch {
        /// The producer.
        id: ProducerId,
        /// The batch's epoch.
        found: ProducerEpoch,
        /// The latest known.
        current: ProducerEpoch,
    },
    /// Batches before this one are missing. Nothing was written.
    #[error("producer {id} sent sequence {found}, expected {expected}")]
    OutOfOrderSequence {
        /// The producer.
        id: ProducerId,
        /// The batch's first sequence.
        found: Sequence,
        /// The one that follows what is in the log.
        expected: Sequence,
    },
}

impl AppendError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        matches!(
            self,
            AppendError::Backlog { .. } | AppendError::DiskFull { .. } | AppendError::Closed
        )
    }

    /// Whether the batches may be in the log nevertheless.
    #[must_use]
    pub const fn may_be_written(&self) -> bool {
        matches!(self, AppendError::Sealed { .. })
    }
}

/// Why the head of a log was not cut off. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum TrimError {
    /// Only what is durable can be trimmed.
    #[error("cannot trim up to offset {to}, the log is durable up to {end}")]
    BeyondEnd {
        /// The start asked for.
        to: Offset,
        /// The log's durable end.
        end: Offset,
    },
    /// The log was closed, deleted, or opened again under another handle.
    #[error("the log is closed")]
    Closed,
    /// The log's end could not be synced, and the log is sealed.
    #[error("the log is sealed: {reason}")]
    Sealed {
        /// The first failure.
        reason: Arc<str>,
    },
    /// The new start cannot be stored.
    #[error("cannot store the new log start")]
    Index(#[from] IndexError),
}

/// Offsets whose records were durable once and can no longer be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DamageRange {
    /// The first of them.
    pub from: Offset,
    /// The offset after the last.
    pub end: Offset,
}

impl DamageRange {
    /// Adds a range to others; they rise, and those that overlap become one.
    pub(crate) fn insert(ranges: &mut Vec<DamageRange>, range: DamageRange) {
        ranges.push(range);
        ranges.sort_by_key(|range| range.from);
        ranges.dedup_by(|later, earlier| {
            let overlaps = later.from <= earlier.end;
            if overlaps {
                earlier.end = earlier.end.max(later.end);
            }
            overlaps
        });
    }

    /// Whether `offset` is one of them.
    #[must_use]
    pub const fn contains(&self, offset: Offset) -> bool {
        self.from.0 <= offset.0 && offset.0 < self.end.0
    }
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log has no such offset.
    #[error("offset {offset} is outside the log, which has {start} to {end}")]
    OutOfRange {
        /// The offset asked for.
        offset: Offset,
        /// The log start offset.
        start: Offset,
        /// The log end offset.
        end: Offset,
    },
    /// The records there are damaged. Reading goes on at the range's end.
    #[error("offsets {} to {} (exclusive) are damaged", range.from, range.end)]
    Damaged {
        /// Which offsets.
        range: DamageRange,
    },
    /// The disk failed.
    #[error("cannot read {}", path.display())]
    Io {
        /// The segment.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The log was deleted, or its store closed.
    #[error("the log is closed")]
    Closed,
}

/// Why logs could not be checked or repaired.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There is no log store there.
    #[error("there are no logs in {}", path.display())]
    NoStore {
        /// Where one was looked for.
        path: PathBuf,
    },
    /// A process has the store.
    #[error("{} is in use: stop the node first", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The disk failed. A repair that ends so is finished by the next.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The index can neither be opened nor be made anew, so that losses cannot be recorded.
    #[error("cannot open the index {}", path.display())]
    Index {
        /// Its file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: IndexError,
    },
    /// Repaired files could not be opened as logs.
    #[error("cannot open the repaired logs")]
    Open(#[source] OpenError),
}

impl CheckError {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> CheckError {
        let path = path.into();
        move |source| CheckError::Io { action, path, source }
    }
}
