//! Requests and answers on their way, and connections that break.

use tidegate_group::request::{Commit, CommitPartition, FetchOffsets};
use tidegate_group::{GroupError, Request, Response, Token};
use tidegate_types::{LeaderEpoch, Offset, PartitionId};

use crate::client::{Place, Protocol, Why};
use crate::oracle::Open;
use crate::world::{Event, Size, World, ms};

impl World {
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
    pub fn break_connection(&mut self, client: usize) {
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

    pub fn break_client(&mut self, client: usize) {
        let state = &mut self.clients[client];
        state.connection += 1;
        (state.committing, state.fetching) = (None, None);
        // Whatever is sent from now on arrives after what was sent on the old connection.
        match &state.protocol {
            Protocol::Classic(_) => self.classic_broken(client),
            Protocol::Consumer(_) => self.consumer_broken(client),
        }
    }

    pub fn arrive(&mut self, token: Token, request: Request) {
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
    pub fn gateway(&self, why: &Why) -> Option<Response> {
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

    pub fn deliver_later(&mut self, token: Token, response: Response) {
        let Some(open) = self.open.get(&token) else { return };
        let client = open.client;
        let at = self.now + ms(self.rng.between(1, 40));
        let at = at.max(self.clients[client].arrives[1]);
        self.clients[client].arrives[1] = at;
        self.at(at, Event::Deliver(token, response));
    }

    pub fn deliver(&mut self, token: Token, response: Response) -> Result<(), String> {
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
        let generation = match &self.clients[client].protocol {
            Protocol::Classic(classic) => classic.generation,
            Protocol::Consumer(consumer) => consumer.epoch,
        };
        let token = self.send_commit(client, at, next + 1, generation);
        self.clients[client].committing = Some(token);
    }

    pub fn send_commit(&mut self, client: usize, at: Place, offset: i64, generation: i32) -> Token {
        let state = &self.clients[client];
        let partition = CommitPartition {
            partition: PartitionId(at.1),
            offset: Offset(offset),
            leader_epoch: LeaderEpoch(0),
            metadata: Some("m".to_owned()),
        };
        let request = Commit {
            group: World::group_name(state.group),
            member_id: state.member().to_owned(),
            instance_id: state.instance.clone(),
            generation,
            knows_epochs: true,
            retention: None,
            topics: vec![(self.name_of(at), vec![partition])],
        };
        self.send(client, Why::Commit(at, offset), Request::Commit(request), generation)
    }

    pub fn name_of(&self, at: Place) -> String {
        let found = self.topics.0.iter().find(|(_, topic)| topic.id == at.0);
        found.map_or_else(|| "gone".to_owned(), |(name, _)| name.clone())
    }
}
