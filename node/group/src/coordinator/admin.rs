//! What tools ask for: lists, descriptions, deletion.

use super::Coordinator;
use crate::group::{Group, Kind};
use crate::request::Request;
use crate::response::{CommittedOffset, GroupDetail, GroupView, ListedGroup, Response};
use crate::step::Step;
use crate::{GroupError, Token};

/// Deletes a group that has no members, offsets and all.
pub(super) fn delete_group(group: &mut Group, token: Token, step: &mut Step<'_>) {
    let deleted = if group.is_empty() { Ok(()) } else { Err(GroupError::NonEmptyGroup) };
    if deleted.is_ok() {
        step.offsets = group.offsets.removals(|_, _, _| true);
        step.delete = true;
    }
    step.reply(token, Response::DeleteGroup(deleted));
}

impl Group {
    /// Whether it may go once it has no offsets.
    pub(super) fn is_forgettable(&self) -> bool {
        let is_awaited = matches!(&self.kind, Kind::Classic(group) if !group.pending.is_empty());
        self.is_empty() && !is_awaited
    }

    fn view(&self) -> GroupView {
        let offsets = self.offsets.topics().map(|(topic, partitions)| {
            let committed = partitions.iter().filter_map(|(partition, slot)| {
                Some((*partition, CommittedOffset::from(slot.committed.as_ref()?)))
            });
            (topic.to_string(), committed.collect::<Vec<_>>())
        });
        GroupView {
            group: self.id.to_string(),
            detail: match &self.kind {
                Kind::Classic(group) => GroupDetail::Classic(group.describe()),
                Kind::Consumer(group) => GroupDetail::Consumer(group.describe()),
            },
            offsets: offsets.filter(|(_, committed)| !committed.is_empty()).collect(),
        }
    }
}

impl Coordinator {
    /// Answers what changes nothing.
    pub(super) fn look(&self, request: Request) -> Response {
        let find = |id: &str| self.groups.get(id).ok_or(GroupError::GroupIdNotFound);
        match request {
            Request::List(list) => {
                let is_one_of = |wanted: &[String], text: &str| {
                    wanted.is_empty() || wanted.iter().any(|w| w.trim().eq_ignore_ascii_case(text))
                };
                let groups = self.groups.values().filter(|group| {
                    is_one_of(&list.states, group.state())
                        && is_one_of(&list.kinds, group.kind().as_str())
                });
                Response::List(Ok(groups.map(Group::listed).collect()))
            }
            Request::Describe(request) => {
                let describe = |id: String| {
                    let described = find(&id).and_then(|group| match &group.kind {
                        Kind::Classic(group) => Ok(group.describe()),
                        Kind::Consumer(_) => Err(GroupError::GroupIdNotFound),
                    });
                    (id, described)
                };
                Response::Describe(request.groups.into_iter().map(describe).collect())
            }
            Request::DescribeConsumer(request) => {
                let describe = |id: String| {
                    let described = find(&id).and_then(|group| match &group.kind {
                        Kind::Consumer(group) => Ok(group.describe()),
                        Kind::Classic(_) => Err(GroupError::GroupIdNotFound),
                    });
                    (id, described)
                };
                Response::DescribeConsumer(request.groups.into_iter().map(describe).collect())
            }
            Request::View(view) => Response::View(find(&view.group).map(Group::view)),
            other => Response::refusal(other, GroupError::InvalidRequest { reason: "not a look" }),
        }
    }
}

impl Group {
    fn listed(&self) -> ListedGroup {
        ListedGroup {
            group: self.id.to_string(),
            kind: self.kind(),
            protocol_type: self.protocol_type().to_owned(),
            state: self.state(),
        }
    }
}

impl Request {
    /// The group that it is of, where it is of one.
    pub(super) fn group(&self) -> Option<&str> {
        match self {
            Request::Join(request) => Some(&request.group),
            Request::Sync(request) => Some(&request.group),
            Request::Heartbeat(request) => Some(&request.group),
            Request::Leave(request) => Some(&request.group),
            Request::ConsumerHeartbeat(request) => Some(&request.group),
            Request::Commit(request) => Some(&request.group),
            Request::FetchOffsets(request) => Some(&request.group),
            Request::DeleteOffsets(request) => Some(&request.group),
            Request::DeleteGroup(request) => Some(&request.group),
            Request::View(request) => Some(&request.group),
            Request::List(_) | Request::Describe(_) | Request::DescribeConsumer(_) => None,
        }
    }

    /// Whether it may ask for an append.
    pub(super) fn may_write(&self) -> bool {
        !matches!(
            self,
            Request::FetchOffsets(_)
                | Request::List(_)
                | Request::Describe(_)
                | Request::DescribeConsumer(_)
                | Request::View(_)
        )
    }
}
