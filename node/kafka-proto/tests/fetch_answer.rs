//! The two-part fetch answer against the body codec, byte for byte, in every version.

use bytes::{Bytes, BytesMut};
use tidegate_kafka_proto::fetch_response::{
    AbortedTransaction, CurrentLeader, EpochEnd, FetchAnswer, FetchPart, NodeEndpoint,
    PartitionAnswer, RecordsLen, TOPIC_IDS_SINCE, TopicKey, encode,
};
use tidegate_kafka_proto::messages::fetch_response::{
    AbortedTransaction as TheirTransaction, EpochEndOffset, FetchableTopicResponse,
    LeaderIdAndEpoch, NodeEndpoint as TheirEndpoint, PartitionData,
};
use tidegate_kafka_proto::messages::{BrokerId, FetchResponse, ProducerId, TopicName};
use tidegate_kafka_proto::{Api, EncodeError, ErrorCode, StrBytes, client, response};
use tidegate_types::TopicId;

const VERSIONS: std::ops::RangeInclusive<i16> = 4..=18;

/// splitmix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    fn text(&mut self) -> String {
        (0..self.below(200)).map(|n| char::from(b'a' + (n % 26) as u8)).collect()
    }
}

fn random_partition(rng: &mut Rng, version: i16) -> PartitionAnswer<Bytes> {
    // Lengths on both sides of where a compact length takes another byte.
    let len = [0, 0, 1, 126, 127, 128, 300, 16_383, 16_384][rng.below(9) as usize];
    let records = Bytes::from((0..len).map(|n| n as u8 ^ len as u8).collect::<Vec<u8>>());
    let mut partition = PartitionAnswer::new(rng.next() as i32, records);
    partition.error = ErrorCode::ALL[rng.below(ErrorCode::ALL.len() as u64) as usize];
    partition.high_watermark = rng.next() as i64;
    partition.last_stable_offset = rng.next() as i64;
    partition.log_start_offset = rng.next() as i64;
    partition.aborted = rng.flip().then(|| {
        (0..rng.below(3))
            .map(|n| AbortedTransaction { producer_id: n as i64, first_offset: rng.next() as i64 })
            .collect()
    });
    if version >= 11 && rng.flip() {
        partition.preferred_read_replica = 5;
    }
    partition.diverging_epoch =
        rng.flip().then(|| EpochEnd { epoch: 3, end_offset: rng.next() as i64 });
    partition.current_leader =
        rng.flip().then_some(CurrentLeader { leader_id: 2, leader_epoch: 9 });
    partition
}

fn random_answer(rng: &mut Rng, version: i16) -> FetchAnswer<Bytes> {
    let mut answer = FetchAnswer::new(ErrorCode::None, 0);
    answer.throttle_time_ms = rng.below(1_000) as i32;
    if version >= 7 {
        answer.session_id = rng.next() as i32;
        answer.error = ErrorCode::FetchSessionIdNotFound;
    }
    for _ in 0..rng.below(4) {
        let topic = if version >= TOPIC_IDS_SINCE {
            TopicKey::Id(TopicId::random())
        } else {
            TopicKey::Name(rng.text().into())
        };
        for _ in 0..1 + rng.below(3) {
            answer.push(topic.clone(), random_partition(rng, version));
        }
    }
    for node_id in 0..rng.below(3) as i32 {
        let rack = rng.flip().then(|| rng.text());
        let host = rng.text();
        answer.node_endpoints.push(NodeEndpoint { node_id, host, port: 9_092, rack });
    }
    answer
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// The same answer for the codec, hints that the version does not have left out.
fn theirs(version: i16, answer: &FetchAnswer<Bytes>) -> FetchResponse {
    let topics = answer.topics.iter().map(|topic| {
        let partitions =
            topic.partitions.iter().map(|partition| their_partition(version, partition));
        let theirs = FetchableTopicResponse::default().with_partitions(partitions.collect());
        match &topic.topic {
            TopicKey::Name(name) => theirs.with_topic(TopicName(text(name))),
            TopicKey::Id(id) => theirs.with_topic_id(id.0),
        }
    });
    let endpoints = answer.node_endpoints.iter().filter(|_| version >= 16).map(|endpoint| {
        TheirEndpoint::default()
            .with_node_id(BrokerId(endpoint.node_id))
            .with_host(text(&endpoint.host))
            .with_port(endpoint.port)
            .with_rack(endpoint.rack.as_deref().map(text))
    });
    FetchResponse::default()
        .with_throttle_time_ms(answer.throttle_time_ms)
        .with_error_code(answer.error.code())
        .with_session_id(answer.session_id)
        .with_responses(topics.collect())
        .with_node_endpoints(endpoints.collect())
}

fn their_partition(version: i16, partition: &PartitionAnswer<Bytes>) -> PartitionData {
    let aborted = partition.aborted.as_ref().map(|aborted| {
        let aborted = aborted.iter().map(|transaction| {
            TheirTransaction::default()
                .with_producer_id(ProducerId(transaction.producer_id))
                .with_first_offset(transaction.first_offset)
        });
        aborted.collect()
    });
    let mut theirs = PartitionData::default()
        .with_partition_index(partition.partition)
        .with_error_code(partition.error.code())
        .with_high_watermark(partition.high_watermark)
        .with_last_stable_offset(partition.last_stable_offset)
        .with_log_start_offset(partition.log_start_offset)
        .with_aborted_transactions(aborted)
        .with_preferred_read_replica(BrokerId(partition.preferred_read_replica))
        .with_records(Some(partition.records.clone()));
    if version >= 12 {
        if let Some(diverging) = partition.diverging_epoch {
            theirs.diverging_epoch = EpochEndOffset::default()
                .with_epoch(diverging.epoch)
                .with_end_offset(diverging.end_offset);
        }
        if let Some(leader) = partition.current_leader {
            theirs.current_leader = LeaderIdAndEpoch::default()
                .with_leader_id(BrokerId(leader.leader_id))
                .with_leader_epoch(leader.leader_epoch);
        }
    }
    theirs
}

#[test]
fn the_parts_in_turn_are_the_codecs_own_bytes() {
    let mut slots = 0;
    for seed in 0..200 {
        let mut rng = Rng(seed);
        for version in VERSIONS {
            let answer = random_answer(&mut rng, version);
            let wanted = response::encode(version, 42, &theirs(version, &answer)).unwrap();
            let encoded = encode(version, 42, &answer).unwrap();
            let (mut found, mut after_bytes) = (BytesMut::new(), false);
            for part in encoded.parts() {
                match part {
                    FetchPart::Bytes(bytes) => {
                        assert!(!bytes.is_empty() && !after_bytes, "bytes in one piece");
                        after_bytes = true;
                        found.extend_from_slice(&bytes);
                    }
                    FetchPart::Records(records) => {
                        assert!(!records.is_empty() && after_bytes, "a slot is never empty");
                        after_bytes = false;
                        found.extend_from_slice(records);
                        slots += 1;
                    }
                }
            }
            assert_eq!(encoded.len(), found.len());
            assert!(found == wanted, "seed {seed}, version {version}");
            let payload = found.freeze().slice(4..);
            let (id, back) = client::decode_response::<FetchResponse>(version, payload).unwrap();
            assert_eq!(id, 42);
            assert_eq!(back.responses.len(), answer.topics.len());
        }
    }
    assert!(slots > 1_000);
}

fn reason(result: Result<impl Sized, EncodeError>) -> String {
    match result {
        Err(EncodeError::Inexpressible { api: Api::Fetch, reason, .. }) => reason,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was encoded"),
    }
}

#[test]
fn what_a_version_cannot_express_is_refused() {
    let with = |topic: TopicKey, change: fn(&mut PartitionAnswer<usize>)| {
        let mut answer = FetchAnswer::new(ErrorCode::None, 0);
        let mut partition = PartitionAnswer::new(0, 0_usize);
        change(&mut partition);
        answer.push(topic, partition);
        answer
    };
    let (name, id) = (TopicKey::Name("t".into()), TopicKey::Id(TopicId::random()));
    let plain = with(name.clone(), |_| {});
    assert!(encode(12, 1, &plain).is_ok());
    assert_eq!(reason(encode(13, 1, &plain)), "topics go by id");
    assert_eq!(reason(encode(12, 1, &with(id, |_| {}))), "topics go by name");
    for version in [3, 19, -1, i16::MAX] {
        assert_eq!(reason(encode(version, 1, &plain)), "this version is not served");
    }
    let session = FetchAnswer::<usize>::new(ErrorCode::None, 7);
    assert_eq!(reason(encode(6, 1, &session)), "there are no sessions");
    let replica = with(name, |partition| partition.preferred_read_replica = 3);
    assert_eq!(reason(encode(10, 1, &replica)), "there are no preferred replicas");
    assert!(encode(11, 1, &replica).is_ok());
    let long = with(TopicKey::Name("x".repeat(32_768).into()), |_| {});
    assert_eq!(reason(encode(12, 1, &long)), "a string is too long");
}

/// Stands for a file range: what is sent never is in memory.
struct FileRange(usize);

impl RecordsLen for FileRange {
    fn records_len(&self) -> usize {
        self.0
    }
}

#[test]
fn lengths_add_up_without_the_records_and_may_not_overflow() {
    let mut answer = FetchAnswer::new(ErrorCode::None, 0);
    for partition in 0..4 {
        let range = FileRange(500_000_000);
        answer.push(TopicKey::Name("t".into()), PartitionAnswer::new(partition, range));
    }
    let encoded = encode(12, 1, &answer).unwrap();
    let Some(FetchPart::Bytes(first)) = encoded.parts().next() else { panic!("records first") };
    let prefix = u32::from_be_bytes(first[..4].try_into().unwrap());
    assert_eq!(prefix as usize, encoded.len() - 4);
    assert!(encoded.len() > 2_000_000_000 && encoded.len() < 2_000_001_000);
    for too_long in [200_000_000, i32::MAX as usize, usize::MAX] {
        answer.push(TopicKey::Name("t".into()), PartitionAnswer::new(9, FileRange(too_long)));
        assert!(matches!(encode(12, 1, &answer), Err(EncodeError::TooLong { .. })), "{too_long}");
        answer.topics[0].partitions.pop();
    }
}
