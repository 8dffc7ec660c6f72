//! The requests that tests make again and again.

use bytes::Bytes;
use tidegate_kafka_proto::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use tidegate_kafka_proto::messages::fetch_request::{FetchPartition, FetchTopic};
use tidegate_kafka_proto::messages::fetch_response::PartitionData;
use tidegate_kafka_proto::messages::produce_request::{PartitionProduceData, TopicProduceData};
use tidegate_kafka_proto::messages::produce_response::PartitionProduceResponse;
use tidegate_kafka_proto::messages::{CreateTopicsRequest, FetchRequest, ProduceRequest};
use tidegate_kafka_proto::{ErrorCode, StrBytes};

use crate::{BatchSpec, Gone, Typed};

/// The last version of Produce that names topics.
pub const PRODUCE: i16 = 12;

/// The last version of Fetch that names topics.
pub const FETCH: i16 = 12;

const CREATE_TOPICS: i16 = 7;

/// The largest answer that a fetch asks for.
const FETCH_BYTES: i32 = 64 << 20;

/// A string of a request.
#[must_use]
pub fn name(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// The error that an answer tells by its number.
///
/// # Panics
/// If Kafka has none of that number.
#[must_use]
pub fn error(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or_else(|| panic!("no error has the number {code}"))
}

/// A topic that is to be made.
#[must_use]
pub fn new_topic(topic: &str, partitions: i32, settings: &[(&str, &str)]) -> CreatableTopic {
    let setting = |(key, value): &(&str, &str)| {
        CreatableTopicConfig::default().with_name(name(key)).with_value(Some(name(value)))
    };
    CreatableTopic::default()
        .with_name(name(topic).into())
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(settings.iter().map(setting).collect())
}

/// A batch for one partition.
#[must_use]
pub fn produce(topic: &str, partition: i32, acks: i16, batch: impl Into<Bytes>) -> ProduceRequest {
    let data =
        PartitionProduceData::default().with_index(partition).with_records(Some(batch.into()));
    let topic =
        TopicProduceData::default().with_name(name(topic).into()).with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(acks)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![topic])
}

/// A fetch of one partition, in no session, that does not wait.
#[must_use]
pub fn fetch(topic: &str, partition: i32, from: i64) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(from)
        .with_partition_max_bytes(FETCH_BYTES);
    let topic =
        FetchTopic::default().with_topic(name(topic).into()).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_bytes(FETCH_BYTES)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

impl Typed {
    /// Makes a topic; how that went.
    pub fn try_create(&mut self, topic: CreatableTopic) -> ErrorCode {
        let request =
            CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
        error(self.ask(CREATE_TOPICS, &request).topics[0].error_code)
    }

    /// Makes a topic.
    ///
    /// # Panics
    /// If it is refused.
    pub fn create(&mut self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let made = self.try_create(new_topic(topic, partitions, settings));
        assert_eq!(made, ErrorCode::None, "{topic} {settings:?}");
    }

    /// Sends bytes as the batch of a topic's first partition; what is answered.
    pub fn produce(&mut self, topic: &str, batch: impl Into<Bytes>) -> PartitionProduceResponse {
        self.ask(PRODUCE, &produce(topic, 0, -1, batch)).responses[0].partition_responses[0].clone()
    }

    /// Waits for the answer to a [`produce`].
    ///
    /// # Errors
    /// If the connection ends first.
    pub fn produced(&mut self, id: i32) -> Result<PartitionProduceResponse, Gone> {
        let answer = self.receive::<ProduceRequest>(PRODUCE, id)?;
        Ok(answer.responses[0].partition_responses[0].clone())
    }

    /// Appends a batch to a topic's first partition; the offset of its first record.
    ///
    /// # Panics
    /// If it is refused.
    pub fn append(&mut self, topic: &str, batch: &BatchSpec) -> i64 {
        let answer = self.produce(topic, batch.bytes());
        assert_eq!(answer.error_code, 0, "{answer:?}");
        answer.base_offset
    }

    /// What a [`fetch`] of one partition finds there.
    pub fn fetch(&mut self, request: &FetchRequest) -> PartitionData {
        let answer = self.ask(FETCH, request);
        assert_eq!(answer.error_code, 0, "{answer:?}");
        answer.responses[0].partitions[0].clone()
    }

    /// The records of a topic's first partition, from an offset on.
    ///
    /// # Panics
    /// If they cannot be read.
    pub fn read(&mut self, topic: &str, from: i64) -> Bytes {
        let found = self.fetch(&fetch(topic, 0, from));
        assert_eq!(found.error_code, 0, "{found:?}");
        found.records.unwrap_or_default()
    }
}
