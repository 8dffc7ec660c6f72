//! The index: `index.redb`, all that is known about logs beside their files.
//!
//! Everything in it can be rebuilt from the log files, at the price of reading them. So a database
//! that is missing or damaged is moved aside and started anew, and one that fails while running is
//! given up: the logs go on without it. One that turns out to be damaged then is moved aside too,
//! so that the next start does not meet it again. A disk that is merely full is no such failure:
//! see `heal`.
//!
//! **Opening takes no longer than [`WALKED`] bytes take to read**, however large the file. A small
//! database is walked and verified whole, and repaired by a walk after a crash. A larger one is not:
//! its commits carry what a repair needs (redb's quick repair; measured: a second sync per commit,
//! and 13 KB more in a file of 2 MB, 25 KB in one of 128 MB, where a walk took 0.2 s from memory).
//! What is wrong with its rows is found when they are read: each has a checksum. A row that fails
//! it is as if it were missing, and the database code's own asserts on bad pages are caught.
//!
//! One transaction holds all that changes together. It does not decide what to do with what it
//! finds: that is recovery. How rows are encoded is told in `rows`, and on the crate's format page.

mod backend;
#[cfg(test)]
mod format_tests;
mod heal;
mod overlay;
mod rows;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTable, WriteTransaction};
use tidegate_env::{Disk, OpenMode};
use tidegate_types::{ByteSize, Incarnation, Offset, TopicPartition};

use crate::DamageRange;
use crate::log::lock;
use crate::sparse::SparseIndex;
use rows::{CLEANING, DURABLE, LOG_KEY, LOGS, PRODUCERS, Rows, SEGMENTS, SPARSE, TABLES};
use rows::{UPTIME, UPTIME_KEY, decode_uptime, encode_uptime};
use rows::{decode, decode_offset, decode_producers, encode, encode_producers};
use rows::{log_key, segment_key};

use overlay::Overlay;

pub use backend::DiskBackend;
pub(crate) use rows::{Change, Known, LogMeta, SegmentMeta};

/// An index file up to this long is verified whole when it is opened.
const WALKED: ByteSize = ByteSize::mib(16);

const FILE: &str = "index.redb";
const ASIDE: &str = "index.redb.damaged";

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
    /// The database code panicked, on what is in the file.
    #[error("the index database panicked on what is in it")]
    Panicked,
    /// The disk is full, and nothing was written; it may be tried again.
    #[error("the disk is full: the index is not written until there is room")]
    Full,
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
            IndexError::Database(error) => match &**error {
                redb::Error::Io(error) => matches!(
                    error.kind(),
                    io::ErrorKind::InvalidData
                        | io::ErrorKind::InvalidInput
                        | io::ErrorKind::UnexpectedEof
                ),
                // What failed before says why.
                redb::Error::PreviousIo | redb::Error::DatabaseClosed => false,
                _ => true,
            },
            IndexError::Panicked => true,
            IndexError::Io { .. } | IndexError::Full | IndexError::GivenUp { .. } => false,
        }
    }

    /// Whether all that is wrong is that there is no room.
    pub(crate) fn is_full(&self) -> bool {
        let error = match self {
            IndexError::Full => return true,
            IndexError::Io { source, .. } => source,
            IndexError::Database(error) => match &**error {
                redb::Error::Io(error) => error,
                _ => return false,
            },
            IndexError::Panicked | IndexError::GivenUp { .. } => return false,
        };
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl<E: Into<redb::Error>> From<E> for IndexError {
    fn from(error: E) -> IndexError {
        IndexError::Database(Box::new(error.into()))
    }
}

/// The open index.
#[derive(Debug)]
pub(crate) struct Index {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    cache: ByteSize,
    /// It is only looked at.
    peeked: bool,
    state: RwLock<State>,
    /// Held by who commits, until what follows from a failure is done.
    committing: Mutex<()>,
    /// Monotonic time when a database that is closed for want of room was to be opened last.
    tried: Mutex<Option<Duration>>,
    given_up: OnceLock<Arc<str>>,
    /// The file of an index that was given up, to look at.
    stored: OnceLock<Option<Box<Index>>>,
}

#[derive(Debug)]
enum State {
    Open(Open),
    /// Closed until the disk has room.
    Full,
    /// Closed for good.
    Closed,
}

#[derive(Debug)]
struct Open {
    db: Database,
    /// The file's length.
    len: Arc<AtomicU64>,
}

impl Index {
    /// Opens the index; one that is damaged is renamed to `index.redb.damaged` first.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        root: &Path,
        cache: ByteSize,
    ) -> Result<Index, (PathBuf, IndexError)> {
        let path = root.join(FILE);
        let at = |action| {
            let path = path.clone();
            move |source| (path, IndexError::Io { action, source })
        };
        let index = |open| Index::new(disk, root, cache, open, false);
        let existed = disk.exists(&path).map_err(at("look for"))?;
        let error = match Open::at(&**disk, &path, OpenMode::Create, cache) {
            Ok(open) => {
                // One that was there may have been made by an open that failed, or was cut short,
                // before it synced the name; without that a power cut takes all of it.
                disk.sync_dir(root).map_err(at("make"))?;
                return Ok(index(open));
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
        disk.rename(&path, &root.join(ASIDE)).map_err(at("move aside"))?;
        let open = Open::at(&**disk, &path, OpenMode::Create, cache)
            .map_err(|error| (path.clone(), error))?;
        disk.sync_dir(root).map_err(at("make"))?;
        Ok(index(open))
    }

    /// Opens the index to look at it: no file changes, whatever is done with it. `None` if there is
    /// none.
    pub(crate) fn peek(
        disk: &Arc<dyn Disk>,
        root: &Path,
        cache: ByteSize,
    ) -> Result<Option<Index>, IndexError> {
        let path = root.join(FILE);
        let io = |source| IndexError::Io { action: "open", source };
        if !disk.exists(&path).map_err(io)? {
            return Ok(None);
        }
        let file = Overlay::new(disk.open(&path, OpenMode::Read).map_err(io)?).map_err(io)?;
        let len = Arc::new(AtomicU64::new(redb::StorageBackend::len(&file).map_err(io)?));
        let open = Open::with(file, len, &path, cache)?;
        Ok(Some(Index::new(disk, root, cache, open, true)))
    }

    fn new(disk: &Arc<dyn Disk>, root: &Path, cache: ByteSize, open: Open, peeked: bool) -> Index {
        Index {
            disk: Arc::clone(disk),
            root: root.to_owned(),
            cache,
            peeked,
            state: RwLock::new(State::Open(open)),
            committing: Mutex::new(()),
            tried: Mutex::new(None),
            given_up: OnceLock::new(),
            stored: OnceLock::new(),
        }
    }

    /// Closes the database; nothing is found or taken any more.
    pub(crate) fn close(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let open = std::mem::replace(&mut *state, State::Closed);
        if catch_unwind(AssertUnwindSafe(|| drop(open))).is_err() {
            tracing::error!("the index could not be closed in order; the next start verifies it");
        }
    }

    /// Why the index is not used any more; `None` while it is.
    pub(crate) fn given_up(&self) -> Option<&Arc<str>> {
        self.given_up.get()
    }

    /// Runs `f` on the database, whose asserts on damaged pages must not end the process.
    fn with<T>(&self, f: impl FnOnce(&Open) -> Result<T, IndexError>) -> Result<T, IndexError> {
        if let Some(reason) = self.given_up() {
            return Err(IndexError::GivenUp { reason: Arc::clone(reason) });
        }
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let open = match &*state {
            State::Open(open) => open,
            State::Full => return Err(IndexError::Full),
            State::Closed => return Err(IndexError::GivenUp { reason: "it is closed".into() }),
        };
        match catch_unwind(AssertUnwindSafe(|| f(open))) {
            Ok(result) => result,
            Err(_) => Err(IndexError::Panicked),
        }
    }

    /// Makes the changes, all or none; durable on return. After an error that is not
    /// [`Full`](IndexError::Full) no more are taken.
    pub(crate) fn commit(&self, changes: &[Change]) -> Result<(), IndexError> {
        let _committing = lock(&self.committing);
        self.with(|open| open.commit(changes)).map_err(|error| self.handle_failure(error))
    }

    /// All that is known of a log; what does not decode counts as not known.
    pub(crate) fn known(&self, log: TopicPartition) -> Result<Known, IndexError> {
        self.with(|open| open.known(log)).inspect_err(|error| {
            if error.is_damage() {
                self.give_up(error);
            }
        })
    }

    /// What was durable of a life of a log, by what the file of an index holds that was given up. Of
    /// all that is in there this is true whatever became of the commit that failed: the index is told
    /// after the sync. Without it a log that is opened after the failure would lose a damaged end as
    /// if that were a torn tail.
    pub(crate) fn vouched(&self, log: TopicPartition) -> Option<(Incarnation, Offset)> {
        let known = self.as_stored()?.known(log).ok()?;
        Some((known.meta?.incarnation, known.durable?))
    }

    /// How long the store had been open when it was told last; zero if that is not known.
    pub(crate) fn uptime(&self) -> Duration {
        let stored = self.with(|open| {
            let transaction = open.db.begin_read()?;
            let value = transaction.open_table(UPTIME.definition())?.get(UPTIME_KEY)?;
            Ok(value.and_then(|v| decode_uptime(UPTIME.unseal(UPTIME_KEY, v.value())?)))
        });
        stored.ok().flatten().unwrap_or_default()
    }

    /// The sparse index of a segment; `None` if it is not known.
    pub(crate) fn sparse(
        &self,
        log: TopicPartition,
        base: Offset,
    ) -> Result<Option<SparseIndex>, IndexError> {
        let key = segment_key(log, base);
        let found = self.with(|open| {
            let transaction = open.db.begin_read()?;
            let value = transaction.open_table(SPARSE.definition())?.get(&key[..])?;
            Ok(value.and_then(|value| decode(SPARSE.unseal(&key, value.value())?)))
        });
        found.inspect_err(|error| {
            if error.is_damage() {
                self.give_up(error);
            }
        })
    }
}

impl Open {
    fn at(
        disk: &dyn Disk,
        path: &Path,
        mode: OpenMode,
        cache: ByteSize,
    ) -> Result<Open, IndexError> {
        let io = |source| IndexError::Io { action: "open", source };
        let file = disk.open(path, mode).map_err(io)?;
        let backend = DiskBackend::new(file).map_err(io)?;
        let len = backend.watch_len();
        Open::with(backend, len, path, cache)
    }

    fn with(
        backend: impl redb::StorageBackend,
        len: Arc<AtomicU64>,
        path: &Path,
        cache: ByteSize,
    ) -> Result<Open, IndexError> {
        catch_unwind(AssertUnwindSafe(|| {
            let mut db = Database::builder()
                .set_cache_size(cache.as_usize())
                .create_with_backend(backend)?;
            if len.load(Ordering::Acquire) <= WALKED.get() && !db.check_integrity()? {
                tracing::warn!(path = %path.display(), "the index was repaired");
            }
            let open = Open { db, len };
            // Only a new database lacks tables: opening one that has them all writes nothing.
            if !open.has_tables()? {
                let transaction = open.begin_write()?;
                for table in TABLES {
                    transaction.open_table(table.definition())?;
                }
                transaction.commit()?;
            }
            Ok(open)
        }))
        .unwrap_or(Err(IndexError::Panicked))
    }

    fn has_tables(&self) -> Result<bool, IndexError> {
        let transaction = self.db.begin_read()?;
        for table in TABLES {
            match transaction.open_table(table.definition()) {
                Ok(_) => {}
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// A write transaction that leaves a file which opens fast after a crash.
    fn begin_write(&self) -> Result<WriteTransaction, IndexError> {
        let mut transaction = self.db.begin_write()?;
        // Half of what is walked: the file may grow between this commit and the crash.
        transaction.set_quick_repair(self.len.load(Ordering::Acquire) > WALKED.get() / 2);
        Ok(transaction)
    }

    fn commit(&self, changes: &[Change]) -> Result<(), IndexError> {
        let transaction = self.begin_write()?;
        {
            let mut logs = transaction.open_table(LOGS.definition())?;
            let mut segments = transaction.open_table(SEGMENTS.definition())?;
            let mut sparse = transaction.open_table(SPARSE.definition())?;
            let mut producers = transaction.open_table(PRODUCERS.definition())?;
            let mut durable = transaction.open_table(DURABLE.definition())?;
            let mut cleaning = transaction.open_table(CLEANING.definition())?;
            for change in changes {
                match change {
                    Change::Log(log, meta) => {
                        let key = log_key(*log);
                        let meta = meta.after(stored_meta(&logs, &key)?);
                        put(LOGS, &mut logs, &key, encode(&meta))?;
                    }
                    Change::Start(log, incarnation, start) => {
                        let key = log_key(*log);
                        let stored = stored_meta(&logs, &key)?;
                        let meta = LogMeta::cut_head(stored, *incarnation, *start);
                        put(LOGS, &mut logs, &key, encode(&meta))?;
                    }
                    Change::Segment(log, base, meta, index) => {
                        let key = segment_key(*log, *base);
                        put(SEGMENTS, &mut segments, &key, encode(meta))?;
                        put(SPARSE, &mut sparse, &key, encode(&**index))?;
                    }
                    Change::Producers(log, at, snapshot) => {
                        let content = encode_producers(*at, snapshot);
                        put(PRODUCERS, &mut producers, &log_key(*log), content)?;
                    }
                    Change::Durable(log, offset) => {
                        let content = offset.0.to_be_bytes().to_vec();
                        put(DURABLE, &mut durable, &log_key(*log), content)?;
                    }
                    Change::Damage(log, incarnation, range) => {
                        let key = log_key(*log);
                        let stored = stored_meta(&logs, &key)?;
                        // Without a row the log is scanned, and the damage found again.
                        if let Some(mut meta) = stored.filter(|m| m.incarnation == *incarnation) {
                            DamageRange::insert(&mut meta.damage, *range);
                            put(LOGS, &mut logs, &key, encode(&meta))?;
                        }
                    }
                    Change::RemoveSegment(log, base) => {
                        let key = segment_key(*log, *base);
                        segments.remove(&key[..])?;
                        sparse.remove(&key[..])?;
                    }
                    Change::Cleaning(log, row) => {
                        put(CLEANING, &mut cleaning, &log_key(*log), encode(row))?;
                    }
                    Change::Uptime(uptime) => {
                        let mut table = transaction.open_table(UPTIME.definition())?;
                        put(UPTIME, &mut table, UPTIME_KEY, encode_uptime(*uptime))?;
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
                            cleaning.remove(&key[..])?;
                        }
                    }
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn known(&self, log: TopicPartition) -> Result<Known, IndexError> {
        let transaction = self.db.begin_read()?;
        let key = log_key(log);
        let get = |table: Rows| -> Result<Option<Vec<u8>>, IndexError> {
            let value = transaction.open_table(table.definition())?.get(&key[..])?;
            Ok(value.and_then(|value| table.unseal(&key, value.value()).map(<[u8]>::to_vec)))
        };
        let meta = get(LOGS)?.and_then(|bytes| decode(&bytes));
        let producers = get(PRODUCERS)?.and_then(|bytes| decode_producers(&bytes));
        let durable = get(DURABLE)?.and_then(|bytes| decode_offset(&bytes).map(|(at, _)| at));
        let cleaning = get(CLEANING)?.and_then(|bytes| decode(&bytes));
        let (first, last) = (segment_key(log, Offset(0)), segment_key(log, Offset(i64::MAX)));
        let mut segments = Vec::new();
        let table = transaction.open_table(SEGMENTS.definition())?;
        for row in table.range(&first[..]..=&last[..])? {
            let (key, value) = row?;
            let key = key.value();
            let base = key.get(LOG_KEY..).and_then(decode_offset);
            let meta = SEGMENTS.unseal(key, value.value()).and_then(decode);
            if let (Some((base, _)), Some(meta)) = (base, meta) {
                segments.push((base, meta));
            }
        }
        // A damaged page could give rows out of order, or of another log.
        segments.sort_by_key(|(base, _): &(Offset, SegmentMeta)| *base);
        Ok(Known { meta, segments, producers, durable, cleaning })
    }
}

fn stored_meta(
    logs: &redb::Table<'_, &'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<Option<LogMeta>, IndexError> {
    let value = logs.get(key)?;
    Ok(value.and_then(|value| decode(LOGS.unseal(key, value.value())?)))
}

fn put(
    rows: Rows,
    table: &mut redb::Table<'_, &'static [u8], &'static [u8]>,
    key: &[u8],
    content: Vec<u8>,
) -> Result<(), IndexError> {
    table.insert(key, &rows.seal(key, content)[..])?;
    Ok(())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
