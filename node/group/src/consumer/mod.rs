//! Consumer groups: the coordinator assigns (KIP-848).
//!
//! The group has an epoch, which rises when a member comes, goes or subscribes to something else,
//! and when the topics that are subscribed to change. For each epoch the assignor makes a
//! **target**: who shall own what. Each member then goes from what it owns to its target by itself,
//! in its heartbeats: it gives up what is not its own any longer, takes up the epoch, and is given
//! what nobody else owns any longer.
//!
//! What it holds true:
//! - A partition is told to a member only when no other member was told to own it, or that member
//!   has said that it gave it up, or was fenced. That is on record before anyone hears of it.
//! - Epochs only rise.
//!
//! Targets are not on record. After a restart they are made anew, from what members own, under the
//! next epoch: an assignor that keeps what it can leaves all where it is.

pub(crate) mod assignor;
mod heartbeat;
mod member;
mod reconcile;
mod subscribe;
mod target;
mod value;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_types::{PartitionId, TopicId};

use crate::GroupError;
use crate::group::Dirty;
use crate::group::Entity;
use crate::response::{ConsumerDescription, ConsumerMember};
use crate::step::Step;
use crate::time::Stamp;
use crate::timers::GroupTimer;

pub(crate) use assignor::Assignor;
pub(crate) use heartbeat::{check, heartbeat};
pub(crate) use member::{Member, MemberState};
pub(crate) use subscribe::Subscriptions;

/// Leaves for good.
pub(crate) const LEAVE: i32 = -1;
/// A static member leaves for a while.
pub(crate) const LEAVE_FOR_A_WHILE: i32 = -2;

/// A consumer group.
#[derive(Debug)]
pub(crate) struct ConsumerGroup {
    pub(crate) epoch: i32,
    /// The epoch that the members' targets were made for.
    pub(crate) target_epoch: i32,
    /// Since when it is empty, or not.
    pub(crate) since: Stamp,
    pub(crate) members: BTreeMap<Arc<str>, Member>,
    instances: BTreeMap<String, Arc<str>>,
    /// Who owns a partition, or was told to give it up and has not.
    owners: BTreeMap<(TopicId, PartitionId), Arc<str>>,
    subscriptions: Subscriptions,
    /// When the target was made.
    target_made: Option<Duration>,
    bytes: usize,
}

impl ConsumerGroup {
    /// An empty group that goes on counting.
    pub(crate) fn after(epoch: i32, since: Stamp) -> ConsumerGroup {
        ConsumerGroup {
            epoch,
            target_epoch: epoch,
            since,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            owners: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
            target_made: None,
            bytes: 0,
        }
    }

    pub(crate) fn cost(&self) -> usize {
        self.bytes + self.subscriptions.cost()
    }

    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        self.subscriptions.contains(topic)
    }

    /// As Kafka prints it.
    pub(crate) fn state(&self) -> &'static str {
        let is_reconciled = |member: &Member| {
            member.state == MemberState::Stable && member.epoch == self.target_epoch
        };
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.target_epoch {
            "Assigning"
        } else if self.members.values().all(is_reconciled) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    /// The assignor that most members ask for.
    pub(crate) fn assignor(&self) -> Assignor {
        let wants = |assignor| {
            self.members.values().filter(|member| member.assignor == Some(assignor)).count()
        };
        if wants(Assignor::Range) > wants(Assignor::Uniform) {
            Assignor::Range
        } else {
            Assignor::Uniform
        }
    }

    /// Puts a member in, in place of what was there under its id.
    fn put(&mut self, member: Member) {
        let id = Arc::clone(&member.id);
        // In this order, so that what it still subscribes to is not looked up anew.
        self.subscriptions.add(&member);
        self.take(&id);
        self.bytes += member.cost();
        if let Some(instance) = &member.instance_id {
            self.instances.insert(instance.clone(), Arc::clone(&id));
        }
        for at in member.held() {
            self.owners.insert(at, Arc::clone(&id));
        }
        self.members.insert(id, member);
    }

    /// Takes a member out; what it owned is free.
    fn take(&mut self, id: &str) -> Option<Member> {
        let member = self.members.remove(id)?;
        self.bytes -= member.cost();
        self.subscriptions.remove(&member);
        if let Some(instance) = &member.instance_id
            && self.instances.get(instance).is_some_and(|present| **present == *id)
        {
            self.instances.remove(instance);
        }
        for at in member.held() {
            if self.owners.get(&at).is_some_and(|owner| **owner == *id) {
                self.owners.remove(&at);
            }
        }
        Some(member)
    }

    /// Whether `member` may be given the partition.
    fn is_free(&self, at: (TopicId, PartitionId), member: &str) -> bool {
        self.owners.get(&at).is_none_or(|owner| **owner == *member)
    }

    fn bump(&mut self, dirty: &mut Dirty) {
        self.epoch = self.epoch.saturating_add(1);
        dirty.insert(Entity::Consumer);
    }

    /// Takes a member out for good.
    pub(crate) fn fence(&mut self, id: &Arc<str>, dirty: &mut Dirty, step: &mut Step<'_>) {
        if self.take(id).is_none() {
            return;
        }
        step.clear_timer(GroupTimer::Session(Arc::clone(id)));
        step.clear_timer(GroupTimer::Rebalance(Arc::clone(id)));
        self.bump(dirty);
        dirty.extend([Entity::Member(Arc::clone(id)), Entity::Assignment(Arc::clone(id))]);
        if self.members.is_empty() {
            self.since = step.stamp;
        }
    }

    /// Whether a commit of these partitions may be taken.
    ///
    /// A member may be an epoch behind in what it commits, if it has owned the partitions since
    /// then (KIP-1251).
    pub(crate) fn check_commit(
        &self,
        member: &str,
        epoch: i32,
        knows_epochs: bool,
        mut partitions: impl Iterator<Item = (Option<TopicId>, PartitionId)>,
    ) -> Result<(), GroupError> {
        if epoch < 0 && self.members.is_empty() {
            // From a tool, or from a consumer that keeps its offsets here and nothing else.
            return Ok(());
        }
        let member = self.members.get(member).ok_or(GroupError::UnknownMemberId)?;
        if !knows_epochs {
            return Err(GroupError::UnsupportedVersion);
        }
        let since = |topic: Option<TopicId>, partition| {
            let topic = topic?;
            member.assigned.epoch(topic, partition).or(member.revoking.epoch(topic, partition))
        };
        let may = epoch == member.epoch
            || epoch < member.epoch
                && partitions.all(|(topic, partition)| {
                    since(topic, partition).is_some_and(|since| epoch >= since)
                });
        if may { Ok(()) } else { Err(GroupError::StaleMemberEpoch) }
    }

    /// Whether offsets may be told to whoever asks.
    pub(crate) fn check_fetch(&self, member: Option<&str>, epoch: i32) -> Result<(), GroupError> {
        if member.is_none() && epoch < 0 {
            return Ok(());
        }
        let member = member.and_then(|member| self.members.get(member));
        let member = member.ok_or(GroupError::UnknownMemberId)?;
        if member.epoch == epoch { Ok(()) } else { Err(GroupError::StaleMemberEpoch) }
    }

    pub(crate) fn describe(&self) -> ConsumerDescription {
        let member = |member: &Member| ConsumerMember {
            member_id: member.id.to_string(),
            instance_id: member.instance_id.clone(),
            member_epoch: member.epoch,
            client_id: member.client.id.clone(),
            client_host: member.client.host.clone(),
            topics: member.topics.iter().cloned().collect(),
            regex: member.regex.clone(),
            assignment: member.assigned.to_topics(),
            target: member
                .target
                .iter()
                .map(|(topic, partitions)| (*topic, partitions.iter().copied().collect()))
                .collect(),
        };
        ConsumerDescription {
            state: self.state(),
            group_epoch: self.epoch,
            assignment_epoch: self.target_epoch,
            assignor: self.assignor().as_str(),
            members: self.members.values().map(member).collect(),
        }
    }
}
