//! `kill -9` of a node while it derives one topic from another with a state, and while versions of
//! the plugin are swapped: what comes out is what an independent computation makes of the input, each
//! record once and in its order, and no count in the state is lost or counted twice.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tidegate_client::ProducerRecord;
use tidegate_test_guests::TALLY;
use tidegate_tests::{Node, Seed, eventually, files, scaled};
use tidegate_types::{DeriveSpec, Hook, PluginHash, PluginLimits, TopicConfig, TopicName};
use tidegate_wire::AttachRequest;
use tokio::sync::watch;

use crate::sending::send;

const PARTITIONS: u32 = 2;

/// One record in so many is one over which the plugin panics.
const POISONED: usize = 37;

fn name(topic: &str) -> TopicName {
    topic.parse().unwrap()
}

/// Lines of a real log, each behind the word that it is counted by: the process that wrote it.
fn lines() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/openssh_2k.log");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("{} is not there: counting made-up words", path.display());
        return (0..500).map(|n| format!("word{} line {n}", n % 17)).collect();
    };
    let words = |line: &str| line.split_whitespace().nth(4).unwrap_or("none").to_owned();
    text.lines().map(|line| format!("{} {line}", words(line))).collect()
}

/// How long the producer pauses after some records.
const PAUSE: Duration = Duration::from_millis(2);

/// Record by record the lines, over and over, some of them poisoned.
fn records() -> impl Fn(u64) -> ProducerRecord {
    let lines = lines();
    move |number| {
        let number = number as usize;
        let line = &lines[number % lines.len()];
        let word = line.split(' ').next().unwrap().to_owned();
        let poison = if number.is_multiple_of(POISONED) { "panic " } else { "" };
        ProducerRecord::new(format!("{poison}{line}")).with_key(word)
    }
}

/// The values of one partition, as they lie on the disk.
async fn stored(node: &Node, topic: &str, partition: u32) -> Vec<String> {
    let id = node.client().await.describe_topic(name(topic)).await.unwrap().id;
    let records = files::read_partition(node.data(), id, partition).records;
    records.into_iter().map(|r| String::from_utf8(r.value.unwrap().to_vec()).unwrap()).collect()
}

async fn attach(node: &Node, hash: PluginHash, label: &str) {
    let request = AttachRequest {
        hook: Hook::Derive,
        hash: Some(hash),
        config: format!("\"{label}\""),
        limits: PluginLimits {
            batch_time: Duration::from_secs(60),
            failures: 0,
            ..PluginLimits::default()
        },
        derive: Some(DeriveSpec { to: name("counted"), table: None, from_end: false, life: 0 }),
        ..AttachRequest::new(name("lines"), "tally".parse().unwrap())
    };
    node.client().await.attach_plugin(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_is_derived_once_through_200_kills() {
    let seed = Seed::take("crash-derive");
    let mut rng = seed.rng(1);
    let mut node = Node::start("edge").await;
    let client = node.client().await;
    let config = TopicConfig { partitions: PARTITIONS, ..TopicConfig::default() };
    for topic in ["lines", "counted"] {
        client.create_topic(name(topic), config.clone(), false).await.unwrap();
    }
    let plugin = || "tally".parse().unwrap();
    let old = client.install_plugin(plugin(), Bytes::from_static(TALLY)).await.unwrap();
    // The same with one more section, which nobody reads, is another version.
    let other: Bytes = [TALLY, b"\0\x06\x05other"].concat().into();
    let new = client.install_plugin(plugin(), other).await.unwrap();
    let versions = [(old.version.hash, "a"), (new.version.hash, "b")];
    attach(&node, versions[0].0, versions[0].1).await;

    let (stop, stopped) = watch::channel(false);
    let (acked, mut progress) = watch::channel(0);
    let producing = {
        let client = node.client().await;
        tokio::spawn(async move { send(client, "lines", PAUSE, stopped, acked, records()).await })
    };
    let kills = scaled(200);
    for kill in 0..kills {
        let seen = *progress.borrow();
        progress.wait_for(|acked| *acked >= seen + 20).await.unwrap();
        tokio::time::sleep(Duration::from_millis(rng.below(60))).await;
        if rng.below(4) == 0 {
            let (hash, label) = versions[(kill % 2) as usize];
            attach(&node, hash, label).await;
            tokio::time::sleep(Duration::from_millis(rng.below(10))).await;
        }
        node.kill();
        node.spawn();
        node.ready().await;
    }
    stop.send_replace(true);
    producing.await.unwrap();

    let client = node.client().await;
    eventually("everything to be derived", async || {
        let shown = client.show_plugin(plugin()).await.map_err(|e| e.to_string())?;
        let derived = &shown.attachments.first().ok_or("it is not attached")?.derived;
        let behind = derived.iter().find(|at| at.next != at.end);
        match behind {
            None if derived.len() == PARTITIONS as usize => Ok(()),
            _ => Err(format!("{derived:?}")),
        }
    })
    .await;

    let (mut all, mut dead) = (0, Vec::new());
    for partition in 0..PARTITIONS {
        let mut counts: HashMap<String, u64> = HashMap::new();
        let mut expected = Vec::new();
        for line in stored(&node, "lines", partition).await {
            if line.starts_with("panic ") {
                dead.push(line);
                continue;
            }
            let count = counts.entry(line.split(' ').next().unwrap().to_owned()).or_default();
            expected.push(format!("{line} {count}"));
            *count += 1;
        }
        let derived = stored(&node, "counted", partition).await;
        assert_eq!(derived.len(), expected.len(), "partition {partition}");
        for (derived, expected) in derived.iter().zip(&expected) {
            let of_one = derived.strip_suffix('a').or(derived.strip_suffix('b'));
            assert_eq!(of_one, Some(expected.as_str()), "partition {partition}");
        }
        all += derived.len();
    }
    let mut letters = stored(&node, "lines.dead", 0).await;
    letters.sort();
    dead.sort();
    assert_eq!(letters, dead, "each record that failed is there once");
    println!("{kills} kills, {all} records derived and {} dead letters", dead.len());
    assert!(all as u64 > kills * 20);
}
