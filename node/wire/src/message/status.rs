//! How a node, its plugins and its links are doing.

use serde::{Deserialize, Serialize};
use tidegate_types::{
    Attachment, ByteSize, LinkName, NodeId, Offset, PartitionId, SiteName, Timestamp, TopicName,
};

/// A node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The node.
    pub node: NodeId,
    /// Its site.
    pub site: SiteName,
    /// Program and version.
    pub software: String,
    /// Address of its native listener.
    pub address: String,
    /// When it started.
    pub started: Timestamp,
    /// Its resident memory.
    pub memory: ByteSize,
    /// Open connections.
    pub connections: u32,
    /// Topics.
    pub topics: u32,
    /// Partitions of all topics.
    pub partitions: u32,
    /// Bytes of all logs on disk.
    pub log_bytes: ByteSize,
    /// Records taken from producers since the start.
    pub records_in: u64,
    /// Records written to logs since the start, dead letters among them.
    pub records_stored: u64,
    /// Logs that take no more writes.
    pub sealed: Vec<SealedLog>,
    /// Logs with records that cannot be read.
    pub damaged: Vec<DamagedLog>,
    /// The disk under the logs.
    pub storage: StorageStatus,
    /// Plugins at work.
    pub attachments: Vec<AttachmentStatus>,
    /// Links to other sites.
    pub links: Vec<LinkStatus>,
}

/// A log that failed to write or sync.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SealedLog {
    /// Its topic.
    pub topic: TopicName,
    /// Its partition.
    pub partition: PartitionId,
    /// The first failure.
    pub reason: String,
}

/// A log of which a part was lost.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DamagedLog {
    /// Its topic.
    pub topic: TopicName,
    /// Its partition.
    pub partition: PartitionId,
    /// First offset of the first damaged range.
    pub from: Offset,
    /// Offset after the last damaged range.
    pub end: Offset,
    /// How many ranges there are.
    pub ranges: u32,
}

/// The disk under the logs, and what was done to it since the node started.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StorageStatus {
    /// Room on the file system.
    pub free: ByteSize,
    /// Size of the file system.
    pub total: ByteSize,
    /// Why appends are refused, if they are: the disk is full.
    pub full: Option<String>,
    /// Bytes of batches that were appended.
    pub accepted: ByteSize,
    /// Bytes handed to the disk for them: logs with what is zeroed ahead, index, compaction. The
    /// file system's own journal is not among them.
    pub written: ByteSize,
    /// Syncs of files.
    pub syncs: u64,
    /// Segment files that are open for appends.
    pub open_files: u32,
    /// Bytes removed by retention and trims.
    pub deleted: ByteSize,
    /// Bytes removed by compaction.
    pub compacted: ByteSize,
    /// What was dropped to make room, per log.
    pub dropped: Vec<DroppedLog>,
    /// Why the index is no longer written, if it is not: the next start reads the logs instead.
    pub index_failure: Option<String>,
}

/// A log that lost its oldest records to a full disk, as it was told to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DroppedLog {
    /// Its topic.
    pub topic: TopicName,
    /// Its partition.
    pub partition: PartitionId,
    /// First offset of the range dropped last.
    pub from: Offset,
    /// Offset after that range.
    pub end: Offset,
    /// Bytes dropped since the node started.
    pub bytes: ByteSize,
}

/// A plugin on a topic's way, and how it does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AttachmentStatus {
    /// What was asked for.
    pub attachment: Attachment,
    /// What it did since the node started.
    pub stats: PluginStats,
    /// The last failure, in one line.
    pub last_error: Option<String>,
    /// Its last log lines, oldest first.
    pub log: Vec<String>,
    /// The partitions that this version has while it is on trial; empty where it has all that no
    /// other has.
    pub partitions: Vec<PartitionId>,
    /// Why it no longer runs, if it failed too often in a row.
    pub paused: Option<String>,
    /// How far it is, where it derives.
    pub derived: Vec<DerivePosition>,
}

/// How far a derivation is in one partition of what it derives from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DerivePosition {
    /// The partition.
    pub partition: PartitionId,
    /// The next offset that is derived.
    pub next: Offset,
    /// The high watermark.
    pub end: Offset,
    /// Bytes of the plugins' state.
    pub state: u64,
    /// Why it does not go on.
    pub waiting: Option<String>,
}

/// Counts since the node started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PluginStats {
    /// Batches seen.
    pub batches: u64,
    /// Records seen.
    pub records: u64,
    /// Records that it dropped.
    pub dropped: u64,
    /// Records whose value it replaced.
    pub rewritten: u64,
    /// Records that it emitted in place of others, or sent elsewhere.
    pub emitted: u64,
    /// Records on which it failed.
    pub failed: u64,
    /// Of those, records written to the dead-letter topic.
    pub dead_lettered: u64,
    /// Runs that ended in a trap or at a limit.
    pub traps: u64,
    /// Time spent in it, in nanoseconds.
    pub busy_ns: u64,
    /// Bytes of batches that came in.
    pub bytes_in: u64,
    /// Bytes of batches that went on in their place.
    pub bytes_out: u64,
    /// Most memory of any of its instances, in bytes.
    pub memory: u64,
}

/// Where a link stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// Dialling, or waiting to dial again.
    Connecting,
    /// Copying.
    Connected,
    /// Refused by the other site; tried again all the same.
    Refused,
}

/// A link.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkStatus {
    /// Its name.
    pub name: LinkName,
    /// The address that it dials.
    pub address: String,
    /// The other site, once it was reached.
    pub site: Option<SiteName>,
    /// Where it stands.
    pub state: LinkState,
    /// Since when.
    pub since: Timestamp,
    /// The last failure, in one line.
    pub last_error: Option<String>,
    /// Times that it was connected.
    pub connects: u64,
    /// Bytes of batches sent since the node started.
    pub bytes_sent: u64,
    /// Its topics.
    pub topics: Vec<TopicName>,
    /// Its partitions.
    pub partitions: Vec<LinkPartitionStatus>,
}

/// One partition of a link.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkPartitionStatus {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// The source's high watermark.
    pub source_end: Offset,
    /// How far the copy is durable; `None` until the other site said so.
    pub copied: Option<Offset>,
    /// Why it is not copied, if it is not.
    pub problem: Option<String>,
}
