//! What travels, and everything that is going to happen.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tidegate_link::Session;
use tidegate_types::{ByteSize, Offset, TopicId, TopicPartition};
use tidegate_wire::{MirrorBatches, MirrorReply, OpenMirror};

#[derive(Clone)]
pub enum ToSink {
    Open(OpenMirror),
    Batches(MirrorBatches, Bytes),
}

pub enum Event {
    /// An attempt to connect ends.
    Dialled(Session),
    /// A message arrives.
    ToSink(Session, ToSink),
    ToSource(Session, MirrorReply),
    /// An end notices that the line is cut.
    SourceGone(Session),
    SinkGone(Session),
    /// The source's log has read.
    Read {
        session: Session,
        at: TopicPartition,
        from: Offset,
        end: Offset,
        max: ByteSize,
    },
    /// The sink's topic is ready.
    Prepared(Session, TopicId),
    /// A log syncs what it has.
    SyncSource(usize),
    SyncSink(usize),
    /// New records at the source.
    Produce(usize),
    /// The source drops old records.
    Trim(usize),
    /// Faults.
    Cut,
    CrashSource,
    CrashSink,
    SourceBack,
    SinkBack,
    /// The source asked to be polled.
    Timer,
}

/// Events in the order of their time, those of the same time in the order in which they were put.
#[derive(Default)]
pub struct Schedule {
    events: BTreeMap<(Duration, u64), Event>,
    count: u64,
}

impl Schedule {
    pub fn put(&mut self, at: Duration, event: Event) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    pub fn next(&mut self) -> Option<(Duration, Event)> {
        self.events.pop_first().map(|((at, _), event)| (at, event))
    }

    pub fn retain(&mut self, keep: impl Fn(&Event) -> bool) {
        self.events.retain(|_, event| keep(event));
    }
}
