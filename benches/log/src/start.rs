//! The start after a kill -9 in the middle of a load.
//!
//! A child appends to many logs until it is killed, then further children open them all and die
//! without closing anything. Each round appends an eighth more and is killed again. Beside it the
//! least that any start must do: find the files, open and measure each.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use tidegate_bench_common::Failure;
use tidegate_bench_common::table::{Row, Table};

use crate::child::{self, Role};
use crate::host;
use crate::setup::{self, Setup};

/// Measures the start with many logs, and with one.
///
/// # Errors
/// If a child fails.
pub fn measure(table: &mut Table, setup: &Setup) -> Result<(), Failure> {
    for logs in [setup.killed_logs, 1] {
        let what = |what: &str| format!("start after kill -9, {logs} logs: {what}");
        if !setup.wants(&what("")) {
            continue;
        }
        let dir = setup.fresh()?;
        let root = dir.path().join("store");
        let (mut bare, mut warm, mut cold) = (Vec::new(), Vec::new(), Vec::new());
        let (mut again, mut read, mut index, mut held) = (vec![], vec![], vec![], vec![]);
        for round in 0..setup.rounds.min(3) {
            let bytes = if round == 0 { setup.killed_after } else { setup.killed_after / 8 };
            fill(&root, logs, bytes)?;
            let started = Instant::now();
            for file in setup::files(&root)? {
                std::fs::File::open(file)?.metadata()?;
            }
            bare.push(started.elapsed().as_secs_f64() * 1e3);

            let [took, opened, scanned, bytes] = told(&root, logs)?;
            warm.push(took);
            index.push(opened);
            read.push(scanned / 1e6);
            held.push(bytes / 1e6);
            again.push(told(&root, logs)?[0]);

            // As after a power cut: nothing is cached. Again after a load, or nothing were left.
            fill(&root, logs, setup.killed_after / 8)?;
            for file in &setup::files(&root)? {
                host::forget(file)?;
            }
            cold.push(told(&root, logs)?[0]);
        }
        let alone = |what: String, unit, ours| Row {
            what,
            unit,
            baseline: Vec::new(),
            ours,
            budget: "",
            difference: false,
        };
        table.add(alone(what("bytes in them"), "MB", held));
        table.add(Row {
            what: what("to serve, beside a look at each file"),
            unit: "ms",
            baseline: bare,
            ours: warm,
            budget: "<= 1000 ms with 10 GB",
            difference: true,
        });
        table.add(alone(what("of it the store"), "ms", index));
        table.add(alone(what("read"), "MB", read));
        table.add(alone(what("with nothing cached"), "ms", cold));
        table.add(alone(what("killed again before any append"), "ms", again));
    }
    Ok(())
}

/// Lets a child append until so many bytes are durable, then kills it.
fn fill(root: &Path, logs: u32, bytes: u64) -> Result<(), Failure> {
    let mut child = child::start(Role::Fill, root, logs)?;
    let out = child.stdout.take().ok_or("the child has no stdout")?;
    let fill = || -> Result<(), Failure> {
        let mut durable = 0;
        for line in BufReader::new(out).lines() {
            durable += line?.trim().parse::<u64>()?;
            if durable >= bytes {
                return Ok(());
            }
        }
        Err("the child ended before it was killed".into())
    };
    let filled = fill();
    // SIGKILL, in the middle of its next turn.
    std::thread::sleep(std::time::Duration::from_millis(5));
    child.kill()?;
    child.wait()?;
    filled
}

fn told(root: &Path, logs: u32) -> Result<[f64; 4], Failure> {
    let told = child::ask(Role::Open, root, logs)?;
    Ok(told.try_into().map_err(|told| format!("the child told {told:?}"))?)
}
