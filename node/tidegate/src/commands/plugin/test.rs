//! `plugin test`: records through a plugin on this machine, and what came out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use tidegate_author::{Run, RunOptions, TestRecord, compare};
use tidegate_client::{ConsumedRecord, ConsumerConfig, Event};

use super::runs::{self, Subject};
use crate::cli::PluginTest;
use crate::commands::Context;
use crate::commands::consume::consume_failure;
use crate::exit::{Exit, Failure};
use crate::output::{Output, print_text, tell};

pub async fn run(context: &Context, args: &PluginTest) -> Result<(), Failure> {
    let mut subject = Subject::open(&args.run)?;
    let plan = subject.plan();
    let records = match &args.topic {
        Some(_) => read_topic(context, args).await?,
        None => subject.records(&args.run, &plan.input)?,
    };
    let options = RunOptions {
        topic: "test".to_owned(),
        partitions: args.run.partitions.or(plan.partitions).unwrap_or(1),
        batch: args.run.batch,
        state: subject.has_state(&args.run),
        table: runs::table(&args.run)?,
    };
    let ran = tidegate_author::run(&mut subject.instance, &records, &options)
        .map_err(|error| Failure::of(Exit::Failed, &error))?;
    for line in &ran.lines {
        tell(&format!("{}: {}", line.level, line.message));
    }
    let snapshot = ran.snapshot();
    let expected = expected(args, &subject);
    if args.update {
        let Some(path) = expected else {
            return Err(Failure::usage("there is no snapshot to write: name one with --expected"));
        };
        runs::write(&path, &snapshot)?;
        return report(context.output, &ran, &format!("wrote {}", path.display()));
    }
    match expected {
        None => report(context.output, &ran, "nothing to compare with"),
        Some(path) => {
            let text = std::fs::read_to_string(&path).map_err(|error| {
                Failure::of(Exit::Failed, &error)
                    .while_doing(format!("cannot read {}; --update writes it", path.display()))
            })?;
            match compare(&text, &snapshot) {
                None => report(context.output, &ran, "as expected"),
                Some(difference) => {
                    let message = format!(
                        "{} of {} records are not as {} expects; --update takes them as they are",
                        difference.lines,
                        ran.fates.len(),
                        path.display()
                    );
                    match context.output {
                        Output::Table => print_text(&difference.to_string())?,
                        Output::Json => report(context.output, &ran, "different")?,
                    }
                    Err(Failure::new(Exit::Failed, message))
                }
            }
        }
    }
}

/// The snapshot that was named; else the project's, if its own records were run.
fn expected(args: &PluginTest, subject: &Subject) -> Option<PathBuf> {
    let own = args.topic.is_none() && args.run.input.is_empty() && args.run.config.is_none();
    args.expected.clone().or_else(|| {
        let project = subject.project.as_ref().filter(|_| own)?;
        project.manifest().test.expected.as_ref().map(|file| project.path(file))
    })
}

#[derive(Serialize)]
struct View<'a> {
    verdict: &'a str,
    records: Vec<&'a serde_json::Value>,
    counters: &'a BTreeMap<String, u64>,
}

fn report(output: Output, run: &Run, verdict: &str) -> Result<(), Failure> {
    let records = run.fates.iter().collect();
    let view = View { verdict, records, counters: &run.counters };
    output.print(&view, || {
        let counters =
            run.counters.iter().map(|(name, count)| format!("counted {name}: {count}\n"));
        let counters: String = counters.collect();
        format!("{}{counters}{} records, {verdict}\n", run.snapshot(), run.fates.len())
    })
}

async fn read_topic(context: &Context, args: &PluginTest) -> Result<Vec<TestRecord>, Failure> {
    let Some(topic) = &args.topic else { return Ok(Vec::new()) };
    let client = context.connect().await?;
    let config = ConsumerConfig { from: args.from, until_end: true, ..ConsumerConfig::default() };
    let mut consumer =
        client.consumer(topic.clone(), config).await.map_err(|error| consume_failure(&error))?;
    let mut records = Vec::new();
    while (records.len() as u64) < args.count {
        match consumer.next_event().await {
            Some(Ok(Event::Record(record))) => records.push(test_record(topic.as_str(), record)),
            Some(Ok(Event::CaughtUp { .. })) => {}
            Some(Ok(Event::End)) | None => break,
            Some(Err(error)) => return Err(consume_failure(&error)),
        }
    }
    Ok(records)
}

fn test_record(topic: &str, record: ConsumedRecord) -> TestRecord {
    let headers = record.headers.into_iter();
    TestRecord {
        topic: Some(topic.to_owned()),
        partition: record.partition.get(),
        timestamp: record.timestamp.millis(),
        key: record.key.map(Into::into),
        value: record.value.map(Into::into),
        headers: headers.map(|(name, value)| (name.into(), value.map(Into::into))).collect(),
    }
}
