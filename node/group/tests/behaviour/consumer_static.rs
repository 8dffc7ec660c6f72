//! Static members of consumer groups.

use tidegate_group::GroupError;
use tidegate_group::request::ConsumerHeartbeat;
use tidegate_group::response::ConsumerHeartbeatReply;

use crate::bench::{Bench, of, seconds};

fn request(bench: &Bench, member: &str, epoch: i32) -> ConsumerHeartbeat {
    let first = bench.first_beat(member);
    let next = bench.next_beat(member, epoch);
    let request = if epoch == 0 { first } else { next };
    ConsumerHeartbeat { instance_id: Some("i".to_owned()), ..request }
}

fn beat(bench: &mut Bench, member: &str, epoch: i32) -> Result<ConsumerHeartbeatReply, GroupError> {
    let request = request(bench, member, epoch);
    bench.beat(request)
}

#[test]
fn a_static_member_that_leaves_for_a_while_finds_its_partitions_again() {
    let mut bench = Bench::new();
    beat(&mut bench, "old", 0).unwrap();
    bench.beat(bench.first_beat("other")).unwrap();
    let mut owned = request(&bench, "old", 1);
    owned.owned = Some(of(1, &[0, 1]));
    assert_eq!(bench.beat(owned).unwrap().member_epoch, 2);
    let left = beat(&mut bench, "old", -2).unwrap();
    assert_eq!(left.member_epoch, -2);
    let reply = bench.beat(bench.next_beat("other", 2)).unwrap();
    assert_eq!(reply.assignment, Some(of(1, &[2, 3])), "its own are kept for it");
    assert_eq!(bench.commit("old", 2, 1), Err(GroupError::StaleMemberEpoch));
    bench.restart();
    let back = beat(&mut bench, "new", 0).unwrap();
    assert_eq!(back.assignment, Some(of(1, &[0, 1])));
    assert_eq!(beat(&mut bench, "old", 2), Err(GroupError::FencedInstanceId));
    assert_eq!(bench.commit("old", 2, 1), Err(GroupError::UnknownMemberId));
    assert_eq!(bench.commit("new", back.member_epoch, 1), Ok(()));
}

#[test]
fn an_instance_id_in_use_is_not_taken_over() {
    let mut bench = Bench::new();
    let first = beat(&mut bench, "old", 0).unwrap();
    assert_eq!(beat(&mut bench, "new", 0), Err(GroupError::UnreleasedInstanceId));
    assert_eq!(beat(&mut bench, "new", 1), Err(GroupError::FencedInstanceId));
    assert_eq!(beat(&mut bench, "new", -1), Err(GroupError::FencedInstanceId));
    assert_eq!(beat(&mut bench, "old", 0).unwrap(), first, "its own join, sent twice");
    bench.beat(bench.first_beat("other")).unwrap();
    let mut owned = request(&bench, "old", 1);
    owned.owned = Some(of(1, &[0, 1]));
    assert_eq!(bench.beat(owned).unwrap().member_epoch, 2);
    let again = beat(&mut bench, "old", 0).unwrap();
    assert_eq!((again.member_epoch, again.assignment), (2, Some(of(1, &[0, 1]))));
    assert_eq!(beat(&mut bench, "new", 0), Err(GroupError::UnreleasedInstanceId));
    let mut unknown = request(&bench, "old", 1);
    unknown.instance_id = Some("j".to_owned());
    assert_eq!(bench.beat(unknown), Err(GroupError::UnknownMemberId));
}

#[test]
fn a_static_member_that_does_not_come_back_in_time_is_out() {
    let mut bench = Bench::new();
    beat(&mut bench, "old", 0).unwrap();
    beat(&mut bench, "old", -2).unwrap();
    bench.advance(seconds(46));
    let reply = beat(&mut bench, "new", 0).unwrap();
    assert_eq!((reply.member_epoch, reply.assignment), (3, Some(of(1, &[0, 1, 2, 3]))));
}

#[test]
fn a_static_member_that_comes_back_under_the_same_id_goes_on() {
    let mut bench = Bench::new();
    beat(&mut bench, "old", 0).unwrap();
    beat(&mut bench, "old", -2).unwrap();
    let reply = beat(&mut bench, "old", 0).unwrap();
    assert_eq!((reply.member_epoch, reply.assignment), (1, Some(of(1, &[0, 1, 2, 3]))));
}
