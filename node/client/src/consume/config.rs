//! What a consumer wants, and why it fails.

use std::time::Duration;

use tidegate_record::BatchError;
use tidegate_types::{Offset, PartitionId, PluginName, StartPosition};
use tidegate_wire::ErrorBody;

use crate::client::RequestError;

/// What a consumer reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerConfig {
    /// Where to begin in partitions not named below. Default: at the start.
    pub from: StartPosition,
    /// The partitions, each with its own beginning. Default: none named, which means all of them.
    pub partitions: Vec<(PartitionId, StartPosition)>,
    /// End at the high watermarks found at the beginning. Default: go on for ever.
    pub until_end: bool,
    /// The plugin of the topic's hook read that records go through. Default: none.
    pub plugin: Option<PluginName>,
    /// Give up after being without the node for so long. Default: 2 minutes.
    pub give_up_after: Duration,
}

impl Default for ConsumerConfig {
    fn default() -> ConsumerConfig {
        ConsumerConfig {
            from: StartPosition::Start,
            partitions: Vec::new(),
            until_end: false,
            plugin: None,
            give_up_after: Duration::from_secs(120),
        }
    }
}

/// Why a consumer cannot go on, with one partition or with all.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// The node ended the subscription. It is over.
    #[error("the node ended the subscription: {error}")]
    Refused {
        /// Why.
        error: ErrorBody,
    },
    /// The node cannot go on with one partition; the consumer goes on with the others.
    #[error("partition {partition} cannot be read on: {error}")]
    Partition {
        /// Which one.
        partition: PartitionId,
        /// Why.
        error: ErrorBody,
    },
    /// The node was away for too long, or at the very beginning. It is over.
    #[error("the node is out of reach, for {} s by now", .after.as_secs())]
    Unreachable {
        /// For how long.
        after: Duration,
        /// What went wrong last.
        source: RequestError,
    },
    /// What came is no record batch. It is over.
    #[error("what came for partition {partition} from offset {offset} cannot be read")]
    Damaged {
        /// Which partition.
        partition: PartitionId,
        /// Records below this offset were fine.
        offset: Offset,
        /// What is wrong.
        source: BatchError,
    },
    /// The node did not keep to the protocol. It is over.
    #[error("the node sent something out of place: {what}")]
    Protocol {
        /// What it was.
        what: String,
    },
}

impl ConsumeError {
    /// Whether the consumer goes on after this error.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        matches!(self, ConsumeError::Partition { .. })
    }
}
