//! A coordinator with a log in memory, and short words for what clients ask.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tidegate_group::request::{
    Client, Commit, CommitPartition, ConsumerHeartbeat, DeleteOffsets, FetchOffsets, Heartbeat,
    Join, Leave, LeavingMember, Protocol, Sync,
};
use tidegate_group::response::{
    CommittedOffset, ConsumerHeartbeatReply, GroupView, JoinRefused, Joined, PerPartition, Synced,
    TopicPartitions,
};
use tidegate_group::{
    AppendId, Appended, Config, Coordinator, Effect, GroupError, Now, Record, Request, Response,
    Token, Topic, Topics,
};
use tidegate_types::{LeaderEpoch, Offset, PartitionId, Timestamp, TopicId};
use uuid::Uuid;

/// Topics by name.
#[derive(Clone, Default)]
pub struct Known(pub BTreeMap<String, Topic>);

impl Topics for Known {
    fn topic(&self, name: &str) -> Option<Topic> {
        self.0.get(name).copied()
    }

    fn each(&self, see: &mut dyn FnMut(&str, Topic)) {
        self.0.iter().for_each(|(name, topic)| see(name, *topic));
    }
}

/// How appends end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    Works,
    Fails,
    /// Appends end when the test says so.
    Stands,
}

pub struct Bench {
    pub coordinator: Coordinator,
    pub config: Config,
    pub now: Now,
    pub topics: Known,
    pub disk: Disk,
    pub log: Vec<Record>,
    pub appends: VecDeque<(AppendId, Vec<Record>)>,
    replies: BTreeMap<Token, Response>,
    next: u64,
}

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub fn topic(n: u128) -> TopicId {
    TopicId(Uuid::from_u128(n))
}

impl Bench {
    /// Without a first delay; with the topics `a` and `b` of four partitions.
    pub fn new() -> Bench {
        Bench::with(Config { initial_rebalance_delay: Duration::ZERO, ..Config::default() })
    }

    pub fn with(config: Config) -> Bench {
        let mut bench = Bench {
            coordinator: Coordinator::new(config.clone()),
            config,
            now: Now { monotonic: seconds(100), wall: Timestamp(1_800_000_000_000) },
            topics: Known::default(),
            disk: Disk::Works,
            log: Vec::new(),
            appends: VecDeque::new(),
            replies: BTreeMap::new(),
            next: 1,
        };
        bench.make_topic("a", 1, 4);
        bench.make_topic("b", 2, 4);
        bench.coordinator.handle_loaded(bench.now, &bench.topics);
        bench.run();
        bench
    }

    pub fn make_topic(&mut self, name: &str, id: u128, partitions: u32) {
        self.topics.0.insert(name.to_owned(), Topic { id: topic(id), partitions });
        self.coordinator.handle_topics_changed();
    }

    /// A new coordinator over what is on record.
    pub fn restart(&mut self) {
        self.coordinator = Coordinator::new(self.config.clone());
        self.replies.clear();
        self.appends.clear();
        for record in &self.log {
            self.coordinator.replay(&record.key, record.value.as_deref()).unwrap();
        }
        self.coordinator.handle_loaded(self.now, &self.topics);
        self.run();
    }

    pub fn run(&mut self) {
        while let Some(effect) = self.coordinator.poll_effect() {
            match effect {
                Effect::Append { id, records } => self.appends.push_back((id, records)),
                Effect::Reply { token, response } => {
                    assert!(self.replies.insert(token, response).is_none(), "answered twice");
                }
            }
            if self.disk != Disk::Stands {
                self.end_appends();
            }
        }
    }

    /// Ends what stands.
    pub fn end_appends(&mut self) {
        while let Some((id, records)) = self.appends.pop_front() {
            let appended = if self.disk == Disk::Fails {
                Appended::Failed
            } else {
                self.log.extend(records);
                Appended::Durable
            };
            self.coordinator.handle_appended(id, appended);
        }
        if self.disk == Disk::Stands {
            self.run();
        }
    }

    pub fn advance(&mut self, time: Duration) {
        let end = self.now.monotonic + time;
        loop {
            let next = self.coordinator.next_timeout().map_or(end, |next| next.min(end));
            let step = next.saturating_sub(self.now.monotonic);
            self.now.monotonic += step;
            self.now.wall.0 += i64::try_from(step.as_millis()).unwrap();
            self.coordinator.handle_timeout(self.now);
            self.run();
            if self.now.monotonic >= end {
                return;
            }
        }
    }

    pub fn ask(&mut self, request: Request) -> Token {
        let token = Token(self.next);
        self.next += 1;
        self.coordinator.handle_request(self.now, token, request, &self.topics);
        self.run();
        token
    }

    pub fn gone(&mut self, token: Token) {
        self.coordinator.handle_gone(self.now, token);
        self.run();
    }

    pub fn is_answered(&self, token: Token) -> bool {
        self.replies.contains_key(&token)
    }

    pub fn answer(&mut self, token: Token) -> Response {
        self.replies.remove(&token).expect("an answer")
    }

    /// A random id, the same in each run.
    pub fn fresh(&self) -> Uuid {
        Uuid::from_u128(0xf00d_0000 + u128::from(self.next))
    }

    pub fn join_request(&self, member: &str) -> Join {
        Join {
            group: "g".to_owned(),
            member_id: member.to_owned(),
            instance_id: None,
            client: Client { id: "client".to_owned(), host: "/127.0.0.1".to_owned() },
            fresh: self.fresh(),
            session_timeout: seconds(10),
            rebalance_timeout: seconds(60),
            protocol_type: "consumer".to_owned(),
            protocols: vec![Protocol { name: "range".to_owned(), metadata: subscription(&["a"]) }],
            can_learn_id: false,
            can_skip_assignment: true,
        }
    }

    pub fn join(&mut self, member: &str) -> Token {
        let request = self.join_request(member);
        self.ask(Request::Join(request))
    }

    pub fn joined(&mut self, token: Token) -> Joined {
        self.join_result(token).unwrap()
    }

    pub fn join_result(&mut self, token: Token) -> Result<Joined, JoinRefused> {
        match self.answer(token) {
            Response::Join(result) => result,
            other => panic!("{other:?}"),
        }
    }

    /// New members that join together, the leader first, and have not synced.
    pub fn assemble(&mut self, count: usize) -> Vec<Joined> {
        let first = self.join("");
        let first = self.joined(first).member_id;
        let mut tokens: Vec<Token> = (1..count).map(|_| self.join("")).collect();
        tokens.insert(0, self.join(&first));
        tokens.into_iter().map(|token| self.joined(token)).collect()
    }

    /// The same, with assignments.
    pub fn settle(&mut self, count: usize) -> Vec<Joined> {
        let members = self.assemble(count);
        let assignments: Vec<_> = members
            .iter()
            .map(|member| (member.member_id.clone(), assignment(&member.member_id)))
            .collect();
        let mut tokens = Vec::new();
        for member in &members {
            let given =
                if member.member_id == member.leader { assignments.clone() } else { vec![] };
            tokens.push(self.sync(&member.member_id, member.generation, given));
        }
        for (member, token) in members.iter().zip(tokens) {
            assert_eq!(self.synced(token).unwrap().assignment, assignment(&member.member_id));
        }
        members
    }

    pub fn sync_request(&self, member: &str, generation: i32) -> Sync {
        Sync {
            group: "g".to_owned(),
            generation,
            member_id: member.to_owned(),
            instance_id: None,
            protocol_type: None,
            protocol: None,
            assignments: Vec::new(),
        }
    }

    pub fn sync(
        &mut self,
        member: &str,
        generation: i32,
        assignments: Vec<(String, Bytes)>,
    ) -> Token {
        let request = Sync { assignments, ..self.sync_request(member, generation) };
        self.ask(Request::Sync(request))
    }

    pub fn synced(&mut self, token: Token) -> Result<Synced, GroupError> {
        match self.answer(token) {
            Response::Sync(result) => result,
            other => panic!("{other:?}"),
        }
    }

    pub fn heartbeat(&mut self, member: &str, generation: i32) -> Result<(), GroupError> {
        self.heartbeat_of(member, None, generation)
    }

    pub fn heartbeat_of(
        &mut self,
        member: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        let token = self.ask(Request::Heartbeat(Heartbeat {
            group: "g".to_owned(),
            generation,
            member_id: member.to_owned(),
            instance_id: instance.map(str::to_owned),
        }));
        match self.answer(token) {
            Response::Heartbeat(result) => result,
            other => panic!("{other:?}"),
        }
    }

    pub fn leave(&mut self, members: &[(&str, Option<&str>)]) -> Vec<Result<(), GroupError>> {
        let members = members.iter().map(|(member, instance)| LeavingMember {
            member_id: (*member).to_owned(),
            instance_id: instance.map(str::to_owned),
        });
        let members = members.collect();
        let token = self.ask(Request::Leave(Leave { group: "g".to_owned(), members }));
        match self.answer(token) {
            Response::Leave(Ok(members)) => members.into_iter().map(|(_, left)| left).collect(),
            other => panic!("{other:?}"),
        }
    }

    pub fn commit_request(&self, member: &str, generation: i32, offset: i64) -> Commit {
        Commit {
            group: "g".to_owned(),
            member_id: member.to_owned(),
            instance_id: None,
            generation,
            knows_epochs: true,
            retention: None,
            topics: vec![("a".to_owned(), vec![partition(0, offset)])],
        }
    }

    /// Commits an offset of partition 0 of `a`.
    pub fn commit(&mut self, member: &str, generation: i32, offset: i64) -> Result<(), GroupError> {
        let request = self.commit_request(member, generation, offset);
        let token = self.ask(Request::Commit(request));
        self.committed(token).map(|done| assert_eq!(done[0].1[0].1, Ok(())))
    }

    pub fn committed(&mut self, token: Token) -> Result<PerPartition<()>, GroupError> {
        match self.answer(token) {
            Response::Commit(result) => result,
            other => panic!("{other:?}"),
        }
    }

    pub fn fetch(
        &mut self,
        request: FetchOffsets,
    ) -> Result<PerPartition<Option<CommittedOffset>>, GroupError> {
        let token = self.ask(Request::FetchOffsets(request));
        match self.answer(token) {
            Response::FetchOffsets(result) => result,
            other => panic!("{other:?}"),
        }
    }

    /// The offset of a partition, as a tool would see it.
    pub fn offset(&mut self, topic: &str, partition: u32) -> Option<i64> {
        let asked = vec![(topic.to_owned(), vec![PartitionId(partition)])];
        let told = self.fetch(FetchOffsets { topics: Some(asked), ..fetch_all() }).unwrap();
        told[0].1[0].1.clone().unwrap().map(|committed| committed.offset.0)
    }

    pub fn delete_offsets(
        &mut self,
        topic: &str,
        partition: u32,
    ) -> Result<Result<(), GroupError>, GroupError> {
        let topics = vec![(topic.to_owned(), vec![PartitionId(partition)])];
        let request = DeleteOffsets { group: "g".to_owned(), topics };
        let token = self.ask(Request::DeleteOffsets(request));
        match self.answer(token) {
            Response::DeleteOffsets(result) => result.map(|done| done[0].1[0].1.clone()),
            other => panic!("{other:?}"),
        }
    }

    pub fn beat(
        &mut self,
        request: ConsumerHeartbeat,
    ) -> Result<ConsumerHeartbeatReply, GroupError> {
        let token = self.ask(Request::ConsumerHeartbeat(request));
        self.beaten(token)
    }

    pub fn beaten(&mut self, token: Token) -> Result<ConsumerHeartbeatReply, GroupError> {
        match self.answer(token) {
            Response::ConsumerHeartbeat(result) => result,
            other => panic!("{other:?}"),
        }
    }

    /// A member's first word: it reads the topic `a`.
    pub fn first_beat(&self, member: &str) -> ConsumerHeartbeat {
        ConsumerHeartbeat {
            rebalance_timeout: Some(seconds(30)),
            topics: Some(vec!["a".to_owned()]),
            owned: Some(Vec::new()),
            ..self.next_beat(member, 0)
        }
    }

    /// A member says that it is alive, and nothing else.
    pub fn next_beat(&self, member: &str, epoch: i32) -> ConsumerHeartbeat {
        ConsumerHeartbeat {
            group: "g".to_owned(),
            member_id: member.to_owned(),
            member_epoch: epoch,
            instance_id: None,
            client: Client { id: "client".to_owned(), host: "/127.0.0.1".to_owned() },
            fresh: self.fresh(),
            has_own_id: true,
            rebalance_timeout: None,
            topics: None,
            regex: None,
            assignor: None,
            owned: None,
        }
    }

    pub fn view(&mut self, group: &str) -> Result<GroupView, GroupError> {
        let request = tidegate_group::request::View { group: group.to_owned() };
        let token = self.ask(Request::View(request));
        match self.answer(token) {
            Response::View(result) => result,
            other => panic!("{other:?}"),
        }
    }
}

pub fn fetch_all() -> FetchOffsets {
    FetchOffsets {
        group: "g".to_owned(),
        member_id: None,
        member_epoch: -1,
        require_stable: false,
        topics: None,
    }
}

pub fn partition(partition: u32, offset: i64) -> CommitPartition {
    CommitPartition {
        partition: PartitionId(partition),
        offset: Offset(offset),
        leader_epoch: LeaderEpoch(3),
        metadata: Some(format!("at {offset}")),
    }
}

/// What a consumer says with its protocol.
pub fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = vec![0, 1];
    bytes.extend(i32::try_from(topics.len()).unwrap().to_be_bytes());
    for topic in topics {
        bytes.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.into()
}

pub fn assignment(member: &str) -> Bytes {
    format!("for {member}").into()
}

/// The partitions of the topic with this id.
pub fn of(topic_id: u128, partitions: &[u32]) -> TopicPartitions {
    vec![(topic(topic_id), partitions.iter().copied().map(PartitionId).collect())]
}
