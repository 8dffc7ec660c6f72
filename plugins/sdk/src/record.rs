//! Records, read in place from the columns that the node hands over.
//!
//! Nothing is copied: a [`Record`] is a few slices. A column that the plugin did not ask for in
//! `needs` reads as if the record had nothing there.

use serde::de::DeserializeOwned;

use crate::Failure;
use crate::bindings::types::{Batch, Context};
use crate::json::{self, Path};

const NULL_KEY: u8 = 1;
const NULL_VALUE: u8 = 2;
const NULL_HEADER: u32 = u32::MAX;

/// One record of a batch.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    index: u32,
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: &'a [u8],
    context: &'a Context,
}

impl<'a> Record<'a> {
    /// Record `index` of a batch, or what is wrong with its columns.
    pub(crate) fn of(
        batch: &'a Batch,
        context: &'a Context,
        index: u32,
    ) -> Result<Record<'a>, &'static str> {
        let i = index as usize;
        let nulls = match batch.nulls.get(i) {
            Some(nulls) => *nulls,
            None if batch.nulls.is_empty() => 0,
            None => return Err("column of nulls ends early"),
        };
        let part = |bytes, ends: &[u32], null| {
            if ends.is_empty() || nulls & null != 0 {
                Ok(None)
            } else {
                item(bytes, ends, i).map(Some)
            }
        };
        Ok(Record {
            index,
            timestamp: match batch.timestamps.get(i) {
                Some(timestamp) => *timestamp,
                None if batch.timestamps.is_empty() => -1,
                None => return Err("column of timestamps ends early"),
            },
            key: part(&batch.keys, &batch.key_ends, NULL_KEY)?,
            value: part(&batch.values, &batch.value_ends, NULL_VALUE)?,
            headers: part(&batch.headers, &batch.header_ends, 0)?.unwrap_or_default(),
            context,
        })
    }

    /// Its index in the batch, from 0.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Milliseconds since 1970, where the record has a timestamp.
    pub fn timestamp(&self) -> Option<i64> {
        (self.timestamp != -1).then_some(self.timestamp)
    }

    /// The key; `None` where it is null.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value; `None` where it is null, as in a tombstone.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// The value's bytes, or a failure that says that it is null.
    pub fn bytes(&self) -> Result<&'a [u8], Failure> {
        self.value.ok_or_else(|| Failure::record("value is null"))
    }

    /// The value as text; null or not UTF-8 is a failure.
    pub fn value_str(&self) -> Result<&'a str, Failure> {
        std::str::from_utf8(self.bytes()?)
            .map_err(|e| Failure::record(format!("value is not UTF-8 at byte {}", e.valid_up_to())))
    }

    /// The value, parsed as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(self.bytes()?)
            .map_err(|e| Failure::record(format!("value is not the JSON expected: {e}")))
    }

    /// The raw text of one field of a JSON value, without parsing the rest.
    pub fn json_field(&self, path: &Path) -> Result<Option<&'a [u8]>, Failure> {
        json::field(self.bytes()?, path)
            .map_err(|e| Failure::record(format!("value is not JSON: {e}")))
    }

    /// The headers, in order; a name may occur twice.
    pub fn headers(&self) -> Headers<'a> {
        Headers::of(self.headers)
    }

    /// The value of the first header of that name; `None` where there is none or it is null.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(n, _)| *n == name.as_bytes()).and_then(|(_, value)| value)
    }

    /// The topic that the batch was sent to.
    pub fn topic(&self) -> &'a str {
        &self.context.topic
    }

    /// The partition that the batch was sent to.
    pub fn partition(&self) -> u32 {
        self.context.partition
    }

    /// How many partitions the topic has; at least 1.
    pub fn partitions(&self) -> u32 {
        self.context.partitions
    }

    /// A number that looks random, and is the same whenever the same batch is run.
    pub fn random(&self) -> u64 {
        self.step(u64::from(self.index) + 1)
    }

    /// As [`random`](Record::random), one number for all records of the batch.
    pub fn batch_random(&self) -> u64 {
        self.step(0)
    }

    /// A step of splitmix64.
    fn step(&self, step: u64) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(step);
        let mut z = self.context.seed.wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn item<'a>(bytes: &'a [u8], ends: &[u32], i: usize) -> Result<&'a [u8], &'static str> {
    let start = match i.checked_sub(1) {
        Some(before) => *ends.get(before).ok_or("column of ends is too short")?,
        None => 0,
    };
    let end = *ends.get(i).ok_or("column of ends is too short")?;
    bytes.get(start as usize..end as usize).ok_or("column's ends lie outside it")
}

/// A record's headers: names and values, a null value as `None`.
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    rest: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Headers in the column's form.
    pub(crate) fn of(column: &'a [u8]) -> Headers<'a> {
        Headers { rest: column }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name_len, rest) = self.rest.split_first_chunk::<4>()?;
        let (value_len, rest) = rest.split_first_chunk::<4>()?;
        let value_len = u32::from_le_bytes(*value_len);
        let (name, rest) = rest.split_at_checked(u32::from_le_bytes(*name_len) as usize)?;
        if value_len == NULL_HEADER {
            self.rest = rest;
            return Some((name, None));
        }
        let (value, rest) = rest.split_at_checked(value_len as usize)?;
        self.rest = rest;
        Some((name, Some(value)))
    }
}

/// Appends one header in the column's form.
///
/// Lengths that do not fit into 32 bits cannot occur: a plugin's memory is smaller than that.
pub(crate) fn put_header(column: &mut Vec<u8>, name: &[u8], value: Option<&[u8]>) {
    column.extend_from_slice(&(name.len() as u32).to_le_bytes());
    let value_len = value.map_or(NULL_HEADER, |v| v.len() as u32);
    column.extend_from_slice(&value_len.to_le_bytes());
    column.extend_from_slice(name);
    column.extend_from_slice(value.unwrap_or_default());
}
