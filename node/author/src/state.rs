//! A plugin's state in memory, as the hook derive keeps it for one partition.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_plugin::{State, StateEntry};
use tidegate_types::ByteSize;

/// Most bytes of keys and values that the state of one partition holds.
pub const STATE_LIMIT: ByteSize = ByteSize::mib(256);

/// The latest value of each key of a table.
pub type Table = Arc<BTreeMap<Vec<u8>, Vec<u8>>>;

#[derive(Clone, Default, Debug)]
struct Inner {
    entries: BTreeMap<Vec<u8>, Entry>,
    bytes: u64,
    time: Option<i64>,
    table: Option<Table>,
}

#[derive(Clone, Debug)]
struct Entry {
    value: Vec<u8>,
    expires: Option<i64>,
}

/// The state of one partition. A clone is the same state, seen from elsewhere.
#[derive(Clone, Default, Debug)]
pub struct MemoryState(Arc<Mutex<Inner>>);

/// What a state held at some moment.
#[derive(Debug)]
pub struct Saved(Inner);

impl MemoryState {
    /// An empty state, with the table that `lookup` reads.
    #[must_use]
    pub fn new(table: Option<Table>) -> MemoryState {
        MemoryState(Arc::new(Mutex::new(Inner { table, ..Inner::default() })))
    }

    /// Moves the stream's time on; it never goes back.
    pub fn advance(&self, timestamp: i64) {
        let mut inner = self.lock();
        if timestamp >= 0 && inner.time.is_none_or(|time| time < timestamp) {
            inner.time = Some(timestamp);
        }
    }

    /// What it holds now.
    #[must_use]
    pub fn save(&self) -> Saved {
        Saved(self.lock().clone())
    }

    /// Goes back to what it held.
    pub fn restore(&self, saved: &Saved) {
        *self.lock() = saved.0.clone();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn live(&self, entry: &Entry) -> bool {
        entry.expires.is_none_or(|at| self.time.is_none_or(|now| now < at))
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= (key.len() + entry.value.len()) as u64;
        }
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
        inner.remove(&key);
        let bytes = inner.bytes + (key.len() + value.len()) as u64;
        if bytes > STATE_LIMIT.get() {
            return Err(format!("the state would hold more than {STATE_LIMIT}"));
        }
        inner.bytes = bytes;
        let now = inner.time.unwrap_or(0);
        let expires = ttl.map(|ttl| now.saturating_add_unsigned(ttl));
        inner.entries.insert(key, Entry { value, expires });
        Ok(())
    }

    fn delete(&mut self, key: Vec<u8>) -> Result<(), String> {
        self.lock().remove(&key);
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
        match &self.lock().table {
            Some(table) => Ok(table.get(key).cloned()),
            None => Err("no table is given: name its records with --table".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(state: &mut MemoryState, key: &str, value: &str, ttl: Option<u64>) {
        state.put(key.into(), value.into(), ttl).unwrap();
    }

    #[test]
    fn values_expire_by_the_streams_time_which_never_goes_back() {
        let mut state = MemoryState::new(None);
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
        let mut state = MemoryState::new(None);
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
        let state = MemoryState::new(None);
        let mut lent = state.clone();
        put(&mut lent, "a", "1", None);
        let saved = state.save();
        put(&mut lent, "a", "2", None);
        state.restore(&saved);
        assert_eq!(lent.get(b"a").unwrap().as_deref(), Some(b"1".as_slice()));
    }

    #[test]
    fn it_is_bounded_and_says_so() {
        let mut state = MemoryState::new(None);
        let half = vec![0; STATE_LIMIT.as_usize() / 2];
        state.put(b"a".to_vec(), half.clone(), None).unwrap();
        assert!(state.put(b"b".to_vec(), half.clone(), None).is_err());
        state.put(b"a".to_vec(), half, None).unwrap();
    }

    #[test]
    fn a_table_is_read_and_its_absence_is_told() {
        let table = BTreeMap::from([(b"k".to_vec(), b"v".to_vec())]);
        let mut state = MemoryState::new(Some(Arc::new(table)));
        assert_eq!(state.lookup(b"k").unwrap().as_deref(), Some(b"v".as_slice()));
        assert_eq!(state.lookup(b"x").unwrap(), None);
        assert!(MemoryState::new(None).lookup(b"k").is_err());
    }
}
