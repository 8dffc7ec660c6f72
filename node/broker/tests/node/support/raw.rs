//! Batches made by hand, and a produce session that sends them one at a time.

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};
use tidegate_client::{Client, RawProduce, RequestError};
use tidegate_record::{BatchBuilder, BuildOptions};
use tidegate_types::{Acks, PartitionId, ProducerStamp, Sequence, Timestamp};
use tidegate_wire::{BatchAck, ErrorBody, OpenProduce, ProduceReply, ProducerIdentity};

use super::topic;

/// What an idempotent producer writes into a batch whose first record has this sequence.
pub fn stamp(identity: ProducerIdentity, sequence: i32) -> ProducerStamp {
    ProducerStamp { id: identity.id, epoch: identity.epoch, base_sequence: Sequence(sequence) }
}

/// A batch of these values, without a producer.
pub fn batch(values: &[&str]) -> Bytes {
    build(values.iter().map(|value| (None, *value)), None)
}

/// A batch of these values.
pub fn stamped(values: &[&str], identity: ProducerIdentity, sequence: i32) -> Bytes {
    build(values.iter().map(|value| (None, *value)), Some(stamp(identity, sequence)))
}

/// A batch of these keys and values.
pub fn keyed(records: &[(&str, &str)], identity: ProducerIdentity, sequence: i32) -> Bytes {
    let records = records.iter().map(|(key, value)| (Some(*key), *value));
    build(records, Some(stamp(identity, sequence)))
}

/// When the first record of each of these batches was made; those after it follow by a millisecond.
pub const MADE: Timestamp = Timestamp(1_700_000_000_000);

fn build<'r>(
    records: impl Iterator<Item = (Option<&'r str>, &'r str)>,
    stamp: Option<ProducerStamp>,
) -> Bytes {
    let mut builder = BatchBuilder::new(BuildOptions { stamp, ..BuildOptions::default() });
    for (index, (key, value)) in records.enumerate() {
        let at = Timestamp(MADE.0 + index as i64);
        builder.push(at, key.map(str::as_bytes), Some(value.as_bytes()), []).unwrap();
    }
    builder.build().unwrap().into()
}

/// A batch whose checksum is right and whose records nobody can read.
pub fn garbage() -> Bytes {
    /// The checksum's place, and that of the first byte it covers.
    const CRC: std::ops::Range<usize> = 17..21;
    let mut bytes = batch(&["a", "b"]).to_vec();
    bytes[tidegate_record::HEADER_LEN..].fill(0xff);
    let crc = checksum(CrcAlgorithm::Crc32Iscsi, &bytes[CRC.end..]) as u32;
    bytes[CRC].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

/// A produce session.
pub struct Session {
    raw: RawProduce,
}

impl Session {
    /// Opens a session that waits until batches are durable.
    pub async fn open(client: &Client, name: &str, producer: Option<ProducerIdentity>) -> Session {
        Session::try_open(client, name, Acks::All, producer).await.unwrap()
    }

    pub async fn try_open(
        client: &Client,
        name: &str,
        acks: Acks,
        producer: Option<ProducerIdentity>,
    ) -> Result<Session, RequestError> {
        let open = OpenProduce { topic: topic(name), acks, producer };
        Ok(Session { raw: client.open_produce(open).await? })
    }

    /// Sends a batch to partition 0, and waits for what becomes of it.
    pub async fn put(&mut self, batch: Bytes) -> Result<BatchAck, ErrorBody> {
        self.put_to(0, batch).await
    }

    pub async fn put_to(&mut self, partition: u32, batch: Bytes) -> Result<BatchAck, ErrorBody> {
        let sent = self.send_to(partition, batch).await;
        match self.reply().await {
            Some(ProduceReply::Acked(acks)) => {
                assert_eq!(acks.len(), 1, "one batch was on its way");
                assert_eq!(acks[0].number, sent);
                Ok(acks[0])
            }
            Some(ProduceReply::Refused { number, error }) => {
                assert_eq!(number, sent);
                Err(error)
            }
            other => panic!("batch {sent} was answered with {other:?}"),
        }
    }

    /// Sends a batch and waits for nothing.
    pub async fn send_to(&mut self, partition: u32, batch: Bytes) -> u64 {
        self.raw.send_batch(PartitionId(partition), batch).await.unwrap()
    }

    pub async fn reply(&mut self) -> Option<ProduceReply> {
        self.raw.recv_reply().await.unwrap()
    }

    /// Says that no more batches come, and gives the replies still to come.
    pub async fn finish(mut self) -> Vec<ProduceReply> {
        self.raw.finish();
        let mut replies = Vec::new();
        while let Some(reply) = self.reply().await {
            replies.push(reply);
        }
        replies
    }
}
