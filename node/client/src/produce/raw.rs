//! The raw lane of a produce session: batches as they are, replies as the node sends them.

use bytes::Bytes;
use tidegate_transport::{FrameReceiver, FrameSender};
use tidegate_types::{PartitionId, TopicId};
use tidegate_wire::{Open, OpenProduce, ProduceBatch, ProduceReply};

use crate::client::{Client, RequestError};

/// A produce session as it is on the wire: no batching, no retries, no reconnecting.
#[derive(Debug)]
pub struct RawProduce {
    /// The topic's id.
    pub topic: TopicId,
    /// The topic's number of partitions.
    pub partitions: u32,
    sender: RawProduceSender,
    receiver: RawProduceReceiver,
}

/// The sending half of a [`RawProduce`].
#[derive(Debug)]
pub struct RawProduceSender {
    sender: FrameSender,
    next_number: u64,
}

/// The receiving half of a [`RawProduce`].
#[derive(Debug)]
pub struct RawProduceReceiver {
    receiver: FrameReceiver,
}

impl RawProduceSender {
    /// Sends one record batch, and gives its number in this session. The node holds this back
    /// when it has too much.
    ///
    /// Not cancel-safe: once interrupted, the session takes no more.
    ///
    /// # Errors
    /// If the session or connection is gone.
    pub async fn send_batch(
        &mut self,
        partition: PartitionId,
        batch: Bytes,
    ) -> Result<u64, RequestError> {
        let number = self.next_number;
        self.sender.send(&ProduceBatch { number, partition }, &[batch]).await?;
        self.next_number += 1;
        Ok(number)
    }

    /// Says that no more batches come; those sent are still answered.
    pub fn finish(&mut self) {
        self.sender.finish();
    }

    /// As [`finish`](Self::finish), and waits until the node has received all of them.
    ///
    /// # Errors
    /// If the connection is lost before.
    pub async fn finish_received(&mut self) -> Result<(), RequestError> {
        self.sender.finish();
        self.sender.closed().await.map_err(RequestError::Lost)
    }
}

impl RawProduceReceiver {
    /// The next reply; `None` once the node has answered all and ended the session.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// If the connection is gone, or the node does not keep to the protocol.
    pub async fn recv_reply(&mut self) -> Result<Option<ProduceReply>, RequestError> {
        Ok(self.receiver.recv().await?.map(|(reply, _)| reply))
    }

    /// A reply that is here already, if there is one.
    ///
    /// # Errors
    /// As [`recv_reply`](Self::recv_reply).
    pub fn try_recv_reply(&mut self) -> Result<Option<ProduceReply>, RequestError> {
        Ok(self.receiver.try_recv()?.map(|(reply, _)| reply))
    }
}

impl RawProduce {
    /// Sends one record batch; see [`RawProduceSender::send_batch`].
    ///
    /// # Errors
    /// If the session or connection is gone.
    pub async fn send_batch(
        &mut self,
        partition: PartitionId,
        batch: Bytes,
    ) -> Result<u64, RequestError> {
        self.sender.send_batch(partition, batch).await
    }

    /// The next reply; see [`RawProduceReceiver::recv_reply`].
    ///
    /// # Errors
    /// If the connection is gone, or the node does not keep to the protocol.
    pub async fn recv_reply(&mut self) -> Result<Option<ProduceReply>, RequestError> {
        self.receiver.recv_reply().await
    }

    /// Says that no more batches come; those sent are still answered.
    pub fn finish(&mut self) {
        self.sender.finish();
    }

    /// Both halves, for a task each.
    #[must_use]
    pub fn split(self) -> (RawProduceSender, RawProduceReceiver) {
        (self.sender, self.receiver)
    }
}

impl Client {
    /// Begins a produce session, and waits until it is open.
    ///
    /// # Errors
    /// If the node refuses or is not reached.
    pub async fn open_produce(&self, open: OpenProduce) -> Result<RawProduce, RequestError> {
        let (sender, mut receiver) = self.open(&Open::Produce(open), &[]).await?;
        match receiver.recv::<ProduceReply>().await? {
            Some((ProduceReply::Ready { topic, partitions }, _)) => Ok(RawProduce {
                topic,
                partitions,
                sender: RawProduceSender { sender, next_number: 0 },
                receiver: RawProduceReceiver { receiver },
            }),
            Some((ProduceReply::Failed(error), _)) => Err(RequestError::Refused(error)),
            Some(_) => Err(RequestError::Protocol("a reply before the beginning".to_owned())),
            None => Err(RequestError::Protocol("the session ended before it began".to_owned())),
        }
    }
}
