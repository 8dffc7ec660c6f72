//! A client of the consumer protocol (KIP-848).

use std::time::Duration;

use tidegate_group::request::{Client as Asker, ConsumerHeartbeat};
use tidegate_group::response::{ConsumerHeartbeatReply, TopicPartitions};
use tidegate_group::{GroupError, Request, Response};
use tidegate_types::{PartitionId, TopicId};

use crate::client::{Place, Protocol, Why};
use crate::world::{Planted, World, ms};

pub struct Consumer {
    pub member: String,
    /// 0 while it joins.
    pub epoch: i32,
    pub waiting: bool,
    /// Whether the next heartbeat says everything.
    pub full: bool,
    pub reads_by_regex: bool,
    pub range: bool,
    /// What it may own once it has given up what it may not.
    pub target: Option<Vec<Place>>,
    /// Since when it may have been told to give something up.
    pub revoking: Option<Duration>,
    /// When the first heartbeat since the last good answer was sent.
    pub unheard: Option<Duration>,
    /// How many were sent since then.
    pub unanswered: u32,
    /// What it had read of a partition that it gave up, in which epoch, and may commit too late.
    pub late: Option<(Place, i64, i32)>,
}

impl Consumer {
    pub fn new(member: String, reads_by_regex: bool, range: bool) -> Consumer {
        Consumer {
            member,
            epoch: 0,
            waiting: false,
            full: true,
            reads_by_regex,
            range,
            target: None,
            revoking: None,
            unheard: None,
            unanswered: 0,
            late: None,
        }
    }
}

pub const SESSION: Duration = Duration::from_secs(45);
pub const REBALANCE: Duration = Duration::from_secs(30);

fn by_topic(places: impl Iterator<Item = Place>) -> TopicPartitions {
    let mut topics: TopicPartitions = Vec::new();
    for (topic, partition) in places {
        match topics.last_mut() {
            Some((last, partitions)) if *last == topic => partitions.push(PartitionId(partition)),
            _ => topics.push((topic, vec![PartitionId(partition)])),
        }
    }
    topics
}

pub fn places(topics: &TopicPartitions) -> Vec<Place> {
    let of = |(topic, partitions): &(TopicId, Vec<PartitionId>)| -> Vec<Place> {
        partitions.iter().map(|partition| (*topic, partition.0)).collect()
    };
    topics.iter().flat_map(of).collect()
}

impl World {
    pub fn consumer(&mut self, client: usize) -> &mut Consumer {
        match &mut self.clients[client].protocol {
            Protocol::Consumer(consumer) => consumer,
            Protocol::Classic(_) => unreachable!("a client of the other protocol"),
        }
    }

    pub fn consumer_alarm(&mut self, client: usize) {
        // What it was told to give up takes a while.
        if let Some(target) = self.consumer(client).target.take() {
            let gone = self.clients[client].owned.iter().find(|(at, _)| !target.contains(at));
            let gone = gone.and_then(|(at, next)| Some((*at, (*next)?)));
            self.clients[client].own(target);
            let consumer = self.consumer(client);
            consumer.full = true;
            consumer.late = gone.map(|(at, next)| (at, next, consumer.epoch));
        }
        let consumer = self.consumer(client);
        let epoch = consumer.epoch;
        if let Some((at, next, _)) = consumer.late.take_if(|(_, _, then)| *then < epoch)
            && self.rng.chance(50)
        {
            self.send_commit(client, at, next + 1, epoch - 1);
        }
        if !self.consumer(client).waiting {
            let epoch = self.consumer(client).epoch;
            self.send_consumer_heartbeat(client, epoch);
        }
        self.commit_something(client);
        self.set_alarm(client, ms(5_000));
    }

    pub fn send_consumer_heartbeat(&mut self, client: usize, epoch: i32) {
        let fresh = self.fresh();
        let now = self.now;
        let early = self.planted == Some(Planted::EarlyAcknowledgement);
        let group = self.clients[client].group;
        let names = self.group_topics(group).to_vec();
        let instance_id = self.clients[client].instance.clone();
        let mut owned: Vec<Place> = self.clients[client].owned.keys().copied().collect();
        let consumer = self.consumer(client);
        if early && let Some(target) = &consumer.target {
            owned.clone_from(target);
        }
        let full = consumer.full || epoch == 0;
        if epoch == 0 {
            owned.clear();
        }
        consumer.waiting = epoch >= 0;
        consumer.unheard.get_or_insert(now);
        consumer.unanswered += 1;
        let regex = if consumer.reads_by_regex { "t.*" } else { "" };
        let request = ConsumerHeartbeat {
            group: World::group_name(group),
            member_id: consumer.member.clone(),
            member_epoch: epoch,
            instance_id,
            client: Asker { id: format!("c{client}"), host: "/10.0.0.1".to_owned() },
            fresh,
            has_own_id: true,
            rebalance_timeout: full.then_some(REBALANCE),
            topics: full.then(|| if consumer.reads_by_regex { vec![] } else { names }),
            regex: full.then(|| regex.to_owned()),
            assignor: full.then(|| if consumer.range { "range" } else { "uniform" }.to_owned()),
            owned: full.then(|| by_topic(owned.into_iter())),
        };
        let why = if epoch < 0 { Why::Leave } else { Why::Heartbeat };
        self.send(client, why, Request::ConsumerHeartbeat(request), epoch);
    }

    pub fn consumer_answer(
        &mut self,
        client: usize,
        why: &Why,
        sent: Duration,
        response: Response,
    ) -> Result<(), String> {
        if *why != Why::Heartbeat {
            return Ok(());
        }
        let Response::ConsumerHeartbeat(result) = response else { return Ok(()) };
        self.consumer(client).waiting = false;
        match result {
            Ok(reply) => self.consumer_goes_on(client, sent, reply),
            Err(GroupError::UnknownMemberId | GroupError::FencedMemberEpoch) => {
                // Two answers in a row that are lost may be two epochs: only the last is forgiven.
                if self.consumer(client).unanswered < 3 {
                    self.check_fencing(client, sent)?;
                }
                self.rejoin(client);
            }
            Err(GroupError::UnreleasedInstanceId) => self.set_alarm(client, ms(4_000)),
            Err(GroupError::FencedInstanceId) => {
                self.clients[client].owned.clear();
                self.clients[client].up = false;
            }
            Err(GroupError::GroupIdNotFound) => self.rejoin(client),
            Err(_) => {
                self.consumer(client).full = true;
                self.set_alarm(client, ms(300));
            }
        }
        Ok(())
    }

    fn consumer_goes_on(&mut self, client: usize, sent: Duration, reply: ConsumerHeartbeatReply) {
        let now = self.now;
        let joins = self.consumer(client).epoch == 0;
        self.clients[client].kept_up = sent;
        let consumer = self.consumer(client);
        consumer.epoch = reply.member_epoch;
        consumer.full = false;
        (consumer.unheard, consumer.unanswered) = (None, 0);
        let Some(assignment) = reply.assignment else {
            if consumer.target.is_none() {
                consumer.revoking = None;
            }
            return;
        };
        let target = places(&assignment);
        let owned = &self.clients[client].owned;
        let gives_up = owned.keys().any(|at| !target.contains(at));
        if gives_up && !joins {
            let slow = self.rng.between(50, 3_000);
            let consumer = self.consumer(client);
            consumer.target = Some(target);
            consumer.revoking.get_or_insert(sent.min(now));
            if self.planted == Some(Planted::EarlyAcknowledgement) {
                let consumer = self.consumer(client);
                consumer.full = true;
                let epoch = consumer.epoch;
                self.send_consumer_heartbeat(client, epoch);
            }
            self.set_alarm(client, ms(slow));
        } else {
            let consumer = self.consumer(client);
            (consumer.target, consumer.revoking) = (None, None);
            self.clients[client].own(target);
        }
    }

    fn rejoin(&mut self, client: usize) {
        self.clients[client].owned.clear();
        let consumer = self.consumer(client);
        (consumer.epoch, consumer.full) = (0, true);
        (consumer.target, consumer.revoking, consumer.unheard) = (None, None, None);
        consumer.unanswered = 0;
        self.set_alarm(client, ms(200));
    }

    /// Nobody is fenced who kept up: neither silent for a session nor slow to give up.
    fn check_fencing(&mut self, client: usize, sent: Duration) -> Result<(), String> {
        let kept_up = self.clients[client].kept_up;
        let consumer = self.consumer(client);
        let late = |since: Option<Duration>| {
            since.is_some_and(|since| sent.saturating_sub(since) > REBALANCE - ms(2_000))
        };
        let silent = sent.saturating_sub(kept_up) > SESSION - ms(2_000);
        if consumer.epoch == 0 || silent || late(consumer.revoking) || late(consumer.unheard) {
            return Ok(());
        }
        Err(format!(
            "{} was fenced at epoch {} although it kept up: {sent:?}, before {kept_up:?}, gives up \
             since {:?}, unheard since {:?}",
            consumer.member, consumer.epoch, consumer.revoking, consumer.unheard
        ))
    }

    /// Its connection broke.
    pub fn consumer_broken(&mut self, client: usize) {
        let consumer = self.consumer(client);
        (consumer.waiting, consumer.full) = (false, true);
        if consumer.target.is_none() {
            self.set_alarm(client, ms(200));
        }
    }
}
