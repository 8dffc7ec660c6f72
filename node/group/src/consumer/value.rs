//! To the records and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_types::{PartitionId, TopicId};

use super::member::{Member, MemberState, Owned};
use super::{Assignor, ConsumerGroup};
use crate::config::Config;
use crate::format::{
    ConsumerAssignmentValue, ConsumerMemberValue, ConsumerValue, StoredMemberState,
};
use crate::group::{Dirty, Entity};
use crate::request::Client;
use crate::step::Step;
use crate::time::Now;
use crate::timers::GroupTimer;
use crate::topics::Topics;

impl ConsumerGroup {
    pub(crate) fn to_value(&self) -> ConsumerValue {
        ConsumerValue { epoch: self.epoch, since: self.since }
    }

    /// The group as it was written. A member without an assignment had not been told of any.
    pub(crate) fn from_values(
        value: ConsumerValue,
        members: BTreeMap<String, ConsumerMemberValue>,
        mut assignments: BTreeMap<String, ConsumerAssignmentValue>,
    ) -> ConsumerGroup {
        let mut group = ConsumerGroup::after(value.epoch, value.since);
        for (id, value) in members {
            let assignment = assignments.remove(&id);
            let member = Member::from_values(id.into(), value, assignment);
            group.put(member);
        }
        group
    }

    /// Makes a new target, for a new epoch, from what members own; they have a whole session to
    /// speak up.
    pub(crate) fn wake(
        &mut self,
        dirty: &mut Dirty,
        topics: (&dyn Topics, u64),
        step: &mut Step<'_>,
    ) {
        if self.members.is_empty() {
            return;
        }
        self.subscriptions.refresh(topics.0, topics.1);
        self.bump(dirty);
        dirty.insert(Entity::Consumer);
        let (config, now): (&Config, Now) = (step.config, step.now);
        self.retarget(config, now);
        for member in self.members.values() {
            let session = step.config.consumer_session_timeout;
            step.set_timer(GroupTimer::Session(Arc::clone(&member.id)), session);
            if member.state == MemberState::Unrevoked {
                let timer = GroupTimer::Rebalance(Arc::clone(&member.id));
                step.set_timer(timer, member.rebalance_timeout);
            }
        }
    }
}

type Stored = Vec<(TopicId, Vec<(PartitionId, i32)>)>;

impl Owned {
    fn to_stored(&self) -> Stored {
        let partitions = |owned: &BTreeMap<PartitionId, i32>| {
            owned.iter().map(|(partition, epoch)| (*partition, *epoch)).collect()
        };
        self.0.iter().map(|(topic, owned)| (*topic, partitions(owned))).collect()
    }

    fn from_stored(stored: Stored) -> Owned {
        let all = stored.into_iter().flat_map(|(topic, partitions)| {
            partitions.into_iter().map(move |(partition, epoch)| (topic, partition, epoch))
        });
        all.collect()
    }
}

impl Member {
    pub(crate) fn to_value(&self) -> ConsumerMemberValue {
        ConsumerMemberValue {
            instance_id: self.instance_id.clone(),
            client_id: self.client.id.clone(),
            client_host: self.client.host.clone(),
            rebalance_timeout: self.rebalance_timeout,
            topics: self.topics.iter().cloned().collect(),
            regex: self.regex.clone(),
            assignor: self.assignor.map(|assignor| assignor.as_str().to_owned()),
        }
    }

    pub(crate) fn to_assignment_value(&self) -> ConsumerAssignmentValue {
        ConsumerAssignmentValue {
            epoch: self.epoch,
            previous_epoch: self.previous_epoch,
            state: match self.state {
                MemberState::Stable => StoredMemberState::Stable,
                MemberState::Unrevoked => StoredMemberState::UnrevokedPartitions,
                MemberState::Unreleased => StoredMemberState::UnreleasedPartitions,
            },
            assigned: self.assigned.to_stored(),
            revoking: self.revoking.to_stored(),
        }
    }

    fn from_values(
        id: Arc<str>,
        value: ConsumerMemberValue,
        assignment: Option<ConsumerAssignmentValue>,
    ) -> Member {
        let mut member = Member {
            instance_id: value.instance_id,
            client: Client { id: value.client_id, host: value.client_host },
            rebalance_timeout: value.rebalance_timeout,
            topics: value.topics.into_iter().collect(),
            regex: value.regex,
            assignor: value.assignor.as_deref().and_then(Assignor::parse),
            ..Member::new(id)
        };
        if let Some(assignment) = assignment {
            member.epoch = assignment.epoch;
            member.previous_epoch = assignment.previous_epoch;
            member.state = match assignment.state {
                StoredMemberState::Stable => MemberState::Stable,
                StoredMemberState::UnrevokedPartitions => MemberState::Unrevoked,
                StoredMemberState::UnreleasedPartitions => MemberState::Unreleased,
            };
            member.assigned = Owned::from_stored(assignment.assigned);
            member.revoking = Owned::from_stored(assignment.revoking);
        }
        for (topic, partition, _) in member.assigned.iter() {
            member.target.entry(topic).or_default().insert(partition);
        }
        member
    }
}
