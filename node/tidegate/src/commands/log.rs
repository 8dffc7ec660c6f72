//! `log check`: the logs of a node that is stopped, straight from its folder.

use std::sync::Arc;

use tidegate_env::{Disk, RealDisk};
use tidegate_log::check::{self, CheckError, CheckOptions, Severity};

use super::Context;
use crate::cli::LogCommand;
use crate::exit::{Exit, Failure};
use crate::output::BytesProgress;
use crate::views::CheckView;

pub fn run(context: &Context, command: &LogCommand) -> Result<(), Failure> {
    let LogCommand::Check(args) = command;
    let data = &context.settings.node.data;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let options = CheckOptions { deep: args.deep };
    let shown = BytesProgress::start("checked");
    let mut progress = |now: check::Progress| shown.set(now.done, now.total);
    let work = if args.repair { check::repair } else { check::check };
    let report = work(&disk, data, options, &mut progress);
    drop(shown);
    let report = report.map_err(|error| {
        let exit = match &error {
            CheckError::NoStore { .. } => Exit::NotFound,
            _ => Exit::Failed,
        };
        Failure::of(exit, &error)
    })?;
    let lost = report.logs_with(Severity::Loss).count();
    let repairable = report.worst() == Some(Severity::Repairable);
    let view = CheckView::new(report, &tidegate_broker::topic_names(data));
    context.output.print(&view, || view.table())?;
    match lost {
        0 if repairable => Err(Failure::new(
            Exit::Failed,
            "no records are lost; 'tidegate log check --repair' puts the rest right",
        )),
        0 => Ok(()),
        lost => {
            let (logs, have) = if lost == 1 { ("log", "has") } else { ("logs", "have") };
            let advice = if args.repair {
                "restore them from a copy"
            } else {
                "'tidegate log check --repair' lets readers get past them"
            };
            let message = format!("{lost} {logs} {have} records that cannot be read: {advice}");
            Err(Failure::new(Exit::Failed, message))
        }
    }
}
