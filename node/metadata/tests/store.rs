//! The store on real files, and on one that fails at any moment.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::io;
use std::sync::{Arc, Mutex};

use common::command;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use redb::{Builder, StorageBackend};
use tidegate_metadata::{
    Command, Image, MetadataStore, NodeRecord, OpenError, Outcome, StoreOptions, SubmitError,
};
use tidegate_types::{NodeId, SiteName, Timestamp, TopicConfig, TopicId, TopicName};

fn node() -> NodeRecord {
    NodeRecord {
        site: SiteName::new("edge").unwrap(),
        node: NodeId(1),
        created: Timestamp(1_700_000_000_000),
    }
}

fn create(name: &str) -> Command {
    Command::CreateTopic {
        name: TopicName::new(name).unwrap(),
        id: TopicId::random(),
        config: TopicConfig::default(),
        mirror_of: None,
        incarnations: vec![tidegate_types::Incarnation(1)],
    }
}

#[test]
fn what_was_submitted_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.redb");
    let last = {
        let store = MetadataStore::open(&path, &node()).unwrap();
        for n in 0..600 {
            let (image, outcome) = store.submit(&create(&format!("t{n}"))).unwrap();
            assert_eq!((image.applied(), outcome), (n + 1, Outcome::Done));
        }
        let rejected = store.submit(&create("t0"));
        assert!(matches!(rejected, Err(SubmitError::Rejected(_))), "{rejected:?}");
        store.image()
    };
    let store = MetadataStore::open(&path, &node()).unwrap();
    assert_eq!(store.image(), last);
    assert_eq!(store.node(), &node());
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
        assert_eq!(mode & 0o077, 0, "others may read the links' keys");
    }
}

#[test]
fn the_folder_of_another_node_or_a_running_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.redb");
    let store = MetadataStore::open(&path, &node()).unwrap();
    assert!(matches!(MetadataStore::open(&path, &node()), Err(OpenError::InUse { .. })));
    drop(store);
    let others = [
        NodeRecord { node: NodeId(2), ..node() },
        NodeRecord { site: SiteName::new("hub").unwrap(), ..node() },
    ];
    for other in others {
        let error = MetadataStore::open(&path, &other).unwrap_err();
        assert!(matches!(error, OpenError::OtherNode { .. }), "{error}");
        assert!(error.to_string().contains("belongs to node 1 of site edge"), "{error}");
    }
    let later = NodeRecord { created: Timestamp(0), ..node() };
    assert_eq!(MetadataStore::open(&path, &later).unwrap().node(), &node());
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.redb");
    std::fs::write(&path, b"hello, I am a text".repeat(1_000)).unwrap();
    let error = MetadataStore::open(&path, &node()).unwrap_err();
    assert!(matches!(error, OpenError::Database { .. }), "{error}");
}

/// A disk in memory. It fails for good after some number of operations; only what was synced,
/// and of the writes after that a part, is there afterwards.
#[derive(Clone, Debug)]
struct FailingDisk(Arc<Mutex<Disk>>);

#[derive(Debug)]
struct Disk {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Writes since the last sync.
    pending: Vec<(usize, Vec<u8>)>,
    left: u64,
    /// Operations, counted from here, that find no room.
    full: std::ops::Range<u64>,
}

impl FailingDisk {
    fn new(bytes: Vec<u8>, left: u64) -> FailingDisk {
        let (now, pending, full) = (bytes.clone(), Vec::new(), 0..0);
        let disk = Disk { now, synced: bytes, pending, left, full };
        FailingDisk(Arc::new(Mutex::new(disk)))
    }

    fn change(&self, change: impl FnOnce(&mut Disk)) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        if disk.left == 0 {
            return Err(io::Error::other("the disk is gone"));
        }
        disk.left -= 1;
        let full = disk.full.contains(&0);
        disk.full = disk.full.start.saturating_sub(1)..disk.full.end.saturating_sub(1);
        if full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        change(&mut disk);
        Ok(())
    }

    /// What is on the disk after a power cut; each write since the last sync is there or not.
    fn after_crash(&self, mut lucky: impl FnMut() -> bool) -> Vec<u8> {
        let disk = self.0.lock().unwrap();
        let mut bytes = disk.synced.clone();
        for (offset, data) in &disk.pending {
            if lucky() {
                if bytes.len() < offset + data.len() {
                    bytes.resize(offset + data.len(), 0);
                }
                bytes[*offset..offset + data.len()].copy_from_slice(data);
            }
        }
        bytes
    }
}

impl StorageBackend for FailingDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.lock().unwrap();
        let offset = offset as usize;
        let bytes = disk.now.get(offset..offset + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        // Lengths are kept at once: redb grows the file and syncs it before it relies on it.
        self.change(|disk| {
            disk.now.resize(len as usize, 0);
            disk.synced.resize(len as usize, 0);
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(|disk| {
            disk.synced = disk.now.clone();
            disk.pending.clear();
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(|disk| {
            let offset = offset as usize;
            disk.now[offset..offset + data.len()].copy_from_slice(data);
            disk.pending.push((offset, data.to_vec()));
        })
    }
}

fn open(disk: &FailingDisk) -> Result<MetadataStore, OpenError> {
    let disk = disk.clone();
    let source = Box::new(move || {
        Builder::new().create_with_backend(disk.clone()).map_err(|error| OpenError::Database {
            what: "the disk".to_owned(),
            source: Box::new(error.into()),
        })
    });
    // Few commands between snapshots, so that both ways of writing are hit.
    MetadataStore::open_source(source, "the disk", &node(), StoreOptions { snapshot_every: 3 })
}

#[test]
fn a_full_disk_refuses_commands_and_heals_by_itself() {
    let made = {
        let disk = FailingDisk::new(Vec::new(), u64::MAX);
        drop(open(&disk).unwrap());
        disk.after_crash(|| true)
    };
    let (mut refused, mut unsure) = (0, 0);
    // Full from some operation on, for some operations.
    for (after, full_for) in (0..60).flat_map(|after| [(after, 1), (after, 3), (after, 20)]) {
        let disk = FailingDisk::new(made.clone(), u64::MAX);
        let store = open(&disk).unwrap();
        store.submit(&create("before")).unwrap();
        disk.0.lock().unwrap().full = after..after + full_for;
        let mut there = vec!["before".to_owned()];
        let mut maybe = Vec::new();
        for n in 0..60 {
            let name = format!("t{n}");
            match store.submit(&create(&name)) {
                Ok(_) => there.push(name),
                Err(SubmitError::DiskFull { .. }) => refused += 1,
                Err(SubmitError::Write { .. }) => {
                    unsure += 1;
                    maybe.push(name);
                }
                Err(error) => panic!("full at {after} for {full_for}: {error}"),
            }
            assert_eq!(store.sealed_reason(), None);
        }
        assert!(there.contains(&"t59".to_owned()), "full at {after} for {full_for}: not healed");
        drop(store);
        let image = open(&FailingDisk::new(disk.after_crash(|| true), u64::MAX)).unwrap().image();
        for name in &there {
            let name = TopicName::new(name).unwrap();
            assert!(image.topic(&name).is_some(), "full at {after} for {full_for}: {name} is gone");
        }
        let others = image.topics().filter(|topic| !there.contains(&topic.name.to_string()));
        for other in others {
            assert!(maybe.contains(&other.name.to_string()), "{} was refused", other.name);
        }
    }
    assert!(refused > 50, "only {refused} were refused, {unsure} unsure");
}

#[test]
fn a_crash_at_any_write_leaves_the_old_image_or_the_new_one() {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut draw = |strategy: BoxedStrategy<u64>| strategy.new_tree(&mut runner).unwrap().current();
    let lucky_numbers: Vec<u64> = (0..97).map(|_| draw((0..2_u64).boxed())).collect();
    let commands: Vec<Command> = {
        let tree = prop::collection::vec(command(), 25).new_tree(&mut runner).unwrap();
        tree.current()
    };
    let made = {
        let disk = FailingDisk::new(Vec::new(), u64::MAX);
        drop(open(&disk).unwrap());
        disk.after_crash(|| true)
    };

    let (mut failures, mut kept, mut lost) = (0, 0, 0);
    for left in 0.. {
        let disk = FailingDisk::new(made.clone(), left);
        let mut finished = true;
        // What is durable for sure, and what a failed command would have made of it.
        let mut durable = Arc::new(Image::default());
        let mut attempted = None;
        if let Ok(store) = open(&disk) {
            for command in &commands {
                match store.submit(command) {
                    Ok((image, _)) => durable = image,
                    Err(SubmitError::Rejected(_)) => {}
                    Err(SubmitError::Write { .. }) => {
                        let mut next = Image::clone(&durable);
                        next.apply(durable.applied() + 1, command).unwrap();
                        attempted = Some(next);
                        assert!(store.sealed_reason().is_some());
                        let after = store.submit(command);
                        assert!(matches!(after, Err(SubmitError::Sealed { .. })), "{after:?}");
                        assert_eq!(store.image(), durable);
                        finished = false;
                        break;
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        } else {
            finished = false;
        }
        failures += u64::from(!finished);
        let mut luck = lucky_numbers.iter().cycle().skip(left as usize % 97);
        let survived = disk.after_crash(|| luck.next() == Some(&1));
        let store = open(&FailingDisk::new(survived, u64::MAX)).unwrap();
        let image = store.image();
        if attempted.as_ref() == Some(&*image) {
            kept += 1;
        } else {
            assert_eq!(image, durable, "a crash after {left} operations left another image");
            lost += u64::from(attempted.is_some());
        }
        if finished {
            break;
        }
    }
    assert!(failures > 50, "the disk failed only {failures} times");
    assert!(lost > 0, "no command was ever lost ({kept} were kept)");
}
