//! The key-value state of a plugin, as `wit/plugin.wit` offers it at the hook `derive`.
//!
//! This module carries the calls across; what they do is the [`State`]'s business, which the caller
//! of [`Instance::run_with`](crate::Instance::run_with) brings and gets back.

mod memory;

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower};

use crate::guest::Guest;

pub use memory::{Lookup, MemoryState};

/// Most entries that one scan may ask for.
const MAX_SCAN: u32 = 10_000;

/// A key and its value.
pub type StateEntry = (Vec<u8>, Vec<u8>);

/// Where a plugin's state is while it runs.
///
/// An error stops the plugin, and its text is told as the reason.
pub trait State: Send {
    /// The value of a key.
    ///
    /// # Errors
    /// If it cannot be read.
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String>;

    /// Sets a value; `ttl` is in milliseconds of the stream's time.
    ///
    /// # Errors
    /// If it is too large or there are too many.
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>, ttl: Option<u64>) -> Result<(), String>;

    /// Removes a key.
    ///
    /// # Errors
    /// As [`State::put`].
    fn delete(&mut self, key: Vec<u8>) -> Result<(), String>;

    /// At most `limit` entries that begin with `prefix`, in order, after the key `after`.
    ///
    /// # Errors
    /// If they cannot be read.
    fn scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<StateEntry>, String>;

    /// The highest timestamp so far, in milliseconds; -1 without one.
    fn stream_time(&self) -> i64;

    /// The value of a key in the attachment's table.
    ///
    /// # Errors
    /// If it cannot be read, or the attachment has no table.
    fn lookup(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String>;
}

#[derive(ComponentType, Lift, Lower, Clone, Debug)]
#[component(record)]
struct Entry {
    key: Vec<u8>,
    value: Vec<u8>,
}

/// Defines `tidegate:plugin/state`.
pub(crate) fn link(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    linker.func_wrap("get", |mut store: Caller<'_>, (key,): (Vec<u8>,)| {
        Ok((state(&mut store)?.get(&key).map_err(stop)?,))
    })?;
    linker.func_wrap(
        "put",
        |mut store: Caller<'_>, (key, value, ttl): (Vec<u8>, Vec<u8>, Option<u64>)| {
            state(&mut store)?.put(key, value, ttl).map_err(stop)
        },
    )?;
    linker.func_wrap("delete", |mut store: Caller<'_>, (key,): (Vec<u8>,)| {
        state(&mut store)?.delete(key).map_err(stop)
    })?;
    linker.func_wrap(
        "scan",
        |mut store: Caller<'_>, (prefix, after, limit): (Vec<u8>, Option<Vec<u8>>, u32)| {
            let limit = limit.min(MAX_SCAN) as usize;
            let found = state(&mut store)?.scan(&prefix, after.as_deref(), limit).map_err(stop)?;
            let entries = found.into_iter().map(|(key, value)| Entry { key, value });
            Ok((entries.collect::<Vec<_>>(),))
        },
    )?;
    linker.func_wrap("stream-time", |mut store: Caller<'_>, (): ()| {
        Ok((state(&mut store)?.stream_time(),))
    })?;
    linker.func_wrap("lookup", |mut store: Caller<'_>, (key,): (Vec<u8>,)| {
        Ok((state(&mut store)?.lookup(&key).map_err(stop)?,))
    })
}

type Caller<'a> = StoreContextMut<'a, Guest>;

fn state<'a>(store: &'a mut Caller<'_>) -> wasmtime::Result<&'a mut (dyn State + 'static)> {
    match store.data_mut().state_mut() {
        Some(state) => Ok(state),
        None => Err(stop("state is kept at the hook derive only".to_owned())),
    }
}

/// Stops the guest with a reason of ours.
fn stop(reason: String) -> wasmtime::Error {
    wasmtime::Error::new(Stopped(reason))
}

/// Why a host function stopped a plugin.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Stopped(pub(crate) String);
