//! How long an ack takes at a fixed rate far below what any broker can do.

use tidegate_bench::{End, Latency, Load, Rate};
use tidegate_bench_common::Failure;

use crate::results::{Metric, Results};
use crate::sides::Bench;

const METRICS: [Metric; 4] = [
    Metric::new(": p50", "us"),
    Metric::new(": p99", "us").with_budgets(&[("kafka", "<= 0.25")]),
    Metric::new(": p99.9", "us"),
    // What of it is the generator's own.
    Metric::new(": sent late by, p99", "us").alone(),
];

/// Measures percentiles of the time from when a request was due to its ack.
///
/// # Errors
/// If a load fails.
pub fn measure(results: &mut Results, bench: &Bench) -> Result<(), Failure> {
    let sides: Vec<_> = bench.sides().collect();
    let setup = &bench.setup;
    let what = format!("ack, {} requests of 10 records a second", setup.rate);
    results.take_turns(bench, &what, METRICS, &sides, |side, broker| {
        let mut latency = Latency::new(broker.load().target);
        latency.rate = Rate::Requests(setup.rate);
        latency.load = Load {
            in_flight: latency.load.in_flight,
            end: End::Time(setup.watch),
            warmup: setup.watch / 10,
            ..side.load(broker)
        };
        let report = bench.runtime.block_on(latency.run(&bench.stop))?;
        let (Some(times), Some(late)) = (report.latency, report.late) else {
            // It stood still for all that time, which is a figure too.
            eprintln!("{}: none of {} requests that were due was sent", side.name, report.unsent);
            return Ok([f64::INFINITY; 4]);
        };
        Ok([times.p50, times.p99, times.p999, late.p99])
    })
}
