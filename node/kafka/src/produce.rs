//! Produce: batches from a request into their logs, and the identities of idempotent producers.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_broker::{Outcome, PendingAck, Topic};
use tidegate_kafka_proto::messages::produce_request::{PartitionProduceData, TopicProduceData};
use tidegate_kafka_proto::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use tidegate_kafka_proto::messages::{
    InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse,
};
use tidegate_kafka_proto::{ErrorCode, StrBytes};
use tidegate_record::HEADER_LEN;
use tidegate_types::{Acks, PartitionId, TopicId, TopicName};
use tidegate_wire::ErrorBody;

use crate::{Shared, errors, offsets};

/// First version that names topics by their id.
const IDS_FROM: i16 = 13;

/// First version whose answers say what was wrong with single records.
const MESSAGES_FROM: i16 = 8;

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
    partitions: Vec<(i32, Result<PendingAck, Refused>)>,
}

/// Why a batch was not taken.
struct Refused {
    code: ErrorCode,
    message: Option<StrBytes>,
}

impl From<ErrorCode> for Refused {
    fn from(code: ErrorCode) -> Refused {
        Refused { code, message: None }
    }
}

impl From<ErrorBody> for Refused {
    fn from(error: ErrorBody) -> Refused {
        Refused { code: errors::code(&error), message: errors::message(&error) }
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
                (_, None) => Err(ErrorCode::InvalidRequiredAcks.into()),
                (_, Some(_)) if transactional => Err(Refused {
                    code: ErrorCode::TransactionalIdAuthorizationFailed,
                    message: Some(errors::text("this node has no transactions")),
                }),
                (None, _) if version >= IDS_FROM => Err(ErrorCode::UnknownTopicId.into()),
                (None, _) => Err(ErrorCode::UnknownTopicOrPartition.into()),
                (Some(topic), Some(acks)) => stage_one(shared, topic, partition, acks).await,
            };
            partitions.push((index, staged));
        }
        topics.push(StagedTopic { request: data, topic, partitions });
    }
    Staged { version, acks, topics }
}

async fn stage_one(
    shared: &Shared,
    topic: &Arc<Topic>,
    data: PartitionProduceData,
    acks: Acks,
) -> Result<PendingAck, Refused> {
    if is_internal(topic.name()) {
        return Err(ErrorCode::InvalidTopicException.into());
    }
    let index = u32::try_from(data.index).map_err(|_| ErrorCode::UnknownTopicOrPartition)?;
    let batch = one_batch(data.records.unwrap_or_default())?;
    Ok(shared.broker.stage(topic, PartitionId(index), batch, acks).await?)
}

/// The one batch that a partition's records are. Fewer bytes behind it than a header has are left
/// alone, as Kafka does.
fn one_batch(records: Bytes) -> Result<Bytes, Refused> {
    let refused = |message: &str| Refused {
        code: ErrorCode::InvalidRecord,
        message: Some(errors::text(message)),
    };
    if records.is_empty() {
        return Err(refused("there is no record batch"));
    }
    match tidegate_record::peek_len(&records) {
        Ok(Some(len)) if len + HEADER_LEN <= records.len() => {
            Err(refused("there is more than one record batch"))
        }
        Ok(Some(len)) if len < records.len() => Ok(records.slice(..len)),
        // What is wrong with it is found where batches of all listeners are checked.
        _ => Ok(records),
    }
}

/// Whether a topic is the node's own: clients read it and do not write to it.
pub(crate) fn is_internal(name: &TopicName) -> bool {
    name.as_str() == tidegate_broker::GROUPS_TOPIC
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
                    Ok(pending) => pending.wait().await.map_err(Refused::from),
                    Err(refused) => Err(refused),
                };
                if let Err(refused) = &outcome {
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

fn partition_answer(
    version: i16,
    topic: Option<&Arc<Topic>>,
    index: i32,
    outcome: Result<Outcome, Refused>,
) -> PartitionProduceResponse {
    let answer = PartitionProduceResponse::default().with_index(index);
    let start = u32::try_from(index).ok().and_then(|index| {
        let partition = topic?.partition(PartitionId(index))?;
        Some(partition.log().offsets().start.get())
    });
    let answer = if version >= LOG_START_FROM {
        answer.with_log_start_offset(start.unwrap_or(-1))
    } else {
        answer
    };
    match outcome {
        Ok(Outcome { base_offset, append_time, .. }) => answer
            .with_base_offset(base_offset.map_or(-1, |offset| offset.get()))
            .with_log_append_time_ms(append_time.map_or(-1, |time| time.millis())),
        Err(Refused { code, message }) => {
            let answer = answer.with_error_code(code.code()).with_base_offset(-1);
            let answer = answer.with_log_append_time_ms(-1);
            if version < MESSAGES_FROM {
                return answer;
            }
            let records = match &message {
                Some(message) if code == ErrorCode::InvalidRecord => {
                    let of = BatchIndexAndErrorMessage::default()
                        .with_batch_index_error_message(Some(message.clone()));
                    vec![of]
                }
                _ => Vec::new(),
            };
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
    match request.transactional_id.as_ref().map(|id| id.as_str()) {
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
