//! What a durable ack takes for one writer, beside a bare write and sync of the same bytes.

use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::unbounded;
use tidegate_bench_common::Failure;
use tidegate_bench_common::table::{Row, Table};
use tidegate_record::Batch;
use tidegate_types::Flush;

use crate::drive::{Logs, Sink, percentile};
use crate::setup::{self, Setup};
use crate::{ingest, toy};

/// Appends in a row before the other side has its turn: a disk's moods last longer.
const BLOCK: usize = 20;

/// Bytes that the bare file is zeroed to; it is written over again and again.
const ZEROED: u64 = 64 << 20;

/// Measures both.
///
/// # Errors
/// If either side fails.
pub fn measure(table: &mut Table, setup: &Setup) -> Result<(), Failure> {
    for (size, batch) in [("64 KB", ingest::large()?), ("1 KB", ingest::small()?)] {
        let dir = setup.fresh()?;
        let file = toy::zeroed(&dir.path().join("bare"), ZEROED)?;
        file.sync_all()?;
        let store = setup::open(&dir.path().join("store"))?;
        let logs = Logs { handles: setup::logs(&store, 0..1, setup::config(Flush::Always))? };
        let mut at = 0;
        let mut rows = [(500, Vec::new(), Vec::new()), (990, Vec::new(), Vec::new())];
        for _ in 0..setup.rounds {
            let (mut bare, mut acks) = (Vec::new(), Vec::new());
            let started = Instant::now();
            while started.elapsed() < 2 * setup.time {
                for _ in 0..BLOCK {
                    let begun = Instant::now();
                    Batch::parse(&batch)?;
                    file.write_all_at(&batch, at)?;
                    file.sync_data()?;
                    bare.push(begun.elapsed());
                    at = (at + batch.len() as u64) % (ZEROED - batch.len() as u64);
                }
                for _ in 0..BLOCK {
                    acks.push(append(&logs, &batch)?);
                }
            }
            bare.sort_unstable();
            acks.sort_unstable();
            for (per_mille, baseline, ours) in &mut rows {
                baseline.push(percentile(&bare, *per_mille));
                ours.push(percentile(&acks, *per_mille));
            }
        }
        for (per_mille, baseline, ours) in rows {
            let budget = if per_mille == 500 { "<= +150" } else { "" };
            let what = format!("ack of {size}, one writer, {} %", per_mille / 10);
            table.add(Row { what, unit: "us", baseline, ours, budget, difference: true });
        }
        store.close();
    }
    Ok(())
}

/// From handing over to being woken with the ack.
fn append(logs: &Logs, batch: &Bytes) -> Result<Duration, Failure> {
    let (ack, acked) = unbounded();
    let begun = Instant::now();
    Batch::parse(batch)?;
    // Fails only if the other end has gone, and it is below.
    let done = move |result| _ = ack.send(result);
    logs.append(0, batch, Box::new(done));
    acked.recv()??;
    Ok(begun.elapsed())
}
