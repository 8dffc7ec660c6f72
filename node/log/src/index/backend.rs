//! A redb storage backend over a [`Disk`](tidegate_env::Disk)'s file, so that databases are
//! simulated with everything else.

use std::io;

use redb::StorageBackend;
use tidegate_env::DiskFile;

/// One file of a disk, for redb.
#[derive(Debug)]
pub struct DiskBackend {
    file: Box<dyn DiskFile>,
}

impl DiskBackend {
    /// Keeps a database in `file`, which must be open for writing and used by nobody else.
    #[must_use]
    pub fn new(file: Box<dyn DiskFile>) -> DiskBackend {
        DiskBackend { file }
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
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, data)
    }
}
