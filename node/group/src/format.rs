//! The records that hold a coordinator's state: keys and values of a compacted topic.
//!
//! Keys and values alike are a version byte, 1 now, and a postcard value. A record replaces the one
//! before it with the same key; one without a value takes it away. The records of one step of a
//! group lie in one batch, so that they are there together or not at all.
//!
//! | key | value |
//! | --- | --- |
//! | [`Key::Classic`] | [`ClassicValue`]: the group and all its members |
//! | [`Key::Consumer`] | [`ConsumerValue`]: the group's epoch |
//! | [`Key::ConsumerMember`] | [`ConsumerMemberValue`]: who it is, what it subscribes to |
//! | [`Key::ConsumerAssignment`] | [`ConsumerAssignmentValue`]: its epoch and partitions |
//! | [`Key::Offset`] | [`OffsetValue`]: one committed offset |
//! | [`Key::Uptime`] | [`UptimeValue`]: running time so far |
//!
//! The order of the variants and fields is the format. What cannot be rebuilt is stored and nothing
//! else: members that have not finished joining, and the targets of consumer groups, are not.

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tidegate_types::{LeaderEpoch, Offset, PartitionId, TopicId};

use crate::time::Stamp;

const VERSION: u8 = 1;

/// A record that is not one of ours.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FormatError {
    /// Written by a program that knows more than this one.
    #[error("a group record has version {found}, this program knows {VERSION} only")]
    Version {
        /// What it says.
        found: u8,
    },
    /// Cut, damaged, or something else.
    #[error("the {what} of a group record cannot be read")]
    Damaged {
        /// Key or value.
        what: &'static str,
    },
    /// Whole, but such a thing cannot be.
    #[error("a group record contradicts itself: {problem}")]
    Contradiction {
        /// What is wrong.
        problem: &'static str,
    },
}

/// Which thing a record tells of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) enum Key {
    Classic { group: String },
    Consumer { group: String },
    ConsumerMember { group: String, member: String },
    ConsumerAssignment { group: String, member: String },
    Offset { group: String, topic: String, partition: PartitionId },
    Uptime,
}

/// A classic group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ClassicValue {
    pub(crate) phase: StoredPhase,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: Option<String>,
    /// Since when it is in this phase.
    pub(crate) since: Stamp,
    pub(crate) members: Vec<ClassicMemberValue>,
}

/// Where a classic group stands between two rebalances.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum StoredPhase {
    Empty,
    /// The members of the generation are known, their assignments are not.
    Completing,
    Stable,
}

/// A member of a classic group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ClassicMemberValue {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) protocols: Vec<(String, Bytes)>,
    pub(crate) assignment: Bytes,
}

/// A consumer group, without its members.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ConsumerValue {
    pub(crate) epoch: i32,
    /// Since when it is empty, or not.
    pub(crate) since: Stamp,
}

/// A member of a consumer group: what seldom changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ConsumerMemberValue {
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) topics: Vec<String>,
    pub(crate) regex: String,
    pub(crate) assignor: Option<String>,
}

/// A member of a consumer group: what every rebalance changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ConsumerAssignmentValue {
    pub(crate) epoch: i32,
    pub(crate) previous_epoch: i32,
    pub(crate) state: StoredMemberState,
    /// By topic, its partitions, each with the epoch in which the member got it.
    pub(crate) assigned: Vec<(TopicId, Vec<(PartitionId, i32)>)>,
    /// What it was told to give up and has not yet.
    pub(crate) revoking: Vec<(TopicId, Vec<(PartitionId, i32)>)>,
}

/// How far a member is on its way to its target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum StoredMemberState {
    Stable,
    UnrevokedPartitions,
    UnreleasedPartitions,
}

/// A committed offset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct OffsetValue {
    pub(crate) offset: Offset,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) metadata: String,
    /// The topic's id as it was committed, if there was such a topic.
    pub(crate) topic: Option<TopicId>,
    pub(crate) committed: Stamp,
    /// How long it is kept after that, if the client said so.
    pub(crate) retention: Option<Duration>,
}

/// How long coordinators over these records have run, at the least.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct UptimeValue {
    pub(crate) uptime: Duration,
}

/// A record, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    Classic { group: String, value: Option<ClassicValue> },
    Consumer { group: String, value: Option<ConsumerValue> },
    ConsumerMember { group: String, member: String, value: Option<ConsumerMemberValue> },
    ConsumerAssignment { group: String, member: String, value: Option<ConsumerAssignmentValue> },
    Offset { group: String, topic: String, partition: PartitionId, value: Option<OffsetValue> },
    Uptime { value: Option<UptimeValue> },
}

/// The bytes of a key or a value.
///
/// Postcard refuses only sequences of unknown length, and there are none in these types.
pub(crate) fn encode<T: Serialize>(value: &T) -> Bytes {
    let bytes = vec![VERSION];
    match postcard::to_extend(value, bytes) {
        Ok(bytes) => bytes.into(),
        Err(error) => unreachable!("a group record was not encoded: {error}"),
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, FormatError> {
    let (version, body) = bytes.split_first().ok_or(FormatError::Damaged { what })?;
    if *version != VERSION {
        return Err(FormatError::Version { found: *version });
    }
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => Err(FormatError::Damaged { what }),
    }
}

/// Reads a record.
pub(crate) fn decode_record(key: &[u8], value: Option<&[u8]>) -> Result<Entry, FormatError> {
    fn read<T: DeserializeOwned>(value: Option<&[u8]>) -> Result<Option<T>, FormatError> {
        value.map(|bytes| decode(bytes, "value")).transpose()
    }
    Ok(match decode(key, "key")? {
        Key::Classic { group } => {
            let value = read::<ClassicValue>(value)?;
            value.as_ref().map_or(Ok(()), ClassicValue::check)?;
            Entry::Classic { group, value }
        }
        Key::Consumer { group } => Entry::Consumer { group, value: read(value)? },
        Key::ConsumerMember { group, member } => {
            Entry::ConsumerMember { group, member, value: read(value)? }
        }
        Key::ConsumerAssignment { group, member } => {
            Entry::ConsumerAssignment { group, member, value: read(value)? }
        }
        Key::Offset { group, topic, partition } => {
            Entry::Offset { group, topic, partition, value: read(value)? }
        }
        Key::Uptime => Entry::Uptime { value: read(value)? },
    })
}

impl ClassicValue {
    /// What the code that runs the group relies on.
    fn check(&self) -> Result<(), FormatError> {
        let problem = |problem| Err(FormatError::Contradiction { problem });
        if (self.phase == StoredPhase::Empty) != self.members.is_empty() {
            return problem("a group is empty if it has no members");
        }
        let mut ids: Vec<_> = self.members.iter().map(|member| &member.member_id).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return problem("two members have the same id");
        }
        let mut instances: Vec<_> =
            self.members.iter().filter_map(|member| member.instance_id.as_ref()).collect();
        instances.sort_unstable();
        if instances.windows(2).any(|pair| pair[0] == pair[1]) {
            return problem("two members have the same instance id");
        }
        if self.members.is_empty() {
            return Ok(());
        }
        if self.leader.as_ref().is_none_or(|leader| ids.binary_search(&leader).is_err()) {
            return problem("the leader is not a member");
        }
        let offers = |name: &String, member: &ClassicMemberValue| {
            member.protocols.iter().any(|(offered, _)| offered == name)
        };
        let agreed = |name: &String| self.members.iter().all(|member| offers(name, member));
        if self.protocol_type.is_none() || !self.protocol.as_ref().is_some_and(agreed) {
            return problem("the members do not share the group's protocol");
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
