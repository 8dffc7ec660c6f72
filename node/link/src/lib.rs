//! One site-to-site copy as two state machines, without IO or clock.
//!
//! [`Source`] stands at the site where records are produced and dials out; [`Sink`] stands at the
//! site that keeps the copy. What happens is told to them by `handle_*`; what is to be done comes
//! out of `poll_effect`, and [`Source::poll_timeout`] says when to ask again if nothing happens
//! before. Every time is a [`Duration`](std::time::Duration) since a start of the driver's choice.
//!
//! What they hold true:
//! - A copy is a prefix of its source, byte for byte, from the first batch that was copied: same
//!   offsets, same epochs, nothing twice, nothing left out but what compaction had taken away.
//! - The cursor is the copy's own durable end. The source keeps none, so that there is nothing to
//!   fall out of step with the copy.
//! - Progress is told only of what is durable at the destination.
//! - Only what lies below the source's high watermark leaves.
//! - A gap, a divergence or another life of the log stops that partition alone, and is told.
//!
//! What they do not do: no IO, no TLS, no storage. Topics are made and logs are written by the
//! driver. Filtering on a link, promotion and failback are not part of it.

mod backoff;
mod run;
mod sink;
mod source;

pub use backoff::Backoff;
pub use run::{Run, RunError};
pub use sink::{LocalCopy, Sink, SinkConfig, SinkEffect, verdict};
pub use source::{
    ReadFailure, Report, Session, Source, SourceConfig, SourceEffect, SourcePartitionStatus,
    SourceStatus,
};

/// Most partitions in one mirror stream; bounds the offer and its answer, one frame each.
pub const MAX_MIRROR_PARTITIONS: usize = 3_000;

/// Longest reason given for one partition, in bytes.
const MAX_REASON: usize = 160;

/// Largest answer for one partition: id, offsets and reason, with room to spare.
const MAX_ANSWER: usize = MAX_REASON + 80;

/// Largest offer for a topic with one partition: name, id, settings and offsets.
const MAX_OFFER: usize = tidegate_types::limits::MAX_TOPIC_NAME + 90;

const HEADER: usize = tidegate_types::limits::MAX_FRAME_HEADER.get() as usize;
const _: () = assert!(MAX_MIRROR_PARTITIONS * MAX_ANSWER < HEADER, "all answers fit one frame");
const _: () = assert!(MAX_MIRROR_PARTITIONS * MAX_OFFER < HEADER, "all offers fit one frame");
