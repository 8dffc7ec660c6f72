//! `kill -9` of a node while plugins send records elsewhere: a dead letter, a second copy, another
//! topic. A producer's retry meets outputs that were stored, or not, or in part; each of them must
//! be there once all the same.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use tidegate_client::ProducerRecord;
use tidegate_test_guests::HOSTILE;
use tidegate_tests::{Node, PATIENCE, Seed, eventually, files, scaled};
use tidegate_types::{TopicConfig, TopicName};
use tidegate_wire::AttachRequest;
use tokio::sync::watch;

use crate::sending::send;

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

/// How long the producers pause after some records.
const PAUSE: Duration = Duration::from_millis(5);

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
            config: format!("\"{deed}\""),
            ..AttachRequest::new(name(topic), "hostile".parse().unwrap())
        };
        client.attach_plugin(request).await.unwrap();
        let (acked, counting) = watch::channel(0);
        let client = node.client().await;
        let record = move |number| ProducerRecord::new(value(topic, number)).with_key("k");
        producing.push(tokio::spawn(send(client, topic, PAUSE, stopped.clone(), acked, record)));
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
