//! What one fetch asks for.

use std::collections::HashMap;

use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::FetchPartition;

use crate::error_code::ErrorCode;
use crate::fetch_response::TopicKey;

/// Where to read a partition, as its reader says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchPosition {
    /// The leader epoch that the reader knows; -1 if none.
    pub current_leader_epoch: i32,
    /// The offset to read from.
    pub fetch_offset: i64,
    /// The epoch of the last record that it has; -1 if none.
    pub last_fetched_epoch: i32,
    /// A follower's log start; -1 for consumers.
    pub log_start_offset: i64,
    /// Bytes that it wants from this partition.
    pub max_bytes: i32,
}

impl FetchPosition {
    fn of(partition: &FetchPartition) -> FetchPosition {
        FetchPosition {
            current_leader_epoch: partition.current_leader_epoch,
            fetch_offset: partition.fetch_offset,
            last_fetched_epoch: partition.last_fetched_epoch,
            log_start_offset: partition.log_start_offset,
            max_bytes: partition.partition_max_bytes,
        }
    }
}

/// A partition to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchTarget {
    /// Its topic, as the request names it.
    pub topic: TopicKey,
    /// Its number.
    pub partition: i32,
    /// Where to read it.
    pub position: FetchPosition,
}

impl FetchTarget {
    pub(super) fn key(&self) -> PartitionKey {
        PartitionKey { topic: self.topic.clone(), partition: self.partition }
    }
}

/// A partition, as a request names it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct PartitionKey {
    pub(super) topic: TopicKey,
    pub(super) partition: i32,
}

/// A fetch under way, from its request to its answer.
#[derive(Debug)]
pub struct Fetch {
    pub(super) kind: FetchKind,
    pub(super) targets: Vec<FetchTarget>,
}

/// What becomes of the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FetchKind {
    /// There is none, and none is wanted.
    Sessionless,
    /// One begins with the answer, if there is room; whether it uses topic ids.
    Full { uses_ids: bool },
    /// One goes on; the answer goes out only if it still is in this epoch.
    Incremental { id: i32, epoch: i32 },
    /// There is no such session, or not so.
    Refused(ErrorCode),
}

impl Fetch {
    /// The partitions to read, the one to begin with first. None if the fetch was refused.
    #[must_use]
    pub fn targets(&self) -> &[FetchTarget] {
        &self.targets
    }

    /// Why the fetch is refused as a whole, if it is. There is nothing to wait for then: the answer
    /// is due at once, with no results.
    #[must_use]
    pub const fn refusal(&self) -> Option<ErrorCode> {
        match self.kind {
            FetchKind::Refused(error) => Some(error),
            _ => None,
        }
    }

    /// Whether only the partitions with news are answered.
    #[must_use]
    pub const fn is_incremental(&self) -> bool {
        matches!(self.kind, FetchKind::Incremental { .. })
    }

    pub(super) const fn refused(error: ErrorCode) -> Fetch {
        Fetch { kind: FetchKind::Refused(error), targets: Vec::new() }
    }
}

/// The partitions that a request names, in its order. One named twice stays where it was first and
/// is read as it was last.
pub(super) fn requested(version: i16, request: &FetchRequest) -> Vec<FetchTarget> {
    let mut targets: Vec<FetchTarget> = Vec::new();
    let mut places = HashMap::new();
    for topic in &request.topics {
        let key = TopicKey::of_topic(version, topic);
        for partition in &topic.partitions {
            let position = FetchPosition::of(partition);
            let topic = key.clone();
            let target = FetchTarget { topic, partition: partition.partition, position };
            let place = *places.entry(target.key()).or_insert(targets.len());
            match targets.get_mut(place) {
                Some(known) => known.position = position,
                None => targets.push(target),
            }
        }
    }
    targets
}

/// The partitions that a request wants forgotten.
pub(super) fn forgotten(version: i16, request: &FetchRequest) -> Vec<PartitionKey> {
    let topics = request.forgotten_topics_data.iter();
    let keys = topics.flat_map(|topic| {
        let key = TopicKey::of_forgotten(version, topic);
        let partitions = topic.partitions.iter();
        partitions.map(move |partition| PartitionKey { topic: key.clone(), partition: *partition })
    });
    keys.collect()
}
