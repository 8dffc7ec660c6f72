//! The baseline: the same threads, and only what cannot be left out.
//!
//! Its writers check their batches' CRC and hand them over by the same kind of channel. One thread
//! sets base offset and epoch, writes all that has arrived with one call, syncs once, and calls
//! back. No index, no segments, no readers, no recovery. What the log is slower by is what those
//! cost.

use std::fs::File;
use std::io::IoSlice;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::JoinHandle;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, unbounded};
use tidegate_bench_common::Failure;
use tidegate_record::BatchHeader;

use crate::drive::{Done, Sink};

/// Bytes of one round, as the log's writer takes them.
const ROUND: usize = 16 << 20;

/// Slices that one call takes.
const SLICES: usize = 1_024;

/// What the toy sets anew in each batch: base offset, length and epoch.
const PATCHED: usize = 16;

/// When and how it syncs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sync {
    /// Never; files grow.
    Os,
    /// Each round; files grow, as a log's do.
    Grow,
    /// Each round; files were filled with zeros up to this length and are written over again. No
    /// log can do that: it shows what new blocks and pages cost.
    Over(u64),
}

struct Write {
    file: usize,
    batch: Bytes,
    done: Done,
}

/// A toy at work.
#[derive(Debug)]
pub struct Toy {
    sender: Option<Sender<Write>>,
    thread: Option<JoinHandle<Result<(), Failure>>>,
    files: usize,
}

/// One file and where it goes on.
struct Target {
    file: File,
    at: u64,
    next: i64,
}

/// Makes a file of zeros, durable.
///
/// # Errors
/// If it cannot be made.
pub fn zeroed(path: &Path, len: u64) -> Result<File, Failure> {
    let file = File::options().read(true).write(true).create_new(true).open(path)?;
    let zeros = vec![0; 1 << 20];
    let mut at = 0;
    while at < len {
        let piece = (len - at).min(zeros.len() as u64);
        file.write_all_at(&zeros[..piece as usize], at)?;
        at += piece;
    }
    Ok(file)
}

/// Writes all slices at `at`, however many calls that takes.
///
/// # Errors
/// If a call fails.
pub fn write_vectored(file: &File, mut at: u64, slices: &mut [IoSlice<'_>]) -> Result<(), Failure> {
    let mut rest = slices;
    while !rest.is_empty() {
        let now = rest.len().min(SLICES);
        let written = rustix::io::pwritev(file, &rest[..now], at)?;
        IoSlice::advance_slices(&mut rest, written);
        at += written as u64;
    }
    Ok(())
}

impl Toy {
    /// Starts one over `files` files in `dir`.
    ///
    /// # Errors
    /// If the files cannot be made.
    pub fn start(dir: &Path, files: usize, sync: Sync) -> Result<Toy, Failure> {
        let mut targets = Vec::with_capacity(files);
        for number in 0..files {
            let len = if let Sync::Over(len) = sync { len } else { 0 };
            let file = zeroed(&dir.join(format!("toy-{number}")), len)?;
            targets.push(Target { file, at: 0, next: 0 });
        }
        if sync != Sync::Os
            && let Some(any) = targets.first()
        {
            rustix::fs::syncfs(&any.file)?;
        }
        let (sender, writes) = unbounded();
        let thread = std::thread::Builder::new()
            .name("toy-writer".to_owned())
            .spawn(move || run(&mut targets, &writes, sync))?;
        Ok(Toy { sender: Some(sender), thread: Some(thread), files })
    }

    /// Ends its thread.
    ///
    /// # Errors
    /// What its thread failed with.
    pub fn stop(mut self) -> Result<(), Failure> {
        self.sender = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err("the toy's thread panicked".into()),
            None => Ok(()),
        }
    }
}

impl Sink for Toy {
    fn append(&self, partition: usize, batch: &Bytes, done: Done) {
        let write = Write { file: partition % self.files, batch: batch.clone(), done };
        let sent = match &self.sender {
            Some(sender) => sender.send(write).map_err(|unsent| unsent.into_inner()),
            None => Err(write),
        };
        if let Err(write) = sent {
            (write.done)(Err("the toy has stopped".into()));
        }
    }
}

fn run(targets: &mut [Target], writes: &Receiver<Write>, sync: Sync) -> Result<(), Failure> {
    let mut round = Vec::new();
    let mut parts: Vec<Vec<usize>> = vec![Vec::new(); targets.len()];
    let mut used = Vec::new();
    while let Ok(first) = writes.recv() {
        let mut bytes = first.batch.len();
        round.push(first);
        while bytes < ROUND
            && let Ok(next) = writes.try_recv()
        {
            bytes += next.batch.len();
            round.push(next);
        }
        for (number, write) in round.iter().enumerate() {
            if parts[write.file].is_empty() {
                used.push(write.file);
            }
            parts[write.file].push(number);
        }
        for &number in &used {
            write_part(&mut targets[number], &round, &parts[number], sync)?;
            parts[number].clear();
        }
        if sync != Sync::Os {
            for &number in &used {
                targets[number].file.sync_data()?;
            }
        }
        used.clear();
        for write in round.drain(..) {
            (write.done)(Ok(()));
        }
    }
    Ok(())
}

/// One file's part of a round, in one call.
fn write_part(
    target: &mut Target,
    round: &[Write],
    part: &[usize],
    sync: Sync,
) -> Result<(), Failure> {
    let mut heads = Vec::with_capacity(part.len());
    let mut len = 0;
    for &number in part {
        let batch = &round[number].batch;
        let header = BatchHeader::parse(batch)?;
        let mut head = [0; PATCHED];
        head.copy_from_slice(&batch[..PATCHED]);
        head[..8].copy_from_slice(&target.next.to_be_bytes());
        head[12..].copy_from_slice(&0_i32.to_be_bytes());
        heads.push(head);
        target.next += i64::from(header.last_offset_delta) + 1;
        len += batch.len() as u64;
    }
    let mut slices = Vec::with_capacity(2 * part.len());
    for (head, &number) in heads.iter().zip(part) {
        slices.push(IoSlice::new(head));
        slices.push(IoSlice::new(&round[number].batch[PATCHED..]));
    }
    if let Sync::Over(zeroed) = sync
        && target.at + len > zeroed
    {
        target.at = 0;
    }
    write_vectored(&target.file, target.at, &mut slices)?;
    target.at += len;
    Ok(())
}
