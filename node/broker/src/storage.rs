//! What the disk under the logs has to tell.

use std::sync::Arc;

use tidegate_types::ByteSize;
use tidegate_wire::{DroppedLog, StorageStatus};

use crate::Broker;
use crate::topic::Topic;

/// The disk, and what was done to it since the node started.
pub(crate) fn status(broker: &Broker, topics: &[Arc<Topic>]) -> StorageStatus {
    let cleaned = broker.logs.clean_stats();
    let removed = cleaned.trimmed.get() + cleaned.retained_out.get();
    StorageStatus {
        deleted: ByteSize::bytes(removed),
        dropped: dropped(topics),
        index_failure: broker.logs.index_failure(),
        ..StorageStatus::default()
    }
}

/// Logs that lost their oldest records to a full disk.
fn dropped(topics: &[Arc<Topic>]) -> Vec<DroppedLog> {
    let dropped = topics.iter().flat_map(|topic| {
        topic.partitions.iter().filter_map(|partition| {
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
