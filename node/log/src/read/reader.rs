//! Where readers stopped, so that each goes on there without a search.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use tidegate_types::{ByteSize, Offset};

use super::{FileRange, LogChunk};
use crate::ReadError;
use crate::log::{Log, LogHandle, lock};
use crate::segment::Segment;

/// Readers without a cursor of their own that are remembered per log.
const HINTS: usize = 16;

/// Where a read ended. It is kept by the segment itself, not by its base: another one may take its
/// place, whose batches lie elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Stopped {
    pub(super) next: Offset,
    pub(super) segment: Weak<Segment>,
    pub(super) position: u64,
}

impl Stopped {
    fn fits(&self, from: Offset, segment: &Arc<Segment>) -> bool {
        self.next == from && std::ptr::eq(self.segment.as_ptr(), Arc::as_ptr(segment))
    }
}

/// What remembers where reads stopped.
pub(super) trait Memory {
    /// The position of the first batch from `from` on, if a read stopped there.
    fn position(&self, from: Offset, segment: &Arc<Segment>) -> Option<u64>;

    fn stopped(&mut self, at: Stopped);
}

/// Where the latest reads of a log stopped.
#[derive(Debug, Default)]
pub(crate) struct ReadHints {
    stopped: VecDeque<Stopped>,
}

/// The hints of a log, locked for a moment each time.
pub(super) struct Shared<'l>(pub(super) &'l Log);

impl Memory for Shared<'_> {
    fn position(&self, from: Offset, segment: &Arc<Segment>) -> Option<u64> {
        let hints = lock(&self.0.hints);
        let found = hints.stopped.iter().find(|stopped| stopped.fits(from, segment))?;
        Some(found.position)
    }

    fn stopped(&mut self, at: Stopped) {
        let mut hints = lock(&self.0.hints);
        hints.stopped.retain(|hint| hint.next != at.next);
        if hints.stopped.len() == HINTS {
            hints.stopped.pop_front();
        }
        hints.stopped.push_back(at);
    }
}

/// One reader's own.
impl Memory for Option<Stopped> {
    fn position(&self, from: Offset, segment: &Arc<Segment>) -> Option<u64> {
        self.as_ref().filter(|stopped| stopped.fits(from, segment)).map(|stopped| stopped.position)
    }

    fn stopped(&mut self, at: Stopped) {
        *self = Some(at);
    }
}

/// A reader that remembers where it stopped, for reading a log in order.
///
/// It may read anywhere; only reading on is cheaper than with [`LogHandle::read`], which remembers
/// no more than a few readers of each log. It holds neither files nor records.
#[derive(Debug)]
pub struct LogReader {
    handle: LogHandle,
    stopped: Option<Stopped>,
}

impl LogReader {
    pub(crate) fn new(handle: LogHandle) -> LogReader {
        LogReader { handle, stopped: None }
    }

    /// The log it reads.
    #[must_use]
    pub fn log(&self) -> &LogHandle {
        &self.handle
    }

    /// As [`LogHandle::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read(
        &mut self,
        from: Offset,
        end: Offset,
        max: ByteSize,
    ) -> Result<LogChunk, ReadError> {
        self.handle.log.read_by(&mut self.stopped, from, end, max)
    }

    /// As [`LogHandle::locate`].
    ///
    /// # Errors
    /// As there.
    pub fn locate(
        &mut self,
        from: Offset,
        end: Offset,
        max: ByteSize,
    ) -> Result<Option<FileRange>, ReadError> {
        self.handle.log.locate_by(&mut self.stopped, from, end, max)
    }
}
