//! Batches on their way in.

use std::io::Write;

use serde_json::{Value, json};
use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_proto::messages::{ApiVersionsRequest, ProduceRequest};
use tidegate_kafka_tests::{
    BatchSpec, PRODUCE, RecordSpec, Typed, batches, error, fetch, hex, name, produce,
};

use crate::{T0, start};

/// Bytes of a batch before its records.
const HEADER: usize = 61;

fn one() -> BatchSpec {
    BatchSpec::of(&[("k", "v")], T0)
}

/// The batches of a topic's first partition, as trees.
fn stored(client: &mut Typed, topic: &str) -> Vec<Value> {
    batches(&client.read(topic, 0)).as_array().unwrap().clone()
}

/// "Header order and duplicates kept", and names that are no text.
#[test]
fn headers_keep_their_order_and_are_kept_twice() {
    let (_node, mut client) = start();
    client.create("headers", 1, &[]);
    let mut batch = one();
    batch.records[0].headers = vec![
        (b"b".to_vec(), Some(b"1".to_vec())),
        (b"a".to_vec(), None),
        (b"b".to_vec(), Some(Vec::new())),
        (vec![0xff, 0xfe], Some(b"not text".to_vec())),
        (b"b".to_vec(), Some(b"1".to_vec())),
    ];
    client.append("headers", &batch);
    let body = hex(&batch.bytes()[HEADER..]);
    assert_eq!(stored(&mut client, "headers")[0]["Body"], json!(body));
}

/// "A keyless record on a compacted topic is INVALID_RECORD": nothing could ever replace it.
#[test]
fn a_record_without_a_key_is_no_record_of_a_compacted_topic() {
    let (_node, mut client) = start();
    client.create("compacted", 1, &[("cleanup.policy", "compact")]);
    let mut batch = BatchSpec::of(&[("k", "v"), ("l", "w")], T0);
    batch.records[1].key = None;
    let refused = client.produce("compacted", batch.bytes());
    assert_eq!(error(refused.error_code), ErrorCode::InvalidRecord);
    let blamed: Vec<_> = refused.record_errors.iter().map(|record| record.batch_index).collect();
    assert_eq!(blamed, [1], "which of the records it was");
    assert_eq!(stored(&mut client, "compacted"), [] as [Value; 0]);
    assert_eq!(client.append("compacted", &one()), 0);
}

/// `max.message.bytes` bounds a batch as it is packed, to the byte.
#[test]
fn a_batch_is_as_large_as_its_topic_allows_and_no_larger() {
    const LIMIT: usize = 1_000;
    let (_node, mut client) = start();
    client.create("bounded", 1, &[("max.message.bytes", "1000")]);
    let of = |size: usize| {
        let batch = |value: usize| BatchSpec::of(&[("k", &"x".repeat(value))], T0).bytes();
        let around = batch(LIMIT - 100).len() - (LIMIT - 100);
        batch(size - around)
    };
    let (fits, large) = (of(LIMIT), of(LIMIT + 1));
    assert_eq!((fits.len(), large.len()), (LIMIT, LIMIT + 1));
    let refused = client.produce("bounded", large);
    assert_eq!(error(refused.error_code), ErrorCode::MessageTooLarge);
    assert_eq!(error(client.produce("bounded", fits).error_code), ErrorCode::None);
    assert_eq!(stored(&mut client, "bounded").len(), 1);
}

/// "Never UNKNOWN_SERVER_ERROR": clients take it for a fault of the broker and try for ever.
#[test]
fn whatever_is_wrong_with_a_batch_has_a_name() {
    let (_node, mut client) = start();
    client.create("wrong", 1, &[]);
    let with = |change: fn(&mut BatchSpec)| {
        let mut batch = one();
        change(&mut batch);
        batch.bytes()
    };
    let wrong: [(&str, Vec<u8>); 20] = [
        ("nothing", Vec::new()),
        ("noise", vec![7; 100]),
        ("a cut header", one().bytes()[..HEADER - 1].to_vec()),
        ("a cut batch", one().bytes()[..HEADER + 3].to_vec()),
        ("two batches", [one().bytes(), one().bytes()].concat()),
        ("a wrong checksum", with(|batch| batch.crc_mask = 1)),
        ("magic 0", with(|batch| batch.magic = 0)),
        ("magic 1", with(|batch| batch.magic = 1)),
        ("magic 3", with(|batch| batch.magic = 3)),
        ("an unknown codec", with(|batch| batch.attributes = 5)),
        ("records that are no gzip", with(|batch| batch.attributes = 1)),
        ("records that are no snappy", with(|batch| batch.attributes = 2)),
        ("records that are no lz4", with(|batch| batch.attributes = 3)),
        ("records that are no zstd", with(|batch| batch.attributes = 4)),
        ("a control batch", with(|batch| batch.attributes = 0x20)),
        ("a transaction of nobody", with(|batch| batch.attributes = 0x10)),
        ("too many records", with(|batch| batch.count = Some(2))),
        ("fewer than none", with(|batch| batch.count = Some(-1))),
        ("a negative length", with(|batch| batch.length = Some(-1))),
        ("an offset of its own", with(|batch| batch.base_offset = 5)),
    ];
    for (what, bytes) in wrong {
        let told = error(client.produce("wrong", bytes).error_code);
        assert!(!matches!(told, ErrorCode::None | ErrorCode::UnknownServerError), "{what}: {told}");
    }
    for (what, request) in [
        ("an unknown topic", produce("nobody", 0, -1, one().bytes())),
        ("an unknown partition", produce("wrong", 9, -1, one().bytes())),
        ("unknown acks", produce("wrong", 0, 7, one().bytes())),
    ] {
        let answer = client.ask(PRODUCE, &request);
        let told = error(answer.responses[0].partition_responses[0].error_code);
        assert!(!matches!(told, ErrorCode::None | ErrorCode::UnknownServerError), "{what}: {told}");
    }
    assert_eq!(stored(&mut client, "wrong"), [] as [Value; 0]);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// One frame of one raw block: what a zstd packer makes of what it cannot make smaller.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).expect("a short body");
    let block = (u32::from(length) << 3 | 1).to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, length], &block[..3], bytes].concat()
}

/// One literal, as it is.
fn snappy(bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).ok().filter(|length| *length <= 60);
    let length = length.expect("a short body");
    [&[length, (length - 1) << 2], bytes].concat()
}

/// "The producer's codec is kept", to the byte: nothing is unpacked only to be packed again.
#[test]
fn batches_stay_as_their_producer_packed_them() {
    let (_node, mut client) = start();
    client.create("packed", 1, &[]);
    let plain = BatchSpec::of(&[("k", "v"), ("l", "w")], T0);
    let records = plain.bytes()[HEADER..].to_vec();
    let packed: [(i16, Vec<u8>); 4] =
        [(0, records.clone()), (1, gzip(&records)), (2, snappy(&records)), (4, zstd(&records))];
    for (codec, body) in &packed {
        let mut batch = plain.clone();
        (batch.attributes, batch.body) = (*codec, Some(body.clone()));
        client.append("packed", &batch);
    }
    for ((codec, body), found) in packed.iter().zip(stored(&mut client, "packed")) {
        assert_eq!(found["Attributes"], json!(codec));
        assert_eq!(found["Body"], json!(hex(body)), "codec {codec}");
        assert_eq!(found["CrcMatches"], true);
    }
}

/// "Create-time and append-time": whose clock a topic's records have, and what the answer tells.
#[test]
fn records_have_their_producers_time_or_that_of_their_append() {
    const APPEND_TIME: i64 = 8;
    let (_node, mut client) = start();
    client.create("created", 1, &[]);
    client.create("appended", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let mut batch = one();
    batch.records.push(RecordSpec { timestamp_delta: 7, ..batch.records[0].clone() });
    let created = client.produce("created", batch.bytes());
    assert_eq!((created.error_code, created.log_append_time_ms), (0, -1));
    let found = &stored(&mut client, "created")[0];
    assert_eq!(found["Attributes"], 0);
    assert_eq!((&found["FirstTimestamp"], &found["MaxTimestamp"]), (&json!(T0), &json!(T0 + 7)));
    let appended = client.produce("appended", batch.bytes());
    assert_eq!(appended.error_code, 0);
    assert!(appended.log_append_time_ms > T0 + 7, "the node's clock: {appended:?}");
    let found = &stored(&mut client, "appended")[0];
    assert_eq!(found["Attributes"], APPEND_TIME);
    assert_eq!(found["MaxTimestamp"], json!(appended.log_append_time_ms));
    assert_eq!(found["CrcMatches"], true);
}

/// "acks 0, 1, all": none, and then the next answer is of the next request; the others tell the
/// offset.
#[test]
fn acknowledgements_are_as_many_as_were_asked_for() {
    let (_node, mut client) = start();
    client.create("acks", 1, &[]);
    client.send(PRODUCE, &produce("acks", 0, 0, one().bytes()));
    let versions = ApiVersionsRequest::default()
        .with_client_software_name(name("test"))
        .with_client_software_version(name("1"));
    assert_eq!(client.ask(3, &versions).error_code, 0, "no answer came before it");
    for (acks, offset) in [(1, 1), (-1, 2)] {
        let answer = client.ask(PRODUCE, &produce("acks", 0, acks, one().bytes()));
        let answer = &answer.responses[0].partition_responses[0];
        assert_eq!((answer.error_code, answer.base_offset), (0, offset), "acks {acks}");
    }
    let all = client.fetch(&fetch("acks", 0, 0).with_min_bytes(1).with_max_wait_ms(30_000));
    assert_eq!(batches(&all.records.unwrap()).as_array().unwrap().len(), 3);
    // What nobody waits for and cannot be done ends the connection, the only way to tell.
    let id = client.send(PRODUCE, &produce("nobody", 0, 0, one().bytes()));
    assert!(client.receive::<ProduceRequest>(PRODUCE, id).is_err());
}
