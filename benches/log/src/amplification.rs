//! Bytes handed to the disk for each byte accepted, when every batch is synced by itself.
//!
//! Beside it the same batches by a bare write and sync into a file of zeros. Counted are the bytes
//! that were handed to the system, and those that the disk was sent: whole blocks, the journal, and
//! whatever other processes wrote meanwhile.

use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use tidegate_bench_common::table::{Row, Table};
use tidegate_bench_common::{Failure, sample};
use tidegate_types::Flush;

use crate::child;
use crate::drive::{Load, Logs, Spread, drive};
use crate::setup::{self, Setup};
use crate::{host, ingest, toy};

/// Measures small, medium and large batches.
///
/// # Errors
/// If either side fails.
pub fn measure(table: &mut Table, setup: &Setup) -> Result<(), Failure> {
    for (size, batch) in
        [("1 KB", ingest::small()?), ("16 KB", sample::batch(0, 58)?), ("64 KB", ingest::large()?)]
    {
        let dir = setup.fresh()?;
        let accepted = u64::from(setup.appends) * batch.len() as u64;
        let file = toy::zeroed(&dir.path().join("bare"), accepted)?;
        file.sync_all()?;
        let (mut handed, mut sent) = <(Sides, Sides)>::default();
        for round in 0..setup.rounds {
            let store = dir.path().join(format!("store-{round}"));
            let bare = counted(&setup.dir, || {
                for n in 0..u64::from(setup.appends) {
                    file.write_all_at(&batch, n * batch.len() as u64)?;
                    file.sync_data()?;
                }
                Ok(())
            })?;
            let log = counted(&setup.dir, || append(&store, &batch, accepted))?;
            let by_byte = |bytes: u64| bytes as f64 / accepted as f64;
            handed.0.push(by_byte(bare.0));
            handed.1.push(by_byte(log.0));
            if let (Some(bare), Some(log)) = (bare.1, log.1) {
                sent.0.push(by_byte(bare));
                sent.1.push(by_byte(log));
            }
        }
        for (what, (baseline, ours)) in [("written", handed), ("sent to the disk", sent)] {
            table.add(Row {
                what: format!("{size} batches, a sync of each: {what} by byte accepted"),
                unit: "B/B",
                baseline,
                ours,
                budget: "",
                difference: false,
            });
        }
    }
    Ok(())
}

/// A baseline's figures and ours.
type Sides = (Vec<f64>, Vec<f64>);

/// Bytes handed to the system and sent to the disk meanwhile.
fn counted(
    dir: &Path,
    run: impl FnOnce() -> Result<(), Failure>,
) -> Result<(u64, Option<u64>), Failure> {
    let (handed, sent) = (host::written()?, host::sent_to_disk(dir)?);
    run()?;
    let sent = host::sent_to_disk(dir)?.zip(sent).map(|(after, before)| after - before);
    Ok((host::written()? - handed, sent))
}

/// The whole life of a log: made, appended to, closed.
fn append(root: &Path, batch: &Bytes, bytes: u64) -> Result<(), Failure> {
    let store = setup::open(root)?;
    let logs = Logs { handles: setup::logs(&store, 0..1, setup::config(Flush::Always))? };
    let load = Load {
        writers: 1,
        in_flight: 1,
        batch: batch.clone(),
        partitions: 1,
        spread: Spread::InTurn,
        time: child::LONG,
        bytes,
    };
    drive(&logs, &load)?;
    store.close();
    Ok(())
}
