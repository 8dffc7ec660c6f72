//! How large everything is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tidegate_bench::ByteSize;
use tidegate_bench_common::Failure;

/// How large everything is.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where all is written.
    pub dir: PathBuf,
    /// Turns of each side.
    pub rounds: usize,
    /// How long a side is driven in a turn.
    pub time: Duration,
    /// How long every broker is driven at first: a JVM compiles what it runs often.
    pub warm: Duration,
    /// Sizes of batches.
    pub batches: Vec<(&'static str, ByteSize)>,
    /// Numbers of connections.
    pub connections: Vec<u32>,
    /// Numbers of partitions.
    pub partitions: Vec<u32>,
    /// Bytes of the topic that is read.
    pub stored: ByteSize,
    /// How long acks at a fixed rate are watched.
    pub watch: Duration,
    /// Requests a second there.
    pub rate: f64,
    /// Records that librdkafka's generator sends.
    pub records: u64,
    /// Bytes of log that a broker is killed with.
    pub killed_with: ByteSize,
    /// Whether a real Kafka is started too.
    pub kafka: bool,
    /// Its port; the one after it is its controller's.
    pub kafka_port: u16,
    /// What a measurement must have in its name to be made.
    pub only: String,
}

impl Setup {
    /// As the figures are told.
    ///
    /// # Errors
    /// If `dir` is no folder.
    pub fn new(dir: &Path) -> Result<Setup, Failure> {
        Ok(Setup {
            dir: dir.canonicalize()?,
            rounds: 3,
            time: Duration::from_secs(2),
            warm: Duration::from_secs(5),
            batches: vec![("60 KB", ByteSize::bytes(60_000)), ("800 KB", ByteSize::bytes(800_000))],
            connections: vec![1, 8],
            partitions: vec![1, 16],
            stored: ByteSize::mib(512),
            watch: Duration::from_secs(10),
            rate: 200.0,
            // Its first second goes by before anything is sent.
            records: 5_000_000,
            killed_with: ByteSize::gib(2),
            kafka: true,
            kafka_port: 29_092,
            only: String::new(),
        })
    }

    /// Just large enough for everything to do what it does. Without Kafka, which takes a minute and
    /// a Java.
    ///
    /// # Errors
    /// If `dir` is no folder.
    pub fn smoke(dir: &Path) -> Result<Setup, Failure> {
        Ok(Setup {
            rounds: 1,
            time: Duration::from_millis(100),
            warm: Duration::from_millis(50),
            connections: vec![1, 2],
            partitions: vec![1, 3],
            stored: ByteSize::mib(4),
            watch: Duration::from_millis(300),
            records: 20_000,
            killed_with: ByteSize::mib(4),
            kafka: false,
            ..Setup::new(dir)?
        })
    }

    /// Whether this measurement is wanted.
    #[must_use]
    pub fn wants(&self, what: &str) -> bool {
        what.contains(&self.only)
    }

    /// A fresh folder, removed when dropped.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn fresh(&self) -> Result<TempDir, Failure> {
        Ok(tempfile::Builder::new().prefix("tidegate-kafka-bench-").tempdir_in(&self.dir)?)
    }
}
