//! What a plugin costs a record, beside one that does nothing.
//!
//! Both are run over the same batches as the node holds them, and gathered from those each time.
//! Rounds take turns, so that a busy machine slows both; of each side the median round counts.

use std::time::{Duration, Instant};

use tidegate_plugin::{Columns, Instance, Limits, MemoryState, Needs, RunContext, RunError};
use tidegate_record::{Batch, BatchBuilder, BatchError, BuildError, BuildOptions, PushError};
use tidegate_types::Timestamp;

use crate::component::{ComponentizeError, componentize};
use crate::host::{Bench, BenchError};
use crate::records::TestRecord;
use crate::run::{Table, new_state};

static IDENTITY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/identity.wasm"));

/// Rounds of each side.
const ROUNDS: usize = 5;

/// How to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Records of a round; the input is repeated until there are as many.
    pub records: usize,
    /// Records of a batch.
    pub batch: usize,
    /// The topic's partitions.
    pub partitions: u32,
    /// Whether there is a state.
    pub state: bool,
    /// The table of that state.
    pub table: Option<Table>,
}

/// What was measured.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Measured {
    /// Records of a round.
    pub records: usize,
    /// Records of a batch.
    pub batch: usize,
    /// Bytes of keys and values of a record, on average.
    pub bytes_per_record: f64,
    /// Nanoseconds a record.
    pub plugin_ns: f64,
    /// Nanoseconds a record of a plugin that asks for the same columns and keeps everything.
    pub identity_ns: f64,
    /// Records that failed in a round.
    pub failed: usize,
    /// Memory of the instance afterwards, in bytes.
    pub memory: u64,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// There are no records.
    #[error("there are no records to run: name some with --input")]
    NoRecords,
    /// The one to compare with does not run.
    #[error("cannot run the plugin to compare with")]
    Identity(#[source] BenchError),
    /// No component could be made of it.
    #[error("cannot make the plugin to compare with")]
    Componentize(#[from] ComponentizeError),
    /// A record fits no batch.
    #[error("a record fits no batch")]
    Record(#[from] PushError),
    /// A batch could not be built.
    #[error("cannot build a batch")]
    Build(#[from] BuildError),
    /// A batch could not be read.
    #[error("cannot read a batch")]
    Batch(#[from] BatchError),
    /// A batch does not fit the columns.
    #[error("a batch does not fit the columns")]
    Columns(#[from] tidegate_plugin::PushError),
    /// The plugin failed over a batch as a whole.
    #[error("the plugin failed over a batch: {0}")]
    Run(#[from] RunError),
}

/// Measures an instance, which goes on with whatever it remembers.
///
/// # Errors
/// If the plugin fails over a batch, or there is nothing to run.
pub fn measure(
    bench: &Bench,
    plugin: &mut Instance,
    records: &[TestRecord],
    plan: &Plan,
) -> Result<Measured, MeasureError> {
    if records.is_empty() {
        return Err(MeasureError::NoRecords);
    }
    let batches = batches(records, plan)?;
    let identity = componentize(IDENTITY)?;
    let config = identity_config(plugin.needs());
    let mut identity =
        bench.instance(&identity, &config, Limits::default()).map_err(MeasureError::Identity)?;
    let mut rounds = [Vec::new(), Vec::new()];
    let mut failed = 0;
    let mut columns = Columns::new();
    // The first round of each only warms up.
    for round in 0..=ROUNDS {
        let state = plan.state.then(|| new_state(plan.table.as_ref()));
        let (time, failures) = run_round(plugin, &batches, plan, state.as_ref(), &mut columns)?;
        let (beside, _) = run_round(&mut identity, &batches, plan, None, &mut columns)?;
        if round > 0 {
            rounds[0].push(time);
            rounds[1].push(beside);
            failed = failures;
        }
    }
    let [plugin_ns, identity_ns] =
        rounds.map(|rounds| median(rounds).as_secs_f64() * 1e9 / plan.records as f64);
    let size = |record: &TestRecord| {
        record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len)
    };
    let bytes: usize = records.iter().map(size).sum();
    Ok(Measured {
        records: plan.records,
        batch: plan.batch,
        bytes_per_record: bytes as f64 / records.len() as f64,
        plugin_ns,
        identity_ns,
        failed,
        memory: plugin.memory().get(),
    })
}

/// The letter by which `wat/identity.wat` is told the columns.
fn identity_config(needs: Needs) -> String {
    let bits = [Needs::TIMESTAMPS, Needs::KEYS, Needs::VALUES, Needs::HEADERS];
    let letter = bits
        .iter()
        .zip([1u8, 2, 4, 8])
        .filter(|(need, _)| needs.contains(**need))
        .fold(b'A', |letter, (_, bit)| letter + bit);
    char::from(letter).to_string()
}

/// The input, over and over, as batches of the node's.
fn batches(records: &[TestRecord], plan: &Plan) -> Result<Vec<Vec<u8>>, MeasureError> {
    let mut all = records.iter().cycle().take(plan.records).peekable();
    let mut batches = Vec::new();
    let mut builder = BatchBuilder::new(BuildOptions::default());
    let mut held = 0;
    while let Some(record) = all.peek() {
        let headers = record.headers.iter().map(|(n, v)| (n.as_slice(), v.as_deref()));
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        match builder.push(Timestamp(record.timestamp), key, value, headers) {
            Ok(()) => {
                held += 1;
                all.next();
                if held < plan.batch.max(1) && all.peek().is_some() {
                    continue;
                }
            }
            // Large records make smaller batches.
            Err(error) if error.is_full() && held > 0 => {}
            Err(error) => return Err(error.into()),
        }
        batches.push(builder.build()?);
        builder.clear();
        held = 0;
    }
    Ok(batches)
}

fn run_round(
    instance: &mut Instance,
    batches: &[Vec<u8>],
    plan: &Plan,
    state: Option<&MemoryState>,
    columns: &mut Columns,
) -> Result<(Duration, usize), MeasureError> {
    let mut context =
        RunContext { topic: "bench".into(), partition: 0, partitions: plan.partitions, seed: 0 };
    let mut scratch = Vec::new();
    let mut failed = 0;
    let started = Instant::now();
    for bytes in batches {
        let (batch, _) = Batch::parse_trusted(bytes)?;
        let header = batch.header();
        columns.clear(instance.needs());
        let mut last = Timestamp::NONE;
        for record in batch.body(&mut scratch)? {
            let record = record?;
            last = header.timestamp_of(&record);
            columns.push(last, record.key, record.value, record.headers)?;
        }
        let outcome = match state {
            Some(state) => {
                state.advance(last.millis());
                state.run(instance, columns, &context)?
            }
            None => instance.run(columns, &context)?,
        };
        context.seed += 1;
        failed += outcome.failed.len();
    }
    let time = started.elapsed();
    instance.take_journal();
    Ok((time, failed))
}

fn median(mut rounds: Vec<Duration>) -> Duration {
    rounds.sort_unstable();
    rounds.get(rounds.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{RunOptions, run};

    fn record(value: &str) -> TestRecord {
        TestRecord {
            timestamp: 5,
            key: Some(b"k".to_vec()),
            value: Some(value.into()),
            ..TestRecord::default()
        }
    }

    #[test]
    fn the_plugin_to_compare_with_asks_for_the_columns_it_is_told_and_keeps_all() {
        let bench = Bench::new(None).unwrap();
        let component = componentize(IDENTITY).unwrap();
        for needs in [Needs::NONE, Needs::VALUES, Needs::KEYS | Needs::HEADERS, Needs::ALL] {
            let config = identity_config(needs);
            let mut instance = bench.instance(&component, &config, Limits::default()).unwrap();
            assert_eq!(instance.needs(), needs);
            let records: Vec<_> = (0..2_000).map(|n| record(&n.to_string().repeat(50))).collect();
            let options = RunOptions {
                topic: "t".into(),
                partitions: 1,
                batch: 999,
                state: false,
                table: None,
            };
            let run = run(&mut instance, &records, &options).unwrap();
            assert!(run.snapshot().lines().all(|line| line.ends_with("\"fate\":\"kept\"}")));
            assert_eq!(run.fates.len(), 2_000);
        }
    }

    #[test]
    fn both_sides_are_measured_over_as_many_records_as_asked() {
        let bench = Bench::new(None).unwrap();
        let component = componentize(IDENTITY).unwrap();
        let mut plugin = bench.instance(&component, "E", Limits::default()).unwrap();
        let plan = Plan { records: 2_500, batch: 1_000, partitions: 1, state: false, table: None };
        let measured = measure(&bench, &mut plugin, &[record("abc")], &plan).unwrap();
        assert_eq!((measured.records, measured.failed), (2_500, 0));
        assert!((measured.bytes_per_record - 4.0).abs() < 1e-9);
        assert!(measured.plugin_ns > 0.0 && measured.identity_ns > 0.0);
        let error = measure(&bench, &mut plugin, &[], &plan).unwrap_err();
        assert!(matches!(error, MeasureError::NoRecords));
    }
}
