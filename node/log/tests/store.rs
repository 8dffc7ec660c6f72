//! What a store does for its users: appends, acks, reads, look-ups, limits, failures.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use common::*;
use tidegate_env::{Fault, FaultKind, FaultOn, RealDisk, SimDisk, SystemClock};
use tidegate_log::*;
use tidegate_types::*;

fn fault(on: FaultOn, kind: FaultKind, path: &str) -> Fault {
    Fault { on, after: 0, kind, path: path.to_owned() }
}

#[test]
fn offsets_are_given_in_order_and_read_back() {
    let mut store = Stepped::open(SimDisk::new(1));
    let log = store.log(0, tiny(500));
    let two = batch(None, &[b"a", b"b"]);
    let appended = store.append(&log, request(two, When::Durable)).unwrap();
    assert_eq!((appended.base_offset, appended.next_offset), (Offset(0), Offset(2)));
    for n in 0..20_u8 {
        assert_eq!(store.put(&log, &[n; 50]), Offset(2 + i64::from(n)));
    }
    assert!(log.segments() > 3, "{} segments", log.segments());
    assert_eq!(values(&log, Offset::ZERO).len(), 22);
    // From inside a batch the whole batch is given.
    let chunk = log.read(Offset(1), Offset(2), ByteSize::bytes(1)).unwrap();
    assert_eq!((chunk.base_offset, chunk.next_offset), (Offset(0), Offset(2)));
    // A batch that reaches beyond the high watermark is not shown.
    assert!(log.read(Offset(0), Offset(1), ByteSize::mib(1)).unwrap().is_empty());
    assert!(log.read(Offset(22), Offset(99), ByteSize::mib(1)).unwrap().is_empty());
    let error = log.read(Offset(23), Offset(99), ByteSize::mib(1)).unwrap_err();
    assert!(matches!(error, ReadError::OutOfRange { end: Offset(22), .. }), "{error}");
}

#[test]
fn one_round_takes_one_sync_per_log_and_written_acks_come_first() {
    let disk = SimDisk::new(1);
    let mut store = Stepped::open(disk.clone());
    let logs = [store.log(0, LogConfig::default()), store.log(1, LogConfig::default())];
    store.put(&logs[0], b"first");
    store.put(&logs[1], b"first");
    let before = disk.syncs();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    for n in 0..10 {
        let ack = if n % 2 == 0 { When::Durable } else { When::Written };
        let order = Arc::clone(&order);
        let done: Done = Box::new(move |result| {
            result.unwrap();
            order.lock().unwrap().push(ack);
        });
        logs[n % 3 % 2].append(request(batch(None, &[b"x"]), ack), done);
    }
    assert_eq!(store.store.backlog(), ByteSize::bytes(10 * batch(None, &[b"x"]).len() as u64));
    store.step.run();
    assert_eq!(store.store.backlog(), ByteSize::bytes(0));
    assert_eq!(disk.syncs() - before, 2);
    let order = order.lock().unwrap();
    assert!(order.is_sorted_by_key(|ack| *ack == When::Durable), "{order:?}");
    assert_eq!(order.len(), 10);
}

#[test]
fn a_request_is_taken_whole_or_not_at_all() {
    let mut store = Stepped::open(SimDisk::new(1));
    let log = store.log(0, LogConfig::default());
    let parts = [batch(Some(stamp(1, 0, 0)), &[b"a"]), batch(Some(stamp(1, 0, 5)), &[b"b"])];
    let error = store.append(&log, request(parts.concat(), When::Durable)).unwrap_err();
    assert!(matches!(error, AppendError::OutOfOrderSequence { .. }), "{error}");
    assert!(!error.may_be_written());
    assert_eq!(log.offsets().end, Offset(0));
    // The first batch left no trace: the producer is unknown still.
    let late = batch(Some(stamp(1, 0, 5)), &[b"b"]);
    assert_eq!(store.append(&log, request(late, When::Durable)).unwrap().base_offset, Offset(0));

    let mut torn = batch(None, &[b"c"]);
    torn.truncate(torn.len() - 1);
    let error = store.append(&log, request(torn, When::Durable)).unwrap_err();
    assert!(matches!(error, AppendError::Malformed { index: 0, .. }), "{error}");
    let error = store.append(&log, request(Vec::new(), When::Durable)).unwrap_err();
    assert!(matches!(error, AppendError::Empty), "{error}");
    assert_eq!(log.offsets().end, Offset(1));
}

#[test]
fn a_retry_is_answered_with_the_offset_of_the_original() {
    let mut store = Stepped::open(SimDisk::new(1));
    let log = store.log(0, LogConfig::default());
    let first = batch(Some(stamp(1, 0, 0)), &[b"a", b"b"]);
    store.put(&log, b"before");
    let original = store.append(&log, request(first.clone(), When::Durable)).unwrap();
    let retry = store.append(&log, request(first.clone(), When::Durable)).unwrap();
    assert_eq!(retry, Appended { duplicate: true, ..original });
    assert!(log.is_duplicate(stamp(1, 0, 0), 1));
    assert!(!log.is_duplicate(stamp(1, 0, 2), 0));
    // Retry and original in one round, and a request that is half a retry.
    let both = [first, batch(Some(stamp(1, 0, 2)), &[b"c"])].concat();
    let half = store.append(&log, request(both, When::Durable)).unwrap();
    assert_eq!((half.base_offset, half.next_offset, half.duplicate), (Offset(1), Offset(4), false));
    assert_eq!(values(&log, Offset::ZERO), [&b"before"[..], b"a", b"b", b"c"]);
}

#[test]
fn a_mirror_keeps_offsets_epochs_and_holes() {
    let mut store = Stepped::open(SimDisk::new(1));
    let log = store.log(0, tiny(300));
    for (offset, epoch) in [(5, 2), (9, 2), (6_000_000_000, 7)] {
        let batch = at_offset(batch(None, &[b"x", b"y"]), offset, epoch);
        store.append(&log, keep(batch)).unwrap();
    }
    let end = Offset(6_000_000_002);
    assert_eq!(log.offsets().end, end);
    assert_eq!(log.offsets().last_epoch, LeaderEpoch(7));
    let low = at_offset(batch(None, &[b"z"]), 6_000_000_001, 7);
    let error = store.append(&log, keep(low)).unwrap_err();
    assert!(matches!(error, AppendError::OffsetTooLow { .. }), "{error}");
    let bases = |from| read_all(&log, from).unwrap().into_iter().map(|(base, _)| base.0);
    assert!(bases(Offset(0)).eq([5, 9, 6_000_000_000]));
    assert!(bases(Offset(7)).eq([9, 6_000_000_000]), "from within a hole");
    assert!(bases(Offset(11)).eq([6_000_000_000]), "from within a hole between segments");
    assert_eq!(log.epoch_end(LeaderEpoch(2)), (LeaderEpoch(2), Offset(6_000_000_000)));
    assert_eq!(log.epoch_end(LeaderEpoch(5)), (LeaderEpoch(2), Offset(6_000_000_000)));
    assert_eq!(log.epoch_end(LeaderEpoch(9)), (LeaderEpoch(7), end));
}

#[test]
fn a_time_is_found_to_the_record_in_any_segment() {
    let mut store = Stepped::open(SimDisk::new(1));
    let log = store.log(0, tiny(400));
    // Ten batches of three records: times 0, 1, 2, 100, 101, 102, 200, ...
    for n in 0..10 {
        let batch = batch_at(n * 100, None, &[b"a", b"b", b"c"]);
        store.append(&log, request(batch, When::Durable)).unwrap();
    }
    for (time, offset, found) in [
        (-5, 0, 0),
        (0, 0, 0),
        (1, 1, 1),
        (3, 3, 100),
        (102, 5, 102),
        (450, 15, 500),
        (902, 29, 902),
    ] {
        let expected = Some((Offset(offset), Timestamp(found)));
        assert_eq!(log.offset_for_time(Timestamp(time)).unwrap(), expected, "time {time}");
    }
    assert_eq!(log.offset_for_time(Timestamp(903)).unwrap(), None);
}

#[test]
fn a_failed_sync_seals_its_log_alone_and_is_not_tried_again() {
    let disk = SimDisk::new(1);
    let mut store = Stepped::open(disk.clone());
    let (bad, good) = (store.log(0, LogConfig::default()), store.log(1, LogConfig::default()));
    store.put(&bad, b"kept");
    disk.inject(fault(FaultOn::Sync, FaultKind::Io, "/0/"));
    let answers = [
        Stepped::queue(&bad, request(batch(None, &[b"lost"]), When::Durable)),
        Stepped::queue(&bad, request(batch(None, &[b"seen"]), When::Written)),
        Stepped::queue(&good, request(batch(None, &[b"fine"]), When::Durable)),
    ];
    store.step.run();
    let [lost, seen, fine] = answers.map(|answer| answer.try_recv().unwrap());
    assert!(matches!(&lost, Err(error @ AppendError::Sealed { .. }) if error.may_be_written()));
    assert!(seen.is_ok() && fine.is_ok());
    assert!(bad.sealed_reason().unwrap().contains("syncing"), "{:?}", bad.sealed_reason());
    assert_eq!(bad.offsets().durable, Offset(1));
    let syncs = disk.syncs();
    let more = store.append(&bad, request(batch(None, &[b"more"]), When::Durable));
    assert!(matches!(more, Err(AppendError::Sealed { .. })));
    assert_eq!(disk.syncs(), syncs, "a sealed log was synced");
    assert_eq!(values(&bad, Offset::ZERO)[0], b"kept", "reads go on");
    assert!(good.sealed_reason().is_none());
    // Opened again it goes on, with what its file holds.
    let again = store.log(0, LogConfig::default());
    assert!(again.sealed_reason().is_none());
    store.put(&again, b"more");
    assert_eq!(values(&again, Offset::ZERO).last().unwrap(), b"more");
    assert!(bad.sealed_reason().is_some(), "the old handle stays sealed");
}

#[test]
fn a_full_disk_refuses_and_what_was_acknowledged_stays() {
    let disk = SimDisk::new(1);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, LogConfig { flush: Flush::Os, ..LogConfig::default() });
    store.put(&log, b"kept");
    disk.inject(fault(FaultOn::Write, FaultKind::NoSpace, ".log"));
    let result = store.append(&log, request(batch(None, &[b"lost"]), When::Written));
    assert!(matches!(result, Err(AppendError::DiskFull { .. })));
    assert_eq!(log.sealed_reason(), None);
    assert_eq!(values(&log, Offset::ZERO), [b"kept"]);
}

#[test]
fn logs_go_on_when_the_index_fails_and_are_read_at_the_next_start() {
    let disk = SimDisk::new(1);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, tiny(300));
    disk.inject(fault(FaultOn::Sync, FaultKind::Io, "index.redb"));
    for n in 0..20_u8 {
        store.put(&log, &[n; 60]);
    }
    assert!(store.store.index_failure().is_some());
    assert_eq!(values(&log, Offset::ZERO).len(), 20);
    let disk = disk.kill();
    drop(store);
    let store = Stepped::open(disk);
    assert_eq!(values(&store.log(0, tiny(300)), Offset::ZERO).len(), 20);
}

/// The index fails while the node starts. What it held of a log that is opened after that still says
/// how much of it was durable: a damaged end is told, and not cut as a torn tail.
#[test]
fn a_log_that_is_opened_after_the_index_failed_tells_its_damage() {
    let disk = SimDisk::new(1);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, tiny(100_000));
    for n in 0..3_u8 {
        store.put(&log, &[n; 60]);
    }
    let batch_len = log.bytes().get() / 3;
    // The index is told that all of it is durable.
    store.clock.advance(Duration::from_secs(2));
    store.step.run();
    drop((log, store));
    let disk = disk.crash();
    disk.flip_bit(&segment_path(Path::new(ROOT), 0, 0), 2 * batch_len + 90, 3).unwrap();

    let store = Stepped::open(disk.clone());
    disk.inject(fault(FaultOn::Sync, FaultKind::Io, "index.redb"));
    let _new = store.log(1, tiny(300));
    assert!(store.store.index_failure().is_some());
    let log = store.log(0, tiny(100_000));
    assert_eq!(log.offsets().end, Offset(3));
    let range = DamageRange { from: Offset(2), end: Offset(3) };
    assert_eq!(log.damage(), [range]);
    let read = log.read(Offset(2), Offset(3), ByteSize::kib(64));
    assert!(matches!(read, Err(ReadError::Damaged { range: told }) if told == range), "{read:?}");
}

#[test]
fn a_full_backlog_refuses_and_tells_when_there_is_room() {
    let one = batch(None, &[&[0; 1_000]]);
    let config =
        StoreConfig { backlog: ByteSize::bytes(2 * one.len() as u64), ..StoreConfig::default() };
    let mut store = Stepped::open_in(SimDisk::new(1), Path::new(ROOT), config);
    let log = store.log(0, LogConfig::default());
    let queue = || Stepped::queue(&log, request(one.clone(), When::Durable));
    let taken = [queue(), queue()];
    let refused = queue().try_recv().unwrap().unwrap_err();
    assert!(matches!(refused, AppendError::Backlog { .. }) && refused.is_retriable(), "{refused}");
    assert!(!store.store.wait_for_room(Duration::from_millis(1)));
    let (sender, room) = mpsc::channel();
    store.store.when_room(Box::new(move || sender.send(()).unwrap()));
    assert!(room.try_recv().is_err());
    store.step.run();
    room.try_recv().unwrap();
    assert!(taken.iter().all(|answer| answer.try_recv().unwrap().is_ok()));
    assert!(store.store.wait_for_room(Duration::ZERO));
}

#[test]
fn a_deleted_log_is_gone_and_another_life_begins_empty() {
    let disk = SimDisk::new(1);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, tiny(300));
    for n in 0..20_u8 {
        store.put(&log, &[n; 60]);
    }
    store.log(1, tiny(300));
    let queued = Stepped::queue(&log, request(batch(None, &[b"late"]), When::Durable));
    store.store.delete_log(log_id(0)).unwrap();
    store.step.run();
    assert!(matches!(queued.try_recv().unwrap(), Err(AppendError::Deleted)));
    assert!(matches!(log.read(Offset(0), Offset(9), ByteSize::mib(1)), Err(ReadError::Closed)));
    assert!(matches!(store.store.delete_log(log_id(0)), Err(DeleteError::Unknown { .. })));
    assert_eq!(store.store.logs(), [log_id(1)]);
    assert_eq!(store.store.logs_on_disk().unwrap(), [log_id(1)]);
    let disk = disk.crash();
    drop(store);
    let store = Stepped::open(disk);
    assert_eq!(store.store.logs_on_disk().unwrap(), [log_id(1)], "it came back after a crash");
    let new = store.store.open_log(log_id(0), Incarnation(7), tiny(300)).unwrap();
    assert_eq!((new.incarnation(), new.offsets().end), (Incarnation(7), Offset(0)));
}

#[test]
fn a_closed_store_answers_so_and_opens_again() {
    let disk = SimDisk::new(1);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, LogConfig::default());
    store.put(&log, b"kept");
    let second = LogStore::open_stepped(
        Arc::new(disk.clone()),
        Arc::new(SystemClock::new()),
        Path::new(ROOT),
        StoreConfig::default(),
    );
    assert!(matches!(second, Err(OpenError::Locked { .. })));
    let Stepped { store, mut step, .. } = store;
    store.close();
    let answer = Stepped::queue(&log, request(batch(None, &[b"late"]), When::Durable));
    step.run();
    assert!(matches!(answer.try_recv().unwrap(), Err(AppendError::Closed)));
    assert!(matches!(log.read(Offset(0), Offset(1), ByteSize::mib(1)), Err(ReadError::Closed)));
    let store = Stepped::open(disk);
    assert_eq!(values(&store.log(0, LogConfig::default()), Offset::ZERO), [b"kept"]);
}

#[test]
fn segment_sizes_outside_the_limits_are_refused() {
    let store = Stepped::open(SimDisk::new(1));
    for size in [0, MAX_SEGMENT.get() + 1] {
        let result = store.store.open_log(log_id(0), Incarnation(1), tiny(size));
        assert!(
            matches!(result, Err(OpenError::Config(ConfigError::SegmentSize { .. }))),
            "{size}"
        );
    }
}

#[test]
fn many_threads_append_and_read_at_once_on_a_real_disk() {
    let folder = tempfile::tempdir().unwrap();
    let advanced = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&advanced);
    let config = StoreConfig {
        on_advance: Some(Arc::new(move |_, _| {
            counter.fetch_add(1, Ordering::Relaxed);
        })),
        ..StoreConfig::default()
    };
    let open = |config| {
        LogStore::open(Arc::new(RealDisk), Arc::new(SystemClock::new()), folder.path(), config)
            .unwrap()
    };
    let store = open(config);
    let log = store.open_log(log_id(0), Incarnation(1), tiny(20_000)).unwrap();
    let (threads, each) = (4, 100_i32);
    std::thread::scope(|scope| {
        for id in 0..threads {
            let log = &log;
            scope.spawn(move || {
                let answers: Vec<_> = (0..each)
                    .map(|n| {
                        let value = format!("{id}/{n}");
                        let bytes = batch(Some(stamp(id, 0, n)), &[value.as_bytes()]);
                        Stepped::queue(log, request(bytes, When::Durable))
                    })
                    .collect();
                for answer in answers {
                    answer.recv_timeout(Duration::from_secs(60)).unwrap().unwrap();
                }
            });
        }
        scope.spawn(|| {
            let (mut at, end) = (Offset(0), Offset(threads * i64::from(each)));
            while at < end {
                let chunk = log.read(at, log.offsets().durable, ByteSize::kib(4)).unwrap();
                assert!(chunk.is_empty() || chunk.base_offset == at);
                at = chunk.next_offset;
                std::thread::yield_now();
            }
        });
    });
    assert!(advanced.load(Ordering::Relaxed) > 0);
    let check = |log: &LogHandle| {
        let values = values(log, Offset::ZERO);
        assert_eq!(values.len(), 400);
        for id in 0..threads {
            let prefix = format!("{id}/");
            let mine = values.iter().filter(|value| value.starts_with(prefix.as_bytes()));
            assert!(
                mine.eq(&(0..each).map(|n| format!("{id}/{n}").into_bytes()).collect::<Vec<_>>())
            );
        }
    };
    check(&log);
    store.close();
    let store = open(StoreConfig::default());
    check(&store.open_log(log_id(0), Incarnation(2), tiny(20_000)).unwrap());
}
