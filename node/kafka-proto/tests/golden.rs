//! Bytes of real clients, read and written again.
//!
//! Those of the Java client come from the classes of Kafka 4.3.1; the others were written down from
//! what librdkafka and kafka-python send first.
#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::{Bytes, BytesMut};
use tidegate_kafka_proto::fetch_response::{
    AbortedTransaction, CurrentLeader, EpochEnd, FetchAnswer, FetchPart, NodeEndpoint,
    PartitionAnswer, TopicKey, encode,
};
use tidegate_kafka_proto::messages::*;
use tidegate_kafka_proto::request::parse;
use tidegate_kafka_proto::{ErrorCode, Request, client};
use tidegate_types::TopicId;

fn bytes(hex: &str) -> Bytes {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Reads a request, and holds what is written of it against what it was.
fn read(hex: &str, client_id: Option<&str>, correlation_id: i32) -> Request {
    let payload = bytes(hex);
    let parsed = parse(payload.clone()).unwrap();
    assert_eq!(parsed.header.client_id.as_deref(), client_id);
    assert_eq!(parsed.header.correlation_id, correlation_id);
    let again =
        client::encode(parsed.header.version, correlation_id, client_id, &parsed.request).unwrap();
    assert_eq!(again[..4], (payload.len() as u32).to_be_bytes());
    assert_eq!(again[4..], payload);
    parsed.request
}

/// Takes a request for one of its API.
macro_rules! body {
    ($name:ident, $request:expr) => {
        match $request {
            Request::$name(body) => body,
            other => panic!("another API: {other:?}"),
        }
    };
}

const PRODUCE: &str = "0000000d00000003000a70726f64756365722d310000ffff0000753002000102030405060708\
     090a0b0c0d0e0f020000000205cafebabe000000";

/// The topic id of all of them, whose bytes are 0 to 15.
fn topic_id() -> TopicId {
    let body = body!(Produce, read(PRODUCE, Some("producer-1"), 3));
    let id = body.topic_data[0].topic_id;
    assert_eq!(*id.as_bytes(), std::array::from_fn(|n| n as u8));
    TopicId(id)
}

#[test]
fn java_asks_for_versions() {
    let hex = "0012000400000000000a70726f64756365722d3100126170616368652d6b61666b612d6a6176\
     6106342e332e3100";
    let body = body!(ApiVersions, read(hex, Some("producer-1"), 0));
    assert_eq!(&*body.client_software_name, "apache-kafka-java");
    assert_eq!(&*body.client_software_version, "4.3.1");
}

#[test]
fn librdkafka_asks_for_versions() {
    // v3: client id "rdkafka", software "librdkafka" 2.12.1.
    let hex = "00120003000000010007\
         72646b61666b6100\
         0b6c696272646b61666b61\
         07322e31322e3100";
    let body = body!(ApiVersions, read(hex, Some("rdkafka"), 1));
    assert_eq!(&*body.client_software_name, "librdkafka");
    assert_eq!(&*body.client_software_version, "2.12.1");
}

#[test]
fn old_clients_ask_for_versions_and_everything() {
    // kafka-python: ApiVersions v0, then Metadata v1 of all topics, as null.
    let name = "6b61666b612d707974686f6e2d322e302e32";
    body!(ApiVersions, read(&format!("00120000000000010012{name}"), Some("kafka-python-2.0.2"), 1));
    let hex = format!("00030001000000020012{name}ffffffff");
    let body = body!(Metadata, read(&hex, Some("kafka-python-2.0.2"), 2));
    assert_eq!(body.topics, None);
    // Version 0 cannot say null: an empty list is all of them there.
    let body = body!(Metadata, read("0003000000000003ffff00000000", None, 3));
    assert_eq!(body.topics.map(|topics| topics.len()), Some(0));
}

#[test]
fn java_asks_for_metadata() {
    let hex = "0003000d00000001000a70726f64756365722d31000200000000000000000000000000000000\
     087765617468657200010000";
    let body = body!(Metadata, read(hex, Some("producer-1"), 1));
    let topics = body.topics.unwrap();
    assert_eq!(topics[0].name.as_ref().unwrap().as_str(), "weather");
    assert!(body.allow_auto_topic_creation);
    let hex = "0003000d00000002000a70726f64756365722d310000010000";
    assert_eq!(body!(Metadata, read(hex, Some("producer-1"), 2)).topics, None);
}

#[test]
fn java_produces() {
    let body = body!(Produce, read(PRODUCE, Some("producer-1"), 3));
    assert_eq!((body.acks, body.timeout_ms, body.transactional_id), (-1, 30_000, None));
    let topic = &body.topic_data[0];
    assert_eq!(TopicId(topic.topic_id), topic_id());
    assert_eq!(topic.partition_data[0].index, 2);
    assert_eq!(topic.partition_data[0].records, Some(bytes("cafebabe")));
}

#[test]
fn java_fetches() {
    let hex = "0001001200000004000a636f6e73756d65722d3100000001f40000000103200000010012d687\
     0000000702000102030405060708090a0b0c0d0e0f0200000002000000050000000000001092\
     00000004ffffffffffffffff00100000000002000102030405060708090a0b0c0d0e0f030000\
     0000000000010003723100";
    let body = body!(Fetch, read(hex, Some("consumer-1"), 4));
    assert_eq!((body.max_wait_ms, body.min_bytes, body.max_bytes), (500, 1, 52_428_800));
    assert_eq!((body.isolation_level, body.session_id, body.session_epoch), (1, 1_234_567, 7));
    let partition = &body.topics[0].partitions[0];
    assert_eq!((partition.partition, partition.current_leader_epoch), (2, 5));
    assert_eq!((partition.fetch_offset, partition.last_fetched_epoch), (4_242, 4));
    assert_eq!(body.forgotten_topics_data[0].partitions, [0, 1]);
    assert_eq!(&*body.rack_id, "r1");
}

#[test]
fn java_lists_offsets_in_a_version_that_the_codec_reads_as_the_one_before() {
    let hex = "0002000b00000005000a636f6e73756d65722d3100ffffffff00020877656174686572020000\
     0000fffffffffffffffffffffffe00000000753000";
    let body = body!(ListOffsets, read(hex, Some("consumer-1"), 5));
    assert_eq!(body.topics[0].partitions[0].timestamp, -2);
    assert_eq!(body.timeout_ms, 30_000);
    let answer = ListOffsetsResponse::default();
    let frame = tidegate_kafka_proto::response::encode(11, 5, &answer).unwrap();
    let (id, back) = client::decode_response::<ListOffsetsResponse>(11, frame.slice(4..)).unwrap();
    assert_eq!((id, back), (5, answer));
}

#[test]
fn java_joins_a_group_and_asks_for_its_offsets() {
    let hex = "0044000100000006000a636f6e73756d65722d31000267026d000000000000000493e0020877\
     65617468657200000100";
    let body = body!(ConsumerGroupHeartbeat, read(hex, Some("consumer-1"), 6));
    assert_eq!((body.group_id.as_str(), &*body.member_id), ("g", "m"));
    assert_eq!(body.subscribed_topic_names.unwrap()[0].as_str(), "weather");
    assert_eq!(body.topic_partitions.unwrap().len(), 0);
    assert_eq!((body.instance_id, body.server_assignor), (None, None));
    let hex = "0009000900000007000a636f6e73756d65722d310002026700ffffffff00000100";
    let body = body!(OffsetFetch, read(hex, Some("consumer-1"), 7));
    assert_eq!((body.groups[0].group_id.as_str(), &body.groups[0].topics), ("g", &None));
    assert!(body.require_stable);
}

#[test]
fn java_alters_a_topic() {
    let hex = "002c000100000008000561646d696e0002020877656174686572020d726574656e74696f6e2e\
     6d7300053130303000000000";
    let body = body!(IncrementalAlterConfigs, read(hex, Some("admin"), 8));
    let config = &body.resources[0].configs[0];
    assert_eq!((&*config.name, config.value.as_deref()), ("retention.ms", Some("1000")));
}

/// What Kafka's own classes make of the same answer.
#[test]
fn fetch_answers_are_kafkas_own() {
    let answer = |topic: TopicKey, hints: bool| {
        let mut answer = FetchAnswer::new(ErrorCode::None, 77);
        let mut first = PartitionAnswer::new(2, Bytes::from_static(&[1, 2, 3]));
        first.high_watermark = 100;
        first.last_stable_offset = 99;
        first.log_start_offset = 3;
        first.aborted = Some(vec![AbortedTransaction { producer_id: 9, first_offset: 50 }]);
        let mut second = PartitionAnswer::new(3, Bytes::new());
        second.error = ErrorCode::NotLeaderOrFollower;
        if hints {
            first.diverging_epoch = Some(EpochEnd { epoch: 2, end_offset: 60 });
            second.current_leader = Some(CurrentLeader { leader_id: 4, leader_epoch: 8 });
            let host = "h".to_owned();
            answer.node_endpoints =
                vec![NodeEndpoint { node_id: 4, host, port: 9_092, rack: None }];
        }
        answer.push(topic.clone(), first);
        answer.push(topic, second);
        answer
    };
    let old = answer(TopicKey::Name("weather".into()), false);
    let wanted = "000000050000000000000000004d000000010007776561746865720000000200000002000000\
     0000000000006400000000000000630000000000000003000000010000000000000009000000\
     0000000032ffffffff00000003010203000000030006ffffffffffffffffffffffffffffffff\
     ffffffffffffffffffffffffffffffff00000000";
    assert_eq!(whole(11, &old), bytes(wanted));
    let new = answer(TopicKey::Id(topic_id()), true);
    let wanted = "00000005000000000000000000004d02000102030405060708090a0b0c0d0e0f030000000200\
     0000000000000000640000000000000063000000000000000302000000000000000900000000\
     0000003200ffffffff0401020301000d00000002000000000000003c00000000030006ffffff\
     ffffffffffffffffffffffffffffffffffffffffff00ffffffff010101090000000400000008\
     000001000d02000000040268000023840000";
    assert_eq!(whole(17, &new), bytes(wanted));
}

/// The payload of an answer to request 5.
fn whole(version: i16, answer: &FetchAnswer<Bytes>) -> Bytes {
    let mut out = BytesMut::new();
    for part in encode(version, 5, answer).unwrap().parts() {
        match part {
            FetchPart::Bytes(bytes) => out.extend_from_slice(&bytes),
            FetchPart::Records(records) => out.extend_from_slice(records),
        }
    }
    out.freeze().slice(4..)
}
