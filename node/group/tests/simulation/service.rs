//! The coordinator, its disk, and what is checked of every answer as it leaves.

use tidegate_group::request::View;
use tidegate_group::response::GroupDetail;
use tidegate_group::{Appended, Coordinator, Effect, GroupError, Request, Response, Token};

use crate::client::Why;
use crate::oracle::Oracle;
use crate::world::{Event, Planted, Size, World, ms};
use crate::{classic, consumer};

impl World {
    pub fn drive(&mut self) -> Result<(), String> {
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

    pub fn plan_append(&mut self) {
        if self.disk.busy.is_none() && !self.disk.pending.is_empty() {
            let stands = !self.is_calm() && self.rng.chance(self.slow);
            let slow = if stands { 4_000 } else { 15 };
            let at = self.now + ms(self.rng.between(1, slow));
            self.disk.busy = Some(at);
            self.at(at, Event::AppendEnds);
        }
    }

    pub fn append_ends(&mut self) {
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
    pub fn reply(&mut self, token: Token, response: Response) -> Result<(), String> {
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
        if arrived.is_none() || answered.arrived.take().is_none() {
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
    pub fn view(&mut self, group: usize) -> Result<GroupDetail, String> {
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

    pub fn handle_effects(&mut self, effects: Vec<Effect>) -> Result<(), String> {
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

    pub fn restart(&mut self) {
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
}
