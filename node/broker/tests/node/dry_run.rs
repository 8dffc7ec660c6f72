//! What another version would make of records that are there.

use tidegate_test_guests::{HOSTILE, TALLY};
use tidegate_types::{Hook, Offset, PartitionId, PluginHash, StartPosition};
use tidegate_wire::{DryRunReport, DryRunRequest, ErrorCode, FateCounts};

use crate::support::{Attach, TestNode, topic, variant};

fn request(name: &str, plugin: &str, config: &str) -> DryRunRequest {
    DryRunRequest {
        topic: topic(name),
        hook: Hook::Ingest,
        plugin: plugin.parse().unwrap(),
        hash: None,
        config: Some(config.to_owned()),
        partition: None,
        from: StartPosition::Start,
        records: 1_000,
        samples: 10,
    }
}

async fn tried(node: &TestNode, request: DryRunRequest) -> DryRunReport {
    node.client.dry_run(request).await.unwrap()
}

#[tokio::test]
async fn another_configuration_is_tried_beside_the_attached_one_and_nothing_is_written() {
    let node = TestNode::start().await;
    node.create("t", 2).await;
    let old = node.install("shape", HOSTILE).await;
    node.attach(Attach::new("t", "shape", r#""keep""#)).await;
    node.produce_to("t", 0, &["a", "B"]).await;
    node.produce_to("t", 1, &["c"]).await;
    let new = node.install("shape", variant(HOSTILE)).await;
    let before = node.read("t").await;

    let report = tried(&node, request("t", "shape", r#""upper""#)).await;
    let attached = report.before.clone().unwrap();
    assert_eq!((attached.hash, report.after.hash), (old, new));
    assert_eq!((report.records, report.different, report.cut_short), (3, 3, false));
    assert_eq!(attached.fates, FateCounts { kept: 3, ..FateCounts::default() });
    assert_eq!(report.after.fates, FateCounts { replaced: 3, ..FateCounts::default() });
    let range = |partition, end| (PartitionId(partition), Offset(0), Offset(end));
    assert_eq!(report.ranges, [range(0, 2), range(1, 1)]);
    let sample = &report.samples[0];
    assert_eq!((sample.partition, sample.offset), (PartitionId(0), Offset(0)));
    assert!(sample.record.contains(r#""value":"a""#), "{sample:?}");
    assert_eq!(sample.before.as_deref(), Some(r#"{"fate":"kept"}"#));
    assert_eq!(sample.after, r#"{"fate":"replaced","value":"A"}"#);

    // The same version with the same configuration changes nothing.
    let same = DryRunRequest { hash: Some(old), config: None, ..request("t", "shape", "") };
    let report = tried(&node, same).await;
    assert_eq!((report.records, report.different, report.samples.len()), (3, 0, 0));

    assert_eq!(node.read("t").await, before);
    let stats = node.attachment("shape").await.stats;
    assert_eq!(stats.records, 3, "what is tried is not counted");
}

#[tokio::test]
async fn a_range_is_run_and_no_more_and_a_poison_record_fails_alone() {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    node.install("shape", HOSTILE).await;
    node.produce("t", &["a", "poison", "b", "c", "d"]).await;
    let poisoned = DryRunRequest {
        from: StartPosition::Offset(Offset(1)),
        records: 3,
        samples: 1,
        ..request("t", "shape", r#""panic:value""#)
    };
    let report = tried(&node, poisoned).await;
    assert_eq!(report.before, None);
    assert_eq!(report.ranges, [(PartitionId(0), Offset(1), Offset(4))]);
    let fates = FateCounts { kept: 2, failed: 1, ..FateCounts::default() };
    assert_eq!((report.after.fates, report.different), (fates, 1));
    assert_eq!(report.samples[0].offset, Offset(1));
    assert!(report.samples[0].after.contains("asked to panic"), "{report:?}");
}

#[tokio::test]
async fn a_derivation_is_tried_with_a_state_of_its_own() {
    let node = TestNode::start().await;
    node.create("in", 1).await;
    node.create("out", 1).await;
    node.install("tally", TALLY).await;
    node.attach(Attach::new("in", "tally", r#""a""#).derive_to("out")).await;
    node.produce("in", &["x 1", "x 2", "x 3"]).await;
    node.wait_for("out", 3).await;
    let derive = |config| DryRunRequest { hook: Hook::Derive, ..request("in", "tally", config) };
    assert_eq!(tried(&node, derive(r#""a""#)).await.different, 0);
    let report = tried(&node, derive(r#""b""#)).await;
    assert_eq!(report.different, 3);
    // Each version counts from nothing, whatever the attached one has counted so far.
    let sample = report.samples.last().unwrap();
    assert!(sample.before.as_ref().unwrap().contains("x 3 2a"), "{sample:?}");
    assert!(sample.after.contains("x 3 2b"), "{sample:?}");
    node.produce("in", &["x 4"]).await;
    let derived = node.wait_for("out", 4).await;
    assert_eq!(crate::support::texts(&derived)[3], "x 4 3a");
}

#[tokio::test]
async fn what_cannot_be_tried_is_refused_with_the_reason() {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    node.install("shape", HOSTILE).await;
    let code = async |request: DryRunRequest| {
        node.client.dry_run(request).await.unwrap_err().refusal().unwrap().code
    };
    let fine = || request("t", "shape", r#""keep""#);
    assert_eq!(code(request("no", "shape", "")).await, ErrorCode::UnknownTopic);
    assert_eq!(code(request("t", "no", "")).await, ErrorCode::UnknownPlugin);
    assert_eq!(code(request("t", "shape", r#""""#)).await, ErrorCode::InvalidPluginConfig);
    let other = DryRunRequest { hash: Some(PluginHash([7; 32])), ..fine() };
    assert_eq!(code(other).await, ErrorCode::UnknownPlugin);
    let other = DryRunRequest { partition: Some(PartitionId(1)), ..fine() };
    assert_eq!(code(other).await, ErrorCode::UnknownPartition);
    let many = DryRunRequest { records: u64::MAX, ..fine() };
    assert_eq!(code(many).await, ErrorCode::InvalidRequest);
}
