//! One whole batch, and a run of them.

use std::iter::FusedIterator;

use tidegate_types::Timestamp;

use crate::layout::{HEADER_LEN, checksum};
use crate::records::Records;
use crate::{BatchError, BatchHeader, Compression, codec};

/// One whole batch, borrowed from the bytes it was found in.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Takes the batch at the start of `buf` and verifies its CRC. Returns what follows it too.
    ///
    /// # Errors
    /// If the batch is cut off ([`BatchError::is_truncated`]), malformed or damaged.
    pub fn parse(buf: &'a [u8]) -> Result<(Batch<'a>, &'a [u8]), BatchError> {
        let (batch, rest) = Batch::parse_trusted(buf)?;
        let computed = checksum(batch.bytes);
        if computed != batch.header.crc {
            return Err(BatchError::Crc { computed, stored: batch.header.crc });
        }
        Ok((batch, rest))
    }

    /// As [`Batch::parse`], for bytes whose CRC was verified before: it is not verified again.
    ///
    /// # Errors
    /// If the batch is cut off or its header malformed.
    pub fn parse_trusted(buf: &'a [u8]) -> Result<(Batch<'a>, &'a [u8]), BatchError> {
        let header = BatchHeader::parse(buf)?;
        let (bytes, rest) = buf
            .split_at_checked(header.batch_len)
            .ok_or(BatchError::Truncated { have: buf.len(), need: header.batch_len })?;
        Ok((Batch { header, bytes }, rest))
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch, header included.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records. A compressed body is unpacked into `scratch`, whose old contents go; an
    /// uncompressed one is read where it lies.
    ///
    /// # Errors
    /// If the body does not unpack, or unpacks to more than a batch may hold.
    pub fn body<'s>(&self, scratch: &'s mut Vec<u8>) -> Result<Records<'s>, BatchError>
    where
        'a: 's,
    {
        let packed = &self.bytes[HEADER_LEN..];
        let codec = self.header.compression;
        // Compaction leaves batches without records behind, and without a body to unpack.
        if codec == Compression::None || packed.is_empty() {
            return Ok(Records::new(packed, &self.header));
        }
        codec::decompress(codec, packed, scratch)
            .map_err(|source| BatchError::Decompress { codec, source })?;
        Ok(Records::new(scratch, &self.header))
    }

    /// Reads every record and keeps none, to find whether the body is sound.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn check_records(&self, scratch: &mut Vec<u8>) -> Result<(), BatchError> {
        self.body(scratch)?.try_for_each(|record| record.map(drop))
    }

    /// As [`check_records`](Batch::check_records), and finds the latest time of any record: some
    /// producers put another one into the header. `None` if there are no records.
    ///
    /// # Errors
    /// The first thing wrong with the body.
    pub fn check_times(&self, scratch: &mut Vec<u8>) -> Result<Option<Timestamp>, BatchError> {
        self.body(scratch)?.try_fold(None, |latest, record| {
            let time = self.header.timestamp_of(&record?);
            Ok(latest.max(Some(time)))
        })
    }
}

/// The batches that lie end to end in a run of bytes. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
    verify: bool,
    failed: bool,
}

impl<'a> Batches<'a> {
    /// Verifies each batch's CRC.
    #[must_use]
    pub const fn new(buf: &'a [u8]) -> Batches<'a> {
        Batches { rest: buf, verify: true, failed: false }
    }

    /// For bytes whose CRCs were verified before: they are not verified again.
    #[must_use]
    pub const fn trusted(buf: &'a [u8]) -> Batches<'a> {
        Batches { rest: buf, verify: false, failed: false }
    }

    /// What has not been returned as a batch: after the end, the batch that failed and all that
    /// follows it, such as a last one that was cut off.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rest.is_empty() {
            return None;
        }
        let parsed =
            if self.verify { Batch::parse(self.rest) } else { Batch::parse_trusted(self.rest) };
        Some(match parsed {
            Ok((batch, rest)) => {
                self.rest = rest;
                Ok(batch)
            }
            Err(error) => {
                self.failed = true;
                Err(error)
            }
        })
    }
}

impl FusedIterator for Batches<'_> {}
