//! Which offsets go by themselves.
//!
//! An offset goes once nobody has needed it for the retention: the time since its last commit, and
//! since the group became empty where it is empty. A group that has members keeps the offsets of
//! what they read. Age goes by two clocks, see [`Stamp`](crate::time::Stamp): running time is
//! stored with the records of the group and every `cleanup_interval`, so that a restart costs an
//! offset at most so much age.

use tidegate_types::TopicId;

use super::OffsetWrite;
use crate::classic::Phase;
use crate::config::Config;
use crate::format::OffsetValue;
use crate::group::{Group, Kind};
use crate::time::Stamp;

/// The changes that take away what expired.
pub(crate) fn expire(group: &Group, config: &Config, now: Stamp) -> Vec<OffsetWrite> {
    let empty_since = match &group.kind {
        Kind::Classic(classic) => match classic.phase {
            // Nobody ever joined: the offsets are all there is.
            Phase::Empty if classic.protocol_type.is_none() => None,
            Phase::Empty => Some(classic.since),
            Phase::Stable if classic.knows_topics() => None,
            _ => return Vec::new(),
        },
        Kind::Consumer(consumer) if consumer.members.is_empty() => Some(consumer.since),
        Kind::Consumer(_) => None,
    };
    let is_over = |value: &OffsetValue| {
        if let Some(retention) = value.retention {
            return value.committed.is_older_than(retention, now);
        }
        let unneeded = empty_since.map_or(value.committed, |since| since.later(value.committed));
        unneeded.is_older_than(config.offsets_retention, now)
    };
    group.offsets.removals(|topic, _, slot| {
        !slot.is_unstable()
            && slot.committed.as_ref().is_some_and(is_over)
            && !group.is_subscribed(topic)
    })
}

/// The changes that take away the offsets of a topic that is no more.
pub(crate) fn forget_topic(group: &Group, topic: &str, id: TopicId) -> Vec<OffsetWrite> {
    let gone = group
        .offsets
        .of_topic(topic)
        .filter(|(_, _, slot)| slot.topic.is_none_or(|then| then == id));
    gone.map(|(topic, partition, _)| OffsetWrite { topic: topic.clone(), partition, value: None })
        .collect()
}
