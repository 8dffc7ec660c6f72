//! Versions that are swapped every second while records come: each record meets exactly one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate_client::{Client, ConsumerConfig, RawProduce, RawProduceReceiver};
use tidegate_record::{BatchBuilder, BuildOptions};
use tidegate_test_guests::HOSTILE;
use tidegate_tests::{Node, PATIENCE, eventually, scaled};
use tidegate_types::{
    Acks, Hook, PartitionId, PluginHash, PluginLimits, PluginName, PoisonPolicy, ProducerStamp,
    Sequence, Timestamp, TopicConfig,
};
use tidegate_wire::{AttachRequest, OpenProduce, ProduceReply};
use tokio::sync::Semaphore;

use crate::support::{name, variant};

const TOPIC: &str = "stamped";
const RECORDS: u64 = 1_000_000;
const PARTITIONS: u64 = 3;
const PRODUCERS: u64 = 4;
/// Records of a batch.
const PER_BATCH: u64 = 50;
/// Batches of one producer on their way.
const WINDOW: usize = 16;
/// Fewer swaps would prove little: the load goes on until there were so many.
const LEAST_SWAPS: u64 = 8;

/// What the producers and whoever swaps know of each other.
#[derive(Default)]
struct Progress {
    /// Batches acknowledged.
    acked: AtomicU64,
    swaps: AtomicU64,
    done: AtomicBool,
}

/// One producer: batches in turn to each partition, until it has sent its share and there were
/// enough swaps. Gives the number of its records.
async fn produce(client: Client, producer: u64, share: u64, progress: Arc<Progress>) -> u64 {
    let identity = client.init_producer(None).await.unwrap();
    let open = OpenProduce { topic: name(TOPIC), acks: Acks::All, producer: Some(identity) };
    let session: RawProduce = client.open_produce(open).await.unwrap();
    let (mut sender, receiver) = session.split();
    let room = Arc::new(Semaphore::new(WINDOW));
    let acking = tokio::spawn(acknowledge(receiver, room.clone(), progress.clone()));
    let mut sent = 0;
    while sent < share || progress.swaps.load(Ordering::Relaxed) < LEAST_SWAPS {
        // Closed by a failure, which is told below.
        let Ok(permit) = room.acquire().await else { break };
        permit.forget();
        let number = sent / PER_BATCH;
        // Sequences count for each partition.
        let sequence = Sequence((number / PARTITIONS * PER_BATCH) as i32);
        let stamp =
            ProducerStamp { id: identity.id, epoch: identity.epoch, base_sequence: sequence };
        let options = BuildOptions { stamp: Some(stamp), ..BuildOptions::default() };
        let mut builder = BatchBuilder::new(options);
        for record in sent..sent + PER_BATCH {
            let value = format!("{producer}:{record}");
            builder.push(Timestamp(record as i64), None, Some(value.as_bytes()), []).unwrap();
        }
        let batch = Bytes::from(builder.build().unwrap());
        let partition = PartitionId((number % PARTITIONS) as u32);
        sender.send_batch(partition, batch).await.unwrap();
        sent += PER_BATCH;
    }
    sender.finish();
    let acked = tokio::time::timeout(PATIENCE, acking).await.unwrap().unwrap();
    assert_eq!(acked, sent / PER_BATCH, "each batch of producer {producer} is acknowledged");
    sent
}

async fn acknowledge(
    mut receiver: RawProduceReceiver,
    room: Arc<Semaphore>,
    progress: Arc<Progress>,
) -> u64 {
    let mut acked = 0;
    while let Some(reply) = receiver.recv_reply().await.unwrap() {
        let ProduceReply::Acked(acks) = reply else {
            room.close();
            panic!("batch {acked} was not acknowledged: {reply:?}");
        };
        acked += acks.len() as u64;
        progress.acked.fetch_add(acks.len() as u64, Ordering::Relaxed);
        room.add_permits(acks.len());
    }
    acked
}

/// The plugin with its versions, and the labels that ran, in order.
struct Versions {
    client: Client,
    hashes: Vec<PluginHash>,
    labels: Vec<String>,
}

impl Versions {
    async fn install(client: Client) -> Versions {
        let mut hashes = Vec::new();
        for component in [Bytes::from_static(HOSTILE), variant(HOSTILE, 1), variant(HOSTILE, 2)] {
            let report = client.install_plugin(plugin(), component).await.unwrap();
            hashes.push(report.version.hash);
        }
        Versions { client, hashes, labels: Vec::new() }
    }

    /// Another component, or the same one with another configuration; now and then back to what
    /// ran before.
    async fn swap(&mut self) {
        let count = self.labels.len();
        if count % 4 == 3 {
            let back = self.client.rollback_plugin(name(TOPIC), Hook::Ingest, plugin()).await;
            let label = self.labels[count - 2].clone();
            assert_eq!(back.unwrap().config, config(&label));
            self.labels.push(label);
            return;
        }
        let label = format!("v{count}");
        let request = AttachRequest {
            hash: Some(self.hashes[count / 2 % self.hashes.len()]),
            config: config(&label),
            policy: PoisonPolicy::Halt,
            // A busy machine must not make a plugin fail that does what it should.
            limits: PluginLimits { batch_time: PATIENCE, ..PluginLimits::default() },
            ..AttachRequest::new(name(TOPIC), plugin())
        };
        self.client.attach_plugin(request).await.unwrap();
        self.labels.push(label);
    }

    /// Swaps every second, if records have met the version, until the load is done.
    async fn swap_while(mut self, progress: &Progress) -> Versions {
        loop {
            let before = progress.acked.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            eventually("batches to meet the version", async || {
                // More than were on their way when it came.
                let met = progress.acked.load(Ordering::Relaxed) - before;
                let enough = met > PRODUCERS * WINDOW as u64;
                let done = progress.done.load(Ordering::Relaxed);
                if done || enough { Ok(()) } else { Err(format!("{met} batches")) }
            })
            .await;
            if progress.done.load(Ordering::Relaxed) {
                return self;
            }
            self.swap().await;
            progress.swaps.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn plugin() -> PluginName {
    "stamp".parse().unwrap()
}

fn config(label: &str) -> String {
    format!("\"stamp-{label}\"")
}

/// Where one producer's records in one partition are.
#[derive(Default)]
struct Place {
    /// The number that is due.
    next: u64,
    /// Its records so far.
    count: u64,
    /// How many of the labels that ran are behind it.
    label: usize,
}

/// Reads the topic to its end. Every record of every producer is there once, in order, and was
/// stamped once, by a version that ran no earlier than the one of the record before it; and all
/// records of a batch by the same one. Gives the labels that were met.
async fn check(client: &Client, sent: &[u64], labels: &[String]) -> BTreeSet<String> {
    let until_end = ConsumerConfig { until_end: true, ..ConsumerConfig::default() };
    let mut consumer = client.consumer(name(TOPIC), until_end).await.unwrap();
    let mut places: BTreeMap<(u64, u64), Place> = BTreeMap::new();
    for producer in 0..PRODUCERS {
        for partition in 0..PARTITIONS {
            let place = Place { next: partition * PER_BATCH, ..Place::default() };
            places.insert((producer, partition), place);
        }
    }
    let mut met = BTreeSet::new();
    while let Some(record) = tokio::time::timeout(PATIENCE, consumer.next()).await.unwrap() {
        let record = record.unwrap();
        let text = std::str::from_utf8(record.value.as_deref().unwrap()).unwrap();
        let (identity, label) = text.split_once('|').unwrap_or_else(|| panic!("{text}: no stamp"));
        assert!(!label.contains('|'), "{text}: stamped twice");
        let (producer, number) = identity.split_once(':').unwrap();
        let (producer, number): (u64, u64) = (producer.parse().unwrap(), number.parse().unwrap());
        let partition = u64::from(record.partition.get());
        let place = places.get_mut(&(producer, partition)).unwrap();
        assert_eq!(number, place.next, "producer {producer} in partition {partition}");
        if labels[place.label] != label {
            assert!(number.is_multiple_of(PER_BATCH), "{text}: two versions in one batch");
            let later = labels[place.label..].iter().position(|ran| ran == label);
            place.label += later.unwrap_or_else(|| panic!("{text}: {label} ran earlier, or never"));
        }
        if !met.contains(label) {
            met.insert(label.to_owned());
        }
        place.count += 1;
        place.next += 1;
        if place.next.is_multiple_of(PER_BATCH) {
            place.next += PER_BATCH * (PARTITIONS - 1);
        }
    }
    for (producer, sent) in (0..PRODUCERS).zip(sent) {
        let found: u64 = (0..PARTITIONS).map(|at| places[&(producer, at)].count).sum();
        assert_eq!(found, *sent, "records of producer {producer}");
    }
    met
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_a_million_records_meets_exactly_one_version() {
    let node = Node::start("edge").await;
    let client = node.client().await;
    let config = TopicConfig { partitions: PARTITIONS as u32, ..TopicConfig::default() };
    client.create_topic(name(TOPIC), config, false).await.unwrap();
    let mut versions = Versions::install(client.clone()).await;
    versions.swap().await;

    let progress = Arc::new(Progress::default());
    let share = scaled(RECORDS).div_ceil(PRODUCERS).next_multiple_of(PER_BATCH);
    let started = Instant::now();
    let load = async {
        let mut producers = Vec::new();
        for producer in 0..PRODUCERS {
            let client = node.client().await;
            producers.push(tokio::spawn(produce(client, producer, share, progress.clone())));
        }
        let mut sent = Vec::new();
        for producer in producers {
            sent.push(producer.await.unwrap());
        }
        progress.done.store(true, Ordering::Relaxed);
        (sent, started.elapsed())
    };
    let (versions, (sent, took)) = tokio::join!(versions.swap_while(&progress), load);

    let reading = Instant::now();
    let met = check(&client, &sent, &versions.labels).await;
    let (total, swaps): (u64, _) = (sent.iter().sum(), progress.swaps.load(Ordering::Relaxed));
    println!(
        "{total} records in {took:.1?} under {swaps} swaps, read in {:.1?}; {} versions met records",
        reading.elapsed(),
        met.len()
    );
    assert!(met.len() >= 3, "{met:?}");
    let shown = client.show_plugin(plugin()).await.unwrap();
    let [attached] = shown.attachments.as_slice() else { panic!("{shown:?}") };
    assert_eq!(attached.last_error, None);
    assert_eq!((attached.stats.traps, attached.stats.failed), (0, 0));
}
