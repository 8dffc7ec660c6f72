//! The world around a coordinator: clients, network, disk, clocks, topics.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use tidegate_env::Rng;
use tidegate_group::request::{Commit, CommitPartition, FetchOffsets, View};
use tidegate_group::response::GroupDetail;
use tidegate_group::{
    Appended, Config, Coordinator, Effect, GroupError, Now, Request, Response, Token, Topic, Topics,
};
use tidegate_types::{LeaderEpoch, Offset, PartitionId, Timestamp, TopicId};
use uuid::Uuid;

use crate::classic::{self, Classic};
use crate::client::{Client, Place, Protocol, Why};
use crate::consumer::{self, Consumer};
use crate::disk::Disk;
use crate::oracle::{Open, Oracle};

/// A mistake planted around the coordinator, which the checks must find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Planted {
    LoseDurable,
    EarlyAcknowledgement,
    AnswerTwice,
    OverlappingAssignment,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    Small,
    Large,
}

/// What happened, to show that enough did.
#[derive(Default, Debug)]
pub struct Tally {
    counts: BTreeMap<&'static str, u64>,
}

const KINDS: [&str; 15] = [
    "members",
    "generations",
    "epochs",
    "commits",
    "refused commits",
    "fetches",
    "broken connections",
    "client crashes",
    "static clients that came back",
    "leaves",
    "pauses",
    "coordinator crashes",
    "failed appends",
    "topic changes",
    "rebalances told",
];

impl Tally {
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        KINDS.iter().map(|kind| (*kind, self.counts.get(kind).copied().unwrap_or(0)))
    }

    pub fn add(&mut self, other: &Tally) {
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }

    fn note(&mut self, what: &'static str) {
        debug_assert!(KINDS.contains(&what));
        *self.counts.entry(what).or_default() += 1;
    }
}

enum Event {
    Arrive(Token, Request),
    Deliver(Token, Response),
    /// A client learns that its connection broke.
    Broken(usize, u64),
    /// The coordinator learns that the asker is gone.
    Gone(Token),
    Alarm(usize, u64),
    AppendEnds,
    CoordinatorTimer,
    Restart,
    Fault,
}

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Topics by name.
#[derive(Clone, Default)]
struct Known(BTreeMap<String, Topic>);

impl Topics for Known {
    fn topic(&self, name: &str) -> Option<Topic> {
        self.0.get(name).copied()
    }

    fn each(&self, see: &mut dyn FnMut(&str, Topic)) {
        self.0.iter().for_each(|(name, topic)| see(name, *topic));
    }
}

pub struct World {
    pub rng: Rng,
    pub planted: Option<Planted>,
    pub now: Duration,
    pub clients: Vec<Client>,
    pub topics_version: u64,
    /// Whether classic clients do not know that a leader may have to leave assignments alone. A
    /// static leader of theirs that came back watches no topics (KIP-814): none change then.
    pub old_clients: bool,
    size: Size,
    /// Which topics each group reads; the first half of the groups are classic.
    groups: Vec<Vec<String>>,
    classic_groups: usize,
    topics: Known,
    events: BTreeMap<(Duration, u64), Event>,
    sequence: u64,
    /// When the coordinator is asked next what is due.
    timer: Option<Duration>,
    coordinator: Option<Coordinator>,
    config: Config,
    /// The coordinator's clock runs so much faster, in thousandths; its time of day jumps.
    drift: i64,
    wall: i64,
    began: Duration,
    disk: Disk,
    /// How many of a hundred appends fail.
    failing: u64,
    open: BTreeMap<Token, Open>,
    next_token: u64,
    oracle: Oracle,
    calm: Duration,
    tally: Tally,
}

impl World {
    pub fn new(seed: u64, size: Size, planted: Option<Planted>) -> World {
        let mut rng = Rng::new(seed);
        let (groups, clients) = match size {
            Size::Small => (rng.between(2, 4) as usize, rng.between(4, 24) as usize),
            Size::Large => (4, 3_000),
        };
        let topics = match size {
            Size::Small => rng.between(1, 4),
            Size::Large => 4,
        };
        let mut world = World {
            planted,
            now: Duration::ZERO,
            clients: Vec::new(),
            topics_version: 1,
            old_clients: size == Size::Small && rng.chance(20),
            size,
            groups: Vec::new(),
            classic_groups: groups.div_ceil(2),
            topics: Known::default(),
            events: BTreeMap::new(),
            sequence: 0,
            timer: None,
            coordinator: None,
            config: Config {
                initial_rebalance_delay: ms(rng.below(3) * 1_500),
                ..Config::default()
            },
            drift: rng.below(21) as i64 - 10,
            wall: 1_800_000_000_000,
            began: Duration::ZERO,
            disk: Disk::default(),
            failing: if size == Size::Small && rng.chance(50) { rng.below(15) } else { 0 },
            open: BTreeMap::new(),
            next_token: 1,
            oracle: Oracle::default(),
            calm: Duration::from_secs(if size == Size::Small { 120 } else { 40 }),
            tally: Tally::default(),
            rng,
        };
        for n in 0..topics {
            world.make_topic(n);
        }
        for _ in 0..groups {
            let names = (0..topics).filter(|n| *n == 0 || world.rng.chance(50));
            let names: Vec<_> = names.map(|n| format!("t{n}")).collect();
            world.groups.push(names);
        }
        for index in 0..clients {
            world.make_client(index);
        }
        world
    }

    fn make_client(&mut self, index: usize) {
        let group = index % self.groups.len();
        let instance = self.rng.chance(30).then(|| format!("i{index}"));
        let protocol = if group < self.classic_groups {
            Protocol::Classic(Classic::new())
        } else {
            let member = format!("m{index}-0");
            let regex = self.rng.chance(20);
            let range = group.is_multiple_of(2) && self.rng.chance(50);
            Protocol::Consumer(Consumer::new(member, regex, range))
        };
        let drift = self.rng.below(21) as i64 - 10;
        self.clients.push(Client::new(group, protocol, instance, drift));
    }

    fn make_topic(&mut self, n: u64) {
        let id = TopicId(self.fresh());
        let partitions = match self.size {
            Size::Small => self.rng.between(1, 12) as u32,
            Size::Large => 1_500,
        };
        self.topics.0.insert(format!("t{n}"), Topic { id, partitions });
    }

    pub fn group_name(group: usize) -> String {
        format!("g{group}")
    }

    pub fn group_topics(&self, group: usize) -> &[String] {
        &self.groups[group]
    }

    /// All partitions that a group reads.
    pub fn places(&self, group: usize) -> Vec<Place> {
        let topics = self.groups[group].iter().filter_map(|name| self.topics.topic(name));
        topics.flat_map(|topic| (0..topic.partitions).map(move |n| (topic.id, n))).collect()
    }

    pub fn subscription(&self, group: usize) -> Bytes {
        let names = &self.groups[group];
        let mut bytes = vec![0, 1];
        bytes.extend((names.len() as i32).to_be_bytes());
        for name in names {
            bytes.extend((name.len() as i16).to_be_bytes());
            bytes.extend(name.as_bytes());
        }
        bytes.into()
    }

    pub fn fresh(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.rng.next_u64(), self.rng.next_u64())
    }

    fn at(&mut self, time: Duration, event: Event) {
        self.sequence += 1;
        self.events.insert((time.max(self.now), self.sequence), event);
    }

    fn later(&mut self, low: u64, high: u64, event: Event) {
        let at = self.now + ms(self.rng.between(low, high));
        self.at(at, event);
    }

    pub fn set_alarm(&mut self, client: usize, after: Duration) {
        let state = &mut self.clients[client];
        state.alarm += 1;
        let (at, alarm) = (self.now + state.wait(after), state.alarm);
        self.at(at, Event::Alarm(client, alarm));
    }

    /// The coordinator's clocks.
    fn clocks(&self) -> Now {
        let ran = (self.now - self.began).as_millis() as i64;
        let monotonic = ms((ran * (1_000 + self.drift) / 1_000) as u64 + 5_000);
        Now { monotonic, wall: Timestamp(self.wall + ran) }
    }

    pub fn run(mut self) -> Result<Tally, String> {
        self.at(Duration::ZERO, Event::Restart);
        for client in 0..self.clients.len() {
            self.clients[client].up = true;
            let spread = if self.size == Size::Small { 20_000 } else { 3_000 };
            let after = ms(self.rng.below(spread));
            self.set_alarm(client, after);
            self.tally.note("members");
        }
        let faults = if self.size == Size::Small { self.rng.between(5, 60) } else { 25 };
        for _ in 0..faults {
            let at = ms(self.rng.below(self.calm.as_millis() as u64));
            self.at(at, Event::Fault);
        }
        let settle = if self.size == Size::Small { 240 } else { 150 };
        let end = self.calm + Duration::from_secs(settle);
        while let Some(((at, _), event)) = self.events.pop_first() {
            if at > end {
                break;
            }
            self.now = at;
            self.happen(event)?;
            self.drive()?;
        }
        self.check_open()?;
        self.check_end()?;
        Ok(self.tally)
    }

    fn is_calm(&self) -> bool {
        self.now >= self.calm
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Arrive(token, request) => self.arrive(token, request),
            Event::Deliver(token, response) => self.deliver(token, response)?,
            Event::Broken(client, connection) => {
                if self.clients[client].connection == connection && self.clients[client].up {
                    self.break_client(client);
                }
            }
            Event::Gone(token) => {
                if let Some(open) = self.open.get_mut(&token) {
                    open.gone = true;
                }
                let clocks = self.clocks();
                if let Some(coordinator) = &mut self.coordinator {
                    coordinator.handle_gone(clocks, token);
                }
            }
            Event::Alarm(client, alarm) => self.alarm(client, alarm),
            Event::AppendEnds => self.append_ends(),
            Event::CoordinatorTimer => {
                let clocks = self.clocks();
                if let Some(coordinator) = &mut self.coordinator {
                    coordinator.handle_timeout(clocks);
                }
            }
            Event::Restart => self.restart(),
            Event::Fault => self.fault(),
        }
        Ok(())
    }

    fn alarm(&mut self, client: usize, alarm: u64) {
        let state = &self.clients[client];
        if !state.up || state.alarm != alarm {
            return;
        }
        if state.paused > self.now {
            let at = state.paused;
            self.at(at, Event::Alarm(client, alarm));
            return;
        }
        match &state.protocol {
            Protocol::Classic(_) => self.classic_alarm(client),
            Protocol::Consumer(_) => self.consumer_alarm(client),
        }
    }

    // --- the network

    pub fn send(&mut self, client: usize, why: Why, request: Request, generation: i32) -> Token {
        let token = Token(self.next_token);
        self.next_token += 1;
        let connection = self.clients[client].connection;
        let open = Open {
            client,
            connection,
            why,
            sent: self.now,
            arrived: None,
            must_fail: None,
            generation,
            gone: false,
        };
        self.open.insert(token, open);
        let at = self.now + ms(self.rng.between(1, 40));
        let at = at.max(self.clients[client].arrives[0]);
        self.clients[client].arrives[0] = at;
        self.at(at, Event::Arrive(token, request));
        if !self.is_calm() && self.size == Size::Small && self.rng.chance(1) {
            self.break_connection(client);
        }
        token
    }

    /// What is on its way back is lost; what was sent may arrive.
    fn break_connection(&mut self, client: usize) {
        self.tally.note("broken connections");
        let connection = self.clients[client].connection;
        let tokens: Vec<Token> = self
            .open
            .iter()
            .filter(|(_, open)| open.client == client && open.connection == connection)
            .map(|(token, _)| *token)
            .collect();
        for token in tokens {
            self.later(0, 3_000, Event::Gone(token));
        }
        self.later(1, 3_000, Event::Broken(client, connection));
    }

    fn break_client(&mut self, client: usize) {
        let state = &mut self.clients[client];
        state.connection += 1;
        (state.committing, state.fetching) = (None, None);
        // Whatever is sent from now on arrives after what was sent on the old connection.
        match &state.protocol {
            Protocol::Classic(_) => self.classic_broken(client),
            Protocol::Consumer(_) => self.consumer_broken(client),
        }
    }

    fn arrive(&mut self, token: Token, request: Request) {
        let Some(open) = self.open.get(&token) else { return };
        let (client, group) = (open.client, self.clients[open.client].group);
        if self.coordinator.is_none() {
            // Refused at the door.
            let open = self.open.remove(&token).unwrap();
            self.later(1, 500, Event::Broken(client, open.connection));
            return;
        }
        if let Some(refusal) = self.gateway(&open.why) {
            self.open.get_mut(&token).unwrap().arrived = Some(self.now);
            self.deliver_later(token, refusal);
            return;
        }
        if let Why::Commit(at, offset) = open.why {
            self.oracle.commit_sent(group, at, offset);
        }
        let must_fail = self.oracle.must_fail(&self.clients, client, open);
        let now = self.now;
        let open = self.open.get_mut(&token).unwrap();
        (open.arrived, open.must_fail) = (Some(now), must_fail);
        let clocks = self.clocks();
        if let Some(coordinator) = &mut self.coordinator {
            coordinator.handle_request(clocks, token, request, &self.topics);
        }
    }

    /// Topics that are no more are refused before the coordinator is asked.
    fn gateway(&self, why: &Why) -> Option<Response> {
        let is_there = |at: &Place| {
            self.topics.0.values().any(|topic| topic.id == at.0 && at.1 < topic.partitions)
        };
        let reason = "no such topic";
        match why {
            Why::Commit(at, _) if !is_there(at) => {
                Some(Response::Commit(Err(GroupError::InvalidRequest { reason })))
            }
            Why::Fetch(places) if !places.iter().all(is_there) => {
                Some(Response::FetchOffsets(Err(GroupError::InvalidRequest { reason })))
            }
            _ => None,
        }
    }

    fn deliver_later(&mut self, token: Token, response: Response) {
        let Some(open) = self.open.get(&token) else { return };
        let client = open.client;
        let at = self.now + ms(self.rng.between(1, 40));
        let at = at.max(self.clients[client].arrives[1]);
        self.clients[client].arrives[1] = at;
        self.at(at, Event::Deliver(token, response));
    }

    fn deliver(&mut self, token: Token, response: Response) -> Result<(), String> {
        let Some(open) = self.open.get(&token) else { return Ok(()) };
        let client = open.client;
        if self.clients[client].up && self.clients[client].paused > self.now {
            let at = self.clients[client].paused;
            self.at(at, Event::Deliver(token, response));
            return Ok(());
        }
        let open = self.open.remove(&token).unwrap();
        let state = &mut self.clients[client];
        if !state.up || state.connection != open.connection || open.gone {
            return Ok(());
        }
        match (&open.why, &response) {
            (Why::Commit(at, offset), Response::Commit(result)) => {
                state.committing = None;
                let taken = result.as_ref().is_ok_and(|done| done[0].1[0].1.is_ok());
                if taken && let Some(next) = state.owned.get_mut(at) {
                    *next = Some(*offset);
                }
                return Ok(());
            }
            (Why::Fetch(places), Response::FetchOffsets(result)) => {
                state.fetching = None;
                let told = result.iter().flatten().flat_map(|(_, partitions)| partitions);
                for (at, (_, told)) in places.iter().zip(told) {
                    if let (Some(next @ None), Ok(told)) = (state.owned.get_mut(at), told) {
                        *next = Some(told.as_ref().map_or(0, |committed| committed.offset.0));
                    }
                }
                return Ok(());
            }
            _ => {}
        }
        match &state.protocol {
            Protocol::Classic(_) => self.classic_answer(client, &open.why, response),
            Protocol::Consumer(_) => {
                self.consumer_answer(client, &open.why, open.sent, response)?;
            }
        }
        Ok(())
    }

    /// Commits progress, or finds out where to go on.
    pub fn commit_something(&mut self, client: usize) {
        let state = &self.clients[client];
        let group = World::group_name(state.group);
        let unknown: Vec<Place> =
            state.owned.iter().filter(|(_, next)| next.is_none()).map(|(at, _)| *at).collect();
        if !unknown.is_empty() && state.fetching.is_none() {
            let topics = unknown
                .iter()
                .map(|at| (self.name_of(*at), vec![PartitionId(at.1)]))
                .collect::<Vec<_>>();
            let request = FetchOffsets {
                group: group.clone(),
                member_id: None,
                member_epoch: -1,
                require_stable: true,
                topics: Some(topics),
            };
            let token = self.send(client, Why::Fetch(unknown), Request::FetchOffsets(request), 0);
            self.clients[client].fetching = Some(token);
        }
        let state = &self.clients[client];
        let known: Vec<(Place, i64)> =
            state.owned.iter().filter_map(|(at, next)| Some((*at, (*next)?))).collect();
        if known.is_empty() || state.committing.is_some() {
            return;
        }
        if self.size == Size::Large && !self.rng.chance(5) {
            return;
        }
        let (at, next) = known[self.rng.below(known.len() as u64) as usize];
        let state = &self.clients[client];
        let generation = match &state.protocol {
            Protocol::Classic(classic) => classic.generation,
            Protocol::Consumer(consumer) => consumer.epoch,
        };
        let offset = next + 1;
        let request = Commit {
            group,
            member_id: state.member().to_owned(),
            instance_id: state.instance.clone(),
            generation,
            knows_epochs: true,
            retention: None,
            topics: vec![(
                self.name_of(at),
                vec![CommitPartition {
                    partition: PartitionId(at.1),
                    offset: Offset(offset),
                    leader_epoch: LeaderEpoch(0),
                    metadata: Some("m".to_owned()),
                }],
            )],
        };
        let why = Why::Commit(at, offset);
        let token = self.send(client, why, Request::Commit(request), generation);
        self.clients[client].committing = Some(token);
    }

    fn name_of(&self, at: Place) -> String {
        let found = self.topics.0.iter().find(|(_, topic)| topic.id == at.0);
        found.map_or_else(|| "gone".to_owned(), |(name, _)| name.clone())
    }

    // --- the coordinator and its disk

    fn drive(&mut self) -> Result<(), String> {
        loop {
            let Some(coordinator) = &mut self.coordinator else { return Ok(()) };
            match coordinator.poll_effect() {
                Some(Effect::Append { id, records }) => {
                    let size: usize = records
                        .iter()
                        .map(|r| r.key.len() + r.value.as_ref().map_or(0, |v| v.len()) + 32)
                        .sum();
                    if size as u64 > tidegate_group::limits::MAX_APPEND.get() {
                        return Err(format!("an append of {size} bytes"));
                    }
                    self.disk.pending.push_back((id, records));
                    self.plan_append();
                }
                Some(Effect::Reply { token, response }) => self.reply(token, response)?,
                None => break,
            }
        }
        let next = self.coordinator.as_ref().and_then(Coordinator::next_timeout);
        if let Some(next) = next {
            // From the coordinator's clock to that of the world.
            let ahead = next.saturating_sub(self.clocks().monotonic).as_millis() as i64;
            let at = self.now + ms((ahead * 1_000 / (1_000 + self.drift) + 1) as u64);
            // One timer at a time is enough: it asks again.
            if self.timer.is_none_or(|timer| timer <= self.now || timer > at) {
                self.timer = Some(at);
                self.at(at, Event::CoordinatorTimer);
            }
        }
        Ok(())
    }

    fn plan_append(&mut self) {
        if self.disk.busy.is_none() && !self.disk.pending.is_empty() {
            let slow = if !self.is_calm() && self.rng.chance(2) { 2_000 } else { 15 };
            let at = self.now + ms(self.rng.between(1, slow));
            self.disk.busy = Some(at);
            self.at(at, Event::AppendEnds);
        }
    }

    fn append_ends(&mut self) {
        if self.disk.busy != Some(self.now) {
            return;
        }
        self.disk.busy = None;
        // One sync serves a few of them.
        for _ in 0..=self.rng.below(4) {
            let Some((id, records)) = self.disk.pending.pop_front() else { break };
            let failed = !self.is_calm() && self.rng.chance(self.failing);
            let lost = self.planted == Some(Planted::LoseDurable) && self.rng.chance(10);
            if !lost && (!failed || self.rng.chance(30)) {
                self.disk.records.extend(records);
            }
            if failed {
                self.tally.note("failed appends");
            }
            let appended = if failed { Appended::Failed } else { Appended::Durable };
            if let Some(coordinator) = &mut self.coordinator {
                coordinator.handle_appended(id, appended);
            }
        }
        self.plan_append();
    }

    /// The coordinator answers: what it says is checked as it leaves.
    fn reply(&mut self, token: Token, response: Response) -> Result<(), String> {
        let Some(open) = self.open.get(&token).cloned() else {
            return Err(format!("{token:?} is answered though nobody asks: {response:?}"));
        };
        let client = open.client;
        let group = self.clients[client].group;
        match &response {
            Response::Join(Ok(joined)) => {
                if joined.leader == joined.member_id {
                    self.tally.note("generations");
                }
                self.oracle.joined(group, joined)?;
            }
            Response::Sync(Ok(synced)) => {
                let name = self.clients[client].instance.clone();
                let name = name.unwrap_or_else(|| self.clients[client].member().to_owned());
                let places = classic::read(&synced.assignment);
                self.oracle.given(group, open.generation, &name, &places)?;
            }
            Response::Heartbeat(Err(GroupError::RebalanceInProgress)) => {
                self.tally.note("rebalances told");
            }
            Response::ConsumerHeartbeat(Ok(reply)) => {
                // Looking at everyone takes long where there are thousands.
                if let Some(assignment) = &reply.assignment
                    && (self.size == Size::Small || self.rng.chance(1))
                {
                    self.tally.note("epochs");
                    let places = consumer::places(assignment);
                    let view = self.view(group);
                    Oracle::assigned(&self.clients, client, &places, &view?)?;
                }
            }
            Response::Commit(result) => {
                let Why::Commit(at, offset) = open.why else { unreachable!("a commit") };
                match result {
                    Ok(done) if done[0].1[0].1.is_ok() => {
                        self.tally.note("commits");
                        self.oracle.commit_acknowledged(group, at, offset, &open)?;
                    }
                    _ => self.tally.note("refused commits"),
                }
            }
            Response::FetchOffsets(Ok(told)) => {
                let Why::Fetch(places) = &open.why else { unreachable!("a fetch") };
                let told = told.iter().flat_map(|(_, partitions)| partitions);
                for (at, (_, told)) in places.iter().zip(told) {
                    if let Ok(told) = told {
                        self.tally.note("fetches");
                        let offset = told.as_ref().map(|committed| committed.offset.0);
                        self.oracle.fetched(group, *at, offset)?;
                    }
                }
            }
            _ => {}
        }
        let arrived = open.arrived;
        let answered = self.open.get_mut(&token).unwrap();
        if arrived.is_none() || std::mem::replace(&mut answered.arrived, None).is_none() {
            return Err(format!("{token:?} is answered twice: {response:?}"));
        }
        if open.gone {
            self.open.remove(&token);
            return Ok(());
        }
        let again = self.planted == Some(Planted::AnswerTwice) && self.rng.chance(1);
        self.deliver_later(token, response.clone());
        if again { self.reply(token, response) } else { Ok(()) }
    }

    /// Who is in a group, as the coordinator sees it.
    fn view(&mut self, group: usize) -> Result<GroupDetail, String> {
        let clocks = self.clocks();
        let Some(coordinator) = &mut self.coordinator else { return Err("it is down".to_owned()) };
        let mut before = Vec::new();
        while let Some(effect) = coordinator.poll_effect() {
            before.push(effect);
        }
        let request = Request::View(View { group: World::group_name(group) });
        coordinator.handle_request(clocks, Token(0), request, &self.topics);
        let Some(Effect::Reply { response: Response::View(view), .. }) = coordinator.poll_effect()
        else {
            return Err("a look was not answered at once".to_owned());
        };
        self.handle_effects(before)?;
        view.map(|view| view.detail).map_err(|error| format!("group {group}: {error}"))
    }

    fn handle_effects(&mut self, effects: Vec<Effect>) -> Result<(), String> {
        for effect in effects {
            match effect {
                Effect::Append { id, records } => {
                    self.disk.pending.push_back((id, records));
                    self.plan_append();
                }
                Effect::Reply { token, response } => self.reply(token, response)?,
            }
        }
        Ok(())
    }

    fn restart(&mut self) {
        self.began = self.now;
        let mut coordinator = Coordinator::new(self.config.clone());
        if self.rng.chance(50) {
            self.disk.compact();
        }
        for record in &self.disk.records {
            coordinator.replay(&record.key, record.value.as_deref()).unwrap();
        }
        coordinator.handle_loaded(self.clocks(), &self.topics);
        self.coordinator = Some(coordinator);
        self.timer = None;
    }

    // --- what goes wrong

    fn fault(&mut self) {
        let client = self.rng.below(self.clients.len() as u64) as usize;
        match self.rng.below(12) {
            0 | 1 => self.crash_client(client),
            2 => self.leave(client),
            3 | 4 => {
                self.tally.note("pauses");
                let pause = ms(self.rng.between(100, 70_000));
                self.clients[client].paused = self.now + pause;
            }
            5 | 6 => self.break_connection(client),
            7 => {
                self.wall += self.rng.between(0, 10_000_000_000) as i64 - 3_000_000_000;
            }
            8 | 9 => self.change_topics(),
            _ => self.crash_coordinator(),
        }
    }

    fn crash_coordinator(&mut self) {
        if self.coordinator.take().is_none() {
            return;
        }
        self.tally.note("coordinator crashes");
        let written = self.rng.below(self.disk.pending.len() as u64 + 1) as usize;
        self.disk.crash(written);
        // Everyone loses their connection, and what was asked on it.
        let asked: Vec<(Token, usize, u64)> = self
            .open
            .iter()
            .filter(|(_, open)| open.arrived.is_some())
            .map(|(token, open)| (*token, open.client, open.connection))
            .collect();
        for (token, client, connection) in asked {
            self.open.remove(&token);
            self.later(1, 2_000, Event::Broken(client, connection));
        }
        self.later(100, 8_000, Event::Restart);
    }

    /// The process ends without a word; another one begins in its place.
    fn crash_client(&mut self, client: usize) {
        self.tally.note("client crashes");
        self.break_connection(client);
        self.begin_anew(client);
    }

    fn leave(&mut self, client: usize) {
        if !self.clients[client].up || self.clients[client].member().is_empty() {
            return;
        }
        self.tally.note("leaves");
        match &self.clients[client].protocol {
            Protocol::Classic(_) => {
                if self.clients[client].instance.is_none() {
                    self.classic_leave(client);
                }
            }
            Protocol::Consumer(_) => {
                let epoch = if self.clients[client].instance.is_some() { -2 } else { -1 };
                self.clients[client].owned.clear();
                self.send_consumer_heartbeat(client, epoch);
            }
        }
        self.begin_anew(client);
    }

    fn begin_anew(&mut self, client: usize) {
        if self.clients[client].instance.is_some() {
            self.tally.note("static clients that came back");
        }
        let process = self.next_token;
        let state = &mut self.clients[client];
        state.connection += 1;
        state.owned.clear();
        (state.committing, state.fetching) = (None, None);
        (state.up, state.paused) = (true, Duration::ZERO);
        match &mut state.protocol {
            Protocol::Classic(classic) => *classic = Classic::new(),
            Protocol::Consumer(consumer) => {
                let member = format!("m{client}-{process}");
                *consumer = Consumer::new(member, consumer.reads_by_regex, consumer.range);
            }
        }
        let after = ms(self.rng.between(10, 30_000));
        self.set_alarm(client, after);
    }

    fn change_topics(&mut self) {
        if self.old_clients {
            return;
        }
        self.tally.note("topic changes");
        self.topics_version += 1;
        let clocks = self.clocks();
        let n = self.rng.below(self.topics.0.len() as u64);
        let name = format!("t{n}");
        if self.rng.chance(70) {
            let more = self.rng.between(1, 3) as u32;
            let topic = self.topics.0.get_mut(&name).unwrap();
            topic.partitions += more;
        } else {
            let gone = self.topics.0.remove(&name).unwrap();
            if let Some(coordinator) = &mut self.coordinator {
                coordinator.handle_topic_deleted(clocks, &name, gone.id);
            }
            self.make_topic(n);
        }
        if let Some(coordinator) = &mut self.coordinator {
            coordinator.handle_topics_changed();
        }
    }

    // --- the end

    fn check_open(&self) -> Result<(), String> {
        let patience = Duration::from_secs(100);
        let forgotten = self.open.iter().find(|(_, open)| {
            !open.gone && open.arrived.is_some_and(|arrived| self.now > arrived + patience)
        });
        match forgotten {
            Some((token, open)) => Err(format!("{token:?} is never answered: {open:?}")),
            None => Ok(()),
        }
    }

    /// Every partition has exactly one owner.
    fn check_end(&mut self) -> Result<(), String> {
        for group in 0..self.groups.len() {
            let mut owners: BTreeMap<Place, usize> = BTreeMap::new();
            let members: Vec<usize> = (0..self.clients.len())
                .filter(|client| self.clients[*client].group == group && self.clients[*client].up)
                .collect();
            if members.is_empty() {
                continue;
            }
            for client in &members {
                for at in self.clients[*client].owned.keys() {
                    if let Some(before) = owners.insert(*at, *client) {
                        return Err(format!(
                            "in the end {at:?} of group {group} belongs to {before} and {client}"
                        ));
                    }
                }
            }
            let mut expected: BTreeSet<Place> = BTreeSet::new();
            if !members.iter().all(|client| self.reads_all(*client)) {
                expected.extend(self.places(group));
            }
            if members.iter().any(|client| self.reads_all(*client)) {
                let all = self.topics.0.values();
                expected.extend(all.flat_map(|t| (0..t.partitions).map(|n| (t.id, n))));
            }
            if let Some(at) = expected.iter().find(|at| !owners.contains_key(at)) {
                return Err(format!("in the end nobody in group {group} has {at:?}"));
            }
            if let Some(at) = owners.keys().find(|at| !expected.contains(at)) {
                return Err(format!("in the end group {group} still has {at:?}"));
            }
            let state = match self.view(group)? {
                GroupDetail::Classic(group) => group.state,
                GroupDetail::Consumer(group) => group.state,
            };
            if state != "Stable" {
                return Err(format!("in the end group {group} is {state}"));
            }
        }
        Ok(())
    }

    fn reads_all(&self, client: usize) -> bool {
        matches!(&self.clients[client].protocol, Protocol::Consumer(c) if c.reads_by_regex)
    }
}
