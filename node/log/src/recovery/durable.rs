//! Up to where what a scan finds in a file was durable: what tells damage from a torn tail.

use tidegate_types::Offset;

/// Up to where a file's content was durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Durable {
    /// All of it; the offset is where the log went on after the file, if it did.
    All(Option<Offset>),
    /// What lies before this offset.
    Before(Offset),
}

impl Durable {
    pub(super) fn covers(self, offset: Offset) -> bool {
        match self {
            Durable::All(_) => true,
            Durable::Before(end) => offset < end,
        }
    }

    /// Where it ends, if something may lie behind.
    pub(super) fn end(self) -> Option<Offset> {
        match self {
            Durable::All(_) => None,
            Durable::Before(end) => Some(end),
        }
    }

    /// Whether batches that go on at `offset` after bad bytes can be the log's.
    pub(super) fn reaches(self, offset: Offset) -> bool {
        match self {
            Durable::All(end) => end.is_none_or(|end| offset < end),
            Durable::Before(end) => offset <= end,
        }
    }
}
