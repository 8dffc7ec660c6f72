//! Names of files and folders, and the `incarnation` file.
//!
//! The crate's [format page](crate) shows them together.

use std::io;
use std::path::{Path, PathBuf};

use tidegate_env::{Disk, DiskFile, OpenMode};
use tidegate_types::{Incarnation, Offset, PartitionId, TopicId, TopicPartition};

/// Ends the name of a partition's folder while it is being removed.
const DELETED: &str = ".deleted";

/// The `incarnation` file until it is synced.
const NEW_INCARNATION: &str = "incarnation.new";

/// Ends the name of a compacted segment while it is being written.
const CLEANED: &str = ".log.cleaned";

const INCARNATION_FIRST_LINE: &str = "tidegate log 1\n";

pub(crate) fn topics(root: &Path) -> PathBuf {
    root.join("topics")
}

pub(crate) fn topic(root: &Path, topic: TopicId) -> PathBuf {
    topics(root).join(topic.to_string())
}

pub(crate) fn partition(root: &Path, log: TopicPartition) -> PathBuf {
    topic(root, log.topic).join(log.partition.to_string())
}

pub(crate) fn deleted_partition(root: &Path, log: TopicPartition) -> PathBuf {
    topic(root, log.topic).join(format!("{}{DELETED}", log.partition))
}

pub(crate) fn segment(folder: &Path, base: Offset) -> PathBuf {
    folder.join(format!("{:020}.log", base.0))
}

/// Where the compacted segment is written that is to begin at `base`.
pub(crate) fn cleaned(folder: &Path, base: Offset) -> PathBuf {
    folder.join(format!("{:020}{CLEANED}", base.0))
}

/// Whether a file is a compacted segment that did not get its place.
pub(crate) fn is_cleaned(name: &str) -> bool {
    name.ends_with(CLEANED)
}

/// The base offset that a segment's file name tells; `None` for any other file.
pub(crate) fn segment_base(name: &str) -> Option<Offset> {
    let digits = name.strip_suffix(".log")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Offset)
}

/// Ends the name of a segment that a repair is writing.
pub(crate) const REPAIRED: &str = ".repaired";

/// Whether a file in a log's folder is what something cut short left, which opening the log
/// removes.
pub(crate) fn is_leftover(name: &str) -> bool {
    let segment = |end: &str| name.strip_suffix(end).and_then(segment_base).is_some();
    name == NEW_INCARNATION || segment(REPAIRED)
}

/// Folders of logs whose deletion was cut short, as `<topic>/<partition>.deleted`.
pub(crate) fn find_deleting(disk: &dyn Disk, root: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for topic in disk.list(&topics(root))?.into_iter().filter(|entry| entry.is_dir) {
        for entry in disk.list(&topics(root).join(&topic.name))? {
            if entry.is_dir && entry.name.ends_with(DELETED) {
                found.push(format!("{}/{}", topic.name, entry.name));
            }
        }
    }
    Ok(found)
}

/// The logs that have a folder under `root`.
pub(crate) fn find_logs(disk: &dyn Disk, root: &Path) -> io::Result<Vec<TopicPartition>> {
    let mut found = Vec::new();
    for entry in disk.list(&topics(root))?.into_iter().filter(|entry| entry.is_dir) {
        let Ok(id) = entry.name.parse().map(TopicId) else { continue };
        for entry in disk.list(&topic(root, id))?.into_iter().filter(|entry| entry.is_dir) {
            if let Ok(partition) = entry.name.parse::<u32>()
                && partition.to_string() == entry.name
            {
                found.push(TopicPartition { topic: id, partition: PartitionId(partition) });
            }
        }
    }
    Ok(found)
}

/// Removes a log's folder, in two steps of which the first is atomic and durable.
pub(crate) fn delete_partition(
    disk: &dyn Disk,
    root: &Path,
    log: TopicPartition,
) -> io::Result<()> {
    let (folder, deleted) = (partition(root, log), deleted_partition(root, log));
    if disk.exists(&deleted)? {
        disk.remove_dir_all(&deleted)?;
    }
    disk.rename(&folder, &deleted)?;
    let topic = topic(root, log.topic);
    disk.sync_dir(&topic)?;
    disk.remove_dir_all(&deleted)?;
    if disk.list(&topic)?.is_empty() {
        disk.remove_dir_all(&topic)?;
    }
    Ok(())
}

/// Removes what deletions left that a crash cut short.
pub(crate) fn sweep_deleted(disk: &dyn Disk, root: &Path) -> io::Result<()> {
    for topic in disk.list(&topics(root))?.into_iter().filter(|entry| entry.is_dir) {
        let folder = topics(root).join(&topic.name);
        for entry in disk.list(&folder)? {
            if entry.is_dir && entry.name.ends_with(DELETED) {
                disk.remove_dir_all(&folder.join(&entry.name))?;
            }
        }
        if disk.list(&folder)?.is_empty() {
            disk.remove_dir_all(&folder)?;
        }
    }
    Ok(())
}

/// Reads the `incarnation` file; `None` if it is missing or not one.
pub(crate) fn read_incarnation(disk: &dyn Disk, folder: &Path) -> io::Result<Option<Incarnation>> {
    let path = folder.join("incarnation");
    let file = match disk.open(&path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut buf = [0; 64];
    let read = file.read_at(0, &mut buf)?;
    let parse = || {
        let text = std::str::from_utf8(&buf[..read]).ok()?;
        let digits = text.strip_prefix(INCARNATION_FIRST_LINE)?.strip_suffix('\n')?;
        let number = u64::from_str_radix(digits, 16).ok()?;
        (format!("{number:016x}") == digits).then_some(Incarnation(number))
    };
    Ok(parse())
}

/// Writes the `incarnation` file under the name it has until [`name_incarnation`]; to be synced
/// before that.
pub(crate) fn write_incarnation(
    disk: &dyn Disk,
    folder: &Path,
    incarnation: Incarnation,
) -> io::Result<Box<dyn DiskFile>> {
    let file = disk.open(&folder.join(NEW_INCARNATION), OpenMode::Create)?;
    file.set_len(0)?;
    file.write_at(0, format!("{INCARNATION_FIRST_LINE}{:016x}\n", incarnation.0).as_bytes())?;
    Ok(file)
}

/// Gives the `incarnation` file its name; durable once the folder is synced.
pub(crate) fn name_incarnation(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    disk.rename(&folder.join(NEW_INCARNATION), &folder.join("incarnation"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_env::SimDisk;

    #[test]
    fn segment_names_sort_as_their_offsets_and_read_back() {
        let name = segment(Path::new("f"), Offset(1_234));
        assert_eq!(name, Path::new("f/00000000000000001234.log"));
        assert_eq!(segment_base("00000000000000001234.log"), Some(Offset(1_234)));
        for other in ["1234.log", "0000000000000000123x.log", "99999999999999999999.log", "index"] {
            assert_eq!(segment_base(other), None, "{other}");
        }
    }

    #[test]
    fn an_incarnation_survives_a_crash_and_a_broken_one_is_none() {
        let disk = SimDisk::new(1);
        let folder = Path::new("/p");
        disk.create_dir_all(folder).unwrap();
        assert_eq!(read_incarnation(&disk, folder).unwrap(), None);
        write_incarnation(&disk, folder, Incarnation(0xbeef)).unwrap().sync_data().unwrap();
        name_incarnation(&disk, folder).unwrap();
        disk.sync_dir(folder).unwrap();
        let disk = disk.crash();
        assert_eq!(read_incarnation(&disk, folder).unwrap(), Some(Incarnation(0xbeef)));
        disk.flip_bit(&folder.join("incarnation"), 3, 1).unwrap();
        assert_eq!(read_incarnation(&disk, folder).unwrap(), None);
    }
}
