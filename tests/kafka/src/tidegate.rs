//! A Tidegate node as a process, seen through its Kafka listener.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::program::program;
use crate::{Broker, free_ports};

/// How long a node may take until it serves.
const START: Duration = Duration::from_secs(30);

/// Partitions of a topic that its client does not size.
pub const PARTITIONS: usize = 4;

/// A running node with a data folder of its own. Dropping it kills it.
pub struct Tidegate {
    broker: Broker,
    child: Child,
    data: TempDir,
    native: String,
}

impl Tidegate {
    /// Starts a node with an empty data folder and waits until it serves. As with the Kafka beside
    /// it, topics that clients do not size get four partitions, and its number is 0.
    ///
    /// # Panics
    /// If it does not come up; what it said is part of the message.
    #[must_use]
    pub fn start() -> Tidegate {
        let data = tempfile::Builder::new()
            .prefix("tidegate-kafka-")
            .tempdir()
            .expect("a temporary folder");
        let port = free_ports();
        let native = format!("127.0.0.1:{}", port + 1);
        let mut child = Command::new(program())
            .arg("serve")
            .arg("--data")
            .arg(data.path())
            .args(["--listen", &native])
            .args(["--kafka", &format!("127.0.0.1:{port}")])
            .env("TIDEGATE_KAFKA_PARTITIONS", PARTITIONS.to_string())
            .env("TIDEGATE_NODE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("a pipe");
        let mut stderr = child.stderr.take().expect("a pipe");
        let log = thread::spawn(move || {
            // Read to the end, so that a full pipe never stops the node.
            let mut said = Vec::new();
            let _ = stderr.read_to_end(&mut said);
            String::from_utf8_lossy(&said).into_owned()
        });
        let (ready, wait) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.starts_with("ready ") {
                    let _ = ready.send(());
                }
            }
        });
        if wait.recv_timeout(START).is_err() {
            let _ = child.kill();
            let _ = child.wait();
            let said = log.join().unwrap_or_default();
            panic!("tidegate did not become ready in {START:?}; it said:\n{said}");
        }
        Tidegate { broker: Broker::on(port), child, data, native }
    }

    /// Its Kafka listener.
    #[must_use]
    pub fn broker(&self) -> Broker {
        self.broker
    }

    /// Runs a command of `tidegate` against the node.
    ///
    /// # Panics
    /// If it fails; what it said is part of the message.
    pub fn command(&self, arguments: &[&str]) {
        let output = Command::new(program())
            .args(arguments)
            .env("TIDEGATE_SERVER", &self.native)
            .env("TIDEGATE_TLS", self.data.path().join("tls"))
            .env("TIDEGATE_TIMEOUT", "60s")
            .output()
            .expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }

    /// The number of its process, for what the system tells of it.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Tidegate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
