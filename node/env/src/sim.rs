//! A disk in memory that fails as real ones do, from a seed.
//!
//! It keeps, beside what the process sees, what the platter holds, and the operations between the
//! two. [`SimDisk::crash`] settles those: of a file's unsynced writes any sectors may have reached
//! the platter, each file for itself; of a folder's unsynced changes any first few, each folder for
//! itself. A failed sync leaves the process with data that the platter lacks and that no later sync
//! will bring there, as Linux does. With a [capacity](SimDisk::set_capacity), files take up blocks
//! of 4 KiB and one more each, until they have neither a name nor a handle; folders take up one.
//!
//! Everything that it decides comes from its seed and the calls made so far.
//!
//! It does not model time, short reads, file systems that show stale blocks, nor reordering of one
//! folder's changes.

mod disk;
mod fault;
mod file;
mod pages;
mod tree;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_types::ByteSize;

use crate::Rng;
use fault::Faults;
pub use fault::{DiskCounts, Fault, FaultKind, FaultOn};
use file::{Content, SECTOR};
use pages::PAGE;
use tree::Tree;

/// A file, named or not.
#[derive(Clone, Debug, Default)]
struct Inode {
    content: Content,
    named: bool,
    handles: u32,
}

impl Inode {
    /// What it takes up: nothing once it has neither a name nor a handle.
    fn blocks(&self) -> u64 {
        if self.named || self.handles > 0 { 1 + self.content.blocks() } else { 0 }
    }
}

#[derive(Debug)]
struct State {
    /// False once this machine lost its power: every call fails.
    powered: bool,
    /// How many more changes the power lasts; for ever if `None`.
    changes_left: Option<u64>,
    tree: Tree,
    files: Vec<Inode>,
    locks: Vec<usize>,
    faults: Faults,
    rng: Rng,
    counts: DiskCounts,
    /// Blocks in use, and how many there are; without end if `None`.
    used: u64,
    capacity: Option<u64>,
}

/// The simulated [`Disk`](crate::Disk). Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

fn guard(state: &Arc<Mutex<State>>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_power() -> io::Error {
    io::Error::other("the simulated machine has no power")
}

impl State {
    fn new(tree: Tree, contents: Vec<Content>, rng: Rng, capacity: Option<u64>) -> State {
        let mut files: Vec<Inode> = contents
            .into_iter()
            .map(|content| Inode { content, named: false, handles: 0 })
            .collect();
        let (named, folders) = tree.reachable();
        for id in named {
            files[id].named = true;
        }
        for file in files.iter_mut().filter(|file| !file.named) {
            file.content = Content::default();
        }
        let used = folders + files.iter().map(Inode::blocks).sum::<u64>();
        State {
            powered: true,
            changes_left: None,
            tree,
            files,
            locks: Vec::new(),
            faults: Faults::default(),
            rng,
            counts: DiskCounts::default(),
            used,
            capacity,
        }
    }

    fn alive(&self) -> io::Result<()> {
        if self.powered { Ok(()) } else { Err(no_power()) }
    }

    fn strike(&mut self, on: FaultOn, path: &str) -> io::Result<()> {
        self.alive()?;
        self.faults.strike(on, path)
    }

    /// Whether the power fails while this change is made. The change may be made in part.
    fn last_change(&mut self) -> bool {
        match &mut self.changes_left {
            Some(0) => {
                self.powered = false;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    /// For a change that takes effect whole: it is made, whether or not it was the last.
    fn changed(&mut self) -> io::Result<()> {
        if self.last_change() { Err(no_power()) } else { Ok(()) }
    }

    fn free(&self) -> u64 {
        self.capacity.map_or(u64::MAX / PAGE as u64, |all| all.saturating_sub(self.used))
    }

    fn take_blocks(&mut self, blocks: u64) -> io::Result<()> {
        if blocks > self.free() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.used += blocks;
        Ok(())
    }

    /// Changes a file, keeping count of its blocks.
    fn with_file<T>(&mut self, id: usize, change: impl FnOnce(&mut Inode) -> T) -> T {
        let file = &mut self.files[id];
        self.used -= file.blocks();
        let result = change(file);
        self.used += file.blocks();
        result
    }
}

impl SimDisk {
    /// An empty disk whose failures `seed` decides.
    #[must_use]
    pub fn new(seed: u64) -> SimDisk {
        SimDisk::from_state(State::new(Tree::new(), Vec::new(), Rng::new(seed), None))
    }

    /// An empty disk with room for so much, in whole blocks of 4 KiB.
    #[must_use]
    pub fn with_capacity(seed: u64, capacity: ByteSize) -> SimDisk {
        let disk = SimDisk::new(seed);
        disk.set_capacity(Some(capacity));
        disk
    }

    fn from_state(state: State) -> SimDisk {
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
        let contents = state.files.iter().map(|file| file.content.after_crash(&mut rng)).collect();
        let tree = state.tree.after_crash(&mut rng);
        let rng = Rng::new(rng.next_u64());
        SimDisk::from_state(State::new(tree, contents, rng, state.capacity))
    }

    /// Ends the process but keeps the power: what was written stays, as after kill -9.
    #[must_use]
    pub fn kill(&self) -> SimDisk {
        let mut state = guard(&self.state);
        state.powered = false;
        let next = State {
            powered: true,
            changes_left: None,
            tree: state.tree.clone(),
            files: state.files.iter().map(|file| Inode { handles: 0, ..file.clone() }).collect(),
            locks: Vec::new(),
            faults: Faults::default(),
            rng: state.rng.clone(),
            counts: DiskCounts::default(),
            used: 0,
            capacity: state.capacity,
        };
        let folders = next.tree.reachable().1;
        let used = folders + next.files.iter().map(Inode::blocks).sum::<u64>();
        SimDisk::from_state(State { used, ..next })
    }

    /// Lets the power (or, for [`kill`](SimDisk::kill), the process) fail by itself: `changes`
    /// more of them succeed, the next may take effect in part, and it and every later call fail.
    ///
    /// Changes are writes, allocations, changes of length, syncs, and making, renaming and
    /// removing files and folders. To meet every moment of a run, repeat it with 0, 1, 2 and so on
    /// until the disk still [has power](SimDisk::has_power) at its end.
    pub fn crash_after(&self, changes: u64) {
        guard(&self.state).changes_left = Some(changes);
    }

    /// Whether calls are still served.
    #[must_use]
    pub fn has_power(&self) -> bool {
        guard(&self.state).powered
    }

    /// Gives the disk room for so much, in whole blocks of 4 KiB; `None` is without end. What it
    /// holds already stays, even if that is more.
    pub fn set_capacity(&self, capacity: Option<ByteSize>) {
        guard(&self.state).capacity = capacity.map(|bytes| bytes.get() / PAGE as u64);
    }

    /// What files and folders take up.
    #[must_use]
    pub fn used(&self) -> ByteSize {
        ByteSize::bytes(guard(&self.state).used * PAGE as u64)
    }

    /// Makes an operation to come fail, once.
    pub fn inject(&self, fault: Fault) {
        guard(&self.state).faults.add(fault);
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
        if state.with_file(id, |file| file.content.flip(offset, bit)) {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// What succeeded so far.
    #[must_use]
    pub fn counts(&self) -> DiskCounts {
        guard(&self.state).counts
    }

    /// How many syncs of files succeeded.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.counts().syncs
    }
}

const _: () = assert!(SECTOR.is_power_of_two() && PAGE.is_multiple_of(SECTOR));
