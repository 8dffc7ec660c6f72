//! Taking commits.

use std::sync::Arc;

use tidegate_types::TopicId;

use super::OffsetWrite;
use crate::classic::Phase;
use crate::format::OffsetValue;
use crate::group::{Group, Kind};
use crate::limits::{MAX_APPEND, MAX_OFFSETS_PER_GROUP, MAX_TOPIC, RECORD_OVERHEAD};
use crate::request::{Commit, CommitPartition};
use crate::response::PerPartition;
use crate::step::Step;
use crate::timers::GroupTimer;
use crate::topics::Topics;
use crate::{GroupError, Response, Token};

/// Takes a commit, or refuses it. The answer waits until it is durable.
pub(crate) fn commit(
    group: &mut Group,
    request: Commit,
    token: Token,
    topics: &dyn Topics,
    step: &mut Step<'_>,
) {
    let response =
        check(group, &request, topics, step).and_then(|()| take(group, &request, topics, step));
    step.reply(token, Response::Commit(response));
}

/// Whether whoever commits may do so.
fn check(
    group: &Group,
    request: &Commit,
    topics: &dyn Topics,
    step: &mut Step<'_>,
) -> Result<(), GroupError> {
    match &group.kind {
        Kind::Classic(classic) => {
            classic.check_commit(
                &request.member_id,
                request.instance_id.as_deref(),
                request.generation,
            )?;
            // A commit keeps a member alive, as a heartbeat does.
            if matches!(classic.phase, Phase::Stable | Phase::Preparing)
                && let Some(member) = classic.members.get(request.member_id.as_str())
            {
                step.set_timer(GroupTimer::Session(Arc::clone(&member.id)), member.session_timeout);
            }
            Ok(())
        }
        Kind::Consumer(consumer) => {
            let partitions = request.topics.iter().flat_map(|(name, partitions)| {
                let id = topics.topic(name).map(|topic| topic.id);
                partitions.iter().map(move |partition| (id, partition.partition))
            });
            consumer.check_commit(
                &request.member_id,
                request.generation,
                request.knows_epochs,
                partitions,
            )
        }
    }
}

/// Takes what can be taken, and says of each partition whether it was.
fn take(
    group: &Group,
    request: &Commit,
    topics: &dyn Topics,
    step: &mut Step<'_>,
) -> Result<PerPartition<()>, GroupError> {
    let mut added = 0;
    let mut bytes = 0;
    let mut done = PerPartition::new();
    for (name, partitions) in &request.topics {
        let topic = topics.topic(name).map(|topic| topic.id);
        let kept = group.offsets.topic_name(name);
        let mut of_topic = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let is_new = group.offsets.get(name, partition.partition).is_none();
            let fits =
                !is_new || step.has_room && group.offsets.len() + added < MAX_OFFSETS_PER_GROUP;
            let taken = if name.len() > MAX_TOPIC || !fits {
                Err(GroupError::InvalidCommitOffsetSize)
            } else if partition.metadata.as_ref().map_or(0, String::len)
                > step.config.max_offset_metadata
            {
                Err(GroupError::OffsetMetadataTooLarge)
            } else {
                Ok(())
            };
            if taken.is_ok() {
                added += usize::from(is_new);
                let write = write(&kept, partition, topic, request, step);
                let record = write.record(&group.id);
                bytes += record.key.len() + RECORD_OVERHEAD;
                bytes += record.value.map_or(0, |value| value.len());
                step.offsets.push(write);
            }
            of_topic.push((partition.partition, taken));
        }
        done.push((name.clone(), of_topic));
    }
    if bytes as u64 > MAX_APPEND.get() {
        step.offsets.clear();
        refuse_all(&mut done);
    }
    Ok(done)
}

fn write(
    name: &Arc<str>,
    partition: &CommitPartition,
    topic: Option<TopicId>,
    request: &Commit,
    step: &Step<'_>,
) -> OffsetWrite {
    let value = OffsetValue {
        offset: partition.offset,
        leader_epoch: partition.leader_epoch,
        metadata: partition.metadata.clone().unwrap_or_default(),
        topic,
        committed: step.stamp,
        retention: request.retention,
    };
    OffsetWrite { topic: Arc::clone(name), partition: partition.partition, value: Some(value) }
}

/// One commit is one append: what does not fit one is refused whole.
fn refuse_all(done: &mut PerPartition<()>) {
    for (_, taken) in done.iter_mut().flat_map(|(_, partitions)| partitions) {
        if taken.is_ok() {
            *taken = Err(GroupError::InvalidCommitOffsetSize);
        }
    }
}
