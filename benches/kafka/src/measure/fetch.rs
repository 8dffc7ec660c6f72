//! Reading what the page cache holds, by fetches of 1 MB, one on its way at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_bench::{ByteSize, End, Fetch, Load, TopicName, admin};
use tidegate_bench_common::Failure;

use super::ingest::per_record;
use super::produce;
use crate::host;
use crate::results::{Metric, Results};
use crate::sides::Bench;

const RATE: Metric = Metric::new("", "MB/s").with_budgets(&[("toy", ">= 0.50")]);

/// Measures megabytes a second. The toy's fetch is a bare `sendfile`.
///
/// # Errors
/// If a load fails.
pub fn measure(results: &mut Results, bench: &Bench) -> Result<(), Failure> {
    // How it was written makes no difference once it is in the page cache.
    let sides: Vec<_> = bench.sides().filter(|side| side.setting.is_none()).collect();
    let setup = &bench.setup;
    for connections in &setup.connections {
        let what = format!("fetch from cache, {connections} connections");
        if !setup.wants(&what) {
            continue;
        }
        let mut topics = BTreeMap::new();
        for side in &sides {
            let topic = TopicName::new(format!("fetch-{connections}"))?;
            let mut fill = produce(bench, side)?;
            fill.load.topic = Some(topic.clone());
            fill.load.partitions = *connections;
            fill.load.end = End::Bytes(setup.stored);
            fill.load.warmup = Duration::ZERO;
            bench.runtime.block_on(fill.run(&bench.stop))?;
            topics.insert(side.name, topic);
        }
        let metrics = [RATE, Metric::new(": broker CPU", "us/record")];
        results.take_turns(bench, &what, metrics, &sides, |side, broker| {
            let mut fetch = Fetch::new(broker.load().target);
            fetch.max_bytes = ByteSize::bytes(1_000_000);
            fetch.load = Load {
                topic: topics.get(side.name).cloned(),
                connections: *connections,
                in_flight: 1,
                end: End::Time(setup.time),
                ..fetch.load
            };
            let before = host::cpu(broker.pid)?;
            let report = bench.runtime.block_on(fetch.run(&bench.stop))?;
            let cpu = host::cpu(broker.pid)?.saturating_sub(before);
            Ok([report.megabytes_per_second, per_record(cpu, report.records)])
        })?;
        for side in &sides {
            let load = bench.broker(side.kind)?.load();
            bench.runtime.block_on(admin::delete_topic(&load, &topics[side.name]))?;
        }
    }
    Ok(())
}
