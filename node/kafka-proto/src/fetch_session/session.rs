//! One session: the partitions that it covers, and what its client was last told of each.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::fetch::{FetchPosition, FetchTarget, PartitionKey};
use crate::fetch_response::{PartitionAnswer, RecordsLen};

/// A high watermark that no answer has, so that the next one is news.
const UNTOLD: i64 = -1;

/// The first epoch, in which a client asks for a new session.
pub(super) const INITIAL_EPOCH: i32 = 0;

/// The epoch in which a client says that it wants none, or no longer.
pub(super) const FINAL_EPOCH: i32 = -1;

/// The epoch after this one; it never comes back to the first.
pub(super) const fn next_epoch(epoch: i32) -> i32 {
    match epoch {
        ..0 => FINAL_EPOCH,
        i32::MAX => 1,
        _ => epoch + 1,
    }
}

#[derive(Debug)]
pub(super) struct Session {
    /// The epoch that the next request must have.
    pub(super) epoch: i32,
    pub(super) uses_ids: bool,
    pub(super) created: Duration,
    pub(super) used: Duration,
    /// By turn: the one to read first has the lowest.
    order: BTreeMap<u64, Cached>,
    turns: HashMap<PartitionKey, u64>,
    next_turn: u64,
}

/// A partition, and what was told of it.
#[derive(Debug)]
struct Cached {
    key: PartitionKey,
    position: FetchPosition,
    high_watermark: i64,
    log_start_offset: i64,
}

impl Session {
    pub(super) fn new(now: Duration, uses_ids: bool) -> Session {
        Session {
            epoch: next_epoch(INITIAL_EPOCH),
            uses_ids,
            created: now,
            used: now,
            order: BTreeMap::new(),
            turns: HashMap::new(),
            next_turn: 0,
        }
    }

    /// Partitions that it covers.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Takes a partition up, or reads it from elsewhere from now on.
    pub(super) fn upsert(&mut self, target: FetchTarget) {
        let key = target.key();
        if let Some(cached) = self.turns.get(&key).and_then(|turn| self.order.get_mut(turn)) {
            cached.position = target.position;
            return;
        }
        let position = target.position;
        let untold = Cached { key, position, high_watermark: UNTOLD, log_start_offset: UNTOLD };
        self.append(untold);
    }

    pub(super) fn forget(&mut self, key: &PartitionKey) {
        if let Some(turn) = self.turns.remove(key) {
            self.order.remove(&turn);
        }
    }

    /// Its partitions, in the order to read them in.
    pub(super) fn targets(&self) -> Vec<FetchTarget> {
        let cached = self.order.values();
        cached
            .map(|cached| FetchTarget {
                topic: cached.key.topic.clone(),
                partition: cached.key.partition,
                position: cached.position,
            })
            .collect()
    }

    /// Takes note of what is told in the answer that began it.
    pub(super) fn told<R>(&mut self, target: &FetchTarget, answer: &PartitionAnswer<R>) {
        if let Some(cached) = self.cached(&target.key()) {
            cached.high_watermark = answer.high_watermark;
            cached.log_start_offset = answer.log_start_offset;
        }
    }

    /// Whether a partition is to be told of. Takes note of it as told if so, and sends it to the
    /// end if it has records.
    pub(super) fn has_news<R: RecordsLen>(
        &mut self,
        target: &FetchTarget,
        answer: &PartitionAnswer<R>,
    ) -> bool {
        let key = target.key();
        let Some(cached) = self.cached(&key) else { return false };
        let has_records = answer.records.records_len() > 0;
        let news = has_records
            || answer.error.is_error()
            || answer.preferred_read_replica != -1
            || answer.diverging_epoch.is_some()
            || cached.high_watermark != answer.high_watermark
            || cached.log_start_offset != answer.log_start_offset;
        cached.log_start_offset = answer.log_start_offset;
        // When the error is gone, that must be told too.
        let failed = answer.error.is_error();
        cached.high_watermark = if failed { UNTOLD } else { answer.high_watermark };
        if has_records {
            self.move_to_end(&key);
        }
        news
    }

    fn cached(&mut self, key: &PartitionKey) -> Option<&mut Cached> {
        self.order.get_mut(self.turns.get(key)?)
    }

    fn move_to_end(&mut self, key: &PartitionKey) {
        if let Some(cached) = self.turns.get(key).and_then(|turn| self.order.remove(turn)) {
            self.append(cached);
        }
    }

    fn append(&mut self, cached: Cached) {
        // One a nanosecond lasts for centuries.
        let turn = self.next_turn;
        self.next_turn += 1;
        self.turns.insert(cached.key.clone(), turn);
        self.order.insert(turn, cached);
    }
}
