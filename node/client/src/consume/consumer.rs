//! The consumer: one subscription after another, as one stream of events.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::Stream;
use tidegate_types::{Offset, PartitionId, TopicName};
use tidegate_wire::{ErrorBody, PartitionStart, SubscribeReply};
use tokio::time::Instant;

use super::config::{ConsumeError, ConsumerConfig};
use super::decode::{self, ConsumedRecord};
use super::positions::Positions;
use super::raw::RawSubscription;
use crate::backoff::Backoff;
use crate::client::{Client, RequestError};

/// What a consumer meets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A record.
    Record(ConsumedRecord),
    /// Everything that a partition holds has been given.
    CaughtUp {
        /// Which partition.
        partition: PartitionId,
        /// Its high watermark.
        high_watermark: Offset,
    },
    /// The end that was asked for. Nothing follows.
    End,
}

/// Reads records as the node pushes them, and comes back after a lost connection at the offset
/// after the last record that it gave.
///
/// Records of one partition come in order, each once; between partitions there is no order.
/// [`next`](Self::next) and [`next_event`](Self::next_event) are cancel-safe.
#[derive(Debug)]
pub struct Consumer {
    client: Client,
    positions: Positions,
    give_up_after: std::time::Duration,
    subscription: Option<RawSubscription>,
    ready: VecDeque<ConsumedRecord>,
    /// What comes after the records in `ready`.
    then: Option<Result<Event, ConsumeError>>,
    backoff: Backoff,
    /// Since when the node is out of reach, and when to try again.
    away: Option<Away>,
    over: bool,
}

#[derive(Debug)]
struct Away {
    since: Instant,
    retry_at: Instant,
    last: RequestError,
}

impl Client {
    /// Begins to read a topic.
    ///
    /// # Errors
    /// If the node refuses, or is not reached at all.
    pub async fn consumer(
        &self,
        topic: TopicName,
        config: ConsumerConfig,
    ) -> Result<Consumer, ConsumeError> {
        let mut consumer = Consumer {
            client: self.clone(),
            give_up_after: config.give_up_after,
            positions: Positions::new(topic, config),
            subscription: None,
            ready: VecDeque::new(),
            then: None,
            backoff: Backoff::new(Backoff::random_seed()),
            away: None,
            over: false,
        };
        match consumer.subscribe().await {
            Ok(()) => Ok(consumer),
            Err(Failure::Final(error)) => Err(error),
            Err(Failure::Away(source)) => {
                Err(ConsumeError::Unreachable { after: std::time::Duration::ZERO, source })
            }
        }
    }
}

/// What became of a try.
enum Failure {
    Final(ConsumeError),
    Away(RequestError),
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Failure {
        match error {
            RequestError::Refused(error) if !error.retriable => {
                Failure::Final(ConsumeError::Refused { error })
            }
            RequestError::Protocol(what) | RequestError::Invalid(what) => {
                Failure::Final(ConsumeError::Protocol { what })
            }
            other => Failure::Away(other),
        }
    }
}

fn ended(error: ErrorBody) -> Failure {
    RequestError::Refused(error).into()
}

impl Consumer {
    /// The next record; `None` after the end that was asked for, or after an error that ends the
    /// consumer ([`ConsumeError::is_partial`] tells those apart that do not).
    pub async fn next(&mut self) -> Option<Result<ConsumedRecord, ConsumeError>> {
        loop {
            match self.next_event().await? {
                Ok(Event::Record(record)) => return Some(Ok(record)),
                Ok(Event::CaughtUp { .. }) => {}
                Ok(Event::End) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The next event; `None` after [`Event::End`] or an error that ends the consumer.
    pub async fn next_event(&mut self) -> Option<Result<Event, ConsumeError>> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                self.positions.handle_read(record.partition, record.offset.advance(1));
                return Some(Ok(Event::Record(record)));
            }
            if let Some(event) = self.then.take() {
                self.over = match &event {
                    Ok(event) => matches!(event, Event::End),
                    Err(error) => !error.is_partial(),
                };
                return Some(event);
            }
            if self.over {
                self.subscription = None;
                return None;
            }
            if let Err(failure) = self.advance().await {
                self.handle_failure(failure);
            }
        }
    }

    /// The records as a stream, for use with `futures`.
    pub fn into_stream(self) -> impl Stream<Item = Result<ConsumedRecord, ConsumeError>> {
        futures_util::stream::unfold(self, async |mut consumer| {
            let next = consumer.next().await?;
            Some((next, consumer))
        })
    }

    /// Takes one step: waits, subscribes, or takes a reply. Holds nothing across an await that
    /// is not in `self`.
    async fn advance(&mut self) -> Result<(), Failure> {
        if self.subscription.is_none() {
            if let Some(away) = &self.away {
                tokio::time::sleep_until(away.retry_at).await;
            }
            return self.subscribe().await;
        }
        let Some(subscription) = &mut self.subscription else { return Ok(()) };
        let reply = subscription.next().await;
        match reply? {
            Some((reply, payload)) => self.handle_reply(reply, &payload),
            None => Err(Failure::Away(RequestError::Protocol(
                "the subscription ended without a word".to_owned(),
            ))),
        }
    }

    async fn subscribe(&mut self) -> Result<(), Failure> {
        let Some(open) = self.positions.request() else {
            self.then = Some(Ok(Event::End));
            return Ok(());
        };
        let mut subscription = self.client.open_subscribe(open).await?;
        match subscription.next().await? {
            Some((SubscribeReply::Ready { partitions, .. }, _)) => {
                self.handle_ready(&partitions);
                self.subscription = Some(subscription);
                Ok(())
            }
            Some((SubscribeReply::Failed(error), _)) => Err(ended(error)),
            Some((other, _)) => Err(out_of_place(&other)),
            None => Err(Failure::Away(RequestError::Protocol(
                "the subscription ended before it began".to_owned(),
            ))),
        }
    }

    fn handle_ready(&mut self, partitions: &[PartitionStart]) {
        self.positions.handle_ready(partitions);
        self.backoff.reset();
        self.away = None;
    }

    fn handle_reply(&mut self, reply: SubscribeReply, payload: &Bytes) -> Result<(), Failure> {
        match reply {
            SubscribeReply::Records { partition, next, .. } => {
                let wanted = self.positions.wanted(partition);
                let begun_at = wanted.start;
                match decode::records(partition, payload, wanted, &mut self.ready) {
                    // Without records to give, the position moves on at once, over holes.
                    Ok(()) if self.ready.is_empty() => {
                        self.positions.handle_read(partition, next);
                    }
                    Ok(()) => {}
                    Err(source) => {
                        let offset =
                            self.ready.back().map_or(begun_at, |last| last.offset.advance(1));
                        self.then = Some(Err(ConsumeError::Damaged { partition, offset, source }));
                    }
                }
                Ok(())
            }
            SubscribeReply::CaughtUp { partition, high_watermark } => {
                self.positions.handle_read(partition, high_watermark);
                self.then = Some(Ok(Event::CaughtUp { partition, high_watermark }));
                Ok(())
            }
            SubscribeReply::PartitionFailed { partition, error } => {
                self.positions.handle_failed(partition);
                self.then = Some(Err(ConsumeError::Partition { partition, error }));
                Ok(())
            }
            SubscribeReply::End => {
                self.then = Some(Ok(Event::End));
                Ok(())
            }
            SubscribeReply::Failed(error) => Err(ended(error)),
            other @ SubscribeReply::Ready { .. } => Err(out_of_place(&other)),
        }
    }

    fn handle_failure(&mut self, failure: Failure) {
        self.subscription = None;
        match failure {
            Failure::Final(error) => self.then = Some(Err(error)),
            Failure::Away(last) => {
                let now = Instant::now();
                let since = self.away.as_ref().map_or(now, |away| away.since);
                if now.duration_since(since) >= self.give_up_after {
                    let after = now.duration_since(since);
                    self.then = Some(Err(ConsumeError::Unreachable { after, source: last }));
                    return;
                }
                tracing::debug!(error = %last, "subscription lost, trying again");
                let retry_at = now + self.backoff.next_wait();
                self.away = Some(Away { since, retry_at, last });
            }
        }
    }

    /// Why the node is out of reach, while it is.
    #[must_use]
    pub fn away(&self) -> Option<&RequestError> {
        self.away.as_ref().map(|away| &away.last)
    }
}

fn out_of_place(reply: &SubscribeReply) -> Failure {
    let what = match reply {
        SubscribeReply::Ready { .. } => "a second beginning",
        SubscribeReply::Records { .. } => "records before the beginning",
        SubscribeReply::CaughtUp { .. } => "the end of a partition before the beginning",
        SubscribeReply::PartitionFailed { .. } => "a partition's failure before the beginning",
        SubscribeReply::End => "the end before the beginning",
        SubscribeReply::Failed(_) => "a failure",
    };
    Failure::Final(ConsumeError::Protocol { what: what.to_owned() })
}
