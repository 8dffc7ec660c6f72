//! Where a consumer stands in each partition: what to ask for, and what of an answer is new.
//!
//! Positions only move forward, so that batches that were pushed before a loss and are pushed
//! again after it give no record twice.

use std::collections::BTreeMap;
use std::ops::Range;

use tidegate_types::{Offset, PartitionId, StartPosition, TopicName};
use tidegate_wire::{OpenSubscribe, PartitionStart};

use super::config::ConsumerConfig;

#[derive(Debug)]
pub(super) struct Positions {
    topic: TopicName,
    config: ConsumerConfig,
    /// Empty until the first subscription is open.
    partitions: BTreeMap<PartitionId, Position>,
    known: bool,
}

#[derive(Debug)]
struct Position {
    next: Offset,
    /// Where this partition ends for this consumer; the end of all offsets if it does not.
    end: Offset,
    failed: bool,
}

impl Position {
    fn is_open(&self) -> bool {
        !self.failed && self.next < self.end
    }
}

impl Positions {
    pub(super) fn new(topic: TopicName, config: ConsumerConfig) -> Positions {
        Positions { topic, config, partitions: BTreeMap::new(), known: false }
    }

    /// What to ask the node for; `None` where nothing is left to read.
    pub(super) fn request(&self) -> Option<OpenSubscribe> {
        let partitions: Vec<_> = if self.known {
            self.partitions
                .iter()
                .filter(|(_, at)| at.is_open())
                .map(|(partition, at)| (*partition, StartPosition::Offset(at.next)))
                .collect()
        } else {
            self.config.partitions.clone()
        };
        if self.known && partitions.is_empty() {
            return None;
        }
        Some(OpenSubscribe {
            topic: self.topic.clone(),
            from: self.config.from,
            partitions,
            until_end: self.config.until_end,
            plugin: self.config.plugin.clone(),
        })
    }

    /// Takes the beginnings that the node found. After the first time, what is known stays.
    pub(super) fn handle_ready(&mut self, starts: &[PartitionStart]) {
        for start in starts {
            let end = if self.config.until_end { start.high_watermark } else { Offset(i64::MAX) };
            let found = Position { next: start.next, end, failed: false };
            let at = self.partitions.entry(start.partition).or_insert(found);
            // The node may have had to begin later, where the log now starts.
            at.next = at.next.max(start.next);
        }
        self.known = true;
    }

    /// Offsets of a partition that are new and asked for; empty for one not asked for.
    pub(super) fn wanted(&self, partition: PartitionId) -> Range<Offset> {
        match self.partitions.get(&partition) {
            Some(at) if at.is_open() => at.next..at.end,
            _ => Offset::ZERO..Offset::ZERO,
        }
    }

    /// Everything below `next` has been handed on.
    pub(super) fn handle_read(&mut self, partition: PartitionId, next: Offset) {
        if let Some(at) = self.partitions.get_mut(&partition) {
            at.next = at.next.max(next);
        }
    }

    /// The node cannot go on with this partition.
    pub(super) fn handle_failed(&mut self, partition: PartitionId) {
        if let Some(at) = self.partitions.get_mut(&partition) {
            at.failed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(partition: u32, next: i64, end: i64) -> PartitionStart {
        PartitionStart {
            partition: PartitionId(partition),
            next: Offset(next),
            high_watermark: Offset(end),
        }
    }

    fn positions(until_end: bool) -> Positions {
        let config = ConsumerConfig { until_end, ..ConsumerConfig::default() };
        Positions::new(TopicName::new("t").unwrap(), config)
    }

    #[test]
    fn a_return_asks_for_what_is_missing() {
        let mut at = positions(false);
        assert_eq!(at.request().unwrap().partitions, []);
        at.handle_ready(&[start(0, 5, 9), start(1, 0, 0)]);
        at.handle_read(PartitionId(0), Offset(8));
        at.handle_read(PartitionId(0), Offset(6));
        let asked = at.request().unwrap();
        assert_eq!(
            asked.partitions,
            [
                (PartitionId(0), StartPosition::Offset(Offset(8))),
                (PartitionId(1), StartPosition::Offset(Offset(0))),
            ]
        );
        // What the node pushes again is not wanted again.
        at.handle_ready(&[start(0, 7, 20), start(1, 3, 20)]);
        assert_eq!(at.wanted(PartitionId(0)).start, Offset(8));
        assert_eq!(at.wanted(PartitionId(1)).start, Offset(3));
        assert!(at.wanted(PartitionId(2)).is_empty());
    }

    #[test]
    fn the_end_is_the_one_first_found() {
        let mut at = positions(true);
        at.handle_ready(&[start(0, 0, 4), start(1, 0, 2), start(2, 7, 7)]);
        at.handle_read(PartitionId(1), Offset(2));
        at.handle_ready(&[start(0, 0, 100)]);
        assert_eq!(at.wanted(PartitionId(0)), Offset(0)..Offset(4));
        assert_eq!(at.request().unwrap().partitions.len(), 1);
        at.handle_read(PartitionId(0), Offset(4));
        assert_eq!(at.request(), None);
    }

    #[test]
    fn a_partition_that_failed_is_not_asked_for_again() {
        let mut at = positions(false);
        at.handle_ready(&[start(0, 0, 4), start(1, 0, 2)]);
        at.handle_failed(PartitionId(0));
        assert_eq!(at.request().unwrap().partitions.len(), 1);
        at.handle_failed(PartitionId(1));
        assert_eq!(at.request(), None);
    }
}
