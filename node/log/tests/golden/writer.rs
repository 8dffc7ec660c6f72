//! Writes the golden folder, on a simulated disk: the logs of the table, in three lives of a store.
//!
//! In the first all but the last log are written; one is compacted, one trimmed, a topic without
//! logs is doomed, and the store is closed. Then a bit of the compacted log rots and is repaired. In
//! the second life the last log is written, the index is told of a part of it, and the process is
//! killed; half a batch is what it was just writing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidegate_env::{Disk, OpenMode, SimDisk};
use tidegate_log::check::{CheckOptions, repair};
use tidegate_log::*;
use tidegate_record::{BatchBuilder, BuildOptions};
use tidegate_types::*;

use crate::archive::Files;
use crate::common::*;
use crate::table::{BEFORE_COMPACTION, CHECKPOINTED, FIRST_TIME, Golden, LOGS, Put, TRIMMED_TO};

pub fn config(golden: &Golden) -> LogConfig {
    let mut config = tiny(golden.segment_bytes);
    if golden.compacted {
        config.policy.cleanup = Cleanup::Compact;
    }
    config
}

/// The batch, its first record at the time of offset `base`.
pub fn build(put: &Put, base: i64) -> Vec<u8> {
    let stamp = put.stamp.map(|(id, epoch, sequence)| stamp(id, epoch, sequence));
    let options = BuildOptions { compression: put.codec, stamp, ..BuildOptions::default() };
    let mut builder = BatchBuilder::new(options);
    for (n, (key, value)) in (0..).zip(put.records) {
        let bytes = |text: &'static str| Some(text.as_bytes()).filter(|text| !text.is_empty());
        let time = Timestamp(FIRST_TIME + (base + n) * 1_000);
        builder.push(time, bytes(key), bytes(value), []).unwrap();
    }
    builder.build().unwrap()
}

pub fn append(store: &mut Stepped, log: &LogHandle, puts: &[Put]) {
    for put in puts {
        let end = log.offsets().end;
        let request = AppendRequest {
            batches: build(put, end.0).into(),
            mode: AppendMode::Assign { leader_epoch: LeaderEpoch(put.epoch) },
            ack: When::Durable,
        };
        assert_eq!(store.append(log, request).unwrap().base_offset, end);
    }
}

pub fn write() -> Files {
    let disk = SimDisk::new(1);
    let root = Path::new(ROOT);
    let mut store = Stepped::open(disk.clone());
    let [plain, compacted, trimmed, killed] = &LOGS;

    let log = store.log(plain.partition, config(plain));
    append(&mut store, &log, plain.puts);

    let log = store.log(compacted.partition, config(compacted));
    append(&mut store, &log, &compacted.puts[..BEFORE_COMPACTION]);
    store.clock.advance(Duration::from_secs(90));
    store.store.maintenance_step().run();
    append(&mut store, &log, &compacted.puts[BEFORE_COMPACTION..]);

    let log = store.log(trimmed.partition, config(trimmed));
    append(&mut store, &log, trimmed.puts);
    log.trim(Offset(TRIMMED_TO)).unwrap();

    store.store.doom(TopicId(uuid::Uuid::from_u128(8))).unwrap();
    store.clock.advance(Duration::from_secs(10));
    store.step.run();
    drop((log, store));

    rot(&disk, compacted);
    let as_disk: Arc<dyn Disk> = Arc::new(disk.clone());
    repair(&as_disk, root, CheckOptions::default(), &mut |_| {}).unwrap();

    // However little is not covered is checkpointed.
    let config_killed = StoreConfig { uncovered: ByteSize::bytes(0), ..small() };
    let mut store = Stepped::open_in(disk.clone(), root, config_killed);
    let log = store.log(killed.partition, config(killed));
    append(&mut store, &log, &killed.puts[..CHECKPOINTED]);
    store.clock.advance(Duration::from_secs(2));
    store.step.run();
    append(&mut store, &log, &killed.puts[CHECKPOINTED..]);
    let disk = disk.kill();
    drop((log, store));
    tear(&disk, killed);

    let mut files = Files::new();
    collect(&disk, root, root, &mut files);
    files
}

fn folder(golden: &Golden) -> std::path::PathBuf {
    segment_path(Path::new(ROOT), golden.partition, 0).parent().unwrap().to_owned()
}

fn read(disk: &SimDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

/// Damages the batch that is to be lost.
fn rot(disk: &SimDisk, golden: &Golden) {
    let lost = Offset(golden.lost.unwrap().0);
    for entry in disk.list(&folder(golden)).unwrap() {
        let path = folder(golden).join(&entry.name);
        let (bytes, mut at) = (read(disk, &path), 0);
        for batch in tidegate_record::Batches::new(&bytes).map_while(Result::ok) {
            if batch.header().base_offset == lost {
                disk.flip_bit(&path, at + 70, 1).unwrap();
            }
            at += batch.bytes().len() as u64;
        }
    }
}

/// Writes half of a batch behind the last.
fn tear(disk: &SimDisk, golden: &Golden) {
    let names = disk.list(&folder(golden)).unwrap().into_iter().map(|entry| entry.name);
    let last = names.filter(|name| name.ends_with(".log")).max().unwrap();
    let path = folder(golden).join(last);
    let bytes = read(disk, &path);
    let batches = tidegate_record::Batches::new(&bytes).map_while(Result::ok);
    let end = batches.map(|batch| batch.bytes().len()).sum::<usize>();
    let torn = at_offset(build(&golden.puts[0], golden.end), golden.end, 8);
    disk.open(&path, OpenMode::Write).unwrap().write_at(end as u64, &torn[..50]).unwrap();
}

fn collect(disk: &SimDisk, root: &Path, folder: &Path, files: &mut Files) {
    let mut entries = disk.list(folder).unwrap();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    for entry in entries {
        let path = folder.join(&entry.name);
        if entry.is_dir {
            collect(disk, root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.push((name, read(disk, &path)));
        }
    }
}
