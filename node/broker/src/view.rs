//! The view of an internal topic: the latest record of every key, in a database beside the logs.
//!
//! It makes starting short: only what the log has behind it is replayed. It is written in one
//! durable transaction now and then, after the records it takes are durable in the log; whatever is
//! wrong with it, the log has everything, and the view is made anew.
//!
//! Its file is a redb database. Table `records` has keys and values as they are in the log,
//! without those that are gone. Table `meta` has one row, `at`: the format's version, which life of
//! the log this is a view of, and the offset up to which it was applied.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tidegate_env::{Disk, OpenMode};
use tidegate_log::DiskBackend;
use tidegate_types::{ByteSize, Incarnation, Offset};

const RECORDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");
const META: TableDefinition<&str, (u64, u64, i64)> = TableDefinition::new("meta");
const AT: &str = "at";
const VERSION: u64 = 1;

/// Pages kept in memory: rows are written now and then, and read once.
const CACHE: ByteSize = ByteSize::mib(1);

/// Why the view could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ViewError {
    /// The file cannot be opened or removed.
    #[error("cannot {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    /// The database refused.
    #[error("the database failed")]
    Database(#[source] Box<redb::Error>),
    /// The database code panicked, on what is in the file.
    #[error("the database panicked on what is in it")]
    Panicked,
    /// It is whole, and of no use.
    #[error("{0}")]
    Unusable(String),
}

impl ViewError {
    /// Whether all that is wrong is that there is no room.
    pub(crate) fn is_full(&self) -> bool {
        let error = match self {
            ViewError::File { source, .. } => source,
            ViewError::Database(error) => match &**error {
                redb::Error::Io(error) => error,
                _ => return false,
            },
            ViewError::Panicked | ViewError::Unusable(_) => return false,
        };
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl<E: Into<redb::Error>> From<E> for ViewError {
    fn from(error: E) -> ViewError {
        ViewError::Database(Box::new(error.into()))
    }
}

/// A key with its latest value; `None` if it is gone.
pub(crate) type Row = (Bytes, Option<Bytes>);

/// The view of one life of the log. Everything here blocks.
pub(crate) struct View {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    incarnation: Incarnation,
    /// Opened when it is first needed; closed after a failure.
    database: Option<Arc<Database>>,
}

impl View {
    pub(crate) fn new(disk: Arc<dyn Disk>, path: PathBuf, incarnation: Incarnation) -> View {
        View { disk, path, incarnation, database: None }
    }

    pub(crate) fn exists(&self) -> Result<bool, ViewError> {
        self.disk.exists(&self.path).map_err(|source| self.failed("look for", source))
    }

    /// Up to where it was applied.
    ///
    /// # Errors
    /// If it is damaged, or a view of something else.
    pub(crate) fn applied(&mut self) -> Result<Offset, ViewError> {
        let incarnation = self.incarnation;
        self.with(|database| {
            let transaction = database.begin_read()?;
            let meta = transaction.open_table(META)?;
            let Some(row) = meta.get(AT)? else {
                return Err(ViewError::Unusable("it does not say what it is a view of".to_owned()));
            };
            match row.value() {
                (VERSION, life, applied) if life == incarnation.get() => Ok(Offset(applied)),
                (VERSION, ..) => Err(ViewError::Unusable("it is a view of another log".to_owned())),
                (other, ..) => Err(ViewError::Unusable(format!(
                    "it has version {other}, this program knows {VERSION} only"
                ))),
            }
        })
    }

    /// Up to where it was applied, of a log that has these offsets; nothing if there is no view.
    ///
    /// # Errors
    /// If it cannot be read, or is of no use for that log.
    pub(crate) fn applied_within(
        &mut self,
        start: Offset,
        end: Offset,
    ) -> Result<Option<Offset>, ViewError> {
        if !self.exists()? {
            return Ok(None);
        }
        let applied = self.applied()?;
        if applied < start || applied > end {
            return Err(ViewError::Unusable(format!(
                "it was applied up to {applied}, but the log has {start} to {end}"
            )));
        }
        Ok(Some(applied))
    }

    /// Shows every row, in the order of their keys, until `see` says that it is enough.
    pub(crate) fn each(
        &mut self,
        mut see: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), ViewError> {
        self.with(|database| {
            let transaction = database.begin_read()?;
            for row in transaction.open_table(RECORDS)?.iter()? {
                let (key, value) = row?;
                if !see(key.value(), value.value()) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Takes up what the log has up to `applied`, all or nothing; durable on return.
    pub(crate) fn write<'r>(
        &mut self,
        rows: impl IntoIterator<Item = (&'r Bytes, &'r Option<Bytes>)>,
        applied: Offset,
    ) -> Result<(), ViewError> {
        let at = (VERSION, self.incarnation.get(), applied.get());
        let written = self.with(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(redb::Durability::Immediate)?;
            {
                let mut records = transaction.open_table(RECORDS)?;
                for (key, value) in rows {
                    match value {
                        Some(value) => records.insert(&key[..], &value[..])?,
                        None => records.remove(&key[..])?,
                    };
                }
                transaction.open_table(META)?.insert(AT, at)?;
            }
            transaction.commit()?;
            Ok(())
        });
        if written.is_err() {
            self.close();
        }
        written
    }

    /// Closes and removes it.
    pub(crate) fn remove(&mut self) -> Result<(), ViewError> {
        self.close();
        match self.disk.remove_file(&self.path) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|source| self.failed("remove", source)),
        }
    }

    fn close(&mut self) {
        let database = self.database.take();
        if catch_unwind(AssertUnwindSafe(|| drop(database))).is_err() {
            tracing::warn!("a view could not be closed in order");
        }
    }

    fn failed(&self, action: &'static str, source: io::Error) -> ViewError {
        ViewError::File { action, path: self.path.clone(), source }
    }

    /// Does something with the database, whose asserts on damaged pages must not end the process.
    fn with<T>(
        &mut self,
        act: impl FnOnce(&Database) -> Result<T, ViewError>,
    ) -> Result<T, ViewError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => Arc::new(self.open()?),
        };
        let database = self.database.insert(database);
        catch_unwind(AssertUnwindSafe(|| act(database))).unwrap_or(Err(ViewError::Panicked))
    }

    /// Reads beside whoever writes; the file stays open while it lives.
    ///
    /// # Errors
    /// If the database cannot be opened.
    pub(crate) fn reader(&mut self) -> Result<ViewReader, ViewError> {
        self.with(|_| Ok(()))?;
        match &self.database {
            Some(database) => Ok(ViewReader { database: database.clone() }),
            None => Err(ViewError::Unusable("it was closed".to_owned())),
        }
    }

    /// Opens the database, or makes it, and verifies all of it.
    fn open(&self) -> Result<Database, ViewError> {
        let existed = self.exists()?;
        let open = |source| self.failed("open", source);
        let file = self.disk.open(&self.path, OpenMode::Create).map_err(open)?;
        let backend = DiskBackend::new(file).map_err(open)?;
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let mut builder = Database::builder();
            builder.set_cache_size(CACHE.as_usize());
            let mut database = builder.create_with_backend(backend)?;
            if existed && !database.check_integrity()? {
                tracing::info!(path = %self.path.display(), "a view was repaired");
            }
            Ok(database)
        }));
        let database = opened.unwrap_or(Err(ViewError::Panicked))?;
        // One that was there may have been made by an open that was cut short before this.
        if let Some(folder) = self.path.parent() {
            self.disk.sync_dir(folder).map_err(open)?;
        }
        Ok(database)
    }
}

/// Reads a view, row by row.
pub(crate) struct ViewReader {
    database: Arc<Database>,
}

impl ViewReader {
    /// The value of a key.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ViewError> {
        self.with(|database| {
            let Some(records) = table(database)? else { return Ok(None) };
            Ok(records.get(key)?.map(|value| Bytes::copy_from_slice(value.value())))
        })
    }

    /// At most `limit` rows from the key `from` on, in order of their keys.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(crate) fn from(&self, from: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, ViewError> {
        self.with(|database| {
            let Some(records) = table(database)? else { return Ok(Vec::new()) };
            let mut rows = Vec::new();
            for row in records.range(from..)?.take(limit) {
                let (key, value) = row?;
                let copy = Bytes::copy_from_slice;
                rows.push((copy(key.value()), copy(value.value())));
            }
            Ok(rows)
        })
    }

    fn with<T>(&self, act: impl FnOnce(&Database) -> Result<T, ViewError>) -> Result<T, ViewError> {
        catch_unwind(AssertUnwindSafe(|| act(&self.database))).unwrap_or(Err(ViewError::Panicked))
    }
}

type Records = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The records; `None` before the first were written.
fn table(database: &Database) -> Result<Option<Records>, ViewError> {
    match database.begin_read()?.open_table(RECORDS) {
        Ok(table) => Ok(Some(table)),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
