//! To the record and back.

use crate::format::{ClassicMemberValue, ClassicValue, StoredPhase};
use crate::group::Dirty;
use crate::request::{Client, Protocol};
use crate::step::Step;
use crate::timers::GroupTimer;

use super::rebalance::prepare;
use super::{ClassicGroup, Member, Phase};

impl ClassicGroup {
    /// The group as it is written; `None` while members join.
    pub(crate) fn to_value(&self) -> Option<ClassicValue> {
        let phase = match self.phase {
            Phase::Empty => StoredPhase::Empty,
            Phase::Preparing => return None,
            Phase::Completing => StoredPhase::Completing,
            Phase::Stable => StoredPhase::Stable,
        };
        let member = |member: &Member| ClassicMemberValue {
            member_id: member.id.to_string(),
            instance_id: member.instance_id.clone(),
            client_id: member.client.id.clone(),
            client_host: member.client.host.clone(),
            session_timeout: member.session_timeout,
            rebalance_timeout: member.rebalance_timeout,
            protocols: member
                .protocols
                .iter()
                .map(|protocol| (protocol.name.clone(), protocol.metadata.clone()))
                .collect(),
            assignment: member.assignment.clone(),
        };
        Some(ClassicValue {
            phase,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.as_ref().map(|leader| leader.to_string()),
            since: self.since,
            members: self.members.values().map(member).collect(),
        })
    }

    /// The group as it was written.
    pub(crate) fn from_value(value: ClassicValue) -> ClassicGroup {
        let mut group = ClassicGroup::after(value.generation, value.since);
        group.phase = match value.phase {
            StoredPhase::Empty => Phase::Empty,
            StoredPhase::Completing => Phase::Completing,
            StoredPhase::Stable => Phase::Stable,
        };
        group.protocol_type = value.protocol_type;
        group.protocol = value.protocol;
        group.leader = value.leader.map(Into::into);
        for member in value.members {
            let protocols = member.protocols.into_iter();
            group.add(Member {
                id: member.member_id.into(),
                instance_id: member.instance_id,
                client: Client { id: member.client_id, host: member.client_host },
                session_timeout: member.session_timeout,
                rebalance_timeout: member.rebalance_timeout,
                protocols: protocols.map(|(name, metadata)| Protocol { name, metadata }).collect(),
                assignment: member.assignment,
                join: None,
                sync: None,
                is_new: false,
            });
        }
        group.learn_topics();
        group
    }

    /// Members that were loaded have a whole session to speak up.
    pub(crate) fn wake(&mut self, dirty: &mut Dirty, step: &mut Step<'_>) {
        for member in self.members.values() {
            step.set_timer(GroupTimer::Session(member.id.clone()), member.session_timeout);
        }
        if self.phase == Phase::Completing {
            self.to_sync = self.members.keys().cloned().collect();
            step.set_timer(GroupTimer::Sync, self.rebalance_timeout());
        }
        if self.members.len() > step.config.max_members {
            // The limit was lowered: who joins too late is turned out.
            prepare(self, dirty, step);
        }
    }
}
