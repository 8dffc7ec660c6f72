//! `topic@plugin`: a topic as its readers see it through a plugin.

use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_proto::messages::metadata_request::MetadataRequestTopic;
use tidegate_kafka_proto::messages::{MetadataRequest, MetadataResponse};
use tidegate_kafka_tests::{
    BatchSpec, Committer, NONE, Tidegate, Typed, batches, error, fetch, name,
};

use crate::{T0, start};

const TOPIC: &str = "readings";
const ALIAS: &str = "readings@threshold";

/// A node with three records, of which the plugin at the hook read keeps the first and the last.
fn filtered() -> (Tidegate, Typed) {
    let (node, mut client) = start();
    client.create(TOPIC, 1, &[]);
    let values = [("k", r#"{"value":5}"#), ("k", r#"{"value":50}"#), ("k", r#"{"value":95}"#)];
    client.append(TOPIC, &BatchSpec::of(&values, T0));
    node.command(&["plugin", "install", "threshold"]);
    let band = r#"{"field": "value", "low": 10, "high": 90}"#;
    let attach = ["plugin", "attach", TOPIC, "threshold", "--hook", "read", "--on-error", "skip"];
    node.command(&[&attach[..], &["--config", band]].concat());
    (node, client)
}

fn metadata(client: &mut Typed, topic: &str) -> MetadataResponse {
    let topic = MetadataRequestTopic::default().with_name(Some(name(topic).into()));
    client.ask(12, &MetadataRequest::default().with_topics(Some(vec![topic])))
}

#[test]
fn an_alias_is_a_topic_with_an_id_of_its_own_and_is_not_listed() {
    let (_node, mut client) = filtered();
    let [topic, alias] = [TOPIC, ALIAS].map(|name| metadata(&mut client, name).topics.remove(0));
    assert_eq!((error(alias.error_code), alias.partitions.len()), (ErrorCode::None, 1));
    assert_ne!(alias.topic_id, topic.topic_id);
    let all = client.ask(12, &MetadataRequest::default().with_topics(None));
    let listed = all.topics.iter().filter_map(|topic| topic.name.as_ref());
    assert!(listed.clone().any(|name| name.as_str() == TOPIC));
    assert!(!listed.clone().any(|name| name.contains('@')), "who reads everything reads it once");
}

#[test]
fn what_the_plugin_keeps_is_read_at_its_own_offsets() {
    let (_node, mut client) = filtered();
    let found = batches(&client.read(ALIAS, 0));
    let batch = &found.as_array().unwrap()[0];
    assert_eq!((&batch["Count"], &batch["LastOffsetDelta"]), (&2.into(), &2.into()), "{batch}");
    assert_eq!(batch["CrcMatches"], true);
    let body = batch["Body"].as_str().unwrap();
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(body.contains(&hex(r#"{"value":95}"#)) && !body.contains(&hex(r#"{"value":50}"#)));
    // The topic itself has all of them.
    assert_eq!(batches(&client.read(TOPIC, 0))[0]["Count"], 3);
}

#[test]
fn groups_commit_to_an_alias_and_not_to_the_topic_behind_it() {
    let (_node, mut client) = filtered();
    let group = Committer::outside("readers");
    assert_eq!(client.commit(group, (ALIAS, 0), 3, "through"), ErrorCode::None);
    assert_eq!(client.committed(group, (ALIAS, 0)), Ok((3, "through".to_owned())));
    assert_eq!(client.committed(group, (TOPIC, 0)), Ok((NONE, String::new())));
}

#[test]
fn an_alias_is_not_written_to_and_goes_with_its_plugin() {
    let (node, mut client) = filtered();
    let refused = client.produce(ALIAS, BatchSpec::of(&[("k", "v")], T0).bytes());
    assert_eq!(error(refused.error_code), ErrorCode::InvalidTopicException);
    node.command(&["plugin", "detach", TOPIC, "threshold", "--hook", "read"]);
    let gone = client.fetch(&fetch(ALIAS, 0, 0));
    assert_eq!(error(gone.error_code), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(batches(&client.read(TOPIC, 0))[0]["Count"], 3);
}
