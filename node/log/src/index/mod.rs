//! The index: `index.redb`, all that is known about logs beside their files.
//!
//! Everything in it can be rebuilt from the log files, at the price of reading them. So a database
//! that is missing or damaged is moved aside and started anew, and one that fails while running is
//! given up: the logs go on without it.
//!
//! Tables, each row's key starting with the log (topic uuid, then partition, big-endian, 20 bytes):
//!
//! | table | key after the log | value |
//! | --- | --- | --- |
//! | `logs` | | postcard [`LogMeta`] |
//! | `segments` | base offset, big-endian | postcard [`SegmentMeta`] |
//! | `sparse` | base offset, big-endian | postcard `SparseIndex` |
//! | `producers` | | offset they were taken at (8 bytes, big-endian), then postcard `Snapshot` |
//! | `durable` | | offset up to which the log is known to be synced, 8 bytes, big-endian |
//!
//! One transaction holds all that changes together. It does not decide what to do with what it
//! finds: that is recovery.

mod backend;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use redb::{Database, ReadableDatabase, TableDefinition};
use serde::{Deserialize, Serialize};
use tidegate_env::{Disk, OpenMode};
use tidegate_types::{ByteSize, Incarnation, LeaderEpoch, Offset, Timestamp, TopicPartition};

use crate::DamageRange;
use crate::producers::Snapshot;
use crate::sparse::SparseIndex;

pub use backend::DiskBackend;

type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

const LOGS: Table = TableDefinition::new("logs");
const SEGMENTS: Table = TableDefinition::new("segments");
const SPARSE: Table = TableDefinition::new("sparse");
const PRODUCERS: Table = TableDefinition::new("producers");
const DURABLE: Table = TableDefinition::new("durable");
const TABLES: [Table; 5] = [LOGS, SEGMENTS, SPARSE, PRODUCERS, DURABLE];

const LOG_KEY: usize = 20;
const SEGMENT_KEY: usize = LOG_KEY + 8;

/// Why the index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The disk failed.
    #[error("cannot {action} the index file")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The database refused.
    #[error("the index database failed")]
    Database(#[source] Box<redb::Error>),
    /// It failed before and was given up.
    #[error("the index was given up: {reason}")]
    GivenUp {
        /// The first failure.
        reason: Arc<str>,
    },
}

impl IndexError {
    /// Whether the file's content is at fault, and not the disk or the system.
    fn is_damage(&self) -> bool {
        match self {
            IndexError::Io { .. } => false,
            IndexError::Database(error) => match &**error {
                redb::Error::Io(error) => matches!(
                    error.kind(),
                    io::ErrorKind::InvalidData
                        | io::ErrorKind::InvalidInput
                        | io::ErrorKind::UnexpectedEof
                ),
                _ => true,
            },
            IndexError::GivenUp { .. } => true,
        }
    }
}

impl<E: Into<redb::Error>> From<E> for IndexError {
    fn from(error: E) -> IndexError {
        IndexError::Database(Box::new(error.into()))
    }
}

/// What is known of one log as a whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct LogMeta {
    pub(crate) incarnation: Incarnation,
    pub(crate) start: Offset,
    pub(crate) epochs: Vec<(LeaderEpoch, Offset)>,
    pub(crate) damage: Vec<DamageRange>,
}

/// What is known of a segment that takes no more batches, or took none since a clean close.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct SegmentMeta {
    /// The file's length; it holds whole batches and nothing else.
    pub(crate) len: u64,
    /// The offset after its last batch.
    pub(crate) next: Offset,
    pub(crate) max_timestamp: Timestamp,
}

/// One change; changes committed together are there together or not at all.
#[derive(Debug)]
pub(crate) enum Change {
    Log(TopicPartition, LogMeta),
    Segment(TopicPartition, Offset, SegmentMeta, Arc<SparseIndex>),
    RemoveSegments(TopicPartition),
    Producers(TopicPartition, Offset, Snapshot),
    Durable(TopicPartition, Offset),
    RemoveLog(TopicPartition),
}

/// All that is known of one log.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) meta: Option<LogMeta>,
    pub(crate) segments: Vec<(Offset, SegmentMeta)>,
    pub(crate) producers: Option<(Offset, Snapshot)>,
    pub(crate) durable: Option<Offset>,
}

/// The open index.
#[derive(Debug)]
pub(crate) struct Index {
    /// Gone once closed.
    db: RwLock<Option<Database>>,
    given_up: OnceLock<Arc<str>>,
}

fn log_key(log: TopicPartition) -> [u8; LOG_KEY] {
    let mut key = [0; LOG_KEY];
    key[..16].copy_from_slice(log.topic.0.as_bytes());
    key[16..].copy_from_slice(&log.partition.0.to_be_bytes());
    key
}

fn segment_key(log: TopicPartition, base: Offset) -> [u8; SEGMENT_KEY] {
    let mut key = [0; SEGMENT_KEY];
    key[..LOG_KEY].copy_from_slice(&log_key(log));
    key[LOG_KEY..].copy_from_slice(&base.0.to_be_bytes());
    key
}

/// Encoding plain structs into memory does not fail; an empty value would read as damaged.
fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).unwrap_or_default()
}

fn decode<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Option<T> {
    postcard::take_from_bytes(bytes).ok().and_then(|(value, rest)| rest.is_empty().then_some(value))
}

fn decode_offset(bytes: &[u8]) -> Option<(Offset, &[u8])> {
    let (offset, rest) = bytes.split_first_chunk()?;
    let offset = i64::from_be_bytes(*offset);
    (offset >= 0).then_some((Offset(offset), rest))
}

impl Index {
    /// Opens the index; one that is damaged is renamed to `index.redb.damaged` first.
    pub(crate) fn open(
        disk: &dyn Disk,
        root: &Path,
        cache: ByteSize,
    ) -> Result<Index, (PathBuf, IndexError)> {
        let path = root.join("index.redb");
        let at = |action| {
            let path = path.clone();
            move |source| (path, IndexError::Io { action, source })
        };
        let existed = disk.exists(&path).map_err(at("look for"))?;
        let error = match Self::open_at(disk, &path, cache) {
            Ok(index) => {
                if !existed {
                    disk.sync_dir(root).map_err(at("make"))?;
                }
                return Ok(index);
            }
            Err(error) => error,
        };
        if !existed || !error.is_damage() {
            return Err((path, error));
        }
        tracing::error!(
            path = %path.display(), error = &error as &dyn std::error::Error,
            "the index is damaged; it is moved aside and rebuilt from the logs"
        );
        disk.rename(&path, &root.join("index.redb.damaged")).map_err(at("move aside"))?;
        let index = Self::open_at(disk, &path, cache).map_err(|error| (path.clone(), error))?;
        disk.sync_dir(root).map_err(at("make"))?;
        Ok(index)
    }

    fn open_at(disk: &dyn Disk, path: &Path, cache: ByteSize) -> Result<Index, IndexError> {
        let file = disk
            .open(path, OpenMode::Create)
            .map_err(|source| IndexError::Io { action: "open", source })?;
        // The database asserts on pages that were overwritten; that must not end the process.
        let opened = catch_unwind(AssertUnwindSafe(|| -> Result<Database, IndexError> {
            let mut db = Database::builder()
                .set_cache_size(cache.as_usize())
                .create_with_backend(DiskBackend::new(file))?;
            if !db.check_integrity()? {
                tracing::warn!(path = %path.display(), "the index was repaired");
            }
            let transaction = db.begin_write()?;
            for table in TABLES {
                transaction.open_table(table)?;
            }
            transaction.commit()?;
            Ok(db)
        }));
        let db = match opened {
            Ok(opened) => opened?,
            Err(_) => {
                let reason = "the database code panicked on what is in it".into();
                return Err(IndexError::GivenUp { reason });
            }
        };
        Ok(Index { db: RwLock::new(Some(db)), given_up: OnceLock::new() })
    }

    /// Closes the database; nothing is found or taken any more.
    pub(crate) fn close(&self) {
        *self.db.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn with<T>(&self, f: impl FnOnce(&Database) -> Result<T, IndexError>) -> Result<T, IndexError> {
        match &*self.db.read().unwrap_or_else(PoisonError::into_inner) {
            Some(db) => f(db),
            None => Err(IndexError::GivenUp { reason: "it is closed".into() }),
        }
    }

    /// Why the index is no longer written; `None` while it is.
    pub(crate) fn given_up(&self) -> Option<&Arc<str>> {
        self.given_up.get()
    }

    /// Makes the changes, all or none; durable on return. After an error no more are taken.
    pub(crate) fn commit(&self, changes: &[Change]) -> Result<(), IndexError> {
        if let Some(reason) = self.given_up() {
            return Err(IndexError::GivenUp { reason: Arc::clone(reason) });
        }
        self.with(|db| try_commit(db, changes)).inspect_err(|error| {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "the log index cannot be written; the next start reads the logs instead"
            );
            let source =
                std::error::Error::source(error).map_or(String::new(), |s| format!(": {s}"));
            self.given_up.get_or_init(|| format!("{error}{source}").into());
        })
    }

    /// All that is known of a log; what does not decode counts as not known.
    pub(crate) fn known(&self, log: TopicPartition) -> Result<Known, IndexError> {
        self.with(|db| known(db, log))
    }

    /// The sparse index of a closed segment; `None` if it is not known.
    pub(crate) fn sparse(
        &self,
        log: TopicPartition,
        base: Offset,
    ) -> Result<Option<SparseIndex>, IndexError> {
        self.with(|db| {
            let transaction = db.begin_read()?;
            let value = transaction.open_table(SPARSE)?.get(&segment_key(log, base)[..])?;
            Ok(value.and_then(|value| decode(value.value())))
        })
    }
}

fn try_commit(db: &Database, changes: &[Change]) -> Result<(), IndexError> {
    let transaction = db.begin_write()?;
    {
        let mut logs = transaction.open_table(LOGS)?;
        let mut segments = transaction.open_table(SEGMENTS)?;
        let mut sparse = transaction.open_table(SPARSE)?;
        let mut producers = transaction.open_table(PRODUCERS)?;
        let mut durable = transaction.open_table(DURABLE)?;
        for change in changes {
            match change {
                Change::Log(log, meta) => {
                    logs.insert(&log_key(*log)[..], &encode(meta)[..])?;
                }
                Change::Segment(log, base, meta, index) => {
                    let key = segment_key(*log, *base);
                    segments.insert(&key[..], &encode(meta)[..])?;
                    sparse.insert(&key[..], &encode(&**index)[..])?;
                }
                Change::Producers(log, at, snapshot) => {
                    let mut value = at.0.to_be_bytes().to_vec();
                    value.extend_from_slice(&encode(snapshot));
                    producers.insert(&log_key(*log)[..], &value[..])?;
                }
                Change::Durable(log, offset) => {
                    durable.insert(&log_key(*log)[..], &offset.0.to_be_bytes()[..])?;
                }
                Change::RemoveSegments(log) | Change::RemoveLog(log) => {
                    let first = segment_key(*log, Offset(0));
                    let last = segment_key(*log, Offset(i64::MAX));
                    segments.retain_in(&first[..]..=&last[..], |_, _| false)?;
                    sparse.retain_in(&first[..]..=&last[..], |_, _| false)?;
                    if matches!(change, Change::RemoveLog(_)) {
                        let key = log_key(*log);
                        logs.remove(&key[..])?;
                        producers.remove(&key[..])?;
                        durable.remove(&key[..])?;
                    }
                }
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn known(db: &Database, log: TopicPartition) -> Result<Known, IndexError> {
    let transaction = db.begin_read()?;
    let key = log_key(log);
    let get = |table: Table| -> Result<Option<Vec<u8>>, IndexError> {
        let value = transaction.open_table(table)?.get(&key[..])?;
        Ok(value.map(|value| value.value().to_vec()))
    };
    let meta = get(LOGS)?.and_then(|bytes| decode(&bytes));
    let producers = get(PRODUCERS)?.and_then(|bytes| {
        let (at, rest) = decode_offset(&bytes)?;
        Some((at, decode(rest)?))
    });
    let durable = get(DURABLE)?.and_then(|bytes| decode_offset(&bytes).map(|(at, _)| at));
    let (first, last) = (segment_key(log, Offset(0)), segment_key(log, Offset(i64::MAX)));
    let mut segments = Vec::new();
    for row in transaction.open_table(SEGMENTS)?.range(&first[..]..=&last[..])? {
        let (key, value) = row?;
        let base = key.value().get(LOG_KEY..).and_then(decode_offset);
        if let (Some((base, _)), Some(meta)) = (base, decode(value.value())) {
            segments.push((base, meta));
        }
    }
    Ok(Known { meta, segments, producers, durable })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
