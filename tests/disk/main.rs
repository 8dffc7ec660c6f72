//! The disk under a node: its power is cut, it fills up, it fails. Real processes on an ext4 of
//! their own; where none can be mounted, each test says so and passes.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod failing;
mod power;

use std::time::Duration;

use tidegate_client::Client;
use tidegate_tests::files::{StoredLog, read_partition};
use tidegate_tests::{Acked, Load, Node, Rng, check_log, check_same, check_unsynced_log};
use tidegate_types::{ByteSize, Flush, TopicConfig, TopicName};

/// Small, so that segments are sealed and begun between two cuts.
const SEGMENT: ByteSize = ByteSize::kib(128);

fn name(topic: &str) -> TopicName {
    topic.parse().unwrap()
}

async fn pause(rng: &mut Rng, below_ms: u64) {
    tokio::time::sleep(Duration::from_millis(rng.below(below_ms))).await;
}

/// A topic, and how many producers write to it.
#[derive(Clone, Copy, Debug)]
struct Way {
    topic: &'static str,
    partitions: u32,
    producers: u32,
    flush: Flush,
}

impl Way {
    fn config(self) -> TopicConfig {
        let Way { partitions, flush, .. } = self;
        TopicConfig { partitions, flush, segment: SEGMENT, ..TopicConfig::default() }
    }

    async fn create(self, client: &Client) {
        client.create_topic(name(self.topic), self.config(), false).await.unwrap();
    }

    /// All partitions as they lie on the disk.
    async fn logs(self, node: &Node) -> Vec<StoredLog> {
        let id = node.client().await.describe_topic(name(self.topic)).await.unwrap().id;
        (0..self.partitions).map(|partition| read_partition(node.data(), id, partition)).collect()
    }

    /// Checks what lies on the disk, and what a consumer is given, against what was acknowledged.
    async fn check(self, node: &Node, acked: &[Acked], cuts: u64) {
        let logs = self.logs(node).await;
        let lost = match self.flush {
            Flush::Os if cuts > 0 => check_unsynced_log(acked, &logs, cuts),
            Flush::Os | Flush::Always => {
                check_log(acked, &logs);
                0
            }
        };
        check_same(&node.client().await, name(self.topic), &logs).await;
        let segments: Vec<usize> = logs.iter().map(|log| log.segments).collect();
        let Way { topic, .. } = self;
        println!("{topic}: {} acknowledged, {lost} lost, segments {segments:?}", acked.len());
    }
}

/// Producers on all of some topics.
struct Loads(Vec<(Way, Vec<Load>)>);

impl Loads {
    async fn start(
        node: &Node,
        ways: &[Way],
        start: fn(Client, &str, u32, u32, Duration) -> Load,
    ) -> Loads {
        let mut loads = Vec::new();
        for way in ways {
            let mut of_topic = Vec::new();
            for producer in 0..way.producers {
                let (client, pause) = (node.client().await, Duration::from_millis(2));
                of_topic.push(start(client, way.topic, way.partitions, producer, pause));
            }
            loads.push((*way, of_topic));
        }
        Loads(loads)
    }

    /// Waits until each producer has got some more records acknowledged.
    async fn progress(&self, rng: &mut Rng) {
        self.more(20 + rng.below(200)).await;
    }

    /// Waits until each producer has got so many more records acknowledged.
    async fn more(&self, records: u64) {
        for load in self.0.iter().flat_map(|(_, loads)| loads) {
            load.progress(records).await;
        }
    }

    /// Stops them; gives what each topic acknowledged.
    async fn finish(self) -> Vec<(Way, Vec<Acked>)> {
        let mut all = Vec::new();
        for (way, loads) in self.0 {
            let mut acked = Vec::new();
            for load in loads {
                acked.extend(load.finish().await);
            }
            all.push((way, acked));
        }
        all
    }

    /// Stops them, and checks every topic.
    async fn check(self, node: &Node, cuts: u64) {
        for (way, acked) in self.finish().await {
            way.check(node, &acked, cuts).await;
        }
    }
}
