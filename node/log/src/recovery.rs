//! Recovery of one log: what its files hold is brought together with what the index knows.
//!
//! A closed file that the index knows and whose length agrees is taken as it is. Of the last one the
//! index knows what was there at the last checkpoint; what lies behind is scanned, each batch
//! verified. A file that does not agree with its row is scanned whole, as all are if the index was
//! lost: **the log wins over the index**, and where the log has less than the index was told, that is
//! damage. What is not found out here is a closed row that is wrong although its length is right and
//! its checksum too; `check` compares those.
//!
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
//!
//! Writes and cuts here are left for `opening` to sync, for all logs together.

mod durable;
mod recovered;

use std::path::PathBuf;
use std::sync::Arc;

use tidegate_env::{DiskFile, OpenMode};
use tidegate_types::{Incarnation, Offset, Timestamp, TopicPartition};

use crate::active::Active;
use crate::clean::{self, CleanRow};
use crate::config::LogConfig;
use crate::epochs::Epochs;
use crate::index::{Change, Known, LogMeta, SegmentMeta};
use crate::opening::Wanted;
use crate::planted::Planted;
use crate::producers::Producers;
use crate::scan::Scan;
use crate::segment::Segment;
use crate::sparse::SparseIndex;
use crate::store::Shared;
use crate::{DamageRange, IndexError, OpenError, files};

use durable::Durable;
pub(crate) use recovered::Recovered;

/// The tail is written once more in pieces of this size.
const REWRITE: usize = 1 << 20;

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

/// Where a scan begins: what was found before.
struct Begun {
    meta: SegmentMeta,
    index: SparseIndex,
}

impl Begun {
    fn at_the_start(base: Offset) -> Begun {
        let meta = SegmentMeta { len: 0, next: base, max_timestamp: Timestamp::NONE };
        Begun { meta, index: SparseIndex::default() }
    }
}

/// Recovers the log, or makes it; its folder is there.
pub(crate) fn recover(shared: &Arc<Shared>, wanted: &Wanted) -> Result<Recovered, OpenError> {
    let Wanted { id, incarnation_if_new, config } = *wanted;
    let folder = files::partition(&shared.root, id);
    let disk = &*shared.disk;
    let known = match shared.index.known(id) {
        Ok(known) => known,
        // There is an index, which knows what of the log was durable.
        Err(IndexError::Full) => {
            return Err(OpenError::Index { path: folder, source: IndexError::Full });
        }
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(log = %id, error, "no index for the log");
            Known::default()
        }
    };
    let entries = match disk.list(&folder) {
        // Making it together with others failed; the reason is told here.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            disk.create_dir_all(&folder).map_err(OpenError::io("make", &folder))?;
            Vec::new()
        }
        entries => entries.map_err(OpenError::io("list", &folder))?,
    };
    let stored = files::read_incarnation(disk, &folder).map_err(OpenError::io("read", &folder))?;
    clean::remove_unfinished(shared, &folder, &entries)?;
    let mut segment_files = Vec::new();
    for entry in entries {
        if let Some(base) = files::segment_base(&entry.name).filter(|_| !entry.is_dir) {
            segment_files.push((base, entry.len));
        } else if files::is_leftover(&entry.name) {
            // Should the name come back after a crash, it is removed again.
            let path = folder.join(&entry.name);
            disk.remove_file(&path).map_err(OpenError::io("remove", path))?;
        }
    }
    segment_files.sort();

    // Rows of another life of the partition say nothing of this one.
    let known = match (&known.meta, stored) {
        (Some(meta), Some(stored)) if meta.incarnation != stored => Known::default(),
        (Some(_), None) if segment_files.is_empty() => Known::default(),
        (Some(_), _) => known,
        (None, _) => {
            let vouched = shared.index.vouched(id).filter(|(life, _)| Some(*life) == stored);
            Known { durable: vouched.map(|(_, durable)| durable), ..Known::default() }
        }
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
    let incarnation_file = match stored {
        Some(_) => None,
        None => Some(
            files::write_incarnation(disk, &folder, incarnation)
                .map_err(OpenError::io("write the incarnation in", &folder))?,
        ),
    };
    let mut recovered =
        Recovery::new(shared, id, incarnation, config, folder, known).run(segment_files)?;
    recovered.names_unsure |= incarnation_file.is_some();
    recovered.incarnation_file = incarnation_file;
    Ok(recovered)
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
    names_unsure: bool,
    unsynced: bool,
    /// What the index covers of the active segment.
    covered: u64,
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
            names_unsure: false,
            unsynced: false,
            covered: 0,
        }
    }

    fn run(mut self, segment_files: Vec<(Offset, u64)>) -> Result<Recovered, OpenError> {
        let start = match (&self.known.meta, segment_files.first()) {
            (Some(meta), _) => meta.start,
            (None, Some((base, _))) => *base,
            (None, None) => Offset::ZERO,
        };
        // What nobody has read yet for its producers stays until maintenance takes it.
        let to = if self.rebuild { start } else { start.min(self.producers_at) };
        let is_own = |base, len| self.row(base).is_some_and(|row| row.len == len);
        let segment_files =
            clean::sweep_trimmed(self.shared, &self.folder, segment_files, to, is_own)?;
        if self.rebuild {
            self.changes.push(Change::RemoveSegments(self.id));
        }
        let mut active = None;
        for (at, (base, len)) in segment_files.iter().enumerate() {
            if *base < self.end && !self.shared.planted(Planted::SupersededKept) {
                clean::remove_superseded(self.shared, &self.folder, *base)?;
                continue;
            }
            match segment_files.get(at + 1) {
                Some((next_base, _)) => self.take_closed(*base, *len, *next_base)?,
                None => active = self.take_last(*base, *len)?,
            }
        }
        self.find_missing(&segment_files, start);
        let (segment, file) = match active {
            Some(active) => active,
            None => self.make_active(start)?,
        };
        self.segments.push(Arc::clone(&segment));
        Ok(self.finish(start, segment, file))
    }

    /// Notes offsets whose files are gone, unless they were merged into another: an index that was
    /// damaged may have fallen back to what it was told before.
    fn find_missing(&mut self, segment_files: &[(Offset, u64)], start: Offset) {
        let merged = |(base, meta): &(Offset, SegmentMeta)| {
            self.segments.iter().any(|into| into.base < *base && meta.next <= into.next())
        };
        let rows = self.known.segments.iter().filter(|row| !merged(row));
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
        DamageRange::insert(&mut self.damage, range);
    }

    fn row(&self, base: Offset) -> Option<SegmentMeta> {
        let row = self.known.segments.iter().find(|(known, _)| *known == base);
        row.map(|(_, meta)| *meta)
    }

    /// Takes in a file that has a successor.
    fn take_closed(&mut self, base: Offset, len: u64, next_base: Offset) -> Result<(), OpenError> {
        let row = self.row(base).filter(|row| row.next <= next_base);
        let trusted = self.shared.planted(Planted::RowTrusted);
        if let Some(meta) = row.filter(|row| !self.rebuild && (row.len == len || trusted)) {
            self.end = self.end.max(meta.next);
            self.segments.push(Arc::new(Segment::closed(&self.folder, base, meta, None)));
            return Ok(());
        }
        // Compaction takes a row away, then gives the file's name to another, and syncs the folder
        // before the next row: which of the two a power cut leaves must be settled before it is read.
        self.names_unsure = true;
        let file = self.open_file(base, OpenMode::Read)?;
        let whole = Begun::at_the_start(base);
        let mut scanned = self.scan(base, &*file, whole, Durable::All(Some(next_base)))?;
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
        let row = self.row(base);
        // Rows are written after the syncs that they tell of, and those after the sync of the
        // folder that made the file's name durable.
        self.names_unsure |= row.is_none() && self.known.durable.is_none_or(|told| told <= base);
        // Rows tell of synced bytes too: this file's, and those of files after it that are gone.
        let rows = self.known.segments.iter().filter(|(known, _)| *known >= base);
        let durable = self.known.durable.max(rows.map(|(_, row)| row.next).max());
        let vouched = durable.map_or(Durable::All(None), Durable::Before);
        let begun = match row.filter(|row| !self.rebuild && row.len <= len) {
            Some(row) => self.resume(base, &*file, row)?,
            None => None,
        };
        self.covered = begun.as_ref().map_or(0, |begun| begun.meta.len);
        let begun = begun.unwrap_or_else(|| Begun::at_the_start(base));
        let scanned = self.scan(base, &*file, begun, vouched)?;
        let meta = scanned.meta;
        self.end = self.end.max(meta.next);
        match durable {
            // Offsets are never given twice: the log goes on after what is lost.
            Some(durable) if meta.next < durable && !self.shared.planted(Planted::DurableCut) => {
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

    /// Where to go on in a file of which the index knows a first part; `None` if the log does not
    /// agree: its last batches up to there are walked, which costs a read.
    fn resume(
        &self,
        base: Offset,
        file: &dyn DiskFile,
        row: SegmentMeta,
    ) -> Result<Option<Begun>, OpenError> {
        let path = files::segment(&self.folder, base);
        let Ok(Some(index)) = self.shared.index.sparse(self.id, base) else { return Ok(None) };
        let (mut at, mut next) = match index.last() {
            Some((delta, position)) => (u64::from(position), base.advance(i64::from(delta))),
            None => (0, base),
        };
        let mut scan = Scan::new(file).map_err(OpenError::io("read", &path))?;
        while at < row.len {
            let header = scan.header(at).map_err(OpenError::io("read", &path))?;
            let Some(header) = header.filter(|header| header.base_offset >= next) else { break };
            (at, next) = (at + header.batch_len as u64, header.next_offset());
        }
        if (at, next) == (row.len, row.next) {
            return Ok(Some(Begun { meta: row, index }));
        }
        tracing::warn!(
            log = %self.id, path = %path.display(), row = ?row, found = ?(at, next),
            "the index and the log disagree; the segment is read whole"
        );
        Ok(None)
    }

    /// Cuts the torn tail, and writes what nothing vouches for once more, to be synced.
    fn secure_tail(
        &mut self,
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
            // Zeros written ahead go too: to know that there is nothing else costs reading them.
            file.set_len(scanned.meta.len).map_err(OpenError::io("cut", &path))?;
            self.unsynced = true;
        }
        let mut at = scanned.vouched;
        let mut piece = Vec::new();
        if self.shared.planted(Planted::TailNotRewritten) {
            at = scanned.meta.len;
        }
        while at < scanned.meta.len {
            let len = (scanned.meta.len - at).min(REWRITE as u64);
            piece.resize(len as usize, 0);
            file.read_exact_at(at, &mut piece).map_err(OpenError::io("read", &path))?;
            file.write_at(at, &piece).map_err(OpenError::io("write", &path))?;
            at += len;
            self.unsynced = true;
        }
        Ok(())
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
        self.names_unsure = true;
        let Begun { meta, index } = Begun::at_the_start(base);
        Ok(self.activate(base, file, meta, index))
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

    /// Reads a file from where it was begun to the end, noting producers, epochs and damage.
    fn scan(
        &mut self,
        base: Offset,
        file: &dyn DiskFile,
        begun: Begun,
        durable: Durable,
    ) -> Result<Scanned, OpenError> {
        let path = files::segment(&self.folder, base);
        let io = |source| OpenError::Io { action: "read", path: path.clone(), source };
        let mut scan = Scan::new(file).map_err(io)?;
        let Begun { mut meta, mut index } = begun;
        let (mut vouched, mut torn, mut resumed) = (meta.len, false, false);
        loop {
            let mut found = scan.batch(meta.len, meta.next).map_err(io)?;
            if found.is_none() && self.shared.planted(Planted::NoCrc) {
                let header = scan.header(meta.len).map_err(io)?;
                found = header.filter(|header| header.base_offset >= meta.next);
            }
            let Some(header) = found else {
                if !durable.covers(meta.next) {
                    // It is the tail's end, whatever follows; that is not read to find out.
                    torn = !scan.is_zero_at(meta.len).map_err(io)?;
                    break;
                }
                if scan.is_zero_from(meta.len).map_err(io)? {
                    break;
                }
                let floor = meta.next.advance(1);
                let resume = scan.resume_after(meta.len, floor, durable.end()).map_err(io)?;
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

    fn finish(
        mut self,
        start: Offset,
        segment: Arc<Segment>,
        file: Arc<dyn DiskFile>,
    ) -> Recovered {
        let (id, end) = (self.id, self.end);
        self.damage.retain(|range| range.end > start);
        let checkpointed = self.known.durable.unwrap_or(Offset::ZERO);
        let known_damage = self.known.meta.as_ref().map(|meta| &meta.damage);
        let mut active = Active::new(segment, file, end, checkpointed);
        active.covered = self.covered;
        let tells = !self.changes.is_empty() || known_damage != Some(&self.damage);
        if tells {
            let meta = LogMeta {
                incarnation: self.incarnation,
                start,
                epochs: self.epochs.starts().to_vec(),
                damage: self.damage.clone(),
            };
            self.changes.push(Change::Log(id, meta));
            self.changes.push(Change::Producers(id, end, self.producers.snapshot()));
            self.changes.push(Change::Durable(id, end));
        } else if self.unsynced {
            // So that the next start, should it come soon, need not write the tail once more.
            self.changes.push(Change::Durable(id, end));
        }
        Recovered {
            id,
            folder: self.folder,
            names_unsure: self.names_unsure,
            changes: self.changes,
            incarnation_file: None,
            unsynced: self.unsynced,
            shared: Arc::clone(self.shared),
            incarnation: self.incarnation,
            config: self.config,
            start,
            end,
            producers: self.producers,
            epochs: self.epochs,
            damage: self.damage,
            cleaning: self.cleaning,
            segments: self.segments,
            active,
            told_end: if tells || self.unsynced { end } else { checkpointed },
        }
    }
}

type ActiveFile = (Arc<Segment>, Arc<dyn DiskFile>);

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
