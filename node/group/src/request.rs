//! What clients ask, as the gateway hands it on: without versions, with types.
//!
//! Where versions of Kafka's requests differ, a flag says what the client can do.

use std::time::Duration;

use bytes::Bytes;
use tidegate_types::{LeaderEpoch, Offset, PartitionId, TopicId};
use uuid::Uuid;

/// A request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// JoinGroup.
    Join(Join),
    /// SyncGroup.
    Sync(Sync),
    /// Heartbeat.
    Heartbeat(Heartbeat),
    /// LeaveGroup.
    Leave(Leave),
    /// ConsumerGroupHeartbeat.
    ConsumerHeartbeat(ConsumerHeartbeat),
    /// OffsetCommit.
    Commit(Commit),
    /// OffsetFetch, of one group.
    FetchOffsets(FetchOffsets),
    /// OffsetDelete.
    DeleteOffsets(DeleteOffsets),
    /// DeleteGroups, of one group.
    DeleteGroup(DeleteGroup),
    /// ListGroups.
    List(List),
    /// DescribeGroups.
    Describe(Describe),
    /// ConsumerGroupDescribe.
    DescribeConsumer(Describe),
    /// All about one group of any kind, for people.
    View(View),
}

/// Who asks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Client {
    /// What the client calls itself.
    pub id: String,
    /// Its address, as Kafka prints it: `/127.0.0.1`.
    pub host: String,
}

/// A protocol that a classic member offers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Protocol {
    /// Its name, as `range` or `cooperative-sticky`.
    pub name: String,
    /// What its assignor wants to know; not looked into.
    pub metadata: Bytes,
}

/// Joins a classic group, or joins it anew for the next generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Join {
    /// The group.
    pub group: String,
    /// Empty for a new member.
    pub member_id: String,
    /// Set for a static member.
    pub instance_id: Option<String>,
    /// Who asks.
    pub client: Client,
    /// A random id that the driver draws; the member's own if it is new.
    pub fresh: Uuid,
    /// How long the member may be silent.
    pub session_timeout: Duration,
    /// How long it may take to join anew; the session timeout in version 0.
    pub rebalance_timeout: Duration,
    /// The kind of group, as `consumer` or `connect`.
    pub protocol_type: String,
    /// What it offers, the most wanted first.
    pub protocols: Vec<Protocol>,
    /// Whether a new member can join again with an id that it is given (version 4 and later).
    pub can_learn_id: bool,
    /// Whether a leader can be told not to assign (version 9 and later).
    pub can_skip_assignment: bool,
}

/// Fetches an assignment; the leader brings all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sync {
    /// The group.
    pub group: String,
    /// As the join said.
    pub generation: i32,
    /// As the join said.
    pub member_id: String,
    /// Set for a static member.
    pub instance_id: Option<String>,
    /// As the join said, where the client repeats it.
    pub protocol_type: Option<String>,
    /// As the join said, where the client repeats it.
    pub protocol: Option<String>,
    /// From the leader: the assignment of each member.
    pub assignments: Vec<(String, Bytes)>,
}

/// Says that a classic member is alive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heartbeat {
    /// The group.
    pub group: String,
    /// The member's generation.
    pub generation: i32,
    /// The member.
    pub member_id: String,
    /// Set for a static member.
    pub instance_id: Option<String>,
}

/// Takes members out of a classic group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leave {
    /// The group.
    pub group: String,
    /// Who leaves.
    pub members: Vec<LeavingMember>,
}

/// One who leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeavingMember {
    /// The member; empty where the instance id alone says who.
    pub member_id: String,
    /// Set for a static member.
    pub instance_id: Option<String>,
}

/// Joins, keeps up, or leaves a consumer group (KIP-848).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerHeartbeat {
    /// The group.
    pub group: String,
    /// The member; empty for a new one that is given its id (version 0).
    pub member_id: String,
    /// 0 joins, -1 leaves, -2 leaves for a while (static members).
    pub member_epoch: i32,
    /// Set for a static member.
    pub instance_id: Option<String>,
    /// Who asks.
    pub client: Client,
    /// A random id that the driver draws; the member's own if it has none.
    pub fresh: Uuid,
    /// Whether the client makes its own id (version 1 and later).
    pub has_own_id: bool,
    /// How long it may take to give up partitions; `None` if unchanged.
    pub rebalance_timeout: Option<Duration>,
    /// The topics it reads; `None` if unchanged.
    pub topics: Option<Vec<String>>,
    /// A regular expression of topics that it reads; `None` if unchanged, empty for none.
    pub regex: Option<String>,
    /// The assignor that it wants; `None` if unchanged or any.
    pub assignor: Option<String>,
    /// The partitions that it owns; `None` if unchanged.
    pub owned: Option<Vec<(TopicId, Vec<PartitionId>)>>,
}

/// Commits offsets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    /// The group.
    pub group: String,
    /// The member; empty for whoever is none.
    pub member_id: String,
    /// Set for a static member of a classic group.
    pub instance_id: Option<String>,
    /// The member's generation or epoch; -1 for whoever is none.
    pub generation: i32,
    /// Whether the client knows of epochs (version 9 and later).
    pub knows_epochs: bool,
    /// How long the offsets are to be kept, where the client says so (versions 2 to 4).
    pub retention: Option<Duration>,
    /// By topic, the offsets.
    pub topics: Vec<(String, Vec<CommitPartition>)>,
}

/// One offset to commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitPartition {
    /// The partition.
    pub partition: PartitionId,
    /// The next record to read.
    pub offset: Offset,
    /// Of the last record read, where known.
    pub leader_epoch: LeaderEpoch,
    /// Anything that the client wants back.
    pub metadata: Option<String>,
}

/// Asks for committed offsets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchOffsets {
    /// The group.
    pub group: String,
    /// The member, where the client says so (version 9 and later).
    pub member_id: Option<String>,
    /// Its epoch; -1 where the client does not say.
    pub member_epoch: i32,
    /// Whether offsets with a commit under way are refused rather than told as they were.
    pub require_stable: bool,
    /// Which partitions; `None` for all.
    pub topics: Option<Vec<(String, Vec<PartitionId>)>>,
}

/// Deletes committed offsets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeleteOffsets {
    /// The group.
    pub group: String,
    /// Which partitions.
    pub topics: Vec<(String, Vec<PartitionId>)>,
}

/// Deletes a group, offsets and all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeleteGroup {
    /// Which.
    pub group: String,
}

/// Lists groups.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct List {
    /// Those in one of these states, in any case of letters; all if there are none.
    pub states: Vec<String>,
    /// Those of one of these kinds (`classic`, `consumer`); all if there are none.
    pub kinds: Vec<String>,
}

/// Describes groups of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Describe {
    /// Which.
    pub groups: Vec<String>,
}

/// Describes a group of any kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// Which.
    pub group: String,
}
