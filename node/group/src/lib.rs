//! The group coordinator as a state machine: members, assignments, committed offsets.
//!
//! [`Coordinator`] does what Kafka's group coordinator does, for both of its protocols: classic
//! groups, whose members agree through a leader among them, and consumer groups (KIP-848), where
//! the coordinator assigns. It has neither IO nor clock: requests, the ends of appends and the time
//! come in, appends and answers go out as [`Effect`]s.
//!
//! What it holds true:
//! - What a client is told is on record before it is told. Committed offsets are seen once they are
//!   durable, and never go back to an older commit.
//! - Within a generation of a classic group a member is given what its leader gave it, byte for
//!   byte; of a consumer group no two members are told to own one partition.
//! - Generations and epochs only rise; who is fenced stays fenced.
//! - Every request is answered once.
//! - All that clients can make grow is bounded, see [`limits`].
//!
//! Its state is a set of records in a compacted topic, written and read in `format` only. Members
//! live in memory, which may run ahead of the records: an append that fails refuses the answers
//! that waited for it, and what was in it is written again with the group's next change.
//!
//! What it does not do: it authorizes nobody, checks no topic for existence, and knows nothing of
//! protocol versions: that is for the gateway. Groups of the two kinds do not mix: a group that is
//! empty may change its kind, another refuses members of the other kind.

mod classic;
mod config;
mod consumer;
mod coordinator;
mod effect;
mod error;
mod format;
mod group;
pub mod limits;
mod offsets;
pub mod request;
pub mod response;
mod step;
mod time;
mod timers;
mod topics;

pub use config::Config;
pub use coordinator::Coordinator;
pub use effect::{AppendId, Appended, Effect, Record, Token};
pub use error::GroupError;
pub use format::FormatError;
pub use request::Request;
pub use response::Response;
pub use time::Now;
pub use topics::{Topic, Topics};
