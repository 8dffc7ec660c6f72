//! Taking up the state that is on record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Coordinator, Uptime};
use crate::classic::ClassicGroup;
use crate::consumer::ConsumerGroup;
use crate::format::{
    ClassicValue, ConsumerAssignmentValue, ConsumerMemberValue, ConsumerValue, Entry, FormatError,
    decode_record,
};
use crate::group::{Entity, Group, Kind};
use crate::offsets::{Offsets, is_of_other_topic};
use crate::time::{Now, Stamp};
use crate::timers::Timer;
use crate::topics::Topics;

/// What was replayed so far.
#[derive(Debug, Default)]
pub(super) struct Loading {
    groups: BTreeMap<String, LoadingGroup>,
    uptime: std::time::Duration,
    records: u64,
}

#[derive(Debug, Default)]
struct LoadingGroup {
    classic: Option<ClassicValue>,
    consumer: Option<ConsumerValue>,
    members: BTreeMap<String, ConsumerMemberValue>,
    /// Each with its place in the log.
    assignments: BTreeMap<String, (u64, ConsumerAssignmentValue)>,
    offsets: Offsets,
}

impl LoadingGroup {
    fn is_nothing(&self) -> bool {
        self.classic.is_none()
            && self.consumer.is_none()
            && self.members.is_empty()
            && self.assignments.is_empty()
            && self.offsets.is_empty()
    }
}

/// Sets what a record says of a key.
fn set<T>(map: &mut BTreeMap<String, T>, key: String, value: Option<T>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

impl Coordinator {
    /// Takes up one record. Called for each in the order of the log, before
    /// [`Coordinator::handle_loaded`]; of a key only the last one counts, so that those before may
    /// be missing.
    ///
    /// # Errors
    /// If it is not a record of ours. It is left out then; whether the others still make sense is
    /// for the driver to say.
    pub fn replay(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), FormatError> {
        let Some(loading) = &mut self.loading else { return Ok(()) };
        let entry = decode_record(key, value)?;
        let group = match &entry {
            Entry::Classic { group, .. }
            | Entry::Consumer { group, .. }
            | Entry::ConsumerMember { group, .. }
            | Entry::ConsumerAssignment { group, .. }
            | Entry::Offset { group, .. } => group.clone(),
            Entry::Uptime { value } => {
                let value = value.as_ref();
                let uptime = value.map(|value| value.uptime).unwrap_or_default();
                loading.uptime = loading.uptime.max(uptime);
                return Ok(());
            }
        };
        loading.records += 1;
        let place = loading.records;
        let into = loading.groups.entry(group.clone()).or_default();
        let mut seen = Stamp::ZERO;
        match entry {
            Entry::Classic { value, .. } => {
                seen = value.as_ref().map_or(seen, |value| value.since);
                into.classic = value;
            }
            Entry::Consumer { value, .. } => {
                seen = value.as_ref().map_or(seen, |value| value.since);
                into.consumer = value;
            }
            Entry::ConsumerMember { member, value, .. } => set(&mut into.members, member, value),
            Entry::ConsumerAssignment { member, value, .. } => {
                set(&mut into.assignments, member, value.map(|value| (place, value)));
            }
            Entry::Offset { topic, partition, value, .. } => {
                seen = value.as_ref().map_or(seen, |value| value.committed);
                into.offsets.load(&topic, partition, value);
            }
            Entry::Uptime { .. } => {}
        }
        loading.uptime = loading.uptime.max(seen.uptime);
        if into.is_nothing() {
            loading.groups.remove(&group);
        }
        Ok(())
    }

    /// There are no more records: from now on requests are taken.
    ///
    /// Members have a whole session to speak up. Offsets of topics that are no more go.
    pub fn handle_loaded(&mut self, now: Now, topics: &dyn Topics) {
        let Some(loading) = self.loading.take() else { return };
        self.uptime = Uptime { before: loading.uptime, began: now.monotonic };
        self.timers.set(Timer::Cleanup, now.monotonic.saturating_add(self.config.cleanup_interval));
        let stamp = self.uptime.stamp(now);
        for (id, loaded) in loading.groups {
            let id: Arc<str> = id.into();
            let group = loaded.into_group(Arc::clone(&id), stamp);
            self.memory += group.cost();
            self.groups.insert(Arc::clone(&id), group);
            let version = self.topics_version;
            self.step(now, &id, |group, step| {
                // Nothing is written before the group changes or is asked for something.
                match &mut group.kind {
                    Kind::Classic(classic) => classic.wake(&mut group.dirty, step),
                    Kind::Consumer(consumer) => {
                        consumer.wake(&mut group.dirty, (topics, version), step);
                    }
                }
                step.offsets = group.offsets.removals(|name, _, slot| {
                    let now = topics.topic(name).map(|topic| topic.id);
                    slot.committed.as_ref().is_some_and(|value| {
                        is_of_other_topic(value, now) || now.is_none() && value.topic.is_some()
                    })
                });
            });
        }
    }
}

/// Members that are on record with a partition that another one had before them.
///
/// That comes of an append that failed and a stop before it was made up for: the record that the
/// other one gave the partition up is missing. They were not told of it, and it may be that the
/// other one still has it; they have to join again.
fn ousted(assignments: &BTreeMap<String, (u64, ConsumerAssignmentValue)>) -> Vec<String> {
    let mut in_order: Vec<_> = assignments.iter().collect();
    in_order.sort_by_key(|(_, (place, _))| *place);
    let mut owned = BTreeSet::new();
    let mut ousted = Vec::new();
    for (member, (_, value)) in in_order {
        let all = value.assigned.iter().chain(&value.revoking);
        let all =
            all.flat_map(|(topic, partitions)| partitions.iter().map(|(at, _)| (*topic, *at)));
        let all: BTreeSet<_> = all.collect();
        if all.iter().any(|at| owned.contains(at)) {
            ousted.push(member.clone());
        } else {
            owned.extend(all);
        }
    }
    ousted
}

impl LoadingGroup {
    fn into_group(self, id: Arc<str>, now: Stamp) -> Group {
        let LoadingGroup { classic, consumer, mut members, mut assignments, offsets } = self;
        let recorded = classic.is_some() || consumer.is_some() || !members.is_empty();
        let recorded = recorded || !assignments.is_empty();
        let mut strays: Vec<Entity> = Vec::new();
        let ousted = ousted(&assignments);
        for member in &ousted {
            members.remove(member);
            strays.push(Entity::Member(member.as_str().into()));
        }
        let is_stray = |member: &&String| !members.contains_key(*member);
        let gone: Vec<String> = assignments.keys().filter(is_stray).cloned().collect();
        for member in gone {
            assignments.remove(&member);
            strays.push(Entity::Assignment(member.as_str().into()));
        }
        let assignments: BTreeMap<_, _> =
            assignments.into_iter().map(|(member, (_, value))| (member, value)).collect();
        let kind = match (classic, consumer) {
            (Some(classic), None) => {
                strays.extend(members.keys().map(|id| Entity::Member(id.as_str().into())));
                strays.extend(assignments.keys().map(|id| Entity::Assignment(id.as_str().into())));
                Kind::Classic(ClassicGroup::from_value(classic))
            }
            (classic, Some(consumer)) => {
                strays.extend(classic.map(|_| Entity::Classic));
                Kind::Consumer(ConsumerGroup::from_values(consumer, members, assignments))
            }
            (None, None) if recorded => {
                let value = ConsumerValue { epoch: 0, since: now };
                Kind::Consumer(ConsumerGroup::from_values(value, members, assignments))
            }
            (None, None) => Kind::Classic(ClassicGroup::new(now)),
        };
        let mut group = Group::new(id, kind);
        group.dirty.extend(strays);
        (group.recorded, group.offsets) = (recorded, offsets);
        group
    }
}
