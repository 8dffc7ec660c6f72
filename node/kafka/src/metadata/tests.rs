use std::collections::BTreeMap;

use tidegate_kafka_proto::Api;
use tidegate_kafka_proto::messages::DescribeTopicPartitionsRequest;
use tidegate_kafka_proto::messages::describe_topic_partitions_request::{
    Cursor as Asked, TopicRequest,
};

use super::partitions::page;
use super::testing::{TestNode, arrives, name, versions};
use super::*;

const NODE: BrokerId = BrokerId(1);

fn known(name: &str, offline: &[bool]) -> Known {
    Known { name: text(name), id: Uuid::from_u128(7), internal: false, offline: offline.to_vec() }
}

fn asked(topic: &str) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(Some(name(topic)))
}

fn by_id(id: Uuid) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(None).with_topic_id(id)
}

fn request(topics: Vec<MetadataRequestTopic>) -> MetadataRequest {
    MetadataRequest::default().with_topics(Some(topics))
}

fn told(answer: &MetadataResponse) -> Vec<(Option<&str>, i16, usize)> {
    let topics = answer.topics.iter();
    let told = topics.map(|t| (t.name.as_deref().map(|n| &**n), t.error_code, t.partitions.len()));
    told.collect()
}

#[test]
fn a_cluster_id_is_22_characters_and_the_authoritys() {
    let id = cluster_id_of("certificate");
    assert_eq!(id.len(), 22);
    assert_eq!(id, cluster_id_of("certificate"));
    assert_ne!(id, cluster_id_of("another"));
}

#[test]
fn a_sealed_partition_has_no_leader() {
    let answer = topic_answer(Ok(known("t", &[false, true])), NODE, NOT_ASKED);
    let [led, sealed] = answer.partitions.try_into().unwrap();
    assert_eq!((led.error_code, led.leader_id), (0, NODE));
    assert_eq!((led.isr_nodes, led.offline_replicas), (vec![NODE], vec![]));
    assert_eq!((sealed.error_code, sealed.leader_id), (5, BrokerId(-1)));
    assert_eq!((sealed.replica_nodes, sealed.offline_replicas), (vec![NODE], vec![NODE]));
}

#[tokio::test]
async fn every_version_tells_of_nodes_and_topics() {
    let node = TestNode::start().await;
    for version in versions(Api::Metadata) {
        let missing = format!("auto{version}");
        let mut request = request(vec![asked(&missing), asked("a b"), asked("site/gone")]);
        request.include_topic_authorized_operations = version >= 8;
        request.include_cluster_authorized_operations = (8..=10).contains(&version);
        let answer = arrives(version, &answer(&node.shared, version, request).await);
        let expected = [(Some(&*missing), 0, 3), (Some("a b"), 17, 0), (Some("site/gone"), 3, 0)];
        assert_eq!(told(&answer), expected, "v{version}");
        let [broker] = answer.brokers.try_into().unwrap();
        assert_eq!((broker.node_id, &*broker.host, broker.port), (NODE, "127.0.0.1", 9_092));
        let cluster = answer.cluster_id.as_deref().map(str::to_owned);
        assert_eq!(cluster, (version >= 2).then(|| node.shared.cluster_id.clone()));
        let operations = answer.topics[0].topic_authorized_operations;
        assert_eq!(operations, if version >= 8 { 3_576 } else { NOT_ASKED });
        let operations = answer.cluster_authorized_operations;
        assert_eq!(operations, if (8..=10).contains(&version) { 8_096 } else { NOT_ASKED });
    }
    let all = MetadataRequest::default().with_topics(None);
    let all = answer(&node.shared, 13, all).await;
    assert_eq!(all.topics.len(), versions(Api::Metadata).count());
    assert!(all.topics.iter().all(|topic| topic.partitions.len() == 3 && !topic.is_internal));
    let none = answer(&node.shared, 1, request(vec![])).await;
    assert!(none.topics.is_empty());
    let oldest = answer(&node.shared, 0, request(vec![])).await;
    assert_eq!(oldest.topics.len(), all.topics.len());
}

#[tokio::test]
async fn topics_are_made_only_where_that_is_wanted() {
    let node = TestNode::start().await;
    let refused = request(vec![asked("t")]).with_allow_auto_topic_creation(false);
    let none = answer(&node.shared, 13, refused).await;
    assert_eq!(told(&none), [(Some("t"), 3, 0)]);
    assert!(node.shared.broker.topics().all().is_empty());
    for internal in [tidegate_broker::GROUPS_TOPIC, "__consumer_offsets"] {
        let none = answer(&node.shared, 13, request(vec![asked(internal)])).await;
        assert_eq!(told(&none), [(Some(internal), 3, 0)]);
    }
    let made = request(vec![asked("t.a"), asked("t.a"), asked("t_a")]);
    let made = answer(&node.shared, 13, made).await;
    assert_eq!(told(&made), [(Some("t.a"), 0, 3), (Some("t_a"), 17, 0)]);
    let mut off = node;
    off.shared.config.auto_create = false;
    let none = answer(&off.shared, 13, request(vec![asked("u")])).await;
    assert_eq!(told(&none), [(Some("u"), 3, 0)]);
}

#[tokio::test]
async fn topics_are_found_by_their_id() {
    let node = TestNode::start().await;
    let made = answer(&node.shared, 13, request(vec![asked("t")])).await;
    let id = made.topics[0].topic_id;
    let unknown = Uuid::from_u128(77);
    for version in [12, 13] {
        let both = asked("other").with_topic_id(id);
        let topics = vec![by_id(id), by_id(unknown), by_id(Uuid::nil()), both];
        let answer = arrives(version, &answer(&node.shared, version, request(topics)).await);
        // A topic that is asked for in two ways is told once.
        let expected = [(Some("t"), 0, 3), (None, 100, 0), (None, 100, 0)];
        assert_eq!(told(&answer), expected);
        assert_eq!(answer.topics[1].topic_id, unknown);
    }
    let both = asked("other").with_topic_id(id);
    assert_eq!(told(&answer(&node.shared, 13, request(vec![both])).await), [(Some("t"), 0, 3)]);
    for version in [10, 11] {
        let topics = vec![asked("t"), by_id(id)];
        let answer = arrives(version, &answer(&node.shared, version, request(topics)).await);
        assert_eq!(told(&answer), [(Some("t"), 42, 0), (Some(""), 42, 0)]);
        assert_eq!((answer.brokers.len(), answer.controller_id), (0, BrokerId(-1)));
        assert_eq!(answer.cluster_id, None);
    }
}

fn wanted(topics: &[(&str, usize)]) -> BTreeMap<StrBytes, Result<Known, ErrorCode>> {
    let topics = topics.iter().map(|(name, partitions)| {
        let found = match partitions {
            0 => Err(ErrorCode::UnknownTopicOrPartition),
            n => Ok(known(name, &vec![false; *n])),
        };
        (text(*name), found)
    });
    topics.collect()
}

#[test]
fn pages_follow_each_other_to_the_end() {
    let topics = [("a", 3), ("b", 0), ("c", 1), ("d", 4)];
    for limit in 1..9 {
        let (mut from, mut seen) = (None, Vec::new());
        for _ in 0..20 {
            let answer = arrives(0, &page(wanted(&topics), false, from.take(), limit, NODE));
            let mut count = 0;
            for topic in answer.topics {
                count += topic.partitions.len();
                let name = topic.name.unwrap().to_string();
                let partitions = topic.partitions.iter();
                seen.extend(partitions.map(|p| (name.clone(), p.partition_index)));
            }
            assert!(count <= limit);
            match answer.next_cursor {
                Some(next) => from = Some((next.topic_name.0, next.partition_index)),
                None => break,
            }
        }
        let all = topics.iter().flat_map(|(name, n)| (0..*n).map(|p| (name.to_string(), p as i32)));
        assert_eq!(seen, all.collect::<Vec<_>>(), "limit {limit}");
    }
}

#[test]
fn a_cursor_that_points_nowhere_is_refused() {
    for (every, from, code) in [
        (false, ("nope", 0), 42),
        (false, ("a", -1), 42),
        // Its topic may have gone since.
        (true, ("aa", 0), 0),
        // It may have had more partitions.
        (false, ("a", 99), 0),
    ] {
        let from = Some((text(from.0), from.1));
        let answer = page(wanted(&[("a", 1), ("b", 1)]), every, from, 10, NODE);
        assert!(answer.topics.iter().all(|topic| topic.error_code == code), "{answer:?}");
        assert!(!answer.topics.is_empty());
    }
}

#[tokio::test]
async fn partitions_are_described_by_pages() {
    let node = TestNode::start().await;
    answer(&node.shared, 13, request(vec![asked("t"), asked("u")])).await;
    let every = DescribeTopicPartitionsRequest::default().with_response_partition_limit(0);
    let first = arrives(0, &describe_partitions(&node.shared, every.clone()).await);
    assert_eq!((first.topics.len(), first.topics[0].partitions.len()), (1, 1));
    let next = first.next_cursor.unwrap();
    assert_eq!((&**next.topic_name, next.partition_index), ("t", 1));
    let cursor = Asked::default().with_topic_name(next.topic_name).with_partition_index(1);
    let rest = every.with_cursor(Some(cursor)).with_response_partition_limit(100);
    let rest = describe_partitions(&node.shared, rest).await;
    assert_eq!(rest.topics.iter().map(|t| t.partitions.len()).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(rest.next_cursor, None);
    let topics = ["zz", "a b"].map(|topic| TopicRequest::default().with_name(name(topic)));
    let unknown = DescribeTopicPartitionsRequest::default().with_topics(topics.to_vec());
    let unknown = describe_partitions(&node.shared, unknown).await;
    assert_eq!(unknown.topics.iter().map(|t| t.error_code).collect::<Vec<_>>(), [17, 3]);
    assert!(unknown.topics.iter().all(|t| t.topic_authorized_operations == 3_576));
}
