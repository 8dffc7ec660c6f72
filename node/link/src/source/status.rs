//! How a link does, for those who ask.

use std::time::Duration;

use tidegate_types::{Offset, PartitionId, TopicName};
use tidegate_wire::LinkState;

use super::{Seen, Source};

/// Where a link stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceStatus {
    /// Where it stands.
    pub state: LinkState,
    /// Since when.
    pub since: Duration,
    /// The last failure since it was connected.
    pub last_error: Option<String>,
    /// Sessions in which the other end answered.
    pub connects: u64,
    /// Bytes of batches sent.
    pub bytes_sent: u64,
    /// The partitions, by topic in order of priority.
    pub partitions: Vec<SourcePartitionStatus>,
}

/// One partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourcePartitionStatus {
    /// Its topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// The source's high watermark.
    pub source_end: Offset,
    /// How far the copy is durable; `None` until the other end said so.
    pub copied: Option<Offset>,
    /// Why it is not copied, if it is not.
    pub problem: Option<String>,
}

impl Source {
    /// How the link does.
    #[must_use]
    pub fn status(&self) -> SourceStatus {
        let at = |topic, partition| tidegate_types::TopicPartition { topic, partition };
        let partitions = self.topics.iter().flat_map(|topic| {
            topic.partitions.iter().filter_map(move |p| {
                let partition = self.partitions.get(&at(topic.id, p.partition))?;
                Some(SourcePartitionStatus {
                    topic: topic.name.clone(),
                    partition: p.partition,
                    source_end: partition.offered.end,
                    copied: partition.copied,
                    problem: partition.problem.as_ref().map(|problem| problem.text.clone()),
                })
            })
        });
        SourceStatus {
            state: self.seen.state,
            since: self.seen.since,
            last_error: self.seen.last_error.clone(),
            connects: self.seen.connects,
            bytes_sent: self.seen.bytes_sent,
            partitions: partitions.collect(),
        }
    }
}

impl Seen {
    pub(super) fn enter(&mut self, state: LinkState, now: Duration) {
        if self.state != state {
            (self.state, self.since) = (state, now);
        }
    }
}
