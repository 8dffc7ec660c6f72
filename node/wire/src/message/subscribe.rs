//! The subscription: the node pushes, QUIC's flow control holds it back.

use serde::{Deserialize, Serialize};
use tidegate_types::{Offset, PartitionId, PluginName, StartPosition, TopicId, TopicName};

use super::ErrorBody;

/// Begins a subscription to one topic.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenSubscribe {
    /// The topic.
    pub topic: TopicName,
    /// Where to begin in partitions that are not named below.
    pub from: StartPosition,
    /// The partitions wanted, each with its own beginning; empty means all of them, at `from`.
    pub partitions: Vec<(PartitionId, StartPosition)>,
    /// End the stream at the high watermarks found when it began.
    pub until_end: bool,
    /// The plugin of the hook read that records go through; none where `None`.
    pub plugin: Option<PluginName>,
}

/// Where a subscription begins in one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PartitionStart {
    /// The partition.
    pub partition: PartitionId,
    /// First offset that will be pushed; batches may begin before it.
    pub next: Offset,
    /// High watermark when the subscription began.
    pub high_watermark: Offset,
}

/// What the node pushes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SubscribeReply {
    /// The subscription is open.
    Ready {
        /// The topic's id.
        topic: TopicId,
        /// The partitions and where they begin.
        partitions: Vec<PartitionStart>,
    },
    /// Whole record batches as payload, in order.
    Records {
        /// Their partition.
        partition: PartitionId,
        /// The offset after the last one.
        next: Offset,
        /// The partition's high watermark.
        high_watermark: Offset,
    },
    /// Everything below the high watermark was pushed.
    CaughtUp {
        /// The partition.
        partition: PartitionId,
        /// Its high watermark.
        high_watermark: Offset,
    },
    /// One partition cannot go on; the others do.
    PartitionFailed {
        /// The partition.
        partition: PartitionId,
        /// Why.
        error: ErrorBody,
    },
    /// The end that `until_end` asked for.
    End,
    /// The subscription is over.
    Failed(ErrorBody),
}
