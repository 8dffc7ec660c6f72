//! What a transform puts out for the record at hand.
//!
//! This is the author's side; what it comes to for the node is gathered in `answer`.

use std::fmt;
use std::io;

use crate::answer::{Answer, KEEP, MAKE_NULL, REPLACE};

/// Takes what becomes of one record.
///
/// Each call puts out one record, in order. **A record for which nothing is put out is dropped.**
pub struct Output<'a> {
    pub(crate) batch: &'a mut Answer,
    pub(crate) record: u32,
    pub(crate) puts: u32,
}

impl Output<'_> {
    /// The record as it is.
    pub fn keep(&mut self) {
        self.place(KEEP, |_| {});
    }

    /// Nothing: the record is dropped. The same as calling nothing, but said.
    #[expect(clippy::should_implement_trait, reason = "the word for it in every other place")]
    pub fn drop(&mut self) {}

    /// The record with another value.
    pub fn replace_value(&mut self, value: &[u8]) {
        self.place(REPLACE, |column| column.extend_from_slice(value));
    }

    /// The record with the value that `write` writes: no buffer of one's own is needed.
    pub fn write_value<R>(&mut self, write: impl FnOnce(&mut ValueWriter<'_>) -> R) -> R {
        self.place(REPLACE, |column| {
            let start = column.len();
            write(&mut ValueWriter { column, start })
        })
    }

    /// The record with a null value.
    pub fn null_value(&mut self) {
        self.place(MAKE_NULL, |_| {});
    }

    /// A record of any form; may be called several times.
    pub fn emit(&mut self, emit: Emit<'_>) {
        self.puts += 1;
        self.batch.general().put(self.record, &emit);
    }

    fn place<R>(&mut self, tag: u8, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        self.puts += 1;
        if self.puts == 1 && self.batch.emitted.is_none() {
            return self.batch.tagged.put(tag, write);
        }
        self.batch.general().put_in_place(self.record, tag, write)
    }
}

/// Writes a value straight to where it goes.
pub struct ValueWriter<'a> {
    column: &'a mut Vec<u8>,
    start: usize,
}

impl ValueWriter<'_> {
    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) {
        self.column.extend_from_slice(bytes);
    }

    /// Appends text as a JSON string, quotes included.
    pub fn put_json_string(&mut self, text: &str) {
        crate::json::write_string(self.column, text);
    }

    /// Appends a number as JSON; one that is not finite as `null`.
    pub fn put_json_number(&mut self, number: f64) {
        crate::json::write_number(self.column, number);
    }

    /// Takes back everything written to this value.
    pub fn clear(&mut self) {
        self.column.truncate(self.start);
    }

    /// What was written so far.
    pub fn written(&self) -> &[u8] {
        &self.column[self.start..]
    }
}

impl io::Write for ValueWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Write for ValueWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}

/// A header's name and value; `None` is a null value.
pub type HeaderRef<'a> = (&'a [u8], Option<&'a [u8]>);

/// One record to put out. What is not set is the input's; topic and partition are then the
/// batch's.
#[derive(Clone, Copy, Default)]
pub struct Emit<'a> {
    pub(crate) key: Part<'a>,
    pub(crate) value: Part<'a>,
    pub(crate) headers: Option<&'a [HeaderRef<'a>]>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) topic: Option<&'a str>,
    pub(crate) partition: Option<u32>,
}

#[derive(Clone, Copy, Default)]
pub(crate) enum Part<'a> {
    #[default]
    Input,
    Null,
    Own(&'a [u8]),
}

impl<'a> Emit<'a> {
    /// The input as it is.
    pub fn input() -> Emit<'a> {
        Emit::default()
    }

    /// With this key; `None` for null.
    #[must_use]
    pub fn key(mut self, key: Option<&'a [u8]>) -> Emit<'a> {
        self.key = key.map_or(Part::Null, Part::Own);
        self
    }

    /// With this value.
    #[must_use]
    pub fn value(mut self, value: &'a [u8]) -> Emit<'a> {
        self.value = Part::Own(value);
        self
    }

    /// With a null value: a tombstone.
    #[must_use]
    pub fn null_value(mut self) -> Emit<'a> {
        self.value = Part::Null;
        self
    }

    /// With these headers, and none of the input's.
    #[must_use]
    pub fn headers(mut self, headers: &'a [HeaderRef<'a>]) -> Emit<'a> {
        self.headers = Some(headers);
        self
    }

    /// With this timestamp, in milliseconds since 1970. A plugin that sets it on some outputs only
    /// must ask for `Columns::TIMESTAMPS`.
    #[must_use]
    pub fn timestamp(mut self, millis: i64) -> Emit<'a> {
        self.timestamp = Some(millis);
        self
    }

    /// To another topic. Unless a partition is given too, its key chooses the partition there.
    #[must_use]
    pub fn topic(mut self, topic: &'a str) -> Emit<'a> {
        self.topic = Some(topic);
        self
    }

    /// To this partition of the topic.
    #[must_use]
    pub fn partition(mut self, partition: u32) -> Emit<'a> {
        self.partition = Some(partition);
        self
    }
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
