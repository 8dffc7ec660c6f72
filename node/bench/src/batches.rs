//! Record batches, made once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tidegate_record::{BatchBuilder, BuildOptions, Compression, HEADER_LEN};
use tidegate_types::{ByteSize, Timestamp, limits};

use crate::BenchError;
use crate::config::{ConfigError, within};
use crate::quota::Amount;

/// What a record takes beside its value: length, attributes, deltas, two more lengths, headers.
const RECORD_OVERHEAD: u64 = 16;

/// How many records a batch has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchSize {
    /// As many as fit so many bytes before compression, and at least one.
    Bytes(ByteSize),
    /// That many.
    Records(u32),
}

/// What is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Records {
    /// Size of each record's value. Default 200 B.
    pub record_size: ByteSize,
    /// Records in a batch. Default 64 KiB of them.
    pub batch_size: BatchSize,
    /// How batches are packed. Default not at all.
    pub compression: Compression,
}

impl Default for Records {
    fn default() -> Records {
        Records {
            record_size: ByteSize::bytes(200),
            batch_size: BatchSize::Bytes(ByteSize::kib(64)),
            compression: Compression::None,
        }
    }
}

impl Records {
    /// Fails if there are no such batches.
    ///
    /// # Errors
    /// Names what is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let most = limits::MAX_BATCH.get();
        within("the size of a record", self.record_size.get(), 0, most)?;
        match self.batch_size {
            BatchSize::Bytes(size) => within("the size of a batch", size.get(), 1, most)?,
            BatchSize::Records(records) => {
                let most = limits::MAX_BATCH_RECORDS;
                within("the number of records in a batch", records, 1, most)?;
            }
        }
        let records = self.per_batch();
        let bytes = u64::from(records) * (self.record_size.get() + RECORD_OVERHEAD);
        if HEADER_LEN as u64 + bytes > limits::MAX_BATCH.get() {
            return Err(ConfigError::BatchTooLarge {
                records: u64::from(records),
                record: self.record_size,
                limit: limits::MAX_BATCH,
            });
        }
        Ok(())
    }

    /// Records in a batch.
    #[must_use]
    pub fn per_batch(&self) -> u32 {
        match self.batch_size {
            BatchSize::Records(records) => records,
            BatchSize::Bytes(size) => {
                let room = size.get().saturating_sub(HEADER_LEN as u64);
                let records = room / (self.record_size.get() + RECORD_OVERHEAD);
                u32::try_from(records).unwrap_or(u32::MAX).clamp(1, limits::MAX_BATCH_RECORDS)
            }
        }
    }

    /// The batch that is sent again and again. One is enough: a broker does not look at what was
    /// sent before, and the client is not to spend its time on fetching many from memory.
    pub(crate) fn build(&self) -> Result<Batch, BenchError> {
        self.check()?;
        let options = BuildOptions { compression: self.compression, ..BuildOptions::default() };
        let mut builder = BatchBuilder::new(options);
        // As of now, or a broker that keeps records for some days would delete them at once.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let now = Timestamp(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        let mut readings = Readings::default();
        let mut value = Vec::new();
        let records = self.per_batch();
        for _ in 0..records {
            readings.fill(&mut value, self.record_size.as_usize());
            builder.push(now, None, Some(&value), [])?;
        }
        let bytes = Bytes::from(builder.build()?);
        let amount = Amount { records: u64::from(records), bytes: bytes.len() as u64 };
        Ok(Batch { bytes, amount })
    }
}

/// A batch, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub bytes: Bytes,
    pub amount: Amount,
}

/// Text as sensors send it, so that compression has something to do. The same on every machine.
#[derive(Debug, Default)]
struct Readings {
    state: u64,
    sequence: u64,
}

impl Readings {
    /// Makes `value` a text of exactly so many bytes.
    fn fill(&mut self, value: &mut Vec<u8>, len: usize) {
        value.clear();
        while value.len() < len {
            let random = self.random();
            let reading = format!(
                "{{\"device\":\"sensor-{:04}\",\"sequence\":{},\"temperature\":{}.{:03},\
                 \"humidity\":{},\"status\":\"ok\"}}",
                random % 4_096,
                1_000_000 + self.sequence,
                15 + (random >> 12) % 20,
                (random >> 20) % 1_000,
                30 + (random >> 32) % 60,
            );
            value.extend_from_slice(reading.as_bytes());
            self.sequence += 1;
        }
        value.truncate(len);
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_record::Batch as ReadBatch;

    fn read(records: Records) -> (usize, Vec<usize>) {
        let batch = records.build().unwrap();
        let (read, rest) = ReadBatch::parse(&batch.bytes).unwrap();
        assert!(rest.is_empty());
        assert_eq!(batch.amount.bytes, batch.bytes.len() as u64);
        let mut scratch = Vec::new();
        let values = read.body(&mut scratch).unwrap();
        let values: Vec<_> = values.map(|record| record.unwrap().value.unwrap().len()).collect();
        assert_eq!(values.len() as u64, batch.amount.records);
        (batch.bytes.len(), values)
    }

    #[test]
    fn a_batch_is_filled_up_to_its_size_with_records_of_theirs() {
        let (len, values) = read(Records::default());
        assert!(values.iter().all(|len| *len == 200));
        assert!(len <= 64 << 10 && len > 60 << 10, "{len}");
    }

    #[test]
    fn every_codec_packs_the_same_records() {
        let (plain, values) = read(Records::default());
        for compression in Compression::ALL {
            let (len, same) = read(Records { compression, ..Records::default() });
            assert_eq!(same, values);
            assert_eq!(len < plain, compression != Compression::None, "{compression}: {len}");
        }
    }

    #[test]
    fn batches_hold_as_many_records_as_asked_for_and_at_least_one() {
        let ten = Records { batch_size: BatchSize::Records(10), ..Records::default() };
        assert_eq!(read(ten).1.len(), 10);
        let tiny = BatchSize::Bytes(ByteSize::bytes(1));
        assert_eq!(read(Records { batch_size: tiny, ..Records::default() }).1.len(), 1);
        let empty = Records { record_size: ByteSize::bytes(0), ..ten };
        assert_eq!(read(empty).1, [0; 10]);
    }

    #[test]
    fn what_fits_no_batch_is_refused_before_it_is_built() {
        let mut wrong = Records { batch_size: BatchSize::Records(100_000), ..Records::default() };
        assert!(matches!(wrong.check(), Err(ConfigError::BatchTooLarge { .. })));
        wrong.batch_size = BatchSize::Records(0);
        assert!(matches!(wrong.check(), Err(ConfigError::Range { .. })));
        wrong.batch_size = BatchSize::Bytes(ByteSize::gib(1));
        assert!(matches!(wrong.check(), Err(ConfigError::Range { .. })));
        wrong.record_size = limits::MAX_BATCH;
        wrong.batch_size = BatchSize::Records(1);
        assert!(matches!(wrong.check(), Err(ConfigError::BatchTooLarge { .. })));
    }
}
