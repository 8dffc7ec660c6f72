//! What is asked of the machine: its file system, this process's memory and IO.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tidegate_bench_common::Failure;

/// The file system under `dir`, in words.
///
/// # Errors
/// If the kernel does not tell.
pub fn describe(dir: &Path) -> Result<String, Failure> {
    let dir = dir.canonicalize()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let mut best: Option<(usize, String)> = None;
    for line in mounts.lines() {
        // 36 35 98:0 /root /mount/point options - type source super-options
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let Some(point) = left.split(' ').nth(4) else { continue };
        if dir.starts_with(point) && best.as_ref().is_none_or(|(len, _)| *len <= point.len()) {
            best = Some((point.len(), right.to_owned()));
        }
    }
    let on = best.map_or_else(|| "an unknown file system".to_owned(), |(_, what)| what);
    let cores = std::thread::available_parallelism()?;
    let warning = if on.starts_with("tmpfs") || on.starts_with("ramfs") {
        "; this is memory, no disk: its figures say nothing about durable writes (use --dir)"
    } else {
        ""
    };
    Ok(format!("in {} on {on}, {cores} cores{warning}", dir.display()))
}

/// One number of a `/proc` file of `name: number` lines, such as `write_bytes`.
fn field(file: &str, name: &str) -> Result<u64, Failure> {
    let text = std::fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = line.and_then(|rest| rest.split_whitespace().next());
    Ok(value.ok_or_else(|| format!("{file} has no {name}"))?.parse()?)
}

/// Bytes that this process handed to the system.
///
/// # Errors
/// If the kernel does not tell.
pub fn written() -> Result<u64, Failure> {
    field("/proc/self/io", "wchar")
}

/// Bytes that the disk under `dir` was sent, by this process or another; `None` where the kernel
/// counts none, as under a file system without a disk of its own.
///
/// # Errors
/// If the kernel does not tell.
pub fn sent_to_disk(dir: &Path) -> Result<Option<u64>, Failure> {
    let device = std::fs::metadata(dir)?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    for line in std::fs::read_to_string("/proc/diskstats")?.lines() {
        // major minor name, then reads: done, merged, sectors, ms, and writes likewise.
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [a, b, _, _, _, _, _, _, _, sectors, ..] = words.as_slice()
            && (a.parse(), b.parse()) == (Ok(major), Ok(minor))
        {
            return Ok(Some(sectors.parse::<u64>()? * 512));
        }
    }
    Ok(None)
}

/// Bytes that this process read, from disk or cache.
///
/// # Errors
/// If the kernel does not tell.
pub fn read() -> Result<u64, Failure> {
    field("/proc/self/io", "rchar")
}

/// Memory of this process that is in use, in bytes.
///
/// # Errors
/// If the kernel does not tell.
pub fn resident() -> Result<u64, Failure> {
    Ok(field("/proc/self/status", "VmRSS")? * 1_024)
}

/// Files that this process has open.
///
/// # Errors
/// If the kernel does not tell.
pub fn open_files() -> Result<usize, Failure> {
    // Less the one that lists them.
    Ok(std::fs::read_dir("/proc/self/fd")?.count() - 1)
}

/// Lets the system forget what it has cached of a file; what is dirty is written first.
///
/// # Errors
/// If the file cannot be opened or synced.
pub fn forget(path: &Path) -> Result<(), Failure> {
    let file = std::fs::File::open(path)?;
    file.sync_data()?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

/// Lets this process have as many files open as the system allows: the baseline of many partitions
/// has one for each.
///
/// # Errors
/// If the system refuses its own limit.
pub fn raise_open_files() -> Result<(), Failure> {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)?;
    Ok(())
}
