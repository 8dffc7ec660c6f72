//! The serving process: one per data folder, stopped by signals, quick to start again.

use std::process::Stdio;
use std::time::Duration;

use tidegate_tests::{Cli, Load, Node, check_log, files, program};
use tidegate_types::TopicConfig;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_do_not_serve_from_one_folder() {
    let node = Node::start("edge").await;
    let data = node.data().to_str().unwrap();
    let elsewhere = Cli::new(node.data().parent().unwrap());
    let second = ["serve", "--data", data, "--site", "edge", "--listen", "127.0.0.1:0"];
    elsewhere.run(&second).await.fails(1, &[data, "another"]);
    let taken = tempfile::tempdir().unwrap();
    let address = node.address().to_string();
    let same_port = ["serve", "--site", "edge", "--listen", &address];
    Cli::new(taken.path()).run(&same_port).await.fails(1, &[&address]);
    node.client().await.status().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_keeps_its_site() {
    let mut node = Node::start("edge").await;
    node.stop().await;
    let data = node.data().to_str().unwrap();
    let renamed = ["serve", "--data", data, "--site", "berlin", "--listen", "127.0.0.1:0"];
    Cli::new(node.data().parent().unwrap()).run(&renamed).await.fails(1, &["edge", "berlin"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_stops_a_busy_node_cleanly_and_soon() {
    let mut node = Node::start("edge").await;
    let client = node.client().await;
    client.create_topic("t".parse().unwrap(), TopicConfig::default(), false).await.unwrap();
    let id = client.describe_topic("t".parse().unwrap()).await.unwrap().id;
    let load = Load::start(client, "t", 1, 0, Duration::from_millis(2));
    load.progress(200).await;
    let (status, took) = node.stop().await;
    assert!(status.success(), "{status}\n{}", node.log());
    assert!(took < Duration::from_secs(10), "it took {took:?} to stop");
    // The producer waits for the node, which takes up where it stopped.
    node.restart().await;
    load.progress(100).await;
    let acked = load.finish().await;
    check_log(&acked, &[files::read_partition(node.data(), id, 0)]);
    let (status, took) = node.stop().await;
    assert!(status.success() && took < Duration::from_secs(5), "{status}, after {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_follows_until_its_reader_goes_away() {
    let node = Node::start("edge").await;
    let cli = node.cli();
    cli.run(&["topic", "create", "t"]).await.exits(0);
    let mut follower = Command::new(program())
        .args(["consume", "t", "--server", &node.address().to_string(), "--tls"])
        .arg(node.data().join("tls"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    for word in ["one", "two"] {
        cli.feed(&["produce", "t"], format!("{word}\n").as_bytes()).await.exits(0);
        let line = tokio::time::timeout(tidegate_tests::PATIENCE, lines.next_line()).await;
        assert_eq!(line.unwrap().unwrap().as_deref(), Some(word));
    }
    drop(lines);
    // It finds the pipe closed when it has something to write.
    cli.feed(&["produce", "t"], b"three\n").await.exits(0);
    let status = tokio::time::timeout(tidegate_tests::PATIENCE, follower.wait()).await;
    let mut said = String::new();
    follower.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
    assert_eq!(status.unwrap().unwrap().code(), Some(0), "{said}");
}
