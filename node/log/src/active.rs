//! The writing end of a log: the active segment and what is staged for it.
//!
//! Used on the writer thread alone. A request is judged whole before anything of it is staged;
//! staged batches go out in one write; a full segment is closed before the request that does not
//! fit.
//!
//! A write for which the disk has no room is undone: what was staged is forgotten, what reached the
//! file is cut off again, durably, and the log goes on. Any other error seals the log, since what
//! reached the file is then not known, and so does any error of a sync.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tidegate_env::{DiskFile, OpenMode};
use tidegate_record::BatchHeader;
use tidegate_types::Offset;
use tidegate_types::limits::MAX_BATCH;

use crate::Flush;
use crate::config::{MAX_PREZERO, MAX_SEGMENT, MIN_PREZERO, PREZERO_BELOW};
use crate::files;
use crate::index::{Change, LogMeta, SegmentMeta};
use crate::log::{AppendMode, AppendRequest, Appended, Log, lock};
use crate::planted::Planted;
use crate::producers::{Undo, Verdict};
use crate::segment::{Opened, Segment};
use crate::staged::{Entry, Staged};
use crate::tail;
use crate::{AppendError, SparseIndex};

/// Why something was not written.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The disk is full. All is as before, less what was staged.
    Full,
    /// The log must be sealed, for this reason.
    Broken(String),
}

impl From<String> for Failure {
    fn from(reason: String) -> Failure {
        Failure::Broken(reason)
    }
}

impl Failure {
    /// What appends are answered; seals the log if it must be.
    pub(crate) fn refuse(self, log: &Log) -> AppendError {
        match self {
            Failure::Full => log.shared.space.handle_no_space(),
            Failure::Broken(reason) => AppendError::Sealed { reason: log.seal(reason) },
        }
    }
}

/// What became of what was staged before, while a request was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Before {
    /// It is staged still.
    Staged,
    /// It was written and synced with the segment that was closed.
    Synced,
    /// The disk was full, and it is gone.
    Lost,
}

/// A request's batch, judged.
type Judged = (BatchHeader, Verdict);

/// No segment grows beyond this, however large a request is.
const MAX_LEN: u64 = MAX_SEGMENT.get() + MAX_BATCH.get();

/// The active segment, open for writing.
pub(crate) struct Active {
    pub(crate) segment: Arc<Segment>,
    /// Closed while the log is idle, with all of it synced.
    pub(crate) file: Option<Arc<dyn DiskFile>>,
    /// It was written since somebody last thought of closing the file.
    touched: bool,
    /// What is in the file, and what of it will be once the staged bytes are.
    pub(crate) written: u64,
    pub(crate) staged_meta: SegmentMeta,
    staged: Staged,
    /// Up to here the file is zeros that were written ahead.
    allocated: u64,
    /// The file was there before this start: it may look cut, and not be, where a cut was lost with
    /// a sync that failed.
    length_unsure: bool,
    /// Bytes were written since the last sync.
    pub(crate) unsynced: bool,
    /// Everything before this was synced.
    pub(crate) synced: Offset,
    /// What the index was last told of that.
    pub(crate) checkpointed: Offset,
    /// The part of the file that a start need not read, as the index has it.
    pub(crate) covered: u64,
}

fn failed(action: &str, segment: &Segment, error: &io::Error) -> String {
    format!("{action} {} failed: {error}", segment.path.display())
}

impl Active {
    pub(crate) fn new(
        segment: Arc<Segment>,
        file: Arc<dyn DiskFile>,
        synced: Offset,
        checkpointed: Offset,
    ) -> Active {
        let staged_meta = segment.meta();
        Active {
            segment,
            file: Some(file),
            touched: false,
            written: staged_meta.len,
            staged_meta,
            staged: Staged::default(),
            allocated: staged_meta.len,
            length_unsure: true,
            unsynced: false,
            synced,
            checkpointed,
            covered: 0,
        }
    }

    /// The next offset, staged batches included.
    pub(crate) fn next(&self) -> Offset {
        self.staged_meta.next
    }

    /// Judges a request and stages what is new of it.
    ///
    /// Where the active segment is closed for it, `before` tells what became of what was staged
    /// before. After an error nothing of the request is staged.
    pub(crate) fn stage(
        &mut self,
        log: &Log,
        request: &AppendRequest,
        before: &mut Before,
    ) -> Result<Appended, AppendError> {
        log.check_open()?;
        let mut headers = parse(&request.batches)?;
        self.place(&mut headers, request.mode)?;
        let config = log.config();
        let (judged, noted) = self.judge(log, headers, request.mode)?;
        let new = || judged.iter().filter(|(_, verdict)| *verdict == Verdict::Append);
        let bytes: u64 = new().map(|(header, _)| header.batch_len as u64).sum();
        let full = self.staged_meta.len > 0
            && bytes > 0
            && self.staged_meta.len.saturating_add(bytes) > config.segment_bytes.get();
        if full || new().any(|(header, _)| self.is_beyond(header, bytes)) {
            // Closing a segment stores the producers; they must not be ahead of it.
            lock(&log.producers).undo(noted.into_iter());
            self.stage_across(log, request, &judged, full, before)?;
        } else {
            self.staged.undo.extend(noted);
            self.push_all(log, request, &judged);
        }
        summary(&judged).ok_or(AppendError::Empty)
    }

    /// Whether the active segment cannot hold this batch, `bytes` more with it.
    fn is_beyond(&self, header: &BatchHeader, bytes: u64) -> bool {
        header.base_offset.since(self.segment.base) > i64::from(u32::MAX)
            || (self.staged_meta.len > 0 && self.staged_meta.len.saturating_add(bytes) > MAX_LEN)
    }

    fn push_all(&mut self, log: &Log, request: &AppendRequest, judged: &[Judged]) {
        let mut at = 0;
        for (header, verdict) in judged {
            if *verdict == Verdict::Append {
                self.push(log, header, &request.batches.slice(at..at + header.batch_len));
            }
            at += header.batch_len;
        }
    }

    /// Stages a request before which, and perhaps within which, the active segment is closed.
    fn stage_across(
        &mut self,
        log: &Log,
        request: &AppendRequest,
        judged: &[Judged],
        full: bool,
        before: &mut Before,
    ) -> Result<(), AppendError> {
        let (mut at, mut roll, mut first) = (0, full, true);
        for (header, verdict) in judged {
            let batch = at..at + header.batch_len;
            at = batch.end;
            if *verdict != Verdict::Append {
                continue;
            }
            if roll || self.is_beyond(header, batch.len() as u64) {
                self.roll(log, header.base_offset, before).map_err(|failure| {
                    match failure {
                        // A part of the request is in the log already.
                        Failure::Full if !first => Failure::Broken("the disk is full".to_owned()),
                        failure => failure,
                    }
                    .refuse(log)
                })?;
            }
            (roll, first) = (false, false);
            self.staged.undo.extend(lock(&log.producers).note(header));
            self.push(log, header, &request.batches.slice(batch));
        }
        Ok(())
    }

    /// Gives each header the offsets it would have in the log, or checks those it has.
    fn place(&self, headers: &mut [BatchHeader], mode: AppendMode) -> Result<(), AppendError> {
        let mut next = self.next();
        for header in headers {
            match mode {
                AppendMode::Assign { leader_epoch } => {
                    header.base_offset = next;
                    header.leader_epoch = leader_epoch;
                }
                AppendMode::Keep if header.base_offset < next => {
                    return Err(AppendError::OffsetTooLow { base: header.base_offset, end: next });
                }
                AppendMode::Keep => {}
            }
            next = header.next_offset();
            if next == Offset(i64::MAX) {
                return Err(AppendError::OffsetsExhausted { end: self.next() });
            }
        }
        Ok(())
    }

    /// Checks all sequences, each batch as if those before it were in, and notes them. After an error
    /// none is noted.
    fn judge(
        &self,
        log: &Log,
        headers: Vec<BatchHeader>,
        mode: AppendMode,
    ) -> Result<(Vec<Judged>, Vec<Undo>), AppendError> {
        let (mut judged, mut noted) = (Vec::with_capacity(headers.len()), Vec::new());
        let mut producers = lock(&log.producers);
        let mut next = self.next();
        for mut header in headers {
            let verdict = match mode {
                AppendMode::Keep => Ok(Verdict::Append),
                AppendMode::Assign { .. } => {
                    // Duplicates before it in the request took no offsets.
                    header.base_offset = next;
                    producers.check(&header)
                }
            };
            match verdict {
                Ok(Verdict::Append) => {
                    noted.extend(producers.note(&header));
                    next = header.next_offset();
                }
                Ok(Verdict::Duplicate(_)) => {}
                Err(error) => {
                    producers.undo(noted.into_iter());
                    return Err(error);
                }
            }
            judged.push((header, verdict?));
        }
        Ok((judged, noted))
    }

    fn push(&mut self, log: &Log, header: &BatchHeader, batch: &Bytes) {
        if self.staged.is_empty() {
            let undo = std::mem::take(&mut self.staged.undo);
            self.staged = log.shared.spare.take();
            self.staged.undo.extend(undo);
        }
        let meta = &mut self.staged_meta;
        self.staged.entries.push(Entry {
            delta: header.base_offset.since(self.segment.base) as u32,
            position: meta.len as u32,
            latest_before: meta.max_timestamp,
        });
        let epoch = self.staged.epochs.last().map(|(epoch, _)| epoch.0);
        if header.leader_epoch.0 > epoch.unwrap_or(log.last_epoch.load(Ordering::Acquire)) {
            self.staged.epochs.push((header.leader_epoch, header.base_offset));
        }
        self.staged.push(header, batch);
        meta.len += batch.len() as u64;
        meta.next = header.next_offset();
        meta.max_timestamp = meta.max_timestamp.max(header.max_timestamp);
    }

    /// Writes what is staged, and lets readers see it. True if there was anything.
    pub(crate) fn write(&mut self, log: &Log) -> Result<bool, Failure> {
        if self.staged.is_empty() {
            return Ok(false);
        }
        let flush = log.config().flush;
        let file = self.open_file(log)?;
        let written =
            self.prezero(log, &*file).and_then(|()| self.staged.write(&*file, self.written));
        match written {
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                self.roll_back(log)?;
                return Err(Failure::Full);
            }
            Err(error) => return Err(failed("writing", &self.segment, &error).into()),
        }
        log.shared.space.handle_written(self.staged.len());
        log.shared.counters.count_accepted(self.staged.len());
        // Before readers hear of it, so that those who wait for it find it there.
        let round = tail::Written {
            start: Offset(log.end.load(Ordering::Acquire)),
            next: self.staged_meta.next,
            file: &file,
            position: self.written,
            staged: &self.staged,
        };
        log.shared.tails.push(&log.tail, round);
        self.written = self.staged_meta.len;
        self.allocated = self.allocated.max(self.written);
        (self.unsynced, self.touched) = (true, true);
        self.segment.observe(&self.staged.entries);
        if let Some((last, _)) = self.staged.epochs.last() {
            let mut epochs = lock(&log.epochs);
            for (epoch, base) in &self.staged.epochs {
                epochs.observe(*epoch, *base);
            }
            log.last_epoch.store(last.0, Ordering::Release);
        }
        log.shared.spare.give_back(std::mem::take(&mut self.staged));
        self.segment.publish(self.staged_meta);
        log.end.store(self.staged_meta.next.0, Ordering::Release);
        if flush == Flush::Os {
            log.durable.store(self.staged_meta.next.0, Ordering::Release);
        }
        Ok(true)
    }

    /// Forgets what is staged, and cuts off what a write that failed left of it in the file. Durable:
    /// nothing of it can come back, nor lie behind what is written next.
    fn roll_back(&mut self, log: &Log) -> Result<(), String> {
        lock(&log.producers).undo(self.staged.undo.drain(..));
        log.shared.spare.give_back(std::mem::take(&mut self.staged));
        self.staged_meta = self.segment.meta();
        self.staged_meta.len = self.written;
        self.cut(log, false)
    }

    /// Zeroes the file ahead of small writes, so that their syncs change no metadata.
    fn prezero(&mut self, log: &Log, file: &dyn DiskFile) -> io::Result<()> {
        let end = self.staged_meta.len;
        let config = log.config();
        let pays = config.flush == Flush::Always && self.staged.len() <= PREZERO_BELOW;
        if !pays || end <= self.allocated {
            return Ok(());
        }
        let step = end.next_power_of_two().clamp(MIN_PREZERO, MAX_PREZERO);
        let step = log.shared.space.to_spare(step);
        let ahead = (end + step).min(config.segment_bytes.get());
        if ahead <= end {
            return Ok(());
        }
        match file.allocate(end, ahead - end) {
            Ok(()) => self.allocated = ahead,
            // The batches themselves may still fit.
            Err(error) if is_full(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The file, opened if it is not.
    fn open_file(&mut self, log: &Log) -> Result<Arc<dyn DiskFile>, String> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let opened = log.shared.disk.open(&self.segment.path, OpenMode::Write);
        let file: Arc<dyn DiskFile> =
            opened.map_err(|error| failed("opening", &self.segment, &error))?.into();
        self.segment.set_file(Some(Arc::clone(&file)));
        self.file = Some(Arc::clone(&file));
        log.shared.open_files.push(log.id);
        Ok(file)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Whether it was written since this was asked last.
    pub(crate) fn take_touched(&mut self) -> bool {
        std::mem::take(&mut self.touched)
    }

    /// Closes the file unless something is staged or unsynced; true if it is closed. See
    /// [`handles`](crate::handles).
    pub(crate) fn close_file(&mut self, log: &Log, may_sync: bool) -> bool {
        if !self.staged.is_empty() {
            return false;
        }
        if self.unsynced
            && may_sync
            && log.check_open().is_ok()
            && let Err(reason) = self.sync(log)
        {
            log.seal(reason);
        }
        if self.unsynced {
            return false;
        }
        self.segment.set_file(None);
        self.file = None;
        true
    }

    /// The file, if it must be synced for all that was written to be durable.
    pub(crate) fn unsynced_file(&self) -> Option<Arc<dyn DiskFile>> {
        self.file.clone().filter(|_| self.unsynced)
    }

    /// Takes in how the sync of [`unsynced_file`](Active::unsynced_file) ended. Nothing may have
    /// been written since it began.
    pub(crate) fn handle_synced(
        &mut self,
        log: &Log,
        synced: io::Result<()>,
    ) -> Result<(), String> {
        synced.map_err(|error| failed("syncing", &self.segment, &error))?;
        self.unsynced = false;
        self.synced = self.segment.next();
        log.durable.fetch_max(self.synced.0, Ordering::AcqRel);
        Ok(())
    }

    /// Makes all that was written durable.
    fn sync(&mut self, log: &Log) -> Result<(), String> {
        let synced = self.unsynced_file().map_or(Ok(()), |file| file.sync_data());
        self.handle_synced(log, synced)
    }

    /// Writes what is staged, cuts what was zeroed ahead and makes the rest durable.
    pub(crate) fn finish(&mut self, log: &Log) -> Result<(), Failure> {
        self.write(log)?;
        Ok(self.cut(log, false)?)
    }

    /// Cuts the file to what was written, durably; `again` even if it looks cut.
    fn cut(&mut self, log: &Log, again: bool) -> Result<(), String> {
        let file = self.open_file(log)?;
        let cut = || -> io::Result<bool> {
            let cut = again || file.len()? != self.written;
            if cut {
                file.set_len(self.written)?;
            }
            Ok(cut)
        };
        self.unsynced |= cut().map_err(|error| failed("cutting", &self.segment, &error))?;
        self.allocated = self.written;
        self.sync(log)
    }

    /// Closes the active segment and begins one at `base`.
    ///
    /// The order is what recovery relies on: once a file with a higher base exists, all before it
    /// is synced and cut to its length. Where there is no room for a new file the old one stays
    /// active, with what was staged written.
    pub(crate) fn roll(
        &mut self,
        log: &Log,
        base: Offset,
        before: &mut Before,
    ) -> Result<(), Failure> {
        let finished = if log.shared.planted(Planted::RollUnsynced) {
            self.write(log).and_then(|_| Ok(self.handle_synced(log, Ok(()))?))
        } else {
            self.write(log).and_then(|_| Ok(self.cut(log, self.length_unsure)?))
        };
        finished.inspect_err(|failure| {
            if matches!(failure, Failure::Full) {
                *before = Before::Lost;
            }
        })?;
        *before = Before::Synced;
        let path = files::segment(&log.folder, base);
        let making = |error| format!("making {} failed: {error}", path.display());
        let file: Arc<dyn DiskFile> = match log.shared.disk.open(&path, OpenMode::CreateNew) {
            Ok(file) => file.into(),
            Err(error) if is_full(&error) => return Err(Failure::Full),
            Err(error) => return Err(making(error).into()),
        };
        if !log.shared.planted(Planted::FolderNotSynced) {
            log.shared.disk.sync_dir(&log.folder).map_err(making)?;
        }

        let closed = Arc::clone(&self.segment);
        let index = Arc::new(closed.active_index().unwrap_or_default());
        let mut changes =
            vec![Change::Segment(log.id, closed.base, closed.meta(), Arc::clone(&index))];
        changes.extend(self.checkpoint(log));
        let stored = log.shared.tell_some_time(changes).is_ok();
        if stored {
            self.checkpointed = self.synced;
        }
        let old = Opened { file: self.open_file(log)?, index: Arc::clone(&index) };
        log.shared.opened.put((log.id, closed.base, closed.generation), old);

        let meta =
            SegmentMeta { len: 0, next: base, max_timestamp: tidegate_types::Timestamp::NONE };
        let empty = SparseIndex::default();
        let segment = Arc::new(Segment::active(&log.folder, base, Arc::clone(&file), meta, empty));
        let mut segments = log.segments.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut list = Vec::clone(&segments);
        list.push(Arc::clone(&segment));
        *segments = Arc::new(list);
        drop(segments);
        closed.close((!stored).then_some(index));
        (self.segment, self.file) = (segment, Some(file));
        (self.written, self.allocated, self.staged_meta) = (0, 0, meta);
        (self.covered, self.length_unsure) = (0, false);
        // Behind a hole the log ends here already, as a start finds it: nothing may be appended
        // before, and a sync makes all up to here durable.
        log.end.fetch_max(base.0, Ordering::AcqRel);
        log.shared.cleaner.wake();
        Ok(())
    }

    /// Whether nothing is staged, and all that is written is synced.
    pub(crate) fn is_settled(&self) -> bool {
        let segment = &self.segment;
        !self.unsynced
            && self.synced == segment.next()
            && self.staged_meta == segment.meta()
            && self.written == segment.len()
    }

    /// What the index is told of a log of which nothing is staged and all is synced.
    pub(crate) fn checkpoint(&self, log: &Log) -> [Change; 3] {
        let meta = LogMeta {
            incarnation: log.incarnation,
            start: log.offsets().start,
            epochs: lock(&log.epochs).starts().to_vec(),
            damage: log.damage(),
        };
        [
            Change::Log(log.id, meta),
            Change::Producers(log.id, self.synced, lock(&log.producers).snapshot()),
            Change::Durable(log.id, self.synced),
        ]
    }
}

/// Whether an error says that the disk, or what this process may take of it, is full.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Where all of a request's batches are.
fn summary(judged: &[Judged]) -> Option<Appended> {
    let one = |(header, verdict): &Judged| match verdict {
        Verdict::Append => {
            let (base_offset, next_offset) = (header.base_offset, header.next_offset());
            Appended { base_offset, next_offset, duplicate: false }
        }
        Verdict::Duplicate(offsets) => {
            let (base_offset, next_offset) =
                offsets.unwrap_or((Appended::UNKNOWN, Appended::UNKNOWN));
            Appended { base_offset, next_offset, duplicate: true }
        }
    };
    judged.iter().map(one).reduce(|all, next| Appended {
        base_offset: all.base_offset,
        next_offset: next.next_offset,
        duplicate: all.duplicate && next.duplicate,
    })
}

/// The headers of whole batches, end to end.
fn parse(batches: &[u8]) -> Result<Vec<BatchHeader>, AppendError> {
    let mut headers = Vec::new();
    let mut rest = batches;
    while !rest.is_empty() {
        let malformed =
            |source| AppendError::Malformed { index: headers.len(), source: Arc::new(source) };
        let header = BatchHeader::parse(rest).map_err(malformed)?;
        let Some((_, after)) = rest.split_at_checked(header.batch_len) else {
            return Err(malformed(tidegate_record::BatchError::Truncated {
                have: rest.len(),
                need: header.batch_len,
            }));
        };
        headers.push(header);
        rest = after;
    }
    if headers.is_empty() { Err(AppendError::Empty) } else { Ok(headers) }
}
