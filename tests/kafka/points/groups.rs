//! Offsets of groups, and who may commit them.

use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_proto::messages::ConsumerGroupHeartbeatRequest;
use tidegate_kafka_tests::{Committer, Member, NONE, Typed, error, name};

use crate::start;

const AT: (&str, i32) = ("read", 0);

/// "OffsetFetch for an unknown group is -1 without error": so a consumer begins where its settings
/// say.
#[test]
fn an_unknown_group_has_no_offsets_and_no_error() {
    let (_node, mut client) = start();
    client.create(AT.0, 1, &[]);
    let found = client.committed(Committer::outside("nobody"), AT);
    assert_eq!(found, Ok((NONE, String::new())));
}

/// "Commit metadata comes back."
#[test]
fn what_is_noted_at_a_commit_comes_back() {
    let (_node, mut client) = start();
    client.create(AT.0, 1, &[]);
    let group = Committer::outside("notes");
    for (offset, note) in [(3, "by hand \u{2713}"), (2, ""), (9, "again")] {
        assert_eq!(client.commit(group, AT, offset, note), ErrorCode::None);
        assert_eq!(client.committed(group, AT), Ok((offset, note.to_owned())));
    }
}

/// "A commit during a rebalance fails": between the end of joining and the assignment nobody knows
/// who owns what.
#[test]
fn a_commit_while_assignments_are_awaited_is_told_to_rebalance() {
    let (node, mut client) = start();
    client.create(AT.0, 1, &[]);
    let mut member = Member::open(node.broker(), "awaits");
    member.join();
    assert_eq!(client.commit(member.as_committer(), AT, 5, ""), ErrorCode::RebalanceInProgress);
    member.sync(&[(&member.id.clone(), b"all")]).unwrap();
    assert_eq!(client.commit(member.as_committer(), AT, 6, ""), ErrorCode::None);
    assert_eq!(client.committed(Committer::outside("awaits"), AT).unwrap().0, 6);
}

/// "A stale generation is fenced": who missed a rebalance changes nothing any more.
#[test]
fn a_stale_generation_is_fenced() {
    let (node, mut client) = start();
    client.create(AT.0, 1, &[]);
    let mut member = Member::open(node.broker(), "fenced");
    member.join();
    member.sync(&[(&member.id.clone(), b"all")]).unwrap();
    assert_eq!(client.commit(member.as_committer(), AT, 5, ""), ErrorCode::None);
    let stale = member.generation;
    member.join();
    member.sync(&[(&member.id.clone(), b"all")]).unwrap();
    assert!(member.generation > stale);
    let fresh = std::mem::replace(&mut member.generation, stale);
    let told = ErrorCode::IllegalGeneration;
    assert_eq!(client.commit(member.as_committer(), AT, 1, ""), told);
    assert_eq!(member.heartbeat(), told);
    assert_eq!(member.sync(&[]), Err(told));
    let stranger = Committer { member: "somebody", ..member.as_committer() };
    assert_eq!(client.commit(stranger, AT, 2, ""), ErrorCode::UnknownMemberId);
    assert_eq!(client.committed(Committer::outside("fenced"), AT).unwrap().0, 5);
    member.generation = fresh;
    assert_eq!(member.heartbeat(), ErrorCode::None);
}

/// One heartbeat of the consumer protocol, as the member `m`; its epoch then.
fn beat(client: &mut Typed, epoch: i32) -> i32 {
    let mut request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(name("modern").into())
        .with_member_id(name("m"))
        .with_member_epoch(epoch);
    if epoch == 0 {
        request = request
            .with_rebalance_timeout_ms(10_000)
            .with_subscribed_topic_names(Some(vec![name(AT.0).into()]))
            .with_topic_partitions(Some(Vec::new()));
    }
    let answer = client.ask(1, &request);
    assert_eq!(error(answer.error_code), ErrorCode::None, "{answer:?}");
    if epoch == 0 {
        let given = answer.assignment.expect("an assignment").topic_partitions;
        assert_eq!(given[0].partitions, [0, 1, 2]);
    }
    answer.member_epoch
}

/// "KIP-848 in librdkafka needs Heartbeat exactly v1 and OffsetCommit and OffsetFetch v9": with these
/// a member joins, is given its partitions, and keeps its offsets.
#[test]
fn a_member_of_the_consumer_protocol_gets_by_with_the_versions_of_librdkafka() {
    let (_node, mut client) = start();
    client.create(AT.0, 3, &[]);
    let generation = beat(&mut client, 0);
    let member = Committer { group: "modern", member: "m", generation };
    assert_eq!(client.commit(member, AT, 4, "mine"), ErrorCode::None);
    assert_eq!(client.committed(member, AT), Ok((4, "mine".to_owned())));
    assert_eq!(beat(&mut client, generation), generation);
    let ahead = Committer { generation: generation + 1, ..member };
    assert_eq!(client.commit(ahead, AT, 9, ""), ErrorCode::StaleMemberEpoch);
    assert_eq!(client.committed(ahead, AT), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(client.committed(member, AT).unwrap().0, 4);
}
