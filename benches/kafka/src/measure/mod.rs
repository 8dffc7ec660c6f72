//! What is measured.

pub mod fetch;
pub mod ingest;
pub mod latency;
pub mod librdkafka;
pub mod memory;
pub mod start;

use tidegate_bench::{End, Produce};
use tidegate_bench_common::Failure;

use crate::sides::{Bench, Side};

/// Drives all sides for a while, uncounted.
///
/// # Errors
/// If a load fails.
pub fn warm(bench: &Bench) -> Result<(), Failure> {
    for side in bench.sides() {
        bench.go_on()?;
        let mut produce = produce(bench, side)?;
        produce.load.end = End::Time(bench.setup.warm);
        bench.runtime.block_on(produce.run(&bench.stop))?;
    }
    Ok(())
}

/// A load that writes to a fresh topic of a side's, for one turn.
///
/// # Errors
/// If its broker is not there.
pub fn produce(bench: &Bench, side: &Side) -> Result<Produce, Failure> {
    let load = side.load(bench.broker(side.kind)?);
    let mut produce = Produce::new(load.target.clone());
    produce.load = load;
    produce.load.end = End::Time(bench.setup.time);
    // The first files are made and the first buffers grown.
    produce.load.warmup = bench.setup.time / 8;
    Ok(produce)
}
