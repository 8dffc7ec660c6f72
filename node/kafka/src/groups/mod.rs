//! Consumer groups: requests of their members, as the coordinator takes them, and its answers in
//! the version that was asked in.
//!
//! Whatever the coordinator keeps is copied: what a request holds is a part of its frame. Where it
//! does not answer, clients are told that it is not available, and ask again.

mod classic;
mod consumer;
mod offsets;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use tidegate_group::{GroupError, request};
use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_proto::StrBytes;
use tidegate_kafka_proto::messages::find_coordinator_response::Coordinator;
use tidegate_kafka_proto::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};

use crate::Shared;
use crate::connection::Client;
use crate::errors::text;
use crate::metadata::broker_id;

pub(crate) use classic::{heartbeat, join, leave, sync};
pub(crate) use consumer::consumer_heartbeat;
pub(crate) use offsets::{commit, fetch_offsets};

/// Asks the coordinator; the answer of the request's own kind.
macro_rules! ask {
    ($shared:expr, $kind:ident, $request:expr) => {
        match $shared.broker.groups().ask(tidegate_group::Request::$kind($request)).await {
            Ok(tidegate_group::Response::$kind(answer)) => Ok(answer),
            Ok(_) | Err(_) => Err(tidegate_group::GroupError::CoordinatorNotAvailable),
        }
    };
}
pub(crate) use ask;

/// First version that asks for several coordinators at once.
const MANY_FROM: i16 = 4;

/// Kafka's code for an error of the coordinator.
pub(crate) fn code(error: &GroupError) -> ErrorCode {
    match error {
        GroupError::CoordinatorLoadInProgress => ErrorCode::CoordinatorLoadInProgress,
        GroupError::CoordinatorNotAvailable => ErrorCode::CoordinatorNotAvailable,
        GroupError::InvalidGroupId => ErrorCode::InvalidGroupId,
        GroupError::GroupIdNotFound => ErrorCode::GroupIdNotFound,
        GroupError::UnknownMemberId => ErrorCode::UnknownMemberId,
        GroupError::IllegalGeneration => ErrorCode::IllegalGeneration,
        GroupError::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        GroupError::InconsistentGroupProtocol => ErrorCode::InconsistentGroupProtocol,
        GroupError::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
        GroupError::MemberIdRequired => ErrorCode::MemberIdRequired,
        GroupError::FencedInstanceId => ErrorCode::FencedInstanceId,
        GroupError::UnreleasedInstanceId => ErrorCode::UnreleasedInstanceId,
        GroupError::GroupMaxSizeReached => ErrorCode::GroupMaxSizeReached,
        GroupError::FencedMemberEpoch => ErrorCode::FencedMemberEpoch,
        GroupError::StaleMemberEpoch => ErrorCode::StaleMemberEpoch,
        GroupError::UnsupportedAssignor => ErrorCode::UnsupportedAssignor,
        GroupError::InvalidRegularExpression { .. } => ErrorCode::InvalidRegularExpression,
        GroupError::UnsupportedVersion => ErrorCode::UnsupportedVersion,
        GroupError::InvalidRequest { .. } => ErrorCode::InvalidRequest,
        GroupError::OffsetMetadataTooLarge => ErrorCode::OffsetMetadataTooLarge,
        GroupError::InvalidCommitOffsetSize => ErrorCode::InvalidCommitOffsetSize,
        GroupError::UnstableOffsetCommit => ErrorCode::UnstableOffsetCommit,
        GroupError::GroupSubscribedToTopic => ErrorCode::GroupSubscribedToTopic,
        GroupError::NonEmptyGroup => ErrorCode::NonEmptyGroup,
        GroupError::RecordTooLarge => ErrorCode::MessageTooLarge,
    }
}

/// The same as a number; 0 where there is no error.
fn number<T>(outcome: &Result<T, GroupError>) -> i16 {
    outcome.as_ref().err().map_or(ErrorCode::None, code).code()
}

/// Who asks.
fn client(client: &Client, id: &str) -> request::Client {
    request::Client { id: id.to_owned(), host: host(client.address.ip()) }
}

/// An address as Java prints one without a name: a slash before it, and all of a v6 address.
fn host(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => format!("/{v4}"),
        IpAddr::V6(v6) => {
            let parts: Vec<_> = v6.segments().iter().map(|part| format!("{part:x}")).collect();
            format!("/{}", parts.join(":"))
        }
    }
}

fn owned(text: &Option<StrBytes>) -> Option<String> {
    text.as_ref().map(|text| text.to_string())
}

/// What a key names the coordinator of.
fn check_key_type(key_type: i8) -> Result<(), (ErrorCode, &'static str)> {
    match key_type {
        0 => Ok(()),
        1 => Err((ErrorCode::TransactionalIdAuthorizationFailed, "this node has no transactions")),
        2 => Err((ErrorCode::InvalidRequest, "this node has no share groups")),
        _ => Err((ErrorCode::InvalidRequest, "there is no such type of key")),
    }
}

/// Answers FindCoordinator: it is always this node.
pub(crate) async fn find_coordinator(
    shared: &Shared,
    version: i16,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let here = (broker_id(&shared.broker), shared.host.as_str(), shared.port);
    found(version, request, here)
}

fn found(
    version: i16,
    request: FindCoordinatorRequest,
    (node, host, port): (BrokerId, &str, u16),
) -> FindCoordinatorResponse {
    let (code, message, node, host, port) = match check_key_type(request.key_type) {
        Ok(()) => (ErrorCode::None.code(), StrBytes::default(), node, text(host), i32::from(port)),
        Err((code, message)) => (code.code(), text(message), BrokerId(-1), StrBytes::default(), -1),
    };
    if version < MANY_FROM {
        return FindCoordinatorResponse::default()
            .with_error_code(code)
            .with_error_message(Some(message))
            .with_node_id(node)
            .with_host(host)
            .with_port(port);
    }
    let coordinators = request.coordinator_keys.into_iter().map(|key| {
        Coordinator::default()
            .with_key(key)
            .with_error_code(code)
            .with_error_message(Some(message.clone()))
            .with_node_id(node)
            .with_host(host.clone())
            .with_port(port)
    });
    FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
}
