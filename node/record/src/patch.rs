//! Fields that a broker sets in a batch that it appends, in place.
//!
//! Every function here wants a whole batch, as [`Batch`](crate::Batch) has parsed it.

use tidegate_types::{LeaderEpoch, Offset, Timestamp};

use crate::layout::{self, checksum, put};

/// Sets the base offset, which lies outside the CRC.
///
/// # Panics
/// If `batch` is shorter than a header.
pub fn set_base_offset(batch: &mut [u8], offset: Offset) {
    put(batch, layout::BASE_OFFSET, offset.0.to_be_bytes());
}

/// Sets the leader epoch, which lies outside the CRC.
///
/// # Panics
/// If `batch` is shorter than a header.
pub fn set_leader_epoch(batch: &mut [u8], epoch: LeaderEpoch) {
    put(batch, layout::LEADER_EPOCH, epoch.0.to_be_bytes());
}

/// Gives every record of the batch the broker's own time, and computes the CRC anew: for topics
/// with `message.timestamp.type=LogAppendTime`.
///
/// # Panics
/// If `batch` is shorter than a header.
pub fn set_append_time(batch: &mut [u8], now: Timestamp) {
    // The bit is in the low byte of the big-endian field.
    batch[layout::ATTRIBUTES + 1] |= layout::APPEND_TIME_BIT as u8;
    set_max_timestamp(batch, now);
}

/// Sets the latest time of the batch's records, and computes the CRC anew.
///
/// # Panics
/// If `batch` is shorter than a header.
pub fn set_max_timestamp(batch: &mut [u8], latest: Timestamp) {
    put(batch, layout::MAX_TIMESTAMP, latest.0.to_be_bytes());
    let crc = checksum(batch);
    put(batch, layout::CRC, crc.to_be_bytes());
}

const _: () = assert!(layout::APPEND_TIME_BIT <= u8::MAX as u16);
