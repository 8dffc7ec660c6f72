//! Produce: batches from a request into their logs, and the identities of idempotent producers.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_broker::{Outcome, Partition, PendingAck, Topic};
use tidegate_kafka_proto::messages::produce_request::{PartitionProduceData, TopicProduceData};
use tidegate_kafka_proto::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use tidegate_kafka_proto::messages::{
    InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse,
};
use tidegate_kafka_proto::{ErrorCode, StrBytes};
use tidegate_log::Appended;
use tidegate_record::{BatchError, BatchHeader, Compression, HEADER_LEN};
use tidegate_types::{Acks, Offset, TopicId, TopicName};
use tidegate_wire::ErrorBody;

use crate::{Shared, errors, offsets};

/// First version that names topics by their id.
const IDS_FROM: i16 = 13;

/// First version whose answers say what was wrong with single records.
const MESSAGES_FROM: i16 = 8;

/// First version whose producers may pack with zstd.
const ZSTD_FROM: i16 = 7;

/// First version whose answers tell where the log starts.
const LOG_START_FROM: i16 = 5;

/// A produce request whose batches have their places.
pub(crate) struct Staged {
    version: i16,
    acks: Option<Acks>,
    topics: Vec<StagedTopic>,
}

struct StagedTopic {
    request: TopicProduceData,
    topic: Option<Arc<Topic>>,
    partitions: Vec<(i32, Result<PendingAck, Failed>)>,
}

/// Why a batch was not taken.
#[derive(Debug)]
struct Refused {
    code: ErrorCode,
    message: Option<StrBytes>,
    /// The records that are at fault.
    records: Vec<BatchIndexAndErrorMessage>,
}

impl Refused {
    fn new(code: ErrorCode, message: &'static str) -> Refused {
        let message = Some(StrBytes::from_static_str(message));
        Refused { code, message, records: Vec::new() }
    }
}

impl From<ErrorCode> for Refused {
    fn from(code: ErrorCode) -> Refused {
        Refused { code, message: None, records: Vec::new() }
    }
}

impl From<ErrorBody> for Refused {
    fn from(error: ErrorBody) -> Refused {
        let (code, message) = (errors::code(&error), errors::message(&error));
        Refused { code, message, records: Vec::new() }
    }
}

/// A refusal, and whether the log was looked into for it: then the answer tells where it starts.
struct Failed {
    refused: Refused,
    at_log: bool,
}

impl Failed {
    /// What can be told without the log.
    fn before(refused: impl Into<Refused>) -> Failed {
        Failed { refused: refused.into(), at_log: false }
    }

    fn at_log(refused: impl Into<Refused>) -> Failed {
        Failed { refused: refused.into(), at_log: true }
    }
}

impl From<ErrorBody> for Failed {
    fn from(error: ErrorBody) -> Failed {
        let refused = Refused::from(error);
        // Kafka knows these before it comes to the log, or has none to look into.
        let at_log = !matches!(
            refused.code,
            ErrorCode::UnknownTopicOrPartition
                | ErrorCode::NotLeaderOrFollower
                | ErrorCode::TopicAuthorizationFailed
                | ErrorCode::InvalidTopicException
                | ErrorCode::MessageTooLarge
                | ErrorCode::CorruptMessage
                | ErrorCode::KafkaStorageError
        );
        Failed { refused, at_log }
    }
}

/// Gives every batch its place in its log's queue, in the order of the request.
pub(crate) async fn stage(shared: &Shared, version: i16, request: ProduceRequest) -> Staged {
    let acks = match request.acks {
        0 => Some(Acks::None),
        1 => Some(Acks::Leader),
        -1 => Some(Acks::All),
        _ => None,
    };
    let transactional = request.transactional_id.is_some();
    let mut topics = Vec::with_capacity(request.topic_data.len());
    for mut data in request.topic_data {
        let topic = if version >= IDS_FROM {
            shared.broker.topics().by_id(TopicId(data.topic_id))
        } else {
            offsets::topic(shared, &data.name)
        };
        let mut partitions = Vec::with_capacity(data.partition_data.len());
        for partition in std::mem::take(&mut data.partition_data) {
            let index = partition.index;
            let staged = match (&topic, acks) {
                (_, None) => Err(Failed::before(ErrorCode::InvalidRequiredAcks)),
                (_, Some(_)) if transactional => Err(Failed::before(no_transactions())),
                (None, _)
                    if version >= IDS_FROM
                        && shared.broker.topics().alias_by_id(TopicId(data.topic_id)).is_none() =>
                {
                    Err(Failed::before(ErrorCode::UnknownTopicId))
                }
                (None, _) if version >= IDS_FROM => {
                    Err(Failed::before(ErrorCode::InvalidTopicException))
                }
                // What is read through a plugin is not written to.
                (None, _)
                    if is_reserved(&data.name)
                        || shared.broker.topics().alias(&data.name).is_some() =>
                {
                    Err(Failed::before(ErrorCode::InvalidTopicException))
                }
                (None, _) => Err(Failed::before(ErrorCode::UnknownTopicOrPartition)),
                (Some(topic), Some(acks)) => {
                    stage_one(shared, topic, version, partition, acks).await
                }
            };
            partitions.push((index, staged));
        }
        // As in Kafka's answers, a topic of which nothing was sent is not told of.
        if !partitions.is_empty() {
            topics.push(StagedTopic { request: data, topic, partitions });
        }
    }
    Staged { version, acks, topics }
}

fn no_transactions() -> Refused {
    let code = ErrorCode::TransactionalIdAuthorizationFailed;
    Refused::new(code, "this node has no transactions")
}

async fn stage_one(
    shared: &Shared,
    topic: &Arc<Topic>,
    version: i16,
    data: PartitionProduceData,
    acks: Acks,
) -> Result<PendingAck, Failed> {
    if is_internal(topic.name()) {
        return Err(Failed::before(ErrorCode::InvalidTopicException));
    }
    let partition = offsets::partition(Some(topic), data.index).map_err(Failed::before)?;
    let batch = one_batch(version, data.records.unwrap_or_default())?;
    let number = partition.at().partition;
    shared.broker.stage(topic, number, batch.clone(), acks).await.map_err(|error| {
        let mut failed = Failed::from(error);
        let code = failed.refused.code;
        if matches!(code, ErrorCode::InvalidRecord | ErrorCode::InvalidTimestamp) {
            failed.refused.records = blamed(shared, &partition, &batch);
        }
        failed
    })
}

/// The records for whose sake a batch was refused.
fn blamed(shared: &Shared, partition: &Partition, batch: &[u8]) -> Vec<BatchIndexAndErrorMessage> {
    let now = shared.broker.clock().wall();
    let refused = tidegate_broker::refused_records(partition, batch, now).into_iter();
    let refused = refused.map(|(at, why)| {
        let why = match why {
            Cow::Borrowed(why) => StrBytes::from_static_str(why),
            Cow::Owned(why) => StrBytes::from_string(why),
        };
        BatchIndexAndErrorMessage::default()
            .with_batch_index(i32::try_from(at).unwrap_or(i32::MAX))
            .with_batch_index_error_message(Some(why))
    });
    refused.collect()
}

/// The one batch that a partition's records are. Fewer bytes behind it than a header has are left
/// alone, as Kafka does. Its records are looked at where batches of all listeners are.
fn one_batch(version: i16, records: Bytes) -> Result<Bytes, Failed> {
    let invalid = |why| Failed::before(Refused::new(ErrorCode::InvalidRecord, why));
    let corrupt = |why| Failed::before(Refused::new(ErrorCode::CorruptMessage, why));
    if records.is_empty() {
        return Err(invalid("there is no record batch"));
    }
    let header = match BatchHeader::parse(&records) {
        Ok(header) => header,
        Err(BatchError::Magic { found: 0 | 1 }) => {
            return Err(invalid("only batches of magic 2 are taken"));
        }
        Err(BatchError::Magic { .. }) => return Err(corrupt("the batch has an unknown magic")),
        Err(BatchError::Length { len, max, .. }) if len > max as i64 => {
            let code = ErrorCode::MessageTooLarge;
            return Err(Failed::before(Refused::new(code, "the batch is too large")));
        }
        Err(BatchError::Length { .. }) => {
            return Err(corrupt("the batch has an impossible length"));
        }
        Err(BatchError::Truncated { .. }) => return Err(invalid("the record batch is cut off")),
        // What else can be wrong is told there too.
        Err(_) => return Ok(records),
    };
    if header.batch_len > records.len() {
        return Err(invalid("the record batch is cut off"));
    }
    if header.batch_len + HEADER_LEN <= records.len() {
        return Err(invalid("there is more than one record batch"));
    }
    if header.compression == Compression::Zstd && version < ZSTD_FROM {
        let code = ErrorCode::UnsupportedCompressionType;
        return Err(Failed::before(Refused::new(code, "this version does not know zstd")));
    }
    if header.attributes.is_transactional() {
        return Err(Failed::before(no_transactions()));
    }
    if header.base_offset != Offset(0) {
        let why = "a producer's batch begins at offset 0";
        return Err(Failed::at_log(Refused::new(ErrorCode::InvalidRecord, why)));
    }
    if header.stamp().is_some_and(|stamp| stamp.epoch.get() < 0) {
        let why = "the batch has a producer id without an epoch";
        return Err(Failed::at_log(Refused::new(ErrorCode::InvalidProducerEpoch, why)));
    }
    Ok(records.slice(..header.batch_len))
}

/// Whether a topic is the node's own: clients read it and do not write to it.
pub(crate) fn is_internal(name: &TopicName) -> bool {
    tidegate_broker::is_internal(name.as_str())
}

/// Whether a name is one of Kafka's own topics, which this node keeps elsewhere: none comes into
/// being because a client asks for it.
pub(crate) fn is_reserved(name: &str) -> bool {
    matches!(name, "__consumer_offsets" | "__transaction_state" | "__share_group_state")
}

impl Staged {
    /// Waits until every batch is as safe as was asked. `None` where no answer is wanted; an error
    /// where the connection's end is the only way to tell of one.
    pub(crate) async fn answer(self) -> Option<Result<ProduceResponse, String>> {
        let mut failed = None;
        let mut responses = Vec::with_capacity(self.topics.len());
        for StagedTopic { request, topic, partitions } in self.topics {
            let mut answers = Vec::with_capacity(partitions.len());
            for (index, staged) in partitions {
                let outcome = match staged {
                    Ok(pending) => pending.wait().await.map_err(Failed::from).and_then(placed),
                    Err(failed) => Err(failed),
                };
                if let Err(Failed { refused, .. }) = &outcome {
                    let why = refused.message.as_deref().unwrap_or(refused.code.name());
                    failed.get_or_insert_with(|| why.to_owned());
                }
                answers.push(partition_answer(self.version, topic.as_ref(), index, outcome));
            }
            responses.push(
                TopicProduceResponse::default()
                    .with_name(request.name)
                    .with_topic_id(request.topic_id)
                    .with_partition_responses(answers),
            );
        }
        match (self.acks, failed) {
            (Some(Acks::None), None) => None,
            (Some(Acks::None), Some(why)) => {
                Some(Err(format!("a batch that wanted no acknowledgement was refused: {why}")))
            }
            _ => Some(Ok(ProduceResponse::default().with_responses(responses))),
        }
    }
}

/// Refuses a repeat that is so old that nobody knows its place any more: Kafka's producers never
/// have so many batches on their way, and take it for a sequence gone wrong.
fn placed(outcome: Outcome) -> Result<Outcome, Failed> {
    if outcome.duplicate && outcome.base_offset == Some(Appended::UNKNOWN) {
        let why = "the sequence is older than those that are remembered";
        let refused = Refused::new(ErrorCode::OutOfOrderSequenceNumber, why);
        return Err(Failed::at_log(refused));
    }
    Ok(outcome)
}

fn partition_answer(
    version: i16,
    topic: Option<&Arc<Topic>>,
    index: i32,
    outcome: Result<Outcome, Failed>,
) -> PartitionProduceResponse {
    let mut answer = PartitionProduceResponse::default().with_index(index);
    if version >= LOG_START_FROM {
        let told = !matches!(outcome, Err(Failed { at_log: false, .. }));
        let partition = offsets::partition(topic.filter(|_| told), index);
        let start = partition.map_or(-1, |partition| partition.log().offsets().start.get());
        answer = answer.with_log_start_offset(start);
    }
    match outcome {
        Ok(Outcome { base_offset, append_time, .. }) => answer
            .with_base_offset(base_offset.map_or(-1, |offset| offset.get()))
            .with_log_append_time_ms(append_time.map_or(-1, |time| time.millis())),
        Err(Failed { refused: Refused { code, message, records }, .. }) => {
            let answer = answer.with_error_code(code.code()).with_base_offset(-1);
            let answer = answer.with_log_append_time_ms(-1);
            if version < MESSAGES_FROM {
                return answer;
            }
            answer.with_record_errors(records).with_error_message(message)
        }
    }
}

/// Hands out an identity for a producer's retries. Transactions would need more than that.
pub(crate) async fn init_producer(
    shared: &Shared,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let refused = |code: ErrorCode| {
        InitProducerIdResponse::default()
            .with_error_code(code.code())
            .with_producer_id((-1).into())
            .with_producer_epoch(-1)
    };
    // Whoever names an identity to be renewed names all of it. Without transactions it gets a fresh
    // one all the same.
    let (id, epoch) = (request.producer_id.0, request.producer_epoch);
    match request.transactional_id.as_ref().map(|id| id.as_str()) {
        _ if (id == -1) != (epoch == -1) => refused(ErrorCode::InvalidRequest),
        Some("") => refused(ErrorCode::InvalidRequest),
        Some(_) => refused(ErrorCode::TransactionalIdAuthorizationFailed),
        None => match shared.broker.take_producer_id().await {
            Ok(id) => InitProducerIdResponse::default()
                .with_producer_id(id.get().into())
                .with_producer_epoch(0),
            // Clients ask again.
            Err(error) if error.retriable => refused(ErrorCode::CoordinatorNotAvailable),
            Err(error) => refused(errors::code(&error)),
        },
    }
}

#[cfg(test)]
mod tests;
