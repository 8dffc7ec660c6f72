//! A data folder as it was written once: whatever changes in the code, its logs open and hold what
//! the [table] says.
//!
//! `tests/golden/v1/logs.gz` is that folder, in the form that [`archive`] tells. It is of the format
//! on the crate's page, and is not written again for it: a format that reads it no more gets a
//! number of its own, and `v1` stays. `TIDEGATE_WRITE_GOLDEN=1 cargo test -p tidegate-log --test
//! golden` writes it anew, by the [writer]. What the writer writes today is held to the same table.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "golden/archive.rs"]
mod archive;
mod common;
#[path = "golden/table.rs"]
mod table;
#[path = "golden/writer.rs"]
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use archive::{Files, lay_out, pack, unpack};
use common::*;
use crc_fast::CrcAlgorithm;
use table::{FILES, FIRST_TIME, Golden, LOGS};
use tempfile::TempDir;
use tidegate_env::{Disk, RealDisk};
use tidegate_log::check::{CheckOptions, IndexState, ProblemKind, Report, check};
use tidegate_log::*;
use tidegate_record::Compression;
use tidegate_types::*;

/// It is in the repository for ever.
const MAX_PACKED: usize = 100_000;

fn golden() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/logs.gz");
        if std::env::var_os("TIDEGATE_WRITE_GOLDEN").is_some_and(|value| value == "1") {
            std::fs::write(&path, pack(&writer::write())).unwrap();
        }
        let packed = std::fs::read(&path).unwrap();
        assert!(packed.len() < MAX_PACKED, "{} bytes", packed.len());
        unpack(&packed)
    })
}

/// The golden folder, and one that is written now.
fn both() -> [(&'static str, Files); 2] {
    [("golden", golden().clone()), ("of today", writer::write())]
}

fn laid_out(files: &Files) -> TempDir {
    let root = TempDir::new().unwrap();
    lay_out(files, root.path());
    root
}

fn without_index(mut files: Files) -> Files {
    let before = files.len();
    files.retain(|(path, _)| path != "index.redb");
    assert_eq!(files.len(), before - 1);
    files
}

fn open(root: &Path) -> Stepped {
    Stepped::open_in(RealDisk, root, small())
}

fn open_log(store: &Stepped, golden: &Golden) -> LogHandle {
    let id = log_id(golden.partition);
    // Another one, if the log's own were not found.
    store.store.open_log(id, Incarnation(1), writer::config(golden)).unwrap()
}

fn check_root(root: &Path) -> Report {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    check(&disk, root, CheckOptions { deep: true }, &mut |_| {}).unwrap()
}

/// All batches' bytes, and the damage that reading met.
fn read(log: &LogHandle) -> (Vec<Vec<u8>>, Vec<DamageRange>) {
    let LogOffsets { start, end, .. } = log.offsets();
    let (mut at, mut batches, mut damage) = (start, Vec::new(), Vec::new());
    while at < end {
        match log.read(at, end, ByteSize::bytes(1)) {
            Ok(chunk) => {
                let found = tidegate_record::Batches::new(&chunk.batches);
                batches.extend(found.map(|batch| batch.unwrap().bytes().to_vec()));
                at = chunk.next_offset;
            }
            Err(ReadError::Damaged { range }) => {
                damage.push(range);
                at = range.end;
            }
            Err(error) => panic!("at {at}: {error}"),
        }
    }
    (batches, damage)
}

type Record = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>);

/// Offset, time, key and value of all records.
fn records(batches: &[Vec<u8>]) -> Vec<Record> {
    let (mut found, mut scratch) = (Vec::new(), Vec::new());
    for bytes in batches {
        let (batch, _) = tidegate_record::Batch::parse(bytes).unwrap();
        let header = *batch.header();
        for record in batch.body(&mut scratch).unwrap() {
            let record = record.unwrap();
            let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
            let (offset, time) = (header.offset_of(&record), header.timestamp_of(&record));
            found.push((offset.0, time.0, key, value));
        }
    }
    found
}

/// The records that the table has, from `start` on.
fn expected(golden: &Golden, start: i64) -> Vec<Record> {
    let all = golden.puts.iter().flat_map(|put| put.records);
    let gone = |offset: i64| {
        let lost = golden.lost.is_some_and(|(from, end)| (from..end).contains(&offset));
        lost || golden.superseded.contains(&offset)
    };
    let bytes = |text: &str| Some(text.as_bytes().to_vec()).filter(|text| !text.is_empty());
    let numbered = (0..).zip(all).filter(|(offset, _)| *offset >= start && !gone(*offset));
    numbered
        .map(|(offset, (key, value))| {
            (offset, FIRST_TIME + offset * 1_000, bytes(key), bytes(value))
        })
        .collect()
}

/// Each batch is one that was appended, with its header, whatever records of it are gone.
fn check_headers(golden: &Golden, batches: &[Vec<u8>], of: &str) {
    for bytes in batches {
        let (batch, _) = tidegate_record::Batch::parse(bytes).unwrap();
        let header = batch.header();
        let mut base = 0;
        let put = golden.puts.iter().find(|put| {
            let found = base == header.base_offset.0;
            base += i64::from(!found) * put.records.len() as i64;
            found
        });
        let put = put.unwrap_or_else(|| panic!("{of}: no batch begins at {}", header.base_offset));
        assert_eq!(header.next_offset().0, base + put.records.len() as i64, "{of} at {base}");
        assert_eq!(header.leader_epoch, LeaderEpoch(put.epoch), "{of} at {base}");
        let stamp = put.stamp.map(|(id, epoch, first)| stamp(id, epoch, first));
        assert_eq!(header.stamp(), stamp, "{of} at {base}");
        // Nothing is not packed.
        let codec = if header.record_count == 0 { Compression::None } else { put.codec };
        assert_eq!(header.compression, codec, "{of} at {base}");
    }
}

/// Everything about a log that does not take reading its sealed segments.
fn check_state(golden: &Golden, log: &LogHandle, start: i64, of: &str) {
    let (at, end) = (log.offsets(), Offset(golden.end));
    assert_eq!((at.start, at.durable, at.end), (Offset(start), end, end), "{of}");
    assert_eq!(log.incarnation(), Incarnation(u64::from(golden.partition) + 100), "{of}");
    let last = golden.puts.last().unwrap();
    assert_eq!(at.last_epoch, LeaderEpoch(last.epoch), "{of}");
    for &(id, epoch, first, delta, known) in golden.producers {
        let found = log.is_duplicate(stamp(id, epoch, first), delta);
        assert_eq!(found, known, "{of}: sequence {first} of producer {id}, epoch {epoch}");
    }
    assert_eq!(log.sealed_reason(), None, "{of}");
}

/// What only the index tells.
fn check_index_state(golden: &Golden, log: &LogHandle, of: &str) {
    let ends: Vec<_> =
        golden.epochs.iter().map(|(e, _)| log.epoch_end(LeaderEpoch(*e)).1.0).collect();
    let told: Vec<_> = golden.epochs.iter().map(|(_, end)| *end).collect();
    assert_eq!(ends, told, "{of}: ends of {:?}", golden.epochs);
    assert_eq!(log.damage(), lost(golden), "{of}");
    assert_eq!(log.compaction(), (Offset(golden.compacted_to), None), "{of}");
}

fn lost(golden: &Golden) -> Vec<DamageRange> {
    let range = |(from, end)| DamageRange { from: Offset(from), end: Offset(end) };
    golden.lost.map(range).into_iter().collect()
}

fn check_contents(golden: &Golden, log: &LogHandle, of: &str) -> Vec<Vec<u8>> {
    let (batches, damage) = read(log);
    assert_eq!(damage, log.damage(), "{of}");
    check_headers(golden, &batches, of);
    assert_eq!(records(&batches), expected(golden, log.offsets().start.0), "{of}");
    batches
}

/// A retry of the last stamped batch is recognised, and the log goes on at its end.
fn check_goes_on(golden: &Golden, store: &mut Stepped, log: &LogHandle, of: &str) {
    let (mut base, mut stamped) = (0, None);
    for put in golden.puts {
        if put.stamp.is_some() && golden.lost.is_none_or(|(from, _)| from != base) {
            stamped = Some((base, put));
        }
        base += put.records.len() as i64;
    }
    let (base, put) = stamped.unwrap();
    let again = store.append(log, request(writer::build(put, base), When::Durable)).unwrap();
    assert_eq!((again.base_offset, again.duplicate), (Offset(base), true), "{of}");
    assert_eq!(store.put(log, b"more"), Offset(golden.end), "{of}");
}

fn file_names(root: &Path) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

#[test]
fn the_folder_has_these_files() {
    let topic = format!("topics/{}/", log_id(0).topic);
    let short = |path: &str| path.strip_prefix(&topic).unwrap_or(path).to_owned();
    let found: Vec<(String, u64)> = golden()
        .iter()
        .filter(|(path, _)| path != "index.redb")
        .map(|(path, content)| (short(path), content.len() as u64))
        .collect();
    let told: Vec<(String, u64)> = FILES.iter().map(|(name, len)| ((*name).into(), *len)).collect();
    assert_eq!(found, told);
    assert_eq!(unpack(&pack(golden())), *golden());
}

#[test]
fn with_its_index_it_opens_as_it_was_left() {
    for (which, files) in both() {
        let root = laid_out(&files);
        let mut store = open(root.path());
        let before = file_names(root.path());
        for golden in &LOGS {
            let of = format!("{which}, log {}", golden.partition);
            let log = open_log(&store, golden);
            check_state(golden, &log, golden.start, &of);
            check_index_state(golden, &log, &of);
            check_contents(golden, &log, &of);
        }
        assert!(store.store.is_doomed(TopicId(uuid::Uuid::from_u128(8))).unwrap(), "{which}");
        assert!(!store.store.is_doomed(log_id(0).topic).unwrap(), "{which}");
        store.store.maintenance_step().run();
        assert_eq!(store.store.clean_stats(), CleanStats::default(), "{which}: nothing is due");
        assert_eq!(file_names(root.path()), before, "{which}");
        assert_eq!(store.store.index_failure(), None, "{which}");
        for golden in &LOGS {
            let of = format!("{which}, log {}", golden.partition);
            let log = open_log(&store, golden);
            check_goes_on(golden, &mut store, &log, &of);
        }
    }
}

#[test]
fn with_its_index_no_sealed_segment_is_read() {
    for (which, mut files) in both() {
        let mut sealed = 0;
        for golden in &LOGS {
            let folder = format!("topics/{}/{}/", log_id(0).topic, golden.partition);
            let is_segment = |path: &str| path.starts_with(&folder) && path.ends_with(".log");
            let last = files.iter().rposition(|(path, _)| is_segment(path)).unwrap();
            for (_, content) in files[..last].iter_mut().filter(|(path, _)| is_segment(path)) {
                content.fill(0xa5);
                sealed += 1;
            }
            // Of the last one the index vouches for the first batch at least.
            files[last].1[65] ^= 1;
        }
        assert!(sealed > 8, "{which}: {sealed}");
        let root = laid_out(&files);
        let store = open(root.path());
        for golden in &LOGS {
            let of = format!("{which}, log {}", golden.partition);
            let log = open_log(&store, golden);
            check_state(golden, &log, golden.start, &of);
            check_index_state(golden, &log, &of);
        }
        // Had they been read, it would have shown.
        let root = laid_out(&without_index(files));
        let store = open(root.path());
        for golden in &LOGS {
            assert_ne!(open_log(&store, golden).damage(), lost(golden), "{which}");
        }
    }
}

#[test]
fn without_its_index_that_is_made_anew_from_the_logs() {
    for (which, files) in both() {
        let root = laid_out(&without_index(files));
        let mut store = open(root.path());
        let mut crcs = Vec::new();
        for golden in &LOGS {
            let of = format!("{which}, log {}", golden.partition);
            let log = open_log(&store, golden);
            check_state(golden, &log, golden.first_file, &of);
            // Cleaning begins anew, and what a repair took out is a hole.
            assert_eq!((log.compaction(), log.damage()), ((Offset(0), None), vec![]), "{of}");
            let batches = check_contents(golden, &log, &of);
            crcs.push(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, &batches.concat()));
            check_goes_on(golden, &mut store, &log, &of);
        }
        // Codecs may pack otherwise one day; what they packed stays.
        if which == "golden" {
            assert_eq!(crcs, LOGS.map(|golden| u64::from(golden.crc)));
        }
        drop(store);
        let report = check_root(root.path());
        assert_eq!((report.worst(), report.index), (None, IndexState::Sound), "{which}");
    }
}

#[test]
fn a_check_finds_what_was_left_there() {
    for (which, files) in both() {
        for index in [true, false] {
            let files = if index { files.clone() } else { without_index(files.clone()) };
            let root = laid_out(&files);
            let report = check_root(root.path());
            let state = if index { IndexState::Sound } else { IndexState::Missing };
            assert_eq!((&report.index, report.logs.len()), (&state, LOGS.len()), "{which}");
            for (golden, found) in LOGS.iter().zip(&report.logs) {
                let of = format!("{which}, log {}", golden.partition);
                let start = if index { golden.start } else { golden.first_file };
                let bounds = (found.log, found.start, found.end);
                let told = (log_id(golden.partition), Offset(start), Offset(golden.end));
                assert_eq!(bounds, told, "{of}");
                let torn = golden.torn.map(|(position, bytes)| {
                    let bytes = ByteSize::bytes(bytes);
                    ProblemKind::TornTail { position, bytes }
                });
                // Closed segments lack their rows; gaps are told by nothing else.
                let rows = if index { 0 } else { found.segments - 1 };
                let gaps = lost(golden).into_iter().filter(|_| index);
                let gaps = gaps.map(|range| ProblemKind::RecordedGap { range });
                let rows = std::iter::repeat_n(ProblemKind::IndexRow, rows);
                let told: Vec<_> = rows.chain(torn).chain(gaps).collect();
                let kinds: Vec<_> = found.problems.iter().map(|p| p.kind.clone()).collect();
                assert_eq!(kinds, told, "{of}");
            }
            // Looking changed nothing.
            for (path, content) in &files {
                assert!(std::fs::read(root.path().join(path)).unwrap() == *content, "{path}");
            }
        }
    }
}
