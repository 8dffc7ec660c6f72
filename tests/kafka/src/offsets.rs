//! Committed offsets, as tests write and read them.

use std::time::{Duration, Instant};

use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_proto::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use tidegate_kafka_proto::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use tidegate_kafka_proto::messages::{OffsetCommitRequest, OffsetFetchRequest};

use crate::{Gone, Typed, error, name};

/// The last version of both that names topics.
const VERSION: i16 = 9;

/// How long a node may take until it serves groups; far more than it takes.
const LOADING: Duration = Duration::from_secs(60);

/// What a partition has that nobody committed an offset of.
pub const NONE: i64 = -1;

/// As whom a group's offsets are written and read.
#[derive(Clone, Copy, Debug)]
pub struct Committer<'a> {
    /// The group.
    pub group: &'a str,
    /// The member's id; nobody's is empty.
    pub member: &'a str,
    /// Its generation, or its epoch.
    pub generation: i32,
}

impl Committer<'_> {
    /// Somebody who is no member.
    #[must_use]
    pub fn outside(group: &str) -> Committer<'_> {
        Committer { group, member: "", generation: -1 }
    }
}

impl Typed {
    /// Waits until groups are served: a node that was just started reads them first, and tells
    /// clients to try again.
    ///
    /// # Panics
    /// If it takes too long.
    pub fn await_groups(&mut self) {
        let end = Instant::now() + LOADING;
        let nobody = Committer::outside("nobody");
        while self.committed(nobody, ("none", 0)) == Err(ErrorCode::CoordinatorLoadInProgress) {
            assert!(Instant::now() < end, "groups are not loaded after {LOADING:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Commits an offset with its metadata; how that went.
    ///
    /// # Panics
    /// If the connection ends first.
    pub fn commit(
        &mut self,
        who: Committer<'_>,
        at: (&str, i32),
        offset: i64,
        metadata: &str,
    ) -> ErrorCode {
        self.try_commit(who, at, offset, metadata).expect("an answer")
    }

    /// Commits an offset with its metadata; how that went.
    ///
    /// # Errors
    /// If the connection ends first: it may be committed or not.
    pub fn try_commit(
        &mut self,
        who: Committer<'_>,
        (topic, partition): (&str, i32),
        offset: i64,
        metadata: &str,
    ) -> Result<ErrorCode, Gone> {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(name(metadata)));
        let topic = OffsetCommitRequestTopic::default()
            .with_name(name(topic).into())
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(name(who.group).into())
            .with_member_id(name(who.member))
            .with_generation_id_or_member_epoch(who.generation)
            .with_topics(vec![topic]);
        let answer = self.try_ask(VERSION, &request)?;
        Ok(error(answer.topics[0].partitions[0].error_code))
    }

    /// What was committed, and its metadata; [`NONE`] where nothing was.
    ///
    /// # Errors
    /// If the group refuses to tell.
    pub fn committed(
        &mut self,
        who: Committer<'_>,
        (topic, partition): (&str, i32),
    ) -> Result<(i64, String), ErrorCode> {
        let topic = OffsetFetchRequestTopics::default()
            .with_name(name(topic).into())
            .with_partition_indexes(vec![partition]);
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(name(who.group).into())
            .with_member_id((!who.member.is_empty()).then(|| name(who.member)))
            .with_member_epoch(who.generation)
            .with_topics(Some(vec![topic]));
        let answer = self.ask(VERSION, &OffsetFetchRequest::default().with_groups(vec![group]));
        let group = &answer.groups[0];
        if group.error_code != 0 {
            return Err(error(group.error_code));
        }
        let found = &group.topics[0].partitions[0];
        match error(found.error_code) {
            ErrorCode::None => {
                let metadata = found.metadata.as_ref().map(ToString::to_string);
                Ok((found.committed_offset, metadata.unwrap_or_default()))
            }
            error => Err(error),
        }
    }
}
