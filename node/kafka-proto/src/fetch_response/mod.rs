//! The answer to a fetch, in two parts: everything but the records, and where the records go.
//!
//! [`FetchAnswer`] says of each partition what Kafka says, and of its records only where they are:
//! `R` is whatever the caller sends them from, a file range for example, and need only know its own
//! length. [`encode()`] turns it into an [`EncodedFetch`], a sequence of bytes and records in turn,
//! so that records go from the file to the socket and never through here.
//!
//! A partition without records has them empty, not null: as Kafka answers, errors included.

mod encode;

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchTopic, ForgottenTopic};
use tidegate_types::TopicId;

pub use encode::{EncodedFetch, FetchPart, encode};

use crate::error_code::ErrorCode;

/// First version of Fetch that names topics by id.
pub const TOPIC_IDS_SINCE: i16 = 13;

/// How a fetch names a topic: by name before version 13, by id from then on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TopicKey {
    /// By name.
    Name(Arc<str>),
    /// By id.
    Id(TopicId),
}

impl TopicKey {
    /// How a request of this version names the topic. The name is copied: it does not keep the
    /// request alive.
    #[must_use]
    pub fn of_topic(version: i16, topic: &FetchTopic) -> TopicKey {
        if version >= TOPIC_IDS_SINCE {
            TopicKey::Id(TopicId(topic.topic_id))
        } else {
            TopicKey::Name(topic.topic.as_str().into())
        }
    }

    /// The same for a topic that is to be forgotten.
    #[must_use]
    pub fn of_forgotten(version: i16, topic: &ForgottenTopic) -> TopicKey {
        if version >= TOPIC_IDS_SINCE {
            TopicKey::Id(TopicId(topic.topic_id))
        } else {
            TopicKey::Name(topic.topic.as_str().into())
        }
    }
}

/// Knows how many bytes of records there are.
pub trait RecordsLen {
    /// Bytes of records; 0 for none.
    fn records_len(&self) -> usize;
}

impl RecordsLen for usize {
    fn records_len(&self) -> usize {
        *self
    }
}

impl RecordsLen for Bytes {
    fn records_len(&self) -> usize {
        self.len()
    }
}

impl<R: RecordsLen> RecordsLen for Option<R> {
    fn records_len(&self) -> usize {
        self.as_ref().map_or(0, R::records_len)
    }
}

/// What is answered to one fetch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchAnswer<R> {
    /// How long the client was held back, in milliseconds.
    pub throttle_time_ms: i32,
    /// What is wrong with the fetch as a whole. Told from version 7 on.
    pub error: ErrorCode,
    /// The session that goes on; 0 for none.
    pub session_id: i32,
    /// What is told of partitions.
    pub topics: Vec<TopicAnswer<R>>,
    /// Where the leaders listen whom [`PartitionAnswer::current_leader`] names. Told from version
    /// 16 on.
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// What is told of one topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicAnswer<R> {
    /// Which topic, named as in the request.
    pub topic: TopicKey,
    /// What is told of its partitions.
    pub partitions: Vec<PartitionAnswer<R>>,
}

/// What is told of one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionAnswer<R> {
    /// Which partition.
    pub partition: i32,
    /// What is wrong with it.
    pub error: ErrorCode,
    /// Its high watermark; -1 where there is none to tell.
    pub high_watermark: i64,
    /// Its last stable offset; -1 where there is none to tell.
    pub last_stable_offset: i64,
    /// Its log start offset; -1 where there is none to tell. Told from version 5 on.
    pub log_start_offset: i64,
    /// The transactions that were aborted among the records; `None` for a reader of everything.
    pub aborted: Option<Vec<AbortedTransaction>>,
    /// The replica to read from in place of this one; -1 for this one. From version 11 on.
    pub preferred_read_replica: i32,
    /// Where the reader's log and this one part. Told from version 12 on.
    pub diverging_epoch: Option<EpochEnd>,
    /// Who leads, where it is another. Told from version 12 on.
    pub current_leader: Option<CurrentLeader>,
    /// Its records.
    pub records: R,
}

/// A transaction that was aborted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AbortedTransaction {
    /// Whose.
    pub producer_id: i64,
    /// Its first record.
    pub first_offset: i64,
}

/// Where an epoch ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpochEnd {
    /// The epoch.
    pub epoch: i32,
    /// Its end.
    pub end_offset: i64,
}

/// Who leads a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CurrentLeader {
    /// The leader; -1 if it is not known.
    pub leader_id: i32,
    /// Since which epoch.
    pub leader_epoch: i32,
}

/// Where a node listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeEndpoint {
    /// The node.
    pub node_id: i32,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: i32,
    /// Its rack, if it has one.
    pub rack: Option<String>,
}

impl<R> FetchAnswer<R> {
    /// An answer that tells of no partition yet.
    #[must_use]
    pub const fn new(error: ErrorCode, session_id: i32) -> FetchAnswer<R> {
        FetchAnswer {
            throttle_time_ms: 0,
            error,
            session_id,
            topics: Vec::new(),
            node_endpoints: Vec::new(),
        }
    }

    /// Adds a partition. Partitions of one topic that come one after the other share its entry; the
    /// order is kept, since it says what is to be read first.
    pub fn push(&mut self, topic: TopicKey, partition: PartitionAnswer<R>) {
        match self.topics.last_mut() {
            Some(last) if last.topic == topic => last.partitions.push(partition),
            _ => self.topics.push(TopicAnswer { topic, partitions: vec![partition] }),
        }
    }
}

impl<R> PartitionAnswer<R> {
    /// A partition of which nothing is told but its records.
    #[must_use]
    pub const fn new(partition: i32, records: R) -> PartitionAnswer<R> {
        PartitionAnswer {
            partition,
            error: ErrorCode::None,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            aborted: None,
            preferred_read_replica: -1,
            diverging_epoch: None,
            current_leader: None,
            records,
        }
    }
}
