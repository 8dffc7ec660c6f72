//! How logs tell the index: in order, and nothing is lost to a disk that was full for a while.
//!
//! A change that a log cannot do without is kept in memory when the disk is too full for the index,
//! and goes, in its place in the order, with the next commit that succeeds: what the index holds is
//! at any time what it was told up to some moment, but for changes whose teller was answered an
//! error. Such a teller has changed nothing, and may try again.
//!
//! When the index finds no room, appends are refused like after any write that found none, and the
//! reserve is given up at once: before segments can be dropped to make room, the index must be told.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::IndexError;
use crate::index::Change;
use crate::log::lock;
use crate::store::Shared;
use crate::writer::Command;

/// More changes than this are not kept: the index is given up instead.
const MAX_KEPT: usize = 64 * 1024;

/// Changes that the index could not take.
#[derive(Debug, Default)]
pub(crate) struct Untold {
    changes: Mutex<Vec<Change>>,
    any: AtomicBool,
}

impl Untold {
    /// Whether there are changes that wait for room.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }
}

impl Shared {
    /// Tells the index, with all that it could not be told before; durable on return. After an
    /// error the changes are the caller's again.
    pub(crate) fn tell(&self, changes: Vec<Change>) -> Result<(), IndexError> {
        self.tell_all(changes, false)
    }

    /// The same; but where only room is missing, the index is told later and the caller goes on.
    pub(crate) fn tell_some_time(&self, changes: Vec<Change>) -> Result<(), IndexError> {
        self.tell_all(changes, true)
    }

    fn tell_all(&self, changes: Vec<Change>, keeps: bool) -> Result<(), IndexError> {
        let mut untold = lock(&self.untold.changes);
        let before = untold.len();
        untold.extend(changes);
        let result = self.commit(&untold);
        match &result {
            Ok(()) => {
                let told = std::mem::take(&mut *untold);
                self.untold.any.store(false, Ordering::Release);
                drop(untold);
                self.forget_indexes(&told[..before.min(told.len())]);
            }
            Err(IndexError::Full) => {
                if !keeps {
                    untold.truncate(before);
                } else if untold.len() > MAX_KEPT {
                    let reason = format!("the disk is full, and {} changes wait", untold.len());
                    self.index.stop(&reason);
                    untold.clear();
                }
                self.untold.any.store(!untold.is_empty(), Ordering::Release);
            }
            // Nothing is told any more.
            Err(_) => {
                untold.clear();
                self.untold.any.store(false, Ordering::Release);
            }
        }
        result
    }

    fn commit(&self, changes: &[Change]) -> Result<(), IndexError> {
        let healed = self.index.heal(Some(self.clock.monotonic()));
        let result = healed.and_then(|()| self.index.commit(changes));
        if !matches!(result, Err(IndexError::Full)) {
            return result;
        }
        if !self.space.is_full() {
            self.space.handle_no_space();
            // The writer looks at the disk, and again until there is room; it may be asleep.
            let _ = self.sender.send(Command::Wake);
        }
        if !self.space.give_up_reserve(&*self.disk) {
            return result;
        }
        self.index.heal(None).and_then(|()| self.index.commit(changes))
    }

    /// Closed segments need not keep what the index has by now.
    fn forget_indexes(&self, told: &[Change]) {
        for change in told {
            let Change::Segment(id, base, ..) = change else { continue };
            let Some(log) = self.open_log(*id) else { continue };
            for segment in log.segments().iter().filter(|segment| segment.base == *base) {
                segment.forget_index();
            }
        }
    }
}
