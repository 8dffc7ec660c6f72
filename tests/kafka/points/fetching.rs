//! Records on their way out, and where they are.

use std::time::{Duration, Instant};

use tidegate_kafka_proto::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use tidegate_kafka_proto::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsTopic,
};
use tidegate_kafka_proto::messages::list_offsets_response::ListOffsetsPartitionResponse;
use tidegate_kafka_proto::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use tidegate_kafka_proto::messages::{
    DeleteRecordsRequest, FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest,
};
use tidegate_kafka_proto::{ErrorCode, messages::FetchResponse};
use tidegate_kafka_tests::{BatchSpec, FETCH, Typed, batches, error, fetch, name};

use crate::{T0, start};

/// Two records, at `T0` and some milliseconds later.
fn two(later: i64) -> BatchSpec {
    let mut batch = BatchSpec::of(&[("k", "v"), ("l", "w")], T0);
    batch.records[1].timestamp_delta = later;
    batch
}

/// Base offsets of the batches.
fn bases(records: &[u8]) -> Vec<i64> {
    let found = batches(records);
    let all = found.as_array().unwrap().iter();
    all.map(|batch| batch["FirstOffset"].as_i64().unwrap()).collect()
}

/// Where a topic's first partition has records of this time, or of one of the special ones.
fn list(client: &mut Typed, topic: &str, timestamp: i64) -> ListOffsetsPartitionResponse {
    let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
    let topic =
        ListOffsetsTopic::default().with_name(name(topic).into()).with_partitions(vec![partition]);
    let request =
        ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
    let found = client.ask(7, &request).topics.remove(0).partitions.remove(0);
    assert_eq!(found.error_code, 0, "{found:?}");
    found
}

/// "An offset inside a batch returns the whole batch": the client drops what it did not ask for.
#[test]
fn an_offset_inside_a_batch_finds_the_whole_batch() {
    let (_node, mut client) = start();
    client.create("inside", 1, &[]);
    for _ in 0..3 {
        client.append("inside", &two(0));
    }
    for (from, expected) in [(0, &[0, 2, 4][..]), (1, &[0, 2, 4]), (3, &[2, 4]), (5, &[4])] {
        assert_eq!(bases(&client.read("inside", from)), expected, "from {from}");
    }
}

/// "A first batch over the size limit is returned all the same": no reader is stuck before it.
#[test]
fn a_first_batch_over_the_limits_is_given_all_the_same() {
    let (_node, mut client) = start();
    client.create("large", 1, &[]);
    let value = "x".repeat(10_000);
    for _ in 0..2 {
        client.append("large", &BatchSpec::of(&[("k", &value)], T0));
    }
    let mut request = fetch("large", 0, 0).with_max_bytes(1);
    request.topics[0].partitions[0].partition_max_bytes = 1;
    let found = client.fetch(&request);
    assert_eq!(bases(&found.records.unwrap()), [0], "the first, whole, and no other");
}

/// "max_wait and min_bytes honoured": a fetch waits for what it wants as long as it says, and no
/// longer than that comes.
#[test]
fn a_fetch_waits_for_enough_or_for_its_time() {
    let (node, mut client) = start();
    client.create("waits", 1, &[]);
    let wait = Duration::from_millis(300);
    let begun = Instant::now();
    let nothing = client.fetch(&fetch("waits", 0, 0).with_min_bytes(1).with_max_wait_ms(300));
    assert!(nothing.records.unwrap_or_default().is_empty());
    assert!(begun.elapsed() >= wait, "answered after {:?}", begun.elapsed());
    // Longer than this test waits for any answer.
    let one = two(0).bytes().len() as i32;
    let long = fetch("waits", 0, 0).with_min_bytes(one + 1).with_max_wait_ms(300_000);
    let id = client.send(FETCH, &long);
    let mut producer = Typed::open(node.broker());
    producer.append("waits", &two(0));
    producer.append("waits", &two(0));
    let found = client.receive::<FetchRequest>(FETCH, id).unwrap();
    let records = found.responses[0].partitions[0].records.as_ref().unwrap();
    assert_eq!(bases(records), [0, 2], "one batch was not enough");
}

/// "An empty topic gives EOF": no records, no error, and the end is where the reader is.
#[test]
fn an_empty_topic_has_its_end_at_its_start() {
    let (_node, mut client) = start();
    client.create("empty", 1, &[]);
    let found = client.fetch(&fetch("empty", 0, 0));
    assert_eq!((found.error_code, found.high_watermark, found.log_start_offset), (0, 0, 0));
    assert!(found.records.unwrap_or_default().is_empty());
    assert_eq!(
        (list(&mut client, "empty", -2).offset, list(&mut client, "empty", -1).offset),
        (0, 0)
    );
    let beyond = client.fetch(&fetch("empty", 0, 1));
    assert_eq!(error(beyond.error_code), ErrorCode::OffsetOutOfRange);
}

/// "ListOffsets by timestamp, earliest, latest, max timestamp."
#[test]
fn offsets_are_found_by_time_and_by_the_ends() {
    const LATEST: i64 = -1;
    const EARLIEST: i64 = -2;
    const MAX_TIMESTAMP: i64 = -3;
    let (_node, mut client) = start();
    client.create("times", 1, &[]);
    // Times of the records: T0 and T0 + 50, T0 and T0 + 90, T0 and T0 + 20.
    for later in [50, 90, 20] {
        client.append("times", &two(later));
    }
    for (timestamp, offset, time) in [
        (EARLIEST, 0, -1),
        (LATEST, 6, -1),
        (MAX_TIMESTAMP, 3, T0 + 90),
        (T0 - 1, 0, T0),
        (T0, 0, T0),
        (T0 + 1, 1, T0 + 50),
        (T0 + 51, 3, T0 + 90),
        (T0 + 91, -1, -1),
    ] {
        let found = list(&mut client, "times", timestamp);
        assert_eq!((found.offset, found.timestamp), (offset, time), "asked for {timestamp}");
    }
}

/// "Leader epoch checked": who knows of another leader than there is has to ask for it anew.
#[test]
fn a_leader_epoch_that_is_not_this_one_is_refused() {
    let (_node, mut client) = start();
    client.create("led", 1, &[]);
    client.append("led", &two(0));
    let mut epoch_of = |current: i32, asked: i32| {
        let partition = OffsetForLeaderPartition::default()
            .with_current_leader_epoch(current)
            .with_leader_epoch(asked);
        let topic = OffsetForLeaderTopic::default()
            .with_topic(name("led").into())
            .with_partitions(vec![partition]);
        let request = OffsetForLeaderEpochRequest::default()
            .with_replica_id((-1).into())
            .with_topics(vec![topic]);
        let found = client.ask(4, &request).topics.remove(0).partitions.remove(0);
        (error(found.error_code), found.leader_epoch, found.end_offset)
    };
    assert_eq!(epoch_of(-1, 0), (ErrorCode::None, 0, 2));
    assert_eq!(epoch_of(0, 0), (ErrorCode::None, 0, 2));
    assert_eq!(epoch_of(7, 0), (ErrorCode::UnknownLeaderEpoch, -1, -1));
    for (epoch, told) in [(0, ErrorCode::None), (7, ErrorCode::UnknownLeaderEpoch)] {
        let mut request = fetch("led", 0, 0);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        assert_eq!(error(client.fetch(&request).error_code), told, "epoch {epoch}");
    }
}

/// "Log start after DeleteRecords": everybody is told the new start, and nobody reads below it.
#[test]
fn the_log_starts_where_records_were_deleted_up_to() {
    let (_node, mut client) = start();
    client.create("cut", 1, &[]);
    for _ in 0..3 {
        client.append("cut", &two(0));
    }
    let partition = DeleteRecordsPartition::default().with_offset(3);
    let topic = DeleteRecordsTopic::default()
        .with_name(name("cut").into())
        .with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
    let deleted = client.ask(2, &request).topics.remove(0).partitions.remove(0);
    assert_eq!((deleted.error_code, deleted.low_watermark), (0, 3));
    assert_eq!(list(&mut client, "cut", -2).offset, 3);
    let below = client.fetch(&fetch("cut", 0, 2));
    assert_eq!(error(below.error_code), ErrorCode::OffsetOutOfRange);
    let there = client.fetch(&fetch("cut", 0, 3));
    assert_eq!((there.error_code, there.log_start_offset), (0, 3));
    assert_eq!(bases(&there.records.unwrap()), [2, 4], "the batch that the start lies in");
    assert_eq!(client.produce("cut", two(0).bytes()).log_start_offset, 3);
}

/// A session's next fetch; `None` asks for a session.
fn in_session(
    client: &mut Typed,
    session: Option<(i32, i32)>,
    named: FetchRequest,
) -> FetchResponse {
    let (id, epoch) = session.unwrap_or((0, 0));
    client.ask(FETCH, &named.with_session_id(id).with_session_epoch(epoch))
}

/// "Sessions": a client names its partitions once, and then is told news alone.
#[test]
fn a_session_tells_news_alone_and_only_in_its_order() {
    let (_node, mut client) = start();
    client.create("news", 1, &[]);
    client.append("news", &two(0));
    let first = in_session(&mut client, None, fetch("news", 0, 0));
    let id = first.session_id;
    assert!(first.error_code == 0 && id != 0, "{first:?}");
    let nobody = || FetchRequest::default().with_max_bytes(1 << 20);
    let moved = in_session(&mut client, Some((id, 1)), fetch("news", 0, 2));
    assert_eq!((moved.error_code, moved.responses.len()), (0, 0), "nothing is new");
    client.append("news", &two(0));
    let news = in_session(&mut client, Some((id, 2)), nobody());
    assert_eq!(bases(news.responses[0].partitions[0].records.as_ref().unwrap()), [2]);
    for (session, told) in [
        ((id, 7), ErrorCode::InvalidFetchSessionEpoch),
        ((id.wrapping_add(1), 3), ErrorCode::FetchSessionIdNotFound),
    ] {
        let refused = in_session(&mut client, Some(session), nobody());
        assert_eq!((error(refused.error_code), refused.responses.len()), (told, 0));
    }
    let goes_on = in_session(&mut client, Some((id, 3)), nobody());
    assert_eq!(goes_on.error_code, 0, "a refusal changes nothing");
}

/// "Fetch from 13 on uses topic ids": names are looked at no more, and an id that is unknown is told
/// as such.
#[test]
fn later_versions_name_topics_by_their_ids() {
    let (_node, mut client) = start();
    client.create("by-id", 1, &[]);
    client.append("by-id", &two(0));
    for version in 13..=18 {
        let answer = client.ask(version, &fetch("by-id", 0, 0));
        let unknown = &answer.responses[0].partitions[0];
        assert_eq!(error(unknown.error_code), ErrorCode::UnknownTopicId, "version {version}");
    }
    let metadata = tidegate_kafka_proto::messages::MetadataRequest::default().with_topics(None);
    let id = client.ask(12, &metadata).topics[0].topic_id;
    for version in 13..=18 {
        let mut request = fetch("", 0, 0);
        request.topics[0].topic_id = id;
        let answer = client.ask(version, &request);
        let found = &answer.responses[0].partitions[0];
        assert_eq!(bases(found.records.as_ref().unwrap()), [0], "version {version}");
    }
}
