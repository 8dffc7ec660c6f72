use std::time::Duration;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{FetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tidegate_types::TopicId;

use super::*;
use crate::error_code::ErrorCode;
use crate::fetch_response::{EpochEnd, FetchAnswer, PartitionAnswer, TopicKey};

const VERSION: i16 = 12;
const SECOND: Duration = Duration::from_secs(1);

fn sessions(sessions: usize, partitions: usize) -> FetchSessions {
    FetchSessions::new(SessionLimits { sessions, partitions, evict_after: 120 * SECOND })
}

/// A request of topic `t` with these partitions and offsets.
fn request(id: i32, epoch: i32, partitions: &[(i32, i64)]) -> FetchRequest {
    let partitions = partitions.iter().map(|(partition, offset)| {
        FetchPartition::default()
            .with_partition(*partition)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(1_000)
    });
    let topic = FetchTopic::default()
        .with_topic(TopicName(StrBytes::from_static_str("t")))
        .with_partitions(partitions.collect());
    let topics = if topic.partitions.is_empty() { vec![] } else { vec![topic] };
    FetchRequest::default().with_session_id(id).with_session_epoch(epoch).with_topics(topics)
}

fn forgetting(request: FetchRequest, partitions: &[i32]) -> FetchRequest {
    let topic = ForgottenTopic::default()
        .with_topic(TopicName(StrBytes::from_static_str("t")))
        .with_partitions(partitions.to_vec());
    request.with_forgotten_topics_data(vec![topic])
}

/// What is found in a partition: high watermark, log start, bytes of records.
fn found(target: &FetchTarget, high_watermark: i64, records: usize) -> PartitionAnswer<usize> {
    let mut answer = PartitionAnswer::new(target.partition, records);
    answer.high_watermark = high_watermark;
    answer.log_start_offset = 0;
    answer
}

fn fetch_with(
    sessions: &mut FetchSessions,
    now: Duration,
    request: &FetchRequest,
    find: impl Fn(&FetchTarget) -> PartitionAnswer<usize>,
) -> FetchAnswer<usize> {
    let fetch = sessions.handle_request(now, VERSION, request);
    let results: Vec<_> = fetch.targets().iter().map(find).collect();
    sessions.handle_results(now, 100, fetch, results)
}

/// A fetch that finds each partition with high watermark 10 and no records.
fn fetch(sessions: &mut FetchSessions, request: &FetchRequest) -> FetchAnswer<usize> {
    fetch_with(sessions, SECOND, request, |target| found(target, 10, 0))
}

fn told(answer: &FetchAnswer<usize>) -> Vec<i32> {
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.partition).collect()
}

fn order(sessions: &mut FetchSessions, id: i32, epoch: i32) -> Vec<i32> {
    let fetch = sessions.handle_request(SECOND, VERSION, &request(id, epoch, &[]));
    fetch.targets().iter().map(|target| target.partition).collect()
}

#[test]
fn a_session_begins_with_everything_and_goes_on_with_news() {
    let mut sessions = sessions(10, 100);
    let first = fetch(&mut sessions, &request(0, 0, &[(0, 5), (1, 6)]));
    assert_eq!((first.error, first.session_id), (ErrorCode::None, 100));
    assert_eq!(told(&first), [0, 1]);
    let next = request(100, 1, &[]);
    let nothing = fetch(&mut sessions, &next);
    assert_eq!((nothing.error, nothing.session_id), (ErrorCode::None, 100));
    assert_eq!(told(&nothing), [0; 0]);
    let news = fetch_with(&mut sessions, SECOND, &request(100, 2, &[]), |target| {
        found(target, if target.partition == 1 { 11 } else { 10 }, 0)
    });
    assert_eq!(told(&news), [1]);
    // It was told, so it is no news any more; the other one's is.
    let news =
        fetch_with(&mut sessions, SECOND, &request(100, 3, &[]), |target| found(target, 11, 0));
    assert_eq!(told(&news), [0]);
}

#[test]
fn a_request_changes_what_it_names_and_only_that() {
    let mut sessions = sessions(10, 100);
    fetch(&mut sessions, &request(0, 0, &[(0, 5), (1, 6), (2, 7)]));
    let changed = forgetting(request(100, 1, &[(1, 66), (3, 8), (3, 9)]), &[2, 77]);
    let fetch = sessions.handle_request(SECOND, VERSION, &changed);
    assert!(fetch.is_incremental());
    let targets: Vec<_> =
        fetch.targets().iter().map(|t| (t.partition, t.position.fetch_offset)).collect();
    assert_eq!(targets, [(0, 5), (1, 66), (3, 9)]);
    assert_eq!(sessions.partitions(), 3);
    // The new one is told of although nothing was found in it.
    let results: Vec<_> = fetch.targets().iter().map(|target| found(target, 10, 0)).collect();
    assert_eq!(told(&sessions.handle_results(SECOND, 1, fetch, results)), [3]);
}

#[test]
fn every_kind_of_news_is_told() {
    let mut sessions = sessions(10, 100);
    fetch(&mut sessions, &request(0, 0, &[(0, 0), (1, 0)]));
    let changes: [fn(&mut PartitionAnswer<usize>); 6] = [
        |answer| answer.records = 1,
        |answer| answer.high_watermark = 12,
        |answer| answer.log_start_offset = 3,
        |answer| answer.error = ErrorCode::KafkaStorageError,
        |answer| answer.preferred_read_replica = 4,
        |answer| answer.diverging_epoch = Some(EpochEnd { epoch: 1, end_offset: 2 }),
    ];
    let mut epoch = 0;
    for change in changes {
        epoch += 1;
        let news = fetch_with(&mut sessions, SECOND, &request(100, epoch, &[]), |target| {
            let mut answer = found(target, 10, 0);
            if target.partition == 1 {
                change(&mut answer);
            }
            answer
        });
        assert_eq!(told(&news), [1], "change {epoch}");
        // Back to how it was, which is news too where the client keeps what it was told.
        epoch += 1;
        let back = fetch(&mut sessions, &request(100, epoch, &[]));
        let kept = matches!(epoch / 2, 2..=4);
        assert_eq!(told(&back), if kept { vec![1] } else { vec![] }, "change {epoch}");
    }
}

#[test]
fn whose_records_were_sent_waits_for_the_others() {
    let mut sessions = sessions(10, 100);
    fetch(&mut sessions, &request(0, 0, &[(0, 0), (1, 0), (2, 0)]));
    // News without records does not move a partition.
    let answer = fetch_with(&mut sessions, SECOND, &request(100, 1, &[]), |target| {
        found(target, 10 + i64::from(target.partition == 0), 0)
    });
    assert_eq!(told(&answer), [0]);
    assert_eq!(order(&mut sessions, 100, 2), [0, 1, 2]);
    let answer = fetch_with(&mut sessions, SECOND, &request(100, 3, &[]), |target| {
        found(
            target,
            if target.partition == 0 { 11 } else { 10 },
            usize::from(target.partition == 0) * 9,
        )
    });
    assert_eq!(told(&answer), [0]);
    assert_eq!(order(&mut sessions, 100, 4), [1, 2, 0]);
    let answer = fetch_with(&mut sessions, SECOND, &request(100, 5, &[(0, 9)]), |target| {
        let high_watermark = if target.partition == 0 { 11 } else { 10 };
        found(target, high_watermark, usize::from(target.partition == 2) * 9)
    });
    assert_eq!(told(&answer), [2]);
    assert_eq!(order(&mut sessions, 100, 6), [1, 0, 2]);
}

#[test]
fn a_wrong_session_epoch_or_naming_is_refused_and_changes_nothing() {
    let mut sessions = sessions(10, 100);
    fetch(&mut sessions, &request(0, 0, &[(0, 0)]));
    let refused = |sessions: &mut FetchSessions, version, request: &FetchRequest| {
        let fetch = sessions.handle_request(SECOND, version, request);
        assert!(fetch.targets().is_empty());
        let error = fetch.refusal().unwrap();
        let answer = sessions.handle_results::<usize>(SECOND, 1, fetch, []);
        assert_eq!((answer.error, answer.session_id, answer.topics.len()), (error, 0, 0));
        error
    };
    let change = request(99, 1, &[(7, 7)]);
    assert_eq!(refused(&mut sessions, 12, &change), ErrorCode::FetchSessionIdNotFound);
    assert_eq!(refused(&mut sessions, 12, &request(0, 1, &[])), ErrorCode::FetchSessionIdNotFound);
    for epoch in [2, i32::MAX, -2, i32::MIN] {
        let change = request(100, epoch, &[(7, 7)]);
        assert_eq!(refused(&mut sessions, 12, &change), ErrorCode::InvalidFetchSessionEpoch);
    }
    let change = request(100, 1, &[(7, 7)]);
    assert_eq!(refused(&mut sessions, 13, &change), ErrorCode::FetchSessionTopicIdError);
    assert_eq!(order(&mut sessions, 100, 1), [0], "it is as it was");
    assert_eq!(
        refused(&mut sessions, 12, &request(100, 1, &[])),
        ErrorCode::InvalidFetchSessionEpoch
    );
}

#[test]
fn topics_go_by_id_from_version_13() {
    let mut sessions = sessions(10, 100);
    let id = TopicId::random();
    let topic = FetchTopic::default()
        .with_topic_id(id.0)
        .with_partitions(vec![FetchPartition::default().with_partition(4)]);
    let all = FetchRequest::default()
        .with_session_epoch(0)
        .with_topics(vec![topic.clone(), topic.clone()]);
    let fetch = sessions.handle_request(SECOND, 13, &all);
    assert_eq!(fetch.targets().len(), 1, "named twice is there once");
    assert_eq!(fetch.targets()[0].topic, TopicKey::Id(id));
    let results: Vec<_> = fetch.targets().iter().map(|target| found(target, 1, 0)).collect();
    let answer = sessions.handle_results(SECOND, 8, fetch, results);
    assert_eq!(answer.topics[0].topic, TopicKey::Id(id));
    let forget = ForgottenTopic::default().with_topic_id(id.0).with_partitions(vec![4]);
    let last = FetchRequest::default()
        .with_session_id(8)
        .with_session_epoch(1)
        .with_forgotten_topics_data(vec![forget]);
    sessions.handle_request(SECOND, 13, &last);
    assert!(sessions.is_empty(), "a session without partitions ends");
}

#[test]
fn a_client_that_names_everything_gives_its_session_up() {
    let mut sessions = sessions(10, 100);
    fetch(&mut sessions, &request(0, 0, &[(0, 0)]));
    // Again from the start: another session in place of the first.
    let again = fetch(&mut sessions, &request(100, 0, &[(0, 0), (1, 0)]));
    assert_eq!((again.session_id, sessions.len(), sessions.partitions()), (100, 1, 2));
    // And without one.
    let none = fetch(&mut sessions, &request(100, -1, &[(0, 0)]));
    assert_eq!((none.session_id, sessions.len(), sessions.partitions()), (0, 0, 0));
    assert_eq!(told(&none), [0]);
    // Before version 7 there are none: the codec reads that as the final epoch.
    let old = FetchRequest::default();
    let fetch = sessions.handle_request(SECOND, 6, &old);
    assert_eq!((fetch.refusal(), fetch.is_incremental()), (None, false));
    assert_eq!(sessions.handle_results::<usize>(SECOND, 3, fetch, []).session_id, 0);
    assert!(sessions.is_empty());
}

#[test]
fn a_session_that_moved_on_or_went_away_meanwhile_tells_nothing() {
    let mut sessions = sessions(10, 100);
    fetch(&mut sessions, &request(0, 0, &[(0, 0)]));
    let slow = sessions.handle_request(SECOND, VERSION, &request(100, 1, &[]));
    let fast = sessions.handle_request(SECOND, VERSION, &request(100, 2, &[]));
    let results: Vec<_> = slow.targets().iter().map(|target| found(target, 20, 1)).collect();
    let answer = sessions.handle_results(SECOND, 1, slow, results.clone());
    assert_eq!((answer.error, answer.topics.len()), (ErrorCode::InvalidFetchSessionEpoch, 0));
    fetch_with(&mut sessions, SECOND, &request(100, -1, &[]), |target| found(target, 1, 1));
    let answer = sessions.handle_results(SECOND, 1, fast, results);
    assert_eq!((answer.error, answer.topics.len()), (ErrorCode::FetchSessionIdNotFound, 0));
}

#[test]
fn epochs_go_round_without_the_first() {
    assert_eq!(session::next_epoch(0), 1);
    assert_eq!(session::next_epoch(i32::MAX), 1);
    assert_eq!(session::next_epoch(-1), -1);
}

#[test]
fn ids_are_positive_and_never_two_of_a_kind() {
    let mut sessions = sessions(10, 100);
    let mut begin = |random| {
        let fetch = sessions.handle_request(SECOND, VERSION, &request(0, 0, &[(0, 0)]));
        let results = [found(&fetch.targets()[0], 1, 0)];
        sessions.handle_results(SECOND, random, fetch, results).session_id
    };
    let ids = [0, 1, u32::MAX, 0x7fff_ffff, 0x8000_0000].map(&mut begin);
    assert_eq!(ids, [1, 2, i32::MAX, 3, 4]);
}

/// A session of so many partitions that begins at this second.
fn begin(sessions: &mut FetchSessions, second: u32, partitions: i32, random: u32) -> i32 {
    let partitions: Vec<_> = (0..partitions).map(|partition| (partition, 0)).collect();
    let now = second * SECOND;
    let fetch = sessions.handle_request(now, VERSION, &request(0, 0, &partitions));
    let results: Vec<_> = fetch.targets().iter().map(|target| found(target, 1, 0)).collect();
    sessions.handle_results(now, random, fetch, results).session_id
}

fn go_on(sessions: &mut FetchSessions, second: u32, id: i32, epoch: i32) -> bool {
    sessions.handle_request(second * SECOND, VERSION, &request(id, epoch, &[])).refusal().is_none()
}

#[test]
fn a_stale_session_makes_room_and_one_in_use_does_not() {
    let mut sessions = sessions(2, 100);
    assert_eq!(begin(&mut sessions, 0, 3, 11), 11);
    assert_eq!(begin(&mut sessions, 0, 3, 12), 12);
    assert_eq!(begin(&mut sessions, 120, 3, 13), 0, "both are in use");
    assert!(go_on(&mut sessions, 60, 11, 1));
    // The second was used 121 s ago, the first 61 s.
    assert_eq!(begin(&mut sessions, 121, 3, 13), 13);
    assert!(go_on(&mut sessions, 121, 11, 2));
    assert!(!go_on(&mut sessions, 121, 12, 1));
    assert_eq!((sessions.len(), sessions.evictions()), (2, 1));
}

#[test]
fn a_larger_session_takes_the_place_of_a_smaller_one_that_is_not_new() {
    let mut sessions = sessions(2, 100);
    begin(&mut sessions, 0, 5, 11);
    begin(&mut sessions, 0, 4, 12);
    assert_eq!(begin(&mut sessions, 100, 50, 13), 0, "both are new");
    assert!(go_on(&mut sessions, 121, 11, 1) && go_on(&mut sessions, 121, 12, 1));
    assert_eq!(begin(&mut sessions, 122, 4, 13), 0, "no larger than the smallest");
    assert_eq!(begin(&mut sessions, 122, 5, 13), 13);
    assert!(!go_on(&mut sessions, 123, 12, 2), "the smallest had to go");
    assert!(go_on(&mut sessions, 123, 11, 2));
}

#[test]
fn partitions_are_bounded_over_all_sessions() {
    let mut sessions = sessions(10, 100);
    assert_eq!(begin(&mut sessions, 0, 101, 11), 0);
    assert_eq!(begin(&mut sessions, 0, 0, 11), 0, "nothing to keep");
    assert_eq!(begin(&mut sessions, 0, 60, 11), 11);
    assert_eq!(begin(&mut sessions, 0, 30, 12), 12);
    assert_eq!(begin(&mut sessions, 1, 11, 13), 0);
    assert_eq!(begin(&mut sessions, 1, 10, 13), 13);
    assert_eq!((sessions.partitions(), sessions.len()), (100, 3));
    // One that grows beyond what is left is told to begin again.
    let more: Vec<_> = (500..501).map(|partition| (partition, 0)).collect();
    let grown = sessions.handle_request(SECOND, VERSION, &request(13, 1, &more));
    assert_eq!(grown.refusal(), Some(ErrorCode::FetchSessionIdNotFound));
    assert_eq!((sessions.partitions(), sessions.len()), (90, 2));
    // Not one is turned out for a session that would have no room all the same: of the two that are
    // not new only the smaller may go, and 70 are left then.
    assert!(go_on(&mut sessions, 130, 11, 1) && go_on(&mut sessions, 130, 12, 1));
    assert_eq!(begin(&mut sessions, 131, 50, 14), 0);
    assert_eq!((sessions.partitions(), sessions.len()), (90, 2));
    assert_eq!(begin(&mut sessions, 131, 40, 14), 14);
    assert_eq!((sessions.partitions(), sessions.len()), (100, 2));
}

#[test]
fn no_slots_no_sessions() {
    let mut sessions = sessions(0, 100);
    assert_eq!(begin(&mut sessions, 0, 3, 11), 0);
    assert!(sessions.is_empty());
}
