//! The copy from one site to another: handshake per partition, batches, cumulative progress.

use serde::{Deserialize, Serialize};
use tidegate_types::{
    Incarnation, LeaderEpoch, LinkName, Offset, PartitionId, SiteName, TopicConfig, TopicId,
    TopicName, TopicPartition,
};

use super::ErrorBody;

/// Begins a copy of topics to the site that is called.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenMirror {
    /// Name of the link at the source, for logs.
    pub link: LinkName,
    /// The source's site; must be the one in its certificate.
    pub site: SiteName,
    /// What is to be copied.
    pub topics: Vec<MirrorTopic>,
}

/// One topic at the source.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MirrorTopic {
    /// Its name at the source.
    pub name: TopicName,
    /// Its id at the source, which the mirror takes over.
    pub id: TopicId,
    /// Its settings.
    pub config: TopicConfig,
    /// Its partitions.
    pub partitions: Vec<MirrorPartition>,
}

/// State of one partition at the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MirrorPartition {
    /// The partition.
    pub partition: PartitionId,
    /// Which life of the log this is.
    pub incarnation: Incarnation,
    /// First offset that the source still has.
    pub start: Offset,
    /// End of what may be copied: the source's high watermark.
    pub end: Offset,
    /// Leader epoch of the last record below `end`.
    pub last_epoch: LeaderEpoch,
}

/// The destination's answer for one partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MirrorAnswer {
    /// The partition, by the source's topic id.
    pub at: TopicPartition,
    /// What to do.
    pub verdict: MirrorVerdict,
}

/// Whether and from where a partition is copied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum MirrorVerdict {
    /// Send from the copy's durable end.
    Resume {
        /// The copy's durable end.
        from: Offset,
    },
    /// The copy holds records that the source does not.
    Diverged {
        /// The copy's durable end.
        copy_end: Offset,
        /// The copy's last epoch.
        copy_epoch: LeaderEpoch,
    },
    /// The source no longer has what the copy needs next.
    Gap {
        /// The copy's durable end.
        copy_end: Offset,
        /// First offset at the source.
        source_start: Offset,
    },
    /// The copy is of an earlier life of this log.
    OtherIncarnation {
        /// The life that it is a copy of.
        copied: Incarnation,
    },
    /// The destination cannot take it.
    Refused(ErrorBody),
}

/// Header of a run of batches of one partition; the payload is whole batches, back to back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MirrorBatches {
    /// The partition, by the source's topic id.
    pub at: TopicPartition,
    /// Where the run before this one ended, or where the copy resumed. The first batch may begin
    /// later, where compaction left a hole; a run that was lost on the way shows here.
    pub from: Offset,
    /// The source's high watermark, so that the destination can tell its lag.
    pub source_end: Offset,
}

/// How far one copy is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MirrorProgress {
    /// The partition, by the source's topic id.
    pub at: TopicPartition,
    /// The copy's durable end.
    pub durable: Offset,
}

/// What the destination says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum MirrorReply {
    /// Answers to [`OpenMirror`], one per partition.
    Ready(Vec<MirrorAnswer>),
    /// Everything below these offsets is durable there.
    Progress(Vec<MirrorProgress>),
    /// One partition cannot go on; the others do.
    PartitionFailed {
        /// The partition.
        at: TopicPartition,
        /// Why.
        error: ErrorBody,
    },
    /// The copy is over.
    Failed(ErrorBody),
}
