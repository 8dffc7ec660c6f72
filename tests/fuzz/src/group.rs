//! Targets of `tidegate-group`.

use std::collections::BTreeSet;
use std::time::Duration;

use tidegate_group::request::{
    Client, Commit, CommitPartition, ConsumerHeartbeat, Describe, FetchOffsets, Join, List,
    Protocol, Sync, View,
};
use tidegate_group::{
    Appended, Config, Coordinator, Effect, Now, Record, Request, Response, Token, Topic, Topics,
};
use tidegate_types::{LeaderEpoch, Offset, PartitionId, Timestamp, TopicId};
use uuid::Uuid;

/// The names of the groups: `c` is a classic one, `m` has members of the newer protocol.
const GROUPS: [&str; 3] = ["c", "m", "none"];

/// More than any timer that a request starts.
const LONG: Duration = Duration::from_secs(1_000);

/// One topic, which all read.
struct One;

impl Topics for One {
    fn topic(&self, name: &str) -> Option<Topic> {
        let topic = Topic { id: TopicId(Uuid::from_u128(1)), partitions: 4 };
        (name == "t").then_some(topic)
    }

    fn each(&self, see: &mut dyn FnMut(&str, Topic)) {
        if let Some(topic) = self.topic("t") {
            see("t", topic);
        }
    }
}

/// A coordinator, what it wrote, and whom it owes an answer.
struct Bench {
    coordinator: Coordinator,
    now: Now,
    log: Vec<Record>,
    owed: BTreeSet<Token>,
    next: u64,
    last: Option<Response>,
}

impl Bench {
    /// One that takes up these records, and how many of them it refused.
    fn over(records: &[Record]) -> (Bench, usize) {
        let config = Config { initial_rebalance_delay: Duration::ZERO, ..Config::default() };
        let mut coordinator = Coordinator::new(config);
        let replay =
            |record: &&Record| coordinator.replay(&record.key, record.value.as_deref()).is_err();
        let refused = records.iter().filter(replay).count();
        let now = Now { monotonic: Duration::from_secs(100), wall: Timestamp(1_800_000_000_000) };
        coordinator.handle_loaded(now, &One);
        let (log, owed) = (Vec::new(), BTreeSet::new());
        let mut bench = Bench { coordinator, now, log, owed, next: 0, last: None };
        bench.run();
        (bench, refused)
    }

    /// Carries out what is to be done; every append is durable.
    fn run(&mut self) {
        while let Some(effect) = self.coordinator.poll_effect() {
            match effect {
                Effect::Append { id, records } => {
                    self.log.extend(records);
                    self.coordinator.handle_appended(id, Appended::Durable);
                }
                Effect::Reply { token, response } => {
                    assert!(self.owed.remove(&token), "nobody waits for {response:?}");
                    self.last = Some(response);
                }
            }
        }
    }

    fn ask(&mut self, request: Request) -> Option<Response> {
        let token = Token(self.next);
        self.next += 1;
        self.owed.insert(token);
        self.last = None;
        self.coordinator.handle_request(self.now, token, request, &One);
        self.run();
        self.last.take()
    }

    /// Lets time pass, from timer to timer.
    fn pass(&mut self, time: Duration) {
        let end = self.now.monotonic + time;
        for _ in 0..10_000 {
            let next = self.coordinator.next_timeout().map_or(end, |next| next.min(end));
            self.now.monotonic = self.now.monotonic.max(next);
            self.coordinator.handle_timeout(self.now);
            self.run();
            if next >= end {
                return;
            }
        }
        panic!("its timers never rest");
    }

    fn join(&mut self, group: &str, member: &str) -> Option<Response> {
        let protocol = Protocol { name: "range".to_owned(), metadata: b"\0\0"[..].into() };
        self.ask(Request::Join(Join {
            group: group.to_owned(),
            member_id: member.to_owned(),
            instance_id: None,
            client: client(),
            fresh: Uuid::from_u128(self.next.into()),
            session_timeout: Duration::from_secs(10),
            rebalance_timeout: Duration::from_secs(60),
            protocol_type: "consumer".to_owned(),
            protocols: vec![protocol],
            can_learn_id: false,
            can_skip_assignment: true,
        }))
    }

    fn beat(&mut self, group: &str, member: &str, instance: Option<&str>) {
        self.ask(Request::ConsumerHeartbeat(ConsumerHeartbeat {
            group: group.to_owned(),
            member_id: member.to_owned(),
            member_epoch: 0,
            instance_id: instance.map(str::to_owned),
            client: client(),
            fresh: Uuid::from_u128(self.next.into()),
            has_own_id: true,
            rebalance_timeout: Some(Duration::from_secs(30)),
            topics: Some(vec!["t".to_owned()]),
            regex: Some("t.*".to_owned()),
            assignor: None,
            owned: Some(Vec::new()),
        }));
    }

    fn commit(&mut self, group: &str, member: &str, generation: i32) {
        let partition = CommitPartition {
            partition: PartitionId(1),
            offset: Offset(5),
            leader_epoch: LeaderEpoch(0),
            metadata: Some("note".to_owned()),
        };
        self.ask(Request::Commit(Commit {
            group: group.to_owned(),
            member_id: member.to_owned(),
            instance_id: None,
            generation,
            knows_epochs: true,
            retention: None,
            topics: vec![("t".to_owned(), vec![partition])],
        }));
    }
}

fn client() -> Client {
    Client { id: "client".to_owned(), host: "/127.0.0.1".to_owned() }
}

/// The records of a coordinator that was at work.
fn at_work() -> Vec<Record> {
    let (mut bench, _) = Bench::over(&[]);
    if let Some(Response::Join(Ok(joined))) = bench.join("c", "") {
        let (member, generation) = (joined.member_id, joined.generation);
        bench.ask(Request::Sync(Sync {
            group: "c".to_owned(),
            generation,
            member_id: member.clone(),
            instance_id: None,
            protocol_type: None,
            protocol: None,
            assignments: vec![(member.clone(), b"all of it"[..].into())],
        }));
        bench.commit("c", &member, generation);
    }
    bench.beat("m", "one", None);
    bench.beat("m", "two", Some("static"));
    bench.commit("m", "", -1);
    bench.commit("none", "", -1);
    bench.log
}

/// Changes records as the input says.
fn damage(records: &mut Vec<Record>, data: &[u8]) {
    for step in data.chunks_exact(4) {
        let [which, how, at, byte] = [step[0], step[1], step[2], step[3]].map(usize::from);
        if records.is_empty() {
            return;
        }
        let which = which % records.len();
        let other = byte % records.len();
        let change = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let place = at % bytes.len().max(1);
            if let Some(found) = bytes.get_mut(place) {
                *found = byte as u8;
            }
            bytes
        };
        match how % 7 {
            0 => records[which].key = change(&records[which].key).into(),
            1 => {
                let value = records[which].value.as_deref().map(change);
                records[which].value = value.map(Into::into);
            }
            2 => {
                let value = records[which].value.clone().unwrap_or_default();
                records[which].value = Some(value.slice(..at.min(value.len())));
            }
            3 => records[which].value = None,
            4 => records[which].value = records[other].value.clone(),
            5 => records.swap(which, other),
            _ => drop(records.remove(which)),
        }
    }
}

/// Replays records that a disk or a stranger has changed: what cannot be a record is refused, and
/// whatever is left, the coordinator serves on: everyone is answered once, timers come to rest, and
/// what it writes itself it can read.
pub fn group_replay(data: &[u8]) {
    let mut records = at_work();
    damage(&mut records, data);
    let (mut bench, refused) = Bench::over(&records);
    assert!(refused == 0 || data.len() >= 4, "its own records are understood");
    for group in GROUPS {
        let group = group.to_owned();
        bench.ask(Request::View(View { group: group.clone() }));
        bench.ask(Request::FetchOffsets(FetchOffsets {
            group: group.clone(),
            member_id: None,
            member_epoch: -1,
            require_stable: false,
            topics: None,
        }));
        bench.ask(Request::Describe(Describe { groups: vec![group.clone()] }));
        bench.join(&group, "");
        bench.beat(&group, "one", None);
        bench.beat(&group, "three", Some("static"));
        bench.commit(&group, "", -1);
    }
    bench.ask(Request::List(List { states: Vec::new(), kinds: Vec::new() }));
    bench.pass(LONG);
    assert!(bench.owed.is_empty(), "{} wait in vain", bench.owed.len());
    let (_, refused) = Bench::over(&bench.log);
    assert_eq!(refused, 0, "what it wrote itself");
}
