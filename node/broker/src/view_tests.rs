//! The view on a simulated disk: what it says is true or it says that it is of no use.

use std::collections::BTreeMap;
use std::path::Path;

use tidegate_env::SimDisk;

use super::*;

const PATH: &str = "/data/groups.redb";
const LIFE: Incarnation = Incarnation(7);

type State = (Offset, BTreeMap<Vec<u8>, Vec<u8>>);

fn disk() -> SimDisk {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new("/data")).unwrap();
    disk
}

fn view(disk: &SimDisk) -> View {
    View::new(Arc::new(disk.clone()), PATH.into(), LIFE)
}

/// What the view says after so many writes: each replaces, adds and removes.
fn state(writes: i64) -> State {
    let mut rows = BTreeMap::new();
    for n in 0..writes {
        for (key, value) in rows_of(n) {
            match value {
                Some(value) => rows.insert(key.to_vec(), value.to_vec()),
                None => rows.remove(&key[..]),
            };
        }
    }
    (Offset(writes * 10), rows)
}

fn rows_of(write: i64) -> Vec<Row> {
    let key = |n: i64| Bytes::from(format!("key {n}"));
    vec![
        (key(0), Some(Bytes::from(vec![write as u8; 3_000]))),
        (key(write + 1), Some(Bytes::from(format!("value {write}")))),
        (key(write - 2), None),
    ]
}

fn write(view: &mut View, write: i64) -> Result<(), ViewError> {
    let rows = rows_of(write);
    view.write(rows.iter().map(|(key, value)| (key, value)), Offset((write + 1) * 10))
}

fn read(view: &mut View) -> Result<State, ViewError> {
    let applied = view.applied()?;
    let mut rows = BTreeMap::new();
    view.each(|key, value| rows.insert(key.to_vec(), value.to_vec()).is_none())?;
    Ok((applied, rows))
}

#[test]
fn a_view_reads_back_and_ends_where_it_is_told_to() {
    let disk = disk();
    let mut first = view(&disk);
    assert!(!first.exists().unwrap());
    for n in 0..4 {
        write(&mut first, n).unwrap();
    }
    assert_eq!(read(&mut first).unwrap(), state(4));
    drop(first);
    let mut again = view(&disk);
    assert!(again.exists().unwrap());
    assert_eq!(read(&mut again).unwrap(), state(4));
    let mut seen = 0;
    again
        .each(|_, _| {
            seen += 1;
            false
        })
        .unwrap();
    assert_eq!(seen, 1);
    again.remove().unwrap();
    assert!(!again.exists().unwrap());
    again.remove().unwrap();
}

#[test]
fn a_view_of_another_log_is_of_no_use() {
    let disk = disk();
    write(&mut view(&disk), 0).unwrap();
    let mut other = View::new(Arc::new(disk.clone()), PATH.into(), Incarnation(8));
    assert!(matches!(other.applied(), Err(ViewError::Unusable(_))));
    drop(other);
    // A file that was made and never written says nothing either.
    view(&disk).remove().unwrap();
    drop(disk.open(Path::new(PATH), OpenMode::CreateNew).unwrap());
    assert!(view(&disk).applied().is_err());
}

#[test]
fn a_power_cut_leaves_a_whole_write_or_none_of_it() {
    let mut moments = 0;
    for changes in 0.. {
        let disk = disk();
        write(&mut view(&disk), 0).unwrap();
        disk.crash_after(changes);
        let mut cut = view(&disk);
        let done = (1..4).take_while(|n| write(&mut cut, *n).is_ok()).count() as i64;
        if disk.has_power() {
            assert_eq!(done, 3);
            break;
        }
        drop(cut);
        let found = read(&mut view(&disk.crash())).unwrap();
        assert!(
            found == state(1 + done) || found == state(2 + done),
            "{changes}: {done} more writes were told to be durable, found {}",
            found.0
        );
        moments += 1;
    }
    assert!(moments > 10, "{moments}");
}

#[test]
fn a_bit_that_turned_is_found_or_does_not_matter() {
    let first = disk();
    let mut whole = view(&first);
    for n in 0..4 {
        write(&mut whole, n).unwrap();
    }
    drop(whole);
    let file = first.open(Path::new(PATH), OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    let mut refused = 0;
    for offset in (0..bytes.len()).step_by(997) {
        let disk = disk();
        let file = disk.open(Path::new(PATH), OpenMode::CreateNew).unwrap();
        file.write_at(0, &bytes).unwrap();
        drop(file);
        disk.flip_bit(Path::new(PATH), offset as u64, 3).unwrap();
        match read(&mut view(&disk)) {
            // An earlier write is as good: the log has the rest.
            Ok(found) => assert!((1..=4).any(|n| found == state(n)), "{offset}: {}", found.0),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0, "no bit of {} bytes was missed", bytes.len());
}

#[test]
fn a_full_disk_is_told_and_heals() {
    let disk = disk();
    let mut view = view(&disk);
    write(&mut view, 0).unwrap();
    disk.set_capacity(Some(disk.used()));
    let mut written = 1;
    let full = loop {
        match write(&mut view, written) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 10_000);
    };
    assert!(full.is_full(), "{full}");
    disk.set_capacity(None);
    write(&mut view, written).unwrap();
    assert_eq!(read(&mut view).unwrap(), state(written + 1));
}
