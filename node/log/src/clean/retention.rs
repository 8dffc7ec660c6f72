//! Which segments are too old or too many, and when an active one is closed: rules without IO.

use std::time::Duration;

use tidegate_types::{LogPolicy, Offset, Timestamp};

use super::Now;

/// What the rules look at in a closed segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Closed {
    pub(super) next: Offset,
    pub(super) len: u64,
    pub(super) max_timestamp: Timestamp,
    /// The uptime at which it was first seen closed.
    pub(super) closed_at: Duration,
}

impl Closed {
    /// Whether both clocks say that all of it is older than `age`.
    fn is_older_than(&self, age: Duration, now: Now) -> bool {
        let held = now.uptime.saturating_sub(self.closed_at);
        let latest = self.max_timestamp;
        let aged = match u64::try_from(now.wall.millis().saturating_sub(latest.millis())) {
            Ok(millis) if latest != Timestamp::NONE => Duration::from_millis(millis) > age,
            // Without a time, or with one to come, its batches tell nothing.
            _ => true,
        };
        held > age && aged
    }
}

/// Where the log is to start once what `policy` no longer keeps is gone; `None` if all stays.
///
/// `closed` are all closed segments, oldest first; `active` the bytes of the one that is not.
pub(super) fn new_start(
    policy: &LogPolicy,
    closed: &[Closed],
    active: u64,
    now: Now,
) -> Option<Offset> {
    if !policy.cleanup.deletes() {
        return None;
    }
    let aged = policy.retention.map_or(0, |age| {
        closed.iter().take_while(|segment| segment.is_older_than(age, now)).count()
    });
    let surplus = policy.retention_bytes.map_or(0, |keep| {
        let mut rest = closed.iter().map(|segment| segment.len).sum::<u64>() + active;
        let goes = |segment: &&Closed| {
            rest -= segment.len;
            rest >= keep.get()
        };
        closed.iter().take_while(goes).count()
    });
    let last = aged.max(surplus).checked_sub(1)?;
    closed.get(last).map(|segment| segment.next)
}

/// Whether an active segment with records in it since `filling` is to be closed.
pub(super) fn is_roll_due(policy: &LogPolicy, filling: Duration, now: Now) -> bool {
    let retention = policy.retention.filter(|_| policy.cleanup.deletes());
    let age = retention.map_or(policy.segment_age, |age| age.min(policy.segment_age));
    now.uptime.saturating_sub(filling) > age
}
