//! An index that meets a full disk: it heals by itself, and nothing that was acknowledged is lost.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::path::Path;

use common::*;
use tidegate_env::{Fault, FaultKind, FaultOn, SimDisk};
use tidegate_log::*;
use tidegate_types::*;

fn drop_oldest(segment: u64) -> LogConfig {
    let policy = LogPolicy { when_full: WhenFull::DropOldest, ..LogPolicy::default() };
    LogConfig { policy, ..tiny(segment) }
}

fn value(n: i64, len: usize) -> Vec<u8> {
    let mut value = n.to_be_bytes().to_vec();
    value.extend((8..len).map(|at| (n as usize * 31 + at * 7) as u8));
    value
}

/// What a second does to a store whose threads are the test's.
fn second(store: &mut Stepped) {
    store.clock.advance(std::time::Duration::from_millis(1_100));
    store.step.run();
    store.store.maintenance_step().run();
    store.step.run();
}

fn no_room_for_index(disk: &SimDisk, after: u32) {
    let path = "index.redb".to_owned();
    disk.inject(Fault { on: FaultOn::Write, after, kind: FaultKind::NoSpace, path });
}

/// All records from the log's start to `end`, as they were appended.
fn check(log: &LogHandle, end: Offset, len: usize, at: &str) {
    let offsets = log.offsets();
    assert_eq!((offsets.end, log.damage()), (end, vec![]), "{at}");
    let found = values(log, offsets.start);
    assert_eq!(found.len() as i64, end.0 - offsets.start.0, "{at}");
    for (n, found) in (offsets.start.0..).zip(found) {
        assert!(found == value(n, len), "{at}: offset {n} holds something else");
    }
}

/// Others take all room but a few blocks, so that log files and index meet the end of the disk.
#[test]
fn a_disk_that_is_filled_to_the_last_block_heals_while_the_store_is_open() {
    const LEN: usize = 900;
    for room in (0..24).chain([40, 80]) {
        let at = format!("{room} blocks are left");
        let disk = SimDisk::with_capacity(room, ByteSize::mib(8));
        let config = StoreConfig {
            uncovered: ByteSize::bytes(0),
            reserve: ByteSize::kib(128),
            ..StoreConfig::default()
        };
        let mut store = Stepped::open_in(disk.clone(), Path::new(ROOT), config);
        let logs: Vec<LogHandle> = (0..3).map(|n| store.log(n, drop_oldest(24 << 10))).collect();
        let mut ends = [0_i64; 3];
        for n in 0..600 {
            let log = n % 3;
            store.put(&logs[log], &value(ends[log], LEN));
            ends[log] += 1;
        }
        second(&mut store);
        // What the index is told of it at the next tick takes some blocks.
        let many = store.log(3, drop_oldest(1 << 20));
        let stamped = |n: i64| batch(Some(stamp(n, 0, 0)), &[&value(n, 8)]);
        let batches: Vec<u8> = (0..1_500).flat_map(stamped).collect();
        store.append(&many, request(batches, When::Durable)).unwrap();
        let used = disk.used().get();
        disk.set_capacity(Some(ByteSize::bytes(used + (room << 12))));
        // Not every index needs new blocks now; each meets the full disk once.
        no_room_for_index(&disk, room as u32 % 5);
        let mut taken = 0;
        for round in 0.. {
            assert!(round < 60, "it does not heal: {at}, {:?}", store.store.stats());
            for (log, end) in logs.iter().zip(&mut ends) {
                for _ in 0..8 {
                    let bytes = batch(None, &[&value(*end, LEN)]);
                    match store.append(log, request(bytes, When::Durable)) {
                        Ok(appended) => {
                            assert_eq!(appended.base_offset, Offset(*end), "{at}");
                            *end += 1;
                            taken += 1;
                        }
                        Err(AppendError::DiskFull { .. }) => {}
                        Err(error) => panic!("{at}: {error}"),
                    }
                }
            }
            second(&mut store);
            let dropped = store.store.clean_stats().dropped > ByteSize::bytes(0);
            if dropped && taken > 100 && store.store.stats().full.is_none() {
                break;
            }
        }
        assert_eq!(store.store.index_failure(), None, "{at}");
        for (log, end) in logs.iter().zip(ends) {
            check(log, Offset(end), LEN, &at);
            log.trim(Offset(end - 3)).unwrap();
        }
        check(&many, Offset(1_500), 8, &at);
        let store = Stepped::open(disk.crash());
        check(&store.log(3, drop_oldest(1 << 20)), Offset(1_500), 8, &at);
        for (n, end) in (0..).zip(ends) {
            let log = store.log(n, drop_oldest(24 << 10));
            assert_eq!(log.offsets().start, Offset(end - 3), "{at}");
            check(&log, Offset(end), LEN, &at);
        }
    }
}

/// What is done while the index finds no room.
type Act = fn(&mut Stepped, &LogHandle);
const ACTS: [(&str, Act); 4] = [
    ("trim", |_, log| match log.trim(Offset(17)) {
        Ok(start) => assert_eq!(start, Offset(17)),
        Err(TrimError::Index(IndexError::Full)) => {
            assert_eq!(log.offsets().start, Offset(0), "an error says that nothing was removed");
        }
        Err(error) => panic!("{error}"),
    }),
    ("drop", |store, _| {
        store.store.make_room(ByteSize::bytes(1_500));
    }),
    ("roll", |store, log| {
        for n in 30..45 {
            let bytes = batch(None, &[&value(n, 100)]);
            // Refused once the index has met the full disk.
            let _ = store.append(log, request(bytes, When::Durable));
        }
    }),
    ("tick", |store, _| second(store)),
];

fn filled(disk: &SimDisk) -> (Stepped, LogHandle) {
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, drop_oldest(1_000));
    for n in 0..30 {
        store.put(&log, &value(n, 100));
    }
    (store, log)
}

/// What one act leaves when the index finds no room after so many writes; what the next start
/// reads, and whether the index met the full disk at all.
fn act_without_room(name: &str, act: Act, after: u32) -> (u64, bool) {
    let at = format!("{name}, no room after {after} writes of the index");
    let disk = SimDisk::new(7);
    let (mut store, log) = filled(&disk);
    no_room_for_index(&disk, after);
    act(&mut store, &log);
    let full = store.store.stats().full.is_some();
    disk.clear_faults();
    second(&mut store);
    second(&mut store);
    assert_eq!(store.store.index_failure(), None, "{at}");
    let (start, mut end) = (log.offsets().start, log.offsets().end.0);
    check(&log, Offset(end), 100, &at);
    for _ in 0..20 {
        store.put(&log, &value(end, 100));
        end += 1;
    }
    second(&mut store);
    let mut store = Stepped::open(disk.crash());
    let before = store.store.stats().read;
    let log = store.log(0, drop_oldest(1_000));
    let read = store.store.stats().read.get() - before.get();
    assert!(log.offsets().start >= start, "{at}");
    check(&log, Offset(end), 100, &at);
    log.trim(Offset(end - 1)).unwrap();
    second(&mut store);
    check(&log, Offset(end), 100, &at);
    (read, full)
}

#[test]
fn each_write_of_the_index_may_find_no_room() {
    for (name, act) in ACTS {
        let (usual, _) = act_without_room(name, act, u32::MAX);
        let mut met = 0;
        for after in 0.. {
            let (read, full) = act_without_room(name, act, after);
            // Rows that waited in memory are in the index, or closed segments would be read.
            assert!(read < usual + 2_000, "{name} after {after}: {read} bytes read, not {usual}");
            if !full {
                break;
            }
            met += 1;
        }
        assert!(met > 2, "{name}: the index wrote only {met} times");
    }
}

/// The power fails at every change that a full disk and healing from it make.
#[test]
fn a_power_cut_while_the_index_heals_loses_nothing() {
    for (name, act) in ACTS {
        for after in [0, 1, 3] {
            let mut cuts = 0;
            for changes in 0.. {
                let at = format!("{name}, no room after {after} writes, cut after {changes}");
                let disk = SimDisk::new(changes);
                let (mut store, log) = filled(&disk);
                no_room_for_index(&disk, after);
                disk.crash_after(changes);
                if name == "trim" {
                    let _ = log.trim(Offset(17));
                } else {
                    act(&mut store, &log);
                }
                second(&mut store);
                second(&mut store);
                let (seen, finished) = (log.offsets(), disk.has_power());
                let mut store = Stepped::open(disk.crash());
                let log = store.log(0, drop_oldest(1_000));
                let offsets = log.offsets();
                assert!(offsets.start >= seen.start && offsets.end >= seen.durable, "{at}");
                assert!(offsets.end >= Offset(30), "{at}");
                check(&log, offsets.end, 100, &at);
                store.put(&log, &value(offsets.end.0, 100));
                check(&log, offsets.end.advance(1), 100, &at);
                if finished {
                    break;
                }
                cuts += 1;
            }
            assert!(cuts > 5, "{name} made only {cuts} changes");
        }
    }
}

#[test]
fn a_sync_that_finds_no_room_gives_the_index_up() {
    let disk = SimDisk::new(3);
    let (mut store, log) = filled(&disk);
    let path = "index.redb".to_owned();
    disk.inject(Fault { on: FaultOn::Sync, after: 0, kind: FaultKind::NoSpace, path });
    assert!(log.trim(Offset(17)).is_err());
    second(&mut store);
    // What the page cache shows is not what the disk has; to go on with it would be a second try.
    assert!(store.store.index_failure().is_some());
    assert_eq!(log.offsets().start, Offset(0));
    check(&log, Offset(30), 100, "given up");
}

#[test]
fn a_store_opens_on_a_full_disk_with_what_its_reserve_holds() {
    let disk = SimDisk::with_capacity(9, ByteSize::mib(8));
    let (mut store, log) = filled(&disk);
    second(&mut store);
    second(&mut store);
    check(&log, Offset(30), 100, "before");
    let disk = disk.kill();
    drop((store, log));
    let reserve = Path::new(ROOT).join("reserve");
    let held = tidegate_env::Disk::open(&disk, &reserve, tidegate_env::OpenMode::Read).unwrap();
    assert!(held.len().unwrap() > 0);
    drop(held);
    disk.set_capacity(Some(disk.used()));
    let store = Stepped::open(disk);
    check(&store.log(0, drop_oldest(1_000)), Offset(30), 100, "on a full disk");
}
