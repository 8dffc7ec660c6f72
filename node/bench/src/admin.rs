//! What who drives several loads does in between: make topics, delete them, wait for a broker.

use std::time::Duration;

use tidegate_types::TopicName;

use crate::config::{Load, Target};
use crate::{BenchError, Stop, kafka, native};

/// Makes a topic as a load would, if it does not exist: with the load's partitions and settings.
///
/// # Errors
/// If something cannot be, the broker is not reached, or it refuses.
pub async fn make_topic(load: &Load, topic: &TopicName) -> Result<(), BenchError> {
    load.check()?;
    match &load.target {
        Target::Kafka { .. } => {
            let (load, topic) = (load.clone(), topic.clone());
            crate::blocking(&Stop::new(), move |_| kafka::Prepared::new(&load, &topic).map(drop))
                .await
        }
        Target::Native { tls, .. } => {
            let client = native::connect(load, tls).await?;
            let prepared = native::prepare(client, load, topic.clone()).await?;
            prepared.client.close().await;
            Ok(())
        }
    }
}

/// Deletes a topic.
///
/// # Errors
/// If something cannot be, the broker is not reached, or it refuses.
pub async fn delete_topic(load: &Load, topic: &TopicName) -> Result<(), BenchError> {
    load.check()?;
    match &load.target {
        Target::Kafka { address } => {
            let (address, timeout, topic) = (address.clone(), load.timeout, topic.clone());
            crate::blocking(&Stop::new(), move |_| kafka::delete(&address, timeout, &topic)).await
        }
        Target::Native { tls, .. } => {
            let client = native::connect(load, tls).await?;
            let deleted = native::delete(&client, topic).await;
            client.close().await;
            deleted
        }
    }
}

/// Asks a Kafka listener for its versions and its topics, once. Blocks; for who waits until a
/// broker has started.
///
/// # Errors
/// If it is not reached, or does not answer in time.
pub fn probe(address: &str, timeout: Duration) -> Result<(), BenchError> {
    kafka::probe(address, timeout)
}
