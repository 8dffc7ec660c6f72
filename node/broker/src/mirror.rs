//! The destination of a copy: carries out what the link's [`Sink`] asks.
//!
//! One stream at a time writes to a mirror. A new one takes over: the one before it sees that,
//! lets its appends end, and leaves; only then is the new one answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tidegate_link::{LocalCopy, Sink, SinkConfig, SinkEffect};
use tidegate_log::{AppendMode, Appended, When};
use tidegate_record::Batches;
use tidegate_transport::{FrameReceiver, FrameSender, SendError};
use tidegate_types::{
    ByteSize, Flush, Offset, PartitionId, TopicConfig, TopicName, TopicPartition,
};
use tidegate_wire::{ErrorBody, ErrorCode, MirrorBatches, MirrorReply, MirrorTopic, OpenMirror};
use tokio::sync::{OwnedMutexGuard, oneshot};

use crate::Broker;
use crate::admin::{self, NewTopic};
use crate::error;
use crate::topic::{Partition, Topic};

/// Bytes of one stream that are handed to the log and not durable.
const BACKLOG: ByteSize = ByteSize::mib(16);

/// How long the stream before this one may take to leave.
const TAKE_OVER: Duration = Duration::from_secs(20);

type Append = Result<oneshot::Receiver<Result<Appended, ErrorBody>>, ErrorBody>;

/// One stream and the mirrors that it writes to.
struct Stream {
    broker: Arc<Broker>,
    /// By the source's topic id, which a mirror takes over.
    partitions: HashMap<TopicPartition, Arc<Partition>>,
    held: Vec<Held>,
}

/// A mirror that this stream may write to.
struct Held {
    topic: Arc<Topic>,
    /// How many streams had asked for it when this one got it.
    wanted: u64,
    _guard: OwnedMutexGuard<()>,
}

/// Serves one mirror stream until its end.
pub(crate) async fn serve(
    broker: Arc<Broker>,
    open: OpenMirror,
    mut sender: FrameSender,
    mut receiver: FrameReceiver,
) {
    tracing::info!(site = %open.site, link = %open.link, "a mirror stream begins");
    let (site, peer) = (broker.config.site.clone(), open.site.clone());
    let mut sink = Sink::new(SinkConfig { site, peer: peer.clone(), backlog: BACKLOG });
    sink.handle_open(open);
    let mut stream = Stream { broker, partitions: HashMap::new(), held: Vec::new() };
    let end = stream.run(&mut sink, &mut sender, &mut receiver).await;
    match end {
        Ok(()) => sender.finish(),
        Err(gone) => tracing::debug!(error = %gone, "a mirror stream broke"),
    }
    tracing::info!(site = %peer, "a mirror stream ended");
}

impl Stream {
    async fn run(
        &mut self,
        sink: &mut Sink,
        sender: &mut FrameSender,
        receiver: &mut FrameReceiver,
    ) -> Result<(), SendError> {
        let broker = self.broker.clone();
        let mut appends = FuturesUnordered::new();
        let mut ended = false;
        loop {
            while let Some(effect) = sink.poll_effect() {
                match effect {
                    SinkEffect::Prepare { topic, name } => {
                        let copies = self.prepare(&topic, name).await;
                        sink.handle_prepared(topic.id, copies);
                    }
                    SinkEffect::Append { at, batches, run } => {
                        let queued = self.append(at, batches).await;
                        appends.push(appended(at, run.next, queued));
                    }
                    SinkEffect::Reply(reply) => sender.send(&reply, &[]).await?,
                    SinkEffect::Close => ended = true,
                }
            }
            if ended {
                // What the log was given is finished before the mirror is let go.
                if appends.next().await.is_none() {
                    return Ok(());
                }
                continue;
            }
            tokio::select! {
                Some((at, outcome)) = appends.next(), if !appends.is_empty() => match outcome {
                    Ok(durable) => sink.handle_appended(at, durable),
                    Err(failure) => sink.handle_append_failed(at, failure),
                },
                received = receiver.recv::<MirrorBatches>(), if sink.wants_input() => {
                    match received {
                        Ok(Some((header, batches))) => sink.handle_batches(header, batches),
                        Ok(None) => ended = true,
                        Err(broken) => {
                            tracing::debug!(error = %broken, "a mirror stream broke");
                            ended = true;
                        }
                    }
                }
                topic = taken(&self.held) => {
                    let message = format!("another stream writes to {topic} now");
                    let failure = ErrorBody::retriable(ErrorCode::Overloaded, message);
                    sender.send(&MirrorReply::Failed(failure), &[]).await?;
                    ended = true;
                }
                () = broker.stopping() => {
                    sender.send(&MirrorReply::Failed(error::shutting_down()), &[]).await?;
                    ended = true;
                }
            }
        }
    }

    /// Finds or makes the mirror, and takes it over from an earlier stream.
    async fn prepare(
        &mut self,
        source: &MirrorTopic,
        name: TopicName,
    ) -> Result<Vec<(PartitionId, LocalCopy)>, ErrorBody> {
        let making = Stream::find_or_make(self.broker.clone(), source.clone(), name);
        let topic = admin::whole(making).await?;
        topic.take_over();
        let wanted = topic.wanted();
        let waiting = tokio::time::timeout(TAKE_OVER, topic.mirror_writer.clone().lock_owned());
        let guard = waiting.await.map_err(|_| {
            let message = format!("an earlier stream still writes to {}", topic.name);
            ErrorBody::retriable(ErrorCode::Overloaded, message)
        })?;
        let copies = topic
            .partitions()
            .into_iter()
            .map(|partition| {
                let offsets = partition.log.offsets();
                let at = TopicPartition { topic: source.id, partition: partition.at.partition };
                self.partitions.insert(at, partition.clone());
                let copy = LocalCopy {
                    incarnation: partition.log.incarnation(),
                    durable: offsets.durable,
                    end: offsets.end,
                    last_epoch: offsets.last_epoch,
                };
                (partition.at.partition, copy)
            })
            .collect();
        self.held.push(Held { topic, wanted, _guard: guard });
        Ok(copies)
    }

    async fn find_or_make(
        broker: Arc<Broker>,
        source: MirrorTopic,
        name: TopicName,
    ) -> Result<Arc<Topic>, ErrorBody> {
        let _guard = broker.changing.lock().await;
        let site = name.site().map(tidegate_types::SiteName::new).transpose();
        let site = site.map_err(|e| ErrorBody::new(ErrorCode::InvalidRequest, e.to_string()))?;
        if let Some(topic) = broker.topics.get(&name) {
            if topic.mirror_of != site {
                let message = format!("topic {name} exists and is no mirror");
                return Err(ErrorBody::new(ErrorCode::TopicExists, message));
            }
            let lives = source.partitions.iter().map(|p| p.incarnation);
            let new: Vec<_> = lives.skip(topic.partitions().len()).collect();
            if topic.id == source.id && !new.is_empty() {
                broker.add_partitions(&topic, new).await?;
            }
            return Ok(topic);
        }
        // A copy counts as taken once it is durable, whatever its source risks.
        let config = TopicConfig { flush: Flush::Always, ..source.config.clone() };
        let incarnations = source.partitions.iter().map(|p| p.incarnation).collect();
        broker
            .create_topic(NewTopic { name, id: source.id, config, mirror_of: site, incarnations })
            .await
    }

    async fn append(&self, at: TopicPartition, batches: Bytes) -> Append {
        let Some(partition) = self.partitions.get(&at) else {
            let message = format!("{at} was not prepared");
            return Err(ErrorBody::new(ErrorCode::Internal, message));
        };
        let records = Batches::trusted(&batches)
            .map_while(Result::ok)
            .fold(0, |sum: u32, batch| sum.saturating_add(batch.header().record_count));
        self.broker.submit(partition, batches, AppendMode::Keep, When::Durable, records).await
    }
}

/// Waits until an append is durable; the offset after it.
async fn appended(
    at: TopicPartition,
    next: Offset,
    queued: Append,
) -> (TopicPartition, Result<Offset, ErrorBody>) {
    let outcome = match queued {
        Ok(done) => match done.await {
            Ok(Ok(_)) => Ok(next),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(error::shutting_down()),
        },
        Err(failure) => Err(failure),
    };
    (at, outcome)
}

/// Ends when another stream takes over one of the topics; which one.
async fn taken(held: &[Held]) -> TopicName {
    let mut waiting: FuturesUnordered<_> = held
        .iter()
        .map(|held| async {
            held.topic.taken_over(held.wanted).await;
            held.topic.name.clone()
        })
        .collect();
    match waiting.next().await {
        Some(name) => name,
        None => std::future::pending().await,
    }
}
