//! One log, as its handle shows it.
//!
//! Everything here may be called from any thread. Appends are handed to the store's writer thread;
//! reads go to the files themselves and wait for nobody.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use tidegate_types::{
    ByteSize, Incarnation, LeaderEpoch, Offset, ProducerStamp, Timestamp, TopicPartition,
};

use crate::active::Active;
use crate::clean::CleanState;
use crate::config::{LogConfig, LogOffsets};
use crate::epochs::Epochs;
use crate::producers::{ActiveProducer, Producers, Verdict};
use crate::read::{FileRange, LogChunk, LogReader, ReadHints};
use crate::segment::{Context, Segment};
use crate::store::Shared;
use crate::tail::Tail;
use crate::writer::{Command, Completion};
use crate::{AppendError, ConfigError, DamageRange, ReadError};

/// Who sets the batches' offsets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AppendMode {
    /// The log: batches get the next offsets and this epoch, and producers' sequences are checked.
    Assign {
        /// The epoch of the leader that appends.
        leader_epoch: LeaderEpoch,
    },
    /// Whoever wrote them first: offsets and epochs stay as they are, sequences are noted and not
    /// checked. Batches may leave holes between them but must not lie before the log's end.
    Keep,
}

/// What an append waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Written: a crash of the process does not lose it, a power cut may.
    Written,
    /// Synced; under [`Flush::Os`](crate::Flush::Os) the same as written.
    Durable,
}

/// Batches to append.
#[derive(Clone, Debug)]
pub struct AppendRequest {
    /// One or more whole batches, end to end. Their CRCs must have been verified.
    pub batches: Bytes,
    /// Who sets offsets and epochs.
    pub mode: AppendMode,
    /// When to call back.
    pub ack: When,
}

/// Batches that are in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// The offset of the first record; [`Appended::UNKNOWN`] for a duplicate of a batch older than
    /// those whose offsets are remembered.
    pub base_offset: Offset,
    /// The offset after the last record; [`Appended::UNKNOWN`] likewise.
    pub next_offset: Offset,
    /// Whether all of it had been appended before, so that nothing was now.
    pub duplicate: bool,
}

impl Appended {
    /// Stands for an offset that is no longer known. Kafka clients are shown the same.
    pub const UNKNOWN: Offset = Offset(-1);
}

/// Called once, on the writer thread or, where an append is refused at once, on the caller's. Must
/// not block.
pub type Done = Box<dyn FnOnce(Result<Appended, AppendError>) + Send>;

/// Segments in rising order; the last is active.
pub(crate) type Segments = Arc<Vec<Arc<Segment>>>;

/// A log's state, shared by its handles and the writer.
///
/// Locks are taken in the order of the fields, and none while a callback runs.
pub(crate) struct Log {
    pub(crate) id: TopicPartition,
    pub(crate) incarnation: Incarnation,
    pub(crate) config: RwLock<LogConfig>,
    pub(crate) folder: PathBuf,
    pub(crate) shared: Arc<Shared>,
    /// Offsets that were durable and cannot be read; rising.
    pub(crate) damage: RwLock<Vec<DamageRange>>,
    pub(crate) start: AtomicI64,
    pub(crate) durable: AtomicI64,
    pub(crate) end: AtomicI64,
    pub(crate) last_epoch: AtomicI32,
    pub(crate) sealed: OnceLock<Arc<str>>,
    pub(crate) deleted: AtomicBool,
    pub(crate) closed: AtomicBool,
    /// Held while segments are taken out of the list or replaced in it; never by the writer.
    pub(crate) clean: Mutex<CleanState>,
    pub(crate) active: Mutex<Active>,
    pub(crate) producers: Mutex<Producers>,
    pub(crate) epochs: Mutex<Epochs>,
    pub(crate) segments: RwLock<Segments>,
    pub(crate) hints: Mutex<ReadHints>,
    pub(crate) tail: Arc<Tail>,
}

/// Locks, and goes on if a panic elsewhere poisoned the lock: what it guards is kept whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    pub(crate) fn offsets(&self) -> LogOffsets {
        // Read in this order, durable is never seen beyond end.
        let start = Offset(self.start.load(Ordering::Acquire));
        let durable = Offset(self.durable.load(Ordering::Acquire));
        let last_epoch = LeaderEpoch(self.last_epoch.load(Ordering::Acquire));
        let end = Offset(self.end.load(Ordering::Acquire));
        LogOffsets { start, durable, end, last_epoch }
    }

    pub(crate) fn config(&self) -> LogConfig {
        *self.config.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn segments(&self) -> Segments {
        Arc::clone(&self.segments.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn damage(&self) -> Vec<DamageRange> {
        self.damage.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first damage that ends after `from` and begins before `end`.
    pub(crate) fn damage_within(&self, from: Offset, end: Offset) -> Option<DamageRange> {
        let damage = self.damage.read().unwrap_or_else(PoisonError::into_inner);
        damage.iter().find(|range| from < range.end && range.from < end).copied()
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context { disk: &*self.shared.disk, index: &self.shared.index, opened: &self.shared.opened }
    }

    /// Takes no more appends, for this reason unless there was one before; gives the first.
    pub(crate) fn seal(&self, reason: String) -> Arc<str> {
        let first = self.sealed.get_or_init(|| {
            tracing::error!(log = %self.id, reason, "the log is sealed until it is opened again");
            reason.into()
        });
        Arc::clone(first)
    }

    pub(crate) fn check_open(&self) -> Result<(), AppendError> {
        if self.deleted.load(Ordering::Acquire) {
            return Err(AppendError::Deleted);
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(AppendError::Closed);
        }
        match self.sealed.get() {
            Some(reason) => Err(AppendError::Sealed { reason: Arc::clone(reason) }),
            None => Ok(()),
        }
    }
}

/// A handle of an open log; clones are the same log.
#[derive(Clone)]
pub struct LogHandle {
    pub(crate) log: Arc<Log>,
}

impl std::fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogHandle")
            .field("id", &self.log.id)
            .field("offsets", &self.offsets())
            .field("sealed", &self.log.sealed.get())
            .finish_non_exhaustive()
    }
}

impl LogHandle {
    /// Which partition's log this is.
    #[must_use]
    pub fn id(&self) -> TopicPartition {
        self.log.id
    }

    /// Tells this life of the log apart from others of the same partition. Survives restarts.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.log.incarnation
    }

    /// What the log was told last.
    #[must_use]
    pub fn config(&self) -> LogConfig {
        self.log.config()
    }

    /// Tells the log something else, from the next round of appends on.
    ///
    /// A segment that is already larger than `segment_bytes` is closed at the next append. What was
    /// written under [`Flush::Os`](crate::Flush::Os) is synced with the first append after the
    /// change to [`Flush::Always`](crate::Flush::Always).
    ///
    /// # Errors
    /// If `segment_bytes` is not possible; nothing changed then.
    pub fn set_config(&self, config: LogConfig) -> Result<(), ConfigError> {
        config.check()?;
        *self.log.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Queues batches for the writer thread. Never blocks.
    ///
    /// `done` is called exactly once. Acks of one log come in the order of its appends, except that
    /// those that wait for less come earlier. An append of several batches is written as a whole or
    /// refused as a whole; only a crash can cut it between two batches.
    pub fn append(&self, request: AppendRequest, done: Done) {
        let done = Completion::new(done);
        let len = request.batches.len();
        let shared = &self.log.shared;
        if let Err(error) = self.log.check_open().and_then(|()| shared.space.check()) {
            return done.complete(Err(error));
        }
        if let Err(waiting) = shared.backlog.take(len) {
            let limit = shared.backlog.limit();
            return done.complete(Err(AppendError::Backlog { waiting, limit }));
        }
        let command = Command::Append { log: Arc::clone(&self.log), request, done };
        if shared.sender.send(command).is_err() {
            // The command's completion told `done` that the store is closed.
            shared.backlog.give_back(len);
        }
    }

    /// Reads whole batches from the one that holds `from` (or, in a hole, the next one), up to
    /// `end` (exclusive, such as the high watermark) and about `max` bytes.
    ///
    /// The first batch is given whole even if it is larger than `max`. The chunk is empty at the
    /// end of the log, and where the first batch reaches beyond `end`.
    ///
    /// # Errors
    /// If the log has no such offset, the records there are damaged, or the disk failed.
    pub fn read(&self, from: Offset, end: Offset, max: ByteSize) -> Result<LogChunk, ReadError> {
        self.log.read(from, end, max)
    }

    /// Where the batches are that [`read`](LogHandle::read) would give; `None` where that would be
    /// empty. Reads no more than a few headers.
    ///
    /// # Errors
    /// If the log has no such offset, the records there are damaged, or the disk failed. Damage that
    /// nobody met before is met only at the range's ends.
    pub fn locate(
        &self,
        from: Offset,
        end: Offset,
        max: ByteSize,
    ) -> Result<Option<FileRange>, ReadError> {
        self.log.locate(from, end, max)
    }

    /// What [`locate`](LogHandle::locate) would give, if it is in memory: does not block. `None`
    /// otherwise, also where there is nothing or an error.
    #[must_use]
    pub fn at_tail(&self, from: Offset, end: Offset, max: ByteSize) -> Option<FileRange> {
        self.log.locate_tail(from, end, max).ok().flatten()
    }

    /// A reader with a memory of where it stopped, for reading the log in order.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        LogReader::new(self.clone())
    }

    /// Where the log begins and ends. Takes no lock.
    #[must_use]
    pub fn offsets(&self) -> LogOffsets {
        self.log.offsets()
    }

    /// The first record with a timestamp of at least `time`, and that timestamp.
    ///
    /// # Errors
    /// If the batch that should hold it is damaged, or the disk failed.
    pub fn offset_for_time(
        &self,
        time: Timestamp,
    ) -> Result<Option<(Offset, Timestamp)>, ReadError> {
        self.log.offset_for_time(time)
    }

    /// The latest timestamp of all records, as far as segments know it: that of one which was
    /// trimmed since may be among them. `None` in a log without records.
    #[must_use]
    pub fn max_timestamp(&self) -> Option<Timestamp> {
        let latest = self.log.segments().iter().map(|segment| segment.max_timestamp()).max();
        latest.filter(|latest| *latest > Timestamp::NONE)
    }

    /// The producers that wrote to the log lately, by id.
    #[must_use]
    pub fn producers(&self) -> Vec<ActiveProducer> {
        lock(&self.log.producers).active()
    }

    /// The largest epoch in the log up to `epoch`, and the offset at which it ends: for finding
    /// where two logs part. For an epoch before the first, that epoch and the log's start.
    #[must_use]
    pub fn epoch_end(&self, epoch: LeaderEpoch) -> (LeaderEpoch, Offset) {
        let LogOffsets { start, end, .. } = self.offsets();
        lock(&self.log.epochs).end_of(epoch, start, end)
    }

    /// Whether a batch with this stamp is in the log already, or on its way into it.
    ///
    /// It may not be durable yet. An append of it with [`When::Durable`] is answered as a duplicate
    /// once it is.
    #[must_use]
    pub fn is_duplicate(&self, stamp: ProducerStamp, last_offset_delta: i32) -> bool {
        let verdict = lock(&self.log.producers).check_stamp(stamp, last_offset_delta);
        matches!(verdict, Ok(Verdict::Duplicate(_)))
    }

    /// Bytes of all batches in the log.
    #[must_use]
    pub fn bytes(&self) -> ByteSize {
        ByteSize::bytes(self.log.segments().iter().map(|segment| segment.len()).sum())
    }

    /// How many segments the log has; one at least.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.log.segments().len()
    }

    /// Why the log takes no more appends; `None` while it does.
    #[must_use]
    pub fn sealed_reason(&self) -> Option<String> {
        self.log.sealed.get().map(|reason| reason.to_string())
    }

    /// Offsets that were durable and cannot be read, as far as that was found; rising.
    #[must_use]
    pub fn damage(&self) -> Vec<DamageRange> {
        self.log.damage()
    }
}
