//! Index and files made to disagree in every way: the log wins, or the difference is damage.

use std::path::Path;
use std::sync::mpsc;

use tidegate_env::{Clock, Disk, ManualClock, SimDisk};
use tidegate_record::{BatchBuilder, Batches, BuildOptions};
use tidegate_types::{ByteSize, LeaderEpoch, PartitionId, TopicId, TopicPartition};

use super::*;
use crate::index::Index;
use crate::{AppendMode, AppendRequest, LogHandle, LogStore, ReadError, StoreConfig, When};
use crate::{WriterStep, files};

const ROOT: &str = "/data";
const RECORDS: i64 = 20;

fn id() -> TopicPartition {
    let topic = TopicId("00000000-0000-0000-0000-0000000000ff".parse().unwrap());
    TopicPartition { topic, partition: PartitionId(0) }
}

fn open(disk: &SimDisk) -> (LogStore, WriterStep, LogHandle) {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(1_700_000_000_000)));
    let config = StoreConfig { uncovered: ByteSize::bytes(0), ..StoreConfig::default() };
    let (store, step) =
        LogStore::open_stepped(Arc::new(disk.clone()), clock, Path::new(ROOT), config).unwrap();
    let config = LogConfig { segment_bytes: ByteSize::bytes(1_000), ..LogConfig::default() };
    let log = store.open_log(id(), Incarnation(7), config).unwrap();
    (store, step, log)
}

fn put(step: &mut WriterStep, log: &LogHandle) -> Offset {
    let mut builder = BatchBuilder::new(BuildOptions::default());
    builder.push(Timestamp(1_000), None, Some(&[b'.'; 100]), []).unwrap();
    let (sender, receiver) = mpsc::channel();
    let batches = builder.build().unwrap().into();
    let mode = AppendMode::Assign { leader_epoch: LeaderEpoch(1) };
    let request = AppendRequest { batches, mode, ack: When::Durable };
    log.append(request, Box::new(move |result| drop(sender.send(result))));
    step.run();
    receiver.try_recv().unwrap().unwrap().base_offset
}

/// A log of several segments, closed in order.
fn closed() -> SimDisk {
    let disk = SimDisk::new(1);
    let (store, mut step, log) = open(&disk);
    for _ in 0..RECORDS {
        put(&mut step, &log);
    }
    drop(log);
    store.close();
    disk.kill()
}

/// The offsets that single reads give, and those that are damaged.
fn read_each(log: &LogHandle) -> (Vec<i64>, Vec<i64>) {
    let (mut found, mut damaged) = (Vec::new(), Vec::new());
    for at in 0..log.offsets().end.0 {
        match log.read(Offset(at), log.offsets().end, ByteSize::bytes(1)) {
            Ok(chunk) => {
                let batch = Batches::new(&chunk.batches).next().unwrap().unwrap();
                found.push(batch.header().base_offset.0);
            }
            Err(ReadError::Damaged { range }) if range.contains(Offset(at)) => damaged.push(at),
            Err(error) => panic!("{error}"),
        }
    }
    (found, damaged)
}

/// What is made wrong, by whom, and which offsets are damage then.
type Case = (&'static str, fn(&Known) -> Vec<Change>, &'static [i64]);

fn changed(known: &Known, at: usize, change: impl Fn(&mut SegmentMeta)) -> Vec<Change> {
    let (base, mut meta) = known.segments[at];
    change(&mut meta);
    vec![Change::Segment(id(), base, meta, Arc::new(sparse_of(&[0])))]
}

/// A sparse index with a batch at each of these positions, with offsets that rise by one.
fn sparse_of(positions: &[u32]) -> SparseIndex {
    let mut sparse = SparseIndex::default();
    for (delta, position) in (0..).zip(positions) {
        sparse.observe(delta, *position, Timestamp::NONE, true);
    }
    sparse
}

fn last(known: &Known) -> usize {
    known.segments.len() - 1
}

const CASES: &[Case] = &[
    ("nothing", |_| Vec::new(), &[]),
    ("the last row is too long", |k| changed(k, last(k), |row| row.len += 500), &[]),
    ("the last row is too short", |k| changed(k, last(k), |row| row.len -= 7), &[]),
    ("the last row is empty", |k| changed(k, last(k), |row| row.len = 0), &[]),
    ("the last row ends too low", |k| changed(k, last(k), |row| row.next = Offset(18)), &[]),
    ("the last row ends too high", |k| changed(k, last(k), |row| row.next = Offset(22)), &[20, 21]),
    ("a closed row is too long", |k| changed(k, 0, |row| row.len += 500), &[]),
    ("a closed row is too short", |k| changed(k, 1, |row| row.len -= 7), &[]),
    ("a closed row ends beyond its successor", |k| changed(k, 1, |row| row.next = Offset(99)), &[]),
    (
        "the last positions are wrong",
        |k| {
            let (base, meta) = k.segments[last(k)];
            vec![Change::Segment(id(), base, meta, Arc::new(sparse_of(&[0, 13, 90])))]
        },
        &[],
    ),
    (
        "closed positions are wrong",
        |k| {
            let (base, meta) = k.segments[1];
            vec![Change::Segment(id(), base, meta, Arc::new(sparse_of(&[5, 300, 888])))]
        },
        &[],
    ),
    ("no rows of segments", |_| vec![Change::RemoveSegments(id())], &[]),
    ("one row is missing", |k| vec![Change::RemoveSegment(id(), k.segments[1].0)], &[]),
    ("no rows at all", |_| vec![Change::RemoveLog(id())], &[]),
    (
        "rows of another life",
        |k| {
            let meta = k.meta.clone().unwrap();
            let meta = LogMeta { incarnation: Incarnation(99), start: Offset(12), ..meta };
            let mut changes = changed(k, 0, |row| row.next = Offset(3));
            changes.extend([Change::Log(id(), meta), Change::Durable(id(), Offset(50))]);
            changes
        },
        &[],
    ),
    ("told too little", |_| vec![Change::Durable(id(), Offset(2))], &[]),
    ("told too much", |_| vec![Change::Durable(id(), Offset(23))], &[20, 21, 22]),
    (
        "a row for a file that was never there",
        |_| {
            let meta = SegmentMeta { len: 10, next: Offset(23), max_timestamp: Timestamp::NONE };
            vec![Change::Segment(id(), Offset(21), meta, Arc::default())]
        },
        &[20, 21, 22],
    ),
];

#[test]
fn where_index_and_files_disagree_the_log_wins_or_it_is_damage() {
    for (what, change, lost) in CASES {
        let disk = closed();
        let as_disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let index = Index::open(&as_disk, Path::new(ROOT), ByteSize::mib(1)).unwrap();
        let known = index.known(id()).unwrap();
        assert!(known.segments.len() > 3, "{known:?}");
        index.commit(&change(&known)).unwrap();
        index.close();

        // A second start finds what the first one did.
        for start in 0..2 {
            let (store, _step, log) = open(&disk);
            let (found, damaged) = read_each(&log);
            let told: Vec<i64> = (0..log.offsets().end.0)
                .filter(|at| log.damage().iter().any(|range| range.contains(Offset(*at))))
                .collect();
            assert_eq!(told, *lost, "{what}, start {start}");
            assert_eq!(damaged, *lost, "{what}, start {start}");
            let kept: Vec<i64> = found.into_iter().filter(|at| *at < RECORDS).collect();
            assert_eq!(kept, (0..RECORDS).collect::<Vec<_>>(), "{what}, start {start}");
            drop(log);
            store.close();
        }
        let (_store, mut step, log) = open(&disk);
        let next = put(&mut step, &log);
        assert!(next.0 >= RECORDS + lost.len() as i64, "{what}: offset {next} is given twice");
        let path = files::segment(&files::partition(Path::new(ROOT), id()), Offset::ZERO);
        assert!(disk.exists(&path).unwrap(), "{what}");
    }
}
