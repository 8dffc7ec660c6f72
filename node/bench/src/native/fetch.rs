//! Subscriptions, one a connection: the node pushes.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate_client::{Client, RawSubscription};
use tidegate_types::{PartitionId, StartPosition, TopicName};
use tidegate_wire::{OpenSubscribe, SubscribeReply};
use tokio::task::JoinSet;

use super::{error_text, in_vain};
use crate::scan::scan;
use crate::session::{Plan, Tally};
use crate::{BenchError, Stop};

const WHAT: &str = "for records";

/// Most time until a task sees that it is to stop.
const LOOK_UP: Duration = Duration::from_millis(50);

/// Reads all partitions from start to end, again and again, over each of the clients. Connections
/// share the partitions; those beyond their number read the same ones again.
///
/// # Errors
/// If a connection fails, or the node refuses.
pub(crate) async fn fetch(
    clients: Vec<Client>,
    topic: &TopicName,
    partitions: u32,
    plan: &Plan,
    stop: &Stop,
) -> Result<Tally, BenchError> {
    let failed = Stop::new();
    let started = Instant::now();
    let count = clients.len() as u32;
    let mut tasks = JoinSet::new();
    for (client, number) in clients.into_iter().zip(0..) {
        let reader = Reader {
            address: client.address().to_owned(),
            client,
            open: OpenSubscribe {
                topic: topic.clone(),
                from: StartPosition::Start,
                partitions: dealt(partitions, number, count),
                until_end: true,
                plugin: None,
            },
            plan: plan.clone(),
            started,
            stops: [stop.clone(), failed.clone()],
            tally: Tally::new(),
        };
        let failed = failed.clone();
        tasks.spawn(async move {
            let result = reader.read().await;
            if result.is_err() {
                failed.stop();
            }
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

fn dealt(partitions: u32, number: u32, count: u32) -> Vec<(PartitionId, StartPosition)> {
    let mine = (number % partitions.max(1)..partitions).step_by(count.min(partitions) as usize);
    mine.map(|partition| (PartitionId(partition), StartPosition::Start)).collect()
}

struct Reader {
    client: Client,
    address: String,
    open: OpenSubscribe,
    plan: Plan,
    started: Instant,
    stops: [Stop; 2],
    tally: Tally,
}

impl Reader {
    async fn read(mut self) -> Result<Tally, BenchError> {
        while !self.is_over() {
            let subscribed = self.client.open_subscribe(self.open.clone()).await;
            let subscription = subscribed.map_err(in_vain(&self.client, "for a subscription"))?;
            let bytes = self.tally.moved.bytes;
            self.pass(subscription).await?;
            // Somebody may have deleted what was there.
            if self.tally.moved.bytes == bytes && self.started.elapsed() >= self.plan.warmup {
                break;
            }
        }
        self.client.close().await;
        Ok(self.tally)
    }

    fn is_over(&self) -> bool {
        self.stops.iter().any(Stop::is_stopped)
            || self.plan.quota.is_spent()
            || self.plan.end.is_some_and(|end| self.started.elapsed() >= end)
    }

    /// Reads once from start to end, or until the load is over.
    async fn pass(&mut self, mut subscription: RawSubscription) -> Result<(), BenchError> {
        let mut heard = Instant::now();
        while !self.is_over() {
            let reply = match tokio::time::timeout(LOOK_UP, subscription.next()).await {
                Ok(reply) => reply.map_err(in_vain(&self.client, WHAT))?,
                Err(_) if heard.elapsed() >= self.plan.timeout => {
                    return Err(BenchError::TimedOut {
                        address: self.address.clone(),
                        what: WHAT,
                        waited: self.plan.timeout,
                    });
                }
                Err(_) => continue,
            };
            heard = Instant::now();
            match reply {
                Some((SubscribeReply::Records { .. }, batches)) => self.take(&batches)?,
                Some((SubscribeReply::Ready { .. } | SubscribeReply::CaughtUp { .. }, _)) => {}
                Some((SubscribeReply::End, _)) => return Ok(()),
                Some((
                    SubscribeReply::Failed(error) | SubscribeReply::PartitionFailed { error, .. },
                    _,
                )) => {
                    return Err(BenchError::Refused {
                        address: self.address.clone(),
                        what: WHAT,
                        error: error_text(&error),
                    });
                }
                None => {
                    return Err(BenchError::Closed {
                        address: self.address.clone(),
                        answered: self.tally.requests,
                        waiting: 1,
                    });
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, batches: &Bytes) -> Result<(), BenchError> {
        let now = self.started.elapsed();
        let scanned = scan(batches).map_err(|error| BenchError::Protocol {
            address: self.address.clone(),
            reason: error.to_string(),
        })?;
        if now >= self.plan.warmup {
            self.plan.quota.take(scanned.amount);
            self.tally.requests += 1;
            self.tally.moved.records += scanned.amount.records;
            self.tally.moved.bytes += scanned.amount.bytes;
            self.tally.last = now;
        }
        Ok(())
    }
}
