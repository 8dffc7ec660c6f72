//! What a check found, for people and for programs: everything here serializes.

use serde::{Deserialize, Serialize};
use tidegate_types::{ByteSize, Incarnation, Offset, TopicPartition};

use crate::DamageRange;

/// What was found in a data folder.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Every log on disk, in order.
    pub logs: Vec<LogReport>,
    /// The state of `index.redb`.
    pub index: IndexState,
    /// Folders of logs whose deletion a crash cut short; the next start finishes it.
    pub deleting: Vec<String>,
    /// Files and logs that a repair changed, in words, in the order in which that was done.
    pub repaired: Vec<String>,
}

impl Report {
    /// The gravest of all that was found; `None` if nothing was.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        let index = match self.index {
            IndexState::Damaged { .. } => Some(Severity::Repairable),
            IndexState::Missing | IndexState::Sound => None,
        };
        let problems = self.logs.iter().flat_map(|log| &log.problems);
        problems.map(|problem| problem.kind.severity()).chain(index).max()
    }

    /// The logs in which something of at least this severity was found.
    pub fn logs_with(&self, severity: Severity) -> impl Iterator<Item = &LogReport> {
        self.logs.iter().filter(move |log| {
            log.problems.iter().any(|problem| problem.kind.severity() >= severity)
        })
    }
}

/// The state of the index file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum IndexState {
    /// There is none; the next start makes it from the logs.
    #[default]
    Missing,
    /// It could be read.
    Sound,
    /// It could not; the next start moves it aside and makes it from the logs.
    Damaged {
        /// What is wrong with it.
        reason: String,
    },
}

/// One log.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LogReport {
    /// Which one.
    pub log: TopicPartition,
    /// `None` if its file is missing or damaged.
    pub incarnation: Option<Incarnation>,
    /// The first offset, as far as is known.
    pub start: Offset,
    /// The offset after the last whole batch.
    pub end: Offset,
    /// Files of batches.
    pub segments: usize,
    /// Whole batches.
    pub batches: u64,
    /// Records in them, as their headers count them.
    pub records: u64,
    /// Their bytes.
    pub bytes: ByteSize,
    /// All that is not as it should be.
    pub problems: Vec<Problem>,
}

/// Something that is not as it should be.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// What it is.
    #[serde(flatten)]
    pub kind: ProblemKind,
    /// The file's name in the log's folder, where it is about one.
    pub file: Option<String>,
    /// In words.
    pub what: String,
}

/// How grave a problem is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// A loss that is recorded, or something that the next start puts right by itself.
    Note,
    /// Nothing that was acknowledged is lost, but the next start takes longer, or a repair helps.
    Repairable,
    /// Records that were durable cannot be read.
    Loss,
}

/// What a problem is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum ProblemKind {
    /// Bytes at the end that were never synced whole: what a crash leaves. Cut at the next start.
    TornTail {
        /// Where they begin in the file.
        position: u64,
        /// How many there are.
        bytes: ByteSize,
    },
    /// Bytes that were durable and are no batch. A repair takes them out, keeps a copy beside, and
    /// records the offsets as lost.
    Damaged {
        /// Where they begin in the file.
        position: u64,
        /// How many there are.
        bytes: ByteSize,
        /// The offsets lost with them.
        #[serde(flatten)]
        range: DamageRange,
    },
    /// The file ends before offsets that were durable.
    Cut {
        /// The offsets lost.
        #[serde(flatten)]
        range: DamageRange,
    },
    /// A segment's file is gone.
    MissingFile {
        /// The offsets lost with it.
        #[serde(flatten)]
        range: DamageRange,
    },
    /// Offsets that were lost before, and are recorded as such.
    RecordedGap {
        /// Which.
        #[serde(flatten)]
        range: DamageRange,
    },
    /// A batch whose checksum is right but whose records cannot be read: it was written so. Only
    /// looked for in a deep check. A repair leaves it.
    Unreadable {
        /// Where the batch begins in the file.
        position: u64,
        /// The batch's first offset.
        base_offset: Offset,
    },
    /// A file begins before the end of the one before it.
    Overlap {
        /// Where it begins.
        base_offset: Offset,
        /// Where the one before it ends.
        end: Offset,
    },
    /// The `incarnation` file is missing or not one.
    NoIncarnation,
    /// The index does not agree with a file, or knows nothing of it.
    IndexRow,
    /// A file that is left from something that was cut short.
    Leftover,
}

impl ProblemKind {
    /// How grave it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            ProblemKind::TornTail { .. }
            | ProblemKind::RecordedGap { .. }
            | ProblemKind::Leftover => Severity::Note,
            ProblemKind::IndexRow | ProblemKind::NoIncarnation | ProblemKind::Overlap { .. } => {
                Severity::Repairable
            }
            ProblemKind::Damaged { .. }
            | ProblemKind::Cut { .. }
            | ProblemKind::MissingFile { .. }
            | ProblemKind::Unreadable { .. } => Severity::Loss,
        }
    }
}

/// How far a check has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// The log that is being read.
    pub log: TopicPartition,
    /// Logs done before it.
    pub logs_done: usize,
    /// Logs in all.
    pub logs: usize,
    /// Bytes read.
    pub done: ByteSize,
    /// Bytes in all, as the files' lengths were at the beginning.
    pub total: ByteSize,
}
