//! Consumer groups (KIP-848): reconciliation, assignors, subscriptions, fencing.

use std::time::Duration;

use tidegate_group::request::ConsumerHeartbeat;
use tidegate_group::response::{ConsumerDescription, ConsumerHeartbeatReply, GroupDetail};
use tidegate_group::{GroupError, Request};

use crate::bench::{Bench, of, seconds, topic};

fn join(bench: &mut Bench, member: &str) -> ConsumerHeartbeatReply {
    bench.beat(bench.first_beat(member)).unwrap()
}

/// A member says what it owns of `a`.
fn owns(bench: &mut Bench, member: &str, epoch: i32, owned: &[u32]) -> ConsumerHeartbeatReply {
    let owned = if owned.is_empty() { Vec::new() } else { of(1, owned) };
    bench.beat(ConsumerHeartbeat { owned: Some(owned), ..bench.next_beat(member, epoch) }).unwrap()
}

fn described(bench: &mut Bench) -> ConsumerDescription {
    let GroupDetail::Consumer(group) = bench.view("g").unwrap().detail else { panic!() };
    group
}

#[test]
fn the_first_member_is_given_everything_at_once() {
    let mut bench = Bench::new();
    let reply = join(&mut bench, "m1");
    assert_eq!((reply.member_id.as_str(), reply.member_epoch), ("m1", 1));
    assert_eq!(reply.heartbeat_interval, seconds(5));
    assert_eq!(reply.assignment, Some(of(1, &[0, 1, 2, 3])));
    let reply = owns(&mut bench, "m1", 1, &[0, 1, 2, 3]);
    assert_eq!((reply.member_epoch, reply.assignment), (1, None), "nothing is new");
    let group = described(&mut bench);
    assert_eq!((group.state, group.group_epoch, group.assignor), ("Stable", 1, "uniform"));
}

#[test]
fn a_partition_is_given_up_before_it_is_given_on() {
    let mut bench = Bench::new();
    join(&mut bench, "m1");
    let reply = join(&mut bench, "m2");
    assert_eq!((reply.member_epoch, reply.assignment), (2, Some(vec![])), "nothing is free yet");
    // The first keeps its epoch while it may own what is not its own any longer.
    let reply = owns(&mut bench, "m1", 1, &[0, 1, 2, 3]);
    assert_eq!((reply.member_epoch, reply.assignment), (1, Some(of(1, &[0, 1]))));
    let reply = bench.beat(bench.next_beat("m1", 1)).unwrap();
    assert_eq!(reply.member_epoch, 1, "it has not said that it gave them up");
    let reply = bench.beat(bench.next_beat("m2", 2)).unwrap();
    assert_eq!(reply.assignment, None);
    assert_eq!(described(&mut bench).state, "Reconciling");
    let reply = owns(&mut bench, "m1", 1, &[0, 1]);
    assert_eq!(reply.member_epoch, 2);
    let reply = bench.beat(bench.next_beat("m2", 2)).unwrap();
    assert_eq!(reply.assignment, Some(of(1, &[2, 3])));
    assert_eq!(described(&mut bench).state, "Stable");
    let members = described(&mut bench).members;
    assert!(members.iter().all(|member| member.assignment == member.target));
}

#[test]
fn free_partitions_are_given_while_others_are_waited_for() {
    let mut bench = Bench::new();
    let mut request = bench.first_beat("m1");
    request.topics = Some(vec!["a".to_owned()]);
    bench.beat(request).unwrap();
    let mut request = bench.first_beat("m2");
    request.topics = Some(vec!["a".to_owned(), "b".to_owned()]);
    let reply = bench.beat(request).unwrap();
    assert_eq!(reply.assignment, Some(of(2, &[0, 1, 2, 3])), "those of b at once");
}

#[test]
fn a_member_that_leaves_frees_what_it_had() {
    let mut bench = Bench::new();
    join(&mut bench, "m1");
    join(&mut bench, "m2");
    let left = bench.beat(bench.next_beat("m1", -1)).unwrap();
    assert_eq!(left.member_epoch, -1);
    let reply = bench.beat(bench.next_beat("m2", 2)).unwrap();
    assert_eq!((reply.member_epoch, reply.assignment), (3, Some(of(1, &[0, 1, 2, 3]))));
    assert_eq!(bench.beat(bench.next_beat("m1", 1)), Err(GroupError::UnknownMemberId));
    bench.beat(bench.next_beat("m2", -1)).unwrap();
    assert_eq!(described(&mut bench).state, "Empty");
}

#[test]
fn a_silent_member_is_fenced_and_may_not_commit() {
    let mut bench = Bench::new();
    join(&mut bench, "m1");
    join(&mut bench, "m2");
    for _ in 0..10 {
        bench.advance(seconds(5));
        keep(&mut bench, "m2");
    }
    assert_eq!(bench.commit("m1", 1, 9), Err(GroupError::UnknownMemberId));
    assert_eq!(bench.beat(bench.next_beat("m1", 1)), Err(GroupError::UnknownMemberId));
    assert_eq!(described(&mut bench).members[0].assignment, of(1, &[0, 1, 2, 3]));
}

/// A member that does what it is told keeps its place.
fn keep(bench: &mut Bench, member: &str) {
    let members = described(bench).members;
    let epoch = members.iter().find(|m| m.member_id == member).unwrap().member_epoch;
    bench.beat(bench.next_beat(member, epoch)).unwrap();
}

#[test]
fn who_does_not_give_up_partitions_in_time_is_fenced() {
    let mut bench = Bench::new();
    join(&mut bench, "m1");
    join(&mut bench, "m2");
    owns(&mut bench, "m1", 1, &[0, 1, 2, 3]);
    for _ in 0..6 {
        bench.advance(seconds(5));
        if bench.now.monotonic < seconds(130) {
            owns(&mut bench, "m1", 1, &[0, 1, 2, 3]);
        }
        keep(&mut bench, "m2");
    }
    assert_eq!(bench.beat(bench.next_beat("m1", 1)), Err(GroupError::UnknownMemberId));
    keep(&mut bench, "m2");
    assert_eq!(described(&mut bench).members.len(), 1);
    assert_eq!(described(&mut bench).members[0].assignment, of(1, &[0, 1, 2, 3]));
}

#[test]
fn a_lost_answer_is_told_again_and_other_epochs_are_fenced() {
    let mut bench = Bench::new();
    join(&mut bench, "m1");
    join(&mut bench, "m2");
    owns(&mut bench, "m1", 1, &[0, 1, 2, 3]);
    // The answer to this one is lost.
    assert_eq!(owns(&mut bench, "m1", 1, &[0, 1]).member_epoch, 2);
    let reply = owns(&mut bench, "m1", 1, &[0, 1]);
    assert_eq!((reply.member_epoch, reply.assignment), (2, Some(of(1, &[0, 1]))));
    for (epoch, owned) in [(1, &[0, 1, 2][..]), (3, &[0, 1])] {
        let request = ConsumerHeartbeat {
            owned: Some(of(1, owned)),
            rebalance_timeout: Some(seconds(30)),
            topics: Some(vec!["a".to_owned()]),
            ..bench.next_beat("m1", epoch)
        };
        assert_eq!(bench.beat(request), Err(GroupError::FencedMemberEpoch), "epoch {epoch}");
    }
    // A join that is sent twice is no other member.
    let first = join(&mut bench, "m3");
    assert_eq!(join(&mut bench, "m3"), first);
}

#[test]
fn a_member_that_was_fenced_begins_anew_with_what_it_had() {
    let mut bench = Bench::new();
    join(&mut bench, "m1");
    join(&mut bench, "m2");
    owns(&mut bench, "m1", 1, &[0, 1, 2, 3]);
    assert_eq!(owns(&mut bench, "m1", 1, &[0, 1]).member_epoch, 2);
    assert_eq!(bench.beat(bench.next_beat("m1", 7)), Err(GroupError::FencedMemberEpoch));
    let reply = join(&mut bench, "m1");
    assert_eq!((reply.member_epoch, reply.assignment), (2, Some(of(1, &[0, 1]))));
    assert_eq!(described(&mut bench).group_epoch, 2, "nobody had to rebalance for it");
    assert_eq!(bench.commit("m1", 2, 1), Ok(()));
    // Beginning anew takes all that a first heartbeat takes.
    for senseless in [
        ConsumerHeartbeat { owned: Some(of(1, &[0])), ..bench.first_beat("m1") },
        ConsumerHeartbeat { owned: None, ..bench.first_beat("m1") },
        ConsumerHeartbeat { rebalance_timeout: None, ..bench.first_beat("m1") },
        ConsumerHeartbeat { topics: None, ..bench.first_beat("m1") },
    ] {
        let refused = bench.beat(senseless);
        assert!(matches!(refused, Err(GroupError::InvalidRequest { .. })), "{refused:?}");
    }
}

#[test]
fn a_member_that_begins_anew_gives_up_what_it_was_to_give_up() {
    let mut bench = Bench::new();
    join(&mut bench, "m1");
    join(&mut bench, "m2");
    // It has to let two of them go, and begins anew instead: it owns none of them then.
    assert_eq!(owns(&mut bench, "m1", 1, &[0, 1, 2, 3]).member_epoch, 1);
    let reply = join(&mut bench, "m1");
    assert_eq!((reply.member_epoch, reply.assignment), (2, Some(of(1, &[0, 1]))));
    let reply = bench.beat(bench.next_beat("m2", 2)).unwrap();
    assert_eq!(reply.assignment, Some(of(1, &[2, 3])));
    // While it waits for partitions of another, it gets what is free.
    let reply = join(&mut bench, "m3");
    assert_eq!((reply.member_epoch, reply.assignment), (3, Some(vec![])));
    let again = join(&mut bench, "m3");
    assert_eq!((again.member_epoch, again.assignment), (3, Some(vec![])));
}

#[test]
fn a_commit_may_be_an_epoch_behind_in_what_the_member_kept() {
    let mut bench = Bench::new();
    join(&mut bench, "m1");
    join(&mut bench, "m2");
    owns(&mut bench, "m1", 1, &[0, 1, 2, 3]);
    assert_eq!(bench.commit("m1", 1, 5), Ok(()));
    owns(&mut bench, "m1", 1, &[0, 1]);
    assert_eq!(bench.commit("m1", 1, 6), Ok(()), "partition 0 has been its own since epoch 1");
    bench.beat(bench.next_beat("m2", 2)).unwrap();
    let mut request = bench.commit_request("m1", 1, 7);
    request.topics[0].1[0].partition.0 = 2;
    let token = bench.ask(Request::Commit(request));
    assert_eq!(bench.committed(token), Err(GroupError::StaleMemberEpoch));
    assert_eq!(bench.commit("m1", 3, 7), Err(GroupError::StaleMemberEpoch));
    assert_eq!(bench.commit("", -1, 7), Err(GroupError::UnknownMemberId));
    let mut request = bench.commit_request("m1", 2, 7);
    request.knows_epochs = false;
    let token = bench.ask(Request::Commit(request));
    assert_eq!(bench.committed(token), Err(GroupError::UnsupportedVersion));
    assert_eq!(bench.offset("a", 0), Some(6));
}

#[test]
fn offsets_are_told_to_members_of_the_present_epoch() {
    let mut bench = Bench::new();
    join(&mut bench, "m1");
    bench.commit("m1", 1, 5).unwrap();
    let all = crate::bench::fetch_all();
    let ask = |member: &str, epoch| tidegate_group::request::FetchOffsets {
        member_id: Some(member.to_owned()),
        member_epoch: epoch,
        ..all.clone()
    };
    assert!(bench.fetch(ask("m1", 1)).is_ok());
    assert_eq!(bench.fetch(ask("m1", 0)), Err(GroupError::StaleMemberEpoch));
    assert_eq!(bench.fetch(ask("m2", 1)), Err(GroupError::UnknownMemberId));
}

#[test]
fn topics_that_grow_come_or_go_make_a_new_target() {
    let mut bench = Bench::new();
    let mut request = bench.first_beat("m1");
    request.topics = Some(vec!["a".to_owned(), "later".to_owned()]);
    assert_eq!(bench.beat(request).unwrap().assignment, Some(of(1, &[0, 1, 2, 3])));
    bench.make_topic("a", 1, 6);
    let reply = bench.beat(bench.next_beat("m1", 1)).unwrap();
    assert_eq!((reply.member_epoch, reply.assignment), (2, Some(of(1, &[0, 1, 2, 3, 4, 5]))));
    bench.make_topic("later", 9, 1);
    let reply = bench.beat(bench.next_beat("m1", 2)).unwrap();
    assert_eq!(reply.member_epoch, 3);
    assert_eq!(reply.assignment.unwrap().last().unwrap().0, topic(9));
    bench.make_topic("unrelated", 10, 1);
    let reply = bench.beat(bench.next_beat("m1", 3)).unwrap();
    assert_eq!((reply.member_epoch, reply.assignment), (3, None));
    bench.topics.0.remove("a");
    bench.coordinator.handle_topic_deleted(bench.now, "a", topic(1));
    let reply = bench.beat(bench.next_beat("m1", 3)).unwrap();
    assert_eq!(reply.assignment, Some(of(9, &[0])), "what is gone is to be given up");
    let mut request = bench.next_beat("m1", 3);
    request.owned = Some(of(9, &[0]));
    assert_eq!(bench.beat(request).unwrap().member_epoch, 4);
    bench.make_topic("a", 11, 1);
    let reply = bench.beat(bench.next_beat("m1", 4)).unwrap();
    let ids: Vec<_> = reply.assignment.unwrap().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [topic(9), topic(11)], "made anew it is another topic");
}

#[test]
fn a_regular_expression_follows_the_topics() {
    let mut bench = Bench::new();
    let mut request = bench.first_beat("m1");
    (request.topics, request.regex) = (None, Some("[ac]|d.*".to_owned()));
    assert_eq!(bench.beat(request).unwrap().assignment, Some(of(1, &[0, 1, 2, 3])));
    let subscribed = Ok(Err(GroupError::GroupSubscribedToTopic));
    assert_eq!(bench.delete_offsets("a", 0), subscribed, "by a pattern as by a name");
    assert_eq!(bench.delete_offsets("b", 0), Ok(Ok(())));
    bench.make_topic("dx", 7, 1);
    bench.make_topic("xd", 8, 1);
    let reply = bench.beat(bench.next_beat("m1", 1)).unwrap();
    let ids: Vec<_> = reply.assignment.unwrap().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [topic(1), topic(7)], "the whole name must match");
    let mut request = bench.next_beat("m1", 2);
    (request.topics, request.regex) = (Some(vec!["b".to_owned()]), Some(String::new()));
    let reply = bench.beat(request).unwrap();
    assert_eq!(reply.assignment, Some(vec![]), "it has to give up everything first");
    for bad in ["(", "a)(b", "[", &"a".repeat(2_000), "(?:x{1000}){1000}"] {
        let mut request = bench.first_beat("m2");
        request.regex = Some(bad.to_owned());
        let error = bench.beat(request).unwrap_err();
        assert!(matches!(error, GroupError::InvalidRegularExpression { .. }), "{bad:.20}");
    }
}

#[test]
fn the_assignor_that_most_members_want_is_used() {
    let mut bench = Bench::new();
    for member in ["m1", "m2"] {
        let mut request = bench.first_beat(member);
        request.topics = Some(vec!["a".to_owned(), "b".to_owned()]);
        request.assignor = Some("range".to_owned());
        bench.beat(request).unwrap();
    }
    let group = described(&mut bench);
    assert_eq!(group.assignor, "range");
    let expected = [(topic(1), vec![0, 1]), (topic(2), vec![0, 1])];
    let target: Vec<_> = group.members[0]
        .target
        .iter()
        .map(|(id, partitions)| (*id, partitions.iter().map(|p| p.0).collect::<Vec<_>>()))
        .collect();
    assert_eq!(target, expected, "the same partitions of both topics");
    let mut request = bench.first_beat("m3");
    request.assignor = Some("sticky".to_owned());
    assert_eq!(bench.beat(request), Err(GroupError::UnsupportedAssignor));
}

#[test]
fn senseless_heartbeats_are_refused() {
    let mut bench = Bench::new();
    let first = bench.first_beat("m1");
    let cases = [
        ConsumerHeartbeat { rebalance_timeout: None, ..first.clone() },
        ConsumerHeartbeat { topics: None, ..first.clone() },
        ConsumerHeartbeat { owned: Some(of(1, &[0])), ..first.clone() },
        ConsumerHeartbeat { owned: None, ..first.clone() },
        ConsumerHeartbeat { member_id: String::new(), ..first.clone() },
        ConsumerHeartbeat { member_epoch: -3, ..first.clone() },
        ConsumerHeartbeat { member_epoch: -2, ..first.clone() },
        ConsumerHeartbeat { instance_id: Some(String::new()), ..first.clone() },
        ConsumerHeartbeat { topics: Some(vec!["x".to_owned(); 6_000]), ..first.clone() },
        ConsumerHeartbeat { topics: Some(vec!["x".repeat(400)]), ..first.clone() },
    ];
    for (index, request) in cases.into_iter().enumerate() {
        let error = bench.beat(request).unwrap_err();
        assert!(matches!(error, GroupError::InvalidRequest { .. }), "case {index}: {error}");
    }
    let empty = ConsumerHeartbeat { group: String::new(), ..first.clone() };
    assert_eq!(bench.beat(empty), Err(GroupError::InvalidGroupId));
    assert_eq!(bench.beat(bench.next_beat("m1", 1)), Err(GroupError::GroupIdNotFound));
    assert_eq!(bench.beat(bench.next_beat("m1", -1)), Err(GroupError::GroupIdNotFound));
    // An older client is given its id.
    let request = ConsumerHeartbeat { member_id: String::new(), has_own_id: false, ..first };
    let id = bench.beat(request).unwrap().member_id;
    assert!(bench.beat(bench.next_beat(&id, 1)).is_ok());
}

#[test]
fn a_group_that_is_not_empty_refuses_members_of_the_other_kind() {
    let mut bench = Bench::new();
    let members = bench.settle(1);
    let error = bench.beat(bench.first_beat("m1")).unwrap_err();
    assert_eq!(error, GroupError::GroupIdNotFound);
    bench.commit(&members[0].member_id, 1, 4).unwrap_or_else(|_| {
        bench.commit(&members[0].member_id, members[0].generation, 4).unwrap();
    });
    bench.leave(&[(&members[0].member_id, None)]);
    let reply = join(&mut bench, "m1");
    let epoch = reply.member_epoch;
    assert!(epoch > members[0].generation, "a generation of before is not valid by chance");
    assert_eq!(bench.offset("a", 0), Some(4), "offsets stay");
    let token = bench.join("");
    let refused = bench.join_result(token).unwrap_err();
    assert_eq!(refused.error, GroupError::InconsistentGroupProtocol);
    assert_eq!(bench.heartbeat("m1", epoch), Err(GroupError::UnknownMemberId));
    let token = bench.sync("m1", epoch, vec![]);
    assert_eq!(bench.synced(token), Err(GroupError::UnknownMemberId));
    assert_eq!(bench.leave(&[("m1", None)]), [Err(GroupError::UnknownMemberId)]);
    bench.restart();
    assert!(bench.beat(bench.next_beat("m1", epoch)).is_ok(), "it stays of the other kind");
    bench.beat(bench.next_beat("m1", -1)).unwrap();
    let token = bench.join("");
    assert!(bench.joined(token).generation > epoch);
    bench.restart();
    assert_eq!(bench.view("g").unwrap().offsets.len(), 1);
}

#[test]
fn large_groups_make_new_targets_once_in_a_while() {
    let mut bench = Bench::new();
    bench.make_topic("a", 1, 500);
    for member in 0..100 {
        join(&mut bench, &format!("m{member:03}"));
    }
    let group = described(&mut bench);
    assert_eq!(group.state, "Assigning");
    assert!(group.assignment_epoch < group.group_epoch);
    bench.advance(seconds(1) + Duration::from_millis(1));
    keep(&mut bench, "m099");
    let group = described(&mut bench);
    assert_eq!(group.assignment_epoch, group.group_epoch);
    let sizes = group.members.iter().map(|m| m.target.iter().map(|(_, p)| p.len()).sum::<usize>());
    assert!(sizes.clone().all(|size| size == 5), "{:?}", sizes.collect::<Vec<_>>());
}

#[test]
fn a_group_takes_so_many_members() {
    let config = tidegate_group::Config { max_members: 1, ..Bench::new().config };
    let mut bench = Bench::with(config);
    join(&mut bench, "m1");
    assert_eq!(bench.beat(bench.first_beat("m2")), Err(GroupError::GroupMaxSizeReached));
    assert!(bench.beat(bench.next_beat("m1", 1)).is_ok());
}
