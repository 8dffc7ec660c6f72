//! What leaves a log, and how: trimmed, too old, too much, dropped from a full disk, or superseded
//! by a later record of the same key.
//!
//! # Removing from the head
//!
//! Trim, retention and dropping move the log's start. First the new start is stored in the index,
//! with the rows of the files that lie wholly before it taken out; that is durable before anything
//! else is done. Then readers see the new start, the files are removed, oldest first, and the
//! folder is synced once. What a crash leaves of them is removed when the log is opened. A trim may
//! end inside a segment, whose file then stays. **Where the index is lost**, a log starts at its
//! first file again: records that a trim had cut from that file come back.
//!
//! Without an index that can be written nothing is removed: the log would come back with holes. For
//! a disk so full that not even the index can be written, a reserve is kept (see `telling`).
//!
//! # Time
//!
//! A clock that jumps by years must not delete anything. A closed segment goes by age only if it is
//! too old by both of two clocks: by the latest of its batches' own times against the time of day
//! (passed if they have none, or it lies in the future), and by how long this store has *held* it
//! closed, in running time summed over restarts ([`Cleaner`] counts it). What the second costs:
//! time that the machine is off does not count, and a segment lives up to as long again as it took
//! to fill, so up to twice the retention. A lost index begins to count anew.
//!
//! # What it does not do
//!
//! It knows nothing of replicas: that nothing is trimmed beyond the high watermark is for the
//! broker to see to.

mod compact;
mod head;
mod retention;
mod step;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};
use tidegate_env::Clock;
use tidegate_types::{ByteSize, LogPolicy, Offset, Timestamp};

use crate::index::{Change, Index};
use crate::log::{Log, lock};
use crate::{DamageRange, IndexError};

pub(crate) use compact::{remove_superseded, remove_unfinished};
pub(crate) use head::sweep_trimmed;
pub use step::MaintenanceStep;
pub(crate) use step::start_thread;

/// What the cleaner knows of a log, as it is stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct CleanRow {
    /// Closed segments by their base, each with the uptime at which it was first seen closed.
    pub(crate) closed: Vec<(Offset, Duration)>,
    /// The active segment, and the uptime at which it was first seen with records in it.
    pub(crate) filling: Option<(Offset, Duration)>,
    /// Everything before this was compacted.
    pub(crate) compacted: Offset,
    /// Tombstones that lie there, as the last pass left them.
    pub(crate) tombstones: u64,
    /// Tombstones before this were removed.
    pub(crate) swept: Offset,
    /// Offsets, each with the uptime since which all before it is clean; rising.
    pub(crate) horizons: Vec<(Offset, Duration)>,
}

impl Default for CleanRow {
    fn default() -> CleanRow {
        CleanRow {
            closed: Vec::new(),
            filling: None,
            compacted: Offset::ZERO,
            tombstones: 0,
            swept: Offset::ZERO,
            horizons: Vec::new(),
        }
    }
}

/// A log's part of the cleaner's state.
#[derive(Debug, Default)]
pub(crate) struct CleanState {
    row: CleanRow,
    /// The row differs from what is stored.
    dirty: bool,
    /// Files that no longer belong to the log and could not be removed yet.
    leftover: Vec<PathBuf>,
    /// The active segment that the writer was asked to close.
    roll_asked: Option<Offset>,
    /// The log was opened anew, or deleted: its files are not this state's any more.
    left: bool,
    dropped: Option<Dropped>,
    /// The last segment that tells of transactions when a pass found that not all are decided: until
    /// there are more, nothing that is dirty can be compacted.
    waits_at: Option<Offset>,
    /// After a failure, the uptime at which compaction is tried again.
    paused_until: Option<Duration>,
    trouble: Option<Arc<str>>,
    /// Why the log is not compacted any more until it is opened again.
    stuck: Option<Arc<str>>,
}

impl CleanState {
    pub(crate) fn new(row: CleanRow) -> CleanState {
        CleanState { row, ..CleanState::default() }
    }

    /// The uptime at which a segment was first seen closed.
    fn closed_at(&self, base: Offset) -> Option<Duration> {
        let at = self.row.closed.binary_search_by_key(&base, |(base, _)| *base).ok()?;
        self.row.closed.get(at).map(|(_, at)| *at)
    }

    /// Notes what segments there are; times stay with those that are known.
    fn see(&mut self, log: &Log, uptime: Duration) {
        let segments = log.segments();
        let Some((active, closed)) = segments.split_last() else { return };
        let same = self.row.closed.len() == closed.len()
            && self.row.closed.iter().zip(closed).all(|((base, _), segment)| *base == segment.base);
        if !same {
            let at = |base| self.closed_at(base).unwrap_or(uptime);
            let seen = closed.iter().map(|segment| (segment.base, at(segment.base))).collect();
            self.row.closed = seen;
            self.dirty = true;
        }
        let filling = match self.row.filling {
            _ if active.len() == 0 => None,
            Some((base, since)) if base == active.base => Some((base, since)),
            _ => Some((active.base, uptime)),
        };
        self.dirty |= filling != self.row.filling;
        self.row.filling = filling;
    }
}

/// What a log lost to a full disk since it was opened: an explicit gap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dropped {
    /// The offsets dropped last.
    pub last: DamageRange,
    /// Bytes dropped.
    pub bytes: ByteSize,
    /// Segments dropped.
    pub segments: u64,
}

/// What was removed from a store's logs since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CleanStats {
    /// Bytes of the files that retention removed.
    pub retained_out: ByteSize,
    /// Bytes of the files that trims removed.
    pub trimmed: ByteSize,
    /// Bytes of the files dropped from a full disk.
    pub dropped: ByteSize,
    /// Bytes by which compaction made files shorter.
    pub compacted: ByteSize,
    /// Files that any of these removed.
    pub segments: u64,
}

/// Why bytes of a log go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    Trimmed,
    TooOld,
    Dropped,
    Compacted,
}

/// A store's part of the cleaner's state: the time it has run, what it has removed, and the bell.
#[derive(Debug)]
pub(crate) struct Cleaner {
    /// Uptime when the store was opened, and the monotonic time then.
    opened: (Duration, Duration),
    bell: Sender<()>,
    bells: Receiver<()>,
    trimmed: AtomicU64,
    retained_out: AtomicU64,
    dropped: AtomicU64,
    compacted: AtomicU64,
    segments: AtomicU64,
}

/// The time, by the clocks that removal goes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Now {
    wall: Timestamp,
    /// Running time of the store, over all its lives.
    uptime: Duration,
}

impl Cleaner {
    pub(crate) fn new(index: &Index, clock: &dyn Clock) -> Cleaner {
        let (bell, bells) = bounded(1);
        Cleaner {
            opened: (index.uptime(), clock.monotonic()),
            bell,
            bells,
            trimmed: AtomicU64::new(0),
            retained_out: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            compacted: AtomicU64::new(0),
            segments: AtomicU64::new(0),
        }
    }

    /// Has the thread look at the logs soon.
    pub(crate) fn wake(&self) {
        // A bell that rings already is enough.
        let _ = self.bell.try_send(());
    }

    fn now(&self, clock: &dyn Clock) -> Now {
        let (uptime, at) = self.opened;
        let uptime = uptime.saturating_add(clock.monotonic().saturating_sub(at));
        Now { wall: clock.wall(), uptime: Duration::from_millis(uptime.as_millis() as u64) }
    }

    /// For the index, which must learn of it with every time that is counted from it.
    pub(crate) fn uptime(&self, clock: &dyn Clock) -> Change {
        Change::Uptime(self.now(clock).uptime)
    }

    fn count(&self, why: Why, bytes: u64, segments: u64) {
        let counter = match why {
            Why::Trimmed => &self.trimmed,
            Why::TooOld => &self.retained_out,
            Why::Dropped => &self.dropped,
            Why::Compacted => &self.compacted,
        };
        counter.fetch_add(bytes, Ordering::Relaxed);
        self.segments.fetch_add(segments, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> CleanStats {
        let bytes = |counter: &AtomicU64| ByteSize::bytes(counter.load(Ordering::Relaxed));
        CleanStats {
            retained_out: bytes(&self.retained_out),
            trimmed: bytes(&self.trimmed),
            dropped: bytes(&self.dropped),
            compacted: bytes(&self.compacted),
            segments: self.segments.load(Ordering::Relaxed),
        }
    }
}

/// What the log's policy is now.
fn policy(log: &Log) -> LogPolicy {
    log.config().policy
}

/// The size up to which its segments grow.
fn segment_bytes(log: &Log) -> u64 {
    log.config().segment_bytes.get()
}

impl Log {
    /// Tells the index what is known of the log, with the time that it is counted from.
    fn store_row(&self, clean: &mut CleanState) -> Result<(), IndexError> {
        let row = Change::Cleaning(self.id, clean.row.clone());
        self.shared.tell(vec![self.shared.cleaner.uptime(&*self.shared.clock), row])?;
        clean.dirty = false;
        Ok(())
    }

    /// Adds to what is damaged, and tells the index.
    fn add_damage(&self, range: DamageRange) {
        let mut damage = self.damage.write().unwrap_or_else(PoisonError::into_inner);
        DamageRange::insert(&mut damage, range);
        drop(damage);
        // A failure was logged; the range is found again.
        let change = Change::Damage(self.id, self.incarnation, range);
        let _: Result<(), IndexError> = self.shared.tell_some_time(vec![change]);
    }
}

/// What the index is to be told of a log, if it was not yet.
pub(crate) fn row_to_store(log: &Log) -> Option<Change> {
    let mut clean = lock(&log.clean);
    let stale = std::mem::take(&mut clean.dirty) && !clean.left;
    stale.then(|| Change::Cleaning(log.id, clean.row.clone()))
}

/// The index could not be told of the row that was taken from the log.
pub(crate) fn row_not_stored(log: &Log) {
    lock(&log.clean).dirty = true;
}

/// Ends what is being done to a log's files before they get another owner.
pub(crate) fn leave(log: &Arc<Log>) {
    lock(&log.clean).left = true;
}
