//! `kill -9` and power cuts at random, under load. What was acknowledged as durable is there, once
//! and in order; what was not synced may be gone, from the end.

use std::collections::BTreeMap;

use tidegate_client::Client;
use tidegate_tests::{FileSystem, Load, Node, Rng, Seed, scaled};
use tidegate_types::{ByteSize, Offset, StartPosition, TopicConfig, TopicId};

use super::{Keeps, Loads, STEADY, Start, Way, name, pause};

const DISK: ByteSize = ByteSize::mib(512);

/// Topics of every kind.
const WAYS: [Way; 6] = [
    Way { topic: "orders", partitions: 3, producers: 2, keeps: Keeps::All },
    Way { topic: "metrics", partitions: 1, producers: 1, keeps: Keeps::All },
    Way { topic: "notes", partitions: 2, producers: 1, keeps: Keeps::Unsynced },
    Way { topic: "bounded", partitions: 1, producers: 1, keeps: Keeps::Bounded },
    Way { topic: "states", partitions: 1, producers: 1, keeps: Keeps::Latest },
    TRIMMED,
];

const TRIMMED: Way = Way { topic: "trimmed", partitions: 2, producers: 1, keeps: Keeps::Untrimmed };

/// Topics made and deleted between cuts, and what they must be.
#[derive(Default)]
struct Topics {
    made: BTreeMap<String, Option<TopicId>>,
    /// Where the trimmed topic's partitions were said to start.
    starts: Vec<Offset>,
}

impl Topics {
    /// Makes one topic, deletes one made before, and trims half of another.
    async fn change(&mut self, client: &Client, cycle: u64) {
        let (new, old) = (format!("made-{cycle}"), format!("made-{}", cycle.saturating_sub(2)));
        let made = client.create_topic(name(&new), TopicConfig::default(), false).await.unwrap();
        self.made.insert(new, Some(made.id));
        if self.made.get(&old).is_some_and(Option::is_some) && cycle >= 2 {
            client.delete_topic(name(&old)).await.unwrap();
            self.made.insert(old, None);
        }
        let ends = TRIMMED.describe(client).await.partitions;
        let kept = ends.iter().map(|p| p.high_watermark.since(p.log_start) / 2).min();
        let to = StartPosition::BeforeEnd(kept.unwrap_or(0).unsigned_abs());
        let trimmed = client.trim_topic(name(TRIMMED.topic), None, to).await.unwrap();
        self.starts = trimmed.partitions.iter().map(|p| p.log_start).collect();
    }

    /// Each is as it was when its last change was acknowledged.
    async fn check(&self, client: &Client) {
        let listed = client.list_topics().await.unwrap();
        let found: BTreeMap<String, TopicId> =
            listed.into_iter().map(|topic| (topic.name.to_string(), topic.id)).collect();
        for (name, id) in &self.made {
            assert_eq!(found.get(name), id.as_ref(), "topic {name}");
        }
        // Nobody else trims it: neither more nor less is gone than was acknowledged.
        assert_eq!(TRIMMED.starts(client).await, self.starts, "starts of a trimmed topic");
    }
}

/// How the machine goes down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cut {
    /// All at once.
    Power,
    /// The disk first: the node sees it fail, and may say so, for some milliseconds.
    DiskFirst,
}

/// Takes the power away, and gives it back. The node is not started again.
async fn cut_power(cut: Cut, node: &mut Node, disk: &mut FileSystem, rng: &mut Rng) {
    if cut == Cut::Power {
        node.freeze();
    }
    disk.cut_power();
    if cut == Cut::DiskFirst {
        pause(rng, 150).await;
    }
    node.kill();
    disk.remount();
}

/// Starts a node whose power was cut; sometimes the power goes again while it recovers. Gives how
/// often it did.
async fn recover(node: &mut Node, disk: &mut FileSystem, rng: &mut Rng) -> u64 {
    let mut cuts = 0;
    while rng.below(3) == 0 {
        node.spawn();
        pause(rng, 120).await;
        cut_power(Cut::Power, node, disk, rng).await;
        cuts += 1;
    }
    node.restart().await;
    cuts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_records_survive_kill_9_on_ext4() {
    let test = "kill -9 on ext4";
    let Some(disk) = FileSystem::or_skip(test, DISK) else { return };
    let mut rng = Seed::take(test).rng(1);
    let mut node = Node::at("edge", &disk.path().join("data"));
    node.restart().await;
    for way in WAYS {
        way.create(&node.client().await).await;
    }
    let loads = Loads::start(&node, &WAYS, STEADY, Load::start).await;
    let mut topics = Topics::default();
    for cycle in 0..scaled(4) {
        loads.progress(&mut rng).await;
        topics.change(&node.client().await, cycle).await;
        pause(&mut rng, 100).await;
        println!("cycle {cycle}: kill -9");
        node.kill();
        if rng.below(3) == 0 {
            node.spawn();
            pause(&mut rng, 120).await;
            node.kill();
        }
        node.restart().await;
        topics.check(&node.client().await).await;
    }
    // Not a record is lost, synced or not: the system has what the process wrote.
    loads.check(&mut node, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_as_durable_survives_power_cuts() {
    survives(Cut::Power, "power cuts", Load::start).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_dies_under_a_running_node_takes_nothing_acknowledged_with_it() {
    survives(Cut::DiskFirst, "a dying disk", Load::start_undaunted).await;
}

async fn survives(cut: Cut, test: &str, start: Start) {
    let Some(mut disk) = FileSystem::or_skip(test, DISK) else { return };
    let mut rng = Seed::take(test).rng(1);
    let mut node = Node::at("edge", &disk.path().join("data"));
    node.restart().await;
    for way in WAYS {
        way.create(&node.client().await).await;
    }
    let loads = Loads::start(&node, &WAYS, STEADY, start).await;
    let (mut cuts, mut topics) = (0, Topics::default());
    for cycle in 0..scaled(4) {
        loads.progress(&mut rng).await;
        topics.change(&node.client().await, cycle).await;
        pause(&mut rng, 100).await;
        println!("cycle {cycle}: {cut:?}");
        cut_power(cut, &mut node, &mut disk, &mut rng).await;
        cuts += 1 + recover(&mut node, &mut disk, &mut rng).await;
        topics.check(&node.client().await).await;
    }
    loads.check(&mut node, cuts).await;
}

/// The first start makes the site's authority, its certificates, and the databases. Cut off at any
/// point, the next start finishes; and what was there once the node served is there for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_may_be_cut_off_at_any_point() {
    let test = "power cuts at the first start";
    let Some(mut disk) = FileSystem::or_skip(test, DISK) else { return };
    let mut rng = Seed::take(test).rng(1);
    for cycle in 0..scaled(6) {
        let data = disk.path().join(format!("data-{cycle}"));
        let mut node = Node::at("edge", &data);
        let served = rng.below(3) == 0;
        node.spawn();
        if served {
            node.ready().await;
        } else {
            pause(&mut rng, 60).await;
        }
        let authority = served.then(|| std::fs::read(data.join("tls/ca.pem")).unwrap());
        println!("cycle {cycle}: {}", if served { "serves" } else { "starts" });
        cut_power(Cut::Power, &mut node, &mut disk, &mut rng).await;
        node.restart().await;
        if let Some(authority) = authority {
            let now = std::fs::read(data.join("tls/ca.pem")).unwrap();
            assert!(now == authority, "the site has another authority after a power cut");
        }
        let topic = name("t");
        let client = node.client().await;
        client.create_topic(topic.clone(), TopicConfig::default(), false).await.unwrap();
        cut_power(Cut::Power, &mut node, &mut disk, &mut rng).await;
        node.restart().await;
        node.client().await.describe_topic(topic).await.unwrap();
        node.kill();
    }
}
