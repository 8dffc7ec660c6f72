//! What was once in a log, and what compaction may have taken of it.
//!
//! The rules stand here as a reader would state them, on plain lists of records; how compaction
//! goes about it is of no concern. A record may be gone if
//!
//! - a later one of its key lies in what may be compacted, or
//! - its transaction was aborted, or
//! - it is a tombstone that was all there is of its key for longer than `delete.retention`.
//!
//! What may be compacted are files that are closed, have been for `min.compaction.lag`, and lie
//! before the first transaction without an end. Nothing that is gone comes back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use tidegate_record::BatchHeader;
use tidegate_types::{LeaderEpoch, LogPolicy, Offset, ProducerId};

use super::batches::{self, Record};
use super::model::{BatchId, Stored};

/// A batch as it was appended.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub(super) header: BatchHeader,
    pub(super) id: Option<BatchId>,
    records: Vec<Record>,
    seen_at: Duration,
}

impl Whole {
    pub(super) fn next(&self) -> Offset {
        self.header.next_offset()
    }

    fn producer(&self) -> ProducerId {
        self.header.producer_id
    }

    /// Whether it ends a transaction, and if so whether that counts.
    fn ends(&self) -> Option<bool> {
        let marker = self.records.first().filter(|_| self.header.attributes.is_control())?;
        Some(marker.key.as_deref() == Some(&[0, 0, 0, 1]))
    }

    fn is_of_transaction(&self) -> bool {
        self.header.attributes.is_transactional() && !self.header.attributes.is_control()
    }
}

/// What compaction goes by when it is looked at.
pub(super) struct Rules<'r> {
    /// Which log's it is.
    pub(super) log: usize,
    /// What was trimmed is nobody's concern.
    pub(super) start: Offset,
    /// Policies that were in force since the last look.
    pub(super) policies: &'r [LogPolicy],
    pub(super) uptime: Duration,
    /// Up to where the log says that it is clean.
    pub(super) clean: Offset,
    /// Where records may be missing for another reason.
    pub(super) excused: &'r dyn Fn(Offset) -> bool,
    /// Not every look was taken, so since when a tombstone is alone is not known.
    pub(super) missed_looks: bool,
}

/// Everything that was ever seen in a log.
#[derive(Default)]
pub(super) struct History {
    batches: BTreeMap<Offset, Whole>,
    /// Records that compaction took.
    gone: BTreeSet<Offset>,
    /// Ends of files that are closed, and since when all before is; both rising.
    closed: Vec<(Offset, Duration)>,
    /// Tombstones in the clean part that are all there is of their key, and since when.
    alone: BTreeMap<Offset, Duration>,
}

impl History {
    /// Notes a batch that the log did not hold before.
    pub(super) fn put(&mut self, base: Offset, stored: &Stored) {
        let header = BatchHeader::parse(&stored.bytes).unwrap();
        let (id, records, seen_at) = (stored.id, stored.records.clone(), stored.seen_at);
        let overtaken: Vec<Offset> =
            self.batches.range(base..stored.next).map(|(base, _)| *base).collect();
        for base in overtaken {
            self.batches.remove(&base);
        }
        self.batches.insert(base, Whole { header, id, records, seen_at });
    }

    /// Forgets what a crash took of the end.
    pub(super) fn cut(&mut self, end: Offset) {
        self.batches.split_off(&end);
        self.gone.split_off(&end);
        self.alone.split_off(&end);
    }

    pub(super) fn batches(&self) -> impl Iterator<Item = (Offset, &Whole)> {
        self.batches.iter().map(|(base, whole)| (*base, whole))
    }

    /// Notes where the file begins that is not closed.
    pub(super) fn note_closed(&mut self, active: Offset, uptime: Duration) {
        self.closed.retain(|(end, _)| *end <= active);
        if self.closed.last().is_none_or(|(end, _)| *end < active) {
            self.closed.push((active, uptime));
        }
    }

    /// Whether batches that were there once hold all offsets from `from` to `to`.
    pub(super) fn bridges(&self, from: Offset, to: Offset) -> bool {
        let mut at = from;
        while at < to {
            let found = self.batches.range(..=at).next_back();
            let Some((_, whole)) = found.filter(|(_, whole)| whole.next() > at) else {
                return false;
            };
            at = whole.next();
        }
        at == to
    }

    /// The batch at `base` as it is now: what is left of it, and all else as it was.
    pub(super) fn remainder(&self, base: Offset, bytes: &Bytes) -> Stored {
        let Some(whole) = self.batches.get(&base) else {
            panic!("a batch at {base} that nobody sent");
        };
        let header = BatchHeader::parse(bytes).unwrap();
        let told = |header: &BatchHeader| {
            let attributes = header.attributes;
            let kind = (attributes.is_transactional(), attributes.is_control());
            let epochs = (header.leader_epoch, header.producer_epoch);
            (header.next_offset(), header.stamp(), kind, epochs)
        };
        assert_eq!(told(&header), told(&whole.header), "not the batch that was at {base}");
        let records = batches::records(bytes).expect("a batch that was written anew is not whole");
        let mut before = whole.records.iter();
        for record in &records {
            let found = before.any(|old| old == record);
            assert!(found, "batch {base} holds {record:?}, which was not in it");
        }
        let lost = records.len() < whole.records.len();
        assert!(lost, "batch {base} was written anew, and nothing left it");
        let latest = records.iter().map(|record| record.time).max();
        assert!(
            latest.is_none_or(|latest| latest == header.max_timestamp),
            "batch {base} tells {:?} as its latest time, not {latest:?}",
            header.max_timestamp
        );
        Stored {
            next: header.next_offset(),
            bytes: bytes.clone(),
            records,
            id: whole.id,
            seen_at: whole.seen_at,
            hurt: false,
        }
    }

    /// Where each epoch began.
    pub(super) fn epochs(&self, start: Offset) -> Vec<(LeaderEpoch, Offset)> {
        let mut starts: Vec<(LeaderEpoch, Offset)> = Vec::new();
        for (base, whole) in self.batches.iter().filter(|(_, whole)| whole.next() > start) {
            let epoch = whole.header.leader_epoch;
            if epoch > starts.last().map_or(LeaderEpoch::NONE, |(epoch, _)| *epoch) {
                starts.push((epoch, start.max(*base)));
            }
        }
        starts
    }

    /// How each transaction's batches ended by `end`, by base offset: true if they count.
    fn ended(&self, end: Offset) -> BTreeMap<Offset, bool> {
        let mut ended = BTreeMap::new();
        for (marker, whole) in self.batches.range(..end) {
            let Some(counts) = whole.ends() else { continue };
            let mine = self.batches.range(..marker).filter(|(_, earlier)| {
                earlier.is_of_transaction() && earlier.producer() == whole.producer()
            });
            for (base, _) in mine {
                ended.entry(*base).or_insert(counts);
            }
        }
        ended
    }

    /// Where what may be compacted ends, and how the transactions in it ended. Of those that lie
    /// before `from` nothing is known.
    fn compactable(&self, rules: &Rules<'_>, from: Offset) -> (Offset, BTreeMap<Offset, bool>) {
        let closed = self.closed.last().map_or(Offset::ZERO, |(end, _)| *end);
        let ended = self.ended(closed);
        let mut there = self.batches.range(..closed).filter(|(_, whole)| whole.next() > from);
        let open =
            there.find(|(base, whole)| whole.is_of_transaction() && !ended.contains_key(base));
        let mut limit = Offset::ZERO;
        for policy in rules.policies.iter().filter(|policy| policy.cleanup.compacts()) {
            let held =
                |since: Duration| rules.uptime.saturating_sub(since) >= policy.min_compaction_lag;
            let ripe = self.closed.iter().rev().find(|(_, since)| held(*since));
            limit = limit.max(ripe.map_or(Offset::ZERO, |(end, _)| *end));
        }
        (open.map_or(limit, |(base, _)| limit.min(*base)), ended)
    }

    /// The end of all that lies in files before the first transaction without an end.
    pub(super) fn must_be_clean_to(&self, rules: &Rules<'_>, files: &[Offset]) -> Offset {
        let from = files.first().copied().unwrap_or(Offset::ZERO);
        let (limit, _) = self.compactable(rules, from);
        let file = files.iter().rev().find(|file| **file <= limit).copied();
        let last = file.and_then(|file| self.batches.range(..file).next_back());
        last.map_or(Offset::ZERO, |(_, whole)| whole.next())
    }

    /// Judges what of the log is there now.
    pub(super) fn judge(&mut self, content: &BTreeMap<Offset, Stored>, rules: &Rules<'_>) {
        let n = rules.log;
        let (limit, ended) = self.compactable(rules, rules.start);
        let aborted = |base: Offset| ended.get(&base) == Some(&false);
        let counts =
            |base: &Offset, whole: &Whole| !whole.header.attributes.is_control() && !aborted(*base);
        let mut latest: HashMap<&[u8], Offset> = HashMap::new();
        for (_, whole) in self.batches.range(..limit).filter(|(base, whole)| counts(base, whole)) {
            let records = whole.records.iter().filter(|record| record.offset < limit);
            latest
                .extend(records.filter_map(|record| Some((record.key.as_deref()?, record.offset))));
        }
        let there: BTreeSet<Offset> =
            content.values().flat_map(|stored| &stored.records).map(|r| r.offset).collect();
        let mut gone = Vec::new();
        for (base, whole) in self.batches.iter().filter(|(_, whole)| whole.next() > rules.start) {
            for record in whole.records.iter().filter(|r| r.offset >= rules.start) {
                let at = record.offset;
                if there.contains(&at) {
                    assert!(!self.gone.contains(&at), "log {n}: the record at {at} is back");
                    continue;
                }
                if self.gone.contains(&at) || (rules.excused)(at) {
                    continue;
                }
                gone.push(at);
                assert!(
                    !whole.header.attributes.is_control(),
                    "log {n}: the marker at {at} is gone"
                );
                if aborted(*base) && at < limit {
                    continue;
                }
                let Some(key) = record.key.as_deref() else {
                    panic!("log {n}: the record at {at}, which has no key, is gone");
                };
                let superseded = latest.get(key).is_some_and(|later| *later > at);
                let spent = record.is_tombstone() && self.is_spent(at, rules);
                assert!(
                    superseded || spent,
                    "log {n}: the record at {at} of {key:?} is gone, and not superseded before {limit}"
                );
            }
        }
        self.gone.extend(gone);
        if !rules.missed_looks {
            self.check_clean(content, rules, &ended);
            self.note_alone(content, rules);
        }
    }

    fn is_spent(&self, tombstone: Offset, rules: &Rules<'_>) -> bool {
        let Some(since) = self.alone.get(&tombstone) else { return rules.missed_looks };
        let alone = rules.uptime.saturating_sub(*since);
        let compacting = rules.policies.iter().filter(|policy| policy.cleanup.compacts());
        compacting.into_iter().any(|policy| alone > policy.delete_retention)
    }

    /// What the log calls clean has one record of each key, and none of an aborted transaction.
    fn check_clean(
        &self,
        content: &BTreeMap<Offset, Stored>,
        rules: &Rules<'_>,
        ended: &BTreeMap<Offset, bool>,
    ) {
        let n = rules.log;
        let mut known: HashMap<&[u8], Offset> = HashMap::new();
        for (base, stored) in content.range(..rules.clean) {
            if self.batches.get(base).is_none_or(|whole| whole.header.attributes.is_control()) {
                continue;
            }
            let records = stored.records.iter();
            for record in records.filter(|r| r.offset >= rules.start && r.offset < rules.clean) {
                let (at, clean) = (record.offset, rules.clean);
                let aborted = ended.get(base) == Some(&false);
                assert!(!aborted, "log {n}: {at} was aborted, it is clean to {clean}");
                let Some(key) = record.key.as_deref() else { continue };
                let earlier = known.insert(key, at);
                assert_eq!(
                    earlier, None,
                    "log {n}: {key:?} is at {at} too, it is clean to {clean}"
                );
            }
        }
    }

    /// Notes the tombstones that hide nothing any more.
    fn note_alone(&mut self, content: &BTreeMap<Offset, Stored>, rules: &Rules<'_>) {
        for record in content.range(..rules.clean).flat_map(|(_, stored)| &stored.records) {
            if record.is_tombstone() && record.offset < rules.clean {
                self.alone.entry(record.offset).or_insert(rules.uptime);
            }
        }
    }
}
