//! What a client asks first: which nodes there are, which topics, and who leads their partitions.
//!
//! This node leads every partition it has, and is its only replica. A partition whose log was
//! sealed by a failed write is told as Kafka tells one whose disk failed: without a leader,
//! `LEADER_NOT_AVAILABLE`, its replica offline.
//!
//! A topic that is made because a client asks for it is there at once. Kafka answers that there is
//! no such topic and has the client ask again.

mod partitions;

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use tidegate_broker::{Broker, LEADER_EPOCH, ReadAlias, Topic};
use tidegate_kafka_proto::messages::metadata_request::MetadataRequestTopic;
use tidegate_kafka_proto::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use tidegate_kafka_proto::messages::{self, BrokerId, MetadataRequest, MetadataResponse};
use tidegate_kafka_proto::{ErrorCode, StrBytes};
use tidegate_types::{TopicConfig, TopicId, TopicName};
use uuid::Uuid;

pub(crate) use self::partitions::{MAX_DESCRIBED, describe_partitions};
use crate::errors::{self, text};
use crate::produce::{is_internal, is_reserved};
use crate::{Shared, topics};

/// First version in which a topic is found by its id.
const IDS_FROM: i16 = 12;

/// First version in which an empty list is no topic; before it was all of them.
const EMPTY_IS_NONE_FROM: i16 = 1;

/// What a client may do with a topic where nobody is kept from anything: read, write, create,
/// delete, alter, describe, and describe and alter its configuration, one bit each.
const TOPIC_OPERATIONS: i32 = 3_576;

/// The same for the cluster: create, alter, describe, cluster action, describe and alter its
/// configuration, idempotent write.
pub(crate) const CLUSTER_OPERATIONS: i32 = 8_096;

/// Operations that were not asked for.
pub(crate) const NOT_ASKED: i32 = i32::MIN;

/// Bytes of the digest that become the cluster's id, as many as a UUID has.
const CLUSTER_ID_LEN: usize = 16;

/// The cluster's id: the same as long as the site keeps its authority.
pub(crate) fn cluster_id(broker: &Broker) -> String {
    cluster_id_of(broker.authority().certificate_pem())
}

fn cluster_id_of(authority: &str) -> String {
    let digest = digest(&SHA256, authority.as_bytes());
    let (id, _) = digest.as_ref().split_at(CLUSTER_ID_LEN);
    URL_SAFE_NO_PAD.encode(id)
}

/// This node's id in Kafka's number.
pub(crate) fn broker_id(broker: &Broker) -> BrokerId {
    BrokerId(i32::try_from(broker.config().node.get()).unwrap_or(i32::MAX))
}

/// A topic of ours, as its answers show it.
struct Known {
    name: StrBytes,
    id: Uuid,
    internal: bool,
    /// By partition, whether its log is sealed.
    offline: Vec<bool>,
}

impl Known {
    fn of_alias(alias: &ReadAlias) -> Known {
        let name = text(alias.to_string());
        Known { name, id: alias.id().0, internal: false, ..Known::new(alias.topic()) }
    }

    fn new(topic: &Topic) -> Known {
        let sealed = topic.partitions().iter().map(|p| p.log().sealed_reason().is_some()).collect();
        Known {
            name: text(topic.name().as_str()),
            id: topic.id().0,
            internal: is_internal(topic.name()),
            offline: sealed,
        }
    }
}

/// A topic that was asked for and cannot be shown.
struct Missing {
    name: Option<messages::TopicName>,
    id: Uuid,
    code: ErrorCode,
}

/// Answers Metadata.
pub(crate) async fn answer(
    shared: &Shared,
    version: i16,
    request: MetadataRequest,
) -> MetadataResponse {
    let may_create = shared.config.auto_create && request.allow_auto_topic_creation;
    let found = match request.topics {
        None => all(shared),
        Some(asked) if asked.is_empty() && version < EMPTY_IS_NONE_FROM => all(shared),
        Some(asked) if version < IDS_FROM && asked.iter().any(is_by_id) => {
            return no_ids_yet(asked);
        }
        Some(asked) => named(shared, asked, may_create).await,
    };
    let broker = MetadataResponseBroker::default()
        .with_node_id(broker_id(&shared.broker))
        .with_host(text(&*shared.host))
        .with_port(shared.port.into());
    let operations = |asked: bool, all: i32| if asked { all } else { NOT_ASKED };
    response(
        broker,
        text(&*shared.cluster_id),
        found,
        operations(request.include_topic_authorized_operations, TOPIC_OPERATIONS),
        operations(request.include_cluster_authorized_operations, CLUSTER_OPERATIONS),
    )
}

/// Fields that a version lacks are left out of its bytes; only the operations must not be set
/// there, and then the client could not ask for them.
fn response(
    broker: MetadataResponseBroker,
    cluster_id: StrBytes,
    found: Vec<Result<Known, Missing>>,
    topic_operations: i32,
    cluster_operations: i32,
) -> MetadataResponse {
    let node = broker.node_id;
    let topics = found.into_iter().map(|found| topic_answer(found, node, topic_operations));
    MetadataResponse::default()
        .with_topics(topics.collect())
        .with_brokers(vec![broker])
        .with_cluster_id(Some(cluster_id))
        .with_controller_id(node)
        .with_cluster_authorized_operations(cluster_operations)
}

fn topic_answer(
    found: Result<Known, Missing>,
    node: BrokerId,
    operations: i32,
) -> MetadataResponseTopic {
    match found {
        Ok(known) => {
            let partitions = known.offline.iter().enumerate();
            MetadataResponseTopic::default()
                .with_name(Some(messages::TopicName(known.name)))
                .with_topic_id(known.id)
                .with_is_internal(known.internal)
                .with_partitions(
                    partitions.map(|(n, off)| partition_answer(n, *off, node)).collect(),
                )
                .with_topic_authorized_operations(operations)
        }
        Err(missing) => MetadataResponseTopic::default()
            .with_error_code(missing.code.code())
            .with_name(missing.name)
            .with_topic_id(missing.id)
            .with_topic_authorized_operations(operations),
    }
}

fn partition_answer(index: usize, offline: bool, node: BrokerId) -> MetadataResponsePartition {
    let (code, leader) = leader(offline, node);
    MetadataResponsePartition::default()
        .with_error_code(code.code())
        .with_partition_index(number(index))
        .with_leader_id(leader)
        .with_leader_epoch(LEADER_EPOCH.get())
        .with_replica_nodes(vec![node])
        .with_isr_nodes(vec![node])
        .with_offline_replicas(if offline { vec![node] } else { Vec::new() })
}

fn leader(offline: bool, node: BrokerId) -> (ErrorCode, BrokerId) {
    if offline { (ErrorCode::LeaderNotAvailable, BrokerId(-1)) } else { (ErrorCode::None, node) }
}

fn number(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}

fn all(shared: &Shared) -> Vec<Result<Known, Missing>> {
    shared.broker.topics().all().iter().map(|topic| Ok(Known::new(topic))).collect()
}

fn is_by_id(asked: &MetadataRequestTopic) -> bool {
    !asked.topic_id.is_nil() || asked.name.is_none()
}

/// The versions that have ids and cannot be asked by them are refused as a whole.
fn no_ids_yet(asked: Vec<MetadataRequestTopic>) -> MetadataResponse {
    let refused = asked.into_iter().map(|topic| {
        let name = topic.name.unwrap_or_default();
        let missing =
            Missing { name: Some(name), id: topic.topic_id, code: ErrorCode::InvalidRequest };
        topic_answer(Err(missing), BrokerId(-1), NOT_ASKED)
    });
    MetadataResponse::default().with_controller_id(BrokerId(-1)).with_topics(refused.collect())
}

/// The topics that a client asks for, each once. An id goes before a name.
async fn named(
    shared: &Shared,
    asked: Vec<MetadataRequestTopic>,
    may_create: bool,
) -> Vec<Result<Known, Missing>> {
    let mut seen = HashSet::with_capacity(asked.len());
    let mut found = Vec::with_capacity(asked.len());
    for MetadataRequestTopic { topic_id, name, .. } in asked {
        let topic = match name {
            Some(name) if topic_id.is_nil() => by_name(shared, name, may_create).await,
            _ => match shared.broker.topics().by_id(TopicId(topic_id)) {
                Some(topic) => Ok(Known::new(&topic)),
                None => match shared.broker.topics().alias_by_id(TopicId(topic_id)) {
                    Some(alias) => Ok(Known::of_alias(&alias)),
                    None => {
                        let code = ErrorCode::UnknownTopicId;
                        Err(Missing { name: None, id: topic_id, code })
                    }
                },
            },
        };
        // A topic has many partitions and is asked for in a few bytes: twice is not told twice.
        let key = match &topic {
            Ok(known) => (known.id, None),
            Err(missing) => (missing.id, missing.name.clone()),
        };
        if seen.insert(key) {
            found.push(topic);
        }
    }
    found
}

async fn by_name(
    shared: &Shared,
    name: messages::TopicName,
    may_create: bool,
) -> Result<Known, Missing> {
    let missing = |code| Missing { name: Some(name.clone()), id: Uuid::nil(), code };
    if let Some(alias) = shared.broker.topics().alias(&name) {
        return Ok(Known::of_alias(&alias));
    }
    let topic = TopicName::new(&**name).map_err(|_| missing(ErrorCode::InvalidTopicException))?;
    if let Some(topic) = shared.broker.topics().get(&topic) {
        return Ok(Known::new(&topic));
    }
    // A link makes mirrors, and the groups' coordinator its own topic: they may yet come.
    let made_otherwise = topic.site().is_some() || is_internal(&topic) || is_reserved(&name);
    if !may_create || made_otherwise {
        return Err(missing(ErrorCode::UnknownTopicOrPartition));
    }
    if topics::collision(&shared.broker, &topic).is_some() {
        return Err(missing(ErrorCode::InvalidTopicException));
    }
    let config = TopicConfig { partitions: shared.config.partitions, ..TopicConfig::default() };
    match shared.broker.make_topic(topic, config, true).await {
        Ok(made) => Ok(Known::new(&made)),
        Err(error) => {
            tracing::warn!(topic = &**name, %error, "a topic that a client asked for is not made");
            Err(missing(errors::code(&error)))
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
