//! A redb storage backend over a [`Disk`](tidegate_env::Disk)'s file, so that databases are
//! simulated with everything else.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::StorageBackend;
use tidegate_env::DiskFile;

/// One file of a disk, for redb.
#[derive(Debug)]
pub struct DiskBackend {
    file: Box<dyn DiskFile>,
    len: Arc<AtomicU64>,
}

impl DiskBackend {
    /// Keeps a database in `file`, which must be open for writing and used by nobody else.
    ///
    /// # Errors
    /// If the file's length cannot be read.
    pub fn new(file: Box<dyn DiskFile>) -> io::Result<DiskBackend> {
        let len = Arc::new(AtomicU64::new(file.len()?));
        Ok(DiskBackend { file, len })
    }

    /// The file's length, now and as it changes.
    pub(crate) fn watch_len(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.len)
    }
}

impl StorageBackend for DiskBackend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.len.store(len, Ordering::Release);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data().map_err(|error| match error.kind() {
            // What was written before is lost to the disk, and making room does not mend that: it
            // must not be taken for a write that found no room.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                io::Error::other(format!("a sync failed: {error}"))
            }
            _ => error,
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, data)
    }
}
