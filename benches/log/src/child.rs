//! What this program does as its own child: where a process is to be killed, or its memory measured.
//!
//! A child tells its figures as one line of words on stdout.

use std::io::{IoSlice, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use tidegate_bench_common::Failure;
use tidegate_env::{DirEntry, Disk, DiskFile, OpenMode, RealDisk, Space};
use tidegate_types::Flush;

use crate::drive::{Load, Logs, Spread, drive};
use crate::setup::{self, Setup};
use crate::{host, ingest};

/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(86_400);

/// What a child does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Role {
    /// Appends to all logs, telling after each turn how many bytes are durable, until it is killed.
    Fill,
    /// Opens all logs, tells how long that took and how much it read, and dies as if killed.
    Open,
    /// Opens all logs, and tells what that cost in memory and open files.
    Idle,
    /// The same after one append to each.
    Touched,
}

/// Runs a child's part.
///
/// # Errors
/// If the store fails.
pub fn run(role: Role, root: &Path, logs: u32) -> Result<(), Failure> {
    match role {
        Role::Fill => fill(root, logs),
        Role::Open => open(root, logs),
        Role::Idle | Role::Touched => idle(root, logs, role == Role::Touched),
    }
}

/// Starts one; its line comes by its stdout.
///
/// # Errors
/// If it does not start.
pub fn start(role: Role, root: &Path, logs: u32) -> Result<Child, Failure> {
    let role = role.to_possible_value().ok_or("the role has no name")?;
    let child = Command::new(std::env::current_exe()?)
        .args(["--child", role.get_name(), "--logs", &logs.to_string(), "--dir"])
        .arg(root)
        .stdout(Stdio::piped())
        .spawn()?;
    Ok(child)
}

/// Runs one to its end and gives the numbers that it told.
///
/// # Errors
/// If it does not run, or tells none.
pub fn ask(role: Role, root: &Path, logs: u32) -> Result<Vec<f64>, Failure> {
    let output = start(role, root, logs)?.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    if numbers.is_empty() {
        return Err(format!("a child told nothing: {}", output.status).into());
    }
    Ok(numbers)
}

fn tell(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

fn fill(root: &Path, logs: u32) -> Result<(), Failure> {
    let store = setup::open(root)?;
    let handles = setup::logs(&store, 0..logs, setup::config(Flush::Always))?;
    let logs = Logs { handles };
    let load = Load {
        writers: 16,
        in_flight: 5,
        batch: ingest::large()?,
        partitions: logs.handles.len(),
        spread: Spread::Random,
        time: LONG,
        bytes: 16 << 20,
    };
    loop {
        tell(&drive(&logs, &load)?.bytes.to_string())?;
    }
}

fn open(root: &Path, logs: u32) -> Result<(), Failure> {
    let read = host::read()?;
    let started = Instant::now();
    let store = setup::open(root)?;
    let opened = started.elapsed();
    let handles = setup::logs(&store, 0..logs, setup::config(Flush::Always))?;
    let took = started.elapsed();
    let read = host::read()? - read;
    let bytes: u64 = handles.iter().map(|handle| handle.bytes().get()).sum();
    let (took, opened) = (took.as_secs_f64() * 1e3, opened.as_secs_f64() * 1e3);
    tell(&format!("{took} {opened} {read} {bytes}"))?;
    // Nothing is closed: the next start finds what a kill leaves.
    std::process::abort()
}

fn idle(root: &Path, logs: u32, touch: bool) -> Result<(), Failure> {
    // What one log costs that the others share is not counted.
    let before = {
        let dir = Setup::smoke(&std::env::temp_dir())?.fresh()?;
        make_logs(Arc::new(NoSync), dir.path(), 1)?;
        host::resident()?
    };
    let store = setup::open_on(Arc::new(NoSync), root, setup::store_config())?;
    let handles = setup::logs(&store, 0..logs, setup::config(Flush::Always))?;
    let logs = Logs { handles };
    if touch {
        append_to_each(&logs)?;
    }
    let after = host::resident()?;
    tell(&format!("{} {}", after.saturating_sub(before), host::open_files()?))?;
    std::process::abort()
}

/// Makes this many logs with one batch in each, and closes them.
///
/// # Errors
/// If the store fails.
pub fn make_logs(disk: Arc<dyn Disk>, root: &Path, logs: u32) -> Result<(), Failure> {
    let store = setup::open_on(disk, root, setup::store_config())?;
    let handles = setup::logs(&store, 0..logs, setup::config(Flush::Always))?;
    append_to_each(&Logs { handles })?;
    store.close();
    Ok(())
}

fn append_to_each(logs: &Logs) -> Result<(), Failure> {
    let batch = ingest::small()?;
    let partitions = logs.handles.len();
    let bytes = (partitions * batch.len()) as u64;
    let spread = Spread::InTurn;
    let load = Load { writers: 1, in_flight: 64, batch, partitions, spread, time: LONG, bytes };
    drive(logs, &load).map(drop)
}

/// The real disk without its syncs: to lay out what is measured later, and where no disk is.
#[derive(Clone, Copy, Debug)]
pub struct NoSync;

#[derive(Debug)]
struct NoSyncFile(Box<dyn DiskFile>);

impl Disk for NoSync {
    fn open(&self, path: &Path, mode: OpenMode) -> std::io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(NoSyncFile(RealDisk.open(path, mode)?)))
    }

    fn lock(&self, path: &Path) -> std::io::Result<Box<dyn DiskFile>> {
        RealDisk.lock(path)
    }

    fn create_dir_all(&self, path: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn sync_dir(&self, _: &Path) -> std::io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> std::io::Result<Vec<DirEntry>> {
        RealDisk.list(path)
    }

    fn remove_file(&self, path: &Path) -> std::io::Result<()> {
        RealDisk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> std::io::Result<()> {
        RealDisk.remove_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn exists(&self, path: &Path) -> std::io::Result<bool> {
        RealDisk.exists(path)
    }

    fn sync_files(&self, files: &[&dyn DiskFile]) -> Vec<std::io::Result<()>> {
        files.iter().map(|_| Ok(())).collect()
    }

    fn space(&self, path: &Path) -> std::io::Result<Space> {
        RealDisk.space(path)
    }
}

impl DiskFile for NoSyncFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write_at(offset, data)
    }

    fn read_into(&self, offset: u64, len: usize, out: &mut Vec<u8>) -> std::io::Result<usize> {
        self.0.read_into(offset, len, out)
    }

    fn write_vectored_at(&self, offset: u64, bufs: &[IoSlice<'_>]) -> std::io::Result<()> {
        self.0.write_vectored_at(offset, bufs)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_fd()
    }

    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&self, offset: u64, len: u64) -> std::io::Result<()> {
        self.0.allocate(offset, len)
    }
}
