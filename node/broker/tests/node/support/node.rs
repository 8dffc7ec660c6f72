//! A node with its data folder, which outlives it.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidegate_broker::{Groups, Node, NodeConfig, PluginConfig};
use tidegate_client::{Client, ClientConfig, ConsumedRecord, ConsumerConfig};
use tidegate_record::{BatchBuilder, BuildOptions};
use tidegate_types::{NodeId, Timestamp, TopicConfig, TopicName, limits};
use tidegate_wire::{ProducerIdentity, TopicDescription};

use super::{MADE, PATIENCE, Session, eventually, stamped};

/// A topic's name.
pub fn topic(name: &str) -> TopicName {
    name.parse().unwrap()
}

/// A record's value.
pub fn text(record: &ConsumedRecord) -> String {
    String::from_utf8(record.value.as_ref().unwrap().to_vec()).unwrap()
}

/// The records' values.
pub fn texts(records: &[ConsumedRecord]) -> Vec<String> {
    records.iter().map(text).collect()
}

/// A node, its data folder, and a client of it.
pub struct TestNode {
    pub client: Client,
    pub address: SocketAddr,
    site: String,
    node: Option<Node>,
    data: TempDir,
}

impl TestNode {
    /// A node on an empty data folder.
    pub async fn start() -> TestNode {
        TestNode::start_site("here").await
    }

    pub async fn start_site(site: &str) -> TestNode {
        TestNode::start_site_with(site, PluginConfig::default()).await
    }

    /// A node that lets in and runs plugins so.
    pub async fn start_with(plugins: PluginConfig) -> TestNode {
        TestNode::start_site_with("here", plugins).await
    }

    async fn start_site_with(site: &str, plugins: PluginConfig) -> TestNode {
        let data = TempDir::new().unwrap();
        let config = NodeConfig { plugins, ..config(data.path(), site, 0) };
        let node = Node::start(config).await.unwrap();
        let address = node.address();
        let client = connect(data.path(), address).await;
        TestNode { client, address, site: site.to_owned(), node: Some(node), data }
    }

    /// Stops the node; its data and its client stay.
    pub async fn stop(&mut self) {
        self.node.take().unwrap().shutdown().await;
        // The runtime closes the socket a moment after its last user is gone.
        eventually("the address to be free", async || {
            UdpSocket::bind(self.address).map(drop).map_err(|e| e.to_string())
        })
        .await;
    }

    /// Starts it again on the same address.
    pub async fn start_again(&mut self) {
        assert!(self.node.is_none(), "it runs");
        let config = config(self.data.path(), &self.site, self.address.port());
        self.node = Some(Node::start(config).await.unwrap());
    }

    pub async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Its group coordinator.
    pub fn groups(&self) -> &Groups {
        self.node.as_ref().unwrap().broker().groups()
    }

    pub fn data(&self) -> &Path {
        self.data.path()
    }

    pub fn tls(&self) -> PathBuf {
        self.data.path().join("tls")
    }

    /// Another client, on a connection of its own.
    pub async fn another_client(&self) -> Client {
        connect(self.data.path(), self.address).await
    }

    pub async fn create(&self, name: &str, partitions: u32) -> TopicDescription {
        let config = TopicConfig { partitions, ..TopicConfig::default() };
        self.client.create_topic(topic(name), config, false).await.unwrap()
    }

    pub async fn describe(&self, name: &str) -> TopicDescription {
        self.client.describe_topic(topic(name)).await.unwrap()
    }

    pub async fn identity(&self) -> ProducerIdentity {
        self.client.init_producer(None).await.unwrap()
    }

    /// Produces one batch to partition 0, under a producer of its own, and waits until it is durable.
    pub async fn produce(&self, name: &str, values: &[&str]) {
        let identity = self.identity().await;
        let mut session = Session::open(&self.client, name, Some(identity)).await;
        session.put(stamped(values, identity, 0)).await.unwrap();
    }

    /// The same to another partition.
    pub async fn produce_to(&self, name: &str, partition: u32, values: &[&str]) {
        let identity = self.identity().await;
        let mut session = Session::open(&self.client, name, Some(identity)).await;
        session.put_to(partition, stamped(values, identity, 0)).await.unwrap();
    }

    /// Produces one batch of keys, each with a value or with none, to partition 0.
    pub async fn produce_keyed(&self, name: &str, records: &[(&str, Option<&str>)]) {
        let mut builder = BatchBuilder::new(BuildOptions::default());
        for (key, value) in records {
            let (key, value) = (Some(key.as_bytes()), value.map(str::as_bytes));
            builder.push(MADE, key, value, []).unwrap();
        }
        let mut session = Session::open(&self.client, name, None).await;
        session.put(builder.build().unwrap().into()).await.unwrap();
    }

    /// Produces one batch of values with their times, in milliseconds, to partition 0.
    pub async fn produce_at(&self, name: &str, records: &[(i64, &str)]) {
        let mut builder = BatchBuilder::new(BuildOptions::default());
        for (at, value) in records {
            builder.push(Timestamp(*at), None, Some(value.as_bytes()), []).unwrap();
        }
        let mut session = Session::open(&self.client, name, None).await;
        session.put(builder.build().unwrap().into()).await.unwrap();
    }

    /// All that consumers may see, by partition and offset.
    pub async fn read(&self, name: &str) -> Vec<ConsumedRecord> {
        let until_end = ConsumerConfig { until_end: true, ..ConsumerConfig::default() };
        self.read_from(name, until_end).await
    }

    pub async fn read_from(&self, name: &str, config: ConsumerConfig) -> Vec<ConsumedRecord> {
        let mut consumer = self.client.consumer(topic(name), config).await.unwrap();
        let mut records = Vec::new();
        while let Some(record) = consumer.next().await {
            records.push(record.unwrap());
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// The next `count` records, however long they take to come.
    pub async fn wait_for(&self, name: &str, count: usize) -> Vec<ConsumedRecord> {
        let mut consumer =
            self.client.consumer(topic(name), ConsumerConfig::default()).await.unwrap();
        let mut records = Vec::new();
        while records.len() < count {
            let next = tokio::time::timeout(PATIENCE, consumer.next()).await;
            let next = next.unwrap_or_else(|_| panic!("{name} has only {records:?}"));
            records.push(next.unwrap().unwrap());
        }
        records
    }

    /// The values of all that consumers may see.
    pub async fn values(&self, name: &str) -> Vec<String> {
        texts(&self.read(name).await)
    }
}

fn config(data: &Path, site: &str, port: u16) -> NodeConfig {
    NodeConfig {
        data: data.to_owned(),
        site: site.parse().unwrap(),
        node: NodeId(1),
        listen: SocketAddr::from(([127, 0, 0, 1], port)),
        names: Vec::new(),
        reserve: limits::DEFAULT_RESERVE,
        groups: Default::default(),
        plugins: Default::default(),
    }
}

async fn connect(data: &Path, address: SocketAddr) -> Client {
    let config = ClientConfig::from_tls_dir(address.to_string(), data.join("tls")).unwrap();
    Client::connect(config).await.unwrap()
}
