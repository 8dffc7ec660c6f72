//! Writes batches.

use std::{fmt, mem};

use tidegate_types::limits::MAX_RECORD_HEADERS;
use tidegate_types::limits::{MAX_BATCH, MAX_BATCH_RECORDS, MAX_BATCH_UNCOMPRESSED};
use tidegate_types::{LeaderEpoch, Offset, ProducerStamp, Timestamp};

use crate::codec::Compressor;
use crate::layout::{self, HEADER_LEN, LEN_PREFIX, MAGIC_V2, checksum, put};
use crate::varint::{self, len_i32, len_i64};
use crate::{CompressError, Compression, Headers};

/// What a batch says of itself besides its records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BuildOptions {
    /// How the body is packed. Default: not at all.
    pub compression: Compression,
    /// The leader's epoch. Default: none; the broker that appends the batch sets it.
    pub leader_epoch: LeaderEpoch,
    /// The producer's id, epoch and sequence. Default: none.
    pub stamp: Option<ProducerStamp>,
    /// The first offset. Default: 0; the broker that appends the batch sets it.
    pub base_offset: Offset,
    /// Whether the batch belongs to a transaction of its producer. Default: no.
    pub transactional: bool,
    /// Whether the batch holds a marker of the broker's, such as a commit. Default: no.
    pub control: bool,
}

impl Default for BuildOptions {
    fn default() -> BuildOptions {
        BuildOptions {
            compression: Compression::None,
            leader_epoch: LeaderEpoch::NONE,
            stamp: None,
            base_offset: Offset::ZERO,
            transactional: false,
            control: false,
        }
    }
}

/// Why a record was not added. The batch is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// With it the batch would exceed what a batch may hold. An empty batch may take it, unless
    /// this one is empty.
    #[error("a record of {record} bytes does not fit a batch that has {used} of {max} bytes")]
    Full {
        /// What the record would take.
        record: usize,
        /// What the batch takes.
        used: usize,
        /// The limit.
        max: usize,
    },
    /// The batch has as many records as one may have. Another batch may take it.
    #[error("the batch has {max} records, the most that are allowed")]
    TooManyRecords {
        /// The limit.
        max: u32,
    },
    /// The record has more headers than one may have.
    #[error("the record has more than {max} headers")]
    TooManyHeaders {
        /// The limit.
        max: u32,
    },
    /// Offsets must rise.
    #[error("offset delta {delta} does not lie in {min} to 2147483647")]
    OffsetDelta {
        /// The one given.
        delta: i32,
        /// The lowest that may follow.
        min: i64,
    },
}

impl PushError {
    /// Whether a new batch may take the record that this one did not.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        match self {
            PushError::Full { used, .. } => *used > HEADER_LEN,
            PushError::TooManyRecords { .. } => true,
            PushError::TooManyHeaders { .. } | PushError::OffsetDelta { .. } => false,
        }
    }
}

/// Why a batch was not built. The builder still has its records.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No record was added, nor an offset kept.
    #[error("a batch needs a record or a last offset delta")]
    Empty,
    /// Its records do not pack well enough.
    #[error("the batch takes {len} bytes packed as {codec}, at most {max} are allowed")]
    TooLarge {
        /// Bytes of the whole batch.
        len: usize,
        /// How it is packed.
        codec: Compression,
        /// The limit.
        max: usize,
    },
    /// The offsets would run past the end of the offset space.
    #[error(
        "base offset {base_offset} is negative or leaves no room for delta {last_offset_delta}"
    )]
    Offsets {
        /// The first offset.
        base_offset: Offset,
        /// The last one's distance from it.
        last_offset_delta: i32,
    },
    /// The codec failed.
    #[error("the batch does not pack as {codec}")]
    Compress {
        /// Which.
        codec: Compression,
        /// How.
        #[source]
        source: CompressError,
    },
}

/// Builds one batch after another.
///
/// Records are encoded as they are pushed. [`build`](BatchBuilder::build) gives the batch away
/// and leaves the builder empty, with the same options.
pub struct BatchBuilder {
    options: BuildOptions,
    /// Room for the header, then the records. Empty until the first record comes.
    buf: Vec<u8>,
    /// A record's headers, while their size is found out.
    header_scratch: Vec<u8>,
    compressor: Compressor,
    count: u32,
    /// -1 until a record is pushed or an offset kept.
    last_offset_delta: i32,
    /// One above the last record's, whatever offsets are kept after it.
    next_delta: i64,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

impl BatchBuilder {
    /// An empty batch.
    #[must_use]
    pub fn new(options: BuildOptions) -> BatchBuilder {
        BatchBuilder {
            options,
            buf: Vec::new(),
            header_scratch: Vec::new(),
            compressor: Compressor::default(),
            count: 0,
            last_offset_delta: -1,
            next_delta: 0,
            base_timestamp: Timestamp::NONE,
            max_timestamp: Timestamp::NONE,
        }
    }

    /// What the batch will say of itself.
    #[must_use]
    pub const fn options(&self) -> &BuildOptions {
        &self.options
    }

    /// Changes what the batch will say of itself; its records stay.
    pub const fn set_options(&mut self, options: BuildOptions) {
        self.options = options;
    }

    /// Adds a record at the offset after the last one.
    ///
    /// # Errors
    /// If the batch cannot take it ([`PushError::is_full`]), or no batch could.
    pub fn push<'h>(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h [u8], Option<&'h [u8]>)>,
    ) -> Result<(), PushError> {
        let delta = self.following_delta()?;
        self.push_at(delta, timestamp, key, value, headers)
    }

    /// Adds a record at an offset of its own, for batches with holes.
    ///
    /// # Errors
    /// As [`push`](BatchBuilder::push); also if the offset does not lie above the last record's.
    pub fn push_at<'h>(
        &mut self,
        offset_delta: i32,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h [u8], Option<&'h [u8]>)>,
    ) -> Result<(), PushError> {
        let mut raw = mem::take(&mut self.header_scratch);
        raw.clear();
        let result = self
            .encode_headers(&mut raw, headers)
            .and_then(|count| self.append(offset_delta, timestamp, key, value, &raw, count));
        self.header_scratch = raw;
        result
    }

    /// Adds a record whose headers were read from another batch: they are copied as they lie.
    ///
    /// # Errors
    /// As [`push_at`](BatchBuilder::push_at).
    pub fn push_record(
        &mut self,
        offset_delta: i32,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Headers<'_>,
    ) -> Result<(), PushError> {
        // Read headers are within the limit, so their number fits.
        self.append(offset_delta, timestamp, key, value, headers.raw(), headers.len() as i32)
    }

    /// Keeps offsets up to this one for the batch, though no record has them: for records that
    /// were removed at its end. Never takes an offset away from a record.
    pub const fn set_last_offset_delta(&mut self, delta: i32) {
        if delta > self.last_offset_delta {
            self.last_offset_delta = delta;
        }
    }

    /// Records so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are no records.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the batch so far, header included, before packing.
    #[must_use]
    pub fn size(&self) -> usize {
        self.buf.len().max(HEADER_LEN)
    }

    /// Drops the records; options and memory stay.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.count = 0;
        self.last_offset_delta = -1;
        self.next_delta = 0;
        self.base_timestamp = Timestamp::NONE;
        self.max_timestamp = Timestamp::NONE;
    }

    /// Drops the records and starts a batch with other options.
    pub fn reset(&mut self, options: BuildOptions) {
        self.clear();
        self.options = options;
    }

    /// Packs the batch and gives it away; the builder is empty then.
    ///
    /// A batch without records has neither body nor timestamps nor compression, as those that
    /// Kafka's compaction leaves.
    ///
    /// # Errors
    /// If there is nothing to build or the batch is too large; the builder is unchanged then.
    pub fn build(&mut self) -> Result<Vec<u8>, BuildError> {
        let BuildOptions { base_offset, .. } = self.options;
        let last_offset_delta = self.last_offset_delta;
        if last_offset_delta < 0 {
            return Err(BuildError::Empty);
        }
        if base_offset.0 < 0 || base_offset.0 >= i64::MAX - i64::from(last_offset_delta) {
            return Err(BuildError::Offsets { base_offset, last_offset_delta });
        }
        let codec = if self.count == 0 { Compression::None } else { self.options.compression };
        let mut batch = match codec {
            Compression::None => {
                self.check_len(self.size(), codec)?;
                let next = Vec::with_capacity(if self.count == 0 { 0 } else { self.buf.len() });
                mem::replace(&mut self.buf, next)
            }
            _ => {
                let mut packed = Vec::with_capacity(HEADER_LEN + self.buf.len() / 2);
                packed.resize(HEADER_LEN, 0);
                self.compressor
                    .compress(codec, &self.buf[HEADER_LEN..], &mut packed)
                    .map_err(|source| BuildError::Compress { codec, source })?;
                self.check_len(packed.len(), codec)?;
                packed
            }
        };
        batch.resize(batch.len().max(HEADER_LEN), 0);
        self.write_header(&mut batch, codec);
        self.clear();
        Ok(batch)
    }

    fn check_len(&self, len: usize, codec: Compression) -> Result<(), BuildError> {
        let max = MAX_BATCH.as_usize();
        if len > max { Err(BuildError::TooLarge { len, codec, max }) } else { Ok(()) }
    }

    fn write_header(&self, batch: &mut [u8], codec: Compression) {
        let options = &self.options;
        let mut attributes = u16::from(codec.id());
        if options.transactional {
            attributes |= layout::TRANSACTIONAL_BIT;
        }
        if options.control {
            attributes |= layout::CONTROL_BIT;
        }
        let (id, epoch, sequence) = match options.stamp {
            Some(stamp) => (stamp.id.0, stamp.epoch.0, stamp.base_sequence.0),
            None => (-1, -1, -1),
        };
        // Within the limits, so that both fit.
        let len = (batch.len() - LEN_PREFIX) as i32;
        let count = self.count as i32;
        put(batch, layout::BASE_OFFSET, options.base_offset.0.to_be_bytes());
        put(batch, layout::LENGTH, len.to_be_bytes());
        put(batch, layout::LEADER_EPOCH, options.leader_epoch.0.to_be_bytes());
        put(batch, layout::MAGIC, MAGIC_V2.to_be_bytes());
        put(batch, layout::ATTRIBUTES, attributes.to_be_bytes());
        put(batch, layout::LAST_OFFSET_DELTA, self.last_offset_delta.to_be_bytes());
        put(batch, layout::BASE_TIMESTAMP, self.base_timestamp.0.to_be_bytes());
        put(batch, layout::MAX_TIMESTAMP, self.max_timestamp.0.to_be_bytes());
        put(batch, layout::PRODUCER_ID, id.to_be_bytes());
        put(batch, layout::PRODUCER_EPOCH, epoch.to_be_bytes());
        put(batch, layout::BASE_SEQUENCE, sequence.to_be_bytes());
        put(batch, layout::RECORD_COUNT, count.to_be_bytes());
        let crc = checksum(batch);
        put(batch, layout::CRC, crc.to_be_bytes());
    }

    /// The most that the batch may take before packing.
    const fn max_size(&self) -> usize {
        match self.options.compression {
            Compression::None => MAX_BATCH.as_usize(),
            _ => HEADER_LEN + MAX_BATCH_UNCOMPRESSED.as_usize(),
        }
    }

    fn following_delta(&self) -> Result<i32, PushError> {
        i32::try_from(self.next_delta)
            .map_err(|_| PushError::OffsetDelta { delta: i32::MAX, min: self.next_delta })
    }

    fn encode_headers<'h>(
        &self,
        raw: &mut Vec<u8>,
        headers: impl IntoIterator<Item = (&'h [u8], Option<&'h [u8]>)>,
    ) -> Result<i32, PushError> {
        let mut count = 0;
        for (name, value) in headers {
            if count == MAX_RECORD_HEADERS {
                return Err(PushError::TooManyHeaders { max: MAX_RECORD_HEADERS });
            }
            // Checked before the copy, so that what is copied is bounded too.
            let size = raw.len() + name.len() + value.map_or(0, <[u8]>::len);
            if size > self.max_size() {
                return Err(self.full(size));
            }
            varint::push_i32(raw, name.len() as i32);
            raw.extend_from_slice(name);
            match value {
                Some(value) => {
                    varint::push_i32(raw, value.len() as i32);
                    raw.extend_from_slice(value);
                }
                None => varint::push_i32(raw, -1),
            }
            count += 1;
        }
        Ok(count as i32)
    }

    fn full(&self, record: usize) -> PushError {
        PushError::Full { record, used: self.size(), max: self.max_size() }
    }

    fn append(
        &mut self,
        offset_delta: i32,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[u8],
        header_count: i32,
    ) -> Result<(), PushError> {
        if self.count == MAX_BATCH_RECORDS {
            return Err(PushError::TooManyRecords { max: MAX_BATCH_RECORDS });
        }
        if i64::from(offset_delta) < self.next_delta {
            return Err(PushError::OffsetDelta { delta: offset_delta, min: self.next_delta });
        }
        let base = if self.count == 0 { timestamp } else { self.base_timestamp };
        // Wraps for the sake of absurd timestamps; the reader's addition wraps back.
        let timestamp_delta = timestamp.0.wrapping_sub(base.0);

        let bytes = [key, value].iter().flatten().map(|b| b.len()).sum::<usize>() + headers.len();
        // Bounds every length below an i32 before one is cast to it.
        if bytes > self.max_size() {
            return Err(self.full(bytes));
        }
        let (key_len, value_len) = (null_len(key), null_len(value));
        let len = 1
            + len_i64(timestamp_delta)
            + len_i32(offset_delta)
            + len_i32(key_len)
            + len_i32(value_len)
            + len_i32(header_count)
            + bytes;
        let total = len_i32(len as i32) + len;
        // The codec may have been changed since the last record.
        if total > self.max_size().saturating_sub(self.size()) {
            return Err(self.full(total));
        }

        if self.buf.is_empty() {
            self.buf.resize(HEADER_LEN, 0);
        }
        self.buf.reserve(total);
        // Everything before the key is put together first: one copy instead of five.
        let mut front = [0; 1 + 3 * varint::MAX_I32 + varint::MAX_I64];
        let mut at = 0;
        varint::put_i64(&mut front, &mut at, len as i64);
        // Attributes: none is defined.
        at += 1;
        varint::put_i64(&mut front, &mut at, timestamp_delta);
        varint::put_i64(&mut front, &mut at, i64::from(offset_delta));
        varint::put_i64(&mut front, &mut at, i64::from(key_len));
        self.buf.extend_from_slice(&front[..at]);
        self.buf.extend_from_slice(key.unwrap_or_default());
        varint::push_i32(&mut self.buf, value_len);
        self.buf.extend_from_slice(value.unwrap_or_default());
        varint::push_i32(&mut self.buf, header_count);
        self.buf.extend_from_slice(headers);

        self.max_timestamp =
            if self.count == 0 { timestamp } else { self.max_timestamp.max(timestamp) };
        self.base_timestamp = base;
        self.count += 1;
        self.next_delta = i64::from(offset_delta) + 1;
        self.set_last_offset_delta(offset_delta);
        Ok(())
    }
}

impl fmt::Debug for BatchBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchBuilder")
            .field("options", &self.options)
            .field("records", &self.count)
            .field("size", &self.size())
            .field("last_offset_delta", &self.last_offset_delta)
            .finish_non_exhaustive()
    }
}

/// The length as it is written: -1 for null.
fn null_len(bytes: Option<&[u8]>) -> i32 {
    bytes.map_or(-1, |bytes| bytes.len() as i32)
}
