//! The world around a coordinator: clients, network, disk, clocks, topics.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tidegate_env::Rng;
use tidegate_group::{Config, Coordinator, Now, Request, Response, Token, Topic, Topics};
use tidegate_types::{Timestamp, TopicId};
use uuid::Uuid;

use crate::classic::Classic;
use crate::client::{Client, Place, Protocol};
use crate::consumer::Consumer;
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

    pub fn note(&mut self, what: &'static str) {
        debug_assert!(KINDS.contains(&what));
        *self.counts.entry(what).or_default() += 1;
    }
}

/// What happens at some time.
pub enum Event {
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
pub struct Known(pub BTreeMap<String, Topic>);

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
    pub size: Size,
    /// Which topics each group reads; the first half of the groups are classic.
    pub groups: Vec<Vec<String>>,
    pub classic_groups: usize,
    pub topics: Known,
    pub events: BTreeMap<(Duration, u64), Event>,
    pub sequence: u64,
    /// When the coordinator is asked next what is due.
    pub timer: Option<Duration>,
    pub coordinator: Option<Coordinator>,
    pub config: Config,
    /// The coordinator's clock runs so much faster, in thousandths; its time of day jumps.
    pub drift: i64,
    pub wall: i64,
    pub began: Duration,
    pub disk: Disk,
    /// How many of a hundred appends fail.
    pub failing: u64,
    /// How many of a hundred take long.
    pub slow: u64,
    pub open: BTreeMap<Token, Open>,
    pub next_token: u64,
    pub oracle: Oracle,
    pub calm: Duration,
    pub tally: Tally,
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
            slow: if size == Size::Small && rng.chance(30) { 15 } else { 1 },
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

    pub fn make_client(&mut self, index: usize) {
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

    pub fn make_topic(&mut self, n: u64) {
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

    pub fn at(&mut self, time: Duration, event: Event) {
        self.sequence += 1;
        self.events.insert((time.max(self.now), self.sequence), event);
    }

    pub fn later(&mut self, low: u64, high: u64, event: Event) {
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
    pub fn clocks(&self) -> Now {
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

    pub fn is_calm(&self) -> bool {
        self.now >= self.calm
    }

    pub fn happen(&mut self, event: Event) -> Result<(), String> {
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

    pub fn alarm(&mut self, client: usize, alarm: u64) {
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
}
