//! Batches appended and refused.

use serde_json::{Value, json};
use tidegate_kafka_tests::hex;

use super::{T0, UNKNOWN_ID, append, batch, fetch, log_topic, many, produce, read, waiting, with};
use crate::run::{Run, Topic};

const HOUR: i64 = 60 * 60 * 1000;

/// One batch in every version, and what is then in the log.
pub fn versions(run: &mut Run<'_>) {
    let topic = log_topic(run, "t", 2);
    for version in 3..=13 {
        let value = format!("v{version}");
        let records = batch(&[("k", &value), ("l", &value)]).hex();
        run.call("one", "Produce", version, produce(&topic, 0, -1, records.clone().into()));
        let other = log_topic(run, &format!("other{version}"), 1);
        let body = json!({ "Acks": 1, "TimeoutMs": 5_000, "TopicData": [
            { "Name": topic.name, "TopicId": topic.id, "PartitionData": [
                { "Index": 1, "Records": records }, { "Index": 0, "Records": records },
            ]},
            { "Name": other.name, "TopicId": other.id, "PartitionData": [
                { "Index": 0, "Records": records },
            ]},
        ]});
        run.call("several", "Produce", version, body);
        let body = json!({ "Acks": -1, "TimeoutMs": 5_000, "TopicData": [] });
        run.call("no-topics", "Produce", version, body);
        let body = json!({ "Acks": -1, "TimeoutMs": 5_000, "TopicData": [
            { "Name": topic.name, "TopicId": topic.id, "PartitionData": [] },
        ]});
        run.call("no-partitions", "Produce", version, body);
    }
    read(run, "read", &topic);
}

/// What acks may say.
pub fn acks(run: &mut Run<'_>) {
    let topic = log_topic(run, "t", 1);
    let records = Value::from(batch(&[("k", "v")]).hex());
    for acks in [-1, 1, 2, 7, -2, i16::MAX] {
        for version in [3, 9, 13] {
            let step = format!("acks{acks}");
            run.call(&step, "Produce", version, produce(&topic, 0, acks, records.clone()));
        }
    }
    let line = run.line();
    run.send_without_answer(line, "acks0", "Produce", 9, produce(&topic, 0, 0, records.clone()));
    // Six batches were acknowledged before it.
    run.call_on(line, "after-acks0", "Fetch", 11, waiting(fetch(&topic, 6), 1));
    // A failure that cannot be told ends the connection, so that the client asks anew.
    for (step, topic, records) in [
        ("bad-crc", topic.clone(), {
            let mut spec = batch(&[("k", "v")]);
            spec.crc_mask = 1;
            Value::from(spec.hex())
        }),
        ("unknown", Topic { name: run.name("never"), id: UNKNOWN_ID.to_owned() }, records),
    ] {
        let line = run.line();
        run.send_without_answer(line, step, "Produce", 9, produce(&topic, 0, 0, records));
        run.call_on(line, &format!("after-{step}"), "Metadata", 9, json!({ "Topics": [] }));
    }
    let body = with(
        produce(&topic, 0, -1, batch(&[("k", "v")]).hex().into()),
        &[("/TimeoutMs", json!(0))],
    );
    run.call("no-time", "Produce", 9, body);
}

/// Partitions that are not there.
pub fn errors(run: &mut Run<'_>) {
    let topic = log_topic(run, "t", 1);
    let never = Topic { name: run.name("never"), id: UNKNOWN_ID.to_owned() };
    let bad = Topic { name: run.name("bad name"), id: UNKNOWN_ID.to_owned() };
    let nameless = Topic { name: String::new(), id: String::new() };
    let records = Value::from(batch(&[("k", "v")]).hex());
    for version in 3..=13 {
        run.call("unknown-topic", "Produce", version, produce(&never, 0, -1, records.clone()));
        run.call("unknown-partition", "Produce", version, produce(&topic, 9, -1, records.clone()));
        run.call(
            "negative-partition",
            "Produce",
            version,
            produce(&topic, -1, -1, records.clone()),
        );
    }
    for version in [3, 12, 13] {
        run.call("bad-name", "Produce", version, produce(&bad, 0, -1, records.clone()));
        run.call("no-name", "Produce", version, produce(&nameless, 0, -1, records.clone()));
    }
    let internal = Topic { name: "__consumer_offsets".to_owned(), id: String::new() };
    run.call("internal", "Produce", 9, produce(&internal, 0, -1, records.clone()));
    // One bad partition does not keep the others from their place.
    let body = json!({ "Acks": -1, "TimeoutMs": 5_000, "TopicData": [
        { "Name": topic.name, "PartitionData": [
            { "Index": 9, "Records": records }, { "Index": 0, "Records": records },
        ]},
        { "Name": never.name, "PartitionData": [{ "Index": 0, "Records": records }] },
    ]});
    run.call("mixed", "Produce", 9, body);
    let entry = json!({ "Index": 0, "Records": records });
    let body = json!({ "Acks": -1, "TimeoutMs": 5_000, "TopicData": [
        { "Name": topic.name, "PartitionData": [entry, entry] },
    ]});
    run.call("partition-twice", "Produce", 9, body);
    read(run, "read", &topic);
}

/// Batches that are wrong in each of their fields.
pub fn batches(run: &mut Run<'_>) {
    let topic = log_topic(run, "t", 1);
    append(run, &topic, &many(2));
    let good = batch(&[("k", "v"), ("l", "w")]);
    let mut cases = Vec::new();
    let mut case = |name, change: &dyn Fn(&mut tidegate_kafka_tests::BatchSpec)| {
        let mut spec = good.clone();
        change(&mut spec);
        cases.push((name, spec.hex()));
    };
    case("bad-crc", &|spec| spec.crc_mask = 0x8000);
    case("magic-0", &|spec| spec.magic = 0);
    case("magic-1", &|spec| spec.magic = 1);
    case("magic-3", &|spec| spec.magic = 3);
    case("magic-negative", &|spec| spec.magic = -1);
    case("no-records", &|spec| spec.records.clear());
    case("count-too-large", &|spec| spec.count = Some(5));
    case("count-too-small", &|spec| spec.count = Some(1));
    case("count-negative", &|spec| spec.count = Some(-1));
    case("last-delta-too-large", &|spec| spec.last_offset_delta = Some(5));
    case("last-delta-too-small", &|spec| spec.last_offset_delta = Some(0));
    case("last-delta-negative", &|spec| spec.last_offset_delta = Some(-1));
    case("base-offset", &|spec| spec.base_offset = 7);
    case("base-offset-negative", &|spec| spec.base_offset = -7);
    case("leader-epoch", &|spec| spec.leader_epoch = 9);
    case("length-too-small", &|spec| spec.length = Some(30));
    case("length-negative", &|spec| spec.length = Some(-1));
    case("length-too-large", &|spec| spec.length = Some(9_999));
    case("control", &|spec| spec.attributes = 0x20);
    case("transactional", &|spec| {
        spec.attributes = 0x10;
        spec.producer = (7, 0, 0);
    });
    case("transactional-nobody", &|spec| spec.attributes = 0x10);
    case("unused-attribute", &|spec| spec.attributes = 0x100);
    case("codec-5", &|spec| spec.attributes = 5);
    case("codec-7", &|spec| spec.attributes = 7);
    case("gzip-of-nothing", &|spec| spec.attributes = 1);
    case("zstd-of-nothing", &|spec| spec.attributes = 4);
    case("records-of-noise", &|spec| spec.body = Some(vec![0x7f; 20]));
    case("records-cut", &|spec| spec.body = Some(vec![14, 0, 0, 0, 2]));
    case("records-too-many-bytes", &|spec| {
        let mut body = spec.bytes()[61..].to_vec();
        body.extend_from_slice(&[0, 0, 0]);
        spec.body = Some(body);
    });
    cases.push(("two-batches", hex(&[good.bytes(), good.bytes()].concat())));
    cases.push(("cut", hex(&good.bytes()[..good.bytes().len() - 1])));
    cases.push(("header-only", hex(&good.bytes()[..61])));
    cases.push(("half-a-header", hex(&good.bytes()[..30])));
    cases.push(("bytes-left-over", hex(&[&good.bytes()[..], &[0; 5]].concat())));
    cases.push(("empty", String::new()));
    let mut horizon = good.clone();
    horizon.attributes = 0x40;
    cases.push(("delete-horizon", horizon.hex()));
    for (step, records) in cases {
        run.call(step, "Produce", 9, produce(&topic, 0, -1, records.into()));
    }
    read(run, "read", &topic);
    // No record set at all.
    let line = run.line();
    run.send_on(line, "null", "Produce", 9, produce(&topic, 0, -1, Value::Null));
    run.answer_or_silence(line);
}

/// Create time and append time.
pub fn timestamps(run: &mut Run<'_>) {
    let ahead = ("message.timestamp.after.max.ms", "3600000");
    let created = run.topic("created", 1, &[("retention.ms", "-1"), ahead]);
    let appended = run.topic("appended", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let near = run.topic(
        "near",
        1,
        &[("retention.ms", "-1"), ahead, ("message.timestamp.before.max.ms", "1000")],
    );
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = now.as_millis() as i64;
    let topics = [("created", &created), ("appended", &appended), ("near", &near)];
    let each = |run: &mut Run<'_>, step: &str, timestamp: i64, attributes: i16| {
        let mut spec = batch(&[("k", "v"), ("l", "w")]);
        spec.timestamp = timestamp;
        spec.attributes = attributes;
        for (name, topic) in topics {
            let body = produce(topic, 0, -1, spec.hex().into());
            run.call(&format!("{name}-{step}"), "Produce", 9, body);
        }
    };
    for (step, timestamp) in [
        ("old", T0),
        ("now", now),
        ("half-an-hour-ahead", now + HOUR / 2),
        ("two-hours-ahead", now + 2 * HOUR),
        ("in-2096", 4_000_000_000_000),
        ("none", -1),
        ("negative", -5),
        ("zero", 0),
    ] {
        each(run, step, timestamp, 0);
    }
    let mut spec = batch(&[("k", "v"), ("l", "w")]);
    spec.records[0].timestamp_delta = 900;
    spec.records[1].timestamp_delta = 100;
    run.call("falling", "Produce", 9, produce(&created, 0, -1, spec.hex().into()));
    spec.max_timestamp = Some(T0 + 5_000_000);
    run.call("wrong-maximum", "Produce", 9, produce(&created, 0, -1, spec.hex().into()));
    each(run, "marked-append-time", T0 + 1, 8);
    for (name, topic) in topics {
        read(run, &format!("read-{name}"), topic);
    }
}

/// A compacted topic needs keys.
pub fn compacted(run: &mut Run<'_>) {
    let compact = run.topic("compact", 1, &[("cleanup.policy", "compact")]);
    let both =
        run.topic("both", 1, &[("cleanup.policy", "compact,delete"), ("retention.ms", "-1")]);
    let mut keyless = batch(&[("a", "v"), ("b", "v"), ("c", "v")]);
    keyless.records[1].key = None;
    let mut all = keyless.clone();
    all.records.iter_mut().for_each(|record| record.key = None);
    let mut empty_key = batch(&[("", "v")]);
    empty_key.records[0].key = Some(Vec::new());
    let mut tombstone = batch(&[("a", "v")]);
    tombstone.records[0].value = None;
    for (name, topic) in [("compact", &compact), ("both", &both)] {
        for (step, spec) in
            [("one", &keyless), ("all", &all), ("empty", &empty_key), ("tombstone", &tombstone)]
        {
            for version in [7, 9] {
                let body = produce(topic, 0, -1, spec.hex().into());
                run.call(&format!("{name}-{step}"), "Produce", version, body);
            }
        }
        read(run, &format!("read-{name}"), topic);
    }
}

/// The producer's codec stays; headers keep order and duplicates.
pub fn codecs(run: &mut Run<'_>) {
    let topic = log_topic(run, "t", 1);
    let mut plain = batch(&[("k", "v"), ("l", "w")]);
    plain.records[0].headers = vec![
        (b"b".to_vec(), Some(b"1".to_vec())),
        (b"a".to_vec(), None),
        (b"b".to_vec(), Some(Vec::new())),
        (vec![0xff, 0xfe], Some(b"not text".to_vec())),
    ];
    run.call("headers", "Produce", 9, produce(&topic, 0, -1, plain.hex().into()));
    let body = plain.bytes()[61..].to_vec();
    let mut packed = plain.clone();
    packed.attributes = 1;
    packed.body = Some(gzip(&body));
    run.call("gzip", "Produce", 9, produce(&topic, 0, -1, packed.hex().into()));
    packed.count = Some(3);
    run.call("gzip-count-too-large", "Produce", 9, produce(&topic, 0, -1, packed.hex().into()));
    packed.count = Some(1);
    run.call("gzip-count-too-small", "Produce", 9, produce(&topic, 0, -1, packed.hex().into()));
    // Uncompressed records under the name of zstd, which old versions may not send at all.
    let mut zstd = plain.clone();
    zstd.attributes = 4;
    for version in [6, 7, 9] {
        let body = produce(&topic, 0, -1, zstd.hex().into());
        run.call("not-zstd", "Produce", version, body);
    }
    let forced =
        run.topic("forced", 1, &[("compression.type", "uncompressed"), ("retention.ms", "-1")]);
    packed.count = None;
    run.call("forced", "Produce", 9, produce(&forced, 0, -1, packed.hex().into()));
    for (name, topic) in [("t", &topic), ("forced", &forced)] {
        read(run, &format!("read-{name}"), topic);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Batches over the limit.
pub fn large(run: &mut Run<'_>) {
    let topic = run.topic("t", 1, &[("max.message.bytes", "300"), ("retention.ms", "-1")]);
    let batch_of = |length: usize| batch(&[("k", &"v".repeat(length))]);
    let overhead = batch_of(200).bytes().len() - 200;
    for (step, length) in
        [("fits", 300 - overhead), ("one-over", 301 - overhead), ("far-over", 5_000)]
    {
        for version in [3, 9, 13] {
            let body = produce(&topic, 0, -1, batch_of(length).hex().into());
            run.call(step, "Produce", version, body);
        }
    }
    let wide = log_topic(run, "default", 1);
    let body = produce(&wide, 0, -1, batch_of(1 << 20).hex().into());
    run.call("over-the-default", "Produce", 9, body);
    read(run, "read", &topic);
}
