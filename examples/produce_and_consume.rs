//! Sends ten measurements to a topic, waits until they are on the disk, and reads them back.
//!
//! With a node that runs here (`tidegate serve`):
//!
//! ```text
//! export TIDEGATE_SERVER=127.0.0.1:9640 TIDEGATE_TLS=tidegate-data/tls
//! cargo run -p tidegate-examples --example produce_and_consume
//! ```

use std::env;
use std::error::Error;

use tidegate_client::types::{TopicConfig, TopicName};
use tidegate_client::{Client, ClientConfig, ConsumerConfig, ProducerConfig, ProducerRecord};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = env::var("TIDEGATE_SERVER").unwrap_or_else(|_| "127.0.0.1:9640".to_owned());
    let tls = env::var("TIDEGATE_TLS").unwrap_or_else(|_| "tidegate-data/tls".to_owned());
    let client = Client::connect(ClientConfig::from_tls_dir(server, tls)?).await?;

    let topic: TopicName = "temperatures".parse()?;
    let config = TopicConfig { partitions: 2, ..TopicConfig::default() };
    client.create_topic(topic.clone(), config, true).await?;

    // Records are gathered into batches; each delivery tells later where its record was stored.
    let producer = client.producer(topic.clone(), ProducerConfig::default()).await?;
    let mut deliveries = Vec::new();
    for n in 0..10 {
        let room = if n % 2 == 0 { "kitchen" } else { "garden" };
        let record = ProducerRecord::new(format!("{}.5", 12 + n)).with_key(room);
        deliveries.push(producer.send(record).await?);
    }
    for delivery in deliveries {
        let stored = delivery.await?;
        let offset = stored.offset.map_or("?".to_owned(), |offset| offset.to_string());
        println!("stored in partition {} at offset {offset}", stored.partition);
    }
    producer.close().await?;

    // Records of one key lie in one partition, in the order in which they were sent.
    let until_end = ConsumerConfig { until_end: true, ..ConsumerConfig::default() };
    let mut consumer = client.consumer(topic, until_end).await?;
    while let Some(record) = consumer.next().await {
        let record = record?;
        let text = |bytes: &Option<_>| {
            bytes.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned()
        };
        println!("{}: {}", text(&record.key), text(&record.value));
    }
    client.close().await;
    Ok(())
}
