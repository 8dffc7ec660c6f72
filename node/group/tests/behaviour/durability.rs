//! What is on record when, and what a failed append does.

use tidegate_group::request::{Heartbeat, Leave, LeavingMember};
use tidegate_group::response::GroupDetail;
use tidegate_group::{Appended, Coordinator, GroupError, Request, Response, Token};

use crate::bench::{Bench, Disk, assignment, of, seconds};

#[test]
fn nothing_is_answered_before_everything_was_replayed() {
    let bench = Bench::new();
    let mut coordinator = Coordinator::new(bench.config.clone());
    let heartbeat = Heartbeat {
        group: "g".to_owned(),
        generation: 1,
        member_id: "m".to_owned(),
        instance_id: None,
    };
    let request = Request::Heartbeat(heartbeat);
    coordinator.handle_request(bench.now, Token(1), request, &bench.topics);
    let Some(tidegate_group::Effect::Reply { response, .. }) = coordinator.poll_effect() else {
        panic!("no answer");
    };
    assert_eq!(response, Response::Heartbeat(Err(GroupError::CoordinatorLoadInProgress)));
}

#[test]
fn a_generation_is_told_once_it_is_on_record() {
    let mut bench = Bench::new();
    bench.disk = Disk::Stands;
    let token = bench.join("");
    assert!(!bench.is_answered(token));
    bench.end_appends();
    let first = bench.joined(token);
    let token = bench.sync(&first.member_id, 1, vec![(first.member_id.clone(), "x".into())]);
    assert!(!bench.is_answered(token));
    bench.end_appends();
    assert_eq!(bench.synced(token).unwrap().assignment, "x");
}

#[test]
fn a_restart_in_the_middle_of_a_rebalance_goes_on_where_it_was() {
    let mut bench = Bench::new();
    let members = bench.assemble(2);
    bench.restart();
    let leader = members.iter().find(|m| m.member_id == m.leader).unwrap().member_id.clone();
    let other = members.iter().find(|m| m.member_id != m.leader).unwrap().member_id.clone();
    let waits = bench.sync(&other, 2, vec![]);
    let leads = bench.sync(&leader, 2, vec![(other.clone(), assignment(&other))]);
    assert_eq!(bench.synced(waits).unwrap().assignment, assignment(&other));
    assert!(bench.synced(leads).is_ok());
    // Members that were loaded have a whole session.
    bench.restart();
    bench.advance(seconds(9));
    assert_eq!(bench.heartbeat(&other, 2), Ok(()));
    bench.advance(seconds(2));
    assert_eq!(bench.heartbeat(&leader, 2), Err(GroupError::UnknownMemberId));
}

#[test]
fn answers_to_what_could_not_be_stored_are_refusals_and_it_is_written_with_the_next_change() {
    let mut bench = Bench::new();
    let members = bench.assemble(1);
    let (id, generation) = (members[0].member_id.clone(), members[0].generation);
    bench.disk = Disk::Fails;
    let given = vec![(id.clone(), assignment(&id))];
    let token = bench.sync(&id, generation, given);
    assert_eq!(bench.synced(token), Err(GroupError::CoordinatorNotAvailable));
    let error = bench.heartbeat(&id, generation);
    assert_eq!(error, Err(GroupError::CoordinatorNotAvailable), "it tries again and fails");
    bench.disk = Disk::Works;
    assert_eq!(bench.heartbeat(&id, generation), Ok(()));
    bench.restart();
    let token = bench.sync(&id, generation, vec![]);
    assert_eq!(bench.synced(token).unwrap().assignment, assignment(&id));
}

#[test]
fn a_heartbeat_waits_for_what_it_rests_on() {
    let mut bench = Bench::new();
    let members = bench.settle(2);
    let (first, second) = (members[0].member_id.clone(), members[1].member_id.clone());
    bench.disk = Disk::Stands;
    let tokens = [bench.join(&first), bench.join(&second)];
    let members = vec![LeavingMember { member_id: "x".to_owned(), instance_id: None }];
    let leave = bench.ask(Request::Leave(Leave { group: "g".to_owned(), members }));
    assert!(!bench.is_answered(leave) && !bench.is_answered(tokens[0]));
    bench.end_appends();
    assert!(bench.is_answered(leave) && bench.is_answered(tokens[0]));
}

#[test]
fn a_consumer_group_is_taken_up_with_its_members_where_they_were() {
    let mut bench = Bench::new();
    bench.beat(bench.first_beat("m1")).unwrap();
    bench.beat(bench.first_beat("m2")).unwrap();
    let mut request = bench.next_beat("m1", 1);
    request.owned = Some(of(1, &[0, 1, 2, 3]));
    bench.beat(request).unwrap();
    bench.restart();
    // The first was told to give up two of them and has not: nobody else is given them.
    let reply = bench.beat(bench.next_beat("m2", 2)).unwrap();
    assert_eq!(reply.member_epoch, 3, "targets are made anew, for another epoch");
    assert_eq!(reply.assignment, None);
    assert_eq!(bench.commit("m1", 1, 5), Ok(()));
    let mut request = bench.next_beat("m1", 1);
    request.owned = Some(of(1, &[0, 1]));
    assert_eq!(bench.beat(request).unwrap().member_epoch, 3);
    let reply = bench.beat(bench.next_beat("m2", 3)).unwrap();
    assert_eq!(reply.assignment, Some(of(1, &[2, 3])));
    bench.restart();
    for (member, owned) in [("m1", of(1, &[0, 1])), ("m2", of(1, &[2, 3]))] {
        let reply = bench.beat(bench.next_beat(member, 3)).unwrap();
        assert_eq!((reply.member_epoch, reply.assignment), (4, None));
        let GroupDetail::Consumer(group) = bench.view("g").unwrap().detail else { panic!() };
        let described = group.members.iter().find(|m| m.member_id == member).unwrap();
        assert_eq!((&described.assignment, &described.target), (&owned, &owned));
    }
}

#[test]
fn a_consumer_is_given_a_partition_once_that_is_on_record() {
    let mut bench = Bench::new();
    bench.disk = Disk::Fails;
    let error = bench.beat(bench.first_beat("m1"));
    assert_eq!(error, Err(GroupError::CoordinatorNotAvailable));
    bench.disk = Disk::Works;
    let reply = bench.beat(bench.first_beat("m1")).unwrap();
    assert_eq!(reply.assignment, Some(of(1, &[0, 1, 2, 3])));
    bench.restart();
    assert!(bench.beat(bench.next_beat("m1", reply.member_epoch)).is_ok());
}

#[test]
fn a_later_append_does_not_make_up_for_one_that_failed() {
    let mut bench = Bench::new();
    bench.disk = Disk::Stands;
    let first = bench.ask(Request::ConsumerHeartbeat(bench.first_beat("m1")));
    let second = bench.ask(Request::ConsumerHeartbeat(bench.first_beat("m2")));
    let appends: Vec<_> = bench.appends.drain(..).collect();
    assert_eq!(appends.len(), 2);
    bench.coordinator.handle_appended(appends[0].0, Appended::Failed);
    bench.log.extend(appends[1].1.clone());
    bench.coordinator.handle_appended(appends[1].0, Appended::Durable);
    bench.disk = Disk::Works;
    bench.run();
    assert_eq!(bench.beaten(first), Err(GroupError::CoordinatorNotAvailable));
    // What the second was told rests on what the first was told.
    assert_eq!(bench.beaten(second), Err(GroupError::CoordinatorNotAvailable));
    // What failed is written with the next word of anyone.
    assert_eq!(bench.beat(bench.first_beat("m2")).unwrap().member_epoch, 2);
    bench.restart();
    let reply = bench.beat(bench.first_beat("m1")).unwrap();
    assert!(reply.assignment.is_some());
    let GroupDetail::Consumer(group) = bench.view("g").unwrap().detail else { panic!() };
    assert_eq!(group.members.len(), 2);
}

#[test]
fn a_partition_is_not_told_to_two_though_its_giving_up_was_not_stored() {
    let mut bench = Bench::new();
    bench.beat(bench.first_beat("m1")).unwrap();
    bench.disk = Disk::Stands;
    // The first leaves, and the second is given all that it had; only the latter is stored.
    let left = bench.ask(Request::ConsumerHeartbeat(bench.next_beat("m1", -1)));
    let given = bench.ask(Request::ConsumerHeartbeat(bench.first_beat("m2")));
    let appends: Vec<_> = bench.appends.drain(..).collect();
    bench.coordinator.handle_appended(appends[0].0, Appended::Failed);
    bench.log.extend(appends[1].1.clone());
    bench.coordinator.handle_appended(appends[1].0, Appended::Durable);
    bench.disk = Disk::Works;
    bench.run();
    assert_eq!(bench.beaten(left), Err(GroupError::CoordinatorNotAvailable));
    assert_eq!(bench.beaten(given), Err(GroupError::CoordinatorNotAvailable));
    bench.restart();
    // As it is on record the first still has them, and it goes on.
    let reply = bench.beat(bench.next_beat("m1", 1)).unwrap();
    let GroupDetail::Consumer(group) = bench.view("g").unwrap().detail else { panic!() };
    assert_eq!(group.members.len(), 1);
    assert_eq!(group.members[0].assignment, of(1, &[0, 1, 2, 3]));
    assert_eq!(bench.beat(bench.next_beat("m2", 2)), Err(GroupError::UnknownMemberId));
    bench.restart();
    assert!(bench.beat(bench.next_beat("m1", reply.member_epoch)).is_ok());
}

#[test]
fn records_that_are_not_ours_are_refused_and_do_no_harm() {
    let mut bench = Bench::new();
    bench.settle(2);
    bench
        .beat(tidegate_group::request::ConsumerHeartbeat {
            group: "h".to_owned(),
            ..bench.first_beat("m1")
        })
        .unwrap();
    bench.commit("", -1, 1).unwrap_err();
    let mut coordinator = Coordinator::new(bench.config.clone());
    for record in bench.log.clone() {
        let value = record.value.as_deref().unwrap_or_default();
        for cut in 0..record.key.len() {
            assert!(coordinator.replay(&record.key[..cut], record.value.as_deref()).is_err());
        }
        for cut in 0..value.len() {
            assert!(coordinator.replay(&record.key, Some(&value[..cut])).is_err());
        }
        for at in 0..value.len() {
            for bit in 0..8 {
                let mut bytes = value.to_vec();
                bytes[at] ^= 1 << bit;
                // Some of these are records that could be; none may do harm.
                let _ = coordinator.replay(&record.key, Some(&bytes));
            }
        }
        let long = [value, b"x"].concat();
        assert!(coordinator.replay(&record.key, Some(&long)).is_err());
    }
    bench.coordinator = coordinator;
    bench.coordinator.handle_loaded(bench.now, &bench.topics);
    bench.run();
    bench.advance(seconds(4_000));
    let token = bench.join("");
    bench.advance(seconds(100));
    assert!(bench.is_answered(token));
}
