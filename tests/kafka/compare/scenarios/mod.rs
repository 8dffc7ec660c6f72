//! The scenarios, by what they ask of a broker, and what they have in common.

mod commits;
mod configs;
mod connection;
mod consumer;
mod fetch;
mod groups;
mod idempotent;
mod malformed;
mod metadata;
mod offsets;
mod produce;
mod sessions;
mod topics;

use serde_json::{Value, json};
use tidegate_kafka_tests::BatchSpec;

use crate::run::{Run, Topic};

/// The scenarios' own present, years back, so that no clock is mistaken for it.
pub const T0: i64 = 1_700_000_000_000;

/// A topic id that no broker chose.
pub const UNKNOWN_ID: &str = "00000000-0000-0000-0000-00000000004d";

/// A scenario.
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub play: fn(&mut Run<'_>),
    /// Whether it changes what others see, so that it goes last and by itself.
    pub alone: bool,
}

const fn scenario(name: &'static str, play: fn(&mut Run<'_>)) -> Scenario {
    Scenario { name, play, alone: false }
}

/// All of them.
pub const SCENARIOS: &[Scenario] = &[
    scenario("create-topics", topics::create),
    scenario("create-topics-errors", topics::create_errors),
    scenario("create-topics-assigned", topics::create_assigned),
    scenario("delete-topics", topics::delete),
    scenario("topic-again", topics::again),
    scenario("create-partitions", topics::partitions),
    scenario("metadata", metadata::versions),
    scenario("metadata-errors", metadata::errors),
    scenario("metadata-auto-create", metadata::auto_create),
    scenario("describe-topic-partitions", metadata::topic_partitions),
    scenario("cluster", metadata::cluster),
    scenario("log-dirs", metadata::log_dirs),
    scenario("elect-leaders", metadata::elect_leaders),
    scenario("reassignments", metadata::reassignments),
    scenario("api-versions", connection::api_versions),
    scenario("connection", connection::unknown),
    scenario("pipelining", connection::pipelining),
    scenario("frames", malformed::frames),
    scenario("headers", malformed::headers),
    scenario("lengths", malformed::lengths),
    scenario("truncated", malformed::truncated),
    scenario("produce", produce::versions),
    scenario("produce-acks", produce::acks),
    scenario("produce-errors", produce::errors),
    scenario("produce-batches", produce::batches),
    scenario("produce-timestamps", produce::timestamps),
    scenario("produce-compacted", produce::compacted),
    scenario("produce-codecs", produce::codecs),
    scenario("produce-large", produce::large),
    scenario("idempotent", idempotent::sequences),
    scenario("idempotent-epochs", idempotent::epochs),
    scenario("producer-ids", idempotent::ids),
    scenario("fetch", fetch::versions),
    scenario("fetch-errors", fetch::errors),
    scenario("fetch-limits", fetch::limits),
    scenario("fetch-waits", fetch::waits),
    scenario("fetch-sessions", sessions::sessions),
    scenario("fetch-session-errors", sessions::errors),
    scenario("list-offsets", offsets::list),
    scenario("list-offsets-times", offsets::times),
    scenario("list-offsets-errors", offsets::list_errors),
    scenario("leader-epochs", offsets::leader_epochs),
    scenario("delete-records", offsets::delete_records),
    scenario("join", groups::join),
    scenario("join-errors", groups::join_errors),
    scenario("sync", groups::sync),
    scenario("heartbeat", groups::heartbeat),
    scenario("leave", groups::leave),
    scenario("two-members", groups::two_members),
    scenario("static-members", groups::static_members),
    scenario("find-coordinator", groups::find_coordinator),
    scenario("describe-groups", groups::describe),
    scenario("list-groups", groups::list),
    scenario("commit", commits::versions),
    scenario("commit-errors", commits::errors),
    scenario("commit-member", commits::member),
    scenario("delete-groups", commits::delete_groups),
    scenario("delete-offsets", commits::delete_offsets),
    scenario("consumer-group", consumer::heartbeat),
    scenario("consumer-group-errors", consumer::errors),
    scenario("consumer-group-uniform", consumer::uniform),
    scenario("consumer-group-range", consumer::range),
    scenario("consumer-group-offsets", consumer::offsets),
    scenario("describe-topic-configs", configs::describe_topic),
    scenario("alter-topic-configs", configs::alter_topic),
    scenario("incremental-configs", configs::incremental),
    scenario("incremental-configs-errors", configs::incremental_errors),
    scenario("config-values", configs::values),
    scenario("config-resources", configs::resources),
    Scenario { name: "broker-configs", play: configs::broker, alone: true },
];

/// A batch of keyed records at `T0`.
pub fn batch(records: &[(&str, &str)]) -> BatchSpec {
    BatchSpec::of(records, T0)
}

/// A batch of `count` small records.
pub fn many(count: usize) -> BatchSpec {
    let keys: Vec<_> = (0..count).map(|index| format!("k{index}")).collect();
    let records: Vec<_> = keys.iter().map(|key| (key.as_str(), "value")).collect();
    batch(&records)
}

/// A topic whose old records stay.
pub fn log_topic(run: &mut Run<'_>, name: &str, partitions: i32) -> Topic {
    run.topic(name, partitions, &[("retention.ms", "-1")])
}

/// A produce request for one partition; both the topic's name and its id are in it, and each
/// version takes the one it knows.
pub fn produce(topic: &Topic, partition: i32, acks: i16, records: Value) -> Value {
    json!({
        "TransactionalId": null, "Acks": acks, "TimeoutMs": 5_000,
        "TopicData": [{
            "Name": topic.name, "TopicId": topic.id,
            "PartitionData": [{ "Index": partition, "Records": records }],
        }],
    })
}

/// Appends a batch to partition 0 without writing the answer down.
pub fn append(run: &mut Run<'_>, topic: &Topic, batch: &BatchSpec) {
    let answer = run.quiet("Produce", 9, produce(topic, 0, -1, batch.hex().into()));
    let error = &answer["Responses"][0]["PartitionResponses"][0]["ErrorCode"];
    if *error != 0 {
        run.note("append", "Produce", serde_json::json!({ "ErrorCode": error }));
    }
}

/// A fetch request for partition 0 outside any session that does not wait.
pub fn fetch(topic: &Topic, offset: i64) -> Value {
    json!({
        "MaxWaitMs": 100, "MinBytes": 0, "MaxBytes": 1 << 20,
        "Topics": [{
            "Topic": topic.name, "TopicId": topic.id,
            "Partitions": [{ "Partition": 0, "FetchOffset": offset, "PartitionMaxBytes": 1 << 20 }],
        }],
    })
}

/// Waits for bytes: what is acknowledged by less than all replicas may be shown a moment later.
pub fn waiting(fetch: Value, bytes: usize) -> Value {
    with(fetch, &[("/MaxWaitMs", json!(5_000)), ("/MinBytes", json!(bytes))])
}

/// Writes down all that partition 0 holds. A broker may answer with less than there is, for reasons
/// of its own, so this asks until it has the end.
pub fn read(run: &mut Run<'_>, step: &str, topic: &Topic) {
    let mut batches = Vec::new();
    let mut end = 0;
    for _ in 0..1_000 {
        let more = with(fetch(topic, end), &[("/MinBytes", json!(1))]);
        let answer = run.quiet("Fetch", 11, more);
        let partition = &answer["Responses"][0]["Partitions"][0];
        let more = partition["Records"].as_array().cloned().unwrap_or_default();
        let last = more.last().and_then(|batch| {
            Some(batch["FirstOffset"].as_i64()? + batch["LastOffsetDelta"].as_i64()?)
        });
        batches.extend(more);
        match last {
            Some(last) if last >= end => end = last + 1,
            _ => break,
        }
    }
    run.note(step, "Fetch", json!({ "Records": batches }));
}

/// The tree with other values at the paths: `with(fetch, &[("/MaxBytes", json!(1))])`. Objects get
/// the field if they lack it.
pub fn with(mut tree: Value, changes: &[(&str, Value)]) -> Value {
    for (path, value) in changes {
        let (parent, name) = path.rsplit_once('/').expect("a path begins with a slash");
        let parent = tree.pointer_mut(parent).expect("the parent is there");
        parent[name] = value.clone();
    }
    tree
}
