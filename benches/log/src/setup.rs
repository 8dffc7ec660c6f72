//! How large everything is, and stores to measure.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tidegate_bench_common::Failure;
use tidegate_env::{Disk, RealDisk, SystemClock};
use tidegate_log::{LogConfig, LogHandle, LogStore, StoreConfig};
use tidegate_types::{
    ByteSize, Flush, Incarnation, LogPolicy, PartitionId, TopicId, TopicPartition, limits,
};
use uuid::Uuid;

/// How large everything is.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where all is written.
    pub dir: PathBuf,
    /// Turns of each side.
    pub rounds: usize,
    /// How long a side is driven in a turn.
    pub time: Duration,
    /// Bytes after which a turn ends early, so that nothing fills the disk.
    pub bytes: u64,
    /// Partitions that load is spread over.
    pub partitions: Vec<u32>,
    /// Bytes of the log that is read.
    pub stored: u64,
    /// Lookups in a turn.
    pub lookups: u32,
    /// Bytes that a process wrote before it is killed.
    pub killed_after: u64,
    /// Partitions of that process.
    pub killed_logs: u32,
    /// Idle partitions whose memory is measured.
    pub idle: Vec<u32>,
    /// Appends in a turn, where they are counted.
    pub appends: u32,
    /// What a comparison must have in its name to be made.
    pub only: String,
}

impl Setup {
    /// As the figures are told.
    ///
    /// # Errors
    /// If `dir` is no folder.
    pub fn new(dir: &Path, rounds: usize, millis: u64, size_mib: u64) -> Result<Setup, Failure> {
        Ok(Setup {
            dir: dir.canonicalize()?,
            rounds: rounds.max(1),
            time: Duration::from_millis(millis),
            bytes: 2 << 30,
            partitions: vec![1, 100, 10_000],
            stored: 512 << 20,
            lookups: 20_000,
            killed_after: size_mib << 20,
            killed_logs: 1_000,
            idle: vec![1_000, 10_000],
            appends: 200,
            only: String::new(),
        })
    }

    /// Just large enough for every bench to do what it does.
    ///
    /// # Errors
    /// If `dir` is no folder.
    pub fn smoke(dir: &Path) -> Result<Setup, Failure> {
        Ok(Setup {
            rounds: 2,
            time: Duration::from_millis(20),
            bytes: 8 << 20,
            partitions: vec![1, 4, 40],
            stored: 8 << 20,
            lookups: 200,
            killed_after: 2 << 20,
            killed_logs: 20,
            idle: vec![10, 40],
            appends: 10,
            ..Setup::new(dir, 1, 1, 1)?
        })
    }

    /// Whether this comparison is wanted.
    #[must_use]
    pub fn wants(&self, what: &str) -> bool {
        what.contains(&self.only)
    }

    /// A fresh folder, removed when dropped.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn fresh(&self) -> Result<TempDir, Failure> {
        Ok(tempfile::Builder::new().prefix("tidegate-log-bench-").tempdir_in(&self.dir)?)
    }
}

/// What the logs here are opened with: nothing old is ever deleted while it is measured.
#[must_use]
pub fn config(flush: Flush) -> LogConfig {
    let policy = LogPolicy { retention: None, ..LogPolicy::default() };
    LogConfig { flush, policy, ..LogConfig::default() }
}

/// What the store here is opened with, as a node does it.
#[must_use]
pub fn store_config() -> StoreConfig {
    let backlog = ByteSize::bytes(2 * limits::MAX_APPEND_BACKLOG.get());
    StoreConfig { backlog, ..StoreConfig::default() }
}

/// Opens a store on the real disk.
///
/// # Errors
/// If it does not open.
pub fn open(root: &Path) -> Result<LogStore, Failure> {
    open_on(Arc::new(RealDisk), root, store_config())
}

/// Opens a store on any disk.
///
/// # Errors
/// If it does not open.
pub fn open_on(disk: Arc<dyn Disk>, root: &Path, config: StoreConfig) -> Result<LogStore, Failure> {
    Ok(LogStore::open(disk, Arc::new(SystemClock::new()), root, config)?)
}

/// The partition of this number of the one topic that all benches use.
#[must_use]
pub fn id(partition: u32) -> TopicPartition {
    TopicPartition { topic: TopicId(Uuid::from_u128(0xbe7c)), partition: PartitionId(partition) }
}

/// Opens the logs of `partitions`, as a node does at its start.
///
/// # Errors
/// If one does not open.
pub fn logs(
    store: &LogStore,
    partitions: std::ops::Range<u32>,
    config: LogConfig,
) -> Result<Vec<LogHandle>, Failure> {
    let incarnation = |partition| Incarnation(0x1000 + u64::from(partition));
    let wanted: Vec<_> =
        partitions.map(|partition| (id(partition), incarnation(partition), config)).collect();
    store.open_logs(&wanted).into_iter().map(|opened| Ok(opened?)).collect()
}

/// All files of a store.
///
/// # Errors
/// If a folder cannot be read.
pub fn files(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}
