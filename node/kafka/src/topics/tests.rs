use tidegate_kafka_proto::Api;
use tidegate_kafka_proto::messages::create_partitions_request::CreatePartitionsAssignment;
use tidegate_kafka_proto::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use tidegate_kafka_proto::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};

use super::*;
use crate::errors::text;
use crate::metadata::testing::{TestNode, arrives, name, versions};

fn topic(topic: &str, partitions: i32, replicas: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(replicas)
}

fn with_config(topic: CreatableTopic, name: &str, value: Option<&str>) -> CreatableTopic {
    let config = CreatableTopicConfig::default().with_name(text(name)).with_value(value.map(text));
    topic.with_configs(vec![config])
}

fn with_assignments(topic: CreatableTopic, assignments: &[(i32, &[i32])]) -> CreatableTopic {
    let assignments = assignments.iter().map(|(partition, brokers)| {
        CreatableReplicaAssignment::default()
            .with_partition_index(*partition)
            .with_broker_ids(brokers.iter().map(|id| BrokerId(*id)).collect())
    });
    topic.with_assignments(assignments.collect())
}

async fn make(node: &TestNode, topics: Vec<CreatableTopic>) -> CreateTopicsResponse {
    create(&node.shared, 7, CreateTopicsRequest::default().with_topics(topics)).await
}

fn codes(answer: &CreateTopicsResponse) -> Vec<i16> {
    answer.topics.iter().map(|topic| topic.error_code).collect()
}

#[tokio::test]
async fn every_version_makes_topics_and_tells_of_it() {
    let node = TestNode::start().await;
    for version in versions(Api::CreateTopics) {
        let made = topic(&format!("t{version}"), 2, 1);
        let made = with_config(made, "retention.ms", Some("60000"));
        let topics = vec![made, topic("a b", 1, 1), topic("default", -1, -1)];
        let request = CreateTopicsRequest::default().with_topics(topics);
        let answer = arrives(version, &create(&node.shared, version, request).await);
        assert_eq!(codes(&answer), [0, 17, if version == 2 { 0 } else { 36 }]);
        assert!(answer.topics[1].error_message.as_deref().unwrap().contains("'a b'"));
        let (made, refused) = (&answer.topics[0], &answer.topics[1]);
        if version >= 5 {
            assert_eq!((made.num_partitions, made.replication_factor), (2, 1));
            let configs = made.configs.as_ref().unwrap();
            assert_eq!(configs.len(), 34);
            let set: Vec<_> = configs.iter().filter(|config| config.config_source == 1).collect();
            assert_eq!((set.len(), &*set[0].name), (1, "retention.ms"));
            assert_eq!(set[0].value.as_deref(), Some("60000"));
            assert_eq!((refused.num_partitions, refused.replication_factor), (-1, -1));
            assert_eq!(refused.configs.as_deref(), Some(&[][..]));
        }
        assert_eq!(made.topic_id.is_nil(), version < 7);
    }
    let made = offsets::topic(&node.shared, "default").unwrap();
    assert_eq!(made.config().partitions, node.shared.config.partitions);
}

#[tokio::test]
async fn what_kafka_refuses_is_refused_alike() {
    let node = TestNode::start().await;
    make(&node, vec![topic("t.x", 1, 1)]).await;
    let by_hand = |assignments| with_assignments(topic("by-hand", -1, -1), assignments);
    for (asked, code, message) in [
        (topic("", 1, 1), 17, "empty string"),
        (topic("..", 1, 1), 17, "'..' is not allowed"),
        (topic(&"x".repeat(250), 1, 1), 17, "249"),
        (topic("site/t", 1, 1), 17, "other than ASCII alphanumerics"),
        (topic("t.x", 1, 1), 36, "Topic 't.x' already exists."),
        (topic("t_x", 1, 1), 17, "collides with existing topic: t.x"),
        (topic(tidegate_broker::GROUPS_TOPIC, 1, 1), 17, "the node's own"),
        (topic("__consumer_offsets", 50, 1), 17, "the node's own"),
        (topic("n", 1, 3), 38, "only 1 broker(s)"),
        (topic("n", 1, 0), 38, "larger than 0"),
        (topic("n", 1, -2), 38, "larger than 0"),
        (topic("n", 0, 1), 37, "non-positive"),
        (topic("n", -2, 1), 37, "non-positive"),
        (topic("n", i32::MAX, 1), 37, "at most 10000"),
        (with_config(topic("n", 1, 1), "nope", Some("1")), 40, "Unknown topic config name: nope"),
        (with_config(topic("n", 1, 1), "retention.ms", Some("x")), 40, "Not a number"),
        (with_config(topic("n", 1, 1), "retention.ms", None), 40, "Null value not supported"),
        (with_assignments(topic("n", -1, 1), &[(0, &[1])]), 42, "replication factor"),
        (with_assignments(topic("n", 1, -1), &[(0, &[1])]), 42, "numPartitions"),
        (by_hand(&[(0, &[1]), (2, &[1])]), 39, "consecutive"),
        (by_hand(&[(0, &[1]), (0, &[1])]), 39, "consecutive"),
        (by_hand(&[(-1, &[1])]), 39, "consecutive"),
        (by_hand(&[(0, &[9])]), 39, "broker 9"),
        (by_hand(&[(0, &[1, 9])]), 39, "broker 9"),
        (by_hand(&[(0, &[1, 1])]), 39, "more than once"),
        (by_hand(&[(0, &[])]), 39, "empty replica list"),
    ] {
        let answer = arrives(7, &make(&node, vec![asked.clone()]).await);
        let [told] = answer.topics.try_into().unwrap();
        let text = told.error_message.as_deref().unwrap();
        assert_eq!(told.error_code, code, "{asked:?}: {text}");
        assert!(text.contains(message), "{text}");
        assert!(told.topic_id.is_nil());
    }
    assert_eq!(node.shared.broker.topics().all().len(), 1);
    let twice = make(&node, vec![topic("d", 1, 1), topic("e", 1, 1), topic("d", 2, 1)]).await;
    assert_eq!(codes(&twice), [42, 0]);
    let placed = make(&node, vec![by_hand(&[(1, &[1]), (0, &[1])])]).await;
    assert_eq!((codes(&placed), placed.topics[0].num_partitions), (vec![0], 2));
}

#[tokio::test]
async fn what_is_only_validated_is_not_made() {
    let node = TestNode::start().await;
    let topics =
        vec![topic("t", -1, -1), with_config(topic("u", 1, 1), "segment.bytes", Some("1"))];
    let request = CreateTopicsRequest::default().with_topics(topics).with_validate_only(true);
    let answer = create(&node.shared, 7, request).await;
    assert_eq!(codes(&answer), [0, 40]);
    assert_eq!(answer.topics[0].num_partitions, 3);
    assert!(node.shared.broker.topics().all().is_empty());
}

#[tokio::test]
async fn every_version_deletes_topics() {
    let node = TestNode::start().await;
    for version in versions(Api::DeleteTopics) {
        make(&node, vec![topic("t", 1, 1), topic("d", 1, 1)]).await;
        let names = ["t", "nope", "d", "d"];
        let request = if version < 6 {
            DeleteTopicsRequest::default().with_topic_names(names.map(name).to_vec())
        } else {
            let named = |topic| DeleteTopicState::default().with_name(Some(name(topic)));
            DeleteTopicsRequest::default().with_topics(names.map(named).to_vec())
        };
        let answer = arrives(version, &delete(&node.shared, version, request).await);
        let told = answer.responses.iter();
        let told: Vec<_> =
            told.map(|t| (t.name.as_deref().map(|n| n.to_string()), t.error_code)).collect();
        let expected = [("t", 0), ("nope", 3), ("d", 42)];
        assert_eq!(told, expected.map(|(name, code)| (Some(name.to_owned()), code)));
        assert_eq!(answer.responses[0].topic_id.is_nil(), version < 6);
        assert!(offsets::topic(&node.shared, "t").is_none());
        assert!(offsets::topic(&node.shared, "d").is_some());
    }
}

#[tokio::test]
async fn topics_are_deleted_by_their_id() {
    let node = TestNode::start().await;
    let id = make(&node, vec![topic("t", 1, 1)]).await.topics[0].topic_id;
    let state = |named: Option<&str>, id| {
        DeleteTopicState::default().with_name(named.map(name)).with_topic_id(id)
    };
    let (nil, unknown) = (Uuid::nil(), Uuid::from_u128(77));
    for (asked, code) in [
        (state(None, nil), 42),
        (state(Some("t"), id), 42),
        (state(None, unknown), 100),
        (state(Some("site/t"), nil), 3),
        (state(None, id), 0),
        (state(None, id), 100),
    ] {
        let request = DeleteTopicsRequest::default().with_topics(vec![asked.clone()]);
        let answer = arrives(6, &delete(&node.shared, 6, request).await);
        let [told] = answer.responses.try_into().unwrap();
        assert_eq!(told.error_code, code, "{asked:?}");
        assert_eq!(told.topic_id, asked.topic_id);
        assert_eq!(told.name, if code == 0 { Some(name("t")) } else { asked.name });
    }
}

#[tokio::test]
async fn topics_only_grow() {
    let node = TestNode::start().await;
    make(&node, vec![topic("t", 2, 1)]).await;
    let to = |topic: &str, count| {
        CreatePartitionsTopic::default()
            .with_name(name(topic))
            .with_count(count)
            .with_assignments(None)
    };
    let placed = |asked: CreatePartitionsTopic, brokers: &[i32]| {
        let to =
            |id: &i32| CreatePartitionsAssignment::default().with_broker_ids(vec![(*id).into()]);
        asked.with_assignments(Some(brokers.iter().map(to).collect()))
    };
    for (asked, validate_only, code, message) in [
        (to("t", 1), false, 37, "1 would not be an increase"),
        (to("t", -1), false, 37, "-1 would not be an increase"),
        (to("t", 2), false, 37, "already has 2"),
        (to("t", 10_001), false, 37, "at most 10000"),
        (to("nope", 5), false, 3, ""),
        (placed(to("t", 4), &[1]), false, 39, "2 additional partition(s), but only 1"),
        (placed(to("t", 3), &[9]), false, 39, "broker 9"),
        (to("t", 5), true, 0, ""),
        (to("t", 3), false, 0, ""),
        (placed(to("t", 4), &[1]), false, 0, ""),
    ] {
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![asked.clone()])
            .with_validate_only(validate_only);
        let answer = grow(&node.shared, request).await;
        for version in versions(Api::CreatePartitions) {
            assert_eq!(arrives(version, &answer), answer);
        }
        let told = &answer.results[0];
        assert_eq!(told.error_code, code, "{asked:?}");
        let text = told.error_message.as_deref();
        assert_eq!(text.is_some(), !message.is_empty());
        assert!(text.unwrap_or_default().contains(message), "{text:?}");
    }
    assert_eq!(offsets::topic(&node.shared, "t").unwrap().partitions().len(), 4);
    let twice = CreatePartitionsRequest::default().with_topics(vec![to("t", 5), to("t", 6)]);
    let twice = grow(&node.shared, twice).await;
    assert_eq!(twice.results.iter().map(|r| r.error_code).collect::<Vec<_>>(), [42]);
}

#[tokio::test]
async fn records_are_deleted_within_what_is_there() {
    let node = TestNode::start().await;
    let compacted = with_config(topic("compacted", 1, 1), "cleanup.policy", Some("compact"));
    make(&node, vec![topic("t", 1, 1), compacted]).await;
    for (asked, partition, offset, expected) in [
        ("t", 0, 0, (0, 0)),
        ("t", 0, -1, (0, 0)),
        ("t", 0, 1, (1, -1)),
        ("t", 0, -2, (1, -1)),
        ("t", 1, 0, (3, -1)),
        ("t", -1, 0, (3, -1)),
        ("nope", 0, 0, (3, -1)),
        ("compacted", 0, -1, (44, -1)),
    ] {
        let at =
            DeleteRecordsPartition::default().with_partition_index(partition).with_offset(offset);
        let topic = DeleteRecordsTopic::default().with_name(name(asked)).with_partitions(vec![at]);
        let request = DeleteRecordsRequest::default().with_topics(vec![topic]);
        let answer = delete_records(&node.shared, request).await;
        for version in versions(Api::DeleteRecords) {
            assert_eq!(arrives(version, &answer), answer);
        }
        let told = &answer.topics[0].partitions[0];
        assert_eq!((told.error_code, told.low_watermark), expected, "{asked} {partition} {offset}");
    }
}

#[test]
fn names_collide_over_dots_and_underscores() {
    let names = ["a.b_c", "d", "site/e.f"].map(|name| TopicName::new(name).unwrap());
    let colliding = |name: &str| colliding(&names, &TopicName::new(name).unwrap()).cloned();
    assert_eq!(colliding("a_b.c"), Some(names[0].clone()));
    for name in ["a.b_c", "a.bc", "d.", "e.f", "e_f"] {
        assert_eq!(colliding(name), None, "{name}");
    }
}

#[test]
fn texts_are_cut_where_clients_make_them_long() {
    let long = Refusal::new(ErrorCode::InvalidConfig, "ü".repeat(40_000));
    assert!(long.message.len() <= MAX_MESSAGE && !long.message.is_empty());
    assert_eq!(Refusal::new(ErrorCode::InvalidConfig, "").text(), None);
    let read_only = Refusal::from(ErrorBody::new(Failure::ReadOnly, "a mirror"));
    assert_eq!((read_only.code, &*read_only.message), (ErrorCode::PolicyViolation, "a mirror"));
}
