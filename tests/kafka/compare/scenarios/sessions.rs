//! Fetch sessions: a client names its partitions once and then only what changed.

use serde_json::{Value, json};

use super::{UNKNOWN_ID, append, log_topic, many};
use crate::run::{Run, Topic};

fn entry(topic: &Topic, partition: i32, offset: i64) -> Value {
    json!({
        "Topic": topic.name, "TopicId": topic.id,
        "Partitions": [
            { "Partition": partition, "FetchOffset": offset, "PartitionMaxBytes": 1 << 20 },
        ],
    })
}

fn ask(id: i64, epoch: i32, topics: Vec<Value>, forgotten: Vec<Value>) -> Value {
    json!({
        "MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 1 << 20, "SessionId": id,
        "SessionEpoch": epoch, "Topics": topics, "ForgottenTopicsData": forgotten,
    })
}

fn forget(topic: &Topic, partitions: &[i32]) -> Value {
    json!({ "Topic": topic.name, "TopicId": topic.id, "Partitions": partitions })
}

/// A session's life in the versions that name topics, and in those that have their ids.
pub fn sessions(run: &mut Run<'_>) {
    for version in [7, 11, 12, 13, 15, 18] {
        let a = log_topic(run, &format!("a{version}"), 2);
        let b = log_topic(run, &format!("b{version}"), 1);
        append(run, &a, &many(2));
        let body = ask(0, 0, vec![entry(&a, 0, 0), entry(&b, 0, 0)], vec![]);
        let answer = run.call("full", "Fetch", version, body);
        let id = answer["SessionId"].as_i64().unwrap_or(0);
        let mut step = |name: &str, body: Value| run.call(name, "Fetch", version, body);
        step("records-again", ask(id, 1, vec![], vec![]));
        step("moved-on", ask(id, 2, vec![entry(&a, 0, 2)], vec![]));
        step("nothing-new", ask(id, 3, vec![], vec![]));
        append(run, &b, &many(1));
        let mut step = |name: &str, body: Value| run.call(name, "Fetch", version, body);
        step("something-new", ask(id, 4, vec![], vec![]));
        step("one-more", ask(id, 5, vec![entry(&a, 1, 0)], vec![]));
        step("forgotten", ask(id, 6, vec![], vec![forget(&b, &[0])]));
        step("forgotten-again", ask(id, 7, vec![], vec![forget(&b, &[0])]));
        step("error-inside", ask(id, 8, vec![entry(&a, 1, 99)], vec![]));
        step("error-again", ask(id, 9, vec![], vec![]));
        step("unknown-partition", ask(id, 10, vec![entry(&a, 7, 0)], vec![]));
        step("all-forgotten", ask(id, 11, vec![], vec![forget(&a, &[0, 1, 7])]));
        step("after-all-forgotten", ask(id, 12, vec![], vec![]));
    }
}

/// Sessions that are not, or not any more.
pub fn errors(run: &mut Run<'_>) {
    let topic = log_topic(run, "t", 1);
    let never = Topic { name: run.name("never"), id: UNKNOWN_ID.to_owned() };
    for version in [7, 12, 13, 18] {
        let full = ask(0, 0, vec![entry(&topic, 0, 0)], vec![]);
        let answer = run.call("full", "Fetch", version, full);
        let id = answer["SessionId"].as_i64().unwrap_or(0);
        let mut step = |name: &str, body: Value| run.call(name, "Fetch", version, body);
        step("epoch-ahead", ask(id, 7, vec![], vec![]));
        step("epoch-right", ask(id, 1, vec![], vec![]));
        step("epoch-again", ask(id, 1, vec![], vec![]));
        step("unknown-id", ask(1_234_567, 1, vec![], vec![]));
        step("negative-id", ask(-5, 1, vec![], vec![]));
        step("no-id", ask(0, 1, vec![], vec![]));
        step("epoch-negative", ask(id, -5, vec![], vec![]));
        step("with-unknown", ask(id, 2, vec![entry(&never, 0, 0)], vec![]));
        step("closed", ask(id, -1, vec![entry(&topic, 0, 0)], vec![]));
        step("after-closed", ask(id, 3, vec![], vec![]));
        step("full-of-unknown", ask(0, 0, vec![entry(&never, 0, 0)], vec![]));
        step("full-of-none", ask(0, 0, vec![], vec![]));
        step("full-forgets", ask(0, 0, vec![entry(&topic, 0, 0)], vec![forget(&topic, &[0])]));
    }
    // From names to ids inside one session.
    let full = ask(0, 0, vec![entry(&topic, 0, 0)], vec![]);
    let answer = run.call("by-name", "Fetch", 12, full.clone());
    let id = answer["SessionId"].as_i64().unwrap_or(0);
    run.call("then-by-id", "Fetch", 13, ask(id, 1, vec![], vec![]));
    let answer = run.call("by-id", "Fetch", 13, full);
    let id = answer["SessionId"].as_i64().unwrap_or(0);
    run.call("then-by-name", "Fetch", 12, ask(id, 1, vec![], vec![]));
}
