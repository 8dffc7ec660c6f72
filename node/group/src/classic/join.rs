//! JoinGroup.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::member::{JoinWait, Member};
use super::rebalance::{complete_if_all_joined, rebalance_or_complete};
use super::replace::replace_static;
use super::{ClassicGroup, Phase};
use crate::group::Dirty;
use crate::limits::{
    MAX_CLASSIC_GROUP, MAX_ID, MAX_MEMBER_PROTOCOLS, MAX_PROTOCOLS, NEW_MEMBER_JOIN_TIMEOUT,
};
use crate::request::{Client, Join, Protocol};
use crate::response::{JoinRefused, Joined, JoinedMember};
use crate::step::Step;
use crate::timers::GroupTimer;
use crate::{GroupError, Response, Token};

/// A member joins, for the first time or anew.
pub(crate) fn join(
    group: &mut ClassicGroup,
    dirty: &mut Dirty,
    mut request: Join,
    token: Token,
    step: &mut Step<'_>,
) {
    tidy(&mut request);
    if let Err(error) = accept(group, &request, step) {
        // Only a member that was there before can be turned out.
        if error == GroupError::GroupMaxSizeReached {
            turn_out(group, dirty, &request.member_id, step);
        }
        let member_id = match error {
            GroupError::GroupMaxSizeReached => String::new(),
            _ => request.member_id,
        };
        step.reply(token, refused(error, member_id));
    } else if request.member_id.is_empty() {
        join_new(group, dirty, request, token, step);
    } else {
        join_known(group, dirty, request, token, step);
    }
}

/// Whether the request makes sense and there is room for the member.
fn accept(group: &ClassicGroup, request: &Join, step: &Step<'_>) -> Result<(), GroupError> {
    let cost: usize = request.protocols.iter().map(Protocol::cost).sum();
    if cost as u64 > MAX_MEMBER_PROTOCOLS.get() || request.protocols.len() > MAX_PROTOCOLS {
        return Err(GroupError::InvalidRequest { reason: "the protocols are too large" });
    }
    let names = request.protocols.iter().map(|protocol| &protocol.name);
    let names = names.chain([&request.protocol_type, &request.member_id]);
    if names.chain(&request.instance_id).any(|name| name.len() > MAX_ID) {
        return Err(GroupError::InvalidRequest { reason: "an id or a name is too long" });
    }
    let by_instance = request.instance_id.as_ref().and_then(|id| group.static_member(id));
    let id = by_instance.map_or(request.member_id.as_str(), |id| id);
    let member = group.members.get(id);
    let max = step.config.max_members;
    let fits = match group.phase {
        Phase::Empty => group.pending.len() < max,
        // Members that waited first stay, should the limit have been lowered.
        Phase::Preparing => member.is_some_and(|m| m.join.is_some()) || group.joining < max,
        Phase::Completing | Phase::Stable => member.is_some() || group.members.len() < max,
    };
    let is_new = member.is_none();
    let fits = fits && (!is_new || step.has_room && group.pending.len() <= max);
    let before = member.map_or(0, |m| m.protocols.iter().map(Protocol::cost).sum());
    let bytes = (group.bytes() + cost).saturating_sub(before);
    if !fits || bytes as u64 > MAX_CLASSIC_GROUP.get() {
        return Err(GroupError::GroupMaxSizeReached);
    }
    if !group.supports(&request.protocol_type, &request.protocols) {
        return Err(GroupError::InconsistentGroupProtocol);
    }
    Ok(())
}

fn turn_out(group: &mut ClassicGroup, dirty: &mut Dirty, id: &str, step: &mut Step<'_>) {
    let was_pending = group.pending.contains(id);
    let Some(member) = group.remove(id) else {
        if was_pending {
            step.clear_timer(GroupTimer::Session(id.into()));
        }
        return;
    };
    step.clear_timer(GroupTimer::Session(Arc::clone(&member.id)));
    member.refuse(GroupError::UnknownMemberId, step);
    complete_if_all_joined(group, dirty, step);
}

/// What is kept of a request is kept for long, and not with the frame that it came in.
fn tidy(request: &mut Join) {
    let mut seen = BTreeSet::new();
    request.protocols.retain(|protocol| seen.insert(protocol.name.clone()));
    for protocol in &mut request.protocols {
        protocol.metadata = Bytes::copy_from_slice(&protocol.metadata);
    }
    shorten(&mut request.client);
}

/// Cuts what only people read.
pub(crate) fn shorten(client: &mut Client) {
    cut(&mut client.id, MAX_ID);
    cut(&mut client.host, MAX_ID);
}

fn cut(text: &mut String, max: usize) {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

/// A member without an id.
fn join_new(
    group: &mut ClassicGroup,
    dirty: &mut Dirty,
    request: Join,
    token: Token,
    step: &mut Step<'_>,
) {
    // It comes back with the id, which must not be too long then.
    let mut base = request.instance_id.clone().unwrap_or_else(|| request.client.id.clone());
    cut(&mut base, MAX_ID - 64);
    let id: Arc<str> = format!("{base}-{}", request.fresh.hyphenated()).into();
    if let Some(instance) = &request.instance_id {
        match group.static_member(instance).cloned() {
            Some(before) => replace_static(group, dirty, request, &before, id, token, step),
            None => add(group, dirty, request, id, token, step),
        }
    } else if request.can_learn_id {
        // It must come back with its id, so that a client that gives up before it heard of its
        // membership leaves no member behind.
        step.set_timer(GroupTimer::Session(Arc::clone(&id)), request.session_timeout);
        step.reply(token, refused(GroupError::MemberIdRequired, id.to_string()));
        group.pending.insert(id);
    } else {
        add(group, dirty, request, id, token, step);
    }
}

/// A member that brings an id.
fn join_known(
    group: &mut ClassicGroup,
    dirty: &mut Dirty,
    request: Join,
    token: Token,
    step: &mut Step<'_>,
) {
    if request.instance_id.is_none()
        && let Some(id) = group.pending.get(request.member_id.as_str()).cloned()
    {
        add(group, dirty, request, id, token, step);
        return;
    }
    let member = match group.check_member(&request.member_id, request.instance_id.as_deref()) {
        Ok(member) => member,
        Err(error) => {
            step.reply(token, refused(error, request.member_id));
            return;
        }
    };
    let same = member.protocols == request.protocols;
    let is_leader = group.is_leader(&request.member_id);
    match group.phase {
        // Its client may not have heard the answer to its last join: it is told again.
        Phase::Completing if same => {
            let response = group.joined(&request.member_id);
            step.reply(token, response);
        }
        Phase::Stable if same && !is_leader => {
            let response = group.joined(&request.member_id);
            step.reply(token, response);
        }
        // A leader that joins again wants to assign anew, because topics changed.
        Phase::Preparing | Phase::Completing | Phase::Stable => {
            update(group, request, token, step);
            rebalance_or_complete(group, dirty, step);
        }
        Phase::Empty => {
            step.reply(token, refused(GroupError::UnknownMemberId, request.member_id));
        }
    }
}

/// A new member comes in.
fn add(
    group: &mut ClassicGroup,
    dirty: &mut Dirty,
    request: Join,
    id: Arc<str>,
    token: Token,
    step: &mut Step<'_>,
) {
    if group.members.is_empty() {
        group.protocol_type = Some(request.protocol_type);
    }
    if let Some(initial) = &mut group.initial {
        initial.grew = true;
    }
    group.add(Member {
        id: Arc::clone(&id),
        instance_id: request.instance_id,
        client: request.client,
        session_timeout: request.session_timeout,
        rebalance_timeout: request.rebalance_timeout,
        protocols: request.protocols,
        assignment: Bytes::new(),
        join: Some(JoinWait { token: Some(token) }),
        sync: None,
        is_new: true,
    });
    step.waits.push((token, Arc::clone(&id)));
    // It cannot speak before it has heard its id.
    step.set_timer(GroupTimer::Session(id), NEW_MEMBER_JOIN_TIMEOUT);
    rebalance_or_complete(group, dirty, step);
}

/// A member says anew what it offers, and waits.
pub(super) fn update(group: &mut ClassicGroup, request: Join, token: Token, step: &mut Step<'_>) {
    let before = group.change(&request.member_id, |member| {
        member.protocols = request.protocols;
        member.session_timeout = request.session_timeout;
        member.rebalance_timeout = request.rebalance_timeout;
        step.waits.push((token, Arc::clone(&member.id)));
        member.join.replace(JoinWait { token: Some(token) })
    });
    // An older join of the same member, whose client has given up on it.
    if let Some(before) = before.flatten().and_then(|join| join.token) {
        step.reply(before, refused(GroupError::RebalanceInProgress, request.member_id));
    }
}

pub(super) fn refused(error: GroupError, member_id: String) -> Response {
    Response::Join(Err(JoinRefused { error, member_id }))
}

impl Member {
    /// Refuses whatever it waits for.
    pub(super) fn refuse(&self, error: GroupError, step: &mut Step<'_>) {
        let is_known = error != GroupError::UnknownMemberId;
        let member_id = if is_known { self.id.to_string() } else { String::new() };
        if let Some(token) = self.join.as_ref().and_then(|join| join.token) {
            step.reply(token, refused(error.clone(), member_id));
        }
        if let Some(token) = self.sync {
            step.reply(token, Response::Sync(Err(error)));
        }
    }
}

impl ClassicGroup {
    /// Everyone, as the leader sees them.
    pub(super) fn everyone(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let member = |member: &Member| JoinedMember {
            member_id: member.id.to_string(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(protocol),
        };
        self.members.values().map(member).collect()
    }

    /// What a member is told of the present generation.
    pub(super) fn joined(&self, id: &str) -> Response {
        let members = if self.is_leader(id) { self.everyone() } else { Vec::new() };
        Response::Join(Ok(Joined {
            member_id: id.to_owned(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.as_deref().unwrap_or_default().to_owned(),
            skip_assignment: false,
            members,
        }))
    }
}
