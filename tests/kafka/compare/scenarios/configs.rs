//! Settings of topics and of the broker.

use serde_json::{Value, json};

use crate::run::Run;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn describe(kind: i8, name: &str, keys: Value) -> Value {
    json!({
        "Resources": [{ "ResourceType": kind, "ResourceName": name, "ConfigurationKeys": keys }],
        "IncludeSynonyms": true,
    })
}

fn change(kind: i8, name: &str, changes: &[(&str, i8, Value)]) -> Value {
    let configs: Vec<_> = changes
        .iter()
        .map(|(name, operation, value)| {
            json!({ "Name": name, "ConfigOperation": operation, "Value": value })
        })
        .collect();
    json!({ "Resources": [{ "ResourceType": kind, "ResourceName": name, "Configs": configs }] })
}

fn alter(kind: i8, name: &str, configs: &[(&str, Value)]) -> Value {
    let configs: Vec<_> =
        configs.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
    json!({ "Resources": [{ "ResourceType": kind, "ResourceName": name, "Configs": configs }] })
}

/// What a topic's settings are, by default and not, with where each comes from.
pub fn describe_topic(run: &mut Run<'_>) {
    let plain = run.topic("plain", 1, &[]).name;
    let set = run.topic(
        "set",
        1,
        &[("retention.ms", "1000"), ("cleanup.policy", "compact"), ("segment.bytes", "2000000")],
    );
    let never = run.name("never");
    let bad = run.name("bad name");
    for version in 1..=4 {
        run.call("all", "DescribeConfigs", version, describe(TOPIC, &plain, Value::Null));
        run.call("set", "DescribeConfigs", version, describe(TOPIC, &set.name, Value::Null));
        let keys = json!(["retention.ms", "cleanup.policy", "no.such"]);
        run.call("some", "DescribeConfigs", version, describe(TOPIC, &set.name, keys));
        run.call("no-keys", "DescribeConfigs", version, describe(TOPIC, &plain, json!([])));
        let mut body = describe(TOPIC, &set.name, json!(["retention.ms"]));
        body["IncludeSynonyms"] = json!(false);
        run.call("no-synonyms", "DescribeConfigs", version, body);
        run.call("unknown", "DescribeConfigs", version, describe(TOPIC, &never, Value::Null));
        run.call("bad-name", "DescribeConfigs", version, describe(TOPIC, &bad, Value::Null));
        run.call("empty-name", "DescribeConfigs", version, describe(TOPIC, "", Value::Null));
        run.call("bad-type", "DescribeConfigs", version, describe(3, &plain, Value::Null));
        run.call("none", "DescribeConfigs", version, json!({ "Resources": [] }));
        let resource = json!({
            "ResourceType": TOPIC, "ResourceName": plain, "ConfigurationKeys": ["flush.ms"],
        });
        run.call("twice", "DescribeConfigs", version, json!({ "Resources": [resource, resource] }));
        if version >= 3 {
            let mut body = describe(TOPIC, &set.name, json!(["retention.ms"]));
            body["IncludeDocumentation"] = json!(true);
            run.call("documented", "DescribeConfigs", version, body);
        }
    }
}

/// The old request, which replaces all settings at once.
pub fn alter_topic(run: &mut Run<'_>) {
    let never = run.name("never");
    for version in 0..=2 {
        let topic = run
            .topic(&format!("t{version}"), 1, &[("retention.ms", "1000"), ("flush.ms", "5000")])
            .name;
        let some = json!(["retention.ms", "flush.ms", "cleanup.policy"]);
        let see = describe(TOPIC, &topic, some);
        for (step, name, configs) in [
            ("replace", &topic, &[("cleanup.policy", json!("compact"))][..]),
            ("unknown-config", &topic, &[("no.such", json!("1"))]),
            ("bad-value", &topic, &[("retention.ms", json!("soon"))]),
            ("null-value", &topic, &[("retention.ms", Value::Null)]),
            ("unknown-topic", &never, &[("retention.ms", json!("1"))]),
            ("twice", &topic, &[("retention.ms", json!("1")), ("retention.ms", json!("2"))]),
        ] {
            run.call(step, "AlterConfigs", version, alter(TOPIC, name, configs));
            run.barrier();
            run.call(&format!("after-{step}-{version}"), "DescribeConfigs", 4, see.clone());
        }
        let mut body = alter(TOPIC, &topic, &[("retention.ms", json!("77"))]);
        body["ValidateOnly"] = json!(true);
        run.call("validate", "AlterConfigs", version, body);
        run.call("nothing", "AlterConfigs", version, alter(TOPIC, &topic, &[]));
        run.barrier();
        run.call(&format!("after-nothing-{version}"), "DescribeConfigs", 4, see);
        run.call("bad-type", "AlterConfigs", version, alter(3, &topic, &[]));
        run.call("none", "AlterConfigs", version, json!({ "Resources": [] }));
    }
}

/// One setting at a time.
pub fn incremental(run: &mut Run<'_>) {
    for version in 0..=1 {
        let topic = run.topic(&format!("t{version}"), 1, &[("flush.ms", "5000")]).name;
        let keys = ["retention.ms", "flush.ms", "cleanup.policy", "max.message.bytes"];
        let see = describe(TOPIC, &topic, json!(keys));
        for (step, changes) in [
            ("set", &[("retention.ms", SET, json!("1000"))][..]),
            ("set-again", &[("retention.ms", SET, json!("2000"))]),
            ("append", &[("cleanup.policy", APPEND, json!("compact"))]),
            ("append-again", &[("cleanup.policy", APPEND, json!("compact"))]),
            ("subtract", &[("cleanup.policy", SUBTRACT, json!("delete"))]),
            ("subtract-again", &[("cleanup.policy", SUBTRACT, json!("delete"))]),
            ("subtract-last", &[("cleanup.policy", SUBTRACT, json!("compact"))]),
            ("append-two", &[("cleanup.policy", APPEND, json!("delete,compact"))]),
            ("delete", &[("cleanup.policy", DELETE, Value::Null)]),
            ("delete-unset", &[("cleanup.policy", DELETE, Value::Null)]),
            ("delete-with-value", &[("retention.ms", DELETE, json!("5"))]),
            (
                "several",
                &[
                    ("retention.ms", SET, json!("3000")),
                    ("flush.ms", DELETE, Value::Null),
                    ("max.message.bytes", SET, json!("9000")),
                ],
            ),
            ("to-the-default", &[("max.message.bytes", SET, json!("1048588"))]),
        ] {
            run.call(step, "IncrementalAlterConfigs", version, change(TOPIC, &topic, changes));
            run.barrier();
            run.call(&format!("after-{step}-{version}"), "DescribeConfigs", 4, see.clone());
        }
        let mut body = change(TOPIC, &topic, &[("retention.ms", SET, json!("77"))]);
        body["ValidateOnly"] = json!(true);
        run.call("validate", "IncrementalAlterConfigs", version, body);
        run.barrier();
        run.call(&format!("after-validate-{version}"), "DescribeConfigs", 4, see);
    }
}

/// Changes that are refused, and leave all as it was.
pub fn incremental_errors(run: &mut Run<'_>) {
    let topic = run.topic("t", 1, &[]).name;
    let never = run.name("never");
    for version in 0..=1 {
        for (step, kind, name, changes) in [
            ("unknown-config", TOPIC, topic.as_str(), &[("no.such", SET, json!("1"))][..]),
            ("delete-unknown", TOPIC, &topic, &[("no.such", DELETE, Value::Null)]),
            ("append-unknown", TOPIC, &topic, &[("no.such", APPEND, json!("1"))]),
            ("bad-value", TOPIC, &topic, &[("retention.ms", SET, json!("soon"))]),
            ("null-value", TOPIC, &topic, &[("retention.ms", SET, Value::Null)]),
            ("append-to-number", TOPIC, &topic, &[("retention.ms", APPEND, json!("1"))]),
            ("subtract-number", TOPIC, &topic, &[("retention.ms", SUBTRACT, json!("1"))]),
            ("append-bad", TOPIC, &topic, &[("cleanup.policy", APPEND, json!("shred"))]),
            ("append-null", TOPIC, &topic, &[("cleanup.policy", APPEND, Value::Null)]),
            ("bad-operation", TOPIC, &topic, &[("retention.ms", 9, json!("1"))]),
            (
                "config-twice",
                TOPIC,
                &topic,
                &[("retention.ms", SET, json!("1")), ("retention.ms", SET, json!("2"))],
            ),
            (
                "one-of-two",
                TOPIC,
                &topic,
                &[("flush.ms", SET, json!("1")), ("retention.ms", SET, json!("soon"))],
            ),
            ("unknown-topic", TOPIC, &never, &[("retention.ms", SET, json!("1"))]),
            ("empty-name", TOPIC, "", &[("retention.ms", SET, json!("1"))]),
            ("bad-type", 3, &topic, &[("retention.ms", SET, json!("1"))]),
            ("negative-type", -1, &topic, &[("retention.ms", SET, json!("1"))]),
            ("nothing", TOPIC, &topic, &[]),
        ] {
            run.call(step, "IncrementalAlterConfigs", version, change(kind, name, changes));
        }
        let one = change(TOPIC, &topic, &[("flush.ms", SET, json!("1"))])["Resources"][0].clone();
        let body = json!({ "Resources": [one, one] });
        run.call("resource-twice", "IncrementalAlterConfigs", version, body);
        let none = json!({ "Resources": [] });
        run.call("none", "IncrementalAlterConfigs", version, none);
        let see = describe(TOPIC, &topic, json!(["retention.ms", "flush.ms", "cleanup.policy"]));
        run.barrier();
        run.call(&format!("after-{version}"), "DescribeConfigs", 4, see);
    }
}

/// Which values each setting takes.
pub fn values(run: &mut Run<'_>) {
    let topic = run.topic("t", 1, &[]).name;
    for (name, values) in [
        (
            "cleanup.policy",
            &["compact", "delete", "compact,delete", "delete, compact", "", "x", "delete,delete"][..],
        ),
        (
            "compression.type",
            &["gzip", "zstd", "lz4", "snappy", "producer", "uncompressed", "none", "ZSTD", ""],
        ),
        ("compression.gzip.level", &["9", "1", "-1", "0", "10"]),
        ("compression.zstd.level", &["22", "-131072", "23"]),
        ("compression.lz4.level", &["17", "1", "0", "18"]),
        ("delete.retention.ms", &["0", "1", "-1"]),
        ("file.delete.delay.ms", &["0", "-1"]),
        ("flush.messages", &["1", "0"]),
        ("flush.ms", &["0", "1", "-1"]),
        ("index.interval.bytes", &["0", "-1", "5"]),
        ("max.message.bytes", &["0", "1", "-1", "2147483647", "2147483648"]),
        ("max.compaction.lag.ms", &["1", "0"]),
        ("message.timestamp.after.max.ms", &["0", "-1", "9223372036854775807"]),
        ("message.timestamp.before.max.ms", &["0", "-1"]),
        ("message.timestamp.type", &["CreateTime", "LogAppendTime", "createtime", ""]),
        ("min.cleanable.dirty.ratio", &["0", "1", "0.25", "1.1", "-0.1", "x"]),
        ("min.compaction.lag.ms", &["0", "-1"]),
        ("min.insync.replicas", &["1", "2", "0", "x"]),
        ("preallocate", &["true", "false", "TRUE", "yes", ""]),
        ("retention.bytes", &["-1", "0", "-2", "5"]),
        (
            "retention.ms",
            &["-1", "0", "-2", " 7 ", "7 days", "9223372036854775807", "9223372036854775808"],
        ),
        ("segment.bytes", &["1048576", "1048575", "14", "2147483647"]),
        ("segment.index.bytes", &["4", "3"]),
        ("segment.jitter.ms", &["0", "-1"]),
        ("segment.ms", &["1", "0"]),
        ("unclean.leader.election.enable", &["true", "false"]),
        ("remote.storage.enable", &["false", "true"]),
        ("local.retention.ms", &["-2", "5"]),
        ("leader.replication.throttled.replicas", &["*", "0:1", "none", ""]),
        ("message.format.version", &["3.0"]),
        ("message.downconversion.enable", &["true"]),
    ] {
        for value in values {
            let mut body = change(TOPIC, &topic, &[(name, SET, json!(value))]);
            body["ValidateOnly"] = json!(true);
            // A step's name has no spaces.
            let step = format!("{name}={}", value.replace(' ', "_"));
            run.call(&step, "IncrementalAlterConfigs", 1, body);
        }
    }
}

/// Which resources have settings.
pub fn resources(run: &mut Run<'_>) {
    run.topic("t", 1, &[]);
    let prefix = run.name("");
    // Topics of other scenarios come and go.
    let keep = move |answer: &mut Value| {
        if let Some(resources) = answer["ConfigResources"].as_array_mut() {
            resources.retain(|resource| {
                resource["ResourceType"] != TOPIC
                    || resource["ResourceName"].as_str().is_some_and(|n| n.starts_with(&prefix))
            });
        }
    };
    for version in 0..=1 {
        run.call_part("all", "ListConfigResources", version, json!({}), &keep);
    }
    for (step, kinds) in [
        ("topics", &[TOPIC][..]),
        ("brokers", &[BROKER]),
        ("loggers", &[8]),
        ("metrics", &[16]),
        ("groups", &[32]),
        ("two", &[TOPIC, BROKER]),
        ("twice", &[BROKER, BROKER]),
        ("unknown", &[77]),
        ("negative", &[-1]),
    ] {
        let body = json!({ "ResourceTypes": kinds });
        run.call_part(step, "ListConfigResources", 1, body, &keep);
    }
}

/// The broker's own settings.
pub fn broker(run: &mut Run<'_>) {
    let id = super::metadata::node_id(run);
    let (own, other) = (id.to_string(), (id + 40).to_string());
    // Where it keeps its data is this run's.
    let keep = |answer: &mut Value| {
        let configs = answer["Results"][0]["Configs"].as_array_mut();
        for config in configs.into_iter().flatten() {
            if matches!(config["Name"].as_str(), Some("log.dir" | "log.dirs")) {
                config["Value"] = json!("a folder");
                config["Synonyms"] = Value::Null;
            }
        }
    };
    for version in 1..=4 {
        let body = describe(BROKER, &own, Value::Null);
        run.call_part("all", "DescribeConfigs", version, body, keep);
        let keys =
            json!(["advertised.listeners", "num.partitions", "message.max.bytes", "no.such"]);
        run.call("some", "DescribeConfigs", version, describe(BROKER, &own, keys));
        run.call("other", "DescribeConfigs", version, describe(BROKER, &other, Value::Null));
        run.call("no-number", "DescribeConfigs", version, describe(BROKER, "x", Value::Null));
        run.call("cluster", "DescribeConfigs", version, describe(BROKER, "", Value::Null));
    }
    for (step, name, changes) in [
        ("read-only", own.as_str(), &[("node.id", SET, json!("4"))][..]),
        ("unknown", &own, &[("no.such", SET, json!("4"))]),
        ("bad-value", &own, &[("log.cleaner.threads", SET, json!("many"))]),
        ("good", &own, &[("log.cleaner.threads", SET, json!("1"))]),
        ("other", &other, &[("log.cleaner.threads", SET, json!("1"))]),
        ("no-number", "x", &[("log.cleaner.threads", SET, json!("1"))]),
        ("cluster", "", &[("log.cleaner.threads", SET, json!("1"))]),
        ("delete", &own, &[("log.cleaner.threads", DELETE, Value::Null)]),
    ] {
        let mut body = change(BROKER, name, changes);
        body["ValidateOnly"] = json!(true);
        run.call(&format!("validate-{step}"), "IncrementalAlterConfigs", 1, body);
    }
}
