//! What the two ends say to each other, stream by stream.
//!
//! The initiator opens a bidirectional stream and sends one [`Open`]; its variant says which of
//! the exchanges below follows. The first stream of a connection must carry [`Open::Hello`].
//!
//! | stream | initiator sends, after [`Open`] | the node answers |
//! | --- | --- | --- |
//! | hello | nothing | one [`HelloReply`] |
//! | produce | [`ProduceBatch`] and one batch as payload, any number | [`ProduceReply`], acks in order |
//! | subscribe | nothing; closing the stream ends it | [`SubscribeReply`], pushed |
//! | request | nothing (a payload may come with the request) | one [`Response`] |
//! | mirror | [`MirrorBatches`] and batches as payload | [`MirrorReply`] |

mod admin;
mod dry_run;
mod error;
mod group;
mod mirror;
mod produce;
mod status;
mod subscribe;

use serde::{Deserialize, Serialize};
use tidegate_types::{NodeId, SiteName};

pub use admin::{
    AttachRequest, InitProducer, InstallReport, Invitation, PartitionDescription,
    PluginDescription, ProducerIdentity, Request, Response, TopicDescription,
};
pub use dry_run::{DryRunReport, DryRunRequest, DryRunSample, DryRunSide, FateCounts};
pub use error::{ErrorBody, ErrorCode};
pub use group::{
    GroupDescription, GroupKind, GroupList, GroupMember, GroupOffset, GroupSummary, MemberTopic,
};
pub use mirror::{
    MirrorAnswer, MirrorBatches, MirrorPartition, MirrorProgress, MirrorReply, MirrorTopic,
    MirrorVerdict, OpenMirror,
};
pub use produce::{BatchAck, OpenProduce, ProduceBatch, ProduceReply};
pub use status::{
    AttachmentStatus, DamagedLog, DerivePosition, DroppedLog, LinkPartitionStatus, LinkState,
    LinkStatus, NodeStatus, PluginStats, SealedLog, StorageStatus,
};
pub use subscribe::{OpenSubscribe, PartitionStart, SubscribeReply};

/// TLS application protocol (ALPN) of this protocol.
pub const ALPN: &[u8] = b"tidegate/1";

/// First bytes of every hello, so that a stranger is told apart from an old version.
pub const MAGIC: u32 = 0x5449_4447;

/// Version that this code speaks.
pub const VERSION: u16 = 1;

/// First frame of every stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Open {
    /// Begins the connection.
    Hello(Hello),
    /// Begins a produce session.
    Produce(OpenProduce),
    /// Begins a subscription.
    Subscribe(OpenSubscribe),
    /// Asks once.
    Request(Request),
    /// Begins a copy to this site.
    Mirror(OpenMirror),
}

/// Who is calling, in which version. This layout never changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// [`MAGIC`].
    pub magic: u32,
    /// Version that the caller wants to speak.
    pub version: u16,
    /// Optional features that it knows, one bit each; none are defined yet.
    pub features: u64,
    /// Program and version, for logs.
    pub software: String,
}

/// Answer to [`Hello`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum HelloReply {
    /// The connection may be used.
    Welcome {
        /// Version that both speak.
        version: u16,
        /// Features that both know.
        features: u64,
        /// The node reached.
        node: NodeId,
        /// Its site.
        site: SiteName,
        /// Program and version of the node.
        software: String,
    },
    /// It may not.
    Refused(ErrorBody),
}
