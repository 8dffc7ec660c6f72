//! A data folder: one process at a time, and everything in it is there again.

use tidegate_broker::{Node, NodeConfig, StartError};
use tidegate_types::{NodeId, Offset, limits};

use crate::support::{Attach, Session, TestNode, batch, topic};

/// Another node on this one's data, on any address.
fn config(node: &TestNode) -> NodeConfig {
    NodeConfig {
        data: node.data().to_owned(),
        site: "here".parse().unwrap(),
        node: NodeId(1),
        listen: ([127, 0, 0, 1], 0).into(),
        names: Vec::new(),
        reserve: limits::DEFAULT_RESERVE,
        groups: Default::default(),
        plugins: Default::default(),
    }
}

#[tokio::test]
async fn a_data_folder_serves_one_node_at_a_time() {
    let mut node = TestNode::start().await;
    let config = config(&node);
    let refused = Node::start(config.clone()).await.err().unwrap();
    assert!(matches!(&refused, StartError::InUse { path } if path == node.data()), "{refused}");
    node.create("t", 1).await;
    node.stop().await;
    // Once it is stopped the folder is free.
    Node::start(config).await.unwrap().shutdown().await;
    node.start_again().await;
    assert_eq!(node.describe("t").await.partitions.len(), 1);
}

#[tokio::test]
async fn an_address_in_use_is_told_and_the_folder_is_let_go() {
    let (mut node, other) = (TestNode::start().await, TestNode::start().await);
    node.stop().await;
    let refused = Node::start(NodeConfig { listen: other.address, ..config(&node) }).await;
    let refused = refused.err().unwrap();
    assert!(matches!(&refused, StartError::Listen(_)), "{refused}");
    assert!(refused.to_string().contains(&other.address.to_string()), "{refused}");
    node.start_again().await;
    assert_eq!(node.client.status().await.unwrap().topics, 0);
}

#[tokio::test]
async fn a_restart_keeps_topics_records_plugins_and_attachments() {
    let mut node = TestNode::start().await;
    node.create("t", 2).await;
    node.create("plain", 1).await;
    let hash = node.install("keep", tidegate_test_guests::KEEP).await;
    let attached = node.attach(Attach::new("t", "keep", r#""plain""#)).await;
    node.produce("t", &["a", "drop", "b"]).await;
    node.produce("plain", &["x"]).await;
    let (before, records) = (node.describe("t").await, node.read("t").await);
    assert_eq!(records.len(), 2);

    node.restart().await;
    let after = node.describe("t").await;
    assert_eq!((after.id, &after.config), (before.id, &before.config));
    assert_eq!(after.attachments, [attached]);
    for (after, before) in after.partitions.iter().zip(&before.partitions) {
        assert_eq!(after.incarnation, before.incarnation);
        assert_eq!(after.log_end, before.log_end);
        assert_eq!(after.durable, after.log_end);
    }
    assert_eq!(node.read("t").await, records);
    assert_eq!(node.values("plain").await, ["x"]);
    let status = node.attachment("keep").await;
    assert_eq!((status.attachment.hash, status.stats.records), (hash, 0));

    let mut session = Session::open(&node.client, "t", None).await;
    let ack = session.put(batch(&["drop", "c"])).await.unwrap();
    assert!(ack.base_offset >= Some(Offset(3)), "offsets are not given twice: {ack:?}");
    let values = node.values("t").await;
    assert_eq!(values, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_log_whose_folder_is_gone_begins_another_life() {
    let mut node = TestNode::start().await;
    let made = node.create("t", 2).await;
    node.produce("t", &["a"]).await;
    node.stop().await;
    let folder = node.data().join("topics").join(made.id.to_string());
    std::fs::remove_dir_all(folder.join("0")).unwrap();
    node.start_again().await;
    let now = node.describe("t").await;
    assert_ne!(now.partitions[0].incarnation, made.partitions[0].incarnation);
    assert_eq!(now.partitions[1].incarnation, made.partitions[1].incarnation);
    node.produce("t", &["b"]).await;
    assert_eq!(node.values("t").await, ["b"]);
    node.restart().await;
    let again = node.describe("t").await;
    assert_eq!(again.partitions[0].incarnation, now.partitions[0].incarnation, "told once");
}

#[tokio::test]
async fn a_delete_that_was_cut_short_ends_at_the_next_start() {
    let mut node = TestNode::start().await;
    let kept = node.create("kept", 1).await;
    let doomed = node.create("doomed", 2).await;
    let lost = node.create("lost", 1).await;
    node.produce("kept", &["a"]).await;
    let folder = |topic: &tidegate_wire::TopicDescription| {
        node.data().join("topics").join(topic.id.to_string())
    };
    let (kept, doomed, lost) = (folder(&kept), folder(&doomed), folder(&lost));
    // The topics left the metadata, and power failed before their logs went; one of them was never
    // announced to go.
    let (aside, other) = (node.data().join("aside"), node.data().join("other"));
    copy(&doomed, &aside);
    copy(&lost, &other);
    node.client.delete_topic(topic("doomed")).await.unwrap();
    node.client.delete_topic(topic("lost")).await.unwrap();
    node.stop().await;
    assert!(!doomed.exists() && !lost.exists());
    std::fs::rename(&aside, &doomed).unwrap();
    std::fs::write(doomed.join("doomed"), "").unwrap();
    std::fs::rename(&other, &lost).unwrap();
    // Another was announced, and power failed before it left the metadata.
    std::fs::write(kept.join("doomed"), "").unwrap();
    node.start_again().await;
    assert!(!doomed.exists(), "its logs are gone");
    assert!(lost.join("0").exists(), "logs of no topic are left alone");
    assert!(!kept.join("doomed").exists());
    assert_eq!(node.values("kept").await, ["a"]);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}
