//! What an offline check of the logs found.

use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_log::check::{IndexState, LogReport, Problem, Report, Severity};
use tidegate_types::{ByteSize, TopicId, TopicName};

use crate::output::{grouped, table};

/// A report, with topics by their names.
#[derive(Serialize, Debug)]
pub struct CheckView {
    /// Nothing is wrong that the next start would not put right by itself.
    sound: bool,
    index: IndexState,
    logs: Vec<LogView>,
    deleting: Vec<String>,
    repaired: Vec<String>,
}

#[derive(Serialize, Debug)]
struct LogView {
    /// The topic's name; its id where that is not known.
    topic: String,
    partition: u32,
    log_start: i64,
    log_end: i64,
    segments: usize,
    batches: u64,
    records: u64,
    bytes: u64,
    problems: Vec<ProblemView>,
}

#[derive(Serialize, Debug)]
struct ProblemView {
    severity: Severity,
    #[serde(flatten)]
    problem: Problem,
}

impl CheckView {
    /// Shows `report`, with topics named as in `names`.
    #[must_use]
    pub fn new(report: Report, names: &BTreeMap<TopicId, TopicName>) -> CheckView {
        CheckView {
            sound: report.worst().is_none_or(|worst| worst == Severity::Note),
            index: report.index,
            logs: report.logs.into_iter().map(|log| LogView::new(log, names)).collect(),
            deleting: report.deleting,
            repaired: report.repaired,
        }
    }

    /// The report for people.
    #[must_use]
    pub fn table(&self) -> String {
        let rows = self.logs.iter().map(|log| {
            [
                log.topic.clone(),
                log.partition.to_string(),
                format!("{} to {}", log.log_start, log.log_end),
                log.segments.to_string(),
                grouped(log.records),
                ByteSize::bytes(log.bytes).to_string(),
                log.verdict(),
            ]
        });
        let columns = ["topic", "partition", "offsets", "segments", "records", "size", "state"];
        let mut text = if self.logs.is_empty() {
            "no logs\n".to_owned()
        } else {
            table(columns, &[1, 3, 4, 5], rows) + "\n"
        };
        for log in &self.logs {
            for ProblemView { problem, .. } in &log.problems {
                let file = problem.file.iter().map(|file| format!(" {file}:")).collect::<String>();
                let LogView { topic, partition, .. } = log;
                text.push_str(&format!("{topic} partition {partition}:{file} {}\n", problem.what));
            }
        }
        match &self.index {
            IndexState::Sound => {}
            IndexState::Missing => {
                text.push_str("there is no index: the next start makes it from the logs\n");
            }
            IndexState::Damaged { reason } => {
                text.push_str(&format!("the index is damaged: {reason}\n"));
            }
        }
        for folder in &self.deleting {
            text.push_str(&format!("{folder}: its delete was cut short, the next start ends it\n"));
        }
        for done in &self.repaired {
            text.push_str(&format!("repaired: {done}\n"));
        }
        text
    }
}

impl LogView {
    fn new(log: LogReport, names: &BTreeMap<TopicId, TopicName>) -> LogView {
        let name = names.get(&log.log.topic).map(ToString::to_string);
        let problems = log.problems.into_iter();
        LogView {
            topic: name.unwrap_or_else(|| log.log.topic.to_string()),
            partition: log.log.partition.get(),
            log_start: log.start.get(),
            log_end: log.end.get(),
            segments: log.segments,
            batches: log.batches,
            records: log.records,
            bytes: log.bytes.get(),
            problems: problems
                .map(|problem| ProblemView { severity: problem.kind.severity(), problem })
                .collect(),
        }
    }

    fn verdict(&self) -> String {
        match self.problems.iter().map(|problem| problem.severity).max() {
            None => "sound".to_owned(),
            Some(Severity::Note) => "sound, see below".to_owned(),
            Some(Severity::Repairable) => "to be repaired".to_owned(),
            Some(Severity::Loss) => "records lost".to_owned(),
        }
    }
}
