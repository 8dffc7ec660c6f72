//! Compaction: of each key the latest record stays.
//!
//! A **pass** over a log notes the latest offset of every key in what was not compacted yet (its
//! dirty part, as much as fits the [map](map::KeyMap)), then copies the log from its start to
//! there, a group of neighbouring segments at a time, leaving out what the [filter](filter) takes
//! out. Segments that lose nothing are not written, unless neighbours fit into one file together.
//!
//! What may be compacted are closed segments that were held for `min.compaction.lag`, before the
//! first damage and the first transaction that is not decided.
//!
//! # What holds
//!
//! 1. The latest record of a key is never removed, but for a tombstone; and a tombstone not before
//!    everything that it hides was gone, durably, for `delete.retention`.
//! 2. Passes go from the log's start upwards, and files are removed in rising order: a later record
//!    never goes while an earlier one that it supersedes can come back.
//! 3. A group's file is written and synced beside (`.cleaned`); its rows leave the index; it is
//!    renamed over the group's first file; the folder is synced; the new row is stored; the other
//!    files are removed. A crash leaves the old files, or the new one and some that begin before
//!    its end: opening removes those, and `.cleaned` files.
//! 4. Every file ends with the last batch of its group, if need be without records, so that its
//!    end is known from the file alone.
//! 5. A reader that found a segment before it was replaced reads on in the old file, which it has
//!    open or is handed.
//!
//! Memory is bounded by the map and the buffers of one segment; IO by the rate that the caller's
//! [`Pace`] allows.

mod batches;
mod filter;
mod horizons;
mod map;
mod rewrite;
mod swap;
mod transactions;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidegate_env::DirEntry;
use tidegate_types::{LogPolicy, Offset};

use super::{CleanState, Now};
use crate::log::{Log, lock};
use crate::planted::Planted;
use crate::segment::Segment;
use crate::store::Shared;
use crate::{DamageRange, IndexError, OpenError, files};
use batches::{BatchReader, Trouble};
use filter::Filter;
use map::KeyMap;
use transactions::Transactions;

/// After a failure of the disk a log is left alone for so long.
const PAUSE: Duration = Duration::from_secs(600);

/// Most segments that are merged at once: their files are open meanwhile.
const MAX_GROUP: usize = 32;

/// Told of every read and write of the cleaner; false if it is to stop.
pub(super) type Pace<'p> = &'p mut dyn FnMut(u64) -> bool;

/// What the next pass over a log is about.
#[derive(Debug)]
pub(super) struct Plan {
    /// What may be compacted: closed segments, from the log's start.
    segments: Vec<Arc<Segment>>,
    /// All closed segments up to the first damage, for what they tell of transactions.
    telling: Vec<Arc<Segment>>,
    /// Everything before this was compacted.
    dirty_from: Offset,
    /// Whether what lies behind that is compacted now, or only tombstones are removed.
    dirty: bool,
    /// Tombstones before this go.
    expired: Offset,
    /// How much of what may be compacted is dirty, of a thousand.
    pub(super) share: u64,
}

/// Why a pass ended early.
#[derive(Debug)]
enum Stop {
    /// The store closes, or the log's segments changed under the pass.
    Overtaken,
    Unreadable(Arc<Segment>, Trouble),
    Io(&'static str, io::Error),
    /// What the disk has is not known any more.
    Unsure(&'static str, io::Error),
    Index,
}

impl From<IndexError> for Stop {
    fn from(_: IndexError) -> Stop {
        // Logged; the index is given up.
        Stop::Index
    }
}

/// What a pass over the log would do now; `None` if none is due.
pub(super) fn plan(log: &Log, clean: &CleanState, policy: &LogPolicy, now: Now) -> Option<Plan> {
    let paused = clean.paused_until.is_some_and(|until| now.uptime < until);
    if !policy.cleanup.compacts() || clean.left || clean.stuck.is_some() || paused {
        return None;
    }
    let segments = log.segments();
    let (_, closed) = segments.split_last()?;
    let damaged = log.damage().first().map(|range| range.from);
    // Bytes that are damaged at the end of a file lie behind its last batch, and must stay.
    let successors = segments.iter().skip(1).map(|segment| segment.base);
    let sound = closed.iter().zip(successors);
    let sound = sound.take_while(|(_, next)| damaged.is_none_or(|from| *next <= from));
    let telling: Vec<_> = sound.map(|(segment, _)| Arc::clone(segment)).collect();
    // Only for what is dirty: tombstones go by time.
    let waits = clean.waits_at == Some(telling.last()?.base);
    let dirty_from = clean.row.compacted;
    let may = |segment: &&Arc<Segment>| {
        let closed_at = clean.closed_at(segment.base).unwrap_or(now.uptime);
        let held = now.uptime.saturating_sub(closed_at);
        let lag_over = held >= policy.min_compaction_lag;
        segment.next() <= dirty_from || lag_over || log.shared.planted(Planted::LagIgnored)
    };
    let segments: Vec<_> = telling.iter().take_while(may).cloned().collect();
    let all = segments.iter().map(|segment| segment.len()).sum::<u64>();
    let is_dirty = |segment: &&Arc<Segment>| segment.next() > dirty_from;
    let dirty_bytes = segments.iter().filter(is_dirty).map(|segment| segment.len()).sum::<u64>();
    let due = dirty_bytes > 0
        && !waits
        && u128::from(dirty_bytes) * 100 >= u128::from(all) * u128::from(policy.min_dirty_percent);
    let expired = match log.shared.planted(Planted::TombstonesNotHeld) {
        true => dirty_from,
        false => clean.row.expired(now.uptime, policy.delete_retention),
    };
    let sweep = clean.row.tombstones > 0 && expired > clean.row.swept;
    let share = dirty_bytes * 1_000 / all.max(1);
    (due || sweep).then_some(Plan { segments, telling, dirty_from, dirty: due, expired, share })
}

/// Notes since when the log is clean, if it is.
pub(super) fn note_horizon(clean: &mut CleanState, policy: &LogPolicy, now: Now) {
    if policy.cleanup.compacts() && clean.row.note_horizon(now.uptime, policy.delete_retention) {
        clean.dirty = true;
    }
}

/// Makes a pass; whether another may follow at once.
pub(super) fn run(log: &Arc<Log>, plan: &Plan, now: Now, pace: Pace<'_>) -> bool {
    let stop = match pass(log, plan, now, pace) {
        Ok(()) => return true,
        Err(stop) => stop,
    };
    match stop {
        Stop::Overtaken | Stop::Index => {}
        Stop::Unreadable(segment, Trouble::Damaged { at, from }) => {
            log.found_damage(&segment, at, from);
            return true;
        }
        Stop::Unreadable(segment, Trouble::Io(error)) => {
            // Files that are gone because they were trimmed are nobody's fault.
            if log.segments().iter().any(|listed| Arc::ptr_eq(listed, &segment)) {
                let reason = format!("cannot read {}: {error}", segment.path.display());
                pause(log, reason, now);
            }
        }
        Stop::Io(action, error) => pause(log, format!("cannot {action}: {error}"), now),
        Stop::Unsure(action, error) => {
            let reason = format!("cannot {action}: {error}");
            tracing::error!(log = %log.id, reason, "the log is not compacted until it is reopened");
            lock(&log.clean).stuck = Some(reason.into());
        }
    }
    false
}

fn pause(log: &Log, reason: String, now: Now) {
    tracing::warn!(log = %log.id, reason, "compaction of the log pauses");
    let mut clean = lock(&log.clean);
    clean.paused_until = Some(now.uptime.saturating_add(PAUSE));
    clean.trouble = Some(reason.into());
}

fn pass(log: &Arc<Log>, plan: &Plan, now: Now, pace: Pace<'_>) -> Result<(), Stop> {
    let (transactions, decided) = walk_transactions(log, plan, pace)?;
    let mut segments = plan.segments.clone();
    segments.retain(|segment| segment.next() <= decided);
    let dirty: Vec<_> = segments
        .iter()
        .filter(|segment| plan.dirty && segment.next() > plan.dirty_from)
        .cloned()
        .collect();
    let memory = log.shared.config.compaction_memory.get();
    let (map, end) = build_map(log, plan.dirty_from, &dirty, &transactions, memory, pace)?;
    if end <= plan.dirty_from && plan.dirty {
        if !dirty.is_empty() {
            let reason = format!("the keys of the batch at {end} do not fit {memory} bytes");
            tracing::error!(log = %log.id, reason, "the log cannot be compacted");
            lock(&log.clean).stuck = Some(reason.into());
        }
        if plan.expired <= lock(&log.clean).row.swept {
            // Nothing can be done before more segments are closed.
            lock(&log.clean).waits_at = plan.telling.last().map(|segment| segment.base);
            return Ok(());
        }
    }
    segments.retain(|segment| segment.base < end);

    let forgets = log.shared.planted(Planted::ProducersDropped);
    let is_last = |producer, base| !forgets && lock(&log.producers).is_last(producer, base);
    let mut filter = Filter::new(&map, &transactions, end, plan.expired, &is_last);
    filter.renumbers = log.shared.planted(Planted::OffsetsRenumbered);
    for group in groups(&segments, super::segment_bytes(log)) {
        match rewrite::rewrite(log, group, &mut filter, pace) {
            Ok(Some(written)) => swap::swap(log, group, written)?,
            Ok(None) => {}
            Err(stop) => {
                if let Some(first) = group.first() {
                    // There may be none. One that stays is removed when the log is opened.
                    let _ = log.shared.disk.remove_file(&files::cleaned(&log.folder, first.base));
                }
                return Err(stop);
            }
        }
    }
    let mut clean = lock(&log.clean);
    let row = &mut clean.row;
    let before = (row.compacted, row.swept);
    row.compacted = row.compacted.max(end);
    row.tombstones = filter.tombstones;
    row.swept = row.swept.max(plan.expired);
    if (row.compacted, row.swept) == before {
        // The same again would do no more.
        clean.waits_at = plan.telling.last().map(|segment| segment.base);
    }
    clean.trouble = None;
    clean.dirty = true;
    note_horizon(&mut clean, &super::policy(log), now);
    tracing::debug!(
        log = %log.id, %end, removed = filter.removed, tombstones = filter.tombstones, "compacted"
    );
    log.store_row(&mut clean)?;
    Ok(())
}

/// Finds the aborted transactions, and up to where all are decided.
fn walk_transactions(
    log: &Log,
    plan: &Plan,
    pace: Pace<'_>,
) -> Result<(Transactions, Offset), Stop> {
    let mut transactions = Transactions::default();
    if !plan.dirty {
        // What is clean holds nothing of aborted ones any more.
        return Ok((transactions, Offset(i64::MAX)));
    }
    let mut told_to = Offset(i64::MAX);
    for segment in plan.telling.iter().filter(|segment| segment.next() > plan.dirty_from) {
        let complete = each_batch(log, segment, pace, |batch| {
            let noted = transactions.note(batch);
            if !noted {
                told_to = batch.header().base_offset;
            }
            noted
        })?;
        if !complete {
            break;
        }
    }
    let open =
        transactions.first_open().filter(|_| !log.shared.planted(Planted::UndecidedCompacted));
    let decided = open.unwrap_or(told_to).min(told_to);
    Ok((transactions, decided))
}

/// Notes the keys of the dirty segments; with the end of what was noted.
fn build_map(
    log: &Log,
    dirty_from: Offset,
    dirty: &[Arc<Segment>],
    transactions: &Transactions,
    memory: u64,
    pace: Pace<'_>,
) -> Result<(KeyMap, Offset), Stop> {
    let records = dirty.iter().map(|segment| segment.next().since(segment.base.max(dirty_from)));
    let records = u64::try_from(records.sum::<i64>()).unwrap_or(0);
    let mut map = KeyMap::new(records, memory);
    let mut scratch = Vec::new();
    let mut end = dirty_from;
    for segment in dirty {
        let mut full_at = None;
        each_batch(log, segment, pace, |batch| {
            let header = *batch.header();
            let counts = header.base_offset >= dirty_from
                && !header.attributes.is_control()
                && (!transactions.is_aborted(batch)
                    || log.shared.planted(Planted::AbortedSupersede));
            if !counts {
                return true;
            }
            // What does not decode is kept, and supersedes nothing.
            let Ok(records) = batch.body(&mut scratch) else { return true };
            for record in records.map_while(Result::ok) {
                let Some(key) = record.key else { continue };
                let past = i64::from(log.shared.planted(Planted::LastOfKeyDropped));
                if !map.note(key, header.offset_of(&record).advance(past)) {
                    full_at = Some(header.base_offset);
                    return false;
                }
            }
            true
        })?;
        if let Some(at) = full_at {
            return Ok((map, at));
        }
        end = segment.next();
    }
    Ok((map, end))
}

/// Calls `f` with each batch until it says no; whether it never did.
fn each_batch(
    log: &Log,
    segment: &Arc<Segment>,
    pace: Pace<'_>,
    mut f: impl FnMut(&tidegate_record::Batch<'_>) -> bool,
) -> Result<bool, Stop> {
    let unreadable = |trouble| Stop::Unreadable(Arc::clone(segment), trouble);
    let opened = segment.opened(log.id, log.context()).map_err(|e| unreadable(Trouble::Io(e)))?;
    let mut reader = BatchReader::new(Arc::clone(&opened.file), segment);
    loop {
        let goes_on = match reader.next().map_err(unreadable)? {
            Some((_, batch)) => f(&batch),
            None => return Ok(true),
        };
        if !pace(reader.take_read()) {
            return Err(Stop::Overtaken);
        }
        if !goes_on {
            return Ok(false);
        }
    }
}

/// Neighbours that fit one file together.
fn groups(segments: &[Arc<Segment>], max: u64) -> Vec<&[Arc<Segment>]> {
    let mut groups = Vec::new();
    let mut rest = segments;
    while let Some(first) = rest.first() {
        let mut len = 0_u64;
        let fits = |segment: &&Arc<Segment>| {
            len += segment.len();
            len <= max && u32::try_from(segment.next().since(first.base)).is_ok()
        };
        let count = rest.iter().take(MAX_GROUP).take_while(fits).count().max(1);
        let (group, after) = rest.split_at(count);
        groups.push(group);
        rest = after;
    }
    groups
}

/// Removes a file that begins before the end of the one before it: what it held was merged there.
pub(crate) fn remove_superseded(
    shared: &Shared,
    folder: &Path,
    base: Offset,
) -> Result<(), OpenError> {
    let path = files::segment(folder, base);
    tracing::info!(path = %path.display(), "removing a file that compaction merged into another");
    // The other must have its name for good before this one goes.
    shared.disk.sync_dir(folder).map_err(OpenError::io("sync", folder))?;
    shared.disk.remove_file(&path).map_err(OpenError::io("remove", &path))
}

/// Removes what a compaction left that was cut short.
pub(crate) fn remove_unfinished(
    shared: &Shared,
    folder: &Path,
    entries: &[DirEntry],
) -> Result<(), OpenError> {
    for entry in entries.iter().filter(|entry| files::is_cleaned(&entry.name)) {
        let path = folder.join(&entry.name);
        shared.disk.remove_file(&path).map_err(OpenError::io("remove", &path))?;
    }
    Ok(())
}

impl Log {
    /// Tells of bytes that are no batch where one must begin, at `from`.
    fn found_damage(&self, segment: &Segment, at: u64, from: Offset) {
        let next = |index: &crate::SparseIndex| index.next_after(at, segment.base);
        let found = segment.look(self.id, self.context(), next);
        let next = found.ok().and_then(|(_, next)| next).map(|(offset, _)| offset);
        let end = next.unwrap_or(segment.next()).max(from.advance(1));
        tracing::error!(
            log = %self.id, path = %segment.path.display(), position = at, %from, %end,
            "records are damaged; the log is not compacted from there on"
        );
        self.add_damage(DamageRange { from, end });
    }
}
