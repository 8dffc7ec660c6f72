//! The same requests to a real Kafka and to Tidegate, and the answers side by side, field by
//! field.
//!
//! A scenario is a list of steps with topics and groups of its own; both brokers get it in the
//! same order. What a broker may choose (ids, ports, the time) is made comparable in `tree.rs`;
//! what else differs must stand in `expected.txt` with its reason. Every version of every request
//! that Tidegate is to serve must have been answered by Kafka at least once, so that none is
//! forgotten.
//!
//! Needs Java, Maven and Python; without them it says so and passes. In the environment:
//!
//! - `COMPARE_ONLY=glob` runs the scenarios of these names alone;
//! - `COMPARE_KAFKA=host:port` asks a Kafka that runs already;
//! - `COMPARE_OURS=host:port` asks a broker that runs already instead of Tidegate;
//!   `COMPARE_OURS=kafka` a second Kafka, which must differ in nothing: the check of the masks;
//! - `COMPARE_TEXTS=1` compares messages for people too, word for word;
//! - `COMPARE_SHOW=1` prints Kafka's answers.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod coverage;
mod diff;
mod expected;
mod run;
mod scenarios;
mod tree;

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tidegate_kafka_tests::{Broker, Kafka, Schemas, Tidegate};

use crate::diff::{Difference, differences};
use crate::expected::{Expected, glob};
use crate::run::{Run, Step};
use crate::scenarios::{SCENARIOS, Scenario};

/// Scenarios at once for each broker. Most of their time they wait.
const WORKERS: usize = 4;
/// Differences that are printed in full.
const SHOWN: usize = 1_000;

#[test]
fn tidegate_answers_as_kafka_does() {
    if Kafka::available().is_none() {
        return;
    }
    let schemas = Kafka::schemas().unwrap_or_else(|error| panic!("{error}"));
    let environment = |name| std::env::var(name).ok();
    let only = environment("COMPARE_ONLY");
    let mut kept: Vec<Box<dyn std::any::Any>> = Vec::new();
    let mut start_kafka = || {
        let kafka = Kafka::start();
        let broker = kafka.broker();
        kept.push(Box::new(kafka));
        broker
    };
    let kafka = match environment("COMPARE_KAFKA") {
        Some(address) => Broker { address: address.parse().unwrap() },
        None => start_kafka(),
    };
    let ours = environment("COMPARE_OURS");
    let is_tidegate = ours.is_none();
    let ours = match ours.as_deref() {
        Some("kafka") => start_kafka(),
        Some(address) => Broker { address: address.parse().unwrap() },
        None => {
            let tidegate = Tidegate::start();
            let broker = tidegate.broker();
            kept.push(Box::new(tidegate));
            broker
        }
    };

    let chosen: Vec<_> = SCENARIOS
        .iter()
        .filter(|scenario| only.as_ref().is_none_or(|only| glob(only, scenario.name)))
        .collect();
    assert!(!chosen.is_empty(), "COMPARE_ONLY names no scenario");
    let (kafka_steps, our_steps) = std::thread::scope(|scope| {
        let other = scope.spawn(|| run_all(&schemas, ours, "o", &chosen));
        (run_all(&schemas, kafka, "k", &chosen), other.join().unwrap())
    });
    drop(kept);

    let list = if is_tidegate { include_str!("expected.txt") } else { "" };
    let expected = Expected::parse(list).unwrap_or_else(|error| panic!("expected.txt: {error}"));
    let mut report = Report::default();
    for scenario in &chosen {
        report.compare(scenario.name, &kafka_steps, &our_steps, &expected);
    }
    if only.is_none() {
        report.problems.extend(coverage::missing(&schemas, kafka_steps.values().flatten()));
        let unmet = expected.unmet();
        report.problems.extend(
            unmet.into_iter().map(|entry| format!("expected.txt, {entry}: meets nothing now")),
        );
    }
    report.finish();
}

type Transcript = BTreeMap<&'static str, Vec<Step>>;

/// Runs the scenarios against one broker.
fn run_all(schemas: &Schemas, broker: Broker, side: &str, chosen: &[&Scenario]) -> Transcript {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let tag = format!("{side}{:x}", since.as_millis() & 0xffff_ffff);
    warm_up(schemas, broker, &tag);
    let (next, steps) = (AtomicUsize::new(0), Mutex::new(Transcript::new()));
    let alone: Vec<_> = chosen.iter().filter(|scenario| scenario.alone).collect();
    let together: Vec<_> = chosen.iter().filter(|scenario| !scenario.alone).collect();
    let one = |scenario: &Scenario| {
        let began = Instant::now();
        let mut run = Run::new(schemas, broker, &tag, scenario.name);
        (scenario.play)(&mut run);
        steps.lock().unwrap().insert(scenario.name, run.finish());
        if began.elapsed() > Duration::from_secs(20) {
            println!("{} took {:?} at {}", scenario.name, began.elapsed(), broker.address);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(scenario) = together.get(next.fetch_add(1, Ordering::Relaxed)) {
                    one(scenario);
                }
            });
        }
    });
    for scenario in alone {
        one(scenario);
    }
    steps.into_inner().unwrap()
}

/// Waits for what a broker sets up at its first use: the topic of group offsets, producer ids.
fn warm_up(schemas: &Schemas, broker: Broker, tag: &str) {
    let mut run = Run::new(schemas, broker, tag, "warm-up");
    let end = Instant::now() + Duration::from_secs(60);
    let ready = |answer: &Value| answer["ErrorCode"] == 0;
    loop {
        let group = run.quiet("FindCoordinator", 3, json!({ "Key": "warm-up" }));
        let id = run.quiet("InitProducerId", 4, json!({ "TransactionalId": null }));
        let offsets = run.quiet(
            "OffsetCommit",
            8,
            json!({ "GroupId": "warm-up", "GenerationIdOrMemberEpoch": -1, "Topics": [
                { "Name": "none", "Partitions": [{ "PartitionIndex": 0 }] },
            ]}),
        );
        // The topic does not exist, which a coordinator that is ready says.
        let offsets = &offsets["Topics"][0]["Partitions"][0]["ErrorCode"];
        if ready(&group) && ready(&id) && *offsets == 3 {
            return;
        }
        assert!(Instant::now() < end, "{} is not ready: {group} {id} {offsets}", broker.address);
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// What was found.
#[derive(Default)]
struct Report {
    steps: usize,
    meant: usize,
    lines: Vec<String>,
    by_api: BTreeMap<String, usize>,
    problems: Vec<String>,
}

impl Report {
    fn compare(
        &mut self,
        scenario: &'static str,
        kafka: &Transcript,
        ours: &Transcript,
        expected: &Expected,
    ) {
        let none = Vec::new();
        let kafka = kafka.get(scenario).unwrap_or(&none);
        let ours = ours.get(scenario).unwrap_or(&none);
        let mut names = HashSet::new();
        for step in kafka {
            if !names.insert(&step.name) {
                self.problems.push(format!("{scenario}/{} is twice there", step.name));
            }
            self.steps += 1;
            let place = format!("{scenario}/{}", step.name);
            if std::env::var_os("COMPARE_SHOW").is_some() {
                println!("{place} {} {}", step.api, step.outcome);
            }
            match ours.iter().find(|other| other.name == step.name) {
                Some(other) => {
                    for found in differences(&step.outcome, &other.outcome) {
                        self.difference(&place, step, &found, expected);
                    }
                }
                None => {
                    let found = Difference {
                        path: "_step!".to_owned(),
                        kafka: Some(step.outcome.clone()),
                        ours: None,
                    };
                    self.difference(&place, step, &found, expected);
                }
            }
        }
        for step in ours.iter().filter(|step| !names.contains(&step.name)) {
            let place = format!("{scenario}/{}", step.name);
            let found = Difference {
                path: "_step!".to_owned(),
                kafka: None,
                ours: Some(step.outcome.clone()),
            };
            self.difference(&place, step, &found, expected);
        }
    }

    fn difference(&mut self, place: &str, step: &Step, found: &Difference, expected: &Expected) {
        if expected.allows(place, &found.path) {
            self.meant += 1;
            return;
        }
        *self.by_api.entry(step.api.clone()).or_default() += 1;
        let side = |value: &Option<Value>| {
            value.as_ref().map_or_else(|| "absent".to_owned(), ToString::to_string)
        };
        self.lines.push(format!(
            "{place} ({} v{}) {}\n    kafka: {}\n    ours:  {}",
            step.api,
            step.version,
            found.path,
            side(&found.kafka),
            side(&found.ours)
        ));
    }

    fn finish(self) {
        for line in self.lines.iter().take(SHOWN) {
            println!("{line}");
        }
        if self.lines.len() > SHOWN {
            println!("... and {} more", self.lines.len() - SHOWN);
        }
        for (api, count) in &self.by_api {
            println!("{count:5} differences in {api}");
        }
        println!(
            "{} steps, {} differences that are meant, {} that are not",
            self.steps,
            self.meant,
            self.lines.len()
        );
        assert!(self.problems.is_empty(), "{}", self.problems.join("\n"));
        assert!(self.lines.is_empty(), "Tidegate answers otherwise than Kafka; see above");
    }
}
