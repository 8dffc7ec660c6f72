use super::*;
use crate::DamageRange;
use tidegate_env::{Fault, FaultKind, FaultOn, SimDisk};
use tidegate_types::{Incarnation, LeaderEpoch, PartitionId, Timestamp, TopicId};

const ROOT: &str = "/data";

fn log(partition: u32) -> TopicPartition {
    let topic = TopicId("00000000-0000-0000-0000-0000000000ff".parse().unwrap());
    TopicPartition { topic, partition: PartitionId(partition) }
}

fn open(disk: &SimDisk) -> Index {
    disk.create_dir_all(Path::new(ROOT)).unwrap();
    try_open(disk).unwrap()
}

fn try_open(disk: &SimDisk) -> Result<Index, (PathBuf, IndexError)> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Index::open(&disk, Path::new(ROOT), ByteSize::mib(1))
}

fn rows(log: TopicPartition) -> Vec<Change> {
    let meta = LogMeta {
        incarnation: Incarnation(5),
        start: Offset(1),
        epochs: vec![(LeaderEpoch(2), Offset(1))],
        damage: vec![DamageRange { from: Offset(3), end: Offset(4) }],
    };
    let segment = SegmentMeta { len: 10, next: Offset(9), max_timestamp: Timestamp(7) };
    let mut sparse = SparseIndex::default();
    sparse.observe(0, 0, Timestamp::NONE, false);
    vec![
        Change::Log(log, meta),
        Change::Segment(log, Offset(1), segment, Arc::new(sparse)),
        Change::Producers(log, Offset(9), crate::producers::Producers::default().snapshot()),
        Change::Durable(log, Offset(9)),
    ]
}

#[test]
fn rows_survive_a_crash_and_belong_to_one_log() {
    let disk = SimDisk::new(1);
    let index = open(&disk);
    index.commit(&rows(log(1))).unwrap();
    index.commit(&rows(log(2))).unwrap();
    index.commit(&[Change::RemoveLog(log(2))]).unwrap();
    let disk = disk.crash();
    let index = open(&disk);
    let known = index.known(log(1)).unwrap();
    assert_eq!(known.durable, Some(Offset(9)));
    assert_eq!(known.segments.len(), 1);
    assert_eq!(known.meta.unwrap().incarnation, Incarnation(5));
    assert_eq!(known.producers.unwrap().0, Offset(9));
    assert!(index.sparse(log(1), Offset(1)).unwrap().is_some());
    for other in [0, 2, 3] {
        let known = index.known(log(other)).unwrap();
        assert!(known.meta.is_none() && known.segments.is_empty() && known.durable.is_none());
    }
}

#[test]
fn a_failed_commit_gives_the_index_up_and_keeps_what_was_there() {
    let disk = SimDisk::new(2);
    let index = open(&disk);
    index.commit(&rows(log(1))).unwrap();
    disk.inject(Fault {
        on: FaultOn::Sync,
        after: 0,
        kind: FaultKind::Io,
        path: "index.redb".to_owned(),
    });
    assert!(index.commit(&[Change::Durable(log(1), Offset(50))]).is_err());
    assert!(index.given_up().is_some());
    let error = index.commit(&[Change::Durable(log(1), Offset(60))]).unwrap_err();
    assert!(matches!(error, IndexError::GivenUp { .. }), "{error}");
    let disk = disk.crash();
    let durable = open(&disk).known(log(1)).unwrap().durable;
    assert!(durable == Some(Offset(9)) || durable == Some(Offset(50)), "{durable:?}");
}

#[test]
fn an_index_with_any_bits_flipped_opens_or_is_moved_aside() {
    let mut moved = 0;
    for seed in 0..60 {
        let disk = SimDisk::new(seed);
        let index = open(&disk);
        index.commit(&rows(log(1))).unwrap();
        drop(index);
        let path = Path::new(ROOT).join("index.redb");
        let len = disk.open(&path, OpenMode::Read).unwrap().len().unwrap();
        let mut rng = tidegate_env::Rng::new(seed);
        for _ in 0..200 {
            // Most of what is in the file is in its first pages.
            let at = if rng.chance(50) { rng.below(len.min(40_000)) } else { rng.below(len) };
            disk.flip_bit(&path, at, (seed % 8) as u8).unwrap();
        }
        let index = open(&disk);
        index.commit(&rows(log(2))).unwrap();
        assert_eq!(index.known(log(2)).unwrap().durable, Some(Offset(9)));
        moved += u32::from(disk.exists(&Path::new(ROOT).join("index.redb.damaged")).unwrap());
    }
    assert!(moved > 10, "only {moved} of 60 were found damaged");
}

#[test]
fn an_index_that_the_disk_does_not_give_is_not_taken_for_damaged() {
    let disk = SimDisk::new(3);
    open(&disk).commit(&rows(log(1))).unwrap();
    for after in 0..3 {
        let path = "index.redb".to_owned();
        disk.inject(Fault { on: FaultOn::Read, after, kind: FaultKind::Io, path });
        assert!(try_open(&disk).is_err());
        disk.clear_faults();
        assert_eq!(open(&disk).known(log(1)).unwrap().durable, Some(Offset(9)));
    }
}

#[test]
fn an_index_whose_name_could_not_be_synced_is_not_lost_with_the_next_power_cut() {
    // What a power cut takes of a folder that was not synced is drawn.
    for (seed, damaged) in (0..20).map(|seed| (seed, seed % 2 == 0)) {
        let disk = SimDisk::new(seed);
        disk.create_dir_all(Path::new(ROOT)).unwrap();
        if damaged {
            open(&disk).commit(&rows(log(2))).unwrap();
            let path = Path::new(ROOT).join(FILE);
            (0..64).for_each(|at| disk.flip_bit(&path, at, 1).unwrap());
        }
        let path = String::new();
        disk.inject(Fault { on: FaultOn::SyncDir, after: 0, kind: FaultKind::Io, path });
        assert!(try_open(&disk).is_err());
        open(&disk).commit(&rows(log(1))).unwrap();
        let disk = disk.crash();
        assert_eq!(open(&disk).known(log(1)).unwrap().durable, Some(Offset(9)), "{seed}");
    }
}

#[test]
fn a_row_that_changed_or_moved_counts_as_missing() {
    let key = log_key(log(1));
    let stored = LOGS.seal(&key, b"content".to_vec());
    assert_eq!(LOGS.unseal(&key, &stored), Some(&b"content"[..]));
    assert_eq!(LOGS.unseal(&log_key(log(2)), &stored), None, "under another key");
    assert_eq!(DURABLE.unseal(&key, &stored), None, "in another table");
    assert_eq!(LOGS.unseal(&key, &stored[..3]), None);
    for at in 0..stored.len() {
        let mut changed = stored.clone();
        changed[at] ^= 4;
        assert_eq!(LOGS.unseal(&key, &changed), None, "byte {at}");
    }
}

/// Rows that make the file longer than what is verified when it is opened.
fn fill(index: &Index) {
    let mut sparse = SparseIndex::default();
    for n in 0..2_000_u32 {
        sparse.observe(n * 7, n * 70_000, Timestamp(i64::from(n) * 1_000), true);
    }
    let sparse = Arc::new(sparse);
    let meta = SegmentMeta { len: 10, next: Offset(9), max_timestamp: Timestamp(7) };
    for chunk in 0..2_i64 {
        let row = |n| Change::Segment(log(9), Offset(chunk * 1_000 + n), meta, Arc::clone(&sparse));
        index.commit(&(0..900).map(row).collect::<Vec<_>>()).unwrap();
    }
}

#[test]
fn a_large_index_survives_crashes_and_its_damaged_rows_count_as_missing() {
    let disk = SimDisk::new(5);
    let index = open(&disk);
    fill(&index);
    index.commit(&rows(log(1))).unwrap();
    let path = Path::new(ROOT).join(FILE);
    let len = disk.open(&path, OpenMode::Read).unwrap().len().unwrap();
    assert!(len > WALKED.get(), "{len} bytes are verified whole when it is opened");
    let disk = disk.crash();
    let index = open(&disk);
    assert_eq!(index.known(log(1)).unwrap().durable, Some(Offset(9)));
    assert_eq!(index.known(log(9)).unwrap().segments.len(), 1_800);
    index.commit(&[Change::Durable(log(1), Offset(10))]).unwrap();
    drop(index);
    let mut rng = tidegate_env::Rng::new(6);
    for _ in 0..2_000 {
        disk.flip_bit(&path, rng.between(1 << 20, len - 1), 3).unwrap();
    }
    let index = open(&disk);
    let mut missing = 0;
    for base in (0..900).chain(1_000..1_900) {
        // Whatever the database does, no row comes back changed.
        match index.sparse(log(9), Offset(base)) {
            Ok(Some(sparse)) => assert_eq!(sparse.position_of(7 * 50), 70_000 * 50),
            Ok(None) | Err(_) => missing += 1,
        }
    }
    assert!(missing > 0, "no flipped bit hit a row");
}
