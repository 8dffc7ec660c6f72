//! Shape of `bench`.

use clap::{Args, Subcommand};
use tidegate_bench::{Acks, ByteSize, Compression, Rate, TopicName};
use tidegate_types::parse_duration;

/// What to measure.
#[derive(Subcommand, Debug)]
pub enum BenchCommand {
    /// Send batches that were built before, as fast as the broker takes them or at a rate
    Produce(BenchProduce),
    /// Read a topic from its start to its end, again and again
    Fetch(BenchFetch),
    /// Send a few records at a fixed rate and tell how long each request took
    Latency(BenchLatency),
}

/// Whom to load, and for how long.
#[derive(Args, Debug)]
pub struct BenchLoad {
    /// A broker that speaks Kafka's protocol, this program's or another
    /// [default: 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "native")]
    pub kafka: Option<String>,
    /// A node's native listener, with the certificate in --tls
    #[arg(long, value_name = "HOST:PORT")]
    pub native: Option<String>,
    /// The topic [default: one of its own, deleted afterwards]
    #[arg(long, value_name = "NAME")]
    pub topic: Option<TopicName>,
    /// A setting of the topic, if it is made; repeatable
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = super::topic::setting)]
    pub config: Vec<(String, String)>,
    /// Partitions of the topic, if it is made
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub partitions: u32,
    /// Connections
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub connections: u32,
    /// How long to go on [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, group = "end")]
    pub duration: Option<std::time::Duration>,
    /// How many records to move
    #[arg(long, value_name = "N", group = "end")]
    pub count: Option<u64>,
    /// How many bytes of batches to move
    #[arg(long, value_name = "SIZE", group = "end")]
    pub bytes: Option<ByteSize>,
    /// What is done at first and not counted
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "0ms")]
    pub warmup: std::time::Duration,
}

/// Options of `bench produce`.
#[derive(Args, Debug)]
pub struct BenchProduce {
    /// Whom to load.
    #[command(flatten)]
    pub load: BenchLoad,
    /// Requests of each connection that may wait for their answers
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub in_flight: u32,
    /// Bytes of a record's value
    #[arg(long, value_name = "SIZE", default_value = "200")]
    pub record_size: ByteSize,
    /// Bytes of a batch before it is compressed
    #[arg(long, value_name = "SIZE", default_value = "64 KiB")]
    pub batch_size: ByteSize,
    /// How batches are compressed
    #[arg(long, value_name = "CODEC", default_value = "none")]
    pub compression: Compression,
    /// When a batch is acknowledged
    #[arg(long, value_name = "all|1|0", default_value = "all")]
    pub acks: Acks,
    /// At most so many records a second, or requests: 50k, 200req; times then count from when a
    /// request was due
    #[arg(long, value_name = "RATE")]
    pub rate: Option<Rate>,
}

/// Options of `bench fetch`.
#[derive(Args, Debug)]
pub struct BenchFetch {
    /// Whom to load.
    #[command(flatten)]
    pub load: BenchLoad,
    /// Fetches of each connection that may wait for their answers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub in_flight: u32,
    /// Bytes that a fetch asks for
    #[arg(long, value_name = "SIZE", default_value = "1 MiB")]
    pub max_bytes: ByteSize,
    /// Bytes of a record's value, where the topic is filled
    #[arg(long, value_name = "SIZE", default_value = "200")]
    pub record_size: ByteSize,
    /// Bytes of a batch, where the topic is filled
    #[arg(long, value_name = "SIZE", default_value = "64 KiB")]
    pub batch_size: ByteSize,
    /// What to fill the topic with first [default: 512 MiB for one of its own, else nothing]
    #[arg(long, value_name = "SIZE")]
    pub fill: Option<ByteSize>,
}

/// Options of `bench latency`.
#[derive(Args, Debug)]
pub struct BenchLatency {
    /// Whom to load.
    #[command(flatten)]
    pub load: BenchLoad,
    /// Requests of each connection that may wait for their answers
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub in_flight: u32,
    /// Bytes of a record's value
    #[arg(long, value_name = "SIZE", default_value = "200")]
    pub record_size: ByteSize,
    /// Records in a request
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub records: u32,
    /// How batches are compressed
    #[arg(long, value_name = "CODEC", default_value = "none")]
    pub compression: Compression,
    /// When a batch is acknowledged
    #[arg(long, value_name = "all|1|0", default_value = "all")]
    pub acks: Acks,
    /// How often a request is due: 200req, or in records a second
    #[arg(long, value_name = "RATE", default_value = "200req")]
    pub rate: Rate,
}
