//! Write a Tidegate plugin as a function over a record.
//!
//! # A first plugin
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib", "rlib"]
//!
//! [dependencies]
//! tidegate-plugin-sdk = { path = "../tidegate/plugins/sdk" }
//! serde = { version = "1", features = ["derive"] }
//! ```
//!
//! ```
//! use tidegate_plugin_sdk::prelude::*;
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     word: String,
//! }
//!
//! struct Contains(Config);
//!
//! impl Filter for Contains {
//!     type Config = Config;
//!
//!     fn configure(config: Config) -> Result<Self, String> {
//!         Ok(Contains(config))
//!     }
//!
//!     fn keep(&mut self, record: &Record<'_>) -> Result<bool, Failure> {
//!         Ok(record.value_str()?.contains(&self.0.word))
//!     }
//! }
//!
//! export_filter!(Contains);
//! ```
//!
//! `cargo build --release --target wasm32-wasip2` makes the component; install that file.
//!
//! # What there is
//! - [`Filter`], [`Partition`], [`Transform`]: implement one, export it with [`export_filter!`],
//!   [`export_partition!`] or [`export_transform!`]. A component is of one kind.
//! - [`Record`]: what is read. [`Output`] and [`Emit`]: what a transform puts out.
//! - [`Failure`]: an `Err` fails that record alone, and the attachment's policy decides what becomes
//!   of it; `Failure::reject_batch` refuses the batch to its producer.
//! - [`json`]: one field of a JSON value, read or replaced, without parsing the rest.
//! - [`partition_for_key`]: the partition that Kafka's clients would choose.
//! - [`info!`] and its siblings, [`count`]: log lines and counters, under the plugin's name.
//! - [`state`]: a key-value store that outlives the batch, at the hook `derive`; on it [`window`]
//!   (tumbling, hopping, sessions) and [`dedup`].
//! - For configurations: [`Span`] (`"5m"`), [`By`] (key, value or a field), [`number`] (a number in
//!   JSON, CSV or text).
//! - [`testing`]: runs a plugin on the developer's machine, with plain `cargo test`.
//!
//! # What a plugin does not have
//! No clock but the records' timestamps, no files, no network, no environment, no randomness but
//! [`Record::random`]. The same batch must give the same answer: a producer's retry is run again.
//! The standard `HashMap` seeds itself at random, and so traps in the node: use [`HashMap`] from
//! here, or a `BTreeMap`.
//!
//! A panic is reported with its text, fails the records at hand, and costs a new instance.

mod answer;
mod by;
pub mod dedup;
mod failure;
mod guest;
mod hash;
mod host;
pub mod json;
pub mod number;
mod output;
mod record;
mod span;
pub mod state;
pub mod testing;
pub mod window;

#[doc(hidden)]
pub mod bindings;

pub use bindings::types::Columns;
pub use by::By;
pub use failure::Failure;
pub use guest::{Filter, NoConfig, Partition, Transform};
pub use hash::{murmur2, murmur3, partition_for_key};
pub use host::{Level, count, log};
pub use output::{Emit, HeaderRef, Output, ValueWriter};
pub use record::{Headers, Record};
pub use serde_json;
pub use span::Span;

/// A hash map that does without randomness, which a plugin has none of.
pub type HashMap<K, V> = std::collections::HashMap<
    K,
    V,
    std::hash::BuildHasherDefault<std::collections::hash_map::DefaultHasher>,
>;

/// Everything that a plugin commonly uses.
pub mod prelude {
    pub use crate::{
        By, Columns, Emit, Failure, Filter, HashMap, HeaderRef, NoConfig, Output, Partition,
        Record, Span, Transform, count, export_filter, export_partition, export_transform, json,
        partition_for_key, state,
    };
}

#[doc(hidden)]
pub mod __private {
    pub use crate::bindings::types::{self, Batch, Columns, Context};
    pub use crate::{bindings, guest_exports as guest};
    pub use wit_bindgen;
}

#[doc(hidden)]
pub mod guest_exports {
    pub use crate::guest::{
        configure_filter, configure_partition, configure_transform, run_filter, run_partition,
        run_transform,
    };
}
