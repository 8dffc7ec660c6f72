//! Topics and their partitions by pages.

use std::collections::BTreeMap;

use tidegate_broker::LEADER_EPOCH;
use tidegate_kafka_proto::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use tidegate_kafka_proto::messages::{
    self, BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
};
use tidegate_kafka_proto::{ErrorCode, StrBytes};
use tidegate_types::TopicName;

use super::{Known, NOT_ASKED, TOPIC_OPERATIONS, broker_id, leader, number};
use crate::Shared;
use crate::errors::text;

/// Most partitions in one answer to DescribeTopicPartitions. Kafka's
/// `max.request.partition.size.limit`.
pub(crate) const MAX_DESCRIBED: usize = 2_000;

/// Answers DescribeTopicPartitions, as far as one answer goes; the cursor says where the next
/// begins.
pub(crate) async fn describe_partitions(
    shared: &Shared,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let every = request.topics.is_empty();
    let mut wanted: BTreeMap<StrBytes, Result<Known, ErrorCode>> = BTreeMap::new();
    if every {
        for topic in shared.broker.topics().all() {
            wanted.insert(text(topic.name().as_str()), Ok(Known::new(&topic)));
        }
    } else {
        for asked in request.topics {
            let found = match TopicName::new(&**asked.name) {
                Ok(name) => match shared.broker.topics().get(&name) {
                    Some(topic) => Ok(Known::new(&topic)),
                    None => Err(ErrorCode::UnknownTopicOrPartition),
                },
                Err(_) => Err(ErrorCode::InvalidTopicException),
            };
            wanted.insert(asked.name.0, found);
        }
    }
    let from = request.cursor.map(|cursor| (cursor.topic_name.0, cursor.partition_index));
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
    page(wanted, every, from, limit.clamp(1, MAX_DESCRIBED), broker_id(&shared.broker))
}

/// One answer's worth of the topics, from the cursor on.
pub(super) fn page(
    mut wanted: BTreeMap<StrBytes, Result<Known, ErrorCode>>,
    every: bool,
    from: Option<(StrBytes, i32)>,
    limit: usize,
    node: BrokerId,
) -> DescribeTopicPartitionsResponse {
    let mut start = None;
    if let Some((name, partition)) = from {
        // A cursor that points at nothing asked for is a mistake, unless its topic just went.
        let lost = !every && !wanted.contains_key(&name);
        let Some(partition) = usize::try_from(partition).ok().filter(|_| !lost) else {
            let refused = wanted.into_keys().map(|name| {
                no_partitions(name, ErrorCode::InvalidRequest)
                    .with_topic_authorized_operations(NOT_ASKED)
            });
            return DescribeTopicPartitionsResponse::default().with_topics(refused.collect());
        };
        wanted = wanted.split_off(&name);
        start = Some((name, partition));
    }
    let mut left = limit;
    let mut topics = Vec::new();
    let mut next = None;
    for (name, found) in wanted {
        let first = start.as_ref().filter(|(at, _)| *at == name).map_or(0, |(_, first)| *first);
        let known = match found {
            Ok(known) => known,
            Err(code) => {
                topics.push(no_partitions(name, code));
                continue;
            }
        };
        if left == 0 {
            next = Some((name, first));
            break;
        }
        let partitions = known.offline.iter().enumerate().skip(first).take(left);
        let partitions: Vec<_> = partitions.map(|(n, off)| described(n, *off, node)).collect();
        left -= partitions.len();
        let end = first.saturating_add(partitions.len());
        topics.push(
            DescribeTopicPartitionsResponseTopic::default()
                .with_name(Some(messages::TopicName(known.name)))
                .with_topic_id(known.id)
                .with_is_internal(known.internal)
                .with_partitions(partitions)
                .with_topic_authorized_operations(TOPIC_OPERATIONS),
        );
        if end < known.offline.len() {
            next = Some((name, end));
            break;
        }
    }
    let cursor = next.map(|(name, partition)| {
        Cursor::default()
            .with_topic_name(messages::TopicName(name))
            .with_partition_index(number(partition))
    });
    DescribeTopicPartitionsResponse::default().with_topics(topics).with_next_cursor(cursor)
}

fn no_partitions(name: StrBytes, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(code.code())
        .with_name(Some(messages::TopicName(name)))
        .with_topic_authorized_operations(TOPIC_OPERATIONS)
}

fn described(
    index: usize,
    offline: bool,
    node: BrokerId,
) -> DescribeTopicPartitionsResponsePartition {
    let (code, leader) = leader(offline, node);
    DescribeTopicPartitionsResponsePartition::default()
        .with_error_code(code.code())
        .with_partition_index(number(index))
        .with_leader_id(leader)
        .with_leader_epoch(LEADER_EPOCH.get())
        .with_replica_nodes(vec![node])
        .with_isr_nodes(vec![node])
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()))
        .with_offline_replicas(if offline { vec![node] } else { Vec::new() })
}
