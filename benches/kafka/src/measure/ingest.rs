//! Writing as fast as it is taken, in batches that were built before.

use std::time::Duration;

use tidegate_bench::BatchSize;
use tidegate_bench_common::Failure;

use super::produce;
use crate::host;
use crate::results::{Metric, Results};
use crate::sides::Bench;

const RATE: Metric =
    Metric::new("", "records/s").with_budgets(&[("toy", ">= 0.60"), ("kafka", ">= 3.00")]);

/// Measures records a second, and what of the processor each costs the broker.
///
/// # Errors
/// If a load fails.
pub fn measure(results: &mut Results, bench: &Bench) -> Result<(), Failure> {
    let sides: Vec<_> = bench.sides().collect();
    let setup = &bench.setup;
    for (size, batch) in &setup.batches {
        for connections in &setup.connections {
            for partitions in &setup.partitions {
                let what = format!(
                    "ingest, {size} batches, {connections} connections, {partitions} partitions"
                );
                let metrics = [RATE, Metric::new(": broker CPU", "us/record")];
                results.take_turns(bench, &what, metrics, &sides, |side, broker| {
                    let mut produce = produce(bench, side)?;
                    produce.records.batch_size = BatchSize::Bytes(*batch);
                    produce.load.connections = *connections;
                    produce.load.partitions = *partitions;
                    // What the warm-up costs would count, and what it moves would not.
                    produce.load.warmup = Duration::ZERO;
                    let before = host::cpu(broker.pid)?;
                    let report = bench.runtime.block_on(produce.run(&bench.stop))?;
                    let cpu = host::cpu(broker.pid)?.saturating_sub(before);
                    Ok([report.records_per_second, per_record(cpu, report.records)])
                })?;
            }
        }
    }
    Ok(())
}

/// Microseconds a record.
#[must_use]
pub fn per_record(cpu: Duration, records: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / records.max(1) as f64
}
