//! Compaction and retention of one log, and what they do to the acks of another one's writer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_bench_common::Failure;
use tidegate_bench_common::table::{Row, Table};
use tidegate_env::RealDisk;
use tidegate_log::{LogConfig, LogHandle, StoreConfig};
use tidegate_types::{ByteSize, Cleanup, Flush, LogPolicy};

use crate::drive::{Load, Logs, Spread, drive, percentile};
use crate::setup::{self, Setup};
use crate::{child, ingest};

/// Small, so that nearly all of a log is in closed segments.
const SEGMENT: ByteSize = ByteSize::mib(1);

/// What is left when the cleaner is done: the active segment, and the last of each key.
const LEFT: u64 = 2 << 20;

/// Bytes that are filled in at least, so that something goes.
const LEAST: u64 = 6 << 20;

/// How often the cleaner looks.
const CLEAN_EVERY: Duration = Duration::from_millis(20);

/// So long the cleaner is given.
const STUCK: Duration = Duration::from_secs(120);

/// Measures both.
///
/// # Errors
/// If the log fails, or the cleaner never gets done.
pub fn measure(table: &mut Table, setup: &Setup) -> Result<(), Failure> {
    let keep = setup::config(Flush::Os).policy;
    let compact = LogPolicy { cleanup: Cleanup::Compact, min_dirty_percent: 0, ..keep };
    let cut = LogPolicy { retention_bytes: Some(SEGMENT), ..keep };
    let paced = StoreConfig { clean_interval: CLEAN_EVERY, ..setup::store_config() };
    let unpaced = StoreConfig { cleaning_rate: ByteSize::gib(64), ..paced.clone() };
    for (what, policy, store_config) in [
        ("compaction at its default rate", compact, &paced),
        ("compaction without a limit", compact, &unpaced),
        ("retention", cut, &paced),
    ] {
        if !setup.wants(what) {
            continue;
        }
        let (mut cleaned, mut alone, mut beside) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..setup.rounds.min(3) {
            let dir = setup.fresh()?;
            let store = setup::open_on(Arc::new(RealDisk), dir.path(), store_config.clone())?;
            let kept =
                LogConfig { segment_bytes: SEGMENT, policy: keep, ..setup::config(Flush::Os) };
            let mut victims = Logs { handles: setup::logs(&store, 0..1, kept)? };
            let bytes = fill(&victims, (setup.stored / 8).max(LEAST))?;
            let log = victims.handles.remove(0);
            victims.handles = setup::logs(&store, 1..2, setup::config(Flush::Always))?;

            alone.push(drive(&victims, &load(setup, 1)?)?.latency(990));
            let (took, mut acks) = clean(&log, LogConfig { policy, ..kept }, &victims, setup)?;
            acks.sort_unstable();
            beside.push(percentile(&acks, 990));
            cleaned.push(bytes as f64 / 1e6 / took.as_secs_f64());
            store.close();
        }
        table.add(Row {
            what: format!("{what}, beside a writer of another log"),
            unit: "MB/s",
            baseline: Vec::new(),
            ours: cleaned,
            budget: "",
            difference: false,
        });
        table.add(Row {
            what: format!("ack of 1 KB, 99 %, during {what} beside without"),
            unit: "us",
            baseline: alone,
            ours: beside,
            budget: "",
            difference: true,
        });
    }
    Ok(())
}

/// Appends the same keys again and again.
fn fill(logs: &Logs, bytes: u64) -> Result<u64, Failure> {
    let load = Load {
        writers: 1,
        in_flight: 16,
        batch: ingest::large()?,
        partitions: 1,
        spread: Spread::InTurn,
        time: child::LONG,
        bytes,
    };
    Ok(drive(logs, &load)?.bytes)
}

/// One writer with small batches, for a part of a turn.
fn load(setup: &Setup, part: u32) -> Result<Load, Failure> {
    Ok(Load {
        writers: 1,
        in_flight: 1,
        batch: ingest::small()?,
        partitions: 1,
        spread: Spread::InTurn,
        time: setup.time / part,
        bytes: setup.bytes,
    })
}

/// Lets the cleaner have the log while the victims' writer goes on; how long it took, and the acks.
fn clean(
    log: &LogHandle,
    config: LogConfig,
    victims: &Logs,
    setup: &Setup,
) -> Result<(Duration, Vec<Duration>), Failure> {
    let begun = Instant::now();
    log.set_config(config)?;
    let mut acks = Vec::new();
    loop {
        acks.extend(drive(victims, &load(setup, 10)?)?.latencies);
        let (left, took) = (log.bytes().get(), begun.elapsed());
        if left <= LEFT {
            return Ok((took, acks));
        }
        if took > STUCK {
            return Err(format!("the cleaner left {left} bytes after two minutes").into());
        }
    }
}
