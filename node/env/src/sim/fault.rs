//! What a simulated disk is told to fail at, and what it counts.

use std::io;

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
    /// Opening a file that is there.
    Open,
    /// Making a file or a folder.
    Create,
    /// Renames; the path is the old one.
    Rename,
    /// Removals of files and folders.
    Remove,
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

/// Operations that succeeded since this disk was made, or came back after a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DiskCounts {
    /// Reads of files.
    pub reads: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Writes and allocations.
    pub writes: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Syncs of files.
    pub syncs: u64,
    /// Syncs of folders.
    pub dir_syncs: u64,
    /// Files opened or made.
    pub opens: u64,
}

/// The faults to come.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Counts an operation; the error if a fault strikes it.
    pub(super) fn strike(&mut self, on: FaultOn, path: &str) -> io::Result<()> {
        let counts = |fault: &Fault| fault.on == on && path.contains(&fault.path);
        let mut struck = None;
        for (at, fault) in self.0.iter_mut().enumerate().filter(|(_, fault)| counts(fault)) {
            match fault.after.checked_sub(1) {
                Some(after) => fault.after = after,
                None => struck = struck.or(Some(at)),
            }
        }
        let Some(at) = struck else { return Ok(()) };
        Err(match self.0.remove(at).kind {
            FaultKind::Io => io::Error::other("simulated input/output error"),
            FaultKind::NoSpace => io::ErrorKind::StorageFull.into(),
        })
    }
}
