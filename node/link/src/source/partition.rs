//! What a source knows of one partition.

use std::collections::VecDeque;

use tidegate_types::{Offset, TopicName};
use tidegate_wire::MirrorPartition;

/// One partition, and its part in the session.
#[derive(Debug)]
pub(super) struct Partition {
    pub topic: TopicName,
    /// The log as it stands now.
    pub offered: MirrorPartition,
    /// The copy's durable end as last told; outlives sessions.
    pub copied: Option<Offset>,
    pub problem: Option<Problem>,
    /// Present while it is copied.
    pub flow: Option<Flow>,
    /// Never offered: the link has no room for it.
    pub excluded: bool,
    /// The problem last reported, so that the same one is reported once.
    pub reported: Option<String>,
}

/// Why a partition is not copied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Problem {
    pub text: String,
    pub retriable: bool,
}

/// The bytes between the source and the copy.
#[derive(Debug)]
pub(super) struct Flow {
    /// Where the next read begins.
    pub next: Offset,
    /// Whether one is under way.
    pub reading: bool,
    /// Ends and sizes of what was sent, oldest first.
    pub sent: VecDeque<(Offset, u64)>,
    /// Sum of those sizes.
    pub in_flight: u64,
    /// Whether it waits for its turn to read.
    pub queued: bool,
}

impl Partition {
    pub(super) fn new(topic: TopicName, offered: MirrorPartition) -> Partition {
        Partition {
            topic,
            offered,
            copied: None,
            problem: None,
            flow: None,
            excluded: false,
            reported: None,
        }
    }

    /// Takes over what was known of the same log before the topics changed.
    pub(super) fn keep(&mut self, known: Partition) {
        // What the log told since may be newer than what the new topics say.
        if known.offered.end > self.offered.end {
            self.offered.end = known.offered.end;
            self.offered.last_epoch = self.offered.last_epoch.max(known.offered.last_epoch);
        }
        self.offered.start = self.offered.start.max(known.offered.start);
        self.copied = known.copied;
        self.flow = known.flow;
        if !known.excluded {
            self.problem = known.problem;
            self.reported = known.reported;
        }
    }

    pub(super) fn exclude(&mut self, text: String) {
        self.excluded = true;
        self.problem = Some(Problem { text, retriable: false });
    }

    /// A problem stays until the other end says that it has passed.
    pub(super) fn begin_session(&mut self) {
        self.flow = None;
    }
}

impl Flow {
    pub(super) fn new(from: Offset) -> Flow {
        Flow { next: from, reading: false, sent: VecDeque::new(), in_flight: 0, queued: false }
    }

    /// Everything below `durable` has arrived; returns how many bytes that freed.
    pub(super) fn settle(&mut self, durable: Offset) -> u64 {
        let mut freed = 0;
        while let Some((end, bytes)) = self.sent.front()
            && *end <= durable
        {
            freed += bytes;
            self.sent.pop_front();
        }
        self.in_flight -= freed;
        freed
    }
}
