//! The same load over more and more partitions of one store.
//!
//! Beside it the same bytes into one file, which is what one sync for all would give, and into as
//! many files with a sync of each, which is what nobody should do.

use std::sync::Arc;
use std::time::Instant;

use tidegate_bench_common::table::{Row, Table};
use tidegate_bench_common::{Failure, sample};
use tidegate_types::Flush;

use crate::child::{self, NoSync};
use crate::drive::{Load, Logs, Spread, drive};
use crate::setup::{self, Setup};
use crate::toy::{Sync, Toy};

/// Bytes that the one file is zeroed to.
const ONE: u64 = 128 << 20;

/// Bytes that each of many files is zeroed to.
const EACH: u64 = 64 << 10;

/// Writers; they keep five batches on their way each.
const WRITERS: usize = 16;

/// Measures all.
///
/// # Errors
/// If a side fails.
pub fn measure(table: &mut Table, setup: &Setup) -> Result<(), Failure> {
    let batch = sample::batch(0, 15)?;
    for &partitions in &setup.partitions {
        if !setup.wants(&format!("over {partitions} partitions")) {
            continue;
        }
        let count = partitions as usize;
        let mut load = Load {
            writers: WRITERS,
            in_flight: 5,
            batch: batch.clone(),
            partitions: count,
            spread: Spread::Random,
            time: setup.time,
            bytes: setup.bytes,
        };
        let dir = setup.fresh()?;
        let made = setup::open(&dir.path().join("made"))?;
        let started = Instant::now();
        setup::logs(&made, 0..partitions, setup::config(Flush::Always))?;
        table.add(Row {
            what: format!("{partitions} new logs"),
            unit: "ms",
            baseline: Vec::new(),
            ours: vec![started.elapsed().as_secs_f64() * 1e3],
            budget: "",
            difference: false,
        });
        drop(made);

        let one_dir = tempfile::tempdir_in(dir.path())?;
        let each_dir = tempfile::tempdir_in(dir.path())?;
        let one = Toy::start(one_dir.path(), 1, Sync::Over(ONE))?;
        let each = Toy::start(each_dir.path(), count, Sync::Over(EACH))?;

        // Those that are measured have been there before: made without syncs, closed, opened.
        let root = dir.path().join("store");
        child::make_logs(Arc::new(NoSync), &root, partitions)?;
        let store = setup::open(&root)?;
        let config = setup::config(Flush::Always);
        let logs = Logs { handles: setup::logs(&store, 0..partitions, config)? };

        // One batch into each, so that every file is met for the first time.
        let first = Load {
            spread: Spread::InTurn,
            time: child::LONG,
            bytes: u64::from(partitions) * batch.len() as u64,
            ..load.clone()
        };
        let (bare, cold) = (drive(&each, &first)?, drive(&logs, &first)?);
        table.add(Row {
            what: format!("first batch into each of {partitions}, beside a sync of each"),
            unit: "batches/s",
            baseline: vec![bare.latencies.len() as f64 / bare.took.as_secs_f64()],
            ours: vec![cold.latencies.len() as f64 / cold.took.as_secs_f64()],
            budget: "",
            difference: false,
        });

        load.bytes = setup.bytes;
        let (mut alone, mut naive, mut ours) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..setup.rounds {
            alone.push(drive(&one, &load)?.rate());
            naive.push(drive(&each, &load)?.rate());
            ours.push(drive(&logs, &load)?.rate());
        }
        for (beside, baseline) in [("one file", alone), ("a sync of each", naive)] {
            table.add(Row {
                what: format!("4 KB over {partitions} partitions, beside {beside}"),
                unit: "MB/s",
                baseline,
                ours: ours.clone(),
                budget: "",
                difference: false,
            });
        }
        store.close();
        one.stop()?;
        each.stop()?;
    }
    Ok(())
}
