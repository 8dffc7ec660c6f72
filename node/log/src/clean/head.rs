//! Moves a log's start, and removes the files that lie before it.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use tidegate_types::Offset;

use super::{CleanState, Dropped, Why};
use crate::index::Change;
use crate::log::{Log, LogHandle, lock};
use crate::planted::Planted;
use crate::segment::Segment;
use crate::store::Shared;
use crate::writer::Command;
use crate::{DamageRange, IndexError, OpenError, TrimError, files};

impl LogHandle {
    /// Cuts off everything before `to`; returns the log's start, which lies further on if it did
    /// before. Durable on return.
    ///
    /// Files go as far as they lie wholly before the new start. Where nothing is left, the active
    /// segment is closed, and its file goes soon after. Whether consumers or replicas still need
    /// the records is not asked. Blocks; not for the writer's callbacks.
    ///
    /// # Errors
    /// If `to` lies beyond the durable end, the log is closed, or the start cannot be stored; no
    /// record is gone then.
    pub fn trim(&self, to: Offset) -> Result<Offset, TrimError> {
        let log = &self.log;
        let mut clean = lock(&log.clean);
        if clean.left || log.check_open().is_err() && log.sealed.get().is_none() {
            return Err(TrimError::Closed);
        }
        let end = log.offsets().durable;
        if to > end {
            return Err(TrimError::BeyondEnd { to, end });
        }
        log.secure(to)?;
        log.remove_before(&mut clean, to, Why::Trimmed)?;
        clean.ask_for_roll(log);
        Ok(log.offsets().start)
    }

    /// Up to where compaction came, and why it does not go on if it failed.
    #[must_use]
    pub fn compaction(&self) -> (Offset, Option<String>) {
        let clean = lock(&self.log.clean);
        let trouble = clean.stuck.as_ref().or(clean.trouble.as_ref());
        (clean.row.compacted, trouble.map(|reason| reason.to_string()))
    }

    /// What the log lost to a full disk since it was opened.
    #[must_use]
    pub fn dropped(&self) -> Option<Dropped> {
        lock(&self.log.clean).dropped
    }
}

impl CleanState {
    /// Has the active segment closed if all in it was trimmed.
    fn ask_for_roll(&mut self, log: &Arc<Log>) {
        let segments = log.segments();
        let Some(active) = segments.last() else { return };
        if active.len() > 0 && active.next() <= log.offsets().start {
            self.roll(log, active.base);
        }
    }

    /// Asks the writer, once, to close the active segment at `base`.
    pub(super) fn roll(&mut self, log: &Arc<Log>, base: Offset) {
        if self.roll_asked != Some(base) && log.check_open().is_ok() {
            self.roll_asked = Some(base);
            // Fails only if the writer is gone.
            let _ = log.shared.sender.send(Command::Roll(Arc::clone(log)));
        }
    }
}

impl Log {
    /// Syncs the active segment if `to` lies in it and may not be on the platter, as under
    /// `flush = "os"`: a log must not start beyond what a power cut leaves of it.
    fn secure(&self, to: Offset) -> Result<(), TrimError> {
        let file = {
            let active = lock(&self.active);
            if to <= active.synced { None } else { active.unsynced_file() }
        };
        let Some(file) = file else { return Ok(()) };
        file.sync_data().map_err(|error| {
            let reason = self.seal(format!("syncing the end of {} failed: {error}", self.id));
            TrimError::Sealed { reason }
        })
    }

    /// Moves the start to `to`, which must be synced, and removes the files before it.
    pub(super) fn remove_before(
        &self,
        clean: &mut CleanState,
        to: Offset,
        why: Why,
    ) -> Result<u64, IndexError> {
        let from = self.offsets().start;
        let start = from.max(to);
        let segments = self.segments();
        let closed = &segments[..segments.len().saturating_sub(1)];
        let count = closed.iter().take_while(|segment| segment.next() <= start).count();
        let gone = &closed[..count];
        if start == from && gone.is_empty() {
            return Ok(0);
        }
        let mut row = clean.row.clone();
        row.closed.retain(|(base, _)| gone.iter().all(|segment| segment.base != *base));
        let mut changes = vec![
            Change::Start(self.id, self.incarnation, start),
            self.shared.cleaner.uptime(&*self.shared.clock),
            Change::Cleaning(self.id, row.clone()),
        ];
        changes.extend(gone.iter().map(|segment| Change::RemoveSegment(self.id, segment.base)));
        if self.shared.planted(Planted::RemovedBeforeStart) {
            clean.leftover.extend(gone.iter().map(|segment| segment.path.clone()));
            self.unlink_leftover(clean);
        }
        self.shared.tell(changes)?;
        (clean.row, clean.dirty) = (row, false);

        self.start.fetch_max(start.0, Ordering::AcqRel);
        lock(&self.epochs).cut_head(start);
        let mut damage = self.damage.write().unwrap_or_else(PoisonError::into_inner);
        damage.retain(|range| range.end > start);
        drop(damage);
        self.unlist(gone);

        let bytes = gone.iter().map(|segment| segment.len()).sum::<u64>();
        self.shared.cleaner.count(why, bytes, count as u64);
        self.tell(clean, why, DamageRange { from, end: start }, bytes, count as u64);
        clean.leftover.extend(gone.iter().map(|segment| segment.path.clone()));
        self.unlink_leftover(clean);
        Ok(bytes)
    }

    /// Takes segments out of the list, and out of what is remembered for readers.
    fn unlist(&self, gone: &[Arc<Segment>]) {
        if gone.is_empty() {
            return;
        }
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        let stays = |segment: &&Arc<Segment>| !gone.iter().any(|gone| Arc::ptr_eq(gone, segment));
        *segments = Arc::new(segments.iter().filter(stays).cloned().collect());
        drop(segments);
        for segment in gone {
            self.shared.opened.forget_segment(self.id, segment.base);
        }
    }

    fn tell(&self, clean: &mut CleanState, why: Why, range: DamageRange, bytes: u64, count: u64) {
        let DamageRange { from, end } = range;
        match why {
            Why::Trimmed => tracing::info!(log = %self.id, %from, %end, bytes, "trimmed"),
            Why::Compacted => {}
            Why::TooOld => tracing::info!(log = %self.id, %from, %end, bytes, "past retention"),
            Why::Dropped => {
                tracing::warn!(
                    log = %self.id, %from, %end, bytes,
                    "the disk is full: the log's oldest records were dropped"
                );
                let before = clean.dropped.map_or((0, 0), |d| (d.bytes.get(), d.segments));
                clean.dropped = Some(Dropped {
                    last: range,
                    bytes: tidegate_types::ByteSize::bytes(before.0 + bytes),
                    segments: before.1 + count,
                });
            }
        }
    }

    /// Removes the files that are no longer the log's, oldest first. What fails is tried again.
    pub(super) fn unlink_leftover(&self, clean: &mut CleanState) {
        let disk = &*self.shared.disk;
        let before = clean.leftover.len();
        let mut failed = None;
        clean.leftover.retain(|path| {
            // Not even tried behind one that stays: the order must not change.
            if failed.is_some() {
                return true;
            }
            match disk.remove_file(path) {
                Ok(()) => false,
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => {
                    failed = Some((path.clone(), error));
                    true
                }
            }
        });
        if let Some((path, error)) = failed {
            tracing::warn!(
                path = %path.display(), %error, "cannot remove a segment; it is tried again"
            );
        }
        if clean.leftover.len() < before
            && let Err(error) = disk.sync_dir(&self.folder)
        {
            // Should the names come back, the next start removes them.
            tracing::warn!(path = %self.folder.display(), %error, "cannot sync a log's folder");
        }
    }
}

/// Removes the files of a log that lie wholly before `to`, as a crash left them, and gives the
/// others. `is_own` tells of a file whether it is surely one of the log's own.
pub(crate) fn sweep_trimmed(
    shared: &Shared,
    folder: &Path,
    segment_files: Vec<(Offset, u64)>,
    to: Offset,
    is_own: impl Fn(Offset, u64) -> bool,
) -> Result<Vec<(Offset, u64)>, OpenError> {
    let successors = segment_files.iter().skip(1);
    let mut count = successors.take_while(|(base, _)| *base <= to).count();
    // A last file without a byte tells nothing of the one before it: the name of a file for which
    // there was no room can come back, while the log went on in the old one. That is read.
    if segment_files.get(count..).is_some_and(|rest| matches!(rest, [(_, 0)])) {
        count = count.saturating_sub(1);
    }
    // The one that stays could be left from before compaction merged it into one that would go.
    let is_last = count + 1 == segment_files.len();
    if segment_files.get(count).is_none_or(|(base, len)| !is_last && !is_own(*base, *len)) {
        count = 0;
    }
    for (base, _) in &segment_files[..count] {
        remove(shared, &files::segment(folder, *base))?;
    }
    Ok(segment_files.into_iter().skip(count).collect())
}

fn remove(shared: &Shared, path: &Path) -> Result<(), OpenError> {
    tracing::info!(path = %path.display(), "removing a file that the log no longer needs");
    shared.disk.remove_file(path).map_err(OpenError::io("remove", path))
}
