//! What producers of one topic notice of a plugin on another that does what no plugin should.
//!
//! A neighbour sends small requests at a fixed rate, from a thread and a connection of its own. The
//! time from when a request was due to its acknowledgement is taken alone, and beside producers of
//! a topic whose plugin misbehaves over every record and is never paused. A plugin that does what
//! it should, under the same load, tells what of the difference any other topic would cost; and the
//! same beside a [stranger](crate::stranger) who has nothing to do with the node, what the machine
//! makes of a processor that is never idle.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tidegate_bench_common::sample;
use tidegate_bench_common::table::{Row, Table};
use tidegate_transport::Connection;
use tidegate_types::{Acks, Flush, PartitionId, PluginLimits, PoisonPolicy, TopicName};
use tidegate_wire::{AttachRequest, Open, OpenProduce, ProduceBatch, ProduceReply};
use tokio::sync::{mpsc, watch};

use crate::Failure;
use crate::load;
use crate::node::BenchNode;
use crate::stranger::Stranger;

/// Between two requests of the neighbour.
const PACE: Duration = Duration::from_millis(2);

/// Records in a request of the neighbour.
const PER_REQUEST: u32 = 10;

/// Producers of the topic with the plugin.
const OTHERS: usize = 4;

/// Records in a batch of theirs.
const PER_BATCH: u32 = 100;

/// Between two batches of one of them, if the node takes them so fast.
const OTHERS_PACE: Duration = Duration::from_millis(40);

/// Batches of one of them on their way: few, since each is waited for before the next turn.
const OTHERS_IN_FLIGHT: usize = 2;

/// What a plugin may take for a batch. Over a batch of 100 records that time out it takes five times
/// as much.
const BATCH_TIME: Duration = Duration::from_millis(100);

/// What goes on beside the neighbour.
struct Deed {
    /// What the plugin does.
    mode: &'static str,
    words: &'static str,
    budget: &'static str,
    /// Whether a stranger spins too.
    stranger: bool,
}

const DEEDS: [Deed; 6] = [
    Deed { budget: "", ..Deed::bad("keep", "does what it should") },
    Deed {
        budget: "",
        stranger: true,
        ..Deed::bad("keep", "does what it should, and a stranger that spins")
    },
    Deed::bad("loop", "loops"),
    Deed::bad("panic", "traps"),
    Deed::bad("allocate", "grows"),
    Deed::bad("storm", "calls the host without end"),
];

impl Deed {
    const fn bad(mode: &'static str, words: &'static str) -> Deed {
        Deed { mode, words, budget: "<= 1.50", stranger: false }
    }
}

/// Measures all of it.
///
/// # Errors
/// If the node refuses the neighbour's load.
pub async fn measure(table: &mut Table, rounds: usize, records: u64) -> Result<(), Failure> {
    let requests = (records / 1_000).clamp(50, 5_000) as u32;
    for (flush, kept) in [(Flush::Always, "durable"), (Flush::Os, "page cache")] {
        let dir = tempfile::tempdir()?;
        let node = BenchNode::start(dir.path()).await?;
        let plugin = node.install("hostile", tidegate_test_guests::HOSTILE).await?;
        let neighbour = node.topic("neighbour", flush).await?;
        let mut alone = Vec::new();
        let mut beside = [const { Vec::new() }; DEEDS.len()];
        acks(&node, &neighbour, requests / 4).await?;
        for round in 0..rounds {
            alone.push(acks(&node, &neighbour, requests).await?);
            for (deed, figures) in DEEDS.iter().zip(&mut beside) {
                let mode = deed.mode;
                let topic = node.topic(&format!("{mode}-{round}"), flush).await?;
                node.attach(AttachRequest {
                    config: format!("{mode:?}"),
                    policy: PoisonPolicy::Skip,
                    limits: PluginLimits {
                        batch_time: BATCH_TIME,
                        failures: 0,
                        ..PluginLimits::default()
                    },
                    ..AttachRequest::new(topic.clone(), plugin.clone())
                })
                .await?;
                let stranger = deed.stranger.then(Stranger::start).transpose()?;
                let others = Others::start(&node, &topic).await?;
                figures.push(acks(&node, &neighbour, requests).await?);
                others.stop().await?;
                drop(stranger);
                node.delete(&topic).await?;
            }
        }
        node.stop().await;
        for (Deed { words, budget, .. }, ours) in DEEDS.into_iter().zip(beside) {
            table.add(Row {
                what: format!("ack, {kept}, beside a plugin that {words}: p99"),
                unit: "us",
                baseline: alone.clone(),
                ours,
                budget,
                difference: false,
            });
        }
    }
    Ok(())
}

/// The 99th percentile of the neighbour's acknowledgements, in microseconds.
async fn acks(node: &BenchNode, topic: &TopicName, requests: u32) -> Result<f64, Failure> {
    let (address, tls) = (node.address(), node.tls().to_owned());
    let topic = topic.clone();
    let (done, measured) = tokio::sync::oneshot::channel();
    // Not on the node's threads: a producer has its own.
    std::thread::Builder::new().name("neighbour".to_owned()).spawn(move || {
        // Nobody hears it only if the bench has failed already.
        _ = done.send(on_this_thread(&address, tls, &topic, requests));
    })?;
    let mut times = measured.await??;
    times.sort_unstable();
    let at = (times.len() * 99 / 100).min(times.len() - 1);
    Ok(times[at].as_nanos() as f64 / 1e3)
}

fn on_this_thread(
    address: &str,
    tls: PathBuf,
    topic: &TopicName,
    requests: u32,
) -> Result<Vec<Duration>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let connection = load::connect(address, &tls).await?;
        let times = at_a_pace(&connection, topic, requests).await?;
        connection.close(tidegate_transport::CloseCode::Done, "");
        Ok(times)
    })
}

async fn at_a_pace(
    connection: &Connection,
    topic: &TopicName,
    requests: u32,
) -> Result<Vec<Duration>, Failure> {
    let batch = sample::batch(0, PER_REQUEST)?;
    let (mut sender, mut receiver) = connection.open(&open(topic), &[]).await?;
    match receiver.recv::<ProduceReply>().await? {
        Some((ProduceReply::Ready { .. }, _)) => {}
        other => return Err(format!("no session: {other:?}").into()),
    }
    let (tick, mut ticks) = mpsc::unbounded_channel();
    // The runtime's own timers are a millisecond apart.
    std::thread::Builder::new().name("pace".to_owned()).spawn(move || {
        let first = Instant::now() + PACE;
        for request in 0..requests {
            let due = first + PACE * request;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if tick.send(due).is_err() {
                return;
            }
        }
    })?;
    let (mut waiting, mut times, mut number) = (VecDeque::new(), Vec::new(), 0);
    while times.len() < requests as usize {
        tokio::select! {
            Some(due) = ticks.recv() => {
                waiting.push_back(due);
                let header = ProduceBatch { number, partition: PartitionId(0) };
                sender.send(&header, std::slice::from_ref(&batch)).await?;
                number += 1;
            }
            reply = receiver.recv::<ProduceReply>() => match reply? {
                Some((ProduceReply::Acked(acks), _)) => {
                    let now = Instant::now();
                    let due = waiting.drain(..acks.len());
                    times.extend(due.map(|due| now.saturating_duration_since(due)));
                }
                other => return Err(format!("not acknowledged: {other:?}").into()),
            },
        }
    }
    Ok(times)
}

fn open(topic: &TopicName) -> Open {
    Open::Produce(OpenProduce { topic: topic.clone(), acks: Acks::All, producer: None })
}

/// The producers of the topic with the plugin.
struct Others {
    stop: watch::Sender<bool>,
    tasks: tokio::task::JoinSet<Result<(), Failure>>,
}

impl Others {
    /// Starts them, and waits until each has had a batch taken.
    async fn start(node: &BenchNode, topic: &TopicName) -> Result<Others, Failure> {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..OTHERS {
            let connection = node.connect().await?;
            tasks.spawn(send(connection, topic.clone(), stopped.clone()));
        }
        // What begins with them is over by then: instances are made, threads are started.
        tokio::time::sleep(3 * BATCH_TIME).await;
        Ok(Others { stop, tasks })
    }

    /// Waits until the node has answered all of them: then nothing of theirs runs any more.
    async fn stop(mut self) -> Result<(), Failure> {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// Sends until told to stop. What becomes of the records is of no account.
async fn send(
    connection: Connection,
    topic: TopicName,
    stopped: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let batch = sample::batch(0, PER_BATCH)?;
    let (mut sender, mut receiver) = connection.open(&open(&topic), &[]).await?;
    let (mut number, mut answered) = (0, 0);
    let mut pace = tokio::time::interval(OTHERS_PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let room = number - answered < OTHERS_IN_FLIGHT as u64 && !*stopped.borrow();
        if !room && number == answered {
            sender.finish();
            connection.close(tidegate_transport::CloseCode::Done, "");
            return Ok(());
        }
        tokio::select! {
            _ = pace.tick(), if room => {
                let header = ProduceBatch { number, partition: PartitionId(0) };
                sender.send(&header, std::slice::from_ref(&batch)).await?;
                number += 1;
            }
            reply = receiver.recv::<ProduceReply>() => match reply? {
                Some((ProduceReply::Acked(acks), _)) => answered += acks.len() as u64,
                Some((ProduceReply::Refused { .. }, _)) => answered += 1,
                Some((ProduceReply::Ready { .. }, _)) => {}
                other => return Err(format!("a session ended: {other:?}").into()),
            },
        }
    }
}
