//! Records far larger than most, on a topic that takes them.

use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_tests::{BatchSpec, Broker, Typed, error};
use tidegate_tests::{Node, consume};

use crate::T0;

/// What whoever sends large records mostly sets.
const TEN_MIB: usize = 10 << 20;

/// A topic that says so takes batches of ten mebibytes: they are acknowledged, survive a kill, and
/// are given whole to Kafka's clients and to others; a topic that says nothing takes one at most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_says_so_takes_batches_of_ten_mebibytes() {
    let mut node = Node::new("edge").with_kafka();
    node.restart().await;
    let broker = Broker { address: node.kafka() };
    let mut client = Typed::open(broker);
    client.create("large", 1, &[("max.message.bytes", "10485760")]);
    client.create("usual", 1, &[]);
    let batch = |letter: &str, size: usize| {
        let value = letter.repeat(size - 1_000);
        BatchSpec::of(&[("k", &value)], T0)
    };
    let batches = [batch("a", TEN_MIB), batch("b", TEN_MIB), batch("c", 2_000)];
    for (batch, offset) in batches.iter().zip(0..) {
        assert_eq!(client.append("large", batch), offset);
    }
    let refused = client.produce("usual", batches[0].bytes());
    assert_eq!(error(refused.error_code), ErrorCode::MessageTooLarge);
    let refused = client.produce("large", batch("d", TEN_MIB + 2_000).bytes());
    assert_eq!(error(refused.error_code), ErrorCode::MessageTooLarge);

    node.kill();
    node.restart().await;
    let mut client = Typed::open(broker);
    // Each fetch begins with a batch, and its limit is larger than all of them.
    let found = client.read("large", 0);
    let mut rest = &found[..];
    for batch in &batches {
        let sent = batch.bytes();
        let (one, others) = rest.split_at(sent.len());
        assert!(one[61..] == sent[61..], "as it was sent");
        rest = others;
    }
    assert!(rest.is_empty(), "{} bytes more", rest.len());
    let consumed = consume(&node.client().await, "large".parse().unwrap(), 1).await;
    let lengths: Vec<_> =
        consumed[0].records.iter().map(|record| record.value.as_ref().map(|v| v.len())).collect();
    assert_eq!(lengths, [Some(TEN_MIB - 1_000), Some(TEN_MIB - 1_000), Some(1_000)]);
}
