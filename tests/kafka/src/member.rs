//! A member of a classic group, for tests that look at each of its steps.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_proto::messages::join_group_request::JoinGroupRequestProtocol;
use tidegate_kafka_proto::messages::sync_group_request::SyncGroupRequestAssignment;
use tidegate_kafka_proto::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest,
};

use crate::{Broker, Committer, Typed, error, name};

const JOIN: i16 = 9;
const SYNC: i16 = 5;
const HEARTBEAT: i16 = 4;

/// For what takes several rounds; far more than they take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long members may be silent that do not say otherwise.
const SESSION: Duration = Duration::from_secs(60);

/// One member.
pub struct Member {
    client: Typed,
    group: &'static str,
    /// Its instance id, if it is a static member.
    pub instance: Option<&'static str>,
    /// How long it may be silent.
    pub session: Duration,
    /// What it tells of itself when it joins.
    pub metadata: Bytes,
    /// Its id, once it was given one.
    pub id: String,
    /// The generation that it last joined.
    pub generation: i32,
}

impl Member {
    /// One that has not joined yet.
    #[must_use]
    pub fn open(broker: Broker, group: &'static str) -> Member {
        let metadata = Bytes::from_static(b"metadata");
        let client = Typed::open(broker);
        let (instance, id, generation) = (None, String::new(), -1);
        Member { client, group, instance, session: SESSION, metadata, id, generation }
    }

    /// As whom it commits.
    #[must_use]
    pub fn as_committer(&self) -> Committer<'_> {
        Committer { group: self.group, member: &self.id, generation: self.generation }
    }

    /// Asks to join; the number of the request.
    pub fn ask_to_join(&mut self) -> i32 {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(name("points"))
            .with_metadata(self.metadata.clone());
        let request = JoinGroupRequest::default()
            .with_group_id(name(self.group).into())
            .with_session_timeout_ms(self.session.as_millis() as i32)
            .with_rebalance_timeout_ms(60_000)
            .with_member_id(name(&self.id))
            .with_group_instance_id(self.instance.map(name))
            .with_protocol_type(name("consumer"))
            .with_protocols(vec![protocol]);
        self.client.send(JOIN, &request)
    }

    /// Waits until it is let in.
    ///
    /// # Panics
    /// If it is refused.
    pub fn joined(&mut self, request: i32) -> JoinGroupResponse {
        let answer = self.client.receive::<JoinGroupRequest>(JOIN, request).expect("an answer");
        assert_eq!(error(answer.error_code), ErrorCode::None, "{answer:?}");
        self.id = answer.member_id.to_string();
        self.generation = answer.generation_id;
        answer
    }

    /// Asks for an id, as newer clients do before they join.
    ///
    /// # Panics
    /// If it is given none.
    pub fn ask_for_id(&mut self) {
        let request = self.ask_to_join();
        let answer = self.client.receive::<JoinGroupRequest>(JOIN, request).expect("an answer");
        assert_eq!(error(answer.error_code), ErrorCode::MemberIdRequired, "{answer:?}");
        self.id = answer.member_id.to_string();
    }

    /// Joins, and waits until all others have.
    pub fn join(&mut self) -> JoinGroupResponse {
        if self.id.is_empty() && self.instance.is_none() {
            self.ask_for_id();
        }
        let request = self.ask_to_join();
        self.joined(request)
    }

    /// Hands out assignments, if it leads, and takes its own.
    ///
    /// # Errors
    /// What it is told instead.
    pub fn sync(&mut self, shares: &[(&str, &[u8])]) -> Result<Bytes, ErrorCode> {
        let share = |(member, share): &(&str, &[u8])| {
            SyncGroupRequestAssignment::default()
                .with_member_id(name(member))
                .with_assignment(Bytes::copy_from_slice(share))
        };
        let request = SyncGroupRequest::default()
            .with_group_id(name(self.group).into())
            .with_generation_id(self.generation)
            .with_member_id(name(&self.id))
            .with_group_instance_id(self.instance.map(name))
            .with_protocol_type(Some(name("consumer")))
            .with_protocol_name(Some(name("points")))
            .with_assignments(shares.iter().map(share).collect());
        let answer = self.client.ask(SYNC, &request);
        match error(answer.error_code) {
            ErrorCode::None => Ok(answer.assignment),
            error => Err(error),
        }
    }

    /// Tells that it is there; what it is told.
    pub fn heartbeat(&mut self) -> ErrorCode {
        let request = HeartbeatRequest::default()
            .with_group_id(name(self.group).into())
            .with_generation_id(self.generation)
            .with_member_id(name(&self.id))
            .with_group_instance_id(self.instance.map(name));
        error(self.client.ask(HEARTBEAT, &request).error_code)
    }

    /// Beats until it hears that the group rebalances.
    ///
    /// # Panics
    /// If it does not.
    pub fn hear_of_rebalance(&mut self) {
        let end = Instant::now() + PATIENCE;
        while self.heartbeat() != ErrorCode::RebalanceInProgress {
            assert!(Instant::now() < end, "nobody told it of the rebalance");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
