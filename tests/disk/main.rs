//! The disk under a node: its power is cut, it fills up, it fails. Real processes on an ext4 of
//! their own; where none can be mounted, each test says so and passes.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod failing;
mod full;
mod power;
mod sync;

use std::time::Duration;

use tidegate_client::Client;
use tidegate_tests::files::{StoredLog, read_partition};
use tidegate_tests::{
    Acked, Load, Node, Rng, check_compacted_log, check_cut_log, check_log, check_unsynced_log,
    consume, eventually,
};
use tidegate_types::{ByteSize, Cleanup, Flush, Offset, TopicConfig, TopicName, WhenFull};
use tidegate_wire::TopicDescription;

/// Small, so that segments are sealed and begun between two cuts.
const SEGMENT: ByteSize = ByteSize::kib(128);

fn name(topic: &str) -> TopicName {
    topic.parse().unwrap()
}

async fn pause(rng: &mut Rng, below_ms: u64) {
    tokio::time::sleep(Duration::from_millis(rng.below(below_ms))).await;
}

/// What a topic keeps of what was acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Keeps {
    /// All of it.
    All,
    /// What the system has written by itself: it is not synced.
    Unsynced,
    /// The newest: the oldest segments beyond [`BOUND`] go.
    Bounded,
    /// What was not trimmed.
    Untrimmed,
    /// The latest of each key.
    Latest,
    /// The newest, once the disk is full.
    Newest,
}

/// `retention.bytes` of a bounded topic.
const BOUND: ByteSize = ByteSize::kib(512);

/// A topic, and how many producers write to it.
#[derive(Clone, Copy, Debug)]
struct Way {
    topic: &'static str,
    partitions: u32,
    producers: u32,
    keeps: Keeps,
}

impl Way {
    fn config(self) -> TopicConfig {
        let mut config =
            TopicConfig { partitions: self.partitions, segment: SEGMENT, ..TopicConfig::default() };
        match self.keeps {
            Keeps::All | Keeps::Untrimmed => {}
            Keeps::Unsynced => config.flush = Flush::Os,
            Keeps::Bounded => config.policy.retention_bytes = Some(BOUND),
            Keeps::Latest => config.policy.cleanup = Cleanup::Compact,
            Keeps::Newest => config.policy.when_full = WhenFull::DropOldest,
        }
        config
    }

    async fn create(self, client: &Client) {
        client.create_topic(name(self.topic), self.config(), false).await.unwrap();
    }

    async fn describe(self, client: &Client) -> TopicDescription {
        client.describe_topic(name(self.topic)).await.unwrap()
    }

    /// Where each partition starts.
    async fn starts(self, client: &Client) -> Vec<Offset> {
        self.describe(client).await.partitions.iter().map(|p| p.log_start).collect()
    }

    /// Checks what lies on the disk of a node that is at rest, and what a consumer is given once it
    /// serves again, against what was acknowledged. Gives how many records were removed or lost.
    fn check(self, acked: &[Acked], logs: &[StoredLog], starts: &[Offset], cuts: u64) -> usize {
        match self.keeps {
            Keeps::Unsynced if cuts > 0 => check_unsynced_log(acked, logs, cuts),
            Keeps::All | Keeps::Unsynced => {
                check_log(acked, logs);
                0
            }
            Keeps::Latest => check_compacted_log(acked, logs),
            Keeps::Bounded | Keeps::Untrimmed | Keeps::Newest => check_cut_log(acked, logs, starts),
        }
    }
}

/// [`Load::start`], or another way to start one.
type Start = fn(Client, &str, u32, u32, Duration) -> Load;

/// A load that leaves the machine time for other things.
const STEADY: Duration = Duration::from_millis(2);

/// As many records as get through.
const HASTY: Duration = Duration::ZERO;

/// Producers on all of some topics.
struct Loads(Vec<(Way, Vec<Load>)>);

impl Loads {
    /// Starts them; each waits for `pause` after some records.
    async fn start(node: &Node, ways: &[Way], pause: Duration, start: Start) -> Loads {
        let mut loads = Vec::new();
        for way in ways {
            let mut of_topic = Vec::new();
            for producer in 0..way.producers {
                let client = node.client().await;
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

    /// Waits until so many more records were acknowledged, whichever producers got them through:
    /// where room is scarce, one may take it all while another still waits to try again.
    async fn any_more(&self, records: u64) {
        let acked = || self.0.iter().flat_map(|(_, loads)| loads).map(Load::acked).sum::<u64>();
        let goal = acked() + records;
        eventually("some producer to go on", async || {
            let acked = acked();
            if acked >= goal { Ok(()) } else { Err(format!("{acked} of {goal} acknowledged")) }
        })
        .await;
    }

    /// Stops them; gives what each topic acknowledged.
    async fn finish(self) -> Vec<(Way, Vec<Acked>)> {
        // All at once: while one waits for its last records, another could fill the disk.
        for load in self.0.iter().flat_map(|(_, loads)| loads) {
            load.stop();
        }
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

    /// Stops them, stops the node, and checks every topic: as it lies on the disk, and, when the
    /// node was started again, as a consumer sees it.
    async fn check(self, node: &mut Node, cuts: u64) {
        let finished = self.finish().await;
        let client = node.client().await;
        let mut topics = Vec::new();
        for (way, acked) in finished {
            topics.push((way, acked, way.describe(&client).await.id));
        }
        node.stop().await;
        let mut stored = Vec::new();
        for (way, acked, id) in topics {
            let read = |partition| read_partition(node.data(), id, partition);
            stored.push((way, acked, (0..way.partitions).map(read).collect::<Vec<_>>()));
        }
        node.restart().await;
        let client = node.client().await;
        for (way, acked, logs) in stored {
            let consumed = consume(&client, name(way.topic), way.partitions).await;
            let starts = way.starts(&client).await;
            let gone = way.check(&acked, &logs, &starts, cuts);
            way.check(&acked, &consumed, &starts, cuts);
            if matches!(way.keeps, Keeps::All | Keeps::Unsynced) {
                for (consumed, log) in consumed.iter().zip(&logs) {
                    assert!(
                        consumed.records == log.records,
                        "{}: consumed what is not stored",
                        way.topic
                    );
                }
            }
            let segments: Vec<usize> = logs.iter().map(|log| log.segments).collect();
            let topic = way.topic;
            println!("{topic}: {} acknowledged, {gone} gone, segments {segments:?}", acked.len());
            let removes = matches!(way.keeps, Keeps::Bounded | Keeps::Untrimmed | Keeps::Latest);
            assert!(gone > 0 || !removes, "{topic}: nothing was removed, so nothing was shown");
        }
    }
}
