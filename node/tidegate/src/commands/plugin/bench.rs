//! `plugin bench`: what a plugin costs a record.

use serde_json::json;
use tidegate_author::{Measured, Plan, measure};

use super::runs::{self, Subject};
use crate::cli::PluginBench;
use crate::exit::{Exit, Failure};
use crate::output::{Output, grouped, table};

pub fn run(output: Output, args: &PluginBench) -> Result<(), Failure> {
    let mut subject = Subject::open(&args.run)?;
    let test = subject.plan();
    let own = if test.bench.is_empty() { &test.input } else { &test.bench };
    let records = subject.records(&args.run, own)?;
    let plan = Plan {
        records: args.records as usize,
        batch: args.run.batch,
        partitions: args.run.partitions.or(test.partitions).unwrap_or(1),
        state: subject.has_state(&args.run),
        table: runs::table(&args.run)?,
    };
    let measured = measure(&subject.bench, &mut subject.instance, &records, &plan)
        .map_err(|error| Failure::of(Exit::Failed, &error))?;
    report(output, &measured)
}

fn report(output: Output, measured: &Measured) -> Result<(), Failure> {
    let view = json!({
        "records": measured.records,
        "batch": measured.batch,
        "bytes_per_record": measured.bytes_per_record,
        "plugin_ns_per_record": measured.plugin_ns,
        "identity_ns_per_record": measured.identity_ns,
        "failed": measured.failed,
        "memory_bytes": measured.memory,
    });
    output.print(&view, || {
        let row = |what: &str, ns: f64| {
            let rate = if ns > 0.0 { (1e9 / ns) as u64 } else { 0 };
            [what.to_owned(), format!("{ns:.0}"), grouped(rate)]
        };
        let rows = [
            row("the plugin", measured.plugin_ns),
            row("one that keeps everything", measured.identity_ns),
        ];
        format!(
            "{}{} records of {:.0} bytes in batches of {}, gathered as the node does; {} failed; \
             memory {} KiB\n",
            table(["", "ns a record", "records/s"], &[1, 2], rows) + "\n",
            grouped(measured.records as u64),
            measured.bytes_per_record,
            measured.batch,
            grouped(measured.failed as u64),
            grouped(measured.memory / 1024),
        )
    })
}
