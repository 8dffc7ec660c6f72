//! Another version of a plugin, while records come.

use tidegate_client::{ProducerConfig, ProducerRecord};
use tidegate_test_guests::HOSTILE;
use tidegate_types::ByteSize;
use tokio::sync::watch;

use crate::support::{Attach, TestNode, topic, variant};

/// Records that surely meet one version.
const SURE: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_record_meets_one_version_and_none_is_lost_while_they_are_swapped() {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    // One version leaves values as they are, the other writes them in capitals.
    let old = node.install("shape", HOSTILE).await;
    let new = node.install("shape", variant(HOSTILE)).await;
    assert_ne!(old, new);
    let version = |hash, config| Attach { hash: Some(hash), ..Attach::new("t", "shape", config) };
    node.attach(version(old, r#""keep""#)).await;

    // Small batches, many on their way at once, all the time.
    let config = ProducerConfig { batch_bytes: ByteSize::bytes(300), ..ProducerConfig::default() };
    let producer = node.client.producer(topic("t"), config).await.unwrap();
    let (stored, mut progress) = watch::channel(0);
    let (stop, stopping) = watch::channel(false);
    let load = tokio::spawn(async move {
        let mut sent = 0;
        while !*stopping.borrow() {
            let mut batch = Vec::new();
            for _ in 0..50 {
                batch.push(
                    producer.send(ProducerRecord::new(format!("value {sent}"))).await.unwrap(),
                );
                sent += 1;
            }
            for delivery in batch {
                delivery.await.unwrap();
            }
            stored.send_replace(sent);
        }
        producer.close().await.unwrap();
        sent
    });
    progress.wait_for(|stored| *stored >= SURE).await.unwrap();
    node.attach(version(new, r#""upper""#)).await;
    let swapped = *progress.borrow();
    progress.wait_for(|stored| *stored >= swapped + SURE).await.unwrap();
    stop.send_replace(true);
    let sent = load.await.unwrap();

    let values = node.values("t").await;
    assert_eq!(values.len(), sent);
    let first_new = values.iter().position(|value| value.starts_with('V')).unwrap();
    assert!((SURE..=sent - SURE / 2).contains(&first_new), "{first_new} of {sent}");
    for (number, value) in values.iter().enumerate() {
        let shaped = if number < first_new { "value" } else { "VALUE" };
        assert_eq!(*value, format!("{shaped} {number}"));
    }
    let status = node.attachment("shape").await;
    assert_eq!(status.attachment.hash, new);
    assert_eq!((status.stats.traps, status.stats.failed), (0, 0));
    assert_eq!(status.stats.rewritten, (sent - first_new) as u64);
}

#[tokio::test]
async fn the_newest_version_is_taken_where_none_is_named() {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    let old = node.install("shape", HOSTILE).await;
    assert_eq!(node.attach(Attach::new("t", "shape", r#""keep""#)).await.hash, old);
    let new = node.install("shape", variant(HOSTILE)).await;
    assert_eq!(node.attachment("shape").await.attachment.hash, old, "installing swaps nothing");
    assert_eq!(node.attach(Attach::new("t", "shape", r#""upper""#)).await.hash, new);
    assert_eq!(node.describe("t").await.attachments.len(), 1, "in place of the other");
    node.produce("t", &["a"]).await;
    assert_eq!(node.values("t").await, ["A"]);
}
