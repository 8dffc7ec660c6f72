//! Records on their way through a chain: slices of the batch, or of what plugins made.
//!
//! Nothing is copied between two plugins but what the next one asks for.

use std::ops::Range;

use tidegate_record::{BatchHeader, Headers, Records};
use tidegate_types::Timestamp;

use super::ApplyError;
use crate::columns::{Columns, Needs, PackedHeaders, PushError};

/// The buffers that plugins made. Spans of them stay valid: buffers are only added.
#[derive(Default, Debug)]
pub(super) struct Made(Vec<Vec<u8>>);

impl Made {
    /// The number that the next buffer gets.
    pub(super) fn next(&self) -> u32 {
        self.0.len() as u32
    }

    /// Takes a buffer.
    pub(super) fn add(&mut self, bytes: Vec<u8>) {
        self.0.push(bytes);
    }

    fn get(&self, span: Span) -> &[u8] {
        &self.0[span.buffer as usize][span.start as usize..span.end as usize]
    }
}

/// A part of one of the [`Made`] buffers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub buffer: u32,
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// A range of a buffer; columns end within 32 bits.
    pub(super) fn new(buffer: u32, range: Range<usize>) -> Span {
        Span { buffer, start: range.start as u32, end: range.end as u32 }
    }
}

/// A key or a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field<'a> {
    Null,
    Source(&'a [u8]),
    Made(Span),
}

impl<'a> Field<'a> {
    pub(super) fn get<'s>(self, made: &'s Made) -> Option<&'s [u8]>
    where
        'a: 's,
    {
        match self {
            Field::Null => None,
            Field::Source(bytes) => Some(bytes),
            Field::Made(span) => Some(made.get(span)),
        }
    }
}

impl<'a> From<Option<&'a [u8]>> for Field<'a> {
    fn from(bytes: Option<&'a [u8]>) -> Field<'a> {
        bytes.map_or(Field::Null, Field::Source)
    }
}

/// A record's headers.
#[derive(Clone, Copy, Debug)]
pub(super) enum HeaderField<'a> {
    Source(Headers<'a>),
    Made(Span),
}

/// Where a record goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// To the partition that its batch was sent to.
    Stay,
    /// To another partition of the same topic.
    Partition(u32),
    /// To another topic, by its number, as the step of the chain chose.
    Topic { topic: u32, partition: Option<u32>, stage: usize },
}

/// A record on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    /// The index of the record that it comes from.
    pub origin: u32,
    /// That record's offset less its batch's.
    pub offset_delta: i32,
    pub timestamp: Timestamp,
    pub key: Field<'a>,
    pub value: Field<'a>,
    pub headers: HeaderField<'a>,
    pub target: Target,
    /// Whether it is not what it was.
    pub changed: bool,
}

/// Makes items of all records of a batch.
pub(super) fn read<'s>(
    header: &BatchHeader,
    records: Records<'s>,
) -> Result<Vec<Item<'s>>, ApplyError> {
    let mut items = Vec::with_capacity(header.record_count as usize);
    for record in records {
        let record = record?;
        items.push(Item {
            origin: items.len() as u32,
            offset_delta: record.offset_delta,
            timestamp: header.timestamp_of(&record),
            key: record.key.into(),
            value: record.value.into(),
            headers: HeaderField::Source(record.headers),
            target: Target::Stay,
            changed: false,
        });
    }
    Ok(items)
}

/// Lays the records of a batch out as the columns that a plugin needs, with no item made.
pub(super) fn gather_source(
    columns: &mut Columns,
    needs: Needs,
    header: &BatchHeader,
    records: Records<'_>,
) -> Result<(), ApplyError> {
    columns.clear(needs);
    for record in records {
        let record = record?;
        let timestamp = header.timestamp_of(&record);
        columns
            .push(timestamp, record.key, record.value, record.headers)
            .map_err(|error| ApplyError::TooMuch { what: error.to_string() })?;
    }
    Ok(())
}

/// Lays records out as the columns that a plugin needs.
pub(super) fn gather(
    columns: &mut Columns,
    needs: Needs,
    items: &[Item<'_>],
    made: &Made,
) -> Result<(), PushError> {
    columns.clear(needs);
    for item in items {
        let (key, value) = (item.key.get(made), item.value.get(made));
        match item.headers {
            HeaderField::Source(headers) => {
                columns.push(item.timestamp, key, value, headers)?;
            }
            HeaderField::Made(span) => {
                columns.push_packed(item.timestamp, key, value, made.get(span))?;
            }
        }
    }
    Ok(())
}

impl Item<'_> {
    /// About what it takes in a batch.
    pub(super) fn size(&self, made: &Made) -> usize {
        let field = |field: Field<'_>| field.get(made).map_or(0, <[u8]>::len);
        let headers = match self.headers {
            HeaderField::Source(headers) => headers.raw().len(),
            HeaderField::Made(span) => made.get(span).len(),
        };
        field(self.key) + field(self.value) + headers
    }
}

/// The headers of a [`HeaderField::Made`].
pub(super) fn packed(span: Span, made: &Made) -> PackedHeaders<'_> {
    PackedHeaders::new(made.get(span))
}
