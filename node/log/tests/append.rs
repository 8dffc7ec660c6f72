//! The append path: rounds over several logs, failures in the middle of them, and what a full disk
//! does.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::*;
use tidegate_env::{Disk, Fault, FaultKind, FaultOn, OpenMode, Rng, SimDisk};
use tidegate_log::*;
use tidegate_types::*;

#[test]
fn a_file_that_fails_to_sync_seals_its_log_alone() {
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let mut stepped = Stepped::open(disk.clone());
        let logs: Vec<_> = (0..5).map(|n| stepped.log(n, LogConfig::default())).collect();
        let path = segment_path(Path::new(ROOT), 3, 0).to_string_lossy().into_owned();
        disk.inject(Fault { on: FaultOn::Sync, after: 0, kind: FaultKind::Io, path });
        let answers: Vec<_> = logs
            .iter()
            .map(|log| Stepped::queue(log, request(batch(None, &[b"v"]), When::Durable)))
            .collect();
        stepped.step.run();
        for (n, answer) in answers.iter().enumerate() {
            let answer = answer.try_recv().unwrap();
            if n == 3 {
                assert!(matches!(answer, Err(AppendError::Sealed { .. })), "{answer:?}");
                assert!(logs[n].sealed_reason().unwrap().contains("syncing"));
                assert_eq!(logs[n].offsets().durable, Offset(0));
            } else {
                assert_eq!(answer.unwrap().base_offset, Offset(0), "log {n}");
                assert_eq!(logs[n].offsets().durable, Offset(1));
            }
        }
        let again = Stepped::open(disk.crash());
        for n in [0, 1, 2, 4] {
            let log = again.log(n, LogConfig::default());
            assert_eq!(values(&log, Offset(0)), [b"v"], "log {n}, seed {seed}");
        }
    }
}

#[test]
fn a_log_is_told_something_else_while_it_is_open() {
    let disk = SimDisk::new(1);
    let mut stepped = Stepped::open(disk.clone());
    let log = stepped.log(0, LogConfig { flush: Flush::Os, ..tiny(1 << 20) });
    stepped.put(&log, b"one");
    let before = disk.syncs();
    stepped.put(&log, b"two");
    assert_eq!(disk.syncs(), before, "the page cache was synced");
    log.set_config(tiny(100)).unwrap();
    assert_eq!(log.config(), tiny(100));
    stepped.put(&log, b"three");
    assert!(disk.syncs() > before);
    assert_eq!(log.segments(), 2, "the segment was too long already");
    for bytes in [0, MAX_SEGMENT.get() + 1] {
        let refused = log.set_config(tiny(bytes));
        assert!(matches!(refused, Err(ConfigError::SegmentSize { .. })), "{refused:?}");
    }
    assert_eq!(log.config(), tiny(100));
    let again = Stepped::open(disk.crash());
    let log = again.log(0, LogConfig::default());
    assert_eq!(values(&log, Offset(0)), [&b"one"[..], b"two", b"three"]);
}

/// Values of a length that makes one batch about `len` bytes.
fn value(n: u8, len: usize) -> Vec<u8> {
    vec![n; len]
}

fn durable(bytes: Vec<u8>) -> AppendRequest {
    request(bytes, When::Durable)
}

fn full(on: FaultOn, path: impl Into<String>, after: u32) -> Fault {
    Fault { on, after, kind: FaultKind::NoSpace, path: path.into() }
}

/// Lets the writer try again.
fn pass_a_moment(stepped: &mut Stepped) {
    stepped.clock.advance(Duration::from_secs(2));
    stepped.step.run();
}

#[test]
fn a_round_without_room_is_undone_and_its_batches_never_come_back() {
    let (mut partial, mut refused_total) = (0, 0);
    for seed in 0..120 {
        let mut rng = Rng::new(seed);
        let disk = SimDisk::new(seed);
        let mut stepped = Stepped::open(disk.clone());
        let flush = if rng.chance(70) { Flush::Always } else { Flush::Os };
        let log = stepped.log(0, LogConfig { flush, ..tiny(1 << 20) });
        let other = stepped.log(1, LogConfig::default());
        stepped.append(&log, durable(batch(Some(stamp(1, 0, 0)), &[&value(1, 700)]))).unwrap();
        let before = log.offsets();
        // Where the round needs more than was zeroed ahead, the first write is the one that zeroes.
        let path = format!("/0/{:020}.log", 0);
        let zeroes = flush == Flush::Always && rng.chance(50);
        let len = if zeroes { 30_000 } else { 900 };
        disk.inject(full(FaultOn::Write, path.clone(), 0));
        if zeroes && rng.chance(80) {
            disk.inject(full(FaultOn::Write, path, 0));
        }
        let mut lost = Vec::new();
        for n in 0..3_u8 {
            let sent = batch(Some(stamp(1, 0, 1 + i32::from(n))), &[&value(10 + n, len)]);
            lost.push((sent.clone(), Stepped::queue(&log, durable(sent))));
        }
        let beside = Stepped::queue(&other, durable(batch(None, &[b"beside"])));
        stepped.step.run();
        let answers: Vec<_> = lost.iter().map(|(_, answer)| answer.try_recv().unwrap()).collect();
        let refused = answers.iter().filter(|answer| answer.is_err()).count();
        assert!(refused == 0 || refused == 3, "{answers:?}");
        refused_total += refused;
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            assert!(matches!(error, AppendError::DiskFull { .. }), "{error}");
            assert!(error.is_retriable() && !error.may_be_written());
        }
        assert!(log.sealed_reason().is_none(), "a full disk sealed the log");
        drop(beside);
        if refused == 0 {
            continue;
        }
        assert_eq!(log.offsets(), before);
        let kept = [value(1, 700)];
        assert_eq!(values(&log, Offset(0)), kept);
        if rng.chance(30) {
            partial += 1;
            let again = Stepped::open(disk.crash());
            let log = again.log(0, LogConfig::default());
            assert_eq!(values(&log, Offset(0)), kept, "seed {seed}");
            continue;
        }
        let early = stepped.append(&log, durable(lost[0].0.clone())).unwrap_err();
        assert!(matches!(early, AppendError::DiskFull { .. }), "{early}");
        pass_a_moment(&mut stepped);
        // What was refused is not known to the log: not a duplicate, and what follows it a gap.
        let gap = stepped.append(&log, durable(lost[1].0.clone())).unwrap_err();
        assert!(matches!(gap, AppendError::OutOfOrderSequence { .. }), "{gap}");
        // A shorter one in its place: nothing of the longer ones may follow it.
        let short = batch(Some(stamp(1, 0, 1)), &[b"short"]);
        let appended = stepped.append(&log, durable(short)).unwrap();
        assert_eq!((appended.base_offset, appended.duplicate), (Offset(1), false));
        let expected = [value(1, 700), b"short".to_vec()];
        assert_eq!(values(&log, Offset(0)), expected);
        let cut = rng.chance(50);
        drop(stepped);
        let again = Stepped::open(if cut { disk.crash() } else { disk.kill() });
        let log = again.log(0, LogConfig::default());
        assert_eq!(values(&log, Offset(0)), expected, "seed {seed}");
    }
    assert!(partial > 5 && refused_total > 60, "{partial} crashes, {refused_total} refused");
}

#[test]
fn a_segment_that_cannot_be_closed_for_want_of_room_stays() {
    for (on, path, after) in [
        // The write of what was staged before; the new file.
        (FaultOn::Write, format!("/0/{:020}.log", 0), 0),
        (FaultOn::Create, "/0/".to_owned(), 0),
    ] {
        for seed in 0..20 {
            let disk = SimDisk::new(seed);
            let mut stepped = Stepped::open(disk.clone());
            let log = stepped.log(0, LogConfig { flush: Flush::Os, ..tiny(3_000) });
            stepped.put(&log, &value(1, 1_000));
            disk.inject(full(on, path.clone(), after));
            let staged = Stepped::queue(&log, durable(batch(None, &[&value(2, 1_000)])));
            let rolls = Stepped::queue(&log, durable(batch(None, &[&value(3, 1_500)])));
            stepped.step.run();
            let staged = staged.try_recv().unwrap();
            let error = rolls.try_recv().unwrap().unwrap_err();
            assert!(matches!(error, AppendError::DiskFull { .. }), "{error}");
            let mut expected = vec![value(1, 1_000)];
            if on == FaultOn::Create {
                assert_eq!(staged.unwrap().base_offset, Offset(1));
                expected.push(value(2, 1_000));
            } else {
                assert!(matches!(staged, Err(AppendError::DiskFull { .. })), "{staged:?}");
            }
            assert_eq!(log.sealed_reason(), None);
            assert_eq!((values(&log, Offset(0)), log.segments()), (expected.clone(), 1));
            pass_a_moment(&mut stepped);
            stepped.put(&log, &value(4, 2_500));
            expected.push(value(4, 2_500));
            assert_eq!((values(&log, Offset(0)), log.segments()), (expected.clone(), 2));
            let again = Stepped::open(disk.kill());
            let log = again.log(0, LogConfig::default());
            assert_eq!(values(&log, Offset(0)), expected, "seed {seed}");
        }
    }
}

#[test]
fn a_request_of_several_batches_is_written_whole_or_not_at_all_on_a_full_disk() {
    let disk = SimDisk::new(3);
    let mut stepped = Stepped::open(disk.clone());
    let log = stepped.log(0, tiny(2_000));
    stepped.put(&log, &value(1, 1_500));
    let several = [batch(None, &[&value(2, 900)]), batch(None, &[&value(3, 1_800)])].concat();
    disk.inject(full(FaultOn::Create, "/0/", 0));
    assert!(stepped.append(&log, durable(several.clone())).is_err());
    assert_eq!(log.offsets().end, Offset(1));
    pass_a_moment(&mut stepped);
    let appended = stepped.append(&log, durable(several)).unwrap();
    assert_eq!((appended.base_offset, appended.next_offset), (Offset(1), Offset(3)));
    assert_eq!(log.segments(), 2, "a request is not cut in two by a segment's end");
}

#[test]
fn appends_stop_before_the_disk_is_full_and_go_on_when_there_is_room() {
    let disk = SimDisk::with_capacity(5, ByteSize::mib(64));
    let config = StoreConfig::default();
    let mut stepped = Stepped::open_in(disk.clone(), Path::new(ROOT), config);
    let log = stepped.log(0, LogConfig::default());
    stepped.put(&log, b"first");
    pass_a_moment(&mut stepped);
    let reserve = Path::new(ROOT).join("reserve");
    let held = || disk.open(&reserve, OpenMode::Read).unwrap().len().unwrap();
    assert_eq!(held(), 2 << 20, "a thirty-second of the disk");

    let mut taken = 0_u64;
    let error = loop {
        match stepped.append(&log, durable(batch(None, &[&value(7, 400_000)]))) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 400, "the disk never fills up");
    };
    let AppendError::DiskFull { reserve: kept, .. } = error else { panic!("{error}") };
    assert_eq!(kept, ByteSize::mib(4));
    assert!(stepped.store.stats().full.unwrap().contains("the disk is full"));
    assert!(stepped.store.stats().space.unwrap().free >= ByteSize::mib(2), "nothing was kept");
    assert_eq!(log.sealed_reason(), None);
    assert_eq!(log.offsets().durable, Offset(1 + taken as i64));

    // Others take the rest: the reserve makes room for deletes, not for appends.
    let ballast = disk.open(Path::new("/ballast"), OpenMode::Create).unwrap();
    while disk.space(Path::new("/")).unwrap().free > ByteSize::kib(512) {
        let len = ballast.len().unwrap();
        ballast.write_at(len, &[1; 128 << 10]).unwrap();
    }
    pass_a_moment(&mut stepped);
    assert_eq!(held(), 0, "the reserve was kept from those who need it");
    let refused = stepped.append(&log, durable(batch(None, &[b"no"]))).unwrap_err();
    assert!(matches!(refused, AppendError::DiskFull { .. }), "{refused}");

    ballast.set_len(0).unwrap();
    disk.remove_file(Path::new("/ballast")).unwrap();
    drop(ballast);
    disk.set_capacity(Some(ByteSize::mib(96)));
    pass_a_moment(&mut stepped);
    stepped.put(&log, b"again");
    assert_eq!(stepped.store.stats().full, None);
    pass_a_moment(&mut stepped);
    assert_eq!(held(), 3 << 20, "the reserve is taken up again");
    let again = Stepped::open(disk.crash());
    let log = again.log(0, LogConfig::default());
    assert_eq!(values(&log, Offset(taken as i64)).last().unwrap(), b"again");
}

#[test]
fn what_is_written_is_counted() {
    let mut stepped = Stepped::open(SimDisk::new(1));
    let log = stepped.log(0, LogConfig::default());
    let before = stepped.store.stats();
    let sent = batch(None, &[&value(1, 5_000)]);
    stepped.append(&log, durable(sent.clone())).unwrap();
    let after = stepped.store.stats();
    assert_eq!((after.accepted.get(), after.rounds), (sent.len() as u64, before.rounds + 1));
    assert!(after.written.get() - before.written.get() >= after.accepted.get());
    assert_eq!(after.syncs, before.syncs + 1);
    assert!(after.write_amplification().unwrap() > 1.0);
}

#[test]
fn files_of_idle_logs_are_closed_and_opened_again() {
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let disk = SimDisk::new(seed);
        let config = StoreConfig { open_files: 3, ..small() };
        let mut stepped = Stepped::open_in(disk.clone(), Path::new(ROOT), config.clone());
        let configs: Vec<LogConfig> = (0..12)
            .map(|n| {
                let flush = if n % 3 == 0 { Flush::Os } else { Flush::Always };
                LogConfig { flush, ..tiny(4_000) }
            })
            .collect();
        let open = |stepped: &Stepped| -> Vec<LogHandle> {
            let wanted: Vec<_> = configs
                .iter()
                .enumerate()
                .map(|(n, config)| (log_id(n as u32), Incarnation(n as u64 + 100), *config))
                .collect();
            stepped.store.open_logs(&wanted).into_iter().map(Result::unwrap).collect()
        };
        let mut logs = open(&stepped);
        let mut expected = vec![Vec::new(); 12];
        for round in 0..30_u8 {
            if round == 15 {
                drop(std::mem::take(&mut logs));
                drop(stepped);
                stepped = Stepped::open_in(disk.clone(), Path::new(ROOT), config.clone());
                logs = open(&stepped);
            }
            let mut answers = Vec::new();
            for _ in 0..rng.between(1, 9) {
                let n = rng.below(12) as usize;
                let value = vec![round; rng.between(1, 1_500) as usize];
                answers.push(Stepped::queue(&logs[n], durable(batch(None, &[&value]))));
                expected[n].push(value);
            }
            stepped.step.run();
            for answer in answers {
                answer.try_recv().unwrap().unwrap();
            }
            let open = stepped.store.stats().open_files;
            assert!(open <= 3, "{open} files are open, seed {seed}");
            let n = rng.below(12) as usize;
            assert_eq!(values(&logs[n], Offset(0)), expected[n], "log {n}, seed {seed}");
        }
        for (log, expected) in logs.iter().zip(&expected) {
            assert_eq!(&values(log, Offset(0)), expected);
        }
        let stepped = Stepped::open_in(disk.crash(), Path::new(ROOT), config.clone());
        for (n, log) in open(&stepped).iter().enumerate() {
            let found = values(log, Offset(0));
            if configs[n].flush == Flush::Always {
                assert_eq!(found, expected[n], "log {n}, seed {seed}");
            } else {
                assert_eq!(found, expected[n][..found.len()], "log {n}, seed {seed}");
            }
        }
    }
}
