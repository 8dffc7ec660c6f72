//! What opening a log makes of files that were cut, extended, overwritten or lost, on a real disk.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use common::*;
use tempfile::TempDir;
use tidegate_env::RealDisk;
use tidegate_log::*;
use tidegate_types::*;

const SEGMENT: u64 = 1_000;

/// A folder with a log of records "0" to "19", a hundred bytes each, ended as by kill -9.
struct Killed {
    folder: TempDir,
    bases: Vec<i64>,
}

impl Killed {
    /// `told` is how many records the index was told to be durable.
    fn new(told: u32) -> Killed {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path());
        let log = store.log(0, tiny(SEGMENT));
        for n in 0..20_u32 {
            store.put(&log, &value(n));
            if n + 1 == told {
                store.clock.advance(std::time::Duration::from_secs(2));
                store.step.run();
            }
        }
        // A copy of the files is what a killed process leaves: nothing was closed.
        let killed = tempfile::tempdir().unwrap();
        copy(folder.path(), killed.path());
        let mut bases: Vec<i64> =
            std::fs::read_dir(segment_path(killed.path(), 0, 0).parent().unwrap())
                .unwrap()
                .filter_map(|entry| {
                    let name = entry.unwrap().file_name().into_string().unwrap();
                    name.strip_suffix(".log")?.parse().ok()
                })
                .collect();
        bases.sort_unstable();
        assert!(bases.len() > 2, "{bases:?}");
        Killed { folder: killed, bases }
    }

    fn segment(&self, at: usize) -> PathBuf {
        segment_path(self.folder.path(), 0, self.bases[at])
    }

    fn last(&self) -> PathBuf {
        self.segment(self.bases.len() - 1)
    }

    fn last_base(&self) -> i64 {
        *self.bases.last().unwrap()
    }

    fn open(&self) -> (Stepped, LogHandle) {
        let store = open(self.folder.path());
        let log = store.log(0, tiny(SEGMENT));
        (store, log)
    }
}

fn open(root: &Path) -> Stepped {
    Stepped::open_in(RealDisk, root, StoreConfig::default())
}

fn value(n: u32) -> Vec<u8> {
    let mut value = n.to_string().into_bytes();
    value.resize(100, b'.');
    value
}

fn expected(numbers: impl IntoIterator<Item = u32>) -> Vec<Vec<u8>> {
    numbers.into_iter().map(value).collect()
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The bytes of a segment's batches, without the zeros written ahead.
fn batches_len(path: &Path) -> u64 {
    let bytes = std::fs::read(path).unwrap();
    let mut batches = tidegate_record::Batches::new(&bytes);
    while let Some(Ok(_)) = batches.next() {}
    (bytes.len() - batches.rest().len()) as u64
}

/// Turns a byte in the n-th batch of a segment.
fn damage_batch(path: &Path, n: usize, at: u64) {
    let bytes = std::fs::read(path).unwrap();
    let mut position = 0;
    for batch in tidegate_record::Batches::new(&bytes).take(n) {
        position += batch.unwrap().bytes().len() as u64;
    }
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, position + at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x55], position + at).unwrap();
}

#[test]
fn a_killed_process_loses_nothing() {
    let killed = Killed::new(0);
    let (mut store, log) = killed.open();
    assert_eq!(values(&log, Offset::ZERO), expected(0..20));
    assert_eq!((log.damage(), log.incarnation()), (vec![], Incarnation(100)));
    assert_eq!(store.put(&log, b"next"), Offset(20));
}

#[test]
fn a_clean_restart_scans_nothing_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let log = store.log(0, tiny(SEGMENT));
    let retry = batch(Some(stamp(4, 0, 0)), &[b"once"]);
    let first = store.append(&log, request(retry.clone(), When::Durable)).unwrap();
    store.store.close();
    let path = segment_path(folder.path(), 0, 0);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), retry.len() as u64, "zeros were left");
    let mut store = open(folder.path());
    let log = store.log(0, tiny(SEGMENT));
    let again = store.append(&log, request(retry, When::Durable)).unwrap();
    assert_eq!(again, Appended { duplicate: true, ..first });
    assert_eq!(store.put(&log, b"next"), Offset(1));
    assert_eq!(values(&log, Offset::ZERO), [&b"once"[..], b"next"]);
}

#[test]
fn a_torn_tail_is_cut() {
    let next = at_offset(batch(None, &[b"never acknowledged"]), 20, 1);
    let tails: [Vec<u8>; 4] = [
        // Its last byte is a zero, as is what was written ahead: one less would make it whole.
        next[..next.len() - 2].to_vec(),
        next[..30].to_vec(),
        b"garbage".repeat(50),
        [&[0; 700][..], &next].concat(),
    ];
    for tail in tails {
        let killed = Killed::new(20);
        let end = batches_len(&killed.last());
        let file = OpenOptions::new().write(true).open(killed.last()).unwrap();
        file.write_all_at(&tail, end).unwrap();
        let (mut store, log) = killed.open();
        assert_eq!(values(&log, Offset::ZERO), expected(0..20));
        assert_eq!(log.damage(), []);
        assert_eq!(std::fs::metadata(killed.last()).unwrap().len(), end);
        assert_eq!(store.put(&log, b"next"), Offset(20));
        assert_eq!(values(&log, Offset(20)), [b"next"]);
    }
}

#[test]
fn zeros_at_the_end_are_no_records() {
    let killed = Killed::new(20);
    let mut file = OpenOptions::new().append(true).open(killed.last()).unwrap();
    file.write_all(&[0; 9_000_000]).unwrap();
    let (_store, log) = killed.open();
    assert_eq!(values(&log, Offset::ZERO), expected(0..20));
    assert_eq!(log.damage(), []);
}

#[test]
fn a_cut_file_loses_what_was_durable_aloud_and_never_gives_its_offsets_again() {
    let killed = Killed::new(20);
    let keep = batches_len(&killed.last()) - 10;
    OpenOptions::new().write(true).open(killed.last()).unwrap().set_len(keep).unwrap();
    let lost = DamageRange { from: Offset(19), end: Offset(20) };
    for _ in 0..2 {
        let (_store, log) = killed.open();
        assert_eq!(log.damage(), [lost]);
        assert_eq!(values_below(&log, 19), expected(0..19));
        let error = log.read(Offset(19), Offset(20), ByteSize::mib(1)).unwrap_err();
        assert!(matches!(error, ReadError::Damaged { range } if range == lost), "{error}");
    }
    let (mut store, log) = killed.open();
    assert_eq!(store.put(&log, b"next"), Offset(20));
    assert_eq!(values(&log, Offset(20)), [b"next"]);
}

/// The values before `end`, where damage begins.
fn values_below(log: &LogHandle, end: i64) -> Vec<Vec<u8>> {
    let (mut at, mut found) = (Offset::ZERO, Vec::new());
    while at < Offset(end) {
        let chunk = log.read(at, Offset(end), ByteSize::mib(1)).unwrap();
        assert!(!chunk.is_empty());
        at = chunk.next_offset;
        for batch in tidegate_record::Batches::new(&chunk.batches) {
            let mut scratch = Vec::new();
            for record in batch.unwrap().body(&mut scratch).unwrap() {
                found.push(record.unwrap().value.unwrap().to_vec());
            }
        }
    }
    found
}

#[test]
fn a_bad_batch_in_the_durable_range_is_damage_for_its_range_alone() {
    // In its body, in its length field, in its magic.
    for at in [90, 9, 16] {
        let killed = Killed::new(20);
        damage_batch(&killed.last(), 1, at);
        let bad = killed.last_base() + 1;
        let range = DamageRange { from: Offset(bad), end: Offset(bad + 1) };
        let (mut store, log) = killed.open();
        assert_eq!(log.damage(), [range], "byte {at}");
        assert_eq!(values_below(&log, bad), expected(0..bad as u32), "byte {at}");
        assert_eq!(values(&log, range.end), expected(bad as u32 + 1..20), "byte {at}");
        let error = log.read(range.from, Offset(20), ByteSize::mib(1)).unwrap_err();
        assert!(matches!(error, ReadError::Damaged { range: found } if found == range), "{error}");
        let found = log.offset_for_time(Timestamp(1_000)).unwrap();
        assert_eq!(found, Some((Offset(0), Timestamp(1_000))));
        assert_eq!(store.put(&log, b"next"), Offset(20));
        // It is remembered, whatever happens to the segment then.
        for n in 0..20 {
            store.put(&log, &value(n));
        }
        store.store.close();
        let (_store, log) = killed.open();
        assert_eq!(log.damage(), [range]);
        assert_eq!(log.offsets().end, Offset(41));
    }
}

#[test]
fn a_torn_tail_hides_nothing_between_damage_and_itself() {
    let killed = Killed::new(20);
    let tail = batches_len(&killed.last());
    // Its length is not to be believed, so what follows must be searched for.
    damage_batch(&killed.last(), 1, 9);
    let file = OpenOptions::new().write(true).open(killed.last()).unwrap();
    file.write_all_at(b"some of a batch", tail + 40).unwrap();
    let (_store, log) = killed.open();
    let bad = killed.last_base() + 1;
    assert_eq!(log.damage(), [DamageRange { from: Offset(bad), end: Offset(bad + 1) }]);
    assert_eq!(values(&log, Offset(bad + 1)), expected(bad as u32 + 1..20));
}

#[test]
fn a_bad_batch_beyond_the_durable_range_is_cut_with_what_follows() {
    let killed = Killed::new(0);
    damage_batch(&killed.last(), 1, 90);
    let (_store, log) = killed.open();
    let bad = killed.last_base() as u32 + 1;
    assert_eq!(log.damage(), []);
    assert_eq!(values(&log, Offset::ZERO), expected(0..bad));
}

#[test]
fn a_lost_or_damaged_index_is_rebuilt_from_the_segments() {
    for broken in [None, Some(&b"not a database"[..]), Some(&[0xff; 100_000][..])] {
        let killed = Killed::new(10);
        let path = killed.folder.path().join("index.redb");
        std::fs::remove_file(&path).unwrap();
        if let Some(bytes) = broken {
            std::fs::write(&path, bytes).unwrap();
        }
        let (mut store, log) = killed.open();
        assert_eq!(values(&log, Offset::ZERO), expected(0..20));
        assert_eq!((log.damage(), log.incarnation()), (vec![], Incarnation(100)));
        assert_eq!(log.segments(), killed.bases.len());
        assert_eq!(store.put(&log, b"next"), Offset(20));
        store.store.close();
        let aside = killed.folder.path().join("index.redb.damaged");
        assert_eq!(aside.exists(), broken.is_some());
        let (_store, log) = killed.open();
        assert_eq!(log.offsets().end, Offset(21));
    }
}

#[test]
fn without_an_index_nothing_valid_is_cut_away() {
    let killed = Killed::new(20);
    std::fs::remove_file(killed.folder.path().join("index.redb")).unwrap();
    damage_batch(&killed.segment(0), 2, 90);
    damage_batch(&killed.last(), 1, 90);
    let (_store, log) = killed.open();
    let bad = killed.last_base() + 1;
    let ranges = [(2, 3), (bad, bad + 1)]
        .map(|(from, end)| DamageRange { from: Offset(from), end: Offset(end) });
    assert_eq!(log.damage(), ranges);
    assert_eq!(values_below(&log, 2), expected(0..2));
    assert_eq!(values(&log, Offset(bad + 1)), expected(bad as u32 + 1..20));
}

#[test]
fn a_segment_that_is_gone_is_damage_for_its_range() {
    let killed = Killed::new(20);
    std::fs::remove_file(killed.segment(1)).unwrap();
    let (_store, log) = killed.open();
    let [from, end] = [killed.bases[1], killed.bases[2]];
    assert_eq!(log.damage(), [DamageRange { from: Offset(from), end: Offset(end) }]);
    assert_eq!(values_below(&log, from), expected(0..from as u32));
    assert_eq!(values(&log, Offset(end)), expected(end as u32..20));
}

#[test]
fn a_closed_segment_that_is_cut_is_damaged_from_there() {
    let killed = Killed::new(20);
    let path = killed.segment(0);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    let (_store, log) = killed.open();
    let end = killed.bases[1];
    assert_eq!(log.damage(), [DamageRange { from: Offset(end - 1), end: Offset(end) }]);
    assert_eq!(values(&log, Offset(end)), expected(end as u32..20));
}

#[test]
fn bad_structure_met_by_a_read_is_told_and_can_be_skipped() {
    let killed = Killed::new(20);
    let (_store, log) = killed.open();
    // The length field of a batch in a closed segment, while the log is open.
    damage_batch(&killed.segment(0), 1, 9);
    let error = log.read(Offset(1), Offset(20), ByteSize::mib(1)).unwrap_err();
    let ReadError::Damaged { range } = error else { panic!("{error}") };
    assert_eq!(range, DamageRange { from: Offset(1), end: Offset(killed.bases[1]) });
    assert_eq!(values(&log, range.end), expected(range.end.0 as u32..20));
}

#[test]
fn a_batch_that_claims_offsets_beyond_its_segment_is_damage_and_no_end() {
    let killed = Killed::new(20);
    // The last offset delta.
    damage_batch(&killed.segment(0), 0, 23);
    let (_store, log) = killed.open();
    let error = log.read(Offset(0), Offset(20), ByteSize::mib(1)).unwrap_err();
    assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
    let error = log.locate(Offset(0), Offset(20), ByteSize::mib(1)).unwrap_err();
    assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
}

#[test]
fn a_lost_incarnation_is_found_in_the_index_or_begins_anew() {
    let killed = Killed::new(20);
    let path = killed.last().with_file_name("incarnation");
    std::fs::remove_file(&path).unwrap();
    let (store, log) = killed.open();
    assert_eq!(log.incarnation(), Incarnation(100));
    drop((store, log));
    std::fs::write(&path, "nonsense").unwrap();
    std::fs::remove_file(killed.folder.path().join("index.redb")).unwrap();
    let store = open(killed.folder.path());
    let log = store.store.open_log(log_id(0), Incarnation(0xabc), tiny(SEGMENT)).unwrap();
    assert_eq!(log.incarnation(), Incarnation(0xabc));
    assert_eq!(values(&log, Offset::ZERO), expected(0..20));
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(text, "tidegate log 1\n0000000000000abc\n");
}
