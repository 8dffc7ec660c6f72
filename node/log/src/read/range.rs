//! What a read gives: the batches themselves, or where they are.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_env::DiskFile;
use tidegate_types::Offset;

/// Whole batches, end to end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogChunk {
    /// The batches; none at the end of what may be read.
    pub batches: Bytes,
    /// The first batch's base offset, which may lie before the offset asked for; that offset
    /// itself if there is no batch.
    pub base_offset: Offset,
    /// Where to read on.
    pub next_offset: Offset,
}

impl LogChunk {
    pub(crate) fn empty(at: Offset) -> LogChunk {
        LogChunk { batches: Bytes::new(), base_offset: at, next_offset: at }
    }

    /// Whether there is no batch in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

/// Where whole batches lie in a file, end to end; at least one.
///
/// The bytes never change, whatever becomes of the log: segments are only appended to, and a
/// segment that is removed or replaced keeps its file for as long as this is kept. What was
/// appended last may also be in memory, and is then read without the disk.
#[derive(Clone, Debug)]
pub struct FileRange {
    /// The file, for [`DiskFile::as_fd`] where the system copies by itself.
    pub file: Arc<dyn DiskFile>,
    /// Where the first batch begins in it.
    pub position: u64,
    /// Bytes of all batches.
    pub len: usize,
    /// The first batch's base offset, which may lie before the offset asked for.
    pub base_offset: Offset,
    /// Where to read on.
    pub next_offset: Offset,
    /// The same bytes, if they are in memory: all of them, in pieces; otherwise none.
    pub(crate) memory: Vec<Bytes>,
}

impl FileRange {
    /// Whether the bytes are in memory, so that [`piece`](FileRange::piece) neither reads nor
    /// blocks.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        !self.memory.is_empty()
    }

    /// Lets go of the memory, for one who will be slow: the file has the bytes too.
    pub fn release_memory(&mut self) {
        self.memory = Vec::new();
    }

    /// Some bytes from `at` on, counted from the range's start; at most `max`, and fewer only where
    /// a piece in memory or the range ends. Empty only at its end, or if `max` is 0.
    ///
    /// # Errors
    /// If the disk failed, or the file was cut from outside.
    pub fn piece(&self, at: usize, max: usize) -> io::Result<Bytes> {
        let len = max.min(self.len.saturating_sub(at));
        if len == 0 {
            return Ok(Bytes::new());
        }
        let mut skip = at;
        for piece in &self.memory {
            match skip.checked_sub(piece.len()) {
                Some(less) => skip = less,
                None => return Ok(piece.slice(skip..piece.len().min(skip + len))),
            }
        }
        let mut bytes = Vec::with_capacity(len);
        let from = self.position + at as u64;
        let read = self.file.read_into(from, len, &mut bytes)?;
        if read < len {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the file ends {read} bytes after offset {from}, {len} were wanted"),
            ));
        }
        Ok(bytes.into())
    }

    /// All bytes, in one piece.
    ///
    /// # Errors
    /// As [`piece`](FileRange::piece).
    pub fn read(&self) -> io::Result<Bytes> {
        match &*self.memory {
            [] => self.piece(0, self.len),
            [one] => Ok(one.clone()),
            many => Ok(many.concat().into()),
        }
    }
}
