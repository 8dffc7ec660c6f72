//! What a version of a plugin would do.

use serde::Serialize;
use serde_json::Value;
use tidegate_wire::{DryRunReport, DryRunSample, DryRunSide, FateCounts};

use crate::output::{grouped, table};

/// What a dry run came to.
#[derive(Serialize, Debug)]
pub struct DryRunView {
    records: u64,
    different: u64,
    cut_short: bool,
    before: Option<SideView>,
    after: SideView,
    ranges: Vec<RangeView>,
    samples: Vec<SampleView>,
}

#[derive(Serialize, Debug)]
struct SideView {
    hash: String,
    kept: u64,
    dropped: u64,
    replaced: u64,
    emitted: u64,
    failed: u64,
    rejected: u64,
    busy_ns: u64,
}

impl From<&DryRunSide> for SideView {
    fn from(side: &DryRunSide) -> SideView {
        let FateCounts { kept, dropped, replaced, emitted, failed, rejected } = side.fates;
        let (hash, busy_ns) = (side.hash.to_string(), side.busy_ns);
        SideView { hash, kept, dropped, replaced, emitted, failed, rejected, busy_ns }
    }
}

#[derive(Serialize, Debug)]
struct RangeView {
    partition: u32,
    start: i64,
    end: i64,
}

#[derive(Serialize, Debug)]
struct SampleView {
    partition: u32,
    offset: i64,
    record: Value,
    before: Option<Value>,
    after: Value,
}

impl From<&DryRunSample> for SampleView {
    fn from(sample: &DryRunSample) -> SampleView {
        // A text that was cut is no JSON any more.
        let value =
            |text: &String| serde_json::from_str(text).unwrap_or_else(|_| text.clone().into());
        SampleView {
            partition: sample.partition.get(),
            offset: sample.offset.get(),
            record: value(&sample.record),
            before: sample.before.as_ref().map(value),
            after: value(&sample.after),
        }
    }
}

impl From<&DryRunReport> for DryRunView {
    fn from(report: &DryRunReport) -> DryRunView {
        let range = |(partition, start, end): &(tidegate_types::PartitionId, _, _)| {
            let offset = |offset: &tidegate_types::Offset| offset.get();
            RangeView { partition: partition.get(), start: offset(start), end: offset(end) }
        };
        DryRunView {
            records: report.records,
            different: report.different,
            cut_short: report.cut_short,
            before: report.before.as_ref().map(SideView::from),
            after: SideView::from(&report.after),
            ranges: report.ranges.iter().map(range).collect(),
            samples: report.samples.iter().map(SampleView::from).collect(),
        }
    }
}

/// The same for people: how many records meet which fate, and the first of those that differ.
#[must_use]
pub fn dry_run_text(report: &DryRunReport) -> String {
    let before = report.before.as_ref();
    let was = before.map_or_else(|| "none".to_owned(), |side| side.hash.short());
    let now = report.after.hash.short();
    let none = FateCounts { kept: report.records, ..FateCounts::default() };
    let (b, a) = (before.map_or(none, |side| side.fates), report.after.fates);
    let row = |name: &str, b: u64, a: u64| [name.to_owned(), grouped(b), grouped(a)];
    let per_record = |busy_ns: u64| grouped(busy_ns / report.records.max(1));
    let rows = [
        ["version".to_owned(), was, now],
        row("kept", b.kept, a.kept),
        row("dropped", b.dropped, a.dropped),
        row("replaced", b.replaced, a.replaced),
        row("emitted", b.emitted, a.emitted),
        row("failed", b.failed, a.failed),
        row("rejected", b.rejected, a.rejected),
        [
            "ns a record".to_owned(),
            before.map_or_else(String::new, |side| per_record(side.busy_ns)),
            per_record(report.after.busy_ns),
        ],
    ];
    let mut text = table(["records", "attached", "tried"], &[1, 2], rows) + "\n";
    for sample in &report.samples {
        let DryRunSample { partition, offset, record, .. } = sample;
        let before = sample.before.as_deref().unwrap_or(r#"{"fate":"kept"}"#);
        text += &format!(
            "\npartition {partition}, offset {offset}: {record}\n  attached  {before}\n  \
             tried     {}\n",
            sample.after
        );
    }
    let (different, records) = (grouped(report.different), grouped(report.records));
    text += &format!("\n{different} of {records} records meet another fate");
    if report.cut_short {
        text += "; a minute was not enough for more";
    }
    text + "; nothing was written\n"
}
