//! ConsumerGroupHeartbeat.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::member::{Member, MemberState, Owned};
use super::reconcile::{is_subset, reconcile};
use super::subscribe::compile;
use super::{Assignor, ConsumerGroup, LEAVE, LEAVE_FOR_A_WHILE};
use crate::classic::shorten;
use crate::group::{Dirty, Entity};
use crate::limits::{
    MAX_ASSIGNED_PARTITIONS, MAX_ID, MAX_REGEXES_PER_GROUP, MAX_SUBSCRIBED_TOPICS,
    MAX_SUBSCRIPTION, MAX_TOPIC,
};
use crate::request::ConsumerHeartbeat;
use crate::response::ConsumerHeartbeatReply;
use crate::step::Step;
use crate::timers::GroupTimer;
use crate::topics::Topics;
use crate::{GroupError, Response, Token};

/// Checks what can be checked without the group.
pub(crate) fn check(request: &ConsumerHeartbeat) -> Result<(), GroupError> {
    let invalid = |reason| Err(GroupError::InvalidRequest { reason });
    let ids = [&request.member_id].into_iter().chain(&request.instance_id);
    if ids.chain(&request.assignor).any(|id| id.len() > MAX_ID) {
        return invalid("an id or a name is too long");
    }
    if request.instance_id.as_deref() == Some("") {
        return invalid("InstanceId can't be empty");
    }
    let epoch = request.member_epoch;
    let needs_id = request.has_own_id || epoch > 0 || epoch == LEAVE;
    if (needs_id || epoch == LEAVE_FOR_A_WHILE) && request.member_id.is_empty() {
        return invalid("MemberId can't be empty");
    }
    match epoch {
        0 => check_first(request)?,
        LEAVE_FOR_A_WHILE if request.instance_id.is_none() => {
            return invalid("InstanceId can't be null");
        }
        LEAVE | LEAVE_FOR_A_WHILE | 1.. => {}
        _ => return invalid("MemberEpoch is invalid"),
    }
    if request.assignor.as_ref().is_some_and(|name| Assignor::parse(name).is_none()) {
        return Err(GroupError::UnsupportedAssignor);
    }
    let topics = request.topics.iter().flatten();
    let bytes: usize = topics.clone().map(|topic| topic.len() + 48).sum();
    if topics.clone().count() > MAX_SUBSCRIBED_TOPICS || bytes as u64 > MAX_SUBSCRIPTION.get() {
        return invalid("too many topics for one subscription");
    }
    if topics.clone().any(|topic| topic.len() > MAX_TOPIC) {
        return invalid("a topic name is too long");
    }
    let owned = request.owned.iter().flatten().map(|(_, partitions)| partitions.len());
    if owned.sum::<usize>() > MAX_ASSIGNED_PARTITIONS {
        return invalid("too many partitions");
    }
    if let Some(regex) = request.regex.as_ref().filter(|regex| !regex.is_empty()) {
        compile(regex)?;
    }
    Ok(())
}

/// What a member must say when it joins.
fn check_first(request: &ConsumerHeartbeat) -> Result<(), GroupError> {
    let invalid = |reason| Err(GroupError::InvalidRequest { reason });
    if request.rebalance_timeout.is_none() {
        return invalid("RebalanceTimeoutMs must be provided in first request");
    }
    if request.owned.as_ref().is_none_or(|owned| !owned.is_empty()) {
        return invalid("TopicPartitions must be empty when (re-)joining");
    }
    if request.topics.is_none() && request.regex.is_none() {
        return invalid(
            "SubscribedTopicNames or SubscribedTopicRegex must be set in first request",
        );
    }
    Ok(())
}

/// A member joins, speaks, or leaves.
pub(crate) fn heartbeat(
    group: &mut ConsumerGroup,
    dirty: &mut Dirty,
    mut request: ConsumerHeartbeat,
    token: Token,
    topics: (&dyn Topics, u64),
    step: &mut Step<'_>,
) {
    shorten(&mut request.client);
    let leaves = matches!(request.member_epoch, LEAVE | LEAVE_FOR_A_WHILE);
    let result = if leaves {
        leave(group, dirty, &request, step)
    } else {
        admit(group, dirty, &request, step)
            .map(|admitted| go_on(group, dirty, &request, &admitted, topics, step))
    };
    step.reply(token, Response::ConsumerHeartbeat(result));
}

fn leave(
    group: &mut ConsumerGroup,
    dirty: &mut Dirty,
    request: &ConsumerHeartbeat,
    step: &mut Step<'_>,
) -> Result<ConsumerHeartbeatReply, GroupError> {
    let id = group.find(&request.member_id, request.instance_id.as_deref())?;
    if request.member_epoch == LEAVE {
        group.fence(&id, dirty, step);
    } else if let Some(mut member) = group.members.get(&id).cloned() {
        // It keeps its partitions for the one who comes back with its instance id within the
        // session timeout, who has owned them since before any epoch.
        member.epoch = LEAVE_FOR_A_WHILE;
        member.state = MemberState::Stable;
        member.revoking = Owned::default();
        member.assigned = member.assigned.iter().map(|(topic, at, _)| (topic, at, 0)).collect();
        group.put(member);
        step.clear_timer(GroupTimer::Rebalance(Arc::clone(&id)));
        dirty.insert(Entity::Assignment(id));
    }
    Ok(ConsumerHeartbeatReply {
        member_id: request.member_id.clone(),
        member_epoch: request.member_epoch,
        heartbeat_interval: Duration::ZERO,
        assignment: None,
    })
}

/// A member that may go on.
struct Admitted {
    id: Arc<str>,
    is_new: bool,
}

/// Lets a new member in, or sees that the member is who it says, where it says.
fn admit(
    group: &mut ConsumerGroup,
    dirty: &mut Dirty,
    request: &ConsumerHeartbeat,
    step: &mut Step<'_>,
) -> Result<Admitted, GroupError> {
    let joins = request.member_epoch == 0;
    let instance = request.instance_id.as_deref();
    if let Some(regex) = request.regex.as_ref().filter(|regex| !regex.is_empty())
        && !group.subscriptions.has_pattern(regex)
        && group.subscriptions.patterns() >= MAX_REGEXES_PER_GROUP
    {
        let reason = format!("a group has at most {MAX_REGEXES_PER_GROUP} different ones");
        return Err(GroupError::InvalidRegularExpression { reason });
    }
    let before = instance.and_then(|instance| group.instances.get(instance)).cloned();
    let known = group.members.get_key_value(request.member_id.as_str());
    let known = known.map(|(id, _)| Arc::clone(id));
    match (before, known) {
        // One that another instance id was given to is another one.
        (before, Some(id)) if instance.is_none() || before.as_ref() == Some(&id) => {
            let away = group.members[&id].epoch == LEAVE_FOR_A_WHILE;
            if joins && away {
                replace(group, dirty, &id, Arc::clone(&id), step);
            } else {
                check_epoch(&group.members[&id], request)?;
            }
            Ok(Admitted { id, is_new: false })
        }
        (Some(before), _) if joins => {
            if group.members[&before].epoch != LEAVE_FOR_A_WHILE {
                return Err(GroupError::UnreleasedInstanceId);
            }
            let id = new_id(request);
            replace(group, dirty, &before, Arc::clone(&id), step);
            Ok(Admitted { id, is_new: false })
        }
        (Some(_), _) => Err(GroupError::FencedInstanceId),
        (None, None) if joins => {
            if group.members.len() >= step.config.max_members || !step.has_room {
                return Err(GroupError::GroupMaxSizeReached);
            }
            if group.members.is_empty() {
                group.since = step.stamp;
            }
            let id = new_id(request);
            group.put(Member::new(Arc::clone(&id)));
            Ok(Admitted { id, is_new: true })
        }
        (None, _) => Err(GroupError::UnknownMemberId),
    }
}

fn new_id(request: &ConsumerHeartbeat) -> Arc<str> {
    if request.member_id.is_empty() {
        request.fresh.hyphenated().to_string().into()
    } else {
        request.member_id.as_str().into()
    }
}

/// A member may be an epoch behind if it owns nothing that it should not: the last answer to it may
/// have been lost. One that begins anew, after it was fenced perhaps, owns nothing at all: it is let
/// in wherever it was.
fn check_epoch(member: &Member, request: &ConsumerHeartbeat) -> Result<(), GroupError> {
    let epoch = request.member_epoch;
    let begins_anew = epoch == 0;
    let was_lost = epoch < member.epoch
        && epoch == member.previous_epoch
        && is_subset(request.owned.as_ref(), &member.assigned);
    if epoch == member.epoch || was_lost || begins_anew {
        Ok(())
    } else {
        Err(GroupError::FencedMemberEpoch)
    }
}

/// A static member is back, under the same id or another one.
fn replace(
    group: &mut ConsumerGroup,
    dirty: &mut Dirty,
    before: &Arc<str>,
    id: Arc<str>,
    step: &mut Step<'_>,
) {
    let Some(mut member) = group.members.get(before).cloned() else { return };
    if *before != id {
        step.clear_timer(GroupTimer::Session(Arc::clone(before)));
        dirty.extend([Entity::Member(Arc::clone(before)), Entity::Assignment(Arc::clone(before))]);
    }
    (member.epoch, member.previous_epoch) = (0, 0);
    member.state = MemberState::Stable;
    member.id = Arc::clone(&id);
    group.put(member);
    if *before != id {
        group.take(before);
    }
    dirty.extend([Entity::Member(Arc::clone(&id)), Entity::Assignment(id)]);
}

/// Takes up what the member says, and takes it further on its way.
fn go_on(
    group: &mut ConsumerGroup,
    dirty: &mut Dirty,
    request: &ConsumerHeartbeat,
    Admitted { id, is_new }: &Admitted,
    (topics, version): (&dyn Topics, u64),
    step: &mut Step<'_>,
) -> ConsumerHeartbeatReply {
    let before = group.members.get(id).map(|member| (member.epoch, member.assigned.clone()));
    let mut bumps = update(group, dirty, request, id) || *is_new;
    bumps |= group.subscriptions.refresh(topics, version);
    if bumps {
        group.bump(dirty);
    }
    group.retarget(step.config, step.now);
    step_on(group, dirty, request, id, step);
    step.set_timer(GroupTimer::Session(Arc::clone(id)), step.config.consumer_session_timeout);

    let (epoch, assigned) = match group.members.get(id) {
        Some(member) => (member.epoch, &member.assigned),
        None => (request.member_epoch, &Owned(Default::default())),
    };
    let is_full = request.member_epoch == 0
        || request.rebalance_timeout.is_some()
            && (request.topics.is_some() || request.regex.is_some())
            && request.owned.is_some();
    // Also if the member has not heard the last answer.
    let is_behind = before.as_ref().is_some_and(|(epoch, _)| *epoch != request.member_epoch);
    let changed = before.is_none_or(|(_, before)| !before.same_partitions(assigned));
    ConsumerHeartbeatReply {
        member_id: id.to_string(),
        member_epoch: epoch,
        heartbeat_interval: step.config.consumer_heartbeat_interval,
        assignment: (is_full || is_behind || changed).then(|| assigned.to_topics()),
    }
}

/// Takes up what the member says of itself; whether it subscribes to something else than before.
fn update(
    group: &mut ConsumerGroup,
    dirty: &mut Dirty,
    request: &ConsumerHeartbeat,
    id: &Arc<str>,
) -> bool {
    let Some(member) = group.members.get(id) else { return false };
    let topics: Option<BTreeSet<String>> =
        request.topics.as_ref().map(|topics| topics.iter().cloned().collect());
    let topics = topics.filter(|topics| *topics != member.topics);
    let regex = request.regex.as_ref().filter(|regex| **regex != member.regex);
    let assignor = request.assignor.as_deref().and_then(Assignor::parse);
    let assignor = assignor.filter(|assignor| member.assignor != Some(*assignor));
    let timeout = request.rebalance_timeout.filter(|timeout| *timeout != member.rebalance_timeout);
    let instance = request.instance_id.as_ref().filter(|i| member.instance_id.as_ref() != Some(*i));
    let subscribes = topics.is_some() || regex.is_some() || assignor.is_some();
    let other_client = request.client != member.client;
    if !(subscribes || timeout.is_some() || instance.is_some() || other_client) {
        return false;
    }
    let mut member = member.clone();
    member.topics = topics.unwrap_or(member.topics);
    member.regex = regex.cloned().unwrap_or(member.regex);
    member.assignor = assignor.or(member.assignor);
    member.rebalance_timeout = timeout.unwrap_or(member.rebalance_timeout);
    member.instance_id = instance.cloned().or(member.instance_id);
    member.client = request.client.clone();
    group.put(member);
    dirty.insert(Entity::Member(Arc::clone(id)));
    subscribes
}

/// Takes a member further on its way to its target.
fn step_on(
    group: &mut ConsumerGroup,
    dirty: &mut Dirty,
    request: &ConsumerHeartbeat,
    id: &Arc<str>,
    step: &mut Step<'_>,
) {
    let Some(member) = group.members.get(id) else { return };
    if member.state == MemberState::Stable && member.epoch == group.target_epoch {
        return;
    }
    let mut next = member.clone();
    let is_free = |topic, partition| group.is_free((topic, partition), id);
    reconcile(&mut next, group.target_epoch, request.owned.as_ref(), is_free);
    if next == *member {
        return;
    }
    let timer = GroupTimer::Rebalance(Arc::clone(id));
    if next.state == MemberState::Unrevoked {
        step.set_timer(timer, next.rebalance_timeout);
    } else {
        step.clear_timer(timer);
    }
    group.put(next);
    dirty.insert(Entity::Assignment(Arc::clone(id)));
}

impl ConsumerGroup {
    /// The member that is meant.
    fn find(&self, member: &str, instance: Option<&str>) -> Result<Arc<str>, GroupError> {
        let unknown = GroupError::UnknownMemberId;
        let Some(instance) = instance else {
            let found = self.members.get_key_value(member);
            return found.map(|(id, _)| Arc::clone(id)).ok_or(unknown);
        };
        let present = self.instances.get(instance).ok_or(unknown)?;
        if **present == *member {
            Ok(Arc::clone(present))
        } else {
            Err(GroupError::FencedInstanceId)
        }
    }
}

impl Owned {
    fn same_partitions(&self, other: &Owned) -> bool {
        let places = |owned: &Owned| -> Vec<_> { owned.iter().map(|(t, p, _)| (t, p)).collect() };
        self.len() == other.len() && places(self) == places(other)
    }
}
