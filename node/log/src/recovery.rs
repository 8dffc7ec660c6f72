//! Opening a log: what its files hold is brought together with what the index knows.
//!
//! A file that the index knows and whose length agrees is taken as it is. Every other one is
//! scanned, each batch verified: the last one after a crash, all of them if the index was lost.
//! Where a scan meets bytes that are no batch, what they are depends on what was durable:
//!
//! - Everything in a file that has a successor was, since a segment is synced before the next one
//!   is made; in the last file, what the index was last told. Without an index all of it counts.
//! - Bad bytes there are **damage**: kept where they are, told, never read; reading and writing go
//!   on after them.
//! - Beyond that they are a **torn tail**, and cut off with all that follows, with a warning. What
//!   was synced since the index was last told, a second at most, is kept if it is whole; damage to
//!   just that cannot be told from a torn write.
//!
//! After a crash the tail that the index does not vouch for is written once more and synced: after
//! a failed sync the page cache can hold bytes that the disk lacks and no later sync would write.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use tidegate_env::{DiskFile, OpenMode};
use tidegate_types::{Incarnation, Offset, Timestamp, TopicPartition};

use crate::active::Active;
use crate::clean::{self, CleanRow, CleanState};
use crate::config::LogConfig;
use crate::epochs::Epochs;
use crate::index::{Change, Known, LogMeta, SegmentMeta};
use crate::log::{Log, Segments};
use crate::producers::Producers;
use crate::read::ReadHints;
use crate::scan::Scan;
use crate::segment::Segment;
use crate::sparse::SparseIndex;
use crate::store::Shared;
use crate::{DamageRange, OpenError, files};

/// The tail is written once more in pieces of this size.
const REWRITE: usize = 1 << 20;

/// Up to where a file's content was durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Durable {
    /// All of it; the offset is where the log went on after the file, if it did.
    All(Option<Offset>),
    /// What lies before this offset.
    Before(Offset),
}

impl Durable {
    fn covers(self, offset: Offset) -> bool {
        match self {
            Durable::All(_) => true,
            Durable::Before(end) => offset < end,
        }
    }

    /// Whether batches that go on at `offset` after bad bytes can be the log's.
    fn reaches(self, offset: Offset) -> bool {
        match self {
            Durable::All(end) => end.is_none_or(|end| offset < end),
            Durable::Before(end) => offset <= end,
        }
    }
}

/// What a scan found in one file.
struct Scanned {
    /// Length up to the end of the last batch.
    meta: SegmentMeta,
    index: SparseIndex,
    file_len: u64,
    /// The position from which nothing vouches that the disk has the bytes.
    vouched: u64,
    /// Valid batches may lie beyond bytes that were cut as a torn tail.
    torn: bool,
}

/// Opens or makes the log `id`.
pub(crate) fn open(
    shared: &Arc<Shared>,
    id: TopicPartition,
    incarnation_if_new: Incarnation,
    config: LogConfig,
) -> Result<Arc<Log>, OpenError> {
    let folder = files::partition(&shared.root, id);
    let disk = &*shared.disk;
    disk.create_dir_all(&folder).map_err(OpenError::io("make", &folder))?;
    let known = shared.index.known(id).unwrap_or_else(|error| {
        tracing::warn!(log = %id, error = &error as &dyn std::error::Error, "no index for the log");
        Known::default()
    });
    let stored = files::read_incarnation(disk, &folder).map_err(OpenError::io("read", &folder))?;
    let mut segment_files = Vec::new();
    for entry in disk.list(&folder).map_err(OpenError::io("list", &folder))? {
        if let Some(base) = files::segment_base(&entry.name).filter(|_| !entry.is_dir) {
            segment_files.push((base, entry.len));
        }
    }
    segment_files.sort();

    // Rows of another life of the partition say nothing of this one.
    let known = match (&known.meta, stored) {
        (Some(meta), Some(stored)) if meta.incarnation != stored => Known::default(),
        (Some(_), None) if segment_files.is_empty() => Known::default(),
        (Some(_), _) => known,
        (None, _) => Known::default(),
    };
    let incarnation = match (stored, &known.meta) {
        (Some(stored), _) => stored,
        (None, Some(meta)) => meta.incarnation,
        (None, None) => {
            if !segment_files.is_empty() {
                tracing::warn!(log = %id, "the log's incarnation is lost; it begins a new one");
            }
            incarnation_if_new
        }
    };
    if stored.is_none() {
        files::write_incarnation(disk, &folder, incarnation)
            .map_err(OpenError::io("write the incarnation in", &folder))?;
    }
    Recovery::new(shared, id, incarnation, config, folder, known).run(segment_files)
}

/// A log in the making.
struct Recovery<'s> {
    shared: &'s Arc<Shared>,
    id: TopicPartition,
    incarnation: Incarnation,
    config: LogConfig,
    folder: PathBuf,
    known: Known,
    cleaning: CleanRow,
    /// The index knows nothing that could be trusted.
    rebuild: bool,
    producers: Producers,
    /// Batches before this are in `producers` already.
    producers_at: Offset,
    epochs: Epochs,
    damage: Vec<DamageRange>,
    segments: Vec<Arc<Segment>>,
    /// The offset after all segments so far.
    end: Offset,
    /// What the index is to be told.
    changes: Vec<Change>,
}

impl<'s> Recovery<'s> {
    fn new(
        shared: &'s Arc<Shared>,
        id: TopicPartition,
        incarnation: Incarnation,
        config: LogConfig,
        folder: PathBuf,
        mut known: Known,
    ) -> Recovery<'s> {
        let producers =
            known.producers.take().and_then(|(at, snapshot)| Some((at, snapshot.restore()?)));
        let epochs = known.meta.as_ref().and_then(|meta| Epochs::from_starts(meta.epochs.clone()));
        // A snapshot that lies before a segment taken unread would lack what is in there.
        let covered = producers
            .as_ref()
            .is_some_and(|(at, _)| known.segments.iter().all(|(_, meta)| meta.next <= *at));
        let rebuild = !covered || epochs.is_none();
        let (producers_at, producers) = match producers {
            Some(producers) if !rebuild => producers,
            _ => (Offset::ZERO, Producers::default()),
        };
        let epochs = epochs.filter(|_| !rebuild).unwrap_or_default();
        let mut damage = known.meta.as_ref().map_or(Vec::new(), |meta| meta.damage.clone());
        if let Some(start) = known.meta.as_ref().map(|meta| meta.start) {
            damage.retain(|range| range.end > start);
            // Only what is durable is trimmed.
            known.durable = known.durable.max(Some(start));
        }
        let cleaning = known.cleaning.take().unwrap_or_default();
        Recovery {
            shared,
            id,
            incarnation,
            config,
            folder,
            known,
            cleaning,
            rebuild,
            producers,
            producers_at,
            epochs,
            damage,
            segments: Vec::new(),
            end: Offset::ZERO,
            changes: Vec::new(),
        }
    }

    fn run(mut self, segment_files: Vec<(Offset, u64)>) -> Result<Arc<Log>, OpenError> {
        let start = match (&self.known.meta, segment_files.first()) {
            (Some(meta), _) => meta.start,
            (None, Some((base, _))) => *base,
            (None, None) => Offset::ZERO,
        };
        let segment_files = clean::sweep_trimmed(self.shared, &self.folder, segment_files, start)?;
        self.find_missing(&segment_files, start);
        if self.rebuild {
            self.changes.push(Change::RemoveSegments(self.id));
        }
        let mut active = None;
        for (at, (base, len)) in segment_files.iter().enumerate() {
            match segment_files.get(at + 1) {
                Some((next_base, _)) => self.take_closed(*base, *len, *next_base)?,
                None => active = self.take_last(*base, *len)?,
            }
        }
        let (segment, file) = match active {
            Some(active) => active,
            None => self.make_active(start)?,
        };
        // The names of all files: one of them may have been made just before a crash.
        let folder = &self.folder;
        self.shared.disk.sync_dir(folder).map_err(OpenError::io("sync", folder))?;
        self.segments.push(Arc::clone(&segment));
        Ok(self.finish(start, segment, file))
    }

    /// Notes offsets whose files are gone.
    fn find_missing(&mut self, segment_files: &[(Offset, u64)], start: Offset) {
        let rows = self.known.segments.iter();
        let missing: Vec<_> = rows
            .filter(|(base, meta)| {
                meta.next > start && segment_files.iter().all(|(file, _)| file != base)
            })
            .map(|(base, meta)| DamageRange { from: (*base).max(start), end: meta.next })
            .collect();
        for range in missing {
            tracing::error!(
                log = %self.id, from = %range.from, end = %range.end, "a segment's file is gone"
            );
            self.add_damage(range);
        }
    }

    fn add_damage(&mut self, range: DamageRange) {
        if range.from >= range.end || self.damage.contains(&range) {
            return;
        }
        self.damage.push(range);
        self.damage.sort_by_key(|range| range.from);
        // Overlapping ones become one.
        self.damage.dedup_by(|later, earlier| {
            let overlaps = later.from <= earlier.end;
            if overlaps {
                earlier.end = earlier.end.max(later.end);
            }
            overlaps
        });
    }

    fn row(&self, base: Offset) -> Option<SegmentMeta> {
        let row = self.known.segments.iter().find(|(known, _)| *known == base);
        row.map(|(_, meta)| *meta)
    }

    /// Takes in a file that has a successor.
    fn take_closed(&mut self, base: Offset, len: u64, next_base: Offset) -> Result<(), OpenError> {
        let row = self.row(base).filter(|row| row.next <= next_base);
        if let Some(meta) = row.filter(|row| !self.rebuild && row.len == len) {
            self.end = self.end.max(meta.next);
            self.segments.push(Arc::new(Segment::closed(&self.folder, base, meta, None)));
            return Ok(());
        }
        let file = self.open_file(base, OpenMode::Read)?;
        let mut scanned = self.scan(base, &*file, Durable::All(Some(next_base)))?;
        let meta = &mut scanned.meta;
        let lost_to = match row {
            Some(row) if meta.next < row.next => Some(row.next),
            _ if meta.len < scanned.file_len => Some(next_base),
            _ => None,
        };
        if let Some(end) = lost_to {
            self.report(base, DamageRange { from: meta.next, end });
        }
        // All of the file is accounted for, be it as damage.
        meta.len = scanned.file_len;
        self.end = self.end.max(meta.next);
        let index = Arc::new(scanned.index);
        self.changes.push(Change::Segment(self.id, base, scanned.meta, Arc::clone(&index)));
        let segment = Segment::closed(&self.folder, base, scanned.meta, Some(index));
        self.segments.push(Arc::new(segment));
        Ok(())
    }

    /// Takes in the last file; it goes on as the active segment unless its durable end is gone.
    fn take_last(&mut self, base: Offset, len: u64) -> Result<Option<ActiveFile>, OpenError> {
        let file = self.open_file(base, OpenMode::Write)?;
        let durable = self.known.durable;
        let row = self.row(base).filter(|row| !self.rebuild && row.len == len);
        if let Some(meta) = row.filter(|row| durable.is_none_or(|durable| durable <= row.next))
            && let Ok(Some(index)) = self.shared.index.sparse(self.id, base)
        {
            self.end = self.end.max(meta.next);
            return Ok(Some(self.activate(base, file, meta, index)));
        }
        let vouched = durable.map_or(Durable::All(None), Durable::Before);
        let scanned = self.scan(base, &*file, vouched)?;
        let meta = scanned.meta;
        self.end = self.end.max(meta.next);
        match durable {
            // Offsets are never given twice: the log goes on after what is lost.
            Some(durable) if meta.next < durable => {
                self.report(base, DamageRange { from: meta.next, end: durable });
                let meta = SegmentMeta { len: scanned.file_len, ..meta };
                let index = Arc::new(scanned.index);
                self.changes.push(Change::Segment(self.id, base, meta, Arc::clone(&index)));
                let segment = Segment::closed(&self.folder, base, meta, Some(index));
                self.segments.push(Arc::new(segment));
                Ok(None)
            }
            _ => {
                self.secure_tail(base, &*file, &scanned)?;
                Ok(Some(self.activate(base, file, meta, scanned.index)))
            }
        }
    }

    /// Cuts the torn tail, and makes what is kept durable beyond doubt.
    fn secure_tail(
        &self,
        base: Offset,
        file: &dyn DiskFile,
        scanned: &Scanned,
    ) -> Result<(), OpenError> {
        let path = files::segment(&self.folder, base);
        if scanned.torn {
            tracing::warn!(
                log = %self.id, path = %path.display(), offset = %scanned.meta.next,
                bytes = scanned.file_len - scanned.meta.len,
                "cut a torn tail; what it held was never synced"
            );
        }
        if scanned.file_len != scanned.meta.len {
            file.set_len(scanned.meta.len).map_err(OpenError::io("cut", &path))?;
        }
        let mut at = scanned.vouched;
        let mut piece = Vec::new();
        while at < scanned.meta.len {
            let len = (scanned.meta.len - at).min(REWRITE as u64);
            piece.resize(len as usize, 0);
            file.read_exact_at(at, &mut piece).map_err(OpenError::io("read", &path))?;
            file.write_at(at, &piece).map_err(OpenError::io("write", &path))?;
            at += len;
        }
        file.sync_data().map_err(OpenError::io("sync", &path))
    }

    fn make_active(&mut self, start: Offset) -> Result<ActiveFile, OpenError> {
        let lost_end = self.damage.last().map_or(Offset::ZERO, |range| range.end);
        let durable = self.known.durable.unwrap_or(Offset::ZERO);
        let base = self.end.max(start).max(durable).max(lost_end);
        if self.segments.is_empty() && base > start {
            self.add_damage(DamageRange { from: start, end: base });
        }
        self.end = base;
        let file = self.open_file(base, OpenMode::CreateNew)?;
        let meta = SegmentMeta { len: 0, next: base, max_timestamp: Timestamp::NONE };
        Ok(self.activate(base, file, meta, SparseIndex::default()))
    }

    fn open_file(&self, base: Offset, mode: OpenMode) -> Result<Box<dyn DiskFile>, OpenError> {
        let path = files::segment(&self.folder, base);
        self.shared.disk.open(&path, mode).map_err(OpenError::io("open", path))
    }

    fn activate(
        &self,
        base: Offset,
        file: Box<dyn DiskFile>,
        meta: SegmentMeta,
        index: SparseIndex,
    ) -> ActiveFile {
        let file: Arc<dyn DiskFile> = file.into();
        let segment = Segment::active(&self.folder, base, Arc::clone(&file), meta, index);
        (Arc::new(segment), file)
    }

    fn report(&mut self, base: Offset, range: DamageRange) {
        tracing::error!(
            log = %self.id, path = %files::segment(&self.folder, base).display(),
            from = %range.from, end = %range.end, "records that were durable are damaged"
        );
        self.add_damage(range);
    }

    /// Reads a file from end to end, noting producers, epochs and damage.
    fn scan(
        &mut self,
        base: Offset,
        file: &dyn DiskFile,
        durable: Durable,
    ) -> Result<Scanned, OpenError> {
        let path = files::segment(&self.folder, base);
        let io = |source| OpenError::Io { action: "read", path: path.clone(), source };
        let mut scan = Scan::new(file).map_err(io)?;
        let mut index = SparseIndex::default();
        let mut meta = SegmentMeta { len: 0, next: base, max_timestamp: Timestamp::NONE };
        let (mut vouched, mut torn, mut resumed) = (0, false, false);
        loop {
            let Some(header) = scan.batch(meta.len, meta.next).map_err(io)? else {
                if scan.is_zero_from(meta.len).map_err(io)? {
                    break;
                }
                let resume = if durable.covers(meta.next) {
                    scan.resume_after(meta.len, meta.next.advance(1)).map_err(io)?
                } else {
                    None
                };
                let next = match resume {
                    Some(at) => scan.batch(at, meta.next).map_err(io)?.map(|header| (at, header)),
                    None => None,
                };
                match next.filter(|(_, header)| durable.reaches(header.base_offset)) {
                    Some((at, header)) => {
                        let end = header.base_offset;
                        self.report(base, DamageRange { from: meta.next, end });
                        (meta.len, meta.next, resumed) = (at, end, true);
                        continue;
                    }
                    None => torn = true,
                }
                break;
            };
            let delta = u32::try_from(header.base_offset.since(base));
            let (Ok(delta), Ok(position)) = (delta, u32::try_from(meta.len)) else { break };
            index.observe(delta, position, meta.max_timestamp, std::mem::take(&mut resumed));
            meta.len += header.batch_len as u64;
            meta.next = header.next_offset();
            meta.max_timestamp = meta.max_timestamp.max(header.max_timestamp);
            if matches!(durable, Durable::Before(end) if meta.next <= end) {
                vouched = meta.len;
            }
            self.epochs.observe(header.leader_epoch, header.base_offset);
            if header.base_offset >= self.producers_at {
                self.producers.note(&header);
            }
        }
        Ok(Scanned { meta, index, file_len: scan.len(), vouched, torn })
    }

    fn finish(mut self, start: Offset, segment: Arc<Segment>, file: Arc<dyn DiskFile>) -> Arc<Log> {
        let (id, end) = (self.id, self.end);
        let checkpointed = self.known.durable.unwrap_or(Offset::ZERO);
        let known_damage = self.known.meta.as_ref().map(|meta| &meta.damage);
        let told = known_damage == Some(&self.damage);
        let mut active = Active::new(Arc::clone(&segment), file, end, checkpointed);
        if !self.changes.is_empty() || !told {
            let meta = LogMeta {
                incarnation: self.incarnation,
                start,
                epochs: self.epochs.starts().to_vec(),
                damage: self.damage.clone(),
            };
            self.changes.push(Change::Log(id, meta));
            self.changes.push(Change::Producers(id, end, self.producers.snapshot()));
            self.changes.push(Change::Durable(id, end));
            if self.shared.index.commit(&self.changes).is_ok() {
                active.checkpointed = end;
            }
        }
        let last_epoch = self.epochs.last();
        let segments: Segments = Arc::new(self.segments);
        Arc::new(Log {
            id,
            incarnation: self.incarnation,
            config: self.config,
            folder: self.folder,
            shared: Arc::clone(self.shared),
            damage: RwLock::new(self.damage),
            start: AtomicI64::new(start.0),
            durable: AtomicI64::new(end.0),
            end: AtomicI64::new(end.0),
            last_epoch: AtomicI32::new(last_epoch.0),
            sealed: OnceLock::new(),
            deleted: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            clean: Mutex::new(CleanState::new(self.cleaning)),
            active: Mutex::new(active),
            producers: Mutex::new(self.producers),
            epochs: Mutex::new(self.epochs),
            segments: RwLock::new(segments),
            hints: Mutex::new(ReadHints::default()),
        })
    }
}

type ActiveFile = (Arc<Segment>, Arc<dyn DiskFile>);
