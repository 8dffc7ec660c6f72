//! A disk in memory that fails as real ones do, from a seed.
//!
//! It keeps, beside what the process sees, what the platter holds, and the operations between the
//! two. [`SimDisk::crash`] settles those: of a file's unsynced writes any sectors may have reached
//! the platter, of a folder's unsynced changes any first few. A failed sync leaves the process with
//! data that the platter lacks and that no later sync will bring there, as Linux does.
//!
//! It does not model time, nor file systems that show stale blocks, nor reordering of one folder's
//! changes.

mod file;
mod tree;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{DirEntry, Disk, DiskFile, OpenMode, Rng};
use file::{Content, SECTOR};
use tree::Tree;

/// Which operations a [`Fault`] counts and strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultOn {
    /// Reads of files.
    Read,
    /// Writes, allocations and changes of length.
    Write,
    /// Syncs of files.
    Sync,
    /// Syncs of folders.
    SyncDir,
}

/// What a struck operation returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// The device failed (EIO).
    Io,
    /// No space is left (ENOSPC).
    NoSpace,
}

/// A failure to come.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The operations it counts.
    pub on: FaultOn,
    /// How many of them still succeed.
    pub after: u32,
    /// What the next one returns.
    pub kind: FaultKind,
    /// Counts only paths that contain this; all of them if empty.
    pub path: String,
}

#[derive(Debug)]
struct State {
    /// False once this machine lost its power: every call fails.
    powered: bool,
    tree: Tree,
    files: Vec<Content>,
    locks: Vec<usize>,
    faults: Vec<Fault>,
    rng: Rng,
    syncs: u64,
}

/// The simulated [`Disk`]. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct SimFile {
    state: Arc<Mutex<State>>,
    id: usize,
    path: String,
    writable: bool,
    locked: bool,
}

fn guard(state: &Arc<Mutex<State>>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_power() -> io::Error {
    io::Error::other("the simulated machine has no power")
}

impl State {
    fn alive(&self) -> io::Result<()> {
        if self.powered { Ok(()) } else { Err(no_power()) }
    }

    /// Counts an operation against the faults to come; the error if one strikes.
    fn strike(&mut self, on: FaultOn, path: &str) -> io::Result<()> {
        self.alive()?;
        let counts = |fault: &Fault| fault.on == on && path.contains(&fault.path);
        let mut struck = None;
        for (at, fault) in self.faults.iter_mut().enumerate().filter(|(_, fault)| counts(fault)) {
            match fault.after.checked_sub(1) {
                Some(after) => fault.after = after,
                None => struck = struck.or(Some(at)),
            }
        }
        let Some(at) = struck else { return Ok(()) };
        Err(match self.faults.remove(at).kind {
            FaultKind::Io => io::Error::other("simulated input/output error"),
            FaultKind::NoSpace => io::ErrorKind::StorageFull.into(),
        })
    }
}

impl SimDisk {
    /// An empty disk whose failures `seed` decides.
    #[must_use]
    pub fn new(seed: u64) -> SimDisk {
        let state = State {
            powered: true,
            tree: Tree::new(),
            files: Vec::new(),
            locks: Vec::new(),
            faults: Vec::new(),
            rng: Rng::new(seed),
            syncs: 0,
        };
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// Cuts the power and gives the disk as the next start finds it.
    ///
    /// From then on every call on the old disk and its files fails.
    #[must_use]
    pub fn crash(&self) -> SimDisk {
        let mut state = guard(&self.state);
        state.powered = false;
        let mut rng = state.rng.clone();
        state.rng.next_u64();
        let files = state.files.iter().map(|file| file.after_crash(&mut rng)).collect();
        let tree = state.tree.after_crash(&mut rng);
        let next = State {
            powered: true,
            tree,
            files,
            locks: Vec::new(),
            faults: Vec::new(),
            rng: Rng::new(rng.next_u64()),
            syncs: 0,
        };
        SimDisk { state: Arc::new(Mutex::new(next)) }
    }

    /// Ends the process but keeps the power: what was written stays, as after kill -9.
    #[must_use]
    pub fn kill(&self) -> SimDisk {
        let mut state = guard(&self.state);
        state.powered = false;
        let next = State {
            powered: true,
            tree: state.tree.clone(),
            files: state.files.clone(),
            locks: Vec::new(),
            faults: Vec::new(),
            rng: state.rng.clone(),
            syncs: 0,
        };
        SimDisk { state: Arc::new(Mutex::new(next)) }
    }

    /// Makes an operation to come fail, once.
    pub fn inject(&self, fault: Fault) {
        guard(&self.state).faults.push(fault);
    }

    /// Forgets the faults that have not struck yet.
    pub fn clear_faults(&self) {
        guard(&self.state).faults.clear();
    }

    /// Turns one bit of a file, in the page cache and on the platter.
    ///
    /// # Errors
    /// If there is no such file, or it ends before `offset`.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> io::Result<()> {
        let mut state = guard(&self.state);
        let id = state.tree.file(path)?;
        if state.files[id].flip(offset, bit) {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// How many syncs of files succeeded.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        guard(&self.state).syncs
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let mut state = guard(&self.state);
        state.alive()?;
        let found = match state.tree.file(path) {
            Ok(id) => Some(id),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let id = match (found, mode) {
            (Some(_), OpenMode::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(id), _) => id,
            (None, OpenMode::Read | OpenMode::Write) => return Err(io::ErrorKind::NotFound.into()),
            (None, OpenMode::Create | OpenMode::CreateNew) => {
                let id = state.files.len();
                state.tree.link_file(path, id)?;
                state.files.push(Content::default());
                id
            }
        };
        drop(state);
        Ok(Box::new(SimFile {
            state: Arc::clone(&self.state),
            id,
            path: path.to_string_lossy().into_owned(),
            writable: mode != OpenMode::Read,
            locked: false,
        }))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        drop(self.open(path, OpenMode::Create)?);
        let mut state = guard(&self.state);
        let id = state.tree.file(path)?;
        if state.locks.contains(&id) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locks.push(id);
        drop(state);
        Ok(Box::new(SimFile {
            state: Arc::clone(&self.state),
            id,
            path: path.to_string_lossy().into_owned(),
            writable: true,
            locked: true,
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = guard(&self.state);
        state.alive()?;
        state.tree.create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = guard(&self.state);
        state.strike(FaultOn::SyncDir, &path.to_string_lossy())?;
        state.tree.sync_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let state = guard(&self.state);
        state.alive()?;
        state.tree.list(path, |id| state.files[id].len())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = guard(&self.state);
        state.alive()?;
        state.tree.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = guard(&self.state);
        state.alive()?;
        state.tree.remove_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = guard(&self.state);
        state.alive()?;
        state.tree.rename(from, to)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = guard(&self.state);
        state.alive()?;
        Ok(state.tree.exists(path))
    }
}

impl SimFile {
    /// Writes `data` unless a fault strikes; then some first part of it, ended anywhere.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = guard(&self.state);
        state.alive()?;
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let struck = state.strike(FaultOn::Write, &self.path);
        let written = match &struck {
            Ok(()) => data.len(),
            Err(_) => state.rng.below(data.len() as u64 + 1) as usize,
        };
        state.files[self.id].write(offset, &data[..written]);
        struck
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = guard(&self.state);
        state.strike(FaultOn::Read, &self.path)?;
        Ok(state.files[self.id].read(offset, buf))
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write(offset, data)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = guard(&self.state);
        match state.strike(FaultOn::Sync, &self.path) {
            Ok(()) => {
                state.files[self.id].sync();
                state.syncs += 1;
                Ok(())
            }
            Err(error) => {
                let state = &mut *state;
                if state.powered {
                    state.files[self.id].fail_sync(&mut state.rng);
                }
                Err(error)
            }
        }
    }

    fn len(&self) -> io::Result<u64> {
        let state = guard(&self.state);
        state.alive()?;
        Ok(state.files[self.id].len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = guard(&self.state);
        state.alive()?;
        if !self.writable {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        state.strike(FaultOn::Write, &self.path)?;
        state.files[self.id].set_len(len);
        Ok(())
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let zeros = usize::try_from(len).map_err(|_| io::ErrorKind::StorageFull)?;
        self.write(offset, &vec![0; zeros])
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if self.locked {
            guard(&self.state).locks.retain(|id| *id != self.id);
        }
    }
}

const _: () = assert!(SECTOR.is_power_of_two());
