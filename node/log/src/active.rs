//! The writing end of a log: the active segment and what is staged for it.
//!
//! Used on the writer thread alone. A request is judged whole before anything of it is staged;
//! staged batches go out in one write; a full segment is closed before the batch that does not fit.
//! Any error here seals the log: what reached the file is then not known.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidegate_env::{DiskFile, OpenMode};
use tidegate_record::{BatchHeader, set_base_offset, set_leader_epoch};
use tidegate_types::Offset;

use crate::Flush;
use crate::config::{MAX_PREZERO, MIN_PREZERO, PREZERO_BELOW};
use crate::files;
use crate::index::{Change, LogMeta, SegmentMeta};
use crate::log::{AppendMode, AppendRequest, Appended, Log, lock};
use crate::producers::Verdict;
use crate::segment::{Opened, Segment};
use crate::tail;
use crate::{AppendError, SparseIndex};

/// Staging space kept between rounds; a larger one is given back.
const STAGED_KEPT: usize = 1 << 20;

/// The active segment, open for writing.
pub(crate) struct Active {
    pub(crate) segment: Arc<Segment>,
    pub(crate) file: Arc<dyn DiskFile>,
    /// What is in the file, and what of it will be once the staged bytes are.
    pub(crate) written: u64,
    pub(crate) staged_meta: SegmentMeta,
    staged: Vec<u8>,
    /// Up to here the file is zeros that were written ahead.
    allocated: u64,
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
            file,
            written: staged_meta.len,
            staged_meta,
            staged: Vec::new(),
            allocated: staged_meta.len,
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
    pub(crate) fn stage(
        &mut self,
        log: &Log,
        request: &AppendRequest,
    ) -> Result<Appended, AppendError> {
        log.check_open()?;
        let mut headers = parse(&request.batches)?;
        self.place(&mut headers, request.mode)?;
        let verdicts = self.judge(log, &headers, request.mode)?;

        let mut appended: Option<Appended> = None;
        let mut bytes = &request.batches[..];
        for (header, verdict) in headers.iter().zip(verdicts) {
            let (batch, rest) = bytes.split_at(header.batch_len);
            bytes = rest;
            let (base, next, duplicate) = match verdict {
                Verdict::Duplicate(offsets) => {
                    let (base, next) = offsets.unwrap_or((Appended::UNKNOWN, Appended::UNKNOWN));
                    (base, next, true)
                }
                Verdict::Append => {
                    let mut header = *header;
                    if let AppendMode::Assign { .. } = request.mode {
                        // Duplicates before it in the request took no offsets.
                        header.base_offset = self.next();
                    }
                    self.stage_batch(log, &header, batch)
                        .map_err(|reason| AppendError::Sealed { reason: log.seal(reason) })?;
                    (header.base_offset, header.next_offset(), false)
                }
            };
            appended = Some(match appended {
                None => Appended { base_offset: base, next_offset: next, duplicate },
                Some(first) => {
                    Appended { next_offset: next, duplicate: first.duplicate && duplicate, ..first }
                }
            });
        }
        appended.ok_or(AppendError::Empty)
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

    /// Checks all sequences; notes none of them.
    fn judge(
        &self,
        log: &Log,
        headers: &[BatchHeader],
        mode: AppendMode,
    ) -> Result<Vec<Verdict>, AppendError> {
        if mode == AppendMode::Keep {
            return Ok(vec![Verdict::Append; headers.len()]);
        }
        let mut producers = lock(&log.producers);
        if let [only] = headers {
            return Ok(vec![producers.check(only)?]);
        }
        // Each batch is judged as if those before it were in; then they are taken out again.
        let (mut verdicts, mut noted) = (Vec::with_capacity(headers.len()), Vec::new());
        let result = headers.iter().try_for_each(|header| {
            let verdict = producers.check(header)?;
            if verdict == Verdict::Append {
                noted.extend(producers.note(header));
            }
            verdicts.push(verdict);
            Ok(())
        });
        producers.undo(noted);
        result.map(|()| verdicts)
    }

    fn stage_batch(&mut self, log: &Log, header: &BatchHeader, batch: &[u8]) -> Result<(), String> {
        let len = self.staged_meta.len;
        let full = len > 0 && len + batch.len() as u64 > log.config().segment_bytes.get();
        let far = header.base_offset.since(self.segment.base) > i64::from(u32::MAX);
        if full || far {
            self.roll(log, header.base_offset)?;
        }
        let at = self.staged.len();
        self.staged.extend_from_slice(batch);
        set_base_offset(&mut self.staged[at..], header.base_offset);
        set_leader_epoch(&mut self.staged[at..], header.leader_epoch);
        let meta = &mut self.staged_meta;
        self.segment.observe(
            header.base_offset.since(self.segment.base) as u32,
            meta.len as u32,
            meta.max_timestamp,
        );
        meta.len += batch.len() as u64;
        meta.next = header.next_offset();
        meta.max_timestamp = meta.max_timestamp.max(header.max_timestamp);
        lock(&log.producers).note(header);
        lock(&log.epochs).observe(header.leader_epoch, header.base_offset);
        Ok(())
    }

    /// Writes what is staged, and lets readers see it. True if there was anything.
    pub(crate) fn write(&mut self, log: &Log) -> Result<bool, String> {
        if self.staged.is_empty() {
            return Ok(false);
        }
        let written =
            self.prezero(log).and_then(|()| self.file.write_at(self.written, &self.staged));
        written.map_err(|error| failed("writing", &self.segment, &error))?;
        // Before readers hear of it, so that those who wait for it find it there.
        let round = tail::Written {
            start: Offset(log.end.load(Ordering::Acquire)),
            next: self.staged_meta.next,
            file: &self.file,
            position: self.written,
            bytes: &self.staged,
        };
        log.shared.tails.push(&log.tail, round);
        self.written = self.staged_meta.len;
        self.allocated = self.allocated.max(self.written);
        self.unsynced = true;
        self.staged.clear();
        if self.staged.capacity() > STAGED_KEPT {
            self.staged = Vec::new();
        }
        self.segment.publish(self.staged_meta);
        log.last_epoch.store(lock(&log.epochs).last().0, Ordering::Release);
        log.end.store(self.staged_meta.next.0, Ordering::Release);
        if log.config().flush == Flush::Os {
            log.durable.store(self.staged_meta.next.0, Ordering::Release);
        }
        Ok(true)
    }

    /// Zeroes the file ahead of small writes, so that their syncs change no metadata.
    fn prezero(&mut self, log: &Log) -> io::Result<()> {
        let end = self.staged_meta.len;
        let pays = log.config().flush == Flush::Always && self.staged.len() <= PREZERO_BELOW;
        if !pays || end <= self.allocated {
            return Ok(());
        }
        let step = end.next_power_of_two().clamp(MIN_PREZERO, MAX_PREZERO);
        let ahead = (end + step).min(log.config().segment_bytes.get());
        if ahead <= end {
            return Ok(());
        }
        match self.file.allocate(end, ahead - end) {
            Ok(()) => self.allocated = ahead,
            // The batches themselves may still fit.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The file, if it must be synced for all that was written to be durable.
    pub(crate) fn unsynced_file(&self) -> Option<Arc<dyn DiskFile>> {
        self.unsynced.then(|| Arc::clone(&self.file))
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
        let synced = if self.unsynced { self.file.sync_data() } else { Ok(()) };
        self.handle_synced(log, synced)
    }

    /// Cuts what was zeroed ahead and makes the rest durable.
    pub(crate) fn finish(&mut self, log: &Log) -> Result<(), String> {
        self.write(log)?;
        let cut = || -> io::Result<bool> {
            let cut = self.file.len()? != self.written;
            if cut {
                self.file.set_len(self.written)?;
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
    /// is synced and cut to its length.
    pub(crate) fn roll(&mut self, log: &Log, base: Offset) -> Result<(), String> {
        self.finish(log)?;
        let path = files::segment(&log.folder, base);
        let open = || -> io::Result<Box<dyn DiskFile>> {
            let file = log.shared.disk.open(&path, OpenMode::CreateNew)?;
            log.shared.disk.sync_dir(&log.folder)?;
            Ok(file)
        };
        let file: Arc<dyn DiskFile> =
            open().map_err(|error| format!("making {} failed: {error}", path.display()))?.into();

        let closed = Arc::clone(&self.segment);
        let index = Arc::new(closed.active_index().unwrap_or_default());
        let mut changes =
            vec![Change::Segment(log.id, closed.base, closed.meta(), Arc::clone(&index))];
        changes.extend(self.checkpoint(log));
        let stored = log.shared.index.commit(&changes).is_ok();
        if stored {
            self.checkpointed = self.synced;
        }
        let old = Opened { file: Arc::clone(&self.file), index: Arc::clone(&index) };
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
        (self.segment, self.file) = (segment, file);
        (self.written, self.allocated, self.staged_meta) = (0, 0, meta);
        self.covered = 0;
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
