//! ConsumerGroupHeartbeat: groups whose members the coordinator assigns to (KIP-848).

use std::time::Duration;

use tidegate_group::GroupError;
use tidegate_group::request;
use tidegate_group::response::ConsumerHeartbeatReply;
use tidegate_kafka_proto::messages::consumer_group_heartbeat_response::{
    Assignment, TopicPartitions,
};
use tidegate_kafka_proto::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};
use tidegate_types::{PartitionId, TopicId};
use uuid::Uuid;

use super::{ask, client, code, owned};
use crate::Shared;
use crate::connection::Client;
use crate::errors::text;

/// First version in which members make their ids themselves.
const OWN_ID_FROM: i16 = 1;

/// Answers ConsumerGroupHeartbeat.
pub(crate) async fn consumer_heartbeat(
    shared: &Shared,
    from: &Client,
    client_id: &str,
    version: i16,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    if request.group_id.is_empty() {
        let reason = "GroupId can't be empty";
        return consumer_answer(Err(GroupError::InvalidRequest { reason }));
    }
    let topics = request.subscribed_topic_names.as_ref();
    let owned_partitions = request.topic_partitions.as_ref();
    let beat = request::ConsumerHeartbeat {
        group: request.group_id.to_string(),
        member_id: request.member_id.to_string(),
        member_epoch: request.member_epoch,
        instance_id: owned(&request.instance_id),
        client: client(from, client_id),
        fresh: Uuid::new_v4(),
        has_own_id: version >= OWN_ID_FROM,
        rebalance_timeout: u64::try_from(request.rebalance_timeout_ms)
            .ok()
            .map(Duration::from_millis),
        topics: topics.map(|topics| topics.iter().map(|topic| topic.to_string()).collect()),
        regex: owned(&request.subscribed_topic_regex),
        assignor: owned(&request.server_assignor),
        owned: owned_partitions.map(|topics| {
            let of = |index: &i32| PartitionId(index.cast_unsigned());
            let topics = topics
                .iter()
                .map(|topic| (TopicId(topic.topic_id), topic.partitions.iter().map(of).collect()));
            topics.collect()
        }),
    };
    consumer_answer(ask!(shared, ConsumerHeartbeat, beat).and_then(|reply| reply))
}

pub(super) fn consumer_answer(
    outcome: Result<ConsumerHeartbeatReply, GroupError>,
) -> ConsumerGroupHeartbeatResponse {
    let reply = match outcome {
        Ok(reply) => reply,
        Err(error) => {
            return ConsumerGroupHeartbeatResponse::default()
                .with_error_code(code(&error).code())
                .with_error_message(Some(text(error.to_string())));
        }
    };
    let assignment = reply.assignment.map(|topics| {
        let topics = topics.into_iter().map(|(topic, partitions)| {
            let partitions = partitions.into_iter().map(|p| p.get().cast_signed());
            TopicPartitions::default().with_topic_id(topic.0).with_partitions(partitions.collect())
        });
        Assignment::default().with_topic_partitions(topics.collect())
    });
    let interval = i32::try_from(reply.heartbeat_interval.as_millis()).unwrap_or(i32::MAX);
    ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(text(reply.member_id)))
        .with_member_epoch(reply.member_epoch)
        .with_heartbeat_interval_ms(interval)
        .with_assignment(assignment)
}
