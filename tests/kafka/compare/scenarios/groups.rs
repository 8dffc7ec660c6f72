//! Groups whose members agree among themselves.

use serde_json::{Value, json};

use crate::run::Run;

/// A consumer's subscription as clients write it: version 1, one topic, no user data.
fn subscription(topic: &str) -> String {
    let mut bytes = vec![0, 1, 0, 0, 0, 1];
    bytes.extend_from_slice(&(topic.len() as u16).to_be_bytes());
    bytes.extend_from_slice(topic.as_bytes());
    bytes.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    tidegate_kafka_tests::hex(&bytes)
}

/// A member's request to join, subscribed to a topic that there is not.
pub fn join_body(group: &str, member: &str) -> Value {
    subscribed(group, member, "topic")
}

fn subscribed(group: &str, member: &str, topic: &str) -> Value {
    json!({
        "GroupId": group, "SessionTimeoutMs": 30_000, "RebalanceTimeoutMs": 10_000,
        "MemberId": member, "ProtocolType": "consumer",
        "Protocols": [{ "Name": "range", "Metadata": subscription(topic) }],
    })
}

fn sync_body(group: &str, member: &str, generation: i64, assignments: &[(&str, &str)]) -> Value {
    let assignments: Vec<_> = assignments
        .iter()
        .map(|(member, bytes)| json!({ "MemberId": member, "Assignment": bytes }))
        .collect();
    json!({
        "GroupId": group, "MemberId": member, "GenerationId": generation,
        "ProtocolType": "consumer", "ProtocolName": "range", "Assignments": assignments,
    })
}

fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_default().to_owned()
}

/// Joins as versions from 4 on do: asks for an id first. Nothing is written down.
pub fn member(run: &mut Run<'_>, group: &str) -> (String, i64) {
    member_on(run, group, "topic")
}

fn member_on(run: &mut Run<'_>, group: &str, topic: &str) -> (String, i64) {
    let answer = run.quiet("JoinGroup", 5, subscribed(group, "", topic));
    let member = text(&answer, "MemberId");
    let answer = run.quiet("JoinGroup", 5, subscribed(group, &member, topic));
    (member, answer["GenerationId"].as_i64().unwrap_or(-1))
}

/// A group of one member that has its assignment.
pub fn stable(run: &mut Run<'_>, name: &str) -> (String, String, i64) {
    stable_on(run, name, "topic")
}

/// The same, with a subscription to this topic.
pub fn stable_on(run: &mut Run<'_>, name: &str, topic: &str) -> (String, String, i64) {
    let group = run.name(name);
    let (member, generation) = member_on(run, &group, topic);
    let body = sync_body(&group, &member, generation, &[(&member, "beef")]);
    run.quiet("SyncGroup", 5, body);
    (group, member, generation)
}

/// One member in every version, from the first request to the last.
pub fn join(run: &mut Run<'_>) {
    for version in 0..=9 {
        let group = run.name(&format!("g{version}"));
        let answer = run.call("join", "JoinGroup", version, join_body(&group, ""));
        let member = text(&answer, "MemberId");
        let answer = run.call("join-with-id", "JoinGroup", version, join_body(&group, &member));
        let generation = answer["GenerationId"].as_i64().unwrap_or(-1);
        let sync = version.min(5);
        let body = sync_body(&group, &member, generation, &[(&member, "beef")]);
        run.call(&format!("sync-{version}"), "SyncGroup", sync, body);
        run.call("rejoin-same", "JoinGroup", version, join_body(&group, &member));
        let mut other = join_body(&group, &member);
        other["Protocols"] = json!([
            { "Name": "sticky", "Metadata": "00" }, { "Name": "range", "Metadata": "01" },
        ]);
        other["Reason"] = json!("wants another protocol");
        run.call("rejoin-other", "JoinGroup", version, other);
        let mut body = join_body(&run.name(&format!("two{version}")), "");
        body["Protocols"] = json!([
            { "Name": "b", "Metadata": "" }, { "Name": "a", "Metadata": "ff" },
        ]);
        let answer = run.call("two-protocols", "JoinGroup", version, body.clone());
        body["MemberId"] = answer["MemberId"].clone();
        run.call("two-protocols-with-id", "JoinGroup", version, body);
    }
}

/// A step, its group, and what its request says otherwise.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, Value)]);

/// Who may not join.
pub fn join_errors(run: &mut Run<'_>) {
    let (stable, _, _) = stable(run, "stable");
    let group = run.name("g");
    for version in [0, 2, 4, 5, 7, 9] {
        let cases: [Case<'_>; 12] = [
            ("empty-group", "", &[]),
            ("short-session", &group, &[("SessionTimeoutMs", json!(1))]),
            ("long-session", &group, &[("SessionTimeoutMs", json!(1 << 30))]),
            ("unknown-member", &group, &[("MemberId", json!("who"))]),
            ("unknown-in-stable", &stable, &[("MemberId", json!("who"))]),
            ("no-protocols", &group, &[("Protocols", json!([]))]),
            ("no-type", &group, &[("ProtocolType", json!(""))]),
            ("other-type", &stable, &[("ProtocolType", json!("connect"))]),
            (
                "other-protocol",
                &stable,
                &[("Protocols", json!([{ "Name": "other", "Metadata": "" }]))],
            ),
            ("no-protocols-in-stable", &stable, &[("Protocols", json!([]))]),
            ("zero-rebalance", "", &[("RebalanceTimeoutMs", json!(0))]),
            ("negative-session", &group, &[("SessionTimeoutMs", json!(-1))]),
        ];
        for (step, group, changes) in cases {
            let mut body = join_body(group, "");
            for (field, value) in changes {
                body[*field] = value.clone();
            }
            run.call(step, "JoinGroup", version, body);
        }
    }
    for version in [5, 9] {
        for (step, member, instance) in [
            ("unknown-instance", "who", "nobody"),
            ("empty-instance", "", ""),
            ("bad-instance", "", "bad instance/id"),
        ] {
            let mut body = join_body(&run.name(&format!("{step}{version}")), member);
            body["GroupInstanceId"] = json!(instance);
            run.call(step, "JoinGroup", version, body);
        }
    }
}

/// Assignments handed out.
pub fn sync(run: &mut Run<'_>) {
    for version in 0..=5 {
        let group = run.name(&format!("g{version}"));
        let (member, generation) = member(run, &group);
        for (step, group, member, generation) in [
            ("empty-group", "", member.as_str(), generation),
            ("unknown-group", &run.name("never"), &member, generation),
            ("unknown-member", &group, "who", generation),
            ("empty-member", &group, "", generation),
            ("older", &group, &member, generation - 1),
            ("newer", &group, &member, generation + 1),
            ("negative", &group, &member, -1),
        ] {
            let body = sync_body(group, member, generation, &[(member, "beef")]);
            run.call(step, "SyncGroup", version, body);
        }
        for (step, field) in [("other-type", "ProtocolType"), ("other-name", "ProtocolName")] {
            let mut body = sync_body(&group, &member, generation, &[(&member, "beef")]);
            body[field] = json!("other");
            if version >= 5 {
                run.call(step, "SyncGroup", version, body);
            }
        }
        let long = "ab".repeat(20_000);
        let body = sync_body(&group, &member, generation, &[(&member, &long), ("who", "00")]);
        run.call("sync", "SyncGroup", version, body);
        let body = sync_body(&group, &member, generation, &[(&member, "00")]);
        run.call("again", "SyncGroup", version, body);
        let mut body = sync_body(&group, &member, generation, &[]);
        body["GroupInstanceId"] = json!("nobody");
        if version >= 3 {
            run.call("unknown-instance", "SyncGroup", version, body);
        }
        // A leader that forgets itself gets nothing.
        let group = run.name(&format!("none{version}"));
        let (member, generation) = self::member(run, &group);
        let body = sync_body(&group, &member, generation, &[]);
        run.call("no-assignments", "SyncGroup", version, body);
    }
}

/// Heartbeats right and wrong.
pub fn heartbeat(run: &mut Run<'_>) {
    let (group, member, generation) = stable(run, "g");
    let joined = run.name("joined");
    let (early, first) = self::member(run, &joined);
    for version in 0..=4 {
        for (step, group, member, generation, instance) in [
            ("right", group.as_str(), member.as_str(), generation, Value::Null),
            ("before-sync", &joined, &early, first, Value::Null),
            ("older", &group, &member, generation - 1, Value::Null),
            ("newer", &group, &member, generation + 1, Value::Null),
            ("unknown-member", &group, "who", generation, Value::Null),
            ("empty-member", &group, "", generation, Value::Null),
            ("unknown-group", &run.name("never"), &member, generation, Value::Null),
            ("empty-group", "", &member, generation, Value::Null),
            ("unknown-instance", &group, &member, generation, json!("nobody")),
        ] {
            let body = json!({
                "GroupId": group, "GenerationId": generation, "MemberId": member,
                "GroupInstanceId": instance,
            });
            // Only later versions can name an instance.
            if instance.is_null() || version >= 3 {
                run.call(step, "Heartbeat", version, body);
            }
        }
    }
}

/// Members that go.
pub fn leave(run: &mut Run<'_>) {
    for version in 0..=5 {
        let (group, member, generation) = stable(run, &format!("g{version}"));
        let body = |group: &str, members: &[(&str, Value)]| match version {
            0..=2 => json!({ "GroupId": group, "MemberId": members[0].0 }),
            _ => {
                let members: Vec<_> = members
                    .iter()
                    .map(|(member, instance)| {
                        json!({ "MemberId": member, "GroupInstanceId": instance })
                    })
                    .collect();
                json!({ "GroupId": group, "Members": members })
            }
        };
        let never = run.name("never");
        run.call("unknown-member", "LeaveGroup", version, body(&group, &[("who", Value::Null)]));
        run.call("unknown-group", "LeaveGroup", version, body(&never, &[(&member, Value::Null)]));
        run.call("empty-group", "LeaveGroup", version, body("", &[(&member, Value::Null)]));
        run.call("empty-member", "LeaveGroup", version, body(&group, &[("", Value::Null)]));
        if version >= 3 {
            run.call("none", "LeaveGroup", version, body(&group, &[]));
            let members = [("who", Value::Null), ("", json!("nobody")), (&member, Value::Null)];
            run.call("several", "LeaveGroup", version, body(&group, &members));
        } else {
            run.call("leave", "LeaveGroup", version, body(&group, &[(&member, Value::Null)]));
        }
        run.call("again", "LeaveGroup", version, body(&group, &[(&member, Value::Null)]));
        let heartbeat = json!({ "GroupId": group, "GenerationId": generation, "MemberId": member });
        run.call(&format!("after-{version}"), "Heartbeat", 4, heartbeat);
        run.call(&format!("empty-{version}"), "DescribeGroups", 6, json!({ "Groups": [group] }));
    }
}

/// A second member comes and goes.
pub fn two_members(run: &mut Run<'_>) {
    let topic = run.topic("t", 1, &[]).name;
    for version in [0, 4, 5, 9] {
        let group = run.name(&format!("g{version}"));
        let (first, second) = (run.line(), run.line());
        let id_of = |run: &mut Run<'_>, line, step: &str| {
            // From 4 on the first answer only gives an id.
            let answer = run.call_on(line, step, "JoinGroup", version, join_body(&group, ""));
            text(&answer, "MemberId")
        };
        let leader = id_of(run, first, "leader");
        if version >= 4 {
            let body = join_body(&group, &leader);
            run.call_on(first, "leader-with-id", "JoinGroup", version, body);
        }
        let body = sync_body(&group, &leader, 1, &[(&leader, "01")]);
        run.call_on(first, &format!("leader-sync-{version}"), "SyncGroup", 3, body);
        let member = if version >= 4 { id_of(run, second, "member") } else { String::new() };
        let body = join_body(&group, &member);
        run.send_on(second, "member-joins", "JoinGroup", version, body);
        // The broker takes the member in before it tells the leader.
        let beat = json!({ "GroupId": group, "GenerationId": 1, "MemberId": leader });
        let mut told = false;
        for _ in 0..200 {
            if run.quiet("Heartbeat", 3, beat.clone())["ErrorCode"] == 27 {
                told = true;
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        run.note(&format!("told-{version}"), "Heartbeat", json!({ "Rebalance": told }));
        let commit = |generation: i64| {
            json!({
                "GroupId": group, "GenerationIdOrMemberEpoch": generation, "MemberId": leader,
                "Topics": [{ "Name": topic, "Partitions": [{ "PartitionIndex": 0 }] }],
            })
        };
        run.call_on(first, &format!("commit-meanwhile-{version}"), "OffsetCommit", 8, commit(1));
        let body = sync_body(&group, &leader, 1, &[(&leader, "01")]);
        run.call_on(first, &format!("sync-meanwhile-{version}"), "SyncGroup", 3, body);
        run.call_on(first, "leader-rejoins", "JoinGroup", version, join_body(&group, &leader));
        let answer = run.answer(second);
        let member = text(&answer, "MemberId");
        let body = sync_body(&group, &member, 2, &[]);
        run.send_on(second, &format!("member-waits-{version}"), "SyncGroup", 3, body);
        let assignments = [(leader.as_str(), "0102"), (member.as_str(), "0304")];
        let body = sync_body(&group, &leader, 2, &assignments);
        run.call_on(first, &format!("leader-assigns-{version}"), "SyncGroup", 3, body);
        run.answer(second);
        let describe = json!({ "Groups": [group], "IncludeAuthorizedOperations": true });
        run.call(&format!("described-{version}"), "DescribeGroups", 5, describe);
        let leave = json!({ "GroupId": group, "MemberId": leader });
        run.call_on(first, &format!("leader-leaves-{version}"), "LeaveGroup", 1, leave);
        let beat = json!({ "GroupId": group, "GenerationId": 2, "MemberId": member });
        run.call_on(second, &format!("member-told-{version}"), "Heartbeat", 3, beat);
        run.call_on(second, "member-rejoins", "JoinGroup", version, join_body(&group, &member));
    }
}

/// Members with a name of their own.
pub fn static_members(run: &mut Run<'_>) {
    let topic = run.topic("t", 1, &[]).name;
    for version in 5..=9 {
        let group = run.name(&format!("g{version}"));
        let named = |member: &str| {
            let mut body = join_body(&group, member);
            body["GroupInstanceId"] = json!("one");
            body
        };
        let sync = |member: &str, assignments: &[(&str, &str)]| {
            let mut body = sync_body(&group, member, 1, assignments);
            body["GroupInstanceId"] = json!("one");
            body
        };
        let beat = |member: &str, instance: &str| {
            json!({
                "GroupId": group, "GenerationId": 1, "MemberId": member,
                "GroupInstanceId": instance,
            })
        };
        let answer = run.call("join", "JoinGroup", version, named(""));
        let old = text(&answer, "MemberId");
        let body = sync(&old, &[(&old, "beef")]);
        run.call(&format!("sync-{version}"), "SyncGroup", 5, body);
        let answer = run.call("comes-back", "JoinGroup", version, named(""));
        let new = text(&answer, "MemberId");
        run.call(&format!("old-beats-{version}"), "Heartbeat", 4, beat(&old, "one"));
        run.call("old-joins", "JoinGroup", version, named(&old));
        run.call(&format!("old-syncs-{version}"), "SyncGroup", 5, sync(&old, &[]));
        let commit = |member: &str, instance: &str| {
            json!({
                "GroupId": group, "GenerationIdOrMemberEpoch": 1, "MemberId": member,
                "GroupInstanceId": instance,
                "Topics": [{ "Name": topic, "Partitions": [{ "PartitionIndex": 0 }] }],
            })
        };
        run.call(&format!("old-commits-{version}"), "OffsetCommit", 8, commit(&old, "one"));
        run.call(&format!("other-instance-{version}"), "Heartbeat", 4, beat(&new, "two"));
        run.call(&format!("new-syncs-{version}"), "SyncGroup", 5, sync(&new, &[]));
        run.call(&format!("new-beats-{version}"), "Heartbeat", 4, beat(&new, "one"));
        run.call("rejoins", "JoinGroup", version, named(&new));
        let body = json!({ "Groups": [group] });
        run.call(&format!("described-{version}"), "DescribeGroups", 6, body);
        let leave = |member: &str, instance: &str| {
            json!({ "GroupId": group, "Members": [
                { "MemberId": member, "GroupInstanceId": instance },
            ]})
        };
        run.call(&format!("old-leaves-{version}"), "LeaveGroup", 5, leave(&old, "one"));
        run.call(&format!("other-leaves-{version}"), "LeaveGroup", 5, leave("", "two"));
        run.call(&format!("leaves-{version}"), "LeaveGroup", 5, leave("", "one"));
    }
}

/// Where a group's coordinator is.
pub fn find_coordinator(run: &mut Run<'_>) {
    let group = run.name("g");
    for version in 0..=6 {
        let ask = |keys: &[&str], kind: i8| match version {
            0..=3 => json!({ "Key": keys[0], "KeyType": kind }),
            _ => json!({ "CoordinatorKeys": keys, "KeyType": kind }),
        };
        run.call("group", "FindCoordinator", version, ask(&[&group], 0));
        run.call("empty", "FindCoordinator", version, ask(&[""], 0));
        if version >= 1 {
            run.call("bad-type", "FindCoordinator", version, ask(&[&group], 9));
            run.call("negative-type", "FindCoordinator", version, ask(&[&group], -1));
        }
        if version >= 4 {
            run.call("several", "FindCoordinator", version, ask(&[&group, "", "b", "b"], 0));
            run.call("none", "FindCoordinator", version, ask(&[], 0));
        }
    }
}

/// Groups described in each of their states.
pub fn describe(run: &mut Run<'_>) {
    let (stable, _, _) = stable(run, "stable");
    let joined = run.name("joined");
    member(run, &joined);
    let empty = run.name("empty");
    let body = json!({
        "GroupId": empty, "GenerationIdOrMemberEpoch": -1,
        "Topics": [{ "Name": run.topic("t", 1, &[]).name, "Partitions": [
            { "PartitionIndex": 0, "CommittedOffset": 1 },
        ]}],
    });
    run.quiet("OffsetCommit", 8, body);
    let never = run.name("never");
    for version in 0..=6 {
        let groups = json!([stable, joined, empty, never]);
        run.call("all", "DescribeGroups", version, json!({ "Groups": groups }));
        run.call("none", "DescribeGroups", version, json!({ "Groups": [] }));
        run.call("twice", "DescribeGroups", version, json!({ "Groups": [stable, stable] }));
        if version >= 3 {
            let body = json!({ "Groups": [stable, never], "IncludeAuthorizedOperations": true });
            run.call("operations", "DescribeGroups", version, body);
        }
    }
}

/// Groups listed by state and type.
pub fn list(run: &mut Run<'_>) {
    stable(run, "stable");
    let joined = run.name("joined");
    member(run, &joined);
    let prefix = run.name("");
    let keep = move |answer: &mut Value| {
        if let Some(groups) = answer["Groups"].as_array_mut() {
            groups.retain(|group| {
                group["GroupId"].as_str().is_some_and(|name| name.starts_with(&prefix))
            });
        }
    };
    for version in 0..=5 {
        run.call_part("all", "ListGroups", version, json!({}), &keep);
        if version >= 4 {
            for states in [
                &["Stable"][..],
                &["stable"],
                &["Empty"],
                &["CompletingRebalance"],
                &["Stable", "CompletingRebalance"],
                &["Bogus"],
                &["Bogus", "Stable"],
                &["Dead"],
            ] {
                let body = json!({ "StatesFilter": states });
                let step = format!("states-{}", states.join("-"));
                run.call_part(&step, "ListGroups", version, body, &keep);
            }
        }
        if version >= 5 {
            for types in
                [&["classic"][..], &["Classic"], &["consumer"], &["bogus"], &["bogus", "classic"]]
            {
                let body = json!({ "TypesFilter": types });
                let step = format!("types-{}", types.join("-"));
                run.call_part(&step, "ListGroups", version, body, &keep);
            }
        }
    }
}
