//! Committed offsets.

use tidegate_group::request::{DeleteGroup, FetchOffsets};
use tidegate_group::{Config, GroupError, Request, Response};
use tidegate_types::{ByteSize, LeaderEpoch, PartitionId};

use crate::bench::{Bench, Disk, fetch_all, partition, topic};

#[test]
fn an_unknown_group_has_no_offsets_and_that_is_no_error() {
    let mut bench = Bench::new();
    assert_eq!(bench.offset("a", 0), None);
    assert_eq!(bench.fetch(fetch_all()), Ok(vec![]));
    assert_eq!(bench.view("g"), Err(GroupError::GroupIdNotFound));
}

#[test]
fn metadata_and_leader_epoch_come_back() {
    let mut bench = Bench::new();
    bench.commit("", -1, 42).unwrap();
    bench.restart();
    let all = bench.fetch(fetch_all()).unwrap();
    let (name, partitions) = &all[0];
    let (at, committed) = &partitions[0];
    let committed = committed.clone().unwrap().unwrap();
    assert_eq!((name.as_str(), *at), ("a", PartitionId(0)));
    assert_eq!(committed.metadata, "at 42");
    assert_eq!((committed.offset.0, committed.leader_epoch), (42, LeaderEpoch(3)));
    assert_eq!(committed.committed_at, bench.now.wall);
}

#[test]
fn metadata_that_is_too_long_is_refused_by_itself() {
    let mut bench = Bench::new();
    let mut request = bench.commit_request("", -1, 1);
    let mut long = partition(1, 1);
    long.metadata = Some("x".repeat(4_097));
    request.topics[0].1.push(long);
    request.topics[0].1[0].metadata = Some("x".repeat(4_096));
    let token = bench.ask(Request::Commit(request));
    let done = bench.committed(token).unwrap();
    assert_eq!(done[0].1[0].1, Ok(()));
    assert_eq!(done[0].1[1].1, Err(GroupError::OffsetMetadataTooLarge));
    assert_eq!((bench.offset("a", 0), bench.offset("a", 1)), (Some(1), None));
}

#[test]
fn a_commit_with_a_generation_needs_its_group() {
    let mut bench = Bench::new();
    assert_eq!(bench.commit("m", 3, 1), Err(GroupError::GroupIdNotFound));
    let mut request = bench.commit_request("m", 3, 1);
    request.knows_epochs = false;
    let token = bench.ask(Request::Commit(request));
    assert_eq!(bench.committed(token), Err(GroupError::IllegalGeneration));
    assert_eq!(bench.commit("", -1, 1), Ok(()));
    assert_eq!(bench.commit("m", 3, 1), Err(GroupError::UnknownMemberId), "it has no members");
}

#[test]
fn a_commit_is_seen_once_it_is_durable() {
    let mut bench = Bench::new();
    bench.commit("", -1, 5).unwrap();
    bench.disk = Disk::Stands;
    let request = bench.commit_request("", -1, 9);
    let token = bench.ask(Request::Commit(request));
    assert!(!bench.is_answered(token));
    assert_eq!(bench.offset("a", 0), Some(5));
    let asked = Some(vec![("a".to_owned(), vec![PartitionId(0)])]);
    let stable = FetchOffsets { require_stable: true, topics: asked, ..fetch_all() };
    let told = bench.fetch(stable.clone()).unwrap();
    assert_eq!(told[0].1[0].1, Err(GroupError::UnstableOffsetCommit));
    bench.end_appends();
    assert!(bench.committed(token).is_ok());
    assert_eq!(bench.offset("a", 0), Some(9));
    assert!(bench.fetch(stable).unwrap()[0].1[0].1.is_ok());
}

#[test]
fn a_commit_that_failed_is_not_seen() {
    let mut bench = Bench::new();
    bench.disk = Disk::Fails;
    assert_eq!(bench.commit("", -1, 9), Err(GroupError::CoordinatorNotAvailable));
    assert_eq!(bench.view("g"), Err(GroupError::GroupIdNotFound), "nothing is left of it");
    bench.disk = Disk::Works;
    bench.commit("", -1, 5).unwrap();
    bench.disk = Disk::Fails;
    assert_eq!(bench.commit("", -1, 9), Err(GroupError::CoordinatorNotAvailable));
    assert_eq!(bench.offset("a", 0), Some(5));
}

#[test]
fn offsets_of_topics_that_the_group_reads_are_not_deleted() {
    let mut bench = Bench::new();
    let members = bench.settle(1);
    let (member, generation) = (members[0].member_id.clone(), members[0].generation);
    let mut request = bench.commit_request(&member, generation, 1);
    request.topics.push(("b".to_owned(), vec![partition(0, 2)]));
    bench.ask(Request::Commit(request));
    let subscribed = Ok(Err(GroupError::GroupSubscribedToTopic));
    assert_eq!(bench.delete_offsets("a", 0), subscribed);
    assert_eq!(bench.delete_offsets("b", 0), Ok(Ok(())));
    assert_eq!((bench.offset("a", 0), bench.offset("b", 0)), (Some(1), None));
    bench.leave(&[(&member, None)]);
    assert_eq!(bench.delete_offsets("a", 0), Ok(Ok(())));
    bench.restart();
    assert_eq!(bench.offset("a", 0), None);

    bench.beat(bench.first_beat("m")).unwrap();
    assert_eq!(bench.delete_offsets("a", 0), subscribed);
    assert_eq!(bench.delete_offsets("b", 0), Ok(Ok(())));
}

#[test]
fn offsets_of_a_group_of_another_protocol_are_deleted_when_it_is_empty() {
    let mut bench = Bench::new();
    let mut request = bench.join_request("");
    request.protocol_type = "connect".to_owned();
    bench.ask(Request::Join(request));
    assert_eq!(bench.delete_offsets("a", 0), Err(GroupError::NonEmptyGroup));
}

#[test]
fn a_group_is_deleted_when_it_is_empty() {
    let mut bench = Bench::new();
    let delete = |bench: &mut Bench| {
        let token = bench.ask(Request::DeleteGroup(DeleteGroup { group: "g".to_owned() }));
        let Response::DeleteGroup(deleted) = bench.answer(token) else { panic!() };
        deleted
    };
    assert_eq!(delete(&mut bench), Err(GroupError::GroupIdNotFound));
    let members = bench.settle(1);
    bench.commit(&members[0].member_id, members[0].generation, 3).unwrap();
    assert_eq!(delete(&mut bench), Err(GroupError::NonEmptyGroup));
    bench.leave(&[(&members[0].member_id, None)]);
    bench.disk = Disk::Fails;
    assert_eq!(delete(&mut bench), Err(GroupError::CoordinatorNotAvailable));
    assert_eq!(bench.offset("a", 0), Some(3), "it is still there");
    bench.disk = Disk::Works;
    assert_eq!(delete(&mut bench), Ok(()));
    assert_eq!((bench.coordinator.groups(), bench.coordinator.memory()), (0, 0));
    bench.restart();
    assert_eq!(bench.coordinator.groups(), 0);
}

#[test]
fn offsets_go_with_their_topic_and_do_not_pass_to_the_next_of_its_name() {
    let mut bench = Bench::new();
    bench.commit("", -1, 5).unwrap();
    // The node stops between the deletion of the topic and that of its offsets.
    bench.make_topic("a", 7, 4);
    assert_eq!(bench.offset("a", 0), None, "not of this topic");
    bench.restart();
    assert_eq!(bench.offset("a", 0), None);
    bench.commit("", -1, 1).unwrap();
    bench.coordinator.handle_topic_deleted(bench.now, "a", topic(1));
    bench.run();
    assert_eq!(bench.offset("a", 0), Some(1), "a late word of the old one");
    bench.coordinator.handle_topic_deleted(bench.now, "a", topic(7));
    bench.run();
    assert_eq!(bench.offset("a", 0), None);
    assert_eq!(bench.coordinator.groups(), 0);
}

#[test]
fn a_commit_under_way_goes_with_its_topic() {
    let mut bench = Bench::new();
    bench.disk = Disk::Stands;
    let request = bench.commit_request("", -1, 9);
    let token = bench.ask(Request::Commit(request));
    bench.coordinator.handle_topic_deleted(bench.now, "a", topic(1));
    bench.run();
    bench.end_appends();
    assert!(bench.committed(token).is_ok());
    assert_eq!(bench.offset("a", 0), None);
}

#[test]
fn more_than_fits_one_append_is_refused_whole() {
    let mut bench = Bench::new();
    let mut request = bench.commit_request("", -1, 1);
    request.topics[0].1 = (0..600).map(|n| partition(n, 1)).collect();
    for partition in &mut request.topics[0].1 {
        partition.metadata = Some("x".repeat(4_000));
    }
    let token = bench.ask(Request::Commit(request.clone()));
    let done = bench.committed(token).unwrap();
    let refused = Err(GroupError::InvalidCommitOffsetSize);
    assert!(done[0].1.iter().all(|(_, taken)| *taken == refused));
    assert_eq!(bench.offset("a", 0), None);
    // What takes several appends to delete is deleted all the same.
    for chunk in request.topics[0].1.clone().chunks(300) {
        let mut part = request.clone();
        part.topics[0].1 = chunk.to_vec();
        let token = bench.ask(Request::Commit(part));
        assert!(bench.committed(token).unwrap()[0].1.iter().all(|(_, taken)| taken.is_ok()));
    }
    assert_eq!(bench.offset("a", 599), Some(1));
}

#[test]
fn without_memory_nothing_new_is_taken_and_what_is_there_goes_on() {
    let config = Config { max_memory: ByteSize::kib(2), ..Bench::new().config };
    let mut bench = Bench::with(config);
    let members = bench.settle(1);
    let (member, generation) = (members[0].member_id.clone(), members[0].generation);
    bench.commit(&member, generation, 1).unwrap();
    for n in 1..40 {
        let mut request = bench.commit_request(&member, generation, 1);
        request.topics[0].1 = vec![partition(n, 1)];
        bench.ask(Request::Commit(request));
    }
    assert!(bench.coordinator.memory() < 4_096);
    assert_eq!(bench.offset("a", 39), None);
    bench.commit(&member, generation, 2).unwrap();
    assert_eq!(bench.offset("a", 0), Some(2));
    let token = bench.join("");
    let refused = bench.join_result(token).unwrap_err();
    assert_eq!(refused.error, GroupError::GroupMaxSizeReached);
}
