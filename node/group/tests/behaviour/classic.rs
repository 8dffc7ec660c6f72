//! The classic protocol.

use bytes::Bytes;
use tidegate_group::request::Protocol;
use tidegate_group::response::GroupDetail;
use tidegate_group::{Config, GroupError, Request};

use crate::bench::{Bench, assignment, seconds, subscription};

#[test]
fn members_that_join_at_once_all_stay() {
    let mut bench = Bench::with(Config::default());
    let tokens: Vec<_> = (0..5).map(|_| bench.join("")).collect();
    bench.advance(seconds(2));
    assert!(!bench.is_answered(tokens[0]), "the first rebalance waits for more");
    let late = bench.join("");
    bench.advance(seconds(4));
    let mut ids: Vec<_> =
        tokens.into_iter().chain([late]).map(|token| bench.joined(token)).collect();
    assert!(ids.iter().all(|member| member.generation == 1));
    let leader = ids.iter().position(|member| member.member_id == member.leader).unwrap();
    assert_eq!(ids[leader].members.len(), 6, "the leader knows everyone");
    let followers = ids.iter().filter(|member| member.members.is_empty());
    assert_eq!(followers.count(), 5);
    ids.dedup_by_key(|member| member.member_id.clone());
    assert_eq!(ids.len(), 6);
}

#[test]
fn the_first_rebalance_is_drawn_out_only_so_far() {
    let mut bench = Bench::with(Config::default());
    let first = bench.join("");
    for _ in 0..40 {
        bench.advance(seconds(2));
        bench.join("");
        if bench.is_answered(first) {
            break;
        }
    }
    let waited = bench.now.monotonic - seconds(100);
    assert!(bench.is_answered(first) && waited >= seconds(58), "after {waited:?}");
}

#[test]
fn an_assignment_is_given_byte_for_byte_and_never_cut() {
    let mut bench = Bench::new();
    let members = bench.assemble(2);
    let large: Bytes = (0..900_000_u32).map(|n| n as u8).collect::<Vec<_>>().into();
    let leader = members.iter().find(|m| m.member_id == m.leader).unwrap();
    let follower = members.iter().find(|m| m.member_id != m.leader).unwrap();
    let waits = bench.sync(&follower.member_id, 2, vec![]);
    assert!(!bench.is_answered(waits), "it waits for the leader");
    let given = vec![
        (follower.member_id.clone(), large.clone()),
        ("nobody".to_owned(), Bytes::from_static(b"x")),
    ];
    let leads = bench.sync(&leader.member_id, 2, given);
    assert_eq!(bench.synced(waits).unwrap().assignment, large);
    assert_eq!(bench.synced(leads).unwrap().assignment, Bytes::new(), "it gave itself nothing");
    let again = bench.sync(&follower.member_id, 2, vec![]);
    assert_eq!(bench.synced(again).unwrap().assignment, large);
    bench.restart();
    let again = bench.sync(&follower.member_id, 2, vec![]);
    assert_eq!(bench.synced(again).unwrap().assignment, large, "also after a restart");
}

#[test]
fn assignments_that_cannot_be_stored_are_refused_whole() {
    let mut bench = Bench::new();
    let members = bench.assemble(2);
    let tokens: Vec<_> = members
        .iter()
        .map(|member| {
            let large = Bytes::from(vec![0; 1_500_000]);
            let all = members.iter().map(|m| (m.member_id.clone(), large.clone())).collect();
            bench.sync(&member.member_id, 2, all)
        })
        .collect();
    for (member, token) in members.iter().zip(tokens) {
        if member.member_id == member.leader {
            assert_eq!(bench.synced(token), Err(GroupError::RecordTooLarge));
        }
        assert_eq!(bench.heartbeat(&member.member_id, 2), Err(GroupError::RebalanceInProgress));
    }
}

#[test]
fn stale_generations_and_unknown_members_are_fenced() {
    let mut bench = Bench::new();
    let members = bench.settle(2);
    let member = members[0].member_id.as_str();
    assert_eq!(bench.heartbeat(member, 2), Ok(()));
    assert_eq!(bench.heartbeat(member, 1), Err(GroupError::IllegalGeneration));
    assert_eq!(bench.heartbeat(member, 3), Err(GroupError::IllegalGeneration));
    assert_eq!(bench.heartbeat("nobody", 2), Err(GroupError::UnknownMemberId));
    assert_eq!(bench.commit(member, 1, 5), Err(GroupError::IllegalGeneration));
    assert_eq!(bench.commit("nobody", 2, 5), Err(GroupError::UnknownMemberId));
    assert_eq!(bench.commit("", -1, 5), Err(GroupError::UnknownMemberId), "it is not empty");
    let token = bench.sync(member, 1, vec![]);
    assert_eq!(bench.synced(token), Err(GroupError::IllegalGeneration));
    let token = bench.sync("nobody", 2, vec![]);
    assert_eq!(bench.synced(token), Err(GroupError::UnknownMemberId));
    assert_eq!(bench.commit(member, 2, 5), Ok(()));
}

#[test]
fn a_commit_while_assignments_are_awaited_is_told_to_rebalance() {
    let mut bench = Bench::new();
    let members = bench.settle(2);
    let (first, second) = (&members[0].member_id, &members[1].member_id);
    let waits = bench.join(first);
    // Members of the present generation may commit what they read before they join again.
    assert_eq!(bench.heartbeat(second, 2), Err(GroupError::RebalanceInProgress));
    assert_eq!(bench.commit(second, 2, 7), Ok(()));
    let joins = bench.join(second);
    assert_eq!((bench.joined(waits).generation, bench.joined(joins).generation), (3, 3));
    assert_eq!(bench.commit(second, 3, 8), Err(GroupError::RebalanceInProgress));
    assert_eq!(bench.commit(second, 2, 8), Err(GroupError::IllegalGeneration));
    assert_eq!(bench.offset("a", 0), Some(7));
}

#[test]
fn a_cooperative_rebalance_keeps_members_at_work_between_two_generations() {
    let mut bench = Bench::new();
    let members = bench.settle(1);
    let first = members[0].member_id.clone();
    let generation = members[0].generation;
    // A second member comes; the first says anew what it owns, which is its own business.
    let second = bench.join("");
    assert_eq!(bench.heartbeat(&first, generation), Err(GroupError::RebalanceInProgress));
    assert_eq!(bench.commit(&first, generation, 11), Ok(()));
    let mut request = bench.join_request(&first);
    request.protocols[0].metadata = Bytes::from_static(b"\0\x01\0\0\0\x01\0\x01aowned");
    let again = bench.ask(Request::Join(request));
    let (first, second) = (bench.joined(again), bench.joined(second));
    assert_eq!(first.generation, generation + 1);
    let told = first.members.iter().find(|m| m.member_id == first.member_id).unwrap();
    assert!(told.metadata.ends_with(b"owned"), "opaque bytes reach the leader");
    // The leader first takes away, then asks for one more generation to give.
    let token = bench.sync(&first.member_id, first.generation, vec![]);
    assert!(bench.synced(token).is_ok());
    let waits = bench.join(&first.member_id);
    let joins = bench.join(&second.member_id);
    assert_eq!(bench.joined(waits).generation, generation + 2);
    assert_eq!(bench.joined(joins).generation, generation + 2);
}

#[test]
fn new_members_are_given_an_id_first_where_they_can_learn_it() {
    let mut bench = Bench::new();
    let mut request = bench.join_request("");
    request.can_learn_id = true;
    let token = bench.ask(Request::Join(request.clone()));
    let refused = bench.join_result(token).unwrap_err();
    assert_eq!(refused.error, GroupError::MemberIdRequired);
    assert!(refused.member_id.starts_with("client-"));
    request.member_id = refused.member_id.clone();
    let token = bench.ask(Request::Join(request.clone()));
    assert_eq!(bench.joined(token).member_id, refused.member_id);
    // An id that nobody came back with is forgotten after its session.
    request.member_id = String::new();
    request.group = "other".to_owned();
    let token = bench.ask(Request::Join(request.clone()));
    request.member_id = bench.join_result(token).unwrap_err().member_id;
    bench.advance(seconds(11));
    let token = bench.ask(Request::Join(request));
    assert_eq!(bench.join_result(token).unwrap_err().error, GroupError::UnknownMemberId);
    assert_eq!(bench.view("other"), Err(GroupError::GroupIdNotFound), "nothing is left of it");
}

#[test]
fn the_protocol_that_most_want_of_those_all_know_is_chosen() {
    let mut bench = Bench::with(Config::default());
    let mut tokens = Vec::new();
    for names in [&["x", "range", "sticky"][..], &["sticky", "range"], &["sticky", "range"]] {
        let mut request = bench.join_request("");
        request.protocols = names
            .iter()
            .map(|name| Protocol { name: (*name).to_owned(), metadata: subscription(&["a"]) })
            .collect();
        tokens.push(bench.ask(Request::Join(request)));
    }
    bench.advance(seconds(7));
    for token in tokens {
        assert_eq!(bench.joined(token).protocol.as_deref(), Some("sticky"));
    }
    let mut request = bench.join_request("");
    request.protocols[0].name = "unknown".to_owned();
    let token = bench.ask(Request::Join(request.clone()));
    let refused = bench.join_result(token).unwrap_err();
    assert_eq!(refused.error, GroupError::InconsistentGroupProtocol);
    request.protocols[0].name = "range".to_owned();
    request.protocol_type = "connect".to_owned();
    let token = bench.ask(Request::Join(request));
    let refused = bench.join_result(token).unwrap_err();
    assert_eq!(refused.error, GroupError::InconsistentGroupProtocol);
}

#[test]
fn a_silent_member_is_out_after_its_session_and_the_others_rebalance() {
    let mut bench = Bench::new();
    let members = bench.settle(3);
    let ids: Vec<_> = members.iter().map(|member| member.member_id.clone()).collect();
    for _ in 0..3 {
        bench.advance(seconds(4));
        for id in &ids[..2] {
            let _ = bench.heartbeat(id, 2);
        }
    }
    assert_eq!(bench.heartbeat(&ids[2], 2), Err(GroupError::UnknownMemberId));
    assert_eq!(bench.heartbeat(&ids[0], 2), Err(GroupError::RebalanceInProgress));
    let tokens = [bench.join(&ids[0]), bench.join(&ids[1])];
    for token in tokens {
        assert_eq!(bench.joined(token).generation, 3);
    }
}

#[test]
fn a_member_that_does_not_join_again_in_time_is_out() {
    let mut bench = Bench::new();
    let members = bench.settle(2);
    let (first, second) = (members[0].member_id.clone(), members[1].member_id.clone());
    let token = bench.join(&first);
    for _ in 0..15 {
        assert!(!bench.is_answered(token));
        assert_eq!(bench.heartbeat(&second, 2), Err(GroupError::RebalanceInProgress));
        bench.advance(seconds(4));
    }
    let joined = bench.joined(token);
    assert_eq!((joined.generation, joined.leader), (3, first));
    assert_eq!(bench.heartbeat(&second, 2), Err(GroupError::UnknownMemberId));
}

#[test]
fn one_whose_connection_broke_while_it_joined_is_out_after_its_session() {
    let mut bench = Bench::new();
    let members = bench.settle(3);
    let ids: Vec<_> = members.iter().map(|member| member.member_id.clone()).collect();
    let breaks = bench.join(&ids[0]);
    let waits = bench.join(&ids[1]);
    bench.gone(breaks);
    for _ in 0..2 {
        assert!(bench.heartbeat(&ids[2], 2).is_err());
        bench.advance(seconds(6));
    }
    let joins = bench.join(&ids[2]);
    let joined = bench.joined(waits);
    assert_eq!((joined.generation, bench.joined(joins).generation), (3, 3));
    assert!(!bench.is_answered(breaks));
    assert_eq!(bench.heartbeat(&ids[0], 3), Err(GroupError::UnknownMemberId));
}

#[test]
fn one_whose_connection_broke_is_back_at_once_under_its_id() {
    let mut bench = Bench::new();
    let members = bench.settle(2);
    let ids: Vec<_> = members.iter().map(|member| member.member_id.clone()).collect();
    let breaks = bench.join(&ids[0]);
    bench.gone(breaks);
    let again = bench.join(&ids[0]);
    let other = bench.join(&ids[1]);
    assert_eq!(bench.joined(again).generation, 3);
    assert_eq!(bench.joined(other).generation, 3);
    assert!(!bench.is_answered(breaks));
}

#[test]
fn a_join_that_is_sent_twice_is_answered_twice() {
    let mut bench = Bench::new();
    let members = bench.settle(2);
    let ids: Vec<_> = members.iter().map(|member| member.member_id.clone()).collect();
    let first = bench.join(&ids[0]);
    let second = bench.join(&ids[0]);
    let refused = bench.join_result(first).unwrap_err();
    assert_eq!(refused.error, GroupError::RebalanceInProgress);
    bench.join(&ids[1]);
    assert_eq!(bench.joined(second).generation, 3);
    // Its answer was lost: it is told again, without a rebalance.
    let again = bench.join(&ids[0]);
    assert_eq!(bench.joined(again).generation, 3);
}

#[test]
fn who_does_not_fetch_its_assignment_is_out() {
    let mut bench = Bench::new();
    let members = bench.assemble(2);
    let leader = members.iter().find(|m| m.member_id == m.leader).unwrap().member_id.clone();
    let other = members.iter().find(|m| m.member_id != m.leader).unwrap().member_id.clone();
    let token = bench.sync(&leader, 2, vec![(other.clone(), assignment(&other))]);
    assert!(bench.synced(token).is_ok());
    for _ in 0..16 {
        bench.advance(seconds(4));
        let _ = (bench.heartbeat(&leader, 2), bench.heartbeat(&other, 2));
    }
    assert_eq!(bench.heartbeat(&other, 2), Err(GroupError::UnknownMemberId));
    let token = bench.join(&leader);
    assert_eq!(bench.joined(token).generation, 3);
}

#[test]
fn members_leave_and_the_last_leaves_an_empty_group() {
    let mut bench = Bench::new();
    let members = bench.settle(2);
    let ids: Vec<_> = members.iter().map(|member| member.member_id.clone()).collect();
    assert_eq!(bench.commit(&ids[0], 2, 3), Ok(()));
    let left = bench.leave(&[(&ids[1], None), ("nobody", None)]);
    assert_eq!(left, [Ok(()), Err(GroupError::UnknownMemberId)]);
    assert_eq!(bench.heartbeat(&ids[0], 2), Err(GroupError::RebalanceInProgress));
    assert_eq!(bench.leave(&[(&ids[0], None)]), [Ok(())]);
    let GroupDetail::Classic(group) = bench.view("g").unwrap().detail else { panic!() };
    assert_eq!((group.state, group.generation), ("Empty", 3));
    let next = bench.join("");
    assert_eq!(bench.joined(next).generation, 4, "generations go on");
}

#[test]
fn a_leader_that_joins_again_rebalances_a_follower_does_not() {
    let mut bench = Bench::new();
    let members = bench.settle(2);
    let leader = members[0].leader.clone();
    let follower = members.iter().find(|m| m.member_id != leader).unwrap().member_id.clone();
    let token = bench.join(&follower);
    assert_eq!(bench.joined(token).generation, 2);
    assert_eq!(bench.heartbeat(&leader, 2), Ok(()));
    let token = bench.join(&leader);
    assert!(!bench.is_answered(token));
    assert_eq!(bench.heartbeat(&follower, 2), Err(GroupError::RebalanceInProgress));
}

#[test]
fn senseless_requests_are_refused() {
    let mut bench = Bench::new();
    let cases = [
        ("", seconds(10), GroupError::InvalidGroupId),
        ("g", seconds(5), GroupError::InvalidSessionTimeout),
        ("g", seconds(1_801), GroupError::InvalidSessionTimeout),
    ];
    for (group, session, error) in cases {
        let mut request = bench.join_request("");
        (request.group, request.session_timeout) = (group.to_owned(), session);
        let token = bench.ask(Request::Join(request));
        assert_eq!(bench.join_result(token).unwrap_err().error, error);
    }
    let token = bench.join("made-up");
    assert_eq!(bench.join_result(token).unwrap_err().error, GroupError::UnknownMemberId);
    let mut request = bench.join_request("");
    request.protocols[0].metadata = vec![0; 600 * 1_024].into();
    let token = bench.ask(Request::Join(request));
    let refused = bench.join_result(token).unwrap_err();
    assert!(matches!(refused.error, GroupError::InvalidRequest { .. }));
    assert_eq!(bench.view("g"), Err(GroupError::GroupIdNotFound), "nothing was made");
}

#[test]
fn a_client_with_a_long_name_is_a_client_all_the_same() {
    let mut bench = Bench::new();
    let mut request = bench.join_request("");
    request.client.id = "ä".repeat(2_000);
    let token = bench.ask(Request::Join(request.clone()));
    request.member_id = bench.joined(token).member_id;
    let token = bench.ask(Request::Join(request));
    assert!(bench.join_result(token).is_ok());
}

#[test]
fn a_group_takes_so_many_members() {
    let config = Config { max_members: 2, ..Bench::new().config };
    let mut bench = Bench::with(config);
    let members = bench.settle(2);
    let token = bench.join("");
    let refused = bench.join_result(token).unwrap_err();
    assert_eq!(refused.error, GroupError::GroupMaxSizeReached);
    // Those who are in may join again.
    let tokens = [0, 1].map(|index| bench.join(&members[index].member_id));
    for token in tokens {
        assert!(bench.join_result(token).is_ok());
    }
}

#[test]
fn a_group_takes_no_more_than_one_append_can_hold() {
    let mut bench = Bench::with(Config::default());
    let mut refused = 0;
    for _ in 0..6 {
        let mut request = bench.join_request("");
        request.protocols[0].metadata = vec![0; 500 * 1_024].into();
        let token = bench.ask(Request::Join(request));
        if bench.is_answered(token) {
            let error = bench.join_result(token).unwrap_err().error;
            assert_eq!(error, GroupError::GroupMaxSizeReached);
            refused += 1;
        }
    }
    assert_eq!(refused, 2);
    bench.advance(seconds(70));
    let largest = bench.log.iter().map(|r| r.value.as_ref().map_or(0, |v| v.len())).max();
    let largest = largest.unwrap() as u64;
    assert!(largest > 2_000_000 && largest < tidegate_group::limits::MAX_APPEND.get());
}
