//! One segment as its readers see it.
//!
//! The last segment of a log is active: its file is open and its sparse index in memory. The others
//! are closed: file and index are opened when somebody reads there, and kept among a bounded number
//! of such. What is published (`len`, `next`) only grows; everything below it is whole batches,
//! damaged ranges apart.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tidegate_env::{Disk, DiskFile, OpenMode};
use tidegate_types::{Offset, Timestamp, TopicPartition};

use crate::files;
use crate::index::{Index, SegmentMeta};
use crate::scan::Scan;
use crate::sparse::SparseIndex;
use crate::staged::Entry;

/// Closed segments whose files are kept open, over all logs of a store.
const OPENED: usize = 64;

#[derive(Debug)]
enum Body {
    /// The file is closed while its log is idle.
    Active { file: Option<Arc<dyn DiskFile>>, index: SparseIndex },
    /// The index is kept here only if the database does not have it.
    Closed { kept: Option<Arc<SparseIndex>> },
    /// Another segment took its place and its name: only those who found it before read it.
    Replaced(Arc<Opened>),
}

/// A segment; shared between the writer and all readers.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base: Offset,
    pub(crate) path: PathBuf,
    /// Tells apart the segments that had this base one after the other.
    pub(crate) generation: u64,
    len: AtomicU64,
    next: AtomicI64,
    max_timestamp: AtomicI64,
    body: RwLock<Body>,
}

impl Segment {
    pub(crate) fn active(
        folder: &Path,
        base: Offset,
        file: Arc<dyn DiskFile>,
        meta: SegmentMeta,
        index: SparseIndex,
    ) -> Segment {
        Segment::new(folder, base, meta, Body::Active { file: Some(file), index })
    }

    pub(crate) fn closed(
        folder: &Path,
        base: Offset,
        meta: SegmentMeta,
        kept: Option<Arc<SparseIndex>>,
    ) -> Segment {
        Segment::new(folder, base, meta, Body::Closed { kept })
    }

    /// One that takes the place of others, of which the first is `replaced`.
    pub(crate) fn instead_of(
        replaced: &Segment,
        folder: &Path,
        meta: SegmentMeta,
        index: Arc<SparseIndex>,
    ) -> Segment {
        let generation = replaced.generation + 1;
        let closed = Segment::closed(folder, replaced.base, meta, Some(index));
        Segment { generation, ..closed }
    }

    fn new(folder: &Path, base: Offset, meta: SegmentMeta, body: Body) -> Segment {
        Segment {
            base,
            path: files::segment(folder, base),
            generation: 0,
            len: AtomicU64::new(meta.len),
            next: AtomicI64::new(meta.next.0),
            max_timestamp: AtomicI64::new(meta.max_timestamp.0),
            body: RwLock::new(body),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    /// The offset after the last batch; the base if there is none.
    pub(crate) fn next(&self) -> Offset {
        Offset(self.next.load(Ordering::Acquire))
    }

    pub(crate) fn max_timestamp(&self) -> Timestamp {
        Timestamp(self.max_timestamp.load(Ordering::Acquire))
    }

    pub(crate) fn meta(&self) -> SegmentMeta {
        SegmentMeta { len: self.len(), next: self.next(), max_timestamp: self.max_timestamp() }
    }

    /// Length and next offset, of the same moment.
    pub(crate) fn published(&self) -> (u64, Offset) {
        let _body = self.body.read().unwrap_or_else(PoisonError::into_inner);
        (self.len(), self.next())
    }

    /// Lets readers see what was written; the batches must be in the file.
    pub(crate) fn publish(&self, meta: SegmentMeta) {
        // Held so that nobody sees one of them without the other.
        let _body = self.body.write().unwrap_or_else(PoisonError::into_inner);
        self.max_timestamp.store(meta.max_timestamp.0, Ordering::Release);
        self.next.store(meta.next.0, Ordering::Release);
        self.len.store(meta.len, Ordering::Release);
    }

    /// Notes batches in the active segment's sparse index.
    pub(crate) fn observe(&self, batches: &[Entry]) {
        let mut body = self.body.write().unwrap_or_else(PoisonError::into_inner);
        if let Body::Active { index, .. } = &mut *body {
            for Entry { delta, position, latest_before } in batches {
                index.observe(*delta, *position, *latest_before, false);
            }
        }
    }

    /// A copy of the sparse index, if the segment is active.
    pub(crate) fn active_index(&self) -> Option<SparseIndex> {
        match &*self.body.read().unwrap_or_else(PoisonError::into_inner) {
            Body::Active { index, .. } => Some(index.clone()),
            Body::Closed { .. } | Body::Replaced(_) => None,
        }
    }

    /// Entries in the sparse index, if the segment is active.
    pub(crate) fn active_entries(&self) -> usize {
        match &*self.body.read().unwrap_or_else(PoisonError::into_inner) {
            Body::Active { index, .. } => index.len(),
            Body::Closed { .. } | Body::Replaced(_) => 0,
        }
    }

    /// Keeps the file for those who still read the segment, whatever becomes of its name.
    pub(crate) fn replace(&self, opened: Arc<Opened>) {
        *self.body.write().unwrap_or_else(PoisonError::into_inner) = Body::Replaced(opened);
    }

    /// The index need not be kept: the database has it.
    pub(crate) fn forget_index(&self) {
        let mut body = self.body.write().unwrap_or_else(PoisonError::into_inner);
        if let Body::Closed { kept } = &mut *body {
            *kept = None;
        }
    }

    fn replaced(&self) -> Option<Arc<Opened>> {
        match &*self.body.read().unwrap_or_else(PoisonError::into_inner) {
            Body::Replaced(opened) => Some(Arc::clone(opened)),
            Body::Active { .. } | Body::Closed { .. } => None,
        }
    }

    /// The file and the index, opened for reading unless they are open.
    pub(crate) fn opened(
        &self,
        log: TopicPartition,
        context: Context<'_>,
    ) -> io::Result<Arc<Opened>> {
        let (file, index) = self.look(log, context, SparseIndex::clone)?;
        Ok(Arc::new(Opened { file, index: Arc::new(index) }))
    }

    /// Gives readers the active segment's file, or lets it be closed.
    pub(crate) fn set_file(&self, new: Option<Arc<dyn DiskFile>>) {
        let mut body = self.body.write().unwrap_or_else(PoisonError::into_inner);
        if let Body::Active { file, .. } = &mut *body {
            *file = new;
        }
    }

    /// Turns the active segment into a closed one.
    pub(crate) fn close(&self, kept: Option<Arc<SparseIndex>>) {
        *self.body.write().unwrap_or_else(PoisonError::into_inner) = Body::Closed { kept };
    }

    /// The file, and what `lookup` finds in the sparse index.
    pub(crate) fn look<T>(
        &self,
        log: TopicPartition,
        context: Context<'_>,
        lookup: impl FnOnce(&SparseIndex) -> T,
    ) -> io::Result<(Arc<dyn DiskFile>, T)> {
        let key = (log, self.base, self.generation);
        let kept = match &*self.body.read().unwrap_or_else(PoisonError::into_inner) {
            Body::Active { file: Some(file), index } => {
                return Ok((Arc::clone(file), lookup(index)));
            }
            Body::Active { file: None, index } => {
                let file = match context.opened.get(key) {
                    Some(opened) => Arc::clone(&opened.file),
                    None => {
                        let file = context.disk.open(&self.path, OpenMode::Read)?.into();
                        // The segment's own index is looked at as long as it is active.
                        let opened = Opened { file, index: Arc::default() };
                        Arc::clone(&context.opened.put(key, opened).file)
                    }
                };
                return Ok((file, lookup(index)));
            }
            Body::Closed { kept } => kept.clone(),
            Body::Replaced(opened) => {
                return Ok((Arc::clone(&opened.file), lookup(&opened.index)));
            }
        };
        let opened = match context.opened.get(key) {
            Some(opened) => opened,
            None => {
                let open = || -> io::Result<Opened> {
                    let file = context.disk.open(&self.path, OpenMode::Read)?;
                    let index = self.closed_index(log, context.index, kept, &*file)?;
                    Ok(Opened { file: file.into(), index })
                };
                let found = open();
                // It may be gone already, or be the file that took this one's name.
                match self.replaced() {
                    Some(opened) => opened,
                    None => context.opened.put(key, found?),
                }
            }
        };
        Ok((Arc::clone(&opened.file), lookup(&opened.index)))
    }

    fn closed_index(
        &self,
        log: TopicPartition,
        index: &Index,
        kept: Option<Arc<SparseIndex>>,
        file: &dyn DiskFile,
    ) -> io::Result<Arc<SparseIndex>> {
        if let Some(kept) = kept {
            return Ok(kept);
        }
        if let Ok(Some(sparse)) = index.sparse(log, self.base) {
            return Ok(Arc::new(sparse));
        }
        tracing::warn!(path = %self.path.display(), "the index lacks a segment; reading it whole");
        self.rebuild_index(file).map(Arc::new)
    }

    /// Reads the whole file for its index, up to the first bytes that are no batch.
    fn rebuild_index(&self, file: &dyn DiskFile) -> io::Result<SparseIndex> {
        let mut index = SparseIndex::default();
        let mut scan = Scan::new(file)?;
        let (mut at, mut next, mut latest) = (0, self.base, Timestamp::NONE);
        while let Some(header) = scan.batch(at, next)? {
            let (Ok(delta), Ok(position)) =
                (u32::try_from(header.base_offset.since(self.base)), u32::try_from(at))
            else {
                break;
            };
            index.observe(delta, position, latest, false);
            latest = latest.max(header.max_timestamp);
            (at, next) = (at + header.batch_len as u64, header.next_offset());
        }
        Ok(index)
    }
}

/// What closed segments are opened with.
#[derive(Clone, Copy)]
pub(crate) struct Context<'s> {
    pub(crate) disk: &'s dyn Disk,
    pub(crate) index: &'s Index,
    pub(crate) opened: &'s OpenedSegments,
}

/// A closed segment that is being read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) index: Arc<SparseIndex>,
}

/// The log, and the segment's base and generation.
type OpenedKey = (TopicPartition, Offset, u64);

/// The closed segments read most recently, the latest last.
#[derive(Debug, Default)]
pub(crate) struct OpenedSegments {
    entries: Mutex<VecDeque<(OpenedKey, Arc<Opened>)>>,
}

impl OpenedSegments {
    fn get(&self, key: OpenedKey) -> Option<Arc<Opened>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let at = entries.iter().rposition(|(of, _)| *of == key)?;
        let entry = entries.remove(at)?;
        let opened = Arc::clone(&entry.1);
        entries.push_back(entry);
        Some(opened)
    }

    pub(crate) fn put(&self, key: OpenedKey, opened: Opened) -> Arc<Opened> {
        let opened = Arc::new(opened);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // What was opened while the segment was active knows nothing of its index.
        entries.retain(|(of, _)| *of != key);
        entries.push_back((key, Arc::clone(&opened)));
        if entries.len() > OPENED {
            entries.pop_front();
        }
        opened
    }

    pub(crate) fn forget_segment(&self, log: TopicPartition, base: Offset) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|((of, at, _), _)| (*of, *at) != (log, base));
    }

    pub(crate) fn forget(&self, log: TopicPartition) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|((of, ..), _)| *of != log);
    }
}
