//! Committed offsets of one group.
//!
//! An offset is what its last durable commit says; a commit that is under way is not seen. Commits
//! become durable in the order in which they were taken, and so an offset never goes back to what
//! an older commit said.

mod commit;
mod delete;
mod expire;
mod fetch;

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_types::{PartitionId, TopicId};

use crate::effect::Record;
use crate::format::{Key, OffsetValue, encode};

pub(crate) use commit::commit;
pub(crate) use delete::delete_offsets;
pub(crate) use expire::{expire, forget_topic};
pub(crate) use fetch::fetch;

/// What a partition's entry costs beside its text, by estimate.
const SLOT_COST: usize = 160;

/// A change of an offset that is not durable yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OffsetWrite {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: PartitionId,
    /// `None` takes the offset away.
    pub(crate) value: Option<OffsetValue>,
}

impl OffsetWrite {
    pub(crate) fn record(&self, group: &str) -> Record {
        let key = Key::Offset {
            group: group.to_owned(),
            topic: self.topic.to_string(),
            partition: self.partition,
        };
        Record { key: encode(&key), value: self.value.as_ref().map(encode) }
    }
}

/// One partition's offset.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) committed: Option<OffsetValue>,
    /// Changes of it that are not durable yet.
    pub(crate) in_flight: usize,
    /// Which topic the latest commit was for, whether it is durable or not.
    pub(crate) topic: Option<TopicId>,
}

impl Slot {
    /// Whether it may soon be another one. Whatever else may hold a commit undecided, as a
    /// transaction does, belongs here.
    pub(crate) fn is_unstable(&self) -> bool {
        self.in_flight > 0
    }
}

/// A group's offsets.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    topics: BTreeMap<Arc<str>, BTreeMap<PartitionId, Slot>>,
    count: usize,
    /// Bytes of metadata and topic names.
    text: usize,
}

impl Offsets {
    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn cost(&self) -> usize {
        self.count * SLOT_COST + self.text
    }

    pub(crate) fn get(&self, topic: &str, partition: PartitionId) -> Option<&Slot> {
        self.topics.get(topic)?.get(&partition)
    }

    /// All entries, those included whose first commit is under way.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, PartitionId, &Slot)> {
        self.topics.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, slot)| (topic, *partition, slot))
        })
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = (&Arc<str>, &BTreeMap<PartitionId, Slot>)> {
        self.topics.iter()
    }

    /// The entries of a topic.
    pub(crate) fn of_topic(
        &self,
        topic: &str,
    ) -> impl Iterator<Item = (&Arc<str>, PartitionId, &Slot)> {
        self.topics.get_key_value(topic).into_iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, slot)| (topic, *partition, slot))
        })
    }

    /// The name as it is kept, so that it is kept once.
    fn topic_name(&self, topic: &str) -> Arc<str> {
        self.topics.get_key_value(topic).map_or_else(|| topic.into(), |(name, _)| Arc::clone(name))
    }

    /// A change is on its way.
    pub(crate) fn begin(&mut self, write: &OffsetWrite) {
        if !self.topics.contains_key(&write.topic) {
            self.text += write.topic.len();
        }
        let partitions = self.topics.entry(Arc::clone(&write.topic)).or_default();
        let slot = partitions.entry(write.partition).or_insert_with(|| {
            self.count += 1;
            Slot::default()
        });
        slot.in_flight += 1;
        slot.topic = write.value.as_ref().and_then(|value| value.topic);
    }

    /// A change that was on its way is durable, or has failed.
    pub(crate) fn end(&mut self, write: OffsetWrite, durable: bool) {
        let Some(partitions) = self.topics.get_mut(&write.topic) else { return };
        let Some(slot) = partitions.get_mut(&write.partition) else { return };
        slot.in_flight = slot.in_flight.saturating_sub(1);
        if durable {
            let text = |value: &Option<OffsetValue>| value.as_ref().map_or(0, |v| v.metadata.len());
            self.text = self.text + text(&write.value) - text(&slot.committed);
            slot.committed = write.value;
        }
        if slot.committed.is_none() && slot.in_flight == 0 {
            partitions.remove(&write.partition);
            self.count -= 1;
            if partitions.is_empty() {
                self.topics.remove(&write.topic);
                self.text -= write.topic.len();
            }
        }
    }

    /// Sets an offset as a record says it.
    pub(crate) fn load(&mut self, topic: &str, partition: PartitionId, value: Option<OffsetValue>) {
        let write = OffsetWrite { topic: self.topic_name(topic), partition, value };
        self.begin(&write);
        self.end(write, true);
    }

    /// The changes that take all offsets away that `goes` names.
    pub(crate) fn removals(
        &self,
        mut goes: impl FnMut(&str, PartitionId, &Slot) -> bool,
    ) -> Vec<OffsetWrite> {
        self.iter()
            .filter(|(topic, partition, slot)| goes(topic, *partition, slot))
            .map(|(topic, partition, _)| OffsetWrite {
                topic: Arc::clone(topic),
                partition,
                value: None,
            })
            .collect()
    }
}

/// Whether an offset belongs to another topic than the one that has its name now.
pub(crate) fn is_of_other_topic(value: &OffsetValue, now: Option<TopicId>) -> bool {
    matches!((value.topic, now), (Some(then), Some(now)) if then != now)
}

#[cfg(test)]
mod tests {
    use tidegate_types::{LeaderEpoch, Offset};

    use super::*;
    use crate::time::Stamp;

    fn write(topic: &str, partition: u32, offset: Option<i64>) -> OffsetWrite {
        let value = offset.map(|offset| OffsetValue {
            offset: Offset(offset),
            leader_epoch: LeaderEpoch::NONE,
            metadata: "abc".to_owned(),
            topic: None,
            committed: Stamp::ZERO,
            retention: None,
        });
        OffsetWrite { topic: topic.into(), partition: PartitionId(partition), value }
    }

    #[test]
    fn a_change_is_seen_once_it_is_durable_and_leaves_nothing_behind() {
        let mut offsets = Offsets::default();
        let (first, second, gone) =
            (write("t", 0, Some(5)), write("t", 0, Some(9)), write("t", 0, None));
        for change in [&first, &second, &gone] {
            offsets.begin(change);
        }
        let seen = |offsets: &Offsets| {
            let slot = offsets.get("t", PartitionId(0))?;
            Some((slot.committed.as_ref().map(|value| value.offset.0), slot.is_unstable()))
        };
        assert_eq!(seen(&offsets), Some((None, true)));
        offsets.end(first, true);
        assert_eq!(seen(&offsets), Some((Some(5), true)));
        offsets.end(second, false);
        assert_eq!(seen(&offsets), Some((Some(5), true)), "a commit that failed is not seen");
        offsets.end(gone, true);
        assert_eq!(seen(&offsets), None);
        assert_eq!((offsets.len(), offsets.cost(), offsets.is_empty()), (0, 0, true));
    }
}
