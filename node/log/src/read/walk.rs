//! Walking from batch to batch by their headers.

use std::io;
use std::sync::Arc;

use tidegate_env::DiskFile;
use tidegate_record::{BatchHeader, HEADER_LEN};
use tidegate_types::Offset;

/// Read at once while looking for a batch: more while batches are small and lie close together.
const MIN_WINDOW: usize = 1 << 10;
const MAX_WINDOW: usize = 32 << 10;

/// A file's headers, one window of it in memory at a time.
pub(super) struct Walk {
    file: Arc<dyn DiskFile>,
    /// Where the walk must end.
    pub(super) len: u64,
    window: Vec<u8>,
    window_at: u64,
    step: usize,
}

impl Walk {
    pub(super) fn new(file: Arc<dyn DiskFile>, len: u64) -> Walk {
        Walk { file, len, window: Vec::new(), window_at: 0, step: MIN_WINDOW }
    }

    /// The header at `at`; `None` if there is no sound one, or the batch reaches beyond the end.
    pub(super) fn header(&mut self, at: u64) -> io::Result<Option<BatchHeader>> {
        let left = self.len.saturating_sub(at);
        if left < HEADER_LEN as u64 {
            return Ok(None);
        }
        let inside = at
            .checked_sub(self.window_at)
            .filter(|from| from.saturating_add(HEADER_LEN as u64) <= self.window.len() as u64);
        let from = match inside {
            Some(from) => from as usize,
            None => {
                let end = self.window_at + self.window.len() as u64;
                let near = !self.window.is_empty()
                    && at >= self.window_at
                    && at - self.window_at < 2 * (end - self.window_at);
                self.step = if near { (self.step * 2).min(MAX_WINDOW) } else { MIN_WINDOW };
                self.window.clear();
                self.window_at = at;
                let want = self.step.min(usize::try_from(left).unwrap_or(self.step));
                self.file.read_into(at, want, &mut self.window)?;
                0
            }
        };
        let header = BatchHeader::parse(&self.window[from..]).ok();
        Ok(header.filter(|header| header.batch_len as u64 <= left))
    }
}

/// Walks from `position` to the batch that holds `from` or follows it; the inner error is where the
/// walk met something else than a batch.
pub(super) fn find(
    walk: &mut Walk,
    position: u64,
    from: Offset,
) -> io::Result<Result<(u64, BatchHeader), u64>> {
    let (mut at, mut next) = (position, Offset::ZERO);
    loop {
        match walk.header(at)? {
            // An index that points beyond the batch sought is as wrong as one that points nowhere.
            Some(header) if at == position && position > 0 && header.base_offset > from => {
                return Ok(Err(at));
            }
            Some(header) if header.base_offset < next => return Ok(Err(at)),
            Some(header) if header.next_offset() > from => return Ok(Ok((at, header))),
            Some(header) => (at, next) = (at + header.batch_len as u64, header.next_offset()),
            None => return Ok(Err(at)),
        }
    }
}
