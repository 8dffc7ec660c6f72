//! Writes what is left of a group of segments into one new file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_env::{DiskFile, OpenMode};
use tidegate_record::BatchHeader;
use tidegate_types::{Offset, Timestamp};

use super::batches::{BatchReader, Trouble};
use super::filter::{Filter, Outcome};
use super::{Pace, Stop};
use crate::files;
use crate::index::SegmentMeta;
use crate::log::Log;
use crate::planted::Planted;
use crate::segment::{Opened, Segment};
use crate::sparse::SparseIndex;

/// Written at once.
const PIECE: usize = 1 << 20;

/// A file that is to take the place of a group's.
pub(super) struct Written {
    pub(super) path: PathBuf,
    pub(super) meta: SegmentMeta,
    pub(super) index: Arc<SparseIndex>,
    /// The group's own files, as they are read here.
    pub(super) sources: Vec<Arc<Opened>>,
}

/// Copies the group without what the filter takes out; `None` if it is one segment of which
/// nothing goes. The new file is synced, its name is not.
pub(super) fn rewrite(
    log: &Log,
    group: &[Arc<Segment>],
    filter: &mut Filter<'_>,
    pace: Pace<'_>,
) -> Result<Option<Written>, Stop> {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(None) };
    let path = files::cleaned(&log.folder, first.base);
    let mut draft = Draft::new(first.base);
    let len = group.iter().map(|segment| segment.len()).sum::<u64>();
    if !log.shared.space.has_room_for(&*log.shared.disk, len) {
        // The old files go only once the new one is there.
        return Err(Stop::Io(
            "make room for a compacted segment",
            io::ErrorKind::StorageFull.into(),
        ));
    }
    if group.len() > 1 {
        draft.begin(log, &path)?;
    }
    let mut sources = Vec::with_capacity(group.len());
    for segment in group {
        let unreadable = |trouble| Stop::Unreadable(Arc::clone(segment), trouble);
        let opened =
            segment.opened(log.id, log.context()).map_err(|e| unreadable(Trouble::Io(e)))?;
        let mut reader = BatchReader::new(Arc::clone(&opened.file), segment);
        while let Some((at, batch)) = reader.next().map_err(unreadable)? {
            let ends_file = batch.header().next_offset() >= last.next();
            let outcome = filter.judge(&batch, ends_file);
            if outcome != Outcome::Kept && draft.out.is_none() {
                draft.begin(log, &path)?;
                draft.copy(&*opened.file, at, pace)?;
            }
            match outcome {
                Outcome::Kept => draft.put(batch.bytes())?,
                Outcome::Rewritten(bytes) => draft.put(&bytes)?,
                Outcome::Dropped => {}
            }
            let moved = reader.take_read() + draft.take_written();
            if !pace(moved) {
                return Err(Stop::Overtaken);
            }
        }
        sources.push(opened);
    }
    if !draft.finish(log.shared.planted(Planted::CleanedUnsynced))? {
        return Ok(None);
    }
    let meta = SegmentMeta { next: last.next(), ..draft.meta };
    Ok(Some(Written { path, meta, index: Arc::new(draft.index), sources }))
}

fn writing(error: io::Error) -> Stop {
    Stop::Io("write a compacted segment", error)
}

struct Out {
    file: Box<dyn DiskFile>,
    /// What is not in the file yet.
    staged: Vec<u8>,
    at: u64,
}

impl Out {
    fn flush(&mut self) -> Result<(), Stop> {
        self.file.write_at(self.at, &self.staged).map_err(writing)?;
        self.at += self.staged.len() as u64;
        self.staged.clear();
        Ok(())
    }
}

/// The new file in the making. Until something is left out of a lone segment only its index is
/// made, and nothing is written.
struct Draft {
    base: Offset,
    meta: SegmentMeta,
    index: SparseIndex,
    out: Option<Out>,
    written: u64,
}

impl Draft {
    fn new(base: Offset) -> Draft {
        let meta = SegmentMeta { len: 0, next: base, max_timestamp: Timestamp::NONE };
        Draft { base, meta, index: SparseIndex::default(), out: None, written: 0 }
    }

    fn begin(&mut self, log: &Log, path: &Path) -> Result<(), Stop> {
        let file = log.shared.disk.open(path, OpenMode::Create).map_err(writing)?;
        // An earlier pass may have left it.
        file.set_len(0).map_err(writing)?;
        self.out = Some(Out { file, staged: Vec::new(), at: 0 });
        Ok(())
    }

    /// Copies what was put before anything was written.
    fn copy(&mut self, from: &dyn DiskFile, end: u64, pace: Pace<'_>) -> Result<(), Stop> {
        let Some(out) = &mut self.out else { return Ok(()) };
        let reading = |error| Stop::Io("read a segment", error);
        while out.at < end {
            let piece = usize::try_from(end - out.at).map_or(PIECE, |left| left.min(PIECE));
            out.staged.resize(piece, 0);
            from.read_exact_at(out.at, &mut out.staged).map_err(reading)?;
            out.flush()?;
            if !pace(2 * piece as u64) {
                return Err(Stop::Overtaken);
            }
        }
        Ok(())
    }

    fn put(&mut self, batch: &[u8]) -> Result<(), Stop> {
        let broken = |what: &str| writing(io::Error::new(io::ErrorKind::InvalidData, what));
        let header = BatchHeader::parse(batch).map_err(|_| broken("a batch has no header"))?;
        let position = u32::try_from(self.meta.len).map_err(|_| broken("the file is too long"))?;
        let delta = u32::try_from(header.base_offset.since(self.base))
            .map_err(|_| broken("its offsets lie too far apart"))?;
        self.index.observe(delta, position, self.meta.max_timestamp, false);
        self.meta.len += batch.len() as u64;
        self.meta.next = header.next_offset();
        self.meta.max_timestamp = self.meta.max_timestamp.max(header.max_timestamp);
        if let Some(out) = &mut self.out {
            out.staged.extend_from_slice(batch);
            self.written += batch.len() as u64;
            if out.staged.len() >= PIECE {
                out.flush()?;
            }
        }
        Ok(())
    }

    fn take_written(&mut self) -> u64 {
        std::mem::take(&mut self.written)
    }

    /// Syncs the file; false if there is none.
    fn finish(&mut self, unsynced: bool) -> Result<bool, Stop> {
        let Some(out) = &mut self.out else { return Ok(false) };
        out.flush()?;
        if unsynced {
            return Ok(true);
        }
        out.file.sync_data().map_err(|error| Stop::Io("sync a compacted segment", error))?;
        Ok(true)
    }
}
