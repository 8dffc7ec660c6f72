//! `tidegate-kafka-benches [what]`: Tidegate, a toy and a real Kafka side by side.
//!
//! All brokers run at once, each as a process of its own, and have their turns with the same load
//! generator; what counts is how they compare, not how fast this machine is. One that this machine
//! does not have is left out with a word about it. Kafka is compared as it comes, into the page
//! cache, and with `flush.messages=1`; Tidegate as it comes, durable, and into the page cache; and so
//! is the toy, which shows what the machine can do at most.

mod broker;
mod host;
mod measure;
mod results;
mod setup;
mod sides;
mod toy;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tidegate_bench::{ByteSize, Stop};
use tidegate_bench_common::Failure;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::broker::{Broker, Kind};
use crate::measure::memory::When;
use crate::measure::{fetch, ingest, latency, librdkafka, memory, start};
use crate::results::Results;
use crate::setup::Setup;
use crate::sides::Bench;

/// Measures Tidegate beside a toy and a real Kafka.
#[derive(Parser)]
struct Arguments {
    /// What to measure.
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// Rounds, in which all sides take turns; medians are told.
    #[arg(long)]
    rounds: Option<usize>,
    /// Milliseconds that a side is driven in a turn.
    #[arg(long)]
    millis: Option<u64>,
    /// Bytes of log that a broker is killed with, in `start`.
    #[arg(long)]
    size: Option<ByteSize>,
    /// Folder to measure in; temporary ones are made there, and removed.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Measure only what has this in its name.
    #[arg(long, default_value = "")]
    only: String,
    /// Tiny sizes and no Kafka: shows that everything works, measures nothing.
    #[arg(long)]
    smoke: bool,
    /// Leave Kafka out.
    #[arg(long)]
    no_kafka: bool,
    /// Port of Kafka; its controller takes the next one.
    #[arg(long, default_value_t = 29_092)]
    kafka_port: u16,
    /// How to tell the figures.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
    /// Be the toy, in --dir; for this program itself.
    #[arg(long, hide = true)]
    toy: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    All,
    Ingest,
    Librdkafka,
    Fetch,
    Latency,
    Memory,
    Start,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let dir = arguments.dir.clone().unwrap_or_else(std::env::temp_dir);
    let result = if arguments.toy { toy::serve(&dir) } else { run(&arguments, &dir) };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, dir: &std::path::Path) -> Result<(), Failure> {
    let mut setup = if arguments.smoke { Setup::smoke(dir)? } else { Setup::new(dir)? };
    setup.rounds = arguments.rounds.unwrap_or(setup.rounds).max(1);
    setup.time = arguments.millis.map_or(setup.time, Duration::from_millis);
    setup.killed_with = arguments.size.unwrap_or(setup.killed_with);
    setup.kafka = setup.kafka && !arguments.no_kafka;
    setup.kafka_port = arguments.kafka_port;
    setup.only.clone_from(&arguments.only);
    let runtime = Runtime::new()?;
    let stop = Stop::new();
    stop_on_signals(&runtime, &stop)?;
    let mut brokers = Vec::new();
    for kind in [Kind::Toy, Kind::Kafka, Kind::Tidegate] {
        brokers.extend(Broker::start(kind, &setup, &stop)?);
    }
    let mut bench = Bench { setup, runtime, stop, brokers };
    let mut results = Results::default();
    let measured = measure_all(&mut results, &mut bench, arguments.what);
    // What there is, is told, even if the rest failed.
    let told = match arguments.output {
        Output::Table => results.text(),
        Output::Json => results.json()?,
    };
    print!("{told}");
    measured
}

/// So that no broker is left behind: Kafka has a session of its own.
fn stop_on_signals(runtime: &Runtime, stop: &Stop) -> Result<(), Failure> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let _entered = runtime.enter();
        let mut asked = signal(kind)?;
        let stop = stop.clone();
        runtime.spawn(async move {
            if asked.recv().await.is_some() {
                stop.stop();
            }
        });
    }
    Ok(())
}

fn measure_all(results: &mut Results, bench: &mut Bench, what: What) -> Result<(), Failure> {
    let wanted = |this| what == What::All || what == this;
    if wanted(What::Memory) {
        memory::measure(results, bench, When::Idle)?;
    }
    measure::warm(bench)?;
    if wanted(What::Latency) {
        latency::measure(results, bench)?;
    }
    if wanted(What::Ingest) {
        ingest::measure(results, bench)?;
    }
    if wanted(What::Librdkafka) {
        librdkafka::measure(results, bench)?;
    }
    if wanted(What::Fetch) {
        fetch::measure(results, bench)?;
    }
    if wanted(What::Memory) {
        memory::measure(results, bench, When::Loaded)?;
    }
    if wanted(What::Start) {
        start::measure(results, bench)?;
    }
    Ok(())
}
