//! What lets a node that was killed tell its peers so when it is back.
//!
//! A killed process says no goodbye; its peers would wait for the whole idle timeout. QUIC's answer
//! is the stateless reset: a token that goes with each connection id and that only the node can
//! compute. Here it follows from the node's private key, so that the next process of the same node
//! can answer for the connections of the one before. Nothing is stored.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use ring::hmac;
use tidegate_types::Secret;

/// Length of a connection id, enough that none is met twice.
const ID_LEN: usize = 8;

/// A node's secret for reset tokens and connection ids.
#[derive(Clone)]
pub(crate) struct RestartKey(hmac::Key);

impl RestartKey {
    /// The secret that goes with a node's private key.
    pub(crate) fn of(key: &Secret) -> RestartKey {
        RestartKey(hmac::Key::new(hmac::HMAC_SHA256, key.0.as_bytes()))
    }

    /// Sets up an endpoint so that it answers for its node's earlier processes.
    pub(crate) fn apply(&self, config: &mut EndpointConfig) {
        config.reset_key(Arc::new(self.key(b"tidegate reset tokens")));
        let ids = self.key(b"tidegate connection ids");
        config.cid_generator(move || {
            // Ids must differ from one process to the next; the key makes them hard to guess.
            let start = RandomState::new().build_hasher().finish();
            Box::new(Ids { key: ids.clone(), start, next: 0 })
        });
    }

    fn key(&self, purpose: &[u8]) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&self.0, purpose).as_ref())
    }
}

/// Connection ids that say nothing. They are not validated: an id of an earlier process must get
/// its reset, and only one small answer goes out in 20 ms.
struct Ids {
    key: hmac::Key,
    start: u64,
    next: u64,
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut input = self.start.to_be_bytes().to_vec();
        input.extend_from_slice(&self.next.to_be_bytes());
        self.next += 1;
        ConnectionId::new(&hmac::sign(&self.key, &input).as_ref()[..ID_LEN])
    }

    fn cid_len(&self) -> usize {
        ID_LEN
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
