//! A key-value store that outlives the batch, at the hook `derive`.
//!
//! Each attachment has one store for each partition. At every other hook these functions end the
//! call, since nothing is lent there.
//!
//! # What the node promises
//! - What was put is durable in one step with the records put out and the offset read up to:
//!   neither is ever there without the other.
//! - What a failed call wrote is forgotten.
//! - After a crash a batch may be run again, over the state as it was before it.
//!
//! A plugin must therefore **keep nothing that matters in memory between batches**: the next batch
//! may come to another instance. And since the records around a failing one stand, **check first,
//! write last**: what was put for a record that then fails stays put.
//!
//! # Typed values
//! [`get_as`] and [`put_as`] store any serde type as [postcard](https://docs.rs/postcard): a few
//! bytes a value, and small in a component. The form does not describe itself: begin a value with a
//! version where its type may change, or use another key.
//!
//! ```
//! use tidegate_plugin_sdk::{state, testing::Store};
//!
//! let mut store = Store::default();
//! store.run(|| {
//!     let seen: u64 = state::get_as(b"seen")?.unwrap_or(0);
//!     state::put_as(b"seen", &(seen + 1))
//! }).unwrap();
//! assert_eq!(store.entries().count(), 1);
//! ```

mod scan;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use scan::{Scan, scan};
pub use store::Store;

use crate::Failure;
#[cfg(target_family = "wasm")]
use crate::bindings::state as host;
#[cfg(not(target_family = "wasm"))]
use store::native as host;

/// The value of a key, if it has one that has not expired.
pub fn get(key: &[u8]) -> Option<Vec<u8>> {
    host::get(key)
}

/// Sets the value of a key; it stays until it is deleted.
pub fn put(key: &[u8], value: &[u8]) {
    host::put(key, value, None);
}

/// Sets the value of a key until the stream's time is `ttl` further.
///
/// The stream's time runs ahead of the record at hand to the end of its batch. This is for letting
/// go of what is no longer used; where the answer hangs on an age, store the time and compare.
pub fn put_for(key: &[u8], value: &[u8], ttl: Duration) {
    host::put(key, value, Some(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)));
}

/// Removes a key, if it is there.
pub fn delete(key: &[u8]) {
    host::delete(key);
}

/// The highest timestamp of the partition's records up to the end of this batch, in milliseconds
/// since 1970; `None` while none had one. It never goes back.
pub fn stream_time() -> Option<i64> {
    Some(host::stream_time()).filter(|time| *time != -1)
}

/// The latest value of a key in the topic that the attachment names as its table.
pub fn lookup(key: &[u8]) -> Option<Vec<u8>> {
    host::lookup(key)
}

/// The value of a key as [`put_as`] stored it; what does not read as a `T` is a failure.
pub fn get_as<T: DeserializeOwned>(key: &[u8]) -> Result<Option<T>, Failure> {
    get(key).map(|value| decode(&value)).transpose()
}

/// Sets the value of a key; it stays until it is deleted.
pub fn put_as<T: Serialize>(key: &[u8], value: &T) -> Result<(), Failure> {
    put(key, &encode(value)?);
    Ok(())
}

/// As [`put_for`], with a typed value.
pub fn put_as_for<T: Serialize>(key: &[u8], value: &T, ttl: Duration) -> Result<(), Failure> {
    put_for(key, &encode(value)?, ttl);
    Ok(())
}

pub(crate) fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, Failure> {
    postcard::from_bytes(value)
        .map_err(|e| Failure::record(format!("state is of another form: {e}")))
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Failure> {
    postcard::to_stdvec(value).map_err(|e| Failure::record(format!("value cannot be stored: {e}")))
}

const SIGN: u64 = 1 << 63;

/// Bytes that are ordered as the numbers are: keys of the state are ordered byte by byte.
pub(crate) fn ordered(number: i64) -> [u8; 8] {
    (number.cast_unsigned() ^ SIGN).to_be_bytes()
}

/// The number of [`ordered`] bytes.
pub(crate) fn time(ordered: [u8; 8]) -> i64 {
    (u64::from_be_bytes(ordered) ^ SIGN).cast_signed()
}
