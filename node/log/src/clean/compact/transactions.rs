//! Which transactions are open, and which were aborted, as the batches tell.
//!
//! A transactional batch opens its producer's transaction, a marker (a control batch of the same
//! producer) ends it. Records of an aborted one count as if they were not there.

use std::collections::HashMap;

use tidegate_record::Batch;
use tidegate_types::{Offset, ProducerId};

/// Aborted transactions that are remembered in one pass; beyond that it ends sooner.
const MAX_ABORTED: usize = 64 << 10;

/// The type of a marker that aborts, in its record's key after two bytes of version.
const ABORT: [u8; 2] = [0, 0];

/// Built by noting every batch of a range, in order.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    open: HashMap<ProducerId, Offset>,
    /// First offset and end, rising.
    aborted: HashMap<ProducerId, Vec<(Offset, Offset)>>,
    count: usize,
}

impl Transactions {
    /// Notes a batch; false if no more aborted ones can be remembered.
    #[must_use]
    pub(super) fn note(&mut self, batch: &Batch<'_>) -> bool {
        let header = batch.header();
        let producer = header.producer_id;
        if header.attributes.is_control() {
            if let Some(first) = self.open.remove(&producer)
                && is_abort(batch)
            {
                let ended = (first, header.base_offset);
                self.aborted.entry(producer).or_default().push(ended);
                self.count += 1;
            }
        } else if header.attributes.is_transactional() {
            self.open.entry(producer).or_insert(header.base_offset);
        }
        self.count < MAX_ABORTED
    }

    /// Where the first transaction begins that is not decided.
    pub(super) fn first_open(&self) -> Option<Offset> {
        self.open.values().min().copied()
    }

    /// Whether the batch belongs to a transaction that was aborted.
    pub(super) fn is_aborted(&self, batch: &Batch<'_>) -> bool {
        let header = batch.header();
        if !header.attributes.is_transactional() || header.attributes.is_control() {
            return false;
        }
        let Some(ranges) = self.aborted.get(&header.producer_id) else { return false };
        let after = ranges.partition_point(|(first, _)| *first <= header.base_offset);
        after.checked_sub(1).is_some_and(|at| header.base_offset < ranges[at].1)
    }
}

/// Whether a marker aborts. One that cannot be read does not: nothing is removed for it.
fn is_abort(batch: &Batch<'_>) -> bool {
    let mut scratch = Vec::new();
    let Ok(mut records) = batch.body(&mut scratch) else { return false };
    let Some(Ok(marker)) = records.next() else { return false };
    marker.key.is_some_and(|key| key.get(2..4) == Some(&ABORT[..]))
}
