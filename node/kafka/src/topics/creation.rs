//! What a new topic must be, and its making.

use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_proto::messages::BrokerId;
use tidegate_kafka_proto::messages::create_topics_request::CreatableTopic;
use tidegate_types::{NameError, TopicConfig, TopicName, limits};
use tidegate_wire::ErrorCode as Failure;
use uuid::Uuid;

use super::{Refusal, collision};
use crate::produce::{is_internal, is_reserved};
use crate::{Shared, configs, metadata};

/// A client leaves a number to the node.
const DEFAULT: i32 = -1;

/// A topic that was made, or could be.
pub(super) struct Created {
    /// Nil where it was not made.
    pub(super) id: Uuid,
    pub(super) config: TopicConfig,
}

/// Makes a topic, or says whether it could be made.
pub(super) async fn create(
    shared: &Shared,
    asked: &CreatableTopic,
    validate_only: bool,
) -> Result<Created, Refusal> {
    let name = name(&asked.name)?;
    let exists = || {
        let message = format!("Topic '{name}' already exists.");
        Refusal::new(ErrorCode::TopicAlreadyExists, message)
    };
    if shared.broker.topics().get(&name).is_some() {
        return Err(exists());
    }
    if is_internal(&name) || is_reserved(name.as_str()) {
        let message = format!("Topic name is invalid: '{name}' is the node's own");
        return Err(Refusal::new(ErrorCode::InvalidTopicException, message));
    }
    if let Some(other) = collision(&shared.broker, &name) {
        let message = format!("Topic '{name}' collides with existing topic: {other}");
        return Err(Refusal::new(ErrorCode::InvalidTopicException, message));
    }
    let mut config = settings(asked)?;
    let node = metadata::broker_id(&shared.broker);
    config.partitions = partitions(asked, shared.config.partitions, node)?;
    if validate_only {
        return Ok(Created { id: Uuid::nil(), config });
    }
    match shared.broker.make_topic(name.clone(), config, false).await {
        Ok(topic) => Ok(Created { id: topic.id().0, config: TopicConfig::clone(&topic.config()) }),
        Err(error) if error.code == Failure::TopicExists => Err(exists()),
        // All that a client can do wrong was looked at: the node has too many topics.
        Err(error) if error.code == Failure::InvalidRequest => {
            Err(Refusal::new(ErrorCode::PolicyViolation, error.message))
        }
        Err(error) => Err(error.into()),
    }
}

/// The name, by Kafka's rules. One with a slash is a mirror's, and only links make mirrors.
fn name(text: &str) -> Result<TopicName, Refusal> {
    let invalid = |why: String| {
        Refusal::new(ErrorCode::InvalidTopicException, format!("Topic name is invalid: {why}"))
    };
    let name = TopicName::new(text).map_err(|error| {
        invalid(match error {
            NameError::Empty { .. } => "the empty string is not allowed".to_owned(),
            NameError::Dots { name, .. } => format!("'{name}' is not allowed"),
            NameError::TooLong { max, .. } => {
                format!("the length of '{text}' is longer than the max allowed length {max}")
            }
            NameError::Character { .. } => characters(text),
        })
    })?;
    if name.site().is_some() { Err(invalid(characters(text))) } else { Ok(name) }
}

fn characters(name: &str) -> String {
    format!(
        "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    )
}

fn settings(asked: &CreatableTopic) -> Result<TopicConfig, Refusal> {
    let mut config = TopicConfig::default();
    for setting in &asked.configs {
        let invalid = |why| Refusal::new(ErrorCode::InvalidConfig, why);
        let name = &*setting.name;
        let Some(value) = setting.value.as_deref() else {
            return Err(invalid(format!("Null value not supported for topic configs: {name}")));
        };
        configs::set(&mut config, name, value).map_err(invalid)?;
    }
    Ok(config)
}

/// How many partitions it gets; every one has this node as its only replica.
fn partitions(asked: &CreatableTopic, default: u32, node: BrokerId) -> Result<u32, Refusal> {
    let refused = |code, message: String| Err(Refusal::new(code, message));
    let replicas = i32::from(asked.replication_factor);
    if !asked.assignments.is_empty() {
        let by_hand = "A manual partition assignment was specified, but";
        if replicas != DEFAULT {
            let message = format!("{by_hand} replication factor was not set to -1.");
            return refused(ErrorCode::InvalidRequest, message);
        }
        if asked.num_partitions != DEFAULT {
            let message = format!("{by_hand} numPartitions was not set to -1.");
            return refused(ErrorCode::InvalidRequest, message);
        }
        return assigned(asked, node);
    }
    match replicas {
        DEFAULT | 1 => {}
        ..=0 => {
            let message =
                "Replication factor must be larger than 0, or -1 to use the default value.";
            return refused(ErrorCode::InvalidReplicationFactor, message.to_owned());
        }
        _ => {
            let message = format!(
                "Unable to replicate the partition {replicas} time(s): The target replication \
                 factor of {replicas} cannot be reached because only 1 broker(s) are registered."
            );
            return refused(ErrorCode::InvalidReplicationFactor, message);
        }
    }
    match asked.num_partitions {
        DEFAULT => Ok(default),
        count => match u32::try_from(count) {
            Ok(count) if (1..=limits::MAX_PARTITIONS_PER_TOPIC).contains(&count) => Ok(count),
            Ok(1..) => too_many(),
            _ => {
                let message = "Number of partitions was set to an invalid non-positive value.";
                refused(ErrorCode::InvalidPartitions, message.to_owned())
            }
        },
    }
}

fn too_many<T>() -> Result<T, Refusal> {
    let most = limits::MAX_PARTITIONS_PER_TOPIC;
    let message = format!("A topic of this node can have at most {most} partitions.");
    Err(Refusal::new(ErrorCode::InvalidPartitions, message))
}

/// Partitions that were placed by hand: all of them, from 0, and here.
fn assigned(asked: &CreatableTopic, node: BrokerId) -> Result<u32, Refusal> {
    let mut indexes: Vec<i32> = asked.assignments.iter().map(|to| to.partition_index).collect();
    indexes.sort_unstable();
    for (expected, index) in indexes.iter().enumerate() {
        if usize::try_from(*index) != Ok(expected) {
            let message = "partitions should be a consecutive 0-based integer sequence";
            return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
        }
    }
    asked.assignments.iter().try_for_each(|to| check_replicas(&to.broker_ids, node))?;
    match u32::try_from(indexes.len()) {
        Ok(count) if count <= limits::MAX_PARTITIONS_PER_TOPIC => Ok(count),
        _ => too_many(),
    }
}

/// Whether a partition can have these replicas.
pub(super) fn check_replicas(replicas: &[BrokerId], node: BrokerId) -> Result<(), Refusal> {
    let message = match replicas {
        [only] if *only == node => return Ok(()),
        [] => "The manual partition assignment includes an empty replica list.".to_owned(),
        _ => match replicas.iter().find(|replica| **replica != node) {
            Some(other) => format!(
                "The manual partition assignment includes broker {}, but no such broker is \
                 registered.",
                other.0
            ),
            None => format!(
                "The manual partition assignment includes the broker {} more than once.",
                node.0
            ),
        },
    };
    Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message))
}
