//! What one connection sends when, and what it makes of the answers.
//!
//! No socket and no clock: a driver tells what happened and when, in time since the load began.
//! Before each wait it calls [`poll_send`](Session::poll_send) until there is nothing to send, and
//! waits no longer than [`poll_timeout`](Session::poll_timeout) says; for each answer it calls
//! [`handle_answer`](Session::handle_answer).
//!
//! What it holds true:
//! - No more requests wait for their answers than are allowed.
//! - A request's time counts from when it was due. In a closed loop it is due when it is sent; at a
//!   rate it is due when the rate says, however late it was sent.
//! - Answers are taken in the order of the requests alone.
//! - What was due in the warm-up is not counted, nor taken from what is to be done.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::latencies::Latencies;
use crate::pace::Pace;
use crate::quota::{Amount, Quota};

/// After that many refusals in a row with nothing taken before, a load is given up.
const MAX_REFUSALS: u64 = 20;

/// Most kinds of errors that are told apart.
const MAX_ERRORS: usize = 32;

/// What errors beyond those are called.
const OTHERS: &str = "others";

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// Send the request of this number, from 0.
    Send(u64),
    /// Nothing before this time.
    At(Duration),
    /// Nothing before an answer.
    Full,
    /// Nothing any more.
    Done,
}

/// Why a session cannot go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Halt {
    /// An answer to another request than the oldest.
    OutOfOrder { expected: i32, found: i32 },
    /// Everything was refused.
    Refused { error: String },
}

/// What all connections of a load have in common.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub in_flight: usize,
    pub warmup: Duration,
    /// When sending ends.
    pub end: Option<Duration>,
    pub timeout: Duration,
    pub quota: Arc<Quota>,
    /// What each request moves, where that is known before the answer.
    pub amount: Option<Amount>,
}

/// A request that was sent.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    number: u64,
    due: Duration,
    sent: Duration,
    counts: bool,
}

/// What came of a session.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Requests that were answered well.
    pub requests: u64,
    /// What they moved.
    pub moved: Amount,
    /// How long they took, from when they were due.
    pub latencies: Latencies,
    /// How late they were sent.
    pub late: Latencies,
    /// Refused requests, by error.
    pub errors: BTreeMap<String, u64>,
    /// Requests that were due and not sent, since there was no room.
    pub unsent: u64,
    /// When the last answer that counts came.
    pub last: Duration,
}

impl Tally {
    pub fn new() -> Tally {
        Tally {
            requests: 0,
            moved: Amount::default(),
            latencies: Latencies::new(),
            late: Latencies::new(),
            errors: BTreeMap::new(),
            unsent: 0,
            last: Duration::ZERO,
        }
    }

    pub fn add(&mut self, other: &Tally) {
        self.requests += other.requests;
        self.moved.records += other.moved.records;
        self.moved.bytes += other.moved.bytes;
        self.latencies.add(&other.latencies);
        self.late.add(&other.late);
        for (error, count) in &other.errors {
            self.count_errors(error, *count);
        }
        self.unsent += other.unsent;
        self.last = self.last.max(other.last);
    }

    fn count_errors(&mut self, error: &str, count: u64) {
        if let Some(counted) = self.errors.get_mut(error) {
            *counted += count;
            return;
        }
        let name = if self.errors.len() < MAX_ERRORS { error } else { OTHERS };
        *self.errors.entry(name.to_owned()).or_default() += count;
    }
}

/// One connection's part of a load.
#[derive(Debug)]
pub(crate) struct Session {
    plan: Plan,
    pace: Pace,
    waiting: VecDeque<Waiting>,
    next: u64,
    answered: u64,
    taken: u64,
    ended: bool,
    tally: Tally,
}

impl Session {
    pub fn new(plan: Plan, pace: Pace) -> Session {
        Session {
            waiting: VecDeque::with_capacity(plan.in_flight),
            plan,
            pace,
            next: 0,
            answered: 0,
            taken: 0,
            ended: false,
            tally: Tally::new(),
        }
    }

    /// What is to be done now. A request that it gives counts as sent.
    pub fn poll_send(&mut self, now: Duration) -> Next {
        if self.ended {
            return Next::Done;
        }
        if self.plan.end.is_some_and(|end| now >= end) || self.plan.quota.is_spent() {
            self.end(now);
            return Next::Done;
        }
        if self.waiting.len() >= self.plan.in_flight {
            return Next::Full;
        }
        let due = match self.pace.due(self.next) {
            None => now,
            Some(due) if due <= now => due,
            // The one at the very end is not sent.
            Some(due) => return Next::At(self.plan.end.map_or(due, |end| due.min(end))),
        };
        let counts = due >= self.plan.warmup;
        if counts
            && let Some(amount) = self.plan.amount
            && !self.plan.quota.take(amount)
        {
            self.end(now);
            return Next::Done;
        }
        let number = self.next;
        self.next += 1;
        self.waiting.push_back(Waiting { number, due, sent: now, counts });
        Next::Send(number)
    }

    /// Sends nothing more.
    pub fn end(&mut self, now: Duration) {
        if !self.ended {
            self.ended = true;
            // Where the load ends by what was moved, nobody is late.
            if let Some(end) = self.plan.end {
                let due = self.pace.due_before(end.min(now));
                self.tally.unsent = due.saturating_sub(self.next);
            }
        }
    }

    /// Whether nothing is to be sent and nothing is waited for.
    pub fn is_done(&self) -> bool {
        self.ended && self.waiting.is_empty()
    }

    /// When the oldest request has waited too long; `None` if nothing waits.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.waiting.front().map(|waiting| waiting.sent + self.plan.timeout)
    }

    /// How many requests wait for their answers.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many answers came.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// Takes an answer: what its request moved, or the error that it was refused with.
    ///
    /// # Errors
    /// If it belongs to another request than the oldest, or if everything is refused.
    pub fn handle_answer(
        &mut self,
        correlation: i32,
        now: Duration,
        outcome: Result<Amount, String>,
    ) -> Result<(), Halt> {
        let expected = self.waiting.front().map_or(-1, |waiting| correlation_id(waiting.number));
        let Some(waiting) = self.waiting.pop_front().filter(|_| expected == correlation) else {
            return Err(Halt::OutOfOrder { expected, found: correlation });
        };
        self.answered += 1;
        match outcome {
            Ok(moved) => {
                self.taken += 1;
                if waiting.counts {
                    if self.plan.amount.is_none() {
                        self.plan.quota.take(moved);
                    }
                    self.tally.requests += 1;
                    self.tally.moved.records += moved.records;
                    self.tally.moved.bytes += moved.bytes;
                    self.tally.latencies.record(now.saturating_sub(waiting.due));
                    self.tally.late.record(waiting.sent.saturating_sub(waiting.due));
                    self.tally.last = now;
                }
                Ok(())
            }
            Err(error) => {
                if waiting.counts {
                    self.tally.count_errors(&error, 1);
                }
                if self.taken == 0 && self.answered >= MAX_REFUSALS {
                    return Err(Halt::Refused { error });
                }
                Ok(())
            }
        }
    }

    /// Counts the oldest request, which gets no answer, as taken once it was written.
    ///
    /// # Errors
    /// As [`handle_answer`](Self::handle_answer), if none was sent.
    pub fn handle_written(&mut self, now: Duration, moved: Amount) -> Result<(), Halt> {
        let correlation = self.waiting.front().map_or(-1, |w| correlation_id(w.number));
        self.handle_answer(correlation, now, Ok(moved))
    }

    /// Moves the end of what was counted, where it shows only later.
    pub fn extend(&mut self, now: Duration) {
        self.tally.last = self.tally.last.max(now);
    }

    /// What came of it; to be asked for once, at the end.
    ///
    /// # Errors
    /// The error, if nothing was taken at all.
    pub fn finish(&mut self) -> Result<Tally, Halt> {
        match self.tally.errors.keys().next() {
            Some(error) if self.taken == 0 => Err(Halt::Refused { error: error.clone() }),
            _ => Ok(std::mem::replace(&mut self.tally, Tally::new())),
        }
    }
}

/// The id by which a broker's answer is matched to the request of this number.
pub(crate) const fn correlation_id(number: u64) -> i32 {
    (number & i32::MAX as u64) as i32
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
