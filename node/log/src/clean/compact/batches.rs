//! A closed segment's batches from end to end, verified, read in pieces of bounded size.

use std::io;
use std::sync::Arc;

use tidegate_env::DiskFile;
use tidegate_record::{Batch, HEADER_LEN, peek_len};
use tidegate_types::Offset;

use crate::segment::Segment;

/// Read at once.
const PIECE: usize = 1 << 20;

/// Why a segment cannot be cleaned.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The disk failed.
    Io(io::Error),
    /// There is no batch at this position, though the one with this offset must be.
    Damaged { at: u64, from: Offset },
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Io(error)
    }
}

/// Reads one segment.
pub(super) struct BatchReader {
    file: Arc<dyn DiskFile>,
    len: u64,
    /// The offset after the last batch. A file may go on behind it: a cut can be lost to a power cut.
    end: Offset,
    /// What was read and not given yet begins at `given` in `piece`, and at `at` in the file.
    piece: Vec<u8>,
    given: usize,
    at: u64,
    /// Where the next batch may begin.
    floor: Offset,
    /// Bytes read from the disk since this was asked last.
    read: u64,
}

impl BatchReader {
    pub(super) fn new(file: Arc<dyn DiskFile>, segment: &Segment) -> BatchReader {
        BatchReader {
            file,
            len: segment.len(),
            end: segment.next(),
            piece: Vec::new(),
            given: 0,
            at: 0,
            floor: segment.base,
            read: 0,
        }
    }

    /// Bytes read from the disk since the last call.
    pub(super) fn take_read(&mut self) -> u64 {
        std::mem::take(&mut self.read)
    }

    /// The next batch and its position; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Batch<'_>)>, Trouble> {
        let at = self.at;
        if at >= self.len || self.floor >= self.end {
            return Ok(None);
        }
        let damaged = Trouble::Damaged { at, from: self.floor };
        if !self.have(HEADER_LEN)? {
            return Err(damaged);
        }
        let Ok(Some(len)) = peek_len(&self.piece[self.given..]) else { return Err(damaged) };
        if !self.have(len)? {
            return Err(damaged);
        }
        let begin = self.given;
        let Ok((batch, _)) = Batch::parse(&self.piece[begin..begin + len]) else {
            return Err(damaged);
        };
        if batch.header().base_offset < self.floor {
            return Err(damaged);
        }
        self.floor = batch.header().next_offset();
        self.given += len;
        self.at += len as u64;
        Ok(Some((at, batch)))
    }

    /// Makes `want` bytes available; false if the segment ends before.
    fn have(&mut self, want: usize) -> io::Result<bool> {
        if self.piece.len() - self.given >= want {
            return Ok(true);
        }
        let left = usize::try_from(self.len - self.at).unwrap_or(usize::MAX);
        if left < want {
            return Ok(false);
        }
        self.piece.drain(..self.given);
        self.given = 0;
        let had = self.piece.len();
        self.piece.resize(want.max(PIECE).min(left), 0);
        let read = self.file.read_at(self.at + had as u64, &mut self.piece[had..])?;
        self.piece.truncate(had + read);
        self.read += read as u64;
        Ok(self.piece.len() >= want)
    }
}
