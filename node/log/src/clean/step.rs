//! What the thread `log-cleaner` does: looks at every log now and then, and when the bell rings.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tidegate_types::{ByteSize, Offset, WhenFull};

use super::retention::{Closed, is_roll_due, new_start};
use super::{CleanState, Now, Why, compact, policy, row_not_stored, row_to_store};
use crate::index::Change;
use crate::log::{Log, lock};
use crate::planted::Planted;
use crate::store::Shared;
use crate::{IndexError, OpenError};

/// How long the thread waits for more bells after one.
const REST: Duration = Duration::from_millis(200);

/// Times that changed are stored at least this often, if nothing else is.
const STORE_EVERY: Duration = Duration::from_secs(600);

/// Starts the thread of an open store.
pub(crate) fn start_thread(shared: &Arc<Shared>) -> Result<JoinHandle<()>, OpenError> {
    let mut step = MaintenanceStep { waits: true, ..MaintenanceStep::new(Arc::clone(shared)) };
    let bells = shared.cleaner.bells.clone();
    let run = move || {
        while !step.shared.is_closed() {
            step.run();
            let rung = bells.recv_timeout(step.shared.config.clean_interval).is_ok();
            if rung && !step.shared.is_closed() {
                // Bells that ring together are answered with one look.
                let _ = bells.recv_timeout(REST);
            }
        }
    };
    std::thread::Builder::new()
        .name("log-cleaner".to_owned())
        .spawn(run)
        .map_err(|source| OpenError::Thread { source })
}

/// One look at all logs at a time, on the caller's thread: for simulations. A store that was opened
/// with [`LogStore::open`](crate::LogStore::open) does this on a thread of its own.
pub struct MaintenanceStep {
    shared: Arc<Shared>,
    /// The uptime when the index was told last.
    stored: Duration,
    /// The monotonic time of the last look.
    looked: Duration,
    /// What compaction may read and write now, in bytes; spent ahead if negative.
    allowance: i64,
    /// The monotonic time up to which that was counted.
    counted: Duration,
    /// Whether compaction waits where it was too fast; else the caller sees to that.
    waits: bool,
}

impl std::fmt::Debug for MaintenanceStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MaintenanceStep").field("stored", &self.stored).finish_non_exhaustive()
    }
}

impl MaintenanceStep {
    pub(crate) fn new(shared: Arc<Shared>) -> MaintenanceStep {
        let stored = shared.cleaner.now(&*shared.clock).uptime;
        let counted = shared.clock.monotonic();
        MaintenanceStep { shared, stored, looked: counted, allowance: 0, counted, waits: false }
    }

    /// Looks at every open log: removes what its policy no longer keeps, and asks the writer to
    /// close active segments that are old. What the writer closes is seen by the next look.
    pub fn run(&mut self) {
        let now = look(&self.shared);
        self.looked = self.shared.clock.monotonic();
        // Compaction frees space only after it has taken some.
        if !self.shared.space.is_full() {
            self.compact();
        }
        if now.uptime.saturating_sub(self.stored) >= STORE_EVERY {
            let logs = self.shared.open_logs();
            let stale = logs.iter().filter_map(|log| Some((log, row_to_store(log)?)));
            let (stale, mut changes): (Vec<_>, Vec<Change>) = stale.unzip();
            changes.push(Change::Uptime(now.uptime));
            // A failure was logged; the index is given up, and with it all removal, unless only
            // room is missing.
            match self.shared.tell(changes) {
                Err(IndexError::Full) => stale.into_iter().for_each(|log| row_not_stored(log)),
                _ => self.stored = now.uptime,
            }
        }
    }
}

impl MaintenanceStep {
    /// Compacts what is due, the log that needs it most first.
    fn compact(&mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let now = shared.cleaner.now(&*shared.clock);
            let Some((log, plan)) = dirtiest(&shared, now) else { return };
            if !compact::run(&log, &plan, now, &mut |bytes| self.spend(bytes)) {
                return;
            }
        }
    }

    /// Counts bytes that compaction read or wrote, and waits where that was too fast: never with a
    /// lock held. Bells are answered meanwhile, and looks taken that are due. False if the store
    /// closes, or the disk is full.
    fn spend(&mut self, bytes: u64) -> bool {
        let rate = i64::try_from(self.shared.config.cleaning_rate.get()).unwrap_or(i64::MAX).max(1);
        self.allowance = self.allowance.saturating_sub_unsigned(bytes);
        let mut rung = self.waits && self.shared.cleaner.bells.try_recv().is_ok();
        while self.waits && !self.shared.is_closed() {
            let now = self.shared.clock.monotonic();
            if rung || now.saturating_sub(self.looked) >= self.shared.config.clean_interval {
                self.looked = now;
                look(&self.shared);
            }
            let passed = now.saturating_sub(self.counted).as_micros();
            self.counted = now;
            let earned = passed.saturating_mul(rate.unsigned_abs().into()) / 1_000_000;
            let earned = i64::try_from(earned).unwrap_or(i64::MAX);
            // A quarter of a second's worth may be saved up.
            self.allowance = self.allowance.saturating_add(earned).min(rate / 4);
            if self.allowance >= 0 {
                break;
            }
            let behind = self.allowance.unsigned_abs() as f64 / rate as f64;
            let wait = Duration::from_secs_f64(behind.clamp(0.001, 1.0));
            rung = self.shared.cleaner.bells.recv_timeout(wait).is_ok();
        }
        !self.shared.is_closed() && !self.shared.space.is_full()
    }
}

/// Looks at all logs; makes room first, if the disk is full.
fn look(shared: &Shared) -> Now {
    let missing = shared.space.missing();
    if missing > ByteSize::bytes(0) {
        shared.make_room(missing);
    }
    let now = shared.cleaner.now(&*shared.clock);
    for log in shared.open_logs() {
        if shared.is_closed() {
            break;
        }
        tend(&log, now);
    }
    now
}

/// The log that needs compaction most, if any does.
fn dirtiest(shared: &Shared, now: Now) -> Option<(Arc<Log>, compact::Plan)> {
    if shared.index.failure().is_some() {
        return None;
    }
    let plans = shared.open_logs().into_iter().filter_map(|log| {
        log.check_open().ok()?;
        let plan = compact::plan(&log, &lock(&log.clean), &policy(&log), now)?;
        Some((log, plan))
    });
    plans.max_by_key(|(log, plan)| (plan.share, log.id))
}

/// Does for one log what is due.
fn tend(log: &Arc<Log>, now: Now) {
    let mut clean = lock(&log.clean);
    if clean.left || log.check_open().is_err() {
        return;
    }
    clean.see(log, now.uptime);
    if !clean.leftover.is_empty() {
        log.unlink_leftover(&mut clean);
    }
    let policy = policy(log);
    let segments = log.segments();
    let Some((active, closed)) = segments.split_last() else { return };
    let closed: Vec<Closed> = closed
        .iter()
        .map(|segment| Closed {
            next: segment.next(),
            len: segment.len(),
            max_timestamp: segment.max_timestamp(),
            closed_at: clean.closed_at(segment.base).unwrap_or(now.uptime),
        })
        .collect();
    let trimmed = log.offsets().start;
    let held_long = log.shared.planted(Planted::HeldTimeIgnored);
    let uptime = if held_long { Duration::MAX } else { now.uptime };
    let why = new_start(&policy, &closed, active.len(), Now { uptime, ..now })
        .filter(|start| *start > trimmed);
    compact::note_horizon(&mut clean, &policy, now);
    let before = log.remove_before(&mut clean, why.unwrap_or(trimmed), why_of(why));
    if before.is_err() {
        return;
    }
    match clean.row.filling {
        Some((base, since)) if base == active.base && is_roll_due(&policy, since, now) => {
            clean.roll(log, base);
        }
        _ => {}
    }
}

/// What lay before the start already, a trim left.
fn why_of(retention: Option<Offset>) -> Why {
    retention.map_or(Why::Trimmed, |_| Why::TooOld)
}

/// A closed segment that may be dropped; what was held for longest sorts first.
type Candidate = (Duration, tidegate_types::Timestamp, usize, Offset);

impl Shared {
    /// See [`LogStore::make_room`](crate::LogStore::make_room).
    pub(crate) fn make_room(&self, need: ByteSize) -> ByteSize {
        let mut logs = self.open_logs();
        logs.retain(|log| policy(log).when_full == WhenFull::DropOldest);
        logs.sort_by_key(|log| log.id);
        let uptime = self.cleaner.now(&*self.clock).uptime;
        let mut freed = 0;
        while freed < need.get() {
            let oldest = logs.iter().enumerate().filter_map(|(at, log)| candidate(log, at, uptime));
            let Some((_, _, at, next)) = oldest.min() else {
                roll_largest(&logs);
                break;
            };
            let Some(log) = logs.get(at) else { break };
            let mut clean = lock(&log.clean);
            match log.remove_before(&mut clean, next, Why::Dropped) {
                Ok(bytes) => freed += bytes,
                // Logged. Without the index nothing can be removed.
                Err(_) => break,
            }
        }
        ByteSize::bytes(freed)
    }
}

fn candidate(log: &Log, at: usize, uptime: Duration) -> Option<Candidate> {
    let mut clean = lock(&log.clean);
    if clean.left || log.deleted.load(std::sync::atomic::Ordering::Acquire) {
        return None;
    }
    clean.see(log, uptime);
    let segments = log.segments();
    let (_, closed) = segments.split_last()?;
    let oldest = closed.first()?;
    let closed_at = clean.closed_at(oldest.base).unwrap_or(uptime);
    Some((closed_at, oldest.max_timestamp(), at, oldest.next()))
}

/// Has the largest active segment closed, so that it can be dropped next.
fn roll_largest(logs: &[Arc<Log>]) {
    let active = |log: &Arc<Log>| log.segments().last().map(|active| (active.len(), active.base));
    let largest = logs
        .iter()
        .filter_map(|log| Some((active(log)?, log)))
        .filter(|((len, _), _)| *len > 0)
        .max_by_key(|((len, _), _)| *len);
    if let Some(((_, base), log)) = largest {
        CleanState::roll(&mut lock(&log.clean), log, base);
    }
}
