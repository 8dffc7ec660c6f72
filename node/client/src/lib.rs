//! The Rust client of Tidegate's native protocol.
//!
//! A [`Client`] holds one connection to a node, mutually authenticated, and makes it anew when it
//! was lost. It asks and commands ([`Client::status`], [`Client::create_topic`] and so on), and
//! begins [`Producer`]s and [`Consumer`]s, each of which survives lost connections by itself.
//!
//! ```no_run
//! use tidegate_client::{Client, ClientConfig, ConsumerConfig, ProducerConfig, ProducerRecord};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ClientConfig::from_tls_dir("localhost:9440", "/var/lib/tidegate/tls")?;
//! let client = Client::connect(config).await?;
//!
//! let producer = client.producer("sensors".parse()?, ProducerConfig::default()).await?;
//! let delivery = producer.send(ProducerRecord::new("21.5").with_key("kitchen")).await?;
//! println!("stored at {:?}", delivery.await?.offset);
//! producer.close().await?;
//!
//! let until_end = ConsumerConfig { until_end: true, ..ConsumerConfig::default() };
//! let mut consumer = client.consumer("sensors".parse()?, until_end).await?;
//! while let Some(record) = consumer.next().await {
//!     let record = record?;
//!     println!("{}: {:?}", record.offset, record.value);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here knows how a node works inside: what it does is in the protocol alone.

mod admin;
mod backoff;
mod client;
mod config;
mod consume;
mod produce;

pub use client::{Client, ConnectError, RequestError};
pub use config::{ClientConfig, ConfigError};
pub use consume::{
    ConsumeError, ConsumedRecord, Consumer, ConsumerConfig, Event, Header, RawSubscription,
};
pub use produce::{
    Delivery, DeliveryError, Partitioner, Producer, ProducerConfig, ProducerRecord, RawProduce,
    RawProduceReceiver, RawProduceSender, RecordMetadata, SendError,
};

pub use tidegate_record::Compression;
pub use tidegate_transport::Identity;
pub use tidegate_types as types;
pub use tidegate_wire as wire;
