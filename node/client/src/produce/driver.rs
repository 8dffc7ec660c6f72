//! The task behind a producer: does what [`Core`] says, and tells it what happened.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate_types::{Acks, PartitionId, TopicName};
use tidegate_wire::{BatchAck, ErrorBody, ErrorCode, OpenProduce, ProduceReply, ProducerIdentity};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::accumulator::{Accumulator, Sealed};
use super::core::{Core, Effect, Failed};
use super::delivery::DeliveryError;
use super::raw::{RawProduce, RawProduceReceiver};
use crate::client::{Client, RequestError};

/// Replies taken at once before batches are sent again.
const REPLIES_AT_ONCE: usize = 256;

pub(super) struct Driver {
    accumulator: Arc<Accumulator>,
    client: Client,
    topic: TopicName,
    core: Core<Sealed>,
    session: Option<Session>,
    asking: Option<Asking>,
    /// What went wrong last, for those whose time runs out.
    last: Option<String>,
}

type Asking = Pin<Box<dyn Future<Output = Asked> + Send>>;

/// What was asked of the node besides batches.
enum Asked {
    Identity(Result<ProducerIdentity, RequestError>),
    Session(Result<RawProduce, RequestError>),
}

/// How long a producer that was closed waits for the node to receive what it does not acknowledge.
const LAST_BATCHES: Duration = Duration::from_secs(5);

/// An open session: a task writes, so that replies are read while flow control holds it back.
struct Session {
    receiver: RawProduceReceiver,
    batches: mpsc::Sender<(PartitionId, Bytes)>,
    /// Numbers of batches written, where nothing else will tell; ends with the writer.
    written: mpsc::Receiver<u64>,
    writer: Writer,
}

/// Ends the task when dropped.
struct Writer(JoinHandle<()>);

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Session {
    fn start(session: RawProduce, capacity: usize, acks: Acks) -> Session {
        let (mut sender, receiver) = session.split();
        let (batches, mut next) = mpsc::channel::<(PartitionId, Bytes)>(capacity);
        let (tell, written) = mpsc::channel(capacity);
        let writer = tokio::spawn(async move {
            while let Some((partition, batch)) = next.recv().await {
                let Ok(number) = sender.send_batch(partition, batch).await else { return };
                if acks == Acks::None && tell.send(number).await.is_err() {
                    return;
                }
            }
            // Fails only where the connection is gone, and what was sent with it.
            let _ = sender.finish_received().await;
        });
        Session { receiver, batches, written, writer: Writer(writer) }
    }

    /// Ends the session, all that was sent having arrived.
    async fn finish(self) {
        let Session { batches, mut writer, .. } = self;
        drop(batches);
        let _ = tokio::time::timeout(LAST_BATCHES, &mut writer.0).await;
    }
}

/// What woke the driver.
enum Woken {
    Changed,
    Due,
    Asked(Asked),
    Reply(Result<Option<ProduceReply>, RequestError>),
    Written(Option<u64>),
}

impl Driver {
    pub(super) fn new(
        accumulator: Arc<Accumulator>,
        client: Client,
        topic: TopicName,
        core: Core<Sealed>,
        session: RawProduce,
    ) -> Driver {
        let config = accumulator.config();
        let session = Session::start(session, config.max_in_flight, config.acks);
        Driver {
            accumulator,
            client,
            topic,
            core,
            session: Some(session),
            asking: None,
            last: None,
        }
    }

    /// Runs until the producer is closed and all is settled.
    pub(super) async fn run(mut self) {
        loop {
            let now = Instant::now();
            self.core.handle_timeout(now);
            let (sealed, lingers) = self.accumulator.take_sealed(now);
            for batch in sealed {
                let (partition, records) = (batch.partition, batch.records);
                self.core.push(now, partition, batch, records);
            }
            self.pump(now);
            if self.accumulator.is_over() {
                if let Some(session) = self.session.take() {
                    session.finish().await;
                }
                return;
            }
            let due = [self.core.next_timeout(), lingers].into_iter().flatten().min();
            let woken = self.wait(due).await;
            self.handle(woken);
        }
    }

    /// Waits for anything to happen. Cancel-safe in every branch.
    async fn wait(&mut self, due: Option<Instant>) -> Woken {
        let timer = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        let asking = async {
            match &mut self.asking {
                Some(asking) => asking.await,
                None => std::future::pending().await,
            }
        };
        let session = async {
            match &mut self.session {
                Some(Session { receiver, written, .. }) => tokio::select! {
                    reply = receiver.recv_reply() => Woken::Reply(reply),
                    number = written.recv() => Woken::Written(number),
                },
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            woken = session => woken,
            asked = asking => Woken::Asked(asked),
            () = self.accumulator.changed() => Woken::Changed,
            () = timer => Woken::Due,
        }
    }

    fn handle(&mut self, woken: Woken) {
        let now = Instant::now();
        match woken {
            Woken::Changed | Woken::Due => {}
            Woken::Asked(asked) => {
                self.asking = None;
                self.handle_asked(now, asked);
            }
            Woken::Written(Some(number)) => {
                self.core.handle_acked(&BatchAck { number, base_offset: None, duplicate: false });
            }
            Woken::Written(None) => {
                // The writer ended. If the node told why, that is still to be read.
                let told = match &mut self.session {
                    Some(session) => session.receiver.try_recv_reply(),
                    None => return,
                };
                match told {
                    Ok(Some(reply)) => self.handle_reply(now, reply),
                    Ok(None) => self.lose(now, "the node takes no more batches".to_owned(), None),
                    Err(error) => self.lose(now, error.to_string(), error.refusal()),
                }
            }
            Woken::Reply(reply) => self.handle_replies(now, reply),
        }
    }

    fn handle_asked(&mut self, now: Instant, asked: Asked) {
        match asked {
            Asked::Identity(Ok(identity)) => self.core.handle_identity(identity),
            Asked::Session(Ok(session)) => {
                let config = self.accumulator.config();
                self.accumulator.set_partitions(session.partitions);
                self.session = Some(Session::start(session, config.max_in_flight, config.acks));
                self.core.handle_opened();
            }
            Asked::Identity(Err(error)) | Asked::Session(Err(error)) => {
                self.lose(now, describe(&error), error.refusal());
            }
        }
    }

    /// Takes a reply and all that came with it.
    fn handle_replies(
        &mut self,
        now: Instant,
        mut reply: Result<Option<ProduceReply>, RequestError>,
    ) {
        for _ in 0..REPLIES_AT_ONCE {
            match reply {
                Ok(Some(reply)) => self.handle_reply(now, reply),
                Ok(None) => return self.lose(now, "the node ended the session".to_owned(), None),
                Err(error) => return self.lose(now, describe(&error), error.refusal()),
            }
            let Some(session) = &mut self.session else { return };
            reply = match session.receiver.try_recv_reply() {
                Ok(None) => return,
                other => other,
            };
        }
        if let Ok(Some(reply)) = reply {
            self.handle_reply(now, reply);
        }
    }

    fn handle_reply(&mut self, now: Instant, reply: ProduceReply) {
        match reply {
            ProduceReply::Acked(acks) => acks.iter().for_each(|ack| self.core.handle_acked(ack)),
            ProduceReply::Refused { number, error } => {
                self.last = Some(error.to_string());
                self.core.handle_refused(now, number, error);
            }
            ProduceReply::Failed(error) => self.lose(now, error.to_string(), Some(&error)),
            ProduceReply::Ready { .. } => {
                self.lose(now, "the node began the session twice".to_owned(), None);
            }
        }
    }

    /// There is no session, or no more.
    fn lose(&mut self, now: Instant, why: String, refusal: Option<&ErrorBody>) {
        tracing::debug!(topic = %self.topic, %why, "no produce session");
        self.session = None;
        self.core.handle_no_session(now, refusal);
        self.last = Some(why);
    }

    fn pump(&mut self, now: Instant) {
        while let Some(effect) = self.core.poll_effect(now) {
            match effect {
                Effect::InitProducer { previous } => {
                    let client = self.client.clone();
                    self.asking = Some(Box::pin(async move {
                        Asked::Identity(client.init_producer(previous).await)
                    }));
                }
                Effect::Open { producer } => {
                    let client = self.client.clone();
                    let acks = self.accumulator.config().acks;
                    let open = OpenProduce { topic: self.topic.clone(), acks, producer };
                    self.asking =
                        Some(Box::pin(
                            async move { Asked::Session(client.open_produce(open).await) },
                        ));
                }
                Effect::Close => self.session = None,
                Effect::Send { number, partition, stamp } => {
                    let bytes = self.core.batch_mut(number).map(|batch| batch.stamped(stamp));
                    match (bytes, &self.session) {
                        (Some(Ok(bytes)), Some(session)) => {
                            // There is room for all that may be in flight. If the writer has
                            // ended, `written` tells.
                            let _ = session.batches.try_send((partition, bytes));
                        }
                        (Some(Err(error)), _) => {
                            let error = ErrorBody::new(ErrorCode::Internal, error.to_string());
                            self.core.handle_refused(now, number, error);
                        }
                        _ => {}
                    }
                }
                Effect::Done { batch, outcome } => {
                    let after = self.accumulator.config().delivery_timeout;
                    let result = match outcome {
                        Ok(stored) => Ok(stored.base_offset),
                        Err(Failed::Refused(error)) => Err(DeliveryError::Refused(error)),
                        Err(Failed::TimedOut { sent }) => Err(DeliveryError::TimedOut {
                            after,
                            maybe_stored: sent,
                            last: self.last.clone(),
                        }),
                    };
                    self.accumulator.settle(&batch, result);
                }
            }
        }
    }
}

/// An error with its causes, in one line.
fn describe(error: &RequestError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.accumulator.abandon();
    }
}
