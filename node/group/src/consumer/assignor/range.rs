//! The range assignor.

use std::collections::BTreeMap;

use tidegate_types::PartitionId;

use super::{Input, Target};

/// Each topic in ranges over its readers: static members by instance id, then the others by id.
pub(super) fn assign(input: &Input) -> Vec<Target> {
    let mut order: Vec<usize> = (0..input.readers.len()).collect();
    order.sort_by_key(|index| {
        let reader = &input.readers[*index];
        (reader.instance_id.is_none(), reader.instance_id.as_deref(), &*reader.id)
    });
    let mut readers: BTreeMap<_, (u32, Vec<usize>)> = BTreeMap::new();
    for index in order {
        for topic in input.readers[index].topics.iter() {
            readers.entry(topic.id).or_insert((topic.partitions, Vec::new())).1.push(index);
        }
    }
    let mut targets = vec![Target::new(); input.readers.len()];
    for (topic, (partitions, readers)) in readers {
        let count = u32::try_from(readers.len()).unwrap_or(u32::MAX);
        let (share, mut extra) = (partitions / count, partitions % count);
        let mut start = 0;
        for index in readers {
            let len = share + u32::from(extra > 0);
            extra = extra.saturating_sub(1);
            if len > 0 {
                let range = (start..start + len).map(PartitionId);
                targets[index].insert(topic, range.collect());
            }
            start += len;
        }
    }
    targets
}
