//! A state in memory, as the hook derive keeps it for one partition: for runs that leave nothing
//! behind.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_types::ByteSize;

use super::{State, StateEntry};
use crate::columns::Columns;
use crate::instance::{Instance, RunContext, RunError};
use crate::outcome::Outcome;

/// Finds the value of a key of a table, or says why it cannot.
pub type Lookup = Arc<dyn Fn(&[u8]) -> Result<Option<Vec<u8>>, String> + Send + Sync>;

#[derive(Default)]
struct Inner {
    entries: BTreeMap<Vec<u8>, Entry>,
    bytes: u64,
    limit: u64,
    time: Option<i64>,
    table: Option<Lookup>,
    /// What stood where this call wrote, oldest first.
    before: Vec<(Vec<u8>, Option<Entry>)>,
}

#[derive(Clone, Debug)]
struct Entry {
    value: Vec<u8>,
    expires: Option<i64>,
}

/// The state of one partition. A clone is the same state, seen from elsewhere.
#[derive(Clone)]
pub struct MemoryState(Arc<Mutex<Inner>>);

impl MemoryState {
    /// An empty state that holds at most `limit` bytes of keys and values, with the table that
    /// `lookup` reads.
    #[must_use]
    pub fn new(limit: ByteSize, table: Option<Lookup>) -> MemoryState {
        let inner = Inner { limit: limit.get(), table, ..Inner::default() };
        MemoryState(Arc::new(Mutex::new(inner)))
    }

    /// Moves the stream's time on, in milliseconds; it never goes back.
    pub fn advance(&self, timestamp: i64) {
        let mut inner = self.lock();
        if timestamp >= 0 && inner.time.is_none_or(|time| time < timestamp) {
            inner.time = Some(timestamp);
        }
    }

    /// Runs an instance with this state. What a run that fails wrote is forgotten.
    ///
    /// # Errors
    /// As [`Instance::run`].
    pub fn run(
        &self,
        instance: &mut Instance,
        columns: &mut Columns,
        context: &RunContext,
    ) -> Result<Outcome, RunError> {
        self.begin();
        let mut lent: Option<Box<dyn State>> = Some(Box::new(self.clone()));
        let outcome = instance.run_with(columns, context, &mut lent);
        outcome.inspect_err(|_| self.undo())
    }

    /// Begins a call: [`MemoryState::undo`] goes back to here.
    fn begin(&self) {
        self.lock().before.clear();
    }

    /// Forgets what was written since the call began.
    fn undo(&self) {
        let mut inner = self.lock();
        while let Some((key, before)) = inner.before.pop() {
            inner.set(key, before);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        let mut shown = f.debug_struct("MemoryState");
        shown.field("entries", &inner.entries.len()).field("bytes", &inner.bytes);
        shown.finish_non_exhaustive()
    }
}

fn size(key: &[u8], entry: &Entry) -> u64 {
    (key.len() + entry.value.len()) as u64
}

impl Inner {
    fn live(&self, entry: &Entry) -> bool {
        entry.expires.is_none_or(|at| self.time.is_none_or(|now| now < at))
    }

    /// Puts an entry in place of what there is, which it gives back.
    fn set(&mut self, key: Vec<u8>, entry: Option<Entry>) -> Option<Entry> {
        let added = entry.as_ref().map_or(0, |entry| size(&key, entry));
        let before = match entry {
            Some(entry) => self.entries.insert(key.clone(), entry),
            None => self.entries.remove(&key),
        };
        let removed = before.as_ref().map_or(0, |before| size(&key, before));
        self.bytes = self.bytes + added - removed;
        before
    }

    fn change(&mut self, key: Vec<u8>, entry: Option<Entry>) {
        let before = self.set(key.clone(), entry);
        self.before.push((key, before));
    }
}

impl State for MemoryState {
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let inner = self.lock();
        let entry = inner.entries.get(key).filter(|entry| inner.live(entry));
        Ok(entry.map(|entry| entry.value.clone()))
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>, ttl: Option<u64>) -> Result<(), String> {
        let mut inner = self.lock();
        let now = inner.time.unwrap_or(0);
        let entry = Entry { value, expires: ttl.map(|ttl| now.saturating_add_unsigned(ttl)) };
        let freed = inner.entries.get(&key).map_or(0, |before| size(&key, before));
        if inner.bytes - freed + size(&key, &entry) > inner.limit {
            let limit = ByteSize::bytes(inner.limit);
            return Err(format!("its state is full: {limit} is the limit"));
        }
        inner.change(key, Some(entry));
        Ok(())
    }

    fn delete(&mut self, key: Vec<u8>) -> Result<(), String> {
        self.lock().change(key, None);
        Ok(())
    }

    fn scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<StateEntry>, String> {
        let inner = self.lock();
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let found = inner.entries.range::<[u8], _>((from, Bound::Unbounded));
        Ok(found
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(_, entry)| inner.live(entry))
            .take(limit)
            .map(|(key, entry)| (key.clone(), entry.value.clone()))
            .collect())
    }

    fn stream_time(&self) -> i64 {
        self.lock().time.unwrap_or(-1)
    }

    fn lookup(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        // Not under the lock: whoever looks it up may take long.
        let table = self.lock().table.clone();
        match table {
            Some(table) => table(key),
            None => Err("there is no table to look anything up in".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: ByteSize = ByteSize::mib(1);

    fn empty() -> MemoryState {
        MemoryState::new(LIMIT, None)
    }

    fn put(state: &mut MemoryState, key: &str, value: &str, ttl: Option<u64>) {
        state.put(key.into(), value.into(), ttl).unwrap();
    }

    #[test]
    fn values_expire_by_the_streams_time_which_never_goes_back() {
        let mut state = empty();
        assert_eq!(state.stream_time(), -1);
        state.advance(1_000);
        put(&mut state, "a", "1", Some(50));
        put(&mut state, "b", "2", None);
        state.advance(1_049);
        state.advance(7);
        assert_eq!(state.stream_time(), 1_049);
        assert_eq!(state.get(b"a").unwrap().as_deref(), Some(b"1".as_slice()));
        state.advance(1_050);
        assert_eq!(state.get(b"a").unwrap(), None);
        assert_eq!(state.get(b"b").unwrap().as_deref(), Some(b"2".as_slice()));
    }

    #[test]
    fn a_scan_goes_on_where_the_last_one_ended() {
        let mut state = empty();
        for key in ["a", "b1", "b2", "b3", "c"] {
            put(&mut state, key, key, None);
        }
        let keys = |state: &mut MemoryState, after: Option<&str>| {
            let found = state.scan(b"b", after.map(str::as_bytes), 2).unwrap();
            let keys = found.into_iter().map(|(key, _)| String::from_utf8(key).unwrap());
            keys.collect::<Vec<_>>()
        };
        assert_eq!(keys(&mut state, None), ["b1", "b2"]);
        assert_eq!(keys(&mut state, Some("b2")), ["b3"]);
        assert_eq!(keys(&mut state, Some("b3")), Vec::<String>::new());
        assert_eq!(keys(&mut state, Some("a")), ["b1", "b2"]);
        state.delete(b"b1".to_vec()).unwrap();
        assert_eq!(keys(&mut state, None), ["b2", "b3"]);
    }

    #[test]
    fn what_a_failed_call_wrote_is_forgotten_everywhere() {
        let state = empty();
        let mut lent = state.clone();
        put(&mut lent, "a", "1", None);
        put(&mut lent, "c", "3", None);
        state.begin();
        for value in ["2", "3"] {
            put(&mut lent, "a", value, None);
            put(&mut lent, "b", value, None);
        }
        lent.delete(b"c".to_vec()).unwrap();
        state.undo();
        let left = [(b"a".to_vec(), b"1".to_vec()), (b"c".to_vec(), b"3".to_vec())];
        assert_eq!(lent.scan(b"", None, 9).unwrap(), left);
        assert_eq!(state.lock().bytes, 4);
    }

    #[test]
    fn it_is_bounded_and_says_so() {
        let mut state = empty();
        let half = vec![0; LIMIT.as_usize() / 2];
        state.put(b"a".to_vec(), half.clone(), None).unwrap();
        assert!(state.put(b"b".to_vec(), half.clone(), None).is_err());
        state.put(b"a".to_vec(), half, None).unwrap();
    }

    #[test]
    fn a_table_is_read_and_its_absence_is_told() {
        let table: Lookup = Arc::new(|key| Ok((key == b"k").then(|| b"v".to_vec())));
        let mut state = MemoryState::new(LIMIT, Some(table));
        assert_eq!(state.lookup(b"k").unwrap().as_deref(), Some(b"v".as_slice()));
        assert_eq!(state.lookup(b"x").unwrap(), None);
        assert!(empty().lookup(b"k").is_err());
    }
}
