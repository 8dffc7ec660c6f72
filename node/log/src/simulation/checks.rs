//! What is compared: the logs as they answer, and the model.

use std::collections::BTreeMap;

use bytes::Bytes;
use tidegate_record::BatchHeader;
use tidegate_types::{ByteSize, LeaderEpoch, Offset, Timestamp};

use super::batches;
use super::model::{Fate, Stored};
use super::world::World;
use crate::{DamageRange, LogChunk, LogHandle, ReadError, files};

/// The batches of a chunk, by their headers alone.
pub(super) fn split(chunk: &LogChunk) -> Vec<(BatchHeader, Bytes)> {
    let (mut at, mut found) = (0, Vec::new());
    while at < chunk.batches.len() {
        let header = BatchHeader::parse(&chunk.batches[at..]).unwrap();
        let end = at + header.batch_len;
        found.push((header, chunk.batches.slice(at..end)));
        at = end;
    }
    found
}

impl World {
    /// Reads, again where a fault struck; `None` without power.
    pub(super) fn read(
        &self,
        log: &LogHandle,
        from: Offset,
        end: Offset,
        max: ByteSize,
    ) -> Option<Result<LogChunk, ReadError>> {
        for _ in 0..50 {
            match log.read(from, end, max) {
                Err(ReadError::Io { source, .. }) => {
                    if !self.disk.has_power() {
                        return None;
                    }
                    assert!(self.armed, "reading at {from}: {source}");
                }
                result => return Some(result),
            }
        }
        panic!("reading at {from} fails for ever");
    }

    /// Takes in what a log gained since the last look.
    pub(super) fn catch_up(&mut self, n: usize) {
        let Some(log) = self.logs[n].handle.clone() else { return };
        let offsets = log.offsets();
        self.check_start(n, offsets.start);
        self.observe_promise(n, offsets);
        while self.logs[n].end < offsets.end {
            let from = self.logs[n].end;
            match self.read(&log, from, offsets.end, ByteSize::kib(64)) {
                None => return,
                Some(Ok(chunk)) => {
                    if chunk.is_empty() && self.logs[n].mirror_of.is_some() {
                        self.logs[n].end = offsets.end;
                    }
                    let there = self.logs[n].end == offsets.end || !chunk.is_empty();
                    assert!(there, "log {n}: nothing at {from}");
                    for (header, bytes) in split(&chunk) {
                        self.take_new(n, header.base_offset, &bytes, false);
                        self.logs[n].end = header.next_offset();
                    }
                }
                // A bit turned in a header hides what follows until a start has read the file.
                Some(Err(ReadError::Damaged { range })) if self.logs[n].hurt => {
                    self.logs[n].end = range.end.max(from.advance(1));
                }
                Some(Err(error)) => panic!("log {n}: {error}"),
            }
        }
    }

    /// A batch that the log did not hold before.
    fn take_new(&mut self, n: usize, base: Offset, bytes: &Bytes, after_a_start: bool) {
        let seen_at = self.uptime();
        let model = &mut self.logs[n];
        let stored = model.identify(bytes, seen_at);
        if let Some(id) = stored.id {
            let sent = &mut model.sent[id];
            assert_eq!(sent.at, None, "log {n}: batch {id} is there twice");
            let may = World::may_appear(sent.fate, after_a_start);
            assert!(may, "log {n}: batch {id} at {base} was {:?}", sent.fate);
            sent.at = Some(base);
            if !after_a_start && !model.hurt {
                assert_eq!(base, model.end, "log {n}: a hole");
            }
        }
        model.history.put(base, &stored);
        model.content.insert(base, stored);
    }

    /// Compares a log that was just opened with what was promised of it.
    pub(super) fn check_reopened(&mut self, n: usize) {
        let Some(log) = self.logs[n].handle.clone().filter(|_| self.disk.has_power()) else {
            return;
        };
        let offsets = log.offsets();
        assert_eq!(offsets.durable, offsets.end, "log {n}");
        let mut floor = self.logs[n].floor;
        if self.index_lost {
            // Bad batches at the end of what is safe: without the index they are a torn tail.
            let model = &self.logs[n];
            let safe = model.content.range(..floor).rev();
            let bad = safe.take_while(|(_, stored)| stored.hurt);
            floor = bad.last().map_or(floor, |(base, _)| floor.min(*base));
        }
        assert!(offsets.end >= floor, "log {n}: it ends at {}, before {floor}", offsets.end);
        let bases = self.segment_bases(n);
        let found = log.damage().to_vec();
        for range in &found {
            self.explain(n, *range, floor);
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
                    }
                }
                Some(Err(ReadError::Damaged { range })) => {
                    assert!(range.end > at, "log {n}: reading does not get on at {at}");
                    let told = self.logs[n].damage.contains(&range);
                    let met = |old: &DamageRange| old.from <= range.from && range.end <= old.end;
                    // What follows a batch whose length is wrong cannot be found either.
                    let hurt = old.range(..range.end).any(|(_, s)| s.hurt && s.next >= range.from);
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
        self.take_compacted(n, offsets.end);
        self.check_nothing_lost(n, &old, floor, &bases, &met_before);
        let model = &mut self.logs[n];
        (model.start, model.end) = (offsets.start, offsets.end);
        (model.durable, model.claimed, model.floor) = (offsets.end, offsets.end, offsets.end);
        model.checked = true;
        if self.compacts {
            let policies = [model.config.policy, model.policy_before];
            self.judge(n, &policies);
        }
        self.check_answers(n);
    }

    /// Where the files of a log begin.
    pub(super) fn segment_bases(&self, n: usize) -> Vec<Offset> {
        use tidegate_env::Disk;
        let folder = files::partition(super::world::ROOT.as_ref(), super::world::log_id(n));
        let listed = self.disk.list(&folder).unwrap_or_default();
        listed.iter().filter_map(|entry| files::segment_base(&entry.name)).collect()
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
            let seen = model.content.contains_key(&base) || model.damage_at(base).is_some();
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
                let told = model.damage_at(*base).is_some();
                assert!(told, "log {n}: the batch at {base} is gone, all before {floor} was safe");
                let near = old.iter().any(|(b, s)| s.hurt && segment(*b) == segment(*base));
                let before = met_before.iter().any(|range| range.contains(*base));
                assert!(
                    stored.hurt || near || before,
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
                    model.sent[id].at = Some(*base);
                }
            } else if model.damage_at(*base).is_some() {
                model.content.entry(*base).or_insert_with(|| stored.clone());
            }
        }
        for (id, sent) in model.sent.iter_mut().enumerate() {
            assert!(
                !sent.promised || sent.at.is_some(),
                "log {n}: batch {id} was acknowledged as durable and is gone"
            );
            sent.promised = false;
            if sent.at.is_none() {
                sent.fate = Fate::Unsent;
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
    fn explain(&mut self, n: usize, range: DamageRange, floor: Offset) {
        let cut = self.index_lost && range.from >= floor;
        let model = &mut self.logs[n];
        let known = model.damage.iter().any(|old| old.from <= range.from && range.end <= old.end);
        let hurt = model.content.range(..range.end).any(|(_, s)| s.hurt && s.next > range.from);
        // An index that was damaged may have fallen back to what it was before files were removed.
        let fallen_back = self.index_hurt && range.end <= model.start.max(model.shown);
        let why = known || hurt || cut || fallen_back;
        assert!(why, "log {n}: {range:?} is damaged, floor {floor}");
        model.hurt = true;
    }

    /// Everything that can be asked of a log, at random places.
    pub(super) fn check_answers(&mut self, n: usize) {
        if self.logs[n].hurt || self.log(n).is_none() {
            return;
        }
        self.catch_up(n);
        if !self.disk.has_power() {
            // What was opened as the power failed could not be looked at.
            return;
        }
        for _ in 0..3 {
            self.check_read(n);
        }
        self.check_time(n);
        self.check_epoch(n);
        self.check_duplicates(n);
    }

    fn check_read(&mut self, n: usize) {
        let Some(log) = self.logs[n].handle.clone() else { return };
        let (start, end) = (self.logs[n].start, self.logs[n].end);
        let from = Offset(self.rng.between(start.0.max(1) as u64 - 1, end.0 as u64 + 1) as i64);
        let stop = match self.rng.below(3) {
            0 => Offset(i64::MAX),
            _ => Offset(self.rng.between(start.0 as u64, end.0 as u64 + 1) as i64),
        };
        let max = ByteSize::bytes(self.rng.below(20_000));
        let Some(read) = self.read(&log, from, stop, max) else { return };
        if self.outside(n, from) {
            let told = matches!(read, Err(ReadError::OutOfRange { offset, start: s, end: e })
                if (offset, s, e) == (from, start, end));
            assert!(told, "log {n}: reading {from} of {start} to {end}: {read:?}");
            return;
        }
        let chunk = read.unwrap_or_else(|error| panic!("log {n}: reading {from}: {error}"));
        let stop = stop.min(end);
        let first = self.logs[n].batch_at(from).filter(|(_, s)| from < stop && s.next <= stop);
        let Some((base, first)) = first else {
            assert!(chunk.is_empty(), "log {n}: {from} to {stop} gives {}", chunk.base_offset);
            assert_eq!((chunk.base_offset, chunk.next_offset), (from, from), "log {n}");
            return;
        };
        assert!(!chunk.is_empty(), "log {n}: nothing at {from} up to {stop}");
        assert_eq!(chunk.base_offset, base, "log {n}");
        let fits = chunk.batches.len() <= max.as_usize().max(first.bytes.len());
        assert!(fits, "log {n}: {} bytes, at most {max} wanted", chunk.batches.len());
        let mut held = self.logs[n].content.range(base..);
        let mut next = base;
        for (_, bytes) in split(&chunk) {
            let (_, stored) = held.next().expect("more than the log holds");
            assert_eq!(bytes, stored.bytes, "log {n}: read at {from}");
            next = stored.next;
        }
        assert_eq!(chunk.next_offset, next, "log {n}");
        assert!(next <= stop, "log {n}: read up to {next}, beyond {stop}");
    }

    fn check_time(&mut self, n: usize) {
        let Some(log) = self.logs[n].handle.clone() else { return };
        let records: Vec<Timestamp> =
            self.logs[n].content.values().flat_map(|s| &s.records).map(|r| r.time).collect();
        let at = self.rng.below(records.len() as u64) as usize;
        let near = records.get(at).copied().unwrap_or(self.now());
        let time = Timestamp(near.millis() + self.rng.between(0, 2) as i64 - 1);
        for _ in 0..50 {
            match log.offset_for_time(time) {
                Ok(found) => {
                    assert_eq!(found, self.logs[n].first_at(time), "log {n}: at {time:?}");
                    return;
                }
                Err(_) if !self.disk.has_power() => return,
                Err(error) => assert!(self.armed, "log {n}: {error}"),
            }
        }
    }

    fn check_epoch(&mut self, n: usize) {
        let Some(log) = self.logs[n].handle.clone() else { return };
        let asked = LeaderEpoch(self.rng.between(0, 12) as i32);
        let starts = self.logs[n].history.epochs(self.logs[n].start);
        if self.compacts && self.logs[n].forgot {
            // The batches that began them may be gone.
            return;
        }
        if self.logs[n].start > Offset::ZERO
            && (starts.is_empty() || self.logs[n].mirror_of.is_some())
        {
            // What is known of epochs that left depends on the index.
            return;
        }
        let after = starts.partition_point(|(known, _)| *known <= asked);
        let known = after.checked_sub(1).map_or(asked, |at| starts[at].0);
        let ends = match starts.get(after) {
            Some((_, start)) => *start,
            None if starts.is_empty() => self.logs[n].start,
            None => self.logs[n].end,
        };
        let (told, told_end) = log.epoch_end(asked);
        assert_eq!(told_end, ends, "log {n}: end of {asked}");
        // The last epoch before the start may be remembered.
        let left = self.logs[n].start > Offset::ZERO && after == 0 && told < known;
        assert!(told == known || left, "log {n}: {told} for {known}");
    }

    fn check_duplicates(&mut self, n: usize) {
        let Some(log) = self.logs[n].handle.clone() else { return };
        let model = &self.logs[n];
        if model.mirror_of.is_some() {
            return;
        }
        for producer in &model.producers {
            for id in producer.acked.iter().chain(&producer.unacked) {
                let sent = &model.sent[*id];
                let Some(stamp) = sent.stamp.filter(|_| !sent.left) else { continue };
                let told = log.is_duplicate(stamp, sent.records - 1);
                let waits = sent.fate == Fate::Unknown;
                let there = sent.at.is_some();
                assert!(!there || told || model.forgot, "log {n}: batch {id} is not known");
                assert!(there || !told || waits, "log {n}: batch {id} is known, not there");
            }
            let sent = producer.acked.iter().chain(&producer.unacked).map(|id| &model.sent[*id]);
            let mut there = sent.filter(|sent| sent.at.is_some() && !sent.left);
            // However the log was compacted, the last one of each can be told from it alone.
            let last = there.next_back();
            if let Some((last, stamp)) = last.and_then(|last| Some((last, last.stamp?))) {
                let told = log.is_duplicate(stamp, last.records - 1);
                assert!(told || model.beheaded, "log {n}: the last of {} is not known", stamp.id);
            }
            assert!(
                !log.is_duplicate(producer.next_stamp(), 0),
                "log {n}: known before it is sent"
            );
        }
    }
}
