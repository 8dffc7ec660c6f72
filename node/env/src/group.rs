//! Syncs many files at once: one `syncfs` where that is cheaper than an `fdatasync` for each.
//!
//! [`GroupDisk`] adds this to the [`RealDisk`](crate::RealDisk) and changes nothing on a disk whose
//! files are not the system's. It syncs together what lies on the file system of the first folder
//! that was locked through it.
//!
//! What holds:
//! - A file is reported synced only if its data was written out and the device's cache flushed
//!   after that. `syncfs` writes out; since not every file system flushes in it when only data
//!   changed, one of the files is synced by itself behind it, which always does.
//! - `syncfs` tells errors only since Linux 5.8, and tells each once to each handle that was open
//!   before. So it is used from there on, through a handle that was opened before any file.
//! - When it fails, each file of the round is asked by its own `fdatasync`: the kernel keeps a
//!   file's write errors apart from those of the file system, and tells them to the file's own
//!   handle however `syncfs` ended. This is the first sync of that handle, not a second try. After
//!   that `syncfs` is not used again, since what it told one round it would not tell another that
//!   was under way.
//! - The names in many folders are made durable in the same way: `syncfs` commits the journal that
//!   they are in, and the sync of one folder behind it flushes the cache.
//! - Only file systems known to do this are synced so; on all others each file is.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::fs::{fstat, fstatfs, syncfs};

use crate::group_choice::{SyncChoice, Way};
use crate::{DirEntry, Disk, DiskFile, OpenMode, Space};

/// ext2 to ext4, and XFS: on these `syncfs` waits for the data of all files.
const KNOWN: [u64; 2] = [0xef53, 0x5846_5342];

/// The first Linux whose `syncfs` tells write errors.
const TELLS_ERRORS: (u32, u32) = (5, 8);

/// From so many folders on they are synced together.
const WORTH_A_GROUP: usize = 8;

/// The file system whose files may be synced together.
#[derive(Debug)]
struct Group {
    device: u64,
    handle: File,
}

#[derive(Debug, Default)]
struct State {
    group: Option<Group>,
    /// A `syncfs` failed.
    given_up: bool,
    choice: SyncChoice,
}

/// A [`Disk`] whose [`sync_files`](Disk::sync_files) may sync a whole file system; see the
/// module.
#[derive(Debug)]
pub struct GroupDisk {
    inner: Arc<dyn Disk>,
    state: Mutex<State>,
}

/// Major and minor of a release such as `6.1.0-13-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

impl GroupDisk {
    /// The same disk, that syncs many files at once.
    #[must_use]
    pub fn new(inner: Arc<dyn Disk>) -> GroupDisk {
        GroupDisk { inner, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for GroupDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        self.inner.open(path, mode)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.inner.lock(path)?;
        let mut state = self.state();
        if file.as_fd().is_some() && state.group.is_none() && !state.given_up {
            // Without it each file is synced, which is only slower.
            state.group = open_group(path).unwrap_or(None);
        }
        drop(state);
        Ok(file)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }

    fn sync_dirs(&self, paths: &[&Path]) -> Vec<io::Result<()>> {
        let mut state = self.state();
        let group = state.group.as_ref().filter(|_| paths.len() >= WORTH_A_GROUP);
        // Folders that cannot be opened, or lie elsewhere, are told one by one.
        let results = match group.map(|group| (group, open_on(paths, group.device))) {
            Some((group, Some(last))) => names_together(group, &last, paths.len()),
            _ => {
                drop(state);
                return self.inner.sync_dirs(paths);
            }
        };
        results.unwrap_or_else(|| {
            (state.group, state.given_up) = (None, true);
            drop(state);
            self.inner.sync_dirs(paths)
        })
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

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.inner.space(path)
    }

    fn sync_files(&self, files: &[&dyn DiskFile]) -> Vec<io::Result<()>> {
        let mut state = self.state();
        let device = state.group.as_ref().map(|group| group.device);
        if files.len() < 2 || device.is_none_or(|device| !all_on(files, device)) {
            drop(state);
            return self.inner.sync_files(files);
        }
        let choice = state.choice.choose(files.len());
        let started = Instant::now();
        let results = match (choice.way, &state.group) {
            (Way::Together, Some(group)) => match together(group, files) {
                Some(results) => results,
                None => {
                    (state.group, state.given_up) = (None, true);
                    drop(state);
                    return self.inner.sync_files(files);
                }
            },
            _ => {
                drop(state);
                let results = self.inner.sync_files(files);
                state = self.state();
                results
            }
        };
        state.choice.observe(choice, started.elapsed());
        results
    }
}

fn open_group(lock: &Path) -> io::Result<Option<Group>> {
    let release = rustix::system::uname();
    let release = version(&release.release().to_string_lossy());
    if release.is_none_or(|release| release < TELLS_ERRORS) {
        return Ok(None);
    }
    let folder = lock.parent().filter(|parent| !parent.as_os_str().is_empty());
    let handle = File::open(folder.unwrap_or(Path::new(".")))?;
    let kind = fstatfs(&handle)?.f_type as u64;
    let device = fstat(&handle)?.st_dev;
    Ok(KNOWN.contains(&kind).then_some(Group { device, handle }))
}

fn all_on(files: &[&dyn DiskFile], device: u64) -> bool {
    let on = |file: &&dyn DiskFile| {
        file.as_fd().is_some_and(|fd| fstat(fd).is_ok_and(|stat| stat.st_dev == device))
    };
    files.iter().all(on)
}

/// The last of the folders, if all of them lie on the device.
fn open_on(paths: &[&Path], device: u64) -> Option<File> {
    let on = |path: &Path| rustix::fs::stat(path).is_ok_and(|stat| stat.st_dev == device);
    let last = paths.last().filter(|_| paths.iter().all(|path| on(path)))?;
    File::open(last).ok()
}

/// Makes all names of the file system durable; `None` if that failed, where each folder by itself
/// tells whether it did for it.
fn names_together(group: &Group, last: &File, count: usize) -> Option<Vec<io::Result<()>>> {
    if let Err(error) = syncfs(&group.handle) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the file system cannot be synced as a whole; from now on each folder is"
        );
        return None;
    }
    // Flushes the device's cache, whatever the first call did about that. It is not tried again.
    let flushed = last.sync_all();
    let each = |_| match &flushed {
        Ok(()) => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
    };
    Some((0..count).map(each).collect())
}

/// `None` if the file system as a whole failed.
fn together(group: &Group, files: &[&dyn DiskFile]) -> Option<Vec<io::Result<()>>> {
    if let Err(error) = syncfs(&group.handle) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the file system cannot be synced as a whole; from now on each file is"
        );
        return None;
    }
    let (last, others) = files.split_last()?;
    let flushed = last.sync_data();
    // Without the flush behind it nobody's data is known to have left the device's cache.
    if flushed.is_err() {
        let mut results: Vec<_> = others.iter().map(|file| file.sync_data()).collect();
        results.push(flushed);
        return Some(results);
    }
    Some(files.iter().map(|_| Ok(())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_linux_are_told_apart() {
        assert_eq!(version("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(version("5.8.0"), Some((5, 8)));
        assert_eq!(version("4.19"), Some((4, 19)));
        assert_eq!(version("linux"), None);
    }
}
