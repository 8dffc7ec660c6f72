//! What a version of a plugin would do to records that are there, told without doing it.

use serde::{Deserialize, Serialize};
use tidegate_types::{Hook, Offset, PartitionId, PluginHash, PluginName, StartPosition, TopicName};

/// Asks what a version of a plugin would make of a topic's records.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DryRunRequest {
    /// The topic.
    pub topic: TopicName,
    /// The hook at which it is or would be attached.
    pub hook: Hook,
    /// The plugin.
    pub plugin: PluginName,
    /// The version to try; the newest where `None`.
    pub hash: Option<PluginHash>,
    /// Its configuration, JSON text; that of what is attached where `None`.
    pub config: Option<String>,
    /// The partition; all of them where `None`.
    pub partition: Option<PartitionId>,
    /// The first record of each partition.
    pub from: StartPosition,
    /// Most records, of all partitions together.
    pub records: u64,
    /// Most samples of records that meet another fate.
    pub samples: u32,
}

/// What it would make of them, beside what is attached makes of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DryRunReport {
    /// What is attached; every record is kept where nothing is.
    pub before: Option<DryRunSide>,
    /// What was tried.
    pub after: DryRunSide,
    /// The offsets that were run: partition, first, and the one after the last.
    pub ranges: Vec<(PartitionId, Offset, Offset)>,
    /// Records that were run.
    pub records: u64,
    /// Of those, records that meet another fate.
    pub different: u64,
    /// The first of them.
    pub samples: Vec<DryRunSample>,
    /// Whether it ended for want of time, not of records.
    pub cut_short: bool,
}

/// One of the two versions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DryRunSide {
    /// The version.
    pub hash: PluginHash,
    /// What became of the records.
    pub fates: FateCounts,
    /// Time spent in it, in nanoseconds.
    pub busy_ns: u64,
}

/// How many records met which fate.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct FateCounts {
    /// Unchanged, perhaps in another partition.
    pub kept: u64,
    /// Nothing is left of them.
    pub dropped: u64,
    /// With another value.
    pub replaced: u64,
    /// Replaced by other records.
    pub emitted: u64,
    /// The plugin failed over them.
    pub failed: u64,
    /// Refused with their batch.
    pub rejected: u64,
}

/// A record that meets another fate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DryRunSample {
    /// Its partition.
    pub partition: PartitionId,
    /// Its offset.
    pub offset: Offset,
    /// The record: JSON text, cut where it is long, as the two fates are.
    pub record: String,
    /// What became of it; `None` where nothing is attached.
    pub before: Option<String>,
    /// What would become of it.
    pub after: String,
}
