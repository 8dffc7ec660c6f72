//! The view: the latest record of every key, in a database beside the logs.
//!
//! It makes starting short: only what the log has behind it is replayed. It is written in one
//! durable transaction now and then, after the records it takes are durable in the log; whatever is
//! wrong with it, the log has everything, and the view is made anew.
//!
//! `groups.redb` is a redb database. Table `records` has keys and values as they are in the log,
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
pub(super) enum ViewError {
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
    pub(super) fn is_full(&self) -> bool {
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
pub(super) type Row = (Bytes, Option<Bytes>);

/// The view of one life of the log. Everything here blocks.
pub(super) struct View {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    incarnation: Incarnation,
    /// Opened when it is first needed; closed after a failure.
    database: Option<Database>,
}

impl View {
    pub(super) fn new(disk: Arc<dyn Disk>, path: PathBuf, incarnation: Incarnation) -> View {
        View { disk, path, incarnation, database: None }
    }

    pub(super) fn exists(&self) -> Result<bool, ViewError> {
        self.disk.exists(&self.path).map_err(|source| self.failed("look for", source))
    }

    /// Up to where it was applied.
    ///
    /// # Errors
    /// If it is damaged, or a view of something else.
    pub(super) fn applied(&mut self) -> Result<Offset, ViewError> {
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

    /// Shows every row, in the order of their keys, until `see` says that it is enough.
    pub(super) fn each(
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
    pub(super) fn write<'r>(
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
    pub(super) fn remove(&mut self) -> Result<(), ViewError> {
        self.close();
        match self.disk.remove_file(&self.path) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|source| self.failed("remove", source)),
        }
    }

    fn close(&mut self) {
        let database = self.database.take();
        if catch_unwind(AssertUnwindSafe(|| drop(database))).is_err() {
            tracing::warn!("the view of the groups' records could not be closed in order");
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
            None => self.open()?,
        };
        let database = self.database.insert(database);
        catch_unwind(AssertUnwindSafe(|| act(database))).unwrap_or(Err(ViewError::Panicked))
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
                tracing::info!(path = %self.path.display(), "the view of the groups was repaired");
            }
            Ok(database)
        }));
        let database = opened.unwrap_or(Err(ViewError::Panicked))?;
        if !existed && let Some(folder) = self.path.parent() {
            self.disk.sync_dir(folder).map_err(open)?;
        }
        Ok(database)
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
