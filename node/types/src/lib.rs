//! Ids, offsets, epochs, names, sizes and limits shared by every crate.
//!
//! Everything here is plain data: no IO, no async, no clock. A value that
//! exists is valid; whatever comes from outside passes through a fallible
//! constructor that says what was wrong.

mod ids;
mod key_partition;
mod keyword;
pub mod limits;
mod limits_relations;
mod log_policy;
mod name;
mod noted;
mod plugin_hash;
mod position;
mod public_key;
mod record_policy;
mod size;
mod spec;
mod time;
mod topic_config;

pub use ids::{
    Incarnation, LeaderEpoch, NodeId, Offset, PartitionId, ProducerEpoch, ProducerId,
    ProducerStamp, Sequence, TopicId, TopicPartition,
};
pub use key_partition::key_partition;
pub use keyword::ParseKeywordError;
pub use log_policy::{Cleanup, LogPolicy, SettingError, WhenFull};
pub use name::{LinkName, NameError, PluginName, SiteName, TopicName};
pub use noted::{NOTED, Noted};
pub use plugin_hash::{ParseHashError, PluginHash};
pub use position::{Acks, ParseAcksError, ParseStartPositionError, StartPosition};
pub use public_key::{ParseKeyError, PublicKey, Publisher};
pub use record_policy::{MessageTime, RecordPolicy};
pub use size::{ByteSize, ParseSizeError};
pub use spec::{
    Attachment, Canary, DeriveSpec, Flush, Hook, LinkSpec, PluginKind, PluginLimits, PluginVersion,
    PoisonPolicy, Previous, Secret,
};
pub use time::{ParseDurationError, Timestamp, format_duration, parse_duration};
pub use topic_config::TopicConfig;
