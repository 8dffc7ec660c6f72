//! What a broker checks on a batch that a client produced, before it appends it.

use tidegate_types::{ProducerEpoch, Sequence};

use crate::{Batch, TimestampType};

/// Why a produced batch is refused: Kafka's INVALID_RECORD, or INVALID_TIMESTAMP for
/// [`ProducedError::AppendTime`]. Nothing was written, and sending it again does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProducedError {
    /// Markers are the broker's own.
    #[error("clients may not write control batches")]
    Control,
    /// Only compaction leaves such batches.
    #[error("the batch holds no records")]
    Empty,
    /// Only compaction and plugins leave holes.
    #[error("the batch has {count} records for last offset delta {last_offset_delta}")]
    Holes {
        /// Records.
        count: u32,
        /// The place of the last one.
        last_offset_delta: i32,
    },
    /// Only a broker stamps batches.
    #[error("clients may not mark a batch's timestamps as log append time")]
    AppendTime,
    /// Only compaction sets it.
    #[error("clients may not set a delete horizon")]
    DeleteHorizon,
    /// A producer id goes with an epoch and a sequence.
    #[error("the batch has a producer id with epoch {epoch} and base sequence {base_sequence}")]
    Stamp {
        /// Its epoch.
        epoch: ProducerEpoch,
        /// Its base sequence.
        base_sequence: Sequence,
    },
    /// Transactions belong to producers.
    #[error("the batch is transactional but has no producer id")]
    NoProducer,
}

/// Checks the header of a batch that came from a producer. Its records are not looked at.
///
/// # Errors
/// The first thing that a client may not send.
pub fn validate_produced(batch: &Batch<'_>) -> Result<(), ProducedError> {
    let header = batch.header();
    let attributes = header.attributes;
    if attributes.is_control() {
        return Err(ProducedError::Control);
    }
    if header.record_count == 0 {
        return Err(ProducedError::Empty);
    }
    if i64::from(header.last_offset_delta) + 1 != i64::from(header.record_count) {
        return Err(ProducedError::Holes {
            count: header.record_count,
            last_offset_delta: header.last_offset_delta,
        });
    }
    if attributes.timestamp_type() == TimestampType::LogAppendTime {
        return Err(ProducedError::AppendTime);
    }
    if attributes.has_delete_horizon() {
        return Err(ProducedError::DeleteHorizon);
    }
    match header.stamp() {
        Some(stamp) if stamp.epoch.0 < 0 || stamp.base_sequence.0 < 0 => {
            Err(ProducedError::Stamp { epoch: stamp.epoch, base_sequence: stamp.base_sequence })
        }
        None if attributes.is_transactional() => Err(ProducedError::NoProducer),
        _ => Ok(()),
    }
}
