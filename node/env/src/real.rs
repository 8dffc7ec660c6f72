//! The machine's own file system.
//!
//! Adds no buffering: every call is the system call of that name. Zeros are written, not
//! `fallocate`d: an unwritten extent costs a journal commit at its first sync, which is what
//! allocating ahead is there to avoid.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use tidegate_types::ByteSize;

use crate::{DirEntry, Disk, DiskFile, OpenMode, Space};

/// Zeros are written in pieces of this size.
const ZEROS: &[u8] = &[0; 64 * 1024];

/// Most buffers that one system call takes (IOV_MAX).
const MAX_BUFFERS: usize = 1024;

/// The real [`Disk`].
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

/// The real [`DiskFile`].
#[derive(Debug)]
struct RealFile {
    file: File,
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes a file's data and length durable with `fdatasync`, and asks whether the file system still
/// stood when that was done. The file must be open for writing. Never to be retried after an error.
///
/// ext4 may answer an `fdatasync` with success though its journal was aborted while that waited for
/// the data: the commit that it would wait for next is no more, and nothing is left to tell. (Seen
/// on Linux 6.18 at every second `FS_IOC_SHUTDOWN` under four writers.) So a write of no bytes
/// follows, which POSIX lets report errors, and which ext4 and XFS refuse from that moment on. It
/// is a system call and nothing more.
///
/// # Errors
/// If the sync fails, or the file system has failed by then.
pub fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()?;
    rustix::io::pwrite(file, &[], 0)?;
    Ok(())
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::Write => options.write(true),
            OpenMode::Create => options.write(true).create(true).truncate(false),
            OpenMode::CreateNew => options.write(true).create_new(true),
        };
        let file = options.open(path)?;
        // Opening a folder to read succeeds on Unix; it would fail only at the first read.
        if mode == OpenMode::Read && file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Box::new(RealFile { file }))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealFile { file })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(());
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.create_dir_all(parent)?;
        }
        match std::fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            other => other?,
        }
        sync_folder(parent.unwrap_or(Path::new(".")))
    }

    fn create_dirs(&self, paths: &[&Path]) -> io::Result<()> {
        let mut parents = std::collections::BTreeSet::new();
        for path in paths {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let Some(parent) = parent else {
                self.create_dir_all(path)?;
                continue;
            };
            if !parents.contains(parent) {
                self.create_dir_all(parent)?;
                parents.insert(parent);
            }
            match std::fs::create_dir(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
                other => other?,
            }
        }
        parents.into_iter().try_for_each(sync_folder)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        sync_folder(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let metadata = match entry.metadata() {
                // Removed since the folder was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            let is_dir = metadata.is_dir();
            entries.push(DirEntry { name, is_dir, len: if is_dir { 0 } else { metadata.len() } });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let found = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| ByteSize::bytes(blocks.saturating_mul(found.f_frsize));
        Ok(Space { free: bytes(found.f_bavail), total: bytes(found.f_blocks) })
    }
}

impl DiskFile for RealFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < buf.len() {
            match self.file.read_at(&mut buf[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn read_into(&self, offset: u64, len: usize, out: &mut Vec<u8>) -> io::Result<usize> {
        let before = out.len();
        out.reserve(len);
        if out.capacity() - before > len + len / 4 {
            // The call below fills all the spare room, which here is much more than was asked for.
            out.resize(before + len, 0);
            let read = self.read_at(offset, &mut out[before..]);
            out.truncate(before + *read.as_ref().unwrap_or(&0));
            return read;
        }
        while out.len() - before < len {
            let at = offset + (out.len() - before) as u64;
            match rustix::io::pread(&self.file, spare_capacity(out), at) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    out.truncate(before);
                    return Err(error.into());
                }
            }
        }
        out.truncate(before + len);
        Ok(out.len() - before)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn write_vectored_at(&self, offset: u64, bufs: &[IoSlice<'_>]) -> io::Result<()> {
        let mut at = offset;
        for bufs in bufs.chunks(MAX_BUFFERS) {
            let mut written = loop {
                match rustix::io::pwritev(&self.file, bufs, at) {
                    Err(Errno::INTR) => {}
                    other => break other?,
                }
            };
            // What one call left, as a signal or a full disk makes it.
            for buf in bufs {
                let done = written.min(buf.len());
                written -= done;
                if done < buf.len() {
                    self.file.write_all_at(&buf[done..], at + done as u64)?;
                }
                at += buf.len() as u64;
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        sync_data(&self.file)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut at = 0;
        while at < len {
            let piece = (len - at).min(ZEROS.len() as u64);
            self.file.write_all_at(&ZEROS[..piece as usize], offset + at)?;
            at += piece;
        }
        Ok(())
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.allocate(0, len),
            other => Ok(other?),
        }
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}
