//! From one generation to the next.

use std::sync::Arc;

use bytes::Bytes;

use super::{ClassicGroup, Initial, Phase};
use crate::GroupError;
use crate::group::{Dirty, Entity};
use crate::step::Step;
use crate::timers::GroupTimer;

/// Starts a rebalance, or ends the one under way if it waited for nothing else.
pub(super) fn rebalance_or_complete(
    group: &mut ClassicGroup,
    dirty: &mut Dirty,
    step: &mut Step<'_>,
) {
    if group.phase == Phase::Preparing {
        complete_if_all_joined(group, dirty, step);
    } else {
        prepare(group, dirty, step);
    }
}

/// Ends the joining if everyone has joined. The first rebalance of a group goes by time alone.
pub(super) fn complete_if_all_joined(
    group: &mut ClassicGroup,
    dirty: &mut Dirty,
    step: &mut Step<'_>,
) {
    if group.phase == Phase::Preparing && group.initial.is_none() && group.have_all_joined() {
        complete(group, dirty, step);
    }
}

/// Everyone must join anew.
pub(super) fn prepare(group: &mut ClassicGroup, dirty: &mut Dirty, step: &mut Step<'_>) {
    if group.phase == Phase::Completing {
        refuse_syncs(group, &GroupError::RebalanceInProgress, step);
    }
    group.to_sync.clear();
    step.clear_timer(GroupTimer::Sync);
    let is_first = group.phase == Phase::Empty;
    group.phase = Phase::Preparing;
    group.since = step.stamp;
    let delay = step.config.initial_rebalance_delay;
    if is_first && !delay.is_zero() {
        let remaining = group.rebalance_timeout().saturating_sub(delay);
        group.initial = Some(Initial { wait: delay, remaining, grew: false });
        step.set_timer(GroupTimer::Join, delay);
    } else if group.have_all_joined() {
        complete(group, dirty, step);
    } else {
        step.set_timer(GroupTimer::Join, group.rebalance_timeout());
    }
}

/// Takes back assignments that nobody was given.
pub(super) fn refuse_syncs(group: &mut ClassicGroup, error: &GroupError, step: &mut Step<'_>) {
    let ids: Vec<Arc<str>> = group.members.keys().cloned().collect();
    for id in ids {
        let waiting = group.change(&id, |member| {
            member.assignment = Bytes::new();
            let token = member.sync.take()?;
            Some((token, member.session_timeout))
        });
        if let Some((token, session)) = waiting.flatten() {
            step.reply(token, crate::Response::Sync(Err(error.clone())));
            step.set_timer(GroupTimer::Session(id), session);
        }
    }
}

/// The time to join is up.
pub(crate) fn expire_join(group: &mut ClassicGroup, dirty: &mut Dirty, step: &mut Step<'_>) {
    if group.phase != Phase::Preparing {
        return;
    }
    if let Some(initial) = &mut group.initial
        && initial.grew
        && !initial.remaining.is_zero()
    {
        // More members come: wait for the next, as long as the first of them allows.
        let next = step.config.initial_rebalance_delay.min(initial.remaining);
        initial.remaining = initial.remaining.saturating_sub(initial.wait);
        (initial.wait, initial.grew) = (next, false);
        step.set_timer(GroupTimer::Join, next);
        return;
    }
    complete(group, dirty, step);
}

/// A generation begins with those who joined; static members stay until their session ends.
pub(super) fn complete(group: &mut ClassicGroup, dirty: &mut Dirty, step: &mut Step<'_>) {
    step.clear_timer(GroupTimer::Join);
    let late = group.members.values().filter(|m| m.join.is_none() && m.instance_id.is_none());
    let late: Vec<Arc<str>> = late.map(|member| Arc::clone(&member.id)).collect();
    for id in late {
        group.remove(&id);
        step.clear_timer(GroupTimer::Session(id));
    }
    if !group.members.is_empty() && !elect(group) {
        // Static members only, none of whom has joined: their sessions will end, or they join.
        step.set_timer(GroupTimer::Join, group.rebalance_timeout());
        return;
    }
    group.initial = None;
    group.generation = group.generation.saturating_add(1);
    group.since = step.stamp;
    dirty.insert(Entity::Classic);
    if group.members.is_empty() {
        group.phase = Phase::Empty;
        group.protocol = None;
        group.leader = None;
        group.learn_topics();
        return;
    }
    group.phase = Phase::Completing;
    group.protocol = group.vote();
    group.learn_topics();
    let ids: Vec<Arc<str>> = group.members.keys().cloned().collect();
    for id in &ids {
        let joined = group.change(id, |member| {
            member.is_new = false;
            member.assignment = Bytes::new();
            (member.join.take().and_then(|join| join.token), member.session_timeout)
        });
        let Some((token, session)) = joined else { continue };
        step.set_timer(GroupTimer::Session(Arc::clone(id)), session);
        if let Some(token) = token {
            let response = group.joined(id);
            step.reply(token, response);
        }
    }
    group.to_sync = ids.into_iter().collect();
    step.set_timer(GroupTimer::Sync, group.rebalance_timeout());
}

/// Sees that the leader is one who joined, best one who is there to hear of it.
fn elect(group: &mut ClassicGroup) -> bool {
    let is_there = |id: &Arc<str>| {
        let join = group.members.get(id).and_then(|member| member.join.as_ref());
        join.is_some_and(|join| join.token.is_some())
    };
    if group.leader.as_ref().is_some_and(is_there) {
        return true;
    }
    let has_joined = |id: &&Arc<str>| group.members[*id].join.is_some();
    let found = group
        .members
        .keys()
        .find(|id| is_there(id))
        .or_else(|| group.members.keys().find(has_joined));
    match found.cloned() {
        Some(id) => {
            group.leader = Some(id);
            true
        }
        None => false,
    }
}

/// The time to fetch assignments is up: who has not is out.
pub(crate) fn expire_sync(group: &mut ClassicGroup, dirty: &mut Dirty, step: &mut Step<'_>) {
    if !matches!(group.phase, Phase::Completing | Phase::Stable) || group.to_sync.is_empty() {
        return;
    }
    for id in std::mem::take(&mut group.to_sync) {
        if let Some(member) = group.remove(&id) {
            member.refuse(GroupError::UnknownMemberId, step);
            step.clear_timer(GroupTimer::Session(id));
        }
    }
    prepare(group, dirty, step);
}
