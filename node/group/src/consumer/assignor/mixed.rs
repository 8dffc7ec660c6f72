//! The uniform assignor where members read different topics.

use std::collections::BTreeMap;

use tidegate_types::{PartitionId, TopicId};

use super::{Input, Target};

/// How often all topics are gone through to even out what members have. Where subscriptions overlap
/// each time halves what is uneven; where they do not, one time is enough.
const ROUNDS: usize = 16;

/// The most that evening out may cost, in readers looked at: some hundred milliseconds.
const BUDGET: usize = 20_000_000;

/// A topic, who reads it, and who has which of its partitions.
struct Shared {
    id: TopicId,
    readers: Vec<usize>,
    owners: Vec<Option<usize>>,
}

/// Everyone keeps what it has and still reads; what is left goes to whoever has least; then
/// partitions move from those who have more to those who have less.
pub(super) fn assign(input: &Input) -> Vec<Target> {
    let mut topics = gather(input);
    let mut load = vec![0_usize; input.readers.len()];
    for (index, reader) in input.readers.iter().enumerate() {
        for (topic, partitions) in &reader.before {
            let Some(topic) = topics.get_mut(topic) else { continue };
            if topic.readers.binary_search(&index).is_err() {
                continue;
            }
            for at in partitions {
                if let Some(owner @ None) = topic.owners.get_mut(at.0 as usize) {
                    *owner = Some(index);
                    load[index] += 1;
                }
            }
        }
    }
    let mut topics: Vec<Shared> = topics.into_values().collect();
    // Topics whose readers have the most to take come first: theirs is the least choice.
    topics.sort_by_key(|topic| {
        let per_reader = topic.owners.len() / topic.readers.len().max(1);
        (std::cmp::Reverse(per_reader), topic.readers.len(), topic.id)
    });
    for topic in &mut topics {
        fill(topic, &mut load);
    }
    even_out(&mut topics, &mut load);
    let mut targets = vec![Vec::new(); input.readers.len()];
    for topic in &topics {
        for (partition, owner) in topic.owners.iter().enumerate() {
            let Some(owner) = owner else { continue };
            let partition = PartitionId(u32::try_from(partition).unwrap_or(u32::MAX));
            targets[*owner].push((topic.id, partition));
        }
    }
    targets.into_iter().map(by_topic).collect()
}

/// Partitions by topic.
pub(super) fn by_topic(partitions: Vec<(TopicId, PartitionId)>) -> Target {
    let mut target = Target::new();
    for (topic, partition) in partitions {
        target.entry(topic).or_default().insert(partition);
    }
    target
}

fn gather(input: &Input) -> BTreeMap<TopicId, Shared> {
    let mut topics: BTreeMap<TopicId, Shared> = BTreeMap::new();
    for (index, reader) in input.readers.iter().enumerate() {
        for topic in reader.topics.iter() {
            let shared = topics.entry(topic.id).or_insert_with(|| Shared {
                id: topic.id,
                readers: Vec::new(),
                owners: vec![None; topic.partitions as usize],
            });
            shared.readers.push(index);
        }
    }
    topics
}

/// Gives what nobody has to the reader with least, one after the other.
fn fill(topic: &mut Shared, load: &mut [usize]) {
    if topic.owners.iter().all(Option::is_some) {
        return;
    }
    let by_load = topic.readers.iter().map(|index| std::cmp::Reverse((load[*index], *index)));
    let mut heap: std::collections::BinaryHeap<_> = by_load.collect();
    for owner in topic.owners.iter_mut().filter(|owner| owner.is_none()) {
        let Some(std::cmp::Reverse((least, index))) = heap.pop() else { return };
        *owner = Some(index);
        load[index] = least + 1;
        heap.push(std::cmp::Reverse((least + 1, index)));
    }
}

/// Moves partitions until no reader of a topic has two more than another, or it costs too much.
fn even_out(topics: &mut [Shared], load: &mut [usize]) {
    let mut budget = BUDGET;
    for _ in 0..ROUNDS {
        let mut moved = false;
        for topic in &mut *topics {
            let cost = topic.readers.len() + topic.owners.len();
            let Some(left) = budget.checked_sub(cost) else { return };
            budget = left;
            moved |= even_out_topic(topic, load, &mut budget);
        }
        if !moved {
            return;
        }
    }
}

fn even_out_topic(topic: &mut Shared, load: &mut [usize], budget: &mut usize) -> bool {
    let mut owned: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (partition, owner) in topic.owners.iter().enumerate() {
        if let Some(owner) = owner {
            owned.entry(*owner).or_default().push(partition);
        }
    }
    let mut by_load: std::collections::BTreeSet<(usize, usize)> =
        topic.readers.iter().map(|index| (load[*index], *index)).collect();
    let mut givers: std::collections::BTreeSet<(usize, usize)> =
        owned.keys().map(|index| (load[*index], *index)).collect();
    let mut moved = false;
    while let (Some(&(least, to)), Some(&(most, from))) = (by_load.first(), givers.last()) {
        if most < least + 2 || *budget == 0 {
            break;
        }
        *budget -= 1;
        let Some(partition) = owned.get_mut(&from).and_then(Vec::pop) else {
            givers.remove(&(most, from));
            continue;
        };
        topic.owners[partition] = Some(to);
        by_load.remove(&(least, to));
        by_load.remove(&(most, from));
        givers.remove(&(most, from));
        givers.remove(&(least, to));
        (load[from], load[to]) = (most - 1, least + 1);
        by_load.extend([(most - 1, from), (least + 1, to)]);
        owned.entry(to).or_default().push(partition);
        givers.extend([(most - 1, from), (least + 1, to)]);
        moved = true;
    }
    moved
}
