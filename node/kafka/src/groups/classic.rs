//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup: groups whose members agree by themselves.

use std::time::Duration;

use bytes::Bytes;
use tidegate_group::GroupError;
use tidegate_group::request::{self, LeavingMember, Protocol};
use tidegate_group::response::{JoinRefused, Joined, Synced};
use tidegate_kafka_proto::StrBytes;
use tidegate_kafka_proto::messages::join_group_response::JoinGroupResponseMember;
use tidegate_kafka_proto::messages::leave_group_response::MemberResponse;
use tidegate_kafka_proto::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use uuid::Uuid;

use super::{ask, client, code, number, owned};
use crate::Shared;
use crate::connection::Client;
use crate::errors::text;

/// First versions of JoinGroup that say something more.
mod join_version {
    pub(super) const REBALANCE_TIMEOUT: i16 = 1;
    pub(super) const MEMBER_ID_REQUIRED: i16 = 4;
    pub(super) const NULL_PROTOCOL: i16 = 7;
    pub(super) const SKIP_ASSIGNMENT: i16 = 9;
}

/// First version in which several members leave at once, each with an outcome of its own.
const LEAVE_MANY_FROM: i16 = 3;

/// A time in milliseconds; one below zero is none.
fn millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// Answers JoinGroup once the group's members are known.
pub(crate) async fn join(
    shared: &Shared,
    from: &Client,
    client_id: &str,
    version: i16,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let session_timeout = millis(request.session_timeout_ms);
    let joining = request::Join {
        group: request.group_id.to_string(),
        member_id: request.member_id.to_string(),
        instance_id: owned(&request.group_instance_id),
        client: client(from, client_id),
        fresh: Uuid::new_v4(),
        session_timeout,
        rebalance_timeout: if version >= join_version::REBALANCE_TIMEOUT {
            millis(request.rebalance_timeout_ms)
        } else {
            session_timeout
        },
        protocol_type: request.protocol_type.to_string(),
        protocols: request
            .protocols
            .iter()
            .map(|protocol| Protocol {
                name: protocol.name.to_string(),
                metadata: Bytes::copy_from_slice(&protocol.metadata),
            })
            .collect(),
        can_learn_id: version >= join_version::MEMBER_ID_REQUIRED,
        can_skip_assignment: version >= join_version::SKIP_ASSIGNMENT,
    };
    let asked_as = joining.member_id.clone();
    // It may wait for long: the frame must not.
    drop(request);
    let refused = |error| JoinRefused { error, member_id: asked_as };
    join_answer(version, ask!(shared, Join, joining).unwrap_or_else(|error| Err(refused(error))))
}

pub(super) fn join_answer(version: i16, outcome: Result<Joined, JoinRefused>) -> JoinGroupResponse {
    let named = |name: Option<String>| match name {
        None if version < join_version::NULL_PROTOCOL => Some(StrBytes::default()),
        name => name.map(text),
    };
    let joined = match outcome {
        Ok(joined) => joined,
        Err(refused) => {
            return JoinGroupResponse::default()
                .with_error_code(code(&refused.error).code())
                .with_generation_id(-1)
                .with_protocol_name(named(None))
                .with_member_id(text(refused.member_id));
        }
    };
    let members = joined.members.into_iter().map(|member| {
        JoinGroupResponseMember::default()
            .with_member_id(text(member.member_id))
            .with_group_instance_id(member.instance_id.map(text))
            .with_metadata(member.metadata)
    });
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type(joined.protocol_type.map(text))
        .with_protocol_name(named(joined.protocol))
        .with_leader(text(joined.leader))
        .with_skip_assignment(joined.skip_assignment && version >= join_version::SKIP_ASSIGNMENT)
        .with_member_id(text(joined.member_id))
        .with_members(members.collect())
}

/// Answers SyncGroup once the leader has assigned.
pub(crate) async fn sync(shared: &Shared, request: SyncGroupRequest) -> SyncGroupResponse {
    let assignments = request.assignments.iter().map(|assigned| {
        (assigned.member_id.to_string(), Bytes::copy_from_slice(&assigned.assignment))
    });
    let syncing = request::Sync {
        group: request.group_id.to_string(),
        generation: request.generation_id,
        member_id: request.member_id.to_string(),
        instance_id: owned(&request.group_instance_id),
        protocol_type: owned(&request.protocol_type),
        protocol: owned(&request.protocol_name),
        assignments: assignments.collect(),
    };
    // It may wait for long: the frame must not.
    drop(request);
    sync_answer(ask!(shared, Sync, syncing).and_then(|synced| synced))
}

pub(super) fn sync_answer(outcome: Result<Synced, GroupError>) -> SyncGroupResponse {
    match outcome {
        Ok(synced) => SyncGroupResponse::default()
            .with_protocol_type(synced.protocol_type.map(text))
            .with_protocol_name(synced.protocol.map(text))
            .with_assignment(synced.assignment),
        Err(error) => SyncGroupResponse::default().with_error_code(code(&error).code()),
    }
}

/// Answers Heartbeat.
pub(crate) async fn heartbeat(shared: &Shared, request: HeartbeatRequest) -> HeartbeatResponse {
    let beat = request::Heartbeat {
        group: request.group_id.to_string(),
        generation: request.generation_id,
        member_id: request.member_id.to_string(),
        instance_id: owned(&request.group_instance_id),
    };
    let alive = ask!(shared, Heartbeat, beat).and_then(|alive| alive);
    HeartbeatResponse::default().with_error_code(number(&alive))
}

/// Answers LeaveGroup.
pub(crate) async fn leave(
    shared: &Shared,
    version: i16,
    request: LeaveGroupRequest,
) -> LeaveGroupResponse {
    let members = if version >= LEAVE_MANY_FROM {
        let members = request.members.iter().map(|member| LeavingMember {
            member_id: member.member_id.to_string(),
            instance_id: owned(&member.group_instance_id),
        });
        members.collect()
    } else {
        vec![LeavingMember { member_id: request.member_id.to_string(), instance_id: None }]
    };
    let leaving = request::Leave { group: request.group_id.to_string(), members };
    leave_answer(version, ask!(shared, Leave, leaving).and_then(|left| left))
}

type Left = Vec<(LeavingMember, Result<(), GroupError>)>;

pub(super) fn leave_answer(version: i16, outcome: Result<Left, GroupError>) -> LeaveGroupResponse {
    let answer = LeaveGroupResponse::default();
    match outcome {
        Err(error) => answer.with_error_code(code(&error).code()),
        Ok(left) if version < LEAVE_MANY_FROM => {
            let outcome = left.first().map_or(0, |(_, outcome)| number(outcome));
            answer.with_error_code(outcome)
        }
        Ok(left) => {
            let members = left.into_iter().map(|(member, outcome)| {
                MemberResponse::default()
                    .with_member_id(text(member.member_id))
                    .with_group_instance_id(member.instance_id.map(text))
                    .with_error_code(number(&outcome))
            });
            answer.with_members(members.collect())
        }
    }
}
