//! Plugins on the way in: what they drop, refuse and fail on, and what producers notice of it.

use std::time::Duration;

use tidegate_client::ConsumedRecord;
use tidegate_types::{Offset, PoisonPolicy};
use tidegate_wire::ErrorCode;

use crate::support::{Attach, Session, TestNode, batch, stamped, text};

fn placed(records: &[ConsumedRecord]) -> Vec<(i64, String)> {
    records.iter().map(|record| (record.offset.0, text(record))).collect()
}

/// A node with topic `t` and the test filter on it.
async fn filtered(policy: PoisonPolicy) -> TestNode {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    node.install("keep", tidegate_test_guests::KEEP).await;
    node.attach(Attach::new("t", "keep", r#""plain""#).policy(policy)).await;
    node
}

fn header(record: &ConsumedRecord, name: &str) -> String {
    let mut found = record.headers.iter().filter(|(n, _)| n == name.as_bytes());
    let (_, value) = found.next().unwrap_or_else(|| panic!("no header {name}: {record:?}"));
    assert_eq!(found.next(), None, "{name} stands there once");
    String::from_utf8(value.as_ref().unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn dropped_records_leave_holes_and_their_producer_goes_on() {
    let mut node = filtered(PoisonPolicy::Skip).await;
    let identity = node.identity().await;
    let mut session = Session::open(&node.client, "t", Some(identity)).await;
    let first = session.put(stamped(&["a", "drop", "b"], identity, 0)).await.unwrap();
    assert_eq!(first.base_offset, Some(Offset(0)));
    let emptied = session.put(stamped(&["drop", "drop"], identity, 3)).await.unwrap();
    assert_eq!(emptied.base_offset, Some(Offset(3)));
    let before = placed(&node.read("t").await);
    assert_eq!(before.len(), 2, "the end is found behind a hole");
    session.put(stamped(&["drop", "c"], identity, 5)).await.unwrap();
    let expected = [(0, "a"), (2, "b"), (6, "c")].map(|(o, v)| (o, v.to_owned()));
    assert_eq!(placed(&node.read("t").await), expected);

    node.restart().await;
    let mut session = Session::open(&node.client, "t", Some(identity)).await;
    for (values, sequence, base) in
        [(&["a", "drop", "b"][..], 0, 0), (&["drop", "drop"], 3, 3), (&["drop", "c"], 5, 5)]
    {
        let again = session.put(stamped(values, identity, sequence)).await.unwrap();
        assert_eq!((again.base_offset, again.duplicate), (Some(Offset(base)), true));
    }
    session.put(stamped(&["d"], identity, 7)).await.unwrap();
    let gap = session.put(stamped(&["e"], identity, 9)).await.unwrap_err();
    assert_eq!(gap.code, ErrorCode::OutOfOrderSequence, "dropping hides no gap");
    assert_eq!(placed(&node.read("t").await)[..3], expected);
    assert_eq!(node.values("t").await, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn batches_without_a_producer_are_repacked_without_holes() {
    let node = filtered(PoisonPolicy::Skip).await;
    let mut session = Session::open(&node.client, "t", None).await;
    session.put(batch(&["drop", "a"])).await.unwrap();
    let emptied = session.put(batch(&["drop", "drop"])).await.unwrap();
    assert_eq!((emptied.base_offset, emptied.duplicate), (None, false));
    session.put(batch(&["drop", "b", "drop", "c"])).await.unwrap();
    let expected = [(0, "a"), (1, "b"), (2, "c")].map(|(o, v)| (o, v.to_owned()));
    assert_eq!(placed(&node.read("t").await), expected);
}

#[tokio::test]
async fn a_rejected_batch_is_refused_whole_and_its_sequence_is_free() {
    let node = filtered(PoisonPolicy::Skip).await;
    let identity = node.identity().await;
    let mut session = Session::open(&node.client, "t", Some(identity)).await;
    let refused = session.put(stamped(&["a", "reject"], identity, 0)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::RejectedByPlugin);
    assert!(!refused.retriable && !refused.written, "{refused:?}");
    assert!(refused.message.contains("keep") && refused.message.contains("asked to reject"));
    assert_eq!(node.read("t").await, []);
    session.put(stamped(&["a"], identity, 0)).await.unwrap();
    assert_eq!(node.values("t").await, ["a"]);
}

#[tokio::test]
async fn halting_refuses_the_batch_until_the_plugin_is_detached() {
    let node = filtered(PoisonPolicy::Halt).await;
    let identity = node.identity().await;
    let mut session = Session::open(&node.client, "t", Some(identity)).await;
    let poisoned = || stamped(&["a", "fail", "drop"], identity, 0);
    for _ in 0..2 {
        let halted = session.put(poisoned()).await.unwrap_err();
        assert_eq!(halted.code, ErrorCode::HaltedByPlugin);
        assert!(!halted.written, "{halted:?}");
        assert!(halted.message.contains("record 1"), "{halted}");
        assert!(halted.message.contains("asked to fail"), "{halted}");
    }
    assert_eq!(node.read("t").await, []);
    node.detach("keep", "t").await;
    session.put(poisoned()).await.unwrap();
    assert_eq!(node.values("t").await, ["a", "fail", "drop"]);
}

#[tokio::test]
async fn a_failed_record_goes_to_the_dead_letter_topic_once_with_what_happened() {
    let node = filtered(PoisonPolicy::DeadLetter).await;
    let hash = node.attachment("keep").await.attachment.hash;
    assert!(node.client.describe_topic("t.dead".parse().unwrap()).await.is_err());
    let identity = node.identity().await;
    let mut session = Session::open(&node.client, "t", Some(identity)).await;
    let poisoned = || stamped(&["a", "fail 1", "drop", "fail 2"], identity, 0);
    session.put(poisoned()).await.unwrap();
    assert!(session.put(poisoned()).await.unwrap().duplicate);
    assert_eq!(placed(&node.read("t").await), [(0, "a".to_owned())]);

    let dead = node.read("t.dead").await;
    assert_eq!(placed(&dead).into_iter().map(|(_, v)| v).collect::<Vec<_>>(), ["fail 1", "fail 2"]);
    for record in &dead {
        assert_eq!(header(record, "tidegate.dead.reason"), "asked to fail");
        assert_eq!(header(record, "tidegate.dead.topic"), "t");
        assert_eq!(header(record, "tidegate.dead.partition"), "0");
        assert_eq!(header(record, "tidegate.dead.plugin"), "keep");
        assert_eq!(header(record, "tidegate.dead.plugin.hash"), hash.to_string());
        assert_eq!(header(record, "tidegate.dead.stage"), "ingest");
    }
    session.put(stamped(&["fail 3"], identity, 4)).await.unwrap();
    assert_eq!(node.values("t.dead").await, ["fail 1", "fail 2", "fail 3"]);
}

#[tokio::test]
async fn where_there_can_be_no_dead_letter_topic_the_batch_is_refused() {
    let node = TestNode::start().await;
    // With `.dead` behind it, one character too long.
    let name = "t".repeat(tidegate_types::limits::MAX_TOPIC_NAME - 4);
    node.create(&name, 1).await;
    node.install("keep", tidegate_test_guests::KEEP).await;
    node.attach(Attach::new(&name, "keep", r#""plain""#).policy(PoisonPolicy::DeadLetter)).await;
    let mut session = Session::open(&node.client, &name, None).await;
    let halted = session.put(batch(&["a", "fail"])).await.unwrap_err();
    assert_eq!(halted.code, ErrorCode::HaltedByPlugin);
    assert!(halted.message.contains("dead-letter topic") && !halted.written, "{halted:?}");
    session.put(batch(&["b"])).await.unwrap();
    assert_eq!(node.values(&name).await, ["b"]);
}

#[tokio::test]
async fn a_record_that_makes_a_plugin_panic_costs_itself_alone() {
    let node = filtered(PoisonPolicy::Skip).await;
    let mut session = Session::open(&node.client, "t", None).await;
    session.put(batch(&["a", "panic", "b"])).await.unwrap();
    session.put(batch(&["c"])).await.unwrap();
    assert_eq!(node.values("t").await, ["a", "b", "c"]);
    let status = node.attachment("keep").await;
    assert!(status.stats.traps > 0);
    assert_eq!(status.stats.failed, 1);
    assert!(status.log.iter().any(|line| line.contains("asked to panic")), "{:?}", status.log);
}

/// What runs that went well teach the node is that the next one takes a moment. It is put off then, and
/// run again where it may take its time.
#[tokio::test]
async fn a_quick_plugin_that_loops_over_one_record_counts_each_batch_once() {
    const QUICK: u64 = 50;
    let node = TestNode::start().await;
    node.create("t", 1).await;
    node.install("hostile", tidegate_test_guests::HOSTILE).await;
    let attach = Attach::new("t", "hostile", r#""loop:value""#).time(Duration::from_millis(200));
    node.attach(attach).await;
    let mut session = Session::open(&node.client, "t", None).await;
    let mut good = Vec::new();
    for number in 0..QUICK {
        let value = format!("good {number}");
        session.put(batch(&[&value])).await.unwrap();
        good.push(value);
    }
    let status = node.attachment("hostile").await;
    assert_eq!((status.stats.batches, status.stats.records), (QUICK, QUICK));
    session.put(batch(&["poison"])).await.unwrap();
    let stats = node.attachment("hostile").await.stats;
    assert_eq!((stats.batches, stats.records), (QUICK + 1, QUICK + 1), "{stats:?}");
    assert_eq!((stats.traps, stats.failed), (1, 1), "{stats:?}");
    session.put(batch(&["good again"])).await.unwrap();
    good.push("good again".to_owned());
    assert_eq!(node.values("t").await, good);
    let stats = node.attachment("hostile").await.stats;
    assert_eq!((stats.batches, stats.traps), (QUICK + 2, 1), "{stats:?}");
}

#[tokio::test]
async fn plugins_run_one_after_the_other_in_the_order_of_their_attachment() {
    let node = TestNode::start().await;
    node.create("ssh", 1).await;
    node.install_stock("parse-log").await;
    node.install_stock("redact").await;
    node.attach(Attach::new("ssh", "parse-log", "")).await;
    node.attach(Attach::new("ssh", "redact", r#"{"kinds": ["ipv4"], "mask": "masked"}"#)).await;
    let line = "<38>Dec 10 06:55:48 LabSZ sshd[24200]: Failed password for root from 10.1.2.3 \
                port 38926 ssh2";
    node.produce("ssh", &[line, "no syslog"]).await;
    let values = node.values("ssh").await;
    assert_eq!(values.len(), 1, "the other line failed in the first plugin");
    let parsed: serde_json::Value = serde_json::from_str(&values[0]).unwrap();
    assert_eq!(parsed["event"], "failed_password");
    assert_eq!(parsed["ip"], "masked");
    assert!(!values[0].contains("10.1.2.3"), "{}", values[0]);
    let (first, second) = (node.attachment("parse-log").await, node.attachment("redact").await);
    assert_eq!((first.stats.records, first.stats.failed), (2, 1));
    assert_eq!((second.stats.records, second.stats.failed), (1, 0));
}

#[tokio::test]
async fn an_attachment_that_cannot_work_is_refused_and_leaves_no_trace() {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    node.install_stock("threshold").await;
    let right = r#"{"field": "value", "low": 1}"#;
    let other = tidegate_types::PluginHash([7; 32]);
    for (attach, code, told) in [
        (
            Attach::new("t", "threshold", r#"{"feild": "value", "low": 1}"#),
            ErrorCode::InvalidPluginConfig,
            "feild",
        ),
        (
            Attach::new("t", "threshold", r#"{"field": "value"}"#),
            ErrorCode::InvalidPluginConfig,
            "low",
        ),
        (Attach::new("t", "threshold", "{"), ErrorCode::InvalidPluginConfig, "threshold"),
        (Attach::new("t", "none", right), ErrorCode::UnknownPlugin, "none"),
        (Attach::new("none", "threshold", right), ErrorCode::UnknownTopic, "none"),
        (
            Attach { hash: Some(other), ..Attach::new("t", "threshold", right) },
            ErrorCode::UnknownPlugin,
            "070707070707",
        ),
    ] {
        let refused = node.try_attach(attach).await.unwrap_err();
        let refused = refused.refusal().unwrap();
        assert_eq!(refused.code, code, "{refused:?}");
        assert!(refused.message.contains(told), "{refused} does not name {told}");
    }
    assert_eq!(node.describe("t").await.attachments, []);
    node.produce("t", &["anything"]).await;
    assert_eq!(node.values("t").await, ["anything"]);
}

#[tokio::test]
async fn a_plugin_that_is_gone_from_the_disk_halts_its_topic_and_no_other() {
    let mut node = filtered(PoisonPolicy::Skip).await;
    node.create("other", 1).await;
    let hash = node.attachment("keep").await.attachment.hash;
    node.produce("t", &["a", "drop"]).await;
    node.stop().await;
    let plugins = node.data().join("plugins");
    for file in std::fs::read_dir(&plugins).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    node.start_again().await;

    let identity = node.identity().await;
    let mut session = Session::open(&node.client, "t", Some(identity)).await;
    let passing = || stamped(&["b", "drop"], identity, 0);
    let halted = session.put(passing()).await.unwrap_err();
    assert_eq!(halted.code, ErrorCode::HaltedByPlugin);
    assert!(halted.retriable && !halted.written, "{halted:?}");
    assert!(halted.message.contains("keep"), "{halted}");
    assert!(node.attachment("keep").await.last_error.is_some());
    assert_eq!(node.values("t").await, ["a"], "what is there can be read");
    node.produce("other", &["x"]).await;
    assert_eq!(node.values("other").await, ["x"]);

    // Installed again, the same batch passes.
    assert_eq!(node.install("keep", tidegate_test_guests::KEEP).await, hash);
    session.put(passing()).await.unwrap();
    assert_eq!(node.values("t").await, ["a", "b"]);
    assert_eq!(node.attachment("keep").await.last_error, None);
}
