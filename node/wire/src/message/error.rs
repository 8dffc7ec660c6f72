//! Errors as the other end sees them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of failure it was, for programs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// The caller speaks a version that this node does not.
    UnsupportedVersion,
    /// Bytes that are no frame, or a frame out of place.
    BadFrame,
    /// The certificate does not allow this.
    NotAuthorized,
    /// The request contradicts itself or a limit.
    InvalidRequest,
    /// No such topic.
    UnknownTopic,
    /// A topic of that name exists.
    TopicExists,
    /// The topic has no such partition.
    UnknownPartition,
    /// The topic is a mirror: only its link writes to it.
    ReadOnly,
    /// A batch that is damaged or breaks a rule.
    InvalidRecord,
    /// A batch over the limit.
    TooLarge,
    /// The producer's sequence leaves a gap.
    OutOfOrderSequence,
    /// A newer generation of this producer exists.
    ProducerFenced,
    /// No record at that offset.
    OffsetOutOfRange,
    /// The bytes at that offset are damaged.
    Damaged,
    /// The log failed to write or sync, and is sealed.
    LogSealed,
    /// A bound was reached; the sender should wait.
    Overloaded,
    /// A plugin refused the batch.
    RejectedByPlugin,
    /// A plugin failed on the batch, and its policy is to halt.
    HaltedByPlugin,
    /// No such plugin, or no such version.
    UnknownPlugin,
    /// A component that cannot be used as a plugin.
    InvalidPlugin,
    /// The plugin did not take its configuration.
    InvalidPluginConfig,
    /// The plugin is attached there.
    AttachmentExists,
    /// The plugin is not attached there.
    UnknownAttachment,
    /// The plugin is in use.
    PluginInUse,
    /// No such link.
    UnknownLink,
    /// A link of that name exists.
    LinkExists,
    /// The node is about to stop.
    ShuttingDown,
    /// A fault of the node; its log has the details.
    Internal,
    /// The disk is full; nothing was written.
    DiskFull,
    /// A batch whose bytes were changed on the way: its checksum is wrong.
    CorruptBatch,
    /// A record's timestamp is further from the node's clock than the topic allows.
    InvalidTimestamp,
    /// The topic asks for more replicas in sync than there are.
    NotEnoughReplicas,
    /// A name that no topic may have.
    InvalidName,
    /// A setting that does not exist, or cannot have this value.
    InvalidSetting,
    /// No such consumer group.
    UnknownGroup,
    /// The group has members, or reads the topic in question.
    GroupInUse,
}

/// An error with what the receiver needs to act on it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// For programs.
    pub code: ErrorCode,
    /// For people: what was wrong, with what, and what to do.
    pub message: String,
    /// Whether the same call may succeed later.
    pub retriable: bool,
    /// Whether something may have been written all the same.
    pub written: bool,
}

impl ErrorBody {
    /// A final error after which nothing was written.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> ErrorBody {
        ErrorBody { code, message: message.into(), retriable: false, written: false }
    }

    /// An error that may pass, after which nothing was written.
    pub fn retriable(code: ErrorCode, message: impl Into<String>) -> ErrorBody {
        ErrorBody { retriable: true, ..ErrorBody::new(code, message) }
    }
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ErrorBody {}
