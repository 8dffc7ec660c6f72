//! The uniform assignor where all members read the same.

use std::collections::BTreeSet;

use tidegate_types::{PartitionId, TopicId};

use super::{Input, Target};

/// Everyone keeps what it has, up to its share; what is left fills up those with less.
pub(super) fn assign(input: &Input) -> Vec<Target> {
    let Some(first) = input.readers.first() else { return Vec::new() };
    let mut free: BTreeSet<(TopicId, PartitionId)> = BTreeSet::new();
    for topic in first.topics.iter() {
        free.extend((0..topic.partitions).map(|partition| (topic.id, PartitionId(partition))));
    }
    let count = input.readers.len();
    let share = free.len() / count;
    // So many members get one more than the others: first those that have it already.
    let mut extra = free.len() % count;
    let mut kept: Vec<Vec<(TopicId, PartitionId)>> = Vec::with_capacity(count);
    for reader in &input.readers {
        let before = reader.before.iter();
        let before = before.flat_map(|(topic, all)| all.iter().map(|at| (*topic, *at)));
        let mut keeps = Vec::new();
        for at in before {
            if keeps.len() == share && extra == 0 || keeps.len() > share {
                break;
            }
            if free.remove(&at) {
                extra -= usize::from(keeps.len() == share);
                keeps.push(at);
            }
        }
        kept.push(keeps);
    }
    let mut free = free.into_iter();
    for keeps in &mut kept {
        let missing = share.saturating_sub(keeps.len());
        keeps.extend(free.by_ref().take(missing));
    }
    for keeps in kept.iter_mut().filter(|keeps| keeps.len() == share) {
        keeps.extend(free.next());
    }
    kept.into_iter().map(super::mixed::by_topic).collect()
}
