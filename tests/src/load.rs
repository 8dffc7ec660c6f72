//! Numbered records through the public client, and the comparison of what was acknowledged with
//! what is stored.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tidegate_client::{Client, ConsumedRecord, Delivery, ProducerConfig, ProducerRecord};
use tidegate_types::{Offset, PartitionId, TopicName};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::files::{StoredLog, StoredRecord};
use crate::{PATIENCE, eventually};

/// Sent and not yet acknowledged, of one producer.
const IN_FLIGHT: usize = 200;

/// Before a load whose record was refused starts anew.
const RENEWAL: Duration = Duration::from_millis(50);

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

    /// Its key: a producer has [`Numbered::KEYS`] of them in turn.
    #[must_use]
    pub fn key(self) -> String {
        format!("{}-{}", self.producer, self.number / 7 % Numbered::KEYS)
    }

    /// Keys of one producer.
    pub const KEYS: u64 = 16;

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

/// What a load does when a record is refused for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refused {
    /// It fails, and its test with it.
    Fail,
    /// It goes on with a producer of a new identity, under its own number plus this.
    Renew(u32),
}

/// What one load sends, and where.
struct Plan {
    client: Client,
    topic: TopicName,
    partitions: u32,
    producer: u32,
    pause: Duration,
    refused: Refused,
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
        Load::of(client, topic, partitions, producer, pause, Refused::Fail)
    }

    /// Like [`Load::start`], for a node whose logs fail: after a record was refused for good, or
    /// its fate cannot be known, it goes on under another producer number, greater by
    /// [`Load::RENEWED`] each time.
    #[must_use]
    pub fn start_undaunted(
        client: Client,
        topic: &str,
        partitions: u32,
        producer: u32,
        pause: Duration,
    ) -> Load {
        Load::of(client, topic, partitions, producer, pause, Refused::Renew(Load::RENEWED))
    }

    /// What is added to a producer's number when it starts anew; greater than any first number.
    pub const RENEWED: u32 = 1_000;

    fn of(
        client: Client,
        topic: &str,
        partitions: u32,
        producer: u32,
        pause: Duration,
        refused: Refused,
    ) -> Load {
        let topic: TopicName = topic.parse().expect("a topic's name");
        let acked = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = watch::channel(false);
        let plan = Plan { client, topic, partitions, producer, pause, refused };
        let task = tokio::spawn(produce(plan, stopped, acked.clone()));
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

    /// Lets it send no more.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Lets it send no more, waits for every acknowledgement, and gives them.
    ///
    /// # Panics
    /// If a record was not acknowledged.
    pub async fn finish(self) -> Vec<Acked> {
        self.stop();
        let ended = tokio::time::timeout(2 * PATIENCE, self.task).await;
        ended.expect("the producer ends in time").expect("every record is acknowledged")
    }
}

async fn produce(
    mut plan: Plan,
    mut stopped: watch::Receiver<bool>,
    count: Arc<AtomicU64>,
) -> Vec<Acked> {
    let mut acked = Vec::new();
    let mut number = 0;
    loop {
        let sent = send_until(&plan, &mut stopped, &mut number, &mut acked, &count).await;
        match (sent, plan.refused) {
            (Ok(()), _) => return acked,
            (Err(refused), Refused::Fail) => panic!("{refused}"),
            (Err(_), Refused::Renew(_)) if *stopped.borrow() => return acked,
            (Err(_), Refused::Renew(more)) => {
                plan.producer += more;
                tokio::time::sleep(RENEWAL).await;
            }
        }
    }
}

/// Sends with one producer until told to stop. An error says which record was refused, and why.
async fn send_until(
    plan: &Plan,
    stopped: &mut watch::Receiver<bool>,
    number: &mut u64,
    acked: &mut Vec<Acked>,
    count: &AtomicU64,
) -> Result<(), String> {
    let config = ProducerConfig { delivery_timeout: 2 * PATIENCE, ..ProducerConfig::default() };
    let made = plan.client.producer(plan.topic.clone(), config).await;
    let sender = made.map_err(|error| format!("no producer: {error}"))?;
    let mut waiting: VecDeque<(Numbered, Delivery)> = VecDeque::new();
    while !*stopped.borrow() {
        let record = Numbered { producer: plan.producer, number: *number };
        let mut sending = ProducerRecord::new(record.value()).with_key(record.key());
        sending.partition = Some(PartitionId((*number % u64::from(plan.partitions)) as u32));
        let delivery = sender.send(sending).await.expect("the producer takes a record");
        waiting.push_back((record, delivery));
        *number += 1;
        while waiting.len() >= IN_FLIGHT {
            settle(&mut waiting, acked, count).await?;
        }
        if number.is_multiple_of(20) {
            tokio::time::sleep(plan.pause).await;
        }
    }
    while !waiting.is_empty() {
        settle(&mut waiting, acked, count).await?;
    }
    sender.close().await.map_err(|error| format!("a producer with nothing left to send: {error}"))
}

/// Waits for the oldest record. Where it is refused, waits for the others too, and keeps what was
/// acknowledged of them.
async fn settle(
    waiting: &mut VecDeque<(Numbered, Delivery)>,
    acked: &mut Vec<Acked>,
    count: &AtomicU64,
) -> Result<(), String> {
    let mut refused = None;
    while let Some((record, delivery)) = waiting.pop_front() {
        match delivery.await {
            Ok(stored) => {
                acked.push(Acked { record, partition: stored.partition, offset: stored.offset });
                count.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                refused.get_or_insert_with(|| {
                    format!("{record:?} was not acknowledged: {error} ({error:?})")
                });
            }
        }
        if refused.is_none() {
            return Ok(());
        }
    }
    refused.map_or(Ok(()), Err)
}

/// Checks that every acknowledged record lies in `logs`, one log a partition, exactly once and at
/// the offset told; that no record lies there twice; and that each producer's records are in order.
///
/// # Panics
/// If not, naming the record.
pub fn check_log(acked: &[Acked], logs: &[StoredLog]) {
    let lost = lost_runs(acked, logs);
    if let Some(run) = lost.first() {
        let (first, last, runs) = (run[0], run[run.len() - 1], lost.len());
        let ends = logs.iter().map(|log| log.records.last().map(|record| record.offset));
        panic!(
            "{first:?} was acknowledged and is lost, as all to {last:?}: the first of {runs} runs; \
             the logs end at {:?}",
            ends.collect::<Vec<_>>()
        );
    }
}

/// Checks the logs of a topic that is not synced (`flush = "os"`) after `cuts` power cuts: like
/// [`check_log`], but each cut may have taken what was acknowledged last of each partition. Gives
/// the number of records lost.
///
/// # Panics
/// If not, or if there are more holes than cuts.
pub fn check_unsynced_log(acked: &[Acked], logs: &[StoredLog], cuts: u64) -> usize {
    let lost = lost_runs(acked, logs);
    let mut runs: HashMap<(PartitionId, u32), Vec<(Acked, usize)>> = HashMap::new();
    for run in &lost {
        let way = (run[0].partition, run[0].record.producer % Load::RENEWED);
        runs.entry(way).or_default().push((run[0], run.len()));
    }
    for ((partition, producer), runs) in runs {
        assert!(
            runs.len() as u64 <= cuts,
            "partition {partition} has lost {} runs of producer {producer}'s records in {cuts} \
             power cuts: {runs:?}",
            runs.len()
        );
    }
    lost.iter().map(Vec::len).sum()
}

/// Checks logs whose oldest records may have been removed: like [`check_log`] for all from
/// `starts` on, one offset a partition. Gives the number of acknowledged records removed.
///
/// # Panics
/// If not.
pub fn check_cut_log(acked: &[Acked], logs: &[StoredLog], starts: &[Offset]) -> usize {
    let mut removed = 0;
    for one in lost_runs(acked, logs).into_iter().flatten() {
        let start = starts[one.partition.get() as usize];
        let offset = one.offset.expect("a node tells offsets");
        assert!(offset < start, "{one:?} is lost, and the log starts at {start}");
        removed += 1;
    }
    removed
}

/// Checks compacted logs: like [`check_log`], but a record may be gone if a later one of its key
/// is there. Gives the number of acknowledged records removed.
///
/// # Panics
/// If not.
pub fn check_compacted_log(acked: &[Acked], logs: &[StoredLog]) -> usize {
    let mut latest: HashMap<(u32, &[u8]), Offset> = HashMap::new();
    for (partition, log) in (0..).zip(logs) {
        for record in &log.records {
            let key = record.key.as_deref().expect("a keyed record");
            latest.insert((partition, key), record.offset);
        }
    }
    let mut removed = 0;
    for one in lost_runs(acked, logs).into_iter().flatten() {
        let key = one.record.key();
        let found = latest.get(&(one.partition.get(), key.as_bytes())).copied();
        let later = found.is_some_and(|found| one.offset.is_some_and(|offset| found > offset));
        assert!(later, "{one:?} is gone, and the latest of key {key} is at {found:?}");
        removed += 1;
    }
    removed
}

/// All that [`check_log`] checks but whether records are lost; those that are, in runs that follow
/// each other in one partition as one producer sent them.
fn lost_runs(acked: &[Acked], logs: &[StoredLog]) -> Vec<Vec<Acked>> {
    let places = places(logs);
    let mut lost: Vec<Vec<Acked>> = Vec::new();
    // The partitions and producers whose last record is lost, with where that is in `lost`.
    let mut open: HashMap<(PartitionId, u32), usize> = HashMap::new();
    for one in acked {
        let Acked { record, partition, offset } = one;
        let way = (*partition, record.producer);
        let Some((at, found)) = places.get(record) else {
            let run = *open.entry(way).or_insert_with(|| {
                lost.push(Vec::new());
                lost.len() - 1
            });
            lost[run].push(*one);
            continue;
        };
        open.remove(&way);
        assert_eq!(*at as u32, partition.get(), "{record:?} is in another partition");
        if let Some(offset) = offset {
            assert_eq!(found, offset, "{record:?} is at another offset than acknowledged");
        }
    }
    lost
}

/// Where each record lies: its partition and offset.
fn places(logs: &[StoredLog]) -> HashMap<Numbered, (usize, Offset)> {
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
    places
}

/// Checks that a consumer of `topic` is given just the records that lie in `logs`, in their order.
///
/// # Panics
/// If not.
pub async fn check_same(client: &Client, topic: TopicName, logs: &[StoredLog]) {
    let consumed = consume(client, topic, logs.len() as u32).await;
    for (partition, (consumed, log)) in consumed.iter().zip(logs).enumerate() {
        assert_eq!(consumed.records.len(), log.records.len(), "records of partition {partition}");
        for (consumed, stored) in consumed.records.iter().zip(&log.records) {
            assert_eq!(consumed, stored, "partition {partition}");
        }
    }
}

/// What a consumer of all of `topic` is given until the end: records alone, as logs.
///
/// # Panics
/// If it is given an error, or does not come to the end.
pub async fn consume(client: &Client, topic: TopicName, partitions: u32) -> Vec<StoredLog> {
    let config = tidegate_client::ConsumerConfig {
        until_end: true,
        ..tidegate_client::ConsumerConfig::default()
    };
    let mut consumer = client.consumer(topic, config).await.expect("a consumer");
    let empty = StoredLog { bytes: Vec::new(), records: Vec::new(), segments: 0 };
    let mut logs = vec![empty; partitions as usize];
    let reading = async {
        while let Some(record) = consumer.next().await {
            let record = record.expect("a record");
            let ConsumedRecord { partition, offset, key, value, .. } = record;
            logs[partition.get() as usize].records.push(StoredRecord { offset, key, value });
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the consumer reaches the end in time");
    logs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64) -> Numbered {
        Numbered { producer: 1, number }
    }

    fn log(numbers: &[u64]) -> StoredLog {
        let stored = |(offset, number): (i64, &u64)| StoredRecord {
            offset: Offset(offset),
            key: Some(record(*number).key().into()),
            value: Some(record(*number).value()),
        };
        let records = (0..).zip(numbers).map(stored).collect();
        StoredLog { bytes: Vec::new(), records, segments: 1 }
    }

    #[test]
    fn what_lies_before_a_log_s_start_may_be_gone() {
        let all: Vec<Acked> = (0..4).map(|number| acked(number, number as i64)).collect();
        assert_eq!(check_cut_log(&all, &[log_at(&[(2, 2), (3, 3)])], &[Offset(2)]), 2);
    }

    #[test]
    #[should_panic(expected = "the log starts at 2")]
    fn what_lies_behind_a_log_s_start_may_not() {
        let all: Vec<Acked> = (0..4).map(|number| acked(number, number as i64)).collect();
        check_cut_log(&all, &[log_at(&[(3, 3)])], &[Offset(2)]);
    }

    #[test]
    fn compaction_may_remove_what_has_a_later_record_of_its_key() {
        let all = [acked(0, 0), acked(1, 1), acked(7, 2)];
        assert_eq!(check_compacted_log(&all, &[log_at(&[(1, 1), (7, 2)])]), 1);
    }

    #[test]
    #[should_panic(expected = "the latest of key 1-1 is at None")]
    fn compaction_may_not_remove_the_last_of_a_key() {
        let all = [acked(0, 0), acked(1, 1), acked(7, 2)];
        check_compacted_log(&all, &[log_at(&[(0, 0), (1, 1)])]);
    }

    fn log_at(places: &[(u64, i64)]) -> StoredLog {
        let numbers: Vec<u64> = places.iter().map(|(number, _)| *number).collect();
        let mut log = log(&numbers);
        for (stored, (_, offset)) in log.records.iter_mut().zip(places) {
            stored.offset = Offset(*offset);
        }
        log
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
    fn each_power_cut_may_take_the_last_records_of_a_log_that_is_not_synced() {
        let all: Vec<Acked> = (0..6).map(|number| acked(number, number as i64)).collect();
        let cut_once = log_at(&[(0, 0), (1, 1), (4, 4), (5, 5)]);
        assert_eq!(check_unsynced_log(&all, &[cut_once], 1), 2);
    }

    #[test]
    #[should_panic(expected = "lost 2 runs")]
    fn a_hole_that_no_power_cut_explains_is_found() {
        let all: Vec<Acked> = (0..6).map(|number| acked(number, number as i64)).collect();
        check_unsynced_log(&all, &[log_at(&[(0, 0), (2, 2), (5, 5)])], 1);
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
