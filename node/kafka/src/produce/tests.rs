use tidegate_kafka_proto::Api;
use tidegate_kafka_proto::messages;
use tidegate_record::{BatchBuilder, BuildOptions};
use tidegate_types::{
    MessageTime, ProducerEpoch, ProducerId, ProducerStamp, RecordPolicy, Sequence, Timestamp,
    TopicConfig,
};

use super::*;
use crate::metadata::testing::{TestNode, arrives, name, versions};

const PRODUCER: i64 = 40;
const TIME: Timestamp = Timestamp(1_000);

/// Where fields of a batch lie.
const LENGTH: usize = 8;
const MAGIC: usize = 16;
const ATTRIBUTES: usize = 21;

fn batch(stamp: Option<(i64, i16, i32)>, keys: &[Option<&str>]) -> Bytes {
    let stamp = stamp.map(|(id, epoch, sequence)| ProducerStamp {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
        base_sequence: Sequence(sequence),
    });
    let mut builder = BatchBuilder::new(BuildOptions { stamp, ..BuildOptions::default() });
    for key in keys {
        builder.push(TIME, key.map(str::as_bytes), Some(b"v"), []).unwrap();
    }
    builder.build().unwrap().into()
}

fn plain() -> Bytes {
    batch(None, &[Some("k")])
}

/// The batch with a field set, under a checksum that is right.
fn patched(at: usize, field: &[u8]) -> Bytes {
    let mut bytes = plain().to_vec();
    bytes[at..at + field.len()].copy_from_slice(field);
    tidegate_record::set_max_timestamp(&mut bytes, TIME);
    bytes.into()
}

fn request(topic: &Topic, partitions: &[(i32, Bytes)]) -> ProduceRequest {
    let partitions = partitions.iter().map(|(index, records)| {
        PartitionProduceData::default().with_index(*index).with_records(Some(records.clone()))
    });
    let data = TopicProduceData::default()
        .with_name(name(topic.name().as_str()))
        .with_topic_id(topic.id().0)
        .with_partition_data(partitions.collect());
    ProduceRequest::default().with_acks(-1).with_topic_data(vec![data])
}

/// What is answered of partition 0: the error, the offset, and where the log starts.
async fn put(node: &TestNode, topic: &Topic, records: Bytes) -> (i16, i64, i64) {
    let staged = stage(&node.shared, 9, request(topic, &[(0, records)])).await;
    let answer = staged.answer().await.unwrap().unwrap();
    let partition = &answer.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset, partition.log_start_offset)
}

async fn topic(node: &TestNode, config: TopicConfig) -> Arc<Topic> {
    node.shared.broker.make_topic(TopicName::new("t").unwrap(), config, false).await.unwrap()
}

#[tokio::test]
async fn every_version_appends() {
    let node = TestNode::start().await;
    let topic = topic(&node, TopicConfig::default()).await;
    for (offset, version) in (0..).zip(versions(Api::Produce).filter(|version| *version >= 3)) {
        let sent = request(&topic, &[(0, plain()), (7, plain())]);
        let answer = stage(&node.shared, version, sent).await.answer().await.unwrap().unwrap();
        let [answered] = arrives(version, &answer).responses.try_into().unwrap();
        let [good, bad] = answered.partition_responses.try_into().unwrap();
        assert_eq!((good.error_code, good.base_offset), (0, offset), "v{version}");
        assert_eq!((bad.error_code, bad.base_offset, bad.log_start_offset), (3, -1, -1));
    }
}

#[tokio::test]
async fn a_topic_of_which_nothing_was_sent_is_not_told_of() {
    let node = TestNode::start().await;
    let topic = topic(&node, TopicConfig::default()).await;
    let answer = stage(&node.shared, 9, request(&topic, &[])).await.answer().await;
    assert_eq!(answer.unwrap().unwrap().responses, []);
}

#[tokio::test]
async fn what_is_wrong_with_a_batch_is_told_as_kafka_tells_it() {
    let node = TestNode::start().await;
    let topic = topic(&node, TopicConfig::default()).await;
    let (good, long) = (plain(), [plain(), plain()].concat());
    let length = |length: i32| patched(LENGTH, &length.to_be_bytes());
    for (what, records, code, start) in [
        ("nothing", Bytes::new(), 87, -1),
        ("half a header", good.slice(..30), 87, -1),
        ("cut", good.slice(..good.len() - 1), 87, -1),
        ("two", long.into(), 87, -1),
        ("old magic", patched(MAGIC, &[1]), 87, -1),
        ("unknown magic", patched(MAGIC, &[3]), 2, -1),
        ("length of less than a header", length(30), 2, -1),
        ("negative length", length(-1), 2, -1),
        ("immense length", length(i32::MAX), 10, -1),
        ("transaction", patched(ATTRIBUTES, &[0, 0x10]), 53, -1),
        ("control", patched(ATTRIBUTES, &[0, 0x20]), 87, 0),
        ("append time", patched(ATTRIBUTES, &[0, 8]), 32, 0),
        ("base offset", patched(0, &7_i64.to_be_bytes()), 87, 0),
        ("unknown codec", patched(ATTRIBUTES, &[0, 7]), 87, 0),
        ("no epoch", batch(Some((PRODUCER, -1, 0)), &[None]), 47, 0),
        ("no sequence", batch(Some((PRODUCER, 0, -1)), &[None]), 87, 0),
    ] {
        assert_eq!(put(&node, &topic, records).await, (code, -1, start), "{what}");
    }
    let mut damaged = good.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(put(&node, &topic, damaged.into()).await, (2, -1, -1));
    let followed = [&good[..], &[0; 5]].concat();
    assert_eq!(put(&node, &topic, followed.into()).await, (0, 0, 0), "a few bytes are left alone");
    let sent = request(&topic, &[(0, patched(ATTRIBUTES, &[0, 4]))]);
    let answer = stage(&node.shared, 6, sent).await.answer().await.unwrap().unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 76, "zstd before its time");
}

#[tokio::test]
async fn repeats_are_told_their_offsets_as_long_as_they_are_remembered() {
    let node = TestNode::start().await;
    let topic = topic(&node, TopicConfig::default()).await;
    let batch = |epoch, sequence| batch(Some((PRODUCER, epoch, sequence)), &[None]);
    // A producer that the log has not heard of may begin anywhere.
    for sequence in 5..12 {
        let offset = i64::from(sequence) - 5;
        assert_eq!(put(&node, &topic, batch(3, sequence)).await, (0, offset, 0));
    }
    for sequence in 7..12 {
        let offset = i64::from(sequence) - 5;
        assert_eq!(put(&node, &topic, batch(3, sequence)).await, (0, offset, 0));
    }
    assert_eq!(put(&node, &topic, batch(3, 6)).await, (45, -1, 0), "forgotten");
    assert_eq!(put(&node, &topic, batch(3, 13)).await, (45, -1, 0), "a gap");
    assert_eq!(put(&node, &topic, batch(4, 1)).await, (45, -1, 0), "an epoch begins at 0");
    assert_eq!(put(&node, &topic, batch(2, 12)).await, (47, -1, 0), "fenced");
    assert_eq!(put(&node, &topic, batch(3, 12)).await, (0, 7, 0));
}

#[tokio::test]
async fn records_are_named_for_whose_sake_a_batch_is_refused() {
    let node = TestNode::start().await;
    let mut config = TopicConfig::default();
    config.policy.cleanup = "compact".parse().unwrap();
    let topic = topic(&node, config).await;
    let keys = [Some("a"), None, Some("c"), None];
    let staged = stage(&node.shared, 9, request(&topic, &[(0, batch(None, &keys))])).await;
    let answer = arrives(9, &staged.answer().await.unwrap().unwrap());
    let partition = &answer.responses[0].partition_responses[0];
    let blamed: Vec<_> = partition.record_errors.iter().map(|of| of.batch_index).collect();
    assert_eq!((partition.error_code, blamed), (87, vec![1, 3]));
    assert!(partition.error_message.is_some());
}

#[tokio::test]
async fn times_far_from_the_clock_are_refused_and_no_time_is_not() {
    let node = TestNode::start().await;
    let hour = Some(std::time::Duration::from_secs(3_600));
    let records = RecordPolicy {
        time: MessageTime::Create,
        before: hour,
        after: hour,
        ..RecordPolicy::default()
    };
    let topic = topic(&node, TopicConfig { records, ..TopicConfig::default() }).await;
    for (time, code) in [(-1, 0), (-5, 32), (0, 32), (i64::MAX / 2, 32)] {
        let mut builder = BatchBuilder::new(BuildOptions::default());
        builder.push(Timestamp(time), None, None, []).unwrap();
        let records = builder.build().unwrap().into();
        assert_eq!(put(&node, &topic, records).await.0, code, "{time}");
    }
}

#[tokio::test]
async fn names_of_kafkas_own_topics_are_not_written_to() {
    let node = TestNode::start().await;
    let partition = PartitionProduceData::default().with_records(Some(plain()));
    let data = TopicProduceData::default()
        .with_name(name("__consumer_offsets"))
        .with_partition_data(vec![partition]);
    let sent = ProduceRequest::default().with_acks(-1).with_topic_data(vec![data]);
    let answer = stage(&node.shared, 9, sent).await.answer().await.unwrap().unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 17);
}

#[tokio::test]
async fn an_identity_is_named_whole_or_not_at_all() {
    let node = TestNode::start().await;
    for (id, epoch, code) in [(-1, -1, 0), (7, 0, 0), (7, -1, 42), (-1, 0, 42)] {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_producer_id(messages::ProducerId(id))
            .with_producer_epoch(epoch);
        let answer = arrives(4, &init_producer(&node.shared, request).await);
        assert_eq!(answer.error_code, code, "{id} {epoch}");
        assert_eq!(answer.producer_id.0 >= 0, code == 0);
    }
}
