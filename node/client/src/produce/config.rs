//! What a producer is told: its settings, and records.

use std::time::Duration;

use bytes::Bytes;
use tidegate_record::Compression;
use tidegate_types::{Acks, ByteSize, PartitionId, Timestamp, limits};

use super::partitioner::Partitioner;
use crate::client::RequestError;

/// How a producer behaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProducerConfig {
    /// When a batch counts as taken. Default: durable on every in-sync replica.
    pub acks: Acks,
    /// Whether retries are recognised, so that no record is stored twice. Default: yes. Without
    /// acknowledgements there is nothing to retry, and this is ignored.
    pub idempotent: bool,
    /// How batches are packed. Default: not at all.
    pub compression: Compression,
    /// How long a batch waits for more records. Default 5 ms; it costs that much latency where
    /// batches do not fill.
    pub linger: Duration,
    /// Size at which a batch is sent without waiting, before packing. Default 64 KiB, at most
    /// half of [`limits::MAX_BATCH`].
    pub batch_bytes: ByteSize,
    /// Bytes of records not yet delivered, about; sending waits beyond. Default 32 MiB.
    pub buffer_bytes: ByteSize,
    /// Batches on their way at once. Default and most: [`limits::MAX_IN_FLIGHT`]. An idempotent
    /// producer has at most [`limits::PRODUCER_BATCHES_REMEMBERED`] of them in one partition.
    pub max_in_flight: usize,
    /// Time for a record to be delivered, retries included. Default 2 minutes.
    pub delivery_timeout: Duration,
    /// Which partition a record goes to that names none. Default: by its key, as Kafka does.
    pub partitioner: Partitioner,
}

impl Default for ProducerConfig {
    fn default() -> ProducerConfig {
        ProducerConfig {
            acks: Acks::All,
            idempotent: true,
            compression: Compression::None,
            linger: Duration::from_millis(5),
            batch_bytes: ByteSize::kib(64),
            buffer_bytes: ByteSize::mib(32),
            max_in_flight: limits::MAX_IN_FLIGHT,
            delivery_timeout: Duration::from_secs(120),
            partitioner: Partitioner::KeyHash,
        }
    }
}

impl ProducerConfig {
    /// Checks the settings against their limits.
    pub(super) fn validate(&self) -> Result<(), RequestError> {
        let largest = limits::MAX_BATCH.get() / 2;
        let wrong = if !(1..=largest).contains(&self.batch_bytes.get()) {
            format!("batch_bytes is {}, not 1 B to {}", self.batch_bytes, ByteSize::bytes(largest))
        } else if !(self.batch_bytes.get()..=u64::from(u32::MAX)).contains(&self.buffer_bytes.get())
        {
            format!(
                "buffer_bytes is {}, not {} to {}",
                self.buffer_bytes,
                self.batch_bytes,
                ByteSize::bytes(u32::MAX.into())
            )
        } else if !(1..=limits::MAX_IN_FLIGHT).contains(&self.max_in_flight) {
            format!("max_in_flight is {}, not 1 to {}", self.max_in_flight, limits::MAX_IN_FLIGHT)
        } else if self.delivery_timeout <= self.linger {
            "delivery_timeout must be longer than linger".to_owned()
        } else {
            return Ok(());
        };
        Err(RequestError::Invalid(wrong))
    }

    pub(super) fn is_idempotent(&self) -> bool {
        self.idempotent && self.acks != Acks::None
    }
}

/// A record to be sent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProducerRecord {
    /// Its key; records of one key go to one partition.
    pub key: Option<Bytes>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Its headers, order and repeated names kept.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
    /// Its timestamp; the time of sending where `None`.
    pub timestamp: Option<Timestamp>,
    /// Its partition; the partitioner chooses where `None`.
    pub partition: Option<PartitionId>,
}

impl ProducerRecord {
    /// A record with a value alone.
    pub fn new(value: impl Into<Bytes>) -> ProducerRecord {
        ProducerRecord { value: Some(value.into()), ..ProducerRecord::default() }
    }

    /// A record that deletes `key` on a compacted topic.
    pub fn tombstone(key: impl Into<Bytes>) -> ProducerRecord {
        ProducerRecord { key: Some(key.into()), ..ProducerRecord::default() }
    }

    /// With this key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Bytes>) -> ProducerRecord {
        self.key = Some(key.into());
        self
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(
        mut self,
        name: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> ProducerRecord {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    /// With this timestamp.
    #[must_use]
    pub fn with_timestamp(mut self, timestamp: Timestamp) -> ProducerRecord {
        self.timestamp = Some(timestamp);
        self
    }

    /// To this partition.
    #[must_use]
    pub fn with_partition(mut self, partition: PartitionId) -> ProducerRecord {
        self.partition = Some(partition);
        self
    }

    /// Bytes that it takes in a batch, at most.
    pub(super) fn size(&self) -> usize {
        /// Attributes, and numbers of at most ten bytes each.
        const FIXED: usize = 64;
        /// Two lengths.
        const HEADER: usize = 10;
        let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers: usize =
            self.headers.iter().map(|(name, value)| HEADER + name.len() + len(value)).sum();
        FIXED + len(&self.key) + len(&self.value) + headers
    }
}

/// Why a record was not taken for sending.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// It does not fit a batch.
    #[error("a record of about {size} bytes does not fit a batch of {}", limits::MAX_BATCH)]
    TooLarge {
        /// Its size in a batch.
        size: usize,
    },
    /// It has too many headers.
    #[error("a record with {count} headers is over the limit of {}", limits::MAX_RECORD_HEADERS)]
    TooManyHeaders {
        /// How many.
        count: usize,
    },
    /// The topic has no such partition.
    #[error("partition {partition} does not exist: the topic has {partitions}")]
    UnknownPartition {
        /// The partition asked for.
        partition: PartitionId,
        /// How many there are, from 0.
        partitions: u32,
    },
    /// The producer was closed.
    #[error("the producer is closed")]
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_against_their_limits() {
        assert!(ProducerConfig::default().validate().is_ok());
        let good = ProducerConfig::default;
        for (bad, told) in [
            (ProducerConfig { batch_bytes: ByteSize::bytes(0), ..good() }, "batch_bytes"),
            (ProducerConfig { batch_bytes: limits::MAX_BATCH, ..good() }, "batch_bytes"),
            (ProducerConfig { buffer_bytes: ByteSize::kib(1), ..good() }, "buffer_bytes"),
            (ProducerConfig { buffer_bytes: ByteSize::gib(9), ..good() }, "buffer_bytes"),
            (ProducerConfig { max_in_flight: 0, ..good() }, "max_in_flight"),
            (ProducerConfig { max_in_flight: 9_999, ..good() }, "max_in_flight"),
            (ProducerConfig { delivery_timeout: Duration::ZERO, ..good() }, "delivery_timeout"),
        ] {
            let error = bad.validate().unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn without_acknowledgements_there_is_nothing_to_recognise() {
        let config = ProducerConfig { acks: Acks::None, ..ProducerConfig::default() };
        assert!(!config.is_idempotent());
        assert!(ProducerConfig::default().is_idempotent());
    }
}
