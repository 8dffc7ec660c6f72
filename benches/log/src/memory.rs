//! Memory and open files of idle partitions, each measured in a process of its own.

use std::sync::Arc;

use tidegate_bench_common::Failure;
use tidegate_bench_common::table::{Row, Table};

use crate::child::{self, NoSync, Role};
use crate::setup::Setup;

/// Measures them after a start, and after one append to each.
///
/// # Errors
/// If a child fails.
pub fn measure(table: &mut Table, setup: &Setup) -> Result<(), Failure> {
    for &logs in &setup.idle {
        let dir = setup.fresh()?;
        let root = dir.path().join("store");
        child::make_logs(Arc::new(NoSync), &root, logs)?;
        for (role, when) in [(Role::Idle, "after a start"), (Role::Touched, "after an append")] {
            let (mut memory, mut files) = (Vec::new(), Vec::new());
            for _ in 0..setup.rounds.min(3) {
                let told = child::ask(role, &root, logs)?;
                let &[bytes, open] = told.as_slice() else {
                    return Err(format!("the child told {told:?}").into());
                };
                memory.push(bytes / 1024.0 / f64::from(logs));
                files.push(open);
            }
            let row = |what, unit, ours, budget| Row {
                what,
                unit,
                baseline: Vec::new(),
                ours,
                budget,
                difference: false,
            };
            let what = format!("{logs} idle partitions {when}: memory of each");
            table.add(row(what, "KiB", memory, "< 64"));
            let what = format!("{logs} idle partitions {when}: open files");
            table.add(row(what, "", files, ""));
        }
    }
    Ok(())
}
