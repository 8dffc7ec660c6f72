//! Logs that are looked after: settings at work, trims, and the offline check.

use serde_json::json;
use tidegate_tests::Node;
use tidegate_tests::files::partition_folder;

use super::json_of;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_shown_changed_and_checked() {
    let node = Node::start("edge").await;
    let cli = node.cli();
    let create = ["topic", "create", "t", "-c", "retention.ms=1h", "-c", "disk.full=drop-oldest"];
    cli.run(&create).await.exits(0);
    let described = cli.run(&["topic", "describe", "t"]).await.exits(0).out;
    for part in ["retention.ms", "1h", "disk.full", "drop-oldest"] {
        assert!(described.contains(part), "{part} is missing in\n{described}");
    }
    let told = cli.run(&["topic", "set", "t", "retention.ms=-1", "segment.bytes=1MiB"]).await;
    assert_eq!(told.exits(0).out.trim(), "topic t now has retention.ms=-1, segment.bytes=1MiB");
    let settings = &json_of(&cli, &["topic", "describe", "t"]).await["settings"];
    assert_eq!(settings["retention.ms"], "-1");
    assert_eq!(settings["segment.bytes"], "1048576");
    assert_eq!(settings["cleanup.policy"], "delete");

    cli.run(&["topic", "set", "t", "retention=1h"]).await.fails(2, &["retention.ms"]);
    cli.run(&["topic", "set", "t", "retention.ms=soon"])
        .await
        .fails(2, &["soon", "write a number with"]);
    cli.run(&["topic", "set", "t", "retention.ms"]).await.fails(2, &["NAME=VALUE"]);
    cli.run(&["topic", "set", "u", "flush=os"]).await.fails(3, &["u"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_trimmed_to_a_position() {
    let node = Node::start("edge").await;
    let cli = node.cli();
    cli.run(&["topic", "create", "t"]).await.exits(0);
    cli.feed(&["produce", "t"], b"a\nb\nc\nd\n").await.exits(0);
    let trimmed = cli.run(&["topic", "trim", "t", "--to", "-2"]).await.exits(0).out;
    assert_eq!(trimmed, "t partition 0 begins at offset 2\n");
    assert_eq!(cli.run(&["consume", "t", "-o", "start", "-e"]).await.exits(0).out, "c\nd\n");
    cli.run(&["consume", "t", "-o", "1", "-e"]).await.fails(1, &["offset 1", "2 to 4"]);
    cli.run(&["topic", "trim", "t", "--to", "9"]).await.fails(1, &["offset 9", "2 to 4"]);
    cli.run(&["topic", "trim", "t", "-p", "4", "--to", "end"]).await.fails(3, &["partition 4"]);
    let topic = json_of(&cli, &["topic", "trim", "t", "--to", "end"]).await;
    assert_eq!(topic["partitions"][0]["log_start"], 4);
    cli.feed(&["produce", "t"], b"e\n").await.exits(0);
    let format = ["consume", "t", "-o", "start", "-e", "-f", "%o %s\\n"];
    assert_eq!(cli.run(&format).await.exits(0).out, "4 e\n");
    let storage = &json_of(&cli, &["status"]).await["storage"];
    assert!(storage["free_bytes"].as_u64().is_some_and(|free| free > 0), "{storage}");
    assert_eq!(storage["full"], json!(null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_found_offline_repaired_and_never_hidden() {
    let mut node = Node::start("edge").await;
    let cli = node.cli().with("TIDEGATE_DATA", node.data().display());
    cli.run(&["topic", "create", "t"]).await.exits(0);
    for line in ["first\n", "second\n", "third\n"] {
        cli.feed(&["produce", "t"], line.as_bytes()).await.exits(0);
    }
    cli.run(&["log", "check"]).await.fails(1, &["in use: stop the node first"]);
    let topic = node.client().await.describe_topic("t".parse().unwrap()).await.unwrap().id;
    node.stop().await;
    let sound = json_of(&cli, &["log", "check", "--deep"]).await;
    assert_eq!((&sound["sound"], &sound["logs"][0]["topic"]), (&json!(true), &json!("t")));
    assert_eq!(sound["logs"][0]["records"], 3);

    let segment = partition_folder(node.data(), topic, 0).join("00000000000000000000.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(6).position(|window| window == b"second").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let found = cli.run(&["log", "check"]).await.exits(1);
    assert!(found.out.contains("records lost"), "{}", found.out);
    assert!(found.err.contains("--repair"), "{}", found.err);
    let repaired = cli.run(&["log", "check", "--repair"]).await.exits(0).out;
    assert!(repaired.contains("repaired: "), "{repaired}");
    let again = json_of(&cli, &["log", "check"]).await;
    assert_eq!(again["logs"][0]["problems"][0]["problem"], "recorded-gap", "{again}");

    node.restart().await;
    let stopped = cli.run(&["consume", "t", "-o", "0", "-e"]).await.exits(1);
    assert_eq!(stopped.out, "first\n");
    assert!(stopped.err.contains("1 to 2"), "{}", stopped.err);
    assert_eq!(cli.run(&["consume", "t", "-o", "2", "-e"]).await.exits(0).out, "third\n");
    let status = json_of(&cli, &["status"]).await;
    assert_eq!(
        status["damaged"][0],
        json!({ "topic": "t", "partition": 0, "first": 1, "end": 2, "bytes": null })
    );

    let nowhere = node.data().join("nowhere");
    let nowhere = ["log", "check", "--data", nowhere.to_str().unwrap()];
    cli.run(&nowhere).await.fails(3, &["no logs in"]);
}
