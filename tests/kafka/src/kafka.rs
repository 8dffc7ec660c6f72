//! A real Kafka of one node, from `tests/interop/kafka.sh`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::{Broker, SchemaError, Schemas, free_ports};

/// Memory for the node: it holds a few hundred small topics.
const HEAP: &str = "512M";

/// Kafka's jars, and the nodes started from them.
pub struct Kafka {
    broker: Broker,
    script: PathBuf,
    data: TempDir,
}

impl Kafka {
    /// Fetches the jars once. `None` where Java or Maven is missing: such a machine cannot compare.
    ///
    /// # Panics
    /// If the jars cannot be fetched.
    #[must_use]
    pub fn available() -> Option<()> {
        for tool in ["java", "mvn", "python3"] {
            let found = Command::new(tool)
                .arg(if tool == "python3" { "--version" } else { "-version" })
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success());
            if !found {
                eprintln!("no {tool} here, so no Kafka to compare with");
                return None;
            }
        }
        check("get", &Command::new(script()).arg("get").output().expect("the script runs"));
        Some(())
    }

    /// The requests and answers that this Kafka knows, from the definitions in its jar.
    ///
    /// # Errors
    /// If the jar cannot be read.
    pub fn schemas() -> Result<Schemas, SchemaError> {
        Schemas::from_jars(&home().join("libs"))
    }

    /// Starts a node with an empty data folder and waits until it answers.
    ///
    /// # Panics
    /// If it does not come up.
    #[must_use]
    pub fn start() -> Kafka {
        let data = tempfile::Builder::new()
            .prefix("tidegate-kafka-peer-")
            .tempdir()
            .expect("a temporary folder");
        let port = free_ports();
        let kafka = Kafka { broker: Broker::on(port), script: script(), data };
        // The node outlives the script and must not hold the pipes that `output` reads.
        check("start", &kafka.command("start").output().expect("the script runs"));
        kafka
    }

    /// Its listener.
    #[must_use]
    pub fn broker(&self) -> Broker {
        self.broker
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.script);
        command
            .arg(verb)
            .env("KAFKA_DATA", self.data.path())
            .env("KAFKA_PORT", self.broker.address.port().to_string())
            .env("KAFKA_HEAP", HEAP)
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let _ = self.command("stop").output();
    }
}

fn check(verb: &str, output: &Output) {
    assert!(
        output.status.success(),
        "kafka.sh {verb}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

fn checkout() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.ancestors().nth(2).expect("the checkout").to_owned()
}

fn script() -> PathBuf {
    checkout().join("tests/interop/kafka.sh")
}

/// Where the script keeps the jars.
fn home() -> PathBuf {
    if let Some(home) = std::env::var_os("KAFKA_HOME") {
        return home.into();
    }
    match std::env::var_os("TIDEGATE_INTEROP_CACHE") {
        Some(cache) => PathBuf::from(cache).join("kafka"),
        None => checkout().join("target/interop/kafka"),
    }
}
