//! What one step of a group needs from outside, and what comes out of it.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::offsets::OffsetWrite;
use crate::time::{Now, Stamp};
use crate::timers::{GroupTimer, Timer, Timers};
use crate::{Response, Token};

/// One call into one group. What it gathers is looked at when the step is over.
pub(crate) struct Step<'a> {
    pub(crate) now: Now,
    pub(crate) stamp: Stamp,
    pub(crate) config: &'a Config,
    /// The group that this is a step of.
    pub(crate) group: Arc<str>,
    /// Whether there is memory for something new.
    pub(crate) has_room: bool,
    pub(crate) timers: &'a mut Timers,
    pub(crate) replies: Vec<(Token, Response)>,
    /// Requests that wait for the group from now on, by their member.
    pub(crate) waits: Vec<(Token, Arc<str>)>,
    pub(crate) offsets: Vec<OffsetWrite>,
    /// Whether the group is deleted once that is durable.
    pub(crate) delete: bool,
}

impl Step<'_> {
    pub(crate) fn reply(&mut self, token: Token, response: Response) {
        self.replies.push((token, response));
    }

    pub(crate) fn set_timer(&mut self, timer: GroupTimer, after: Duration) {
        let deadline = self.now.monotonic.saturating_add(after);
        self.timers.set(Timer::Group(Arc::clone(&self.group), timer), deadline);
    }

    pub(crate) fn clear_timer(&mut self, timer: GroupTimer) {
        self.timers.clear(&Timer::Group(Arc::clone(&self.group), timer));
    }
}
