//! The produce session: pipelined batches, acknowledged in order.

use serde::{Deserialize, Serialize};
use tidegate_types::{Acks, Offset, PartitionId, TopicId, TopicName};

use super::{ErrorBody, ProducerIdentity};

/// Begins a produce session on one topic.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenProduce {
    /// The topic.
    pub topic: TopicName,
    /// When batches are acknowledged.
    pub acks: Acks,
    /// The producer's identity, stamped into its batches; `None` for one without deduplication.
    pub producer: Option<ProducerIdentity>,
}

/// Header of one batch; the payload is exactly one record batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProduceBatch {
    /// Number of the batch in this session, from 0, without gaps.
    pub number: u64,
    /// Where the producer wants it.
    pub partition: PartitionId,
}

/// What the node says during a produce session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ProduceReply {
    /// The session is open.
    Ready {
        /// The topic's id.
        topic: TopicId,
        /// Its number of partitions.
        partitions: u32,
    },
    /// These batches are acknowledged, in the order in which they were sent.
    Acked(Vec<BatchAck>),
    /// This batch was refused; the session goes on.
    Refused {
        /// The batch.
        number: u64,
        /// Why.
        error: ErrorBody,
    },
    /// The session is over.
    Failed(ErrorBody),
}

/// One acknowledged batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BatchAck {
    /// The batch.
    pub number: u64,
    /// Offset of its first record; `None` where a plugin sent its records elsewhere or dropped all.
    pub base_offset: Option<Offset>,
    /// Whether it had been stored before, so that this one was not.
    pub duplicate: bool,
}
