//! The producer's handle.

use std::sync::{Arc, Mutex, PoisonError};

use tidegate_types::TopicName;
use tidegate_wire::OpenProduce;
use tokio::task::JoinHandle;

use super::accumulator::Accumulator;
use super::config::{ProducerConfig, ProducerRecord, SendError};
use super::core::{Core, CoreConfig};
use super::delivery::{Delivery, DeliveryError};
use super::driver::Driver;
use crate::backoff::Backoff;
use crate::client::{Client, RequestError};

/// Sends records to one topic. Clones share batches, session and order.
///
/// Records are gathered into batches and delivered in the background, in the order in which they
/// were sent to a partition. A lost connection is made anew, and what was not acknowledged is sent
/// again; an idempotent producer stores nothing twice by that. When the last handle is dropped
/// without [`close`](Self::close), what was sent is still delivered if the runtime lives on.
#[derive(Clone)]
pub struct Producer {
    handle: Arc<Handle>,
}

struct Handle {
    topic: TopicName,
    accumulator: Arc<Accumulator>,
    /// The driver, until someone waits for its end.
    driver: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.accumulator.close();
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("topic", &self.handle.topic).finish_non_exhaustive()
    }
}

impl Client {
    /// Begins to produce to a topic.
    ///
    /// ```no_run
    /// # use tidegate_client::{Client, ProducerConfig, ProducerRecord};
    /// # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let producer = client.producer("sensors".parse()?, ProducerConfig::default()).await?;
    /// for value in ["20.9", "21.0", "21.2"] {
    ///     // Waits only if the buffer is full.
    ///     producer.send(ProducerRecord::new(value).with_key("kitchen")).await?;
    /// }
    /// // All of them are stored now, or an error tells.
    /// producer.flush().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If a setting is out of bounds, the node refuses, or it is not reached.
    pub async fn producer(
        &self,
        topic: TopicName,
        config: ProducerConfig,
    ) -> Result<Producer, RequestError> {
        config.validate()?;
        let identity =
            if config.is_idempotent() { Some(self.init_producer(None).await?) } else { None };
        let open = OpenProduce { topic: topic.clone(), acks: config.acks, producer: identity };
        let session = self.open_produce(open).await?;
        let core = CoreConfig {
            idempotent: config.is_idempotent(),
            max_in_flight: config.max_in_flight,
            delivery_timeout: config.delivery_timeout,
            seed: Backoff::random_seed(),
        };
        let accumulator = Arc::new(Accumulator::new(config, session.partitions.max(1)));
        let core = Core::with_session(core, identity);
        let driver = Driver::new(accumulator.clone(), self.clone(), topic.clone(), core, session);
        let driver = Mutex::new(Some(tokio::spawn(driver.run())));
        Ok(Producer { handle: Arc::new(Handle { topic, accumulator, driver }) })
    }
}

impl Producer {
    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &TopicName {
        &self.handle.topic
    }

    /// Takes a record for delivery. Waits while the buffer is full; the [`Delivery`] tells later
    /// where the record was stored.
    ///
    /// Cancel-safe: a record is taken whole or not at all.
    ///
    /// # Errors
    /// If no batch can hold the record, its partition does not exist, or the producer is closed.
    pub async fn send(&self, record: ProducerRecord) -> Result<Delivery, SendError> {
        self.handle.accumulator.send(record).await
    }

    /// Sends what is gathered and waits until all that was taken so far is settled.
    ///
    /// # Errors
    /// The first failure among what was not settled when this was called.
    pub async fn flush(&self) -> Result<(), DeliveryError> {
        let mut first = Ok(());
        for outcome in self.handle.accumulator.flush() {
            let result = outcome.wait().await.map(|_| ());
            if first.is_ok() {
                first = result;
            }
        }
        first
    }

    /// Takes no more records, on any clone, and waits until all that was taken is settled.
    ///
    /// # Errors
    /// The first failure among what was not settled when this was called.
    pub async fn close(self) -> Result<(), DeliveryError> {
        self.handle.accumulator.close();
        let flushed = self.flush().await;
        let driver = self.handle.driver.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(driver) = driver {
            // Fails only where the runtime is shut down.
            let _ = driver.await;
        }
        flushed
    }
}
