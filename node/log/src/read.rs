//! Reading a log: whole batches out of memory or the files, never through the writer thread.
//!
//! What was appended last is in memory while somebody reads at the end. Below that the sparse index
//! says where to begin; from there headers are walked. What is found is checked for structure
//! (sizes, rising offsets), not for its CRC: whoever takes the batches verifies that. Where the
//! structure is broken the index is tried without, then the range up to the next indexed batch is
//! reported as damaged.
//!
//! Locating reads headers only at both edges. What lies between is bounded by known damage but not
//! looked at.

mod range;
mod reader;
mod time;
mod walk;

use std::io;
use std::sync::Arc;

use tidegate_env::DiskFile;
use tidegate_record::BatchHeader;
use tidegate_types::{ByteSize, Offset};

use crate::log::Log;
use crate::segment::Segment;
use crate::{DamageRange, ReadError};
use reader::{Memory, Shared, Stopped};
use walk::{Walk, find};

pub use range::{FileRange, LogChunk};
pub use reader::LogReader;
pub(crate) use reader::ReadHints;

/// What a segment has for a read.
enum Found<T> {
    Some(T),
    /// Its first batch reaches beyond where the read must stop.
    Beyond,
    /// All of it lies before the offset asked for.
    Nothing,
}

/// What one read wants.
#[derive(Clone, Copy)]
struct Wanted {
    from: Offset,
    /// No batch may reach beyond this.
    stop: Offset,
    max: usize,
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
        self.read_by(&mut Shared(self), from, end, max)
    }

    pub(crate) fn locate(
        &self,
        from: Offset,
        end: Offset,
        max: ByteSize,
    ) -> Result<Option<FileRange>, ReadError> {
        self.locate_by(&mut Shared(self), from, end, max)
    }

    fn read_by(
        &self,
        memory: &mut dyn Memory,
        from: Offset,
        end: Offset,
        max: ByteSize,
    ) -> Result<LogChunk, ReadError> {
        if let Some(range) = self.locate_tail(from, end, max)? {
            let FileRange { base_offset, next_offset, .. } = range;
            let path = || self.segments().last().map_or_else(Default::default, |s| s.path.clone());
            let batches = range.read().map_err(|source| ReadError::Io { path: path(), source })?;
            return Ok(LogChunk { batches, base_offset, next_offset });
        }
        let found = self.unless_removed(|| {
            self.each_segment(from, end, |segment, stop| {
                let wanted = Wanted { from, stop, max: max.as_usize() };
                self.read_segment(segment, memory, wanted)
            })
        })?;
        let chunk = found.unwrap_or_else(|| LogChunk::empty(from));
        self.note_tail(chunk.next_offset, end);
        Ok(chunk)
    }

    fn locate_by(
        &self,
        memory: &mut dyn Memory,
        from: Offset,
        end: Offset,
        max: ByteSize,
    ) -> Result<Option<FileRange>, ReadError> {
        if let Some(range) = self.locate_tail(from, end, max)? {
            return Ok(Some(range));
        }
        let found = self.unless_removed(|| {
            self.each_segment(from, end, |segment, stop| {
                let wanted = Wanted { from, stop, max: max.as_usize() };
                self.locate_segment(segment, memory, wanted)
            })
        })?;
        self.note_tail(found.as_ref().map_or(from, |range| range.next_offset), end);
        Ok(found)
    }

    /// What the log's tail has in memory. Reads nothing.
    pub(crate) fn locate_tail(
        &self,
        from: Offset,
        end: Offset,
        max: ByteSize,
    ) -> Result<Option<FileRange>, ReadError> {
        self.check_readable()?;
        let offsets = self.offsets();
        if from < offsets.start {
            return Ok(None);
        }
        let stop = end.min(offsets.end);
        Ok(self.shared.tails.find(&self.tail, from, stop, max.as_usize()))
    }

    /// Somebody who has read all there is will soon want what comes next.
    fn note_tail(&self, next: Offset, end: Offset) {
        if next >= end.min(self.offsets().end) {
            self.shared.tails.note_reader(&self.tail);
        }
    }

    /// Tries again where a segment was removed between being found and being opened: the log's
    /// start has moved then, or another segment holds the records.
    fn unless_removed<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, ReadError>,
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

    /// What the first segment that has something gives; `None` at the end of what may be read.
    fn each_segment<T>(
        &self,
        from: Offset,
        end: Offset,
        mut read: impl FnMut(&Arc<Segment>, Offset) -> Result<Found<T>, ReadError>,
    ) -> Result<Option<T>, ReadError> {
        self.check_readable()?;
        let offsets = self.offsets();
        if from < offsets.start || from > offsets.end {
            let (start, end) = (offsets.start, offsets.end);
            return Err(ReadError::OutOfRange { offset: from, start, end });
        }
        let end = end.min(offsets.end);
        if from >= end {
            return Ok(None);
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
            if segment.base >= stop {
                break;
            }
            match read(segment, stop)? {
                Found::Some(found) => return Ok(Some(found)),
                Found::Beyond => break,
                Found::Nothing => {}
            }
        }
        match damage {
            // Between `from` and the damage there is only a hole.
            Some(range) => Err(ReadError::Damaged { range }),
            None => Ok(None),
        }
    }

    fn read_segment(
        &self,
        segment: &Arc<Segment>,
        memory: &mut dyn Memory,
        wanted: Wanted,
    ) -> Result<Found<LogChunk>, ReadError> {
        let Wanted { from, stop, max } = wanted;
        let (len, next) = segment.published();
        if next <= from {
            return Ok(Found::Nothing);
        }
        let io = |source| ReadError::Io { path: segment.path.clone(), source };
        // A batch that claims to reach beyond its segment would hide what the next one holds.
        let within = stop.min(next);
        let (mut position, mut bytes) = (0, Vec::new());
        // One who reads on needs no search, and no look at what comes first.
        if let Some(known) = memory.position(from, segment) {
            position = known;
            let (file, ()) = segment.look(self.id, self.context(), |_| ()).map_err(io)?;
            read_at(&*file, position, len, max, &mut bytes).map_err(io)?;
        }
        let mut whole = Whole::of(&bytes, within);
        if let Whole::Nothing = whole {
            let start = self.search(segment, len, from)?;
            position = start.position;
            bytes = Vec::new();
            let max = max.max(start.header.batch_len);
            read_at(&*start.file, position, len, max, &mut bytes).map_err(io)?;
            whole = Whole::of(&bytes, within);
        }
        match whole {
            Whole::Batches { len, base_offset, next_offset } => {
                bytes.truncate(len);
                let position = position + len as u64;
                let segment = Arc::downgrade(segment);
                memory.stopped(Stopped { next: next_offset, segment, position });
                Ok(Found::Some(LogChunk { batches: bytes.into(), base_offset, next_offset }))
            }
            Whole::Beyond => match BatchHeader::parse(&bytes) {
                Ok(header) if header.next_offset() > next => {
                    Err(self.damaged(segment, position, from))
                }
                _ => Ok(Found::Beyond),
            },
            Whole::Nothing => Err(self.damaged(segment, position, from)),
        }
    }

    fn locate_segment(
        &self,
        segment: &Arc<Segment>,
        memory: &mut dyn Memory,
        wanted: Wanted,
    ) -> Result<Found<FileRange>, ReadError> {
        let Wanted { from, stop, max } = wanted;
        let (len, next) = segment.published();
        if next <= from {
            return Ok(Found::Nothing);
        }
        let io = |source| ReadError::Io { path: segment.path.clone(), source };
        let mut start = None;
        if let Some(position) = memory.position(from, segment) {
            let (file, ()) = segment.look(self.id, self.context(), |_| ()).map_err(io)?;
            let mut walk = Walk::new(Arc::clone(&file), len);
            let header = walk.header(position).map_err(io)?;
            start = header.map(|header| Start { file, walk, position, header });
        }
        let Start { file, mut walk, position, header } = match start {
            Some(start) => start,
            None => self.search(segment, len, from)?,
        };
        if header.next_offset() > next {
            // No batch reaches beyond its segment: readers would wait here for ever.
            return Err(self.damaged(segment, position, from));
        }
        if header.next_offset() > stop {
            return Ok(Found::Beyond);
        }
        let limit = position.saturating_add(max as u64).min(len);
        let (end, next_offset) = if limit == len && next <= stop {
            (len, next)
        } else {
            let first = (position + header.batch_len as u64, header.next_offset());
            self.edge(segment, &mut walk, first, limit, stop).map_err(io)?
        };
        let of = Arc::downgrade(segment);
        memory.stopped(Stopped { next: next_offset, segment: of, position: end });
        // Segments are far below 4 GiB.
        let len = usize::try_from(end - position).unwrap_or(usize::MAX);
        let base_offset = header.base_offset;
        let memory = Vec::new();
        Ok(Found::Some(FileRange { file, position, len, base_offset, next_offset, memory }))
    }

    /// The first batch of a segment that ends after `from`.
    fn search(&self, segment: &Segment, len: u64, from: Offset) -> Result<Start, ReadError> {
        let io = |source| ReadError::Io { path: segment.path.clone(), source };
        let delta = u64::try_from(from.since(segment.base)).unwrap_or(0);
        let (file, indexed) =
            segment.look(self.id, self.context(), |index| index.position_of(delta)).map_err(io)?;
        let mut walk = Walk::new(Arc::clone(&file), len);
        let mut found = find(&mut walk, indexed, from).map_err(io)?;
        if found.is_err() && indexed > 0 {
            found = find(&mut walk, 0, from).map_err(io)?;
        }
        match found {
            Ok((position, header)) => Ok(Start { file, walk, position, header }),
            Err(bad) => Err(self.damaged(segment, bad, from)),
        }
    }

    /// Where the last batch ends that lies before `limit` in the file and before `stop` in the log,
    /// and where to read on then; `first` if there is none after it.
    fn edge(
        &self,
        segment: &Segment,
        walk: &mut Walk,
        first: (u64, Offset),
        limit: u64,
        stop: Offset,
    ) -> io::Result<(u64, Offset)> {
        let (mut at, mut next) = first;
        let delta = u64::try_from(stop.since(segment.base)).unwrap_or(0);
        // An entry at the very end stands for a batch that is about to be written there.
        let last = limit.min(walk.len.saturating_sub(1));
        let (_, jump) =
            segment.look(self.id, self.context(), |index| index.last_within(last, delta))?;
        if let Some((delta, position)) = jump.filter(|(_, position)| *position > at) {
            let offset = segment.base.advance(i64::from(delta));
            let there = walk.header(position)?.is_some_and(|header| header.base_offset == offset);
            if there && offset >= next {
                (at, next) = (position, offset);
            }
        }
        while let Some(header) = walk.header(at)? {
            let end = at + header.batch_len as u64;
            if end > limit || header.base_offset < next || header.next_offset() > stop {
                break;
            }
            (at, next) = (end, header.next_offset());
        }
        Ok((at, next))
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
}

/// Reads about `max` bytes at `position` of a segment that has `len`.
fn read_at(
    file: &dyn DiskFile,
    position: u64,
    len: u64,
    max: usize,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let left = usize::try_from(len.saturating_sub(position)).unwrap_or(usize::MAX);
    let want = max.min(left);
    let read = file.read_into(position, want, out)?;
    if read < want {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("the file ends {read} bytes after offset {position}, {want} were wanted"),
        ));
    }
    Ok(())
}

/// Where a read begins.
struct Start {
    file: Arc<dyn DiskFile>,
    walk: Walk,
    position: u64,
    header: BatchHeader,
}

/// What bytes that begin with a batch hold of whole ones.
pub(crate) enum Whole {
    Batches {
        len: usize,
        base_offset: Offset,
        next_offset: Offset,
    },
    /// The first one reaches beyond where to stop.
    Beyond,
    /// The first one is not whole, or none.
    Nothing,
}

impl Whole {
    /// Batches up to `stop`, for as long as their offsets rise.
    pub(crate) fn of(bytes: &[u8], stop: Offset) -> Whole {
        let Some(first) = Whole::header(bytes) else { return Whole::Nothing };
        if first.next_offset() > stop {
            return Whole::Beyond;
        }
        let (mut len, mut next) = (first.batch_len, first.next_offset());
        while let Some(header) = Whole::header(&bytes[len..])
            && header.base_offset >= next
            && header.next_offset() <= stop
        {
            (len, next) = (len + header.batch_len, header.next_offset());
        }
        Whole::Batches { len, base_offset: first.base_offset, next_offset: next }
    }

    /// The header of a batch that is there to its end.
    pub(crate) fn header(bytes: &[u8]) -> Option<BatchHeader> {
        BatchHeader::parse(bytes).ok().filter(|header| header.batch_len <= bytes.len())
    }
}
