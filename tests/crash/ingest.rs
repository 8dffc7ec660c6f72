//! `kill -9` of a node while plugins send records elsewhere: a dead letter, a second copy, another
//! topic. A producer's retry meets outputs that were stored, or not, or in part; each of them must
//! be there once all the same.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tidegate_client::{Client, Delivery, ProducerConfig, ProducerRecord};
use tidegate_test_guests::HOSTILE;
use tidegate_tests::{Node, PATIENCE, Seed, eventually, files, scaled};
use tidegate_types::{Hook, PluginLimits, PoisonPolicy, TopicConfig, TopicName};
use tidegate_wire::AttachRequest;
use tokio::sync::watch;

const IN_FLIGHT: usize = 100;

/// One record in so many fails in the plugin, where that is what it does.
const POISONED: u64 = 23;

/// Topics, and what the plugin does on each.
const TOPICS: [(&str, &str); 3] =
    [("poisoned", "panic:value"), ("doubled", "split"), ("routed", "route")];

fn name(topic: &str) -> TopicName {
    topic.parse().unwrap()
}

fn value(topic: &str, number: u64) -> String {
    let poison = topic == "poisoned" && number.is_multiple_of(POISONED);
    format!("{}:{number}", if poison { "poison" } else { "good" })
}

/// Produces until told to stop; gives how many records were sent, all of them acknowledged.
async fn produce(
    client: Client,
    topic: &'static str,
    stopped: watch::Receiver<bool>,
    acked: watch::Sender<u64>,
) -> u64 {
    let config = ProducerConfig { delivery_timeout: 2 * PATIENCE, ..ProducerConfig::default() };
    let producer = client.producer(name(topic), config).await.unwrap();
    let mut waiting: VecDeque<Delivery> = VecDeque::new();
    let mut number = 0;
    while !*stopped.borrow() {
        let record = ProducerRecord::new(value(topic, number)).with_key("k");
        waiting.push_back(producer.send(record).await.unwrap());
        number += 1;
        if let Some(oldest) = (waiting.len() >= IN_FLIGHT).then(|| waiting.pop_front()).flatten() {
            oldest.await.unwrap();
            acked.send_modify(|acked| *acked += 1);
        }
        if number % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    for delivery in waiting {
        delivery.await.unwrap();
    }
    number
}

/// How often each value lies in a topic of one partition; checks that numbers do not fall.
async fn stored(node: &Node, topic: &str) -> HashMap<String, u32> {
    let id = node.client().await.describe_topic(name(topic)).await.unwrap().id;
    let (mut counts, mut last) = (HashMap::new(), 0);
    for record in files::read_partition(node.data(), id, 0).records {
        let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
        let number: u64 = value.split_once(':').unwrap().1.parse().unwrap();
        assert!(number >= last, "{topic}: {value} lies after {last}");
        last = number;
        *counts.entry(value).or_insert(0) += 1;
    }
    counts
}

/// Every record of `topic` lies so many times in a topic; which topic, and how often, `place` says.
async fn check(
    node: &Node,
    topic: &'static str,
    sent: u64,
    places: &[&str],
    place: fn(&str) -> (usize, u32),
) {
    let mut found = Vec::new();
    for place in places {
        found.push(stored(node, place).await);
    }
    for number in 0..sent {
        let value = value(topic, number);
        let (due, times) = place(&value);
        for (index, counts) in found.iter().enumerate() {
            let expected = if index == due { times } else { 0 };
            let count = counts.get(&value).copied().unwrap_or(0);
            assert_eq!(count, expected, "{value} of {topic} in {}", places[index]);
        }
    }
    println!("{sent} records of {topic}: each where it belongs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_plugins_send_elsewhere_survives_kill_9_exactly_once() {
    let mut rng = Seed::take("crash ingest").rng(2);
    let mut node = Node::start("edge").await;
    let client = node.client().await;
    let plugin = client.install_plugin("hostile".parse().unwrap(), Bytes::from_static(HOSTILE));
    plugin.await.unwrap();
    for topic in ["elsewhere"].into_iter().chain(TOPICS.map(|(topic, _)| topic)) {
        client.create_topic(name(topic), TopicConfig::default(), false).await.unwrap();
    }
    let (stop, stopped) = watch::channel(false);
    let (mut producing, mut progress) = (Vec::new(), Vec::new());
    for (topic, deed) in TOPICS {
        let request = AttachRequest {
            topic: name(topic),
            hook: Hook::Ingest,
            plugin: "hostile".parse().unwrap(),
            hash: None,
            config: format!("\"{deed}\""),
            policy: PoisonPolicy::DeadLetter,
            limits: PluginLimits::default(),
            derive: None,
            canary: Vec::new(),
        };
        client.attach_plugin(request).await.unwrap();
        let (acked, counting) = watch::channel(0);
        let client = node.client().await;
        producing.push(tokio::spawn(produce(client, topic, stopped.clone(), acked)));
        progress.push(counting);
    }
    for cycle in 0..scaled(10) {
        for (acked, (topic, _)) in progress.iter().zip(TOPICS) {
            let goal = *acked.borrow() + 30 + rng.below(100);
            eventually(topic, async || match *acked.borrow() {
                acked if acked >= goal => Ok(()),
                acked => Err(format!("{acked} of {goal} acknowledged")),
            })
            .await;
        }
        tokio::time::sleep(Duration::from_millis(rng.below(60))).await;
        println!("cycle {cycle}: kill -9");
        node.kill();
        node.restart().await;
    }
    stop.send_replace(true);
    let mut sent = Vec::new();
    for task in producing {
        sent.push(tokio::time::timeout(2 * PATIENCE, task).await.unwrap().unwrap());
    }
    let places = ["poisoned", "poisoned.dead"];
    check(&node, "poisoned", sent[0], &places, |value| {
        (usize::from(value.starts_with("poison")), 1)
    })
    .await;
    check(&node, "doubled", sent[1], &["doubled"], |_| (0, 2)).await;
    check(&node, "routed", sent[2], &["routed", "elsewhere"], |_| (1, 1)).await;
}
