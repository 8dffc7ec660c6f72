//! A disk that fills up: producers are told and wait, or the oldest records make room, as each
//! topic wants it; all else goes on; and it heals by itself.

use std::time::Duration;

use tidegate_client::{Client, DeliveryError, ProducerConfig, ProducerRecord};
use tidegate_tests::{FileSystem, Load, Node, consume, eventually};
use tidegate_types::{ByteSize, Offset, TopicConfig};
use tidegate_wire::{ErrorCode, StorageStatus};

use super::{HASTY, Keeps, Loads, STEADY, Way, name};

const DISK: ByteSize = ByteSize::mib(64);

const KEPT: Way = Way { topic: "kept", partitions: 2, producers: 2, keeps: Keeps::All };
const SPARE: Way = Way { topic: "spare", partitions: 1, producers: 1, keeps: Keeps::All };
const ROLLING: Way = Way { topic: "rolling", partitions: 1, producers: 2, keeps: Keeps::Newest };

async fn storage(node: &Node) -> StorageStatus {
    let status = node.client().await.status().await.unwrap();
    assert_eq!(status.sealed, [], "a full disk is no failure");
    status.storage
}

async fn full(node: &Node) {
    eventually("the disk to be full", async || {
        let storage = storage(node).await;
        storage.full.map(drop).ok_or_else(|| format!("{} is free", storage.free))
    })
    .await;
}

async fn healed(node: &Node) {
    eventually("the disk to have room again", async || {
        let storage = storage(node).await;
        storage.full.map_or(Ok(()), |why| Err(format!("{why}; {} is free", storage.free)))
    })
    .await;
}

/// A producer with little time is told what it has waited for.
async fn told(client: &Client, way: Way) {
    let config =
        ProducerConfig { delivery_timeout: Duration::from_secs(2), ..ProducerConfig::default() };
    let producer = client.producer(name(way.topic), config).await.unwrap();
    let refused = producer.send(ProducerRecord::new("x")).await.unwrap().await;
    let Err(DeliveryError::TimedOut { last: Some(last), .. }) = &refused else {
        panic!("a record on a full disk: {refused:?}");
    };
    assert!(last.contains("the disk is full"), "{refused:?}");
}

/// Kills the node while the disk is full, and starts it again.
async fn killed(node: &mut Node) {
    node.kill();
    node.restart().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_producers_until_there_is_room_again() {
    let Some(disk) = FileSystem::or_skip("a full disk", DISK) else { return };
    let mut node = Node::at("edge", &disk.path().join("data"));
    node.restart().await;
    let client = node.client().await;
    for way in [KEPT, SPARE] {
        way.create(&client).await;
    }
    let spare = Loads::start(&node, &[SPARE], HASTY, Load::start).await;
    spare.more(24_000).await;
    spare.finish().await;

    // The log itself fills what another left of the disk.
    let ballast = disk.fill(ByteSize::mib(7));
    let kept = Loads::start(&node, &[KEPT], HASTY, Load::start).await;
    full(&node).await;
    told(&client, KEPT).await;
    let spare = consume(&client, name(SPARE.topic), 1).await;
    assert!(spare[0].records.len() >= 24_000, "consumers go on reading");
    assert!(!client.list_topics().await.unwrap().is_empty());
    killed(&mut node).await;
    full(&node).await;

    // A topic that is deleted makes room.
    let client = node.client().await;
    let delete = async { client.delete_topic(name(SPARE.topic)).await.unwrap() };
    // Some of the room goes to zeros that are written ahead.
    tokio::join!(delete, kept.any_more(50));

    // Another takes it all at once, while records are written.
    let second = disk.fill(ByteSize::bytes(0));
    full(&node).await;
    consume(&client, name(KEPT.topic), KEPT.partitions).await;
    let late = async || client.create_topic(name("late"), TopicConfig::default(), true).await;
    if let Err(refused) = late().await {
        assert_eq!(refused.refusal().unwrap().code, ErrorCode::DiskFull, "{refused}");
    }
    killed(&mut node).await;
    full(&node).await;
    second.remove();
    ballast.remove();
    healed(&node).await;
    let client = node.client().await;
    client.create_topic(name("late"), TopicConfig::default(), true).await.unwrap();
    kept.any_more(1_000).await;
    kept.check(&mut node, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_drops_its_oldest_records_goes_on_with_an_explicit_gap() {
    let Some(disk) = FileSystem::or_skip("dropping the oldest", DISK) else { return };
    let mut node = Node::at("edge", &disk.path().join("data"));
    node.restart().await;
    let client = node.client().await;
    for way in [KEPT, ROLLING] {
        way.create(&client).await;
    }
    let kept = Loads::start(&node, &[KEPT], STEADY, Load::start).await;
    kept.more(500).await;
    let kept = kept.finish().await;

    disk.fill(ByteSize::mib(7));
    let rolling = Loads::start(&node, &[ROLLING], HASTY, Load::start).await;
    let gap = eventually("the oldest records to be dropped", async || {
        let told = storage(&node).await;
        let dropped = told.dropped.first().filter(|dropped| dropped.bytes >= ByteSize::mib(2));
        dropped.cloned().ok_or_else(|| format!("{told:?}"))
    })
    .await;
    // It never stops for long, and the gap is where the log says that it starts.
    rolling.any_more(10_000).await;
    assert_eq!(gap.topic, name(ROLLING.topic));
    assert!(gap.end > gap.from && ROLLING.starts(&client).await[0] >= gap.end, "{gap:?}");
    rolling.check(&mut node, 0).await;
    // A topic that does not agree to it loses nothing.
    let client = node.client().await;
    assert_eq!(KEPT.starts(&client).await, [Offset::ZERO; 2]);
    for (way, acked) in kept {
        let logs = consume(&client, name(way.topic), way.partitions).await;
        way.check(&acked, &logs, &[], 0);
    }
}
