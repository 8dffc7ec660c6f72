//! A [`Disk`] that counts what is handed to it.
//!
//! Counts bytes as they are passed to the disk's calls, zeros included, and calls that succeeded;
//! what the file system writes beside that, it does not know.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{DirEntry, Disk, DiskFile, OpenMode, Space};

/// Counters that only rise; shared with the disk that counts.
#[derive(Debug, Default)]
pub struct DiskMeter {
    written: AtomicU64,
    read: AtomicU64,
    syncs: AtomicU64,
}

impl DiskMeter {
    /// Bytes written to files.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Bytes read from files, through this disk's own calls.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Syncs of files and folders; one of many files at once counts once.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    fn count_written(&self, len: u64) {
        self.written.fetch_add(len, Ordering::Relaxed);
    }

    fn count_sync(&self) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }
}

/// A disk that counts what is written, read and synced through it.
#[derive(Debug)]
pub struct MeteredDisk {
    inner: Arc<dyn Disk>,
    meter: Arc<DiskMeter>,
}

#[derive(Debug)]
struct MeteredFile {
    inner: Box<dyn DiskFile>,
    meter: Arc<DiskMeter>,
}

impl MeteredDisk {
    /// The same disk, counted.
    #[must_use]
    pub fn new(inner: Arc<dyn Disk>) -> MeteredDisk {
        MeteredDisk { inner, meter: Arc::default() }
    }

    /// What was counted so far, and will be.
    #[must_use]
    pub fn meter(&self) -> Arc<DiskMeter> {
        Arc::clone(&self.meter)
    }

    fn wrap(&self, inner: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(MeteredFile { inner, meter: Arc::clone(&self.meter) })
    }
}

impl Disk for MeteredDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.wrap(self.inner.open(path, mode)?))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.wrap(self.inner.lock(path)?))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)?;
        self.meter.count_sync();
        Ok(())
    }

    fn sync_dirs(&self, paths: &[&Path]) -> Vec<io::Result<()>> {
        let results = self.inner.sync_dirs(paths);
        if results.iter().any(Result::is_ok) {
            self.meter.count_sync();
        }
        results
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.inner.exists(path)
    }

    fn sync_files(&self, files: &[&dyn DiskFile]) -> Vec<io::Result<()>> {
        let bare: Vec<&dyn DiskFile> =
            files.iter().map(|file| file.beneath().unwrap_or(*file)).collect();
        let results = self.inner.sync_files(&bare);
        if results.iter().any(Result::is_ok) {
            self.meter.count_sync();
        }
        results
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.inner.space(path)
    }
}

impl DiskFile for MeteredFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read_at(offset, buf)?;
        self.meter.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }

    fn read_into(&self, offset: u64, len: usize, out: &mut Vec<u8>) -> io::Result<usize> {
        let read = self.inner.read_into(offset, len, out)?;
        self.meter.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write_at(offset, data)?;
        self.meter.count_written(data.len() as u64);
        Ok(())
    }

    fn write_vectored_at(&self, offset: u64, bufs: &[IoSlice<'_>]) -> io::Result<()> {
        self.inner.write_vectored_at(offset, bufs)?;
        self.meter.count_written(bufs.iter().map(|buf| buf.len() as u64).sum());
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()?;
        self.meter.count_sync();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.inner.allocate(offset, len)?;
        self.meter.count_written(len);
        Ok(())
    }

    /// Not counted: where the file system can do so, nothing is written.
    fn reserve(&self, len: u64) -> io::Result<()> {
        self.inner.reserve(len)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.as_fd()
    }

    fn beneath(&self) -> Option<&dyn DiskFile> {
        Some(&*self.inner)
    }
}
