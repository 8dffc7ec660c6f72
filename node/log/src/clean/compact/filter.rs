//! What of a batch stays: a rule without IO.
//!
//! A record goes if its key has a later record, if its transaction was aborted, or if it is a
//! tombstone that has been shown for long enough. What has no key stays. Offsets, producer, epoch,
//! base sequence, timestamps and codec of a batch stay as they are; what is removed leaves holes.
//! A batch with nothing left goes too, unless it is its producer's last (a producer's state can so
//! be rebuilt from the log) or the last of its file (the file so tells where it ends): those stay
//! without records. Markers stay, and so does what cannot be read.

use tidegate_record::{
    Batch, BatchBuilder, BatchError, BatchHeader, BuildOptions, TimestampType, set_append_time,
};
use tidegate_types::{Offset, ProducerId};

use super::map::KeyMap;
use super::transactions::Transactions;

/// What becomes of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It stays as it is.
    Kept,
    /// These bytes take its place.
    Rewritten(Vec<u8>),
    /// It goes.
    Dropped,
}

/// Judges batches, in order.
pub(super) struct Filter<'p> {
    pub(super) map: &'p KeyMap,
    pub(super) transactions: &'p Transactions,
    /// Batches from here on stay as they are.
    pub(super) end: Offset,
    /// Tombstones before this go.
    pub(super) expired: Offset,
    /// Whether this batch is the producer's last in the log.
    pub(super) is_last: &'p dyn Fn(ProducerId, Offset) -> bool,
    /// Tombstones that stayed.
    pub(super) tombstones: u64,
    /// Records that went.
    pub(super) removed: u64,
    /// A mistake that tests plant: offsets do not stay.
    pub(super) renumbers: bool,
    scratch: Vec<u8>,
}

impl<'p> Filter<'p> {
    pub(super) fn new(
        map: &'p KeyMap,
        transactions: &'p Transactions,
        end: Offset,
        expired: Offset,
        is_last: &'p dyn Fn(ProducerId, Offset) -> bool,
    ) -> Filter<'p> {
        let scratch = Vec::new();
        Filter {
            map,
            transactions,
            end,
            expired,
            is_last,
            tombstones: 0,
            removed: 0,
            renumbers: false,
            scratch,
        }
    }

    /// Judges a batch; `ends_file` if it is the last of the file that is being written.
    pub(super) fn judge(&mut self, batch: &Batch<'_>, ends_file: bool) -> Outcome {
        let header = *batch.header();
        if header.base_offset >= self.end || header.attributes.is_control() {
            return Outcome::Kept;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let kept = self.sift(batch, &mut scratch);
        self.scratch = scratch;
        match kept {
            Ok(Sifted::All) => Outcome::Kept,
            // It may hold what a tombstone after it hides, so all of those stay.
            Err(_) | Ok(Sifted::Opaque) => {
                self.expired = Offset::ZERO;
                Outcome::Kept
            }
            Ok(Sifted::Some(bytes)) => Outcome::Rewritten(bytes),
            Ok(Sifted::Nothing) if !ends_file && !self.ends_producer(&header) => Outcome::Dropped,
            Ok(Sifted::Nothing) if header.record_count == 0 => Outcome::Kept,
            Ok(Sifted::Nothing) => empty(&header).map_or(Outcome::Kept, Outcome::Rewritten),
        }
    }

    fn ends_producer(&self, header: &BatchHeader) -> bool {
        header.stamp().is_some_and(|stamp| (self.is_last)(stamp.id, header.base_offset))
    }

    fn sift(&mut self, batch: &Batch<'_>, scratch: &mut Vec<u8>) -> Result<Sifted, BatchError> {
        let header = *batch.header();
        let count = u64::from(header.record_count);
        if self.transactions.is_aborted(batch) || count == 0 {
            self.removed += count;
            return Ok(Sifted::Nothing);
        }
        let (mut kept, mut tombstones) = (0, 0);
        for record in batch.body(scratch)? {
            let record = record?;
            if self.stays(record.key, record.value, header.offset_of(&record)) {
                kept += 1;
                tombstones += u64::from(record.key.is_some() && record.value.is_none());
            }
        }
        if kept == 0 {
            self.removed += count;
            return Ok(Sifted::Nothing);
        }
        self.tombstones += tombstones;
        if kept == count {
            return Ok(Sifted::All);
        }
        let Some(bytes) = self.rebuild(batch, scratch)? else { return Ok(Sifted::Opaque) };
        self.removed += count - kept;
        Ok(Sifted::Some(bytes))
    }

    fn stays(&self, key: Option<&[u8]>, value: Option<&[u8]>, offset: Offset) -> bool {
        let Some(key) = key else { return true };
        let expired = value.is_none() && offset < self.expired;
        !expired && !self.map.is_superseded(key, offset)
    }

    /// The batch with the records that stay; `None` if it cannot be built.
    fn rebuild(
        &self,
        batch: &Batch<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<Option<Vec<u8>>, BatchError> {
        let header = *batch.header();
        let mut builder = BatchBuilder::new(options(&header));
        for record in batch.body(scratch)? {
            let record = record?;
            if !self.stays(record.key, record.value, header.offset_of(&record)) {
                continue;
            }
            let time = header.timestamp_of(&record);
            let delta = if self.renumbers { builder.len() as i32 } else { record.offset_delta };
            let pushed = builder.push_record(delta, time, record.key, record.value, record.headers);
            if pushed.is_err() {
                return Ok(None);
            }
        }
        builder.set_last_offset_delta(header.last_offset_delta);
        let Ok(mut bytes) = builder.build() else { return Ok(None) };
        if header.attributes.timestamp_type() == TimestampType::LogAppendTime {
            set_append_time(&mut bytes, header.max_timestamp);
        }
        Ok(Some(bytes))
    }
}

enum Sifted {
    All,
    /// It cannot be written anew.
    Opaque,
    Some(Vec<u8>),
    Nothing,
}

fn options(header: &BatchHeader) -> BuildOptions {
    BuildOptions {
        compression: header.compression,
        leader_epoch: header.leader_epoch,
        stamp: header.stamp(),
        base_offset: header.base_offset,
        transactional: header.attributes.is_transactional(),
        control: false,
    }
}

/// The batch without its records.
fn empty(header: &BatchHeader) -> Option<Vec<u8>> {
    let mut builder = BatchBuilder::new(options(header));
    builder.set_last_offset_delta(header.last_offset_delta);
    builder.build().ok()
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
