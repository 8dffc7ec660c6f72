//! The bodies of the fuzz targets, as plain functions: a file in `fuzz_targets` gives each its
//! input. A target panics where an invariant does not hold; any input is fine otherwise.

mod group;
mod kafka;
mod record;
mod wire;

pub use group::group_replay;
pub use kafka::{kafka_fetch_session, kafka_frames, kafka_requests};
pub use record::{record_batch, record_round_trip, record_sealed};
pub use wire::{wire_messages, wire_stream};
