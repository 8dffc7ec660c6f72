//! Static members of classic groups (KIP-345, KIP-814).

use tidegate_group::response::Joined;
use tidegate_group::{GroupError, Request, Token};

use crate::bench::{Bench, assignment, seconds};

fn join_as(bench: &mut Bench, instance: &str, member: &str) -> Token {
    let mut request = bench.join_request(member);
    request.instance_id = Some(instance.to_owned());
    bench.ask(Request::Join(request))
}

/// Two static members `i0` and `i1` with assignments, generation 2.
fn settle(bench: &mut Bench) -> Vec<Joined> {
    let first = join_as(bench, "i0", "");
    let first = bench.joined(first).member_id;
    let second = join_as(bench, "i1", "");
    let first = join_as(bench, "i0", &first);
    let members: Vec<_> = [first, second].map(|token| bench.joined(token)).into();
    let all: Vec<_> =
        members.iter().map(|m| (m.member_id.clone(), assignment(&m.member_id))).collect();
    for member in &members {
        let given = if member.member_id == member.leader { all.clone() } else { vec![] };
        bench.sync(&member.member_id, 2, given);
    }
    members
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_old_self() {
    let mut bench = Bench::new();
    let members = settle(&mut bench);
    let follower = members.iter().position(|m| m.member_id != m.leader).unwrap();
    let instance = format!("i{follower}");
    let old = members[follower].member_id.clone();
    let token = join_as(&mut bench, &instance, "");
    let back = bench.joined(token);
    assert_eq!((back.generation, back.skip_assignment), (2, false));
    assert_ne!(back.member_id, old);
    assert!(back.member_id.starts_with(&instance));
    let token = bench.sync(&back.member_id, 2, vec![]);
    assert_eq!(bench.synced(token).unwrap().assignment, assignment(&old), "what it had");
    let fenced = Err(GroupError::FencedInstanceId);
    assert_eq!(bench.heartbeat_of(&old, Some(&instance), 2), fenced);
    assert_eq!(bench.heartbeat(&members[1 - follower].member_id, 2), Ok(()));
    let mut commit = bench.commit_request(&old, 2, 5);
    commit.instance_id = Some(instance.clone());
    let token = bench.ask(Request::Commit(commit));
    assert_eq!(bench.committed(token), Err(GroupError::FencedInstanceId));
    assert_eq!(bench.leave(&[(&old, Some(&instance))]), [Err(GroupError::FencedInstanceId)]);
    let token = join_as(&mut bench, &instance, &old);
    assert_eq!(bench.join_result(token).unwrap_err().error, GroupError::FencedInstanceId);
    let token = bench.sync(&old, 2, vec![]);
    assert_eq!(bench.synced(token), Err(GroupError::UnknownMemberId));
    bench.restart();
    assert_eq!(bench.heartbeat_of(&old, Some(&instance), 2), fenced, "also after a restart");
    assert_eq!(bench.heartbeat_of(&back.member_id, Some(&instance), 2), Ok(()));
}

#[test]
fn a_static_leader_that_comes_back_leaves_the_assignments_alone() {
    let mut bench = Bench::new();
    let members = settle(&mut bench);
    let leader = members.iter().position(|m| m.member_id == m.leader).unwrap();
    let instance = format!("i{leader}");
    let token = join_as(&mut bench, &instance, "");
    let back = bench.joined(token);
    assert!(back.skip_assignment && back.leader == back.member_id);
    assert_eq!((back.generation, back.members.len()), (2, 2), "it may watch for new topics");

    // A client that does not know of that is told that another one leads.
    let mut request = bench.join_request("");
    (request.instance_id, request.can_skip_assignment) = (Some(instance), false);
    let token = bench.ask(Request::Join(request));
    let old = bench.joined(token);
    assert_eq!(old.leader, back.member_id);
    assert!(!old.skip_assignment && old.members.is_empty() && old.leader != old.member_id);
}

#[test]
fn a_static_member_that_offers_something_else_rebalances() {
    let mut bench = Bench::new();
    let members = settle(&mut bench);
    let mut request = bench.join_request("");
    request.instance_id = Some("i0".to_owned());
    let mut other = request.protocols[0].clone();
    other.name = "sticky".to_owned();
    request.protocols.insert(0, other);
    let token = bench.ask(Request::Join(request.clone()));
    // Both still agree on the same protocol.
    assert_eq!(bench.joined(token).generation, 2);
    assert_eq!(bench.heartbeat(&members[1].member_id, 2), Ok(()));
    let mut request = bench.join_request("");
    request.instance_id = Some("i1".to_owned());
    let mut sticky = request.protocols[0].clone();
    sticky.name = "sticky".to_owned();
    request.protocols.insert(0, sticky);
    let token = bench.ask(Request::Join(request));
    assert!(!bench.is_answered(token), "now both prefer another one");
}

#[test]
fn a_static_member_that_is_silent_keeps_its_place_until_its_session_ends() {
    let mut bench = Bench::new();
    let members = settle(&mut bench);
    for _ in 0..2 {
        bench.advance(seconds(4));
        assert_eq!(bench.heartbeat(&members[0].member_id, 2), Ok(()));
    }
    let token = join_as(&mut bench, "i1", "");
    assert_eq!(bench.joined(token).generation, 2, "back within its session");
    bench.advance(seconds(9));
    let _ = bench.heartbeat(&members[0].member_id, 2);
    bench.advance(seconds(2));
    let rebalance = Err(GroupError::RebalanceInProgress);
    assert_eq!(bench.heartbeat(&members[0].member_id, 2), rebalance);
}

#[test]
fn a_tool_takes_static_members_out_by_their_instance_ids() {
    let mut bench = Bench::new();
    settle(&mut bench);
    let left = bench.leave(&[("", Some("i0")), ("", Some("i1")), ("", Some("i2"))]);
    assert_eq!(left, [Ok(()), Ok(()), Err(GroupError::UnknownMemberId)]);
    let token = bench.join("");
    assert_eq!(bench.joined(token).generation, 4);
}

#[test]
fn a_static_member_that_comes_back_while_assignments_are_awaited_rebalances() {
    let mut bench = Bench::new();
    let first = join_as(&mut bench, "i0", "");
    let first = bench.joined(first);
    let waits = bench.sync("nobody", 1, vec![]);
    assert_eq!(bench.synced(waits), Err(GroupError::UnknownMemberId));
    let back = join_as(&mut bench, "i0", "");
    let back = bench.joined(back);
    assert_eq!(back.generation, 2);
    let token = bench.sync(&first.member_id, 1, vec![]);
    assert_eq!(bench.synced(token), Err(GroupError::UnknownMemberId));
    let token = bench.sync(&back.member_id, 2, vec![]);
    assert!(bench.synced(token).is_ok());
}
