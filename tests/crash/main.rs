//! `kill -9` of the edge, of the region, and of both, while producers with retries go on and a link
//! copies. At the end nothing that was acknowledged is lost, nothing is there twice, and the
//! region's files are the edge's, byte for byte.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod derive;
mod ingest;
mod sending;

use std::time::Duration;

use tidegate_tests::{Load, Node, Rng, Seed, check_log, check_same, link, scaled};
use tidegate_types::{ByteSize, TopicConfig};

const TOPIC: &str = "orders";
const PARTITIONS: u32 = 3;
const PRODUCERS: u32 = 2;

/// Small, so that segments are sealed and begun between two crashes.
const SEGMENT: ByteSize = ByteSize::kib(256);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Victim {
    Edge,
    Region,
    Both,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_records_survive_kill_9_exactly_once_at_both_sites() {
    let seed = Seed::take("crash");
    let mut rng = seed.rng(1);
    let (mut edge, mut region) = (Node::start("edge").await, Node::start("region").await);
    let config = TopicConfig { partitions: PARTITIONS, segment: SEGMENT, ..TopicConfig::default() };
    let client = edge.client().await;
    client.create_topic(TOPIC.parse().unwrap(), config, false).await.unwrap();
    link::join(&edge, &region, region.address(), &[TOPIC]).await;

    let mut loads = Vec::new();
    for producer in 0..PRODUCERS {
        let pause = Duration::from_millis(4);
        loads.push(Load::start(edge.client().await, TOPIC, PARTITIONS, producer, pause));
    }
    let cycles = scaled(21);
    for cycle in 0..cycles {
        let victim = [Victim::Edge, Victim::Region, Victim::Both][(cycle % 3) as usize];
        for load in &loads {
            load.progress(50 + rng.below(250)).await;
        }
        pause(&mut rng, 120).await;
        println!("cycle {cycle}: kill -9 of {victim:?}");
        crash(victim, &mut edge, &mut region, &mut rng).await;
    }

    let mut acked = Vec::new();
    for load in loads {
        acked.extend(load.finish().await);
    }
    assert!(acked.len() as u64 > cycles * 50, "only {} records were acknowledged", acked.len());
    let logs = link::identical(&edge, &region, TOPIC, PARTITIONS).await;
    println!("{} records acknowledged, logs of {:?} segments", acked.len(), segments(&logs));
    check_log(&acked, &logs);
    check_same(&edge.client().await, TOPIC.parse().unwrap(), &logs).await;
    check_same(&region.client().await, link::mirror_name(&edge, TOPIC), &logs).await;
}

fn segments(logs: &[tidegate_tests::files::StoredLog]) -> Vec<usize> {
    logs.iter().map(|log| log.segments).collect()
}

async fn pause(rng: &mut Rng, below_ms: u64) {
    tokio::time::sleep(Duration::from_millis(rng.below(below_ms))).await;
}

/// Kills, sometimes once more while the node recovers, and brings everything up again.
async fn crash(victim: Victim, edge: &mut Node, region: &mut Node, rng: &mut Rng) {
    let mut victims: Vec<&mut Node> = match victim {
        Victim::Edge => vec![edge],
        Victim::Region => vec![region],
        Victim::Both => vec![edge, region],
    };
    for node in &mut victims {
        node.kill();
    }
    pause(rng, 200).await;
    if rng.below(3) == 0 {
        for node in &mut victims {
            node.spawn();
        }
        pause(rng, 150).await;
        for node in &mut victims {
            node.kill();
        }
    }
    for node in &mut victims {
        node.spawn();
    }
    for node in victims {
        node.ready().await;
    }
}
