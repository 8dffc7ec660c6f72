//! Topics made, sized and deleted.

use serde_json::{Value, json};

use super::UNKNOWN_ID;
use crate::run::Run;

fn create_one(topic: Value) -> Value {
    json!({ "Topics": [topic], "timeoutMs": 10_000 })
}

fn sized(run: &Run<'_>, name: &str, partitions: i32, replicas: i16) -> Value {
    json!({ "Name": run.name(name), "NumPartitions": partitions, "ReplicationFactor": replicas })
}

/// Good topics in every version, by number and by default.
pub fn create(run: &mut Run<'_>) {
    for version in 2..=7 {
        let topic = sized(run, &format!("t{version}"), 2, 1);
        run.call("sized", "CreateTopics", version, create_one(topic));
        let mut topic = sized(run, &format!("c{version}"), 1, 1);
        topic["Configs"] = json!([
            { "Name": "cleanup.policy", "Value": "compact,delete" },
            { "Name": "retention.ms", "Value": "86400000" },
            { "Name": "max.message.bytes", "Value": "2000" },
        ]);
        run.call("configured", "CreateTopics", version, create_one(topic));
    }
    for version in 4..=7 {
        let topic = sized(run, &format!("d{version}"), -1, -1);
        run.call("defaults", "CreateTopics", version, create_one(topic));
    }
    for version in [2, 5, 7] {
        let topic = sized(run, &format!("v{version}"), 3, 1);
        let body = json!({ "Topics": [topic], "timeoutMs": 10_000, "validateOnly": true });
        run.call("validate", "CreateTopics", version, body);
        run.barrier();
        let name = run.name(&format!("v{version}"));
        let body = json!({ "Topics": [{ "Name": name }], "AllowAutoTopicCreation": false });
        run.call(&format!("not-made-{version}"), "Metadata", 9, body);
    }
    let (a, b) = (sized(run, "several-a", 1, 1), sized(run, "several-b", 0, 1));
    let several = json!({ "Topics": [a, b], "timeoutMs": 10_000 });
    run.call("several", "CreateTopics", 7, several);
    run.call("none", "CreateTopics", 7, json!({ "Topics": [], "timeoutMs": 10_000 }));
    let topic = sized(run, "at-once", 1, 1);
    run.call("no-time", "CreateTopics", 7, json!({ "Topics": [topic], "timeoutMs": 0 }));
}

/// Topics that cannot be.
pub fn create_errors(run: &mut Run<'_>) {
    run.topic("there", 1, &[]);
    run.topic("with.dot", 1, &[]);
    for version in [2, 4, 5, 7] {
        let topic = sized(run, "bad name", 1, 1);
        run.call("bad-name", "CreateTopics", version, create_one(topic));
        let topic = sized(run, "there", 1, 1);
        run.call("exists", "CreateTopics", version, create_one(topic));
        let topic = sized(run, "wide", 1, 3);
        run.call("three-replicas", "CreateTopics", version, create_one(topic));
    }
    for (step, name) in [("empty-name", ""), ("dot", "."), ("dots", ".."), ("slash", "a/b")] {
        let topic = json!({ "Name": name, "NumPartitions": 1, "ReplicationFactor": 1 });
        run.call(step, "CreateTopics", 7, create_one(topic));
    }
    let long = |length| "x".repeat(length);
    for length in [250, 400] {
        let topic = json!({ "Name": long(length), "NumPartitions": 1, "ReplicationFactor": 1 });
        run.call(&format!("long-{length}"), "CreateTopics", 7, create_one(topic));
    }
    let fill = 249 - run.name("").len();
    let topic = sized(run, &long(fill), 1, 1);
    run.call("longest", "CreateTopics", 7, create_one(topic));
    for (step, name) in [("collides", "with_dot"), ("internal", "__x"), ("unicode", "\u{e9}")] {
        let topic = sized(run, name, 1, 1);
        run.call(step, "CreateTopics", 7, create_one(topic));
    }
    for (step, partitions, replicas) in [
        ("no-partitions", 0, 1),
        ("negative-partitions", -2, 1),
        ("no-replicas", 1, 0),
        ("negative-replicas", 1, -2),
        ("both-wrong", 0, 0),
    ] {
        let topic = sized(run, "size", partitions, replicas);
        run.call(step, "CreateTopics", 7, create_one(topic));
    }
    for (step, configs) in [
        ("unknown-config", json!([{ "Name": "no.such", "Value": "1" }])),
        ("bad-value", json!([{ "Name": "retention.ms", "Value": "soon" }])),
        ("null-value", json!([{ "Name": "retention.ms", "Value": null }])),
        ("bad-policy", json!([{ "Name": "cleanup.policy", "Value": "shred" }])),
        ("bad-codec", json!([{ "Name": "compression.type", "Value": "rar" }])),
        ("too-small", json!([{ "Name": "segment.bytes", "Value": "1" }])),
        ("two-isr", json!([{ "Name": "min.insync.replicas", "Value": "2" }])),
        (
            "config-twice",
            json!([
                { "Name": "retention.ms", "Value": "1000" },
                { "Name": "retention.ms", "Value": "2000" },
            ]),
        ),
    ] {
        let mut topic = sized(run, step, 1, 1);
        topic["Configs"] = configs;
        run.call(step, "CreateTopics", 7, create_one(topic));
    }
    let topic = sized(run, "twice", 1, 1);
    let twice = json!({ "Topics": [topic, topic], "timeoutMs": 10_000 });
    run.call("twice", "CreateTopics", 7, twice);
}

/// Assignments given by hand.
pub fn create_assigned(run: &mut Run<'_>) {
    let node = super::metadata::node_id(run);
    for version in [2, 5, 7] {
        let topic = json!({
            "Name": run.name(&format!("good{version}")), "NumPartitions": -1,
            "ReplicationFactor": -1,
            "Assignments": [
                { "PartitionIndex": 1, "BrokerIds": [node] },
                { "PartitionIndex": 0, "BrokerIds": [node] },
            ],
        });
        run.call("good", "CreateTopics", version, create_one(topic));
    }
    for (step, partitions, replicas, assignments) in [
        ("and-replicas", -1, 1, json!([{ "PartitionIndex": 0, "BrokerIds": [node] }])),
        ("and-partitions", 1, -1, json!([{ "PartitionIndex": 0, "BrokerIds": [node] }])),
        ("gap", -1, -1, json!([{ "PartitionIndex": 1, "BrokerIds": [node] }])),
        ("unknown-broker", -1, -1, json!([{ "PartitionIndex": 0, "BrokerIds": [node + 40] }])),
        ("broker-twice", -1, -1, json!([{ "PartitionIndex": 0, "BrokerIds": [node, node] }])),
        ("no-broker", -1, -1, json!([{ "PartitionIndex": 0, "BrokerIds": [] }])),
        (
            "partition-twice",
            -1,
            -1,
            json!([
                { "PartitionIndex": 0, "BrokerIds": [node] },
                { "PartitionIndex": 0, "BrokerIds": [node] },
            ]),
        ),
    ] {
        let topic = json!({
            "Name": run.name(step), "NumPartitions": partitions, "ReplicationFactor": replicas,
            "Assignments": assignments,
        });
        run.call(step, "CreateTopics", 7, create_one(topic));
    }
}

fn delete_names(run: &Run<'_>, version: i16, names: &[&str]) -> Value {
    let names: Vec<_> = names.iter().map(|name| run.name(name)).collect();
    if version < 6 {
        return json!({ "TopicNames": names, "TimeoutMs": 10_000 });
    }
    let topics: Vec<_> = names.iter().map(|name| json!({ "Name": name })).collect();
    json!({ "Topics": topics, "TimeoutMs": 10_000 })
}

/// Topics deleted, by name and by id.
pub fn delete(run: &mut Run<'_>) {
    for version in 1..=6 {
        let name = format!("t{version}");
        run.topic(&name, 1, &[]);
        let body = delete_names(run, version, &[&name]);
        run.call("delete", "DeleteTopics", version, body.clone());
        run.call("delete-again", "DeleteTopics", version, body);
        let body = delete_names(run, version, &["never"]);
        run.call("unknown", "DeleteTopics", version, body);
        let body = delete_names(run, version, &["twice", "twice"]);
        run.call("twice", "DeleteTopics", version, body);
        let body = delete_names(run, version, &["bad name"]);
        run.call("bad-name", "DeleteTopics", version, body);
    }
    let topic = run.topic("by-id", 1, &[]);
    let by_id =
        |id: &str| json!({ "Topics": [{ "Name": null, "TopicId": id }], "TimeoutMs": 10_000 });
    run.call("by-id", "DeleteTopics", 6, by_id(&topic.id));
    run.call("by-id-again", "DeleteTopics", 6, by_id(&topic.id));
    run.call("unknown-id", "DeleteTopics", 6, by_id(UNKNOWN_ID));
    let topic = run.topic("both", 1, &[]);
    let body = json!({
        "Topics": [{ "Name": topic.name, "TopicId": topic.id }], "TimeoutMs": 10_000,
    });
    run.call("name-and-id", "DeleteTopics", 6, body);
    let body = json!({ "Topics": [{ "Name": null }], "TimeoutMs": 10_000 });
    run.call("neither", "DeleteTopics", 6, body);
    let body = json!({
        "Topics": [{ "Name": topic.name }, { "Name": null, "TopicId": topic.id }],
        "TimeoutMs": 10_000,
    });
    run.call("by-both-ways", "DeleteTopics", 6, body);
    run.call("none", "DeleteTopics", 6, json!({ "Topics": [], "TimeoutMs": 10_000 }));
}

/// A topic deleted and made again is another one, and begins at zero.
pub fn again(run: &mut Run<'_>) {
    let first = run.topic("t", 1, &[]);
    super::append(run, &first, &super::many(3));
    let body = delete_names(run, 6, &["t"]);
    run.call("delete", "DeleteTopics", 6, body);
    run.barrier();
    let second = run.topic("t", 2, &[]);
    let body = json!({ "Topics": [{ "Name": second.name }] });
    run.call("metadata", "Metadata", 12, body);
    let body = json!({ "Topics": [{ "Name": null, "TopicId": first.id }] });
    run.call("old-id", "Metadata", 12, body);
    run.call("fetch-old-id", "Fetch", 13, super::fetch(&first, 0));
    run.call("fetch", "Fetch", 13, super::fetch(&second, 0));
    let batch = super::batch(&[("k", "v")]).hex();
    let body = super::produce(&first, 0, -1, batch.clone().into());
    run.call("produce-old-id", "Produce", 13, body);
    run.call("produce", "Produce", 13, super::produce(&second, 0, -1, batch.into()));
}

/// Partitions added.
pub fn partitions(run: &mut Run<'_>) {
    let node = super::metadata::node_id(run);
    let one = |name: &str, count: i32, assignments: Value| {
        json!({
            "Topics": [{ "Name": name, "Count": count, "Assignments": assignments }],
            "TimeoutMs": 10_000,
        })
    };
    for version in 0..=3 {
        let topic = run.topic(&format!("t{version}"), 2, &[]).name;
        run.call("more", "CreatePartitions", version, one(&topic, 4, Value::Null));
        run.call("fewer", "CreatePartitions", version, one(&topic, 3, Value::Null));
        run.call("same", "CreatePartitions", version, one(&topic, 4, Value::Null));
        run.call(
            "assigned",
            "CreatePartitions",
            version,
            one(&topic, 5, json!([{ "BrokerIds": [node] }])),
        );
        let unknown = run.name("never");
        run.call("unknown", "CreatePartitions", version, one(&unknown, 2, Value::Null));
    }
    let topic = run.topic("t", 1, &[]).name;
    for (step, count, assignments) in [
        ("none", 0, Value::Null),
        ("negative", -1, Value::Null),
        ("too-few-assigned", 3, json!([{ "BrokerIds": [node] }])),
        ("too-many-assigned", 2, json!([{ "BrokerIds": [node] }, { "BrokerIds": [node] }])),
        ("unknown-broker", 2, json!([{ "BrokerIds": [node + 40] }])),
        ("broker-twice", 2, json!([{ "BrokerIds": [node, node] }])),
        ("no-broker", 2, json!([{ "BrokerIds": [] }])),
        ("none-assigned", 2, json!([])),
    ] {
        run.call(step, "CreatePartitions", 3, one(&topic, count, assignments));
    }
    let mut body = one(&topic, 7, Value::Null);
    body["ValidateOnly"] = json!(true);
    run.call("validate", "CreatePartitions", 3, body);
    let entry = json!({ "Name": topic, "Count": 9, "Assignments": null });
    let body = json!({ "Topics": [entry, entry], "TimeoutMs": 10_000 });
    run.call("twice", "CreatePartitions", 3, body);
    let bad = run.name("bad name");
    run.call("bad-name", "CreatePartitions", 3, one(&bad, 2, Value::Null));
    run.barrier();
    run.call("after", "Metadata", 9, json!({ "Topics": [{ "Name": topic }] }));
}
