//! Deadlines in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What is to happen.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Timer {
    /// Offsets that expired are looked for.
    Cleanup,
    /// Something in one group.
    Group(Arc<str>, GroupTimer),
}

/// What is to happen in a group.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum GroupTimer {
    /// A classic group stops waiting for members to join.
    Join,
    /// A classic group stops waiting for members to fetch their assignments.
    Sync,
    /// A member was silent for too long.
    Session(Arc<str>),
    /// A member of a consumer group did not give up its partitions in time.
    Rebalance(Arc<str>),
}

/// Timers, each with one deadline at most. Setting, clearing and finding the next cost the logarithm
/// of how many there are.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    order: BTreeSet<(Duration, Timer)>,
    deadlines: BTreeMap<Timer, Duration>,
}

impl Timers {
    /// Sets the deadline, in place of an earlier one.
    pub(crate) fn set(&mut self, timer: Timer, deadline: Duration) {
        if let Some(before) = self.deadlines.insert(timer.clone(), deadline) {
            if before == deadline {
                return;
            }
            self.order.remove(&(before, timer.clone()));
        }
        self.order.insert((deadline, timer));
    }

    pub(crate) fn clear(&mut self, timer: &Timer) {
        if let Some(deadline) = self.deadlines.remove(timer) {
            self.order.remove(&(deadline, timer.clone()));
        }
    }

    pub(crate) fn next(&self) -> Option<Duration> {
        self.order.first().map(|(deadline, _)| *deadline)
    }

    /// Takes out the next timer that is due.
    pub(crate) fn pop_due(&mut self, now: Duration) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        let (_, timer) = self.order.pop_first()?;
        self.deadlines.remove(&timer);
        Some(timer)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_has_one_deadline_and_the_earliest_comes_first() {
        let session = |member: &str| Timer::Group("g".into(), GroupTimer::Session(member.into()));
        let at = Duration::from_secs;
        let mut timers = Timers::default();
        timers.set(session("a"), at(5));
        timers.set(session("b"), at(3));
        timers.set(session("b"), at(9));
        timers.set(Timer::Cleanup, at(7));
        assert_eq!(timers.next(), Some(at(5)));
        assert_eq!(timers.pop_due(at(4)), None);
        assert_eq!(timers.pop_due(at(8)), Some(session("a")));
        timers.clear(&Timer::Cleanup);
        assert_eq!(timers.pop_due(at(8)), None);
        assert_eq!(timers.next(), Some(at(9)));
        assert_eq!((timers.pop_due(at(9)), timers.len()), (Some(session("b")), 0));
    }
}
