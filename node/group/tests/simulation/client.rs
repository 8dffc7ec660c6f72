//! What clients of both protocols have in common.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_group::Token;
use tidegate_types::TopicId;

use crate::classic::Classic;
use crate::consumer::Consumer;

/// A partition, by its topic's id.
pub type Place = (TopicId, u32);

/// Who a request was sent for, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    Join,
    Sync,
    Heartbeat,
    Leave,
    /// A commit of this offset.
    Commit(Place, i64),
    Fetch(Vec<Place>),
}

pub enum Protocol {
    Classic(Classic),
    Consumer(Consumer),
}

/// One client process after the other, in the same place.
pub struct Client {
    pub group: usize,
    /// Set for static members.
    pub instance: Option<String>,
    pub protocol: Protocol,
    pub up: bool,
    pub paused: Duration,
    /// Its connection; another one after each break.
    pub connection: u64,
    /// When the last request arrives, and the last answer.
    pub arrives: [Duration; 2],
    /// Its clock runs so much faster, in thousandths.
    pub drift: i64,
    /// What it owns, with the next offset to commit where it is known.
    pub owned: BTreeMap<Place, Option<i64>>,
    pub committing: Option<Token>,
    pub fetching: Option<Token>,
    /// Its timer; an older one is void.
    pub alarm: u64,
    /// When it sent the last request that was answered well.
    pub kept_up: Duration,
}

impl Client {
    pub fn new(group: usize, protocol: Protocol, instance: Option<String>, drift: i64) -> Client {
        Client {
            group,
            instance,
            protocol,
            up: false,
            paused: Duration::ZERO,
            connection: 1,
            arrives: [Duration::ZERO; 2],
            drift,
            owned: BTreeMap::new(),
            committing: None,
            fetching: None,
            alarm: 0,
            kept_up: Duration::ZERO,
        }
    }

    pub fn member(&self) -> &str {
        match &self.protocol {
            Protocol::Classic(classic) => &classic.member,
            Protocol::Consumer(consumer) => &consumer.member,
        }
    }

    /// A time by its own clock.
    pub fn wait(&self, time: Duration) -> Duration {
        let millis = time.as_millis() as i64;
        Duration::from_millis((millis * 1_000 / (1_000 + self.drift)).max(1) as u64)
    }

    /// Owns these and nothing else; what it had it goes on with.
    pub fn own(&mut self, places: impl IntoIterator<Item = Place>) {
        let mut before = std::mem::take(&mut self.owned);
        self.owned = places.into_iter().map(|at| (at, before.remove(&at).flatten())).collect();
    }
}
