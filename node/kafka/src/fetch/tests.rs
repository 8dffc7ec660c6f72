use bytes::BytesMut;
use tidegate_kafka_proto::messages::fetch_request::{FetchPartition, FetchTopic, ReplicaState};
use tidegate_kafka_proto::messages::fetch_response::PartitionData;
use tidegate_kafka_proto::messages::{FetchResponse, fetch_response};
use tidegate_kafka_proto::{Api, client};
use tidegate_record::{BatchBuilder, BuildOptions};
use tidegate_types::{Acks, PartitionId, Timestamp, TopicConfig};

use super::*;
use crate::metadata::testing::{TestNode, name, versions};

/// A topic `t` with one batch of three records.
async fn with_records(node: &TestNode) -> Arc<Topic> {
    let broker = &node.shared.broker;
    let topic = TopicName::new("t").unwrap();
    let topic = broker.make_topic(topic, TopicConfig::default(), false).await.unwrap();
    let mut builder = BatchBuilder::new(BuildOptions::default());
    for _ in 0..3 {
        builder.push(Timestamp(1_000), None, None, []).unwrap();
    }
    let batch = builder.build().unwrap().into();
    broker.stage(&topic, PartitionId(0), batch, Acks::All).await.unwrap().wait().await.unwrap();
    topic
}

fn request(topic: &Topic, position: FetchPartition) -> FetchRequest {
    let topic = FetchTopic::default()
        .with_topic(name(topic.name().as_str()))
        .with_topic_id(topic.id().0)
        .with_partitions(vec![position.with_partition_max_bytes(1 << 20)]);
    FetchRequest::default().with_max_bytes(1 << 20).with_topics(vec![topic])
}

/// The answer without the bytes of its records.
async fn ask(node: &TestNode, version: i16, request: FetchRequest) -> FetchResponse {
    let Reply::Parts(parts) = answer(&node.shared, version, 5, request).await else {
        panic!("no answer");
    };
    let mut frame = BytesMut::new();
    for part in parts {
        match part {
            Part::Bytes(bytes) => frame.extend_from_slice(&bytes),
            Part::Records(range) => {
                frame.extend_from_slice(&range.piece(0, range.len).unwrap());
            }
        }
    }
    client::decode_response(version, frame.freeze().split_off(4)).unwrap().1
}

async fn one(node: &TestNode, version: i16, request: FetchRequest) -> PartitionData {
    let answer = ask(node, version, request).await;
    let [topic] = answer.responses.try_into().unwrap();
    let [partition] = topic.partitions.try_into().unwrap();
    partition
}

#[tokio::test]
async fn every_version_reads() {
    let node = TestNode::start().await;
    let topic = with_records(&node).await;
    for version in versions(Api::Fetch) {
        let read = one(&node, version, request(&topic, FetchPartition::default())).await;
        assert_eq!((read.error_code, read.high_watermark), (0, 3), "v{version}");
        assert!(read.records.is_some_and(|records| !records.is_empty()));
        assert_eq!(read.aborted_transactions, None);
        let unknown = FetchPartition::default().with_partition(9);
        let unknown = one(&node, version, request(&topic, unknown)).await;
        assert_eq!((unknown.error_code, unknown.high_watermark), (3, -1));
        assert_eq!(unknown.aborted_transactions, Some(Vec::new()));
    }
}

#[tokio::test]
async fn a_reader_that_went_beyond_the_end_is_told_where_its_log_parts() {
    let node = TestNode::start().await;
    let topic = with_records(&node).await;
    let at = |offset, epoch| {
        FetchPartition::default().with_fetch_offset(offset).with_last_fetched_epoch(epoch)
    };
    for (offset, epoch, end) in [(3, 0, None), (9, 0, Some(3)), (3, 5, Some(3)), (9, 5, Some(3))] {
        let told = one(&node, 12, request(&topic, at(offset, epoch))).await;
        assert_eq!(told.error_code, 0, "{offset} {epoch}");
        let diverging = told.diverging_epoch;
        let expected = end.map_or_else(fetch_response::EpochEndOffset::default, |end| {
            fetch_response::EpochEndOffset::default().with_epoch(0).with_end_offset(end)
        });
        assert_eq!(diverging, expected, "{offset} {epoch}");
        assert!(told.records.is_none_or(|records| records.is_empty()));
    }
    // Without an epoch, or before versions knew of it, the offset is all that counts.
    for (version, position) in [(12, at(9, -1)), (11, at(9, 0)), (12, at(-1, 0))] {
        let position = if version < 12 { position.with_last_fetched_epoch(-1) } else { position };
        assert_eq!(one(&node, version, request(&topic, position)).await.error_code, 1);
    }
}

#[tokio::test]
async fn nobody_replicates_from_here() {
    let node = TestNode::start().await;
    let topic = with_records(&node).await;
    let old = request(&topic, FetchPartition::default()).with_replica_id(BrokerId(40));
    assert_eq!(one(&node, 11, old).await.error_code, 6);
    let state = ReplicaState::default().with_replica_id(BrokerId(40));
    let new = request(&topic, FetchPartition::default()).with_replica_state(state);
    let told = one(&node, 16, new).await;
    assert_eq!((told.error_code, told.current_leader.leader_id), (6, BrokerId(1)));
    let debugging = request(&topic, FetchPartition::default()).with_replica_id(BrokerId(-2));
    assert_eq!(one(&node, 11, debugging).await.error_code, 0);
}

#[tokio::test]
async fn an_unknown_isolation_level_is_refused_as_a_whole() {
    let node = TestNode::start().await;
    let topic = with_records(&node).await;
    for version in versions(Api::Fetch) {
        let strange = request(&topic, FetchPartition::default()).with_isolation_level(9);
        let told = ask(&node, version, strange).await;
        assert_eq!(told.error_code, if version >= 7 { 42 } else { 0 }, "v{version}");
        assert_eq!(told.responses.len(), usize::from(version < TOPIC_IDS_SINCE));
        let partitions = told.responses.iter().flat_map(|topic| &topic.partitions);
        assert!(partitions.into_iter().all(|partition| partition.error_code == 42));
    }
}
