//! OffsetCommit and OffsetFetch.
//!
//! The coordinator does not ask whether what offsets are committed of exists: that is done here.
//! Partitions keep their places: what comes back for one is found where it was asked for.

use std::time::Duration;

use tidegate_group::GroupError;
use tidegate_group::request::{self, CommitPartition};
use tidegate_group::response::{CommittedOffset, PerPartition};
use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_proto::messages::offset_commit_request::OffsetCommitRequestPartition;
use tidegate_kafka_proto::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use tidegate_kafka_proto::messages::offset_fetch_request::OffsetFetchRequestGroup;
use tidegate_kafka_proto::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use tidegate_kafka_proto::messages::{
    GroupId, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
    TopicName,
};
use tidegate_types::{LeaderEpoch, Offset, PartitionId};

use super::{ask, code, owned};
use crate::Shared;
use crate::errors::text;
use crate::offsets::{partition, readable};

/// A topic of a request, and what becomes of each of its partitions.
pub(super) type Places = (TopicName, Vec<(i32, Result<(), ErrorCode>)>);

/// First version whose members may be told of epochs.
const COMMIT_EPOCHS_FROM: i16 = 9;

/// First version of OffsetFetch with an error for the whole answer.
const WHOLE_ERROR_FROM: i16 = 2;

/// First version of OffsetFetch that tells leader epochs.
const FETCH_EPOCHS_FROM: i16 = 5;

/// First version of OffsetFetch that asks for several groups.
const MANY_GROUPS_FROM: i16 = 8;

/// Answers OffsetCommit once what was taken is durable.
pub(crate) async fn commit(
    shared: &Shared,
    version: i16,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let mut places: Vec<Places> = Vec::new();
    let mut topics = Vec::new();
    for asked in request.topics {
        let found = readable(shared, &asked.name);
        let place = |asked: &OffsetCommitRequestPartition| {
            let index = asked.partition_index;
            (index, partition(found.as_ref(), index).map(drop))
        };
        let of_topic: Vec<_> = asked.partitions.iter().map(place).collect();
        let known = asked.partitions.iter().zip(&of_topic).filter(|(_, (_, known))| known.is_ok());
        let known: Vec<_> = known.map(|(partition, _)| to_commit(partition)).collect();
        if !known.is_empty() {
            topics.push((asked.name.to_string(), known));
        }
        places.push((asked.name, of_topic));
    }
    if !topics.is_empty() {
        let committing = request::Commit {
            group: request.group_id.to_string(),
            member_id: request.member_id.to_string(),
            instance_id: owned(&request.group_instance_id),
            generation: request.generation_id_or_member_epoch,
            knows_epochs: version >= COMMIT_EPOCHS_FROM,
            retention: u64::try_from(request.retention_time_ms).ok().map(Duration::from_millis),
            topics,
        };
        fill(&mut places, ask!(shared, Commit, committing).and_then(|done| done));
    }
    let topics = places.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(index, outcome)| {
            let code = outcome.err().unwrap_or(ErrorCode::None);
            OffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code.code())
        });
        OffsetCommitResponseTopic::default().with_name(name).with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

fn to_commit(asked: &OffsetCommitRequestPartition) -> CommitPartition {
    CommitPartition {
        partition: PartitionId(asked.partition_index.cast_unsigned()),
        offset: Offset(asked.committed_offset),
        leader_epoch: LeaderEpoch(asked.committed_leader_epoch),
        metadata: owned(&asked.committed_metadata),
    }
}

/// Puts what the coordinator says where it was asked.
pub(super) fn fill(places: &mut [Places], done: Result<PerPartition<()>, GroupError>) {
    let mut outcomes = match &done {
        Ok(done) => done.iter().flat_map(|(_, partitions)| partitions).map(Some).collect(),
        Err(_) => Vec::new(),
    }
    .into_iter();
    let asked = places.iter_mut().flat_map(|(_, partitions)| partitions);
    for (_, outcome) in asked.filter(|(_, outcome)| outcome.is_ok()) {
        *outcome = match (&done, outcomes.next().flatten()) {
            (Err(error), _) | (Ok(_), Some((_, Err(error)))) => Err(code(error)),
            (Ok(_), Some((_, Ok(())))) => Ok(()),
            // An answer that is short of some says nothing of them.
            (Ok(_), None) => Err(ErrorCode::CoordinatorNotAvailable),
        };
    }
}

type Fetched = Result<PerPartition<Option<CommittedOffset>>, GroupError>;

/// Answers OffsetFetch.
pub(crate) async fn fetch_offsets(
    shared: &Shared,
    version: i16,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    if version < MANY_GROUPS_FROM {
        let topics = request.topics.as_ref().map(|topics| {
            let topics = topics.iter().map(|topic| wanted(&topic.name, &topic.partition_indexes));
            topics.collect::<Vec<_>>()
        });
        let fetching = request::FetchOffsets {
            group: request.group_id.to_string(),
            member_id: None,
            member_epoch: -1,
            require_stable: request.require_stable,
            topics: topics.clone(),
        };
        let fetched = ask!(shared, FetchOffsets, fetching).and_then(|fetched| fetched);
        return one_group(version, topics, fetched);
    }
    let mut groups = Vec::with_capacity(request.groups.len());
    for asked in request.groups {
        let OffsetFetchRequestGroup { group_id, member_id, member_epoch, topics, .. } = asked;
        let topics = topics.map(|topics| {
            let topics = topics.iter().map(|topic| wanted(&topic.name, &topic.partition_indexes));
            topics.collect()
        });
        let fetching = request::FetchOffsets {
            group: group_id.to_string(),
            member_id: owned(&member_id),
            member_epoch,
            require_stable: request.require_stable,
            topics,
        };
        let fetched = ask!(shared, FetchOffsets, fetching).and_then(|fetched| fetched);
        groups.push(of_group(group_id, fetched));
    }
    OffsetFetchResponse::default().with_groups(groups)
}

fn wanted(name: &TopicName, partitions: &[i32]) -> (String, Vec<PartitionId>) {
    let partitions = partitions.iter().map(|index| PartitionId(index.cast_unsigned()));
    (name.to_string(), partitions.collect())
}

/// One partition's offset as it is told: where it is, of which epoch, with what, and the error.
struct Told {
    offset: i64,
    epoch: i32,
    metadata: String,
    code: i16,
}

fn tell(fetched: Result<Option<CommittedOffset>, GroupError>) -> Told {
    let nowhere = |code: ErrorCode| Told {
        offset: -1,
        epoch: LeaderEpoch::NONE.get(),
        metadata: String::new(),
        code: code.code(),
    };
    match fetched {
        Ok(Some(committed)) => Told {
            offset: committed.offset.get(),
            epoch: committed.leader_epoch.get(),
            metadata: committed.metadata,
            code: ErrorCode::None.code(),
        },
        Ok(None) => nowhere(ErrorCode::None),
        Err(error) => nowhere(code(&error)),
    }
}

/// The answer of versions that ask for one group. The oldest tells an error at each partition.
pub(super) fn one_group(
    version: i16,
    topics: Option<Vec<(String, Vec<PartitionId>)>>,
    fetched: Fetched,
) -> OffsetFetchResponse {
    let answer = OffsetFetchResponse::default();
    let (fetched, answer) = match fetched {
        Ok(fetched) => (fetched, answer),
        Err(error) if version < WHOLE_ERROR_FROM => {
            let each = |(name, partitions): (String, Vec<PartitionId>)| {
                (name, partitions.into_iter().map(|id| (id, Err(error.clone()))).collect())
            };
            (topics.unwrap_or_default().into_iter().map(each).collect(), answer)
        }
        Err(error) => (Vec::new(), answer.with_error_code(code(&error).code())),
    };
    let topics = fetched.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(id, fetched)| {
            let told = tell(fetched);
            let partition = OffsetFetchResponsePartition::default()
                .with_partition_index(id.get().cast_signed())
                .with_committed_offset(told.offset)
                .with_metadata(Some(text(told.metadata)))
                .with_error_code(told.code);
            if version >= FETCH_EPOCHS_FROM {
                partition.with_committed_leader_epoch(told.epoch)
            } else {
                partition
            }
        });
        OffsetFetchResponseTopic::default()
            .with_name(text(name).into())
            .with_partitions(partitions.collect())
    });
    answer.with_topics(topics.collect())
}

fn of_group(group: GroupId, fetched: Fetched) -> OffsetFetchResponseGroup {
    let answer = OffsetFetchResponseGroup::default().with_group_id(group);
    let fetched = match fetched {
        Ok(fetched) => fetched,
        Err(error) => return answer.with_error_code(code(&error).code()),
    };
    let topics = fetched.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(id, fetched)| {
            let told = tell(fetched);
            OffsetFetchResponsePartitions::default()
                .with_partition_index(id.get().cast_signed())
                .with_committed_offset(told.offset)
                .with_committed_leader_epoch(told.epoch)
                .with_metadata(Some(text(told.metadata)))
                .with_error_code(told.code)
        });
        OffsetFetchResponseTopics::default()
            .with_name(text(name).into())
            .with_partitions(partitions.collect())
    });
    answer.with_topics(topics.collect())
}
