//! `tidegate-benches ingest|fetch|plugin|neighbours|all`: see the library.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use tidegate_bench_common::table::Table;
use tidegate_benches::{Failure, fetch, ingest, neighbours, plugin};

/// Measures Tidegate beside its baselines.
#[derive(Parser)]
struct Arguments {
    /// What to measure.
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// Rounds, in which both sides take turns; medians are told.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Records in each round.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    All,
    Ingest,
    Fetch,
    Plugin,
    Neighbours,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let run = || -> Result<(), Failure> {
        let runtime = tokio::runtime::Runtime::new()?;
        let wanted = |what| arguments.what == What::All || arguments.what == what;
        let mut table = Table::default();
        if wanted(What::Ingest) {
            runtime.block_on(ingest::measure(&mut table, arguments.rounds, arguments.records))?;
        }
        if wanted(What::Fetch) {
            runtime.block_on(fetch::measure(&mut table, arguments.rounds, arguments.records))?;
        }
        if wanted(What::Plugin) {
            runtime.block_on(plugin::measure(&mut table, arguments.rounds, arguments.records))?;
        }
        if wanted(What::Neighbours) {
            runtime.block_on(neighbours::measure(
                &mut table,
                arguments.rounds,
                arguments.records,
            ))?;
        }
        print!("{}", if arguments.json { table.json() } else { table.text() });
        Ok(())
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
