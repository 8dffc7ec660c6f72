//! Deleting committed offsets by hand.

use std::sync::Arc;

use super::OffsetWrite;
use crate::classic::Phase;
use crate::group::{Group, Kind};
use crate::request::DeleteOffsets;
use crate::response::PerPartition;
use crate::step::Step;
use crate::{GroupError, Response, Token};

/// Takes offsets away, those excepted whose topic the group still reads.
pub(crate) fn delete_offsets(
    group: &Group,
    request: DeleteOffsets,
    token: Token,
    step: &mut Step<'_>,
) {
    let response = check(group).map(|()| take_away(group, request, step));
    step.reply(token, Response::DeleteOffsets(response));
}

fn check(group: &Group) -> Result<(), GroupError> {
    match &group.kind {
        // Nobody knows what members of another protocol read.
        Kind::Classic(classic) if classic.phase != Phase::Empty && !classic.is_of_consumers() => {
            Err(GroupError::NonEmptyGroup)
        }
        Kind::Classic(_) | Kind::Consumer(_) => Ok(()),
    }
}

fn take_away(group: &Group, request: DeleteOffsets, step: &mut Step<'_>) -> PerPartition<()> {
    let of_topic = |(name, partitions): (String, Vec<_>)| {
        let subscribed = group.is_subscribed(&name);
        let topic: Arc<str> = group.offsets.topic_name(&name);
        let done = partitions.into_iter().map(|partition| {
            if subscribed {
                return (partition, Err(GroupError::GroupSubscribedToTopic));
            }
            if group.offsets.get(&name, partition).is_some() {
                let topic = Arc::clone(&topic);
                step.offsets.push(OffsetWrite { topic, partition, value: None });
            }
            (partition, Ok(()))
        });
        let done = done.collect();
        (name, done)
    };
    request.topics.into_iter().map(of_topic).collect()
}

impl Group {
    /// Whether a member reads the topic, as far as is known.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        match &self.kind {
            Kind::Classic(group) => group.is_subscribed(topic),
            Kind::Consumer(group) => group.is_subscribed(topic),
        }
    }
}
