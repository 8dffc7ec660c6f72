//! What a consumer may rely on: where it begins, where it ends, and who it waits for.

use tidegate_client::{ConsumeError, ConsumerConfig, RawSubscription};
use tidegate_record::Batches;
use tidegate_types::{Offset, PartitionId, StartPosition, Timestamp};
use tidegate_wire::{ErrorCode, OpenSubscribe, SubscribeReply};

use crate::support::{MADE, Session, TestNode, batch, text, texts, topic};

/// A topic with offsets 0 to 8, in three batches.
async fn nine(node: &TestNode) {
    node.create("t", 1).await;
    for values in [["0", "1", "2"], ["3", "4", "5"], ["6", "7", "8"]] {
        node.produce("t", &values).await;
    }
}

fn from(from: StartPosition, until_end: bool) -> ConsumerConfig {
    ConsumerConfig { from, until_end, ..ConsumerConfig::default() }
}

async fn raw(node: &TestNode, from: StartPosition, until_end: bool) -> RawSubscription {
    let open =
        OpenSubscribe { topic: topic("t"), from, partitions: Vec::new(), until_end, plugin: None };
    node.client.open_subscribe(open).await.unwrap()
}

#[tokio::test]
async fn every_start_position_begins_where_it_says() {
    let node = TestNode::start().await;
    nine(&node).await;
    let at = |ms| StartPosition::Time(Timestamp(MADE.0 + ms));
    for (position, first) in [
        (StartPosition::Start, 0),
        (StartPosition::End, 9),
        (StartPosition::Offset(Offset(3)), 3),
        (StartPosition::Offset(Offset(4)), 4),
        (StartPosition::Offset(Offset(9)), 9),
        (StartPosition::AfterStart(2), 2),
        (StartPosition::AfterStart(100), 9),
        (StartPosition::AfterStart(u64::MAX), 9),
        (StartPosition::BeforeEnd(2), 7),
        (StartPosition::BeforeEnd(100), 0),
        (StartPosition::BeforeEnd(u64::MAX), 0),
        (at(-1), 0),
        (at(2), 2),
        (at(3), 9),
    ] {
        let records = node.read_from("t", from(position, true)).await;
        let offsets: Vec<i64> = records.iter().map(|record| record.offset.0).collect();
        assert_eq!(offsets, (first..9).collect::<Vec<_>>(), "from {position}");
        assert!(records.iter().all(|record| text(record) == record.offset.to_string()));
    }
    for beyond in [10, i64::MAX] {
        let position = from(StartPosition::Offset(Offset(beyond)), true);
        let refused = node.client.consumer(topic("t"), position).await.err().unwrap();
        let ConsumeError::Refused { error } = refused else { panic!("{refused}") };
        assert_eq!(error.code, ErrorCode::OffsetOutOfRange);
        assert!(error.message.contains("0 to 9"), "{error}");
    }
}

#[tokio::test]
async fn a_subscription_from_inside_a_batch_gets_the_whole_batch() {
    let node = TestNode::start().await;
    nine(&node).await;
    let mut raw = raw(&node, StartPosition::Offset(Offset(4)), true).await;
    let Some((SubscribeReply::Ready { partitions, .. }, _)) = raw.next().await.unwrap() else {
        panic!("not ready");
    };
    assert_eq!((partitions[0].next, partitions[0].high_watermark), (Offset(4), Offset(9)));
    let mut bases = Vec::new();
    while let Some((reply, payload)) = raw.next().await.unwrap() {
        bases.extend(Batches::new(&payload).map(|b| b.unwrap().header().base_offset.0));
        if reply == SubscribeReply::End {
            break;
        }
    }
    assert_eq!(bases, [3, 6]);
}

#[tokio::test]
async fn until_end_stops_at_the_end_found_at_the_beginning() {
    let node = TestNode::start().await;
    nine(&node).await;
    let mut raw = raw(&node, StartPosition::Start, true).await;
    assert!(matches!(raw.next().await.unwrap(), Some((SubscribeReply::Ready { .. }, _))));
    node.produce("t", &["late"]).await;
    let mut end = Offset(0);
    loop {
        match raw.next().await.unwrap() {
            Some((SubscribeReply::Records { next, .. }, _)) => end = next,
            Some((SubscribeReply::End, _)) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(end, Offset(9));
    assert!(raw.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_subscription_from_the_end_gets_what_comes_later_in_each_partition() {
    let node = TestNode::start().await;
    node.create("t", 3).await;
    node.produce("t", &["before"]).await;
    let end = from(StartPosition::End, false);
    let mut consumer = node.client.consumer(topic("t"), end).await.unwrap();
    let mut session = Session::open(&node.client, "t", None).await;
    let mut seen = Vec::new();
    for (partition, value) in [(2, "a"), (0, "b"), (1, "c"), (2, "d")] {
        session.put_to(partition, batch(&[value])).await.unwrap();
        let record = consumer.next().await.unwrap().unwrap();
        seen.push((record.partition.0, record.offset.0, text(&record)));
    }
    let expected = [(2, 0, "a"), (0, 1, "b"), (1, 0, "c"), (2, 1, "d")];
    assert_eq!(seen, expected.map(|(p, o, v)| (p, o, v.to_owned())));
}

#[tokio::test]
async fn partitions_can_be_chosen_each_with_its_own_beginning() {
    let node = TestNode::start().await;
    node.create("t", 3).await;
    let mut session = Session::open(&node.client, "t", None).await;
    for partition in 0..3 {
        session.put_to(partition, batch(&["a", "b"])).await.unwrap();
    }
    let named = |partitions: &[(u32, StartPosition)]| ConsumerConfig {
        partitions: partitions.iter().map(|(id, from)| (PartitionId(*id), *from)).collect(),
        until_end: true,
        ..ConsumerConfig::default()
    };
    let chosen = named(&[(2, StartPosition::Start), (0, StartPosition::BeforeEnd(1))]);
    let records = node.read_from("t", chosen).await;
    let seen: Vec<_> = records.iter().map(|r| (r.partition.0, text(r))).collect();
    assert_eq!(seen, [(0, "b"), (2, "a"), (2, "b")].map(|(p, v)| (p, v.to_owned())));

    let start = StartPosition::Start;
    for (wrong, code) in [
        (named(&[(3, start)]), ErrorCode::UnknownPartition),
        (named(&[(1, start), (1, start)]), ErrorCode::InvalidRequest),
    ] {
        let refused = node.client.consumer(topic("t"), wrong).await.err().unwrap();
        let ConsumeError::Refused { error } = refused else { panic!("{refused}") };
        assert_eq!(error.code, code, "{error}");
    }
}

#[tokio::test]
async fn a_subscription_ends_with_an_error_when_its_topic_is_deleted() {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    node.produce("t", &["a"]).await;
    let mut consumer = node.client.consumer(topic("t"), ConsumerConfig::default()).await.unwrap();
    assert_eq!(text(&consumer.next().await.unwrap().unwrap()), "a");
    node.client.delete_topic(topic("t")).await.unwrap();
    node.create("t", 1).await;
    node.produce("t", &["of another topic"]).await;
    match consumer.next().await {
        Some(Err(ConsumeError::Refused { error })) => {
            assert_eq!(error.code, ErrorCode::UnknownTopic, "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert!(consumer.next().await.is_none());
    let refused = node.client.consumer(topic("none"), from(StartPosition::Start, true)).await;
    let Some(ConsumeError::Refused { error }) = refused.err() else { panic!("not refused") };
    assert_eq!(error.code, ErrorCode::UnknownTopic);
}

#[tokio::test]
async fn a_consumer_goes_on_where_it_was_after_a_restart() {
    let mut node = TestNode::start().await;
    nine(&node).await;
    let mut consumer = node.client.consumer(topic("t"), ConsumerConfig::default()).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 5 {
        seen.push(text(&consumer.next().await.unwrap().unwrap()));
    }
    node.restart().await;
    node.produce("t", &["9"]).await;
    while seen.len() < 10 {
        seen.push(text(&consumer.next().await.unwrap().unwrap()));
    }
    assert_eq!(seen, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// Bytes of a record whose batch a topic just takes.
const LARGE: usize = 1_000_000;

#[tokio::test]
async fn a_reader_that_does_not_read_holds_up_nobody() {
    /// Far beyond what a stream takes unread.
    const BATCHES: usize = 24;
    let node = TestNode::start().await;
    node.create("t", 1).await;
    let mut slow = raw(&node, StartPosition::Start, false).await;
    let mut consumer = node.client.consumer(topic("t"), ConsumerConfig::default()).await.unwrap();
    let mut session = Session::open(&node.client, "t", None).await;
    for index in 0..BATCHES {
        let value = index.to_string().repeat(LARGE)[..LARGE].to_owned();
        session.put(batch(&[&value])).await.unwrap();
        let record = consumer.next().await.unwrap().unwrap();
        assert_eq!(text(&record), value);
    }
    assert_eq!(node.read("t").await.len(), BATCHES);

    // What it left waits for it.
    let mut next = Offset(0);
    while next < Offset(BATCHES as i64) {
        match slow.next().await.unwrap().unwrap() {
            (SubscribeReply::Records { next: after, .. }, payload) => {
                assert_eq!(
                    Batches::new(&payload).next().unwrap().unwrap().header().base_offset,
                    next
                );
                next = after;
            }
            (SubscribeReply::Ready { .. } | SubscribeReply::CaughtUp { .. }, _) => {}
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn many_readers_get_the_same() {
    let node = TestNode::start().await;
    nine(&node).await;
    let readers: Vec<_> = (0..20)
        .map(|_| {
            let client = node.client.clone();
            tokio::spawn(async move {
                let until_end = from(StartPosition::Start, true);
                let mut consumer = client.consumer(topic("t"), until_end).await.unwrap();
                let mut records = Vec::new();
                while let Some(record) = consumer.next().await {
                    records.push(record.unwrap());
                }
                texts(&records)
            })
        })
        .collect();
    let expected: Vec<String> = (0..9).map(|n| n.to_string()).collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), expected);
    }
}
