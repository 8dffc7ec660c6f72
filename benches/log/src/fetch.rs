//! Reading a whole log from the page cache, beside plain reads of the same files.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tidegate_bench_common::Failure;
use tidegate_bench_common::table::{Row, Table};
use tidegate_log::LogHandle;
use tidegate_types::{ByteSize, Flush};

use crate::child::{self, NoSync};
use crate::drive::{Load, Logs, Spread, drive};
use crate::ingest;
use crate::setup::{self, Setup};

/// Bytes of one read.
const CHUNK: usize = 1 << 20;

/// Measures both.
///
/// # Errors
/// If either side fails.
pub fn measure(table: &mut Table, setup: &Setup) -> Result<(), Failure> {
    let dir = setup.fresh()?;
    let store = setup::open_on(Arc::new(NoSync), dir.path(), setup::store_config())?;
    let logs = Logs { handles: setup::logs(&store, 0..1, setup::config(Flush::Os))? };
    let load = Load {
        writers: 1,
        in_flight: 16,
        batch: ingest::large()?,
        partitions: 1,
        spread: Spread::InTurn,
        time: child::LONG,
        bytes: setup.stored,
    };
    let stored = drive(&logs, &load)?.bytes;
    let files = segments(dir.path())?;
    let (mut baseline, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..setup.rounds {
        baseline.push(rate(stored, || read_files(&files))?);
        ours.push(rate(stored, || read_log(&logs.handles[0]))?);
    }
    table.add(Row {
        what: "fetch from the page cache by 1 MiB, beside pread".to_owned(),
        unit: "MB/s",
        baseline,
        ours,
        budget: "",
        difference: false,
    });
    store.close();
    Ok(())
}

/// Megabytes a second of something that passes all bytes.
fn rate(stored: u64, pass: impl FnOnce() -> Result<u64, Failure>) -> Result<f64, Failure> {
    let started = Instant::now();
    let bytes = pass()?;
    let took = started.elapsed();
    if bytes != stored {
        return Err(format!("{stored} bytes are stored, {bytes} were read").into());
    }
    Ok(bytes as f64 / 1e6 / took.as_secs_f64())
}

fn read_files(files: &[PathBuf]) -> Result<u64, Failure> {
    let (mut bytes, mut buffer) = (0, vec![0; CHUNK]);
    for path in files {
        let (file, mut at) = (File::open(path)?, 0);
        loop {
            let read = file.read_at(&mut buffer, at)?;
            if read == 0 {
                break;
            }
            black_box(&buffer[..read]);
            at += read as u64;
        }
        bytes += at;
    }
    Ok(bytes)
}

fn read_log(log: &LogHandle) -> Result<u64, Failure> {
    let (mut bytes, mut at) = (0, log.offsets().start);
    let end = log.offsets().end;
    while at < end {
        let chunk = log.read(at, end, ByteSize::bytes(CHUNK as u64))?;
        black_box(&chunk.batches);
        bytes += chunk.batches.len() as u64;
        at = chunk.next_offset;
    }
    Ok(bytes)
}

/// The segments of the only log in a store, in order.
///
/// # Errors
/// If a folder cannot be read.
pub fn segments(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = setup::files(root)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    files.sort();
    Ok(files)
}
