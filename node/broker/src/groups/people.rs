//! Groups as people see them, and what people do to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_group::request::{Commit, CommitPartition, DeleteGroup, List, View};
use tidegate_group::response::{
    self, ClassicDescription, ConsumerDescription, GroupDetail, GroupView,
};
use tidegate_group::{GroupError, Request, Response};
use tidegate_types::{
    ByteSize, LeaderEpoch, PartitionId, StartPosition, TopicId, TopicName, limits,
};
use tidegate_wire::{
    ErrorBody, ErrorCode, GroupDescription, GroupKind, GroupList, GroupMember, GroupOffset,
    GroupSummary, MemberTopic,
};

use super::AskError;
use super::assignment::{self, CONSUMERS, Topics};
use crate::{Broker, admin, error, subscribe};

/// Bytes of what one answer tells, by estimate; the rest is counted and left out.
const ROOM: ByteSize = ByteSize::kib(256);

/// What an entry of an answer takes beside its texts, at the most.
const ENTRY: usize = 64;

const _: () = assert!(3 * ROOM.get() < limits::MAX_FRAME_HEADER.get(), "an answer is one frame");

/// Groups by name.
pub(crate) async fn list(broker: &Broker) -> Result<GroupList, ErrorBody> {
    let answer = broker.groups.ask(Request::List(List::default())).await;
    let Response::List(listed) = answer.map_err(|e| unanswered(&e))? else {
        return Err(mixed_up());
    };
    let listed = listed.map_err(|e| refused("", &e))?;
    let summaries = listed.into_iter().map(|group| GroupSummary {
        kind: kind(group.kind),
        state: group.state.to_owned(),
        protocol_type: group.protocol_type,
        group: group.group,
    });
    let (groups, left_out) = fitting(summaries, |s| s.group.len() + s.protocol_type.len());
    Ok(GroupList { groups, left_out })
}

/// One group.
pub(crate) async fn describe(
    broker: &Broker,
    group: String,
) -> Result<GroupDescription, ErrorBody> {
    Ok(shown(broker, view(broker, group).await?))
}

/// Moves a group that has no members.
pub(crate) async fn seek(
    broker: &Arc<Broker>,
    group: String,
    topic: &TopicName,
    partition: Option<PartitionId>,
    to: StartPosition,
) -> Result<GroupDescription, ErrorBody> {
    // Whoever makes a typo shall not make a group.
    let before = view(broker, group.clone()).await?;
    if before.has_members() {
        return Err(in_use(&group));
    }
    let topic = admin::find(broker, topic)?;
    let chosen = topic.chosen(partition)?;
    let mut partitions = Vec::with_capacity(chosen.len());
    for partition in chosen {
        let id = partition.at.partition;
        let offset = subscribe::find(partition, to).await?;
        let (leader_epoch, metadata) = (LeaderEpoch::NONE, None);
        partitions.push(CommitPartition { partition: id, offset, leader_epoch, metadata });
    }
    let commit = Commit {
        group: group.clone(),
        member_id: String::new(),
        instance_id: None,
        generation: -1,
        knows_epochs: true,
        retention: None,
        topics: vec![(topic.name.to_string(), partitions)],
    };
    let answer = broker.groups.ask(Request::Commit(commit)).await.map_err(|e| unanswered(&e))?;
    let Response::Commit(committed) = answer else { return Err(mixed_up()) };
    let committed = committed.map_err(|e| match e {
        // A member came in between.
        GroupError::UnknownMemberId | GroupError::StaleMemberEpoch => in_use(&group),
        e => refused(&group, &e),
    })?;
    for (_, outcome) in committed.into_iter().flat_map(|(_, partitions)| partitions) {
        outcome.map_err(|e| refused(&group, &e))?;
    }
    describe(broker, group).await
}

/// Deletes a group that has no members, offsets and all.
pub(crate) async fn delete(broker: &Broker, group: String) -> Result<(), ErrorBody> {
    let request = Request::DeleteGroup(DeleteGroup { group: group.clone() });
    let answer = broker.groups.ask(request).await.map_err(|e| unanswered(&e))?;
    let Response::DeleteGroup(deleted) = answer else { return Err(mixed_up()) };
    deleted.map_err(|e| refused(&group, &e))
}

async fn view(broker: &Broker, group: String) -> Result<GroupView, ErrorBody> {
    let answer = broker.groups.ask(Request::View(View { group: group.clone() })).await;
    let Response::View(view) = answer.map_err(|e| unanswered(&e))? else { return Err(mixed_up()) };
    view.map_err(|e| refused(&group, &e))
}

fn in_use(group: &str) -> ErrorBody {
    let message = format!("group {group} has members: stop its consumers first");
    ErrorBody::new(ErrorCode::GroupInUse, message)
}

fn refused(group: &str, error: &GroupError) -> ErrorBody {
    match error {
        GroupError::GroupIdNotFound => {
            let message = format!("no group {group}: see `tidegate group list`");
            ErrorBody::new(ErrorCode::UnknownGroup, message)
        }
        GroupError::NonEmptyGroup => in_use(group),
        error if error.is_retriable() => {
            ErrorBody::retriable(ErrorCode::Overloaded, error.to_string())
        }
        error => ErrorBody::new(ErrorCode::InvalidRequest, error.to_string()),
    }
}

fn unanswered(error: &AskError) -> ErrorBody {
    let code = match error {
        AskError::ShuttingDown => ErrorCode::ShuttingDown,
        AskError::TimedOut => ErrorCode::Overloaded,
    };
    ErrorBody { written: true, ..ErrorBody::retriable(code, error.to_string()) }
}

fn mixed_up() -> ErrorBody {
    error::internal("asking the group coordinator", &"it answered something else")
}

const fn kind(kind: response::GroupKind) -> GroupKind {
    match kind {
        response::GroupKind::Classic => GroupKind::Classic,
        response::GroupKind::Consumer => GroupKind::Consumer,
    }
}

/// As many as there is room for, and how many more there are.
fn fitting<T>(all: impl Iterator<Item = T>, texts: impl Fn(&T) -> usize) -> (Vec<T>, u64) {
    let (mut kept, mut left_out, mut bytes) = (Vec::new(), 0, 0);
    for one in all {
        bytes += ENTRY + texts(&one);
        if bytes <= ROOM.as_usize() {
            kept.push(one);
        } else {
            left_out += 1;
        }
    }
    (kept, left_out)
}

trait Members {
    fn has_members(&self) -> bool;
}

impl Members for GroupView {
    fn has_members(&self) -> bool {
        match &self.detail {
            GroupDetail::Classic(group) => !group.members.is_empty(),
            GroupDetail::Consumer(group) => !group.members.is_empty(),
        }
    }
}

/// A member with what it reads, as far as that is known.
type Reader = (GroupMember, Option<Topics>);

fn shown(broker: &Broker, view: GroupView) -> GroupDescription {
    let GroupView { group, detail, offsets } = view;
    let (kind, state, protocol_type, assignor, generation, readers) = match detail {
        GroupDetail::Classic(detail) => classic(detail),
        GroupDetail::Consumer(detail) => consumer(broker, detail),
    };
    let mut places: BTreeMap<(String, PartitionId), GroupOffset> = BTreeMap::new();
    let mut place = |topic: &str, partition: PartitionId, change: &dyn Fn(&mut GroupOffset)| {
        let at = (topic.to_owned(), partition);
        change(places.entry(at).or_insert_with(|| nothing(broker, topic, partition)));
    };
    for (topic, partitions) in &offsets {
        for (partition, committed) in partitions {
            place(topic, *partition, &|offset| {
                offset.committed = Some(committed.offset);
                offset.committed_at = Some(committed.committed_at);
            });
        }
    }
    for (member, topics) in &readers {
        for (topic, partitions) in topics.iter().flatten() {
            for partition in partitions {
                place(topic, *partition, &|offset| {
                    offset.member = Some(member.member.clone());
                });
            }
        }
    }
    let members = readers.into_iter().map(|(member, topics)| {
        let topics = topics.map(|topics| {
            let topics =
                topics.into_iter().map(|(topic, partitions)| MemberTopic { topic, partitions });
            topics.collect()
        });
        GroupMember { assigned: topics, ..member }
    });
    let (members, members_left_out) = fitting(members, member_texts);
    let texts =
        |offset: &GroupOffset| offset.topic.len() + offset.member.as_ref().map_or(0, String::len);
    let (offsets, offsets_left_out) = fitting(places.into_values(), texts);
    GroupDescription {
        summary: GroupSummary { group, kind, state: state.to_owned(), protocol_type },
        generation,
        assignor,
        members,
        members_left_out,
        offsets,
        offsets_left_out,
    }
}

fn member_texts(member: &GroupMember) -> usize {
    /// A partition's number, at the most.
    const NUMBER: usize = 5;
    let assigned = member.assigned.iter().flatten();
    let assigned = assigned.map(|topic| topic.topic.len() + NUMBER * (1 + topic.partitions.len()));
    let instance = member.instance.as_ref().map_or(0, String::len);
    let texts = member.member.len() + instance + member.client.len() + member.host.len();
    texts + assigned.sum::<usize>()
}

/// A partition of which nothing is committed.
fn nothing(broker: &Broker, topic: &str, partition: PartitionId) -> GroupOffset {
    let found = broker.topics.readable(topic);
    let found = found.and_then(|topic| topic.partition(partition));
    GroupOffset {
        topic: topic.to_owned(),
        partition,
        committed: None,
        committed_at: None,
        high_watermark: found.map(|partition| partition.high_watermark()),
        member: None,
    }
}

/// Kind, state, protocol type, assignor, generation and members.
type Detail = (GroupKind, &'static str, String, String, i32, Vec<Reader>);

fn classic(detail: ClassicDescription) -> Detail {
    let of_consumers = detail.protocol_type == CONSUMERS;
    let readers = detail.members.into_iter().map(|member| {
        let topics = of_consumers.then(|| assignment::decode(&member.assignment)).flatten();
        let member = GroupMember {
            member: member.member_id,
            instance: member.instance_id,
            client: member.client_id,
            host: member.client_host,
            assigned: None,
        };
        (member, topics)
    });
    let readers = readers.collect();
    let ClassicDescription { state, protocol_type, protocol, generation, .. } = detail;
    (GroupKind::Classic, state, protocol_type, protocol, generation, readers)
}

fn consumer(broker: &Broker, detail: ConsumerDescription) -> Detail {
    let name = |id: TopicId| {
        let topic = broker.topics.by_id(id).map(|topic| topic.name.to_string());
        let name = topic.or_else(|| Some(broker.topics.alias_by_id(id)?.to_string()));
        name.unwrap_or_else(|| id.to_string())
    };
    let readers = detail.members.into_iter().map(|member| {
        let topics = member.assignment.into_iter().map(|(id, partitions)| (name(id), partitions));
        let topics = topics.collect();
        let member = GroupMember {
            member: member.member_id,
            instance: member.instance_id,
            client: member.client_id,
            host: member.client_host,
            assigned: None,
        };
        (member, Some(topics))
    });
    let readers = readers.collect();
    let assignor = detail.assignor.to_owned();
    (GroupKind::Consumer, detail.state, CONSUMERS.to_owned(), assignor, detail.group_epoch, readers)
}
