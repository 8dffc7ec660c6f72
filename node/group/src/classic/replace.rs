//! A static member that comes back under a new id.

use std::sync::Arc;

use super::join::{refused, update};
use super::rebalance::{complete_if_all_joined, prepare, rebalance_or_complete};
use super::{ClassicGroup, Phase};
use crate::group::{Dirty, Entity};
use crate::request::Join;
use crate::response::Joined;
use crate::step::Step;
use crate::timers::GroupTimer;
use crate::{GroupError, Response, Token};

/// The new member takes the place of `before`, its assignment included.
///
/// In a stable group it goes on with that assignment at once, unless the group would now choose
/// another protocol. A leader is told to leave the assignments alone where its client understands
/// that (KIP-814); where it does not, it is told that its old self leads, so that it does not
/// assign either.
pub(super) fn replace_static(
    group: &mut ClassicGroup,
    dirty: &mut Dirty,
    mut request: Join,
    before: &Arc<str>,
    id: Arc<str>,
    token: Token,
    step: &mut Step<'_>,
) {
    let leader = group.leader.clone();
    let Some(mut member) = group.remove(before) else { return };
    member.refuse(GroupError::FencedInstanceId, step);
    step.clear_timer(GroupTimer::Session(Arc::clone(before)));
    (member.join, member.sync) = (None, None);
    member.id = Arc::clone(&id);
    member.client = request.client.clone();
    group.add(member);
    if leader.as_ref() == Some(before) {
        group.leader = Some(Arc::clone(&id));
    }
    step.set_timer(GroupTimer::Session(Arc::clone(&id)), request.session_timeout);

    let can_skip = request.can_skip_assignment;
    request.member_id = id.to_string();
    match group.phase {
        Phase::Stable => {
            let (protocols, timeouts) = (
                std::mem::take(&mut request.protocols),
                (request.session_timeout, request.rebalance_timeout),
            );
            group.change(&id, |member| {
                member.protocols = protocols.clone();
                (member.session_timeout, member.rebalance_timeout) = timeouts;
            });
            if group.vote() == group.protocol {
                dirty.insert(Entity::Classic);
                let response = stays(group, &id, leader, can_skip);
                step.reply(token, response);
            } else {
                request.protocols = protocols;
                update(group, request, token, step);
                rebalance_or_complete(group, dirty, step);
            }
        }
        // The leader may have been told of the old id; what it assigns would miss the new one.
        Phase::Completing => {
            update(group, request, token, step);
            prepare(group, dirty, step);
        }
        Phase::Preparing => {
            update(group, request, token, step);
            complete_if_all_joined(group, dirty, step);
        }
        Phase::Empty => step.reply(token, refused(GroupError::UnknownMemberId, String::new())),
    }
}

/// What a static member is told that came back to a stable group.
fn stays(group: &ClassicGroup, id: &str, leader: Option<Arc<str>>, can_skip: bool) -> Response {
    let is_leader = group.is_leader(id);
    let told = if can_skip { group.leader.clone() } else { leader };
    Response::Join(Ok(Joined {
        member_id: id.to_owned(),
        generation: group.generation,
        protocol_type: group.protocol_type.clone(),
        protocol: group.protocol.clone(),
        leader: told.as_deref().unwrap_or_default().to_owned(),
        skip_assignment: can_skip && is_leader,
        members: if can_skip && is_leader { group.everyone() } else { Vec::new() },
    }))
}
