//! What goes wrong.

use std::time::Duration;

use tidegate_group::Token;

use crate::classic::Classic;
use crate::client::Protocol;
use crate::consumer::Consumer;
use crate::world::{Event, World, ms};

impl World {
    pub fn fault(&mut self) {
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

    pub fn crash_coordinator(&mut self) {
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
    pub fn crash_client(&mut self, client: usize) {
        self.tally.note("client crashes");
        self.break_connection(client);
        self.begin_anew(client);
    }

    pub fn leave(&mut self, client: usize) {
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

    pub fn begin_anew(&mut self, client: usize) {
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

    pub fn change_topics(&mut self) {
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
}
