//! A client of the classic protocol, as eager consumers are.

use std::time::Duration;

use bytes::Bytes;
use tidegate_group::request::{
    Client as Asker, Heartbeat, Join, Leave, LeavingMember, Protocol as Offer, Sync,
};
use tidegate_group::response::{Joined, Synced};
use tidegate_group::{GroupError, Request, Response};
use tidegate_types::TopicId;
use uuid::Uuid;

use crate::client::{Place, Protocol, Why};
use crate::world::{Planted, World, ms};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It sends a join with its next alarm.
    Out,
    Joining,
    Syncing,
    In,
}

pub struct Classic {
    pub member: String,
    pub generation: i32,
    pub phase: Phase,
    pub leads: bool,
    /// The topics that its assignments were made of.
    pub topics_seen: u64,
    /// What it had read in an earlier generation, and may commit too late.
    pub late: Option<(Place, i64, i32)>,
}

impl Classic {
    pub fn new() -> Classic {
        Classic {
            member: String::new(),
            generation: -1,
            phase: Phase::Out,
            leads: false,
            topics_seen: 0,
            late: None,
        }
    }
}

pub const SESSION: Duration = Duration::from_secs(10);
pub const HEARTBEAT: Duration = Duration::from_secs(3);
pub const REBALANCE: Duration = Duration::from_secs(25);

/// The places of an assignment.
pub fn read(assignment: &Bytes) -> Vec<Place> {
    let place = |bytes: &[u8]| {
        let id = Uuid::from_slice(&bytes[..16]).unwrap();
        (TopicId(id), u32::from_be_bytes(bytes[16..].try_into().unwrap()))
    };
    assignment.chunks(20).map(place).collect()
}

fn write(places: &[Place]) -> Bytes {
    let mut bytes = Vec::new();
    for (topic, partition) in places {
        bytes.extend_from_slice(topic.0.as_bytes());
        bytes.extend_from_slice(&partition.to_be_bytes());
    }
    bytes.into()
}

/// Members in order, whatever ids they have this time.
fn assign(world: &World, group: usize, joined: &Joined) -> Vec<(String, Bytes)> {
    let mut members: Vec<_> = joined.members.iter().collect();
    members.sort_by_key(|member| member.instance_id.clone().unwrap_or(member.member_id.clone()));
    let mut given = vec![Vec::new(); members.len()];
    for (index, at) in world.places(group).into_iter().enumerate() {
        given[index % members.len()].push(at);
        if world.planted == Some(Planted::OverlappingAssignment) && index == 0 {
            given[members.len() - 1].push(at);
        }
    }
    members.iter().zip(given).map(|(m, places)| (m.member_id.clone(), write(&places))).collect()
}

impl World {
    fn classic(&mut self, client: usize) -> &mut Classic {
        match &mut self.clients[client].protocol {
            Protocol::Classic(classic) => classic,
            Protocol::Consumer(_) => unreachable!("a client of the other protocol"),
        }
    }

    pub fn classic_alarm(&mut self, client: usize) {
        match self.classic(client).phase {
            Phase::Out => self.send_join(client),
            Phase::In => {
                let version = self.topics_version;
                let classic = self.classic(client);
                if classic.leads && classic.topics_seen != version {
                    classic.phase = Phase::Out;
                    self.clients[client].owned.clear();
                    self.send_join(client);
                    return;
                }
                self.send_heartbeat(client);
                self.commit_something(client);
            }
            Phase::Joining | Phase::Syncing => {}
        }
    }

    fn send_join(&mut self, client: usize) {
        let fresh = self.fresh();
        let group = self.clients[client].group;
        let instance_id = self.clients[client].instance.clone();
        let metadata = self.subscription(group);
        let skip = !self.old_clients;
        let classic = self.classic(client);
        classic.phase = Phase::Joining;
        let request = Join {
            group: World::group_name(group),
            member_id: classic.member.clone(),
            instance_id,
            client: Asker { id: format!("c{client}"), host: "/10.0.0.1".to_owned() },
            fresh,
            session_timeout: SESSION,
            rebalance_timeout: REBALANCE,
            protocol_type: "consumer".to_owned(),
            protocols: vec![Offer { name: "range".to_owned(), metadata }],
            can_learn_id: client.is_multiple_of(2),
            can_skip_assignment: skip,
        };
        self.send(client, Why::Join, Request::Join(request), 0);
    }

    fn send_heartbeat(&mut self, client: usize) {
        let group = World::group_name(self.clients[client].group);
        let instance_id = self.clients[client].instance.clone();
        let classic = self.classic(client);
        let generation = classic.generation;
        let member_id = classic.member.clone();
        let request = Heartbeat { group, generation, member_id, instance_id };
        self.send(client, Why::Heartbeat, Request::Heartbeat(request), generation);
        self.set_alarm(client, HEARTBEAT);
    }

    pub fn classic_leave(&mut self, client: usize) {
        let group = World::group_name(self.clients[client].group);
        let instance_id = self.clients[client].instance.clone();
        let member_id = self.classic(client).member.clone();
        let members = vec![LeavingMember { member_id, instance_id }];
        self.send(client, Why::Leave, Request::Leave(Leave { group, members }), 0);
    }

    pub fn classic_answer(&mut self, client: usize, why: &Why, response: Response) {
        match (why, response) {
            (Why::Join, Response::Join(Ok(joined))) => self.classic_joined(client, joined),
            (Why::Join, Response::Join(Err(refused))) => {
                let classic = self.classic(client);
                classic.phase = Phase::Out;
                match refused.error {
                    GroupError::MemberIdRequired => {
                        classic.member = refused.member_id;
                        self.send_join(client);
                    }
                    GroupError::UnknownMemberId => self.rejoin_anew(client),
                    GroupError::FencedInstanceId => self.clients[client].up = false,
                    _ => self.set_alarm(client, ms(300)),
                }
            }
            (Why::Sync, Response::Sync(Ok(synced))) => self.classic_synced(client, &synced),
            (Why::Sync, Response::Sync(Err(error))) => self.classic_refused(client, &error),
            (Why::Heartbeat, Response::Heartbeat(Err(error))) => {
                self.classic_refused(client, &error)
            }
            _ => {}
        }
    }

    /// Its connection broke.
    pub fn classic_broken(&mut self, client: usize) {
        let classic = self.classic(client);
        if classic.phase != Phase::In {
            classic.phase = Phase::Out;
        }
        self.set_alarm(client, ms(200));
    }

    fn rejoin_anew(&mut self, client: usize) {
        self.clients[client].owned.clear();
        let classic = self.classic(client);
        classic.member = String::new();
        classic.phase = Phase::Out;
        self.set_alarm(client, ms(100));
    }

    fn classic_refused(&mut self, client: usize, error: &GroupError) {
        match error {
            GroupError::UnknownMemberId => self.rejoin_anew(client),
            GroupError::FencedInstanceId => {
                // Its successor runs: this one ends.
                self.clients[client].owned.clear();
                self.clients[client].up = false;
            }
            GroupError::IllegalGeneration | GroupError::RebalanceInProgress => {
                // What it has read is committed before it gives everything up.
                self.commit_something(client);
                let read = self.clients[client].owned.iter().next();
                let read = read.and_then(|(at, next)| Some((*at, (*next)?)));
                self.clients[client].owned.clear();
                let classic = self.classic(client);
                classic.late = read.map(|(at, next)| (at, next, classic.generation));
                self.classic(client).phase = Phase::Out;
                self.set_alarm(client, ms(10));
            }
            _ => {
                let classic = self.classic(client);
                if classic.phase == Phase::Syncing {
                    classic.phase = Phase::Out;
                }
                self.set_alarm(client, ms(300));
            }
        }
    }

    fn classic_joined(&mut self, client: usize, joined: Joined) {
        let version = self.topics_version;
        let group = self.clients[client].group;
        let instance_id = self.clients[client].instance.clone();
        let leads = joined.leader == joined.member_id;
        let assignments = if leads && !joined.skip_assignment {
            assign(self, group, &joined)
        } else {
            Vec::new()
        };
        if let Some((at, next, generation)) = self.classic(client).late.take()
            && self.rng.chance(30)
        {
            self.send_commit(client, at, next + 1, generation);
        }
        let classic = self.classic(client);
        classic.member = joined.member_id.clone();
        classic.generation = joined.generation;
        classic.phase = Phase::Syncing;
        classic.leads = leads;
        // One that must not assign does not know what the assignments were made of.
        classic.topics_seen = if joined.skip_assignment { 0 } else { version };
        let generation = joined.generation;
        let request = Sync {
            group: World::group_name(group),
            generation,
            member_id: joined.member_id.clone(),
            instance_id,
            protocol_type: joined.protocol_type.clone(),
            protocol: joined.protocol.clone(),
            assignments,
        };
        self.send(client, Why::Sync, Request::Sync(request), generation);
    }

    fn classic_synced(&mut self, client: usize, synced: &Synced) {
        self.clients[client].own(read(&synced.assignment));
        self.classic(client).phase = Phase::In;
        self.set_alarm(client, ms(500));
    }
}
