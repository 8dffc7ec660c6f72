//! What leaves a log, on a disk that loses its power at every step.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::*;
use tidegate_env::{Disk, Fault, FaultKind, FaultOn, OpenMode, RealDisk, SimDisk};
use tidegate_log::*;
use tidegate_types::*;

fn with(segment: u64, change: impl FnOnce(&mut LogPolicy)) -> LogConfig {
    let mut config = tiny(segment);
    change(&mut config.policy);
    config
}

fn value(n: i64) -> Vec<u8> {
    let mut value = n.to_string().into_bytes();
    value.resize(100, b'.');
    value
}

fn expected(offsets: std::ops::Range<i64>) -> Vec<Vec<u8>> {
    offsets.map(value).collect()
}

fn fill(store: &mut Stepped, log: &LogHandle, offsets: std::ops::Range<i64>) {
    for n in offsets {
        assert_eq!(store.put(log, &value(n)), Offset(n));
    }
}

/// Looks twice: what the first look asks the writer to close, the second may remove.
fn maintain(store: &mut Stepped) {
    let mut step = store.store.maintenance_step();
    step.run();
    store.step.run();
    step.run();
}

/// The names of a log's segments.
fn segment_files(disk: &dyn Disk, n: u32) -> Vec<String> {
    let path = segment_path(Path::new(ROOT), n, 0);
    let entries = disk.list(path.parent().unwrap()).unwrap();
    entries.into_iter().map(|e| e.name).filter(|name| name != "incarnation").collect()
}

#[test]
fn a_trim_cuts_inside_a_segment_and_survives() {
    let disk = SimDisk::new(1);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, tiny(1_000));
    fill(&mut store, &log, 0..30);
    let bases: Vec<String> = segment_files(&disk, 0);
    assert!(bases.len() > 4, "{bases:?}");
    assert_eq!(log.trim(Offset(8)).unwrap(), Offset(8));
    assert_eq!(log.offsets().start, Offset(8));
    assert_eq!(log.trim(Offset(3)).unwrap(), Offset(8), "a start never moves back");
    assert!(matches!(
        log.read(Offset(7), Offset(30), ByteSize::kib(1)),
        Err(ReadError::OutOfRange { start: Offset(8), .. })
    ));
    assert!(matches!(
        log.trim(Offset(31)),
        Err(TrimError::BeyondEnd { to: Offset(31), end: Offset(30) })
    ));
    assert_eq!(segment_files(&disk, 0).len(), bases.len() - 1);
    let disk = disk.crash();
    let store = Stepped::open(disk);
    let log = store.log(0, tiny(1_000));
    assert_eq!((log.offsets().start, log.damage()), (Offset(8), vec![]));
    assert_eq!(values(&log, Offset(8)), expected(8..30));
    assert_eq!(log.epoch_end(LeaderEpoch(0)).1, Offset(8));
}

#[test]
fn trimming_everything_frees_the_active_file_too() {
    let disk = SimDisk::new(2);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, tiny(1_000));
    fill(&mut store, &log, 0..10);
    assert_eq!(log.trim(Offset(10)).unwrap(), Offset(10));
    assert_eq!(values(&log, Offset(10)), Vec::<Vec<u8>>::new());
    maintain(&mut store);
    assert_eq!(segment_files(&disk, 0), ["00000000000000000010.log"]);
    assert_eq!((log.bytes(), log.segments()), (ByteSize::bytes(0), 1));
    assert_eq!(store.put(&log, &value(10)), Offset(10));
    drop(store);
    let mut store = Stepped::open(disk.crash());
    let log = store.log(0, tiny(1_000));
    assert_eq!((log.offsets().start, log.offsets().end), (Offset(10), Offset(11)));
    fill(&mut store, &log, 11..14);
    assert_eq!(values(&log, Offset(10)), expected(10..14));
}

#[test]
fn under_flush_os_a_trim_never_starts_a_log_beyond_what_a_power_cut_leaves() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let mut store = Stepped::open(disk.clone());
        let config = LogConfig { flush: Flush::Os, ..tiny(100_000) };
        let log = store.log(0, config);
        fill(&mut store, &log, 0..10);
        assert_eq!(log.trim(Offset(7)).unwrap(), Offset(7));
        let mut store = Stepped::open(disk.crash());
        let log = store.log(0, config);
        let offsets = log.offsets();
        assert!(offsets.start == Offset(7) && offsets.end >= Offset(7), "seed {seed}: {offsets:?}");
        let end = offsets.end.0;
        fill(&mut store, &log, end..end + 3);
        assert_eq!(log.damage(), [], "seed {seed}");
    }
}

#[test]
fn retention_by_size_keeps_at_least_that_much() {
    let disk = SimDisk::new(3);
    let mut store = Stepped::open(disk.clone());
    let config = with(1_000, |policy| policy.retention_bytes = Some(ByteSize::bytes(2_500)));
    let log = store.log(0, config);
    fill(&mut store, &log, 0..50);
    maintain(&mut store);
    let start = log.offsets().start.0;
    assert!(start > 0);
    assert_eq!(values(&log, Offset(start)), expected(start..50));
    let bytes = log.bytes().get();
    assert!((2_500..3_500).contains(&bytes), "{bytes} bytes are left");
    assert_eq!(segment_files(&disk, 0).len(), log.segments());
    let stats = store.store.clean_stats();
    assert!(stats.retained_out > ByteSize::bytes(2_500) && stats.segments > 2, "{stats:?}");
}

#[test]
fn retention_by_time_counts_running_time_over_restarts() {
    let disk = SimDisk::new(4);
    let config = with(1_000, |policy| policy.retention = Some(7 * DAY));
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, config);
    fill(&mut store, &log, 0..20);
    maintain(&mut store);
    store.clock.advance(4 * DAY);
    maintain(&mut store);
    assert_eq!(log.offsets().start, Offset(0));
    store.store.close();
    // Off for a year, as the wall clock says.
    let mut store = Stepped::open(disk.clone());
    store.clock.set_wall(Timestamp(1_740_000_000_000));
    let log = store.log(0, config);
    maintain(&mut store);
    store.clock.advance(3 * DAY);
    maintain(&mut store);
    assert_eq!(log.offsets().start, Offset(0), "held for 7 days, not longer");
    store.clock.advance(Duration::from_millis(1));
    maintain(&mut store);
    let start = log.offsets().start;
    assert!(start > Offset(10), "{start}");
    // The active segment was as old when it was closed; it is held from then on.
    assert_eq!(values(&log, start), expected(start.0..20));
    store.clock.advance(8 * DAY);
    maintain(&mut store);
    assert_eq!(log.offsets().start, Offset(20));
    assert_eq!(segment_files(&disk, 0).len(), 1);
}

#[test]
fn a_clock_that_jumps_deletes_nothing_that_was_not_held() {
    const YEARS_50: i64 = 50 * 365 * 86_400_000;
    for wall in [1_700_000_000_000 + YEARS_50, 1_700_000_000_000 - YEARS_50, 0, i64::MAX] {
        let config = with(1_000, |policy| policy.retention = Some(7 * DAY));
        let mut store = Stepped::open(SimDisk::new(5));
        let log = store.log(0, config);
        fill(&mut store, &log, 0..20);
        maintain(&mut store);
        store.clock.set_wall(Timestamp(wall));
        maintain(&mut store);
        for _ in 0..7 {
            store.clock.advance(DAY);
            maintain(&mut store);
            assert_eq!(log.offsets().start, Offset(0), "wall {wall}");
        }
        assert_eq!(values(&log, Offset(0)), expected(0..20));
    }
}

#[test]
fn a_full_disk_takes_the_oldest_of_the_logs_that_may_lose_them() {
    let disk = SimDisk::new(6);
    let mut store = Stepped::open(disk.clone());
    let drop_oldest = with(1_000, |policy| policy.when_full = WhenFull::DropOldest);
    let (kept, old, young) =
        (store.log(0, tiny(1_000)), store.log(1, drop_oldest), store.log(2, drop_oldest));
    for log in [&kept, &old] {
        fill(&mut store, log, 0..20);
    }
    maintain(&mut store);
    store.clock.advance(DAY);
    fill(&mut store, &young, 0..20);
    maintain(&mut store);
    let freed = store.store.make_room(ByteSize::bytes(1_500));
    assert!((1_500..2_500).contains(&freed.get()), "{freed}");
    assert_eq!((kept.offsets().start, young.offsets().start), (Offset(0), Offset(0)));
    let dropped = old.dropped().unwrap();
    assert_eq!(
        (dropped.last.end, dropped.bytes, dropped.segments),
        (old.offsets().start, freed, 2)
    );
    let start = old.offsets().start;
    assert_eq!(values(&old, start), expected(start.0..20));
    // Everything that may go, down to what is active.
    for _ in 0..40 {
        store.store.make_room(ByteSize::mib(1));
        store.step.run();
    }
    assert_eq!((old.offsets().start, young.offsets().start), (Offset(20), Offset(20)));
    assert_eq!((old.bytes(), young.bytes()), (ByteSize::bytes(0), ByteSize::bytes(0)));
    assert_eq!(values(&kept, Offset(0)), expected(0..20));
    assert_eq!(store.store.make_room(ByteSize::mib(1)), ByteSize::bytes(0));
    let stats = store.store.clean_stats();
    let bytes = |log: &LogHandle| log.dropped().unwrap().bytes.get();
    assert_eq!(stats.dropped.get(), bytes(&old) + bytes(&young));
}

#[test]
fn files_that_a_failed_sync_brings_back_are_removed_at_the_next_start() {
    let disk = SimDisk::new(7);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, tiny(1_000));
    fill(&mut store, &log, 0..20);
    disk.inject(Fault { on: FaultOn::SyncDir, after: 0, kind: FaultKind::Io, path: String::new() });
    log.trim(Offset(10)).unwrap();
    assert_eq!(log.offsets().start, Offset(10));
    let store = Stepped::open(disk.crash());
    let log = store.log(0, tiny(1_000));
    assert_eq!((log.offsets().start, log.damage()), (Offset(10), vec![]));
    assert_eq!(values(&log, Offset(10)).last(), Some(&value(19)));
}

#[test]
fn no_file_goes_before_one_that_cannot_be_removed() {
    let disk = SimDisk::new(5);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, with(1_000, |_| {}));
    fill(&mut store, &log, 0..30);
    let before = segment_files(&disk, 0);
    let path = before[0].clone();
    disk.inject(Fault { on: FaultOn::Remove, after: 0, kind: FaultKind::Io, path });
    log.trim(Offset(17)).unwrap();
    assert_eq!(segment_files(&disk, 0), before);
    maintain(&mut store);
    let left = segment_files(&disk, 0);
    assert_eq!(left, before[before.len() - left.len()..]);
    assert!(left.len() < before.len());
}

/// A power cut after every single change that a trim, a look and a roll make.
#[test]
fn a_power_cut_at_any_step_of_a_removal_leaves_a_whole_log() {
    let policy = |policy: &mut LogPolicy| {
        policy.retention_bytes = Some(ByteSize::bytes(2_500));
        policy.when_full = WhenFull::DropOldest;
    };
    let config = with(1_000, policy);
    type Removal = fn(&mut Stepped, &LogHandle);
    let removals: [(&str, Removal); 4] = [
        ("trim", |_, log| drop(log.trim(Offset(17)))),
        ("trim all", |store, log| {
            drop(log.trim(Offset(30)));
            maintain(store);
        }),
        ("retention", |store, _| maintain(store)),
        ("drop", |store, _| {
            store.store.make_room(ByteSize::bytes(1_500));
        }),
    ];
    for (name, remove) in removals {
        let mut cuts = 0;
        for changes in 0.. {
            let disk = SimDisk::new(changes);
            let mut store = Stepped::open(disk.clone());
            let log = store.log(0, config);
            fill(&mut store, &log, 0..30);
            disk.crash_after(changes);
            remove(&mut store, &log);
            let seen = log.offsets().start;
            let finished = disk.has_power();
            let disk = disk.crash();
            let mut store = Stepped::open(disk.clone());
            let log = store.log(0, config);
            let offsets = log.offsets();
            let at = format!("{name}, power cut after {changes} changes: {offsets:?}");
            assert!(offsets.start >= seen, "a start that was seen moved back from {seen}: {at}");
            assert_eq!((offsets.end, log.damage()), (Offset(30), vec![]), "{at}");
            let read = read_all(&log, offsets.start).unwrap();
            let last = read.last().map_or(offsets.start, |(base, _)| base.advance(1));
            assert_eq!(last, Offset(30), "{at}");
            assert_eq!(read.len() as i64, 30 - offsets.start.0, "{at}");
            // What had to be read once more for its producers goes now.
            maintain(&mut store);
            let offsets = log.offsets();
            // One file may be the last one made, and holds nothing yet.
            let files = segment_files(&disk, 0);
            assert_eq!(files.len(), log.segments(), "{at}: {files:?}");
            let second = files.get(1).map(|name| name[..20].parse().unwrap());
            assert!(second.is_none_or(|base: i64| base > offsets.start.0), "{at}: {files:?}");
            fill(&mut store, &log, 30..33);
            assert_eq!(values(&log, offsets.start).len() as i64, 33 - offsets.start.0, "{at}");
            if finished {
                break;
            }
            cuts += 1;
        }
        assert!(cuts > 10, "{name} made only {cuts} changes");
    }
}

#[test]
fn readers_that_are_overtaken_are_told_that_the_start_moved() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Stepped::open_in(RealDisk, folder.path(), StoreConfig::default());
    let log = store.log(0, tiny(1_000));
    fill(&mut store, &log, 0..400);
    let reader = {
        let log = log.clone();
        std::thread::spawn(move || {
            let (mut at, mut moved) = (Offset(0), 0);
            while at < Offset(400) {
                match log.read(at, Offset(400), ByteSize::bytes(300)) {
                    Ok(chunk) => {
                        for batch in tidegate_record::Batches::new(&chunk.batches) {
                            batch.unwrap();
                        }
                        at = chunk.next_offset;
                    }
                    Err(ReadError::OutOfRange { start, .. }) => {
                        assert!(start > at);
                        (at, moved) = (start, moved + 1);
                    }
                    Err(error) => panic!("at {at}: {error}"),
                }
            }
            moved
        })
    };
    for to in (0..=400).step_by(5) {
        log.trim(Offset(to)).unwrap();
    }
    reader.join().unwrap();
    assert_eq!(log.offsets().start, Offset(400));
}

#[test]
fn a_lost_index_brings_back_no_more_than_the_first_file_holds() {
    let disk = SimDisk::new(8);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, tiny(1_000));
    fill(&mut store, &log, 0..30);
    log.trim(Offset(17)).unwrap();
    let first: i64 = segment_files(&disk, 0)[0][..20].parse().unwrap();
    assert!((11..=17).contains(&first));
    drop(store);
    let disk = disk.crash();
    disk.remove_file(&Path::new(ROOT).join("index.redb")).unwrap();
    let store = Stepped::open(disk.clone());
    let log = store.log(0, tiny(1_000));
    assert_eq!((log.offsets().start, log.damage()), (Offset(first), vec![]));
    assert_eq!(values(&log, Offset(first)), expected(first..30));
    assert!(disk.open(&segment_path(Path::new(ROOT), 0, 0), OpenMode::Read).is_err());
}

/// A store with its threads, on a real disk: what is past retention goes by itself, soon after a
/// segment was closed, and an old active segment without one.
#[test]
fn the_thread_does_by_itself_what_is_due() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        StoreConfig { clean_interval: Duration::from_millis(20), ..StoreConfig::default() };
    let clock = std::sync::Arc::new(tidegate_env::SystemClock::new());
    let disk = std::sync::Arc::new(RealDisk);
    let store = LogStore::open(disk, clock, folder.path(), config).unwrap();
    let size = with(1_000, |policy| policy.retention_bytes = Some(ByteSize::bytes(2_500)));
    let time = with(100_000, |policy| policy.retention = Some(Duration::from_millis(30)));
    let by_size = store.open_log(log_id(0), Incarnation(1), size).unwrap();
    let by_time = store.open_log(log_id(1), Incarnation(1), time).unwrap();
    for log in [&by_size, &by_time] {
        for n in 0..50 {
            let (sender, answer) = std::sync::mpsc::channel();
            let request = request(batch(None, &[&value(n)]), When::Durable);
            log.append(request, Box::new(move |result| drop(sender.send(result))));
            answer.recv().unwrap().unwrap();
        }
    }
    // Waits for as long as it takes: only that it happens is claimed.
    while by_size.bytes().get() >= 3_500 || by_time.offsets().start < Offset(50) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let start = by_size.offsets().start;
    assert_eq!(values(&by_size, start), expected(start.0..50));
    assert_eq!(values(&by_time, Offset(50)), Vec::<Vec<u8>>::new());
    store.close();
}
