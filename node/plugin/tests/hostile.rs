//! Guests that do what no plugin should: each is contained, named, and can be used again.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use common::{columns, context, host_at, patient, run};
use tidegate_plugin::{
    Instance, InstantiateError, Limits, LogLevel, Needs, Plugin, RunContext, RunError, Tag, Verdict,
};
use tidegate_types::ByteSize;

/// The hostile guest, compiled once for all tests of a binary.
fn hostile() -> Arc<Plugin> {
    static PLUGIN: OnceLock<(tempfile::TempDir, Arc<Plugin>)> = OnceLock::new();
    let (_, plugin) = PLUGIN.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let host = host_at(dir.path());
        let installed = host.install(tidegate_test_guests::HOSTILE).unwrap();
        let plugin = host.load(&installed.hash).unwrap();
        (dir, plugin)
    });
    Arc::clone(plugin)
}

fn hostile_that(mode: &str, limits: Limits) -> Instance {
    hostile().instantiate(&format!("{mode:?}"), limits).unwrap()
}

fn brief() -> Limits {
    Limits { batch_time: Duration::from_millis(50), ..Limits::default() }
}

/// Runs a batch that misbehaves, and then one that does not, on the same instance.
fn misbehave(mode: &str, limits: Limits) -> RunError {
    let mut instance = hostile_that(&format!("{mode}:value"), limits);
    let error = run(&mut instance, &["fine", "poison"]).unwrap_err();
    let outcome = run(&mut instance, &["fine"]).unwrap();
    let Verdict::Tags(tags) = outcome.verdict else { panic!("no tags: {outcome:?}") };
    assert_eq!(tags.tags, [Tag::Keep], "{mode} left something behind");
    assert!(!error.to_string().contains('\n'), "{error}");
    error
}

#[test]
fn a_loop_ends_at_its_deadline() {
    let started = Instant::now();
    let error = misbehave("loop", brief());
    assert_eq!(error, RunError::TimedOut { limit: Duration::from_millis(50) });
    assert_eq!(error.to_string(), "took longer than 50ms");
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(50), "cut short after {took:?}");
    assert!(took < Duration::from_secs(5), "only after {took:?}");
}

#[test]
fn a_loop_ends_after_the_ticker_has_slept() {
    let mut instance = hostile_that("loop:value", brief());
    run(&mut instance, &["fine"]).unwrap();
    std::thread::sleep(Duration::from_millis(1_500));
    let started = Instant::now();
    let error = run(&mut instance, &["poison"]).unwrap_err();
    assert!(matches!(error, RunError::TimedOut { .. }));
    assert!(started.elapsed() >= Duration::from_millis(50));
}

#[test]
fn memory_ends_at_its_limit() {
    let limits = Limits { memory: ByteSize::mib(16), ..patient() };
    let error = misbehave("allocate", limits);
    let RunError::OutOfMemory { asked, limit } = error else { panic!("{error}") };
    assert_eq!(limit, ByteSize::mib(16));
    assert!(asked > limit && asked < ByteSize::mib(64), "{asked}");
}

#[test]
fn a_batch_too_large_for_the_memory_is_refused_and_not_fatal() {
    let limits = Limits { memory: ByteSize::mib(4), ..patient() };
    let mut instance = hostile_that("keep", limits);
    let big = "x".repeat(8 << 20);
    let error = run(&mut instance, &[&big]).unwrap_err();
    assert!(matches!(error, RunError::OutOfMemory { .. }), "{error}");
    assert!(run(&mut instance, &["small"]).is_ok());
}

#[test]
fn the_text_of_a_panic_is_told() {
    let error = misbehave("panic", patient());
    let RunError::Panicked { message } = &error else { panic!("{error}") };
    assert!(message.contains("asked to panic | over two lines"), "{message}");
}

#[test]
fn recursion_ends_with_the_stack() {
    let error = misbehave("recurse", patient());
    match &error {
        RunError::StackOverflow => {}
        RunError::Trapped { message } => assert!(message.contains("calling itself"), "{error}"),
        _ => panic!("{error}"),
    }
}

#[test]
fn an_answer_ends_at_its_limit() {
    let limits = Limits { memory: ByteSize::mib(256), ..patient() };
    let error = misbehave("big", limits);
    assert_eq!(error, RunError::OutputTooLarge { limit: ByteSize::mib(32) });
}

#[test]
fn what_plugins_are_not_given_is_named() {
    for (mode, import) in [("stderr", "wasi:cli/stderr"), ("clock", "wasi:clocks/wall-clock")] {
        let error = misbehave(mode, patient());
        let RunError::Forbidden { import: called } = &error else { panic!("{mode}: {error}") };
        assert!(called.starts_with(import), "{mode}: {called}");
    }
    assert!(run(&mut hostile_that("environment", patient()), &["a"]).is_ok());
}

#[test]
fn an_error_of_the_plugin_keeps_its_words() {
    let error = misbehave("error", patient());
    assert_eq!(error, RunError::Refused { reason: "asked for an error".to_owned() });
}

#[test]
fn malformed_answers_are_refused_and_say_what_is_wrong() {
    for mode in [
        "few-tags",
        "unknown-tag",
        "few-values",
        "ends-back",
        "ends-beyond",
        "failed-beyond",
        "failed-twice",
        "input-beyond",
        "inputs-back",
        "few-flags",
        "contrary-flags",
        "unknown-flag",
        "bad-headers",
        "topic-beyond",
        "bad-topic",
        "partition-beyond",
        "too-many",
        "failed-and-emitted",
    ] {
        let error = misbehave(mode, patient());
        assert!(matches!(error, RunError::Malformed { .. }), "{mode}: {error}");
    }
}

#[test]
fn a_rejection_is_not_an_error() {
    let mut instance = hostile_that("reject", patient());
    let outcome = run(&mut instance, &["a"]).unwrap();
    assert_eq!(outcome.verdict, Verdict::Reject { reason: "asked to reject".to_owned() });
}

#[test]
fn a_plugin_that_fails_while_configured_gives_no_instance() {
    let refused = |mode: &str| hostile().instantiate(&format!("{mode:?}"), brief()).unwrap_err();
    let InstantiateError::Failed(RunError::Panicked { message }) = refused("configure-panic")
    else {
        panic!("no panic")
    };
    assert!(message.contains("asked to panic while configured"));
    assert!(matches!(
        refused("configure-loop"),
        InstantiateError::Failed(RunError::TimedOut { .. })
    ));
    assert!(matches!(refused(""), InstantiateError::ConfigRefused { .. }));
}

#[test]
fn what_it_logs_and_counts_is_bounded() {
    let mut instance = hostile_that("chatter", patient());
    run(&mut instance, &["a"]).unwrap();
    let journal = instance.take_journal();
    assert_eq!(journal.lines.len(), 256);
    assert_eq!(journal.lines_dropped, 10_001 - 256);
    assert_eq!(journal.counters.len(), 64);
    assert_eq!(journal.lines[0].message, "line 0");
    assert!(instance.take_journal().is_empty());
}

#[test]
fn each_attachment_has_limits_of_its_own_for_lines_outputs_and_time_a_record() {
    let few_lines = Limits { log_lines: 3, ..patient() };
    let mut instance = hostile_that("chatter", few_lines);
    run(&mut instance, &["a"]).unwrap();
    let journal = instance.take_journal();
    assert_eq!((journal.lines.len(), journal.lines_dropped), (3, 9_998));

    let narrow = Limits { fan_out: 1, ..patient() };
    let error = run(&mut hostile_that("split", narrow), &["a"]).unwrap_err();
    assert_eq!(error, RunError::TooMany { record: 0, outputs: 2, limit: 1 });
    assert!(run(&mut hostile_that("split", Limits { fan_out: 2, ..narrow }), &["a"]).is_ok());

    // Two records have 20 ms, whatever a batch may take.
    let swift = Limits { record_time: Some(Duration::from_millis(10)), ..patient() };
    let started = Instant::now();
    let error = run(&mut hostile_that("loop", swift), &["a", "b"]).unwrap_err();
    assert_eq!(error, RunError::TimedOut { limit: Duration::from_millis(20) });
    assert!(started.elapsed() < patient().batch_time, "not by the batch's time");
}

#[test]
fn what_it_said_before_a_trap_is_not_lost() {
    let mut instance = hostile_that("panic:value", patient());
    run(&mut instance, &["poison"]).unwrap_err();
    let journal = instance.take_journal();
    assert_eq!(journal.lines.len(), 1);
    assert_eq!(journal.lines[0].level, LogLevel::Error);
    assert!(instance.take_journal().is_empty());
}

#[test]
fn the_same_batch_gives_the_same_bytes() {
    let value = |mode: &str, seed: u64| {
        let mut instance = hostile_that(mode, patient());
        let context = RunContext { seed, ..context() };
        let mut batch = columns(instance.needs(), &["a"]);
        let outcome = instance.run(&mut batch, &context).unwrap();
        let Verdict::Tags(tags) = outcome.verdict else { panic!("no tags: {outcome:?}") };
        String::from_utf8(tags.values.get(0).to_vec()).unwrap()
    };
    assert_eq!(value("seed", 77), "77");
    assert_eq!(value("hash-map", 1), value("hash-map", 1));
    let orders: std::collections::HashSet<_> =
        (0..20).map(|seed| value("hash-map", seed)).collect();
    assert!(orders.len() > 1, "the seed does not reach the guest's hash maps");
}

#[test]
fn an_instance_asks_only_for_what_it_needs_and_tells_its_memory() {
    let mut instance = hostile_that("allocate:value", patient());
    assert_eq!(instance.needs(), Needs::VALUES);
    let before = instance.memory();
    assert!(before > ByteSize::bytes(0) && before < ByteSize::mib(4), "{before}");
    run(&mut instance, &["poison"]).unwrap_err();
    assert_eq!(instance.memory(), ByteSize::bytes(0));
    run(&mut instance, &["fine"]).unwrap();
    assert_eq!(instance.memory(), before);
}

#[test]
fn an_empty_batch_is_not_handed_on() {
    let mut instance = hostile_that("panic", patient());
    assert!(run(&mut instance, &[]).is_ok());
}

#[test]
fn many_instances_of_one_plugin_run_side_by_side() {
    std::thread::scope(|scope| {
        for worker in 0..4 {
            scope.spawn(move || {
                let mode = if worker == 0 { "loop:value" } else { "upper" };
                let mut instance = hostile_that(mode, brief());
                for _ in 0..3 {
                    let outcome = run(&mut instance, &["poison", "a"]);
                    assert_eq!(outcome.is_err(), worker == 0);
                }
            });
        }
    });
}
