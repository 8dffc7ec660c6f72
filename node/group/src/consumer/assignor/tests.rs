use std::collections::{BTreeMap, BTreeSet};

use tidegate_env::Rng;
use tidegate_types::{PartitionId, TopicId};
use uuid::Uuid;

use super::*;

fn topic(n: u64, partitions: u32) -> Topic {
    Topic { id: TopicId(Uuid::from_u128(u128::from(n))), partitions }
}

fn reader(id: &str, topics: &[Topic], before: Target) -> Reader {
    Reader { id: id.into(), instance_id: None, topics: topics.into(), before }
}

fn target(all: &[(Topic, &[u32])]) -> Target {
    let of =
        |(topic, at): &(Topic, &[u32])| (topic.id, at.iter().copied().map(PartitionId).collect());
    all.iter().map(of).collect()
}

fn size(target: &Target) -> usize {
    target.values().map(BTreeSet::len).sum()
}

/// Everything has exactly one owner, who reads it.
fn assert_complete(input: &Input, targets: &[Target]) {
    let mut owners: BTreeMap<(TopicId, PartitionId), usize> = BTreeMap::new();
    for (index, target) in targets.iter().enumerate() {
        for (topic, partitions) in target {
            let reads = input.readers[index].topics.iter().any(|read| read.id == *topic);
            assert!(reads, "{index} does not read {topic}");
            for at in partitions {
                let before = owners.insert((*topic, *at), index);
                assert_eq!(before, None, "{topic}/{at} is given twice");
            }
        }
    }
    let topics: BTreeMap<_, _> = input
        .readers
        .iter()
        .flat_map(|reader| reader.topics.iter().map(|topic| (topic.id, topic.partitions)))
        .collect();
    let all: usize = topics.values().map(|partitions| *partitions as usize).sum();
    assert_eq!(owners.len(), all, "some are left over");
}

/// The partitions that moved from one that still is there.
fn moved(input: &Input, targets: &[Target]) -> usize {
    let kept = |(reader, target): (&Reader, &Target)| -> usize {
        let kept = reader.before.iter().map(|(topic, partitions)| {
            let now = target.get(topic);
            partitions.iter().filter(|at| !now.is_some_and(|now| now.contains(at))).count()
        });
        kept.sum()
    };
    input.readers.iter().zip(targets).map(kept).sum()
}

#[test]
fn uniform_differs_by_one_at_most_and_moves_no_more_than_it_must() {
    let a = topic(1, 7);
    let readers = vec![
        reader("m1", &[a], target(&[(a, &[0, 1, 2, 3])])),
        reader("m2", &[a], target(&[(a, &[4, 5, 6])])),
        reader("m3", &[a], Target::new()),
    ];
    let input = Input { readers, is_uniform: true };
    let targets = Assignor::Uniform.assign(&input);
    assert_complete(&input, &targets);
    assert_eq!(targets.iter().map(size).collect::<Vec<_>>(), [3, 2, 2]);
    assert_eq!(moved(&input, &targets), 2);
}

#[test]
fn one_who_already_has_one_more_keeps_it() {
    let a = topic(1, 3);
    let readers =
        vec![reader("m1", &[a], target(&[(a, &[0])])), reader("m2", &[a], target(&[(a, &[1, 2])]))];
    let input = Input { readers, is_uniform: true };
    assert_eq!(moved(&input, &Assignor::Uniform.assign(&input)), 0);
}

#[test]
fn range_gives_the_same_partitions_of_like_topics_to_the_same_member() {
    let (a, b) = (topic(1, 5), topic(2, 5));
    let mut readers =
        vec![reader("m1", &[a, b], Target::new()), reader("m2", &[a, b], Target::new())];
    let input = Input { readers: readers.clone(), is_uniform: true };
    let targets = Assignor::Range.assign(&input);
    assert_eq!(targets[0], target(&[(a, &[0, 1, 2]), (b, &[0, 1, 2])]));
    assert_eq!(targets[1], target(&[(a, &[3, 4]), (b, &[3, 4])]));
    // Static members come first, by their instance ids.
    readers[1].instance_id = Some("i".to_owned());
    let input = Input { readers, is_uniform: true };
    assert_eq!(Assignor::Range.assign(&input)[1], target(&[(a, &[0, 1, 2]), (b, &[0, 1, 2])]));
}

#[test]
fn who_reads_less_has_what_nobody_else_reads_as_little_as_it_may() {
    let (a, b) = (topic(1, 2), topic(2, 6));
    let readers =
        vec![reader("m1", &[a, b], target(&[(a, &[0, 1])])), reader("m2", &[b], Target::new())];
    let input = Input { readers, is_uniform: false };
    let targets = Assignor::Uniform.assign(&input);
    assert_complete(&input, &targets);
    assert_eq!(targets.iter().map(size).collect::<Vec<_>>(), [4, 4]);
}

#[test]
fn no_members_get_nothing() {
    for assignor in [Assignor::Uniform, Assignor::Range] {
        for is_uniform in [true, false] {
            assert_eq!(assignor.assign(&Input { readers: vec![], is_uniform }), []);
        }
        let input = Input { readers: vec![reader("m", &[], Target::new())], is_uniform: true };
        assert_eq!(assignor.assign(&input), [Target::new()]);
    }
}

/// Members and topics come, go and grow; targets follow from one to the next.
#[test]
fn whatever_comes_every_partition_has_one_owner() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let mut sizes: Vec<u32> = (0..rng.between(1, 5)).map(|_| rng.below(12) as u32).collect();
        let mut members: BTreeMap<String, (BTreeSet<u64>, Target)> = BTreeMap::new();
        let alike = rng.chance(50);
        for _ in 0..8 {
            for _ in 0..rng.between(0, 4) {
                let id = format!("m{:02}", rng.below(30));
                let reads = (0..sizes.len() as u64).filter(|_| alike || rng.chance(60)).collect();
                members.insert(id, (reads, Target::new()));
            }
            if rng.chance(50) {
                members.pop_first();
            }
            let grows = rng.below(sizes.len() as u64) as usize;
            sizes[grows] += rng.below(3) as u32;
            let readers = members.iter().map(|(id, (reads, before))| {
                let topics = reads.iter().map(|n| topic(*n, sizes[*n as usize]));
                reader(id, &topics.collect::<Vec<_>>(), before.clone())
            });
            let input = Input { readers: readers.collect(), is_uniform: alike };
            assert_complete(&input, &Assignor::Range.assign(&input));
            let targets = Assignor::Uniform.assign(&input);
            assert_complete(&input, &targets);
            // Once more, and nothing moves.
            let mut again = input.clone();
            for (reader, target) in again.readers.iter_mut().zip(&targets) {
                reader.before.clone_from(target);
            }
            assert_eq!(moved(&again, &Assignor::Uniform.assign(&again)), 0, "seed {seed}");
            if alike && !targets.is_empty() {
                let sizes: Vec<usize> = targets.iter().map(size).collect();
                let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
                assert!(most - least <= 1, "seed {seed}: {sizes:?}");
            }
            for ((_, before), target) in members.values_mut().zip(targets) {
                *before = target;
            }
        }
    }
}

#[test]
fn a_large_group_of_any_kind_is_assigned_in_no_time() {
    let topics: Vec<Topic> = (0..20).map(|n| topic(n, 1_000)).collect();
    for is_uniform in [true, false] {
        let readers = (0..5_000).map(|n: usize| {
            let skip = if is_uniform { 0 } else { n % 7 };
            reader(&format!("m{n:05}"), &topics[skip..], Target::new())
        });
        let input = Input { readers: readers.collect(), is_uniform };
        let began = std::time::Instant::now();
        let targets = Assignor::Uniform.assign(&input);
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
        assert_complete(&input, &targets);
    }
}
