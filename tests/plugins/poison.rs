//! A record on which a plugin fails: what becomes of it, and of everything around it.

use std::time::Duration;

use bytes::Bytes;
use tidegate_client::{
    Client, ConsumedRecord, ConsumerConfig, DeliveryError, ProducerConfig, ProducerRecord,
};
use tidegate_test_guests::HOSTILE;
use tidegate_tests::{Load, Node, PATIENCE};
use tidegate_types::{
    ByteSize, Hook, PluginHash, PluginLimits, PluginName, PoisonPolicy, TopicConfig, TopicName,
};
use tidegate_wire::{AttachRequest, ErrorCode, PluginStats};

/// What the guest does to a poisoned batch, and a word of the reason that is told.
const DEEDS: [(&str, &str); 3] =
    [("panic", "asked to panic"), ("loop", "took longer than"), ("allocate", "memory")];

const GOOD: u32 = 40;

fn name(topic: &str) -> TopicName {
    topic.parse().unwrap()
}

struct Site {
    node: Node,
    client: Client,
    hash: PluginHash,
    neighbour: Load,
}

impl Site {
    /// A node with the hostile plugin installed, and a topic that has nothing to do with it, which
    /// is produced to all the time.
    async fn start() -> Site {
        let node = Node::start("edge").await;
        let client = node.client().await;
        let hostile = Bytes::from_static(HOSTILE);
        let installed = client.install_plugin(hostile_name(), hostile).await.unwrap();
        client.create_topic(name("neighbour"), TopicConfig::default(), false).await.unwrap();
        let pause = Duration::from_millis(5);
        let neighbour = Load::start(node.client().await, "neighbour", 1, 0, pause);
        Site { node, client, hash: installed.version.hash, neighbour }
    }

    async fn attach(&self, topic: &str, deed: &str, policy: PoisonPolicy) {
        self.client.create_topic(name(topic), TopicConfig::default(), false).await.unwrap();
        let request = AttachRequest {
            topic: name(topic),
            hook: Hook::Ingest,
            plugin: hostile_name(),
            hash: None,
            config: format!("\"{deed}:value\""),
            policy,
            limits: PluginLimits {
                batch_time: Duration::from_millis(100),
                memory: ByteSize::mib(16),
                ..PluginLimits::default()
            },
            derive: None,
            canary: Vec::new(),
        };
        self.client.attach_plugin(request).await.unwrap();
    }

    async fn stats(&self, topic: &str) -> PluginStats {
        let shown = self.client.show_plugin(hostile_name()).await.unwrap();
        let attached = shown.attachments.iter().find(|a| a.attachment.topic == name(topic));
        attached.unwrap().stats
    }

    /// Sends good records with a poisoned one among them, as one batch; gives what came of each.
    async fn send_batch(&self, topic: &str) -> Vec<Result<(), DeliveryError>> {
        let config = ProducerConfig {
            linger: Duration::from_millis(300),
            delivery_timeout: PATIENCE,
            ..ProducerConfig::default()
        };
        let producer = self.client.producer(name(topic), config).await.unwrap();
        let mut deliveries = Vec::new();
        for number in 0..GOOD {
            if number == GOOD / 2 {
                let poison = ProducerRecord::new("poison, and more").with_key("bad");
                deliveries.push(producer.send(poison).await.unwrap());
            }
            let good = ProducerRecord::new(format!("good {number}")).with_key("fine");
            deliveries.push(producer.send(good).await.unwrap());
        }
        let mut outcomes = Vec::new();
        for delivery in deliveries {
            outcomes.push(delivery.await.map(drop));
        }
        outcomes
    }
}

fn hostile_name() -> PluginName {
    "hostile".parse().unwrap()
}

async fn consume(client: &Client, topic: &str) -> Vec<ConsumedRecord> {
    let until_end = ConsumerConfig { until_end: true, ..ConsumerConfig::default() };
    let mut consumer = client.consumer(name(topic), until_end).await.unwrap();
    let mut records = Vec::new();
    while let Some(record) = tokio::time::timeout(PATIENCE, consumer.next()).await.unwrap() {
        records.push(record.unwrap());
    }
    records
}

fn values(records: &[ConsumedRecord]) -> Vec<String> {
    let text = |record: &ConsumedRecord| {
        String::from_utf8(record.value.as_deref().unwrap().to_vec()).unwrap()
    };
    records.iter().map(text).collect()
}

fn good() -> Vec<String> {
    (0..GOOD).map(|number| format!("good {number}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skip_costs_the_poisoned_record_alone() {
    let site = Site::start().await;
    for (deed, reason) in DEEDS {
        let topic = format!("skip-{deed}");
        site.attach(&topic, deed, PoisonPolicy::Skip).await;
        let outcomes = site.send_batch(&topic).await;
        assert!(outcomes.iter().all(Result::is_ok), "{deed}: {outcomes:?}");
        assert_eq!(values(&consume(&site.client, &topic).await), good(), "{deed}");
        let stats = site.stats(&topic).await;
        assert_eq!((stats.failed, stats.dead_lettered), (1, 0), "{deed}: {stats:?}");
        assert!(stats.traps >= 1, "{deed}: {stats:?}");
        let shown = site.node.cli().run(&["plugin", "show", "hostile"]).await.exits(0);
        assert!(shown.out.contains(reason), "{deed}: {reason} is missing in\n{}", shown.out);
        site.neighbour.progress(50).await;
    }
    site.neighbour.finish().await;
    let status = site.client.status().await.unwrap();
    assert_eq!(status.attachments.len(), DEEDS.len());
    assert!(status.sealed.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letter_keeps_the_original_and_says_why() {
    let site = Site::start().await;
    for (deed, reason) in DEEDS {
        let topic = format!("dead-{deed}");
        site.attach(&topic, deed, PoisonPolicy::DeadLetter).await;
        let outcomes = site.send_batch(&topic).await;
        assert!(outcomes.iter().all(Result::is_ok), "{deed}: {outcomes:?}");
        assert_eq!(values(&consume(&site.client, &topic).await), good(), "{deed}");

        let dead = consume(&site.client, &format!("{topic}.dead")).await;
        let [letter] = dead.as_slice() else { panic!("{deed}: {dead:?}") };
        assert_eq!(letter.key.as_deref(), Some(&b"bad"[..]));
        assert_eq!(letter.value.as_deref(), Some(&b"poison, and more"[..]));
        let header = |name: &str| {
            let found = letter.headers.iter().find(|(n, _)| n == name.as_bytes());
            let (_, value) = found.unwrap_or_else(|| panic!("{name} is missing: {letter:?}"));
            String::from_utf8(value.as_deref().unwrap().to_vec()).unwrap()
        };
        assert!(header("tidegate.dead.reason").contains(reason), "{letter:?}");
        assert_eq!(header("tidegate.dead.plugin"), "hostile");
        assert_eq!(header("tidegate.dead.plugin.hash"), site.hash.to_string());
        assert_eq!(header("tidegate.dead.topic"), topic);
        let stats = site.stats(&topic).await;
        assert_eq!((stats.failed, stats.dead_lettered), (1, 1), "{deed}: {stats:?}");
        site.neighbour.progress(50).await;
    }
    site.neighbour.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn halt_refuses_the_batch_with_the_reason_until_the_plugin_is_detached() {
    let site = Site::start().await;
    for (deed, reason) in DEEDS {
        let topic = format!("halt-{deed}");
        site.attach(&topic, deed, PoisonPolicy::Halt).await;
        let outcomes = site.send_batch(&topic).await;
        for outcome in outcomes {
            let Err(DeliveryError::Refused(error)) = outcome else {
                panic!("{deed}: {outcome:?}");
            };
            assert_eq!(error.code, ErrorCode::HaltedByPlugin, "{error:?}");
            assert!(error.message.contains(reason), "{error:?}");
            assert!(!error.written, "{error:?}");
        }
        assert_eq!(values(&consume(&site.client, &topic).await), [""; 0], "{deed}");

        let told = site.node.cli().feed(&["produce", &topic], b"poison\n").await;
        told.fails(1, &["hostile", reason]);
        site.node.cli().feed(&["produce", &topic], b"harmless\n").await.exits(0);
        assert_eq!(values(&consume(&site.client, &topic).await), ["harmless"], "{deed}");

        site.client.detach_plugin(name(&topic), Hook::Ingest, hostile_name()).await.unwrap();
        let outcomes = site.send_batch(&topic).await;
        assert!(outcomes.iter().all(Result::is_ok), "{deed}: {outcomes:?}");
        let stored = values(&consume(&site.client, &topic).await);
        assert_eq!(stored.len() as u32, 1 + GOOD + 1, "{deed}: {stored:?}");
        site.neighbour.progress(50).await;
    }
    site.neighbour.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attachments_and_their_policy_survive_kill_9() {
    let mut site = Site::start().await;
    site.attach("kept", "panic", PoisonPolicy::DeadLetter).await;
    site.neighbour.finish().await;
    site.node.kill();
    site.node.restart().await;
    let client = site.node.client().await;
    let topic = client.describe_topic(name("kept")).await.unwrap();
    assert_eq!(topic.attachments.len(), 1);
    assert_eq!(topic.attachments[0].hash, site.hash);
    assert_eq!(topic.attachments[0].policy, PoisonPolicy::DeadLetter);
    site.node.cli().feed(&["produce", "kept"], b"poison\nfine\n").await.exits(0);
    assert_eq!(values(&consume(&client, "kept").await), ["fine"]);
    assert_eq!(values(&consume(&client, "kept.dead").await), ["poison"]);
}
