//! Plugins that do what no plugin should: the node stays up, what else it serves goes on, and the
//! operator reads the cause in one line.

use std::time::Duration;

use serde_json::Value;
use tidegate_client::{ProducerConfig, ProducerRecord};
use tidegate_test_guests::HOSTILE;
use tidegate_tests::{Cli, PATIENCE, eventually};
use tidegate_types::{PoisonPolicy, TopicConfig};

use crate::support::{
    DEEDS, Deed, GOOD, Site, assert_one_line, consume, good, name, of_another_contract, patched,
    send_batch, values,
};

/// What the program tells of the plugin on one topic.
async fn attachment(cli: &Cli, topic: &str) -> Value {
    let shown = cli.run(&["plugin", "show", "hostile", "--output", "json"]).await.exits(0).json();
    let attached = shown["attachments"].as_array().unwrap();
    attached.iter().find(|attached| attached["topic"] == topic).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_reads_the_cause_in_one_line_wherever_they_look() {
    let site = Site::start().await;
    let cli = site.node.cli();
    for deed in &DEEDS {
        let Deed { mode, words, time, memory } = deed;
        cli.run(&["topic", "create", mode]).await.exits(0);
        let (config, time) = (deed.config(), format!("{}ms", time.as_millis()));
        let memory = memory.get().to_string();
        let attach = ["plugin", "attach", mode, "hostile", "--config", &config];
        let limits = ["--time-limit", &time, "--memory-limit", &memory, "--on-error", "skip"];
        cli.run(&[&attach[..], &limits].concat()).await.exits(0);
        let outcomes = site.send_batch(mode).await;
        assert!(outcomes.iter().all(Result::is_ok), "{mode}: {outcomes:?}");
        assert_eq!(values(&consume(&site.client, mode).await), good(), "{mode}");

        let shown = attachment(&cli, mode).await;
        let error = shown["last_error"].as_str().unwrap();
        assert!(error.contains(words), "{mode}: {error}");
        assert_one_line(error);
        assert_eq!(shown["stats"]["failed"], 1, "{mode}: {shown}");
        assert!(shown["stats"]["traps"].as_u64() >= Some(1), "{mode}: {shown}");

        let text = cli.run(&["plugin", "show", "hostile"]).await.exits(0).out;
        let told = text.lines().filter(|line| line.starts_with("last error"));
        let told: Vec<_> = told.filter(|line| line.ends_with(error)).collect();
        assert!(!told.is_empty(), "{mode}: {error:?} is missing in\n{text}");
        let log = cli.run(&["plugin", "log", "hostile"]).await.exits(0).out;
        let line = log.lines().filter(|line| line.starts_with(&format!("{mode} ingest")));
        let line: Vec<_> = line.filter(|line| line.contains("last error: ")).collect();
        assert_eq!(line.len(), 1, "{mode}:\n{log}");
        assert!(line[0].ends_with(error), "{mode}:\n{log}");
        let stats = cli.run(&["plugin", "stats", "hostile"]).await.exits(0).out;
        let row: Vec<_> = stats.lines().filter(|line| line.starts_with(mode)).collect();
        assert_eq!(row.len(), 1, "{mode}:\n{stats}");
        site.neighbour.progress(50).await;
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_them_at_once_cost_their_own_poisoned_records() {
    const ROUNDS: usize = 2;
    let site = Site::start().await;
    for deed in &DEEDS {
        // Others may have the processors for a while: a good record must not fail for that.
        let deed = Deed { time: deed.time.max(Duration::from_secs(3)), ..*deed };
        site.attach(deed.mode, &deed, PoisonPolicy::DeadLetter).await;
    }
    for _ in 0..ROUNDS {
        let mut sending = tokio::task::JoinSet::new();
        let before = site.neighbour.acked();
        for Deed { mode, .. } in DEEDS {
            let client = site.client.clone();
            sending.spawn(async move { (mode, send_batch(&client, mode).await) });
        }
        while let Some(sent) = sending.join_next().await {
            let (mode, outcomes) = sent.unwrap();
            assert!(outcomes.iter().all(Result::is_ok), "{mode}: {outcomes:?}");
        }
        assert!(site.neighbour.acked() > before, "the neighbour stood still");
    }
    for Deed { mode, .. } in &DEEDS {
        let stored = values(&consume(&site.client, mode).await);
        assert_eq!(stored, [good(), good()].concat(), "{mode}");
        let dead = values(&consume(&site.client, &format!("{mode}.dead")).await);
        assert_eq!(dead, ["poison, and more"; ROUNDS], "{mode}");
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_lines_and_counts_are_bounded_and_cost_no_record() {
    let site = Site::start().await;
    let deed = Deed { time: PATIENCE, ..Deed::new("million", "") };
    site.attach("million", &deed, PoisonPolicy::Halt).await;
    let before = site.neighbour.acked();
    let outcomes = site.send_batch("million").await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert!(site.neighbour.acked() > before, "the neighbour stood still");
    let stored = consume(&site.client, "million").await;
    assert_eq!(stored.len() as u32, GOOD + 1);
    let shown = attachment(&site.node.cli(), "million").await;
    assert_eq!(shown["last_error"], Value::Null);
    assert_eq!(shown["stats"]["traps"], 0);
    assert!(shown["log"].as_array().unwrap().len() <= 20, "{shown}");
    let node = &site.node;
    eventually("the node to tell how many lines there were", async || {
        let told = node.log().contains("and 999744 more lines");
        if told { Ok(()) } else { Err("it does not".to_owned()) }
    })
    .await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_comes_back_from_its_start_is_not_attached() {
    let site = Site::start().await;
    let cli = site.node.cli();
    // It loops when it is instantiated, before anything of it is called.
    let stuck = patched(HOSTILE, "loops at its start: no ", "loops at its start: yes");
    std::fs::write(site.node.data().parent().unwrap().join("stuck"), &stuck).unwrap();
    cli.run(&["plugin", "install", "stuck", "stuck"]).await.exits(0);
    cli.run(&["topic", "create", "t"]).await.exits(0);
    let late = "plugin failed while it was configured: took longer than 300ms";
    let panicked = "plugin failed while it was configured: panicked: ";
    for (plugin, config, words) in [
        ("stuck", r#""keep""#, late),
        ("hostile", r#""configure-loop""#, late),
        ("hostile", r#""configure-panic""#, panicked),
    ] {
        let attach = ["plugin", "attach", "t", plugin, "--config", config, "--time-limit", "300ms"];
        let refused = cli.run(&attach).await.fails(1, &[plugin, words]);
        assert_one_line(&refused.err);
        site.neighbour.progress(20).await;
    }
    let topic = cli.run(&["topic", "describe", "t", "--output", "json"]).await.exits(0).json();
    assert_eq!(topic["plugins"], serde_json::json!([]));
    cli.feed(&["produce", "t"], b"as it is\n").await.exits(0);

    // As a newer version of what runs, it changes nothing.
    let stamp = r#""stamp-old""#;
    cli.run(&["plugin", "attach", "t", "hostile", "--config", stamp]).await.exits(0);
    cli.run(&["plugin", "install", "hostile", "stuck"]).await.exits(0);
    let attach = ["plugin", "attach", "t", "hostile", "--config", r#""stamp-new""#];
    let refused = cli.run(&[&attach[..], &["--time-limit", "300ms"]].concat()).await;
    assert_one_line(&refused.fails(1, &["hostile", late]).err);
    cli.feed(&["produce", "t"], b"and then\n").await.exits(0);
    assert_eq!(values(&consume(&site.client, "t").await), ["as it is", "and then|old"]);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_of_another_contract_leaves_what_runs_as_it_is() {
    let site = Site::start().await;
    let cli = site.node.cli();
    site.client.create_topic(name("t"), TopicConfig::default(), false).await.unwrap();
    let stamp = r#""stamp-old""#;
    cli.run(&["plugin", "attach", "t", "hostile", "--config", stamp]).await.exits(0);
    let producer = site.client.producer(name("t"), ProducerConfig::default()).await.unwrap();
    producer.send(ProducerRecord::new("before")).await.unwrap().await.unwrap();
    let newer = of_another_contract(HOSTILE);
    std::fs::write(site.node.data().parent().unwrap().join("newer"), newer).unwrap();
    let refused = cli.run(&["plugin", "install", "hostile", "newer"]).await;
    let words = "built against tidegate:plugin@0.9.0; this node knows 0.1.0";
    assert_one_line(&refused.fails(1, &["hostile", words]).err);
    producer.send(ProducerRecord::new("after")).await.unwrap().await.unwrap();
    let shown = cli.run(&["plugin", "show", "hostile", "--output", "json"]).await.exits(0).json();
    assert_eq!(shown["versions"].as_array().unwrap().len(), 1);
    assert_eq!(values(&consume(&site.client, "t").await), ["before|old", "after|old"]);
    site.finish().await;
}
