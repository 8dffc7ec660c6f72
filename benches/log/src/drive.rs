//! The load: writers that check their batches, hand them over, and wait for acks.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::unbounded;
use tidegate_bench_common::Failure;
use tidegate_env::Rng;
use tidegate_log::{AppendMode, AppendRequest, LogHandle, When};
use tidegate_record::Batch;
use tidegate_types::LeaderEpoch;

/// So long no ack takes, however slow the disk.
const STUCK: Duration = Duration::from_secs(60);

/// Called once when a batch is where it is to be, or was refused.
pub type Done = Box<dyn FnOnce(Result<(), Failure>) + Send>;

/// What takes batches: the log, or the toy.
pub trait Sink: Sync {
    /// Hands a batch over. Never blocks.
    fn append(&self, partition: usize, batch: &Bytes, done: Done);
}

/// Logs as a sink.
#[derive(Debug)]
pub struct Logs {
    /// One a partition.
    pub handles: Vec<LogHandle>,
}

impl Sink for Logs {
    fn append(&self, partition: usize, batch: &Bytes, done: Done) {
        let request = AppendRequest {
            batches: batch.clone(),
            mode: AppendMode::Assign { leader_epoch: LeaderEpoch(0) },
            ack: When::Durable,
        };
        let done = move |result: Result<_, tidegate_log::AppendError>| {
            done(result.map(drop).map_err(Failure::from));
        };
        self.handles[partition].append(request, Box::new(done));
    }
}

/// How partitions are chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spread {
    /// Each writer goes from one to the next, so that all are met.
    InTurn,
    /// By a fixed seed.
    Random,
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Load {
    /// Threads that send.
    pub writers: usize,
    /// Batches of each that wait for their ack.
    pub in_flight: usize,
    /// What they send, again and again.
    pub batch: Bytes,
    /// Where to.
    pub partitions: usize,
    /// How these are chosen.
    pub spread: Spread,
    /// When they stop.
    pub time: Duration,
    /// Or after that many bytes in all.
    pub bytes: u64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Run {
    /// Bytes acknowledged.
    pub bytes: u64,
    /// From the first batch to the last ack.
    pub took: Duration,
    /// From handing over to the ack, rising.
    pub latencies: Vec<Duration>,
}

impl Run {
    /// Megabytes a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.took.as_secs_f64()
    }

    /// The latency in microseconds below which so many of a thousand lie.
    #[must_use]
    pub fn latency(&self, per_mille: usize) -> f64 {
        percentile(&self.latencies, per_mille)
    }
}

/// The value in microseconds below which so many of a thousand lie, of rising ones.
#[must_use]
pub fn percentile(rising: &[Duration], per_mille: usize) -> f64 {
    let at = (rising.len() * per_mille / 1_000).min(rising.len().saturating_sub(1));
    rising.get(at).map_or(0.0, |value| value.as_nanos() as f64 / 1e3)
}

/// Drives `sink` until the load ends and every batch is acknowledged.
///
/// # Errors
/// The first refusal.
pub fn drive(sink: &dyn Sink, load: &Load) -> Result<Run, Failure> {
    let begin = Barrier::new(load.writers + 1);
    let sent = AtomicU64::new(0);
    let (results, started) = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..load.writers)
            .map(|writer| {
                let (begin, sent) = (&begin, &sent);
                scope.spawn(move || write(sink, load, writer, begin, sent))
            })
            .collect();
        begin.wait();
        let started = Instant::now();
        let results: Vec<_> =
            writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        (results, started)
    });
    let took = started.elapsed();
    let mut latencies = Vec::new();
    for result in results {
        latencies.extend(result.map_err(|_| "a writer panicked")??);
    }
    latencies.sort_unstable();
    Ok(Run { bytes: latencies.len() as u64 * load.batch.len() as u64, took, latencies })
}

/// One writer's way; gives its latencies.
fn write(
    sink: &dyn Sink,
    load: &Load,
    writer: usize,
    begin: &Barrier,
    sent: &AtomicU64,
) -> Result<Vec<Duration>, Failure> {
    let mut rng = Rng::new(writer as u64);
    let mut turn = writer;
    let (acks, acked) = unbounded();
    let mut waiting = 0;
    let mut latencies = Vec::new();
    let len = load.batch.len() as u64;
    begin.wait();
    let started = Instant::now();
    loop {
        while waiting < load.in_flight && started.elapsed() < load.time {
            if sent.fetch_add(len, Ordering::Relaxed) >= load.bytes {
                break;
            }
            let partition = match load.spread {
                Spread::InTurn => turn % load.partitions,
                Spread::Random => rng.below(load.partitions as u64) as usize,
            };
            turn += load.writers;
            Batch::parse(&load.batch)?;
            let (acks, at) = (acks.clone(), Instant::now());
            waiting += 1;
            let done = move |result: Result<(), Failure>| {
                // Fails only if the writer has gone, after a refusal.
                _ = acks.send(result.map(|()| at));
            };
            sink.append(partition, &load.batch, Box::new(done));
        }
        if waiting == 0 {
            return Ok(latencies);
        }
        latencies.push(acked.recv_timeout(STUCK).map_err(|_| "no ack for a minute")??.elapsed());
        waiting -= 1;
    }
}
