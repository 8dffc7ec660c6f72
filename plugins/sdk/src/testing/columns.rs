//! Between a test's records and the columns that cross the border.

use super::{Input, Put};
use crate::answer::{
    DROP, INPUT_HEADERS, INPUT_KEY, INPUT_VALUE, KEEP, MAKE_NULL, NONE, NULL_KEY, NULL_VALUE,
    REPLACE,
};
use crate::bindings::types::{Batch, Columns, Emitted, Failure, Tagged};
use crate::record::{Headers, put_header};

pub(super) fn merge<T>(items: Vec<T>, failed: Vec<Failure>) -> Vec<Result<T, String>> {
    let mut results: Vec<_> = items.into_iter().map(Ok).collect();
    for Failure { record, reason } in failed {
        results[record as usize] = Err(reason);
    }
    results
}

/// The columns of `records` that `needs` names.
pub(super) fn columns(records: &[Input], needs: Columns) -> Batch {
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

pub(super) fn merge_tagged(records: &[Input], tagged: Tagged) -> Vec<Result<Vec<Put>, String>> {
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
    merge(puts.collect(), tagged.failed)
}

pub(super) fn merge_emitted(records: &[Input], emitted: Emitted) -> Vec<Result<Vec<Put>, String>> {
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
