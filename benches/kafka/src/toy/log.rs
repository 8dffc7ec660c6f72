//! The toy's storage: one file a partition, and where each batch lies in it.

use std::fs::File;
use std::io::IoSlice;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tidegate_bench_common::Failure;
use tidegate_record::{Batch, BatchError};

/// Slices that one call takes.
const SLICES: usize = 1_024;

/// What is set anew in each batch: base offset, length and epoch. The length is as it was.
const PATCHED: usize = 16;

/// Where a batch lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    first: i64,
    at: u64,
}

/// One partition.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    len: u64,
    next: i64,
    places: Vec<Place>,
    /// Taken, to be written with this round.
    round: Vec<([u8; PATCHED], Bytes)>,
}

impl Log {
    /// An empty one.
    ///
    /// # Errors
    /// If its file cannot be made.
    pub fn new(path: &Path) -> Result<Log, Failure> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        let (places, round) = (Vec::new(), Vec::new());
        Ok(Log { path: path.to_owned(), file, len: 0, next: 0, places, round })
    }

    /// Checks a batch's CRC and takes it for this round; gives the offset of its first record.
    ///
    /// # Errors
    /// If it is none.
    pub fn take(&mut self, batch: Bytes) -> Result<i64, BatchError> {
        let (parsed, _) = Batch::parse(&batch)?;
        let header = parsed.header();
        let mut head = [0; PATCHED];
        head.copy_from_slice(&batch[..PATCHED]);
        head[..8].copy_from_slice(&self.next.to_be_bytes());
        head[12..].copy_from_slice(&0_i32.to_be_bytes());
        let first = self.next;
        self.next += i64::from(header.last_offset_delta) + 1;
        self.round.push((head, batch));
        Ok(first)
    }

    /// Writes what was taken, with as few calls as there can be.
    ///
    /// # Errors
    /// If a call fails.
    pub fn write(&mut self) -> Result<(), Failure> {
        let mut slices = Vec::with_capacity(2 * self.round.len());
        let mut at = self.len;
        for (head, batch) in &self.round {
            let mut first = [0; 8];
            first.copy_from_slice(&head[..8]);
            self.places.push(Place { first: i64::from_be_bytes(first), at });
            slices.extend([IoSlice::new(head), IoSlice::new(&batch[PATCHED..])]);
            at += batch.len() as u64;
        }
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            let now = rest.len().min(SLICES);
            let written = rustix::io::pwritev(&self.file, &rest[..now], self.len)?;
            IoSlice::advance_slices(&mut rest, written);
            self.len += written as u64;
        }
        self.round.clear();
        Ok(())
    }

    /// Makes it durable.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn sync(&self) -> Result<(), Failure> {
        Ok(self.file.sync_data()?)
    }

    /// The offset after the last record.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.next
    }

    /// Where whole batches from the one with `offset` on lie: at least one, and no more than `most`
    /// bytes of them otherwise.
    #[must_use]
    pub fn range(&self, offset: i64, most: u64) -> Range<'_> {
        let from = self.places.partition_point(|place| place.first <= offset).saturating_sub(1);
        let at = match self.places.get(from) {
            Some(place) if offset < self.next => place.at,
            _ => return Range { file: &self.file, at: self.len, len: 0 },
        };
        let later = &self.places[from + 1..];
        let end = if self.len <= at + most {
            self.len
        } else {
            // The last batch that begins within the limit ends where the next one begins.
            let within = later.partition_point(|place| place.at <= at + most);
            later.get(within.max(1) - 1).map_or(self.len, |place| place.at)
        };
        Range { file: &self.file, at, len: end - at }
    }

    /// Deletes it.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn delete(self) -> Result<(), Failure> {
        Ok(std::fs::remove_file(&self.path)?)
    }
}

/// A part of a file.
#[derive(Clone, Copy, Debug)]
pub struct Range<'a> {
    /// The file.
    pub file: &'a File,
    /// Where it begins.
    pub at: u64,
    /// How long it is.
    pub len: u64,
}

impl tidegate_kafka_proto::fetch_response::RecordsLen for Range<'_> {
    fn records_len(&self) -> usize {
        // A fetch asks for less than 2 GiB, and a batch is smaller.
        self.len as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;
    use tidegate_bench_common::sample;

    #[test]
    fn ranges_are_of_whole_batches_and_at_least_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::new(&dir.path().join("log")).unwrap();
        let batch = sample::batch(0, 10).unwrap();
        let len = batch.len() as u64;
        for round in 0..4 {
            for _ in 0..2 {
                log.take(batch.clone()).unwrap();
            }
            assert_eq!(log.end(), 20 * (round + 1));
            log.write().unwrap();
        }
        for (offset, most, at, batches) in [
            (0, 1, 0, 1),
            (0, len, 0, 1),
            (0, 2 * len, 0, 2),
            (0, 3 * len - 1, 0, 2),
            (5, len, 0, 1),
            (10, 1 << 30, 1, 7),
            (70, 1, 7, 1),
            (79, 1 << 30, 7, 1),
            (80, 1 << 30, 8, 0),
        ] {
            let range = log.range(offset, most);
            assert_eq!((range.at, range.len), (at * len, batches * len), "{offset} {most}");
        }
        let range = log.range(70, 1);
        let mut read = vec![0; range.len as usize];
        range.file.read_exact_at(&mut read, range.at).unwrap();
        let (read, _) = Batch::parse(&read).unwrap();
        assert_eq!(read.header().base_offset.get(), 70);
    }

    #[test]
    fn a_damaged_batch_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::new(&dir.path().join("log")).unwrap();
        let mut batch = sample::batch(0, 10).unwrap().to_vec();
        *batch.last_mut().unwrap() ^= 1;
        assert!(log.take(batch.into()).is_err());
        assert_eq!(log.end(), 0);
    }
}
