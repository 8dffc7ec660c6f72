//! Real plugins in a chain: what they do to a batch, and what a poison record does to its
//! neighbours.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidegate_plugin::apply::{Applied, Applier, ApplyError, Change, Origin};
use tidegate_plugin::{HostConfig, Instance, Limits, Plugin, PluginHost};
use tidegate_record::{Batch, BatchBuilder, BuildOptions, Compression};
use tidegate_test_guests::{HOSTILE, KEEP, SPREAD};
use tidegate_types::{
    PartitionId, ProducerEpoch, ProducerId, ProducerStamp, Sequence, Timestamp, TopicId, TopicName,
};

/// The time for a batch of a plugin that loops.
const LOOP: Duration = Duration::from_millis(500);

const STAMP: ProducerStamp =
    ProducerStamp { id: ProducerId(9), epoch: ProducerEpoch(0), base_sequence: Sequence(5) };

/// The guests, each compiled once.
fn plugins() -> &'static [(&'static [u8], Arc<Plugin>)] {
    static PLUGINS: OnceLock<Vec<(&[u8], Arc<Plugin>)>> = OnceLock::new();
    PLUGINS.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let host = PluginHost::new(HostConfig::new(dir.path())).unwrap();
        let load = |component| host.load(&host.install(component).unwrap().hash).unwrap();
        [KEEP, SPREAD, HOSTILE].into_iter().map(|component| (component, load(component))).collect()
    })
}

/// Instances of guests, made from pairs of component and mode.
fn instances(steps: &[(&[u8], &str)]) -> Vec<Instance> {
    let instance = |(component, mode): &(&[u8], &str)| {
        let (_, plugin) = plugins().iter().find(|(known, _)| known == component).unwrap();
        // Long enough for a busy machine, where it is not to be waited for.
        let batch_time = if mode.starts_with("loop") { LOOP } else { Duration::from_secs(60) };
        let limits = Limits { batch_time, ..Limits::default() };
        plugin.instantiate(&format!("{mode:?}"), limits).unwrap()
    };
    steps.iter().map(instance).collect()
}

/// A batch in which each word is a record: `key=value`, or a value alone.
fn batch(words: &str) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BuildOptions {
        stamp: Some(STAMP),
        compression: Compression::Lz4,
        ..BuildOptions::default()
    });
    for (word, timestamp) in words.split(' ').zip(0..) {
        let (key, value) = word.split_once('=').map_or((None, word), |(k, v)| (Some(k), v));
        let key = key.map(str::as_bytes);
        builder.push(Timestamp(timestamp), key, Some(value.as_bytes()), []).unwrap();
    }
    builder.build().unwrap()
}

/// As [`batch`] takes them, with each record's offset delta before it.
fn words(bytes: &[u8]) -> String {
    let (batch, _) = Batch::parse(bytes).unwrap();
    let mut scratch = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let records = batch.body(&mut scratch).unwrap().map(|record| {
        let record = record.unwrap();
        let key = record.key.map(|key| text(key) + "=").unwrap_or_default();
        format!("{}:{key}{}", record.offset_delta, record.value.map_or("-".to_owned(), text))
    });
    records.collect::<Vec<_>>().join(" ")
}

fn apply(steps: &[(&[u8], &str)], words: &str) -> Result<Applied, ApplyError> {
    let input = batch(words);
    let topic = TopicName::new("input").unwrap();
    let origin = Origin {
        topic: &topic,
        topic_id: TopicId::random(),
        partition: PartitionId(0),
        partitions: 2,
        purpose: "ingest",
        keep_offsets: false,
        derive: None,
        partitions_of: &|topic| (topic.as_str() == "elsewhere").then_some(1),
    };
    let (batch, _) = Batch::parse(&input).unwrap();
    Applier::new().run(&batch, &mut instances(steps), &origin)
}

fn in_place(applied: &Applied) -> String {
    match &applied.change {
        Change::Unchanged => "unchanged".to_owned(),
        Change::InPlace { batch } | Change::Scattered { in_place: batch, .. } => {
            batch.as_ref().map_or("nothing".to_owned(), |batch| words(batch))
        }
    }
}

#[test]
fn a_filter_leaves_holes_and_changes_nothing_where_it_drops_nothing() {
    let applied = apply(&[(KEEP, "plain")], "a drop1 b drop2").unwrap();
    assert_eq!(in_place(&applied), "0:a 2:b");
    assert_eq!(in_place(&apply(&[(KEEP, "plain")], "a b").unwrap()), "unchanged");
    assert_eq!(
        in_place(&apply(&[(KEEP, "odd")], "a b c d e f g h i j").unwrap()),
        "1:b 3:d 5:f 7:h 9:j"
    );
    assert_eq!(in_place(&apply(&[(KEEP, "none")], "a b").unwrap()), "");
}

#[test]
fn plugins_see_what_those_before_them_left() {
    let steps: [(&[u8], &str); 3] = [(HOSTILE, "upper"), (KEEP, "plain"), (HOSTILE, "keep")];
    let applied = apply(&steps, "a drop b").unwrap();
    assert_eq!(in_place(&applied), "0:A 1:DROP 2:B", "the filter drops lower-case `drop` only");
    let steps: [(&[u8], &str); 2] = [(KEEP, "plain"), (HOSTILE, "upper")];
    assert_eq!(in_place(&apply(&steps, "k=a drop b").unwrap()), "0:k=A 2:B");
}

#[test]
fn a_partitioner_moves_records_and_the_place_of_the_batch_stays() {
    // 'p' is even, 'q' odd; there are two partitions, and this is the first.
    let applied = apply(&[(SPREAD, "")], "p=1 q=2 p=3 q=4").unwrap();
    assert_eq!(in_place(&applied), "0:p=1 2:p=3");
    let Change::Scattered { outputs, .. } = &applied.change else { panic!("nothing moved") };
    assert_eq!(outputs.len(), 1);
    assert_eq!((outputs[0].topic.as_ref(), outputs[0].partition), (None, PartitionId(1)));
    assert_eq!(words(&outputs[0].batch), "0:q=2 1:q=4");
    let stamp = Batch::parse(&outputs[0].batch).unwrap().0.header().stamp().unwrap();
    assert!(stamp.id.is_derived());
    assert_eq!(stamp.base_sequence, STAMP.base_sequence);
}

#[test]
fn records_without_what_a_partitioner_needs_fail_alone() {
    let applied = apply(&[(SPREAD, "")], "p=1 nokey p=3").unwrap();
    assert_eq!(in_place(&applied), "0:p=1 2:p=3");
    assert_eq!(applied.failed.len(), 1);
    assert_eq!(
        (applied.failed[0].record, applied.failed[0].reason.as_str()),
        (1, "there is no key")
    );
}

#[test]
fn a_wrong_partition_fails_its_record_and_no_other() {
    let applied = apply(&[(SPREAD, "")], "p=1 out=2 p=3").unwrap();
    assert_eq!(in_place(&applied), "0:p=1 2:p=3");
    let reason = &applied.failed[0].reason;
    assert!(reason.starts_with("returned a malformed answer: partitions"), "{reason}");
}

#[test]
fn a_poison_record_fails_alone_whatever_it_does() {
    for (mode, reason) in [
        ("panic", "panicked: "),
        ("loop", "took longer than 500ms"),
        ("allocate", "needs "),
        ("error", "could not handle the batch: asked for an error"),
        ("few-tags", "returned a malformed answer"),
        ("stderr", "called wasi:cli/stderr"),
    ] {
        let applied = apply(&[(HOSTILE, &format!("{mode}:value"))], "a b poison c d").unwrap();
        assert_eq!(in_place(&applied), "0:a 1:b 3:c 4:d", "{mode}");
        assert_eq!(applied.failed.len(), 1, "{mode}");
        assert_eq!(applied.failed[0].record, 2, "{mode}");
        assert!(applied.failed[0].reason.starts_with(reason), "{mode}: {:?}", applied.failed);
    }
}

#[test]
fn a_plugin_can_fail_single_records_itself_and_reject_batches() {
    let applied = apply(&[(KEEP, "plain")], "a fail b").unwrap();
    assert_eq!(in_place(&applied), "0:a 2:b");
    assert_eq!(applied.failed[0].reason, "asked to fail");
    let error = apply(&[(HOSTILE, "keep"), (KEEP, "plain")], "a reject b").unwrap_err();
    assert!(
        matches!(&error, ApplyError::Rejected { stage: 1, reason } if reason == "asked to reject"),
        "{error}"
    );
}

#[test]
fn a_transform_splits_and_routes() {
    let applied = apply(&[(HOSTILE, "route")], "a k=b").unwrap();
    assert_eq!(in_place(&applied), "");
    let Change::Scattered { outputs, .. } = &applied.change else { panic!("nothing moved") };
    assert_eq!(outputs[0].topic.as_ref().map(TopicName::as_str), Some("elsewhere"));
    assert_eq!(words(&outputs[0].batch), "0:a 1:k=b");

    let applied = apply(&[(HOSTILE, "split")], "a b").unwrap();
    assert_eq!(in_place(&applied), "");
    let Change::Scattered { outputs, .. } = &applied.change else { panic!("nothing moved") };
    assert_eq!(words(&outputs[0].batch), "0:a 1:a 2:b 3:b");
}
