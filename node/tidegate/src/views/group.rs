//! Consumer groups, and how far they are.

use serde::Serialize;
use tidegate_wire::{
    GroupDescription, GroupKind, GroupList, GroupMember, GroupOffset, GroupSummary,
};

use crate::output::{fields, grouped, table, tell};

/// Groups.
#[derive(Debug)]
pub struct GroupsView {
    /// As many as the node told.
    pub groups: Vec<GroupSummaryView>,
    left_out: u64,
}

/// A group in a list.
#[derive(Serialize, Debug)]
pub struct GroupSummaryView {
    group: String,
    kind: &'static str,
    state: String,
    protocol_type: String,
}

/// A group.
#[derive(Serialize, Debug)]
pub struct GroupView {
    #[serde(flatten)]
    summary: GroupSummaryView,
    /// The generation, or the group's epoch.
    generation: i32,
    assignor: String,
    /// Offsets that are not read yet in all partitions with a commit.
    lag: u64,
    members: Vec<MemberView>,
    offsets: Vec<OffsetView>,
    #[serde(skip)]
    left_out: u64,
}

#[derive(Serialize, Debug)]
struct MemberView {
    member: String,
    instance: Option<String>,
    client: String,
    host: String,
    /// Null where only the members know.
    assigned: Option<Vec<AssignedView>>,
}

#[derive(Serialize, Debug)]
struct AssignedView {
    topic: String,
    partitions: Vec<u32>,
}

#[derive(Serialize, Debug)]
struct OffsetView {
    topic: String,
    partition: u32,
    committed: Option<i64>,
    /// In ms since 1970.
    committed_at: Option<i64>,
    log_end: Option<i64>,
    lag: Option<u64>,
    member: Option<String>,
}

impl From<GroupSummary> for GroupSummaryView {
    fn from(group: GroupSummary) -> GroupSummaryView {
        GroupSummaryView {
            group: group.group,
            kind: match group.kind {
                GroupKind::Classic => "classic",
                GroupKind::Consumer => "consumer",
            },
            state: group.state,
            protocol_type: group.protocol_type,
        }
    }
}

impl From<GroupList> for GroupsView {
    fn from(list: GroupList) -> GroupsView {
        let groups = list.groups.into_iter().map(GroupSummaryView::from).collect();
        GroupsView { groups, left_out: list.left_out }
    }
}

impl From<GroupMember> for MemberView {
    fn from(member: GroupMember) -> MemberView {
        let assigned = member.assigned.map(|topics| {
            let topics = topics.into_iter().map(|topic| AssignedView {
                topic: topic.topic,
                partitions: topic.partitions.into_iter().map(|id| id.get()).collect(),
            });
            topics.collect()
        });
        MemberView {
            member: member.member,
            instance: member.instance,
            client: member.client,
            host: member.host,
            assigned,
        }
    }
}

impl From<GroupOffset> for OffsetView {
    fn from(offset: GroupOffset) -> OffsetView {
        let lag = offset.lag();
        OffsetView {
            topic: offset.topic,
            partition: offset.partition.get(),
            committed: offset.committed.map(|committed| committed.get()),
            committed_at: offset.committed_at.map(|at| at.millis()),
            log_end: offset.high_watermark.map(|end| end.get()),
            lag,
            member: offset.member,
        }
    }
}

impl From<GroupDescription> for GroupView {
    fn from(group: GroupDescription) -> GroupView {
        let offsets: Vec<_> = group.offsets.into_iter().map(OffsetView::from).collect();
        GroupView {
            summary: GroupSummaryView::from(group.summary),
            generation: group.generation,
            assignor: group.assignor,
            lag: offsets.iter().filter_map(|offset| offset.lag).fold(0, u64::saturating_add),
            members: group.members.into_iter().map(MemberView::from).collect(),
            offsets,
            left_out: group.members_left_out.saturating_add(group.offsets_left_out),
        }
    }
}

impl GroupsView {
    /// Says so if the node told less than it has.
    pub fn warn(&self) {
        if self.left_out > 0 {
            tell(&format!("warning: {} more groups are not shown", grouped(self.left_out)));
        }
    }
}

impl GroupView {
    /// Says so if the node told less than it has.
    pub fn warn(&self) {
        if self.left_out > 0 {
            let more = grouped(self.left_out);
            tell(&format!("warning: {more} more members and partitions are not shown"));
        }
    }

    /// Where the group is in the partitions of a topic, or in one of them, one a line.
    #[must_use]
    pub fn places_in(&self, topic: &str, partition: Option<u32>) -> String {
        let chosen = self.offsets.iter().filter(|offset| {
            offset.topic == topic && partition.is_none_or(|one| one == offset.partition)
        });
        let places = chosen.filter_map(|offset| {
            let (group, at) = (&self.summary.group, offset.committed?);
            Some(format!("group {group} reads {topic} {} from offset {at}\n", offset.partition))
        });
        places.collect()
    }
}

/// All groups, one a line.
#[must_use]
pub fn group_table(groups: &GroupsView) -> String {
    if groups.groups.is_empty() {
        return "no groups: consumers make them as they commit or join\n".to_owned();
    }
    let rows = groups.groups.iter().map(|group| {
        [
            group.group.clone(),
            group.kind.to_owned(),
            group.state.clone(),
            group.protocol_type.clone(),
        ]
    });
    table(["group", "kind", "state", "protocol"], &[], rows)
}

/// One group with its members, and how far it is.
#[must_use]
pub fn group_detail(group: &GroupView) -> String {
    let summary = &group.summary;
    let mut text = fields(&[
        ("group", summary.group.clone()),
        ("kind", summary.kind.to_owned()),
        ("state", summary.state.clone()),
        ("protocol", or_dash(&summary.protocol_type)),
        ("assignor", or_dash(&group.assignor)),
        ("generation", group.generation.to_string()),
        ("behind", grouped(group.lag)),
    ]);
    if !group.members.is_empty() {
        let rows = group.members.iter().map(|member| {
            [
                member.member.clone(),
                member.instance.clone().unwrap_or_default(),
                member.client.clone(),
                member.host.clone(),
                member.assigned.as_deref().map_or_else(|| "?".to_owned(), assigned),
            ]
        });
        let columns = ["member", "instance", "client", "host", "reads"];
        text = format!("{text}\n{}\n", table(columns, &[], rows));
    }
    if !group.offsets.is_empty() {
        let number = |number: Option<i64>| number.map(|n| n.to_string()).unwrap_or_default();
        let rows = group.offsets.iter().map(|offset| {
            [
                offset.topic.clone(),
                offset.partition.to_string(),
                number(offset.committed),
                number(offset.log_end),
                offset.lag.map(grouped).unwrap_or_default(),
                offset.member.clone().unwrap_or_default(),
            ]
        });
        let columns = ["topic", "partition", "committed", "log end", "behind", "member"];
        text = format!("{text}\n{}", table(columns, &[1, 2, 3, 4], rows));
    }
    text
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// `orders 0 2, clicks 1`.
fn assigned(topics: &[AssignedView]) -> String {
    let topics = topics.iter().map(|topic| {
        let partitions: Vec<_> = topic.partitions.iter().map(u32::to_string).collect();
        format!("{} {}", topic.topic, partitions.join(" "))
    });
    topics.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_types::{Offset, PartitionId, Timestamp};
    use tidegate_wire::MemberTopic;

    fn offset(partition: u32, committed: Option<i64>, end: Option<i64>) -> GroupOffset {
        GroupOffset {
            topic: "orders".to_owned(),
            partition: PartitionId(partition),
            committed: committed.map(Offset),
            committed_at: committed.map(|_| Timestamp(1_700_000_000_000)),
            high_watermark: end.map(Offset),
            member: committed.map(|_| "m-1".to_owned()),
        }
    }

    fn sample(offsets: Vec<GroupOffset>, members_left_out: u64) -> GroupView {
        let assigned = MemberTopic {
            topic: "orders".to_owned(),
            partitions: vec![PartitionId(0), PartitionId(1)],
        };
        GroupView::from(GroupDescription {
            summary: GroupSummary {
                group: "billing".to_owned(),
                kind: GroupKind::Classic,
                state: "Stable".to_owned(),
                protocol_type: "consumer".to_owned(),
            },
            generation: 3,
            assignor: "range".to_owned(),
            members: vec![GroupMember {
                member: "m-1".to_owned(),
                instance: None,
                client: "app".to_owned(),
                host: "/127.0.0.1".to_owned(),
                assigned: Some(vec![assigned]),
            }],
            members_left_out,
            offsets,
            offsets_left_out: 0,
        })
    }

    #[test]
    fn lag_is_summed_over_what_was_committed() {
        let group = sample(
            vec![
                offset(0, Some(10), Some(1_500)),
                offset(1, None, Some(7)),
                offset(2, Some(1), None),
            ],
            0,
        );
        let json = serde_json::to_value(&group).unwrap();
        assert_eq!(json["group"], "billing");
        assert_eq!(json["lag"], 1_490);
        assert_eq!(json["offsets"][0]["lag"], 1_490);
        assert_eq!(json["offsets"][1]["lag"], serde_json::Value::Null);
        assert_eq!(json["offsets"][2]["log_end"], serde_json::Value::Null);
        assert_eq!(json["members"][0]["assigned"][0]["partitions"], serde_json::json!([0, 1]));
        let text = group_detail(&group);
        for part in ["billing", "Stable", "1,490", "/127.0.0.1", "orders 0 1", "m-1"] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
    }

    #[test]
    fn a_seek_tells_the_partitions_that_were_asked_for() {
        let group = sample(vec![offset(0, Some(5), Some(9)), offset(1, Some(6), Some(9))], 0);
        assert_eq!(
            group.places_in("orders", Some(1)),
            "group billing reads orders 1 from offset 6\n"
        );
        assert_eq!(group.places_in("orders", None).lines().count(), 2);
        assert_eq!(group.places_in("other", None), "");
    }

    #[test]
    fn lists_are_tables_and_say_what_to_do_when_empty() {
        let list = |groups| GroupsView::from(GroupList { groups, left_out: 0 });
        assert!(group_table(&list(Vec::new())).contains("no groups"));
        let group = GroupSummary {
            group: "billing".to_owned(),
            kind: GroupKind::Consumer,
            state: "Empty".to_owned(),
            protocol_type: String::new(),
        };
        let text = group_table(&list(vec![group]));
        let line: Vec<_> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(line, ["billing", "consumer", "Empty", "-"]);
    }
}
