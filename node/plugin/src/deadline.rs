//! When a call of a guest has had its time.
//!
//! What counts is the time that it had a processor for: a plugin must not fail because others keep
//! the machine busy. By the clock it gets [`BY_THE_CLOCK`] times as much, so that every wait ends.
//! The engine asks when the ticks run out that the store was given; until then nothing is looked at.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use crate::ticker::{TICK, Ticker};

/// How many times its limit a call may take while it waits for a processor or for the host.
const BY_THE_CLOCK: u32 = 4;

/// A call that gives way is looked at this often.
const LOOK: Duration = Duration::from_millis(100);

/// It is starved if it had less than a quarter of a processor for so long.
const STARVED: (Duration, u32) = (Duration::from_secs(1), 4);

/// What a run of an [`Instance`](crate::Instance) is granted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Grant {
    /// What its limits say.
    #[default]
    Limits,
    /// No more time than this, whatever they say.
    AtMost(Duration),
    /// What its limits say, on a thread that may wait for a processor for ever: if it does so for a
    /// second, the run ends with [`RunError::Starved`](crate::RunError::Starved).
    GivingWay,
}

/// The time of one call.
#[derive(Debug, Default)]
pub(crate) struct Deadline {
    limit: Duration,
    gives_way: bool,
    /// What the thread had of its processor when the call began.
    began: Duration,
    /// What was granted so far, by the clock.
    granted: Duration,
    starved: bool,
}

impl Deadline {
    /// Begins a call on this thread; gives the ticks after which [`Deadline::passed`] is asked.
    pub(crate) fn begin(&mut self, limit: Duration, gives_way: bool) -> u64 {
        let began = of_this_thread();
        *self = Deadline { limit, gives_way, began, ..Deadline::default() };
        self.grant(limit)
    }

    /// What becomes of a call whose ticks have run out.
    pub(crate) fn passed(&mut self) -> UpdateDeadline {
        let had = of_this_thread().saturating_sub(self.began);
        match self.after(had) {
            Some(ticks) => UpdateDeadline::Continue(ticks),
            None => UpdateDeadline::Interrupt,
        }
    }

    /// Whether the call ended because it had no processor, on a thread that gives way.
    pub(crate) fn starved(&self) -> bool {
        self.starved
    }

    fn after(&mut self, had: Duration) -> Option<u64> {
        let left = self.limit.saturating_sub(had);
        let (patience, share) = STARVED;
        self.starved = self.gives_way && self.granted >= patience && had * share < self.granted;
        let clock = self.limit.saturating_mul(BY_THE_CLOCK);
        let over = left.is_zero() || self.starved || self.granted >= clock.max(TICK);
        (!over).then(|| self.grant(left))
    }

    fn grant(&mut self, time: Duration) -> u64 {
        let time = if self.gives_way { time.min(LOOK) } else { time };
        self.granted = self.granted.saturating_add(time.max(TICK));
        Ticker::ticks(time)
    }
}

/// The processor time of the calling thread.
fn of_this_thread() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_had_its_time_ends() {
        let mut deadline = Deadline::default();
        assert_eq!(deadline.begin(100 * MS, false), 11);
        assert_eq!(deadline.after(100 * MS), None);
        assert!(!deadline.starved());
    }

    #[test]
    fn what_had_no_processor_gets_the_rest_of_its_time() {
        let mut deadline = Deadline::default();
        deadline.begin(100 * MS, false);
        assert_eq!(deadline.after(30 * MS), Some(8));
        assert_eq!(deadline.after(95 * MS), Some(2));
        assert_eq!(deadline.after(101 * MS), None);
    }

    #[test]
    fn by_the_clock_every_call_ends() {
        for limit in [Duration::ZERO, MS, 100 * MS, 3_600_000 * MS] {
            for gives_way in [false, true] {
                let mut deadline = Deadline::default();
                deadline.begin(limit, gives_way);
                let mut times = 0;
                while deadline.after(Duration::ZERO).is_some() {
                    times += 1;
                }
                assert!(times <= 11, "{limit:?}: asked {times} times");
                assert_eq!(deadline.starved(), gives_way && limit > 300 * MS, "{limit:?}");
            }
        }
    }

    #[test]
    fn what_gives_way_and_has_a_processor_is_not_starved() {
        let mut deadline = Deadline::default();
        let limit = 2_000 * MS;
        assert_eq!(deadline.begin(limit, true), 11);
        let mut had = Duration::ZERO;
        while deadline.after(had).is_some() {
            had += 50 * MS;
        }
        assert_eq!((had, deadline.starved()), (limit, false));
    }

    #[test]
    fn a_thread_that_sleeps_has_no_processor() {
        let before = of_this_thread();
        std::thread::sleep(50 * MS);
        assert!(of_this_thread() - before < 50 * MS);
    }
}
