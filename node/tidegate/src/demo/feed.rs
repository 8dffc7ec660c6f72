//! Sends the records to the edge, at a pace, and notes each before it is sent.
//!
//! Two senders draw on one [`Budget`]: the bulk, and this machine's telemetry. A sender is done when
//! every record that it sent is acknowledged as durable at the edge.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_client::{Client, Delivery, Producer, ProducerConfig, ProducerRecord};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::expect::{Check, Ledger, Made};
use super::setup;
use super::stream::{Source, Stream, size};
use super::telemetry::Machine;
use crate::exit::{Exit, Failure};

/// A paced run lasts about this long, so that a cut line and its mending can be watched.
pub const RUN: Duration = Duration::from_secs(10);

/// More records than this are sent as fast as they are taken.
const MOST_PACED: u64 = 200_000;

/// How often the pace is looked at.
const TICK: Duration = Duration::from_millis(10);

/// How often the machine is measured, at most.
const MEASURE: Duration = Duration::from_millis(200);

/// Records sent and not yet known to be acknowledged.
const WAITING: usize = 64 * 1024;

/// What must arrive and what did, shared by senders and readers.
#[derive(Debug)]
pub struct Books {
    /// What must arrive.
    pub ledger: Ledger,
    /// What did.
    pub check: Check,
}

/// Runs `f` on the books. They hold together at every step, so a panic elsewhere does no harm.
pub fn with<T>(books: &Mutex<Books>, f: impl FnOnce(&mut Books) -> T) -> T {
    f(&mut books.lock().unwrap_or_else(PoisonError::into_inner))
}

/// How many records may be sent, and how many were.
#[derive(Debug)]
pub struct Budget {
    /// All records, from wherever.
    limit: u64,
    /// Records of the bulk alone.
    bulk: u64,
    sent: AtomicU64,
    acked: AtomicU64,
    bytes: AtomicU64,
    bulk_sent: AtomicU64,
    bulk_done: AtomicBool,
}

impl Budget {
    /// So many records in all.
    pub fn of_all(limit: u64) -> Budget {
        Budget::new(limit, u64::MAX)
    }

    /// So many of the bulk, and telemetry for as long as those take.
    pub fn of_bulk(bulk: u64) -> Budget {
        Budget::new(u64::MAX, bulk)
    }

    fn new(limit: u64, bulk: u64) -> Budget {
        let zero = || AtomicU64::new(0);
        Budget {
            limit,
            bulk,
            sent: zero(),
            acked: zero(),
            bytes: zero(),
            bulk_sent: zero(),
            bulk_done: AtomicBool::new(false),
        }
    }

    /// Records that will be sent, telemetry beyond the bulk not counted.
    pub fn planned(&self) -> u64 {
        self.limit.min(self.bulk)
    }

    /// Records sent of those planned.
    pub fn sent(&self) -> u64 {
        let sent = if self.limit <= self.bulk { &self.sent } else { &self.bulk_sent };
        sent.load(Ordering::Relaxed)
    }

    /// Records acknowledged, from wherever.
    pub fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    /// Bytes of the keys and values sent.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes one record's place, if there is one left.
    fn take(&self) -> bool {
        let taken = self.sent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sent| {
            (sent < self.limit).then_some(sent + 1)
        });
        taken.is_ok()
    }

    fn take_bulk(&self) -> bool {
        let mine = self.bulk_sent.load(Ordering::Relaxed);
        if mine >= self.bulk || !self.take() {
            return false;
        }
        self.bulk_sent.store(mine + 1, Ordering::Relaxed);
        true
    }

    /// Records a second, or none where there is to be no pace.
    fn pace(&self) -> Option<f64> {
        let planned = self.planned();
        (planned <= MOST_PACED).then(|| planned as f64 / RUN.as_secs_f64())
    }

    /// How often to measure, so that telemetry remains a small part of a small run.
    fn measure_every(&self, metrics: usize) -> Duration {
        let share = self.planned().min(MOST_PACED) as f64 / 10.0;
        let seconds = RUN.as_secs_f64() * metrics as f64 / share.max(1.0);
        MEASURE.max(Duration::from_secs_f64(seconds.min(3_600.0)))
    }
}

/// One producer a stream, and what they share.
#[derive(Clone)]
struct Senders {
    producers: Arc<[Producer]>,
    books: Arc<Mutex<Books>>,
    budget: Arc<Budget>,
    deliveries: mpsc::Sender<Delivery>,
}

impl Senders {
    async fn send(&self, record: Made) -> Result<(), Failure> {
        with(&self.books, |books| books.ledger.note(&record));
        self.budget.bytes.fetch_add(size(&record), Ordering::Relaxed);
        let to = ProducerRecord::new(record.value).with_key(record.key);
        let delivery =
            self.producers[record.stream].send(to).await.map_err(|error| refused(&error))?;
        // The other end goes away only with a failure of its own, which is the one to tell.
        let _ = self.deliveries.send(delivery).await;
        Ok(())
    }
}

/// Sends until the budget is used up and all of it is acknowledged.
///
/// # Errors
/// If the edge refuses a record, or is not reached.
pub async fn feed(
    edge: Client,
    source: Source,
    streams: Arc<[Stream]>,
    books: Arc<Mutex<Books>>,
    budget: Arc<Budget>,
) -> Result<(), Failure> {
    let mut producers = Vec::new();
    for stream in streams.iter() {
        let producer = edge
            .producer(setup::topic(stream.topic)?, ProducerConfig::default())
            .await
            .map_err(|error| {
                Failure::of(Exit::Failed, &error)
                    .while_doing(format!("cannot send to topic {}", stream.topic))
            })?;
        producers.push(producer);
    }
    let (deliveries, waiting) = mpsc::channel(WAITING);
    let telemetry = streams.len() - 1;
    // Kept to the end: a producer that is dropped gives up what it has not sent.
    let producers: Arc<[Producer]> = producers.into();
    let senders =
        Senders { producers: producers.clone(), books, budget: budget.clone(), deliveries };
    let mut tasks = JoinSet::new();
    tasks.spawn(count(waiting, budget));
    tasks.spawn(send_telemetry(senders.clone(), telemetry));
    tasks.spawn(send_bulk(senders, source));
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| Failure::of(Exit::Failed, &error))??;
    }
    drop(producers);
    Ok(())
}

async fn count(mut waiting: mpsc::Receiver<Delivery>, budget: Arc<Budget>) -> Result<(), Failure> {
    while let Some(delivery) = waiting.recv().await {
        delivery.await.map_err(|error| refused(&error))?;
        budget.acked.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

async fn send_bulk(senders: Senders, mut source: Source) -> Result<(), Failure> {
    let sent = send_paced(&senders, &mut source).await;
    senders.budget.bulk_done.store(true, Ordering::Relaxed);
    sent
}

async fn send_paced(senders: &Senders, source: &mut Source) -> Result<(), Failure> {
    let budget = &senders.budget;
    let Some(pace) = budget.pace() else {
        while budget.take_bulk() {
            senders.send(source.next()).await?;
        }
        return Ok(());
    };
    let started = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        let due = (started.elapsed().as_secs_f64() * pace) as u64;
        // Telemetry is on the same budget: without it, the pace would be too fast.
        while budget.sent() < due {
            if !budget.take_bulk() {
                return Ok(());
            }
            senders.send(source.next()).await?;
        }
        if budget.sent() >= budget.planned() {
            return Ok(());
        }
    }
}

async fn send_telemetry(senders: Senders, stream: usize) -> Result<(), Failure> {
    let budget = &senders.budget;
    let stopped = |error: tokio::task::JoinError| Failure::of(Exit::Failed, &error);
    let mut machine = tokio::task::spawn_blocking(Machine::new).await.map_err(stopped)?;
    // A small run is not to be telemetry alone.
    let most = budget.planned().div_ceil(2);
    let mut id = 0;
    while !budget.bulk_done.load(Ordering::Relaxed) {
        let measure = move || {
            let measured = machine.measure();
            (machine, measured)
        };
        let measured;
        (machine, measured) = tokio::task::spawn_blocking(measure).await.map_err(stopped)?;
        let every = budget.measure_every(measured.len());
        for measurement in &measured {
            let stopped = budget.bulk_done.load(Ordering::Relaxed);
            if stopped || id >= most || !budget.take() {
                return Ok(());
            }
            senders.send(measurement.record(stream, id)).await?;
            id += 1;
        }
        let next = Instant::now() + every;
        while Instant::now() < next && !budget.bulk_done.load(Ordering::Relaxed) {
            tokio::time::sleep(MEASURE.min(next - Instant::now())).await;
        }
    }
    Ok(())
}

fn refused(error: &dyn std::error::Error) -> Failure {
    Failure::of(Exit::Failed, error).while_doing("the edge did not take a record")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_for_all_is_shared_to_the_last_record() {
        let budget = Budget::of_all(10);
        let mut bulk = 0;
        for _ in 0..3 {
            assert!(budget.take());
        }
        while budget.take_bulk() {
            bulk += 1;
        }
        assert_eq!((bulk, budget.sent(), budget.planned()), (7, 10, 10));
        assert!(!budget.take());
    }

    #[test]
    fn a_budget_of_the_bulk_leaves_telemetry_aside() {
        let budget = Budget::of_bulk(3);
        assert!(budget.take());
        assert_eq!((budget.sent(), budget.planned()), (0, 3));
        assert!(budget.take_bulk() && budget.take_bulk() && budget.take_bulk());
        assert!(!budget.take_bulk());
        assert!(budget.take());
        assert_eq!(budget.sent(), 3);
    }

    #[test]
    fn small_runs_are_paced_and_large_ones_are_not() {
        assert_eq!(Budget::of_all(50_000).pace(), Some(5_000.0));
        assert_eq!(Budget::of_all(MOST_PACED + 1).pace(), None);
        assert_eq!(Budget::of_all(200_000).measure_every(12), MEASURE);
        let every = Budget::of_all(1_000).measure_every(10);
        assert!(every > Duration::from_millis(900) && every < Duration::from_secs(2), "{every:?}");
    }
}
