use tidegate_kafka_proto::Api;
use tidegate_kafka_proto::messages::describe_configs_request::DescribeConfigsResource;
use tidegate_kafka_proto::messages::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
    alter_configs_request, incremental_alter_configs_request,
};
use tidegate_types::Flush;

use super::*;
use crate::metadata::testing::{TestNode, arrives, versions};
use crate::offsets;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;

async fn with_topic() -> TestNode {
    let node = TestNode::start().await;
    let mut config = TopicConfig { partitions: 2, ..TopicConfig::default() };
    config.set("retention.ms", "60000").unwrap();
    node.shared.broker.make_topic(TopicName::new("t").unwrap(), config, false).await.unwrap();
    node
}

fn config(node: &TestNode) -> TopicConfig {
    TopicConfig::clone(&offsets::topic(&node.shared, "t").unwrap().config())
}

fn resource(kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResource {
    let keys = keys.map(|keys| keys.iter().map(|key| text(*key)).collect());
    DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(keys)
}

#[tokio::test]
async fn every_version_describes_topics_and_the_node() {
    let node = with_topic().await;
    for version in versions(Api::DescribeConfigs) {
        let resources = vec![resource(TOPIC, "t", None), resource(BROKER, "1", None)];
        let request = DescribeConfigsRequest::default()
            .with_resources(resources)
            .with_include_synonyms(true)
            .with_include_documentation(version >= 3);
        let answer = arrives(version, &describe(&node.shared, request).await);
        let [topic, broker] = answer.results.try_into().unwrap();
        assert_eq!((topic.error_code, broker.error_code), (0, 0));
        assert_eq!((topic.error_message.as_deref(), topic.configs.len()), (Some(""), 34));
        for config in topic.configs.iter().chain(&broker.configs) {
            assert_eq!(config.config_type != 0, version >= 3, "{}", config.name);
            let documentation = config.documentation.as_deref().unwrap_or_default();
            assert_eq!(!documentation.is_empty(), version >= 3, "{}", config.name);
            assert!(!config.is_sensitive);
        }
        assert!(topic.configs.iter().all(|config| !config.read_only));
        assert!(broker.configs.iter().all(|config| config.read_only));
        let find = |name: &str| topic.configs.iter().find(|config| &*config.name == name).unwrap();
        let synonyms = |name: &str| {
            let synonyms = find(name).synonyms.iter();
            let synonyms = synonyms
                .map(|s| format!("{}={}@{}", s.name, s.value.as_deref().unwrap(), s.source));
            synonyms.collect::<Vec<_>>().join("; ")
        };
        assert_eq!(
            (find("retention.ms").value.as_deref(), find("retention.ms").config_source),
            (Some("60000"), 1)
        );
        assert_eq!(synonyms("retention.ms"), "retention.ms=60000@1");
        assert_eq!(find("segment.bytes").config_source, 5);
        assert_eq!(synonyms("segment.bytes"), "log.segment.bytes=67108864@5");
        let id = broker.configs.iter().find(|config| &*config.name == "node.id").unwrap();
        assert_eq!((id.value.as_deref(), id.config_source, id.synonyms.len()), (Some("1"), 4, 1));
    }
}

#[tokio::test]
async fn only_what_was_asked_for_is_described_and_each_once() {
    let node = with_topic().await;
    let keys: Option<&[&str]> = Some(&["retention.ms", "nope", "retention.ms"]);
    let resources = vec![
        resource(TOPIC, "t", keys),
        resource(TOPIC, "t", keys),
        resource(TOPIC, "t", Some(&[])),
        resource(TOPIC, "t", None),
        resource(TOPIC, "nope", None),
        resource(TOPIC, "a b", None),
        resource(BROKER, "", None),
        resource(BROKER, "1", Some(&["node.id", "retention.ms"])),
        resource(BROKER, "2", None),
        resource(BROKER, "x", None),
        resource(8, "1", None),
        resource(16, "m", None),
        resource(GROUP, "g", None),
        resource(GROUP, "g", Some(&["consumer.session.timeout.ms", "group.max.size"])),
        resource(GROUP, "", None),
        resource(3, "t", None),
    ];
    let request = DescribeConfigsRequest::default().with_resources(resources);
    let answer = describe(&node.shared, request).await;
    let told = answer.results.iter().map(|told| (told.error_code, told.configs.len()));
    let expected = [
        (0, 1),
        (0, 34),
        (3, 0),
        (17, 0),
        (0, 0),
        (0, 1),
        (42, 0),
        (42, 0),
        (42, 0),
        (42, 0),
        (0, 2),
        (0, 1),
        (42, 0),
        (42, 0),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    let config = &answer.results[0].configs[0];
    assert!(config.synonyms.is_empty() && config.documentation.is_none());
}

#[tokio::test]
async fn a_groups_settings_are_the_nodes() {
    let node = with_topic().await;
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource(GROUP, "g", None)])
        .with_include_synonyms(true);
    let answer = describe(&node.shared, request).await;
    let told = answer.results[0].configs.iter().map(|config| {
        let [of_node] = &config.synonyms[..] else { panic!("{config:?}") };
        assert!(config.read_only && config.value == of_node.value);
        (config.name.to_string(), config.value.as_deref().unwrap(), of_node.name.to_string())
    });
    let name = |name: &str| (name.to_owned(), format!("group.{name}"));
    let (beat, beat_of_node) = name("consumer.heartbeat.interval.ms");
    let (session, session_of_node) = name("consumer.session.timeout.ms");
    let expected = [(beat, "5000", beat_of_node), (session, "45000", session_of_node)];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

fn altered(kind: i8, name: &str, configs: &[(&str, Option<&str>)]) -> AlterConfigsRequest {
    let configs = configs.iter().map(|(name, value)| {
        alter_configs_request::AlterableConfig::default()
            .with_name(text(*name))
            .with_value(value.map(text))
    });
    let resource = alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(configs.collect());
    AlterConfigsRequest::default().with_resources(vec![resource])
}

async fn alter_code(node: &TestNode, request: AlterConfigsRequest) -> i16 {
    let answer = alter(&node.shared, request).await;
    for version in versions(Api::AlterConfigs) {
        assert_eq!(arrives(version, &answer), answer);
    }
    let [told] = answer.responses.try_into().unwrap();
    assert_eq!(told.error_message.is_some(), told.error_code != 0);
    told.error_code
}

#[tokio::test]
async fn altering_sets_what_is_named_and_nothing_else() {
    let node = with_topic().await;
    let before = config(&node);
    let request = altered(TOPIC, "t", &[("segment.ms", Some("60000"))]);
    assert_eq!(alter_code(&node, request.clone().with_validate_only(true)).await, 0);
    assert_eq!(config(&node), before);
    assert_eq!(alter_code(&node, request).await, 0);
    let mut expected = TopicConfig { partitions: 2, ..TopicConfig::default() };
    expected.set("segment.ms", "60000").unwrap();
    assert_eq!(config(&node), expected);
    let twice = ("segment.ms", Some("1"));
    for (request, code) in [
        (altered(TOPIC, "t", &[("retention.ms", Some("5")), ("nope", Some("1"))]), 40),
        (altered(TOPIC, "t", &[("retention.ms", Some("x"))]), 40),
        (altered(TOPIC, "t", &[("retention.ms", None)]), 42),
        (altered(TOPIC, "t", &[twice, twice]), 42),
        (altered(TOPIC, "nope", &[]), 3),
        (altered(TOPIC, "a b", &[]), 17),
        (altered(BROKER, "1", &[]), 0),
        (altered(BROKER, "1", &[("node.id", Some("2"))]), 42),
        (altered(BROKER, "2", &[]), 42),
        (altered(8, "1", &[]), 42),
        (altered(3, "t", &[]), 42),
    ] {
        for validate_only in [true, false] {
            let request = request.clone().with_validate_only(validate_only);
            assert_eq!(alter_code(&node, request.clone()).await, code, "{request:?}");
        }
    }
    assert_eq!(config(&node), expected, "what was refused changed nothing");
}

fn incremental(
    kind: i8,
    name: &str,
    changes: &[(&str, i8, Option<&str>)],
) -> IncrementalAlterConfigsRequest {
    let configs = changes.iter().map(|(name, operation, value)| {
        incremental_alter_configs_request::AlterableConfig::default()
            .with_name(text(*name))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    });
    let resource = incremental_alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(configs.collect());
    IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
}

async fn incremental_code(node: &TestNode, request: IncrementalAlterConfigsRequest) -> i16 {
    let answer = alter_incrementally(&node.shared, request).await;
    for version in versions(Api::IncrementalAlterConfigs) {
        assert_eq!(arrives(version, &answer), answer);
    }
    let [told] = answer.responses.try_into().unwrap();
    assert_eq!(told.error_message.is_some(), told.error_code != 0);
    told.error_code
}

#[tokio::test]
async fn altering_bit_by_bit_leaves_the_rest() {
    let node = with_topic().await;
    for (change, code) in [
        (("segment.ms", 0, Some("60000")), 0),
        (("cleanup.policy", 2, Some("compact")), 0),
        (("flush.messages", 0, Some("9223372036854775807")), 0),
        (("max.message.bytes", 1, None), 0),
        (("nope", 1, None), 0),
        (("nope", 0, Some("1")), 40),
        (("retention.ms", 2, Some("1")), 40),
        (("retention.ms", 0, None), 42),
        (("retention.ms", 9, Some("1")), 42),
    ] {
        assert_eq!(
            incremental_code(&node, incremental(TOPIC, "t", &[change])).await,
            code,
            "{change:?}"
        );
    }
    let mut expected = TopicConfig { partitions: 2, flush: Flush::Os, ..TopicConfig::default() };
    for (name, value) in
        [("retention.ms", "60000"), ("segment.ms", "60000"), ("cleanup.policy", "compact,delete")]
    {
        expected.set(name, value).unwrap();
    }
    assert_eq!(config(&node), expected);
    let set = ("retention.ms", 0, Some("5"));
    let validated = incremental(TOPIC, "t", &[set]).with_validate_only(true);
    assert_eq!(incremental_code(&node, validated).await, 0);
    for (request, code) in [
        (incremental(TOPIC, "t", &[]), 0),
        (incremental(TOPIC, "t", &[set, ("retention.ms", 1, None)]), 42),
        (incremental(TOPIC, "t", &[set, ("nope", 0, Some("1"))]), 40),
        (incremental(TOPIC, "nope", &[set]), 3),
        (incremental(BROKER, "", &[("log.retention.ms", 0, Some("1"))]), 42),
        (incremental(BROKER, "9", &[]), 42),
        (incremental(GROUP, "g", &[]), 42),
    ] {
        assert_eq!(incremental_code(&node, request.clone()).await, code, "{request:?}");
    }
    assert_eq!(config(&node), expected, "what was refused changed nothing");
    let mut twice = incremental(TOPIC, "t", &[set]);
    twice.resources.push(twice.resources[0].clone());
    assert_eq!(incremental_code(&node, twice).await, 42);
}

#[tokio::test]
async fn every_version_lists_what_has_settings() {
    let node = with_topic().await;
    let listed = async |version, kinds: &[i8]| {
        let request = ListConfigResourcesRequest::default().with_resource_types(kinds.to_vec());
        let answer = arrives(version, &list_resources(&node.shared, version, request).await);
        let resources = answer.config_resources.into_iter();
        let resources = resources.map(|r| (r.resource_type, r.resource_name.to_string()));
        (answer.error_code, resources.collect::<Vec<_>>())
    };
    let (topic, broker) = ((TOPIC, "t".to_owned()), (BROKER, "1".to_owned()));
    assert_eq!(listed(0, &[]).await, (0, vec![]));
    assert_eq!(listed(1, &[]).await, (0, vec![broker.clone(), topic.clone()]));
    assert_eq!(listed(1, &[TOPIC]).await, (0, vec![topic]));
    assert_eq!(listed(1, &[BROKER, 8, 16, GROUP]).await, (0, vec![broker]));
    assert_eq!(listed(1, &[TOPIC, 3]).await, (35, vec![]));
}
