//! Reading a log: whole batches out of the files, never through the writer thread.
//!
//! The sparse index says where to begin; from there headers are walked. What is found is checked
//! for structure (sizes, rising offsets), not for its CRC: whoever takes the batches verifies that.
//! Where the structure is broken the index is tried without, then the range up to the next indexed
//! batch is reported as damaged.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_env::DiskFile;
use tidegate_record::{Batch, BatchHeader, HEADER_LEN, TimestampType};
use tidegate_types::{ByteSize, Offset, Timestamp};

use crate::log::{Log, lock};
use crate::segment::Segment;
use crate::{DamageRange, ReadError};

/// Read at once while looking for a batch.
const WINDOW: usize = 32 << 10;

/// Readers remembered per log, so that each goes on where it stopped without a search.
const HINTS: usize = 16;

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
    fn empty(at: Offset) -> LogChunk {
        LogChunk { batches: Bytes::new(), base_offset: at, next_offset: at }
    }

    /// Whether there is no batch in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

/// Where the latest reads stopped: offset, segment, position.
#[derive(Debug, Default)]
pub(crate) struct ReadHints {
    stopped: VecDeque<(Offset, Offset, u64)>,
}

impl ReadHints {
    fn take(&mut self, from: Offset, segment: Offset) -> Option<u64> {
        let at = self.stopped.iter().position(|hint| (hint.0, hint.1) == (from, segment))?;
        self.stopped.get(at).map(|hint| hint.2)
    }

    fn put(&mut self, next: Offset, segment: Offset, position: u64) {
        self.stopped.retain(|hint| hint.0 != next);
        if self.stopped.len() == HINTS {
            self.stopped.pop_front();
        }
        self.stopped.push_back((next, segment, position));
    }
}

/// A file's headers, one window of it in memory at a time.
struct Walk {
    file: Arc<dyn DiskFile>,
    len: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl Walk {
    fn new(file: Arc<dyn DiskFile>, len: u64) -> Walk {
        Walk { file, len, window: Vec::new(), window_at: 0 }
    }

    /// The header at `at`; `None` if there is no sound one, or the batch reaches beyond the end.
    fn header(&mut self, at: u64) -> io::Result<Option<BatchHeader>> {
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
                self.window.resize(WINDOW.min(usize::try_from(left).unwrap_or(WINDOW)), 0);
                self.window_at = at;
                let read = self.file.read_at(at, &mut self.window)?;
                self.window.truncate(read);
                0
            }
        };
        let header = BatchHeader::parse(&self.window[from..]).ok();
        Ok(header.filter(|header| header.batch_len as u64 <= left))
    }
}

/// What a segment has for a read.
enum Found {
    Chunk(LogChunk),
    /// Its first batch reaches beyond where the read must stop.
    Beyond,
    /// All of it lies before the offset asked for.
    Nothing,
}

impl Log {
    fn check_readable(&self) -> Result<(), ReadError> {
        let deleted = self.deleted.load(std::sync::atomic::Ordering::Acquire);
        if deleted || self.shared.is_closed() { Err(ReadError::Closed) } else { Ok(()) }
    }

    pub(crate) fn read(
        &self,
        from: Offset,
        end: Offset,
        max: ByteSize,
    ) -> Result<LogChunk, ReadError> {
        self.unless_removed(|| self.try_read(from, end, max))
    }

    /// Tries again where a segment was removed between being found and being opened: the log's
    /// start has moved then, or another segment holds the records.
    fn unless_removed<T>(
        &self,
        attempt: impl Fn() -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        loop {
            let before = self.segments();
            match attempt() {
                Err(ReadError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound
                        && !Arc::ptr_eq(&before, &self.segments()) => {}
                result => return result,
            }
        }
    }

    fn try_read(&self, from: Offset, end: Offset, max: ByteSize) -> Result<LogChunk, ReadError> {
        self.check_readable()?;
        let offsets = self.offsets();
        if from < offsets.start || from > offsets.end {
            let (start, end) = (offsets.start, offsets.end);
            return Err(ReadError::OutOfRange { offset: from, start, end });
        }
        let end = end.min(offsets.end);
        if from >= end {
            return Ok(LogChunk::empty(from));
        }
        // The first damage that ends after `from`: either `from` is in it or reading stops there.
        let damage = self.damage_within(from, end);
        let stop = match damage {
            Some(range) if range.contains(from) => {
                return Err(ReadError::Damaged { range });
            }
            Some(range) => range.from,
            None => end,
        };
        let segments = self.segments();
        let first = segments.partition_point(|segment| segment.base <= from).saturating_sub(1);
        for segment in &segments[first..] {
            match self.read_segment(segment, from, stop, max)? {
                Found::Chunk(chunk) => return Ok(chunk),
                Found::Beyond => break,
                Found::Nothing => {}
            }
        }
        match damage {
            // Between `from` and the damage there is only a hole.
            Some(range) => Err(ReadError::Damaged { range }),
            None => Ok(LogChunk::empty(from)),
        }
    }

    fn read_segment(
        &self,
        segment: &Segment,
        from: Offset,
        stop: Offset,
        max: ByteSize,
    ) -> Result<Found, ReadError> {
        if segment.next() <= from {
            return Ok(Found::Nothing);
        }
        if segment.base >= stop {
            return Ok(Found::Beyond);
        }
        let io = |source| ReadError::Io { path: segment.path.clone(), source };
        let delta = u64::try_from(from.since(segment.base)).unwrap_or(0);
        let hint = lock(&self.hints).take(from, segment.base);
        let (file, indexed) = segment
            .look(self.id, self.context(), |index| hint.unwrap_or_else(|| index.position_of(delta)))
            .map_err(io)?;

        let mut walk = Walk::new(Arc::clone(&file), segment.len());
        let mut found = find(&mut walk, indexed, from).map_err(io)?;
        if found.is_err() && indexed > 0 {
            found = find(&mut walk, 0, from).map_err(io)?;
        }
        let (position, header) = match found {
            Ok(found) => found,
            Err(bad) => return Err(self.damaged(segment, bad, from)),
        };
        if header.next_offset() > stop {
            return Ok(Found::Beyond);
        }

        let want = max.as_usize().max(header.batch_len);
        let left = usize::try_from(walk.len - position).unwrap_or(usize::MAX);
        let mut bytes = vec![0; want.min(left)];
        file.read_exact_at(position, &mut bytes).map_err(io)?;
        let (mut whole, mut next) = (0, header.base_offset);
        while let Ok(header) = BatchHeader::parse(&bytes[whole..]) {
            let after = whole + header.batch_len;
            if after > bytes.len() || header.base_offset < next || header.next_offset() > stop {
                break;
            }
            (whole, next) = (after, header.next_offset());
        }
        bytes.truncate(whole);
        lock(&self.hints).put(next, segment.base, position + whole as u64);
        let base_offset = header.base_offset;
        Ok(Found::Chunk(LogChunk { batches: bytes.into(), base_offset, next_offset: next }))
    }

    /// The range that is lost where a header at `bad` is not sound.
    fn damaged(&self, segment: &Segment, bad: u64, from: Offset) -> ReadError {
        let next = segment
            .look(self.id, self.context(), |index| index.next_after(bad, segment.base))
            .ok()
            .and_then(|(_, next)| next);
        let end = next.map_or(segment.next(), |(offset, _)| offset).max(from.advance(1));
        tracing::error!(
            log = %self.id, path = %segment.path.display(), position = bad,
            "the segment is damaged: there is no batch where one must be"
        );
        ReadError::Damaged { range: DamageRange { from, end } }
    }

    pub(crate) fn offset_for_time(
        &self,
        time: Timestamp,
    ) -> Result<Option<(Offset, Timestamp)>, ReadError> {
        self.unless_removed(|| self.try_offset_for_time(time))
    }

    fn try_offset_for_time(
        &self,
        time: Timestamp,
    ) -> Result<Option<(Offset, Timestamp)>, ReadError> {
        self.check_readable()?;
        let (offsets, segments) = (self.offsets(), self.segments());
        let mut scratch = Vec::new();
        for segment in segments.iter().filter(|segment| segment.max_timestamp() >= time) {
            let io = |source| ReadError::Io { path: segment.path.clone(), source };
            let (file, mut at) = segment
                .look(self.id, self.context(), |index| index.position_of_time(time))
                .map_err(io)?;
            let mut walk = Walk::new(Arc::clone(&file), segment.len());
            while at < walk.len {
                let Some(header) = walk.header(at).map_err(io)? else {
                    // Damage: go on at the next batch that is known to be one.
                    let next = |index: &crate::SparseIndex| index.next_after(at, segment.base);
                    let (_, next) = segment.look(self.id, self.context(), next).map_err(io)?;
                    let Some((_, position)) = next else { break };
                    at = position;
                    continue;
                };
                if header.next_offset() > offsets.end {
                    return Ok(None);
                }
                if header.max_timestamp >= time && header.next_offset() > offsets.start {
                    let mut bytes = vec![0; header.batch_len];
                    file.read_exact_at(at, &mut bytes).map_err(io)?;
                    match first_at(&bytes, time, offsets.start, &mut scratch) {
                        Ok(None) => {}
                        Ok(found) => return Ok(found),
                        Err(_) => return Err(self.damaged(segment, at, header.base_offset)),
                    }
                }
                at += header.batch_len as u64;
            }
        }
        Ok(None)
    }
}

/// Walks from `position` to the batch that holds `from` or follows it; the inner error is where the
/// walk met something else than a batch.
fn find(
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

/// The batch's first record at or after `time` whose offset is not before `start`.
fn first_at(
    bytes: &[u8],
    time: Timestamp,
    start: Offset,
    scratch: &mut Vec<u8>,
) -> Result<Option<(Offset, Timestamp)>, tidegate_record::BatchError> {
    let (batch, _) = Batch::parse(bytes)?;
    let header = *batch.header();
    if header.attributes.timestamp_type() == TimestampType::LogAppendTime {
        return Ok(Some((header.base_offset.max(start), header.max_timestamp)));
    }
    for record in batch.body(scratch)? {
        let record = record?;
        let (offset, timestamp) = (header.offset_of(&record), header.timestamp_of(&record));
        if timestamp >= time && offset >= start {
            return Ok(Some((offset, timestamp)));
        }
    }
    Ok(None)
}
