//! Heartbeat and LeaveGroup, and members that fall silent.

use std::sync::Arc;

use super::rebalance::{complete_if_all_joined, rebalance_or_complete};
use super::{ClassicGroup, Phase};
use crate::group::Dirty;
use crate::request::{Heartbeat, Leave, LeavingMember};
use crate::step::Step;
use crate::timers::GroupTimer;
use crate::{GroupError, Response, Token};

/// A member says that it is alive, and hears whether to join anew.
pub(crate) fn heartbeat(
    group: &mut ClassicGroup,
    request: &Heartbeat,
    step: &mut Step<'_>,
) -> Result<(), GroupError> {
    let member = group.check_member(&request.member_id, request.instance_id.as_deref())?;
    if request.generation != group.generation {
        return Err(GroupError::IllegalGeneration);
    }
    step.set_timer(GroupTimer::Session(Arc::clone(&member.id)), member.session_timeout);
    match group.phase {
        Phase::Empty => Err(GroupError::UnknownMemberId),
        Phase::Preparing => Err(GroupError::RebalanceInProgress),
        Phase::Completing | Phase::Stable => Ok(()),
    }
}

/// Members leave; whoever knows a static member's instance id may take it out.
pub(crate) fn leave(
    group: &mut ClassicGroup,
    dirty: &mut Dirty,
    request: Leave,
    token: Token,
    step: &mut Step<'_>,
) {
    let members = group.members.len();
    let mut done = Vec::with_capacity(request.members.len());
    for member in request.members {
        let result = find(group, &member).map(|id| take_out(group, &id, step));
        done.push((member, result));
    }
    if group.members.len() < members {
        rebalance_or_complete(group, dirty, step);
    } else {
        complete_if_all_joined(group, dirty, step);
    }
    step.reply(token, Response::Leave(Ok(done)));
}

/// The member who is to leave.
fn find(group: &ClassicGroup, member: &LeavingMember) -> Result<Arc<str>, GroupError> {
    let instance = member.instance_id.as_deref();
    if member.member_id.is_empty() {
        let found = instance.and_then(|instance| group.static_member(instance));
        return found.cloned().ok_or(GroupError::UnknownMemberId);
    }
    if let Some(id) = group.pending.get(member.member_id.as_str()) {
        return Ok(Arc::clone(id));
    }
    group.check_member(&member.member_id, instance).map(|member| Arc::clone(&member.id))
}

fn take_out(group: &mut ClassicGroup, id: &Arc<str>, step: &mut Step<'_>) {
    if let Some(member) = group.remove(id) {
        member.refuse(GroupError::UnknownMemberId, step);
    }
    step.clear_timer(GroupTimer::Session(Arc::clone(id)));
}

/// A member was silent for its session timeout.
pub(crate) fn expire_member(
    group: &mut ClassicGroup,
    dirty: &mut Dirty,
    id: &Arc<str>,
    step: &mut Step<'_>,
) {
    if group.pending.remove(id) {
        complete_if_all_joined(group, dirty, step);
        return;
    }
    // One who waits for an answer cannot speak; its time begins with the answer.
    if group.members.get(id).is_none_or(|member| member.is_waiting()) {
        return;
    }
    take_out(group, id, step);
    rebalance_or_complete(group, dirty, step);
}

/// The asker of a join or a sync is gone: its member's time begins now.
pub(crate) fn gone(group: &mut ClassicGroup, id: &str, token: Token, step: &mut Step<'_>) {
    let found = group.change(id, |member| {
        if let Some(join) = &mut member.join
            && join.token == Some(token)
        {
            join.token = None;
        }
        member.sync = member.sync.filter(|waiting| *waiting != token);
        (Arc::clone(&member.id), member.session_timeout)
    });
    if let Some((id, session)) = found {
        step.set_timer(GroupTimer::Session(id), session);
    }
}
