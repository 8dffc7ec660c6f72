//! Consumer groups, as people look at them.

use serde::{Deserialize, Serialize};
use tidegate_types::{Offset, PartitionId, Timestamp};

/// How a group's members agree on who reads what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum GroupKind {
    /// By a leader among them.
    Classic,
    /// By the node.
    Consumer,
}

/// Groups, as many as one answer holds.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct GroupList {
    /// By name.
    pub groups: Vec<GroupSummary>,
    /// How many more there are.
    pub left_out: u64,
}

/// A group in a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupSummary {
    /// Its name.
    pub group: String,
    /// Its kind.
    pub kind: GroupKind,
    /// Its state, by Kafka's name.
    pub state: String,
    /// `consumer` or another; empty for a group that only has offsets.
    pub protocol_type: String,
}

/// A group with its members and offsets, as many as one answer holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupDescription {
    /// Its name, kind and state.
    pub summary: GroupSummary,
    /// The generation, or the group's epoch.
    pub generation: i32,
    /// How partitions are assigned; empty where that is not agreed on.
    pub assignor: String,
    /// Its members.
    pub members: Vec<GroupMember>,
    /// How many more members there are.
    pub members_left_out: u64,
    /// What it committed, and where it reads.
    pub offsets: Vec<GroupOffset>,
    /// How many more partitions there are.
    pub offsets_left_out: u64,
}

/// A member of a group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupMember {
    /// Its id.
    pub member: String,
    /// Set for a static member.
    pub instance: Option<String>,
    /// What its client calls itself.
    pub client: String,
    /// Its client's address.
    pub host: String,
    /// What it reads; `None` where only the members know.
    pub assigned: Option<Vec<MemberTopic>>,
}

/// Partitions of one topic that a member reads.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemberTopic {
    /// The topic, which may be gone.
    pub topic: String,
    /// Its partitions.
    pub partitions: Vec<PartitionId>,
}

/// Where a group stands in one partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupOffset {
    /// The topic, which may be gone.
    pub topic: String,
    /// The partition.
    pub partition: PartitionId,
    /// The next record that it reads; `None` if it committed nothing.
    pub committed: Option<Offset>,
    /// When it committed that.
    pub committed_at: Option<Timestamp>,
    /// End of what consumers may see; `None` where there is no such partition.
    pub high_watermark: Option<Offset>,
    /// The member that reads it, if any is known to.
    pub member: Option<String>,
}

impl GroupOffset {
    /// Offsets that the group has not read yet; `None` where that is not known.
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        let behind = self.high_watermark?.get().saturating_sub(self.committed?.get());
        Some(u64::try_from(behind).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_known_where_both_ends_are_and_never_below_zero() {
        let at = |committed: Option<i64>, end: Option<i64>| GroupOffset {
            topic: "orders".to_owned(),
            partition: PartitionId(0),
            committed: committed.map(Offset),
            committed_at: None,
            high_watermark: end.map(Offset),
            member: None,
        };
        assert_eq!(at(Some(3), Some(10)).lag(), Some(7));
        assert_eq!(at(Some(11), Some(10)).lag(), Some(0));
        assert_eq!(at(None, Some(10)).lag(), None);
        assert_eq!(at(Some(3), None).lag(), None);
        assert_eq!(at(Some(-5), Some(i64::MAX)).lag(), Some(i64::MAX as u64));
    }
}
