//! What is compared: the logs as they answer, and the model.

use bytes::Bytes;
use tidegate_record::BatchHeader;
use tidegate_types::{ByteSize, LeaderEpoch, Offset, Timestamp};

use super::model::Fate;
use super::world::World;
use crate::{LogChunk, LogHandle, ReadError};

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
    pub(super) fn take_new(&mut self, n: usize, base: Offset, bytes: &Bytes, after_a_start: bool) {
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
