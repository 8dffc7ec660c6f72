//! From a step of a group to effects: what is written, and which answers wait for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Coordinator;
use crate::effect::{AppendId, Appended, Effect, Record, Token};
use crate::group::{Entity, Group, Kind};
use crate::limits::{MAX_APPEND, RECORD_OVERHEAD};
use crate::offsets::OffsetWrite;
use crate::response::Response;
use crate::step::Step;
use crate::time::Now;
use crate::timers::{GroupTimer, Timer};

/// An append that has not ended.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    /// The group that it is of; `None` for what is of no group.
    group: Option<Arc<str>>,
    entities: BTreeSet<Entity>,
    offsets: Vec<OffsetWrite>,
    /// Whether nothing of the group is on record once it is durable.
    deletes: bool,
    /// What waits for it.
    replies: Vec<(Token, Response)>,
    /// Whether the next append is of the same step, and fails as a whole with this one.
    is_continued: bool,
    has_failed: bool,
}

/// The appends of one step. Mostly it is one; what is larger is cut between records.
#[derive(Default)]
struct Parts {
    all: Vec<(InFlight, Vec<Record>)>,
    /// Bytes of the last one.
    bytes: u64,
}

impl Parts {
    /// Puts a record into the last append it fits.
    fn place(&mut self, record: Record) -> &mut InFlight {
        let size = size(&record);
        if self.all.is_empty() || self.bytes + size > MAX_APPEND.get() {
            self.all.push((InFlight::default(), Vec::new()));
            self.bytes = 0;
        }
        self.bytes += size;
        let last = self.all.len() - 1;
        let (part, records) = &mut self.all[last];
        records.push(record);
        part
    }
}

fn size(record: &Record) -> u64 {
    let value = record.value.as_ref().map_or(0, |value| value.len());
    (record.key.len() + value + RECORD_OVERHEAD) as u64
}

impl Coordinator {
    /// Lets a group do something, and sees to what follows.
    pub(super) fn step(
        &mut self,
        now: Now,
        id: &Arc<str>,
        act: impl FnOnce(&mut Group, &mut Step<'_>),
    ) {
        let has_room = self.has_room();
        let Some(mut group) = self.groups.remove(id) else { return };
        let cost = group.cost();
        let mut step = Step {
            now,
            stamp: self.uptime.stamp(now),
            config: &self.config,
            group: Arc::clone(id),
            has_room,
            timers: &mut self.timers,
            replies: Vec::new(),
            waits: Vec::new(),
            offsets: Vec::new(),
            delete: false,
        };
        act(&mut group, &mut step);
        let Step { replies, waits, offsets, delete, .. } = step;
        for (token, member) in waits {
            self.waiting.insert(token, (Arc::clone(id), member));
        }
        for (token, _) in &replies {
            self.waiting.remove(token);
        }
        let written = self.write(&mut group, offsets, delete);
        self.answer(&group, written, replies);
        self.memory = (self.memory + group.cost()).saturating_sub(cost);
        self.keep(group);
    }

    /// Puts a group back, unless there is nothing left of it.
    fn keep(&mut self, group: Group) {
        if group.is_nothing() {
            self.memory = self.memory.saturating_sub(group.cost());
            for timer in [GroupTimer::Join, GroupTimer::Sync] {
                self.timers.clear(&Timer::Group(Arc::clone(&group.id), timer));
            }
        } else {
            self.groups.insert(Arc::clone(&group.id), group);
        }
    }

    /// Sees that everything that is to be written is; the append that it ends with.
    fn write(
        &mut self,
        group: &mut Group,
        offsets: Vec<OffsetWrite>,
        delete: bool,
    ) -> Option<AppendId> {
        let mut entities = BTreeSet::new();
        if delete && group.recorded {
            // Tombstones, whatever it is that may be on record.
            let kind = match group.kind {
                Kind::Classic(_) => Entity::Classic,
                Kind::Consumer(_) => Entity::Consumer,
            };
            entities = std::mem::take(&mut group.dirty);
            entities.insert(kind);
        } else if delete {
            group.dirty.clear();
        } else if group.can_be_written() {
            entities = std::mem::take(&mut group.dirty);
        }
        // A group's own records come last, so that one that is deleted is there until its offsets
        // are gone.
        let mut parts = Parts::default();
        for write in offsets {
            group.offsets.begin(&write);
            parts.place(write.record(&group.id)).offsets.push(write);
        }
        for entity in entities {
            let record = if delete { group.tombstone(&entity) } else { group.record(&entity) };
            parts.place(record).entities.insert(entity);
        }
        let count = parts.all.len();
        let mut last = None;
        for (index, (mut part, records)) in parts.all.into_iter().enumerate() {
            part.group = Some(Arc::clone(&group.id));
            part.is_continued = index + 1 < count;
            part.deletes = delete && !part.is_continued;
            let is_of_group = !part.entities.is_empty();
            group.in_flight += 1;
            let id = self.append(part, records);
            if is_of_group {
                group.last = Some(id);
                // Whether a tombstone is durable is not known before the append ends.
                group.recorded = true;
            }
            last = Some(id);
        }
        last
    }

    /// Asks for an append.
    pub(super) fn append(&mut self, part: InFlight, records: Vec<Record>) -> AppendId {
        let id = self.next_append;
        self.next_append = AppendId(id.0 + 1);
        self.appends.insert(id, part);
        self.effects.push_back(Effect::Append { id, records });
        id
    }

    /// An append has ended. They end in the order in which they were asked for; one that is not
    /// known is ignored.
    pub fn handle_appended(&mut self, id: AppendId, appended: Appended) {
        let Some(append) = self.appends.remove(&id) else { return };
        let durable = appended == Appended::Durable;
        let failed = !durable || append.has_failed;
        if append.is_continued
            && failed
            && let Some(next) = self.appends.get_mut(&AppendId(id.0 + 1))
        {
            next.has_failed = true;
        }
        for (token, response) in append.replies {
            let response = if failed { response.not_stored() } else { response };
            self.effects.push_back(Effect::Reply { token, response });
        }
        let Some(mut group) = append.group.and_then(|group| self.groups.remove(&group)) else {
            return;
        };
        let cost = group.cost();
        group.in_flight = group.in_flight.saturating_sub(1);
        for write in append.offsets {
            group.offsets.end(write, durable);
        }
        if !durable && !append.entities.is_empty() {
            // They may be on record or not: they are written again with the next change. What was
            // asked for since rests on them, as a partition that is given on rests on its being
            // given up; nobody is told of it before both are on record.
            group.dirty.extend(append.entities);
            for later in self.appends.values_mut() {
                let is_of_group = later.group.as_ref() == Some(&group.id);
                later.has_failed |= is_of_group && !later.entities.is_empty();
            }
        }
        let is_last = group.last == Some(id);
        if is_last {
            group.last = None;
        }
        if append.deletes && durable && is_last {
            // Nothing was written since.
            group.recorded = false;
        }
        self.memory = (self.memory + group.cost()).saturating_sub(cost);
        self.keep(group);
    }

    fn answer(
        &mut self,
        group: &Group,
        written: Option<AppendId>,
        replies: Vec<(Token, Response)>,
    ) {
        let waits_for = written.or(group.last);
        match waits_for.and_then(|id| self.appends.get_mut(&id)) {
            Some(append) => append.replies.extend(replies),
            None => {
                let effects = replies.into_iter();
                self.effects
                    .extend(effects.map(|(token, response)| Effect::Reply { token, response }));
            }
        }
    }
}
