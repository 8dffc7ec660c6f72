//! Where things are in a log: ListOffsets, OffsetForLeaderEpoch, DescribeProducers.

use std::ops::RangeInclusive;
use std::sync::Arc;

use tidegate_broker::{LEADER_EPOCH, Partition, Topic};
use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_proto::messages::describe_producers_response::{
    self as producers_response, ProducerState, TopicResponse,
};
use tidegate_kafka_proto::messages::list_offsets_request::ListOffsetsPartition;
use tidegate_kafka_proto::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use tidegate_kafka_proto::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use tidegate_kafka_proto::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use tidegate_kafka_proto::messages::{
    DescribeProducersRequest, DescribeProducersResponse, ListOffsetsRequest, ListOffsetsResponse,
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};
use tidegate_types::{LeaderEpoch, Offset, PartitionId, Timestamp, TopicName};

use crate::Shared;
use crate::errors;

/// Timestamps that stand for a place; each with the first version that knows it.
mod special {
    pub(super) const LATEST: i64 = -1;
    pub(super) const EARLIEST: i64 = -2;
    pub(super) const MAX_TIMESTAMP: (i64, i16) = (-3, 7);
    pub(super) const EARLIEST_LOCAL: (i64, i16) = (-4, 8);
    pub(super) const LATEST_TIERED: (i64, i16) = (-5, 9);
    pub(super) const EARLIEST_PENDING_UPLOAD: (i64, i16) = (-6, 11);
}

/// Of a client that does not know in which epoch the leader is.
pub(crate) const UNKNOWN_EPOCH: i32 = -1;

/// Isolation levels: all records, or those of decided transactions. Here they are the same.
pub(crate) const ISOLATION_LEVELS: RangeInclusive<i8> = 0..=1;

/// First version whose answers tell the leader epoch.
const EPOCHS_FROM: i16 = 4;

/// A topic by its name.
pub(crate) fn topic(shared: &Shared, name: &str) -> Option<Arc<Topic>> {
    shared.broker.topics().get(&TopicName::new(name).ok()?)
}

/// A topic to read from by its name, which may name a plugin too, as in `topic@plugin`.
pub(crate) fn readable(shared: &Shared, name: &str) -> Option<Arc<Topic>> {
    shared.broker.topics().readable(name)
}

/// A partition by its number.
pub(crate) fn partition(
    topic: Option<&Arc<Topic>>,
    index: i32,
) -> Result<Arc<Partition>, ErrorCode> {
    let index = u32::try_from(index).map_err(|_| ErrorCode::UnknownTopicOrPartition)?;
    let found = topic.and_then(|topic| topic.partition(PartitionId(index)));
    found.ok_or(ErrorCode::UnknownTopicOrPartition)
}

/// Whether the client knows the leader that this node is.
pub(crate) fn check_epoch(epoch: i32) -> Result<(), ErrorCode> {
    match epoch {
        UNKNOWN_EPOCH => Ok(()),
        epoch if epoch == LEADER_EPOCH.get() => Ok(()),
        epoch if epoch < LEADER_EPOCH.get() => Err(ErrorCode::FencedLeaderEpoch),
        _ => Err(ErrorCode::UnknownLeaderEpoch),
    }
}

/// Answers ListOffsets.
pub(crate) async fn list(
    shared: &Shared,
    version: i16,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let topic = readable(shared, &asked.name);
        let mut partitions = Vec::with_capacity(asked.partitions.len());
        for (at, partition) in asked.partitions.iter().enumerate() {
            let index = partition.partition_index;
            let same = |other: &ListOffsetsPartition| other.partition_index == index;
            if asked.partitions[..at].iter().any(same) {
                continue;
            }
            let twice = asked.partitions[at + 1..].iter().any(same);
            let found = if twice || !ISOLATION_LEVELS.contains(&request.isolation_level) {
                Err(ErrorCode::InvalidRequest)
            } else {
                list_one(topic.as_ref(), version, partition).await
            };
            partitions.push(list_answer(version, index, found));
        }
        topics.push(
            ListOffsetsTopicResponse::default().with_name(asked.name).with_partitions(partitions),
        );
    }
    ListOffsetsResponse::default().with_topics(topics)
}

/// A place in a log: its time, its offset, and the epoch of the record there.
struct Place {
    time: i64,
    offset: i64,
    epoch: i32,
}

const NOWHERE: Place = Place { time: -1, offset: -1, epoch: -1 };

fn list_answer(
    version: i16,
    index: i32,
    found: Result<Place, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let (code, place) = match found {
        Ok(place) => (ErrorCode::None, place),
        Err(code) => (code, NOWHERE),
    };
    let answer = ListOffsetsPartitionResponse::default()
        .with_partition_index(index)
        .with_error_code(code.code())
        .with_timestamp(place.time)
        .with_offset(place.offset);
    if version >= EPOCHS_FROM { answer.with_leader_epoch(place.epoch) } else { answer }
}

async fn list_one(
    topic: Option<&Arc<Topic>>,
    version: i16,
    asked: &ListOffsetsPartition,
) -> Result<Place, ErrorCode> {
    let partition = partition(topic, asked.partition_index)?;
    check_epoch(asked.current_leader_epoch)?;
    let offsets = partition.log().offsets();
    let known = |since: i16| version >= since;
    let at = |offset: Offset| Place { time: -1, offset: offset.get(), epoch: LEADER_EPOCH.get() };
    Ok(match asked.timestamp {
        special::LATEST => at(partition.high_watermark()),
        special::EARLIEST => at(offsets.start),
        time if (time, true) == (special::EARLIEST_LOCAL.0, known(special::EARLIEST_LOCAL.1)) => {
            at(offsets.start)
        }
        time if (time, true) == (special::MAX_TIMESTAMP.0, known(special::MAX_TIMESTAMP.1)) => {
            match partition.log().max_timestamp() {
                Some(latest) => by_time(partition, latest).await?,
                None => NOWHERE,
            }
        }
        // Nothing of a log is ever kept elsewhere.
        time if (time, true) == (special::LATEST_TIERED.0, known(special::LATEST_TIERED.1))
            || (time, true)
                == (
                    special::EARLIEST_PENDING_UPLOAD.0,
                    known(special::EARLIEST_PENDING_UPLOAD.1),
                ) =>
        {
            NOWHERE
        }
        time if time < 0 => return Err(ErrorCode::UnsupportedVersion),
        time => by_time(partition, Timestamp(time)).await?,
    })
}

/// The first record of that time or later that consumers may see.
async fn by_time(partition: Arc<Partition>, time: Timestamp) -> Result<Place, ErrorCode> {
    let end = partition.high_watermark();
    let looking = tokio::task::spawn_blocking(move || partition.log().offset_for_time(time));
    match looking.await {
        Ok(Ok(Some((offset, time)))) if offset < end => {
            Ok(Place { time: time.millis(), offset: offset.get(), epoch: LEADER_EPOCH.get() })
        }
        Ok(Ok(_)) => Ok(NOWHERE),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a time cannot be looked up");
            Err(ErrorCode::KafkaStorageError)
        }
        Err(_) => Err(ErrorCode::NotLeaderOrFollower),
    }
}

/// Answers OffsetForLeaderEpoch.
pub(crate) async fn leader_epochs(
    shared: &Shared,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|asked| {
        let topic = readable(shared, &asked.topic);
        let partitions = asked.partitions.iter().map(|partition| {
            let end = EpochEndOffset::default().with_partition(partition.partition);
            match epoch_end(topic.as_ref(), partition) {
                Ok((epoch, offset)) => {
                    end.with_leader_epoch(epoch.get()).with_end_offset(offset.get())
                }
                Err(code) => {
                    end.with_error_code(code.code()).with_leader_epoch(-1).with_end_offset(-1)
                }
            }
        });
        let partitions = partitions.collect();
        OffsetForLeaderTopicResult::default().with_topic(asked.topic).with_partitions(partitions)
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}

fn epoch_end(
    topic: Option<&Arc<Topic>>,
    asked: &OffsetForLeaderPartition,
) -> Result<(LeaderEpoch, Offset), ErrorCode> {
    let partition = partition(topic, asked.partition)?;
    check_epoch(asked.current_leader_epoch)?;
    Ok(match asked.leader_epoch {
        epoch if epoch == LEADER_EPOCH.get() => (LEADER_EPOCH, partition.high_watermark()),
        epoch if epoch < 0 || epoch > LEADER_EPOCH.get() => (LeaderEpoch::NONE, Offset(-1)),
        epoch => partition.log().epoch_end(LeaderEpoch(epoch)),
    })
}

/// Answers DescribeProducers.
pub(crate) async fn producers(
    shared: &Shared,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let topics = request.topics.into_iter().map(|asked| {
        let topic = topic(shared, &asked.name);
        let partitions = asked.partition_indexes.iter().map(|index| {
            let answer =
                producers_response::PartitionResponse::default().with_partition_index(*index);
            match partition(topic.as_ref(), *index) {
                Ok(partition) => answer.with_active_producers(states(&partition)),
                Err(code) => answer.with_error_code(code.code()).with_error_message(
                    topic.is_none().then(|| errors::text("there is no such topic")),
                ),
            }
        });
        let partitions = partitions.collect();
        TopicResponse::default().with_name(asked.name).with_partitions(partitions)
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}

fn states(partition: &Partition) -> Vec<ProducerState> {
    let producers = partition.log().producers();
    let states = producers.iter().map(|producer| {
        ProducerState::default()
            .with_producer_id(producer.id.get().into())
            .with_producer_epoch(producer.epoch.get().into())
            .with_last_sequence(producer.last_sequence.get())
            .with_last_timestamp(-1)
            .with_coordinator_epoch(-1)
            .with_current_txn_start_offset(-1)
    });
    states.collect()
}

#[cfg(test)]
mod tests {
    use tidegate_kafka_proto::messages::list_offsets_request::ListOffsetsTopic;
    use tidegate_types::TopicConfig;

    use super::*;
    use crate::metadata::testing::{TestNode, arrives, name};

    async fn ask(node: &TestNode, epoch: i32, isolation: i8) -> i16 {
        let partition = ListOffsetsPartition::default()
            .with_timestamp(special::LATEST)
            .with_current_leader_epoch(epoch);
        let topic =
            ListOffsetsTopic::default().with_name(name("t")).with_partitions(vec![partition]);
        let request =
            ListOffsetsRequest::default().with_isolation_level(isolation).with_topics(vec![topic]);
        let answer = arrives(7, &list(&node.shared, 7, request).await);
        answer.topics[0].partitions[0].error_code
    }

    #[tokio::test]
    async fn epochs_and_isolation_levels_are_checked() {
        let node = TestNode::start().await;
        let topic = TopicName::new("t").unwrap();
        node.shared.broker.make_topic(topic, TopicConfig::default(), false).await.unwrap();
        for (epoch, isolation, code) in
            [(-1, 0, 0), (0, 1, 0), (5, 0, 75), (-5, 0, 74), (0, 9, 42), (0, -1, 42)]
        {
            assert_eq!(ask(&node, epoch, isolation).await, code, "{epoch} {isolation}");
        }
    }
}
