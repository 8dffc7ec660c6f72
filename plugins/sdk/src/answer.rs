//! The answer to a batch of a transform, as it grows record by record.
//!
//! While every record gives at most one record in place, the batch is answered with a tag a record,
//! which is cheapest for the node; with the first output that needs more it is turned, once, into
//! the general form. Whoever writes a plugin does not see which.

use crate::Failure;
use crate::bindings::types::{self, TransformVerdict};
use crate::output::{Emit, Output, Part};
use crate::record::put_header;

pub(crate) const KEEP: u8 = 0;
pub(crate) const DROP: u8 = 1;
pub(crate) const REPLACE: u8 = 2;
pub(crate) const MAKE_NULL: u8 = 3;

pub(crate) const NULL_KEY: u8 = 1;
pub(crate) const NULL_VALUE: u8 = 2;
pub(crate) const INPUT_KEY: u8 = 4;
pub(crate) const INPUT_VALUE: u8 = 8;
pub(crate) const INPUT_HEADERS: u8 = 16;
pub(crate) const NONE: u32 = u32::MAX;

/// A column that is being written.
#[derive(Default)]
struct Column {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Column {
    /// The node refuses answers far below 4 GiB, and a plugin's memory is smaller than that.
    fn end(&mut self) {
        self.ends.push(self.bytes.len() as u32);
    }

    fn truncate(&mut self, items: usize) {
        self.ends.truncate(items);
        self.bytes.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }
}

/// The answer to a batch, as far as it has come.
pub(crate) struct Answer {
    pub(crate) tagged: Tagged,
    /// The general form, once an output needed it.
    pub(crate) emitted: Option<Box<Emitted>>,
}

#[derive(Default)]
pub(crate) struct Tagged {
    tags: Vec<u8>,
    values: Column,
}

#[derive(Default)]
pub(crate) struct Emitted {
    inputs: Vec<u32>,
    flags: Vec<u8>,
    keys: Column,
    values: Column,
    headers: Column,
    timestamps: Vec<Option<i64>>,
    topics: Vec<String>,
    topic_of: Vec<u32>,
    partition_of: Vec<u32>,
}

impl Answer {
    pub(crate) fn with_capacity(records: u32, value_bytes: usize) -> Answer {
        let tagged = Tagged {
            tags: Vec::with_capacity(records as usize),
            values: Column {
                bytes: Vec::with_capacity(value_bytes),
                ends: Vec::with_capacity(records as usize),
            },
        };
        Answer { tagged, emitted: None }
    }

    /// Runs `apply` on one record; if it fails, what it had put out is taken back.
    pub(crate) fn record(
        &mut self,
        record: u32,
        apply: impl FnOnce(&mut Output<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut output = Output { batch: self, record, puts: 0 };
        let result = apply(&mut output);
        match &mut self.emitted {
            None => {
                if result.is_err() {
                    self.tagged.take_back(record as usize);
                }
                self.tagged.tags.resize(record as usize + 1, DROP);
            }
            Some(emitted) if result.is_err() => emitted.take_back(record),
            Some(_) => {}
        }
        result
    }

    /// The answer in its general form, into which it is turned here where it was not yet.
    pub(crate) fn general(&mut self) -> &mut Emitted {
        let tagged = &mut self.tagged;
        self.emitted.get_or_insert_with(|| Box::new(Emitted::from_tagged(tagged)))
    }

    /// The verdict. `timestamps` are the batch's, or empty where they were not asked for.
    pub(crate) fn finish(
        self,
        timestamps: &[i64],
        failed: Vec<types::Failure>,
    ) -> Result<TransformVerdict, String> {
        let Some(emitted) = self.emitted else {
            let Tagged { tags, values } = self.tagged;
            return Ok(TransformVerdict::Tagged(types::Tagged {
                tags,
                values: values.bytes,
                value_ends: values.ends,
                failed,
            }));
        };
        emitted.finish(timestamps, failed).map(TransformVerdict::Emitted)
    }
}

impl Tagged {
    pub(crate) fn put<R>(&mut self, tag: u8, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        self.tags.push(tag);
        let result = write(&mut self.values.bytes);
        if tag == REPLACE {
            self.values.end();
        }
        result
    }

    fn take_back(&mut self, record: usize) {
        if self.tags.get(record) == Some(&REPLACE) {
            self.values.truncate(self.values.ends.len().saturating_sub(1));
        }
        self.tags.truncate(record);
    }
}

impl Emitted {
    fn from_tagged(tagged: &mut Tagged) -> Emitted {
        let mut emitted = Emitted::default();
        // The values go over as they are: what is not replaced gets an empty item between them.
        let values = std::mem::take(&mut tagged.values);
        let mut ends = values.ends.into_iter();
        let mut end = 0;
        emitted.values.bytes = values.bytes;
        for (record, tag) in tagged.tags.iter().enumerate() {
            let flags = match *tag {
                KEEP => INPUT_VALUE,
                REPLACE => {
                    end = ends.next().unwrap_or(end);
                    0
                }
                MAKE_NULL => NULL_VALUE,
                _ => continue,
            };
            emitted.place(record as u32, flags | INPUT_KEY | INPUT_HEADERS);
            emitted.values.ends.push(end);
        }
        emitted
    }

    /// Everything of an output but its value.
    fn place(&mut self, record: u32, flags: u8) {
        self.inputs.push(record);
        self.flags.push(flags);
        self.keys.end();
        self.headers.end();
        self.timestamps.push(None);
        self.topic_of.push(NONE);
        self.partition_of.push(NONE);
    }

    pub(crate) fn put_in_place<R>(
        &mut self,
        record: u32,
        tag: u8,
        write: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> R {
        let value = match tag {
            REPLACE => 0,
            MAKE_NULL => NULL_VALUE,
            _ => INPUT_VALUE,
        };
        self.place(record, value | INPUT_KEY | INPUT_HEADERS);
        let result = write(&mut self.values.bytes);
        self.values.end();
        result
    }

    pub(crate) fn put(&mut self, record: u32, emit: &Emit<'_>) {
        let mut flags = 0;
        match emit.key {
            Part::Input => flags |= INPUT_KEY,
            Part::Null => flags |= NULL_KEY,
            Part::Own(key) => self.keys.bytes.extend_from_slice(key),
        }
        match emit.value {
            Part::Input => flags |= INPUT_VALUE,
            Part::Null => flags |= NULL_VALUE,
            Part::Own(value) => self.values.bytes.extend_from_slice(value),
        }
        match emit.headers {
            None => flags |= INPUT_HEADERS,
            Some(headers) => {
                for (name, value) in headers {
                    put_header(&mut self.headers.bytes, name, *value);
                }
            }
        }
        self.inputs.push(record);
        self.flags.push(flags);
        self.keys.end();
        self.values.end();
        self.headers.end();
        self.timestamps.push(emit.timestamp);
        let topic = emit.topic.map_or(NONE, |topic| self.topic(topic));
        self.topic_of.push(topic);
        self.partition_of.push(emit.partition.unwrap_or(NONE));
    }

    /// Plugins name a handful of topics, and mostly the one named last: a scan from the end.
    fn topic(&mut self, topic: &str) -> u32 {
        let known = self.topics.iter().rposition(|known| known == topic);
        known.unwrap_or_else(|| {
            self.topics.push(topic.to_owned());
            self.topics.len() - 1
        }) as u32
    }

    fn take_back(&mut self, record: u32) {
        let outputs = self.inputs.partition_point(|input| *input < record);
        self.inputs.truncate(outputs);
        self.flags.truncate(outputs);
        self.keys.truncate(outputs);
        self.values.truncate(outputs);
        self.headers.truncate(outputs);
        self.timestamps.truncate(outputs);
        self.topic_of.truncate(outputs);
        self.partition_of.truncate(outputs);
    }

    /// Columns that say nothing are left empty: they need not cross the border.
    fn finish(
        self,
        timestamps: &[i64],
        failed: Vec<types::Failure>,
    ) -> Result<types::Emitted, String> {
        let own = |bits: u8| self.flags.iter().any(|flags| flags & bits == 0);
        let (keys, key_ends) = keep_if(own(NULL_KEY | INPUT_KEY), self.keys);
        let (values, value_ends) = keep_if(own(NULL_VALUE | INPUT_VALUE), self.values);
        let (headers, header_ends) = keep_if(own(INPUT_HEADERS), self.headers);
        let says = |column: Vec<u32>| match column.iter().any(|item| *item != NONE) {
            true => column,
            false => Vec::new(),
        };
        Ok(types::Emitted {
            timestamps: all_timestamps(&self.timestamps, &self.inputs, timestamps)?,
            inputs: self.inputs,
            flags: self.flags,
            keys,
            key_ends,
            values,
            value_ends,
            headers,
            header_ends,
            topics: self.topics,
            topic_of: says(self.topic_of),
            partition_of: says(self.partition_of),
            failed,
        })
    }
}

/// One timestamp an output, or none at all: what has none of its own beside others that do gets its
/// input's, which must therefore be known.
fn all_timestamps(own: &[Option<i64>], inputs: &[u32], batch: &[i64]) -> Result<Vec<i64>, String> {
    if own.iter().all(Option::is_none) {
        return Ok(Vec::new());
    }
    let of_input = |input: u32| batch.get(input as usize).copied();
    own.iter()
        .zip(inputs)
        .map(|(own, input)| own.or_else(|| of_input(*input)))
        .collect::<Option<Vec<i64>>>()
        .ok_or_else(|| {
            "a plugin that sets timestamps on some outputs must ask for Columns::TIMESTAMPS"
                .to_owned()
        })
}

fn keep_if(own: bool, column: Column) -> (Vec<u8>, Vec<u32>) {
    if own { (column.bytes, column.ends) } else { Default::default() }
}
