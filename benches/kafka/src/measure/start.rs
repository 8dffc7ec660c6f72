//! How long a broker that was killed takes until it answers again.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_bench::{ByteSize, End, TopicName, admin};
use tidegate_bench_common::Failure;

use super::produce;
use crate::broker::Kind;
use crate::results::{Metric, Results};
use crate::sides::Bench;

/// Over so many partitions lies what was stored.
const PARTITIONS: u32 = 16;

/// Each round an eighth more is stored, so that there is something to recover.
const MORE: u64 = 8;

/// Measures the time from the start of the process to its first answers about versions and topics.
/// The toy forgets everything, and is left out.
///
/// # Errors
/// If a broker does not come back.
pub fn measure(results: &mut Results, bench: &mut Bench) -> Result<(), Failure> {
    let size = bench.setup.killed_with;
    let what = format!("start after kill -9 with {size}");
    if !bench.setup.wants(&what) {
        return Ok(());
    }
    let topic = TopicName::new("start")?;
    let durable = bench.sides().filter(|side| side.setting.is_none() && side.kind != Kind::Toy);
    let sides: Vec<_> = durable.collect();
    let mut values = BTreeMap::<_, Vec<f64>>::new();
    for round in 0..bench.setup.rounds {
        for side in &sides {
            bench.go_on()?;
            let mut fill = produce(bench, side)?;
            fill.load.topic = Some(topic.clone());
            fill.load.partitions = PARTITIONS;
            fill.load.warmup = Duration::ZERO;
            let bytes = if round == 0 { size.get() } else { size.get() / MORE };
            fill.load.end = End::Bytes(ByteSize::bytes(bytes.max(1)));
            bench.runtime.block_on(fill.run(&bench.stop))?;
            let brokers = bench.brokers.iter_mut();
            for broker in brokers.filter(|broker| broker.kind == side.kind) {
                let took = broker.kill_and_start()?;
                values.entry(side.name).or_default().push(took.as_secs_f64() * 1e3);
            }
        }
    }
    for side in &sides {
        let load = bench.broker(side.kind)?.load();
        bench.runtime.block_on(admin::delete_topic(&load, &topic))?;
    }
    let metric = Metric::new("", "ms").with_budgets(&[("kafka", "1000 ms with 10 GB")]);
    if !values.is_empty() {
        results.add(&what, &metric, values);
    }
    Ok(())
}
