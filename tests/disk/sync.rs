//! A disk that says "synced" while its file system goes down must mean it.

use std::path::Path;
use std::time::Duration;

use tidegate_env::{Disk, OpenMode, RealDisk};
use tidegate_tests::{FileSystem, Seed, scaled};
use tidegate_types::ByteSize;

const DISK: ByteSize = ByteSize::mib(128);

/// Not a whole number of pages or sectors.
const PIECE: usize = 9_000;

/// Appends to the file of this number until something fails; gives the length that was synced.
fn append_until_it_fails(folder: &Path, file: u8) -> u64 {
    let piece = vec![file + 1; PIECE];
    let mut synced = 0;
    let mut write = || {
        let file = RealDisk.open(&folder.join(file.to_string()), OpenMode::Create)?;
        file.set_len(0)?;
        loop {
            file.write_at(synced, &piece)?;
            file.sync_data()?;
            synced += piece.len() as u64;
        }
    };
    let failed: std::io::Result<std::convert::Infallible> = write();
    let Err(_) = failed;
    synced
}

#[test]
fn what_was_said_to_be_synced_while_the_file_system_went_down_is_there() {
    let test = "syncs as the file system goes down";
    let Some(mut disk) = FileSystem::or_skip(test, DISK) else { return };
    let mut rng = Seed::take(test).rng(1);
    let mut wrong = Vec::new();
    for cut in 0..scaled(25) {
        let folder = disk.path().to_owned();
        let synced: Vec<u64> = std::thread::scope(|threads| {
            let append = |file| {
                threads.spawn({
                    let folder = &folder;
                    move || append_until_it_fails(folder, file)
                })
            };
            let writers: Vec<_> = (0..4).map(append).collect();
            std::thread::sleep(Duration::from_millis(20 + rng.below(40)));
            disk.cut_power();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        disk.remount();
        for (file, synced) in (0_u8..).zip(synced) {
            let found = std::fs::read(folder.join(file.to_string())).unwrap_or_default();
            let good = found.iter().take_while(|byte| **byte == file + 1).count() as u64;
            if good < synced {
                wrong.push(format!("cut {cut}, file {file}: {good} of {synced} bytes"));
            }
        }
    }
    assert!(wrong.is_empty(), "synced and gone: {wrong:#?}");
}
