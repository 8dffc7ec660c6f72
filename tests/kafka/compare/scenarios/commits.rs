//! Offsets of groups: committed, read back, deleted.

use serde_json::{Value, json};

use super::{UNKNOWN_ID, groups};
use crate::run::{Run, Topic};

fn commit(group: &str, topic: &Topic, partition: i32, offset: i64, metadata: Value) -> Value {
    json!({
        "GroupId": group, "GenerationIdOrMemberEpoch": -1, "MemberId": "",
        "Topics": [{ "Name": topic.name, "TopicId": topic.id, "Partitions": [{
            "PartitionIndex": partition, "CommittedOffset": offset, "CommittedLeaderEpoch": 0,
            "CommittedMetadata": metadata,
        }]}],
    })
}

/// A request for offsets; both shapes of it, by version. No topics means all.
fn read(version: i16, group: &str, topics: Option<&[(&Topic, &[i32])]>) -> Value {
    let topics = match topics {
        None => Value::Null,
        Some(topics) => topics
            .iter()
            .map(|(topic, partitions)| match version {
                0..=7 => json!({ "Name": topic.name, "PartitionIndexes": partitions }),
                _ => json!({
                    "Name": topic.name, "TopicId": topic.id, "PartitionIndexes": partitions,
                }),
            })
            .collect(),
    };
    match version {
        0..=7 => json!({ "GroupId": group, "Topics": topics }),
        _ => json!({ "Groups": [{ "GroupId": group, "Topics": topics }] }),
    }
}

/// Every version writes and every version reads.
pub fn versions(run: &mut Run<'_>) {
    let topic = run.topic("t", 3, &[]);
    let other = run.topic("other", 1, &[]);
    let never = Topic { name: run.name("never"), id: UNKNOWN_ID.to_owned() };
    for version in 2..=10 {
        let group = run.name(&format!("g{version}"));
        let metadata = json!(format!("written by {version}"));
        let offset = i64::from(version);
        run.call("commit", "OffsetCommit", version, commit(&group, &topic, 0, offset, metadata));
        run.call("other", "OffsetCommit", version, commit(&group, &other, 0, 9, Value::Null));
        let body = json!({ "GroupId": group, "GenerationIdOrMemberEpoch": -1, "Topics": [] });
        run.call("none", "OffsetCommit", version, body);
    }
    for version in 1..=10 {
        let group = run.name("g8");
        let old = run.name("g2");
        let unused = run.name("unused");
        let some: &[(&Topic, &[i32])] = &[(&topic, &[0, 1]), (&other, &[0])];
        run.call("some", "OffsetFetch", version, read(version, &group, Some(some)));
        run.call("old", "OffsetFetch", version, read(version, &old, Some(some)));
        run.call("unknown-group", "OffsetFetch", version, read(version, &unused, Some(some)));
        let wrong: &[(&Topic, &[i32])] = &[(&never, &[0]), (&topic, &[9])];
        run.call("unknown-topic", "OffsetFetch", version, read(version, &group, Some(wrong)));
        run.call("no-topics", "OffsetFetch", version, read(version, &group, Some(&[])));
        if version >= 2 {
            run.call("all", "OffsetFetch", version, read(version, &group, None));
            run.call("all-of-none", "OffsetFetch", version, read(version, &unused, None));
        }
        if version >= 7 {
            let mut body = read(version, &group, Some(some));
            body["RequireStable"] = json!(true);
            run.call("stable", "OffsetFetch", version, body);
        }
        if version >= 8 {
            let body = json!({ "Groups": [
                { "GroupId": group, "Topics": null }, { "GroupId": unused, "Topics": null },
            ]});
            run.call("two-groups", "OffsetFetch", version, body);
            let body = json!({ "Groups": [
                { "GroupId": group, "Topics": null }, { "GroupId": group, "Topics": null },
            ]});
            run.call("group-twice", "OffsetFetch", version, body);
            run.call("no-groups", "OffsetFetch", version, json!({ "Groups": [] }));
        }
        if version >= 9 {
            let mut body = read(version, &group, Some(some));
            body["Groups"][0]["MemberId"] = json!("who");
            body["Groups"][0]["MemberEpoch"] = json!(3);
            run.call("member-of-classic", "OffsetFetch", version, body);
        }
    }
}

/// Commits that fail, or that one might think should.
pub fn errors(run: &mut Run<'_>) {
    let topic = run.topic("t", 1, &[]);
    let never = Topic { name: run.name("never"), id: UNKNOWN_ID.to_owned() };
    let bad = Topic { name: run.name("bad name"), id: String::new() };
    for version in [2, 5, 8, 9, 10] {
        let group = run.name(&format!("g{version}"));
        for (step, topic, partition, offset, metadata) in [
            ("unknown-topic", &never, 0, 1, json!("")),
            ("bad-name", &bad, 0, 1, json!("")),
            ("unknown-partition", &topic, 9, 1, json!("")),
            ("negative-partition", &topic, -1, 1, json!("")),
            ("offset-minus-one", &topic, 0, -1, json!("")),
            ("offset-minus-five", &topic, 0, -5, json!("")),
            ("longest-metadata", &topic, 0, 1, json!("x".repeat(4_096))),
            ("long-metadata", &topic, 0, 1, json!("x".repeat(4_097))),
            ("null-metadata", &topic, 0, 1, Value::Null),
        ] {
            let body = commit(&group, topic, partition, offset, metadata);
            run.call(step, "OffsetCommit", version, body);
        }
        for (step, group, member, generation) in [
            ("member-of-none", run.name(&format!("a{version}")), "who", 1),
            ("generation-of-none", run.name(&format!("b{version}")), "", 1),
            ("member-without-generation", run.name(&format!("c{version}")), "who", -1),
        ] {
            let mut body = commit(&group, &topic, 0, 1, json!(""));
            body["MemberId"] = json!(member);
            body["GenerationIdOrMemberEpoch"] = json!(generation);
            run.call(step, "OffsetCommit", version, body);
        }
        let mut body = commit(&group, &topic, 0, 7, json!("mixed"));
        let more = commit(&group, &never, 0, 7, json!("mixed"))["Topics"][0].clone();
        if let Some(topics) = body["Topics"].as_array_mut() {
            topics.push(more);
        }
        run.call("mixed", "OffsetCommit", version, body);
        run.call(&format!("read-{version}"), "OffsetFetch", 7, read(7, &group, None));
    }
    run.call("retention", "OffsetCommit", 2, {
        let mut body = commit(&run.name("kept"), &topic, 0, 1, json!(""));
        body["RetentionTimeMs"] = json!(1_000);
        body
    });
    // A group without a name is one like any other here.
    run.call("empty-group", "OffsetCommit", 8, commit("", &topic, 0, 1, json!("")));
    let some: &[(&Topic, &[i32])] = &[(&topic, &[0])];
    run.call("empty-group-read", "OffsetFetch", 7, read(7, "", Some(some)));
    run.call("empty-group-described", "DescribeGroups", 6, json!({ "Groups": [""] }));
    run.call("empty-group-deleted", "DeleteGroups", 2, json!({ "GroupsNames": [""] }));
}

/// Commits of members.
pub fn member(run: &mut Run<'_>) {
    let topic = run.topic("t", 1, &[]);
    for version in 2..=10 {
        let (group, member, generation) = groups::stable(run, &format!("g{version}"));
        for (step, member, generation) in [
            ("right", member.as_str(), generation),
            ("older", &member, generation - 1),
            ("newer", &member, generation + 1),
            ("unknown", "who", generation),
            ("nobody", "", -1),
            ("no-generation", &member, -1),
            ("no-member", "", generation),
        ] {
            let mut body = commit(&group, &topic, 0, 5, json!(step));
            body["MemberId"] = json!(member);
            body["GenerationIdOrMemberEpoch"] = json!(generation);
            run.call(step, "OffsetCommit", version, body);
        }
        if version >= 7 {
            let mut body = commit(&group, &topic, 0, 5, json!(""));
            body["MemberId"] = json!(member);
            body["GenerationIdOrMemberEpoch"] = json!(generation);
            body["GroupInstanceId"] = json!("nobody");
            run.call("unknown-instance", "OffsetCommit", version, body);
        }
        run.call(&format!("read-{version}"), "OffsetFetch", 7, read(7, &group, None));
    }
}

/// Groups deleted.
pub fn delete_groups(run: &mut Run<'_>) {
    let topic = run.topic("t", 1, &[]);
    for version in 0..=2 {
        let empty = run.name(&format!("empty{version}"));
        run.quiet("OffsetCommit", 8, commit(&empty, &topic, 0, 5, json!("")));
        let (stable, _, _) = groups::stable(run, &format!("stable{version}"));
        let never = run.name("never");
        let body = json!({ "GroupsNames": [empty, stable, never] });
        run.call("delete", "DeleteGroups", version, body.clone());
        run.call("again", "DeleteGroups", version, body);
        run.call("none", "DeleteGroups", version, json!({ "GroupsNames": [] }));
        run.call("twice", "DeleteGroups", version, json!({ "GroupsNames": [never, never] }));
        run.call(&format!("read-{version}"), "OffsetFetch", 7, read(7, &empty, None));
        run.call(
            &format!("described-{version}"),
            "DescribeGroups",
            6,
            json!({ "Groups": [empty] }),
        );
    }
}

/// Offsets deleted.
pub fn delete_offsets(run: &mut Run<'_>) {
    let topic = run.topic("t", 3, &[]);
    let never = run.name("never");
    let simple = run.name("simple");
    for partition in 0..3 {
        run.quiet("OffsetCommit", 8, commit(&simple, &topic, partition, 5, json!("")));
    }
    let mut members = |name: &str, subscription: &str| {
        let (group, member, generation) = groups::stable_on(run, name, subscription);
        let mut body = commit(&group, &topic, 0, 5, json!(""));
        body["MemberId"] = json!(member);
        body["GenerationIdOrMemberEpoch"] = json!(generation);
        run.quiet("OffsetCommit", 8, body);
        group
    };
    let stable = members("stable", "another");
    let subscribed = members("subscribed", &topic.name);
    let ask = |group: &str, name: &str, partitions: &[i32]| {
        let partitions: Vec<_> =
            partitions.iter().map(|index| json!({ "PartitionIndex": index })).collect();
        json!({ "GroupId": group, "Topics": [{ "Name": name, "Partitions": partitions }] })
    };
    for (step, group, name, partitions) in [
        ("one", simple.as_str(), topic.name.as_str(), &[0][..]),
        ("again", &simple, &topic.name, &[0]),
        ("unknown-partition", &simple, &topic.name, &[1, 9]),
        ("unknown-topic", &simple, &never, &[0]),
        ("unknown-group", &never, &topic.name, &[0]),
        ("empty-group", "", &topic.name, &[0]),
        ("no-partitions", &simple, &topic.name, &[]),
        ("of-members", &stable, &topic.name, &[0]),
        ("subscribed", &subscribed, &topic.name, &[0]),
    ] {
        run.call(step, "OffsetDelete", 0, ask(group, name, partitions));
    }
    run.call("no-topics", "OffsetDelete", 0, json!({ "GroupId": simple, "Topics": [] }));
    run.call("left", "OffsetFetch", 7, read(7, &simple, None));
    run.call("left-of-members", "OffsetFetch", 7, read(7, &stable, None));
    run.call("left-of-subscribed", "OffsetFetch", 7, read(7, &subscribed, None));
    run.call("last", "OffsetDelete", 0, ask(&simple, &topic.name, &[2]));
    run.call("left-of-all", "DescribeGroups", 6, json!({ "Groups": [simple] }));
}
