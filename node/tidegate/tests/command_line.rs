//! The program from outside, without a node: usage, settings, exit codes.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use tempfile::TempDir;

/// The program in a folder of its own, with no settings from this process.
fn tidegate(dir: &Path, line: &str) -> Command {
    let mut command = Command::cargo_bin("tidegate").unwrap();
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDEGATE_")) {
        command.env_remove(name);
    }
    command.current_dir(dir).args(line.split_whitespace());
    command
}

fn run(dir: &Path, line: &str) -> Output {
    tidegate(dir, line).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn wrong_usage_ends_with_2_and_says_nothing_on_standard_output() {
    let dir = folder();
    for line in [
        "",
        "frobnicate",
        "topic create",
        "topic create a/b/c",
        "produce orders --acks 7",
        "consume orders -f %q",
        "consume orders --output json -f %s",
        "status --timeout soon",
        "status --server nowhere",
        "serve --node minus-one",
    ] {
        let output = run(dir.path(), line);
        assert_eq!(output.status.code(), Some(2), "{line}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{line}");
        assert!(!output.stderr.is_empty(), "{line}");
    }
}

#[test]
fn help_and_version_end_with_0() {
    let dir = folder();
    for line in ["--help", "--version", "help topic", "consume --help"] {
        let output = run(dir.path(), line);
        assert_eq!(output.status.code(), Some(0), "{line}");
        assert!(!output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn a_missing_certificate_is_told_with_the_way_out() {
    let dir = folder();
    let output = run(dir.path(), "status");
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("tidegate-data/tls/ca.pem"), "{told}");
    assert!(told.contains("`tidegate serve`") && told.contains("--tls"), "{told}");
}

#[test]
fn a_node_that_does_not_answer_ends_with_5() {
    let dir = folder();
    assert_eq!(run(dir.path(), "init --site edge").status.code(), Some(0));
    // A socket that takes every packet and never answers.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    for command in ["status", "topic list", "produce orders", "consume orders -e"] {
        let line = format!("{command} --server {address} --timeout 300ms");
        let output = tidegate(dir.path(), &line).write_stdin("record\n").output().unwrap();
        assert_eq!(output.status.code(), Some(5), "{line}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn init_makes_what_serve_would_and_keeps_what_is_there() {
    let dir = folder();
    let output = run(dir.path(), "init --site edge --node 7 --name gw.example");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for file in ["ca.pem", "node.pem", "node.key", "client.pem", "client.key"] {
        assert!(dir.path().join("tidegate-data/tls").join(file).exists(), "{file}");
    }
    let settings = std::fs::read_to_string(dir.path().join("tidegate.toml")).unwrap();
    for line in ["site = \"edge\"", "id = 7", "names = [\"gw.example\"]", "# native = "] {
        assert!(settings.contains(line), "{line} is missing in\n{settings}");
    }
    let authority = std::fs::read(dir.path().join("tidegate-data/tls/ca.pem")).unwrap();
    let again = run(dir.path(), "init --output json");
    let told: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((&told["site"], &told["settings_written"]), (&"edge".into(), &false.into()));
    assert_eq!(std::fs::read(dir.path().join("tidegate-data/tls/ca.pem")).unwrap(), authority);
    let other = run(dir.path(), "init --site other");
    assert_eq!(other.status.code(), Some(1), "the folder belongs to another site");
}

#[test]
fn config_check_names_wrong_keys_with_their_lines() {
    let dir = folder();
    let path = dir.path().join("bad.toml");
    std::fs::write(&path, "[node]\nsite = \"edge\"\nlisten = 1\n\n[log]\nformat = \"xml\"\n")
        .unwrap();
    let output = run(dir.path(), "config check bad.toml");
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("bad.toml:3: unknown key `node.listen`"), "{told}");
    assert!(told.contains("bad.toml:6: `log.format`: \"xml\" is no log format"), "{told}");
    assert!(output.stdout.is_empty());

    let output = run(dir.path(), "config check bad.toml --output json");
    assert_eq!(output.status.code(), Some(1));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["ok"], false);
    assert_eq!(told["problems"][0]["line"], 3);
    assert_eq!(told["problems"][0]["key"], "node.listen");
    assert_eq!(told["problems"][1]["line"], 6);

    std::fs::write(&path, "[node]\nsite = \"edge\"\n").unwrap();
    let output = run(dir.path(), "config check bad.toml");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "bad.toml: ok\n"));
}

#[test]
fn settings_come_from_file_environment_and_flags_in_rising_priority() {
    let dir = folder();
    std::fs::write(
        dir.path().join("tidegate.toml"),
        "[client]\nserver = \"file:1\"\ntimeout = \"1s\"\n",
    )
    .unwrap();
    let output = tidegate(dir.path(), "config show --output json --timeout 3s")
        .env("TIDEGATE_SERVER", "variable:2")
        .env("TIDEGATE_TIMEOUT", "2s")
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let find = |key: &str| {
        let found = told.as_array().unwrap().iter().find(|setting| setting["key"] == key);
        let setting = found.unwrap();
        (
            setting["value"].as_str().unwrap().to_owned(),
            setting["source"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(find("client.server"), ("variable:2".into(), "TIDEGATE_SERVER".into()));
    assert_eq!(find("client.timeout"), ("3s".into(), "--timeout".into()));
    assert_eq!(find("node.site"), ("local".into(), "default".into()));
}

#[test]
fn a_wrong_setting_in_a_file_fails_every_command_with_1() {
    let dir = folder();
    std::fs::write(dir.path().join("tidegate.toml"), "[nodes]\nid = 1\n").unwrap();
    let output = run(dir.path(), "status");
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(
        told.contains("tidegate.toml:1: unknown key `nodes`; did you mean `[node]`?"),
        "{told}"
    );
}

#[test]
fn a_misspelt_variable_is_pointed_out() {
    let dir = folder();
    let output = tidegate(dir.path(), "config show").env("TIDEGATE_SERVR", "h:1").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("did you mean TIDEGATE_SERVER?"));
}

#[test]
fn input_that_is_missing_is_told_before_anything_is_sent() {
    let dir = folder();
    for (line, told) in [
        ("produce orders --file none.txt", "cannot read none.txt"),
        ("plugin install mine none.wasm", "cannot read none.wasm"),
        ("link add up --invitation none.toml --topic orders", "cannot read none.toml"),
    ] {
        let output = run(dir.path(), line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(text(&output.stderr).contains(told), "{line}: {}", text(&output.stderr));
    }
    let output = run(dir.path(), "plugin install nothing-of-ours");
    assert_eq!(output.status.code(), Some(3));
    let output = run(dir.path(), "plugin attach orders mine --config {low:1}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn completions_are_printed_for_each_shell() {
    let dir = folder();
    for shell in ["bash", "zsh", "fish"] {
        let output = run(dir.path(), &format!("completions {shell}"));
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(text(&output.stdout).contains("tidegate"), "{shell}");
    }
}

#[test]
fn a_plugin_is_written_and_what_cannot_be_is_told() {
    let dir = folder();
    let output = run(dir.path(), "plugin new hot --lang c --kind transform --output json");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["language"], &told["kind"]), (&"c".into(), &"transform".into()));
    assert!(dir.path().join("hot/src/plugin.c").is_file());
    for (line, code, message) in [
        ("plugin new hot --lang c", 1, "not empty"),
        ("plugin new Hot --lang c", 2, "cannot name a project"),
        ("plugin new rs --lang rust --sdk hot", 2, "is not the SDK"),
        ("plugin build", 3, "tidegate plugin new"),
        ("plugin test hot", 3, "tidegate plugin build"),
        ("plugin test hot/README.md", 1, "not WebAssembly"),
        ("plugin bench nothing", 1, "cannot read nothing"),
    ] {
        let output = run(dir.path(), line);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {told}");
        assert!(told.contains(message), "{line}: {told}");
    }
}

#[test]
fn a_tool_that_is_missing_is_told_with_where_it_comes_from() {
    let dir = folder();
    assert_eq!(run(dir.path(), "plugin new hot --lang c").status.code(), Some(0));
    let empty = folder();
    let mut command = tidegate(dir.path(), "plugin build hot");
    // The first step, mkdir, is of the system; nothing else is.
    std::os::unix::fs::symlink("/bin/mkdir", empty.path().join("mkdir")).unwrap();
    let output = command.env("PATH", empty.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("clang is not installed") && told.contains("apt-get install"), "{told}");
}
