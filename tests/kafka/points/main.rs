//! What clients have found other brokers to get wrong, each point a test against a real node.
//!
//! `README.md` beside the targets has the list, with the test of each point; every test quotes its
//! own. Where a client shows a point better than the protocol does, the list names its check among
//! the interop suites too.
//!
//! Transactions, SCRAM users and ACLs are not built, and their points are not here.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod aliases;
mod connection;
mod fetching;
mod groups;
mod large;
mod produce;
mod rebalances;
mod sequences;
mod topics;

use tidegate_kafka_tests::{Tidegate, Typed};

/// The tests' own present, years back, so that no clock is mistaken for it.
const T0: i64 = 1_700_000_000_000;

/// A node with nothing in it that serves groups, and a client of it.
fn start() -> (Tidegate, Typed) {
    let node = Tidegate::start();
    let mut client = Typed::open(node.broker());
    client.await_groups();
    (node, client)
}
