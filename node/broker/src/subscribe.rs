//! Subscriptions: whole batches, pushed as they become visible.
//!
//! A subscription holds no records: it finds a chunk in the log and passes it on as the stream takes
//! it, see [`passing`](crate::passing). Partitions take turns.

use std::sync::Arc;

use tidegate_log::{FileRange, LogReader};
use tidegate_transport::{FrameReceiver, FrameSender, SendError};
use tidegate_types::{ByteSize, Offset, PartitionId, StartPosition, limits};
use tidegate_wire::{ErrorBody, ErrorCode, OpenSubscribe, PartitionStart, SubscribeReply};

use crate::Broker;
use crate::error;
use crate::leaving::Leaving;
use crate::passing::{Pace, pass_on};
use crate::topic::{Partition, Topic};

/// One partition of a subscription.
struct Cursor {
    partition: Arc<Partition>,
    /// On its way through a thread that may block, it is not here.
    reader: Option<LogReader>,
    next: Offset,
    /// Where `until_end` stops.
    stop: Option<Offset>,
    /// The high watermark of the last `CaughtUp`, so that it is said once.
    told: Option<Offset>,
    failed: bool,
}

impl Cursor {
    fn id(&self) -> PartitionId {
        self.partition.at.partition
    }

    fn limit(&self) -> Offset {
        let high_watermark = self.partition.high_watermark();
        self.stop.map_or(high_watermark, |stop| stop.min(high_watermark))
    }

    fn is_done(&self) -> bool {
        self.failed || self.stop.is_some_and(|stop| self.next >= stop)
    }
}

/// Serves one subscription until its end, the client's leaving, or the topic's.
pub(crate) async fn serve(
    broker: Arc<Broker>,
    open: OpenSubscribe,
    mut sender: FrameSender,
    mut receiver: FrameReceiver,
) {
    let pushing = push(&broker, open, &mut sender);
    let outcome = tokio::select! {
        outcome = pushing => outcome,
        // The client says nothing more; whatever comes here is its leaving.
        _ = receiver.recv::<()>() => return,
        () = broker.stopping() => Ok(Some(error::shutting_down())),
    };
    match outcome {
        Ok(Some(failure)) => {
            _ = sender.send(&SubscribeReply::Failed(failure), &[]).await;
            sender.finish();
        }
        Ok(None) => sender.finish(),
        Err(gone) => tracing::debug!(error = %gone, "a subscriber left"),
    }
}

async fn push(
    broker: &Arc<Broker>,
    open: OpenSubscribe,
    sender: &mut FrameSender,
) -> Result<Option<ErrorBody>, SendError> {
    let Some(topic) = broker.topics.get(&open.topic) else {
        return Ok(Some(error::unknown_topic(&open.topic)));
    };
    let mut advanced = topic.watch();
    let mut pace = Pace::default();
    let leaving = open.plugin.as_ref().map(|plugin| Leaving::by_read(broker, &topic, plugin));
    if let Some(Err(refused)) = leaving {
        return Ok(Some(refused));
    }
    let mut cursors = match place(&topic, &open).await {
        Ok(cursors) => cursors,
        Err(failure) => return Ok(Some(failure)),
    };
    let partitions = cursors
        .iter()
        .map(|cursor| PartitionStart {
            partition: cursor.id(),
            next: cursor.next,
            high_watermark: cursor.partition.high_watermark(),
        })
        .collect();
    sender.send(&SubscribeReply::Ready { topic: topic.id, partitions }, &[]).await?;

    loop {
        advanced.mark_unchanged();
        let mut moved = false;
        // Attached anew, a plugin is another one from the next chunk on.
        let leaving = match &open.plugin {
            Some(plugin) => match Leaving::by_read(broker, &topic, plugin) {
                Ok(leaving) => Some(Arc::new(leaving)),
                Err(gone) => return Ok(Some(gone)),
            },
            None => None,
        };
        for cursor in &mut cursors {
            moved |= step(cursor, sender, &mut pace, leaving.as_ref()).await?;
        }
        if open.until_end && cursors.iter().all(Cursor::is_done) {
            sender.send(&SubscribeReply::End, &[]).await?;
            return Ok(None);
        }
        if topic.is_gone() {
            return Ok(Some(error::unknown_topic(&topic.name)));
        }
        if !moved && advanced.changed().await.is_err() {
            return Ok(Some(error::shutting_down()));
        }
    }
}

/// Pushes one chunk of one partition, or tells that it is caught up. Says whether it moved.
async fn step(
    cursor: &mut Cursor,
    sender: &mut FrameSender,
    pace: &mut Pace,
    leaving: Option<&Arc<Leaving>>,
) -> Result<bool, SendError> {
    if cursor.is_done() {
        return Ok(false);
    }
    let limit = cursor.limit();
    let partition = cursor.id();
    if cursor.next >= limit {
        if cursor.told != Some(limit) {
            cursor.told = Some(limit);
            sender
                .send(&SubscribeReply::CaughtUp { partition, high_watermark: limit }, &[])
                .await?;
        }
        return Ok(false);
    }
    match locate(cursor, limit).await {
        // Nothing there yet: what is visible grows a moment before it can be read.
        Ok(None) => Ok(false),
        Ok(Some(range)) => {
            let next = range.next_offset;
            cursor.next = next;
            let high_watermark = cursor.partition.high_watermark();
            let header = SubscribeReply::Records { partition, next, high_watermark };
            if let Some(leaving) = leaving {
                match leaving.pass_range(&cursor.partition, range).await {
                    Ok(batches) => sender.send(&header, &[batches]).await?,
                    Err(error) => {
                        cursor.failed = true;
                        let failed = SubscribeReply::PartitionFailed { partition, error };
                        sender.send(&failed, &[]).await?;
                    }
                }
                return Ok(true);
            }
            sender.begin(&header, range.len).await?;
            pass_on(sender, range, pace).await?;
            Ok(true)
        }
        Err(failure) => {
            cursor.failed = true;
            let error = failure;
            sender.send(&SubscribeReply::PartitionFailed { partition, error }, &[]).await?;
            Ok(true)
        }
    }
}

/// Finds the next chunk: at once if it is in memory, otherwise off the async threads.
async fn locate(cursor: &mut Cursor, end: Offset) -> Result<Option<FileRange>, ErrorBody> {
    let (from, max) = (cursor.next, limits::SUBSCRIBE_CHUNK);
    let mut reader = cursor.reader.take().unwrap_or_else(|| cursor.partition.log.reader());
    if let Some(range) = reader.log().at_tail(from, end, max) {
        cursor.reader = Some(reader);
        return Ok(Some(range));
    }
    let locating = tokio::task::spawn_blocking(move || {
        let found = reader.locate(from, end, max);
        (reader, found)
    });
    match locating.await {
        Ok((reader, found)) => {
            cursor.reader = Some(reader);
            found.map_err(|failure| error::read(&failure))
        }
        Err(_) => Err(error::shutting_down()),
    }
}

/// Reads whole batches from `from` on, off the async threads: a cold read waits for the disk.
pub(crate) async fn read(
    partition: Arc<Partition>,
    from: Offset,
    end: Offset,
    max: ByteSize,
) -> Result<(bytes::Bytes, Offset), ErrorBody> {
    let reading = tokio::task::spawn_blocking(move || partition.log.read(from, end, max));
    match reading.await {
        Ok(Ok(chunk)) => Ok((chunk.batches, chunk.next_offset)),
        Ok(Err(failure)) => Err(error::read(&failure)),
        Err(_) => Err(error::shutting_down()),
    }
}

/// Turns positions into offsets.
async fn place(topic: &Arc<Topic>, open: &OpenSubscribe) -> Result<Vec<Cursor>, ErrorBody> {
    let wanted: Vec<(PartitionId, StartPosition)> = if open.partitions.is_empty() {
        topic.partitions().iter().map(|p| (p.at.partition, open.from)).collect()
    } else {
        open.partitions.clone()
    };
    let mut cursors: Vec<Cursor> = Vec::with_capacity(wanted.len().min(topic.partitions().len()));
    for (id, position) in wanted {
        let Some(partition) = topic.partition(id) else {
            return Err(error::unknown_partition(&topic.name, id, topic.config().partitions));
        };
        if cursors.iter().any(|cursor| cursor.id() == id) {
            let message = format!("partition {id} is named twice in one subscription");
            return Err(ErrorBody::new(ErrorCode::InvalidRequest, message));
        }
        let next = find(partition.clone(), position).await?;
        let stop = open.until_end.then(|| partition.high_watermark());
        cursors.push(Cursor {
            partition: partition.clone(),
            reader: None,
            next,
            stop,
            told: None,
            failed: false,
        });
    }
    Ok(cursors)
}

/// The offset that a position means now, within what consumers may see.
pub(crate) async fn find(
    partition: Arc<Partition>,
    position: StartPosition,
) -> Result<Offset, ErrorBody> {
    let start = partition.log.offsets().start;
    let end = partition.high_watermark();
    let clamp = |offset: Offset| offset.max(start).min(end);
    let n = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    Ok(match position {
        StartPosition::Start => start,
        StartPosition::End => end,
        StartPosition::AfterStart(count) => clamp(start.advance(n(count))),
        StartPosition::BeforeEnd(count) => clamp(end.advance(-n(count))),
        StartPosition::Offset(offset) if offset < start || offset > end => {
            let message = format!(
                "offset {offset} is outside partition {}: it has {start} to {end}",
                partition.at.partition
            );
            return Err(ErrorBody::new(ErrorCode::OffsetOutOfRange, message));
        }
        StartPosition::Offset(offset) => offset,
        StartPosition::Time(at) => {
            let looking = tokio::task::spawn_blocking(move || partition.log.offset_for_time(at));
            match looking.await {
                Ok(Ok(found)) => found.map_or(end, |(offset, _)| clamp(offset)),
                Ok(Err(failure)) => return Err(error::read(&failure)),
                Err(_) => return Err(error::shutting_down()),
            }
        }
    })
}
