//! The state that plugins see in a step.
//!
//! Three layers lie over the store: what the step's earlier batches wrote, what this batch wrote, and
//! what the call that runs wrote. The last is thrown away with a call that fails, the second with a
//! batch that does.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tidegate_plugin::{State, StateEntry};
use tidegate_types::ByteSize;

use super::progress::Progress;
use super::store::Store;
use crate::view::Row;

/// Largest key of a plugin's own.
const MAX_KEY: usize = 1 << 10;

/// Largest value.
const MAX_VALUE: usize = 256 << 10;

/// What one batch may change of the state: it all goes into one batch of `__derive`.
const MAX_CHANGE: usize = 1 << 20;

/// Bytes that one scan gives at most, but for a single entry that is larger.
const MAX_SCAN: usize = 1 << 20;

/// Stands before a value: when it expires, in milliseconds of the stream's time.
const EXPIRY: usize = 8;

/// Entries looked at for having expired after each step.
const SWEEP: usize = 64;

type Rows = BTreeMap<Bytes, Option<Bytes>>;

/// What a step did to the state so far.
pub(super) struct StepState {
    store: Arc<Store>,
    pub(super) progress: Progress,
    written: Rows,
    batch: Rows,
    /// Bytes of `batch`.
    batch_bytes: usize,
    /// Bytes that the batch added to each plugin's state.
    added: BTreeMap<String, i64>,
    bytes: usize,
}

impl StepState {
    pub(super) fn new(store: Arc<Store>, progress: Progress) -> StepState {
        let (written, batch, added) = (Rows::new(), Rows::new(), BTreeMap::new());
        StepState { store, progress, written, batch, batch_bytes: 0, added, bytes: 0 }
    }

    /// Begins a batch whose latest record is of this time.
    pub(super) fn begin(&mut self, latest: i64) {
        self.progress.stream_time = self.progress.stream_time.max(latest);
    }

    /// Forgets what the batch wrote.
    pub(super) fn forget(&mut self) {
        self.batch.clear();
        self.batch_bytes = 0;
        self.added.clear();
    }

    /// Keeps what the batch wrote.
    pub(super) fn keep(&mut self) {
        self.written.append(&mut self.batch);
        self.bytes += std::mem::take(&mut self.batch_bytes);
        for (plugin, change) in std::mem::take(&mut self.added) {
            self.progress.add_state_bytes(&plugin, change);
        }
    }

    /// Whether the step has changed so much that it had better end.
    pub(super) fn is_large(&self) -> bool {
        self.bytes > MAX_CHANGE / 2
    }

    /// Removes some entries that have expired, from the key `at` on, which moves.
    pub(super) fn sweep(
        &mut self,
        states: &[u8],
        plugin_of: impl Fn(&[u8]) -> Option<String>,
        at: &mut Vec<u8>,
    ) -> Result<(), String> {
        if self.progress.state_bytes.iter().all(|(_, bytes)| *bytes == 0) {
            return Ok(());
        }
        if !at.starts_with(states) {
            *at = states.to_vec();
        }
        let page = self.store.page(states, at)?;
        let is_last = !page.more && page.rows.len() <= SWEEP;
        for (key, value) in page.rows.into_iter().take(SWEEP) {
            *at = key.to_vec();
            at.push(0);
            if is_live(&value, self.progress.stream_time) || self.written.contains_key(&key) {
                continue;
            }
            let bytes = (key.len() + value.len()) as i64;
            if let Some(plugin) = plugin_of(&key) {
                self.progress.add_state_bytes(&plugin, -bytes);
            }
            self.written.insert(key, None);
        }
        if is_last {
            at.clear();
        }
        Ok(())
    }

    /// The rows that the step changed, without its progress.
    pub(super) fn into_rows(self) -> (Progress, Vec<Row>) {
        (self.progress, self.written.into_iter().collect())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, String> {
        match self.batch.get(key).or_else(|| self.written.get(key)) {
            Some(row) => Ok(row.clone()),
            None => self.store.get(key),
        }
    }
}

fn size((key, value): (&Bytes, &Option<Bytes>)) -> usize {
    key.len() + value.as_ref().map_or(0, Bytes::len) + 32
}

fn is_live(value: &[u8], stream_time: i64) -> bool {
    value.first_chunk::<EXPIRY>().is_some_and(|expiry| i64::from_le_bytes(*expiry) > stream_time)
}

/// Whose state a plugin sees, and how much of it there may be.
#[derive(Clone)]
pub(super) struct Scope {
    pub(super) plugin: String,
    /// What the keys of its state begin with.
    pub(super) prefix: Vec<u8>,
    /// What the keys of its table begin with, if it has one.
    pub(super) table: Option<Vec<u8>>,
    /// Most bytes of its state.
    pub(super) limit: ByteSize,
}

/// What one call sees and writes.
#[derive(Clone)]
pub(super) struct Layer(Arc<Mutex<Call>>);

struct Call {
    step: Arc<Mutex<StepState>>,
    scope: Scope,
    written: Rows,
    bytes: usize,
    added: i64,
}

impl Layer {
    pub(super) fn new(step: Arc<Mutex<StepState>>, scope: Scope) -> Layer {
        let call = Call { step, scope, written: Rows::new(), bytes: 0, added: 0 };
        Layer(Arc::new(Mutex::new(call)))
    }

    /// Keeps what the call wrote.
    pub(super) fn keep(self) {
        let mut call = self.call();
        let (written, added) = (std::mem::take(&mut call.written), call.added);
        let plugin = call.scope.plugin.clone();
        let mut step = lock(&call.step);
        step.batch.extend(written);
        step.batch_bytes = step.batch.iter().map(size).sum();
        *step.added.entry(plugin).or_default() += added;
    }

    fn call(&self) -> MutexGuard<'_, Call> {
        lock(&self.0)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Call {
    fn full_key(&self, key: &[u8]) -> Result<Vec<u8>, String> {
        if key.len() > MAX_KEY {
            return Err(format!("a key of its state has {} bytes, {MAX_KEY} is most", key.len()));
        }
        Ok([&self.scope.prefix, key].concat())
    }

    /// The stored bytes, expired or not.
    fn stored(&self, key: &[u8]) -> Result<Option<Bytes>, String> {
        match self.written.get(key) {
            Some(row) => Ok(row.clone()),
            None => lock(&self.step).get(key),
        }
    }

    fn set(&mut self, key: Vec<u8>, value: Option<Bytes>) -> Result<(), String> {
        let before = self.stored(&key)?;
        if before.is_none() && value.is_none() {
            return Ok(());
        }
        let len = |value: &Option<Bytes>| {
            value.as_ref().map_or(0, |value| (key.len() + value.len()) as i64)
        };
        let added = len(&value) - len(&before);
        let (held, changed) = {
            let step = lock(&self.step);
            let plugin = &self.scope.plugin;
            let held = step.progress.state_bytes(plugin) as i64
                + step.added.get(plugin).copied().unwrap_or(0);
            (held + self.added + added, step.batch_bytes)
        };
        if added > 0 && held > self.scope.limit.get() as i64 {
            return Err(format!("its state is full: {} is the limit", self.scope.limit));
        }
        let key = Bytes::from(key);
        self.bytes += size((&key, &value));
        if self.bytes + changed > MAX_CHANGE {
            return Err(format!("it changed more than {MAX_CHANGE} bytes of state for one batch"));
        }
        self.added += added;
        self.written.insert(key, value);
        Ok(())
    }
}

impl State for Layer {
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let call = self.call();
        let stored = call.stored(&call.full_key(key)?)?;
        let now = lock(&call.step).progress.stream_time;
        Ok(stored.filter(|value| is_live(value, now)).map(|value| value[EXPIRY..].to_vec()))
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>, ttl: Option<u64>) -> Result<(), String> {
        if value.len() > MAX_VALUE {
            let len = value.len();
            return Err(format!("a value of its state has {len} bytes, {MAX_VALUE} is most"));
        }
        let mut call = self.call();
        let now = lock(&call.step).progress.stream_time;
        let expiry = ttl.map_or(i64::MAX, |ttl| now.saturating_add_unsigned(ttl));
        let key = call.full_key(&key)?;
        call.set(key, Some([&expiry.to_le_bytes()[..], &value].concat().into()))
    }

    fn delete(&mut self, key: Vec<u8>) -> Result<(), String> {
        let mut call = self.call();
        let key = call.full_key(&key)?;
        call.set(key, None)
    }

    fn scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<StateEntry>, String> {
        let call = self.call();
        let own = call.scope.prefix.len();
        let prefix = call.full_key(prefix)?;
        let mut from = match after {
            Some(after) => {
                let mut from = call.full_key(after)?;
                from.push(0);
                from.max(prefix.clone())
            }
            None => prefix.clone(),
        };
        let step = lock(&call.step);
        let (mut found, mut bytes) = (Vec::new(), 0);
        loop {
            let began = from.clone();
            let page = step.store.page(&prefix, &mut from)?;
            let mut rows: Rows = page.rows.into_iter().map(|(k, v)| (k, Some(v))).collect();
            for layer in [&step.written, &step.batch, &call.written] {
                let range = (Bound::Included(&began[..]), Bound::Unbounded);
                let newer = layer
                    .range::<[u8], _>(range)
                    .take_while(|(key, _)| key.starts_with(&prefix))
                    .filter(|(key, _)| !page.more || key[..] < from[..]);
                rows.extend(newer.map(|(key, value)| (key.clone(), value.clone())));
            }
            for (key, value) in rows {
                let Some(value) = value else { continue };
                if !is_live(&value, step.progress.stream_time) {
                    continue;
                }
                bytes += key.len() + value.len();
                if found.len() == limit || (bytes > MAX_SCAN && !found.is_empty()) {
                    return Ok(found);
                }
                found.push((key[own..].to_vec(), value[EXPIRY..].to_vec()));
            }
            if !page.more {
                return Ok(found);
            }
        }
    }

    fn stream_time(&self) -> i64 {
        lock(&self.call().step).progress.stream_time
    }

    fn lookup(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let call = self.call();
        let Some(table) = &call.scope.table else {
            return Err("its attachment names no table to look anything up in".to_owned());
        };
        let value = lock(&call.step).get(&[table, key].concat())?;
        Ok(value.map(|value| value.to_vec()))
    }
}
