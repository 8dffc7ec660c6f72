//! Kafka's protocol against real nodes: beside a real Kafka, with hostile clients, through kills.
//!
//! What the tests share: brokers as processes ([`Kafka`], [`Tidegate`]), a client that sends any
//! bytes at all ([`Conn`]), a codec that speaks every version of every request from Kafka's own
//! definitions ([`Schemas`]), and record batches that may be broken at will ([`BatchSpec`]).
//! None of these rests on the code under test: a mistake in Tidegate's codec cannot hide behind
//! the same mistake on this side.
//!
//! Tests that are not about the codec ask in the program's own types ([`Typed`]).

mod ask;
mod batch;
mod conn;
mod kafka;
mod member;
mod offsets;
mod program;
mod schema;
mod tidegate;
mod typed;

pub use ask::{FETCH, PRODUCE, error, fetch, name, new_topic, produce};
pub use batch::{Batch, BatchSpec, RecordSpec, batches};
pub use conn::{Conn, Line, Received, hex, unhex};
pub use kafka::Kafka;
pub use member::Member;
pub use offsets::{Committer, NONE};
pub use schema::{Answer, Field, Kind, Message, SchemaError, Schemas, Versions};
pub use tidegate::{PARTITIONS, Tidegate};
pub use typed::{Gone, Typed};

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Where a broker listens for Kafka's protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broker {
    /// Its address.
    pub address: SocketAddr,
}

impl Broker {
    /// A broker on loopback.
    #[must_use]
    pub fn on(port: u16) -> Broker {
        Broker { address: (Ipv4Addr::LOCALHOST, port).into() }
    }
}

/// The first of two TCP ports of loopback, one after the other, that are free now. Below the ports
/// that systems hand out by themselves, so that no outgoing connection takes one before its use.
///
/// # Panics
/// If there are no two.
pub fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 97) as u16 * 100;
    for _ in 0..5_000 {
        let port = 20_000 + (start + NEXT.fetch_add(2, Ordering::Relaxed)) % 10_000;
        let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if free(port) && free(port + 1) {
            return port;
        }
    }
    panic!("no two TCP ports between 20000 and 29999 are free");
}
