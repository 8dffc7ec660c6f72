//! The disk under a node's logs.

use serde::Serialize;
use tidegate_types::ByteSize;
use tidegate_wire::{DamagedLog, DroppedLog, StorageStatus};

use crate::output::{grouped, table};

/// The disk, and what was done to it since the node started.
#[derive(Serialize, Debug)]
pub struct StorageView {
    free_bytes: u64,
    total_bytes: u64,
    full: Option<String>,
    accepted_bytes: u64,
    written_bytes: u64,
    /// Bytes written for each byte accepted; none before the first.
    write_amplification: Option<f64>,
    syncs: u64,
    open_files: u32,
    deleted_bytes: u64,
    compacted_bytes: u64,
    dropped: Vec<RangeView>,
    index_failure: Option<String>,
}

/// Offsets of a log that are gone.
#[derive(Serialize, Debug)]
pub struct RangeView {
    topic: String,
    partition: u32,
    first: i64,
    end: i64,
    /// Bytes that went, where they are known.
    bytes: Option<u64>,
}

impl From<StorageStatus> for StorageView {
    fn from(storage: StorageStatus) -> StorageView {
        let (accepted, written) = (storage.accepted.get(), storage.written.get());
        StorageView {
            free_bytes: storage.free.get(),
            total_bytes: storage.total.get(),
            full: storage.full,
            accepted_bytes: accepted,
            written_bytes: written,
            write_amplification: (accepted > 0)
                .then(|| (written as f64 / accepted as f64 * 100.0).round() / 100.0),
            syncs: storage.syncs,
            open_files: storage.open_files,
            deleted_bytes: storage.deleted.get(),
            compacted_bytes: storage.compacted.get(),
            dropped: storage.dropped.into_iter().map(RangeView::from).collect(),
            index_failure: storage.index_failure,
        }
    }
}

impl From<DamagedLog> for RangeView {
    fn from(log: DamagedLog) -> RangeView {
        RangeView {
            topic: log.topic.to_string(),
            partition: log.partition.get(),
            first: log.from.get(),
            end: log.end.get(),
            bytes: None,
        }
    }
}

impl From<DroppedLog> for RangeView {
    fn from(log: DroppedLog) -> RangeView {
        RangeView {
            topic: log.topic.to_string(),
            partition: log.partition.get(),
            first: log.from.get(),
            end: log.end.get(),
            bytes: Some(log.bytes.get()),
        }
    }
}

impl RangeView {
    /// Ranges, one a line; `what` heads the first column.
    pub fn table(what: &str, ranges: &[RangeView]) -> String {
        let rows = ranges.iter().map(|range| {
            [
                range.topic.clone(),
                range.partition.to_string(),
                format!("{} to {}", range.first, range.end),
                range.bytes.map(|bytes| ByteSize::bytes(bytes).to_string()).unwrap_or_default(),
            ]
        });
        table([what, "partition", "offsets", "size"], &[1, 3], rows)
    }
}

impl StorageView {
    /// Room on the disk.
    pub fn disk(&self) -> String {
        let [free, total] = [self.free_bytes, self.total_bytes].map(ByteSize::bytes);
        let full = if self.full.is_some() { ": full" } else { "" };
        format!("{free} of {total} free{full}")
    }

    /// What was written, and what of it was asked for.
    pub fn written(&self) -> String {
        let [written, accepted] = [self.written_bytes, self.accepted_bytes].map(ByteSize::bytes);
        let times = match self.write_amplification {
            Some(times) => format!(" ({times} times)"),
            None => String::new(),
        };
        format!("{written} for {accepted} of batches{times}, {} syncs", grouped(self.syncs))
    }

    /// What somebody should know; empty where all is well.
    pub fn problems(&self) -> String {
        let mut text = String::new();
        if let Some(full) = &self.full {
            text.push_str(&format!("\ndisk full: {full}\n"));
        }
        if let Some(reason) = &self.index_failure {
            text.push_str(&format!(
                "\nthe index is no longer written, the next start takes longer: {reason}\n"
            ));
        }
        if !self.dropped.is_empty() {
            text.push('\n');
            text.push_str(&RangeView::table("dropped to make room", &self.dropped));
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use tidegate_types::{Offset, PartitionId};

    /// A disk that is full.
    pub fn sample() -> StorageStatus {
        StorageStatus {
            free: ByteSize::gib(1),
            total: ByteSize::gib(4),
            full: Some("1 GiB is free and 2 GiB are kept in reserve".into()),
            accepted: ByteSize::mib(2),
            written: ByteSize::mib(5),
            syncs: 1_200,
            dropped: vec![DroppedLog {
                topic: "readings".parse().unwrap(),
                partition: PartitionId(3),
                from: Offset(10),
                end: Offset(90),
                bytes: ByteSize::kib(64),
            }],
            ..StorageStatus::default()
        }
    }

    #[test]
    fn a_full_disk_and_what_was_dropped_are_told() {
        let view = StorageView::from(sample());
        assert_eq!(view.disk(), "1 GiB of 4 GiB free: full");
        assert_eq!(view.written(), "5 MiB for 2 MiB of batches (2.5 times), 1,200 syncs");
        let problems = view.problems();
        for part in ["kept in reserve", "readings", "10 to 90", "64 KiB"] {
            assert!(problems.contains(part), "{part} is missing in\n{problems}");
        }
        assert_eq!(StorageView::from(StorageStatus::default()).problems(), "");
    }
}
