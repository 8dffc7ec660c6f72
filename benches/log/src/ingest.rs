//! Ingest into one log, durable and into the page cache, beside the toy.

use bytes::Bytes;
use tidegate_bench_common::table::{Row, Table};
use tidegate_bench_common::{Failure, sample};
use tidegate_types::Flush;

use crate::drive::{Load, Logs, Run, Spread, drive};
use crate::setup::{self, Setup};
use crate::toy::{Sync, Toy};

/// Bytes that the toy's file is zeroed to; it is written over again and again.
const ZEROED: u64 = 128 << 20;

/// A batch of 64 KB, as a busy producer sends it.
///
/// # Errors
/// If it is too large.
pub fn large() -> Result<Bytes, Failure> {
    sample::batch(0, 230)
}

/// A batch of 1 KB, as a slow one does.
///
/// # Errors
/// If it is too large.
pub fn small() -> Result<Bytes, Failure> {
    sample::batch(0, 4)
}

/// Measures both.
///
/// # Errors
/// If either side refuses the load.
pub fn measure(table: &mut Table, setup: &Setup) -> Result<(), Failure> {
    for (size, batch) in [("64 KB", large()?), ("1 KB", small()?)] {
        for writers in [1, 16, 256] {
            for in_flight in [1, 5] {
                let load = load(setup, writers, in_flight, &batch);
                let what = format!("durable, {writers} writers x {in_flight} of {size}");
                let budget = if writers == 256 && in_flight == 5 { ">= 0.85" } else { "" };
                compare(table, setup, what, &load, Flush::Always, budget)?;
            }
        }
    }
    for (size, batch) in [("64 KB", large()?), ("1 KB", small()?)] {
        for writers in [1, 16] {
            let load = load(setup, writers, 5, &batch);
            let what = format!("page cache, {writers} writers x 5 of {size}");
            compare(table, setup, what, &load, Flush::Os, "")?;
        }
    }
    Ok(())
}

fn load(setup: &Setup, writers: usize, in_flight: usize, batch: &Bytes) -> Load {
    Load {
        writers,
        in_flight,
        batch: batch.clone(),
        partitions: 1,
        spread: Spread::InTurn,
        time: setup.time,
        bytes: setup.bytes,
    }
}

fn compare(
    table: &mut Table,
    setup: &Setup,
    what: String,
    load: &Load,
    flush: Flush,
    budget: &'static str,
) -> Result<(), Failure> {
    if !setup.wants(&what) {
        return Ok(());
    }
    let dir = setup.fresh()?;
    let store = setup::open(&dir.path().join("store"))?;
    let sync = if flush == Flush::Os { Sync::Os } else { Sync::Grow };
    let (mut baseline, mut over, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    let toy = |sync| -> Result<Run, Failure> {
        let files = tempfile::tempdir_in(dir.path())?;
        let toy = Toy::start(files.path(), 1, sync)?;
        let run = drive(&toy, load)?;
        toy.stop()?;
        Ok(run)
    };
    for _ in 0..setup.rounds {
        baseline.push(toy(sync)?);
        if flush == Flush::Always {
            over.push(toy(Sync::Over(ZEROED))?);
        }
        let logs = Logs { handles: setup::logs(&store, 0..1, setup::config(flush))? };
        ours.push(drive(&logs, load)?);
        store.delete_log(setup::id(0))?;
    }
    let rates = |runs: &[Run]| -> Vec<f64> { runs.iter().map(Run::rate).collect() };
    let late = |runs: &[Run]| -> Vec<f64> { runs.iter().map(|run| run.latency(990)).collect() };
    let mut add = |of: &str, unit, baseline, ours, budget| {
        let what = format!("{what}{of}");
        table.add(Row { what, unit, baseline, ours, budget, difference: false });
    };
    add("", "MB/s", rates(&baseline), rates(&ours), budget);
    if !over.is_empty() {
        add(": toy over zeros", "MB/s", rates(&over), rates(&ours), "");
    }
    add(": ack, 99 %", "us", late(&baseline), late(&ours), "");
    store.close();
    Ok(())
}
