//! Checking and repairing data folders that were damaged in every way, and repairs that lose their
//! power at any change.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::*;
use tidegate_env::{Disk, Fault, FaultKind, FaultOn, OpenMode, SimDisk};
use tidegate_log::check::*;
use tidegate_log::*;
use tidegate_types::*;

const SEGMENT: u64 = 1_000;
const RECORDS: i64 = 20;

fn check_disk(disk: &SimDisk, deep: bool) -> Report {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    check(&disk, Path::new(ROOT), CheckOptions { deep }, &mut |_| {}).unwrap()
}

fn repair_disk(disk: &SimDisk) -> Result<Report, CheckError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    repair(&disk, Path::new(ROOT), CheckOptions::default(), &mut |_| {})
}

/// Two logs of a few segments, ended as by kill -9 after the index was told of everything.
fn killed() -> SimDisk {
    let disk = SimDisk::new(1);
    let mut store = Stepped::open(disk.clone());
    for n in 0..2 {
        let log = store.log(n, tiny(SEGMENT));
        for at in 0..RECORDS {
            store.put(&log, &value(at));
        }
    }
    store.clock.advance(Duration::from_secs(2));
    let log = store.log(0, tiny(SEGMENT));
    store.put(&log, &value(RECORDS));
    disk.kill()
}

fn value(n: i64) -> Vec<u8> {
    let mut value = n.to_string().into_bytes();
    value.resize(100, b'.');
    value
}

fn bases(disk: &SimDisk) -> Vec<i64> {
    let folder = segment_path(Path::new(ROOT), 0, 0).parent().unwrap().to_owned();
    let names = disk.list(&folder).unwrap().into_iter().map(|entry| entry.name);
    let bases: Vec<i64> =
        names.filter_map(|name| name.strip_suffix(".log")?.parse().ok()).collect();
    assert!(bases.len() > 3, "{bases:?}");
    bases
}

fn segment(disk: &SimDisk, at: usize) -> PathBuf {
    segment_path(Path::new(ROOT), 0, bases(disk)[at])
}

fn last(disk: &SimDisk) -> PathBuf {
    segment(disk, bases(disk).len() - 1)
}

/// Every batch takes this many bytes.
fn batch_len() -> u64 {
    batch(None, &[&value(0)]).len() as u64
}

fn kinds(report: &Report) -> Vec<ProblemKind> {
    report.logs[0].problems.iter().map(|problem| problem.kind.clone()).collect()
}

fn range(from: i64, end: i64) -> DamageRange {
    DamageRange { from: Offset(from), end: Offset(end) }
}

/// The offsets that can be read, getting on after what is damaged.
fn readable(log: &LogHandle) -> Vec<i64> {
    let (mut at, mut found) = (log.offsets().start, Vec::new());
    while at < log.offsets().end {
        match log.read(at, log.offsets().end, ByteSize::kib(2)) {
            Ok(chunk) if chunk.is_empty() => break,
            Ok(chunk) => {
                for batch in tidegate_record::Batches::new(&chunk.batches) {
                    found.push(batch.unwrap().header().base_offset.0);
                }
                at = chunk.next_offset;
            }
            Err(ReadError::Damaged { range }) => at = range.end,
            Err(error) => panic!("{error}"),
        }
    }
    found
}

#[test]
fn a_sound_folder_is_counted_and_found_sound() {
    let disk = killed();
    for deep in [false, true] {
        let report = check_disk(&disk, deep);
        assert_eq!((report.logs.len(), report.worst()), (2, None), "{report:?}");
        assert_eq!(report.index, IndexState::Sound);
        let log = &report.logs[0];
        assert_eq!((log.log, log.incarnation), (log_id(0), Some(Incarnation(100))));
        assert_eq!((log.start, log.end), (Offset(0), Offset(RECORDS + 1)));
        assert_eq!((log.batches, log.records), (21, 21));
        assert_eq!(log.bytes.get(), 21 * batch_len());
        assert_eq!(log.segments, bases(&disk).len());
    }
}

#[test]
fn a_check_changes_nothing_and_tells_how_far_it_is() {
    let disk = killed();
    let before = disk.counts();
    let mut told = Vec::new();
    let as_disk: Arc<dyn Disk> = Arc::new(disk.clone());
    check(&as_disk, Path::new(ROOT), CheckOptions::default(), &mut |now| told.push(now)).unwrap();
    let after = disk.counts();
    assert_eq!((after.writes, after.syncs), (before.writes, before.syncs));
    assert!(told.windows(2).all(|pair| pair[0].done <= pair[1].done));
    let end = told.last().unwrap();
    assert_eq!((end.done, end.logs_done, end.logs), (end.total, 1, 2));
    let lens = |n: u32| -> u64 {
        let folder = segment_path(Path::new(ROOT), n, 0).parent().unwrap().to_owned();
        let files = disk.list(&folder).unwrap().into_iter();
        files.filter(|entry| entry.name.ends_with(".log")).map(|entry| entry.len).sum()
    };
    assert_eq!(end.total.get(), lens(0) + lens(1));
}

#[test]
fn a_store_in_use_or_missing_is_not_checked() {
    let disk = SimDisk::new(1);
    let as_disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let run = || check(&as_disk, Path::new(ROOT), CheckOptions::default(), &mut |_| {});
    assert!(matches!(run(), Err(CheckError::NoStore { .. })));
    let store = Stepped::open(disk.clone());
    assert!(matches!(run(), Err(CheckError::Locked { .. })));
    assert!(matches!(repair_disk(&disk), Err(CheckError::Locked { .. })));
    drop(store);
    assert_eq!(run().unwrap(), Report { index: IndexState::Sound, ..Report::default() });
}

#[test]
fn a_file_before_the_start_that_could_not_be_removed_overlaps_nothing() {
    let disk = killed();
    let (first, second) = (bases(&disk)[1], bases(&disk)[2]);
    let store = Stepped::open(disk.clone());
    let log = store.log(0, tiny(SEGMENT));
    let path = ".log".to_owned();
    disk.inject(Fault { on: FaultOn::Remove, after: 0, kind: FaultKind::Io, path });
    log.trim(Offset(first + 1)).unwrap();
    assert!(first + 1 < second);
    drop((log, store));
    assert_eq!(bases(&disk)[1], first, "the first file is there");
    let report = check_disk(&disk, false);
    assert_eq!(report.logs[0].start, Offset(first + 1));
    assert_eq!(kinds(&report), [ProblemKind::IndexRow], "{report:?}");
}

/// What is done to the folder, what a check finds then, and which offsets are lost.
type Case = (&'static str, fn(&SimDisk), fn(&SimDisk) -> Vec<ProblemKind>, &'static [i64]);

fn flip(disk: &SimDisk, path: &Path, at: u64) {
    disk.flip_bit(path, at, 3).unwrap();
}

fn write(disk: &SimDisk, path: &Path, at: u64, bytes: &[u8]) {
    let file = disk.open(path, OpenMode::Write).unwrap();
    file.write_at(at, bytes).unwrap();
    file.sync_data().unwrap();
}

fn remove(disk: &SimDisk, path: &Path) {
    disk.remove_file(path).unwrap();
    disk.sync_dir(path.parent().unwrap()).unwrap();
}

/// Where the batches of the last segment end.
fn last_end(disk: &SimDisk) -> u64 {
    (RECORDS as u64 + 1 - *bases(disk).last().unwrap() as u64) * batch_len()
}

fn damaged(position: u64, bytes: u64, from: i64, end: i64) -> ProblemKind {
    ProblemKind::Damaged { position, bytes: ByteSize::bytes(bytes), range: range(from, end) }
}

const CASES: &[Case] = &[
    (
        "a batch's body in a closed segment",
        |disk| flip(disk, &segment(disk, 0), batch_len() + 90),
        |_| vec![damaged(batch_len(), batch_len(), 1, 2)],
        &[1],
    ),
    (
        "a batch's length in a closed segment",
        |disk| flip(disk, &segment(disk, 0), 2 * batch_len() + 9),
        |_| vec![damaged(2 * batch_len(), batch_len(), 2, 3)],
        &[2],
    ),
    (
        "two neighbours and one apart",
        |disk| {
            for n in [0, 1, 3] {
                flip(disk, &segment(disk, 1), n * batch_len() + 100);
            }
        },
        |disk| {
            let base = bases(disk)[1];
            vec![
                damaged(0, 2 * batch_len(), base, base + 2),
                damaged(3 * batch_len(), batch_len(), base + 3, base + 4),
            ]
        },
        &[5, 6, 8],
    ),
    (
        "the last batch of a closed segment",
        |disk| flip(disk, &segment(disk, 0), 4 * batch_len() + 90),
        |_| vec![damaged(4 * batch_len(), batch_len(), 4, 5)],
        &[4],
    ),
    (
        "the first batch of the last segment",
        |disk| flip(disk, &last(disk), 90),
        |_| vec![damaged(0, SEGMENT, 20, 21)],
        &[20],
    ),
    (
        "a closed segment is cut",
        |disk| {
            let file = disk.open(&segment(disk, 0), OpenMode::Write).unwrap();
            file.set_len(4 * batch_len()).unwrap();
            file.sync_data().unwrap();
        },
        |_| vec![ProblemKind::Cut { range: range(4, 5) }, ProblemKind::IndexRow],
        &[4],
    ),
    (
        "a segment is gone",
        |disk| remove(disk, &segment(disk, 1)),
        |_| vec![ProblemKind::MissingFile { range: range(5, 10) }],
        &[5, 6, 7, 8, 9],
    ),
    (
        "a torn tail",
        |disk| write(disk, &last(disk), last_end(disk), &[7; 50]),
        |disk| {
            let bytes = disk.open(&last(disk), OpenMode::Read).unwrap().len().unwrap();
            let position = last_end(disk);
            vec![ProblemKind::TornTail { position, bytes: ByteSize::bytes(bytes - position) }]
        },
        &[],
    ),
    (
        "no index",
        |disk| remove(disk, &Path::new(ROOT).join("index.redb")),
        |disk| vec![ProblemKind::IndexRow; bases(disk).len() - 1],
        &[],
    ),
    (
        "leftovers",
        |disk| {
            let folder = segment(disk, 0).parent().unwrap().to_owned();
            let base = "00000000000000000000";
            for name in [
                "incarnation.new".to_owned(),
                format!("{base}.log.repaired"),
                format!("{base}.log.cleaned"),
            ] {
                disk.open(&folder.join(name), OpenMode::Create).unwrap();
            }
        },
        |_| vec![ProblemKind::Leftover; 3],
        &[],
    ),
];

#[test]
fn everything_that_is_wrong_is_found_repaired_once_and_never_silent() {
    for (what, harm, expected, lost) in CASES {
        let disk = killed();
        harm(&disk);
        let expected = expected(&disk);
        assert_eq!(kinds(&check_disk(&disk, true)), expected, "{what}");

        let report = repair_disk(&disk).unwrap();
        assert!(!report.repaired.is_empty(), "{what}");
        let sound = |kind: &ProblemKind| matches!(kind, ProblemKind::RecordedGap { .. });
        assert!(kinds(&report).iter().all(sound), "{what}: {report:#?}");
        assert_eq!(report.index, IndexState::Sound, "{what}");
        assert_eq!(report.logs[1].problems, [], "{what}");
        let again = repair_disk(&disk).unwrap();
        assert_eq!(again.repaired, [""; 0], "{what}");
        assert_eq!(again.logs, report.logs, "{what}");

        let mut store = Stepped::open(disk.clone());
        let log = store.log(0, tiny(SEGMENT));
        let kept: Vec<i64> = (0..=RECORDS).filter(|at| !lost.contains(at)).collect();
        assert_eq!(readable(&log), kept, "{what}");
        for at in *lost {
            let error = log.read(Offset(*at), log.offsets().end, ByteSize::mib(1)).unwrap_err();
            assert!(matches!(error, ReadError::Damaged { .. }), "{what}: {error}");
        }
        assert_eq!(store.put(&log, b"next"), Offset(RECORDS + 1), "{what}");
    }
}

#[test]
fn what_is_taken_out_is_kept_beside() {
    let disk = killed();
    let path = segment(&disk, 0);
    let mut before = vec![0; batch_len() as usize];
    flip(&disk, &path, batch_len() + 90);
    disk.open(&path, OpenMode::Read).unwrap().read_exact_at(batch_len(), &mut before).unwrap();
    repair_disk(&disk).unwrap();
    let kept = path.with_file_name(format!("00000000000000000000.log.damaged-{}", batch_len()));
    let mut bytes = vec![0; batch_len() as usize];
    let file = disk.open(&kept, OpenMode::Read).unwrap();
    file.read_exact_at(0, &mut bytes).unwrap();
    assert_eq!((file.len().unwrap(), bytes), (batch_len(), before));
    // Later damage at the same position does not overwrite it.
    flip(&disk, &path, batch_len() + 95);
    repair_disk(&disk).unwrap();
    assert!(
        disk.exists(
            &kept.with_file_name(format!("00000000000000000000.log.damaged-{}-2", batch_len()))
        )
        .unwrap()
    );
    assert_eq!(file.len().unwrap(), batch_len());
}

#[test]
fn a_repair_that_loses_its_power_at_any_change_is_finished_by_the_next() {
    for (what, harm, _, lost) in CASES {
        for changes in 0.. {
            let disk = killed();
            harm(&disk);
            disk.crash_after(changes);
            let done = repair_disk(&disk).is_ok();
            let disk = disk.crash();
            // A node may start in between, too.
            if changes % 2 == 0 {
                let store = Stepped::open(disk.clone());
                drop(store.log(0, tiny(SEGMENT)));
            }
            repair_disk(&disk).unwrap();
            let report = repair_disk(&disk).unwrap();
            let sound = |kind: &ProblemKind| matches!(kind, ProblemKind::RecordedGap { .. });
            assert!(kinds(&report).iter().all(sound), "{what}, {changes}: {report:#?}");
            let store = Stepped::open(disk);
            let log = store.log(0, tiny(SEGMENT));
            let kept: Vec<i64> = (0..=RECORDS).filter(|at| !lost.contains(at)).collect();
            assert_eq!(readable(&log), kept, "{what}, {changes}");
            for at in *lost {
                assert!(log.damage().iter().any(|range| range.contains(Offset(*at))), "{what}");
            }
            if done {
                assert!(changes > 3 || lost.is_empty(), "{what}: no cut came");
                break;
            }
        }
    }
}

#[test]
fn a_deep_check_reads_records_that_were_written_wrong() {
    let disk = SimDisk::new(1);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, tiny(SEGMENT));
    store.put(&log, b"one");
    // The checksum is right, the record's length is not.
    let mut wrong = batch(None, &[b"two"]);
    let body = tidegate_record::HEADER_LEN;
    wrong[body] = 0x7e;
    let crc = crc_fast::crc32_iscsi(&wrong[21..]);
    wrong[17..21].copy_from_slice(&crc.to_be_bytes());
    store.append(&log, request(wrong, When::Durable)).unwrap();
    store.put(&log, b"three");
    store.store.close();
    assert_eq!(kinds(&check_disk(&disk, false)), []);
    let position = batch(None, &[b"one"]).len() as u64;
    let unreadable = ProblemKind::Unreadable { position, base_offset: Offset(1) };
    let report = check_disk(&disk, true);
    assert_eq!(kinds(&report), [unreadable]);
    assert_eq!((report.logs[0].batches, report.worst()), (3, Some(Severity::Loss)));
}
