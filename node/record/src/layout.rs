//! Where each field of a batch's header lies. All integers are big-endian.
//!
//! | offset | field | bytes | in the CRC |
//! | --- | --- | --- | --- |
//! | 0 | base offset | 8 | no |
//! | 8 | length of all that follows this field | 4 | no |
//! | 12 | leader epoch | 4 | no |
//! | 16 | magic, always 2 | 1 | no |
//! | 17 | CRC-32C of all that follows this field | 4 | no |
//! | 21 | attributes | 2 | yes |
//! | 23 | last offset delta | 4 | yes |
//! | 27 | base timestamp, or the delete horizon | 8 | yes |
//! | 35 | max timestamp | 8 | yes |
//! | 43 | producer id | 8 | yes |
//! | 51 | producer epoch | 2 | yes |
//! | 53 | base sequence | 4 | yes |
//! | 57 | record count | 4 | yes |
//! | 61 | records, compressed as one block or not at all | | yes |
//!
//! A record: length, attributes (1 byte, unused), timestamp delta, offset delta, key length and
//! key, value length and value, header count, then per header name length, name, value length and
//! value. Every number but the attributes is a zigzag varint; a length of -1 stands for null.

/// Bytes of a batch before its records.
pub const HEADER_LEN: usize = 61;

/// Bytes that must have arrived before a batch's length is known.
pub const LEN_PREFIX: usize = LENGTH + 4;

/// The only message format read and written.
pub const MAGIC_V2: i8 = 2;

/// Fewest bytes that a record takes: seven fields of one byte.
pub const MIN_RECORD_LEN: usize = 7;

pub(crate) const BASE_OFFSET: usize = 0;
pub(crate) const LENGTH: usize = 8;
pub(crate) const LEADER_EPOCH: usize = 12;
pub(crate) const MAGIC: usize = 16;
pub(crate) const CRC: usize = 17;
pub(crate) const ATTRIBUTES: usize = 21;
pub(crate) const LAST_OFFSET_DELTA: usize = 23;
pub(crate) const BASE_TIMESTAMP: usize = 27;
pub(crate) const MAX_TIMESTAMP: usize = 35;
pub(crate) const PRODUCER_ID: usize = 43;
pub(crate) const PRODUCER_EPOCH: usize = 51;
pub(crate) const BASE_SEQUENCE: usize = 53;
pub(crate) const RECORD_COUNT: usize = 57;

const _: () = assert!(BASE_OFFSET + size_of::<i64>() == LENGTH);
const _: () = assert!(LENGTH + size_of::<i32>() == LEADER_EPOCH);
const _: () = assert!(LEADER_EPOCH + size_of::<i32>() == MAGIC);
const _: () = assert!(MAGIC + size_of::<i8>() == CRC);
const _: () = assert!(CRC + size_of::<u32>() == ATTRIBUTES);
const _: () = assert!(ATTRIBUTES + size_of::<u16>() == LAST_OFFSET_DELTA);
const _: () = assert!(LAST_OFFSET_DELTA + size_of::<i32>() == BASE_TIMESTAMP);
const _: () = assert!(BASE_TIMESTAMP + size_of::<i64>() == MAX_TIMESTAMP);
const _: () = assert!(MAX_TIMESTAMP + size_of::<i64>() == PRODUCER_ID);
const _: () = assert!(PRODUCER_ID + size_of::<i64>() == PRODUCER_EPOCH);
const _: () = assert!(PRODUCER_EPOCH + size_of::<i16>() == BASE_SEQUENCE);
const _: () = assert!(BASE_SEQUENCE + size_of::<i32>() == RECORD_COUNT);
const _: () = assert!(RECORD_COUNT + size_of::<i32>() == HEADER_LEN);

pub(crate) const COMPRESSION_MASK: u16 = 0b111;
pub(crate) const APPEND_TIME_BIT: u16 = 1 << 3;
pub(crate) const TRANSACTIONAL_BIT: u16 = 1 << 4;
pub(crate) const CONTROL_BIT: u16 = 1 << 5;
pub(crate) const DELETE_HORIZON_BIT: u16 = 1 << 6;

/// The `N` bytes at `at`; the caller has checked that a whole header is there.
#[inline]
pub(crate) fn field<const N: usize>(header: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&header[at..at + N]);
    out
}

/// Writes the bytes of one field.
#[inline]
pub(crate) fn put<const N: usize>(batch: &mut [u8], at: usize, value: [u8; N]) {
    batch[at..at + N].copy_from_slice(&value);
}

/// The CRC-32C of what a whole batch's CRC covers.
#[inline]
pub(crate) fn checksum(batch: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(&batch[ATTRIBUTES..])
}
