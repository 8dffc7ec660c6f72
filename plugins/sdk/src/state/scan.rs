//! Walks the keys with a common beginning, a page at a time.

use std::vec;

use super::host;
use crate::bindings::state::Entry;

/// Entries a page: one call to the node is spread over them, and they fit into memory.
pub(super) const PAGE: u32 = 64;

/// The entries whose keys begin with `prefix`, byte by byte in order.
///
/// Keys may be put and deleted on the way: what lies behind the page at hand is seen as it then is.
pub fn scan(prefix: &[u8]) -> Scan {
    Scan {
        prefix: prefix.to_vec(),
        limit: PAGE,
        after: None,
        page: Vec::new().into_iter(),
        done: false,
    }
}

/// The iterator of [`scan`]: keys and values.
#[derive(Debug)]
pub struct Scan {
    prefix: Vec<u8>,
    limit: u32,
    after: Option<Vec<u8>>,
    page: vec::IntoIter<Entry>,
    done: bool,
}

impl Scan {
    /// Reads this many entries at once: for walks that end early.
    #[must_use]
    pub fn paged(mut self, entries: u32) -> Scan {
        self.limit = entries.max(1);
        self
    }
}

impl Iterator for Scan {
    type Item = (Vec<u8>, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.as_slice().is_empty() && !self.done {
            let page = host::scan(&self.prefix, self.after.as_deref(), self.limit);
            // A short page is no end: the node cuts pages that are large.
            self.done = page.is_empty();
            self.after = page.last().map(|entry| entry.key.clone());
            self.page = page.into_iter();
        }
        self.page.next().map(|entry| (entry.key, entry.value))
    }
}
