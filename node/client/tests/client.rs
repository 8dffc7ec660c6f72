//! The client against a node that speaks the real protocol: requests, delivery over lost
//! connections and refusals, and consumers that come back.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod server;

use std::time::Duration;

use server::{Server, TOPIC};
use tidegate_client::types::{Acks, Offset, PartitionId, StartPosition, TopicName};
use tidegate_client::wire::{ErrorBody, ErrorCode, OpenProduce, ProduceReply};
use tidegate_client::{
    Client, Compression, ConnectError, ConsumeError, Consumer, ConsumerConfig, DeliveryError,
    Event, ProducerConfig, ProducerRecord, RequestError,
};

fn topic() -> TopicName {
    TOPIC.parse().unwrap()
}

async fn client(server: &Server) -> Client {
    Client::connect(server.client_config()).await.unwrap()
}

/// A batch per record or few, so that there are many of them.
fn small_batches() -> ProducerConfig {
    ProducerConfig {
        linger: Duration::from_millis(1),
        batch_bytes: tidegate_client::types::ByteSize::bytes(300),
        ..ProducerConfig::default()
    }
}

async fn take(consumer: &mut Consumer, count: usize) -> Vec<String> {
    let mut values = Vec::new();
    while values.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(20), consumer.next()).await;
        let record = next.expect("a record in time").expect("no end").unwrap();
        values.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
    }
    values
}

#[tokio::test]
async fn requests_are_answered_refused_and_told_apart() {
    let server = Server::start(3);
    let client = client(&server).await;
    assert_eq!(client.welcome().await.unwrap().software, "test/1");
    let found = client.describe_topic(topic()).await.unwrap();
    assert_eq!(found.partitions.len(), 3);

    let error = client.delete_topic("other".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.refusal().unwrap().code, ErrorCode::UnknownTopic);
    assert_eq!(error.to_string(), "topic other does not exist");
    let error = client.install_plugin("p".parse().unwrap(), vec![0; 5_000_000]).await.unwrap_err();
    assert_eq!(error.to_string(), "p of 5000000 bytes is no component");
    let error = client.list_topics().await.unwrap_err();
    assert!(matches!(error, RequestError::Protocol(_)));
    assert!(error.to_string().contains("Done is not the answer"), "{error}");
}

#[tokio::test]
async fn a_lost_connection_is_made_anew() {
    let server = Server::start(1);
    let client = client(&server).await;
    for _ in 0..3 {
        server.cut();
        client.describe_topic(topic()).await.unwrap();
    }
    client.close().await;
    client.describe_topic(topic()).await.unwrap();
}

#[tokio::test]
async fn a_slow_answer_and_an_absent_node_are_told_apart() {
    let server = Server::start(1);
    let mut config = server.client_config();
    config.request_timeout = Duration::from_millis(200);
    config.connect_timeout = Duration::from_millis(300);
    let client = Client::connect(config.clone()).await.unwrap();
    server.state().faults.slow = Duration::from_secs(5);
    let error = client.describe_topic(topic()).await.unwrap_err();
    assert!(matches!(error, RequestError::TimedOut { .. }), "{error:?}");

    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    config.address = nobody.local_addr().unwrap().to_string();
    config.request_timeout = Duration::from_secs(10);
    let error = Client::connect(config.clone()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Dial(_)), "{error:?}");
    let error = Client::new(config).unwrap().status().await.unwrap_err();
    assert!(matches!(error, RequestError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn records_arrive_as_they_were_sent() {
    let server = Server::start(4);
    let client = client(&server).await;
    let config = ProducerConfig { compression: Compression::Zstd, ..ProducerConfig::default() };
    let producer = client.producer(topic(), config).await.unwrap();
    let mut deliveries = Vec::new();
    for i in 0..200 {
        let record = ProducerRecord::new(format!("v{i}"))
            .with_key(format!("k{}", i % 10))
            .with_header("trace", "a")
            .with_header("trace", "b");
        deliveries.push((i, producer.send(record).await.unwrap()));
    }
    producer.flush().await.unwrap();
    for (i, delivery) in deliveries {
        let stored = delivery.await.unwrap();
        let key = format!("k{}", i % 10);
        assert_eq!(stored.partition, tidegate_types::key_partition(key.as_bytes(), 4));
        let at = (stored.offset.unwrap().get(), format!("v{i}"));
        assert!(server.values(stored.partition.get() as usize).contains(&at));
    }

    let until_end = ConsumerConfig { until_end: true, ..ConsumerConfig::default() };
    let mut consumer = client.consumer(topic(), until_end).await.unwrap();
    let mut seen = 0;
    while let Some(record) = consumer.next().await {
        let record = record.unwrap();
        assert_eq!(record.headers.len(), 2);
        assert!(record.key.unwrap().starts_with(b"k"));
        seen += 1;
    }
    assert_eq!(seen, 200);
    assert!(consumer.next_event().await.is_none());
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_or_reordered_over_lost_connections() {
    let server = Server::start(2);
    let client = client(&server).await;
    let producer = client.producer(topic(), small_batches()).await.unwrap();
    let mut deliveries = Vec::new();
    for i in 0..600 {
        if i % 100 == 50 {
            // Batches are appended, and the connection is gone before they are acknowledged.
            server.state().faults.cut_after = Some(2);
        }
        let record = ProducerRecord::new(format!("{i:04}")).with_partition(PartitionId(i % 2));
        deliveries.push(producer.send(record).await.unwrap());
        if i % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    producer.close().await.unwrap();
    for (i, delivery) in deliveries.into_iter().enumerate() {
        let stored = delivery.await.unwrap();
        let (offset, value) = &server.values(i % 2)[i / 2];
        assert_eq!((*offset, value.as_str()), (stored.offset.unwrap().get(), &*format!("{i:04}")));
    }
    assert_eq!(server.values(0).len() + server.values(1).len(), 600);
    assert!(server.state().duplicates > 0, "no retry met what was stored before");
}

#[tokio::test]
async fn a_refused_batch_fails_its_own_records_alone() {
    let server = Server::start(1);
    let client = client(&server).await;
    let producer = client.producer(topic(), small_batches()).await.unwrap();
    producer.send(ProducerRecord::new("first")).await.unwrap().await.unwrap();
    let rejected = ErrorBody::new(ErrorCode::RejectedByPlugin, "too hot");
    server.state().faults.refuse.push_back(rejected.clone());
    let bad = producer.send(ProducerRecord::new("bad")).await.unwrap();
    let flushed = producer.flush().await;
    assert_eq!(flushed, Err(DeliveryError::Refused(rejected.clone())));
    assert_eq!(bad.await, Err(DeliveryError::Refused(rejected)));

    // Several in flight behind a refusal, and a retriable one.
    let busy = ErrorBody::retriable(ErrorCode::Overloaded, "busy");
    server.state().faults.refuse.extend([busy.clone(), busy]);
    let mut good = Vec::new();
    for i in 0..40 {
        good.push(producer.send(ProducerRecord::new(format!("{i:0>90}"))).await.unwrap());
    }
    producer.close().await.unwrap();
    for delivery in good {
        delivery.await.unwrap();
    }
    let values: Vec<_> = server.values(0).into_iter().map(|(_, value)| value).collect();
    let expected: Vec<_> = (0..40).map(|i| format!("{i:0>90}")).collect();
    assert_eq!(values[0], "first");
    assert_eq!(values[1..], expected);
}

#[tokio::test]
async fn a_record_that_cannot_be_delivered_in_time_says_so() {
    let server = Server::start(1);
    let client = client(&server).await;
    let config = ProducerConfig { delivery_timeout: Duration::from_millis(600), ..small_batches() };
    let producer = client.producer(topic(), config).await.unwrap();
    let busy = ErrorBody::retriable(ErrorCode::Overloaded, "the disk is full");
    server.state().faults.refuse.extend(std::iter::repeat_n(busy, 1_000));
    let error = producer.send(ProducerRecord::new("x")).await.unwrap().await.unwrap_err();
    assert!(matches!(error, DeliveryError::TimedOut { maybe_stored: true, .. }), "{error:?}");
    assert!(error.to_string().contains("the disk is full"), "{error}");
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_told_at_once() {
    let server = Server::start(1);
    let client = client(&server).await;
    let other: TopicName = "other".parse().unwrap();
    let error = client.producer(other.clone(), ProducerConfig::default()).await.unwrap_err();
    assert_eq!(error.refusal().unwrap().code, ErrorCode::UnknownTopic);
    let error = client.consumer(other, ConsumerConfig::default()).await.unwrap_err();
    assert!(matches!(error, ConsumeError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn without_acknowledgements_what_was_sent_arrives_before_close_returns() {
    let server = Server::start(1);
    let client = client(&server).await;
    let config = ProducerConfig { acks: Acks::None, ..small_batches() };
    let producer = client.producer(topic(), config).await.unwrap();
    for i in 0..50 {
        producer.send(ProducerRecord::new(format!("{i}"))).await.unwrap();
    }
    producer.close().await.unwrap();
    client.close().await;
    tokio::time::timeout(Duration::from_secs(5), async {
        while server.values(0).len() < 50 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_consumer_comes_back_where_it_was() {
    let server = Server::start(1);
    let client = client(&server).await;
    let producer = client.producer(topic(), ProducerConfig::default()).await.unwrap();
    let mut consumer = client.consumer(topic(), ConsumerConfig::default()).await.unwrap();
    let mut expected = Vec::new();
    let mut seen = Vec::new();
    for round in 0..4 {
        for i in 0..25 {
            let value = format!("{round}-{i}");
            producer.send(ProducerRecord::new(value.clone())).await.unwrap();
            expected.push(value);
        }
        producer.flush().await.unwrap();
        // Stops inside a batch, so that it is pushed again in part.
        seen.extend(take(&mut consumer, 20).await);
        server.cut();
    }
    seen.extend(take(&mut consumer, 20).await);
    assert_eq!(seen, expected);
    assert!(server.state().subscriptions > 1);
}

#[tokio::test]
async fn a_consumer_begins_where_it_is_told_and_says_when_it_has_caught_up() {
    let server = Server::start(2);
    let client = client(&server).await;
    let producer = client.producer(topic(), ProducerConfig::default()).await.unwrap();
    for i in 0..10 {
        let record = ProducerRecord::new(format!("{i}")).with_partition(PartitionId(1));
        producer.send(record).await.unwrap();
    }
    producer.flush().await.unwrap();
    let config = ConsumerConfig {
        partitions: vec![(PartitionId(1), StartPosition::BeforeEnd(3))],
        ..ConsumerConfig::default()
    };
    let mut consumer = client.consumer(topic(), config).await.unwrap();
    assert_eq!(take(&mut consumer, 3).await, ["7", "8", "9"]);
    let event = consumer.next_event().await.unwrap().unwrap();
    let caught_up = Event::CaughtUp { partition: PartitionId(1), high_watermark: Offset(10) };
    assert_eq!(event, caught_up);
}

#[tokio::test]
async fn a_consumer_gives_up_on_a_node_that_stays_away() {
    let server = Server::start(1);
    let mut config = server.client_config();
    config.connect_timeout = Duration::from_millis(100);
    let client = Client::connect(config).await.unwrap();
    let config =
        ConsumerConfig { give_up_after: Duration::from_millis(500), ..ConsumerConfig::default() };
    let mut consumer = client.consumer(topic(), config).await.unwrap();
    drop(server);
    let next = tokio::time::timeout(Duration::from_secs(20), consumer.next()).await.unwrap();
    assert!(matches!(next, Some(Err(ConsumeError::Unreachable { .. }))), "{next:?}");
    assert!(consumer.next().await.is_none());
}

#[tokio::test]
async fn the_raw_lane_carries_batches_as_they_are() {
    let server = Server::start(1);
    let client = client(&server).await;
    let open = OpenProduce { topic: topic(), acks: Acks::All, producer: None };
    let mut session = client.open_produce(open).await.unwrap();
    assert_eq!(session.partitions, 1);
    let mut builder = tidegate_record::BatchBuilder::new(tidegate_record::BuildOptions::default());
    builder.push(tidegate_client::types::Timestamp(1), None, Some(b"raw"), []).unwrap();
    let batch = bytes::Bytes::from(builder.build().unwrap());
    for number in 0..3 {
        assert_eq!(session.send_batch(PartitionId(0), batch.clone()).await.unwrap(), number);
    }
    session.send_batch(PartitionId(0), bytes::Bytes::from_static(b"no batch")).await.unwrap();
    session.finish();
    let mut acked = 0;
    let mut refused = 0;
    while let Some(reply) = session.recv_reply().await.unwrap() {
        match reply {
            ProduceReply::Acked(acks) => acked += acks.len(),
            ProduceReply::Refused { number: 3, error } => {
                assert_eq!(error.code, ErrorCode::InvalidRecord);
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((acked, refused), (3, 1));
    assert_eq!(server.values(0).len(), 3);
}
