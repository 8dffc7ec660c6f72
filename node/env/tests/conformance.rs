//! One suite over every disk: what the contract of `Disk` says holds for the real and the simulated
//! one alike. Then what only the simulated one can be asked: what a power cut leaves.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_env::{
    Disk, DiskCounts, DiskFile, Fault, FaultKind, FaultOn, GroupDisk, OpenMode, RealDisk, SimDisk,
};
use tidegate_types::ByteSize;

fn on_every_disk(check: impl Fn(&dyn Disk, &Path)) {
    let folder = tempfile::tempdir().unwrap();
    check(&RealDisk, folder.path());
    let folder = tempfile::tempdir().unwrap();
    check(&GroupDisk::new(Arc::new(RealDisk)), folder.path());
    let root = PathBuf::from("/sim");
    let disk = SimDisk::new(1);
    disk.create_dir_all(&root).unwrap();
    check(&disk, &root);
}

fn content(file: &dyn DiskFile) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn kind<T>(result: io::Result<T>) -> io::ErrorKind {
    match result {
        Ok(_) => panic!("the call succeeded"),
        Err(error) => error.kind(),
    }
}

#[test]
fn writes_are_seen_at_once_through_any_handle() {
    on_every_disk(|disk, root| {
        let path = root.join("a");
        let writer = disk.open(&path, OpenMode::CreateNew).unwrap();
        let reader = disk.open(&path, OpenMode::Read).unwrap();
        writer.write_at(3, b"tide").unwrap();
        assert_eq!(content(&*reader), b"\0\0\0tide");
        writer.write_at(0, b"abcd").unwrap();
        assert_eq!(content(&*reader), b"abcdide");
        assert!(reader.write_at(0, b"x").is_err(), "a handle to read was written to");
    });
}

#[test]
fn vectored_writes_are_as_one_write() {
    on_every_disk(|disk, root| {
        let file = disk.open(&root.join("a"), OpenMode::Create).unwrap();
        let pieces: Vec<Vec<u8>> =
            (0..3_000_u32).map(|n| n.to_be_bytes()[4 - (n % 4) as usize..].to_vec()).collect();
        let bufs: Vec<_> = pieces.iter().map(|piece| io::IoSlice::new(piece)).collect();
        file.write_vectored_at(7, &bufs).unwrap();
        assert_eq!(content(&*file)[7..], pieces.concat());
        file.write_vectored_at(2, &[]).unwrap();
        file.write_vectored_at(2, &[io::IoSlice::new(b""), io::IoSlice::new(b"xy")]).unwrap();
        assert_eq!(content(&*file)[..5], *b"\0\0xy\0");
        let reader = disk.open(&root.join("a"), OpenMode::Read).unwrap();
        assert!(reader.write_vectored_at(0, &bufs).is_err(), "a handle to read was written to");
    });
}

#[test]
fn many_files_are_synced_at_once() {
    on_every_disk(|disk, root| {
        // Whoever has a lock may have its file system synced as a whole.
        let _held = disk.lock(&root.join("lock")).unwrap();
        for count in [0, 1, 2, 40] {
            let files: Vec<_> = (0..count)
                .map(|n| disk.open(&root.join(format!("{n}")), OpenMode::Create).unwrap())
                .collect();
            for round in 0..8_u8 {
                for file in &files {
                    file.write_at(u64::from(round), &[round]).unwrap();
                }
                let files: Vec<&dyn DiskFile> = files.iter().map(|file| &**file).collect();
                let synced = disk.sync_files(&files);
                assert_eq!(synced.len(), count);
                assert!(synced.iter().all(Result::is_ok), "{synced:?}");
            }
        }
    });
}

#[test]
fn many_folders_are_synced_at_once() {
    on_every_disk(|disk, root| {
        let _lock = disk.lock(&root.join("lock")).unwrap();
        for count in [0, 1, 5, 40] {
            let folders: Vec<PathBuf> = (0..count).map(|n| root.join(n.to_string())).collect();
            let mut paths: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
            disk.create_dirs(&paths).unwrap();
            for path in &paths {
                disk.open(&path.join("file"), OpenMode::Create).unwrap();
            }
            let synced = disk.sync_dirs(&paths);
            assert!(synced.len() == count && synced.iter().all(Result::is_ok));
            // One that is not there fails, and the others do not.
            let missing = root.join("missing");
            paths.push(&missing);
            let synced: Vec<bool> = disk.sync_dirs(&paths).iter().map(Result::is_ok).collect();
            assert_eq!(synced, (0..=count).map(|n| n < count).collect::<Vec<_>>());
        }
    });
}

#[test]
fn folders_synced_at_once_keep_their_names() {
    let disk = SimDisk::new(4);
    let folders = [Path::new("/a"), Path::new("/b")];
    disk.create_dirs(&folders).unwrap();
    for folder in folders {
        disk.open(&folder.join("file"), OpenMode::CreateNew).unwrap();
    }
    let path = "/b".to_owned();
    disk.inject(Fault { on: FaultOn::SyncDir, after: 0, kind: FaultKind::Io, path });
    let synced: Vec<bool> = disk.sync_dirs(&folders).iter().map(Result::is_ok).collect();
    assert_eq!(synced, [true, false]);
    assert!(disk.crash().exists(Path::new("/a/file")).unwrap());
}

#[test]
fn the_room_that_is_left_is_told() {
    on_every_disk(|disk, root| {
        let space = disk.space(root).unwrap();
        assert!(space.free <= space.total && space.total.get() > 0, "{space:?}");
    });
}

#[test]
fn one_file_that_fails_to_sync_tells_nothing_of_the_others() {
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let files: Vec<_> = ["a", "b", "c"]
            .map(|name| disk.open(&Path::new("/").join(name), OpenMode::Create).unwrap())
            .into();
        disk.sync_dir(Path::new("/")).unwrap();
        files.iter().for_each(|file| file.write_at(0, b"kept").unwrap());
        let kind = FaultKind::Io;
        disk.inject(Fault { on: FaultOn::Sync, after: 0, kind, path: "b".into() });
        let files: Vec<&dyn DiskFile> = files.iter().map(|file| &**file).collect();
        let synced: Vec<_> = disk.sync_files(&files).iter().map(Result::is_ok).collect();
        assert_eq!(synced, [true, false, true]);
        let after = disk.crash();
        for name in ["a", "c"] {
            let file = after.open(&Path::new("/").join(name), OpenMode::Read).unwrap();
            assert_eq!(content(&*file), b"kept", "{name}, seed {seed}");
        }
    }
}

#[test]
fn reads_end_with_the_file() {
    on_every_disk(|disk, root| {
        let file = disk.open(&root.join("a"), OpenMode::Create).unwrap();
        file.write_at(0, b"12345").unwrap();
        let mut buf = [9; 8];
        assert_eq!(file.read_at(3, &mut buf).unwrap(), 2);
        assert_eq!(&buf[..3], b"45\x09");
        assert_eq!(file.read_at(5, &mut buf).unwrap(), 0);
        assert_eq!(file.read_at(500, &mut buf).unwrap(), 0);
        assert_eq!(kind(file.read_exact_at(3, &mut buf)), io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn reads_append_to_what_is_there() {
    on_every_disk(|disk, root| {
        let file = disk.open(&root.join("a"), OpenMode::Create).unwrap();
        file.write_at(0, b"1234567890").unwrap();
        for room in [0, 2, 3, 10, 4_096] {
            let mut out = Vec::with_capacity(room);
            out.extend_from_slice(b"ab");
            assert_eq!(file.read_into(1, 3, &mut out).unwrap(), 3);
            assert_eq!(out, b"ab234", "with room for {room}");
            assert_eq!(file.read_into(8, 5, &mut out).unwrap(), 2);
            assert_eq!(out, b"ab23490", "with room for {room}");
            assert_eq!(file.read_into(10, 5, &mut out).unwrap(), 0);
            assert_eq!(file.read_into(0, 0, &mut out).unwrap(), 0);
            assert_eq!(out, b"ab23490", "with room for {room}");
        }
    });
}

#[test]
fn lengths_are_cut_and_grown_with_zeros() {
    on_every_disk(|disk, root| {
        let file = disk.open(&root.join("a"), OpenMode::Create).unwrap();
        assert!(file.is_empty().unwrap());
        file.write_at(0, b"12345").unwrap();
        file.set_len(2).unwrap();
        file.set_len(4).unwrap();
        assert_eq!(content(&*file), b"12\0\0");
        file.allocate(2, 200_000).unwrap();
        assert_eq!(file.len().unwrap(), 200_002);
        assert!(content(&*file)[2..].iter().all(|byte| *byte == 0));
        file.sync_data().unwrap();
    });
}

#[test]
fn opening_makes_a_file_only_when_asked() {
    on_every_disk(|disk, root| {
        let path = root.join("a");
        assert_eq!(kind(disk.open(&path, OpenMode::Read)), io::ErrorKind::NotFound);
        assert_eq!(kind(disk.open(&path, OpenMode::Write)), io::ErrorKind::NotFound);
        assert!(!disk.exists(&path).unwrap());
        disk.open(&path, OpenMode::Create).unwrap().write_at(0, b"kept").unwrap();
        assert_eq!(content(&*disk.open(&path, OpenMode::Create).unwrap()), b"kept");
        assert_eq!(kind(disk.open(&path, OpenMode::CreateNew)), io::ErrorKind::AlreadyExists);
        assert_eq!(kind(disk.open(root, OpenMode::Read)), io::ErrorKind::IsADirectory);
        assert_eq!(kind(disk.open(&root.join("no/a"), OpenMode::Create)), io::ErrorKind::NotFound);
    });
}

#[test]
fn folders_are_made_listed_and_removed() {
    on_every_disk(|disk, root| {
        disk.create_dir_all(&root.join("x/y/z")).unwrap();
        disk.create_dir_all(&root.join("x/y/z")).unwrap();
        let several = [root.join("x/y/z"), root.join("m/1"), root.join("m/2")];
        disk.create_dirs(&several.each_ref().map(PathBuf::as_path)).unwrap();
        assert!(several.iter().all(|path| disk.exists(path).unwrap()));
        disk.remove_dir_all(&root.join("m")).unwrap();
        disk.open(&root.join("x/b"), OpenMode::Create).unwrap().write_at(0, b"123").unwrap();
        disk.open(&root.join("x/a"), OpenMode::Create).unwrap();
        let listed: Vec<_> = disk
            .list(&root.join("x"))
            .unwrap()
            .into_iter()
            .map(|entry| (entry.name, entry.is_dir, entry.len))
            .collect();
        let expected = [("a", false, 0), ("b", false, 3), ("y", true, 0)];
        assert_eq!(listed, expected.map(|(name, dir, len)| (name.to_owned(), dir, len)));
        disk.remove_file(&root.join("x/a")).unwrap();
        assert_eq!(kind(disk.remove_file(&root.join("x/a"))), io::ErrorKind::NotFound);
        disk.remove_dir_all(&root.join("x")).unwrap();
        assert!(!disk.exists(&root.join("x")).unwrap());
        assert_eq!(kind(disk.list(&root.join("x"))), io::ErrorKind::NotFound);
        disk.sync_dir(root).unwrap();
    });
}

#[test]
fn a_rename_replaces_and_open_handles_keep_working() {
    on_every_disk(|disk, root| {
        let old = disk.open(&root.join("old"), OpenMode::Create).unwrap();
        old.write_at(0, b"old").unwrap();
        let new = disk.open(&root.join("new"), OpenMode::Create).unwrap();
        new.write_at(0, b"new").unwrap();
        disk.rename(&root.join("new"), &root.join("old")).unwrap();
        assert!(!disk.exists(&root.join("new")).unwrap());
        assert_eq!(content(&*disk.open(&root.join("old"), OpenMode::Read).unwrap()), b"new");
        assert_eq!(content(&*old), b"old", "the replaced file is still there for its handle");
        disk.create_dir_all(&root.join("d1/in")).unwrap();
        disk.rename(&root.join("d1"), &root.join("d2")).unwrap();
        assert!(disk.exists(&root.join("d2/in")).unwrap());
        assert_eq!(kind(disk.rename(&root.join("d1"), &root.join("d3"))), io::ErrorKind::NotFound);
    });
}

#[test]
fn a_lock_is_held_until_it_is_dropped() {
    on_every_disk(|disk, root| {
        let held = disk.lock(&root.join("lock")).unwrap();
        assert_eq!(kind(disk.lock(&root.join("lock"))), io::ErrorKind::WouldBlock);
        drop(held);
        disk.lock(&root.join("lock")).unwrap();
    });
}

#[test]
fn a_crash_keeps_what_was_synced_and_may_lose_the_rest() {
    let (mut lost_bytes, mut kept_bytes, mut lost_name, mut back) = (0, 0, 0, 0);
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        disk.create_dir_all(Path::new("/d")).unwrap();
        let file = disk.open(Path::new("/d/a"), OpenMode::Create).unwrap();
        file.write_at(0, b"synced").unwrap();
        file.sync_data().unwrap();
        disk.open(Path::new("/d/gone"), OpenMode::Create).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_at(6, b"loose").unwrap();
        disk.open(Path::new("/d/b"), OpenMode::Create).unwrap().sync_data().unwrap();
        disk.remove_file(Path::new("/d/gone")).unwrap();

        let after = disk.crash();
        assert!(file.len().is_err(), "a handle outlived the crash");
        assert!(disk.exists(Path::new("/d")).is_err(), "the old disk outlived the crash");
        let bytes = content(&*after.open(Path::new("/d/a"), OpenMode::Read).unwrap());
        assert_eq!(&bytes[..6], b"synced");
        lost_bytes += u32::from(bytes.len() == 6);
        kept_bytes += u32::from(bytes == b"syncedloose");
        lost_name += u32::from(!after.exists(Path::new("/d/b")).unwrap());
        back += u32::from(after.exists(Path::new("/d/gone")).unwrap());
    }
    for (what, seen) in [
        ("unsynced bytes lost", lost_bytes),
        ("unsynced bytes kept", kept_bytes),
        ("a name without a sync of its folder lost", lost_name),
        ("a removed name back", back),
    ] {
        assert!((10..=190).contains(&seen), "{what}: {seen} of 200 seeds");
    }
}

#[test]
fn the_same_seed_crashes_the_same_way() {
    let run = |seed| {
        let disk = SimDisk::new(seed);
        let file = disk.open(Path::new("/a"), OpenMode::Create).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        for n in 0..40_u8 {
            file.write_at(u64::from(n) * 300, &[n; 700]).unwrap();
        }
        content(&*disk.crash().open(Path::new("/a"), OpenMode::Read).unwrap())
    };
    assert!((0..50).all(|seed| run(seed) == run(seed)));
    assert!((1..50).any(|seed| run(seed) != run(0)));
}

#[test]
fn a_killed_process_loses_nothing_it_wrote() {
    let disk = SimDisk::new(3);
    let file = disk.open(Path::new("/a"), OpenMode::Create).unwrap();
    file.write_at(0, b"page cache").unwrap();
    let after = disk.kill();
    assert!(file.write_at(0, b"x").is_err());
    assert_eq!(content(&*after.open(Path::new("/a"), OpenMode::Read).unwrap()), b"page cache");
}

#[test]
fn faults_strike_once_where_they_were_put() {
    let disk = SimDisk::new(4);
    let a = disk.open(Path::new("/a"), OpenMode::Create).unwrap();
    let b = disk.open(Path::new("/b"), OpenMode::Create).unwrap();
    disk.inject(Fault { on: FaultOn::Write, after: 1, kind: FaultKind::NoSpace, path: "a".into() });
    disk.inject(Fault { on: FaultOn::Sync, after: 0, kind: FaultKind::Io, path: String::new() });
    a.write_at(0, b"1").unwrap();
    b.write_at(0, b"1").unwrap();
    b.write_at(1, b"2").unwrap();
    assert_eq!(kind(a.write_at(1, b"2")), io::ErrorKind::StorageFull);
    a.write_at(1, b"2").unwrap();
    assert!(b.sync_data().is_err());
    b.sync_data().unwrap();
    assert_eq!(disk.syncs(), 1);
}

#[test]
fn a_flipped_bit_stays_flipped() {
    let disk = SimDisk::new(5);
    let file = disk.open(Path::new("/a"), OpenMode::Create).unwrap();
    file.write_at(0, &[0; 4]).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk.flip_bit(Path::new("/a"), 2, 5).unwrap();
    assert!(disk.flip_bit(Path::new("/a"), 4, 5).is_err());
    assert_eq!(content(&*file), [0, 0, 32, 0]);
    let after = disk.crash();
    let file = after.open(Path::new("/a"), OpenMode::Read).unwrap();
    assert_eq!(content(&*file), [0, 0, 32, 0]);
}

#[test]
fn every_kind_of_call_can_be_made_to_fail() {
    let disk = SimDisk::new(6);
    let (a, b, dir) = (Path::new("/a"), Path::new("/b"), Path::new("/d"));
    let file = disk.open(a, OpenMode::Create).unwrap();
    let call = |on| match on {
        FaultOn::Read => file.read_at(0, &mut [0]).map(drop),
        FaultOn::Write => file.write_at(0, b"x"),
        FaultOn::Sync => file.sync_data(),
        FaultOn::SyncDir => disk.sync_dir(Path::new("/")),
        FaultOn::Open => disk.open(a, OpenMode::Read).map(drop),
        FaultOn::Create => disk.create_dir_all(dir),
        FaultOn::Rename => disk.rename(a, b).and_then(|()| disk.rename(b, a)),
        FaultOn::Remove => disk.remove_dir_all(dir),
    };
    for on in [
        FaultOn::Read,
        FaultOn::Write,
        FaultOn::Sync,
        FaultOn::SyncDir,
        FaultOn::Open,
        FaultOn::Create,
        FaultOn::Remove,
        FaultOn::Rename,
    ] {
        if on == FaultOn::Remove {
            disk.create_dir_all(dir).unwrap();
        }
        disk.inject(Fault { on, after: 0, kind: FaultKind::Io, path: String::new() });
        assert!(call(on).is_err(), "{on:?}");
        call(on).unwrap();
    }
}

#[test]
fn a_full_disk_takes_what_fits_and_has_room_again_after_removals() {
    let block = 4096;
    let disk = SimDisk::with_capacity(7, ByteSize::bytes(6 * block));
    disk.create_dir_all(Path::new("/d")).unwrap();
    let path = Path::new("/d/a");
    let file = disk.open(path, OpenMode::Create).unwrap();
    file.write_at(0, &[1; 3 * 4096]).unwrap();
    assert_eq!(disk.used(), ByteSize::bytes(5 * block));
    assert_eq!(kind(file.write_at(3 * block, &[2; 2 * 4096])), io::ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 4 * block, "what fitted was written");
    assert_eq!(kind(disk.open(Path::new("/d/b"), OpenMode::Create)), io::ErrorKind::StorageFull);
    assert!(!disk.exists(Path::new("/d/b")).unwrap());
    assert_eq!(kind(disk.create_dir_all(Path::new("/e"))), io::ErrorKind::StorageFull);
    assert_eq!(kind(file.allocate(4 * block, 1)), io::ErrorKind::StorageFull);
    file.write_at(0, &[3; 4 * 4096]).unwrap();
    file.set_len(block).unwrap();
    file.write_at(block, &[2; 4096]).unwrap();

    disk.set_capacity(Some(ByteSize::bytes(4 * block)));
    disk.remove_file(path).unwrap();
    assert_eq!(disk.used(), ByteSize::bytes(4 * block), "its handle still holds it");
    drop(file);
    assert_eq!(disk.used(), ByteSize::bytes(block));
    disk.open(Path::new("/d/b"), OpenMode::Create).unwrap().write_at(0, &[1; 4096]).unwrap();
    let disk = disk.kill();
    assert_eq!(disk.used(), ByteSize::bytes(3 * block));
    disk.sync_dir(Path::new("/d")).unwrap();
    let after = disk.crash();
    after.remove_dir_all(Path::new("/d")).unwrap();
    assert_eq!(after.used(), ByteSize::bytes(0));
}

#[test]
fn the_power_fails_at_any_change() {
    let run = |changes| {
        let disk = SimDisk::new(8);
        disk.crash_after(changes);
        let work = || -> io::Result<()> {
            disk.create_dir_all(Path::new("/d"))?;
            let file = disk.open(Path::new("/d/new"), OpenMode::Create)?;
            file.write_at(0, b"whole")?;
            file.sync_data()?;
            disk.rename(Path::new("/d/new"), Path::new("/d/name"))?;
            disk.sync_dir(Path::new("/d"))
        };
        let done = work();
        assert_eq!(done.is_ok(), disk.has_power());
        assert_eq!(disk.exists(Path::new("/d")).is_ok(), disk.has_power());
        (done.is_ok(), disk.crash())
    };
    let mut cuts = 0;
    for changes in 0.. {
        let (done, after) = run(changes);
        if after.exists(Path::new("/d/name")).unwrap() {
            let file = after.open(Path::new("/d/name"), OpenMode::Read).unwrap();
            assert_eq!(content(&*file), b"whole");
        } else {
            assert!(!done, "what was done is gone");
        }
        if done {
            break;
        }
        cuts += 1;
    }
    assert_eq!(cuts, 6, "one for each change");
}

#[test]
fn what_a_disk_did_is_counted() {
    let disk = SimDisk::new(9);
    let file = disk.open(Path::new("/a"), OpenMode::Create).unwrap();
    file.write_at(0, &[1; 100]).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    file.read_at(50, &mut [0; 100]).unwrap();
    let expected = DiskCounts {
        reads: 1,
        bytes_read: 50,
        writes: 1,
        bytes_written: 100,
        syncs: 1,
        dir_syncs: 1,
        opens: 1,
    };
    assert_eq!(disk.counts(), expected);
}
