//! Real series and logs, end to end: produced from their files, through stock plugins, over a link,
//! consumed at the region. What is expected is computed here by code of its own.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod expect;

use std::path::{Path, PathBuf};

use serde_json::Value;
use tidegate_tests::{Node, Ran, link};

use expect::{is_outside, mask_ipv4};

/// A file of the data sets; `None`, with a note, where they are not at hand.
fn data_set(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    let found = path.is_file();
    if !found {
        println!("skipped: {} is not there", path.display());
    }
    found.then_some(path)
}

struct Sites {
    edge: Node,
    region: Node,
}

impl Sites {
    /// Two sites, a topic, and its plugins in their order, each with its configuration.
    async fn start(topic: &str, plugins: &[(&str, &str)]) -> Sites {
        let (edge, region) = (Node::start("edge").await, Node::start("region").await);
        let cli = edge.cli();
        cli.run(&["topic", "create", topic]).await.exits(0);
        for (plugin, config) in plugins {
            cli.run(&["plugin", "install", plugin]).await.exits(0);
            let attach = ["plugin", "attach", topic, plugin, "--config", config];
            cli.run(&attach).await.exits(0);
        }
        link::join(&edge, &region, region.address(), &[topic]).await;
        Sites { edge, region }
    }

    /// Produces the lines of a file, and waits until they are at the region.
    async fn produce(&self, topic: &str, file: &Path) {
        let file = file.to_str().unwrap();
        self.edge.cli().run(&["produce", topic, "--file", file]).await.exits(0);
        link::identical(&self.edge, &self.region, topic, 1).await;
    }

    /// The values of the mirror, consumed at the region.
    async fn arrived(&self, topic: &str) -> Vec<String> {
        let mirror = format!("{}/{topic}", self.edge.site());
        let consume = ["consume", &mirror, "-o", "start", "-e", "-f", "%s\\n"];
        lines(&self.region.cli().run(&consume).await.exits(0))
    }

    /// The dead letters of a topic, at the edge.
    async fn dead(&self, topic: &str) -> Vec<String> {
        let dead = format!("{topic}.dead");
        let consume = ["consume", &dead, "-o", "start", "-e", "-f", "%s\\n"];
        lines(&self.edge.cli().run(&consume).await.exits(0))
    }
}

fn lines(ran: &Ran) -> Vec<String> {
    split(&ran.out)
}

fn read(path: &Path) -> Vec<String> {
    split(&std::fs::read_to_string(path).unwrap())
}

/// Lines without their newline; a carriage return before it belongs to the line.
fn split(text: &str) -> Vec<String> {
    text.strip_suffix('\n').unwrap_or(text).split('\n').map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_band_on_machine_temperatures_lets_the_outliers_through() {
    let Some(path) = data_set("machine_temperature.csv") else { return };
    let config = r#"{"format": "csv", "column": 1, "low": 60, "high": 100}"#;
    let sites = Sites::start("temperature", &[("threshold", config)]).await;
    sites.produce("temperature", &path).await;

    let series = read(&path);
    let (header, series) = series.split_first().unwrap();
    let expected: Vec<&str> =
        series.iter().map(String::as_str).filter(|line| is_outside(line, 60.0, 100.0)).collect();
    assert!(!expected.is_empty() && expected.len() < series.len() / 2, "the band means something");
    assert_eq!(sites.arrived("temperature").await, expected);
    // The line of titles holds no number: it is the one record that failed.
    assert_eq!(sites.dead("temperature").await, [header.as_str()]);

    let shown = sites.edge.cli().run(&["plugin", "show", "threshold", "--output", "json"]).await;
    let stats = shown.exits(0).json()["attachments"][0]["stats"].clone();
    assert_eq!(stats["dropped"], series.len() - expected.len(), "{stats}");
    assert_eq!(stats["failed"], 1, "{stats}");
    println!("{} of {} readings lie outside", expected.len(), series.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_are_masked_and_nothing_else_is_changed() {
    let Some(path) = data_set("openssh_2k.log") else { return };
    let sites = Sites::start("ssh", &[("redact", r#"{"kinds": ["ipv4"]}"#)]).await;
    sites.produce("ssh", &path).await;
    let original = read(&path);
    let expected: Vec<String> = original.iter().map(|line| mask_ipv4(line)).collect();
    let masked = original.iter().zip(&expected).filter(|(a, b)| a != b).count();
    assert!(masked > 1_000, "the log is full of addresses");
    let arrived = sites.arrived("ssh").await;
    for (line, (arrived, expected)) in arrived.iter().zip(&expected).enumerate() {
        assert_eq!(arrived, expected, "line {}", line + 1);
    }
    assert_eq!(arrived.len(), expected.len());
    println!("{masked} of {} lines had addresses", original.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sshd_lines_become_fields() {
    let Some(path) = data_set("openssh_2k.log") else { return };
    let sites = Sites::start("ssh", &[("parse-log", "{}")]).await;
    sites.produce("ssh", &path).await;
    let original = read(&path);
    let parsed = objects(&sites.arrived("ssh").await);
    check_events(&original, &parsed);
    for (line, object) in original.iter().zip(&parsed) {
        let message = object["message"].as_str().unwrap();
        let line = line.trim_end_matches('\r');
        assert!(!message.is_empty() && line.ends_with(message), "{line}\n{object}");
        assert!(line.contains(&format!("sshd[{}]", object["pid"])), "{line}\n{object}");
        assert_eq!(object["host"], "LabSZ");
        if let Some(ip) = object["ip"].as_str() {
            assert!(line.contains(ip), "{line}\n{object}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_masks_first_and_parses_then() {
    let Some(path) = data_set("openssh_2k.log") else { return };
    let plugins = [("redact", r#"{"kinds": ["ipv4"]}"#), ("parse-log", "{}")];
    let sites = Sites::start("ssh", &plugins).await;
    sites.produce("ssh", &path).await;
    let original = read(&path);
    let arrived = sites.arrived("ssh").await;
    for value in &arrived {
        assert_eq!(mask_ipv4(value), *value, "an address is left");
    }
    let parsed = objects(&arrived);
    check_events(&original, &parsed);
    for (line, object) in original.iter().zip(&parsed) {
        let message = object["message"].as_str().unwrap();
        let line = line.trim_end_matches('\r');
        assert!(mask_ipv4(line).ends_with(message), "{line}\n{object}");
    }
}

fn objects(values: &[String]) -> Vec<Value> {
    values.iter().map(|value| serde_json::from_str(value).unwrap()).collect()
}

/// Counts of events against counts of lines that have their words.
fn check_events(original: &[String], parsed: &[Value]) {
    assert_eq!(parsed.len(), original.len());
    for (event, words) in [
        // Behind `message repeated 2 times: [` as well.
        ("failed_password", "Failed password for"),
        ("accepted_password", "]: Accepted password for"),
        ("invalid_user", "]: Invalid user "),
        ("pam_unknown_user", "]: pam_unix(sshd:auth): check pass; user unknown"),
    ] {
        let expected = original.iter().filter(|line| line.contains(words)).count();
        let found = parsed.iter().filter(|object| object["event"] == event).count();
        assert_eq!(found, expected, "{event}");
        assert!(expected > 0, "{event} is in no line");
    }
}
