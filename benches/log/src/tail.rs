//! Readers at the tail while a writer appends: all that is written is read by each.
//!
//! The toy's readers read the same bytes out of its one file. On both sides a reader is told of a
//! new end through a condition variable and reads up to there, 1 MiB at most.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tidegate_bench_common::Failure;
use tidegate_bench_common::table::{Row, Table};
use tidegate_env::RealDisk;
use tidegate_log::StoreConfig;
use tidegate_types::{ByteSize, Flush, Offset};

use crate::drive::{Done, Load, Logs, Sink, Spread, drive};
use crate::ingest;
use crate::setup::{self, Setup};
use crate::toy::{Sync, Toy};

/// Bytes of one read.
const CHUNK: u64 = 1 << 20;

/// How far a file or log goes, and whether it will go on.
#[derive(Default)]
struct Tail {
    state: Mutex<(i64, bool)>,
    moved: Condvar,
}

impl Tail {
    fn change(&self, change: impl FnOnce(&mut (i64, bool))) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.moved.notify_all();
    }

    /// The end, once it is beyond `at`; `None` if it never will be.
    fn beyond(&self, at: i64) -> Option<i64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.0 <= at {
            if state.1 {
                return None;
            }
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Some(state.0)
    }
}

/// The toy, telling its readers.
struct Told {
    toy: Toy,
    tail: Arc<Tail>,
}

impl Sink for Told {
    fn append(&self, partition: usize, batch: &Bytes, done: Done) {
        let (tail, len) = (Arc::clone(&self.tail), batch.len() as i64);
        let done = move |result: Result<(), Failure>| {
            tail.change(|state| state.0 += len);
            done(result);
        };
        self.toy.append(partition, batch, Box::new(done));
    }
}

/// Measures one reader and many, of a durable log and of one in the page cache.
///
/// # Errors
/// If either side fails.
pub fn measure(table: &mut Table, setup: &Setup) -> Result<(), Failure> {
    let load = Load {
        writers: 1,
        in_flight: 5,
        batch: ingest::large()?,
        partitions: 1,
        spread: Spread::InTurn,
        time: setup.time,
        bytes: setup.stored,
    };
    for (flush, how) in [(Flush::Always, "durable"), (Flush::Os, "page cache")] {
        for readers in [1, 16] {
            let what = format!("{readers} readers at the tail, {how}: delivered");
            if !setup.wants(&what) {
                continue;
            }
            let (mut baseline, mut ours) = (Vec::new(), Vec::new());
            for _ in 0..setup.rounds {
                baseline.push(toy(setup, &load, flush, readers)?);
                ours.push(log(setup, &load, flush, readers)?);
            }
            table.add(Row { what, unit: "MB/s", baseline, ours, budget: "", difference: false });
        }
    }
    Ok(())
}

fn toy(setup: &Setup, load: &Load, flush: Flush, readers: usize) -> Result<f64, Failure> {
    let dir = setup.fresh()?;
    // Readers follow a position that only grows, so nothing is written over.
    let sync = if flush == Flush::Os { Sync::Os } else { Sync::Over(setup.stored + CHUNK) };
    let told = Told { toy: Toy::start(dir.path(), 1, sync)?, tail: Arc::default() };
    let path = dir.path().join("toy-0");
    let rate = deliver(&told, load, &told.tail, readers, || {
        let (file, mut buffer) = (File::open(&path)?, vec![0; CHUNK as usize]);
        Ok(move |at: i64, end: i64| {
            let len = ((end - at) as u64).min(CHUNK) as usize;
            file.read_exact_at(&mut buffer[..len], at as u64)?;
            black_box(&buffer[..len]);
            Ok((at + len as i64, len as u64))
        })
    })?;
    told.toy.stop()?;
    Ok(rate)
}

fn log(setup: &Setup, load: &Load, flush: Flush, readers: usize) -> Result<f64, Failure> {
    let dir = setup.fresh()?;
    let tail = Arc::<Tail>::default();
    let telling = Arc::clone(&tail);
    let config = StoreConfig {
        // Consumers see what is durable.
        on_advance: Some(Arc::new(move |_, offsets| {
            telling.change(|state| state.0 = offsets.durable.0);
        })),
        ..setup::store_config()
    };
    let store = setup::open_on(Arc::new(RealDisk), dir.path(), config)?;
    let logs = Logs { handles: setup::logs(&store, 0..1, setup::config(flush))? };
    let handle = logs.handles[0].clone();
    let rate = deliver(&logs, load, &tail, readers, || {
        let handle = handle.clone();
        Ok(move |at: i64, end: i64| {
            let chunk = handle.read(Offset(at), Offset(end), ByteSize::bytes(CHUNK))?;
            black_box(&chunk.batches);
            Ok((chunk.next_offset.0, chunk.batches.len() as u64))
        })
    })?;
    store.close();
    Ok(rate)
}

/// Drives the sink while readers follow; megabytes a second, over all of them, until the last has
/// read the last.
fn deliver<R>(
    sink: &dyn Sink,
    load: &Load,
    tail: &Tail,
    readers: usize,
    reader: impl Fn() -> Result<R, Failure>,
) -> Result<f64, Failure>
where
    R: FnMut(i64, i64) -> Result<(i64, u64), Failure> + Send,
{
    let started = Instant::now();
    let (written, read) = std::thread::scope(|scope| -> Result<_, Failure> {
        let mut reading = Vec::new();
        for _ in 0..readers {
            let mut read = reader()?;
            reading.push(scope.spawn(move || -> Result<u64, Failure> {
                let (mut at, mut bytes) = (0, 0);
                while let Some(end) = tail.beyond(at) {
                    let (next, len) = read(at, end)?;
                    (at, bytes) = (next, bytes + len);
                }
                Ok(bytes)
            }));
        }
        let driven = drive(sink, load);
        // Readers end in any case, or this would wait for them for ever.
        tail.change(|state| state.1 = true);
        let mut read = 0;
        for thread in reading {
            read += thread.join().map_err(|_| "a reader panicked")??;
        }
        Ok((driven?.bytes, read))
    })?;
    let took = started.elapsed();
    if read != written * readers as u64 {
        return Err(format!("{written} bytes were written, {readers} readers read {read}").into());
    }
    Ok(read as f64 / 1e6 / took.as_secs_f64())
}
