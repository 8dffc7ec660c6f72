//! The program as a user meets it: from an empty folder, command by command, with what it prints
//! and how it exits.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod process;
mod settings;
mod upkeep;

use serde_json::{Value, json};
use tidegate_tests::{Cli, Node, eventually, free_port};

async fn json_of(cli: &Cli, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--output", "json"]].concat();
    cli.run(&arguments).await.exits(0).json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_made_listed_described_and_deleted() {
    let node = Node::start("edge").await;
    let cli = node.cli();
    assert_eq!(json_of(&cli, &["topic", "list"]).await, json!([]));
    cli.run(&["topic", "create", "orders", "--partitions", "3"]).await.exits(0);
    cli.run(&["topic", "create", "orders"]).await.fails(1, &["orders"]);
    let again = ["topic", "create", "orders", "--partitions", "3", "--if-not-exists"];
    cli.run(&again).await.exits(0);
    let topic = json_of(&cli, &["topic", "describe", "orders"]).await;
    assert_eq!(topic["name"], "orders");
    assert_eq!(topic["partitions"].as_array().unwrap().len(), 3);
    assert_eq!(topic["partitions"][2]["high_watermark"], 0);
    assert!(cli.run(&["topic", "list"]).await.exits(0).out.contains("orders"));
    let status = json_of(&cli, &["status"]).await;
    assert_eq!((&status["site"], &status["topics"]), (&json!("edge"), &json!(1)));

    cli.run(&["topic", "delete", "orders"]).await.exits(0);
    cli.run(&["topic", "delete", "orders"]).await.fails(3, &["orders"]);
    cli.run(&["topic", "describe", "orders"]).await.fails(3, &["orders"]);
    cli.run(&["consume", "orders", "-e"]).await.fails(3, &["orders"]);
    cli.feed(&["produce", "orders"], b"lost\n").await.fails(3, &["orders"]);
    cli.run(&["topic", "create", "no/such/name"]).await.fails(2, &["no/such/name"]);
    cli.run(&["topic", "crate", "x"]).await.fails(2, &["create"]);
    cli.run(&[]).await.exits(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_go_in_and_records_come_out_in_any_format() {
    let node = Node::start("edge").await;
    let cli = node.cli();
    cli.run(&["topic", "create", "t"]).await.exits(0);
    let input = b"alpha\nbeta\n\ngamma";
    let produced = cli.feed(&["produce", "t", "--output", "json"], input).await.exits(0).json();
    assert_eq!((&produced["topic"], &produced["records"]), (&json!("t"), &json!(4)));
    assert_eq!(produced["bytes"], 14);

    let all = ["consume", "t", "-o", "start", "-e"];
    assert_eq!(cli.run(&all).await.exits(0).out, "alpha\nbeta\n\ngamma\n");
    let keyed = ["produce", "t", "-K", ":", "-H", "unit=C", "-z", "zstd"];
    cli.feed(&keyed, b"k1:v1\nk2:v:2\n").await.exits(0);
    let format = ["consume", "t", "-o", "4", "-e", "-f", "%t/%p@%o %k(%K)=%s(%S) %h%%\\n"];
    let formatted = cli.run(&format).await.exits(0).out;
    assert_eq!(formatted, "t/0@4 k1(2)=v1(2) unit=C%\nt/0@5 k2(2)=v:2(3) unit=C%\n");
    assert_eq!(cli.run(&["consume", "t", "-o", "-1", "-e"]).await.exits(0).out, "v:2\n");
    assert_eq!(cli.run(&["consume", "t", "-n", "2"]).await.exits(0).out, "alpha\nbeta\n");
    assert_eq!(cli.run(&["consume", "t", "-o", "end", "-e"]).await.exits(0).out, "");

    cli.feed(&["produce", "t"], b"\xff\xfe\n").await.exits(0);
    let out = cli.run(&["consume", "t", "-o", "5", "-e", "--output", "json"]).await.exits(0).out;
    let records: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 2);
    assert_eq!((&records[0]["key"], &records[0]["value"]), (&json!("k2"), &json!("v:2")));
    assert_eq!(records[0]["headers"], json!([{ "name": "unit", "value": "C" }]));
    assert_eq!((&records[1]["offset"], &records[1]["value_base64"]), (&json!(6), &json!("//4=")));

    cli.feed(&["produce", "t", "--partition", "7"], b"x\n").await.fails(3, &["7"]);
    cli.run(&["produce", "t", "--file", "no/such"]).await.fails(1, &["no/such"]);
    cli.run(&["consume", "t", "-f", "%q"]).await.fails(2, &["%q"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stock_plugin_is_installed_attached_shown_and_detached() {
    let node = Node::start("edge").await;
    let cli = node.cli();
    cli.run(&["topic", "create", "temp"]).await.exits(0);
    let stock = json_of(&cli, &["plugin", "list", "--stock"]).await;
    assert!(stock["stock"].as_array().unwrap().iter().any(|p| p["name"] == "threshold"), "{stock}");
    let installed = json_of(&cli, &["plugin", "install", "threshold"]).await;
    assert_eq!((&installed["name"], &installed["kind"]), (&json!("threshold"), &json!("filter")));
    assert_eq!(json_of(&cli, &["plugin", "install", "threshold"]).await["already"], true);

    let config = r#"{"format": "text", "low": 10, "high": 20}"#;
    let attach = ["plugin", "attach", "temp", "threshold", "--config", config];
    cli.run(&attach).await.exits(0);
    cli.feed(&["produce", "temp"], b"15\n25\nnone\n5\n").await.exits(0);
    let all = ["consume", "temp", "-e", "-o", "start"];
    assert_eq!(cli.run(&all).await.exits(0).out, "25\n5\n");
    let dead = ["consume", "temp.dead", "-e", "-f", "%s %h\\n"];
    let dead = cli.run(&dead).await.exits(0).out;
    assert!(dead.starts_with("none ") && dead.contains("tidegate.dead.plugin=threshold"), "{dead}");

    let shown = json_of(&cli, &["plugin", "show", "threshold"]).await;
    let attached = &shown["attachments"][0];
    assert_eq!(
        (&attached["topic"], &attached["on_error"]),
        (&json!("temp"), &json!("dead-letter"))
    );
    let stats = &attached["stats"];
    assert_eq!(
        (&stats["records"], &stats["dropped"], &stats["failed"]),
        (&json!(4), &json!(1), &json!(1))
    );
    let table = cli.run(&["plugin", "show", "threshold"]).await.exits(0).out;
    assert!(table.contains("ns") && table.contains("temp"), "{table}");

    cli.run(&["plugin", "detach", "temp", "threshold"]).await.exits(0);
    cli.feed(&["produce", "temp"], b"15\n").await.exits(0);
    assert_eq!(cli.run(&all).await.exits(0).out, "25\n5\n15\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sites_are_linked_by_an_invitation() {
    let (edge, region) = (Node::start("edge").await, Node::start("region").await);
    let (here, there) = (edge.cli(), region.cli());
    here.run(&["topic", "create", "temp"]).await.exits(0);
    here.feed(&["produce", "temp"], b"before\n").await.exits(0);
    let file = region.data().with_file_name("invitation");
    let file = file.to_str().unwrap();
    let invited = there.run(&["link", "invite", "edge", "--out", file]).await.exits(0);
    assert!(invited.err.contains("127.0.0.1"), "it warns of a loopback address: {}", invited.err);
    there.run(&["link", "invite", "edge", "--out", file]).await.fails(1, &["exists"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "others can read the key");
    }

    let add = |topic| ["link", "add", "up", "--invitation", file, "--topic", topic];
    here.run(&add("nothing")).await.fails(3, &["nothing"]);
    here.run(&add("temp")).await.exits(0);
    here.run(&add("temp")).await.fails(1, &["up"]);
    here.feed(&["produce", "temp"], b"after\n").await.exits(0);
    eventually("the link to have copied two records", async || {
        let link = json_of(&here, &["link", "status", "up"]).await;
        let done = link["state"] == "connected"
            && link["partitions"][0]["copied"] == 2
            && link["lag"] == 0
            && link["site"] == "region";
        if done { Ok(()) } else { Err(link.to_string()) }
    })
    .await;
    assert_eq!(there.run(&["consume", "edge/temp", "-e"]).await.exits(0).out, "before\nafter\n");
    let mirror = json_of(&there, &["topic", "describe", "edge/temp"]).await;
    assert_eq!(mirror["mirror_of"], "edge");
    there.feed(&["produce", "edge/temp"], b"no\n").await.fails(4, &["edge/temp"]);
    assert!(here.run(&["link", "list"]).await.exits(0).out.contains("up"));

    here.run(&["link", "remove", "up"]).await.exits(0);
    here.run(&["link", "status", "up"]).await.fails(3, &["up"]);
    here.run(&["link", "remove", "up"]).await.fails(3, &["up"]);
    here.run(&["link", "add", "x", "--invitation", "none", "--topic", "temp"])
        .await
        .fails(1, &["none"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_not_there_is_told_apart_from_one_that_refuses() {
    let mut node = Node::start("edge").await;
    let other = Node::start("other").await;
    let nobody = node.cli().with("TIDEGATE_TIMEOUT", "500ms");
    let nobody = nobody.with("TIDEGATE_SERVER", format!("127.0.0.1:{}", free_port()));
    nobody.run(&["status"]).await.fails(5, &["no answer from 127.0.0.1:"]);
    nobody.run(&["consume", "t", "-e"]).await.fails(5, &["no answer"]);
    // Certificates of one site are of no use at the other.
    let stranger = node.cli().with("TIDEGATE_SERVER", other.address());
    stranger.run(&["status"]).await.fails(4, &["certificate"]);
    let lost = node.cli().with("TIDEGATE_TLS", "/no/such/folder");
    lost.run(&["status"]).await.fails(1, &["/no/such/folder", "tidegate serve", "--tls"]);
    node.kill();
    let gone = node.cli().with("TIDEGATE_TIMEOUT", "500ms");
    gone.run(&["topic", "list"]).await.fails(5, &["no answer"]);
}
