//! SyncGroup.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::rebalance::{prepare, refuse_syncs};
use super::{ClassicGroup, Phase};
use crate::group::{Dirty, Entity};
use crate::limits::MAX_CLASSIC_GROUP;
use crate::request::Sync;
use crate::response::Synced;
use crate::step::Step;
use crate::timers::GroupTimer;
use crate::{GroupError, Response, Token};

/// A member fetches its assignment; the leader brings everyone's.
pub(crate) fn sync(
    group: &mut ClassicGroup,
    dirty: &mut Dirty,
    request: Sync,
    token: Token,
    step: &mut Step<'_>,
) {
    let id = match check(group, &request) {
        Ok(id) => id,
        Err(error) => {
            step.reply(token, Response::Sync(Err(error)));
            return;
        }
    };
    group.to_sync.remove(&id);
    if group.to_sync.is_empty() {
        step.clear_timer(GroupTimer::Sync);
    }
    if group.phase == Phase::Stable {
        let response = group.synced(&id);
        step.reply(token, response);
        return;
    }
    let before = group.change(&id, |member| member.sync.replace(token)).flatten();
    step.waits.push((token, Arc::clone(&id)));
    if let Some(before) = before {
        // An older one of the same member, whose client has given up on it.
        step.reply(before, Response::Sync(Err(GroupError::RebalanceInProgress)));
    }
    if group.is_leader(&id) {
        assign(group, dirty, request.assignments, step);
    }
}

fn check(group: &ClassicGroup, request: &Sync) -> Result<Arc<str>, GroupError> {
    if group.phase == Phase::Empty {
        return Err(GroupError::UnknownMemberId);
    }
    let member = group.check_member(&request.member_id, request.instance_id.as_deref())?;
    if request.generation != group.generation {
        return Err(GroupError::IllegalGeneration);
    }
    let differs = |asked: &Option<String>, present: &Option<String>| {
        asked.is_some() && present.is_some() && asked != present
    };
    if differs(&request.protocol_type, &group.protocol_type)
        || differs(&request.protocol, &group.protocol)
    {
        return Err(GroupError::InconsistentGroupProtocol);
    }
    if group.phase == Phase::Preparing {
        return Err(GroupError::RebalanceInProgress);
    }
    Ok(Arc::clone(&member.id))
}

/// The leader has assigned: everyone who waits is told, once that is on record.
fn assign(
    group: &mut ClassicGroup,
    dirty: &mut Dirty,
    assignments: Vec<(String, Bytes)>,
    step: &mut Step<'_>,
) {
    let mut assignments: BTreeMap<String, Bytes> = assignments.into_iter().collect();
    assignments.retain(|id, _| group.members.contains_key(id.as_str()));
    let bytes: usize = assignments.values().map(Bytes::len).sum();
    if (group.bytes() + bytes) as u64 > MAX_CLASSIC_GROUP.get() {
        // Cutting them would be worse than telling the leader.
        refuse_syncs(group, &GroupError::RecordTooLarge, step);
        prepare(group, dirty, step);
        return;
    }
    group.phase = Phase::Stable;
    group.since = step.stamp;
    dirty.insert(Entity::Classic);
    let ids: Vec<Arc<str>> = group.members.keys().cloned().collect();
    for id in ids {
        let assignment = assignments.remove(&*id).unwrap_or_default();
        let waiting = group.change(&id, |member| {
            // What came in a large frame must not hold on to it.
            member.assignment = Bytes::copy_from_slice(&assignment);
            member.sync.take().map(|token| (token, member.session_timeout))
        });
        if let Some((token, session)) = waiting.flatten() {
            let response = group.synced(&id);
            step.reply(token, response);
            step.set_timer(GroupTimer::Session(id), session);
        }
    }
}

impl ClassicGroup {
    fn synced(&self, id: &str) -> Response {
        let assignment = self.members.get(id).map(|member| member.assignment.clone());
        Response::Sync(Ok(Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: assignment.unwrap_or_default(),
        }))
    }
}
