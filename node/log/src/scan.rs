//! Walks a segment's bytes from batch to batch, verifying each; finds where they go on after bytes
//! that are no batch.
//!
//! Used by recovery, and to rebuild what the index lost. Knows nothing of what is durable: what a
//! bad batch means is for its caller to say.

use std::io;

use tidegate_env::DiskFile;
use tidegate_record::{Batch, BatchHeader, HEADER_LEN, peek_len};
use tidegate_types::Offset;

/// Read at once; a batch that is larger is read by itself.
const WINDOW: usize = 4 << 20;

/// Read first: behind a checkpoint there is little to find but zeros. Each further read takes twice
/// as much as the one before.
const FIRST: usize = 64 << 10;

/// A file's bytes, of which a window is in memory.
pub(crate) struct Scan<'f> {
    file: &'f dyn DiskFile,
    len: u64,
    window: Vec<u8>,
    window_at: u64,
    /// How much is read next.
    step: usize,
}

impl<'f> Scan<'f> {
    pub(crate) fn new(file: &'f dyn DiskFile) -> io::Result<Scan<'f>> {
        Ok(Scan { file, len: file.len()?, window: Vec::new(), window_at: 0, step: FIRST })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Up to `want` bytes at `at`; fewer only where the file ends.
    fn bytes(&mut self, at: u64, want: usize) -> io::Result<&[u8]> {
        let want = want.min(usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX));
        let inside = at
            .checked_sub(self.window_at)
            .and_then(|from| usize::try_from(from).ok())
            .filter(|from| from.saturating_add(want) <= self.window.len());
        let from = match inside {
            Some(from) => from,
            None => {
                let room = usize::try_from(self.len - at.min(self.len)).unwrap_or(usize::MAX);
                self.window.resize(room.min(self.step.max(want)), 0);
                self.window_at = at;
                self.step = (self.step * 2).min(WINDOW);
                let read = self.file.read_at(at, &mut self.window)?;
                self.window.truncate(read);
                0
            }
        };
        let available = &self.window[from..];
        Ok(&available[..want.min(available.len())])
    }

    /// The batch at `at`, if its bytes are whole, its CRC right, and its offsets not before `floor`.
    pub(crate) fn batch(&mut self, at: u64, floor: Offset) -> io::Result<Option<BatchHeader>> {
        let Ok(Some(len)) = peek_len(self.bytes(at, HEADER_LEN)?) else { return Ok(None) };
        let bytes = self.bytes(at, len)?;
        let batch = Batch::parse(bytes).ok();
        Ok(batch.map(|(batch, _)| *batch.header()).filter(|header| header.base_offset >= floor))
    }

    /// The whole batch at `at`, or what is wrong with it, in words.
    pub(crate) fn verify(
        &mut self,
        at: u64,
        floor: Offset,
    ) -> io::Result<Result<Batch<'_>, String>> {
        let left = self.len.saturating_sub(at);
        if left < HEADER_LEN as u64 {
            return Ok(Err(format!("the file ends {left} bytes after it")));
        }
        let len = match BatchHeader::parse(self.bytes(at, HEADER_LEN)?) {
            Err(error) => return Ok(Err(error.to_string())),
            Ok(header) if header.batch_len as u64 > left => {
                let need = header.batch_len;
                return Ok(Err(format!("batch is cut off: the file has {left} bytes of {need}")));
            }
            Ok(header) if header.base_offset < floor => {
                let base = header.base_offset;
                return Ok(Err(format!("base offset {base} lies before {floor}")));
            }
            Ok(header) => header.batch_len,
        };
        Ok(Batch::parse(self.bytes(at, len)?).map(|(batch, _)| batch).map_err(|e| e.to_string()))
    }

    /// The header at `at`, whatever follows it.
    pub(crate) fn header(&mut self, at: u64) -> io::Result<Option<BatchHeader>> {
        let left = self.len.saturating_sub(at);
        let header = BatchHeader::parse(self.bytes(at, HEADER_LEN)?).ok();
        Ok(header.filter(|header| header.batch_len as u64 <= left))
    }

    /// Whether there are zeros at `at`, for as long as a header is.
    pub(crate) fn is_zero_at(&mut self, at: u64) -> io::Result<bool> {
        Ok(self.bytes(at, HEADER_LEN)?.iter().all(|byte| *byte == 0))
    }

    /// Whether only zeros follow from `at` on.
    pub(crate) fn is_zero_from(&mut self, at: u64) -> io::Result<bool> {
        let mut at = at;
        while at < self.len {
            let bytes = self.bytes(at, WINDOW)?;
            if bytes.is_empty() || bytes.iter().any(|byte| *byte != 0) {
                return Ok(bytes.is_empty());
            }
            at += bytes.len() as u64;
        }
        Ok(true)
    }

    /// Where batches go on after the bad bytes at `bad`: the next position of a batch that starts
    /// at or after `floor`. `None` if none does.
    ///
    /// The bad batch's own length is believed first, and that of bad ones behind it, if that leads
    /// to a batch. Failing that every position is tried, and one counts only if batch follows batch
    /// from there to the end, or to `durable`, behind which anything may lie: a record may hold a
    /// batch.
    pub(crate) fn resume_after(
        &mut self,
        bad: u64,
        floor: Offset,
        durable: Option<Offset>,
    ) -> io::Result<Option<u64>> {
        let mut at = bad;
        while let Ok(Some(len)) = peek_len(self.bytes(at, HEADER_LEN)?) {
            at += len as u64;
            if self.batch(at, floor)?.is_some() {
                return Ok(Some(at));
            }
            if self.header(at)?.is_none_or(|header| header.base_offset < floor) {
                break;
            }
        }
        let mut at = bad + 1;
        while at + HEADER_LEN as u64 <= self.len {
            // A header's cheap tells, over a window at a time.
            let bytes = self.bytes(at, WINDOW)?;
            if bytes.len() < HEADER_LEN {
                break;
            }
            let positions = bytes.len() - HEADER_LEN + 1;
            let found = (0..positions).find(|from| {
                BatchHeader::parse(&bytes[*from..]).is_ok_and(|header| header.base_offset >= floor)
            });
            let Some(found) = found else {
                at += positions as u64;
                continue;
            };
            at += found as u64;
            if self.runs_to_the_end(at, floor, durable)? {
                return Ok(Some(at));
            }
            at += 1;
        }
        Ok(None)
    }

    fn runs_to_the_end(
        &mut self,
        from: u64,
        floor: Offset,
        durable: Option<Offset>,
    ) -> io::Result<bool> {
        let (mut at, mut next) = (from, floor);
        while let Some(header) = self.batch(at, next)? {
            at += header.batch_len as u64;
            next = header.next_offset();
        }
        let all_durable = durable.is_some_and(|durable| next >= durable);
        Ok(at > from && (all_durable || self.is_zero_from(at)?))
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
