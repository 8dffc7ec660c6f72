//! What can be wrong with a batch, and with one record in it.

use crate::Compression;
use crate::codec::DecompressError;

/// Why bytes are not a batch, or its body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch does. More of them may make it whole.
    #[error("batch is cut off: {have} bytes of {need}")]
    Truncated {
        /// Bytes given.
        have: usize,
        /// Bytes needed.
        need: usize,
    },
    /// The length field is too small for a header or above the limit.
    #[error("batch length {len} is outside {min} to {max} bytes")]
    Length {
        /// Bytes of the whole batch, as its length field has it.
        len: i64,
        /// The length of a header.
        min: usize,
        /// The limit.
        max: usize,
    },
    /// Another message format.
    #[error("batch has magic {found}, only 2 is supported")]
    Magic {
        /// The byte found.
        found: i8,
    },
    /// The bytes are not those that were written.
    #[error("batch has crc {computed:#010x}, but {stored:#010x} is written in it")]
    Crc {
        /// Of the bytes.
        computed: u32,
        /// In the header.
        stored: u32,
    },
    /// A codec that does not exist.
    #[error("batch has compression type {id}, known are 0 to 4")]
    Compression {
        /// The three bits found.
        id: u8,
    },
    /// The offsets are negative or run past the end of the offset space.
    #[error("batch has base offset {base_offset} and last offset delta {last_offset_delta}")]
    Offsets {
        /// The first offset.
        base_offset: i64,
        /// What is added to it for the last one.
        last_offset_delta: i32,
    },
    /// Negative, above the limit, or more records than the batch has offsets or bytes for.
    #[error(
        "batch claims {count} records in {body} bytes with last offset delta \
         {last_offset_delta}, at most {max} are allowed"
    )]
    RecordCount {
        /// Records claimed.
        count: i32,
        /// Bytes of the body.
        body: usize,
        /// The last record's place.
        last_offset_delta: i32,
        /// The limit.
        max: u32,
    },
    /// The body could not be unpacked.
    #[error("batch body does not unpack as {codec}")]
    Decompress {
        /// The codec that the attributes name.
        codec: Compression,
        /// What was wrong.
        #[source]
        source: DecompressError,
    },
    /// A record in the body is malformed.
    #[error("record {index} of {count} is malformed")]
    Record {
        /// Its place in the batch, from 0.
        index: u32,
        /// Records that the batch claims.
        count: u32,
        /// What was wrong.
        #[source]
        source: RecordError,
    },
    /// The body goes on after its last record.
    #[error("{bytes} bytes are left over after the last of {count} records")]
    Leftover {
        /// How many.
        bytes: usize,
        /// Records that the batch claims.
        count: u32,
    },
}

impl BatchError {
    /// Whether the bytes merely end too early, so that more of them may make a batch.
    #[must_use]
    pub const fn is_truncated(&self) -> bool {
        matches!(self, BatchError::Truncated { .. })
    }
}

/// Why a record could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A number that is cut off, or has more bits than its type.
    #[error("its {field} is cut off or too large for its type")]
    Number {
        /// Which.
        field: &'static str,
    },
    /// A length below -1, -1 where null is not allowed, or more than is left.
    #[error("its {field} has length {len}, {left} bytes are left")]
    Length {
        /// Of what.
        field: &'static str,
        /// The length claimed.
        len: i32,
        /// Bytes there.
        left: usize,
    },
    /// More headers than allowed, or than there are bytes for.
    #[error("it claims {count} headers in {left} bytes, at most {max} are allowed")]
    HeaderCount {
        /// Headers claimed.
        count: i32,
        /// Bytes there.
        left: usize,
        /// The limit.
        max: u32,
    },
    /// The record is longer than its fields.
    #[error("{bytes} bytes are left over after its last header")]
    Leftover {
        /// How many.
        bytes: usize,
    },
    /// Not above the record before it, or past the batch's last offset.
    #[error("its offset delta is {delta}, but {min} to {max} is left in the batch")]
    OffsetDelta {
        /// The delta found.
        delta: i32,
        /// The lowest that may follow.
        min: i64,
        /// The batch's last offset delta.
        max: i32,
    },
}
