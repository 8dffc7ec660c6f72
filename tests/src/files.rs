//! A log's files, read as they lie on the disk.
//!
//! Only the record format is shared with the code under test. Batches lie end to end; behind the
//! last one of the newest segment there may be zeros written ahead, and nothing else.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tidegate_record::{Batch, Batches};
use tidegate_types::{Offset, TopicId};

/// What a partition's files hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredLog {
    /// All batches, end to end.
    pub bytes: Vec<u8>,
    /// The records, in order.
    pub records: Vec<StoredRecord>,
    /// The segment files.
    pub segments: usize,
}

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRecord {
    /// Its offset.
    pub offset: Offset,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
}

/// The folder of a partition.
#[must_use]
pub fn partition_folder(data: &Path, topic: TopicId, partition: u32) -> PathBuf {
    data.join("topics").join(topic.to_string()).join(partition.to_string())
}

/// Reads a partition's files.
///
/// # Panics
/// If they hold anything but whole batches with rising offsets, and zeros behind the last one.
#[must_use]
pub fn read_partition(data: &Path, topic: TopicId, partition: u32) -> StoredLog {
    let folder = partition_folder(data, topic, partition);
    let entries = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder's entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    paths.sort();

    let mut log = StoredLog { bytes: Vec::new(), records: Vec::new(), segments: paths.len() };
    let mut next = Offset::ZERO;
    for (index, path) in paths.iter().enumerate() {
        let bytes = std::fs::read(path).expect("a segment can be read");
        let mut batches = Batches::new(&bytes);
        let mut end = 0;
        while let Some(Ok(batch)) = batches.next() {
            let header = batch.header();
            assert!(
                header.base_offset >= next,
                "{}: offset {} after {next}",
                path.display(),
                header.base_offset
            );
            next = header.next_offset();
            end += batch.bytes().len();
            records_of(&batch, &mut log.records);
        }
        assert!(
            bytes[end..].iter().all(|byte| *byte == 0),
            "{}: at byte {end} there is neither a batch nor zeros",
            path.display()
        );
        let newest = index + 1 == paths.len();
        assert!(newest || end == bytes.len(), "{}: zeros in a sealed segment", path.display());
        log.bytes.extend_from_slice(&bytes[..end]);
    }
    log
}

fn records_of(batch: &Batch<'_>, out: &mut Vec<StoredRecord>) {
    let mut scratch = Vec::new();
    let header = *batch.header();
    for record in batch.body(&mut scratch).expect("a stored batch unpacks") {
        let record = record.expect("a stored record");
        out.push(StoredRecord {
            offset: header.offset_of(&record),
            key: record.key.map(Bytes::copy_from_slice),
            value: record.value.map(Bytes::copy_from_slice),
        });
    }
}
