//! Opening many logs at once, and what a start reads: on disks that lose their power at any change.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::*;
use tidegate_env::{Disk, Fault, FaultKind, FaultOn, SimDisk};
use tidegate_log::*;
use tidegate_types::*;

type Answers = Vec<Result<LogHandle, OpenError>>;

fn config(uncovered: u64) -> StoreConfig {
    StoreConfig { uncovered: ByteSize::bytes(uncovered), ..small() }
}

fn wanted(logs: u32) -> Vec<(TopicPartition, Incarnation, LogConfig)> {
    (0..logs).map(|n| (log_id(n), Incarnation(u64::from(n) + 100), tiny(100_000))).collect()
}

fn open_all(store: &Stepped, logs: u32) -> Vec<LogHandle> {
    store.store.open_logs(&wanted(logs)).into_iter().map(Result::unwrap).collect()
}

#[test]
fn many_new_logs_survive_a_power_cut_at_any_change_or_are_not_there() {
    const LOGS: u32 = 5;
    let mut cut = 0;
    for changes in 0.. {
        let disk = SimDisk::new(changes);
        let store = Stepped::open(disk.clone());
        disk.crash_after(changes);
        let answers: Answers = store.store.open_logs(&wanted(LOGS));
        let all = answers.iter().all(Result::is_ok);
        cut += u32::from(!all);
        drop((answers, store));
        let disk = disk.crash();
        let mut store = Stepped::open(disk.clone());
        for found in store.store.logs_on_disk().unwrap() {
            store.store.open_log(found, Incarnation(7), tiny(100_000)).unwrap();
        }
        let logs = open_all(&store, LOGS);
        for (n, log) in (0..).zip(&logs) {
            assert_eq!(log.offsets().end, Offset(0), "after {changes} changes");
            assert_eq!(log.damage(), []);
            if all {
                assert_eq!(log.incarnation(), Incarnation(n + 100), "it was used already");
            }
            store.put(log, b"first");
        }
        let disk = disk.crash();
        let store = Stepped::open(disk);
        for log in open_all(&store, LOGS) {
            assert_eq!(values(&log, Offset::ZERO), [b"first"]);
        }
        if all {
            break;
        }
    }
    assert!(cut > 10, "only {cut} cuts came while logs were made");
}

#[test]
fn one_log_that_fails_does_not_keep_the_others_from_opening() {
    let disk = SimDisk::new(1);
    let store = Stepped::open(disk.clone());
    let path = format!("{}/3", log_id(3).topic);
    for (on, after) in [(FaultOn::Write, 0), (FaultOn::Sync, 0), (FaultOn::SyncDir, 0)] {
        disk.inject(Fault { on, after, kind: FaultKind::Io, path: path.clone() });
        let answers: Answers = store.store.open_logs(&wanted(6));
        for (n, answer) in answers.iter().enumerate() {
            assert_eq!(answer.is_ok(), n != 3, "{on:?}: {answer:?}");
        }
        disk.clear_faults();
    }
    assert_eq!(open_all(&store, 6).len(), 6);
    let twice = [wanted(1)[0], wanted(1)[0], wanted(7)[6], wanted(7)[6]];
    let answers = store.store.open_logs(&twice);
    assert!(answers[1].is_ok(), "an open log is given again");
    assert!(matches!(answers[3], Err(OpenError::Twice { log }) if log == log_id(6)));
}

#[test]
fn logs_opened_on_several_threads_are_the_same_as_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        Stepped::open_in(
            tidegate_env::RealDisk,
            folder.path(),
            StoreConfig { opening_threads: 4, ..small() },
        )
    };
    for round in 0..3_i64 {
        let mut store = open();
        let logs = open_all(&store, 60);
        for (n, log) in logs.iter().enumerate() {
            assert_eq!(log.id(), log_id(n as u32));
            assert_eq!(log.incarnation(), Incarnation(n as u64 + 100));
            assert_eq!(log.offsets().end, Offset(round));
            store.put(log, format!("{n}/{round}").as_bytes());
        }
        for (n, log) in logs.iter().enumerate() {
            assert_eq!(values(log, Offset(round)), [format!("{n}/{round}").as_bytes()]);
        }
        assert_eq!(store.store.logs().len(), 60);
    }
}

/// Bytes that opening a log reads from its segments.
fn read_by_opening(disk: &SimDisk, uncovered: u64) -> (u64, Vec<Vec<u8>>) {
    let store = Stepped::open_in(disk.clone(), Path::new(ROOT), config(uncovered));
    let before = disk.counts().reads;
    let log = store.log(0, tiny(50_000_000));
    let reads = disk.counts().reads - before;
    (reads, values(&log, Offset::ZERO))
}

#[test]
fn behind_a_checkpoint_a_start_reads_only_what_came_after() {
    let mut reads = Vec::new();
    for uncovered in [0, 1 << 40] {
        let disk = SimDisk::new(4);
        let mut store = Stepped::open_in(disk.clone(), Path::new(ROOT), config(uncovered));
        let log = store.log(0, tiny(50_000_000));
        for n in 0..100_u8 {
            store.put(&log, &vec![n; 300_000]);
        }
        store.clock.advance(Duration::from_secs(2));
        store.put(&log, b"the tick comes after this");
        store.put(&log, b"behind the checkpoint");
        drop(log);
        let disk = disk.kill();
        let (count, found) = read_by_opening(&disk, uncovered);
        assert_eq!(found.len(), 102);
        assert_eq!(found[101], b"behind the checkpoint");
        reads.push(count);
    }
    let [with, without] = reads[..] else { panic!("{reads:?}") };
    assert!(with * 2 < without, "{with} reads with a checkpoint, {without} without");
}

#[test]
fn an_idle_store_writes_no_checkpoints() {
    let disk = SimDisk::new(4);
    let mut store = Stepped::open_in(disk.clone(), Path::new(ROOT), config(0));
    let log = store.log(0, tiny(50_000_000));
    for _ in 0..3 {
        store.put(&log, b"something");
        store.clock.advance(Duration::from_secs(2));
        store.step.run();
    }
    let syncs = disk.counts().syncs;
    for _ in 0..10 {
        store.clock.advance(Duration::from_secs(2));
        store.step.run();
    }
    assert_eq!(disk.counts().syncs, syncs);
}

/// What a log holds.
#[derive(PartialEq, Debug)]
struct Content {
    batches: Vec<(Offset, Vec<u8>)>,
    offsets: LogOffsets,
    damage: Vec<DamageRange>,
    knows_the_first: bool,
    epoch_end: (LeaderEpoch, Offset),
}

fn content(log: &LogHandle) -> Content {
    Content {
        batches: read_all(log, log.offsets().start).unwrap(),
        offsets: log.offsets(),
        damage: log.damage(),
        knows_the_first: log.is_duplicate(stamp(5, 0, 0), 0),
        epoch_end: log.epoch_end(EPOCH),
    }
}

#[test]
fn after_a_power_cut_the_log_is_the_same_with_and_without_its_index() {
    let (mut cuts, mut same) = (0, 0);
    for seed in 0..150 {
        let mut rng = tidegate_env::Rng::new(seed);
        let disk = SimDisk::new(seed);
        let mut store = Stepped::open_in(disk.clone(), Path::new(ROOT), config(rng.below(2_000)));
        let log = store.log(0, tiny(3_000));
        disk.crash_after(rng.between(10, 160));
        let mut acked = 0;
        for sequence in 0..60 {
            let stamp = Some(stamp(5, 0, sequence));
            let value = vec![sequence as u8; rng.between(1, 400) as usize];
            let answer = store.append(&log, request(batch(stamp, &[&value]), When::Durable));
            if rng.chance(20) {
                store.clock.advance(Duration::from_secs(2));
                store.step.run();
            }
            match answer {
                Ok(appended) => acked = appended.next_offset.0,
                Err(_) => break,
            }
        }
        cuts += u32::from(acked < 60);
        drop((log, store));
        // Two copies of what the power cut left.
        let left = disk.crash();
        let (one, other) = (left.kill(), left.kill());
        let with = {
            let store = Stepped::open(one);
            let log = store.log(0, tiny(3_000));
            assert!(log.offsets().end.0 >= acked, "seed {seed}: {acked} were acknowledged");
            assert_eq!(log.damage(), [], "seed {seed}");
            content(&log)
        };
        other.remove_file(&Path::new(ROOT).join("index.redb")).unwrap();
        let store = Stepped::open(other);
        let log = store.log(0, tiny(3_000));
        if log.damage().is_empty() {
            let found = content(&log);
            assert_eq!(found, with, "seed {seed}");
            same += 1;
        } else {
            // Without the index a torn tail that batches follow cannot be told from damage.
            assert!(log.offsets().end >= with.offsets.end, "seed {seed}");
        }
    }
    assert!(cuts > 50, "only {cuts} runs were cut");
    assert!(same > 100, "only {same} runs left nothing behind a torn tail");
}

/// A closing store cuts a file, and the sync of that fails: the file looks cut, and is not. The
/// next start must cut it once more, or what lies behind its last batch passes for lost records of
/// a mirror that goes on behind a hole.
#[test]
fn a_cut_that_was_lost_with_a_failed_sync_is_made_again() {
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let config = tiny(20_000);
        let mut store = Stepped::open(disk.clone());
        let log = store.log(0, config);
        let at = |offset, len| keep(at_offset(batch(None, &[&vec![b'.'; len]]), offset, 1));
        // The writer looks at what is free before it writes zeros ahead.
        store.clock.advance(Duration::from_secs(2));
        store.step.run();
        store.append(&log, at(0, 100)).unwrap();
        if seed % 2 == 0 {
            // The index is told that all of it is durable.
            store.clock.advance(Duration::from_secs(2));
            store.step.run();
        }
        let (on, kind, path) = (FaultOn::Sync, FaultKind::Io, ".log".to_owned());
        disk.inject(Fault { on, after: 0, kind, path });
        store.store.close();
        drop(store.step);
        assert!(log.sealed_reason().is_some(), "the sync has not failed");
        drop(log);
        let mut store = Stepped::open(disk.clone());
        let log = store.log(0, config);
        store.append(&log, at(40, 19_900)).unwrap();
        assert_eq!(log.segments(), 2);
        let store = Stepped::open(disk.crash());
        let log = store.log(0, config);
        assert_eq!((log.offsets().end, log.damage()), (Offset(41), vec![]), "seed {seed}");
    }
}
