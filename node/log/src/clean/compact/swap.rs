//! Puts a new file in the place of a group of segments; the order is the [module](super)'s.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Stop;
use super::rewrite::Written;
use crate::clean::{CleanState, Why};
use crate::files;
use crate::index::Change;
use crate::log::{Log, Segments, lock};
use crate::planted::Planted;
use crate::segment::Segment;

pub(super) fn swap(log: &Log, group: &[Arc<Segment>], written: Written) -> Result<(), Stop> {
    let disk = &*log.shared.disk;
    let mut clean = lock(&log.clean);
    let Some((first, others)) = group.split_first() else { return Ok(()) };
    if clean.left || log.check_open().is_err() || position(&log.segments(), group).is_none() {
        // What cannot be removed now is when the log is opened.
        let _ = disk.remove_file(&written.path);
        return Err(Stop::Overtaken);
    }
    // From here on whoever found the old segments has their files, whatever is done to the names.
    for (segment, opened) in group.iter().zip(written.sources) {
        segment.replace(opened);
    }
    clean.merge_times(group);
    let mut changes = vec![log.shared.cleaner.uptime(&*log.shared.clock)];
    changes.push(Change::Cleaning(log.id, clean.row.clone()));
    changes.extend(group.iter().map(|segment| Change::RemoveSegment(log.id, segment.base)));
    let old_index =
        log.shared.planted(Planted::OldIndexKept).then(|| first.opened(log.id, log.context()));
    log.shared.tell(changes)?;
    if log.shared.planted(Planted::MergedRemovedFirst) {
        others.iter().for_each(|segment| remove(log, &mut clean, &segment.path));
    }

    let unsure = |error| Stop::Unsure("put a compacted segment in its place", error);
    disk.rename(&written.path, &files::segment(&log.folder, first.base)).map_err(unsure)?;
    if !log.shared.planted(Planted::SwapUnsynced) {
        disk.sync_dir(&log.folder).map_err(unsure)?;
    }

    let index = match old_index {
        Some(Ok(old)) => Arc::clone(&old.index),
        _ => Arc::clone(&written.index),
    };
    let new = Segment::instead_of(first, &log.folder, written.meta, Arc::clone(&index));
    let new = Arc::new(new);
    replace(log, group, &new);
    log.shared.tails.forget(&log.tail);
    let row = Change::Segment(log.id, new.base, written.meta, index);
    if log.shared.tell_some_time(vec![row]).is_ok() {
        new.forget_index();
    }
    for segment in group {
        log.shared.opened.forget_segment(log.id, segment.base);
    }
    for segment in others {
        remove(log, &mut clean, &segment.path);
    }
    let before = group.iter().map(|segment| segment.len()).sum::<u64>();
    let gone = before.saturating_sub(written.meta.len);
    log.shared.cleaner.count(Why::Compacted, gone, others.len() as u64);
    Ok(())
}

/// Where the group lies in the list; `None` if it is not there any more.
fn position(segments: &Segments, group: &[Arc<Segment>]) -> Option<usize> {
    let first = group.first()?;
    let at = segments.iter().position(|segment| Arc::ptr_eq(segment, first))?;
    let found = segments.get(at..at + group.len())?;
    found.iter().zip(group).all(|(a, b)| Arc::ptr_eq(a, b)).then_some(at)
}

fn replace(log: &Log, group: &[Arc<Segment>], new: &Arc<Segment>) {
    let mut segments = log.segments.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(at) = position(&segments, group) {
        let mut list = Vec::clone(&segments);
        list.splice(at..at + group.len(), [Arc::clone(new)]);
        *segments = Arc::new(list);
    }
}

/// Removes one file, durably, before the next is.
fn remove(log: &Log, clean: &mut CleanState, path: &Path) {
    clean.leftover.push(path.to_owned());
    log.unlink_leftover(clean);
}

impl CleanState {
    /// The group is held as one since its last segment was closed.
    fn merge_times(&mut self, group: &[Arc<Segment>]) {
        let times = group.iter().filter_map(|segment| self.closed_at(segment.base));
        let latest = times.max().unwrap_or(Duration::ZERO);
        let Some((first, others)) = group.split_first() else { return };
        self.row.closed.retain(|(base, _)| others.iter().all(|segment| segment.base != *base));
        if let Ok(at) = self.row.closed.binary_search_by_key(&first.base, |(base, _)| *base) {
            self.row.closed[at].1 = latest;
        }
    }
}
