//! Reading a whole log from the page cache: into memory, beside plain reads of the same files; and
//! to a socket, without a copy, beside a bare sendfile of them.

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tidegate_bench_common::Failure;
use tidegate_bench_common::table::{Row, Table};
use tidegate_log::LogHandle;
use tidegate_types::{ByteSize, Flush};

use crate::child::{self, NoSync};
use crate::drive::{Load, Logs, Spread, drive};
use crate::ingest;
use crate::setup::{self, Setup};

/// Bytes of one read.
const CHUNK: usize = 1 << 20;

/// Measures both.
///
/// # Errors
/// If either side fails.
pub fn measure(table: &mut Table, setup: &Setup) -> Result<(), Failure> {
    let dir = setup.fresh()?;
    let store = setup::open_on(Arc::new(NoSync), dir.path(), setup::store_config())?;
    let logs = Logs { handles: setup::logs(&store, 0..1, setup::config(Flush::Os))? };
    let load = Load {
        writers: 1,
        in_flight: 16,
        batch: ingest::large()?,
        partitions: 1,
        spread: Spread::InTurn,
        time: child::LONG,
        bytes: setup.stored,
    };
    let stored = drive(&logs, &load)?.bytes;
    let files = segments(dir.path())?;
    let (mut baseline, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..setup.rounds {
        baseline.push(rate(stored, || read_files(&files))?);
        ours.push(rate(stored, || read_log(&logs.handles[0]))?);
    }
    table.add(Row {
        what: "fetch from the page cache by 1 MiB, beside pread".to_owned(),
        unit: "MB/s",
        baseline,
        ours,
        budget: "",
        difference: false,
    });

    let (mut baseline, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..setup.rounds {
        baseline.push(rate(stored, || sent(|socket| send_files(&files, socket)))?);
        ours.push(rate(stored, || sent(|socket| send_log(&logs.handles[0], socket)))?);
    }
    table.add(Row {
        what: "fetch over loopback TCP, located and sent, beside sendfile".to_owned(),
        unit: "MB/s",
        baseline,
        ours,
        budget: ">= 0.50",
        difference: false,
    });
    store.close();
    Ok(())
}

/// Megabytes a second of something that passes all bytes.
fn rate(stored: u64, pass: impl FnOnce() -> Result<u64, Failure>) -> Result<f64, Failure> {
    let started = Instant::now();
    let bytes = pass()?;
    let took = started.elapsed();
    if bytes != stored {
        return Err(format!("{stored} bytes are stored, {bytes} were read").into());
    }
    Ok(bytes as f64 / 1e6 / took.as_secs_f64())
}

fn read_files(files: &[PathBuf]) -> Result<u64, Failure> {
    let (mut bytes, mut buffer) = (0, vec![0; CHUNK]);
    for path in files {
        let (file, mut at) = (File::open(path)?, 0);
        loop {
            let read = file.read_at(&mut buffer, at)?;
            if read == 0 {
                break;
            }
            black_box(&buffer[..read]);
            at += read as u64;
        }
        bytes += at;
    }
    Ok(bytes)
}

fn read_log(log: &LogHandle) -> Result<u64, Failure> {
    let (mut bytes, mut at) = (0, log.offsets().start);
    let end = log.offsets().end;
    while at < end {
        let chunk = log.read(at, end, ByteSize::bytes(CHUNK as u64))?;
        black_box(&chunk.batches);
        bytes += chunk.batches.len() as u64;
        at = chunk.next_offset;
    }
    Ok(bytes)
}

/// Connects a socket to a reader that throws away what it gets; gives what it got.
fn sent(send: impl FnOnce(&TcpStream) -> Result<(), Failure>) -> Result<u64, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let socket = TcpStream::connect(listener.local_addr()?)?;
    let (mut other, _) = listener.accept()?;
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || -> std::io::Result<u64> {
            let (mut buffer, mut bytes) = (vec![0; CHUNK], 0);
            loop {
                match other.read(&mut buffer)? {
                    0 => return Ok(bytes),
                    read => bytes += read as u64,
                }
            }
        });
        let result = send(&socket);
        // The reader ends with it, whatever came of the sending.
        drop(socket);
        let read = reader.join().map_err(|_| "the reader panicked")??;
        result.map(|()| read)
    })
}

/// Hands `len` bytes of a file to the socket without a copy in between.
fn send(socket: &TcpStream, file: impl AsFd, mut at: u64, len: u64) -> Result<(), Failure> {
    let end = at + len;
    while at < end {
        let count = usize::try_from(end - at)?.min(CHUNK);
        if rustix::fs::sendfile(socket, &file, Some(&mut at), count)? == 0 {
            return Err("a segment is shorter than it was".into());
        }
    }
    Ok(())
}

fn send_files(files: &[PathBuf], socket: &TcpStream) -> Result<(), Failure> {
    for path in files {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        send(socket, &file, 0, len)?;
    }
    Ok(())
}

fn send_log(log: &LogHandle, socket: &TcpStream) -> Result<(), Failure> {
    let (mut at, end) = (log.offsets().start, log.offsets().end);
    let mut reader = log.reader();
    while let Some(range) = reader.locate(at, end, ByteSize::bytes(CHUNK as u64))? {
        let file = range.file.as_fd().ok_or("the file has no descriptor")?;
        send(socket, file, range.position, range.len as u64)?;
        at = range.next_offset;
    }
    Ok(())
}

/// The segments of the only log in a store, in order.
///
/// # Errors
/// If a folder cannot be read.
pub fn segments(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = setup::files(root)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    files.sort();
    Ok(files)
}
