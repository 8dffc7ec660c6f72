//! Topics and their settings.

use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_proto::messages::create_partitions_request::CreatePartitionsTopic;
use tidegate_kafka_proto::messages::describe_configs_request::DescribeConfigsResource;
use tidegate_kafka_proto::messages::describe_configs_response::DescribeConfigsResourceResult;
use tidegate_kafka_proto::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use tidegate_kafka_proto::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use tidegate_kafka_proto::messages::metadata_request::MetadataRequestTopic;
use tidegate_kafka_proto::messages::metadata_response::MetadataResponseTopic;
use tidegate_kafka_proto::messages::{
    CreatePartitionsRequest, DeleteTopicsRequest, DescribeConfigsRequest, FetchRequest,
    IncrementalAlterConfigsRequest, ListPartitionReassignmentsRequest, MetadataRequest,
};
use tidegate_kafka_tests::{
    BatchSpec, Committer, NONE, PARTITIONS, Typed, error, fetch, name, new_topic,
};

use crate::{T0, start};

/// Kinds of resources that have settings.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// What says a value: the topic itself, or nobody.
const OF_TOPIC: i8 = 1;
const DEFAULT: i8 = 5;

fn metadata(client: &mut Typed, topic: &str, makes: bool) -> MetadataResponseTopic {
    let topic = MetadataRequestTopic::default().with_name(Some(name(topic).into()));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![topic]))
        .with_allow_auto_topic_creation(makes);
    client.ask(12, &request).topics.remove(0)
}

fn settings(client: &mut Typed, kind: i8, of: &str) -> Vec<DescribeConfigsResourceResult> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(name(of))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let result = client.ask(4, &request).results.remove(0);
    assert_eq!(result.error_code, 0, "{result:?}");
    result.configs
}

/// The value of a setting, and what says it.
fn setting(client: &mut Typed, (kind, of): (i8, &str), key: &str) -> (String, i8) {
    let all = settings(client, kind, of);
    let found = all.iter().find(|config| &*config.name == key);
    let found = found.unwrap_or_else(|| panic!("{of} has no {key}"));
    (found.value.as_ref().map(ToString::to_string).unwrap_or_default(), found.config_source)
}

/// Makes one change to a topic's setting.
fn alter(client: &mut Typed, topic: &str, operation: i8, key: &str, value: &str) -> ErrorCode {
    let change = AlterableConfig::default()
        .with_name(name(key))
        .with_config_operation(operation)
        .with_value(Some(name(value)));
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(name(topic))
        .with_configs(vec![change]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    error(client.ask(1, &request).responses[0].error_code)
}

/// "Metadata auto-creates with `num.partitions`", where the client wants that.
#[test]
fn metadata_makes_a_topic_with_the_brokers_number_of_partitions() {
    let (_node, mut client) = start();
    let unknown = metadata(&mut client, "wanted", false);
    assert_eq!(error(unknown.error_code), ErrorCode::UnknownTopicOrPartition);
    metadata(&mut client, "wanted", true);
    let made = metadata(&mut client, "wanted", false);
    assert_eq!((made.error_code, made.partitions.len()), (0, PARTITIONS));
    let told = setting(&mut client, (BROKER, "0"), "num.partitions").0;
    assert_eq!(told, PARTITIONS.to_string());
}

/// "An invalid name is INVALID_TOPIC."
#[test]
fn an_invalid_name_is_invalid_topic() {
    let (_node, mut client) = start();
    let long = "x".repeat(250);
    for bad in ["", ".", "..", "a b", "a/b/c", "\u{e4}", &long] {
        let refused = client.try_create(new_topic(bad, 1, &[]));
        assert_eq!(refused, ErrorCode::InvalidTopicException, "{bad:?}");
        let told = metadata(&mut client, bad, true);
        assert_eq!(error(told.error_code), ErrorCode::InvalidTopicException, "{bad:?}");
    }
    assert_eq!(client.try_create(new_topic(&long[1..], 1, &[])), ErrorCode::None);
}

/// "A bad config is INVALID_CONFIG."
#[test]
fn a_bad_setting_is_invalid_config_and_nothing_is_made() {
    let (_node, mut client) = start();
    for (key, value) in [("retention.ms", "soon"), ("no.such.setting", "1"), ("segment.ms", "-7")] {
        let refused = client.try_create(new_topic("set", 1, &[(key, value)]));
        assert_eq!(refused, ErrorCode::InvalidConfig, "{key}={value}");
        let unknown = error(metadata(&mut client, "set", false).error_code);
        assert_eq!(unknown, ErrorCode::UnknownTopicOrPartition, "{key}={value}");
    }
    client.create("set", 1, &[("retention.ms", "60000")]);
    for (key, value) in [("retention.ms", "soon"), ("no.such.setting", "1")] {
        assert_eq!(alter(&mut client, "set", 0, key, value), ErrorCode::InvalidConfig, "{key}");
    }
    let kept = setting(&mut client, (TOPIC, "set"), "retention.ms");
    assert_eq!(kept, ("60000".to_owned(), OF_TOPIC));
}

/// "Replication factor 3 asked of one node": it cannot be had, and -1 is whatever can.
#[test]
fn more_replicas_than_nodes_are_an_invalid_replication_factor() {
    let (_node, mut client) = start();
    let topic = |replicas| new_topic("copies", 1, &[]).with_replication_factor(replicas);
    assert_eq!(client.try_create(topic(3)), ErrorCode::InvalidReplicationFactor);
    assert_eq!(client.try_create(topic(-1)), ErrorCode::None);
    let made = metadata(&mut client, "copies", false);
    assert_eq!(made.partitions[0].replica_nodes.len(), 1);
}

/// "CreatePartitions answers with the topics."
#[test]
fn create_partitions_tells_of_each_topic() {
    let (_node, mut client) = start();
    client.create("grows", 1, &[]);
    client.create("stays", 3, &[]);
    let more = |(topic, count): (&str, i32)| {
        CreatePartitionsTopic::default()
            .with_name(name(topic).into())
            .with_count(count)
            .with_assignments(None)
    };
    let topics = [("grows", 3), ("stays", 2), ("nobody", 2)].map(more).to_vec();
    let request = CreatePartitionsRequest::default().with_topics(topics).with_timeout_ms(10_000);
    let answer = client.ask(3, &request);
    let mut told: Vec<_> = answer
        .results
        .iter()
        .map(|result| (result.name.to_string(), error(result.error_code)))
        .collect();
    told.sort();
    let expected = [
        ("grows".to_owned(), ErrorCode::None),
        ("nobody".to_owned(), ErrorCode::UnknownTopicOrPartition),
        ("stays".to_owned(), ErrorCode::InvalidPartitions),
    ];
    assert_eq!(told, expected);
    assert_eq!(metadata(&mut client, "grows", false).partitions.len(), 3);
    assert_eq!(metadata(&mut client, "stays", false).partitions.len(), 3);
}

/// "DescribeConfigs gives defaults, the broker's `advertised.listeners` too."
#[test]
fn settings_are_described_with_their_defaults() {
    let (node, mut client) = start();
    client.create("described", 1, &[("retention.ms", "60000")]);
    let mut topic = |key| setting(&mut client, (TOPIC, "described"), key);
    assert_eq!(topic("retention.ms"), ("60000".to_owned(), OF_TOPIC));
    assert_eq!(topic("segment.ms"), ("604800000".to_owned(), DEFAULT));
    assert_eq!(topic("max.message.bytes"), ("1048588".to_owned(), DEFAULT));
    let told = setting(&mut client, (BROKER, "0"), "advertised.listeners").0;
    assert_eq!(told, format!("PLAINTEXT://{}", node.broker().address));
}

/// "Incremental APPEND and SUBTRACT."
#[test]
fn lists_are_appended_to_and_subtracted_from() {
    const SET: i8 = 0;
    const APPEND: i8 = 2;
    const SUBTRACT: i8 = 3;
    let (_node, mut client) = start();
    client.create("list", 1, &[]);
    let policy = |client: &mut Typed| setting(client, (TOPIC, "list"), "cleanup.policy").0;
    for (operation, value, then) in [
        (APPEND, "compact", "compact,delete"),
        (APPEND, "compact", "compact,delete"),
        (SUBTRACT, "delete", "compact"),
        (SUBTRACT, "delete", "compact"),
        (SET, "delete", "delete"),
    ] {
        let done = alter(&mut client, "list", operation, "cleanup.policy", value);
        assert_eq!(done, ErrorCode::None, "{operation} {value}");
        let mut now: Vec<_> = policy(&mut client).split(',').map(str::to_owned).collect();
        now.sort();
        assert_eq!(now.join(","), then, "{operation} {value}");
    }
    let refused = alter(&mut client, "list", APPEND, "retention.ms", "1");
    assert_eq!(refused, ErrorCode::InvalidConfig, "a number is no list");
}

/// Admin tools ask which partitions are on their way to other nodes: none is.
#[test]
fn no_partition_is_being_reassigned() {
    let (_node, mut client) = start();
    client.create("stays", 2, &[]);
    let asked = ListPartitionReassignmentsTopics::default()
        .with_name(name("stays").into())
        .with_partition_indexes(vec![0, 1]);
    for topics in [None, Some(vec![asked])] {
        let request = ListPartitionReassignmentsRequest::default().with_topics(topics);
        let answer = client.ask(0, &request);
        assert_eq!((answer.error_code, answer.topics.len()), (0, 0), "{answer:?}");
    }
}

/// "A topic deleted and made again" is another topic: with nothing in it, and not under its old id.
#[test]
fn a_topic_that_is_made_again_is_another_one() {
    let (_node, mut client) = start();
    client.create("again", 1, &[]);
    client.append("again", &BatchSpec::of(&[("k", "v")], T0));
    let group = Committer::outside("reader");
    assert_eq!(client.commit(group, ("again", 0), 1, "read"), ErrorCode::None);
    let before = metadata(&mut client, "again", false).topic_id;
    let delete = DeleteTopicsRequest::default()
        .with_topic_names(vec![name("again").into()])
        .with_timeout_ms(10_000);
    assert_eq!(client.ask(5, &delete).responses[0].error_code, 0);
    client.create("again", 1, &[]);
    let after = metadata(&mut client, "again", false).topic_id;
    assert_ne!(before, after);
    assert!(client.read("again", 0).is_empty(), "nothing of the old one is left");
    assert_eq!(client.committed(group, ("again", 0)).unwrap().0, NONE);
    for (id, told) in [(before, ErrorCode::UnknownTopicId), (after, ErrorCode::None)] {
        let mut request: FetchRequest = fetch("", 0, 0);
        request.topics[0].topic_id = id;
        let answer = client.ask(13, &request);
        assert_eq!(error(answer.responses[0].partitions[0].error_code), told);
    }
    assert_eq!(client.append("again", &BatchSpec::of(&[("k", "w")], T0)), 0);
}
