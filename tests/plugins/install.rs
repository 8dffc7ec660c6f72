//! Files that cannot be installed: each is refused with its reason, through the command line.

use tidegate_test_guests::KEEP;
use tidegate_tests::Node;

use crate::support::{assert_one_line, of_another_contract};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_plugin_is_refused_with_the_reason() {
    let node = Node::start("edge").await;
    let cli = node.cli();
    let folder = node.data().parent().unwrap();
    let newer = of_another_contract(KEEP);
    let bad: [(&str, &[u8], &[&str]); 5] = [
        ("newer", &newer, &["0.9.0", "0.1.0"]),
        ("core", b"\0asm\x01\0\0\0", &["core module", "wasm32-wasip2"]),
        ("text", b"#!/bin/sh\necho hello\n", &["not WebAssembly"]),
        ("empty", b"", &["not WebAssembly"]),
        ("cut", &KEEP[..KEEP.len() / 2], &["damaged component"]),
    ];
    for (name, bytes, reasons) in bad {
        std::fs::write(folder.join(name), bytes).unwrap();
        let refused = cli.run(&["plugin", "install", name, name]).await.fails(1, reasons);
        assert_one_line(&refused.err);
        cli.run(&["plugin", "show", name]).await.fails(3, &[name]);
    }
    assert_eq!(cli.run(&["plugin", "list", "--output", "json"]).await.exits(0).out.trim(), "[]");

    cli.run(&["plugin", "install", "gone", "no/such/file"]).await.fails(1, &["no/such/file"]);
    cli.run(&["plugin", "install", "no such name"]).await.fails(2, &["' '"]);
    cli.run(&["plugin", "install"]).await.fails(2, &["NAME"]);
    cli.run(&["plugin", "install", "unknown-stock"]).await.fails(3, &["threshold"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_attached_is_refused_with_the_reason() {
    let node = Node::start("edge").await;
    let cli = node.cli();
    cli.run(&["topic", "create", "here"]).await.exits(0);
    cli.run(&["plugin", "install", "threshold"]).await.exits(0);
    let attach = async |topic: &str, plugin: &str, config: &str| {
        cli.run(&["plugin", "attach", topic, plugin, "--config", config]).await
    };
    let good = r#"{"format": "text", "low": 1, "high": 2}"#;
    attach("nowhere", "threshold", good).await.fails(3, &["nowhere"]);
    attach("here", "nothing", good).await.fails(3, &["nothing"]);
    attach("here", "threshold", r#"{"low": 3, "high": 2}"#).await.fails(1, &["above"]);
    attach("here", "threshold", r#"{"lwo": 3}"#).await.fails(1, &["lwo"]);
    attach("here", "threshold", "{low: 3}").await.fails(2, &["JSON"]);
    let topic = cli.run(&["topic", "describe", "here", "--output", "json"]).await.exits(0).json();
    assert_eq!(topic["plugins"], serde_json::json!([]));
    attach("here", "threshold", good).await.exits(0);
    let topic = cli.run(&["topic", "describe", "here", "--output", "json"]).await.exits(0).json();
    assert_eq!(topic["plugins"][0]["plugin"], "threshold");
    cli.run(&["plugin", "detach", "here", "threshold"]).await.exits(0);
    cli.run(&["plugin", "detach", "here", "threshold"]).await.fails(3, &["threshold"]);
}
