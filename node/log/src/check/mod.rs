//! Checking the logs of a data folder while no node uses it, and repairing what can be.
//!
//! [`check`] reads every byte of every segment: structure, CRC, order of offsets, with `deep` every
//! record too; then it compares what it found with the index. It changes nothing, not even an index
//! that a crash left to be repaired.
//!
//! [`repair`] checks, then brings the logs into a state in which every start is fast and every loss
//! is recorded:
//!
//! - Bytes that are no batch but were durable are copied to `<segment>.log.damaged-<position>` beside
//!   the segment, which is then written anew without them. Before that the offsets are recorded in
//!   the index as lost, so that the hole is never silent: readers are told, and go on after it.
//! - Everything else is what opening the log does, which repair does for each log in which something
//!   is wrong: torn tails are cut, missing files and cut ends become recorded losses, rows of the
//!   index are written anew, leftovers are removed.
//!
//! Each step is safe against a crash: a repair that was cut short is finished by the next one, or by
//! none, since a node can start after any of them. Repairing what is sound changes nothing.
//!
//! What is recorded as lost is recorded in the index alone. Should that be lost later, the offsets
//! read as a hole, such as compaction leaves; the `.damaged-` files stay and tell.

mod log;
mod repair;
mod report;
mod walk;

use std::io;
use std::path::Path;
use std::sync::Arc;

use tidegate_env::{Disk, DiskFile};
use tidegate_types::{ByteSize, TopicPartition};

use crate::files;
use crate::index::Index;

pub use crate::error::CheckError;
pub use repair::repair;
pub use report::{IndexState, LogReport, Problem, ProblemKind, Progress, Report, Severity};

/// Memory for cached pages of the index.
const INDEX_CACHE: ByteSize = ByteSize::mib(16);

/// How thorough to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CheckOptions {
    /// Decompress every batch and read every record.
    pub deep: bool,
}

/// Checks all logs in `root`, the node's data folder, changing nothing.
///
/// `progress` is told before the first and after every log, and every few MiB within one.
///
/// # Errors
/// If there is no store, a node uses it, or the disk failed.
pub fn check(
    disk: &Arc<dyn Disk>,
    root: &Path,
    options: CheckOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, CheckError> {
    let held = take(&**disk, root)?;
    let report = check_held(disk, root, options, progress);
    drop(held);
    report
}

/// Takes the store's lock.
fn take(disk: &dyn Disk, root: &Path) -> Result<Box<dyn DiskFile>, CheckError> {
    let topics = files::topics(root);
    if !disk.exists(&topics).map_err(CheckError::io("look for", &topics))? {
        return Err(CheckError::NoStore { path: root.to_owned() });
    }
    let path = root.join("lock");
    disk.lock(&path).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => CheckError::Locked { path },
        _ => CheckError::Io { action: "lock", path, source },
    })
}

fn check_held(
    disk: &Arc<dyn Disk>,
    root: &Path,
    options: CheckOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, CheckError> {
    let (index, state) = match Index::peek(disk, root, INDEX_CACHE) {
        Ok(Some(index)) => (Some(index), IndexState::Sound),
        Ok(None) => (None, IndexState::Missing),
        Err(error) => {
            let source =
                std::error::Error::source(&error).map_or(String::new(), |s| format!(": {s}"));
            (None, IndexState::Damaged { reason: format!("{error}{source}") })
        }
    };
    let topics = files::topics(root);
    let mut logs =
        files::find_logs(&**disk, root).map_err(CheckError::io("list the logs in", &topics))?;
    logs.sort();
    let mut report = Report {
        index: state,
        deleting: files::find_deleting(&**disk, root)
            .map_err(CheckError::io("list the logs in", &topics))?,
        ..Report::default()
    };
    let mut total = 0;
    for log in &logs {
        total += log::bytes(&**disk, root, *log)?;
    }
    let mut meter = Meter { progress, done: 0, told: 0, total, logs: logs.len(), at: 0 };
    for (at, id) in logs.into_iter().enumerate() {
        meter.at = at;
        meter.tell(id);
        report.logs.push(log::check(&**disk, root, index.as_ref(), id, options, &mut meter)?);
        meter.tell(id);
    }
    if let Some(reason) = index.as_ref().and_then(Index::given_up) {
        report.index = IndexState::Damaged { reason: reason.to_string() };
    }
    Ok(report)
}

/// Counts bytes, and tells of them now and then.
struct Meter<'p> {
    progress: &'p mut dyn FnMut(Progress),
    done: u64,
    told: u64,
    total: u64,
    logs: usize,
    at: usize,
}

impl Meter<'_> {
    /// Told again after so many bytes.
    const STEP: u64 = 4 << 20;

    fn add(&mut self, log: TopicPartition, bytes: u64) {
        self.done = self.done.saturating_add(bytes).min(self.total);
        if self.done - self.told >= Self::STEP {
            self.tell(log);
        }
    }

    fn tell(&mut self, log: TopicPartition) {
        self.told = self.done;
        (self.progress)(Progress {
            log,
            logs_done: self.at,
            logs: self.logs,
            done: ByteSize::bytes(self.done),
            total: ByteSize::bytes(self.total),
        });
    }
}
