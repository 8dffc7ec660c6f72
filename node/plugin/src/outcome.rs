//! What a plugin decided for a batch, checked against the rules of `wit/plugin.wit`.
//!
//! A value of these types holds what its docs say: every index lies in the batch, every end in its
//! column, every topic has a valid name. Nothing behind this module checks them again.

use std::collections::HashSet;

use tidegate_types::TopicName;
use tidegate_types::limits::{MAX_BATCH_RECORDS, MAX_RECORD_HEADERS};

use crate::abi;
use crate::columns::PackedHeaders;
use crate::guest::one_line;
use tidegate_types::PluginKind;

/// Longest reason that a plugin may give; longer ones are cut.
pub(crate) const MAX_REASON: usize = 1_024;

/// "None", in a column of indexes.
const NONE: u32 = u32::MAX;

/// A record that the plugin could not handle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Its index in the batch.
    pub record: u32,
    /// Why, in one line.
    pub reason: String,
}

/// What a plugin decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// For the batch.
    pub verdict: Verdict,
    /// The records that it could not handle, each once, in rising order. What the verdict says of
    /// them is of no account.
    pub failed: Vec<Failure>,
}

/// What a plugin decided for the batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Of a filter: which records are kept.
    Filter(Kept),
    /// Of a partitioner: a partition for each record, below the number of partitions.
    Partition(Vec<u32>),
    /// Of a transform that gives at most one record for each.
    Tags(Tags),
    /// Of a transform that gives any number.
    Emitted(Box<Emitted>),
    /// The whole batch is refused to its producer.
    Reject {
        /// Why.
        reason: String,
    },
}

/// A bit for each record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    bitmap: Vec<u8>,
    count: u32,
}

impl Kept {
    /// Whether record `i` is kept; records outside the batch are not.
    #[must_use]
    pub fn contains(&self, i: u32) -> bool {
        i < self.count
            && self.bitmap.get((i / 8) as usize).is_some_and(|byte| byte & (1 << (i % 8)) != 0)
    }

    /// Whether every record is kept.
    #[must_use]
    pub fn all(&self) -> bool {
        let (whole, rest) = (self.count as usize / 8, self.count % 8);
        self.bitmap.iter().take(whole).all(|byte| *byte == 0xff)
            && (rest == 0 || self.bitmap[whole] | (0xff << rest) == 0xff)
    }
}

/// What becomes of one record in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tag {
    /// It stays as it is.
    Keep,
    /// It goes.
    Drop,
    /// Its value is replaced: the next of the new values.
    Replace,
    /// Its value becomes null.
    Null,
}

/// A tag for each record, and the new values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tags {
    /// One for each record.
    pub tags: Vec<Tag>,
    /// One for each [`Tag::Replace`].
    pub values: Column,
}

/// Items laid end to end.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Column {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Column {
    /// The bytes of all items.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of all items, to be kept; ranges into them stay what they were.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Where item `i` lies in [`Column::bytes`]; an empty range outside the column.
    #[must_use]
    pub fn range(&self, i: usize) -> std::ops::Range<usize> {
        let end = self.ends.get(i).map_or(0, |end| *end as usize);
        let start = match i.checked_sub(1) {
            Some(before) => self.ends.get(before).map_or(0, |end| *end as usize),
            None => 0,
        };
        start.min(end)..end
    }

    /// Item `i`; empty outside the column.
    #[must_use]
    pub fn get(&self, i: usize) -> &[u8] {
        &self.bytes[self.range(i)]
    }

    fn check(
        column: &'static str,
        bytes: Vec<u8>,
        ends: Vec<u32>,
        items: usize,
    ) -> Result<Column, Malformed> {
        if ends.len() != items {
            return Err(Malformed::Length { column, len: ends.len(), expected: items });
        }
        if let Some(at) = ends.windows(2).position(|pair| pair[0] > pair[1]) {
            return Err(Malformed::Ends { column, item: at + 1 });
        }
        if ends.last().map_or(0, |end| *end as usize) != bytes.len() {
            return Err(Malformed::Ends { column, item: items.saturating_sub(1) });
        }
        Ok(Column { bytes, ends })
    }

    /// As `check`, but both may be empty.
    fn check_optional(
        column: &'static str,
        bytes: Vec<u8>,
        ends: Vec<u32>,
        items: usize,
    ) -> Result<Column, Malformed> {
        if ends.is_empty() && bytes.is_empty() {
            return Ok(Column::default());
        }
        Column::check(column, bytes, ends, items)
    }
}

/// Where an output's part comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part<T> {
    /// It is null.
    Null,
    /// It is the input's.
    Input,
    /// The plugin made it.
    Own(T),
}

/// One record that a transform gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output<'a> {
    /// The record that it comes from.
    pub input: u32,
    /// Its key.
    pub key: Part<&'a [u8]>,
    /// Its value.
    pub value: Part<&'a [u8]>,
    /// Its headers, as an item of a headers column; never [`Part::Null`].
    pub headers: Part<&'a [u8]>,
    /// Its timestamp; `None` is the input's.
    pub timestamp: Option<i64>,
    /// Its topic; `None` is that of the batch.
    pub topic: Option<&'a TopicName>,
    /// Its partition; `None` is the broker's choice.
    pub partition: Option<u32>,
}

/// Any number of records for each of the batch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Emitted {
    inputs: Vec<u32>,
    flags: Vec<u8>,
    keys: Column,
    values: Column,
    headers: Column,
    timestamps: Vec<i64>,
    topics: Vec<TopicName>,
    topic_of: Vec<u32>,
    partition_of: Vec<u32>,
}

const KEY_NULL: u8 = 1;
const VALUE_NULL: u8 = 2;
const KEY_INPUT: u8 = 4;
const VALUE_INPUT: u8 = 8;
const HEADERS_INPUT: u8 = 16;

impl Emitted {
    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// Record `i`, which must be below [`Emitted::len`].
    #[must_use]
    pub fn get(&self, i: usize) -> Output<'_> {
        let flags = self.flags[i];
        let part = |null: u8, input: u8, column| -> Part<&[u8]> {
            if flags & null != 0 {
                Part::Null
            } else if flags & input != 0 {
                Part::Input
            } else {
                Part::Own(Column::get(column, i))
            }
        };
        let index = |column: &[u32]| column.get(i).copied().filter(|index| *index != NONE);
        Output {
            input: self.inputs[i],
            key: part(KEY_NULL, KEY_INPUT, &self.keys),
            value: part(VALUE_NULL, VALUE_INPUT, &self.values),
            headers: part(0, HEADERS_INPUT, &self.headers),
            timestamp: self.timestamps.get(i).copied(),
            topic: index(&self.topic_of).and_then(|topic| self.topics.get(topic as usize)),
            partition: index(&self.partition_of),
        }
    }

    /// The input with most outputs, and how many.
    fn widest(&self) -> Option<(u32, u32)> {
        // In order, so that those of one input lie side by side.
        let runs = self.inputs.chunk_by(|a, b| a == b);
        runs.map(|run| (run[0], run.len() as u32)).max_by_key(|(_, outputs)| *outputs)
    }

    /// The records, in order.
    pub fn iter(&self) -> impl Iterator<Item = Output<'_>> {
        (0..self.len()).map(|i| self.get(i))
    }

    /// Its own keys, values and headers.
    pub(crate) fn columns(&self) -> [&Column; 3] {
        [&self.keys, &self.values, &self.headers]
    }

    /// The bytes of [`Emitted::columns`].
    pub(crate) fn into_columns(self) -> [Vec<u8>; 3] {
        [self.keys.into_bytes(), self.values.into_bytes(), self.headers.into_bytes()]
    }
}

/// What about a plugin's answer breaks the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("{column} has {len} items where {expected} belong")]
    Length { column: &'static str, len: usize, expected: usize },
    #[error("{column}: the end of item {item} is wrong")]
    Ends { column: &'static str, item: usize },
    #[error("{column}: item {item} points to {found}, there are {count}")]
    Index { column: &'static str, item: usize, found: u32, count: u32 },
    #[error("{column}: item {item} is out of order or there twice")]
    Order { column: &'static str, item: usize },
    #[error("{column}: item {item} is {found}, which means nothing")]
    Code { column: &'static str, item: usize, found: u8 },
    #[error("{column}: item {item} is said to be null or the input's, and is not empty")]
    NotEmpty { column: &'static str, item: usize },
    #[error("headers: item {item} is not well formed or has more than {MAX_RECORD_HEADERS}")]
    Headers { item: usize },
    #[error("topics: {0}")]
    Topic(#[from] tidegate_types::NameError),
    #[error("{count} records for one batch, at most {MAX_BATCH_RECORDS} are allowed")]
    TooMany { count: usize },
    #[error("record {record} failed and is among the inputs or tagged")]
    FailedUsed { record: u32 },
}

impl Outcome {
    pub(crate) fn of_nothing(kind: PluginKind) -> Outcome {
        let verdict = match kind {
            PluginKind::Filter => Verdict::Filter(Kept { bitmap: Vec::new(), count: 0 }),
            PluginKind::Partition => Verdict::Partition(Vec::new()),
            PluginKind::Transform => {
                Verdict::Tags(Tags { tags: Vec::new(), values: Column::default() })
            }
        };
        Outcome { verdict, failed: Vec::new() }
    }

    fn reject(reason: String) -> Outcome {
        Outcome {
            verdict: Verdict::Reject { reason: one_line(reason, MAX_REASON) },
            failed: Vec::new(),
        }
    }

    pub(crate) fn of_filter(verdict: abi::FilterVerdict, count: u32) -> Result<Outcome, Malformed> {
        let kept = match verdict {
            abi::FilterVerdict::Kept(kept) => kept,
            abi::FilterVerdict::Reject(reason) => return Ok(Outcome::reject(reason)),
        };
        length("bitmap", kept.bitmap.len(), count.div_ceil(8) as usize)?;
        Ok(Outcome {
            verdict: Verdict::Filter(Kept { bitmap: kept.bitmap, count }),
            failed: failures(kept.failed, count)?,
        })
    }

    pub(crate) fn of_partition(
        verdict: abi::PartitionVerdict,
        count: u32,
        partitions: u32,
    ) -> Result<Outcome, Malformed> {
        let chosen = match verdict {
            abi::PartitionVerdict::Chosen(chosen) => chosen,
            abi::PartitionVerdict::Reject(reason) => return Ok(Outcome::reject(reason)),
        };
        length("partitions", chosen.partitions.len(), count as usize)?;
        let failed = failures(chosen.failed, count)?;
        let mut choice = chosen.partitions;
        for failure in &failed {
            choice[failure.record as usize] = 0;
        }
        let column = "partitions";
        if let Some(item) = choice.iter().position(|chosen| *chosen >= partitions) {
            return Err(Malformed::Index { column, item, found: choice[item], count: partitions });
        }
        Ok(Outcome { verdict: Verdict::Partition(choice), failed })
    }

    /// The record with most outputs, and how many; `None` where none has more than one.
    pub(crate) fn widest(&self) -> Option<(u32, u32)> {
        match &self.verdict {
            Verdict::Emitted(emitted) => emitted.widest(),
            _ => None,
        }
    }

    pub(crate) fn of_transform(
        verdict: abi::TransformVerdict,
        count: u32,
        partitions: u32,
    ) -> Result<Outcome, Malformed> {
        match verdict {
            abi::TransformVerdict::Tagged(tagged) => tags(tagged, count),
            abi::TransformVerdict::Emitted(emitted) => check_emitted(emitted, count, partitions),
            abi::TransformVerdict::Reject(reason) => Ok(Outcome::reject(reason)),
        }
    }
}

fn length(column: &'static str, len: usize, expected: usize) -> Result<(), Malformed> {
    if len == expected { Ok(()) } else { Err(Malformed::Length { column, len, expected }) }
}

fn failures(failed: Vec<abi::Failure>, count: u32) -> Result<Vec<Failure>, Malformed> {
    let column = "failed";
    for (item, failure) in failed.iter().enumerate() {
        if failure.record >= count {
            return Err(Malformed::Index { column, item, found: failure.record, count });
        }
        if item > 0 && failed[item - 1].record >= failure.record {
            return Err(Malformed::Order { column, item });
        }
    }
    let owned =
        |f: abi::Failure| Failure { record: f.record, reason: one_line(f.reason, MAX_REASON) };
    Ok(failed.into_iter().map(owned).collect())
}

fn tags(tagged: abi::Tagged, count: u32) -> Result<Outcome, Malformed> {
    length("tags", tagged.tags.len(), count as usize)?;
    let failed = failures(tagged.failed, count)?;
    let mut replaced = 0;
    let mut tags = Vec::with_capacity(tagged.tags.len());
    for (item, code) in tagged.tags.into_iter().enumerate() {
        tags.push(match code {
            0 => Tag::Keep,
            1 => Tag::Drop,
            2 => {
                replaced += 1;
                Tag::Replace
            }
            3 => Tag::Null,
            found => return Err(Malformed::Code { column: "tags", item, found }),
        });
    }
    for failure in &failed {
        if !matches!(tags[failure.record as usize], Tag::Keep | Tag::Drop) {
            return Err(Malformed::FailedUsed { record: failure.record });
        }
    }
    let values = Column::check("values", tagged.values, tagged.value_ends, replaced)?;
    Ok(Outcome { verdict: Verdict::Tags(Tags { tags, values }), failed })
}

fn check_emitted(emitted: abi::Emitted, count: u32, partitions: u32) -> Result<Outcome, Malformed> {
    let outputs = emitted.inputs.len();
    if outputs > MAX_BATCH_RECORDS as usize {
        return Err(Malformed::TooMany { count: outputs });
    }
    let failed = failures(emitted.failed, count)?;
    check_inputs(&emitted.inputs, &failed, count)?;
    length("flags", emitted.flags.len(), outputs)?;
    let keys = Column::check_optional("keys", emitted.keys, emitted.key_ends, outputs)?;
    let values = Column::check_optional("values", emitted.values, emitted.value_ends, outputs)?;
    let headers = Column::check_optional("headers", emitted.headers, emitted.header_ends, outputs)?;
    for (item, flags) in emitted.flags.iter().copied().enumerate() {
        let both = |a: u8, b: u8| flags & (a | b) == a | b;
        if flags > 31 || both(KEY_NULL, KEY_INPUT) || both(VALUE_NULL, VALUE_INPUT) {
            return Err(Malformed::Code { column: "flags", item, found: flags });
        }
        for (column, data, not_own) in [
            ("keys", &keys, KEY_NULL | KEY_INPUT),
            ("values", &values, VALUE_NULL | VALUE_INPUT),
            ("headers", &headers, HEADERS_INPUT),
        ] {
            if flags & not_own != 0 && !data.range(item).is_empty() {
                return Err(Malformed::NotEmpty { column, item });
            }
        }
    }
    for item in 0..headers.len() {
        let count = PackedHeaders::new(headers.get(item)).validate();
        if count.is_none_or(|count| count > MAX_RECORD_HEADERS as usize) {
            return Err(Malformed::Headers { item });
        }
    }
    if !emitted.timestamps.is_empty() {
        length("timestamps", emitted.timestamps.len(), outputs)?;
    }
    let topics = check_topics(emitted.topics, &emitted.topic_of, outputs)?;
    check_partitions(&emitted.partition_of, &emitted.topic_of, outputs, partitions)?;
    let emitted = Emitted {
        inputs: emitted.inputs,
        flags: emitted.flags,
        keys,
        values,
        headers,
        timestamps: emitted.timestamps,
        topics,
        topic_of: emitted.topic_of,
        partition_of: emitted.partition_of,
    };
    Ok(Outcome { verdict: Verdict::Emitted(Box::new(emitted)), failed })
}

fn check_inputs(inputs: &[u32], failed: &[Failure], count: u32) -> Result<(), Malformed> {
    let column = "inputs";
    let mut failed = failed.iter().map(|failure| failure.record).peekable();
    for (item, input) in inputs.iter().copied().enumerate() {
        if input >= count {
            return Err(Malformed::Index { column, item, found: input, count });
        }
        if item > 0 && inputs[item - 1] > input {
            return Err(Malformed::Order { column, item });
        }
        while failed.next_if(|record| *record < input).is_some() {}
        if failed.peek() == Some(&input) {
            return Err(Malformed::FailedUsed { record: input });
        }
    }
    Ok(())
}

fn check_topics(
    topics: Vec<String>,
    topic_of: &[u32],
    outputs: usize,
) -> Result<Vec<TopicName>, Malformed> {
    if !topic_of.is_empty() {
        length("topic-of", topic_of.len(), outputs)?;
    }
    let count = topics.len() as u32;
    for (item, found) in topic_of.iter().copied().enumerate() {
        if found != NONE && found >= count {
            return Err(Malformed::Index { column: "topic-of", item, found, count });
        }
    }
    let topics = topics.into_iter().map(TopicName::new).collect::<Result<Vec<_>, _>>()?;
    let mut seen = HashSet::with_capacity(topics.len());
    match topics.iter().position(|topic| !seen.insert(topic)) {
        Some(item) => Err(Malformed::Order { column: "topics", item }),
        None => Ok(topics),
    }
}

/// Of another topic, only the broker knows how many partitions it has.
fn check_partitions(
    partition_of: &[u32],
    topic_of: &[u32],
    outputs: usize,
    partitions: u32,
) -> Result<(), Malformed> {
    if partition_of.is_empty() {
        return Ok(());
    }
    let column = "partition-of";
    length(column, partition_of.len(), outputs)?;
    for (item, found) in partition_of.iter().copied().enumerate() {
        let elsewhere = topic_of.get(item).is_some_and(|topic| *topic != NONE);
        if found != NONE && !elsewhere && found >= partitions {
            return Err(Malformed::Index { column, item, found, count: partitions });
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
