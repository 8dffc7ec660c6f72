//! What tools ask of groups: lists, descriptions, deletes.

use tidegate_group::response::{
    ClassicDescription, ConsumerDescription, ConsumerMember, TopicPartitions as Partitions,
};
use tidegate_group::{GroupError, request};
use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_proto::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup as DescribedConsumerGroup, Member, TopicPartitions,
};
use tidegate_kafka_proto::messages::delete_groups_response::DeletableGroupResult;
use tidegate_kafka_proto::messages::describe_groups_response::{
    DescribedGroup, DescribedGroupMember,
};
use tidegate_kafka_proto::messages::list_groups_response::ListedGroup;
use tidegate_kafka_proto::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use tidegate_kafka_proto::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DeleteGroupsRequest,
    DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, GroupId,
    ListGroupsRequest, ListGroupsResponse, OffsetDeleteRequest, OffsetDeleteResponse,
};
use tidegate_types::PartitionId;

use crate::Shared;
use crate::errors::text;
use crate::groups::{ask, code};
use crate::metadata::NOT_ASKED;
use crate::offsets::{partition, topic};

/// What a client may do with a group where nobody is kept from anything: read, delete, describe,
/// and describe and alter its configuration, one bit each.
const GROUP_OPERATIONS: i32 = 3_400;

/// First version of DescribeGroups in which a group that is not there is an error.
const UNKNOWN_FROM: i16 = 6;

/// How a group that is not there is told.
const DEAD: &str = "Dead";

/// A member that speaks the consumer protocol.
const CONSUMER_MEMBER: i8 = 1;

/// Answers ListGroups.
pub(crate) async fn list(shared: &Shared, request: ListGroupsRequest) -> ListGroupsResponse {
    let texts = |texts: &[tidegate_kafka_proto::StrBytes]| {
        texts.iter().map(|text| text.to_string()).collect()
    };
    let listing = request::List {
        states: texts(&request.states_filter),
        kinds: texts(&request.types_filter),
    };
    match ask!(shared, List, listing).and_then(|listed| listed) {
        Err(error) => ListGroupsResponse::default().with_error_code(code(&error).code()),
        Ok(listed) => {
            let groups = listed.into_iter().map(|group| {
                ListedGroup::default()
                    .with_group_id(text(group.group).into())
                    .with_protocol_type(text(group.protocol_type))
                    .with_group_state(text(group.state))
                    .with_group_type(text(group.kind.as_str().to_ascii_lowercase()))
            });
            ListGroupsResponse::default().with_groups(groups.collect())
        }
    }
}

fn strings(groups: &[GroupId]) -> Vec<String> {
    groups.iter().map(|group| group.to_string()).collect()
}

fn operations(asked: bool) -> i32 {
    if asked { GROUP_OPERATIONS } else { NOT_ASKED }
}

/// Answers DescribeGroups.
pub(crate) async fn describe(
    shared: &Shared,
    version: i16,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let asked = strings(&request.groups);
    let describing = request::Describe { groups: asked.clone() };
    let described = ask!(shared, Describe, describing).unwrap_or_else(|error| {
        asked.into_iter().map(|group| (group, Err(error.clone()))).collect()
    });
    let operations = operations(request.include_authorized_operations);
    let groups =
        described.into_iter().map(|(group, outcome)| classic(version, group, operations, outcome));
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

fn classic(
    version: i16,
    group: String,
    operations: i32,
    outcome: Result<ClassicDescription, GroupError>,
) -> DescribedGroup {
    let answer = DescribedGroup::default().with_authorized_operations(operations);
    let found = match outcome {
        Ok(found) => found,
        Err(GroupError::GroupIdNotFound) => {
            let answer = answer.with_group_state(text(DEAD));
            let answer = if version >= UNKNOWN_FROM {
                answer
                    .with_error_code(ErrorCode::GroupIdNotFound.code())
                    .with_error_message(Some(text(format!("Group {group} not found."))))
            } else {
                answer
            };
            return answer.with_group_id(text(group).into());
        }
        Err(error) => {
            return answer.with_error_code(code(&error).code()).with_group_id(text(group).into());
        }
    };
    let members = found.members.into_iter().map(|member| {
        DescribedGroupMember::default()
            .with_member_id(text(member.member_id))
            .with_group_instance_id(member.instance_id.map(text))
            .with_client_id(text(member.client_id))
            .with_client_host(text(member.client_host))
            .with_member_metadata(member.metadata)
            .with_member_assignment(member.assignment)
    });
    answer
        .with_group_id(text(group).into())
        .with_group_state(text(found.state))
        .with_protocol_type(text(found.protocol_type))
        .with_protocol_data(text(found.protocol))
        .with_members(members.collect())
}

/// Answers ConsumerGroupDescribe.
pub(crate) async fn describe_consumer(
    shared: &Shared,
    version: i16,
    request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let asked = strings(&request.group_ids);
    let describing = request::Describe { groups: asked.clone() };
    let described = ask!(shared, DescribeConsumer, describing).unwrap_or_else(|error| {
        asked.into_iter().map(|group| (group, Err(error.clone()))).collect()
    });
    let operations = operations(request.include_authorized_operations);
    let groups = described.into_iter().map(|(group, outcome)| {
        let outcome = if group.is_empty() { Err(GroupError::InvalidGroupId) } else { outcome };
        consumer(shared, version, group, outcome).with_authorized_operations(operations)
    });
    ConsumerGroupDescribeResponse::default().with_groups(groups.collect())
}

fn consumer(
    shared: &Shared,
    version: i16,
    group: String,
    outcome: Result<ConsumerDescription, GroupError>,
) -> DescribedConsumerGroup {
    let answer = DescribedConsumerGroup::default();
    let found = match outcome {
        Ok(found) => found,
        Err(error) => {
            let message = match error {
                GroupError::GroupIdNotFound => format!("Group {group} is not a consumer group."),
                ref error => error.to_string(),
            };
            return answer
                .with_error_code(code(&error).code())
                .with_error_message(Some(text(message)))
                .with_group_id(text(group).into());
        }
    };
    let members = found.members.into_iter().map(|member| self::member(shared, version, member));
    answer
        .with_group_id(text(group).into())
        .with_group_state(text(found.state))
        .with_group_epoch(found.group_epoch)
        .with_assignment_epoch(found.assignment_epoch)
        .with_assignor_name(text(found.assignor))
        .with_members(members.collect())
}

fn member(shared: &Shared, version: i16, member: ConsumerMember) -> Member {
    let topics = member.topics.into_iter().map(|topic| text(topic).into());
    let answer = Member::default()
        .with_member_id(text(member.member_id))
        .with_instance_id(member.instance_id.map(text))
        .with_member_epoch(member.member_epoch)
        .with_client_id(text(member.client_id))
        .with_client_host(text(member.client_host))
        .with_subscribed_topic_names(topics.collect())
        .with_subscribed_topic_regex(Some(text(member.regex)))
        .with_assignment(assignment(shared, member.assignment))
        .with_target_assignment(assignment(shared, member.target));
    if version > 0 { answer.with_member_type(CONSUMER_MEMBER) } else { answer }
}

/// Partitions with their topics' names. Those of a topic that is gone are left out.
fn assignment(shared: &Shared, partitions: Partitions) -> Assignment {
    let topics = partitions.into_iter().filter_map(|(id, partitions)| {
        let topic = shared.broker.topics().by_id(id)?;
        let partitions = partitions.into_iter().map(|p| p.get().cast_signed());
        Some(
            TopicPartitions::default()
                .with_topic_id(id.0)
                .with_topic_name(text(topic.name().as_str()).into())
                .with_partitions(partitions.collect()),
        )
    });
    Assignment::default().with_topic_partitions(topics.collect())
}

/// Answers DeleteGroups.
pub(crate) async fn delete(shared: &Shared, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for group in request.groups_names {
        let deleting = request::DeleteGroup { group: group.to_string() };
        let deleted = ask!(shared, DeleteGroup, deleting).and_then(|deleted| deleted);
        let code = deleted.err().map_or(ErrorCode::None, |error| code(&error));
        results.push(
            DeletableGroupResult::default().with_group_id(group).with_error_code(code.code()),
        );
    }
    DeleteGroupsResponse::default().with_results(results)
}

/// Answers OffsetDelete.
pub(crate) async fn delete_offsets(
    shared: &Shared,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let topics = request.topics.iter().map(|asked| {
        let partitions = asked.partitions.iter();
        let ids =
            partitions.map(|partition| PartitionId(partition.partition_index.cast_unsigned()));
        (asked.name.to_string(), ids.collect())
    });
    let deleting =
        request::DeleteOffsets { group: request.group_id.to_string(), topics: topics.collect() };
    let deleted = match ask!(shared, DeleteOffsets, deleting).and_then(|deleted| deleted) {
        Ok(deleted) => deleted,
        Err(error) => {
            return OffsetDeleteResponse::default().with_error_code(code(&error).code());
        }
    };
    let topics = deleted.into_iter().map(|(name, partitions)| {
        let found = topic(shared, &name);
        let partitions = partitions.into_iter().map(|(id, outcome)| {
            let index = id.get().cast_signed();
            // Offsets of a topic that is gone may be deleted; that there is none is told as well.
            let known = partition(found.as_ref(), index);
            let code = match outcome {
                Err(error) => code(&error),
                Ok(()) => known.err().unwrap_or(ErrorCode::None),
            };
            OffsetDeleteResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code.code())
        });
        OffsetDeleteResponseTopic::default()
            .with_name(text(name).into())
            .with_partitions(partitions.collect())
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_group::response::ClassicMember;
    use tidegate_kafka_proto::request::RequestBody;
    use tidegate_kafka_proto::response;

    #[test]
    fn classic_groups_are_described_in_every_version() {
        let member = ClassicMember {
            member_id: "m".to_owned(),
            instance_id: Some("i".to_owned()),
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            metadata: "x".into(),
            assignment: "y".into(),
        };
        let found = ClassicDescription {
            state: "Stable",
            protocol_type: "consumer".to_owned(),
            protocol: "range".to_owned(),
            generation: 1,
            members: vec![member],
        };
        let range = DescribeGroupsRequest::API.range();
        for version in range.min..=range.max {
            let group = |outcome| classic(version, "g".to_owned(), NOT_ASKED, outcome);
            let whole = group(Ok(found.clone()));
            let unknown = group(Err(GroupError::GroupIdNotFound));
            let loading = group(Err(GroupError::CoordinatorLoadInProgress));
            assert_eq!((&*whole.group_state, whole.members.len()), ("Stable", 1));
            assert_eq!(unknown.error_code, if version < 6 { 0 } else { 69 });
            assert_eq!(&*unknown.group_state, DEAD);
            assert_eq!(loading.error_code, 14);
            let answer =
                DescribeGroupsResponse::default().with_groups(vec![whole, unknown, loading]);
            if let Err(error) = response::encode(version, 1, &answer) {
                panic!("version {version}: {error}");
            }
        }
    }
}
