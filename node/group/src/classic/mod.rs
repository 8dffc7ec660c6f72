//! Classic groups: members agree through a leader among them.
//!
//! A group goes round four phases. From **Empty** the first member brings it to **Preparing**: all
//! join anew. When they have, or their time is up, a generation begins in **Completing**: the
//! leader assigns. With its assignments the group is **Stable**, until a member comes, goes, or
//! wants something else.
//!
//! What members offer and are given is opaque, whether they rebalance eagerly or cooperatively:
//! that is between their assignors. Only the topics that consumers subscribe to are read, see
//! `subscription`.
//!
//! What it holds true:
//! - Generations only rise. The members of one are on record before any of them hears of it.
//! - An assignment is given out as the leader gave it, and once it is on record.
//! - Static members are known by their instance id: a new member that brings one takes the place
//!   and the assignment of the old, which is fenced from then on (KIP-345).

mod join;
mod member;
mod rebalance;
mod replace;
mod session;
mod subscription;
mod sync;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::GroupError;
use crate::request::Protocol;
use crate::response::{ClassicDescription, ClassicMember};
use crate::time::Stamp;

pub(crate) use join::{join, shorten};
pub(crate) use member::Member;
pub(crate) use rebalance::{expire_join, expire_sync};
pub(crate) use session::{expire_member, gone, heartbeat, leave};
pub(crate) use sync::sync;

/// Where a group stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Empty,
    Preparing,
    Completing,
    Stable,
}

impl Phase {
    /// As Kafka prints it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Phase::Empty => "Empty",
            Phase::Preparing => "PreparingRebalance",
            Phase::Completing => "CompletingRebalance",
            Phase::Stable => "Stable",
        }
    }
}

/// The first rebalance of a group waits a little for more members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Initial {
    /// The present wait.
    pub(crate) wait: Duration,
    /// How much longer it may be drawn out.
    pub(crate) remaining: Duration,
    /// Whether a member came since the wait began.
    pub(crate) grew: bool,
}

/// A classic group.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    pub(crate) phase: Phase,
    pub(crate) since: Stamp,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: Option<Arc<str>>,
    pub(crate) members: BTreeMap<Arc<str>, Member>,
    /// New members that were given an id and have not come back with it.
    pub(crate) pending: BTreeSet<Arc<str>>,
    /// Static members by instance id.
    instances: BTreeMap<String, Arc<str>>,
    initial: Option<Initial>,
    /// How many members offer each protocol.
    offered: BTreeMap<String, usize>,
    /// How many members wait for their join to be answered.
    joining: usize,
    /// Members of this generation that have not fetched their assignment.
    to_sync: BTreeSet<Arc<str>>,
    /// What the members read, where all said so.
    topics: Option<BTreeSet<String>>,
    bytes: usize,
}

impl ClassicGroup {
    /// An empty group whose next generation is the first.
    pub(crate) fn new(since: Stamp) -> ClassicGroup {
        ClassicGroup::after(0, since)
    }

    /// An empty group that goes on counting.
    pub(crate) fn after(generation: i32, since: Stamp) -> ClassicGroup {
        ClassicGroup {
            phase: Phase::Empty,
            since,
            generation,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            pending: BTreeSet::new(),
            instances: BTreeMap::new(),
            initial: None,
            offered: BTreeMap::new(),
            joining: 0,
            to_sync: BTreeSet::new(),
            topics: None,
            bytes: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.phase == Phase::Empty
    }

    pub(crate) fn cost(&self) -> usize {
        let pending: usize = self.pending.iter().map(|id| 128 + 2 * id.len()).sum();
        self.bytes + pending
    }

    /// Bytes of all members, by an estimate from above of what their record takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some("consumer")
    }

    pub(crate) fn knows_topics(&self) -> bool {
        self.is_of_consumers() && self.topics.is_some()
    }

    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        match &self.topics {
            Some(topics) => topics.contains(topic),
            // Consumers whose subscriptions nobody can read may read anything.
            None => self.is_of_consumers() && self.phase != Phase::Empty,
        }
    }

    pub(crate) fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    /// Whether everyone who is known waits for the next generation.
    fn have_all_joined(&self) -> bool {
        self.joining == self.members.len() && self.pending.is_empty()
    }

    /// The longest that any member may take to join.
    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    fn static_member(&self, instance: &str) -> Option<&Arc<str>> {
        self.instances.get(instance)
    }

    /// Whether the request comes from a member of the group, and not from one whose instance id
    /// another one took over.
    pub(crate) fn check_member(
        &self,
        member: &str,
        instance: Option<&str>,
    ) -> Result<&Member, GroupError> {
        if let Some(instance) = instance {
            let present = self.static_member(instance).ok_or(GroupError::UnknownMemberId)?;
            if **present != *member {
                return Err(GroupError::FencedInstanceId);
            }
        }
        self.members.get(member).ok_or(GroupError::UnknownMemberId)
    }

    /// Whether a commit may be taken.
    pub(crate) fn check_commit(
        &self,
        member: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        if generation < 0 && self.phase == Phase::Empty {
            // From a tool, or from a consumer that keeps its offsets here and nothing else.
            return Ok(());
        }
        if generation < 0 && member.is_empty() && instance.is_none() {
            return Err(GroupError::UnknownMemberId);
        }
        self.check_member(member, instance)?;
        if generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        if self.phase == Phase::Completing {
            // The member is of this generation but does not know yet what it may read.
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether a member with these protocols can be in the group.
    fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.members.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let by_all = |protocol: &Protocol| {
            self.offered.get(&protocol.name).copied().unwrap_or(0) == self.members.len()
        };
        self.protocol_type.as_deref() == Some(protocol_type) && protocols.iter().any(by_all)
    }

    /// The protocol that most members want, of those that all offer.
    fn vote(&self) -> Option<String> {
        let by_all = |name: &str| self.offered.get(name) == Some(&self.members.len());
        let mut votes: Vec<(&str, usize)> = Vec::new();
        for member in self.members.values() {
            let choice = member.protocols.iter().find(|protocol| by_all(&protocol.name));
            let Some(choice) = choice else { continue };
            match votes.iter_mut().find(|(name, _)| *name == choice.name) {
                Some((_, count)) => *count += 1,
                None => votes.push((&choice.name, 1)),
            }
        }
        let most = votes.iter().map(|(_, count)| *count).max()?;
        votes.iter().find(|(_, count)| *count == most).map(|(name, _)| (*name).to_owned())
    }

    fn add(&mut self, member: Member) {
        if let Some(instance) = &member.instance_id {
            self.instances.insert(instance.clone(), Arc::clone(&member.id));
        }
        self.pending.remove(&member.id);
        if self.leader.is_none() {
            self.leader = Some(Arc::clone(&member.id));
        }
        self.count(&member, true);
        self.members.insert(Arc::clone(&member.id), member);
    }

    fn remove(&mut self, id: &str) -> Option<Member> {
        self.pending.remove(id);
        self.to_sync.remove(id);
        let member = self.members.remove(id)?;
        self.count(&member, false);
        if let Some(instance) = &member.instance_id {
            self.instances.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    /// Changes a member, and what is counted of it.
    fn change<T>(&mut self, id: &str, change: impl FnOnce(&mut Member) -> T) -> Option<T> {
        let mut member = self.members.remove(id)?;
        self.count(&member, false);
        let changed = change(&mut member);
        self.count(&member, true);
        self.members.insert(Arc::clone(&member.id), member);
        Some(changed)
    }

    fn count(&mut self, member: &Member, comes: bool) {
        for protocol in &member.protocols {
            if comes {
                *self.offered.entry(protocol.name.clone()).or_default() += 1;
            } else if let Some(count) = self.offered.get_mut(&protocol.name) {
                *count -= 1;
                if *count == 0 {
                    self.offered.remove(&protocol.name);
                }
            }
        }
        let (joins, bytes) = (usize::from(member.join.is_some()), member.cost());
        if comes {
            self.joining += joins;
            self.bytes += bytes;
        } else {
            self.joining -= joins;
            self.bytes -= bytes;
        }
    }

    pub(crate) fn describe(&self) -> ClassicDescription {
        let stable = self.phase == Phase::Stable;
        let protocol = self.protocol.as_deref().filter(|_| stable);
        let member = |member: &Member| ClassicMember {
            member_id: member.id.to_string(),
            instance_id: member.instance_id.clone(),
            client_id: member.client.id.clone(),
            client_host: member.client.host.clone(),
            metadata: protocol.map(|protocol| member.metadata(protocol)).unwrap_or_default(),
            assignment: if stable { member.assignment.clone() } else { Default::default() },
        };
        ClassicDescription {
            state: self.phase.as_str(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: protocol.unwrap_or_default().to_owned(),
            generation: self.generation,
            members: self.members.values().map(member).collect(),
        }
    }
}
