//! Incremental fetch sessions (KIP-227): a client names its partitions once, then only changes, and
//! hears only of partitions where there is news.
//!
//! [`FetchSessions`] is one node's sessions. Per fetch:
//! 1. [`handle_request`](FetchSessions::handle_request) gives a [`Fetch`]: which partitions to
//!    read, and from where.
//! 2. The driver reads, waiting as the request says.
//! 3. [`handle_results`](FetchSessions::handle_results) takes what it found and gives the
//!    [`FetchAnswer`](crate::fetch_response::FetchAnswer): in a session, without the partitions
//!    that have no news.
//!
//! Between 1 and 3 other fetches may pass; a session that went away or moved on meanwhile gives an
//! answer that says so and tells of no partition. Where a session cannot be kept, for want of room,
//! nothing is lost: the client is told so and names all its partitions again.
//!
//! What it holds true:
//! - The order of a session's partitions is the order to read them in. One whose records were sent
//!   moves to the end, so that none starves however small the answers are.
//! - A partition is told of when it has records, an error, another high watermark or log start than
//!   the client was last told, a divergence or a preferred replica.
//! - Sessions and partitions are bounded, all sessions together.
//!
//! What it does not do: no clock and no randomness, both are parameters; no reading; nothing about
//! followers, whose sessions Kafka prefers over those of consumers.

mod cache;
mod fetch;
mod session;

pub use cache::{FetchSessions, SessionLimits};
pub use fetch::{Fetch, FetchPosition, FetchTarget};

#[cfg(test)]
mod tests;
