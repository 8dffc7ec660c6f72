//! Memory of the brokers: when they have just started, and after all loads.

use std::collections::BTreeMap;

use tidegate_bench_common::Failure;

use crate::host;
use crate::results::{Metric, Results};
use crate::sides::Bench;

/// When it is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Before anything was asked of them.
    Idle,
    /// At the end.
    Loaded,
}

/// Measures it once.
///
/// # Errors
/// If a broker is gone.
pub fn measure(results: &mut Results, bench: &Bench, when: When) -> Result<(), Failure> {
    let metric = match when {
        When::Idle => Metric::new(" idle", "MB").with_budgets(&[("kafka", "25 MB")]),
        When::Loaded => Metric::new(" after load", "MB"),
    };
    if !bench.setup.wants(&format!("memory{}", metric.of)) {
        return Ok(());
    }
    let mut values = BTreeMap::new();
    for side in bench.sides().filter(|side| side.setting.is_none()) {
        let broker = bench.broker(side.kind)?;
        values.insert(side.name, vec![host::resident(broker.pid)?]);
    }
    results.add("memory", &metric, values);
    Ok(())
}
