//! Versions side by side, back again, and paused.

use tidegate_test_guests::HOSTILE;
use tidegate_types::{Hook, PartitionId, PoisonPolicy};
use tidegate_wire::ErrorCode;

use crate::support::{Attach, TestNode, topic, variant};

/// A node with the test transform on a topic of two partitions, and a second version installed.
async fn two_versions() -> TestNode {
    let node = TestNode::start().await;
    node.create("t", 2).await;
    node.install("shape", HOSTILE).await;
    node.attach(Attach::new("t", "shape", r#""keep""#)).await;
    node.install("shape", variant(HOSTILE)).await;
    node
}

async fn values_of(node: &TestNode, partition: u32) -> Vec<String> {
    let read = node.read("t").await;
    let there = read.iter().filter(|record| record.partition == PartitionId(partition));
    there.map(crate::support::text).collect()
}

#[tokio::test]
async fn a_version_on_trial_has_its_partitions_and_no_others() {
    let mut node = two_versions().await;
    let trial = Attach { canary: vec![PartitionId(1)], ..Attach::new("t", "shape", r#""upper""#) };
    let attached = node.attach(trial).await;
    assert_eq!(attached.config, r#""keep""#, "the version before stays");
    node.restart().await;
    for partition in 0..2 {
        node.produce_to("t", partition, &["a"]).await;
    }
    assert_eq!(values_of(&node, 0).await, ["a"]);
    assert_eq!(values_of(&node, 1).await, ["A"]);
    let shown = node.client.show_plugin("shape".parse().unwrap()).await.unwrap();
    let counts: Vec<_> = shown
        .attachments
        .iter()
        .map(|status| (status.partitions.len(), status.stats.records))
        .collect();
    assert_eq!(counts, [(0, 1), (1, 1)], "each version has counts of its own");
    // Neither of them can be removed meanwhile.
    let removed = node.client.remove_plugin("shape".parse().unwrap(), None).await;
    let refused = removed.unwrap_err().refusal().unwrap().code;
    assert_eq!(refused, ErrorCode::PluginInUse);

    let back = node.client.rollback_plugin(topic("t"), Hook::Ingest, "shape".parse().unwrap());
    assert_eq!(back.await.unwrap().canary, None);
    node.produce_to("t", 1, &["b"]).await;
    assert_eq!(values_of(&node, 1).await, ["A", "b"]);
}

#[tokio::test]
async fn a_rollback_goes_to_the_version_before_and_again_to_the_one_after() {
    let node = two_versions().await;
    let back = || node.client.rollback_plugin(topic("t"), Hook::Ingest, "shape".parse().unwrap());
    let refused = back().await.unwrap_err().to_string();
    assert!(refused.contains("no other version"), "{refused}");
    let new = node.attach(Attach::new("t", "shape", r#""upper""#)).await;
    node.produce("t", &["a"]).await;
    let old = back().await.unwrap();
    assert_ne!(old.hash, new.hash);
    node.produce("t", &["b"]).await;
    assert_eq!(back().await.unwrap().hash, new.hash);
    node.produce("t", &["c"]).await;
    assert_eq!(values_of(&node, 0).await, ["A", "b", "C"]);
}

#[tokio::test]
async fn what_fails_too_often_in_a_row_is_paused_and_its_records_are_kept_as_dead_letters() {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    node.install("shape", HOSTILE).await;
    let failing = || {
        Attach::new("t", "shape", r#""panic:value""#).policy(PoisonPolicy::DeadLetter).failures(3)
    };
    node.attach(failing()).await;
    for _ in 0..3 {
        node.produce("t", &["poison"]).await;
    }
    let status = node.attachment("shape").await;
    let reason = status.paused.unwrap();
    assert!(reason.contains("3 times in a row"), "{reason}");
    // It is not asked any more, not even for what it could handle.
    node.produce("t", &["good"]).await;
    assert_eq!(node.attachment("shape").await.stats.traps, status.stats.traps);
    assert_eq!(node.values("t.dead").await.len(), 4);
    node.attach(failing()).await;
    assert_eq!(node.attachment("shape").await.paused, None);
    node.produce("t", &["good"]).await;
    assert_eq!(node.values("t").await, ["good"]);
}
