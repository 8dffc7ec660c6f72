//! Compaction against a naive model: what must stay, what must go, on a disk that loses its power
//! at every step.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use common::*;
use proptest::prelude::*;
use tidegate_env::{Disk, Fault, FaultKind, FaultOn, Rng, SimDisk};
use tidegate_log::*;
use tidegate_record::{Batch, BatchBuilder, BuildOptions, Compression};
use tidegate_types::*;

/// A key or a value.
type Bytes<'b> = Option<&'b [u8]>;

/// One record as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Put {
    offset: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    time: i64,
    aborted: bool,
}

/// Everything that was appended to a log, in order.
#[derive(Clone, Default)]
struct Model {
    puts: Vec<Put>,
    /// First offsets of each producer's batches, with how they were stamped.
    stamped: HashMap<i64, (ProducerStamp, i32)>,
    sequences: HashMap<i64, i32>,
    end: i64,
}

impl Model {
    /// The latest value of each key; `None` for a tombstone.
    fn latest(&self) -> HashMap<&[u8], (i64, Option<&[u8]>)> {
        let counted = self.puts.iter().filter(|put| !put.aborted);
        counted
            .filter_map(|put| Some((put.key.as_deref()?, (put.offset, put.value.as_deref()))))
            .collect()
    }

    /// Appends a batch of records: key, value.
    fn put(
        &mut self,
        store: &mut Stepped,
        log: &LogHandle,
        options: BuildOptions,
        records: &[(Bytes<'_>, Bytes<'_>)],
        aborted: bool,
    ) {
        let mut builder = BatchBuilder::new(options);
        for (n, (key, value)) in records.iter().enumerate() {
            let time = Timestamp(1_000 + self.end + n as i64);
            let header = (&b"h"[..], Some(&b"v"[..]));
            builder.push(time, *key, *value, (n % 3 == 1).then_some(header)).unwrap();
            self.puts.push(Put {
                offset: self.end + n as i64,
                key: key.map(<[u8]>::to_vec),
                value: value.map(<[u8]>::to_vec),
                time: time.0,
                aborted,
            });
        }
        let bytes = builder.build().unwrap();
        let appended = store.append(log, request(bytes, When::Durable)).unwrap();
        assert_eq!(appended.base_offset, Offset(self.end));
        if let Some(stamp) = options.stamp.filter(|_| !options.control) {
            self.stamped.insert(stamp.id.0, (stamp, records.len() as i32 - 1));
        }
        self.end += records.len() as i64;
    }

    /// Appends a marker that ends a producer's transaction.
    fn mark(&mut self, store: &mut Stepped, log: &LogHandle, producer: i64, commit: bool) {
        let options = BuildOptions {
            stamp: Some(stamp(producer, 0, -1)),
            transactional: true,
            control: true,
            ..BuildOptions::default()
        };
        let key = [0, 0, 0, u8::from(commit)];
        let mut builder = BatchBuilder::new(options);
        builder.push(Timestamp(1_000), Some(&key), Some(&[0; 6]), []).unwrap();
        let bytes = builder.build().unwrap();
        store.append(log, request(bytes, When::Durable)).unwrap();
        self.end += 1;
    }

    fn stamp(&mut self, producer: i64, records: usize) -> ProducerStamp {
        let next = self.sequences.entry(producer).or_insert(0);
        let stamp = stamp(producer, 0, *next);
        *next += records as i32;
        stamp
    }
}

/// All user records in the log.
fn records(log: &LogHandle) -> Vec<Put> {
    let mut found = Vec::new();
    for (_, bytes) in read_all(log, log.offsets().start).unwrap() {
        let (batch, rest) = Batch::parse(&bytes).unwrap();
        assert!(rest.is_empty());
        if batch.header().attributes.is_control() {
            continue;
        }
        let mut scratch = Vec::new();
        for record in batch.body(&mut scratch).unwrap() {
            let record = record.unwrap();
            found.push(Put {
                offset: batch.header().offset_of(&record).0,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                time: batch.header().timestamp_of(&record).0,
                aborted: false,
            });
        }
    }
    found
}

/// Checks what is in the log against what was put there. `complete`: a compaction that was due is
/// over, so that everything that must go has gone.
fn check(log: &LogHandle, model: &Model, complete: bool, at: &str) {
    let found = records(log);
    let clean = log.compaction().0.0;
    let put: HashMap<i64, &Put> = model.puts.iter().map(|put| (put.offset, put)).collect();
    let latest = model.latest();
    let mut there = HashSet::new();
    for record in &found {
        let original = put.get(&record.offset).unwrap_or_else(|| panic!("{at}: {record:?}"));
        assert_eq!(
            (&record.key, &record.value, record.time),
            (&original.key, &original.value, original.time),
            "{at}: not what was put at {}",
            record.offset
        );
        assert!(there.insert(record.offset), "{at}: {} twice", record.offset);
        if complete && record.offset < clean {
            assert!(!original.aborted, "{at}: {} was aborted", record.offset);
            let later = model.puts.iter().any(|other| {
                other.key.is_some()
                    && other.key == original.key
                    && !other.aborted
                    && (record.offset + 1..clean).contains(&other.offset)
            });
            assert!(!later, "{at}: {} of {clean} is superseded", record.offset);
        }
    }
    for original in model.puts.iter().filter(|put| !there.contains(&put.offset)) {
        if original.aborted {
            assert!(original.offset < clean || !complete, "{at}: {original:?} was not to go");
            continue;
        }
        let Some(key) = original.key.as_deref() else { panic!("{at}: {original:?} has no key") };
        let (last, value) = latest[key];
        let superseded = last > original.offset;
        // A tombstone may go once nothing is left of what it hides.
        let hides = found
            .iter()
            .any(|found| found.key.as_deref() == Some(key) && found.offset < original.offset);
        let spent = last == original.offset && value.is_none() && !hides;
        assert!(superseded || spent, "{at}: {original:?} is lost");
    }
    // No key says something else than it did.
    let mut visible: HashMap<&[u8], &Put> = HashMap::new();
    for record in &found {
        if let Some(key) = record.key.as_deref().filter(|_| !put[&record.offset].aborted) {
            visible.insert(key, record);
        }
    }
    for (key, (offset, value)) in &latest {
        match visible.get(key) {
            Some(record) => assert_eq!(record.offset, *offset, "{at}: {key:?} is an older one"),
            None => assert_eq!(*value, None, "{at}: {key:?} is gone"),
        }
    }
}

fn maintain(store: &Stepped) {
    store.store.maintenance_step().run();
}

/// Closes the active segment, and so makes everything so far compactable.
fn close_active(store: &mut Stepped, log: &LogHandle, model: &mut Model) {
    let segments = log.segments();
    while log.segments() == segments {
        model.put(store, log, BuildOptions::default(), &[(None, Some(&[7; 900]))], false);
    }
}

fn segment_names(disk: &dyn Disk) -> Vec<String> {
    let path = segment_path(Path::new(ROOT), 0, 0);
    let entries = disk.list(path.parent().unwrap()).unwrap();
    entries.into_iter().map(|e| e.name).filter(|name| name != "incarnation").collect()
}

/// No file begins before the one before it ends.
fn check_files(disk: &dyn Disk, at: &str) {
    let mut end = Offset(0);
    for name in segment_names(disk) {
        let base: i64 = name[..20].parse().unwrap();
        let file = disk.open(&segment_path(Path::new(ROOT), 0, base), tidegate_env::OpenMode::Read);
        let file = file.unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(0, &mut bytes).unwrap();
        assert!(Offset(base) >= end, "{at}: {name} begins before {end}");
        for batch in tidegate_record::Batches::new(&bytes).map_while(Result::ok) {
            assert!(batch.header().base_offset >= end, "{at}: {name} overlaps {end}");
            end = batch.header().next_offset();
        }
    }
}

#[test]
fn the_latest_of_each_key_stays_and_small_files_become_one() {
    let disk = SimDisk::new(1);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, compacting(4_000));
    let mut model = Model::default();
    for n in 0..300_u32 {
        let key = format!("k{}", n % 7);
        let value = vec![b'v'; 100];
        model.put(
            &mut store,
            &log,
            BuildOptions::default(),
            &[(Some(key.as_bytes()), Some(&value))],
            false,
        );
    }
    close_active(&mut store, &log, &mut model);
    let before = (log.bytes(), log.segments());
    maintain(&store);
    check(&log, &model, true, "after one pass");
    assert!(log.bytes().get() < before.0.get() / 4, "{:?} of {before:?}", log.bytes());
    // Nothing is due: another look changes nothing.
    let names = segment_names(&disk);
    maintain(&store);
    assert_eq!(segment_names(&disk), names);
    // Segments that became small are merged by the next pass.
    for n in 0..100_u32 {
        let key = format!("k{}", n % 7);
        model.put(
            &mut store,
            &log,
            BuildOptions::default(),
            &[(Some(key.as_bytes()), Some(b"v"))],
            false,
        );
    }
    close_active(&mut store, &log, &mut model);
    maintain(&store);
    check(&log, &model, true, "after two passes");
    assert!(log.segments() < before.1 / 2, "{} segments of {} are left", log.segments(), before.1);
    assert_eq!(segment_names(&disk).len(), log.segments());
    assert!(store.store.clean_stats().compacted > ByteSize::kib(20));
    assert_eq!(log.offsets().start, Offset(0));
    assert!(!log.read(Offset(0), Offset(model.end), ByteSize::kib(9)).unwrap().is_empty());
    let store = Stepped::open(disk.crash());
    let log = store.log(0, compacting(4_000));
    check(&log, &model, true, "after a crash");
    assert_eq!(log.damage(), []);
}

#[test]
fn compaction_waits_for_enough_dirt_and_for_the_lag() {
    let mut store = Stepped::open(SimDisk::new(2));
    let mut config = compacting(2_000);
    config.policy.min_dirty_percent = 50;
    config.policy.min_compaction_lag = DAY;
    let log = store.log(0, config);
    let mut model = Model::default();
    let fill = |store: &mut Stepped, model: &mut Model, count: usize| {
        for n in 0..count {
            let key = (n % 50).to_be_bytes();
            model.put(
                store,
                &log,
                BuildOptions::default(),
                &[(Some(&key), Some(&[1; 100]))],
                false,
            );
        }
        close_active(store, &log, model);
    };
    fill(&mut store, &mut model, 100);
    maintain(&store);
    assert_eq!(log.compaction().0, Offset(0), "held for no time");
    store.clock.advance(DAY);
    maintain(&store);
    let first = log.compaction().0;
    assert!(first > Offset(90));
    fill(&mut store, &mut model, 10);
    maintain(&store);
    store.clock.advance(2 * DAY);
    maintain(&store);
    assert_eq!(log.compaction().0, first, "less than half is dirty");
    fill(&mut store, &mut model, 200);
    maintain(&store);
    store.clock.advance(2 * DAY);
    maintain(&store);
    assert!(log.compaction().0 > first);
    check(&log, &model, true, "in the end");
}

#[test]
fn tombstones_stay_for_their_time_and_the_deleted_never_come_back() {
    let disk = SimDisk::new(3);
    let mut store = Stepped::open(disk.clone());
    let config = compacting(2_000);
    let log = store.log(0, config);
    let mut model = Model::default();
    for n in 0..40_u8 {
        model.put(
            &mut store,
            &log,
            BuildOptions::default(),
            &[(Some(&[n]), Some(&[1; 100]))],
            false,
        );
    }
    for n in 0..20_u8 {
        model.put(&mut store, &log, BuildOptions::default(), &[(Some(&[n]), None)], false);
    }
    close_active(&mut store, &log, &mut model);
    maintain(&store);
    check(&log, &model, true, "with tombstones");
    let tombstones = |log: &LogHandle| records(log).iter().filter(|r| r.value.is_none()).count();
    assert_eq!(tombstones(&log), 20);
    // Whatever the wall clock says, and over restarts.
    store.clock.set_wall(Timestamp(4_000_000_000_000));
    store.clock.advance(DAY / 2);
    maintain(&store);
    store.store.close();
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, config);
    store.clock.advance(DAY / 2);
    maintain(&store);
    assert_eq!(tombstones(&log), 20);
    store.clock.advance(Duration::from_millis(1));
    maintain(&store);
    assert_eq!(tombstones(&log), 0, "nothing new was needed for them to go");
    check(&log, &model, true, "without tombstones");
    // A key that was deleted may come again.
    model.put(&mut store, &log, BuildOptions::default(), &[(Some(&[3]), Some(b"again"))], false);
    close_active(&mut store, &log, &mut model);
    maintain(&store);
    check(&log, &model, true, "with a key that came again");
}

#[test]
fn retention_takes_what_compaction_keeps_where_both_are_asked_for() {
    let mut store = Stepped::open(SimDisk::new(4));
    let mut config = compacting(2_000);
    config.policy.cleanup = Cleanup::CompactDelete;
    config.policy.retention = Some(7 * DAY);
    let log = store.log(0, config);
    let mut model = Model::default();
    for n in 0..40_u8 {
        model.put(
            &mut store,
            &log,
            BuildOptions::default(),
            &[(Some(&[n % 30]), Some(&[1; 100]))],
            false,
        );
    }
    close_active(&mut store, &log, &mut model);
    maintain(&store);
    check(&log, &model, true, "young");
    assert_eq!(log.offsets().start, Offset(0));
    store.clock.advance(8 * DAY);
    maintain(&store);
    assert!(log.offsets().start >= Offset(40), "{:?}", log.offsets());
}

#[test]
fn an_undecided_transaction_holds_compaction_back() {
    let mut store = Stepped::open(SimDisk::new(5));
    let log = store.log(0, compacting(2_000));
    let mut model = Model::default();
    let plain = BuildOptions::default();
    for _ in 0..30 {
        model.put(&mut store, &log, plain, &[(Some(b"a"), Some(&[1; 100]))], false);
    }
    close_active(&mut store, &log, &mut model);
    let begun = model.end;
    let of_7 = |model: &mut Model| BuildOptions {
        stamp: Some(model.stamp(7, 1)),
        transactional: true,
        ..plain
    };
    let options = of_7(&mut model);
    model.put(&mut store, &log, options, &[(Some(b"a"), Some(b"aborted"))], true);
    for _ in 0..30 {
        model.put(&mut store, &log, plain, &[(Some(b"b"), Some(&[1; 100]))], false);
    }
    close_active(&mut store, &log, &mut model);
    maintain(&store);
    let clean = log.compaction().0;
    assert!(clean > Offset(20) && clean <= Offset(begun), "{clean} of {begun}");
    model.mark(&mut store, &log, 7, false);
    let options = of_7(&mut model);
    model.put(&mut store, &log, options, &[(Some(b"b"), Some(b"committed"))], false);
    model.mark(&mut store, &log, 7, true);
    close_active(&mut store, &log, &mut model);
    maintain(&store);
    assert!(log.compaction().0 > Offset(begun + 30));
    check(&log, &model, true, "decided");
    let values: Vec<_> = records(&log).into_iter().filter(|r| r.key.is_some()).collect();
    assert_eq!(values.len(), 2, "{values:?}");
    assert_eq!(values[1].value.as_deref(), Some(&b"committed"[..]));
}

#[test]
fn damage_stops_compaction_before_it_and_is_told() {
    let disk = SimDisk::new(6);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, compacting(2_000));
    let mut model = Model::default();
    for n in 0..100_u32 {
        let key = (n % 5).to_be_bytes();
        model.put(
            &mut store,
            &log,
            BuildOptions::default(),
            &[(Some(&key), Some(&[1; 100]))],
            false,
        );
    }
    close_active(&mut store, &log, &mut model);
    let names = segment_names(&disk);
    let base: i64 = names[3][..20].parse().unwrap();
    disk.flip_bit(&segment_path(Path::new(ROOT), 0, base), 70, 0).unwrap();
    maintain(&store);
    assert_eq!(log.damage(), [DamageRange { from: Offset(base), end: log.damage()[0].end }]);
    assert_eq!(log.compaction().0, Offset(base));
    assert!(matches!(
        log.read(Offset(base), Offset(model.end), ByteSize::kib(1)),
        Err(ReadError::Damaged { .. })
    ));
    let after = log.damage()[0].end;
    assert!(!read_all(&log, after).unwrap().is_empty(), "what follows is still there");
    let store = Stepped::open(disk.crash());
    let log = store.log(0, compacting(2_000));
    assert_eq!(log.damage().len(), 1, "damage is not forgotten");
}

/// Damage is told for as long as its bytes are there, with an index or without.
#[test]
fn damage_at_the_end_of_a_file_stays_in_it() {
    let disk = SimDisk::new(9);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, compacting(2_000));
    let mut model = Model::default();
    for n in 0..100_u32 {
        let key = (n % 5).to_be_bytes();
        let record = (Some(&key[..]), Some(&[1; 100][..]));
        model.put(&mut store, &log, BuildOptions::default(), &[record], false);
    }
    close_active(&mut store, &log, &mut model);
    let path = segment_path(Path::new(ROOT), 0, 0);
    let len =
        |disk: &SimDisk| disk.open(&path, tidegate_env::OpenMode::Read).unwrap().len().unwrap();
    let before = len(&disk);
    disk.flip_bit(&path, before - 1, 0).unwrap();
    let mut disk = disk;
    for _ in 0..2 {
        disk = disk.crash();
        disk.remove_file(&Path::new(ROOT).join("index.redb")).unwrap();
        let store = Stepped::open(disk.clone());
        let log = store.log(0, compacting(2_000));
        assert_eq!(log.damage().len(), 1);
        maintain(&store);
        assert_eq!((len(&disk), log.compaction()), (before, (Offset(0), None)));
    }
}

/// A look must end although nothing that lies before the damage may be compacted.
#[test]
fn damage_behind_an_open_transaction_leaves_compaction_nothing_to_do() {
    let disk = SimDisk::new(8);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, compacting(2_000));
    let mut model = Model::default();
    let options = BuildOptions {
        stamp: Some(model.stamp(7, 1)),
        transactional: true,
        ..BuildOptions::default()
    };
    model.put(&mut store, &log, options, &[(Some(b"a"), Some(b"open"))], false);
    for _ in 0..3 {
        close_active(&mut store, &log, &mut model);
    }
    let names = segment_names(&disk);
    let base: i64 = names[2][..20].parse().unwrap();
    disk.flip_bit(&segment_path(Path::new(ROOT), 0, base), 70, 0).unwrap();
    allow_reads(&disk, 1_000);
    maintain(&store);
    maintain(&store);
    assert_eq!(log.compaction(), (Offset(0), None));
    assert_eq!(log.damage().len(), 1);
}

/// Fails a read of a file after so many: a look that goes round and round comes to that, and so to
/// an end.
fn allow_reads(disk: &SimDisk, reads: u32) {
    let (on, kind) = (FaultOn::Read, FaultKind::Io);
    disk.inject(Fault { on, after: reads, kind, path: ".log".to_owned() });
}

/// A pass that changes nothing is made once: the log that needs one most does not keep the others
/// from theirs, and later looks leave it alone until it has more closed segments.
#[test]
fn a_log_that_has_nothing_to_gain_is_passed_over_once() {
    let disk = SimDisk::new(10);
    let mut store = Stepped::open(disk.clone());
    let (held, other) = (store.log(0, compacting(2_000)), store.log(1, compacting(2_000)));
    let (mut in_held, mut in_other) = (Model::default(), Model::default());
    let plain = BuildOptions::default();
    for _ in 0..30 {
        in_other.put(&mut store, &other, plain, &[(Some(b"a"), Some(&[1; 100]))], false);
    }
    close_active(&mut store, &other, &mut in_other);
    maintain(&store);
    let clean = other.compaction().0;
    close_active(&mut store, &other, &mut in_other);

    // All of it is dirty, more of it than of the other, and held back by its first batch.
    let options = BuildOptions { stamp: Some(in_held.stamp(7, 1)), transactional: true, ..plain };
    in_held.put(&mut store, &held, options, &[(Some(b"a"), Some(b"open"))], false);
    for _ in 0..3 {
        close_active(&mut store, &held, &mut in_held);
    }
    allow_reads(&disk, 1_000);
    maintain(&store);
    assert_eq!(held.compaction(), (Offset(0), None));
    assert!(other.compaction().0 > clean, "the other log has had no turn");
    assert_eq!(other.compaction().1, None);
    let did = disk.counts();
    for _ in 0..3 {
        store.clock.advance(DAY);
        maintain(&store);
    }
    let more = disk.counts();
    assert_eq!((more.reads, more.syncs), (did.reads, did.syncs), "later looks read again");

    // Nor is what was found out forgotten for good: a segment more, and it is tried again.
    in_held.mark(&mut store, &held, 7, true);
    close_active(&mut store, &held, &mut in_held);
    maintain(&store);
    assert!(held.compaction().0 > Offset(3), "{:?}", held.compaction());
    check(&held, &in_held, true, "decided");
    let did = disk.counts();
    maintain(&store);
    assert_eq!(disk.counts().reads, did.reads, "what is clean is read again");
}

/// Tombstones go by time: what holds back the records behind them is nothing to them.
#[test]
fn tombstones_go_while_a_transaction_is_open() {
    let disk = SimDisk::new(11);
    let mut store = Stepped::open(disk.clone());
    let log = store.log(0, compacting(2_000));
    let mut model = Model::default();
    let plain = BuildOptions::default();
    for value in [Some(&[1; 100][..]), None] {
        for n in 0..10_u8 {
            model.put(&mut store, &log, plain, &[(Some(&[n]), value)], false);
        }
    }
    close_active(&mut store, &log, &mut model);
    let options = BuildOptions { stamp: Some(model.stamp(7, 1)), transactional: true, ..plain };
    model.put(&mut store, &log, options, &[(Some(b"a"), Some(b"open"))], false);
    close_active(&mut store, &log, &mut model);
    let tombstones = |log: &LogHandle| records(log).iter().filter(|r| r.value.is_none()).count();
    allow_reads(&disk, 1_000);
    maintain(&store);
    assert_eq!(tombstones(&log), 10);
    store.clock.advance(2 * DAY);
    maintain(&store);
    assert_eq!(tombstones(&log), 0, "they wait for the transaction");
    check(&log, &model, false, "without tombstones");
    let did = disk.counts();
    maintain(&store);
    assert_eq!((disk.counts().reads, log.compaction().1), (did.reads, None));
}

#[test]
fn a_map_too_small_for_all_keys_takes_several_passes() {
    let disk = SimDisk::new(7);
    let config =
        StoreConfig { compaction_memory: ByteSize::bytes(24 * 40), ..StoreConfig::default() };
    let mut store = Stepped::open_in(disk, Path::new(ROOT), config);
    let log = store.log(0, compacting(2_000));
    let mut model = Model::default();
    for n in 0..300_u32 {
        let key = (n % 100).to_be_bytes();
        model.put(
            &mut store,
            &log,
            BuildOptions::default(),
            &[(Some(&key), Some(&[1; 50]))],
            false,
        );
    }
    close_active(&mut store, &log, &mut model);
    maintain(&store);
    assert!(log.compaction().0 > Offset(290), "{:?}", log.compaction());
    check(&log, &model, true, "after passes of 30 keys");
    assert_eq!(records(&log).iter().filter(|r| r.key.is_some()).count(), 100);
}

/// A log with everything in it that compaction treats in its own way.
fn varied(seed: u64, store: &mut Stepped, log: &LogHandle, puts: u64) -> Model {
    let mut rng = Rng::new(seed);
    let mut model = Model::default();
    let mut open: HashMap<i64, bool> = HashMap::new();
    for _ in 0..puts {
        let producer = rng.between(1, 4) as i64;
        if let Some(aborts) = open.get(&producer).copied()
            && rng.chance(40)
        {
            open.remove(&producer);
            model.mark(store, log, producer, !aborts);
        }
        let count = rng.between(1, 4) as usize;
        let codec = [Compression::None, Compression::Lz4, Compression::Zstd, Compression::Gzip]
            [rng.below(4) as usize];
        let mut options = BuildOptions { compression: codec, ..BuildOptions::default() };
        let mut aborted = false;
        if rng.chance(50) {
            options.stamp = Some(model.stamp(producer, count));
            let begins = rng.chance(30);
            if begins || open.contains_key(&producer) {
                aborted = *open.entry(producer).or_insert_with(|| rng.chance(50));
                options.transactional = true;
            }
        }
        let keys: Vec<Option<Vec<u8>>> = (0..count)
            .map(|_| (!rng.chance(5)).then(|| format!("key {}", rng.below(12)).into_bytes()))
            .collect();
        let values: Vec<Option<Vec<u8>>> = keys
            .iter()
            .map(|key| {
                let tombstone = key.is_some() && rng.chance(20);
                (!tombstone).then(|| vec![rng.below(256) as u8; rng.between(0, 120) as usize])
            })
            .collect();
        let batch: Vec<_> =
            keys.iter().zip(&values).map(|(k, v)| (k.as_deref(), v.as_deref())).collect();
        model.put(store, log, options, &batch, aborted);
    }
    for (producer, aborts) in open {
        model.mark(store, log, producer, !aborts);
    }
    close_active(store, log, &mut model);
    model
}

/// Producers' retries are still recognised, though only from what the log holds.
fn check_producers(disk: &SimDisk, model: &Model, config: LogConfig, at: &str) {
    let disk = disk.crash();
    disk.remove_file(&Path::new(ROOT).join("index.redb")).unwrap();
    let store = Stepped::open(disk);
    let log = store.log(0, config);
    assert_eq!(log.damage(), [], "{at}");
    check(&log, model, false, at);
    for (stamp, last_delta) in model.stamped.values() {
        assert!(log.is_duplicate(*stamp, *last_delta), "{at}: {stamp:?} is forgotten");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Passes over random logs, some with tombstones that expire, agree with the naive model.
    #[test]
    fn compaction_agrees_with_a_naive_one(
        seed in any::<u64>(),
        segment in 500_u64..6_000,
        // Room for the keys of one batch at the least: with less the log stays as it is.
        memory in 20_u64..2_000,
        rounds in 1_u64..4,
    ) {
        let disk = SimDisk::new(seed);
        let store_config = StoreConfig {
            compaction_memory: ByteSize::bytes(24 * memory),
            ..StoreConfig::default()
        };
        let mut store = Stepped::open_in(disk.clone(), Path::new(ROOT), store_config);
        let config = compacting(segment);
        let log = store.log(0, config);
        let model = varied(seed, &mut store, &log, 40 * rounds);
        for round in 0..3 {
            maintain(&store);
            check(&log, &model, true, &format!("seed {seed}, look {round}"));
            store.clock.advance(DAY);
        }
        prop_assert_eq!(log.compaction().1, None);
        prop_assert!(log.compaction().0 > Offset(0));
        check_producers(&disk, &model, config, &format!("seed {seed}, index lost"));
    }
}

/// A power cut after every single change that two compactions make, the second of which removes
/// tombstones; then once more without the index.
#[test]
fn a_power_cut_at_any_step_of_a_compaction_loses_nothing() {
    let config = compacting(1_500);
    let mut cuts = 0;
    for changes in 0.. {
        let seed = changes % 5;
        let disk = SimDisk::new(changes);
        let mut store = Stepped::open(disk.clone());
        let log = store.log(0, config);
        let model = varied(seed, &mut store, &log, 60);
        disk.crash_after(changes);
        maintain(&store);
        store.clock.advance(2 * DAY);
        maintain(&store);
        let at = format!("seed {seed}, power cut after {changes} changes");
        // What readers still see of the old state is whole.
        let finished = disk.has_power();
        let disk = disk.crash();
        let lost_index = changes % 3 == 2;
        if lost_index {
            disk.remove_file(&Path::new(ROOT).join("index.redb")).unwrap();
        }
        let store = Stepped::open(disk.clone());
        let log = store.log(0, config);
        assert_eq!(log.damage(), [], "{at}");
        assert_eq!(log.offsets().end, Offset(model.end), "{at}");
        check(&log, &model, false, &at);
        check_files(&disk, &at);
        let names = segment_names(&disk);
        assert_eq!(names.len(), log.segments(), "{at}: {names:?}");
        for _ in 0..3 {
            maintain(&store);
            check(&log, &model, true, &format!("{at}, compacted again"));
            store.clock.advance(2 * DAY);
        }
        if finished {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 40, "only {cuts} changes were made");
}

/// Readers on threads of their own while files are trimmed, merged and replaced under them.
#[test]
fn readers_go_on_while_files_are_replaced_under_them() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig { tail_cache: ByteSize::bytes(0), ..StoreConfig::default() };
    let disk = tidegate_env::RealDisk;
    let mut store = Stepped::open_in(disk, folder.path(), config);
    let log = store.log(0, compacting(3_000));
    let mut model = Model::default();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (log, done) = (log.clone(), &done);
                scope.spawn(move || {
                    let mut rounds = 0;
                    while !done.load(std::sync::atomic::Ordering::Relaxed) || rounds == 0 {
                        let mut reader = log.reader();
                        let LogOffsets { start, end, .. } = log.offsets();
                        let mut at = start;
                        while at < end {
                            let chunk = match reader.read(at, end, ByteSize::bytes(500)) {
                                Ok(chunk) => chunk,
                                Err(ReadError::OutOfRange { start, .. }) if start > at => {
                                    at = start;
                                    continue;
                                }
                                Err(error) => panic!("at {at}: {error:?}"),
                            };
                            let mut next = chunk.base_offset;
                            for batch in tidegate_record::Batches::new(&chunk.batches) {
                                let header = *batch.unwrap().header();
                                assert!(header.base_offset >= next);
                                next = header.next_offset();
                            }
                            if chunk.is_empty() {
                                break;
                            }
                            assert!(next > at, "reading does not get on at {at}");
                            at = next;
                        }
                        rounds += 1;
                    }
                })
            })
            .collect();
        for round in 0..40_u32 {
            for n in 0..30_u32 {
                let key = (n % 11).to_be_bytes();
                let value = vec![round as u8; (n as usize * 7) % 200];
                let record = (Some(&key[..]), Some(&value[..]));
                model.put(&mut store, &log, BuildOptions::default(), &[record], false);
            }
            maintain(&store);
            if round == 20 {
                log.trim(Offset(model.end / 2)).unwrap();
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    assert_eq!(log.damage(), []);
    let start = log.offsets().start.0;
    model.puts.retain(|put| put.offset >= start);
    check(&log, &model, false, "in the end");
}

/// Compaction takes room before it gives any: not from a disk that has none to spare.
#[test]
fn a_disk_without_room_is_not_filled_by_compaction() {
    let disk = SimDisk::with_capacity(9, ByteSize::mib(64));
    let config = StoreConfig { low_water: ByteSize::kib(200), ..StoreConfig::default() };
    let config = StoreConfig { reserve: ByteSize::bytes(0), ..config };
    let mut store = Stepped::open_in(disk.clone(), Path::new(ROOT), config);
    let log = store.log(0, compacting(40_000));
    let mut model = Model::default();
    for n in 0..400_u32 {
        let key = (n % 7).to_be_bytes();
        let record = (Some(&key[..]), Some(&[b'v'; 300][..]));
        model.put(&mut store, &log, BuildOptions::default(), &[record], false);
    }
    close_active(&mut store, &log, &mut model);
    store.clock.advance(Duration::from_secs(2));
    store.step.run();
    let bytes = log.bytes();
    disk.set_capacity(Some(ByteSize::bytes(disk.used().get() + (210 << 10))));
    maintain(&store);
    let (clean, trouble) = log.compaction();
    assert_eq!((clean, log.bytes()), (Offset(0), bytes));
    assert!(trouble.is_some_and(|trouble| trouble.contains("room")));
    assert!(segment_names(&disk).iter().all(|name| name.ends_with(".log")));
    disk.set_capacity(None);
    store.clock.advance(Duration::from_secs(601));
    maintain(&store);
    check(&log, &model, true, "with room again");
    assert!(log.bytes().get() < bytes.get() / 2 && log.compaction().1.is_none());
}
