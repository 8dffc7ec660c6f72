//! What a store and its logs are told when they are opened.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_types::{ByteSize, Flush, LeaderEpoch, LogPolicy, Offset, TopicPartition, limits};

use crate::ConfigError;

/// Where a log begins and ends. Only ever moves forward while the log is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogOffsets {
    /// First readable offset.
    pub start: Offset,
    /// End of what survives a power cut; of what the system was handed under [`Flush::Os`].
    pub durable: Offset,
    /// Next to be written.
    pub end: Offset,
    /// Leader epoch of the last batch; [`LeaderEpoch::NONE`] in a log that never had one.
    pub last_epoch: LeaderEpoch,
}

/// Told, on the writer thread, that a log's `end` or `durable` moved. Must not block.
pub type OnAdvance = Arc<dyn Fn(TopicPartition, LogOffsets) + Send + Sync>;

/// What a store is told.
#[derive(Clone)]
pub struct StoreConfig {
    /// Bytes that may wait for the writer thread before appends are refused. Default 64 MiB.
    pub backlog: ByteSize,
    /// Memory for cached pages of the index. Default 4 MiB.
    pub index_cache: ByteSize,
    /// Memory for what was appended last, from which readers at the end of a log are served without
    /// the disk. It is taken only while there are such readers. Default 8 MiB.
    pub tail_cache: ByteSize,
    /// How often the logs are looked at for what their policy no longer keeps, besides when a
    /// segment was closed. Default 30 s; each look costs a moment of CPU for every log.
    pub clean_interval: Duration,
    /// What a start after a crash may have to read of the active segments, over all logs: as soon
    /// as more than this was synced behind the index's checkpoints, the logs with most of it are
    /// checkpointed. Default 64 MiB. Logs whose checkpoint would cost much beside what it saves
    /// may exceed it by 64 KiB each.
    pub uncovered: ByteSize,
    /// Threads on which many logs are opened together. Default 4. With 1, as simulations want it,
    /// everything happens in order.
    pub opening_threads: usize,
    /// Memory for the keys that one compaction looks at; taken while it runs. Default 16 MiB: half
    /// a million keys. With more, a log is compacted in several passes.
    pub compaction_memory: ByteSize,
    /// Bytes that compaction reads and writes in a second, at most. Default 32 MiB.
    pub cleaning_rate: ByteSize,
    /// Appends are refused while less than this is free on the disk, so that metadata, the index
    /// and deletes still find room. Default 64 MiB; at most a sixteenth of the file system, and at
    /// least twice the reserve.
    pub low_water: ByteSize,
    /// Held in a file and given up when others fill the disk. Default 32 MiB; at most a
    /// thirty-second of the file system. 0 holds none.
    pub reserve: ByteSize,
    /// Files of active segments that stay open between rounds of appends. Default 512. A log whose
    /// file was closed pays for opening it at its next append.
    pub open_files: usize,
    /// Told whenever a log grew or became durable.
    pub on_advance: Option<OnAdvance>,
    /// A mistake that the crate's tests plant.
    #[cfg(test)]
    pub(crate) planted: Option<crate::planted::Planted>,
}

impl Default for StoreConfig {
    fn default() -> StoreConfig {
        StoreConfig {
            backlog: limits::MAX_APPEND_BACKLOG,
            index_cache: ByteSize::mib(4),
            tail_cache: ByteSize::mib(8),
            clean_interval: Duration::from_secs(30),
            uncovered: ByteSize::mib(64),
            opening_threads: 4,
            compaction_memory: ByteSize::mib(16),
            cleaning_rate: ByteSize::mib(32),
            low_water: ByteSize::mib(64),
            reserve: ByteSize::mib(32),
            open_files: 512,
            on_advance: None,
            #[cfg(test)]
            planted: None,
        }
    }
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig")
            .field("backlog", &self.backlog)
            .field("index_cache", &self.index_cache)
            .field("tail_cache", &self.tail_cache)
            .field("clean_interval", &self.clean_interval)
            .field("uncovered", &self.uncovered)
            .field("opening_threads", &self.opening_threads)
            .field("compaction_memory", &self.compaction_memory)
            .field("cleaning_rate", &self.cleaning_rate)
            .field("low_water", &self.low_water)
            .field("reserve", &self.reserve)
            .field("open_files", &self.open_files)
            .field("on_advance", &self.on_advance.is_some())
            .finish()
    }
}

/// What one log is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// A segment that this batch would make longer is closed first. At most [`MAX_SEGMENT`]. A
    /// batch larger than this gets a segment of its own.
    pub segment_bytes: ByteSize,
    /// When writes are synced. Under [`Flush::Os`] "durable" means handed over to the system.
    pub flush: Flush,
    /// What becomes of old records, and of new ones on a full disk.
    pub policy: LogPolicy,
}

impl LogConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let found = self.segment_bytes;
        if found == ByteSize::bytes(0) || found > MAX_SEGMENT {
            return Err(ConfigError::SegmentSize { found });
        }
        Ok(())
    }
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            segment_bytes: limits::DEFAULT_SEGMENT,
            flush: Flush::Always,
            policy: LogPolicy::default(),
        }
    }
}

/// Largest segment: positions in the index are 32 bits wide.
pub const MAX_SEGMENT: ByteSize = ByteSize::gib(2);

/// Most bytes the writer takes into one round, so that its first ack does not wait for ever.
pub(crate) const MAX_ROUND: usize = 16 << 20;

/// Zeros are written ahead in steps that grow with the segment between these two, so that a
/// thousand quiet logs do not hold gigabytes.
pub(crate) const MIN_PREZERO: u64 = 64 << 10;
pub(crate) const MAX_PREZERO: u64 = 4 << 20;

/// A round that writes more than this to one log extends the file itself: zeroing ahead would
/// double its bytes to save one journal commit among many.
pub(crate) const PREZERO_BELOW: usize = 128 << 10;

const _: () = assert!(MAX_SEGMENT.get() + limits::MAX_BATCH.get() + MAX_PREZERO < u32::MAX as u64);
const _: () = assert!(MIN_PREZERO <= MAX_PREZERO);
