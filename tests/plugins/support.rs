//! What the tests share: a node with the hostile plugin and a neighbour, and what that plugin can do.

use std::time::Duration;

use bytes::Bytes;
use tidegate_client::{
    Client, ConsumedRecord, ConsumerConfig, DeliveryError, ProducerConfig, ProducerRecord,
};
use tidegate_test_guests::HOSTILE;
use tidegate_tests::{Load, Node, PATIENCE, check_log};
use tidegate_types::{
    ByteSize, PluginHash, PluginLimits, PluginName, PoisonPolicy, TopicConfig, TopicName,
};
use tidegate_wire::{AttachRequest, PluginStats};

/// What the guest does over a poisoned batch.
#[derive(Clone, Copy, Debug)]
pub struct Deed {
    /// Its name in the guest.
    pub mode: &'static str,
    /// What the operator reads of it.
    pub words: &'static str,
    /// What it may take for a batch. A deed that no time limit ends has time enough for a busy
    /// machine.
    pub time: Duration,
    pub memory: ByteSize,
}

impl Deed {
    pub const fn new(mode: &'static str, words: &'static str) -> Deed {
        Deed { mode, words, time: Duration::from_secs(30), memory: ByteSize::mib(16) }
    }

    const fn endless(mode: &'static str) -> Deed {
        let time = Duration::from_millis(250);
        Deed { time, ..Deed::new(mode, "took longer than 250ms") }
    }

    /// The configuration with which it harms only batches that have a poisoned record.
    pub fn config(&self) -> String {
        format!("\"{}:value\"", self.mode)
    }
}

pub const DEEDS: [Deed; 8] = [
    Deed::endless("loop"),
    Deed::endless("storm"),
    Deed::new("panic", "asked to panic | over two lines"),
    Deed::new("recurse", "itself too deep"),
    Deed::new("allocate", "of memory, its limit is 16 MiB"),
    Deed {
        memory: ByteSize::mib(512),
        ..Deed::new("huge", "returned more than 16 MiB for a batch")
    },
    Deed::new("ends-fall", "a malformed answer: values: the end of item 1 is wrong"),
    Deed::new("few-tags", "a malformed answer: tags has 0 items where 1 belong"),
];

/// The good records of [`send_batch`].
pub const GOOD: u32 = 40;

pub fn good() -> Vec<String> {
    (0..GOOD).map(|number| format!("good {number}")).collect()
}

pub fn name(topic: &str) -> TopicName {
    topic.parse().unwrap()
}

pub fn hostile_name() -> PluginName {
    "hostile".parse().unwrap()
}

/// The text tells one thing in one line, as an operator's tools want it.
#[track_caller]
pub fn assert_one_line(text: &str) {
    assert_eq!(text.trim_end().lines().count(), 1, "several lines, or none:\n{text}");
}

/// `component` with every occurrence of one text replaced by another of the same length.
pub fn patched(component: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = component.to_vec();
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    assert_ne!(bytes, component);
    bytes
}

/// The component as somebody would build it against a contract that is not there yet.
pub fn of_another_contract(component: &[u8]) -> Vec<u8> {
    let newer = patched(component, "tidegate:plugin/types@0.1.0", "tidegate:plugin/types@0.9.0");
    patched(&newer, "tidegate:plugin/host@0.1.0", "tidegate:plugin/host@0.9.0")
}

/// The same component under another hash: it has one more section, which nobody reads.
pub fn variant(component: &[u8], number: u8) -> Bytes {
    let section = [0, 7, 5, b'o', b't', b'h', b'e', b'r', number];
    [component, &section].concat().into()
}

pub struct Site {
    pub node: Node,
    pub client: Client,
    pub hash: PluginHash,
    pub neighbour: Load,
}

impl Site {
    /// A node with the hostile plugin installed, and a topic that has nothing to do with it, which
    /// is produced to all the time.
    pub async fn start() -> Site {
        let node = Node::start("edge").await;
        let client = node.client().await;
        let hostile = Bytes::from_static(HOSTILE);
        let installed = client.install_plugin(hostile_name(), hostile).await.unwrap();
        client.create_topic(name("neighbour"), TopicConfig::default(), false).await.unwrap();
        let pause = Duration::from_millis(5);
        let neighbour = Load::start(node.client().await, "neighbour", 1, 0, pause);
        Site { node, client, hash: installed.version.hash, neighbour }
    }

    /// Makes a topic on which the plugin does this.
    pub async fn attach(&self, topic: &str, deed: &Deed, policy: PoisonPolicy) {
        self.client.create_topic(name(topic), TopicConfig::default(), false).await.unwrap();
        let request = AttachRequest {
            config: deed.config(),
            policy,
            limits: PluginLimits {
                batch_time: deed.time,
                memory: deed.memory,
                ..PluginLimits::default()
            },
            ..AttachRequest::new(name(topic), hostile_name())
        };
        self.client.attach_plugin(request).await.unwrap();
    }

    pub async fn stats(&self, topic: &str) -> PluginStats {
        let shown = self.client.show_plugin(hostile_name()).await.unwrap();
        let attached = shown.attachments.iter().find(|a| a.attachment.topic == name(topic));
        attached.unwrap().stats
    }

    /// See [`send_batch`].
    pub async fn send_batch(&self, topic: &str) -> Vec<Result<(), DeliveryError>> {
        send_batch(&self.client, topic).await
    }

    /// The neighbour still goes on, and has lost nothing; no log gave up.
    pub async fn finish(self) -> Node {
        self.neighbour.progress(50).await;
        let acked = self.neighbour.finish().await;
        let stored = tidegate_tests::consume(&self.client, name("neighbour"), 1).await;
        check_log(&acked, &stored);
        assert!(self.client.status().await.unwrap().sealed.is_empty());
        self.node
    }
}

/// Sends good records with a poisoned one among them, as one batch; gives what came of each.
pub async fn send_batch(client: &Client, topic: &str) -> Vec<Result<(), DeliveryError>> {
    let config = ProducerConfig {
        linger: Duration::from_millis(300),
        delivery_timeout: PATIENCE,
        ..ProducerConfig::default()
    };
    let producer = client.producer(name(topic), config).await.unwrap();
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

pub async fn consume(client: &Client, topic: &str) -> Vec<ConsumedRecord> {
    let until_end = ConsumerConfig { until_end: true, ..ConsumerConfig::default() };
    let mut consumer = client.consumer(name(topic), until_end).await.unwrap();
    let mut records = Vec::new();
    while let Some(record) = tokio::time::timeout(PATIENCE, consumer.next()).await.unwrap() {
        records.push(record.unwrap());
    }
    records
}

pub fn values(records: &[ConsumedRecord]) -> Vec<String> {
    let text = |record: &ConsumedRecord| {
        String::from_utf8(record.value.as_deref().unwrap().to_vec()).unwrap()
    };
    records.iter().map(text).collect()
}
