//! Batches that are larger than what is read at once.

use std::path::Path;

use tidegate_env::{Disk, OpenMode, SimDisk};
use tidegate_record::{BatchBuilder, BuildOptions};
use tidegate_types::Timestamp;

use super::*;

/// A batch at this offset that no window holds.
fn large(offset: i64) -> Vec<u8> {
    let options = BuildOptions { base_offset: Offset(offset), ..BuildOptions::default() };
    let mut builder = BatchBuilder::new(options);
    builder.push(Timestamp(1_000), None, Some(&[b'.'; WINDOW + 1_000]), []).unwrap();
    builder.build().unwrap()
}

fn file(batches: &[Vec<u8>]) -> Box<dyn DiskFile> {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new("/data")).unwrap();
    let file = disk.open(Path::new("/data/file"), OpenMode::Create).unwrap();
    file.write_at(0, &batches.concat()).unwrap();
    file
}

#[test]
fn batches_larger_than_a_window_are_read_whole() {
    let batches = [large(0), large(1), large(2)];
    let file = file(&batches);
    let mut scan = Scan::new(&*file).unwrap();
    let mut at = 0;
    for (offset, batch) in (0..).zip(&batches) {
        let header = scan.batch(at, Offset(offset)).unwrap().expect("a batch");
        assert_eq!((header.base_offset, header.batch_len), (Offset(offset), batch.len()));
        assert!(scan.verify(at, Offset(offset)).unwrap().is_ok());
        at += batch.len() as u64;
    }
    assert_eq!(at, scan.len());
    assert!(scan.batch(0, Offset(1)).unwrap().is_none(), "below the floor");
}

#[test]
fn batches_go_on_behind_a_large_one_that_is_damaged() {
    let batches = [large(0), large(1), large(2)];
    let bad = batches[0].len() as u64;
    let good = bad + batches[1].len() as u64;
    // A byte of its records, and one of its length: then every position is tried.
    for at in [WINDOW / 2, 9] {
        let mut damaged = batches.clone();
        damaged[1][at] ^= 1;
        let file = file(&damaged);
        let mut scan = Scan::new(&*file).unwrap();
        assert!(scan.batch(bad, Offset(1)).unwrap().is_none(), "byte {at}");
        assert_eq!(scan.resume_after(bad, Offset(1), None).unwrap(), Some(good), "byte {at}");
    }
}
