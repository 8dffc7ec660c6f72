//! Topics made, deleted, grown and trimmed for clients.
//!
//! Codes and texts are Kafka's, since tools look at both. A change that this node forbids where
//! Kafka has no word for it is a POLICY_VIOLATION, whose text the tools show: the node's own topic
//! is nobody's to change, a mirror grows with its source, and a topic that a link copies stays
//! while it does.

mod creation;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use tidegate_broker::{Broker, Topic};
use tidegate_kafka_proto::messages::create_partitions_request::CreatePartitionsTopic;
use tidegate_kafka_proto::messages::create_partitions_response::CreatePartitionsTopicResult;
use tidegate_kafka_proto::messages::create_topics_response::CreatableTopicResult;
use tidegate_kafka_proto::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use tidegate_kafka_proto::messages::delete_topics_request::DeleteTopicState;
use tidegate_kafka_proto::messages::delete_topics_response::DeletableTopicResult;
use tidegate_kafka_proto::messages::{
    self, BrokerId, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest,
    CreateTopicsResponse, DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse,
};
use tidegate_kafka_proto::{ErrorCode, StrBytes};
use tidegate_types::{Offset, TopicId, TopicName, limits};
use tidegate_wire::{ErrorBody, ErrorCode as Failure};
use uuid::Uuid;

use crate::produce::is_internal;
use crate::{Shared, configs, errors, metadata, offsets};

/// First version of CreateTopics whose answers tell the topic's settings.
const SETTINGS_FROM: i16 = 5;

/// First version of DeleteTopics that names topics by their id.
const IDS_FROM: i16 = 6;

/// Longest text of a refusal. Names and values in it are the client's, and may be long.
const MAX_MESSAGE: usize = 1_024;

/// Why something was not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    /// For people; may be empty.
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Refusal {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        Refusal { code, message }
    }

    /// What an answer says; `None` where there is nothing to say.
    pub(crate) fn text(&self) -> Option<StrBytes> {
        (!self.message.is_empty()).then(|| errors::text(&*self.message))
    }
}

impl From<ErrorBody> for Refusal {
    fn from(error: ErrorBody) -> Refusal {
        // No tool shows the text of an authorization that failed, and none did.
        let code = match error.code {
            Failure::ReadOnly => ErrorCode::PolicyViolation,
            _ => errors::code(&error),
        };
        Refusal::new(code, error.message)
    }
}

/// Refuses changes to the node's own topic.
pub(crate) fn refuse_internal(name: &TopicName) -> Result<(), Refusal> {
    if is_internal(name) {
        let message = format!("Topic '{name}' is the node's own and cannot be changed.");
        return Err(Refusal::new(ErrorCode::PolicyViolation, message));
    }
    Ok(())
}

/// A topic that differs from this name in nothing but `.` and `_`, which Kafka's metrics confuse.
pub(crate) fn collision(broker: &Broker, name: &TopicName) -> Option<TopicName> {
    let topics = broker.topics().all();
    let names = topics.iter().map(|topic| topic.name());
    colliding(names, name).cloned()
}

fn colliding<'a>(
    names: impl IntoIterator<Item = &'a TopicName>,
    name: &TopicName,
) -> Option<&'a TopicName> {
    let folded = |name: &TopicName| name.as_str().replace('.', "_");
    let wanted = folded(name);
    names.into_iter().find(|other| *other != name && folded(other) == wanted)
}

/// How often each of these is there.
pub(crate) fn count<K: Hash + Eq>(keys: impl IntoIterator<Item = K>) -> HashMap<K, usize> {
    let mut counts = HashMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

fn twice() -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, "Duplicate topic name.")
}

/// Answers CreateTopics.
pub(crate) async fn create(
    shared: &Shared,
    version: i16,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let mut counts = count(request.topics.iter().map(|topic| topic.name.clone()));
    let mut results = Vec::with_capacity(counts.len());
    for topic in request.topics {
        let result = match counts.remove(&topic.name) {
            // Its first mention told of it.
            None => continue,
            Some(1) => creation::create(shared, &topic, request.validate_only).await,
            Some(_) => Err(twice()),
        };
        results.push(created_answer(version, topic.name, result));
    }
    CreateTopicsResponse::default().with_topics(results)
}

fn created_answer(
    version: i16,
    name: messages::TopicName,
    result: Result<creation::Created, Refusal>,
) -> CreatableTopicResult {
    let answer = CreatableTopicResult::default().with_name(name).with_error_message(None);
    match result {
        Ok(created) => {
            let answer = answer
                .with_topic_id(created.id)
                .with_num_partitions(i32::try_from(created.config.partitions).unwrap_or(i32::MAX))
                .with_replication_factor(1);
            if version < SETTINGS_FROM {
                return answer;
            }
            answer.with_configs(Some(configs::created(&created.config)))
        }
        Err(refused) => {
            answer.with_error_code(refused.code.code()).with_error_message(refused.text())
        }
    }
}

/// Answers DeleteTopics.
pub(crate) async fn delete(
    shared: &Shared,
    version: i16,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let asked = if version < IDS_FROM {
        let named = |name| DeleteTopicState::default().with_name(Some(name));
        request.topic_names.into_iter().map(named).collect()
    } else {
        request.topics
    };
    let key = |topic: &DeleteTopicState| (topic.name.clone(), topic.topic_id);
    let mut counts = count(asked.iter().map(key));
    let mut results = Vec::with_capacity(counts.len());
    for topic in asked {
        let result = match counts.remove(&key(&topic)) {
            None => continue,
            Some(1) => delete_one(shared, &topic).await,
            Some(_) => Err(match topic.name {
                None if topic.topic_id.is_nil() => neither(),
                None => Refusal::new(ErrorCode::InvalidRequest, "Duplicate topic id."),
                Some(_) => twice(),
            }),
        };
        results.push(deleted_answer(topic, result));
    }
    DeleteTopicsResponse::default().with_responses(results)
}

fn neither() -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, "Neither topic name nor id were specified.")
}

fn deleted_answer(
    asked: DeleteTopicState,
    result: Result<(TopicName, Uuid), Refusal>,
) -> DeletableTopicResult {
    match result {
        Ok((name, id)) => DeletableTopicResult::default()
            .with_name(Some(messages::TopicName(errors::text(name.as_str()))))
            .with_topic_id(id),
        Err(refused) => DeletableTopicResult::default()
            .with_name(asked.name)
            .with_topic_id(asked.topic_id)
            .with_error_code(refused.code.code())
            .with_error_message(refused.text()),
    }
}

async fn delete_one(
    shared: &Shared,
    asked: &DeleteTopicState,
) -> Result<(TopicName, Uuid), Refusal> {
    let topic = match (&asked.name, asked.topic_id) {
        (None, id) if id.is_nil() => return Err(neither()),
        (Some(_), id) if !id.is_nil() => {
            let message = "You may not specify both topic name and topic id.";
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        (Some(name), _) => offsets::topic(shared, name).ok_or_else(|| {
            let message = "This server does not host this topic-partition.";
            Refusal::new(ErrorCode::UnknownTopicOrPartition, message)
        })?,
        (None, id) => shared.broker.topics().by_id(TopicId(id)).ok_or_else(|| {
            let message = "This server does not host this topic ID.";
            Refusal::new(ErrorCode::UnknownTopicId, message)
        })?,
    };
    refuse_internal(topic.name())?;
    match shared.broker.delete_topic(topic.name()).await {
        Ok(()) => Ok((topic.name().clone(), topic.id().0)),
        // Its name is known: what is left to forbid it is a link that copies it.
        Err(error) if error.code == Failure::InvalidRequest => {
            Err(Refusal::new(ErrorCode::PolicyViolation, error.message))
        }
        Err(error) => Err(error.into()),
    }
}

/// Answers CreatePartitions.
pub(crate) async fn grow(
    shared: &Shared,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let mut counts = count(request.topics.iter().map(|topic| topic.name.clone()));
    let mut results = Vec::with_capacity(counts.len());
    for topic in request.topics {
        let result = match counts.remove(&topic.name) {
            None => continue,
            Some(1) => grow_one(shared, &topic, request.validate_only).await,
            Some(_) => Err(twice()),
        };
        let answer = CreatePartitionsTopicResult::default().with_name(topic.name);
        results.push(match result {
            Ok(()) => answer,
            Err(refused) => {
                answer.with_error_code(refused.code.code()).with_error_message(refused.text())
            }
        });
    }
    CreatePartitionsResponse::default().with_results(results)
}

async fn grow_one(
    shared: &Shared,
    asked: &CreatePartitionsTopic,
    validate_only: bool,
) -> Result<(), Refusal> {
    let topic = offsets::topic(shared, &asked.name)
        .ok_or_else(|| Refusal::new(ErrorCode::UnknownTopicOrPartition, ""))?;
    refuse_internal(topic.name())?;
    let total = grown(asked, topic.config().partitions, metadata::broker_id(&shared.broker))?;
    if validate_only {
        return match topic.mirror_of() {
            Some(site) => {
                let message =
                    format!("{} mirrors site {site}: it grows when its source does", topic.name());
                Err(Refusal::new(ErrorCode::PolicyViolation, message))
            }
            None => Ok(()),
        };
    }
    shared.broker.grow_topic(topic.name(), total).await?;
    Ok(())
}

/// How many partitions a topic that has so many is to have.
fn grown(asked: &CreatePartitionsTopic, has: u32, node: BrokerId) -> Result<u32, Refusal> {
    let name = &*asked.name;
    let invalid = |message: String| Err(Refusal::new(ErrorCode::InvalidPartitions, message));
    let total = match u32::try_from(asked.count) {
        Ok(total) if total == has => {
            return invalid(format!("Topic already has {has} partition(s)."));
        }
        Ok(total) if total > has => total,
        _ => {
            let count = asked.count;
            return invalid(format!(
                "The topic {} currently has {has} partition(s); {count} would not be an increase.",
                &**name
            ));
        }
    };
    let most = limits::MAX_PARTITIONS_PER_TOPIC;
    if total > most {
        return invalid(format!("A topic of this node can have at most {most} partitions."));
    }
    if let Some(assignments) = &asked.assignments {
        let (more, given) = (total - has, assignments.len());
        if u32::try_from(given) != Ok(more) {
            let message = format!(
                "Attempted to add {more} additional partition(s), but only {given} assignment(s) \
                 were specified."
            );
            return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
        }
        assignments.iter().try_for_each(|to| creation::check_replicas(&to.broker_ids, node))?;
    }
    Ok(total)
}

/// Answers DeleteRecords.
pub(crate) async fn delete_records(
    shared: &Shared,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let topic = offsets::topic(shared, &asked.name);
        let mut partitions = Vec::with_capacity(asked.partitions.len());
        for partition in asked.partitions {
            let index = partition.partition_index;
            let trimmed = trim(shared, topic.as_ref(), index, partition.offset).await;
            let answer = DeleteRecordsPartitionResult::default().with_partition_index(index);
            partitions.push(match trimmed {
                Ok(start) => answer.with_low_watermark(start.get()),
                Err(code) => answer.with_error_code(code.code()).with_low_watermark(-1),
            });
        }
        topics.push(
            DeleteRecordsTopicResult::default().with_name(asked.name).with_partitions(partitions),
        );
    }
    DeleteRecordsResponse::default().with_topics(topics)
}

/// Where the partition starts after what lies before `offset` is gone.
async fn trim(
    shared: &Shared,
    topic: Option<&Arc<Topic>>,
    index: i32,
    offset: i64,
) -> Result<Offset, ErrorCode> {
    /// All that consumers may see.
    const HIGH_WATERMARK: i64 = -1;
    let partition = offsets::partition(topic, index)?;
    let topic = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    // Of a compacted log every record counts, however old.
    if is_internal(topic.name()) || !topic.config().policy.cleanup.deletes() {
        return Err(ErrorCode::PolicyViolation);
    }
    let to = match offset {
        HIGH_WATERMARK => partition.high_watermark(),
        offset if offset < 0 => return Err(ErrorCode::OffsetOutOfRange),
        offset => Offset(offset),
    };
    let trimmed = shared.broker.trim_partition(&partition, to).await;
    trimmed.map_err(|error| errors::code(&error))
}

#[cfg(test)]
mod tests;
