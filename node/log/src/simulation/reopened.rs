//! What a start found is compared with what was there, and with what was promised of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use tidegate_env::Disk;
use tidegate_record::BatchHeader;
use tidegate_types::{ByteSize, Offset};

use super::batches;
use super::checks::split;
use super::model::{Fate, LogModel, Stored};
use super::world::World;
use crate::{DamageRange, ReadError, files};

impl World {
    /// Compares a log that was just opened with what was promised of it.
    pub(super) fn check_reopened(&mut self, n: usize) {
        let Some(log) = self.logs[n].handle.clone().filter(|_| self.disk.has_power()) else {
            return;
        };
        let offsets = log.offsets();
        assert_eq!(offsets.durable, offsets.end, "log {n}");
        let bases = self.segment_bases(n);
        let mut floor = self.logs[n].floor;
        if self.index_lost {
            // From a bad batch of the last file on, what is safe cannot be told from a torn tail
            // without the index: its length may be what is wrong.
            let last = bases.last().copied().unwrap_or(Offset::ZERO).min(floor);
            // So it is with what was found to be bad before.
            let LogModel { content, damage, .. } = &self.logs[n];
            let hurt = content.range(last..floor).find(|(_, stored)| stored.hurt);
            let damaged = damage.iter().map(|range| range.from).find(|from| *from >= last);
            let bad = hurt.map(|(base, _)| *base).into_iter().chain(damaged).min();
            if let Some(bad) = bad.filter(|bad| *bad < floor) {
                let good = content.range(last..bad).next_back();
                floor = good.map_or(last, |(_, stored)| stored.next);
            }
        }
        assert!(offsets.end >= floor, "log {n}: it ends at {}, before {floor}", offsets.end);
        let found = log.damage().to_vec();
        for range in &found {
            self.explain(n, *range, floor, &bases);
        }
        self.check_start_reopened(n, offsets.start, &bases);
        let old = std::mem::take(&mut self.logs[n].content);
        for sent in &mut self.logs[n].sent {
            sent.at = None;
        }
        let met_before = std::mem::replace(&mut self.logs[n].damage, found);

        let mut at = offsets.start;
        while at < offsets.end {
            match self.read(&log, at, offsets.end, ByteSize::kib(64)) {
                None => unreachable!("the power fails at changes, not at reads"),
                Some(Ok(chunk)) => {
                    if chunk.is_empty() {
                        // A file was begun behind a hole, and nothing is in it yet.
                        let mirror = self.logs[n].mirror_of.is_some();
                        assert!(mirror, "log {n}: nothing at {at}");
                        break;
                    }
                    for (header, bytes) in split(&chunk) {
                        self.take_found(n, &header, &bytes, &old, at);
                        at = header.next_offset();
                        // Its header may claim what comes after it; nobody verified it yet.
                        let hurt = old.get(&header.base_offset).filter(|stored| stored.hurt);
                        if let Some(Stored { next, .. }) = hurt.filter(|stored| stored.next < at) {
                            self.logs[n].damage.push(DamageRange { from: *next, end: at });
                        }
                    }
                }
                Some(Err(ReadError::Damaged { range })) => {
                    assert!(range.end > at, "log {n}: reading does not get on at {at}");
                    let told = self.logs[n].damage.contains(&range);
                    let met = |old: &DamageRange| old.from <= range.from && range.end <= old.end;
                    // What follows a batch whose length is wrong cannot be found either.
                    let mut hurt = old.range(..range.end).filter(|(_, stored)| stored.hurt);
                    // Of the file that the start lies in, what was trimmed hides it too.
                    let file = |offset| bases.partition_point(|base| *base <= offset);
                    let hurt = hurt.any(|(base, stored)| {
                        let trimmed =
                            range.from == offsets.start && file(*base) == file(range.from);
                        stored.next >= range.from || trimmed
                    });
                    let known = told || met_before.iter().any(met);
                    assert!(known || hurt, "log {n}: {range:?} cannot be read");
                    if !told {
                        self.logs[n].damage.push(range);
                    }
                    at = range.end;
                }
                Some(Err(error)) => panic!("log {n} at {at}: {error}"),
            }
        }
        let closed = bases.windows(2).filter(|pair| pair[0] >= offsets.start);
        self.logs[n].filler = closed.map(|pair| self.filler(n, pair[0], pair[1])).sum();
        self.take_compacted(n, offsets.end);
        self.check_nothing_lost(n, &old, floor, &bases, &met_before);
        let model = &mut self.logs[n];
        (model.start, model.end) = (offsets.start, offsets.end);
        (model.durable, model.claimed, model.floor) = (offsets.end, offsets.end, offsets.end);
        model.checked = true;
        if self.compacts {
            let policies = model.policies();
            self.judge(n, &policies);
        }
        let before = &mut self.logs[n].policies_before;
        before.drain(..before.len().saturating_sub(1));
        self.check_answers(n);
    }

    /// Where the files of a log begin.
    pub(super) fn segment_bases(&self, n: usize) -> Vec<Offset> {
        let folder = files::partition(super::world::ROOT.as_ref(), super::world::log_id(n));
        let listed = self.disk.list(&folder).unwrap_or_default();
        listed.iter().filter_map(|entry| files::segment_base(&entry.name)).collect()
    }

    /// Bytes of a closed file, from its base to the next one's, that are no batch's. The log counts
    /// them as its own.
    fn filler(&self, n: usize, base: Offset, next_base: Offset) -> u64 {
        let folder = files::partition(super::world::ROOT.as_ref(), super::world::log_id(n));
        let listed = self.disk.list(&folder).unwrap_or_default();
        let file = listed.iter().find(|e| files::segment_base(&e.name) == Some(base));
        let held = self.logs[n].content.range(base..next_base);
        let held: usize = held.map(|(_, stored)| stored.bytes.len()).sum();
        file.map_or(0, |file| file.len.saturating_sub(held as u64))
    }

    /// A batch read after a start.
    fn take_found(
        &mut self,
        n: usize,
        header: &BatchHeader,
        bytes: &Bytes,
        old: &BTreeMap<Offset, Stored>,
        expected: Offset,
    ) {
        let base = header.base_offset;
        let model = &mut self.logs[n];
        match old.get(&base) {
            Some(stored) if stored.hurt => {
                assert_eq!(batches::records(bytes), None, "log {n}: a flip that nothing tells");
                model.content.insert(base, stored.clone());
                return;
            }
            Some(stored) if stored.bytes == *bytes => {
                if let Some(id) = stored.id {
                    let before = model.sent[id].at.replace(base);
                    // What damage hid may have been sent again before it was seen again.
                    let once = before.is_none() || model.hurt;
                    assert!(once, "log {n}: batch {id} is there twice");
                }
                model.content.insert(base, stored.clone());
            }
            _ => match self.rewritten(n, base, bytes) {
                Some(stored) => {
                    let model = &mut self.logs[n];
                    if let Some(id) = stored.id {
                        model.sent[id].at = Some(base);
                    }
                    model.content.insert(base, stored);
                }
                // What was never durable may have been overtaken by what came in its place.
                None => self.take_new(n, base, bytes, true),
            },
        }
        let model = &self.logs[n];
        if !model.hurt && model.mirror_of.is_none() && base >= model.start {
            let removed = self.compacts && model.history.bridges(expected, base);
            assert!(base == expected || removed, "log {n}: a hole from {expected} to {base}");
        }
    }

    /// What compaction took whole was in the log, and counts as if it were.
    fn take_compacted(&mut self, n: usize, end: Offset) {
        let model = &mut self.logs[n];
        model.history.cut(end);
        if !self.compacts {
            return;
        }
        for (base, whole) in model.history.batches() {
            let seen = model.content.contains_key(&base)
                || model.damage_at(base.max(model.start)).is_some();
            if let Some(id) = whole.id.filter(|_| !seen && whole.next() > model.start) {
                model.sent[id].at = Some(base);
            }
        }
    }

    /// Whether what could be read before is there, or its loss told.
    fn check_nothing_lost(
        &mut self,
        n: usize,
        old: &BTreeMap<Offset, Stored>,
        floor: Offset,
        bases: &[Offset],
        met_before: &[DamageRange],
    ) {
        let segment = |offset: Offset| bases.partition_point(|base| *base <= offset);
        let model = &mut self.logs[n];
        for (base, stored) in old {
            if model.content.contains_key(base) || stored.next <= model.start {
                continue;
            }
            // Where it is compacted, what may be gone is judged by record.
            if *base < floor && !self.compacts {
                let told = model.damage_at((*base).max(model.start));
                assert!(
                    told.is_some(),
                    "log {n}: the batch at {base} is gone, all before {floor} was safe"
                );
                let near = old.iter().any(|(b, s)| s.hurt && segment(*b) == segment(*base));
                let before = met_before.iter().any(|range| range.contains(*base));
                let fallen_back = self.index_hurt && stored.next <= model.trimmed;
                let behind =
                    |old: &DamageRange| old.end <= *base && segment(old.from) == segment(*base);
                let grown = self.index_lost
                    && told.is_some_and(|range| range.end > floor)
                    && met_before.iter().any(behind);
                assert!(
                    stored.hurt || near || before || fallen_back || grown,
                    "log {n}: damage covers {base}, which is whole"
                );
            }
        }
        for (base, stored) in old {
            // Another start may be able to read it.
            if stored.next <= model.start {
                // It may begin before it again, should the index be lost.
                model.content.insert(*base, stored.clone());
                if let Some(id) = stored.id {
                    // What damage hid may have been sent again, and lie further on.
                    let at = *model.sent[id].at.get_or_insert(*base);
                    assert!(at == *base || model.hurt, "log {n}: batch {id} is there twice");
                }
            } else if model.damage_at((*base).max(model.start)).is_some() {
                model.content.entry(*base).or_insert_with(|| stored.clone());
            }
        }
        let armed = self.armed;
        for (id, sent) in model.sent.iter_mut().enumerate() {
            assert!(
                !sent.promised || sent.at.is_some(),
                "log {n}: batch {id} was acknowledged as durable and is gone"
            );
            sent.promised = false;
            if sent.at.is_none() {
                // A cut whose sync failed hides what the power may bring back once more.
                let hidden = armed && sent.fate == Fate::Unknown;
                sent.fate = if hidden { Fate::Refused } else { Fate::Unsent };
            }
        }
        // Of each producer: what is there is in order, and nothing is missing in between.
        if model.mirror_of.is_some() || model.hurt {
            return;
        }
        for producer in &model.producers {
            let mine = producer.acked.iter().chain(&producer.unacked);
            let mine = mine.filter(|id| !model.sent[**id].left);
            let there: Vec<Option<Offset>> = mine.map(|id| model.sent[*id].at).collect();
            // One that was content with "written" may lose a batch and, forgotten, go on behind.
            if producer.ack == crate::When::Durable && !model.lossy && !model.forgot {
                let gap = !there.is_sorted_by_key(Option::is_none);
                assert!(!gap, "log {n}: a gap in what {} sent: {there:?}", producer.id);
            }
            let offsets: Vec<Offset> = there.into_iter().flatten().collect();
            assert!(offsets.is_sorted(), "log {n}: {} is out of order", producer.id);
        }
    }

    /// Damage must come of something that was done to the disk.
    fn explain(&mut self, n: usize, range: DamageRange, floor: Offset, bases: &[Offset]) {
        let cut = self.index_lost && range.from >= floor;
        // A mirror's hole between two files: what a lost cut left before it may have been records.
        let mut before = self.logs[n].content.range(..range.end).map(|(_, stored)| stored.next);
        let hole = self.logs[n].mirror_of.is_some()
            && before.next_back().is_none_or(|next| next <= range.from)
            && bases
                .windows(2)
                .any(|pair| pair[1] == range.end && self.filler(n, pair[0], pair[1]) > 0);
        let model = &mut self.logs[n];
        // Without the index whole batches behind damage are found only if all that follows is
        // whole too: what is torn there hides them.
        let grown = self.index_lost
            && range.end > floor
            && model.damage.iter().any(|old| old.contains(range.from));
        let known = model.damage.iter().any(|old| old.from <= range.from && range.end <= old.end);
        let hurt = model.content.range(..range.end).any(|(_, s)| s.hurt && s.next > range.from);
        // An index that was damaged may have fallen back to what it was before files were removed.
        let fallen_back = self.index_hurt && range.end <= model.start.max(model.shown);
        let why = known || hurt || cut || fallen_back || grown || hole;
        assert!(why, "log {n}: {range:?} is damaged, floor {floor}");
        model.hurt = true;
    }
}
