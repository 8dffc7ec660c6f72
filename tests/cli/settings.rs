//! Settings from files, environment and flags, and the complaints about wrong ones.

use std::path::Path;

use serde_json::Value;
use tidegate_tests::Cli;

fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join("tidegate.toml"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let cli = Cli::new(folder.path());
    cli.run(&["config", "check"]).await.exits(0);
    write(folder.path(), "[node]\nsite = \"edge\"\n\n[listener]\nnatve = \"127.0.0.1:0\"\n");
    let told = cli.run(&["config", "check"]).await.exits(1);
    for part in ["tidegate.toml", "5", "natve", "native"] {
        assert!(told.err.contains(part), "{part} is missing in\n{}", told.err);
    }
    let json = cli.run(&["config", "check", "--output", "json"]).await.exits(1).json();
    assert_eq!((&json["ok"], &json["problems"][0]["line"]), (&Value::Bool(false), &5.into()));
    cli.run(&["serve"]).await.fails(1, &["natve", "native"]);

    write(folder.path(), "[node]\nid = \"one\"\n[listener]\nnative = 7\n");
    let told = cli.run(&["config", "check", "tidegate.toml"]).await.exits(1).err;
    assert!(told.contains("node.id") && told.contains("listener.native"), "{told}");
    cli.run(&["config", "check", "none.toml"]).await.fails(1, &["none.toml"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flags_go_before_the_environment_and_that_before_the_file() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "[client]\nserver = \"file:1\"\ntimeout = \"1s\"\n[node]\nsite = \"file\"\n",
    );
    let cli = Cli::new(folder.path()).with("TIDEGATE_SERVER", "env:2").with("TIDEGATE_SITE", "env");
    let show = ["config", "show", "--output", "json", "--server", "flag:3"];
    let shown = cli.run(&show).await.exits(0).json();
    let value = |key: &str| {
        let all = shown.as_array().unwrap();
        all.iter().find(|setting| setting["key"] == key).unwrap()["value"].clone()
    };
    assert_eq!(value("client.server"), "flag:3");
    assert_eq!(value("node.site"), "env");
    assert_eq!(value("client.timeout"), "1s");
    cli.run(&["status", "--server", "nowhere"]).await.fails(2, &["--server"]);
    let misspelt = cli.with("TIDEGATE_SEVER", "x");
    let warned = misspelt.run(&["config", "show"]).await.exits(0).err;
    assert!(warned.contains("TIDEGATE_SEVER") && warned.contains("TIDEGATE_SERVER"), "{warned}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn init_makes_what_serve_needs_and_keeps_what_exists() {
    let folder = tempfile::tempdir().unwrap();
    let cli = Cli::new(folder.path());
    cli.run(&["init", "--site", "berlin"]).await.exits(0);
    let tls = folder.path().join("tidegate-data/tls");
    let authority = std::fs::read(tls.join("ca.pem")).unwrap();
    let settings = std::fs::read_to_string(folder.path().join("tidegate.toml")).unwrap();
    assert!(settings.contains("berlin"), "{settings}");
    cli.run(&["config", "check"]).await.exits(0);
    cli.run(&["init", "--site", "berlin"]).await.exits(0);
    assert_eq!(std::fs::read(tls.join("ca.pem")).unwrap(), authority);
    cli.run(&["init", "--site", "paris"]).await.fails(1, &["berlin", "paris"]);
    let completions = cli.run(&["completions", "bash"]).await.exits(0).out;
    assert!(completions.contains("consume"));
    assert!(cli.run(&["--version"]).await.exits(0).out.starts_with("tidegate "));
    assert!(cli.run(&["--help"]).await.exits(0).out.contains("Exit codes"));
}
