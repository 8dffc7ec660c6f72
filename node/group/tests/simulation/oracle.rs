//! What must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidegate_group::response::{GroupDetail, Joined};

use crate::client::{Client, Place, Protocol, Why};

/// A request that was not answered.
#[derive(Clone, Debug)]
pub struct Open {
    pub client: usize,
    pub connection: u64,
    pub why: Why,
    pub sent: Duration,
    /// When it reached the coordinator.
    pub arrived: Option<Duration>,
    /// Why it must be refused, as of when it arrived.
    pub must_fail: Option<String>,
    /// The generation or epoch that it was sent with.
    pub generation: i32,
    /// Whether its asker is gone.
    pub gone: bool,
}

#[derive(Default)]
pub struct Oracle {
    /// The highest generation told of each classic group.
    told: BTreeMap<usize, i32>,
    /// The members of each generation, by instance id or member id.
    members: BTreeMap<(usize, i32), BTreeSet<String>>,
    /// Who was given what in each generation.
    given: BTreeMap<(usize, i32), BTreeMap<Place, String>>,
    acknowledged: BTreeMap<(usize, Place), i64>,
    sent: BTreeMap<(usize, Place), i64>,
}

impl Oracle {
    /// A generation is told.
    pub fn joined(&mut self, group: usize, joined: &Joined) -> Result<(), String> {
        let highest = self.told.entry(group).or_insert(0);
        if joined.generation < *highest {
            return Err(format!(
                "group {group} is at generation {} after {highest}",
                joined.generation
            ));
        }
        *highest = joined.generation;
        if joined.members.is_empty() {
            return Ok(());
        }
        let name = |member: &tidegate_group::response::JoinedMember| {
            member.instance_id.clone().unwrap_or_else(|| member.member_id.clone())
        };
        let members: BTreeSet<String> = joined.members.iter().map(name).collect();
        let known = self.members.entry((group, joined.generation)).or_insert(members.clone());
        if *known != members {
            return Err(format!(
                "generation {} of group {group} has members {known:?} and {members:?}",
                joined.generation
            ));
        }
        Ok(())
    }

    /// A member of a classic group is told what it owns.
    pub fn given(
        &mut self,
        group: usize,
        generation: i32,
        who: &str,
        places: &[Place],
    ) -> Result<(), String> {
        let given = self.given.entry((group, generation)).or_default();
        for at in places {
            let before = given.entry(*at).or_insert_with(|| who.to_owned());
            if before != who {
                return Err(format!(
                    "in generation {generation} of group {group} {before} and {who} own {at:?}"
                ));
            }
        }
        Ok(())
    }

    /// A member of a consumer group is told what it may own, and `view` says who is a member.
    pub fn assigned(
        clients: &[Client],
        client: usize,
        places: &[Place],
        view: &GroupDetail,
    ) -> Result<(), String> {
        let GroupDetail::Consumer(group) = view else { return Ok(()) };
        let own = &clients[client];
        for (index, other) in clients.iter().enumerate() {
            if index == client || other.group != own.group {
                continue;
            }
            let is_member = group.members.iter().any(|m| m.member_id == other.member());
            if let Some(at) = places.iter().find(|at| other.owned.contains_key(at))
                && is_member
            {
                return Err(format!(
                    "{at:?} is given to {} while {} has it",
                    own.member(),
                    other.member()
                ));
            }
        }
        Ok(())
    }

    /// Why a commit that arrives now must be refused, if it must.
    pub fn must_fail(&self, clients: &[Client], client: usize, open: &Open) -> Option<String> {
        let Why::Commit(at, _) = open.why else { return None };
        let own = &clients[client];
        match own.protocol {
            Protocol::Classic(_) => {
                let highest = self.told.get(&own.group).copied().unwrap_or(0);
                (open.generation < highest).then(|| format!("generation {highest} was told"))
            }
            Protocol::Consumer(_) => {
                let other = clients.iter().enumerate().find(|(index, other)| {
                    *index != client && other.group == own.group && other.owned.contains_key(&at)
                });
                let (_, other) = other?;
                let mine = own.owned.contains_key(&at);
                (!mine).then(|| format!("{} owns {at:?}", other.member()))
            }
        }
    }

    pub fn commit_sent(&mut self, group: usize, at: Place, offset: i64) {
        let sent = self.sent.entry((group, at)).or_insert(offset);
        *sent = offset.max(*sent);
    }

    pub fn commit_acknowledged(
        &mut self,
        group: usize,
        at: Place,
        offset: i64,
        open: &Open,
    ) -> Result<(), String> {
        if let Some(reason) = &open.must_fail {
            return Err(format!(
                "a commit of {at:?} in generation or epoch {} was taken although {reason}",
                open.generation
            ));
        }
        let before = self.acknowledged.insert((group, at), offset).unwrap_or(0);
        if offset < before {
            return Err(format!("group {group}: {at:?} goes back from {before} to {offset}"));
        }
        Ok(())
    }

    pub fn fetched(&self, group: usize, at: Place, offset: Option<i64>) -> Result<(), String> {
        let low = self.acknowledged.get(&(group, at)).copied().unwrap_or(0);
        let high = self.sent.get(&(group, at)).copied().unwrap_or(0);
        let offset = offset.unwrap_or(0);
        if offset < low || offset > high {
            return Err(format!(
                "group {group}: {at:?} is told at {offset}; acknowledged {low}, sent {high}"
            ));
        }
        Ok(())
    }
}
