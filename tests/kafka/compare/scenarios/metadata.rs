//! What a broker tells about its topics and itself.

use serde_json::{Value, json};

use super::UNKNOWN_ID;
use crate::run::Run;

/// The broker's own id.
pub fn node_id(run: &mut Run<'_>) -> i64 {
    let answer = run.quiet("Metadata", 9, json!({ "Topics": [] }));
    answer["Brokers"][0]["NodeId"].as_i64().unwrap_or(-1)
}

/// Keeps the scenario's own topics of a list of all.
fn only_own(prefix: &str) -> impl Fn(&mut Value) + use<> {
    let prefix = prefix.to_owned();
    move |answer| {
        if let Some(topics) = answer["Topics"].as_array_mut() {
            topics.retain(|topic| {
                topic["Name"].as_str().is_some_and(|name| name.starts_with(&prefix))
            });
        }
    }
}

/// All versions: named topics, all topics, none.
pub fn versions(run: &mut Run<'_>) {
    let a = run.topic("a", 3, &[]);
    let b = run.topic("b", 1, &[]);
    let own = only_own(&run.name(""));
    for version in 0..=13 {
        let named = json!({ "Topics": [{ "Name": b.name }, { "Name": a.name }] });
        run.call("named", "Metadata", version, named);
        // Version 0 has no null; there an empty list stands for all topics.
        let none = if version == 0 { json!([]) } else { Value::Null };
        run.call_part("all", "Metadata", version, json!({ "Topics": none }), &own);
        if version > 0 {
            run.call("no-topics", "Metadata", version, json!({ "Topics": [] }));
        }
        if version >= 12 {
            let body = json!({ "Topics": [{ "Name": null, "TopicId": a.id }] });
            run.call("by-id", "Metadata", version, body);
        }
        if version >= 8 {
            let body = json!({
                "Topics": [{ "Name": a.name }, { "Name": run.name("never") }],
                "AllowAutoTopicCreation": false,
                "IncludeClusterAuthorizedOperations": version <= 10,
                "IncludeTopicAuthorizedOperations": true,
            });
            run.call("operations", "Metadata", version, body);
        }
    }
}

/// Topics that are not there, and requests that name them badly.
pub fn errors(run: &mut Run<'_>) {
    let topic = run.topic("t", 1, &[]);
    let never = run.name("never");
    for version in [0, 1, 4, 9, 12, 13] {
        // Below 4 a broker may always create: no unknown topic can be asked for there.
        if version >= 4 {
            let body = json!({
                "Topics": [{ "Name": never }, { "Name": topic.name }],
                "AllowAutoTopicCreation": false,
            });
            run.call("unknown", "Metadata", version, body);
        }
        let bad = run.name("bad name");
        run.call("bad-name", "Metadata", version, json!({ "Topics": [{ "Name": bad }] }));
        run.call("empty-name", "Metadata", version, json!({ "Topics": [{ "Name": "" }] }));
        let twice = json!({ "Topics": [{ "Name": topic.name }, { "Name": topic.name }] });
        run.call("twice", "Metadata", version, twice);
    }
    for version in 10..=13 {
        let body = json!({ "Topics": [{ "Name": null, "TopicId": UNKNOWN_ID }] });
        run.call("unknown-id", "Metadata", version, body);
        let body = json!({ "Topics": [{ "Name": topic.name, "TopicId": topic.id }] });
        run.call("name-and-id", "Metadata", version, body);
        let body = json!({ "Topics": [{ "Name": topic.name, "TopicId": UNKNOWN_ID }] });
        run.call("name-and-other-id", "Metadata", version, body);
        let body = json!({ "Topics": [{ "Name": null }] });
        run.call("neither", "Metadata", version, body);
        let body = json!({
            "Topics": [{ "Name": topic.name }, { "Name": null, "TopicId": topic.id }],
        });
        run.call("both-ways", "Metadata", version, body);
    }
}

/// Topics that come into being because they are asked for.
pub fn auto_create(run: &mut Run<'_>) {
    for version in [0, 3, 4, 9, 13] {
        let name = format!("t{version}");
        let full = run.name(&name);
        let body = json!({ "Topics": [{ "Name": full }] });
        run.call("first", "Metadata", version, body.clone());
        run.settled(&full);
        run.call("then", "Metadata", version, body);
    }
    for (step, name) in [("bad", "bad name"), ("internal", "__consumer_offsets")] {
        let full = if step == "bad" { run.name(name) } else { name.to_owned() };
        let keep = |answer: &mut Value| {
            answer["Topics"][0]["Partitions"] = Value::Null;
        };
        run.call_part(step, "Metadata", 9, json!({ "Topics": [{ "Name": full }] }), keep);
    }
    let denied = run.name("denied");
    let body = json!({ "Topics": [{ "Name": denied }], "AllowAutoTopicCreation": false });
    run.call("not-allowed", "Metadata", 9, body.clone());
    run.barrier();
    run.call("still-not-there", "Metadata", 9, body);
}

/// Partitions page by page.
pub fn topic_partitions(run: &mut Run<'_>) {
    let a = run.topic("a", 3, &[]).name;
    let b = run.topic("b", 2, &[]).name;
    let ask = |limit: i32, names: &[&str], cursor: Value| {
        let topics: Vec<_> = names.iter().map(|name| json!({ "Name": name })).collect();
        json!({ "Topics": topics, "ResponsePartitionLimit": limit, "Cursor": cursor })
    };
    let at = |name: &str, partition: i32| json!({ "TopicName": name, "PartitionIndex": partition });
    let bad = run.name("bad name");
    let never = run.name("never");
    for (step, body) in [
        ("whole", ask(100, &[&b, &a], Value::Null)),
        ("page", ask(2, &[&a, &b], Value::Null)),
        ("page-over-topics", ask(4, &[&a, &b], Value::Null)),
        ("next", ask(2, &[&a, &b], at(&a, 2))),
        ("cursor-at-second", ask(9, &[&a, &b], at(&b, 1))),
        ("cursor-beyond", ask(9, &[&a, &b], at(&a, 7))),
        ("cursor-negative", ask(9, &[&a, &b], at(&a, -1))),
        ("cursor-of-none", ask(9, &[&a, &b], at(&never, 0))),
        ("limit-zero", ask(0, &[&a], Value::Null)),
        ("limit-negative", ask(-1, &[&a], Value::Null)),
        ("unknown", ask(9, &[&never, &a], Value::Null)),
        ("bad-name", ask(9, &[&bad], Value::Null)),
        ("twice", ask(9, &[&a, &a], Value::Null)),
    ] {
        run.call(step, "DescribeTopicPartitions", 0, body);
    }
}

/// The cluster.
pub fn cluster(run: &mut Run<'_>) {
    for version in 0..=2 {
        run.call("plain", "DescribeCluster", version, json!({}));
        let body = json!({ "IncludeClusterAuthorizedOperations": true });
        run.call("operations", "DescribeCluster", version, body);
        if version > 0 {
            run.call("controllers", "DescribeCluster", version, json!({ "EndpointType": 2 }));
            run.call("bad-endpoint", "DescribeCluster", version, json!({ "EndpointType": 9 }));
        }
        if version > 1 {
            let body = json!({ "IncludeFencedBrokers": true });
            run.call("fenced", "DescribeCluster", version, body);
        }
    }
}

/// Where partitions lie and how large they are.
pub fn log_dirs(run: &mut Run<'_>) {
    let topic = super::log_topic(run, "t", 2);
    super::append(run, &topic, &super::many(10));
    let never = run.name("never");
    for version in 1..=5 {
        let body = json!({ "Topics": [{ "Topic": topic.name, "Partitions": [0, 1] }] });
        run.call("named", "DescribeLogDirs", version, body);
        let body = json!({ "Topics": [
            { "Topic": topic.name, "Partitions": [1, 9] }, { "Topic": never, "Partitions": [0] },
        ]});
        run.call("unknown", "DescribeLogDirs", version, body);
        run.call("no-topics", "DescribeLogDirs", version, json!({ "Topics": [] }));
        let prefix = run.name("");
        let keep = move |answer: &mut Value| {
            if let Some(topics) = answer["Results"][0]["Topics"].as_array_mut() {
                topics.retain(|topic| {
                    topic["Name"].as_str().is_some_and(|name| name.starts_with(&prefix))
                });
            }
        };
        run.call_part("all", "DescribeLogDirs", version, json!({ "Topics": null }), keep);
    }
}

/// Leaders that need no election, since there is one node.
pub fn elect_leaders(run: &mut Run<'_>) {
    let topic = run.topic("t", 2, &[]);
    let never = run.name("never");
    for version in 0..=2 {
        for kind in if version == 0 { 0..=0 } else { 0..=1 } {
            let body = json!({
                "ElectionType": kind, "TimeoutMs": 5_000,
                "TopicPartitions": [{ "Topic": topic.name, "Partitions": [0, 1] }],
            });
            run.call(&format!("named-{kind}"), "ElectLeaders", version, body);
        }
        let body = json!({ "TimeoutMs": 5_000, "TopicPartitions": [
            { "Topic": topic.name, "Partitions": [0, 9] }, { "Topic": never, "Partitions": [0] },
        ]});
        run.call("unknown", "ElectLeaders", version, body);
        let body = json!({ "TimeoutMs": 5_000, "TopicPartitions": [] });
        run.call("none", "ElectLeaders", version, body);
        let prefix = run.name("");
        let keep = move |answer: &mut Value| {
            if let Some(topics) = answer["ReplicaElectionResults"].as_array_mut() {
                topics.retain(|topic| {
                    topic["Topic"].as_str().is_some_and(|name| name.starts_with(&prefix))
                });
            }
        };
        let body = json!({ "TimeoutMs": 5_000, "TopicPartitions": null });
        run.call_part("all", "ElectLeaders", version, body, keep);
    }
    let body = json!({
        "ElectionType": 7, "TimeoutMs": 5_000,
        "TopicPartitions": [{ "Topic": topic.name, "Partitions": [0] }],
    });
    run.call("bad-type", "ElectLeaders", 2, body);
}

/// Partitions on their way to other nodes, of which there are none.
pub fn reassignments(run: &mut Run<'_>) {
    let topic = run.topic("t", 2, &[]);
    let never = run.name("never");
    for (step, topics) in [
        ("all", Value::Null),
        ("none", json!([])),
        ("named", json!([{ "Name": topic.name, "PartitionIndexes": [0, 1] }])),
        ("no-partitions", json!([{ "Name": topic.name, "PartitionIndexes": [] }])),
        ("unknown-partition", json!([{ "Name": topic.name, "PartitionIndexes": [9] }])),
        ("unknown", json!([{ "Name": never, "PartitionIndexes": [0] }])),
    ] {
        let body = json!({ "TimeoutMs": 5_000, "Topics": topics });
        run.call(step, "ListPartitionReassignments", 0, body);
    }
}
