//! Groups whose members the broker assigns (KIP-848).

use std::time::Duration;

use serde_json::{Value, json};

use crate::run::{Run, Topic};

fn first(group: &str, member: &str, topic: &str) -> Value {
    json!({
        "GroupId": group, "MemberId": member, "MemberEpoch": 0, "RebalanceTimeoutMs": 30_000,
        "SubscribedTopicNames": [topic], "TopicPartitions": [],
    })
}

fn beat(group: &str, member: &str, epoch: i64) -> Value {
    json!({ "GroupId": group, "MemberId": member, "MemberEpoch": epoch })
}

fn owned(assignment: &Value) -> Value {
    match &assignment["TopicPartitions"] {
        Value::Null => json!([]),
        partitions => partitions.clone(),
    }
}

/// Ids of members as a client chooses them.
fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// One member, from its first heartbeat to its last.
pub fn heartbeat(run: &mut Run<'_>) {
    let topic = topic(run, "t", 3);
    for version in 0..=1 {
        let group = run.name(&format!("g{version}"));
        let wanted = if version == 0 { String::new() } else { id(1) };
        let body = first(&group, &wanted, &topic.name);
        let answer = run.call("joins", "ConsumerGroupHeartbeat", version, body);
        let member = answer["MemberId"].as_str().unwrap_or_default().to_owned();
        let epoch = answer["MemberEpoch"].as_i64().unwrap_or(0);
        let mut body = beat(&group, &member, epoch);
        body["TopicPartitions"] = owned(&answer["Assignment"]);
        run.call("owns", "ConsumerGroupHeartbeat", version, body.clone());
        run.call("owns-again", "ConsumerGroupHeartbeat", version, body);
        let mut step = |name: &str, epoch: i64, changes: &[(&str, Value)]| {
            let mut body = beat(&group, &member, epoch);
            for (field, value) in changes {
                body[*field] = value.clone();
            }
            run.call(name, "ConsumerGroupHeartbeat", version, body)
        };
        step("bare", epoch, &[]);
        step("newer", epoch + 5, &[]);
        step("older", epoch - 1, &[]);
        step("same-topics", epoch, &[("SubscribedTopicNames", json!([topic.name]))]);
        step("assignor", epoch, &[("ServerAssignor", json!("range"))]);
        let describe = json!({ "GroupIds": [group], "IncludeAuthorizedOperations": true });
        run.call(&format!("described-{version}"), "ConsumerGroupDescribe", 1, describe.clone());
        run.call(
            &format!("described-as-classic-{version}"),
            "DescribeGroups",
            6,
            json!({ "Groups": [group] }),
        );
        let again = first(&group, &member, &topic.name);
        run.call("joins-again", "ConsumerGroupHeartbeat", version, again);
        run.call("leaves", "ConsumerGroupHeartbeat", version, beat(&group, &member, -1));
        run.call("after", "ConsumerGroupHeartbeat", version, beat(&group, &member, 1));
        run.call(&format!("described-empty-{version}"), "ConsumerGroupDescribe", version, describe);
        run.call(
            &format!("delete-{version}"),
            "DeleteGroups",
            2,
            json!({ "GroupsNames": [group] }),
        );
    }
    let group = run.name("unknown-topic");
    let body = first(&group, &id(2), &run.name("never"));
    run.call("unknown-topic", "ConsumerGroupHeartbeat", 1, body);
    run.call("unknown-topic-described", "ConsumerGroupDescribe", 1, json!({ "GroupIds": [group] }));
    let mut body = first(&run.name("static"), &id(3), &topic.name);
    body["InstanceId"] = json!("one");
    run.call("static-joins", "ConsumerGroupHeartbeat", 1, body.clone());
    run.call("static-joins-again", "ConsumerGroupHeartbeat", 1, body.clone());
    body["MemberId"] = json!(id(4));
    run.call("static-taken", "ConsumerGroupHeartbeat", 1, body);
}

/// Heartbeats that are refused.
pub fn errors(run: &mut Run<'_>) {
    let topic = topic(run, "t", 1);
    let group = run.name("g");
    let good = |group: &str| first(group, &id(1), &topic.name);
    let classic = super::groups::stable(run, "classic").0;
    for version in 0..=1 {
        let cases: [(&str, &[(&str, Value)]); 15] = [
            ("no-rebalance-timeout", &[("RebalanceTimeoutMs", json!(-1))]),
            ("no-topics", &[("SubscribedTopicNames", Value::Null)]),
            ("no-partitions", &[("TopicPartitions", Value::Null)]),
            (
                "owns-already",
                &[("TopicPartitions", json!([{ "TopicId": topic.id, "Partitions": [0] }]))],
            ),
            ("unknown-assignor", &[("ServerAssignor", json!("nope"))]),
            ("empty-group", &[("GroupId", json!(""))]),
            ("epoch-minus-three", &[("MemberEpoch", json!(-3))]),
            ("leaves-unknown", &[("MemberEpoch", json!(-1))]),
            ("static-leaves-unknown", &[("MemberEpoch", json!(-2)), ("InstanceId", json!("one"))]),
            ("static-leave-of-nobody", &[("MemberEpoch", json!(-2))]),
            ("empty-instance", &[("InstanceId", json!(""))]),
            ("empty-rack", &[("RackId", json!(""))]),
            ("epoch-of-unknown", &[("MemberEpoch", json!(3))]),
            ("into-classic", &[("GroupId", json!(classic))]),
            ("no-member", &[("MemberId", json!("")), ("MemberEpoch", json!(3))]),
        ];
        for (step, changes) in cases {
            let mut body = good(&group);
            for (field, value) in changes {
                body[*field] = value.clone();
            }
            run.call(step, "ConsumerGroupHeartbeat", version, body);
        }
    }
    for (step, regex) in [("bad-regex", "("), ("empty-regex", "")] {
        let mut body = good(&run.name(step));
        body["SubscribedTopicNames"] = Value::Null;
        body["SubscribedTopicRegex"] = json!(regex);
        run.call(step, "ConsumerGroupHeartbeat", 1, body);
    }
    let never = run.name("never");
    for version in 0..=1 {
        let body = json!({ "GroupIds": [never, classic, ""] });
        run.call("describe", "ConsumerGroupDescribe", version, body);
        run.call("describe-none", "ConsumerGroupDescribe", version, json!({ "GroupIds": [] }));
    }
}

/// Two members under the assignor that the broker would choose itself.
pub fn uniform(run: &mut Run<'_>) {
    two_members(run, "uniform");
}

/// Two members under the other one.
pub fn range(run: &mut Run<'_>) {
    two_members(run, "range");
}

/// A second member takes its share once the first has let go of it.
fn two_members(run: &mut Run<'_>, assignor: &str) {
    let topic = topic(run, "t", 4);
    let group = run.name("g");
    let (a, b) = (id(1), id(2));
    let join = |member: &str| {
        let mut body = first(&group, member, &topic.name);
        body["ServerAssignor"] = json!(assignor);
        body
    };
    let answer = run.call("a-joins", "ConsumerGroupHeartbeat", 1, join(&a));
    let epoch = answer["MemberEpoch"].as_i64().unwrap_or(0);
    let answer = run.call("b-joins", "ConsumerGroupHeartbeat", 1, join(&b));
    let b_epoch = answer["MemberEpoch"].as_i64().unwrap_or(0);
    // The broker may take its time with a new assignment; what counts is where it ends.
    let (a_has, a_epoch) = settle(run, &group, &a, epoch, Vec::new(), &topic);
    let (b_has, b_epoch) = settle(run, &group, &b, b_epoch, Vec::new(), &topic);
    let (a_has, a_epoch) = settle(run, &group, &a, a_epoch, a_has, &topic);
    let seen = json!({ "A": a_has, "B": b_has, "SameEpoch": a_epoch == b_epoch });
    run.note("shares", "ConsumerGroupHeartbeat", seen);
    run.call("described", "ConsumerGroupDescribe", 1, json!({ "GroupIds": [group] }));
    run.call("b-leaves", "ConsumerGroupHeartbeat", 1, beat(&group, &b, -1));
    let (a_has, _) = settle(run, &group, &a, a_epoch, a_has, &topic);
    run.note("all", "ConsumerGroupHeartbeat", json!({ "A": a_has }));
}

/// A topic that the coordinators have heard of too, which each does in its own time.
fn topic(run: &mut Run<'_>, name: &str, partitions: i32) -> Topic {
    let topic = run.topic(name, partitions, &[]);
    std::thread::sleep(Duration::from_millis(800));
    topic
}

/// Beats until the assignment rests, giving up what is taken away at once.
fn settle(
    run: &mut Run<'_>,
    group: &str,
    member: &str,
    mut epoch: i64,
    mut has: Vec<i64>,
    topic: &Topic,
) -> (Vec<i64>, i64) {
    for _ in 0..14 {
        let mut body = beat(group, member, epoch);
        body["TopicPartitions"] = json!([{ "TopicId": topic.id, "Partitions": has }]);
        if has.is_empty() {
            body["TopicPartitions"] = json!([]);
        }
        let answer = run.quiet("ConsumerGroupHeartbeat", 1, body);
        epoch = answer["MemberEpoch"].as_i64().unwrap_or(epoch);
        if answer["Assignment"].is_object() {
            let partitions = &answer["Assignment"]["TopicPartitions"][0]["Partitions"];
            has = partitions.as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
            has.sort_unstable();
        }
        std::thread::sleep(Duration::from_millis(150));
    }
    (has, epoch)
}

/// Offsets of such a group.
pub fn offsets(run: &mut Run<'_>) {
    let topic = topic(run, "t", 1);
    let group = run.name("g");
    let member = id(1);
    let body = first(&group, &member, &topic.name);
    let answer = run.quiet("ConsumerGroupHeartbeat", 1, body);
    let epoch = answer["MemberEpoch"].as_i64().unwrap_or(0);
    let commit = |member: &str, epoch: i64| {
        json!({
            "GroupId": group, "GenerationIdOrMemberEpoch": epoch, "MemberId": member,
            "Topics": [{ "Name": topic.name, "TopicId": topic.id, "Partitions": [
                { "PartitionIndex": 0, "CommittedOffset": 5, "CommittedMetadata": "m" },
            ]}],
        })
    };
    let read = |member: Value, epoch: i64| {
        json!({ "Groups": [{
            "GroupId": group, "MemberId": member, "MemberEpoch": epoch, "Topics": [
                { "Name": topic.name, "TopicId": topic.id, "PartitionIndexes": [0] },
            ],
        }]})
    };
    for version in [8, 9, 10] {
        run.call("right", "OffsetCommit", version, commit(&member, epoch));
        run.call("newer", "OffsetCommit", version, commit(&member, epoch + 9));
        run.call("older", "OffsetCommit", version, commit(&member, epoch - 1));
        run.call("unknown", "OffsetCommit", version, commit("who", epoch));
        run.call("nobody", "OffsetCommit", version, commit("", -1));
    }
    for version in [9, 10] {
        run.call("read", "OffsetFetch", version, read(json!(member), epoch));
        run.call("read-newer", "OffsetFetch", version, read(json!(member), epoch + 9));
        run.call("read-older", "OffsetFetch", version, read(json!(member), epoch - 1));
        run.call("read-unknown", "OffsetFetch", version, read(json!("who"), epoch));
        run.call("read-nobody", "OffsetFetch", version, read(Value::Null, -1));
    }
    // What classic requests make of it.
    let body = super::groups::join_body(&group, "who");
    run.call("classic-join", "JoinGroup", 9, body);
    let body = json!({ "GroupId": group, "GenerationId": epoch, "MemberId": member });
    run.call("classic-heartbeat", "Heartbeat", 4, body);
    let body = json!({ "GroupId": group, "Members": [{ "MemberId": "who" }] });
    run.call("classic-leave", "LeaveGroup", 5, body);
    let prefix = run.name("");
    let keep = move |answer: &mut Value| {
        if let Some(groups) = answer["Groups"].as_array_mut() {
            groups.retain(|group| {
                group["GroupId"].as_str().is_some_and(|name| name.starts_with(&prefix))
            });
        }
    };
    for types in [&["consumer"][..], &["classic"]] {
        let body = json!({ "TypesFilter": types });
        run.call_part(&format!("list-{}", types[0]), "ListGroups", 5, body, &keep);
    }
    let body = json!({ "GroupId": group, "Topics": [
        { "Name": topic.name, "Partitions": [{ "PartitionIndex": 0 }] },
    ]});
    run.call("delete-subscribed", "OffsetDelete", 0, body);
    run.call("delete-with-member", "DeleteGroups", 2, json!({ "GroupsNames": [group] }));
}
