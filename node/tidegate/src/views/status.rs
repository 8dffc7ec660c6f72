//! A node.

use std::time::Duration;

use serde::Serialize;
use tidegate_types::{ByteSize, Timestamp};
use tidegate_wire::{NodeStatus, SealedLog};

use super::storage::{RangeView, StorageView};
use super::{AttachedView, LinkView, link_table};
use crate::output::{fields, grouped, human_duration, table};

/// A node.
#[derive(Serialize, Debug)]
pub struct StatusView {
    site: String,
    node: u32,
    software: String,
    address: String,
    /// When it started, in ms since 1970.
    started: i64,
    memory_bytes: u64,
    connections: u32,
    topics: u32,
    partitions: u32,
    log_bytes: u64,
    records_in: u64,
    records_stored: u64,
    sealed: Vec<SealedView>,
    damaged: Vec<RangeView>,
    storage: StorageView,
    attachments: Vec<AttachedView>,
    links: Vec<LinkView>,
}

#[derive(Serialize, Debug)]
struct SealedView {
    topic: String,
    partition: u32,
    reason: String,
}

impl From<SealedLog> for SealedView {
    fn from(log: SealedLog) -> SealedView {
        SealedView {
            topic: log.topic.to_string(),
            partition: log.partition.get(),
            reason: log.reason,
        }
    }
}

impl From<NodeStatus> for StatusView {
    fn from(status: NodeStatus) -> StatusView {
        StatusView {
            site: status.site.to_string(),
            node: status.node.get(),
            software: status.software,
            address: status.address,
            started: status.started.millis(),
            memory_bytes: status.memory.get(),
            connections: status.connections,
            topics: status.topics,
            partitions: status.partitions,
            log_bytes: status.log_bytes.get(),
            records_in: status.records_in,
            records_stored: status.records_stored,
            sealed: status.sealed.into_iter().map(SealedView::from).collect(),
            damaged: status.damaged.into_iter().map(RangeView::from).collect(),
            storage: StorageView::from(status.storage),
            attachments: status.attachments.into_iter().map(AttachedView::from).collect(),
            links: status.links.into_iter().map(LinkView::from).collect(),
        }
    }
}

impl StatusView {
    /// The node for people; `now` tells how long it has been up.
    #[must_use]
    pub fn table(&self, now: Timestamp) -> String {
        let up = u64::try_from(now.millis().saturating_sub(self.started)).unwrap_or(0);
        let up = human_duration(Duration::from_millis(up));
        let mut text = fields(&[
            ("site", self.site.clone()),
            ("node", self.node.to_string()),
            ("software", self.software.clone()),
            ("address", self.address.clone()),
            ("up", format!("{up}, since {}", Timestamp(self.started))),
            ("memory", ByteSize::bytes(self.memory_bytes).to_string()),
            ("connections", self.connections.to_string()),
            (
                "topics",
                format!("{}, {} partitions", self.topics, grouped(u64::from(self.partitions))),
            ),
            ("logs", ByteSize::bytes(self.log_bytes).to_string()),
            ("disk", self.storage.disk()),
            ("written", self.storage.written()),
            (
                "records",
                format!(
                    "{} taken, {} stored",
                    grouped(self.records_in),
                    grouped(self.records_stored)
                ),
            ),
        ]);
        if !self.sealed.is_empty() {
            let rows = self
                .sealed
                .iter()
                .map(|log| [log.topic.clone(), log.partition.to_string(), log.reason.clone()]);
            text.push('\n');
            text.push_str(&table(["sealed log", "partition", "reason"], &[1], rows));
            text.push('\n');
        }
        text.push_str(&self.storage.problems());
        if !self.damaged.is_empty() {
            text.push('\n');
            text.push_str(&RangeView::table("damaged log", &self.damaged));
            text.push('\n');
        }
        if !self.attachments.is_empty() {
            text.push('\n');
            text.push_str(&AttachedView::table(&self.attachments));
            text.push('\n');
        }
        if !self.links.is_empty() {
            text.push('\n');
            text.push_str(&link_table(&self.links));
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_types::{NodeId, PartitionId};

    fn sample() -> StatusView {
        StatusView::from(NodeStatus {
            node: NodeId(3),
            site: "edge".parse().unwrap(),
            software: "tidegate 0.1.0".into(),
            address: "127.0.0.1:9640".into(),
            started: Timestamp(1_000),
            memory: ByteSize::mib(20),
            connections: 1,
            topics: 2,
            partitions: 4,
            log_bytes: ByteSize::gib(1),
            records_in: 1_000_000,
            records_stored: 999_999,
            sealed: vec![SealedLog {
                topic: "orders".parse().unwrap(),
                partition: PartitionId(1),
                reason: "input/output error".into(),
            }],
            damaged: vec![],
            storage: crate::views::storage::tests::sample(),
            attachments: vec![crate::views::attachment::tests::sample_status()],
            links: vec![],
        })
    }

    #[test]
    fn the_table_tells_sealed_logs_and_plugins() {
        let text = sample().table(Timestamp(76_000));
        for part in [
            "1 min 15 s",
            "20 MiB",
            "1,000,000 taken, 999,999 stored",
            "input/output error",
            "1 GiB of 4 GiB free",
            "threshold",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn json_has_bare_numbers() {
        let json = serde_json::to_value(sample()).unwrap();
        assert_eq!(json["memory_bytes"], 20 << 20);
        assert_eq!(json["started"], 1_000);
        assert_eq!(json["sealed"][0]["partition"], 1);
    }
}
