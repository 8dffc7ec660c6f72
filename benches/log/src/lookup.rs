//! Finding one batch among many sealed segments, by offset and by time.
//!
//! Beside it a plain read of as many bytes at a position that is known.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tidegate_bench_common::table::{Row, Table};
use tidegate_bench_common::{Failure, sample};
use tidegate_env::Rng;
use tidegate_log::{AppendMode, AppendRequest, LogConfig, LogHandle, When};
use tidegate_types::{ByteSize, Flush, LeaderEpoch, Offset, Timestamp};

use crate::child::NoSync;
use crate::fetch;
use crate::setup::{self, Setup};

/// Small, so that there are many.
const SEGMENT: ByteSize = ByteSize::mib(1);

/// Records of one batch, some 1 KB.
const RECORDS: u32 = 4;

/// Batches in one append while the log is made.
const PER_APPEND: u64 = 64;

/// Measures lookups right after a start, one in each segment, and among all again and again.
///
/// # Errors
/// If the log fails.
pub fn measure(table: &mut Table, setup: &Setup) -> Result<(), Failure> {
    let dir = setup.fresh()?;
    let config = LogConfig { segment_bytes: SEGMENT, ..setup::config(Flush::Os) };
    let open = || setup::open_on(Arc::new(NoSync), dir.path(), setup::store_config());
    let store = open()?;
    let records = fill(&setup::logs(&store, 0..1, config)?[0], setup.stored / 4)?;
    store.close();

    let (mut bare, mut bare_cold) = (Vec::new(), Vec::new());
    let mut ours: [Vec<f64>; 4] = Default::default();
    let batch = sample::batch(0, RECORDS)?.len();
    let files = fetch::segments(dir.path())?;
    for round in 0..setup.rounds {
        let mut rng = Rng::new(round as u64);
        let open_files = files.iter().map(File::open).collect::<Result<Vec<_>, _>>()?;
        bare.push(timed(setup.lookups, || read_bare(&open_files, batch, &mut rng))?);
        bare_cold.push(timed(files.len() as u32, || {
            let path = &files[rng.below(files.len() as u64) as usize];
            read_bare(&[File::open(path)?], batch, &mut rng)
        })?);

        for (cold, warm) in [(0, 2), (1, 3)] {
            let store = open()?;
            let log = setup::logs(&store, 0..1, config)?.remove(0);
            let (mut segment, each) = (0, records / log.segments() as u64);
            let mut next = 0;
            ours[cold].push(timed(log.segments() as u32, || {
                // From the last to the first: none is met on the way to another.
                segment += 1;
                let at = records.saturating_sub(segment * each + 1);
                look(&log, at, cold == 1)
            })?);
            ours[warm].push(timed(setup.lookups, || {
                next = rng.below(records);
                look(&log, next, cold == 1)
            })?);
            store.close();
        }
    }
    let [cold_offset, cold_time, warm_offset, warm_time] = ours;
    for (what, baseline, ours) in [
        ("lookup by offset, first in its segment, beside open and pread", &bare_cold, cold_offset),
        ("lookup by time, first in its segment, beside open and pread", &bare_cold, cold_time),
        ("lookup by offset, random, beside pread", &bare, warm_offset),
        ("lookup by time, random, beside pread", &bare, warm_time),
    ] {
        table.add(Row {
            what: what.to_owned(),
            unit: "ns",
            baseline: baseline.clone(),
            ours,
            budget: "",
            difference: false,
        });
    }
    Ok(())
}

/// Appends small batches with rising timestamps; gives how many records they have.
fn fill(log: &LogHandle, bytes: u64) -> Result<u64, Failure> {
    let (mut first, mut appended) = (0, 0);
    while appended < bytes {
        let mut batches = BytesMut::new();
        for _ in 0..PER_APPEND {
            batches.extend_from_slice(&sample::batch(first, RECORDS)?);
            first += u64::from(RECORDS);
        }
        appended += batches.len() as u64;
        append(log, batches.freeze())?;
    }
    Ok(first)
}

fn append(log: &LogHandle, batches: Bytes) -> Result<(), Failure> {
    let (done, answer) = mpsc::channel();
    let mode = AppendMode::Assign { leader_epoch: LeaderEpoch(0) };
    let request = AppendRequest { batches, mode, ack: When::Written };
    // Fails only if the other end has gone, and it is below.
    log.append(request, Box::new(move |result| _ = done.send(result)));
    answer.recv()??;
    Ok(())
}

/// Nanoseconds each.
fn timed(times: u32, mut one: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let started = Instant::now();
    for _ in 0..times {
        one()?;
    }
    Ok(started.elapsed().as_nanos() as f64 / f64::from(times.max(1)))
}

fn read_bare(files: &[File], len: usize, rng: &mut Rng) -> Result<(), Failure> {
    let file = &files[rng.below(files.len() as u64) as usize];
    let at = rng.below(SEGMENT.get() / 2);
    let mut batch = vec![0; len];
    file.read_at(&mut batch, at)?;
    black_box(&batch);
    Ok(())
}

/// Finds the record of this number, whose offset and timestamp follow from it.
fn look(log: &LogHandle, record: u64, by_time: bool) -> Result<(), Failure> {
    let offset = Offset(record as i64);
    if by_time {
        let time = Timestamp(sample::EPOCH + record as i64);
        let found = log.offset_for_time(time)?;
        if found != Some((offset, time)) {
            return Err(format!("looked for {time:?} at {offset}, found {found:?}").into());
        }
        return Ok(());
    }
    let chunk = log.read(offset, log.offsets().end, ByteSize::bytes(1))?;
    if chunk.base_offset > offset || chunk.next_offset <= offset {
        return Err(format!("looked for {offset}, found {}", chunk.base_offset).into());
    }
    black_box(&chunk);
    Ok(())
}
