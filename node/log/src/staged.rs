//! What one log will write in this round: batches end to end, and all that is to be known of them
//! once they are in the file.
//!
//! Small batches are copied together; of a large one only the head is, in which the log sets offset
//! and epoch, and the rest goes out from where it lies. Nothing of it has effect before it is
//! written, but for what producers sent, which later batches of the round are judged by and which
//! can be undone.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Mutex;

use bytes::Bytes;
use tidegate_env::DiskFile;
use tidegate_record::{BatchHeader, set_base_offset, set_leader_epoch};
use tidegate_types::{LeaderEpoch, Offset, Timestamp};

use crate::log::lock;
use crate::producers::Undo;

/// A batch from this size on is not copied.
const BORROW_FROM: usize = 8 << 10;

/// The head of a batch holds all that the log sets.
const HEAD: usize = 16;

#[derive(Debug)]
enum Piece {
    /// A part of `copied`.
    Copied(Range<usize>),
    Borrowed(Bytes),
}

/// What the segment's sparse index is told of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) delta: u32,
    pub(crate) position: u32,
    pub(crate) latest_before: Timestamp,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Staged {
    copied: Vec<u8>,
    /// Empty while all is in `copied`.
    pieces: Vec<Piece>,
    len: usize,
    pub(crate) entries: Vec<Entry>,
    /// Epochs that begin with a batch.
    pub(crate) epochs: Vec<(LeaderEpoch, Offset)>,
    pub(crate) undo: Vec<Undo>,
}

impl Staged {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bytes, if they lie end to end in memory.
    fn contiguous(&self) -> Option<&[u8]> {
        self.pieces.is_empty().then_some(&self.copied)
    }

    /// A copy of the bytes, end to end.
    pub(crate) fn gather(&self) -> Bytes {
        match self.contiguous() {
            Some(bytes) => Bytes::copy_from_slice(bytes),
            None => {
                let mut gathered = Vec::with_capacity(self.len);
                self.slices().for_each(|slice| gathered.extend_from_slice(slice));
                gathered.into()
            }
        }
    }

    fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(|piece| match piece {
            Piece::Copied(range) => &self.copied[range.clone()],
            Piece::Borrowed(bytes) => &bytes[..],
        })
    }

    /// Takes in a batch, with the offset and epoch of its header.
    pub(crate) fn push(&mut self, header: &BatchHeader, batch: &Bytes) {
        let at = self.copied.len();
        let whole = batch.len() < BORROW_FROM;
        let head = if whole { batch.len() } else { HEAD };
        if !whole && self.pieces.is_empty() && at > 0 {
            self.pieces.push(Piece::Copied(0..at));
        }
        self.copied.extend_from_slice(&batch[..head]);
        set_base_offset(&mut self.copied[at..], header.base_offset);
        set_leader_epoch(&mut self.copied[at..], header.leader_epoch);
        if !whole {
            self.pieces.push(Piece::Copied(at..at + head));
            self.pieces.push(Piece::Borrowed(batch.slice(head..)));
        } else if let Some(Piece::Copied(last)) = self.pieces.last_mut() {
            last.end = at + head;
        } else if !self.pieces.is_empty() {
            self.pieces.push(Piece::Copied(at..at + head));
        }
        self.len += batch.len();
    }

    /// Writes all of it at `offset`.
    pub(crate) fn write(&self, file: &dyn DiskFile, offset: u64) -> io::Result<()> {
        if let Some(bytes) = self.contiguous() {
            return file.write_at(offset, bytes);
        }
        let slices: Vec<IoSlice<'_>> = self.slices().map(IoSlice::new).collect();
        file.write_vectored_at(offset, &slices)
    }

    /// Empties it; the memory stays for the next round.
    pub(crate) fn clear(&mut self) {
        self.copied.clear();
        self.pieces.clear();
        self.len = 0;
        self.entries.clear();
        self.epochs.clear();
        self.undo.clear();
    }

    /// Memory that it holds, full or empty.
    fn capacity(&self) -> usize {
        self.copied.capacity()
            + self.pieces.capacity() * size_of::<Piece>()
            + self.entries.capacity() * size_of::<Entry>()
            + self.undo.capacity() * size_of::<Undo>()
    }
}

/// Empty ones, handed from log to log, so that none keeps memory while it is idle.
#[derive(Debug, Default)]
pub(crate) struct SpareStaged {
    spare: Mutex<Vec<Staged>>,
}

/// Spare ones kept, and the memory that one may hold to be kept.
const SPARE: usize = 16;
const SPARE_BYTES: usize = 1 << 20;

impl SpareStaged {
    pub(crate) fn take(&self) -> Staged {
        lock(&self.spare).pop().unwrap_or_default()
    }

    pub(crate) fn give_back(&self, mut staged: Staged) {
        staged.clear();
        let mut spare = lock(&self.spare);
        if staged.capacity() <= SPARE_BYTES && spare.len() < SPARE {
            spare.push(staged);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use tidegate_env::{Disk, OpenMode, Rng, SimDisk};
    use tidegate_record::{BatchBuilder, BuildOptions};

    #[test]
    fn what_is_written_is_the_batches_end_to_end_however_large() {
        for seed in 0..60 {
            let mut rng = Rng::new(seed);
            let disk = SimDisk::new(seed);
            let file = disk.open(Path::new("/a"), OpenMode::Create).unwrap();
            let (mut staged, mut expected, mut next) = (Staged::default(), vec![0; 7], 40);
            for _ in 0..rng.between(1, 9) {
                let large = rng.chance(40);
                let len =
                    if large { BORROW_FROM as u64 + rng.below(9_000) } else { rng.below(900) };
                let mut builder = BatchBuilder::new(BuildOptions::default());
                let value = vec![b'v'; len as usize];
                builder.push(Timestamp(1), None, Some(&value), []).unwrap();
                let mut bytes = builder.build().unwrap();
                let mut header = BatchHeader::parse(&bytes).unwrap();
                header.base_offset = Offset(next);
                header.leader_epoch = LeaderEpoch(3);
                staged.push(&header, &Bytes::copy_from_slice(&bytes));
                set_base_offset(&mut bytes, header.base_offset);
                set_leader_epoch(&mut bytes, header.leader_epoch);
                expected.extend_from_slice(&bytes);
                next += 1;
            }
            staged.write(&*file, 7).unwrap();
            assert_eq!(staged.len(), expected.len() - 7);
            assert_eq!(staged.gather(), &expected[7..]);
            let mut found = vec![0; expected.len()];
            file.read_exact_at(0, &mut found).unwrap();
            assert!(found == expected, "seed {seed}");
            staged.clear();
            assert!(staged.is_empty() && staged.contiguous() == Some(&[]));
        }
    }

    #[test]
    fn spare_ones_come_back_empty_and_large_ones_do_not() {
        let spare = SpareStaged::default();
        let staged = Staged { copied: Vec::with_capacity(SPARE_BYTES + 1), ..Staged::default() };
        spare.give_back(staged);
        assert_eq!(spare.take().capacity(), 0);
        let staged = Staged { copied: vec![1; 100], len: 100, ..Staged::default() };
        spare.give_back(staged);
        let again = spare.take();
        assert!(again.is_empty() && again.copied.capacity() >= 100);
    }
}
