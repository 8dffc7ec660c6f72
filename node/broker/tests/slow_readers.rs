//! Readers that stand still hold nothing of the node's memory, and hold nobody up. Alone in its
//! process, whose memory it measures.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[expect(dead_code, unused_imports, reason = "another test uses the rest")]
#[path = "node/support/mod.rs"]
mod support;

use tidegate_client::{Client, ClientConfig, ConsumerConfig};
use tidegate_types::{ByteSize, StartPosition};
use tidegate_wire::{OpenSubscribe, SubscribeReply};

use support::{TestNode, topic};

const READERS: usize = 1_000;
const BATCHES: usize = 12;

/// What of this process is in memory.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_readers_that_stand_still_cost_no_memory_of_note() {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    let value = "tide".repeat(200_000);
    for _ in 0..BATCHES {
        node.produce("t", &[&value]).await;
    }
    let until_end =
        || ConsumerConfig { from: StartPosition::Start, until_end: true, ..Default::default() };
    assert_eq!(node.read_from("t", until_end()).await.len(), BATCHES);

    let address = node.client.address().to_owned();
    let mut config = ClientConfig::from_tls_dir(address, node.tls()).unwrap();
    config.stream_window = ByteSize::kib(8);
    let client = Client::connect(config).await.unwrap();
    let before = resident();
    let mut standing = Vec::new();
    for _ in 0..READERS {
        let partitions = Vec::new();
        let from = StartPosition::Start;
        let open =
            OpenSubscribe { topic: topic("t"), from, partitions, until_end: true, plugin: None };
        standing.push(client.open_subscribe(open).await.unwrap());
    }
    // Another one gets everything meanwhile; by its end all of them have long stood still.
    for _ in 0..10 {
        let records = node.read_from("t", until_end()).await;
        assert!(records.iter().all(|record| record.value.as_deref() == Some(value.as_bytes())));
        assert_eq!(records.len(), BATCHES);
    }
    let grown = ByteSize::bytes(resident().saturating_sub(before));
    println!("{READERS} readers that stand still cost {grown}");
    assert!(grown < ByteSize::mib(64), "{READERS} readers cost {grown}");

    // Those who go on get all of it; parsing checks the CRCs.
    for reader in standing.iter_mut().step_by(250) {
        let (mut bytes, mut ended) = (0, false);
        while let Some((reply, payload)) = reader.next().await.unwrap() {
            for batch in tidegate_record::Batches::new(&payload) {
                batch.unwrap();
            }
            bytes += payload.len();
            ended |= reply == SubscribeReply::End;
        }
        assert!(ended && bytes > BATCHES * value.len(), "{bytes} bytes");
    }
}
