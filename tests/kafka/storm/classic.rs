//! Members as they were before KIP-848: the leader divides the partitions.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_proto::messages::join_group_request::JoinGroupRequestProtocol;
use tidegate_kafka_proto::messages::leave_group_request::MemberIdentity;
use tidegate_kafka_proto::messages::sync_group_request::SyncGroupRequestAssignment;
use tidegate_kafka_proto::messages::{
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest,
};
use tidegate_kafka_tests::{Committer, Typed, name};
use tidegate_tests::Rng;

use crate::{Farewell, PARTITIONS, Storm, stay};

const GROUP: &str = "classic";

/// Kafka's shortest.
const SESSION_MS: i32 = 6_000;

/// How a commit is refused whose generation is over.
const FENCED: [ErrorCode; 3] =
    [ErrorCode::IllegalGeneration, ErrorCode::UnknownMemberId, ErrorCode::RebalanceInProgress];

/// One member after the other, until the storm is over.
pub fn member(storm: &Storm, number: u64, mut rng: Rng) {
    while !storm.is_over() {
        let Some(client) = Typed::try_open(storm.broker) else { continue };
        let (time, farewell) = stay(&mut rng);
        // Most are gone when it grows calm; a few stay.
        if storm.is_calm() && number >= 20 {
            return;
        }
        let until = Instant::now() + time;
        let mut member = Member {
            storm,
            number,
            client,
            id: String::new(),
            generation: -1,
            owned: BTreeSet::new(),
        };
        member.live(until);
        if storm.is_over() {
            // It stays the owner of what it has: the end is checked against that.
            return;
        }
        storm.ledger.leave(number);
        if let Farewell::Leave = farewell {
            member.leave();
        }
    }
}

struct Member<'s> {
    storm: &'s Storm,
    number: u64,
    client: Typed,
    id: String,
    generation: i32,
    owned: BTreeSet<i32>,
}

impl Member<'_> {
    fn live(&mut self, until: Instant) {
        let mut joined = false;
        loop {
            let stays = self.storm.is_calm() && self.number < 20;
            if self.storm.is_over() || (Instant::now() >= until && !stays) {
                return;
            }
            if !joined {
                joined = self.join();
                continue;
            }
            for partition in self.owned.clone() {
                self.count_up(partition);
            }
            std::thread::sleep(Duration::from_millis(150));
            joined = self.heartbeat();
        }
    }

    /// Joins and takes its share; false if it has to be tried again.
    fn join(&mut self) -> bool {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(name("counting"))
            .with_metadata(Bytes::from_static(b"storm"));
        let request = JoinGroupRequest::default()
            .with_group_id(name(GROUP).into())
            .with_session_timeout_ms(SESSION_MS)
            .with_rebalance_timeout_ms(10_000)
            .with_member_id(name(&self.id))
            .with_protocol_type(name("consumer"))
            .with_protocols(vec![protocol]);
        let answer = self.client.ask(7, &request);
        match ErrorCode::from_code(answer.error_code) {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::MemberIdRequired) => {
                self.id = answer.member_id.to_string();
                return false;
            }
            Some(ErrorCode::UnknownMemberId) => {
                self.id.clear();
                return false;
            }
            Some(error) if error.is_retriable() => return false,
            error => panic!("join: {error:?}"),
        }
        self.id = answer.member_id.to_string();
        self.generation = answer.generation_id;
        let shares = if answer.leader == answer.member_id {
            let members: Vec<_> = answer.members.iter().map(|m| m.member_id.clone()).collect();
            divide(&members)
        } else {
            Vec::new()
        };
        let request = SyncGroupRequest::default()
            .with_group_id(name(GROUP).into())
            .with_generation_id(self.generation)
            .with_member_id(name(&self.id))
            .with_protocol_type(Some(name("consumer")))
            .with_protocol_name(Some(name("counting")))
            .with_assignments(shares);
        let answer = self.client.ask(5, &request);
        match ErrorCode::from_code(answer.error_code) {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::RebalanceInProgress) => return false,
            Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => {
                self.id.clear();
                return false;
            }
            Some(error) if error.is_retriable() => return false,
            error => panic!("sync: {error:?}"),
        }
        self.owned = read_share(answer.assignment);
        self.storm.ledger.own(self.number, self.generation, &self.owned, false);
        true
    }

    fn count_up(&mut self, partition: i32) {
        let owner = Committer { group: GROUP, member: &self.id, generation: self.generation };
        let reader = Committer::outside(GROUP);
        self.storm.count_up(&mut self.client, (reader, owner), partition, &FENCED);
    }

    /// Whether it is still a member of the generation that it knows.
    fn heartbeat(&mut self) -> bool {
        let request = HeartbeatRequest::default()
            .with_group_id(name(GROUP).into())
            .with_generation_id(self.generation)
            .with_member_id(name(&self.id));
        let answer = self.client.ask(4, &request);
        match ErrorCode::from_code(answer.error_code) {
            Some(ErrorCode::None) => true,
            Some(ErrorCode::RebalanceInProgress) => false,
            Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => {
                self.storm.ledger.leave(self.number);
                self.id.clear();
                false
            }
            Some(error) if error.is_retriable() => true,
            error => panic!("heartbeat: {error:?}"),
        }
    }

    fn leave(&mut self) {
        let member = MemberIdentity::default().with_member_id(name(&self.id));
        let request = LeaveGroupRequest::default()
            .with_group_id(name(GROUP).into())
            .with_members(vec![member]);
        // Whether it was still known does not matter.
        let _ = self.client.ask(5, &request);
    }
}

/// Gives each member its share.
fn divide(members: &[tidegate_kafka_proto::StrBytes]) -> Vec<SyncGroupRequestAssignment> {
    let count = members.len();
    let shares = members.iter().enumerate().map(|(index, member)| {
        let mut share = BytesMut::new();
        for partition in (0..PARTITIONS).filter(|p| *p as usize % count == index) {
            share.put_i32(partition);
        }
        SyncGroupRequestAssignment::default()
            .with_member_id(member.clone())
            .with_assignment(share.freeze())
    });
    shares.collect()
}

fn read_share(mut share: Bytes) -> BTreeSet<i32> {
    assert!(share.len().is_multiple_of(4), "an assignment was cut: {} bytes", share.len());
    let mut partitions = BTreeSet::new();
    while share.has_remaining() {
        partitions.insert(share.get_i32());
    }
    partitions
}
