//! An idempotent producer, as a Kafka client is one, while the node is killed again and again.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_proto::messages::{InitProducerIdRequest, ProduceRequest};
use tidegate_kafka_tests::{BatchSpec, Broker, Gone, PRODUCE, Typed, error, fetch, produce};
use tidegate_record::Batches;
use tidegate_tests::{Node, Seed, scaled};

const TOPIC: &str = "killed";
const PARTITIONS: i32 = 3;

/// Requests on their way, as Kafka's producers have at the most.
const IN_FLIGHT: usize = 5;

/// Records of one batch.
const BATCH: u64 = 3;

/// A producer for one partition: every batch keeps its sequence until it is acknowledged.
struct Producer {
    broker: Broker,
    partition: i32,
    id: i64,
    /// The number of the next record, and its sequence.
    next: u64,
    /// Sent and not acknowledged, oldest first: the first record of each batch.
    waiting: VecDeque<u64>,
}

impl Producer {
    fn request(&self, first: u64) -> ProduceRequest {
        let records: Vec<(String, String)> = (first..first + BATCH)
            .map(|number| (format!("{number}"), format!("{}:{number}", self.partition)))
            .collect();
        let records: Vec<_> = records.iter().map(|(key, value)| (&**key, &**value)).collect();
        let mut batch = BatchSpec::of(&records, 1_700_000_000_000);
        batch.producer = (self.id, 0, first as i32);
        produce(TOPIC, self.partition, -1, batch.bytes())
    }

    /// Produces until it is told to stop and all is acknowledged; how many records.
    fn run(mut self, stop: &AtomicBool, acked: &AtomicU64) -> u64 {
        while !self.session(stop, acked) {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.next
    }

    /// One connection's life; true once everything is done.
    fn session(&mut self, stop: &AtomicBool, acked: &AtomicU64) -> bool {
        let Some(mut client) = Typed::try_open(self.broker) else { return false };
        // What the last connection left open is sent again, in its order.
        let again: Vec<u64> = self.waiting.iter().copied().collect();
        let mut ids: VecDeque<i32> =
            again.into_iter().map(|first| client.send(PRODUCE, &self.request(first))).collect();
        loop {
            while ids.len() < IN_FLIGHT && !stop.load(Ordering::Relaxed) {
                ids.push_back(client.send(PRODUCE, &self.request(self.next)));
                self.waiting.push_back(self.next);
                self.next += BATCH;
            }
            let Some(id) = ids.pop_front() else { return true };
            let answer = match client.produced(id) {
                Ok(answer) => answer,
                Err(Gone) => return false,
            };
            match error(answer.error_code) {
                ErrorCode::None => {
                    self.waiting.pop_front();
                    acked.fetch_add(1, Ordering::Relaxed);
                }
                error if error.is_retriable() => return false,
                error => panic!("partition {}: {error:?}", self.partition),
            }
        }
    }
}

/// All values of a partition, in order.
fn read(broker: Broker, partition: i32) -> Vec<String> {
    let mut client = Typed::open(broker);
    let (mut values, mut from) = (Vec::new(), 0);
    loop {
        let found = client.fetch(&fetch(TOPIC, partition, from));
        assert_eq!(found.error_code, 0, "{found:?}");
        let bytes = found.records.clone().unwrap_or_default();
        let mut scratch = Vec::new();
        for batch in Batches::new(&bytes) {
            let batch = batch.unwrap();
            let header = *batch.header();
            for record in batch.body(&mut scratch).unwrap() {
                let record = record.unwrap();
                assert_eq!(header.offset_of(&record).get(), values.len() as i64, "no holes");
                values.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
            }
            from = header.next_offset().get();
        }
        if from >= found.high_watermark {
            return values;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_record_of_an_idempotent_producer_is_stored_once_through_a_hundred_kills() {
    let mut rng = Seed::take("kills").rng(0);
    let mut node = Node::new("edge").with_kafka();
    node.restart().await;
    let broker = Broker { address: node.kafka() };
    let mut client = Typed::open(broker);
    client.create(TOPIC, PARTITIONS, &[]);

    let (stop, acked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut producers = Vec::new();
    for partition in 0..PARTITIONS {
        let identity = client.ask(4, &InitProducerIdRequest::default().with_transactional_id(None));
        assert_eq!(identity.error_code, 0);
        let producer = Producer {
            broker,
            partition,
            id: identity.producer_id.0,
            next: 0,
            waiting: VecDeque::new(),
        };
        let (stop, acked) = (stop.clone(), acked.clone());
        producers.push(std::thread::spawn(move || producer.run(&stop, &acked)));
    }
    let kills = scaled(100);
    for _ in 0..kills {
        // Something gets through in each life, so that each kill hits a node at work.
        let before = acked.load(Ordering::Relaxed);
        tidegate_tests::eventually("an acknowledgement", async || {
            let now = acked.load(Ordering::Relaxed);
            if now > before { Ok(()) } else { Err(format!("{now} batches so far")) }
        })
        .await;
        tokio::time::sleep(Duration::from_millis(rng.below(150))).await;
        node.kill();
        node.restart().await;
    }
    stop.store(true, Ordering::Relaxed);
    for (partition, producer) in (0..PARTITIONS).zip(producers) {
        let sent = producer.join().expect("a producer ends well");
        let stored = read(broker, partition);
        let expected: Vec<String> = (0..sent).map(|n| format!("{partition}:{n}")).collect();
        assert_eq!(stored.len(), expected.len(), "partition {partition}: records stored, sent");
        assert!(stored == expected, "partition {partition}: each once, in the order sent");
        println!("partition {partition}: {sent} records, each once, after {kills} kills");
    }
}
