//! A batch's header, taken apart and checked.

use tidegate_types::Timestamp;
use tidegate_types::limits::{MAX_BATCH, MAX_BATCH_RECORDS};
use tidegate_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, ProducerStamp, Sequence};

use crate::layout::{self, HEADER_LEN, LEN_PREFIX, MAGIC_V2, MIN_RECORD_LEN, field};
use crate::{BatchError, Compression, Record};

const _: () = assert!(MAX_BATCH.get() > HEADER_LEN as u64);
const _: () = assert!(MAX_BATCH.get() <= i32::MAX as u64, "the length field holds it");

/// Who set a batch's timestamps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TimestampType {
    /// The producer, per record.
    CreateTime,
    /// The broker, one for the whole batch.
    LogAppendTime,
}

/// A batch's attribute bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Attributes(pub(crate) u16);

impl Attributes {
    /// The bits as they lie in the batch, unused ones included.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Who set the timestamps.
    #[must_use]
    pub const fn timestamp_type(self) -> TimestampType {
        if self.0 & layout::APPEND_TIME_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub const fn is_transactional(self) -> bool {
        self.0 & layout::TRANSACTIONAL_BIT != 0
    }

    /// Whether the batch holds a marker of the broker's instead of a user's records.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.0 & layout::CONTROL_BIT != 0
    }

    /// Whether the base timestamp is the time after which tombstones may go.
    #[must_use]
    pub const fn has_delete_horizon(self) -> bool {
        self.0 & layout::DELETE_HORIZON_BIT != 0
    }
}

/// A batch's header. Its sizes, counts and offsets have been checked; its CRC has not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchHeader {
    /// The first offset of the batch, whether or not a record has it.
    pub base_offset: Offset,
    /// Bytes of the whole batch, header included.
    pub batch_len: usize,
    /// The epoch of the leader that appended it.
    pub leader_epoch: LeaderEpoch,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Flags.
    pub attributes: Attributes,
    /// How the body is packed.
    pub compression: Compression,
    /// The last offset of the batch less its base offset, whether or not a record has it.
    pub last_offset_delta: i32,
    /// What the records' timestamp deltas count from; the delete horizon where there is one.
    pub base_timestamp: Timestamp,
    /// The latest timestamp in the batch; every record's where the broker sets them.
    pub max_timestamp: Timestamp,
    /// The producer's id; -1 for none.
    pub producer_id: ProducerId,
    /// Its epoch; -1 for none.
    pub producer_epoch: ProducerEpoch,
    /// The sequence of the first offset; -1 for none.
    pub base_sequence: Sequence,
    /// Records in the body. Fewer than there are offsets where some were removed.
    pub record_count: u32,
}

impl BatchHeader {
    /// Reads the header at the start of `buf`, of which the first [`HEADER_LEN`] bytes suffice.
    ///
    /// # Errors
    /// If fewer bytes are there, or a field has a value that no batch may have.
    pub fn parse(buf: &[u8]) -> Result<BatchHeader, BatchError> {
        let batch_len =
            peek_len(buf)?.ok_or(BatchError::Truncated { have: buf.len(), need: HEADER_LEN })?;
        let Some(h) = buf.first_chunk::<HEADER_LEN>() else {
            // The magic is told as soon as it is there: older formats have shorter headers.
            return Err(match buf.get(layout::MAGIC) {
                Some(&magic) if magic != MAGIC_V2 as u8 => BatchError::Magic { found: magic as i8 },
                _ => BatchError::Truncated { have: buf.len(), need: HEADER_LEN },
            });
        };
        let magic = i8::from_be_bytes(field(h, layout::MAGIC));
        if magic != MAGIC_V2 {
            return Err(BatchError::Magic { found: magic });
        }
        let attributes = Attributes(u16::from_be_bytes(field(h, layout::ATTRIBUTES)));
        let id = (attributes.0 & layout::COMPRESSION_MASK) as u8;
        let compression = Compression::from_id(id).ok_or(BatchError::Compression { id })?;

        let base_offset = i64::from_be_bytes(field(h, layout::BASE_OFFSET));
        let last_offset_delta = i32::from_be_bytes(field(h, layout::LAST_OFFSET_DELTA));
        // The offset after the batch must exist too.
        let room = i64::MAX - i64::from(last_offset_delta.max(0));
        if base_offset < 0 || last_offset_delta < 0 || base_offset >= room {
            return Err(BatchError::Offsets { base_offset, last_offset_delta });
        }

        let count = i32::from_be_bytes(field(h, layout::RECORD_COUNT));
        let body = batch_len - HEADER_LEN;
        let fits = match compression {
            Compression::None => i64::from(count) <= (body / MIN_RECORD_LEN) as i64,
            _ => count == 0 || body > 0,
        };
        if count < 0
            || !fits
            || i64::from(count) > i64::from(MAX_BATCH_RECORDS)
            || i64::from(count) > i64::from(last_offset_delta) + 1
        {
            return Err(BatchError::RecordCount {
                count,
                body,
                last_offset_delta,
                max: MAX_BATCH_RECORDS,
            });
        }

        Ok(BatchHeader {
            base_offset: Offset(base_offset),
            batch_len,
            leader_epoch: LeaderEpoch(i32::from_be_bytes(field(h, layout::LEADER_EPOCH))),
            crc: u32::from_be_bytes(field(h, layout::CRC)),
            attributes,
            compression,
            last_offset_delta,
            base_timestamp: Timestamp(i64::from_be_bytes(field(h, layout::BASE_TIMESTAMP))),
            max_timestamp: Timestamp(i64::from_be_bytes(field(h, layout::MAX_TIMESTAMP))),
            producer_id: ProducerId(i64::from_be_bytes(field(h, layout::PRODUCER_ID))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(field(h, layout::PRODUCER_EPOCH))),
            base_sequence: Sequence(i32::from_be_bytes(field(h, layout::BASE_SEQUENCE))),
            record_count: count as u32,
        })
    }

    /// The last offset of the batch.
    #[must_use]
    pub const fn last_offset(&self) -> Offset {
        self.base_offset.advance(self.last_offset_delta as i64)
    }

    /// The offset after the batch.
    #[must_use]
    pub const fn next_offset(&self) -> Offset {
        self.base_offset.advance(self.last_offset_delta as i64 + 1)
    }

    /// Bytes of the body as it is packed.
    #[must_use]
    pub const fn body_len(&self) -> usize {
        self.batch_len - HEADER_LEN
    }

    /// What an idempotent producer wrote; `None` if none did.
    #[must_use]
    pub fn stamp(&self) -> Option<ProducerStamp> {
        (self.producer_id.0 >= 0).then_some(ProducerStamp {
            id: self.producer_id,
            epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
        })
    }

    /// The sequence of the batch's last offset; `None` without a producer id.
    #[must_use]
    pub fn last_sequence(&self) -> Option<Sequence> {
        self.stamp().map(|stamp| stamp.base_sequence.advance(self.last_offset_delta))
    }

    /// When the tombstones in the batch may go; `None` while that is not decided.
    #[must_use]
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp)
    }

    /// The offset of one of the batch's records.
    #[must_use]
    pub const fn offset_of(&self, record: &Record<'_>) -> Offset {
        self.base_offset.advance(record.offset_delta as i64)
    }

    /// The timestamp of one of the batch's records.
    #[must_use]
    pub const fn timestamp_of(&self, record: &Record<'_>) -> Timestamp {
        match self.attributes.timestamp_type() {
            // Wraps as the writer's subtraction did.
            TimestampType::CreateTime => {
                Timestamp(self.base_timestamp.0.wrapping_add(record.timestamp_delta))
            }
            TimestampType::LogAppendTime => self.max_timestamp,
        }
    }
}

/// The length of the whole batch that `buf` begins with, header included, from its first 12
/// bytes; `None` if fewer are there.
///
/// # Errors
/// If the length is too small for a header, or larger than a batch may be.
pub fn peek_len(buf: &[u8]) -> Result<Option<usize>, BatchError> {
    let Some(prefix) = buf.first_chunk::<LEN_PREFIX>() else {
        return Ok(None);
    };
    let [.., a, b, c, d] = *prefix;
    let len = i64::from(i32::from_be_bytes([a, b, c, d])) + LEN_PREFIX as i64;
    let max = MAX_BATCH.as_usize();
    if len < HEADER_LEN as i64 || len > max as i64 {
        return Err(BatchError::Length { len, min: HEADER_LEN, max });
    }
    Ok(Some(len as usize))
}
