//! What the disk under the logs has to tell.

use std::sync::Arc;

use tidegate_types::ByteSize;
use tidegate_wire::{DroppedLog, StorageStatus};

use crate::Broker;
use crate::topic::Topic;

/// The disk, and what was done to it since the node started.
pub(crate) fn status(broker: &Broker, topics: &[Arc<Topic>]) -> StorageStatus {
    let stats = broker.logs.stats();
    let cleaned = broker.logs.clean_stats();
    let removed = cleaned.trimmed.get() + cleaned.retained_out.get();
    StorageStatus {
        free: stats.space.map(|space| space.free).unwrap_or_default(),
        total: stats.space.map(|space| space.total).unwrap_or_default(),
        full: stats.full,
        accepted: stats.accepted,
        written: stats.written,
        syncs: stats.syncs,
        open_files: stats.open_files,
        deleted: ByteSize::bytes(removed),
        compacted: cleaned.compacted,
        dropped: dropped(topics),
        index_failure: stats.index_failure,
    }
}

/// Logs that lost their oldest records to a full disk.
fn dropped(topics: &[Arc<Topic>]) -> Vec<DroppedLog> {
    let dropped = topics.iter().flat_map(|topic| {
        topic.partitions().into_iter().filter_map(|partition| {
            let dropped = partition.log.dropped()?;
            Some(DroppedLog {
                topic: topic.name.clone(),
                partition: partition.at.partition,
                from: dropped.last.from,
                end: dropped.last.end,
                bytes: dropped.bytes,
            })
        })
    });
    dropped.collect()
}
