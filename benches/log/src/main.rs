//! `tidegate-log-benches <what>|all`: the log alone, beside what the machine can do.
//!
//! No network and no plugins: a store is driven in this process, and so is the baseline (see
//! [`toy`]), in turns. Machines differ and are noisy, so what counts is the ratio of each pair of
//! rounds; the table tells its median and its spread. Nothing here fails for being slow.
//!
//! A bench that needs a process of its own (to be killed, to have its memory measured) runs this
//! program again, see [`child`].

mod amplification;
mod child;
mod clean;
mod drive;
mod fetch;
mod host;
mod ingest;
mod latency;
mod lookup;
mod memory;
mod partitions;
mod setup;
mod start;
mod tail;
mod toy;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use tidegate_bench_common::Failure;
use tidegate_bench_common::table::Table;

use crate::child::Role;
use crate::setup::Setup;

/// Measures Tidegate's log beside raw system calls.
#[derive(Parser)]
struct Arguments {
    /// What to measure.
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// Rounds, in which both sides take turns; medians are told.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Milliseconds that each side is driven in a round.
    #[arg(long, default_value_t = 700)]
    millis: u64,
    /// MiB that the killed process wrote, in `start`.
    #[arg(long, default_value_t = 2_048)]
    size: u64,
    /// Folder to measure in; a temporary one is made there, and removed.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Measure only what has this in its name.
    #[arg(long, default_value = "")]
    only: String,
    /// Tiny sizes: shows that every bench works, measures nothing.
    #[arg(long)]
    smoke: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// What a child process is to do; for this program itself.
    #[arg(long, hide = true, value_enum)]
    child: Option<Role>,
    /// How many logs a child process has.
    #[arg(long, hide = true, default_value_t = 0)]
    logs: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    All,
    Ingest,
    Latency,
    Partitions,
    Fetch,
    Tail,
    Lookup,
    Start,
    Memory,
    Amplification,
    Clean,
}

type Measure = fn(&mut Table, &Setup) -> Result<(), Failure>;

const BENCHES: &[(What, Measure)] = &[
    (What::Ingest, ingest::measure),
    (What::Latency, latency::measure),
    (What::Partitions, partitions::measure),
    (What::Fetch, fetch::measure),
    (What::Tail, tail::measure),
    (What::Lookup, lookup::measure),
    (What::Start, start::measure),
    (What::Memory, memory::measure),
    (What::Amplification, amplification::measure),
    (What::Clean, clean::measure),
];

fn run(arguments: &Arguments) -> Result<(), Failure> {
    host::raise_open_files()?;
    let dir = arguments.dir.clone().unwrap_or_else(std::env::temp_dir);
    if let Some(role) = arguments.child {
        return child::run(role, &dir, arguments.logs);
    }
    let mut setup = if arguments.smoke {
        Setup::smoke(&dir)?
    } else {
        Setup::new(&dir, arguments.rounds, arguments.millis, arguments.size)?
    };
    setup.only.clone_from(&arguments.only);
    eprintln!("{}", host::describe(&setup.dir)?);
    let mut table = Table::default();
    for (what, measure) in BENCHES {
        if arguments.what == What::All || arguments.what == *what {
            measure(&mut table, &setup)?;
        }
    }
    print!("{}", if arguments.json { table.json() } else { table.text() });
    Ok(())
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprint!(": {cause}");
                source = cause.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}
