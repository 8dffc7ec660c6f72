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

use crate::answer::{
    DROP, INPUT_HEADERS, INPUT_KEY, INPUT_VALUE, KEEP, MAKE_NULL, NONE, NULL_KEY, NULL_VALUE,
    REPLACE,
};
use crate::bindings::types::{
    Batch, Columns, Context, Failure, FilterVerdict, PartitionVerdict, TransformVerdict,
};
use crate::record::{Headers, put_header};
use crate::{Filter, Level, Partition, Transform, guest};

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

/// A configured plugin.
pub struct Tester<P> {
    plugin: P,
    needs: Columns,
    context: Context,
}

impl<P> Tester<P> {
    fn new((plugin, needs): (P, Columns)) -> Tester<P> {
        let context = Context { topic: "test".into(), partition: 0, partitions: 1, seed: 0 };
        Tester { plugin, needs, context }
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
        guest::configure_filter(config).map(Tester::new)
    }

    /// For each record whether it is kept, or why it failed.
    pub fn keep(&mut self, records: &[Input]) -> Result<Vec<Result<bool, String>>, Refused> {
        let batch = columns(records, self.needs);
        match guest::run_filter(&mut self.plugin, &batch, &self.context) {
            Ok(FilterVerdict::Kept(kept)) => {
                let bit = |i: usize| kept.bitmap[i / 8] >> (i % 8) & 1 == 1;
                Ok(merge((0..records.len()).map(bit).collect(), kept.failed))
            }
            Ok(FilterVerdict::Reject(reason)) => Err(Refused::Rejected(reason)),
            Err(reason) => Err(Refused::Failed(reason)),
        }
    }

    /// Whether this record alone is kept, or why it failed or was refused.
    pub fn keep_one(&mut self, record: &Input) -> Result<bool, String> {
        only(self.keep(std::slice::from_ref(record)))
    }
}

impl<P: Partition> Tester<P> {
    /// Configures a partitioner.
    pub fn partition(config: &str) -> Result<Tester<P>, String> {
        guest::configure_partition(config).map(Tester::new)
    }

    /// For each record its partition, or why it failed.
    pub fn choose(&mut self, records: &[Input]) -> Result<Vec<Result<u32, String>>, Refused> {
        let batch = columns(records, self.needs);
        match guest::run_partition(&mut self.plugin, &batch, &self.context) {
            Ok(PartitionVerdict::Chosen(chosen)) => Ok(merge(chosen.partitions, chosen.failed)),
            Ok(PartitionVerdict::Reject(reason)) => Err(Refused::Rejected(reason)),
            Err(reason) => Err(Refused::Failed(reason)),
        }
    }

    /// The partition of this record alone, or why it failed or was refused.
    pub fn choose_one(&mut self, record: &Input) -> Result<u32, String> {
        only(self.choose(std::slice::from_ref(record)))
    }
}

impl<P: Transform> Tester<P> {
    /// Configures a transform.
    pub fn transform(config: &str) -> Result<Tester<P>, String> {
        guest::configure_transform(config).map(Tester::new)
    }

    /// For each record what was put out for it, or why it failed.
    pub fn apply(&mut self, records: &[Input]) -> Result<Vec<Result<Vec<Put>, String>>, Refused> {
        let batch = columns(records, self.needs);
        match guest::run_transform(&mut self.plugin, &batch, &self.context) {
            Ok(TransformVerdict::Tagged(tagged)) => {
                let mut values = Items::new(&tagged.values, &tagged.value_ends);
                let puts = records.iter().zip(&tagged.tags).map(|(record, tag)| {
                    let value = match *tag {
                        DROP => return vec![],
                        KEEP => record.value.clone(),
                        REPLACE => Some(values.next_item()),
                        MAKE_NULL => None,
                        tag => unreachable!("no output has tag {tag}"),
                    };
                    let record = Input { value, ..record.clone() };
                    vec![Put { record, topic: None, partition: None }]
                });
                Ok(merge(puts.collect(), tagged.failed))
            }
            Ok(TransformVerdict::Emitted(emitted)) => Ok(merge_emitted(records, emitted)),
            Ok(TransformVerdict::Reject(reason)) => Err(Refused::Rejected(reason)),
            Err(reason) => Err(Refused::Failed(reason)),
        }
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

fn merge<T>(items: Vec<T>, failed: Vec<Failure>) -> Vec<Result<T, String>> {
    let mut results: Vec<_> = items.into_iter().map(Ok).collect();
    for Failure { record, reason } in failed {
        results[record as usize] = Err(reason);
    }
    results
}

/// The columns of `records` that `needs` names.
fn columns(records: &[Input], needs: Columns) -> Batch {
    let mut batch = Batch {
        count: u32::try_from(records.len()).expect("a test's records fit into a batch"),
        timestamps: vec![],
        keys: vec![],
        key_ends: vec![],
        values: vec![],
        value_ends: vec![],
        headers: vec![],
        header_ends: vec![],
        nulls: vec![],
    };
    for record in records {
        let mut nulls = 0;
        if needs.contains(Columns::TIMESTAMPS) {
            batch.timestamps.push(record.timestamp.unwrap_or(-1));
        }
        if needs.contains(Columns::KEYS) {
            nulls |= if record.key.is_none() { NULL_KEY } else { 0 };
            batch.keys.extend_from_slice(record.key.as_deref().unwrap_or_default());
            batch.key_ends.push(batch.keys.len() as u32);
        }
        if needs.contains(Columns::VALUES) {
            nulls |= if record.value.is_none() { NULL_VALUE } else { 0 };
            batch.values.extend_from_slice(record.value.as_deref().unwrap_or_default());
            batch.value_ends.push(batch.values.len() as u32);
        }
        if needs.contains(Columns::HEADERS) {
            for (name, value) in &record.headers {
                put_header(&mut batch.headers, name, value.as_deref());
            }
            batch.header_ends.push(batch.headers.len() as u32);
        }
        if needs.intersects(Columns::KEYS | Columns::VALUES) {
            batch.nulls.push(nulls);
        }
    }
    batch
}

/// Walks a column that the SDK wrote.
struct Items<'a> {
    bytes: &'a [u8],
    ends: std::slice::Iter<'a, u32>,
    start: usize,
}

impl<'a> Items<'a> {
    fn new(bytes: &'a [u8], ends: &'a [u32]) -> Items<'a> {
        Items { bytes, ends: ends.iter(), start: 0 }
    }

    /// The next item; empty where the whole column is.
    fn next_item(&mut self) -> Vec<u8> {
        let end = self.ends.next().map_or(self.start, |end| *end as usize);
        let item = self.bytes[self.start..end].to_vec();
        self.start = end;
        item
    }
}

fn merge_emitted(
    records: &[Input],
    emitted: crate::bindings::types::Emitted,
) -> Vec<Result<Vec<Put>, String>> {
    let mut puts = vec![vec![]; records.len()];
    let mut keys = Items::new(&emitted.keys, &emitted.key_ends);
    let mut values = Items::new(&emitted.values, &emitted.value_ends);
    let mut headers = Items::new(&emitted.headers, &emitted.header_ends);
    for (i, (input, flags)) in emitted.inputs.iter().zip(&emitted.flags).enumerate() {
        let mut record = records[*input as usize].clone();
        let (key, value, header) = (keys.next_item(), values.next_item(), headers.next_item());
        if flags & INPUT_KEY == 0 {
            record.key = (flags & NULL_KEY == 0).then_some(key);
        }
        if flags & INPUT_VALUE == 0 {
            record.value = (flags & NULL_VALUE == 0).then_some(value);
        }
        if flags & INPUT_HEADERS == 0 {
            let owned = |(n, v): (&[u8], Option<&[u8]>)| (n.to_vec(), v.map(<[u8]>::to_vec));
            record.headers = Headers::of(&header).map(owned).collect();
        }
        if let Some(timestamp) = emitted.timestamps.get(i) {
            record.timestamp = (*timestamp != -1).then_some(*timestamp);
        }
        let topic = emitted.topic_of.get(i).filter(|topic| **topic != NONE);
        puts[*input as usize].push(Put {
            record,
            topic: topic.map(|topic| emitted.topics[*topic as usize].clone()),
            partition: emitted.partition_of.get(i).copied().filter(|p| *p != NONE),
        });
    }
    merge(puts, emitted.failed)
}
