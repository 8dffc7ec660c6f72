//! Records that a plugin sends elsewhere: stored once each, whatever is retried and when.

use tidegate_client::{ProducerConfig, ProducerRecord};
use tidegate_types::{ByteSize, Offset, PoisonPolicy, key_partition};
use tidegate_wire::ErrorCode;

use crate::support::{Attach, Session, TestNode, stamped, text, topic};

/// Sends what names `x` or `y` to topics of that name; the rest stays.
const ROUTE: &str =
    r#"{"field": "to", "to": "topic", "topics": {"x": "x", "y": "y"}, "missing": "keep"}"#;

fn to(topic: &str, n: u32) -> String {
    format!(r#"{{"to": "{topic}", "n": {n}}}"#)
}

/// A node with topic `in`, whose records go to `x` and `y`, of which those named are made.
async fn routed(topics: &[&str], policy: PoisonPolicy) -> TestNode {
    let node = TestNode::start().await;
    node.create("in", 1).await;
    for name in topics {
        node.create(name, 1).await;
    }
    node.install_stock("route-by-field").await;
    node.attach(Attach::new("in", "route-by-field", ROUTE).policy(policy)).await;
    node
}

#[tokio::test]
async fn a_retry_stores_no_output_twice_also_after_a_restart() {
    let mut node = routed(&["x", "y"], PoisonPolicy::Skip).await;
    let identity = node.identity().await;
    let values = [to("x", 0), to("none", 1), to("y", 2), to("x", 3)];
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let sent = || stamped(&values, identity, 0);
    let mut session = Session::open(&node.client, "in", Some(identity)).await;
    assert!(!session.put(sent()).await.unwrap().duplicate);
    assert!(session.put(sent()).await.unwrap().duplicate);
    node.restart().await;
    let mut session = Session::open(&node.client, "in", Some(identity)).await;
    assert!(session.put(sent()).await.unwrap().duplicate);
    let next = [to("x", 4), to("y", 5)];
    session.put(stamped(&[&next[0], &next[1]], identity, 4)).await.unwrap();

    assert_eq!(node.values("x").await, [to("x", 0), to("x", 3), to("x", 4)]);
    assert_eq!(node.values("y").await, [to("y", 2), to("y", 5)]);
    let stayed = node.read("in").await;
    assert_eq!((stayed.len(), stayed[0].offset), (1, Offset(1)), "where it was sent to");
}

#[tokio::test]
async fn a_retry_appends_only_what_is_missing() {
    let node = routed(&["x", "y"], PoisonPolicy::Skip).await;
    let identity = node.identity().await;
    let values = [to("x", 0), to("y", 1), to("none", 2)];
    let sent = || stamped(&[&values[0], &values[1], &values[2]], identity, 0);
    let mut session = Session::open(&node.client, "in", Some(identity)).await;
    session.put(sent()).await.unwrap();
    // One of the outputs is lost, as if the node had stopped before it was written.
    node.client.delete_topic(topic("y")).await.unwrap();
    node.create("y", 1).await;
    let again = session.put(sent()).await.unwrap();
    assert!(!again.duplicate, "some of it was new");
    assert_eq!(node.values("y").await, [to("y", 1)]);
    assert_eq!(node.values("x").await, [to("x", 0)]);
    assert_eq!(node.values("in").await, [to("none", 2)]);
}

#[tokio::test]
async fn a_batch_that_is_out_of_order_leaves_nothing_elsewhere() {
    let node = routed(&["x"], PoisonPolicy::Skip).await;
    let identity = node.identity().await;
    let mut session = Session::open(&node.client, "in", Some(identity)).await;
    let sent = |n: i32| stamped(&[&to("x", n as u32)], identity, n);
    session.put(sent(0)).await.unwrap();
    // Batch 1 is lost on its way; those after it are refused until it comes.
    for _ in 0..2 {
        let gap = session.put(sent(2)).await.unwrap_err();
        assert_eq!(gap.code, ErrorCode::OutOfOrderSequence);
        assert!(!gap.written, "{gap:?}");
    }
    for n in [1, 2] {
        assert!(!session.put(sent(n)).await.unwrap().duplicate, "batch {n}");
    }
    assert_eq!(node.values("x").await, [to("x", 0), to("x", 1), to("x", 2)]);
}

#[tokio::test]
async fn a_fenced_producer_leaves_nothing_elsewhere() {
    let node = routed(&["x"], PoisonPolicy::Skip).await;
    let old = node.identity().await;
    let mut stale = Session::open(&node.client, "in", Some(old)).await;
    stale.put(stamped(&[&to("x", 0)], old, 0)).await.unwrap();
    let new = node.client.init_producer(Some(old)).await.unwrap();
    let mut fresh = Session::open(&node.client, "in", Some(new)).await;
    // It stays in its partition: the other topic has not heard of the new generation.
    fresh.put(stamped(&[&to("none", 1)], new, 0)).await.unwrap();
    let fenced = stale.put(stamped(&[&to("x", 2)], old, 1)).await.unwrap_err();
    assert_eq!(fenced.code, ErrorCode::ProducerFenced);
    assert_eq!(node.values("x").await, [to("x", 0)]);
}

#[tokio::test]
async fn producers_of_one_topic_keep_their_outputs_apart() {
    let node = routed(&["x"], PoisonPolicy::Skip).await;
    let (one, two) = (node.identity().await, node.identity().await);
    let mut first = Session::open(&node.client, "in", Some(one)).await;
    let mut second = Session::open(&node.client, "in", Some(two)).await;
    for n in 0..5 {
        assert!(!first.put(stamped(&[&to("x", 10 + n)], one, n as i32)).await.unwrap().duplicate);
        assert!(!second.put(stamped(&[&to("x", 20 + n)], two, n as i32)).await.unwrap().duplicate);
    }
    let mut stored = node.values("x").await;
    stored.sort();
    let expected: Vec<String> = (10..15).chain(20..25).map(|n| to("x", n)).collect();
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn a_route_to_a_missing_topic_fails_the_record_as_its_policy_says() {
    let missing = [to("x", 0), to("y", 1)];
    let sent = |identity| stamped(&[&missing[0], &missing[1]], identity, 0);

    let node = routed(&["x"], PoisonPolicy::Skip).await;
    let identity = node.identity().await;
    let mut session = Session::open(&node.client, "in", Some(identity)).await;
    session.put(sent(identity)).await.unwrap();
    assert_eq!(node.values("x").await, [to("x", 0)]);
    let status = node.attachment("route-by-field").await;
    assert_eq!((status.stats.failed, status.stats.dead_lettered), (1, 0));
    assert!(status.last_error.unwrap().contains('y'));
    assert!(node.client.describe_topic(topic("y")).await.is_err(), "topics are not made so");

    let letters = Attach::new("in", "route-by-field", ROUTE).policy(PoisonPolicy::DeadLetter);
    node.attach(letters).await;
    session.put(stamped(&[&missing[1]], identity, 2)).await.unwrap();
    assert_eq!(node.values("in.dead").await, [to("y", 1)]);

    let halting = Attach::new("in", "route-by-field", ROUTE).policy(PoisonPolicy::Halt);
    node.attach(halting).await;
    let waiting = || stamped(&[&to("y", 2)], identity, 3);
    let halted = session.put(waiting()).await.unwrap_err();
    assert_eq!(halted.code, ErrorCode::HaltedByPlugin);
    assert!(!halted.written && halted.message.contains('y'), "{halted:?}");
    node.create("y", 1).await;
    session.put(waiting()).await.unwrap();
    assert_eq!(node.values("y").await, [to("y", 2)]);
}

#[tokio::test]
async fn a_partition_chosen_by_a_field_is_the_one_that_clients_choose() {
    let node = TestNode::start().await;
    node.create("in", 4).await;
    node.install_stock("route-by-field").await;
    let config = r#"{"field": "device", "to": "partition"}"#;
    node.attach(Attach::new("in", "route-by-field", config)).await;
    let devices: Vec<String> = (0..20).map(|n| format!("device-{n}")).collect();
    let values: Vec<String> = devices.iter().map(|d| format!(r#"{{"device": "{d}"}}"#)).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let identity = node.identity().await;
    let mut session = Session::open(&node.client, "in", Some(identity)).await;
    session.put(stamped(&values, identity, 0)).await.unwrap();
    assert!(session.put(stamped(&values, identity, 0)).await.unwrap().duplicate);

    let stored = node.read("in").await;
    assert_eq!(stored.len(), devices.len());
    for device in &devices {
        let of_device: Vec<_> =
            stored.iter().filter(|r| text(r).contains(&format!("\"{device}\""))).collect();
        assert_eq!(of_device.len(), 1, "{device}");
        assert_eq!(of_device[0].partition, key_partition(device.as_bytes(), 4), "{device}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_output_is_stored_once_and_in_order_though_the_node_restarts_under_load() {
    /// In batches of a few, many on their way at once.
    const RECORDS: u32 = 3_000;
    let mut node = routed(&["x", "y"], PoisonPolicy::Skip).await;
    let config = ProducerConfig { batch_bytes: ByteSize::bytes(500), ..ProducerConfig::default() };
    let producer = node.client.producer(topic("in"), config).await.unwrap();
    let name = |n: u32| ["x", "y", "none"][n as usize % 3];
    let mut deliveries = Vec::new();
    for n in 0..RECORDS {
        deliveries.push(producer.send(ProducerRecord::new(to(name(n), n))).await.unwrap());
    }
    let mut deliveries = deliveries.into_iter();
    for _ in 0..2 {
        // So many are stored; most of the others are on their way.
        for delivery in deliveries.by_ref().take(100) {
            delivery.await.unwrap();
        }
        node.restart().await;
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    producer.close().await.unwrap();
    for (index, name) in ["x", "y", "in"].into_iter().enumerate() {
        let expected: Vec<String> = (0..RECORDS)
            .filter(|n| *n as usize % 3 == index)
            .map(|n| to(["x", "y", "none"][index], n))
            .collect();
        assert_eq!(node.values(name).await, expected, "{name}");
    }
}
