//! A producer that goes on while nodes are killed.

use std::collections::VecDeque;
use std::time::Duration;

use tidegate_client::{Client, Delivery, ProducerConfig, ProducerRecord};
use tidegate_tests::PATIENCE;
use tokio::sync::watch;

const IN_FLIGHT: usize = 100;

/// Records that are sent without a pause.
const BURST: u64 = 10;

/// Produces until told to stop; gives how many records were sent, all of them acknowledged.
pub async fn send(
    client: Client,
    topic: &str,
    pause: Duration,
    stopped: watch::Receiver<bool>,
    acked: watch::Sender<u64>,
    record: impl Fn(u64) -> ProducerRecord,
) -> u64 {
    let config = ProducerConfig { delivery_timeout: 2 * PATIENCE, ..ProducerConfig::default() };
    let producer = client.producer(topic.parse().unwrap(), config).await.unwrap();
    let mut waiting: VecDeque<Delivery> = VecDeque::new();
    let mut number = 0;
    while !*stopped.borrow() {
        waiting.push_back(producer.send(record(number)).await.unwrap());
        number += 1;
        if let Some(oldest) = (waiting.len() >= IN_FLIGHT).then(|| waiting.pop_front()).flatten() {
            oldest.await.unwrap();
            acked.send_modify(|acked| *acked += 1);
        }
        if number % BURST == 0 {
            tokio::time::sleep(pause).await;
        }
    }
    for delivery in waiting {
        delivery.await.unwrap();
    }
    number
}
