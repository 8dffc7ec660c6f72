//! In which order files go: a crash at any step of it leaves a log that opens with all that was
//! acknowledged, and nothing that was superseded comes back.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use common::*;
use tidegate_env::{Disk, Fault, FaultKind, FaultOn, SimDisk};
use tidegate_log::*;
use tidegate_record::{Batch, BatchBuilder, BuildOptions};
use tidegate_types::*;

/// Room for all that a test writes: what is closed is merged into one file.
const LARGE: u64 = 1_000_000;

/// Appends a record of its own batch; a tombstone if there is no value.
fn put(store: &mut Stepped, log: &LogHandle, key: &str, value: Option<&[u8]>) -> Offset {
    let mut builder = BatchBuilder::new(BuildOptions::default());
    builder.push(Timestamp(1_000), Some(key.as_bytes()), value, []).unwrap();
    let bytes = builder.build().unwrap();
    store.append(log, request(bytes, When::Durable)).unwrap().base_offset
}

/// All records: offset, key, and the first byte of the value.
fn records(log: &LogHandle) -> Vec<(Offset, String, Option<u8>)> {
    let mut found = Vec::new();
    for (_, bytes) in read_all(log, log.offsets().start).unwrap() {
        let (batch, _) = Batch::parse(&bytes).unwrap();
        let mut scratch = Vec::new();
        for record in batch.body(&mut scratch).unwrap().map(Result::unwrap) {
            let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
            let offset = batch.header().offset_of(&record);
            found.push((offset, key, record.value.map(|value| value[0])));
        }
    }
    found
}

/// What a reader makes of the log: each key's latest value.
fn latest(log: &LogHandle) -> BTreeMap<String, u8> {
    let mut latest = BTreeMap::new();
    for (_, key, value) in records(log) {
        match value {
            Some(value) => latest.insert(key, value),
            None => latest.remove(&key),
        };
    }
    latest
}

/// The bases of the log's files.
fn bases(disk: &dyn Disk) -> Vec<i64> {
    let path = segment_path(Path::new(ROOT), 0, 0);
    let entries = disk.list(path.parent().unwrap()).unwrap();
    let names = entries.into_iter().map(|entry| entry.name);
    names.filter(|name| name.ends_with(".log")).map(|name| name[..20].parse().unwrap()).collect()
}

fn lose_index(disk: &SimDisk) {
    disk.remove_file(&Path::new(ROOT).join("index.redb")).unwrap();
}

/// Removals of the file at `base` fail for as long as anybody tries.
fn keep_file(disk: &SimDisk, base: i64) {
    let path = format!("{base:020}.log");
    for _ in 0..100 {
        let path = path.clone();
        disk.inject(Fault { on: FaultOn::Remove, after: 0, kind: FaultKind::Io, path });
    }
}

/// A log of one record of 400 bytes to a file and a half, whose every key comes several times.
fn fill(store: &mut Stepped, log: &LogHandle) {
    for n in 0..20_u8 {
        let key = format!("key {}", n % 4);
        put(store, log, &key, Some(&[n + 1; 400]));
    }
}

/// Every single step of a merge, stopped by a kill and by a power cut: of the files that were
/// merged the first stays, and of the others the last ones, for they go one by one, each durably.
#[test]
fn merged_files_go_in_rising_order_once_theirs_is_in_its_place() {
    for powered in [true, false] {
        let mut seen = Vec::new();
        for changes in 0.. {
            let disk = SimDisk::new(changes);
            let mut store = Stepped::open(disk.clone());
            let log = store.log(0, compacting(1_000));
            fill(&mut store, &log);
            let (before, wanted) = (bases(&disk), latest(&log));
            log.set_config(compacting(LARGE)).unwrap();
            disk.crash_after(changes);
            store.store.maintenance_step().run();
            let finished = disk.has_power();
            let disk = if powered { disk.kill() } else { disk.crash() };
            let at = format!("powered: {powered}, {changes} changes");

            let left = bases(&disk);
            assert_eq!(left[0], before[0], "{at}");
            let others = &before[before.len() + 1 - left.len()..];
            assert_eq!(&left[1..], others, "{at}: of {before:?}");
            seen.push(left.len());
            for lost in [false, true] {
                let disk = disk.kill();
                if lost {
                    lose_index(&disk);
                }
                let store = Stepped::open(disk.clone());
                let log = store.log(0, compacting(LARGE));
                let offsets = log.offsets();
                let at = format!("{at}, index lost: {lost}, {left:?}");
                assert_eq!((offsets.start, offsets.end), (Offset(0), Offset(20)), "{at}");
                assert_eq!((log.damage(), latest(&log)), (vec![], wanted.clone()), "{at}");
                // The old files, or the new one: never a part of both.
                let files = bases(&disk).len();
                assert!(files == before.len() || files == 2, "{at}: {files} files");
                assert_eq!(files, log.segments(), "{at}");
            }
            if finished {
                assert_eq!(left.len(), 2, "{at}: all were merged");
                break;
            }
        }
        seen.dedup();
        assert!(seen.len() > 5, "only {seen:?} files were met");
    }
}

/// A file that cannot be removed keeps those that supersede it: without them, and without an index
/// that tells of them, it would pass for a part of the log, and a deleted key would live again.
#[test]
fn a_merged_file_that_stays_keeps_all_that_supersede_it() {
    let disk = SimDisk::new(1);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, compacting(1_000));
    fill(&mut store, &log);
    let alive = put(&mut store, &log, "deleted", Some(&[1; 400])).0;
    put(&mut store, &log, "x", Some(&[1; 900]));
    put(&mut store, &log, "deleted", None);
    for n in 0..3 {
        put(&mut store, &log, "x", Some(&[n + 2; 900]));
    }
    let before = bases(&disk);
    let at = before.partition_point(|base| *base <= alive) - 1;
    assert!(at > 1 && at + 2 < before.len(), "{alive} of {before:?}");
    keep_file(&disk, before[at]);

    log.set_config(compacting(LARGE)).unwrap();
    store.store.maintenance_step().run();
    assert_eq!(log.segments(), 2, "they were merged");
    let left = [&before[..1], &before[at..]].concat();
    assert_eq!(bases(&disk), left, "none behind the one that stays has gone");
    store.clock.advance(2 * DAY);
    store.store.maintenance_step().run();
    assert!(records(&log).iter().all(|(_, key, _)| key != "deleted"), "the tombstone is gone");
    assert_eq!(bases(&disk), left);
    let active = before[before.len() - 1];
    log.trim(Offset(active)).unwrap();
    store.store.maintenance_step().run();
    assert_eq!(log.segments(), 1);
    assert_eq!(bases(&disk), left, "nor has the one that they were merged into");

    for (disk, at) in [(disk.kill(), "killed"), (disk.crash(), "cut")] {
        let kept = Stepped::open(disk.kill());
        let log = kept.log(0, compacting(LARGE));
        assert_eq!((log.offsets().start, log.damage()), (Offset(active), vec![]), "{at}");
        assert_eq!(latest(&log), BTreeMap::from([("x".to_owned(), 4)]), "{at}");
        let disk = disk.kill();
        lose_index(&disk);
        let lost = Stepped::open(disk);
        let log = lost.log(0, compacting(LARGE));
        assert_eq!(latest(&log).get("deleted"), None, "{at}: a deleted key lives again");
        assert_eq!(latest(&log).get("x"), Some(&4), "{at}");
    }
}

/// A start that lies inside a merged file: what a crash left of the files that were merged into it
/// lies around that start, and must not be taken for the log's own.
#[test]
fn a_start_inside_a_merged_file_does_not_bring_back_what_was_merged() {
    let disk = SimDisk::new(1);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, compacting(1_000));
    fill(&mut store, &log);
    let before = bases(&disk);
    keep_file(&disk, before[1]);
    log.set_config(compacting(LARGE)).unwrap();
    store.store.maintenance_step().run();
    assert_eq!(bases(&disk), before, "all are left over");
    log.trim(Offset(before[3] + 1)).unwrap();
    let wanted = records(&log);
    for (disk, at) in [(disk.kill(), "killed"), (disk.crash(), "cut")] {
        let store = Stepped::open(disk.clone());
        let log = store.log(0, compacting(LARGE));
        assert_eq!((log.offsets().start, log.damage()), (Offset(before[3] + 1), vec![]), "{at}");
        assert_eq!(records(&log), wanted, "{at}");
        assert_eq!(bases(&disk), [before[0], before[before.len() - 1]], "{at}");
    }
}

/// Every single step of a removal from the head, stopped by a kill: none goes before the new start
/// is stored, and then the oldest goes first, so that even without an index there is no hole.
#[test]
fn the_head_goes_oldest_first_once_the_new_start_is_stored() {
    type Removal = fn(&mut Stepped, &LogHandle);
    let removals: [(&str, Removal); 3] = [
        ("trim", |_, log| drop(log.trim(Offset(15)))),
        ("retention", |store, log| {
            let mut config = tiny(1_000);
            config.policy.retention_bytes = Some(ByteSize::bytes(1_500));
            log.set_config(config).unwrap();
            store.store.maintenance_step().run();
        }),
        ("drop", |store, log| {
            let mut config = tiny(1_000);
            config.policy.when_full = WhenFull::DropOldest;
            log.set_config(config).unwrap();
            store.store.make_room(ByteSize::bytes(3_000));
        }),
    ];
    for (name, remove) in removals {
        let mut seen = Vec::new();
        for changes in 0.. {
            let disk = SimDisk::new(changes);
            let mut store = Stepped::open(disk.clone());
            let log = store.log(0, tiny(1_000));
            fill(&mut store, &log);
            let (before, all) = (bases(&disk), records(&log));
            disk.crash_after(changes);
            remove(&mut store, &log);
            let finished = disk.has_power();
            let disk = disk.kill();
            let left = bases(&disk);
            let at = format!("{name}, {changes} changes: {left:?} of {before:?}");
            assert_eq!(left, before[before.len() - left.len()..], "{at}");
            seen.push(left.len());
            for lost in [false, true] {
                let disk = disk.kill();
                if lost {
                    lose_index(&disk);
                }
                let store = Stepped::open(disk);
                let log = store.log(0, tiny(1_000));
                let start = log.offsets().start;
                assert_eq!(log.damage(), [], "{at}, index lost: {lost}");
                assert!(left.len() == before.len() || lost || start > Offset(0), "{at}");
                assert_eq!(records(&log), all[start.0 as usize..], "{at}, index lost: {lost}");
            }
            if finished {
                break;
            }
        }
        seen.dedup();
        assert!(seen.len() > 2, "{name}: only {seen:?} files were met");
    }
}

/// All of a log is trimmed, and its next file has no room. Later it goes on in the old file, and
/// the power is cut: the name that was nearly given may be there. It must not pass for proof that
/// the old file has nothing to keep.
#[test]
fn a_file_that_had_no_room_takes_nothing_with_it() {
    let mut came_back = 0;
    for seed in 0..60 {
        let disk = SimDisk::new(seed);
        let mut store = Stepped::open(disk.clone());
        let log = store.log(0, tiny(1_000_000));
        fill(&mut store, &log);
        log.trim(Offset(20)).unwrap();
        disk.set_capacity(Some(ByteSize::bytes(0)));
        store.step.run();
        assert_eq!((log.segments(), bases(&disk)), (1, vec![0]), "there is no room for another");
        disk.set_capacity(None);
        store.clock.advance(Duration::from_secs(2));
        store.step.run();
        // All that lies before the start is told to the index, and need not be read again.
        store.store.close();
        drop((log, store.step));
        let mut store = Stepped::open(disk.clone());
        let log = store.log(0, tiny(1_000_000));
        for n in 0..3 {
            put(&mut store, &log, "later", Some(&[n]));
        }
        let wanted = records(&log);
        assert_eq!(wanted.len(), 3);
        let disk = disk.crash();
        came_back += i32::from(bases(&disk).len() > 1);
        let store = Stepped::open(disk);
        let log = store.log(0, tiny(1_000_000));
        let offsets = log.offsets();
        assert_eq!((offsets.start, offsets.end), (Offset(20), Offset(23)), "seed {seed}");
        assert_eq!((log.damage(), records(&log)), (vec![], wanted), "seed {seed}");
    }
    assert!(came_back > 0, "the name never came back");
}
