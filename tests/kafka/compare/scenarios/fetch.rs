//! Records read.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{UNKNOWN_ID, append, fetch, log_topic, many, produce, with};
use crate::run::{Run, Topic};

const PARTITION: &str = "/Topics/0/Partitions/0";

fn changed(tree: Value, field: &str, value: Value) -> Value {
    with(tree, &[(&format!("{PARTITION}/{field}"), value)])
}

/// Every version from the start, inside a batch, at the end, of an empty partition.
pub fn versions(run: &mut Run<'_>) {
    let topic = log_topic(run, "t", 1);
    let empty = log_topic(run, "empty", 1);
    append(run, &topic, &many(3));
    append(run, &topic, &many(2));
    for version in 4..=18 {
        run.call("start", "Fetch", version, fetch(&topic, 0));
        run.call("inside-a-batch", "Fetch", version, fetch(&topic, 4));
        run.call("end", "Fetch", version, fetch(&topic, 5));
        run.call("empty", "Fetch", version, fetch(&empty, 0));
        let committed = with(fetch(&topic, 0), &[("/IsolationLevel", json!(1))]);
        run.call("committed", "Fetch", version, committed);
        run.call("beyond", "Fetch", version, fetch(&topic, 6));
        let both = json!({
            "MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 1 << 20,
            "Topics": [
                { "Topic": topic.name, "TopicId": topic.id, "Partitions": [
                    { "Partition": 0, "FetchOffset": 3, "PartitionMaxBytes": 1 << 20 },
                ]},
                { "Topic": empty.name, "TopicId": empty.id, "Partitions": [
                    { "Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20 },
                ]},
            ],
        });
        run.call("two-topics", "Fetch", version, both);
        let nothing = json!({ "MaxWaitMs": 0, "MinBytes": 0, "Topics": [] });
        run.call("no-topics", "Fetch", version, nothing);
    }
}

/// What cannot be read.
pub fn errors(run: &mut Run<'_>) {
    let topic = log_topic(run, "t", 1);
    append(run, &topic, &many(5));
    let never = Topic { name: run.name("never"), id: UNKNOWN_ID.to_owned() };
    let nameless = Topic { name: String::new(), id: String::new() };
    for version in [4, 7, 11, 12, 13, 16, 18] {
        run.call("unknown-topic", "Fetch", version, fetch(&never, 0));
        run.call("nameless", "Fetch", version, fetch(&nameless, 0));
        let partition = changed(fetch(&topic, 0), "Partition", json!(9));
        run.call("unknown-partition", "Fetch", version, partition);
        let partition = changed(fetch(&topic, 0), "Partition", json!(-1));
        run.call("negative-partition", "Fetch", version, partition);
        for (step, offset) in
            [("beyond", 999), ("negative", -1), ("negative-2", -2), ("largest", i64::MAX)]
        {
            run.call(step, "Fetch", version, fetch(&topic, offset));
        }
        let bad = with(fetch(&topic, 0), &[("/IsolationLevel", json!(9))]);
        run.call("bad-isolation", "Fetch", version, bad);
        for (step, epoch) in [("epoch-0", 0), ("epoch-newer", 5), ("epoch-negative", -5)] {
            let body = changed(fetch(&topic, 5), "CurrentLeaderEpoch", json!(epoch));
            run.call(step, "Fetch", version, body);
        }
        for (step, epoch, offset) in
            [("fetched-0", 0, 5), ("fetched-0-beyond", 0, 9), ("fetched-newer", 5, 5)]
        {
            let body = changed(fetch(&topic, offset), "LastFetchedEpoch", json!(epoch));
            run.call(step, "Fetch", version, body);
        }
    }
    // A client that claims to be a replica.
    for replica in [-2, 40] {
        let body = with(fetch(&topic, 5), &[("/ReplicaId", json!(replica))]);
        run.call(&format!("replica{replica}"), "Fetch", 11, body);
    }
    let replica = json!({ "ReplicaId": 40, "ReplicaEpoch": -1 });
    let body = with(fetch(&topic, 5), &[("/ReplicaState", replica)]);
    run.call("replica-state", "Fetch", 16, body);
    let entry = json!({ "Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20 });
    let body = json!({
        "MaxWaitMs": 100, "MinBytes": 0, "MaxBytes": 1 << 20,
        "Topics": [{ "Topic": topic.name, "Partitions": [entry, entry] }],
    });
    run.call("partition-twice", "Fetch", 11, body);
    let body = with(fetch(&topic, 0), &[("/ClusterId", json!("another"))]);
    run.call("other-cluster", "Fetch", 12, body);
    let body = with(fetch(&topic, 0), &[("/RackId", json!("rack"))]);
    run.call("rack", "Fetch", 12, body);
}

/// Limits on bytes: the first batch comes whole, whatever they say.
pub fn limits(run: &mut Run<'_>) {
    let topic = log_topic(run, "t", 2);
    let one = many(3).bytes().len() as i64;
    for _ in 0..4 {
        append(run, &topic, &many(3));
        run.quiet("Produce", 9, produce(&topic, 1, -1, many(3).hex().into()));
    }
    for version in [4, 11, 16] {
        for (step, bytes) in [
            ("none", 0),
            ("negative", -1),
            ("one", 1),
            ("one-batch", one),
            ("one-batch-and-a-bit", one + 5),
            ("two-batches", 2 * one),
            ("all", 4 * one),
        ]
        .map(|(step, bytes)| (step, json!(bytes)))
        {
            let body = changed(fetch(&topic, 0), "PartitionMaxBytes", bytes.clone());
            run.call(&format!("partition-{step}"), "Fetch", version, body);
            let entry = |partition: i32| json!({ "Partition": partition, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20 });
            let body = json!({
                "MaxWaitMs": 100, "MinBytes": 0, "MaxBytes": bytes,
                "Topics": [{
                    "Topic": topic.name, "TopicId": topic.id,
                    "Partitions": [entry(0), entry(1)],
                }],
            });
            run.call(&format!("request-{step}"), "Fetch", version, body);
        }
    }
}

/// The answer waits for enough bytes, but not for ever.
pub fn waits(run: &mut Run<'_>) {
    let topic = log_topic(run, "t", 1);
    let wait = |ms: i32, bytes: i32| {
        with(fetch(&topic, 0), &[("/MaxWaitMs", json!(ms)), ("/MinBytes", json!(bytes))])
    };
    let took = |run: &mut Run<'_>, step: &str, body: Value, least: u64, most: u64| {
        let began = Instant::now();
        run.call(step, "Fetch", 11, body);
        let took = began.elapsed();
        let in_time = (Duration::from_millis(least)..Duration::from_millis(most)).contains(&took);
        run.note(&format!("{step}-in-time"), "Fetch", json!({ "InTime": in_time }));
    };
    took(run, "nothing-comes", wait(700, 1), 600, 5_000);
    took(run, "nothing-wanted", wait(9_000, 0), 0, 5_000);
    let line = run.line();
    let began = Instant::now();
    run.send_on(line, "comes", "Fetch", 11, wait(15_000, 1));
    std::thread::sleep(Duration::from_millis(300));
    append(run, &topic, &many(1));
    run.answer(line);
    let in_time = began.elapsed() < Duration::from_secs(8);
    run.note("comes-in-time", "Fetch", json!({ "InTime": in_time }));
    took(run, "too-little", wait(700, 100_000), 600, 5_000);
    took(run, "enough", wait(9_000, 1), 0, 5_000);
    // An error does not wait.
    let body = with(fetch(&topic, 999), &[("/MaxWaitMs", json!(9_000)), ("/MinBytes", json!(1))]);
    took(run, "error", body, 0, 5_000);
}
