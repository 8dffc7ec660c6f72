//! How the node is doing.

use std::sync::Arc;

use tidegate_types::ByteSize;
use tidegate_wire::{DamagedLog, NodeStatus, SealedLog};

use crate::topic::Topic;
use crate::{Broker, SOFTWARE, plugins, storage};

impl Broker {
    /// One look at everything.
    pub(crate) fn status(&self) -> NodeStatus {
        let topics = self.topics.all();
        let partitions = || topics.iter().flat_map(|topic| topic.partitions());
        let (records_in, records_stored) = self.counters.read();
        let sealed = topics
            .iter()
            .flat_map(|topic| topic.partitions().into_iter().map(move |p| (topic, p)))
            .filter_map(|(topic, partition)| {
                let reason = partition.log.sealed_reason()?;
                let (topic, partition) = (topic.name.clone(), partition.at.partition);
                Some(SealedLog { topic, partition, reason })
            })
            .collect();
        NodeStatus {
            node: self.config.node,
            site: self.config.site.clone(),
            software: SOFTWARE.to_owned(),
            address: self.address.to_string(),
            started: self.started,
            memory: resident_memory(),
            connections: u32::try_from(self.listener.connections()).unwrap_or(u32::MAX),
            topics: u32::try_from(topics.len()).unwrap_or(u32::MAX),
            partitions: u32::try_from(partitions().count()).unwrap_or(u32::MAX),
            log_bytes: ByteSize::bytes(partitions().map(|p| p.log.bytes().get()).sum()),
            records_in,
            records_stored,
            sealed,
            damaged: damaged(&topics),
            storage: storage::status(self, &topics),
            attachments: plugins::statuses(self),
            links: self.links.statuses(),
        }
    }
}

/// Logs of which a part cannot be read.
fn damaged(topics: &[Arc<Topic>]) -> Vec<DamagedLog> {
    let damaged = topics.iter().flat_map(|topic| {
        topic.partitions().into_iter().filter_map(|partition| {
            let ranges = partition.log.damage();
            let (first, last) = (ranges.first()?, ranges.last()?);
            Some(DamagedLog {
                topic: topic.name.clone(),
                partition: partition.at.partition,
                from: first.from,
                end: last.end,
                ranges: u32::try_from(ranges.len()).unwrap_or(u32::MAX),
            })
        })
    });
    damaged.collect()
}

/// Resident memory of this process as Linux tells it; 0 where it does not.
fn resident_memory() -> ByteSize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok().and_then(|statm| {
        statm.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok())
    });
    ByteSize::bytes(pages.unwrap_or(0) * PAGE)
}

/// Page size of the machines that we build for.
const PAGE: u64 = 4_096;
