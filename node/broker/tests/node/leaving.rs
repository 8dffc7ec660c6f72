//! Plugins on records that leave: to a reader who names one, and over a link.

use tidegate_client::ConsumerConfig;
use tidegate_test_guests::{HOSTILE, KEEP};
use tidegate_types::{Hook, PoisonPolicy};
use tidegate_wire::ErrorCode;

use crate::mirror::Sites;
use crate::support::{Attach, TestNode, text, topic};

fn naming(plugin: &str) -> ConsumerConfig {
    let plugin = Some(plugin.parse().unwrap());
    ConsumerConfig { until_end: true, plugin, ..ConsumerConfig::default() }
}

async fn seen(node: &TestNode, plugin: &str) -> Vec<(i64, String)> {
    let read = node.read_from("t", naming(plugin)).await;
    read.iter().map(|record| (record.offset.get(), text(record))).collect()
}

#[tokio::test]
async fn a_reader_who_names_a_plugin_gets_what_it_leaves_at_the_same_offsets() {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    node.install("keep", KEEP).await;
    node.install("shape", HOSTILE).await;
    node.attach(Attach::new("t", "keep", r#""plain""#).hook(Hook::Read)).await;
    node.attach(Attach::new("t", "shape", r#""upper""#).hook(Hook::Read)).await;
    node.produce("t", &["a", "drop", "b"]).await;
    node.produce("t", &["drop"]).await;
    node.produce("t", &["c"]).await;
    assert_eq!(node.values("t").await, ["a", "drop", "b", "drop", "c"], "nothing is stored");
    let expected = [(0, "a"), (2, "b"), (4, "c")].map(|(at, value)| (at, value.to_owned()));
    assert_eq!(seen(&node, "keep").await, expected);
    let upper: Vec<_> = seen(&node, "shape").await.into_iter().map(|(_, value)| value).collect();
    assert_eq!(upper, ["A", "DROP", "B", "DROP", "C"], "each reader has the plugin that it named");
    let refused = node.client.consumer(topic("t"), naming("none")).await.err().unwrap();
    let refused = refused.to_string();
    assert!(refused.contains("not attached to topic t at the hook read"), "{refused}");
}

#[tokio::test]
async fn a_record_that_fails_is_left_out_or_halts_its_reader_alone() {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    node.install("keep", KEEP).await;
    node.produce("t", &["a", "fail", "b"]).await;
    let attach = |policy| Attach::new("t", "keep", r#""plain""#).hook(Hook::Read).policy(policy);
    let refused = node.try_attach(attach(PoisonPolicy::DeadLetter)).await.unwrap_err();
    assert_eq!(refused.refusal().unwrap().code, ErrorCode::InvalidRequest);
    node.attach(attach(PoisonPolicy::Skip)).await;
    let left: Vec<_> = seen(&node, "keep").await.into_iter().map(|(_, value)| value).collect();
    assert_eq!(left, ["a", "b"]);
    node.attach(attach(PoisonPolicy::Halt)).await;
    let mut consumer = node.client.consumer(topic("t"), naming("keep")).await.unwrap();
    let halted = consumer.next().await.unwrap().unwrap_err().to_string();
    assert!(halted.contains("asked to fail"), "{halted}");
    assert_eq!(node.values("t").await.len(), 3, "others read on");
    // Splitting would need offsets that are not there.
    node.install("shape", HOSTILE).await;
    node.attach(Attach::new("t", "shape", r#""split""#).hook(Hook::Read)).await;
    let mut consumer = node.client.consumer(topic("t"), naming("shape")).await.unwrap();
    let refused = consumer.next().await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("split or moved"), "{refused}");
}

#[tokio::test]
async fn a_link_copies_what_its_plugins_leave_and_goes_on_behind_what_they_drop() {
    let sites = Sites::start().await;
    let (edge, region) = (&sites.edge, &sites.region);
    edge.create("t", 1).await;
    edge.install("keep", KEEP).await;
    edge.attach(Attach::new("t", "keep", r#""plain""#).hook(Hook::Link)).await;
    edge.produce("t", &["a", "drop"]).await;
    edge.produce("t", &["drop", "drop"]).await;
    edge.produce("t", &["b"]).await;
    sites.link(&["t"]).await;
    sites.copied("t").await;
    let copied = region.read("edge/t").await;
    let copied: Vec<_> = copied.iter().map(|r| (r.offset.get(), text(r))).collect();
    assert_eq!(copied, [(0, "a".to_owned()), (4, "b".to_owned())]);
    assert_eq!(edge.values("t").await.len(), 5);
    edge.detach_at("keep", "t", Hook::Link).await;
    edge.produce("t", &["drop"]).await;
    sites.copied("t").await;
    assert_eq!(region.values("edge/t").await, ["a", "b", "drop"]);
}
