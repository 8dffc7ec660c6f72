//! Telling committed offsets.

use tidegate_types::{PartitionId, TopicId};

use super::{Slot, is_of_other_topic};
use crate::GroupError;
use crate::format::OffsetValue;
use crate::group::{Group, Kind};
use crate::request::FetchOffsets;
use crate::response::{CommittedOffset, PerPartition};
use crate::topics::Topics;

impl From<&OffsetValue> for CommittedOffset {
    fn from(value: &OffsetValue) -> CommittedOffset {
        CommittedOffset {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.clone(),
            committed_at: value.committed.wall,
        }
    }
}

/// The offsets asked for. A group that does not exist has none, which is no error.
pub(crate) fn fetch(
    group: Option<&Group>,
    request: FetchOffsets,
    topics: &dyn Topics,
) -> Result<PerPartition<Option<CommittedOffset>>, GroupError> {
    if let Some(Kind::Consumer(consumer)) = group.map(|group| &group.kind) {
        consumer.check_fetch(request.member_id.as_deref(), request.member_epoch)?;
    }
    let stable = request.require_stable;
    if let Some(asked) = request.topics {
        let told = asked.into_iter().map(|(name, partitions)| {
            let id = topics.topic(&name).map(|topic| topic.id);
            let of_partition = |partition: PartitionId| {
                let slot = group.and_then(|group| group.offsets.get(&name, partition));
                (partition, tell(slot, id, stable))
            };
            let partitions = partitions.into_iter().map(of_partition).collect();
            (name, partitions)
        });
        return Ok(told.collect());
    }
    let mut all = PerPartition::new();
    for (name, partitions) in group.iter().flat_map(|group| group.offsets.topics()) {
        let id = topics.topic(name).map(|topic| topic.id);
        let told = partitions
            .iter()
            .map(|(partition, slot)| (*partition, tell(Some(slot), id, stable)))
            .filter(|(_, told)| !matches!(told, Ok(None)))
            .collect::<Vec<_>>();
        if !told.is_empty() {
            all.push((name.to_string(), told));
        }
    }
    Ok(all)
}

fn tell(
    slot: Option<&Slot>,
    topic: Option<TopicId>,
    stable: bool,
) -> Result<Option<CommittedOffset>, GroupError> {
    let Some(slot) = slot else { return Ok(None) };
    if stable && slot.is_unstable() {
        return Err(GroupError::UnstableOffsetCommit);
    }
    let committed = slot.committed.as_ref().filter(|value| !is_of_other_topic(value, topic));
    Ok(committed.map(CommittedOffset::from))
}
