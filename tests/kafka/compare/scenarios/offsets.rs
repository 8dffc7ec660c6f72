//! Offsets by time, by name and by leader epoch, and the start of the log.

use serde_json::{Value, json};

use super::{T0, append, batch, fetch, log_topic, many};
use crate::run::Run;

fn ask(name: &str, timestamps: &[(i32, i64)]) -> Value {
    let partitions: Vec<_> = timestamps
        .iter()
        .map(
            |(partition, timestamp)| json!({ "PartitionIndex": partition, "Timestamp": timestamp }),
        )
        .collect();
    json!({
        "ReplicaId": -1, "TimeoutMs": 5_000,
        "Topics": [{ "Name": name, "Partitions": partitions }],
    })
}

/// Every special timestamp in every version.
pub fn list(run: &mut Run<'_>) {
    let topic = log_topic(run, "t", 1);
    let empty = log_topic(run, "empty", 1);
    append(run, &topic, &many(3));
    append(run, &topic, &many(4));
    for version in 1..=11 {
        for timestamp in -7..=0 {
            let step = format!("special{timestamp}");
            run.call(&step, "ListOffsets", version, ask(&topic.name, &[(0, timestamp)]));
            let step = format!("empty{timestamp}");
            run.call(&step, "ListOffsets", version, ask(&empty.name, &[(0, timestamp)]));
        }
        let mut body = ask(&topic.name, &[(0, -1)]);
        body["IsolationLevel"] = json!(1);
        run.call("committed", "ListOffsets", version, body);
    }
}

/// Times between, before and after those of the records.
pub fn times(run: &mut Run<'_>) {
    let topic = log_topic(run, "t", 1);
    let mut first = many(3);
    for (record, delta) in first.records.iter_mut().zip([0, 30, 20]) {
        record.timestamp_delta = delta;
    }
    append(run, &topic, &first);
    let mut second = batch(&[("a", "v"), ("b", "v")]);
    second.timestamp = T0 + 10;
    second.records[1].timestamp_delta = 50;
    append(run, &topic, &second);
    for delta in [-1000, 0, 1, 20, 21, 30, 31, 59, 60, 61, 1_000_000] {
        for version in [1, 4, 7, 11] {
            let body = ask(&topic.name, &[(0, T0 + delta)]);
            run.call(&format!("at{delta}"), "ListOffsets", version, body);
        }
    }
    run.call("largest", "ListOffsets", 7, ask(&topic.name, &[(0, -3)]));
    let appended = run.topic("appended", 1, &[("message.timestamp.type", "LogAppendTime")]);
    append(run, &appended, &many(3));
    run.call("append-time", "ListOffsets", 7, ask(&appended.name, &[(0, T0)]));
    run.call("append-time-largest", "ListOffsets", 7, ask(&appended.name, &[(0, -3)]));
}

/// What is not there.
pub fn list_errors(run: &mut Run<'_>) {
    let topic = log_topic(run, "t", 2);
    append(run, &topic, &many(3));
    let never = run.name("never");
    let bad = run.name("bad name");
    for version in [1, 4, 6, 11] {
        run.call("unknown-topic", "ListOffsets", version, ask(&never, &[(0, -1)]));
        run.call("bad-name", "ListOffsets", version, ask(&bad, &[(0, -1)]));
        run.call("unknown-partition", "ListOffsets", version, ask(&topic.name, &[(9, -1)]));
        run.call(
            "partition-twice",
            "ListOffsets",
            version,
            ask(&topic.name, &[(0, -1), (0, -2), (1, -1)]),
        );
        run.call("far-below", "ListOffsets", version, ask(&topic.name, &[(0, i64::MIN)]));
        for epoch in [0, 5, -5] {
            let mut body = ask(&topic.name, &[(0, -1)]);
            body["Topics"][0]["Partitions"][0]["CurrentLeaderEpoch"] = json!(epoch);
            run.call(&format!("epoch{epoch}"), "ListOffsets", version, body);
        }
        for replica in [-2, 40] {
            let mut body = ask(&topic.name, &[(0, -1)]);
            body["ReplicaId"] = json!(replica);
            run.call(&format!("replica{replica}"), "ListOffsets", version, body);
        }
        let mut body = ask(&topic.name, &[(0, -1)]);
        body["IsolationLevel"] = json!(9);
        run.call("bad-isolation", "ListOffsets", version, body);
        let body = json!({ "ReplicaId": -1, "Topics": [] });
        run.call("none", "ListOffsets", version, body);
    }
}

/// Ends of leader epochs.
pub fn leader_epochs(run: &mut Run<'_>) {
    let topic = log_topic(run, "t", 1);
    let empty = log_topic(run, "empty", 1);
    append(run, &topic, &many(3));
    let never = run.name("never");
    for version in 2..=4 {
        for (step, name, partition, current, epoch) in [
            ("current", &topic.name, 0, -1, 0),
            ("newer", &topic.name, 0, -1, 5),
            ("negative", &topic.name, 0, -1, -1),
            ("right-leader", &topic.name, 0, 0, 0),
            ("newer-leader", &topic.name, 0, 5, 0),
            ("empty", &empty.name, 0, -1, 0),
            ("unknown-partition", &topic.name, 9, -1, 0),
            ("unknown-topic", &never, 0, -1, 0),
        ] {
            let body = json!({ "ReplicaId": -1, "Topics": [{ "Topic": name, "Partitions": [{
                "Partition": partition, "CurrentLeaderEpoch": current, "LeaderEpoch": epoch,
            }]}]});
            run.call(step, "OffsetForLeaderEpoch", version, body);
        }
    }
}

/// The head of the log cut off.
pub fn delete_records(run: &mut Run<'_>) {
    let compact = run.topic("compact", 1, &[("cleanup.policy", "compact")]);
    let never = run.name("never");
    for version in 0..=2 {
        let topic = log_topic(run, &format!("t{version}"), 1);
        append(run, &topic, &many(5));
        append(run, &topic, &many(5));
        let ask = |name: &str, partition: i32, offset: i64| {
            json!({ "TimeoutMs": 5_000, "Topics": [{ "Name": name, "Partitions": [
                { "PartitionIndex": partition, "Offset": offset },
            ]}]})
        };
        for (step, name, partition, offset) in [
            ("inside-a-batch", &topic.name, 0, 3),
            ("lower", &topic.name, 0, 1),
            ("same", &topic.name, 0, 3),
            ("beyond", &topic.name, 0, 11),
            ("minus-two", &topic.name, 0, -2),
            ("compacted", &compact.name, 0, 0),
            ("unknown-partition", &topic.name, 9, 1),
            ("unknown-topic", &never, 0, 1),
        ] {
            run.call(step, "DeleteRecords", version, ask(name, partition, offset));
        }
        run.call(
            &format!("start-{version}"),
            "ListOffsets",
            5,
            super::offsets::ask(&topic.name, &[(0, -2)]),
        );
        run.call(&format!("before-start-{version}"), "Fetch", 11, fetch(&topic, 2));
        run.call(&format!("at-start-{version}"), "Fetch", 11, fetch(&topic, 3));
        run.call("all", "DeleteRecords", version, ask(&topic.name, 0, -1));
        run.call(&format!("emptied-{version}"), "Fetch", 11, fetch(&topic, 10));
        append(run, &topic, &many(1));
        run.call(&format!("goes-on-{version}"), "Fetch", 11, fetch(&topic, 10));
    }
}
