//! What clients see of groups, one behaviour a test.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod admin;
mod bench;
mod classic;
mod classic_static;
mod consumer;
mod consumer_static;
mod durability;
mod offsets;
mod retention;
