//! Producers with ids: duplicates, gaps, epochs.

use serde_json::{Value, json};

use super::{batch, log_topic, produce, read};
use crate::run::{Run, Topic};

fn new_id(run: &mut Run<'_>) -> i64 {
    let body = json!({ "TransactionalId": null, "TransactionTimeoutMs": 0 });
    run.quiet("InitProducerId", 4, body)["ProducerId"].as_i64().unwrap_or(4_711)
}

fn stamped(topic: &Topic, id: i64, epoch: i16, sequence: i32, count: usize) -> Value {
    let keys: Vec<_> = (0..count).map(|index| format!("{epoch}-{sequence}-{index}")).collect();
    let records: Vec<_> = keys.iter().map(|key| (key.as_str(), "v")).collect();
    let mut spec = batch(&records);
    spec.producer = (id, epoch, sequence);
    produce(topic, 0, -1, spec.hex().into())
}

fn producers(topic: &Topic) -> Value {
    json!({ "Topics": [{ "Name": topic.name, "PartitionIndexes": [0] }] })
}

/// Sequences in order, again, and with gaps.
pub fn sequences(run: &mut Run<'_>) {
    let topic = log_topic(run, "t", 1);
    let id = new_id(run);
    let mut step = |name: &str, sequence: i32, count: usize| {
        run.call(name, "Produce", 9, stamped(&topic, id, 0, sequence, count));
    };
    step("first", 0, 2);
    step("first-again", 0, 2);
    step("gap", 5, 1);
    step("inside", 1, 1);
    step("other-length", 0, 1);
    for sequence in 2..9 {
        step(&format!("next-{sequence}"), sequence, 1);
    }
    step("last-again", 8, 1);
    step("fifth-last-again", 4, 1);
    step("sixth-last-again", 3, 1);
    step("long-ago", 0, 2);
    step("overlap", 8, 3);
    step("negative", -1, 1);
    step("far-ahead", i32::MAX, 1);
    step("goes-on", 9, 3);
    run.call("producers", "DescribeProducers", 0, producers(&topic));
    read(run, "read", &topic);
    // Sequences wrap to zero.
    let other = new_id(run);
    let topic = log_topic(run, "wrap", 1);
    let mut step = |name: &str, sequence: i32, count: usize| {
        run.call(name, "Produce", 9, stamped(&topic, other, 0, sequence, count));
    };
    step("near-the-end", i32::MAX - 1, 3);
    step("wrapped", 1, 1);
    step("near-the-end-again", i32::MAX - 1, 3);
    run.call("producers-wrapped", "DescribeProducers", 0, producers(&topic));
}

/// Epochs, and producers that the log has not heard of.
pub fn epochs(run: &mut Run<'_>) {
    let topic = log_topic(run, "t", 1);
    let id = new_id(run);
    let mut step = |name: &str, id: i64, epoch: i16, sequence: i32| {
        for version in [7, 12] {
            let body = stamped(&topic, id, epoch, sequence, 1);
            run.call(name, "Produce", version, body);
        }
    };
    step("first", id, 3, 0);
    step("newer-not-at-zero", id, 4, 1);
    step("newer", id, 4, 0);
    step("older", id, 3, 1);
    step("older-duplicate", id, 3, 0);
    step("negative-epoch", id, -1, 1);
    step("unknown-not-at-zero", id + 1_000_000, 0, 5);
    step("unknown-goes-on", id + 1_000_000, 0, 6);
    step("unknown-epoch", id + 2_000_000, 7, 0);
    step("id-without-sequence", id, 4, -1);
    step("negative-id", -7, 0, 0);
    step("sequence-without-id", -1, 0, 0);
    let mut spec = batch(&[("k", "v")]);
    spec.producer = (id, 4, 1);
    let two = [spec.bytes(), {
        spec.producer.2 = 2;
        spec.bytes()
    }]
    .concat();
    let body = produce(&topic, 0, -1, tidegate_kafka_tests::hex(&two).into());
    run.call("two-batches", "Produce", 9, body);
    run.call("producers", "DescribeProducers", 0, producers(&topic));
    let never = run.name("never");
    let body = json!({ "Topics": [
        { "Name": topic.name, "PartitionIndexes": [0, 9] },
        { "Name": never, "PartitionIndexes": [0] },
    ]});
    run.call("producers-of-none", "DescribeProducers", 0, body);
    read(run, "read", &topic);
}

/// Ids for those who ask.
pub fn ids(run: &mut Run<'_>) {
    for version in 0..=5 {
        let body = json!({ "TransactionalId": null, "TransactionTimeoutMs": 60_000 });
        run.call("new", "InitProducerId", version, body.clone());
        run.call("another", "InitProducerId", version, body);
    }
    let id = new_id(run);
    for version in 3..=5 {
        for (step, id, epoch) in [
            ("own", id, 0),
            ("epoch-only", -1, 0),
            ("id-only", id, -1),
            ("unknown", id + 99_999, 3),
        ] {
            let body = json!({
                "TransactionalId": null, "TransactionTimeoutMs": 60_000,
                "ProducerId": id, "ProducerEpoch": epoch,
            });
            run.call(step, "InitProducerId", version, body);
        }
    }
    for (step, timeout) in [("no-timeout", 0), ("negative-timeout", -1), ("long", i32::MAX)] {
        let body = json!({ "TransactionalId": null, "TransactionTimeoutMs": timeout });
        run.call(step, "InitProducerId", 4, body);
    }
    let body = json!({ "TransactionalId": "", "TransactionTimeoutMs": 60_000 });
    run.call("empty-transactional-id", "InitProducerId", 4, body);
}
