//! What clients are answered.

use std::time::Duration;

use bytes::Bytes;
use tidegate_types::{LeaderEpoch, Offset, PartitionId, Timestamp, TopicId};

use crate::GroupError;
use crate::request::{LeavingMember, Request};

/// An answer; of the same kind as its request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Response {
    /// To [`Request::Join`].
    Join(Result<Joined, JoinRefused>),
    /// To [`Request::Sync`].
    Sync(Result<Synced, GroupError>),
    /// To [`Request::Heartbeat`].
    Heartbeat(Result<(), GroupError>),
    /// To [`Request::Leave`].
    Leave(Result<Vec<Left>, GroupError>),
    /// To [`Request::ConsumerHeartbeat`].
    ConsumerHeartbeat(Result<ConsumerHeartbeatReply, GroupError>),
    /// To [`Request::Commit`].
    Commit(Result<PerPartition<()>, GroupError>),
    /// To [`Request::FetchOffsets`]; without an offset where there is none.
    FetchOffsets(Result<PerPartition<Option<CommittedOffset>>, GroupError>),
    /// To [`Request::DeleteOffsets`].
    DeleteOffsets(Result<PerPartition<()>, GroupError>),
    /// To [`Request::DeleteGroup`].
    DeleteGroup(Result<(), GroupError>),
    /// To [`Request::List`].
    List(Result<Vec<ListedGroup>, GroupError>),
    /// To [`Request::Describe`], in the order asked.
    Describe(Vec<(String, Result<ClassicDescription, GroupError>)>),
    /// To [`Request::DescribeConsumer`], in the order asked.
    DescribeConsumer(Vec<(String, Result<ConsumerDescription, GroupError>)>),
    /// To [`Request::View`].
    View(Result<GroupView, GroupError>),
}

/// Who was to leave, and what came of it.
pub type Left = (LeavingMember, Result<(), GroupError>);

/// By topic, what came of each partition.
pub type PerPartition<T> = Vec<(String, Vec<(PartitionId, Result<T, GroupError>)>)>;

/// A member is in the group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Joined {
    /// Its id.
    pub member_id: String,
    /// The generation.
    pub generation: i32,
    /// The kind of group.
    pub protocol_type: Option<String>,
    /// The protocol that was chosen.
    pub protocol: Option<String>,
    /// Who assigns.
    pub leader: String,
    /// Whether the leader is to leave the assignments as they are.
    pub skip_assignment: bool,
    /// To the leader: everyone.
    pub members: Vec<JoinedMember>,
}

/// A member as its leader sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: String,
    /// Set for a static member.
    pub instance_id: Option<String>,
    /// What it offered for the protocol that was chosen.
    pub metadata: Bytes,
}

/// A member is not in the group (yet).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinRefused {
    /// Why.
    pub error: GroupError,
    /// The id to join with, if it is [`GroupError::MemberIdRequired`].
    pub member_id: String,
}

/// A member's assignment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Synced {
    /// The kind of group.
    pub protocol_type: Option<String>,
    /// The protocol that was chosen.
    pub protocol: Option<String>,
    /// What the leader gave it, byte for byte; empty if it gave nothing.
    pub assignment: Bytes,
}

/// Where a member of a consumer group stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerHeartbeatReply {
    /// Its id.
    pub member_id: String,
    /// Its epoch.
    pub member_epoch: i32,
    /// When it should speak again.
    pub heartbeat_interval: Duration,
    /// The partitions that it may own; `None` if nothing changed.
    pub assignment: Option<Vec<(TopicId, Vec<PartitionId>)>>,
}

/// A committed offset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommittedOffset {
    /// The next record to read.
    pub offset: Offset,
    /// Of the last record read, where known.
    pub leader_epoch: LeaderEpoch,
    /// What the client gave with it.
    pub metadata: String,
    /// When, by the time of day.
    pub committed_at: Timestamp,
}

/// How a group's members agree on who reads what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupKind {
    /// By a leader among them (JoinGroup, SyncGroup).
    Classic,
    /// By the coordinator (KIP-848).
    Consumer,
}

impl GroupKind {
    /// As Kafka prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            GroupKind::Classic => "Classic",
            GroupKind::Consumer => "Consumer",
        }
    }
}

/// A line of a list of groups.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedGroup {
    /// The group.
    pub group: String,
    /// Its kind.
    pub kind: GroupKind,
    /// `consumer` or another; empty for a group that only has offsets.
    pub protocol_type: String,
    /// Its state, as Kafka prints it.
    pub state: &'static str,
}

/// A classic group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassicDescription {
    /// Its state, as Kafka prints it.
    pub state: &'static str,
    /// The kind of group; empty for one that only has offsets.
    pub protocol_type: String,
    /// The protocol that was chosen; empty unless the group is stable.
    pub protocol: String,
    /// The present generation.
    pub generation: i32,
    /// Its members.
    pub members: Vec<ClassicMember>,
}

/// A member of a classic group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassicMember {
    /// Its id.
    pub member_id: String,
    /// Set for a static member.
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Its client's address.
    pub client_host: String,
    /// What it offered; empty unless the group is stable.
    pub metadata: Bytes,
    /// What it was given; empty unless the group is stable.
    pub assignment: Bytes,
}

/// A consumer group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerDescription {
    /// Its state, as Kafka prints it.
    pub state: &'static str,
    /// Rises whenever what is to be assigned changes.
    pub group_epoch: i32,
    /// The epoch of the present target.
    pub assignment_epoch: i32,
    /// The assignor in use.
    pub assignor: &'static str,
    /// Its members.
    pub members: Vec<ConsumerMember>,
}

/// Partitions by topic.
pub type TopicPartitions = Vec<(TopicId, Vec<PartitionId>)>;

/// A member of a consumer group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerMember {
    /// Its id.
    pub member_id: String,
    /// Set for a static member.
    pub instance_id: Option<String>,
    /// Its epoch.
    pub member_epoch: i32,
    /// What its client calls itself.
    pub client_id: String,
    /// Its client's address.
    pub client_host: String,
    /// The topics that it names.
    pub topics: Vec<String>,
    /// The regular expression that it subscribes to; empty if none.
    pub regex: String,
    /// What it may own now.
    pub assignment: TopicPartitions,
    /// What it shall own.
    pub target: TopicPartitions,
}

/// All about a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupView {
    /// The group.
    pub group: String,
    /// Its state, members and what they read.
    pub detail: GroupDetail,
    /// What it committed.
    pub offsets: Vec<(String, Vec<(PartitionId, CommittedOffset)>)>,
}

/// What differs by kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupDetail {
    /// Of a classic group.
    Classic(ClassicDescription),
    /// Of a consumer group.
    Consumer(ConsumerDescription),
}

impl Response {
    /// The answer to a request of which nothing was done.
    pub(crate) fn refusal(request: Request, error: GroupError) -> Response {
        match request {
            Request::Join(join) => {
                Response::Join(Err(JoinRefused { error, member_id: join.member_id }))
            }
            Request::Sync(_) => Response::Sync(Err(error)),
            Request::Heartbeat(_) => Response::Heartbeat(Err(error)),
            Request::Leave(_) => Response::Leave(Err(error)),
            Request::ConsumerHeartbeat(_) => Response::ConsumerHeartbeat(Err(error)),
            Request::Commit(_) => Response::Commit(Err(error)),
            Request::FetchOffsets(_) => Response::FetchOffsets(Err(error)),
            Request::DeleteOffsets(_) => Response::DeleteOffsets(Err(error)),
            Request::DeleteGroup(_) => Response::DeleteGroup(Err(error)),
            Request::List(_) => Response::List(Err(error)),
            Request::Describe(request) => Response::Describe(each_refused(request.groups, &error)),
            Request::DescribeConsumer(request) => {
                Response::DescribeConsumer(each_refused(request.groups, &error))
            }
            Request::View(_) => Response::View(Err(error)),
        }
    }

    /// The same answer where what it says could not be stored. Refusals stay what they are.
    pub(crate) fn not_stored(self) -> Response {
        let error = GroupError::CoordinatorNotAvailable;
        match self {
            Response::Join(Ok(joined)) => {
                Response::Join(Err(JoinRefused { error, member_id: joined.member_id }))
            }
            Response::Sync(Ok(_)) => Response::Sync(Err(error)),
            Response::Heartbeat(Ok(())) => Response::Heartbeat(Err(error)),
            Response::Leave(Ok(_)) => Response::Leave(Err(error)),
            Response::ConsumerHeartbeat(Ok(_)) => Response::ConsumerHeartbeat(Err(error)),
            Response::Commit(Ok(_)) => Response::Commit(Err(error)),
            Response::DeleteOffsets(Ok(_)) => Response::DeleteOffsets(Err(error)),
            Response::DeleteGroup(Ok(())) => Response::DeleteGroup(Err(error)),
            refusal_or_read => refusal_or_read,
        }
    }
}

fn each_refused<T>(
    groups: Vec<String>,
    error: &GroupError,
) -> Vec<(String, Result<T, GroupError>)> {
    groups.into_iter().map(|group| (group, Err(error.clone()))).collect()
}
