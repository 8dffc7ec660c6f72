//! Guests of every sort through the workbench, and what is told of each record.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::time::Duration;

use tidegate_author::{Bench, BenchError, RunOptions, TestRecord, run};
use tidegate_plugin::{Instance, Limits};
use tidegate_test_guests::{HOSTILE, KEEP, SPREAD};

fn instance(component: &[u8], config: &str) -> Result<Instance, BenchError> {
    // Long enough for a busy machine; nothing here loops.
    let limits = Limits { batch_time: Duration::from_secs(60), ..Limits::default() };
    Bench::new(None).unwrap().instance(component, config, limits)
}

/// Words as records, `key=value` or a value alone; what became of each, without its number.
fn fates(component: &[u8], mode: &str, words: &str) -> Vec<String> {
    let records: Vec<_> = words.split(' ').map(record).collect();
    let options =
        RunOptions { topic: "t".into(), partitions: 2, batch: 100, state: false, table: None };
    let mut instance = instance(component, &format!("{mode:?}")).unwrap();
    let ran = run(&mut instance, &records, &options).unwrap();
    let lines = ran.snapshot().lines().map(str::to_owned).collect::<Vec<_>>();
    for (number, line) in lines.iter().enumerate() {
        assert!(line.starts_with(&format!("{{\"record\":{number},\"fate\":")), "{line}");
    }
    lines.into_iter().map(|line| line.split_once(',').unwrap().1.replace('}', "")).collect()
}

fn record(word: &str) -> TestRecord {
    let (key, value) = word.split_once('=').map_or((None, word), |(k, v)| (Some(k), v));
    TestRecord {
        timestamp: 1,
        key: key.map(Into::into),
        value: Some(value.into()),
        ..TestRecord::default()
    }
}

#[test]
fn a_filter_keeps_drops_and_fails_records() {
    let told = fates(KEEP, "plain", "a drop fail b");
    let failed = r#""fate":"failed","reason":"asked to fail""#;
    assert_eq!(told, [r#""fate":"kept""#, r#""fate":"dropped""#, failed, r#""fate":"kept""#]);
}

#[test]
fn a_refused_batch_is_told_of_each_of_its_records() {
    let told = fates(KEEP, "plain", "a reject");
    assert!(told.iter().all(|fate| fate.starts_with(r#""fate":"rejected""#)), "{told:?}");
}

#[test]
fn a_partitioner_chooses() {
    let told = fates(SPREAD, "", "p=1 q=2 none");
    let failed = r#""fate":"failed","reason":"there is no key""#;
    assert_eq!(told, [r#""fate":"kept","partition":0"#, r#""fate":"kept","partition":1"#, failed]);
}

#[test]
fn a_transform_replaces_splits_and_routes() {
    assert_eq!(fates(HOSTILE, "upper", "a"), [r#""fate":"replaced","value":"A""#]);
    assert_eq!(fates(HOSTILE, "null", "a"), [r#""fate":"replaced","value":null"#]);
    assert_eq!(fates(HOSTILE, "split", "a b"), [r#""fate":"emitted","outputs":[{,{]"#; 2]);
    let routed = fates(HOSTILE, "route", "a");
    assert!(routed[0].contains(r#"{"topic":"elsewhere""#), "{routed:?}");
}

#[test]
fn a_poison_record_fails_alone() {
    let told = fates(HOSTILE, "panic:value", "a poison b");
    assert_eq!((told[0].as_str(), told[2].as_str()), (r#""fate":"kept""#, r#""fate":"kept""#));
    assert!(told[1].starts_with(r#""fate":"failed","reason":"panicked: "#), "{told:?}");
}

#[test]
fn what_a_node_would_not_take_is_not_taken_here() {
    let error = instance(b"\0asm\x01\0\0\0", "{}").unwrap_err();
    assert!(matches!(error, BenchError::Install(_)), "{error}");
    let error = instance(HOSTILE, "\"\"").unwrap_err();
    assert!(error.to_string().contains("a mode is needed"), "{error}");
}
