//! Reading: where batches are found, what readers at the end cost, and what the system can copy by
//! itself. Every way to read must give the same bytes.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::*;
use tidegate_env::{RealDisk, Rng, SimDisk, SystemClock};
use tidegate_log::*;
use tidegate_record::BatchHeader;
use tidegate_types::*;

const ALL: Offset = Offset(i64::MAX);

/// A log with `count` batches of sizes between nothing and 3 KiB, in segments of 100 KB.
fn filled(store: &mut Stepped, count: u64, rng: &mut Rng) -> LogHandle {
    let log = store.log(1, tiny(100_000));
    for _ in 0..count {
        let value = vec![rng.below(256) as u8; rng.below(3_000) as usize];
        let values: Vec<&[u8]> = (0..=rng.below(4)).map(|_| &value[..]).collect();
        store.append(&log, request(batch(None, &values), When::Durable)).unwrap();
    }
    log
}

/// What holds of a range: whole batches, the first of which ends after `from`, the last not after
/// `end`; no more than `max` unless there is only one; and the next one would not have fitted.
fn check(log: &LogHandle, range: &FileRange, from: Offset, end: Offset, max: usize) {
    let bytes = range.read().unwrap();
    assert_eq!(bytes.len(), range.len);
    let mut from_file = range.clone();
    from_file.release_memory();
    assert_eq!(from_file.read().unwrap(), bytes, "memory and file differ at {from}");
    let (mut at, mut next, mut batches) = (0, range.base_offset, 0);
    while at < bytes.len() {
        let header = BatchHeader::parse(&bytes[at..]).unwrap();
        assert!(header.base_offset >= next);
        if batches == 0 {
            assert_eq!(header.base_offset, range.base_offset);
            assert!(header.next_offset() > from);
        }
        (at, next, batches) = (at + header.batch_len, header.next_offset(), batches + 1);
    }
    assert_eq!((at, next), (bytes.len(), range.next_offset));
    assert!(next <= end && next > from);
    assert!(bytes.len() <= max || batches == 1, "{} bytes, {max} were wanted", bytes.len());
    let mut pieces = Vec::new();
    while pieces.len() < range.len {
        let piece = range.piece(pieces.len(), 1_000).unwrap();
        assert!(!piece.is_empty() && piece.len() <= 1_000);
        pieces.extend_from_slice(&piece);
    }
    assert_eq!(pieces, bytes);
    assert!(range.piece(range.len, 10).unwrap().is_empty());
    // A read of the same may be cut short by the end of what is in memory, but never longer.
    let chunk = log.read(from, end, ByteSize::bytes(max as u64)).unwrap();
    let shared = chunk.batches.len().min(bytes.len());
    assert_eq!(chunk.batches[..shared], bytes[..shared]);
}

#[test]
fn every_way_to_read_gives_the_same_batches() {
    let seed = 71;
    let mut rng = Rng::new(seed);
    let mut store = Stepped::open(SimDisk::new(seed));
    let log = filled(&mut store, 300, &mut rng);
    assert!(log.segments() > 4);
    let everything = read_all(&log, Offset(0)).unwrap();
    let end = log.offsets().end;
    for round in 0..2_000 {
        let from = Offset(rng.below(end.0 as u64) as i64);
        let stop = Offset(from.0 + 1 + rng.below((end.0 - from.0) as u64) as i64);
        let max = [1, 500, 5_000, 64_000, 200_000][rng.below(5) as usize];
        let size = ByteSize::bytes(max as u64);
        let found = log.locate(from, stop, size).unwrap();
        let holder = everything.iter().rfind(|(base, _)| *base <= from).unwrap();
        let first = BatchHeader::parse(&holder.1).unwrap();
        assert_eq!(found.is_none(), first.next_offset() > stop, "seed {seed}, round {round}");
        if let Some(range) = found {
            check(&log, &range, from, stop, max);
        }
    }
    for mut reader in [log.reader(), log.reader()] {
        let (mut at, mut found) = (Offset(0), Vec::new());
        while let Some(range) = reader.locate(at, ALL, ByteSize::kib(40)).unwrap() {
            check(&log, &range, at, ALL, 40 << 10);
            found.extend_from_slice(&range.read().unwrap());
            let chunk = reader.read(range.next_offset, ALL, ByteSize::kib(10)).unwrap();
            found.extend_from_slice(&chunk.batches);
            at = chunk.next_offset;
        }
        assert_eq!(at, end);
        let expected: Vec<u8> = everything.iter().flat_map(|(_, batch)| batch.clone()).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn locating_a_megabyte_reads_a_few_headers() {
    let disk = SimDisk::new(3);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(1, tiny(8 << 20));
    let value = [7; 900];
    while log.bytes() < ByteSize::mib(4) {
        store.append(&log, request(batch(None, &[&value]), When::Durable)).unwrap();
    }
    let mut reader = log.reader();
    let (mut at, mut found) = (Offset(0), 0);
    loop {
        let before = disk.counts();
        let Some(range) = reader.locate(at, ALL, ByteSize::mib(1)).unwrap() else { break };
        let counts = disk.counts();
        let (reads, bytes) = (counts.reads - before.reads, counts.bytes_read - before.bytes_read);
        assert!(reads <= 9 && bytes <= 150_000, "{reads} reads of {bytes} bytes");
        (at, found) = (range.next_offset, found + range.len);
        assert!(range.len > 1_000_000 || at == log.offsets().end);
    }
    assert_eq!(ByteSize::bytes(found as u64), log.bytes());
}

#[test]
fn readers_at_the_end_do_not_touch_the_disk() {
    let disk = SimDisk::new(5);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(1, tiny(20_000));
    let mut readers: Vec<_> = (0..16).map(|_| (log.reader(), Offset(0))).collect();
    for (reader, at) in &mut readers {
        assert!(reader.read(*at, ALL, ByteSize::kib(64)).unwrap().is_empty());
    }
    for n in 0..200_u32 {
        let value = n.to_be_bytes().repeat(100);
        store.append(&log, request(batch(None, &[&value]), When::Durable)).unwrap();
        let before = disk.counts().reads;
        let mut first = None;
        for (which, (reader, at)) in readers.iter_mut().enumerate() {
            // Some read each round, some every fifth, with all that came meanwhile.
            if which % 2 == 1 && n % 5 != 0 {
                continue;
            }
            while *at < log.offsets().end {
                let range = reader.log().at_tail(*at, ALL, ByteSize::kib(64)).unwrap();
                let bytes = range.read().unwrap();
                let shared = first.get_or_insert_with(|| bytes.clone());
                if which % 2 == 0 {
                    assert_eq!(bytes.as_ptr(), shared.as_ptr(), "the bytes were copied");
                }
                *at = range.next_offset;
            }
            assert!(reader.locate(*at, ALL, ByteSize::kib(64)).unwrap().is_none());
        }
        assert_eq!(disk.counts().reads, before, "round {n} read the disk");
    }
    for (from, end) in (0..200).map(|n| (n, 200)).chain((100..199).map(|n| (n, n + 1))) {
        let (from, end) = (Offset(from), Offset(end));
        let range = log.locate(from, end, ByteSize::kib(3)).unwrap().unwrap();
        check(&log, &range, from, end, 3 << 10);
    }
}

#[test]
fn nothing_is_kept_of_logs_that_nobody_reads_at_the_end() {
    let mut store = Stepped::open(SimDisk::new(6));
    let log = store.log(1, LogConfig::default());
    let tail = |from: Offset| log.at_tail(from, ALL, ByteSize::kib(64));
    let first = store.put(&log, b"nobody reads this");
    assert!(tail(first).is_none());
    log.read(first, ALL, ByteSize::kib(64)).unwrap();
    let second = store.put(&log, b"somebody read to the end");
    assert!(tail(first).is_none());
    assert!(tail(second).is_some_and(|range| range.is_in_memory()));
    for _ in 0..2 {
        store.clock.advance(std::time::Duration::from_secs(1));
        store.step.run();
    }
    assert!(tail(second).is_none(), "an idle log keeps its memory");
    assert_eq!(log.read(second, ALL, ByteSize::kib(64)).unwrap().base_offset, second);
}

#[test]
fn the_tail_of_all_logs_is_bounded() {
    let config = StoreConfig { tail_cache: ByteSize::kib(64), ..StoreConfig::default() };
    let mut store = Stepped::open_in(SimDisk::new(7), Path::new(ROOT), config);
    let logs: Vec<_> = (0..10).map(|n| store.log(n, LogConfig::default())).collect();
    let value = [1; 1_000];
    for _ in 0..50 {
        for log in &logs {
            let end = log.offsets().end;
            assert!(log.read(end, ALL, ByteSize::kib(64)).unwrap().is_empty());
            store.put(log, &value);
        }
    }
    let in_memory = |log: &LogHandle| {
        let reader = log.reader();
        let kept =
            |from: &i64| reader.log().at_tail(Offset(*from), ALL, ByteSize::bytes(1)).is_some();
        (0..50).filter(kept).count()
    };
    let kept: usize = logs.iter().map(in_memory).sum();
    assert!((40..65).contains(&kept), "{kept} rounds of 1 KiB are kept");
}

#[test]
fn a_reader_sees_whole_batches_while_the_log_grows() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::new());
    let store =
        LogStore::open(Arc::new(RealDisk), clock, folder.path(), StoreConfig::default()).unwrap();
    let config = LogConfig { flush: Flush::Os, ..tiny(200_000) };
    let log = store.open_log(log_id(1), Incarnation(1), config).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for max in [1_u64, 2_000, 50_000, 1_000_000] {
            let (log, done) = (&log, &done);
            scope.spawn(move || {
                let (mut reader, mut at) = (log.reader(), Offset(0));
                loop {
                    let finished = done.load(Ordering::Acquire);
                    let end = log.offsets().end;
                    match reader.locate(at, end, ByteSize::bytes(max)).unwrap() {
                        Some(range) => {
                            check(log, &range, at, end, max as usize);
                            assert_eq!(range.base_offset, at, "a batch was left out");
                            at = range.next_offset;
                        }
                        None if finished && at == end => return,
                        None => std::thread::yield_now(),
                    }
                }
            });
        }
        for n in 0..1_500_usize {
            let value = vec![n as u8; n % 700];
            let answer = Stepped::queue(&log, request(batch(None, &[&value]), When::Written));
            if n % 3 == 0 {
                answer.recv().unwrap().unwrap();
            }
        }
        Stepped::queue(&log, request(batch(None, &[b"last"]), When::Written))
            .recv()
            .unwrap()
            .unwrap();
        done.store(true, Ordering::Release);
    });
    assert_eq!(log.offsets().end, Offset(1_501));
}

#[test]
fn the_system_copies_a_range_to_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Stepped::open_in(RealDisk, folder.path(), StoreConfig::default());
    let log = filled(&mut store, 200, &mut Rng::new(9));
    let (out, mut into) = UnixStream::pair().unwrap();
    let reading = std::thread::spawn(move || {
        let mut all = Vec::new();
        into.read_to_end(&mut all).unwrap();
        all
    });
    let (mut reader, mut at, mut expected) = (log.reader(), Offset(0), Vec::new());
    while let Some(range) = reader.locate(at, ALL, ByteSize::kib(30)).unwrap() {
        let (mut position, mut left) = (range.position, range.len);
        let file = range.file.as_fd().unwrap();
        while left > 0 {
            let sent = rustix::fs::sendfile(&out, file, Some(&mut position), left).unwrap();
            assert!(sent > 0);
            left -= sent;
        }
        expected.extend_from_slice(&range.read().unwrap());
        at = range.next_offset;
    }
    drop(out);
    assert_eq!(reading.join().unwrap(), expected);
    assert_eq!(ByteSize::bytes(expected.len() as u64), log.bytes());
}

#[test]
fn damage_at_a_ranges_start_is_told() {
    let disk = SimDisk::new(12);
    let mut store = Stepped::open(disk.clone());
    let log = filled(&mut store, 50, &mut Rng::new(12));
    let range = log.locate(Offset(20), Offset(40), ByteSize::bytes(1)).unwrap().unwrap();
    let path = disk_path(&log);
    disk.flip_bit(&path, range.position + 16, 6).unwrap();
    let mut reader = log.reader();
    assert!(matches!(
        reader.locate(range.base_offset, ALL, ByteSize::kib(64)),
        Err(ReadError::Damaged { .. })
    ));
    let before = log.locate(Offset(0), ALL, ByteSize::bytes(60_000)).unwrap().unwrap();
    assert_eq!(before.next_offset, range.base_offset, "a range reaches into damage");
}

/// The first segment's file.
fn disk_path(log: &LogHandle) -> std::path::PathBuf {
    let id = log.id();
    Path::new(ROOT).join(format!("topics/{}/{}/{:020}.log", id.topic, id.partition, 0))
}
