//! A produce session: batches in, acknowledgements out, in the order in which they came.
//!
//! One task takes batches and gives each its place in the log's queue; a second one waits for the
//! acknowledgements. Between them lies a bounded queue: a producer with too many batches in flight
//! is held back by its stream.

use std::sync::Arc;

use tidegate_transport::{FrameReceiver, FrameSender, SendError};
use tidegate_types::{Acks, limits};
use tidegate_wire::{BatchAck, ErrorBody, ErrorCode, OpenProduce, ProduceBatch, ProduceReply};
use tokio::sync::mpsc;

use crate::Broker;
use crate::error;
use crate::produce::{Outcome, PendingAck};
use crate::topic::Topic;

/// A batch on its way to its acknowledgement.
struct InFlight {
    number: u64,
    staged: Result<PendingAck, ErrorBody>,
}

/// Serves one session until the producer closes it or breaks the protocol.
pub(crate) async fn serve(
    broker: Arc<Broker>,
    open: OpenProduce,
    mut sender: FrameSender,
    mut receiver: FrameReceiver,
) {
    let Some(topic) = broker.topics.get(&open.topic) else {
        let failure = ProduceReply::Failed(error::unknown_topic(&open.topic));
        if sender.send(&failure, &[]).await.is_ok() {
            sender.finish();
        }
        return;
    };
    let ready = ProduceReply::Ready { topic: topic.id, partitions: topic.config().partitions };
    if sender.send(&ready, &[]).await.is_err() {
        return;
    }
    let (queue, in_flight) = mpsc::channel(limits::MAX_IN_FLIGHT);
    let acking = tokio::spawn(acknowledge(in_flight, sender, open.acks));
    let end = tokio::select! {
        end = take(&broker, &topic, &open, &mut receiver, queue) => end,
        () = broker.stopping() => Some(error::shutting_down()),
    };
    // The queue is closed; what was staged is still acknowledged.
    let Ok(Ok(mut sender)) = acking.await else { return };
    if let Some(failure) = end {
        _ = sender.send(&ProduceReply::Failed(failure), &[]).await;
    }
    sender.finish();
}

/// Takes batches until the stream ends; an error where it ends badly.
async fn take(
    broker: &Arc<Broker>,
    topic: &Arc<Topic>,
    open: &OpenProduce,
    receiver: &mut FrameReceiver,
    queue: mpsc::Sender<InFlight>,
) -> Option<ErrorBody> {
    let mut expected = 0;
    loop {
        let (header, payload) = match receiver.recv::<ProduceBatch>().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return None,
            Err(broken) => {
                tracing::debug!(error = %broken, topic = %topic.name, "a produce session broke");
                return Some(ErrorBody::new(ErrorCode::BadFrame, broken.to_string()));
            }
        };
        if header.number != expected {
            let message = format!("batch {} came where {expected} was due", header.number);
            return Some(ErrorBody::new(ErrorCode::BadFrame, message));
        }
        expected += 1;
        let staged = match stamped(open, &payload) {
            Ok(()) => broker.stage(topic, header.partition, payload, open.acks).await,
            Err(refusal) => Err(refusal),
        };
        if queue.send(InFlight { number: header.number, staged }).await.is_err() {
            return None;
        }
        if topic.is_gone() {
            return Some(error::unknown_topic(&topic.name));
        }
    }
}

/// A session's batches carry the session's identity: what it opened with is what it sends.
fn stamped(open: &OpenProduce, batch: &[u8]) -> Result<(), ErrorBody> {
    let header = tidegate_record::BatchHeader::parse(batch)
        .map_err(|e| ErrorBody::new(ErrorCode::InvalidRecord, e.to_string()))?;
    let found = header.stamp().map(|stamp| (stamp.id, stamp.epoch));
    let due = open.producer.map(|producer| (producer.id, producer.epoch));
    if found == due {
        return Ok(());
    }
    let name = |identity: Option<(tidegate_types::ProducerId, tidegate_types::ProducerEpoch)>| {
        identity.map_or("none".to_owned(), |(id, epoch)| format!("{id} in epoch {epoch}"))
    };
    let message = format!("batch is of producer {}, the session of {}", name(found), name(due));
    Err(ErrorBody::new(ErrorCode::InvalidRecord, message))
}

/// Waits for the batches in order and tells the producer; several at once where they are ready.
async fn acknowledge(
    mut in_flight: mpsc::Receiver<InFlight>,
    mut sender: FrameSender,
    acks: Acks,
) -> Result<FrameSender, SendError> {
    let mut acked = Vec::new();
    let mut next = in_flight.recv().await;
    while let Some(batch) = next.take() {
        let outcome = match batch.staged {
            Ok(pending) => pending.wait().await,
            Err(refusal) => Err(refusal),
        };
        match outcome {
            Ok(Outcome { base_offset, duplicate, .. }) => {
                acked.push(BatchAck { number: batch.number, base_offset, duplicate });
            }
            Err(error) => {
                flush(&mut sender, &mut acked, acks).await?;
                let refused = ProduceReply::Refused { number: batch.number, error };
                sender.send(&refused, &[]).await?;
            }
        }
        next = match in_flight.try_recv() {
            // Held back only while the next one is ready as well.
            Ok(ready) if ready.staged.as_ref().map_or(true, PendingAck::is_ready) => Some(ready),
            Ok(waiting) => {
                flush(&mut sender, &mut acked, acks).await?;
                Some(waiting)
            }
            Err(_) => {
                flush(&mut sender, &mut acked, acks).await?;
                in_flight.recv().await
            }
        };
    }
    flush(&mut sender, &mut acked, acks).await?;
    Ok(sender)
}

async fn flush(
    sender: &mut FrameSender,
    acked: &mut Vec<BatchAck>,
    acks: Acks,
) -> Result<(), SendError> {
    if acked.is_empty() || acks == Acks::None {
        acked.clear();
        return Ok(());
    }
    sender.send(&ProduceReply::Acked(std::mem::take(acked)), &[]).await
}
