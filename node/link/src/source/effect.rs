//! What a source asks of its driver.

use std::time::Duration;

use bytes::Bytes;
use tidegate_types::{ByteSize, Offset, PartitionId, TopicName, TopicPartition};
use tidegate_wire::{MirrorBatches, OpenMirror};

/// One connection, or the attempt at one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Session(pub u64);

/// Something to do. Effects of one session are carried out in the order given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SourceEffect {
    /// Connect; then [`handle_connected`](crate::Source::handle_connected) or
    /// [`handle_disconnected`](crate::Source::handle_disconnected).
    Dial {
        /// The session that begins.
        session: Session,
    },
    /// Open the mirror stream with this.
    Open {
        /// The session.
        session: Session,
        /// What is offered.
        open: OpenMirror,
    },
    /// Read whole batches, the first one even if it is larger than `max`; then
    /// [`handle_read`](crate::Source::handle_read). Reads may be done in any order.
    Read {
        /// The session.
        session: Session,
        /// The partition.
        at: TopicPartition,
        /// Where to begin.
        from: Offset,
        /// Where to end at the latest: the high watermark.
        end: Offset,
        /// About how much.
        max: ByteSize,
    },
    /// Send a run of batches.
    Send {
        /// The session.
        session: Session,
        /// Its header.
        header: MirrorBatches,
        /// The batches.
        batches: Bytes,
    },
    /// Close the connection. Nothing more is expected of it.
    Close {
        /// The session.
        session: Session,
        /// Why.
        reason: String,
    },
    /// Tell those who run the site.
    Report(Report),
}

/// Something worth a line in the log, a metric or an alert.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Report {
    /// The other end answered the offer.
    Connected,
    /// The session is over, and the next one is tried after a wait.
    Disconnected {
        /// Why.
        reason: String,
        /// How long it waits.
        wait: Duration,
    },
    /// One partition is not copied.
    Problem {
        /// Its topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
        /// Why.
        problem: String,
        /// Whether it may pass by itself.
        retriable: bool,
    },
}

/// Why a read gave nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadFailure {
    /// For people.
    pub reason: String,
    /// Whether it may pass by itself.
    pub retriable: bool,
}
