//! A member of a classic group.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::Token;
use crate::request::{Client, Protocol};

/// A join that is answered when the next generation begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct JoinWait {
    /// `None` if the asker is gone: the member counts as joined all the same, for its client may be
    /// back at once, but does not count as alive.
    pub(crate) token: Option<Token>,
}

/// A member.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: Arc<str>,
    pub(crate) instance_id: Option<String>,
    pub(crate) client: Client,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    /// The most wanted first; no name twice.
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) assignment: Bytes,
    pub(crate) join: Option<JoinWait>,
    /// A sync that is answered when the leader has assigned.
    pub(crate) sync: Option<Token>,
    /// Whether it has never been told that it is in the group.
    pub(crate) is_new: bool,
}

impl Member {
    /// Bytes that it holds; more than what its record takes.
    pub(crate) fn cost(&self) -> usize {
        let ids = 2 * self.id.len() + 2 * self.instance_id.as_ref().map_or(0, String::len);
        let protocols: usize = self.protocols.iter().map(Protocol::cost).sum();
        384 + ids
            + self.client.id.len()
            + self.client.host.len()
            + protocols
            + self.assignment.len()
    }

    /// What it said with a protocol.
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        let offered = self.protocols.iter().find(|offered| offered.name == protocol);
        offered.map(|offered| offered.metadata.clone()).unwrap_or_default()
    }

    /// Whether its client is known to be there although it does not speak: it waits for an answer.
    pub(crate) fn is_waiting(&self) -> bool {
        let joins = self.join.as_ref().is_some_and(|join| join.token.is_some());
        !self.is_new && (joins || self.sync.is_some())
    }
}

impl Protocol {
    pub(crate) fn cost(&self) -> usize {
        64 + self.name.len() + self.metadata.len()
    }
}
