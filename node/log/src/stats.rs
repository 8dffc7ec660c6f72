//! What a store tells of itself: counters since it was opened, and how things stand now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_env::{DiskMeter, Space};
use tidegate_types::ByteSize;

use crate::store::Shared;

/// See [`LogStore::stats`](crate::LogStore::stats).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreStats {
    /// Room on the file system; `None` if it does not tell.
    pub space: Option<Space>,
    /// Why appends are refused, if they are: the disk is full.
    pub full: Option<String>,
    /// Bytes of batches that were appended.
    pub accepted: ByteSize,
    /// Bytes handed to the disk: logs with what is zeroed ahead, index, cleaning. What the file
    /// system's own journal takes is not among them.
    pub written: ByteSize,
    /// Bytes read from files by calls; not those that were sent from file to socket.
    pub read: ByteSize,
    /// Syncs of files and folders; one of many files at once counts once.
    pub syncs: u64,
    /// Rounds of the writer thread.
    pub rounds: u64,
    /// Files of active segments that are open.
    pub open_files: u32,
    /// Why the index is not written, if it is not: given up, or the disk is full.
    pub index_failure: Option<String>,
}

impl StoreStats {
    /// Bytes written for each that was accepted; `None` before the first.
    #[must_use]
    pub fn write_amplification(&self) -> Option<f64> {
        let accepted = self.accepted.get();
        (accepted > 0).then(|| self.written.get() as f64 / accepted as f64)
    }
}

/// What is counted as it happens.
#[derive(Debug)]
pub(crate) struct Counters {
    meter: Arc<DiskMeter>,
    accepted: AtomicU64,
    rounds: AtomicU64,
}

impl Counters {
    pub(crate) fn new(meter: Arc<DiskMeter>) -> Counters {
        Counters { meter, accepted: AtomicU64::new(0), rounds: AtomicU64::new(0) }
    }

    pub(crate) fn count_accepted(&self, bytes: usize) {
        self.accepted.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_round(&self) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub(crate) fn stats(&self) -> StoreStats {
        let Counters { meter, accepted, rounds } = &self.counters;
        StoreStats {
            space: self.disk.space(&self.root).ok(),
            full: self.space.full_reason(),
            accepted: ByteSize::bytes(accepted.load(Ordering::Relaxed)),
            written: ByteSize::bytes(meter.written()),
            read: ByteSize::bytes(meter.read()),
            syncs: meter.syncs(),
            rounds: rounds.load(Ordering::Relaxed),
            open_files: u32::try_from(self.open_files.len()).unwrap_or(u32::MAX),
            index_failure: self.index.failure().map(|reason| reason.to_string()),
        }
    }
}
