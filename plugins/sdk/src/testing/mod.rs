//! Runs a plugin on the developer's own machine, over the same columns as in the node.
//!
//! ```
//! use tidegate_plugin_sdk::prelude::*;
//! use tidegate_plugin_sdk::testing::{Input, Tester};
//!
//! struct NotEmpty;
//!
//! impl Filter for NotEmpty {
//!     type Config = NoConfig;
//!
//!     fn configure(_: NoConfig) -> Result<Self, String> {
//!         Ok(NotEmpty)
//!     }
//!
//!     fn keep(&mut self, record: &Record<'_>) -> Result<bool, Failure> {
//!         Ok(!record.bytes()?.is_empty())
//!     }
//! }
//!
//! let mut tester = Tester::<NotEmpty>::filter("{}").unwrap();
//! assert_eq!(tester.keep_one(&Input::value("x")), Ok(true));
//! assert_eq!(tester.keep_one(&Input::value("")), Ok(false));
//! assert_eq!(tester.keep_one(&Input::null()), Err("value is null".into()));
//! ```

mod columns;

use crate::bindings::types::{
    Batch, Columns, Context, FilterVerdict, PartitionVerdict, TransformVerdict,
};
pub use crate::state::Store;
use crate::{Filter, Level, Partition, Transform, guest};
use columns::{columns, merge, merge_emitted, merge_tagged};

/// A header with its name and value.
pub type Header = (Vec<u8>, Option<Vec<u8>>);

/// A record to run a plugin on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Input {
    /// Milliseconds since 1970, where it has a timestamp.
    pub timestamp: Option<i64>,
    /// The key; `None` is null.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is null.
    pub value: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: Vec<Header>,
}

impl Input {
    /// A record with this value and nothing else.
    pub fn value(value: impl AsRef<[u8]>) -> Input {
        Input { value: Some(value.as_ref().to_vec()), ..Input::default() }
    }

    /// A record whose value is null.
    pub fn null() -> Input {
        Input::default()
    }

    /// The same with this key.
    #[must_use]
    pub fn with_key(mut self, key: impl AsRef<[u8]>) -> Input {
        self.key = Some(key.as_ref().to_vec());
        self
    }

    /// The same with one header more.
    #[must_use]
    pub fn with_header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Input {
        self.headers.push((name.as_ref().to_vec(), Some(value.as_ref().to_vec())));
        self
    }

    /// The same at this time.
    #[must_use]
    pub fn at(mut self, millis: i64) -> Input {
        self.timestamp = Some(millis);
        self
    }
}

/// A record that a transform put out; what it left as the input's is filled in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Put {
    /// The record itself.
    pub record: Input,
    /// The topic it goes to; `None` is the batch's.
    pub topic: Option<String>,
    /// The partition it goes to; `None` leaves the choice to the node.
    pub partition: Option<u32>,
}

impl Put {
    /// The value as text; null and what is no UTF-8 read as empty.
    pub fn text(&self) -> &str {
        self.record.value.as_deref().and_then(|v| std::str::from_utf8(v).ok()).unwrap_or_default()
    }
}

/// What the whole batch came to, where it came to nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The plugin refused it to its producer.
    Rejected(String),
    /// The batch failed as a whole.
    Failed(String),
}

type Configure<P> = fn(&str) -> Result<(P, Columns), String>;

/// A configured plugin, and a state as at the hook `derive`.
///
/// The stream's time follows the timestamps of the records given. What a refused or failed batch
/// wrote to the state is forgotten, as in the node.
pub struct Tester<P> {
    plugin: P,
    needs: Columns,
    context: Context,
    store: Store,
    configure: Configure<P>,
    config: String,
}

impl<P> Tester<P> {
    fn new(configure: Configure<P>, config: &str) -> Result<Tester<P>, String> {
        let (plugin, needs) = configure(config)?;
        let context = Context { topic: "test".into(), partition: 0, partitions: 1, seed: 0 };
        let (store, config) = (Store::default(), config.to_owned());
        Ok(Tester { plugin, needs, context, store, configure, config })
    }

    /// Goes on with another instance over the same state, as a node does after a restart.
    ///
    /// # Panics
    /// If the plugin refuses the configuration that it took before.
    pub fn renew(&mut self) {
        let renewed = (self.configure)(&self.config);
        (self.plugin, self.needs) =
            renewed.unwrap_or_else(|reason| panic!("refused where it was accepted: {reason}"));
    }

    /// Has this key in the table that the attachment names.
    #[must_use]
    pub fn with_table(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Tester<P> {
        self.store.set_table(key, value);
        self
    }

    /// The state: what the plugin stored, and the stream's time.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The same, to change.
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    fn call<T>(
        &mut self,
        records: &[Input],
        run: impl FnOnce(&mut P, &Batch, &Context) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        if let Some(latest) = records.iter().filter_map(|record| record.timestamp).max() {
            self.store.advance(latest);
        }
        let before = self.store.clone();
        let batch = columns(records, self.needs);
        let result = self.store.run(|| run(&mut self.plugin, &batch, &self.context));
        if result.is_err() {
            self.store = before;
        }
        result
    }

    /// The plugin, to look into.
    pub fn plugin(&self) -> &P {
        &self.plugin
    }

    /// The columns that the plugin asked for.
    pub fn needs(&self) -> Columns {
        self.needs
    }

    /// Runs later batches as sent to this partition of a topic with `partitions`.
    #[must_use]
    pub fn in_topic(mut self, topic: &str, partition: u32, partitions: u32) -> Tester<P> {
        self.context =
            Context { topic: topic.into(), partition, partitions, seed: self.context.seed };
        self
    }

    /// Runs later batches with this seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Tester<P> {
        self.context.seed = seed;
        self
    }
}

impl<P: Filter> Tester<P> {
    /// Configures a filter.
    pub fn filter(config: &str) -> Result<Tester<P>, String> {
        Tester::new(guest::configure_filter, config)
    }

    /// For each record whether it is kept, or why it failed.
    pub fn keep(&mut self, records: &[Input]) -> Result<Vec<Result<bool, String>>, Refused> {
        self.call(records, |plugin, batch, context| {
            match guest::run_filter(plugin, batch, context) {
                Ok(FilterVerdict::Kept(kept)) => {
                    let bit = |i: usize| kept.bitmap[i / 8] >> (i % 8) & 1 == 1;
                    Ok(merge((0..records.len()).map(bit).collect(), kept.failed))
                }
                Ok(FilterVerdict::Reject(reason)) => Err(Refused::Rejected(reason)),
                Err(reason) => Err(Refused::Failed(reason)),
            }
        })
    }

    /// Whether this record alone is kept, or why it failed or was refused.
    pub fn keep_one(&mut self, record: &Input) -> Result<bool, String> {
        only(self.keep(std::slice::from_ref(record)))
    }
}

impl<P: Partition> Tester<P> {
    /// Configures a partitioner.
    pub fn partition(config: &str) -> Result<Tester<P>, String> {
        Tester::new(guest::configure_partition, config)
    }

    /// For each record its partition, or why it failed.
    pub fn choose(&mut self, records: &[Input]) -> Result<Vec<Result<u32, String>>, Refused> {
        self.call(records, |plugin, batch, context| {
            match guest::run_partition(plugin, batch, context) {
                Ok(PartitionVerdict::Chosen(chosen)) => Ok(merge(chosen.partitions, chosen.failed)),
                Ok(PartitionVerdict::Reject(reason)) => Err(Refused::Rejected(reason)),
                Err(reason) => Err(Refused::Failed(reason)),
            }
        })
    }

    /// The partition of this record alone, or why it failed or was refused.
    pub fn choose_one(&mut self, record: &Input) -> Result<u32, String> {
        only(self.choose(std::slice::from_ref(record)))
    }
}

impl<P: Transform> Tester<P> {
    /// Configures a transform.
    pub fn transform(config: &str) -> Result<Tester<P>, String> {
        Tester::new(guest::configure_transform, config)
    }

    /// For each record what was put out for it, or why it failed.
    pub fn apply(&mut self, records: &[Input]) -> Result<Vec<Result<Vec<Put>, String>>, Refused> {
        self.call(records, |plugin, batch, context| {
            match guest::run_transform(plugin, batch, context) {
                Ok(TransformVerdict::Tagged(tagged)) => Ok(merge_tagged(records, tagged)),
                Ok(TransformVerdict::Emitted(emitted)) => Ok(merge_emitted(records, emitted)),
                Ok(TransformVerdict::Reject(reason)) => Err(Refused::Rejected(reason)),
                Err(reason) => Err(Refused::Failed(reason)),
            }
        })
    }

    /// What was put out for this record alone, or why it failed or was refused.
    pub fn apply_one(&mut self, record: &Input) -> Result<Vec<Put>, String> {
        only(self.apply(std::slice::from_ref(record)))
    }
}

/// The log lines of this thread since the last call.
pub fn take_log() -> Vec<(Level, String)> {
    #[cfg(not(target_family = "wasm"))]
    return crate::host::native::take().lines;
    #[cfg(target_family = "wasm")]
    Vec::new()
}

fn only<T>(results: Result<Vec<Result<T, String>>, Refused>) -> Result<T, String> {
    match results {
        Ok(results) => results.into_iter().next().unwrap_or_else(|| Err("no result".into())),
        Err(Refused::Rejected(reason) | Refused::Failed(reason)) => Err(reason),
    }
}
