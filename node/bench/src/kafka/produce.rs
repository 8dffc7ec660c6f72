//! Produce requests, made once; only their correlation ids differ from then on.

use bytes::Bytes;
use tidegate_kafka_proto::messages::metadata_request::MetadataRequestTopic;
use tidegate_kafka_proto::messages::produce_request::{PartitionProduceData, TopicProduceData};
use tidegate_kafka_proto::messages::{MetadataRequest, ProduceRequest, ProduceResponse};
use tidegate_kafka_proto::{Api, client};
use tidegate_types::{Acks, TopicName};

use super::admin::{millis, wire_name};
use super::channel::{CLIENT_ID, Channel, decode};
use super::drive::Exchange;
use crate::BenchError;
use crate::batches::Batch;
use crate::quota::Amount;
use crate::session::correlation_id;

/// From 13 on topics go by their ids.
const PRODUCE: (i16, i16) = (3, 12);

/// Where the correlation id of a request lies: after length, API key and version.
const CORRELATION: std::ops::Range<usize> = 8..12;

/// One connection's requests.
#[derive(Debug)]
pub(super) struct Producing {
    version: i16,
    acks: Acks,
    batch: Batch,
    /// What comes before the batch, one a partition.
    heads: Vec<Vec<u8>>,
    /// What comes after it.
    tail: Bytes,
    /// Where the turn of partitions begins, so that connections do not move in step.
    first: u64,
    topic: TopicName,
}

impl Producing {
    /// Makes the requests for these partitions.
    ///
    /// # Errors
    /// If the broker does not speak a version that this does.
    pub fn new(
        channel: &Channel,
        topic: &TopicName,
        partitions: &[i32],
        batch: &Batch,
        acks: Acks,
        first: u64,
    ) -> Result<Producing, BenchError> {
        let version = channel.version(Api::Produce, PRODUCE.0, PRODUCE.1)?;
        let mut made = Producing {
            version,
            acks,
            batch: batch.clone(),
            heads: Vec::with_capacity(partitions.len()),
            tail: Bytes::new(),
            first,
            topic: topic.clone(),
        };
        for partition in partitions {
            let data = PartitionProduceData::default()
                .with_index(*partition)
                .with_records(Some(batch.bytes.clone()));
            let data = TopicProduceData::default()
                .with_name(wire_name(topic))
                .with_partition_data(vec![data]);
            let request = ProduceRequest::default()
                .with_acks(match acks {
                    Acks::None => 0,
                    Acks::Leader => 1,
                    Acks::All => -1,
                })
                .with_timeout_ms(millis(channel.timeout))
                .with_topic_data(vec![data]);
            let frame = client::encode_request(version, 0, Some(CLIENT_ID), &request)
                .map_err(|error| channel.wrong(error.to_string()))?;
            // After the batch there are at most the ends of three structures.
            let at = frame.windows(batch.bytes.len()).rposition(|found| found == batch.bytes);
            let Some(at) = at else {
                return Err(channel.wrong("a request lost its batch".to_owned()));
            };
            made.tail = frame.slice(at + batch.bytes.len()..);
            made.heads.push(frame[..at].to_vec());
        }
        Ok(made)
    }
}

impl Exchange for Producing {
    const WHAT: &'static str = "to store records";

    fn request(&mut self, number: u64) -> Result<[Bytes; 3], String> {
        let partition = (self.first + number) % self.heads.len() as u64;
        let mut head = self.heads[partition as usize].clone();
        head[CORRELATION].copy_from_slice(&correlation_id(number).to_be_bytes());
        Ok([head.into(), self.batch.bytes.clone(), self.tail.clone()])
    }

    fn answer(&mut self, payload: Bytes) -> Result<(i32, Result<Amount, String>), String> {
        let (correlation, answer) = decode::<ProduceResponse>(self.version, payload)?;
        let topic = answer.responses.first();
        let Some(partition) = topic.and_then(|topic| topic.partition_responses.first()) else {
            return Err("an answer tells nothing of the partition".to_owned());
        };
        let outcome = match partition.error_code {
            0 => Ok(self.batch.amount),
            code => Err(super::error_name(code)),
        };
        Ok((correlation, outcome))
    }

    fn unanswered(&self) -> Option<Amount> {
        (self.acks == Acks::None).then_some(self.batch.amount)
    }

    fn settle(&mut self, channel: &mut Channel) -> Result<(), BenchError> {
        // A broker takes the requests of a connection one after the other.
        let topic = MetadataRequestTopic::default().with_name(Some(wire_name(&self.topic)));
        let request = MetadataRequest::default().with_topics(Some(vec![topic]));
        channel.ask((1, 9), "for the topic once all was sent", &request).map(drop)
    }
}
