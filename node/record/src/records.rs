//! The records of a batch's body, read where they lie.

use std::fmt;
use std::iter::FusedIterator;

use tidegate_types::limits::MAX_RECORD_HEADERS;

use crate::varint::{take_i32, take_i64};
use crate::{BatchError, BatchHeader, RecordError};

/// One record, borrowed from its batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// Its offset less the batch's base offset.
    pub offset_delta: i32,
    /// Its timestamp less the batch's base timestamp; [`BatchHeader::timestamp_of`] knows the
    /// time meant.
    pub timestamp_delta: i64,
    /// Its key; `None` for null.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` for null, a tombstone on a compacted topic.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers<'a>,
}

/// The records of one batch, in order. Ends after the first error, and checks at the end that
/// nothing is left over.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    next_index: u32,
    count: u32,
    next_delta: i64,
    last_offset_delta: i32,
}

impl<'a> Records<'a> {
    pub(crate) fn new(body: &'a [u8], header: &BatchHeader) -> Records<'a> {
        Records {
            rest: body,
            next_index: 0,
            count: header.record_count,
            next_delta: 0,
            last_offset_delta: header.last_offset_delta,
        }
    }

    #[inline(always)]
    fn take(&mut self) -> Result<Record<'a>, RecordError> {
        let mut fields = take_bytes(&mut self.rest, "body")?;
        // Attributes: no bit of them has a meaning yet.
        let Some((_, after)) = fields.split_first() else {
            return Err(RecordError::Number { field: "attributes" });
        };
        fields = after;
        let timestamp_delta =
            take_i64(&mut fields).ok_or(RecordError::Number { field: "timestamp delta" })?;
        let offset_delta =
            take_i32(&mut fields).ok_or(RecordError::Number { field: "offset delta" })?;
        if i64::from(offset_delta) < self.next_delta || offset_delta > self.last_offset_delta {
            return Err(RecordError::OffsetDelta {
                delta: offset_delta,
                min: self.next_delta,
                max: self.last_offset_delta,
            });
        }
        let key = take_nullable(&mut fields, "key")?;
        let value = take_nullable(&mut fields, "value")?;
        let headers = Headers::take(fields)?;
        self.next_delta = i64::from(offset_delta) + 1;
        Ok(Record { offset_delta, timestamp_delta, key, value, headers })
    }

    /// Ends the iteration. Apart from the path of a sound record, which stays short so.
    #[cold]
    fn fail(&mut self, error: BatchError) -> BatchError {
        self.next_index = self.count;
        self.rest = &[];
        error
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, BatchError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.next_index == self.count {
            if self.rest.is_empty() {
                return None;
            }
            let error = BatchError::Leftover { bytes: self.rest.len(), count: self.count };
            return Some(Err(self.fail(error)));
        }
        match self.take() {
            Ok(record) => {
                self.next_index += 1;
                Some(Ok(record))
            }
            Err(source) => {
                let (index, count) = (self.next_index, self.count);
                Some(Err(self.fail(BatchError::Record { index, count, source })))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // One error at least may stand in for what is left, and one may follow the last record.
        let left = (self.count - self.next_index) as usize;
        (usize::from(left > 0 || !self.rest.is_empty()), Some(left + 1))
    }
}

impl FusedIterator for Records<'_> {}

/// A record's headers: names with values, in order. Names may repeat and need not be UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    /// Exactly `count` well-formed headers: checked when the record was read.
    raw: &'a [u8],
    count: u32,
}

impl<'a> Headers<'a> {
    /// No headers.
    pub const EMPTY: Headers<'static> = Headers { raw: &[], count: 0 };

    /// Takes the count and then that many headers, which must use up `fields`.
    #[inline(always)]
    fn take(fields: &'a [u8]) -> Result<Headers<'a>, RecordError> {
        // A record without headers ends in the count 0.
        if let [0] = *fields { Ok(Headers::EMPTY) } else { Headers::walk(fields) }
    }

    fn walk(mut fields: &'a [u8]) -> Result<Headers<'a>, RecordError> {
        let count = take_i32(&mut fields).ok_or(RecordError::Number { field: "header count" })?;
        let left = fields.len();
        // A header takes two bytes at least.
        if count < 0 || count as u32 > MAX_RECORD_HEADERS || count as usize > left / 2 {
            return Err(RecordError::HeaderCount { count, left, max: MAX_RECORD_HEADERS });
        }
        let raw = fields;
        for _ in 0..count {
            take_bytes(&mut fields, "header name")?;
            take_nullable(&mut fields, "header value")?;
        }
        if !fields.is_empty() {
            return Err(RecordError::Leftover { bytes: fields.len() });
        }
        Ok(Headers { raw, count: count as u32 })
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers as they lie in the record, without their count.
    #[must_use]
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Each name with its value.
    #[must_use]
    pub const fn iter(&self) -> HeadersIter<'a> {
        HeadersIter { rest: self.raw, left: self.count }
    }

    /// The value of the last header of that name, as Kafka's `lastHeader`; the inner `None` is a
    /// null value.
    #[must_use]
    pub fn last(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.iter().filter(|(found, _)| *found == name).last().map(|(_, value)| value)
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);
    type IntoIter = HeadersIter<'a>;

    fn into_iter(self) -> HeadersIter<'a> {
        self.iter()
    }
}

/// Iterates over [`Headers`].
#[derive(Clone, Debug)]
pub struct HeadersIter<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        // Neither can fail: `Headers::take` has read the same bytes.
        let name = take_bytes(&mut self.rest, "header name").ok()?;
        let value = take_nullable(&mut self.rest, "header value").ok()?;
        Some((name, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for HeadersIter<'_> {}
impl FusedIterator for HeadersIter<'_> {}

/// Takes a length and that many bytes.
#[inline(always)]
fn take_bytes<'a>(buf: &mut &'a [u8], field: &'static str) -> Result<&'a [u8], RecordError> {
    let len = take_i32(buf).ok_or(RecordError::Number { field })?;
    split(buf, len, field)
}

/// Takes a length and that many bytes, or null for -1.
#[inline(always)]
fn take_nullable<'a>(
    buf: &mut &'a [u8],
    field: &'static str,
) -> Result<Option<&'a [u8]>, RecordError> {
    let len = take_i32(buf).ok_or(RecordError::Number { field })?;
    if len == -1 { Ok(None) } else { split(buf, len, field).map(Some) }
}

#[inline(always)]
fn split<'a>(buf: &mut &'a [u8], len: i32, field: &'static str) -> Result<&'a [u8], RecordError> {
    let taken = usize::try_from(len).ok().and_then(|len| buf.split_at_checked(len));
    let Some((head, tail)) = taken else {
        return Err(RecordError::Length { field, len, left: buf.len() });
    };
    *buf = tail;
    Ok(head)
}
