//! Answers in every version that is served: they can be put into bytes, and say what they must.

use bytes::Bytes;
use tidegate_group::request::LeavingMember;
use tidegate_group::response::{CommittedOffset, JoinRefused, Joined, JoinedMember, Synced};
use tidegate_kafka_proto::messages::SyncGroupRequest;
use tidegate_kafka_proto::messages::TopicName;
use tidegate_kafka_proto::messages::{JoinGroupRequest, LeaveGroupRequest, OffsetFetchRequest};
use tidegate_kafka_proto::request::RequestBody;
use tidegate_kafka_proto::response;
use tidegate_types::{LeaderEpoch, Offset, PartitionId, Timestamp};

use super::classic::{join_answer, leave_answer, sync_answer};
use super::offsets::{Places, fill, one_group};
use super::*;

/// Every version of a request that is served.
fn versions<R: RequestBody>() -> impl Iterator<Item = i16> {
    let range = R::API.range();
    range.min..=range.max
}

fn assert_encodes<R: RequestBody>(version: i16, answer: &R::Response) {
    if let Err(error) = response::encode(version, 1, answer) {
        panic!("version {version}: {error}");
    }
}

fn joined() -> Joined {
    let member = JoinedMember {
        member_id: "m".to_owned(),
        instance_id: Some("i".to_owned()),
        metadata: Bytes::from_static(b"x"),
    };
    Joined {
        member_id: "m".to_owned(),
        generation: 3,
        protocol_type: Some("consumer".to_owned()),
        protocol: Some("range".to_owned()),
        leader: "m".to_owned(),
        skip_assignment: true,
        members: vec![member],
    }
}

#[test]
fn joins_are_answered_in_every_version() {
    for version in versions::<JoinGroupRequest>() {
        let answer = join_answer(version, Ok(joined()));
        assert_eq!((answer.error_code, answer.generation_id), (0, 3));
        assert_eq!(answer.skip_assignment, version >= 9);
        assert_encodes::<JoinGroupRequest>(version, &answer);
        let refused =
            JoinRefused { error: GroupError::MemberIdRequired, member_id: "c-1".to_owned() };
        let answer = join_answer(version, Err(refused));
        assert_eq!((answer.error_code, answer.generation_id), (79, -1));
        assert_eq!(&*answer.member_id, "c-1");
        assert_eq!(answer.protocol_name.is_none(), version >= 7);
        assert_encodes::<JoinGroupRequest>(version, &answer);
    }
}

#[test]
fn syncs_are_answered_in_every_version() {
    let synced = Synced {
        protocol_type: Some("consumer".to_owned()),
        protocol: Some("range".to_owned()),
        assignment: Bytes::from_static(b"beef"),
    };
    for version in versions::<SyncGroupRequest>() {
        let answer = sync_answer(Ok(synced.clone()));
        assert_eq!(answer.assignment, "beef");
        assert_encodes::<SyncGroupRequest>(version, &answer);
        let answer = sync_answer(Err(GroupError::RebalanceInProgress));
        assert_eq!((answer.error_code, answer.assignment.len()), (27, 0));
        assert_encodes::<SyncGroupRequest>(version, &answer);
    }
}

#[test]
fn who_leaves_alone_is_told_at_the_top_and_many_each() {
    let left = |id: &str, outcome| {
        (LeavingMember { member_id: id.to_owned(), instance_id: None }, outcome)
    };
    for version in versions::<LeaveGroupRequest>() {
        let outcomes = vec![left("who", Err(GroupError::UnknownMemberId)), left("m", Ok(()))];
        let answer = leave_answer(version, Ok(outcomes));
        if version < 3 {
            assert_eq!((answer.error_code, answer.members.len()), (25, 0));
        } else {
            let codes: Vec<_> = answer.members.iter().map(|member| member.error_code).collect();
            assert_eq!((answer.error_code, codes), (0, vec![25, 0]));
        }
        assert_encodes::<LeaveGroupRequest>(version, &answer);
        let answer = leave_answer(version, Err(GroupError::CoordinatorLoadInProgress));
        assert_eq!(answer.error_code, 14);
        assert_encodes::<LeaveGroupRequest>(version, &answer);
    }
}

#[test]
fn offsets_of_one_group_are_told_in_every_version_that_asks_for_one() {
    let committed = CommittedOffset {
        offset: Offset(5),
        leader_epoch: LeaderEpoch(2),
        metadata: "m".to_owned(),
        committed_at: Timestamp(1),
    };
    let partitions = vec![(PartitionId(0), Ok(Some(committed))), (PartitionId(1), Ok(None))];
    let fetched = vec![("t".to_owned(), partitions)];
    let asked = Some(vec![("t".to_owned(), vec![PartitionId(0), PartitionId(1)])]);
    for version in versions::<OffsetFetchRequest>().filter(|version| *version < 8) {
        let answer = one_group(version, asked.clone(), Ok(fetched.clone()));
        let partitions = &answer.topics[0].partitions;
        assert_eq!((partitions[0].committed_offset, partitions[1].committed_offset), (5, -1));
        assert_eq!(partitions[1].metadata.as_deref(), Some(""));
        assert_encodes::<OffsetFetchRequest>(version, &answer);
        let answer = one_group(version, asked.clone(), Err(GroupError::CoordinatorLoadInProgress));
        if version < 2 {
            assert!(answer.topics[0].partitions.iter().all(|partition| partition.error_code == 14));
            assert_eq!(answer.topics[0].partitions.len(), 2);
        } else {
            assert_eq!((answer.error_code, answer.topics.len()), (14, 0));
        }
        assert_encodes::<OffsetFetchRequest>(version, &answer);
    }
}

#[test]
fn what_is_said_of_a_commit_stands_where_it_was_asked() {
    let unknown = Err(ErrorCode::UnknownTopicOrPartition);
    let name = |name: &'static str| TopicName(StrBytes::from_static_str(name));
    let places = || {
        vec![
            (name("a"), vec![(0, unknown), (1, Ok(()))]),
            (name("b"), vec![(7, unknown)]),
            (name("c"), vec![(2, Ok(())), (3, Ok(()))]),
        ]
    };
    let codes = |places: &[Places]| -> Vec<i16> {
        let outcomes = places.iter().flat_map(|(_, partitions)| partitions);
        outcomes.map(|(_, outcome)| outcome.err().map_or(0, ErrorCode::code)).collect()
    };
    let mut told = places();
    let too_large = Err(GroupError::OffsetMetadataTooLarge);
    let done = vec![
        ("a".to_owned(), vec![(PartitionId(1), Ok(()))]),
        ("c".to_owned(), vec![(PartitionId(2), too_large), (PartitionId(3), Ok(()))]),
    ];
    fill(&mut told, Ok(done));
    assert_eq!(codes(&told), [3, 0, 3, 12, 0]);
    let mut told = places();
    fill(&mut told, Err(GroupError::IllegalGeneration));
    assert_eq!(codes(&told), [3, 22, 3, 22, 22]);
    let mut told = places();
    fill(&mut told, Ok(vec![("a".to_owned(), vec![(PartitionId(1), Ok(()))])]));
    assert_eq!(codes(&told), [3, 0, 3, 15, 15]);
}

#[test]
fn the_coordinator_of_groups_is_this_node_and_of_nothing_else() {
    let here = (BrokerId(7), "gw", 9092);
    for version in versions::<FindCoordinatorRequest>() {
        for (key_type, code) in [(0, 0), (1, 53), (2, 42), (9, 42)] {
            let mut request = FindCoordinatorRequest::default().with_key_type(key_type);
            if version < 4 {
                request.key = text("g");
            } else {
                request.coordinator_keys = vec![text("g"), text("h")];
            }
            let answer = found(version, request, here);
            let (node, told) = match answer.coordinators.first() {
                Some(first) if version >= 4 => (first.node_id, first.error_code),
                _ => (answer.node_id, answer.error_code),
            };
            assert_eq!(answer.coordinators.len(), if version < 4 { 0 } else { 2 });
            assert_eq!(
                (told, *node),
                (code, if code == 0 { 7 } else { -1 }),
                "{version} {key_type}"
            );
            assert_encodes::<FindCoordinatorRequest>(version, &answer);
        }
    }
}

#[test]
fn addresses_are_printed_as_java_does() {
    for (address, printed) in [
        ("127.0.0.1", "/127.0.0.1"),
        ("::1", "/0:0:0:0:0:0:0:1"),
        ("::ffff:10.0.0.7", "/10.0.0.7"),
        ("2001:db8::7", "/2001:db8:0:0:0:0:0:7"),
    ] {
        assert_eq!(host(address.parse().unwrap()), printed);
    }
}

#[test]
fn an_error_that_may_pass_is_told_so() {
    for error in [
        GroupError::CoordinatorLoadInProgress,
        GroupError::CoordinatorNotAvailable,
        GroupError::UnstableOffsetCommit,
    ] {
        assert!(error.is_retriable() && code(&error).is_retriable(), "{error}");
    }
    for error in [
        GroupError::InvalidGroupId,
        GroupError::UnknownMemberId,
        GroupError::IllegalGeneration,
        GroupError::NonEmptyGroup,
        GroupError::OffsetMetadataTooLarge,
        GroupError::FencedMemberEpoch,
        GroupError::RecordTooLarge,
    ] {
        assert!(!code(&error).is_retriable(), "{error}");
    }
}
