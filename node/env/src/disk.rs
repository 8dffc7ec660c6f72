//! The contract of a disk: what a call promises, and above all what survives a power cut.
//!
//! What holds for every implementation:
//! - Writes of one file are seen by every later read of it, at once, through any handle.
//! - Until [`DiskFile::sync_data`] returns `Ok`, any part of what was written since the last such
//!   return may be missing after a power cut, sector by sector and in any order. A length may have
//!   grown with the bytes missing; those then read as zeros.
//! - A file's name survives once [`Disk::sync_dir`] of its folder returned `Ok`, whatever was
//!   synced in the file. The same holds for renames and removals: until then either state may come
//!   back. Renames are atomic.
//! - After a failed sync nothing is known about what was written before it, and a later sync that
//!   succeeds does not change that. The caller must not retry it.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;

use tidegate_types::ByteSize;

/// How [`Disk::open`] treats a file that is, or is not, there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// To read only; the file must exist.
    Read,
    /// To read and write; the file must exist.
    Write,
    /// To read and write; made if missing, kept as it is if not.
    Create,
    /// To read and write; it must not exist yet.
    CreateNew,
}

/// One name in a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirEntry {
    /// Its last component. Names that are not UTF-8 are left out of listings: none is ours.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// Length in bytes; 0 for a folder.
    pub len: u64,
}

/// How much fits on a file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// What this process may still take.
    pub free: ByteSize,
    /// All of it.
    pub total: ByteSize,
}

/// A file system, or something that behaves like one. See the [module](self) for what is durable
/// when; every call may block.
pub trait Disk: Send + Sync + Debug {
    /// Opens a file. A file made by this is durable only after a [`sync_dir`](Disk::sync_dir).
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>>;

    /// Takes `path` for this process alone, until the handle is dropped; made if missing.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if another handle holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Makes a folder and those above it that are missing. Durable on return.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes several folders as [`create_dir_all`](Disk::create_dir_all) does each, which may
    /// take fewer syncs together. After an error any of them may have been made.
    fn create_dirs(&self, paths: &[&Path]) -> io::Result<()> {
        paths.iter().try_for_each(|path| self.create_dir_all(path))
    }

    /// Makes the names in a folder durable: files made, renamed and removed in it.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in many folders durable for the price of few; one result for each, in their
    /// order, that says what it says of [`sync_dir`](Disk::sync_dir).
    fn sync_dirs(&self, paths: &[&Path]) -> Vec<io::Result<()>> {
        paths.iter().map(|path| self.sync_dir(path)).collect()
    }

    /// What is in a folder, sorted by name.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Removes a file's name. Open handles keep working.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder with all that is in it. Not atomic: rename it away first where that matters.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Renames within one folder, atomically; replaces a file that has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Whether something has this name.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Syncs many files for the price of few; one result for each, in their order.
    ///
    /// What `Ok` says is what it says of [`DiskFile::sync_data`], and so is what an error says; one
    /// file's error tells nothing of the others. The files must have been opened on this disk.
    fn sync_files(&self, files: &[&dyn DiskFile]) -> Vec<io::Result<()>> {
        files.iter().map(|file| file.sync_data()).collect()
    }

    /// How much room there is where `path` lies.
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// An open file. Calls take offsets and share no cursor, so that any thread may make them.
pub trait DiskFile: Send + Sync + Debug {
    /// Reads at `offset` until `buf` is full or the file ends; returns the number of bytes read.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Reads at `offset` until `len` bytes were appended to `out` or the file ends; returns how many
    /// were. Does not spend time on zeroing them first, where the system lets it.
    fn read_into(&self, offset: u64, len: usize, out: &mut Vec<u8>) -> io::Result<usize> {
        let before = out.len();
        out.resize(before + len, 0);
        let read = self.read_at(offset, &mut out[before..]);
        out.truncate(before + *read.as_ref().unwrap_or(&0));
        read
    }

    /// Writes all of `data` at `offset`, growing the file as needed; a gap reads as zeros.
    ///
    /// After an error any part of it may have been written.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Writes all of `bufs`, one after the other, at `offset`, as if they were one.
    ///
    /// After an error any part of them may have been written.
    fn write_vectored_at(&self, offset: u64, bufs: &[IoSlice<'_>]) -> io::Result<()> {
        let mut at = offset;
        for buf in bufs {
            self.write_at(at, buf)?;
            at += buf.len() as u64;
        }
        Ok(())
    }

    /// Makes all that was written, and the length, durable. Never to be retried after an error.
    fn sync_data(&self) -> io::Result<()>;

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the length is 0.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file, or grows it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Writes zeros over `[offset, offset + len)`, growing the file, so that later writes there
    /// need no new blocks and a sync after them no journal commit. Durable like any write.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Takes up the blocks for a file of `len` bytes, which it then has; what is in them is not
    /// said. Cheaper than [`allocate`](DiskFile::allocate) where the file system can do so.
    fn reserve(&self, len: u64) -> io::Result<()> {
        self.allocate(0, len)
    }

    /// The file that this one stands before; `None` if it is the file itself.
    fn beneath(&self) -> Option<&dyn DiskFile> {
        None
    }

    /// The system's own handle, for calls that take one; `None` where there is no such thing.
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl dyn DiskFile + '_ {
    /// Reads exactly `buf.len()` bytes at `offset`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    pub fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let wanted = buf.len();
        let read = self.read_at(offset, buf)?;
        if read < wanted {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the file ends {read} bytes after offset {offset}, {wanted} were wanted"),
            ));
        }
        Ok(())
    }
}
