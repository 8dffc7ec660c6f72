//! Produce sessions, one a connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidegate_client::{Client, RawProduceReceiver, RawProduceSender};
use tidegate_types::{Acks, PartitionId, TopicName};
use tidegate_wire::{OpenProduce, ProduceReply};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{error_text, in_vain, pause};
use crate::batches::Batch;
use crate::pace::Pace;
use crate::session::{Halt, Next, Plan, Session, Tally, correlation_id};
use crate::{BenchError, Stop};

const WHAT: &str = "to store records";

/// Most time until a task sees that it is to stop.
const LOOK_UP: Duration = Duration::from_millis(50);

/// What is sent, and how.
#[derive(Clone, Debug)]
pub(crate) struct Producing {
    pub topic: TopicName,
    pub batch: Batch,
    pub acks: Acks,
    /// Requests a second over all connections.
    pub rate: Option<f64>,
}

/// Sends the batch again and again, a session over each of the clients.
///
/// # Errors
/// If a connection fails, or everything is refused.
pub(crate) async fn produce(
    clients: Vec<Client>,
    producing: &Producing,
    plan: &Plan,
    stop: &Stop,
) -> Result<Tally, BenchError> {
    let mut sessions = Vec::with_capacity(clients.len());
    for client in clients {
        let open =
            OpenProduce { topic: producing.topic.clone(), acks: producing.acks, producer: None };
        let raw = client.open_produce(open).await;
        let raw = raw.map_err(in_vain(&client, "for a produce session"))?;
        sessions.push((client, raw));
    }
    let failed = Stop::new();
    let started = Instant::now();
    let count = sessions.len() as u32;
    let mut tasks = JoinSet::new();
    for ((client, raw), number) in sessions.into_iter().zip(0..) {
        let pace = producing.rate.map_or(Pace::Closed, |rate| Pace::open(rate, number, count));
        let partitions = raw.partitions.max(1);
        let (sender, receiver) = raw.split();
        let shared = Arc::new(Shared {
            session: Mutex::new(Session::new(plan.clone(), pace)),
            room: Notify::new(),
            started,
            address: client.address().to_owned(),
            timeout: plan.timeout,
            batch: producing.batch.clone(),
            answered: producing.acks != Acks::None,
            stop: stop.clone(),
            failed: failed.clone(),
        });
        let failed = failed.clone();
        tasks.spawn(async move {
            let result = drive(&shared, sender, receiver, number, partitions).await;
            if result.is_err() {
                failed.stop();
                shared.room.notify_one();
            }
            client.close().await;
            result
        });
    }
    let mut all = Tally::new();
    let mut failure = None;
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok(Ok(tally)) => all.add(&tally),
            Ok(Err(error)) => failure = failure.or(Some(error)),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(cancelled) => failure = failure.or(Some(BenchError::Local(cancelled.into()))),
            },
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(all),
    }
}

/// What both halves of a session know.
struct Shared {
    session: Mutex<Session>,
    /// Told when an answer has made room.
    room: Notify,
    started: Instant,
    address: String,
    timeout: Duration,
    batch: Batch,
    answered: bool,
    stop: Stop,
    failed: Stop,
}

async fn drive(
    shared: &Shared,
    sender: RawProduceSender,
    receiver: RawProduceReceiver,
    first: u32,
    partitions: u32,
) -> Result<Tally, BenchError> {
    // Each half ends the other by its error alone.
    tokio::try_join!(shared.send_all(sender, first, partitions), shared.take_answers(receiver))?;
    if !shared.answered {
        shared.session().extend(shared.started.elapsed());
    }
    let tally = shared.session().finish();
    tally.map_err(|halt| shared.halted(halt))
}

impl Shared {
    fn session(&self) -> MutexGuard<'_, Session> {
        // A panic in either half ends the load anyway.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send_all(
        &self,
        mut sender: RawProduceSender,
        first: u32,
        partitions: u32,
    ) -> Result<(), BenchError> {
        loop {
            let now = self.started.elapsed();
            let next = {
                let mut session = self.session();
                if self.stop.is_stopped() || self.failed.is_stopped() {
                    session.end(now);
                }
                session.poll_send(now)
            };
            match next {
                Next::Send(number) => {
                    let partition = (u64::from(first) + number) % u64::from(partitions);
                    let sent = self.send(&mut sender, PartitionId(partition as u32)).await?;
                    debug_assert_eq!(sent, number);
                    if !self.answered {
                        let (now, amount) = (self.started.elapsed(), self.batch.amount);
                        let taken = self.session().handle_written(now, amount);
                        taken.map_err(|halt| self.halted(halt))?;
                    }
                }
                Next::At(due) => {
                    let due = due.min(now + LOOK_UP);
                    pause::until(self.started + due).await;
                }
                Next::Full => {
                    _ = tokio::time::timeout(LOOK_UP, self.room.notified()).await;
                }
                Next::Done => break,
            }
        }
        // Sessions without acks end only when the node has taken everything.
        sender.finish();
        Ok(())
    }

    async fn send(
        &self,
        sender: &mut RawProduceSender,
        partition: PartitionId,
    ) -> Result<u64, BenchError> {
        let sending = sender.send_batch(partition, self.batch.bytes.clone());
        match tokio::time::timeout(self.timeout, sending).await {
            Ok(sent) => sent.map_err(|source| self.in_vain(source)),
            Err(_) => Err(self.timed_out()),
        }
    }

    async fn take_answers(&self, mut receiver: RawProduceReceiver) -> Result<(), BenchError> {
        loop {
            let reply = match tokio::time::timeout(LOOK_UP, receiver.recv_reply()).await {
                Ok(reply) => reply.map_err(|source| self.in_vain(source))?,
                Err(_) => {
                    let now = self.started.elapsed();
                    let timeout = self.session().poll_timeout();
                    if self.failed.is_stopped() {
                        return Ok(());
                    }
                    if timeout.is_some_and(|timeout| timeout <= now) {
                        return Err(self.timed_out());
                    }
                    continue;
                }
            };
            let now = self.started.elapsed();
            match reply {
                Some(ProduceReply::Acked(acks)) => {
                    let mut session = self.session();
                    for ack in acks {
                        let (id, moved) = (correlation_id(ack.number), self.batch.amount);
                        let taken = session.handle_answer(id, now, Ok(moved));
                        taken.map_err(|halt| self.halted(halt))?;
                    }
                }
                Some(ProduceReply::Refused { number, error }) => {
                    let refused = Err(error_text(&error));
                    let taken = self.session().handle_answer(correlation_id(number), now, refused);
                    taken.map_err(|halt| self.halted(halt))?;
                }
                Some(ProduceReply::Failed(error)) => {
                    return Err(self.halted(Halt::Refused { error: error_text(&error) }));
                }
                Some(ProduceReply::Ready { .. }) => {
                    return Err(self.wrong("it began the session twice".to_owned()));
                }
                None if self.session().is_done() => return Ok(()),
                None => {
                    let session = self.session();
                    return Err(BenchError::Closed {
                        address: self.address.clone(),
                        answered: session.answered(),
                        waiting: session.waiting(),
                    });
                }
            }
            self.room.notify_one();
        }
    }

    fn wrong(&self, reason: String) -> BenchError {
        BenchError::Protocol { address: self.address.clone(), reason }
    }

    fn in_vain(&self, source: tidegate_client::RequestError) -> BenchError {
        BenchError::Native { address: self.address.clone(), what: WHAT, source }
    }

    fn timed_out(&self) -> BenchError {
        BenchError::TimedOut { address: self.address.clone(), what: WHAT, waited: self.timeout }
    }

    fn halted(&self, halt: Halt) -> BenchError {
        match halt {
            Halt::OutOfOrder { expected, found } => {
                self.wrong(format!("it answers batch {found} when {expected} is the oldest"))
            }
            Halt::Refused { error } => {
                BenchError::Refused { address: self.address.clone(), what: WHAT, error }
            }
        }
    }
}
