//! The raw lane of a subscription: replies as the node sends them.

use bytes::Bytes;
use tidegate_transport::{CloseCode, FrameReceiver, FrameSender};
use tidegate_wire::{Open, OpenSubscribe, SubscribeReply};

use crate::client::{Client, RequestError};

/// A subscription as it is on the wire. It ends with its connection and does not come back.
#[derive(Debug)]
pub struct RawSubscription {
    /// Finishing it would end the subscription.
    _sender: FrameSender,
    receiver: FrameReceiver,
}

impl RawSubscription {
    /// The next reply with its payload, whole record batches; `None` after the end.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// If the connection is lost or the node does not keep to the protocol.
    pub async fn next(&mut self) -> Result<Option<(SubscribeReply, Bytes)>, RequestError> {
        Ok(self.receiver.recv().await?)
    }
}

impl Drop for RawSubscription {
    fn drop(&mut self) {
        self.receiver.stop(CloseCode::Done);
    }
}

impl Client {
    /// Begins a subscription and leaves its replies to the caller, batches undecoded. The first
    /// one is [`SubscribeReply::Ready`] or [`SubscribeReply::Failed`].
    ///
    /// # Errors
    /// If the node is not reached.
    pub async fn open_subscribe(
        &self,
        open: OpenSubscribe,
    ) -> Result<RawSubscription, RequestError> {
        let (sender, receiver) = self.open(&Open::Subscribe(open), &[]).await?;
        Ok(RawSubscription { _sender: sender, receiver })
    }
}
