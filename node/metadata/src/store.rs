//! The image on disk: one redb file with a log of commands and a snapshot.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `state` | `node` | version byte, postcard of [`NodeRecord`] |
//! | `state` | `snapshot` | an image, see the format module |
//! | `log` | index | a command that the snapshot does not contain yet |
//!
//! A command is one Immediate transaction: its log entry and, now and then, a snapshot that takes
//! the place of the entries before it. A failed transaction may or may not be on disk: the store
//! takes nothing more until it is opened again. Where a write merely found the disk full, it opens its
//! file again by itself, at once or with the next command, and sees what is there.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::{Builder, Database, ReadableDatabase, TableDefinition};
use serde::{Deserialize, Serialize};
use tidegate_types::{NodeId, SiteName, Timestamp};

use crate::backend::WatchedFile;
use crate::format::{self, FormatError};
use crate::{Command, Image, Outcome, Rejection};

const STATE: TableDefinition<&str, &[u8]> = TableDefinition::new("state");
const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
const NODE: &str = "node";
const SNAPSHOT: &str = "snapshot";

/// Pages kept in memory: commands are rare and read once.
const CACHE: usize = 1 << 20;

/// Who a data folder belongs to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeRecord {
    /// The site.
    pub site: SiteName,
    /// The node in it.
    pub node: NodeId,
    /// When the folder was first used.
    pub created: Timestamp,
}

/// How the store works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreOptions {
    /// Commands between two snapshots. More make opening slower, fewer make each cost more.
    pub snapshot_every: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions { snapshot_every: 256 }
    }
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file could not be made or opened.
    #[error("cannot open {}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("{what} is open in another process: is this node running already?")]
    InUse {
        /// The file.
        what: String,
    },
    /// The database could not be read or written.
    #[error("cannot read the metadata in {what}")]
    Database {
        /// The file.
        what: String,
        /// What the database says.
        source: Box<redb::Error>,
    },
    /// A value in it could not be read.
    #[error("the metadata in {what} cannot be read")]
    Format {
        /// The file.
        what: String,
        /// What is wrong with it.
        source: FormatError,
    },
    /// An entry of the log cannot be applied.
    #[error("command {index} in {what} contradicts those before it")]
    Replay {
        /// The file.
        what: String,
        /// The entry.
        index: u64,
        /// Why.
        source: Rejection,
    },
    /// The folder belongs to another node.
    #[error(
        "{what} belongs to node {} of site {}, but this is node {} of site {}: \
         use its own data folder, or the configuration that made this one",
        found.node, found.site, expected.node, expected.site
    )]
    OtherNode {
        /// The file.
        what: String,
        /// Whom it belongs to.
        found: Box<NodeRecord>,
        /// Who asked.
        expected: Box<NodeRecord>,
    },
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// It breaks a rule. Nothing was written.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// It cannot be encoded. Nothing was written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// It could not be written for sure: it may be there once the store is opened again.
    #[error("cannot write the metadata, restart the node: the command may or may not last")]
    Write {
        /// What the database says.
        #[source]
        source: Box<redb::Error>,
    },
    /// The disk is full. Nothing was written; the command may be given again.
    #[error("the disk is full: the metadata cannot be written until there is room")]
    DiskFull {
        /// What the database says.
        #[source]
        source: Box<redb::Error>,
    },
    /// An earlier command failed. Nothing was written.
    #[error("the metadata takes no more commands until the node is restarted: {reason}")]
    Sealed {
        /// The first failure.
        reason: String,
    },
}

/// The image of one node, kept on disk.
///
/// Readers take [`MetadataStore::image`] and are never held up by a writer. Commands go one by
/// one; [`MetadataStore::submit`] blocks for one sync of the disk.
pub struct MetadataStore {
    node: NodeRecord,
    /// Names the file in errors.
    what: String,
    source: DatabaseSource,
    /// What is in the file's cache may not be on the disk: it is not opened again.
    sync_failed: Arc<AtomicBool>,
    options: StoreOptions,
    image: RwLock<Arc<Image>>,
    writer: Mutex<Writer>,
}

/// Opens the database; called again after the disk was full, when nobody has it open.
pub type DatabaseSource = Box<dyn Fn() -> Result<Database, OpenError> + Send + Sync>;

impl fmt::Debug for MetadataStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetadataStore")
            .field("what", &self.what)
            .field("node", &self.node)
            .field("applied", &self.image().applied())
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Writer {
    /// Gone while the disk is too full to open it.
    database: Option<Database>,
    /// Index of the last command in the snapshot on disk.
    snapshot: u64,
    sealed: Option<String>,
}

impl MetadataStore {
    /// Opens the file at `path`, or makes it for `node`. The file holds the links' private keys,
    /// so that nobody else may read it.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or belongs to another node.
    pub fn open(path: &Path, node: &NodeRecord) -> Result<MetadataStore, OpenError> {
        let file = |source| OpenError::File { path: path.to_owned(), source };
        let what = path.display().to_string();
        let is_new = !path.try_exists().map_err(file)?;
        let (name, to_open) = (what.clone(), path.to_owned());
        let sync_failed = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&sync_failed);
        let source = Box::new(move || open_file(&to_open, &name, &watched));
        let mut store = Self::open_source(source, &what, node, StoreOptions::default())?;
        store.sync_failed = sync_failed;
        if is_new {
            // A new file lasts only once its folder's entry does.
            let folder = match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(|source| OpenError::File { path: folder.to_owned(), source })?;
        }
        Ok(store)
    }

    /// Opens a database that lies anywhere. `what` names it in errors.
    ///
    /// # Errors
    /// As [`MetadataStore::open`].
    pub fn open_source(
        source: DatabaseSource,
        what: &str,
        node: &NodeRecord,
        options: StoreOptions,
    ) -> Result<MetadataStore, OpenError> {
        let database = source()?;
        let node = claim(&database, what, node)?;
        let (image, snapshot) = recover(&database, what)?;
        tracing::debug!(what, applied = image.applied(), snapshot, "metadata opened");
        Ok(MetadataStore {
            node,
            what: what.to_owned(),
            source,
            sync_failed: Arc::default(),
            options,
            image: RwLock::new(Arc::new(image)),
            writer: Mutex::new(Writer { database: Some(database), snapshot, sealed: None }),
        })
    }

    /// Whom it belongs to.
    #[must_use]
    pub fn node(&self) -> &NodeRecord {
        &self.node
    }

    /// The image after the last durable command.
    #[must_use]
    pub fn image(&self) -> Arc<Image> {
        Arc::clone(&self.image.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Carries out a command: durable when this returns.
    ///
    /// A command that changes nothing is not written.
    ///
    /// # Errors
    /// If it breaks a rule, or the disk fails; each error says what was written.
    pub fn submit(&self, command: &Command) -> Result<(Arc<Image>, Outcome), SubmitError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = &writer.sealed {
            return Err(SubmitError::Sealed { reason: reason.clone() });
        }
        if writer.database.is_none() {
            self.reopen(&mut writer).map_err(full_or_failed)?;
        }
        let current = self.image();
        let index = current.applied() + 1;
        let mut next = Image::clone(&current);
        let outcome = next.apply(index, command)?;
        if outcome == Outcome::Unchanged {
            return Ok((current, outcome));
        }
        let entry = format::encode_entry(0, command)?;
        let snapshot = if index - writer.snapshot >= self.options.snapshot_every {
            Some(format::encode_snapshot(&next)?)
        } else {
            None
        };
        let written = match &writer.database {
            Some(database) => write(database, index, &entry, snapshot.as_deref()),
            None => Err(redb::Error::DatabaseClosed),
        };
        if let Err(error) = written {
            if !is_full(&error) || self.sync_failed.load(Ordering::Acquire) {
                tracing::error!(%error, "the metadata cannot be written and is sealed");
                writer.sealed = Some(error.to_string());
                return Err(SubmitError::Write { source: Box::new(error) });
            }
            tracing::warn!("the disk is full: the metadata takes no command until there is room");
            writer.database = None;
            // Only the file knows whether the command is in it.
            return match self.reopen(&mut writer) {
                Ok(image) if image.applied() == index => Ok((image, outcome)),
                Ok(_) => Err(SubmitError::DiskFull { source: Box::new(error) }),
                Err(_) => Err(SubmitError::Write { source: Box::new(error) }),
            };
        }
        if snapshot.is_some() {
            writer.snapshot = index;
        }
        let next = Arc::new(next);
        *self.image.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&next);
        Ok((next, outcome))
    }

    /// Opens the database again after the disk was full, and takes over what is in it.
    fn reopen(&self, writer: &mut Writer) -> Result<Arc<Image>, OpenError> {
        let database = (self.source)()?;
        let (image, snapshot) = recover(&database, &self.what)?;
        let image = Arc::new(image);
        *self.image.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&image);
        (writer.database, writer.snapshot) = (Some(database), snapshot);
        Ok(image)
    }

    /// Why it takes no more commands; `None` while it does.
    #[must_use]
    pub fn sealed_reason(&self) -> Option<String> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).sealed.clone()
    }
}

fn open_file(
    path: &Path,
    what: &str,
    sync_failed: &Arc<AtomicBool>,
) -> Result<Database, OpenError> {
    let opened =
        options().open(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    let file = WatchedFile::new(opened, Arc::clone(sync_failed));
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    let opened = file.and_then(|file| builder.create_with_backend(file));
    opened.map_err(|error| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { what: what.to_owned() },
        other => OpenError::Database { what: what.to_owned(), source: Box::new(other.into()) },
    })
}

fn is_full(error: &redb::Error) -> bool {
    let redb::Error::Io(error) = error else { return false };
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Why the database could not be opened again, to whoever gave a command meanwhile.
fn full_or_failed(error: OpenError) -> SubmitError {
    match error {
        OpenError::Database { source, .. } if is_full(&source) => SubmitError::DiskFull { source },
        error => SubmitError::Sealed { reason: error.to_string() },
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Checks whom the database belongs to; a new one is given to `expected`.
fn claim(database: &Database, what: &str, expected: &NodeRecord) -> Result<NodeRecord, OpenError> {
    let failed = |source: redb::Error| OpenError::Database {
        what: what.to_owned(),
        source: Box::new(source),
    };
    let unreadable = |source| OpenError::Format { what: what.to_owned(), source };
    if let Some(bytes) = read_node(database).map_err(failed)? {
        let found: NodeRecord = format::decode("node record", &bytes).map_err(unreadable)?;
        if (&found.site, found.node) != (&expected.site, expected.node) {
            return Err(OpenError::OtherNode {
                what: what.to_owned(),
                found: Box::new(found),
                expected: Box::new(expected.clone()),
            });
        }
        return Ok(found);
    }
    let record = format::encode("node record", expected).map_err(unreadable)?;
    let snapshot = format::encode_snapshot(&Image::default()).map_err(unreadable)?;
    write_new(database, &record, &snapshot).map_err(failed)?;
    Ok(expected.clone())
}

fn read_node(database: &Database) -> Result<Option<Vec<u8>>, redb::Error> {
    let transaction = database.begin_read()?;
    match transaction.open_table(STATE) {
        Ok(state) => Ok(state.get(NODE)?.map(|bytes| bytes.value().to_vec())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn write_new(database: &Database, record: &[u8], snapshot: &[u8]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut state = transaction.open_table(STATE)?;
        state.insert(NODE, record)?;
        state.insert(SNAPSHOT, snapshot)?;
        transaction.open_table(LOG)?;
    }
    transaction.commit()?;
    Ok(())
}

/// The snapshot with the commands after it, and the index of the snapshot itself.
fn recover(database: &Database, what: &str) -> Result<(Image, u64), OpenError> {
    let failed = |source: redb::Error| OpenError::Database {
        what: what.to_owned(),
        source: Box::new(source),
    };
    let unreadable = |source| OpenError::Format { what: what.to_owned(), source };
    let transaction = database.begin_read().map_err(|e| failed(e.into()))?;
    let state = transaction.open_table(STATE).map_err(|e| failed(e.into()))?;
    let mut image = match state.get(SNAPSHOT).map_err(|e| failed(e.into()))? {
        Some(bytes) => format::decode_snapshot(bytes.value()).map_err(unreadable)?,
        None => return Err(unreadable(FormatError::Empty { what: "snapshot" })),
    };
    let snapshot = image.applied();
    let log = transaction.open_table(LOG).map_err(|e| failed(e.into()))?;
    for entry in log.range(snapshot + 1..).map_err(|e| failed(e.into()))? {
        let (index, bytes) = entry.map_err(|e| failed(e.into()))?;
        let entry = format::decode_entry(index.value(), bytes.value()).map_err(unreadable)?;
        image.apply(entry.index, &entry.command).map_err(|source| OpenError::Replay {
            what: what.to_owned(),
            index: entry.index,
            source,
        })?;
    }
    Ok((image, snapshot))
}

/// Writes one command and, where there is one, the snapshot that contains it.
fn write(
    database: &Database,
    index: u64,
    entry: &[u8],
    snapshot: Option<&[u8]>,
) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(redb::Durability::Immediate)?;
    {
        let mut log = transaction.open_table(LOG)?;
        match snapshot {
            None => {
                log.insert(index, entry)?;
            }
            Some(snapshot) => {
                log.retain(|_, _| false)?;
                transaction.open_table(STATE)?.insert(SNAPSHOT, snapshot)?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}
