//! The sparse index of one segment: where to begin looking for an offset or a time.
//!
//! One entry for about every [`INDEX_INTERVAL`] of the file, each naming the start of a batch. What
//! it says is a hint: readers walk on from there, and check what they find.

use serde::{Deserialize, Serialize};
use tidegate_types::{Offset, Timestamp, limits::INDEX_INTERVAL};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Entry {
    /// The batch's base offset less the segment's.
    delta: u32,
    /// Where the batch starts in the file.
    position: u32,
    /// The latest timestamp of all batches before this one.
    latest_before: i64,
}

/// Entries in rising order of offset and position.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub(crate) struct SparseIndex {
    entries: Vec<Entry>,
}

/// A sparse index as it is stored: each entry less the one before it, which makes them short.
#[derive(Serialize, Deserialize)]
struct Stored(Vec<(u32, u32, i64)>);

impl From<SparseIndex> for Stored {
    fn from(index: SparseIndex) -> Stored {
        let mut last = Entry { delta: 0, position: 0, latest_before: 0 };
        let less = index.entries.into_iter().map(|entry| {
            let before = std::mem::replace(&mut last, entry);
            let latest = entry.latest_before.wrapping_sub(before.latest_before);
            (entry.delta - before.delta, entry.position - before.position, latest)
        });
        Stored(less.collect())
    }
}

impl TryFrom<Stored> for SparseIndex {
    type Error = &'static str;

    fn try_from(stored: Stored) -> Result<SparseIndex, &'static str> {
        let mut last = Entry { delta: 0, position: 0, latest_before: 0 };
        let mut entries = Vec::with_capacity(stored.0.len());
        for (delta, position, latest) in stored.0 {
            let sum = |last: u32, less: u32| last.checked_add(less).ok_or("beyond 32 bits");
            last = Entry {
                delta: sum(last.delta, delta)?,
                position: sum(last.position, position)?,
                latest_before: last.latest_before.wrapping_add(latest),
            };
            entries.push(last);
        }
        Ok(SparseIndex { entries })
    }
}

impl SparseIndex {
    /// Notes a batch, in file order; `force` makes an entry however near the last one is.
    pub(crate) fn observe(
        &mut self,
        delta: u32,
        position: u32,
        latest_before: Timestamp,
        force: bool,
    ) {
        let far = match self.entries.last() {
            None => true,
            Some(last) => u64::from(position - last.position) >= INDEX_INTERVAL.get(),
        };
        if far || force {
            self.entries.push(Entry { delta, position, latest_before: latest_before.0 });
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The indexed batches in order, as [`last`](SparseIndex::last) gives one.
    pub(crate) fn batches(&self) -> impl Iterator<Item = (u32, u32)> {
        self.entries.iter().map(|entry| (entry.delta, entry.position))
    }

    /// The last indexed batch: its offset less the segment's base, and its position.
    pub(crate) fn last(&self) -> Option<(u32, u32)> {
        self.entries.last().map(|entry| (entry.delta, entry.position))
    }

    /// A position from which a walk meets the batch that holds `base + delta`.
    pub(crate) fn position_of(&self, delta: u64) -> u64 {
        let after = self.entries.partition_point(|entry| u64::from(entry.delta) <= delta);
        after.checked_sub(1).map_or(0, |at| u64::from(self.entries[at].position))
    }

    /// The last indexed batch that begins neither after `position` in the file nor after
    /// `base + delta` in the log: both, of it.
    pub(crate) fn last_within(&self, position: u64, delta: u64) -> Option<(u32, u64)> {
        let after = self.entries.partition_point(|entry| {
            u64::from(entry.position) <= position && u64::from(entry.delta) <= delta
        });
        let entry = self.entries.get(after.checked_sub(1)?)?;
        Some((entry.delta, u64::from(entry.position)))
    }

    /// A position from which a walk meets the first batch with a timestamp of at least `time`.
    pub(crate) fn position_of_time(&self, time: Timestamp) -> u64 {
        let after = self.entries.partition_point(|entry| entry.latest_before < time.0);
        after.checked_sub(1).map_or(0, |at| u64::from(self.entries[at].position))
    }

    /// The first indexed batch after `position`, for skipping what cannot be read there: its offset
    /// in a segment that starts at `base`, and its position.
    pub(crate) fn next_after(&self, position: u64, base: Offset) -> Option<(Offset, u64)> {
        let at = self.entries.partition_point(|entry| u64::from(entry.position) <= position);
        let entry = self.entries.get(at)?;
        Some((base.advance(i64::from(entry.delta)), u64::from(entry.position)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_begin_at_or_before_what_is_sought() {
        let mut index = SparseIndex::default();
        let step = u32::try_from(INDEX_INTERVAL.get() / 2).unwrap();
        for n in 0..10_u32 {
            index.observe(n * 10, n * step, Timestamp(i64::from(n) * 100), false);
        }
        assert_eq!(index.entries.len(), 5, "every second batch lies an interval away");
        assert_eq!(index.position_of(0), 0);
        assert_eq!(index.position_of(39), u64::from(2 * step));
        assert_eq!(index.position_of(40), u64::from(4 * step));
        assert_eq!(index.position_of(u64::MAX), u64::from(8 * step));
        assert_eq!(index.position_of_time(Timestamp(400)), u64::from(2 * step));
        assert_eq!(index.position_of_time(Timestamp(401)), u64::from(4 * step));
        assert_eq!(
            index.next_after(u64::from(step), Offset(7)),
            Some((Offset(27), u64::from(2 * step)))
        );
        assert_eq!(index.next_after(u64::from(8 * step), Offset(7)), None);
        let all = u64::MAX;
        assert_eq!(index.last_within(all, all), Some((80, u64::from(8 * step))));
        assert_eq!(index.last_within(u64::from(6 * step), all), Some((60, u64::from(6 * step))));
        assert_eq!(index.last_within(u64::from(6 * step) - 1, 60), Some((40, u64::from(4 * step))));
        assert_eq!(index.last_within(all, 39), Some((20, u64::from(2 * step))));
        assert_eq!(SparseIndex::default().last_within(all, all), None);
    }

    #[test]
    fn stored_it_is_short_and_comes_back_the_same() {
        let mut index = SparseIndex::default();
        let step = u32::try_from(INDEX_INTERVAL.get()).unwrap();
        let mut latest = Timestamp::NONE;
        for n in 0..1_000_u32 {
            index.observe(n * 65, n * (step + 700), latest, false);
            latest = Timestamp(1_700_000_000_000 + i64::from(n) * 40);
        }
        let stored = postcard::to_stdvec(&index).unwrap();
        assert!(stored.len() < 8_000, "{} bytes for 64 MiB", stored.len());
        assert_eq!(postcard::from_bytes::<SparseIndex>(&stored).unwrap(), index);
        let beyond = postcard::to_stdvec(&[(u32::MAX, 0, 0_i64), (1, 1, 0)][..]).unwrap();
        assert!(postcard::from_bytes::<SparseIndex>(&beyond).is_err());
    }

    #[test]
    fn an_empty_index_begins_at_the_start() {
        assert_eq!(SparseIndex::default().position_of(9), 0);
        assert_eq!(SparseIndex::default().position_of_time(Timestamp(9)), 0);
    }
}
