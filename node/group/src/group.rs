//! A group of either kind: its members, its offsets, and what of it must be written.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::classic::{ClassicGroup, Phase};
use crate::consumer::ConsumerGroup;
use crate::effect::{AppendId, Record};
use crate::format::{Key, encode};
use crate::offsets::Offsets;
use crate::response::GroupKind;

/// A thing of a group that has a record of its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Entity {
    Classic,
    Consumer,
    Member(Arc<str>),
    Assignment(Arc<str>),
}

/// What of a group must be written after a step.
pub(crate) type Dirty = BTreeSet<Entity>;

/// How the members agree.
#[derive(Debug)]
pub(crate) enum Kind {
    Classic(ClassicGroup),
    Consumer(ConsumerGroup),
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) offsets: Offsets,
    /// What differs from the records, as far as is known. A failed append puts back what was in it.
    pub(crate) dirty: Dirty,
    /// Whether there may be records of the group, its offsets aside.
    pub(crate) recorded: bool,
    /// The last append with anything but offsets in it. What the group says may rest on it.
    pub(crate) last: Option<AppendId>,
    /// Appends of this group that have not ended.
    pub(crate) in_flight: usize,
}

impl Group {
    pub(crate) fn new(id: Arc<str>, kind: Kind) -> Group {
        Group {
            id,
            kind,
            offsets: Offsets::default(),
            dirty: Dirty::new(),
            recorded: false,
            last: None,
            in_flight: 0,
        }
    }

    pub(crate) fn kind(&self) -> GroupKind {
        match self.kind {
            Kind::Classic(_) => GroupKind::Classic,
            Kind::Consumer(_) => GroupKind::Consumer,
        }
    }

    pub(crate) fn state(&self) -> &'static str {
        match &self.kind {
            Kind::Classic(group) => group.phase.as_str(),
            Kind::Consumer(group) => group.state(),
        }
    }

    pub(crate) fn protocol_type(&self) -> &str {
        match &self.kind {
            Kind::Classic(group) => group.protocol_type.as_deref().unwrap_or(""),
            Kind::Consumer(_) => "consumer",
        }
    }

    /// Whether it has no members. One that is about to get its first has some.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Classic(group) => group.is_empty(),
            Kind::Consumer(group) => group.members.is_empty(),
        }
    }

    /// Whether nothing would be lost if it were forgotten.
    pub(crate) fn is_nothing(&self) -> bool {
        let waits = match &self.kind {
            Kind::Classic(group) => !group.pending.is_empty(),
            Kind::Consumer(_) => false,
        };
        self.is_empty()
            && !waits
            && self.offsets.is_empty()
            && self.in_flight == 0
            && !self.recorded
            && self.dirty.is_empty()
    }

    /// Bytes that it holds, by estimate.
    pub(crate) fn cost(&self) -> usize {
        let members = match &self.kind {
            Kind::Classic(group) => group.cost(),
            Kind::Consumer(group) => group.cost(),
        };
        512 + 2 * self.id.len() + members + self.offsets.cost()
    }

    /// Makes an empty group one of the other kind, counting on where it was.
    pub(crate) fn become_classic(&mut self) {
        if let Kind::Consumer(group) = &self.kind {
            let classic = ClassicGroup::after(group.epoch, group.since);
            self.kind = Kind::Classic(classic);
            self.dirty.extend([Entity::Consumer, Entity::Classic]);
        }
    }

    /// Makes an empty group one of the other kind, counting on where it was.
    pub(crate) fn become_consumer(&mut self) {
        if let Kind::Classic(group) = &self.kind {
            let consumer = ConsumerGroup::after(group.generation, group.since);
            self.kind = Kind::Consumer(consumer);
            self.dirty.extend([Entity::Classic, Entity::Consumer]);
        }
    }

    /// Whether the group is in a state that can be written.
    ///
    /// A classic group is written between rebalances only: what is on record until its members have
    /// joined is the generation before.
    pub(crate) fn can_be_written(&self) -> bool {
        match &self.kind {
            Kind::Classic(group) => group.phase != Phase::Preparing,
            Kind::Consumer(_) => true,
        }
    }

    /// The record of a thing as it is now; a tombstone if it is no more.
    pub(crate) fn record(&self, entity: &Entity) -> Record {
        let group = || self.id.to_string();
        let (key, value) = match entity {
            Entity::Classic => (
                Key::Classic { group: group() },
                match &self.kind {
                    Kind::Classic(group) => group.to_value().map(|value| encode(&value)),
                    Kind::Consumer(_) => None,
                },
            ),
            Entity::Consumer => (
                Key::Consumer { group: group() },
                self.consumer().map(|group| encode(&group.to_value())),
            ),
            Entity::Member(member) => (
                Key::ConsumerMember { group: group(), member: member.to_string() },
                self.consumer()
                    .and_then(|group| group.members.get(member))
                    .map(|member| encode(&member.to_value())),
            ),
            Entity::Assignment(member) => (
                Key::ConsumerAssignment { group: group(), member: member.to_string() },
                self.consumer()
                    .and_then(|group| group.members.get(member))
                    .map(|member| encode(&member.to_assignment_value())),
            ),
        };
        Record { key: encode(&key), value }
    }

    fn consumer(&self) -> Option<&ConsumerGroup> {
        match &self.kind {
            Kind::Consumer(group) => Some(group),
            Kind::Classic(_) => None,
        }
    }

    /// The tombstone of a thing.
    pub(crate) fn tombstone(&self, entity: &Entity) -> Record {
        Record { value: None, ..self.record(entity) }
    }
}
