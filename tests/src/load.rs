//! Numbered records through the public client, and the comparison of what was acknowledged with
//! what is stored.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tidegate_client::{Client, Delivery, ProducerConfig, ProducerRecord};
use tidegate_types::{Offset, PartitionId, TopicName};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::files::StoredLog;
use crate::{PATIENCE, eventually};

/// Sent and not yet acknowledged, of one producer.
const IN_FLIGHT: usize = 200;

/// A record's identity: which producer sent it as its how manieth.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Numbered {
    /// The producer.
    pub producer: u32,
    /// From 0, without gaps.
    pub number: u64,
}

impl Numbered {
    /// The value that carries it: padded, so that segments fill.
    #[must_use]
    pub fn value(self) -> Bytes {
        let Numbered { producer, number } = self;
        format!("{producer}:{number}:{}", "x".repeat(100 + (number % 50) as usize)).into()
    }

    /// Reads it back, padding and all.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Numbered> {
        let text = std::str::from_utf8(value).ok()?;
        let (producer, rest) = text.split_once(':')?;
        let (number, _) = rest.split_once(':')?;
        let numbered = Numbered { producer: producer.parse().ok()?, number: number.parse().ok()? };
        (numbered.value() == value).then_some(numbered)
    }
}

/// A record that the node acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acked {
    /// Which one.
    pub record: Numbered,
    /// Where it is said to lie.
    pub partition: PartitionId,
    /// The offset, where the node told one.
    pub offset: Option<Offset>,
}

/// An idempotent producer with `acks=all` that sends numbered records until it is told to stop.
pub struct Load {
    acked: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Vec<Acked>>,
}

impl Load {
    /// Starts one, spreading records over `partitions`, with a pause after each 20 records.
    #[must_use]
    pub fn start(
        client: Client,
        topic: &str,
        partitions: u32,
        producer: u32,
        pause: Duration,
    ) -> Load {
        let topic: TopicName = topic.parse().expect("a topic's name");
        let acked = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(produce(
            client,
            topic,
            partitions,
            producer,
            pause,
            stopped,
            acked.clone(),
        ));
        Load { acked, stop, task }
    }

    /// Records acknowledged so far.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    /// Waits until `more` records were acknowledged from now on.
    ///
    /// # Panics
    /// If that takes too long, or the producer failed.
    pub async fn progress(&self, more: u64) {
        let goal = self.acked() + more;
        eventually("a producer to go on", async || {
            assert!(!self.task.is_finished(), "the producer failed");
            let acked = self.acked();
            if acked >= goal { Ok(()) } else { Err(format!("{acked} of {goal} acknowledged")) }
        })
        .await;
    }

    /// Lets it send no more, waits for every acknowledgement, and gives them.
    ///
    /// # Panics
    /// If a record was not acknowledged.
    pub async fn finish(self) -> Vec<Acked> {
        self.stop.send_replace(true);
        let ended = tokio::time::timeout(2 * PATIENCE, self.task).await;
        ended.expect("the producer ends in time").expect("every record is acknowledged")
    }
}

async fn produce(
    client: Client,
    topic: TopicName,
    partitions: u32,
    producer: u32,
    pause: Duration,
    stopped: watch::Receiver<bool>,
    count: Arc<AtomicU64>,
) -> Vec<Acked> {
    let config = ProducerConfig { delivery_timeout: 2 * PATIENCE, ..ProducerConfig::default() };
    let sender = client.producer(topic, config).await.expect("a producer");
    let mut waiting: VecDeque<(Numbered, Delivery)> = VecDeque::new();
    let mut acked = Vec::new();
    let mut number = 0;
    while !*stopped.borrow() {
        let record = Numbered { producer, number };
        let mut sending = ProducerRecord::new(record.value()).with_key(format!("p{producer}"));
        sending.partition = Some(PartitionId((number % u64::from(partitions)) as u32));
        let delivery = sender.send(sending).await.expect("the producer takes a record");
        waiting.push_back((record, delivery));
        number += 1;
        while waiting.len() >= IN_FLIGHT {
            settle(&mut waiting, &mut acked, &count).await;
        }
        if number % 20 == 0 {
            tokio::time::sleep(pause).await;
        }
    }
    while !waiting.is_empty() {
        settle(&mut waiting, &mut acked, &count).await;
    }
    sender.close().await.expect("a producer with nothing left to send closes");
    acked
}

async fn settle(
    waiting: &mut VecDeque<(Numbered, Delivery)>,
    acked: &mut Vec<Acked>,
    count: &AtomicU64,
) {
    let Some((record, delivery)) = waiting.pop_front() else { return };
    let stored = delivery
        .await
        .unwrap_or_else(|error| panic!("{record:?} was not acknowledged: {error} ({error:?})"));
    acked.push(Acked { record, partition: stored.partition, offset: stored.offset });
    count.fetch_add(1, Ordering::Relaxed);
}

/// Checks that every acknowledged record lies in `logs`, one log a partition, exactly once and at
/// the offset told; that no record lies there twice; and that each producer's records are in order.
///
/// # Panics
/// If not, naming the record.
pub fn check_log(acked: &[Acked], logs: &[StoredLog]) {
    let mut places: HashMap<Numbered, (usize, Offset)> = HashMap::new();
    for (partition, log) in logs.iter().enumerate() {
        let mut last: HashMap<u32, u64> = HashMap::new();
        for stored in &log.records {
            let value = stored.value.as_deref().unwrap_or_default();
            let record = Numbered::read(value).unwrap_or_else(|| {
                panic!("partition {partition}, offset {}: not what was sent", stored.offset)
            });
            let place = (partition, stored.offset);
            if let Some(first) = places.insert(record, place) {
                panic!("{record:?} is there twice: at {first:?} and at {place:?}");
            }
            if let Some(before) = last.insert(record.producer, record.number) {
                assert!(before < record.number, "{record:?} lies after number {before}");
            }
        }
    }
    for Acked { record, partition, offset } in acked {
        let place = places.get(record);
        let Some((at, found)) = place else { panic!("{record:?} was acknowledged and is lost") };
        assert_eq!(*at as u32, partition.get(), "{record:?} is in another partition");
        if let Some(offset) = offset {
            assert_eq!(found, offset, "{record:?} is at another offset than acknowledged");
        }
    }
}

/// Checks that a consumer of `topic` is given just the records that lie in `logs`, in their order.
///
/// # Panics
/// If not.
pub async fn check_same(client: &Client, topic: TopicName, logs: &[StoredLog]) {
    let config = tidegate_client::ConsumerConfig {
        until_end: true,
        ..tidegate_client::ConsumerConfig::default()
    };
    let mut consumer = client.consumer(topic, config).await.expect("a consumer");
    let mut consumed: Vec<Vec<(Offset, Option<Bytes>)>> = vec![Vec::new(); logs.len()];
    let reading = async {
        while let Some(record) = consumer.next().await {
            let record = record.expect("a record");
            consumed[record.partition.get() as usize].push((record.offset, record.value));
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the consumer reaches the end in time");
    for (partition, (consumed, log)) in consumed.iter().zip(logs).enumerate() {
        assert_eq!(consumed.len(), log.records.len(), "records of partition {partition}");
        for ((offset, value), stored) in consumed.iter().zip(&log.records) {
            assert_eq!((offset, value), (&stored.offset, &stored.value), "partition {partition}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::StoredRecord;

    fn record(number: u64) -> Numbered {
        Numbered { producer: 1, number }
    }

    fn log(numbers: &[u64]) -> StoredLog {
        let stored = |(offset, number): (i64, &u64)| StoredRecord {
            offset: Offset(offset),
            key: None,
            value: Some(record(*number).value()),
        };
        let records = (0..).zip(numbers).map(stored).collect();
        StoredLog { bytes: Vec::new(), records, segments: 1 }
    }

    fn acked(number: u64, offset: i64) -> Acked {
        let (partition, offset) = (PartitionId(0), Some(Offset(offset)));
        Acked { record: record(number), partition, offset }
    }

    #[test]
    fn a_good_log_passes_with_records_that_nobody_acknowledged() {
        check_log(&[acked(0, 0), acked(2, 1)], &[log(&[0, 2, 3])]);
    }

    #[test]
    #[should_panic(expected = "is lost")]
    fn a_lost_record_is_found() {
        check_log(&[acked(0, 0), acked(1, 1)], &[log(&[0, 2])]);
    }

    #[test]
    #[should_panic(expected = "is there twice")]
    fn a_record_stored_twice_is_found() {
        check_log(&[acked(0, 0)], &[log(&[0, 1]), log(&[1])]);
    }

    #[test]
    #[should_panic(expected = "lies after")]
    fn records_out_of_order_are_found() {
        check_log(&[acked(0, 0)], &[log(&[0, 2, 1])]);
    }

    #[test]
    #[should_panic(expected = "another offset")]
    fn an_offset_other_than_acknowledged_is_found() {
        check_log(&[acked(1, 0)], &[log(&[0, 1])]);
    }

    #[test]
    #[should_panic(expected = "not what was sent")]
    fn an_altered_record_is_found() {
        let mut altered = log(&[0]);
        altered.records[0].value = Some(Bytes::from_static(b"1:0:xxx"));
        check_log(&[], &[altered]);
    }
}
