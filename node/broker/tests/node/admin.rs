//! Topics, producer ids and plugins as they are asked for.

use std::collections::HashSet;

use tidegate_types::{Offset, ProducerEpoch, TopicConfig};
use tidegate_wire::{ErrorCode, ProducerIdentity};

use crate::support::{Attach, TestNode, topic};

fn of(partitions: u32) -> TopicConfig {
    TopicConfig { partitions, ..TopicConfig::default() }
}

#[tokio::test]
async fn a_topic_made_again_has_another_id_and_an_empty_log() {
    let node = TestNode::start().await;
    let first = node.create("t", 3).await;
    assert_eq!(first.partitions.len(), 3);
    node.produce("t", &["a", "b"]).await;
    let described = node.describe("t").await;
    assert_eq!(described.id, first.id);
    assert_eq!(described.partitions[0].log_end, Offset(2));

    let exists = node.client.create_topic(topic("t"), of(1), false).await.unwrap_err();
    assert_eq!(exists.refusal().unwrap().code, ErrorCode::TopicExists);
    let same = node.client.create_topic(topic("t"), of(1), true).await.unwrap();
    assert_eq!((same.id, same.config.partitions), (first.id, 3), "the one that exists");

    node.client.delete_topic(topic("t")).await.unwrap();
    let gone = node.client.describe_topic(topic("t")).await.unwrap_err();
    assert_eq!(gone.refusal().unwrap().code, ErrorCode::UnknownTopic);
    let gone = node.client.delete_topic(topic("t")).await.unwrap_err();
    assert_eq!(gone.refusal().unwrap().code, ErrorCode::UnknownTopic);
    let folder = node.data().join("topics").join(first.id.to_string());
    assert!(!folder.join("0").exists(), "its records are gone from the disk");

    let second = node.create("t", 1).await;
    assert_ne!(second.id, first.id);
    assert_ne!(second.partitions[0].incarnation, first.partitions[0].incarnation);
    assert_eq!(node.read("t").await, []);
    node.produce("t", &["c"]).await;
    assert_eq!(node.read("t").await[0].offset, Offset(0));
}

#[tokio::test]
async fn topics_that_cannot_be_are_refused_with_the_reason() {
    let node = TestNode::start().await;
    for (name, config, told) in [
        ("t", of(0), "0 partitions"),
        ("t", of(10_001), "10001 partitions"),
        ("t", TopicConfig { segment: "1".parse().unwrap(), ..of(1) }, "segments of 1 B"),
        ("other/t", of(1), "'/'"),
    ] {
        let refused = node.client.create_topic(topic(name), config, true).await.unwrap_err();
        let refused = refused.refusal().unwrap();
        assert_eq!(refused.code, ErrorCode::InvalidRequest, "{refused:?}");
        assert!(refused.message.contains(told), "{refused}");
    }
    assert_eq!(node.client.list_topics().await.unwrap(), []);
}

#[tokio::test]
async fn topics_are_listed_by_name_and_counted() {
    let node = TestNode::start().await;
    node.create("b", 2).await;
    node.create("a", 1).await;
    node.produce("b", &["x", "y"]).await;
    let listed = node.client.list_topics().await.unwrap();
    let names: Vec<_> = listed.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let status = node.client.status().await.unwrap();
    assert_eq!((status.topics, status.partitions), (2, 3));
    assert_eq!((status.records_in, status.records_stored), (2, 2));
    assert_eq!(status.address, node.address.to_string());
    assert_eq!(status.sealed, []);
}

#[tokio::test]
async fn producer_ids_are_given_once_across_restarts() {
    let mut node = TestNode::start().await;
    let mut seen = HashSet::new();
    for _ in 0..3 {
        for _ in 0..20 {
            let ProducerIdentity { id, epoch } = node.identity().await;
            assert!(seen.insert(id), "{id} was given before");
            assert_eq!(epoch, ProducerEpoch(0));
            assert!(!id.is_derived());
        }
        node.restart().await;
    }
}

#[tokio::test]
async fn a_producer_gets_its_next_epoch_and_a_new_id_after_the_last_one() {
    let node = TestNode::start().await;
    let first = node.identity().await;
    let next = node.client.init_producer(Some(first)).await.unwrap();
    assert_eq!((next.id, next.epoch), (first.id, ProducerEpoch(1)));
    let last = ProducerIdentity { epoch: ProducerEpoch(i16::MAX), ..first };
    let renewed = node.client.init_producer(Some(last)).await.unwrap();
    assert_ne!(renewed.id, first.id);
    assert_eq!(renewed.epoch, ProducerEpoch(0));
}

#[tokio::test]
async fn plugins_are_listed_with_versions_attachments_and_counts() {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    let unknown = node.client.show_plugin("keep".parse().unwrap()).await.unwrap_err();
    assert_eq!(unknown.refusal().unwrap().code, ErrorCode::UnknownPlugin);
    let bad = node.client.install_plugin("keep".parse().unwrap(), &b"\0asm"[..]).await;
    assert_eq!(bad.unwrap_err().refusal().unwrap().code, ErrorCode::InvalidPlugin);

    let hash = node.install("keep", tidegate_test_guests::KEEP).await;
    let name = || "keep".parse().unwrap();
    let again = node.client.install_plugin(name(), tidegate_test_guests::KEEP).await.unwrap();
    assert!(again.already);
    assert_eq!(again.version.hash, hash);

    node.attach(Attach::new("t", "keep", r#""plain""#)).await;
    node.produce("t", &["a", "drop", "fail", "b"]).await;
    let listed = node.client.list_plugins().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed, [node.client.show_plugin(name()).await.unwrap()]);
    assert_eq!(listed[0].versions.len(), 1);
    let status = node.attachment("keep").await;
    let stats = status.stats;
    assert_eq!((stats.records, stats.dropped, stats.failed), (4, 1, 1));
    assert_eq!((stats.batches, stats.traps, stats.dead_lettered), (1, 0, 0));
    assert!(stats.busy_ns > 0 && stats.bytes_out > 0 && stats.bytes_out < stats.bytes_in);
    assert!(status.last_error.unwrap().contains("asked to fail"));
    assert_eq!(node.describe("t").await.attachments.len(), 1);
}
