//! The store of tests: what a node holds for one attachment and partition, in memory.

use std::collections::BTreeMap;

/// A state with its stream time and its table. Give it to a `Tester`, or [`run`](Store::run) code
/// over it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Store {
    entries: BTreeMap<Vec<u8>, Held>,
    stream_time: Option<i64>,
    table: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Held {
    value: Vec<u8>,
    /// The stream time from which on it is gone.
    expires: Option<i64>,
}

impl Store {
    /// Sets a key of the table that `lookup` reads.
    pub fn set_table(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.table.insert(key.as_ref().to_vec(), value.as_ref().to_vec());
    }

    /// Moves the stream's time on; what is earlier changes nothing.
    pub fn advance(&mut self, millis: i64) {
        self.stream_time = self.stream_time.max(Some(millis));
        let now = self.now();
        self.entries.retain(|_, held| held.expires.is_none_or(|expires| now < expires));
    }

    /// What is stored, in order of the keys.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|(key, held)| (key.as_slice(), held.value.as_slice()))
    }

    fn now(&self) -> i64 {
        self.stream_time.unwrap_or(-1)
    }

    /// Runs code whose calls of the state go to this store. In a component they go to the node.
    pub fn run<R>(&mut self, code: impl FnOnce() -> R) -> R {
        #[cfg(not(target_family = "wasm"))]
        return native::lend(self, code);
        #[cfg(target_family = "wasm")]
        code()
    }
}

#[cfg(not(target_family = "wasm"))]
pub(super) mod native {
    use std::cell::RefCell;
    use std::ops::Bound::{Excluded, Included, Unbounded};

    use super::{Held, Store};
    use crate::bindings::state::Entry;

    thread_local! {
        static LENT: RefCell<Option<Store>> = const { RefCell::new(None) };
    }

    pub(super) fn lend<R>(store: &mut Store, code: impl FnOnce() -> R) -> R {
        /// Gives the store back when the code panics too.
        struct Back<'a> {
            store: &'a mut Store,
            outer: Option<Store>,
        }
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                *self.store = LENT.replace(self.outer.take()).unwrap_or_default();
            }
        }
        let outer = LENT.replace(Some(std::mem::take(store)));
        let _back = Back { store, outer };
        code()
    }

    fn with<R>(call: impl FnOnce(&mut Store) -> R) -> R {
        LENT.with_borrow_mut(|lent| match lent {
            Some(store) => call(store),
            None => panic!("no state is lent here; use a Tester, or Store::run"),
        })
    }

    pub(crate) fn get(key: &[u8]) -> Option<Vec<u8>> {
        with(|store| store.entries.get(key).map(|held| held.value.clone()))
    }

    pub(crate) fn put(key: &[u8], value: &[u8], ttl: Option<u64>) {
        with(|store| {
            let now = store.now();
            let expires = ttl.map(|ttl| now.saturating_add(i64::try_from(ttl).unwrap_or(i64::MAX)));
            let held = Held { value: value.to_vec(), expires };
            store.entries.insert(key.to_vec(), held);
        });
    }

    pub(crate) fn delete(key: &[u8]) {
        with(|store| store.entries.remove(key));
    }

    pub(crate) fn scan(prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Vec<Entry> {
        with(|store| {
            let from = match after {
                Some(after) if after >= prefix => Excluded(after),
                _ => Included(prefix),
            };
            let found = store.entries.range::<[u8], _>((from, Unbounded));
            found
                .take_while(|(key, _)| key.starts_with(prefix))
                .take(limit as usize)
                .map(|(key, held)| Entry { key: key.clone(), value: held.value.clone() })
                .collect()
        })
    }

    pub(crate) fn stream_time() -> i64 {
        with(|store| store.now())
    }

    pub(crate) fn lookup(key: &[u8]) -> Option<Vec<u8>> {
        with(|store| store.table.get(key).cloned())
    }
}
