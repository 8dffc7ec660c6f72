//! A member of a consumer group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tidegate_types::{PartitionId, TopicId};

use super::Assignor;
use crate::request::Client;
use crate::response::TopicPartitions;

/// How far a member is on its way to its target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MemberState {
    /// It is where its epoch wants it.
    Stable,
    /// It must give up partitions first.
    Unrevoked,
    /// It waits for partitions that others have not given up.
    Unreleased,
}

/// Partitions, each with the epoch in which its owner got it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Owned(pub(crate) BTreeMap<TopicId, BTreeMap<PartitionId, i32>>);

/// Partitions by topic.
pub(crate) type Target = BTreeMap<TopicId, BTreeSet<PartitionId>>;

impl Owned {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    pub(crate) fn epoch(&self, topic: TopicId, partition: PartitionId) -> Option<i32> {
        self.0.get(&topic)?.get(&partition).copied()
    }

    pub(crate) fn contains(&self, topic: TopicId, partition: PartitionId) -> bool {
        self.epoch(topic, partition).is_some()
    }

    pub(crate) fn insert(&mut self, topic: TopicId, partition: PartitionId, epoch: i32) {
        self.0.entry(topic).or_default().insert(partition, epoch);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (TopicId, PartitionId, i32)> {
        self.0.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(|(partition, epoch)| (*topic, *partition, *epoch))
        })
    }

    pub(crate) fn to_topics(&self) -> TopicPartitions {
        self.0.iter().map(|(topic, owned)| (*topic, owned.keys().copied().collect())).collect()
    }
}

impl FromIterator<(TopicId, PartitionId, i32)> for Owned {
    fn from_iter<I: IntoIterator<Item = (TopicId, PartitionId, i32)>>(iter: I) -> Owned {
        let mut owned = Owned::default();
        for (topic, partition, epoch) in iter {
            owned.insert(topic, partition, epoch);
        }
        owned
    }
}

/// A member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    pub(crate) id: Arc<str>,
    pub(crate) instance_id: Option<String>,
    pub(crate) client: Client,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) topics: BTreeSet<String>,
    /// Empty if it has none.
    pub(crate) regex: String,
    pub(crate) assignor: Option<Assignor>,
    /// 0 before it took up its first, -2 while a static member is away.
    pub(crate) epoch: i32,
    /// The one before: the answer with the present one may have been lost.
    pub(crate) previous_epoch: i32,
    pub(crate) state: MemberState,
    pub(crate) assigned: Owned,
    /// What it must give up and may still own.
    pub(crate) revoking: Owned,
    pub(crate) target: Target,
}

impl Member {
    pub(crate) fn new(id: Arc<str>) -> Member {
        Member {
            id,
            instance_id: None,
            client: Client::default(),
            rebalance_timeout: Duration::ZERO,
            topics: BTreeSet::new(),
            regex: String::new(),
            assignor: None,
            epoch: 0,
            previous_epoch: 0,
            state: MemberState::Stable,
            assigned: Owned::default(),
            revoking: Owned::default(),
            target: Target::new(),
        }
    }

    /// All that it may own.
    pub(crate) fn held(&self) -> impl Iterator<Item = (TopicId, PartitionId)> {
        self.assigned.iter().chain(self.revoking.iter()).map(|(topic, at, _)| (topic, at))
    }

    /// Bytes that it holds, by estimate, its target aside.
    pub(crate) fn cost(&self) -> usize {
        let ids = 3 * self.id.len() + 2 * self.instance_id.as_ref().map_or(0, String::len);
        let topics: usize = self.topics.iter().map(|topic| 48 + topic.len()).sum();
        let partitions = 160 * (self.assigned.len() + self.revoking.len());
        768 + ids
            + self.client.id.len()
            + self.client.host.len()
            + topics
            + self.regex.len()
            + partitions
    }
}
