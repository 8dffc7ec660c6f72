//! What the node counted since it started.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Shared by everything that takes or stores records.
#[derive(Clone, Default)]
pub(crate) struct Counters(Arc<Inner>);

#[derive(Default)]
struct Inner {
    taken: AtomicU64,
    stored: AtomicU64,
}

impl Counters {
    /// Records that came from producers.
    pub(crate) fn taken(&self, records: u32) {
        self.0.taken.fetch_add(u64::from(records), Ordering::Relaxed);
    }

    /// Records that were written to a log.
    pub(crate) fn stored(&self, records: u32) {
        self.0.stored.fetch_add(u64::from(records), Ordering::Relaxed);
    }

    /// Records taken, records stored.
    pub(crate) fn read(&self) -> (u64, u64) {
        (self.0.taken.load(Ordering::Relaxed), self.0.stored.load(Ordering::Relaxed))
    }
}
