//! Settings that change while a topic is at work, trims, and what compacted topics ask for.

use tidegate_types::{Offset, PartitionId, StartPosition, TopicConfig};
use tidegate_wire::ErrorCode;

use crate::support::{Session, TestNode, keyed, stamped, topic};

fn setting(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

#[tokio::test]
async fn settings_change_at_work_and_survive_a_restart() {
    let mut node = TestNode::start().await;
    node.create("t", 2).await;
    node.produce("t", &["a"]).await;
    let settings = [setting("retention.ms", "1h"), setting("segment.bytes", "128 KiB")].concat();
    let changed = node.client.configure_topic(topic("t"), settings).await.unwrap();
    let mut expected = TopicConfig { partitions: 2, ..TopicConfig::default() };
    expected.set("retention.ms", "3600000").unwrap();
    expected.set("segment.bytes", "131072").unwrap();
    assert_eq!(changed.config, expected);
    node.produce("t", &["b"]).await;
    node.restart().await;
    assert_eq!(node.describe("t").await.config, expected);
    assert_eq!(node.values("t").await, ["a", "b"]);
}

#[tokio::test]
async fn of_several_settings_all_are_made_or_none() {
    let node = TestNode::start().await;
    let before = node.create("t", 1).await.config;
    for (name, value, code, told) in [
        ("retention.ms", "soon", ErrorCode::InvalidSetting, "retention.ms cannot be \"soon\""),
        ("retention", "1h", ErrorCode::InvalidSetting, "no topic setting \"retention\""),
        ("segment.bytes", "1", ErrorCode::InvalidRequest, "segments of 1 B"),
        ("partitions", "0", ErrorCode::InvalidRequest, "can only have more"),
    ] {
        let settings = [setting("flush", "os"), setting(name, value)].concat();
        let refused = node.client.configure_topic(topic("t"), settings).await.unwrap_err();
        let refused = refused.refusal().unwrap();
        assert_eq!(refused.code, code, "{refused:?}");
        assert!(refused.message.contains(told), "{refused}");
    }
    assert_eq!(node.describe("t").await.config, before);
    let refused = node.client.configure_topic(topic("u"), setting("flush", "os")).await;
    assert_eq!(refused.unwrap_err().refusal().unwrap().code, ErrorCode::UnknownTopic);
}

#[tokio::test]
async fn a_trimmed_topic_begins_later_and_stays_so() {
    let mut node = TestNode::start().await;
    node.create("t", 2).await;
    for value in ["a", "b", "c", "d"] {
        node.produce("t", &[value]).await;
    }
    let trim = |partition, to| node.client.trim_topic(topic("t"), partition, to);
    let first = Some(PartitionId(0));
    let trimmed = trim(first, StartPosition::Offset(Offset(2))).await.unwrap();
    assert_eq!(trimmed.partitions[0].log_start, Offset(2));
    assert_eq!(trimmed.partitions[1].log_start, Offset(0));
    assert_eq!(node.values("t").await, ["c", "d"]);
    // What is gone already is no error; what is not there yet is.
    trim(first, StartPosition::Offset(Offset(1))).await.unwrap();
    for (partition, to, code) in [
        (Some(PartitionId(0)), StartPosition::Offset(Offset(5)), ErrorCode::OffsetOutOfRange),
        (Some(PartitionId(2)), StartPosition::End, ErrorCode::UnknownPartition),
    ] {
        let refused = trim(partition, to).await.unwrap_err();
        assert_eq!(refused.refusal().unwrap().code, code);
    }
    node.restart().await;
    assert_eq!(node.values("t").await, ["c", "d"]);

    node.client.trim_topic(topic("t"), None, StartPosition::End).await.unwrap();
    assert_eq!(node.values("t").await, Vec::<String>::new());
    node.produce("t", &["e"]).await;
    assert_eq!(node.read("t").await[0].offset, Offset(4), "no offset is given twice");
}

#[tokio::test]
async fn a_compacted_topic_takes_no_record_without_a_key() {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    node.produce("t", &["before"]).await;
    node.client.configure_topic(topic("t"), setting("cleanup.policy", "compact")).await.unwrap();
    let identity = node.identity().await;
    let mut session = Session::open(&node.client, "t", Some(identity)).await;
    let refused = session.put(stamped(&["x"], identity, 0)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidRecord);
    assert!(refused.message.contains("record 0 of the batch has no key"), "{refused}");
    session.put(keyed(&[("k", "y")], identity, 0)).await.unwrap();
    assert_eq!(node.values("t").await, ["before", "y"]);
}
