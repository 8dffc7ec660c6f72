//! Records laid out as the columns that a plugin is given.
//!
//! The buffers are reused from batch to batch; only columns that the plugin asked for are filled.
//! Nothing is decoded or checked here: records come from `tidegate-record` or from a plugin's own,
//! already checked, output.

use std::mem;
use std::ops::{BitOr, BitOrAssign};

use tidegate_types::Timestamp;
use tidegate_types::limits::MAX_BATCH_RECORDS;

use crate::abi;

/// A value length that stands for a null header value.
pub(crate) const NULL_HEADER: u32 = u32::MAX;
/// The bits of the nulls column.
pub(crate) const NULL_KEY: u8 = 1;
/// See [`NULL_KEY`].
pub(crate) const NULL_VALUE: u8 = 2;

/// Which parts of a record a plugin reads.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Needs(u8);

impl Needs {
    /// Nothing but how many records there are.
    pub const NONE: Needs = Needs(0);
    /// Timestamps.
    pub const TIMESTAMPS: Needs = Needs(1);
    /// Keys.
    pub const KEYS: Needs = Needs(2);
    /// Values.
    pub const VALUES: Needs = Needs(4);
    /// Headers.
    pub const HEADERS: Needs = Needs(8);
    /// Everything.
    pub const ALL: Needs = Needs(15);

    /// Whether all of `other` is among these.
    #[must_use]
    pub const fn contains(self, other: Needs) -> bool {
        self.0 & other.0 == other.0
    }

    const fn any(self, other: Needs) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Needs {
    type Output = Needs;
    fn bitor(self, other: Needs) -> Needs {
        Needs(self.0 | other.0)
    }
}

impl BitOrAssign for Needs {
    fn bitor_assign(&mut self, other: Needs) {
        self.0 |= other.0;
    }
}

impl From<abi::WantedColumns> for Needs {
    fn from(wanted: abi::WantedColumns) -> Needs {
        let mut needs = Needs::NONE;
        for (flag, need) in [
            (abi::WantedColumns::TIMESTAMPS, Needs::TIMESTAMPS),
            (abi::WantedColumns::KEYS, Needs::KEYS),
            (abi::WantedColumns::VALUES, Needs::VALUES),
            (abi::WantedColumns::HEADERS, Needs::HEADERS),
        ] {
            if wanted & flag == flag {
                needs |= need;
            }
        }
        needs
    }
}

/// Why a record was not taken into the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The batch has as many records as a batch may have.
    #[error("a batch for a plugin holds at most {MAX_BATCH_RECORDS} records")]
    TooManyRecords,
    /// A column would outgrow the 32 bits of its ends.
    #[error("the {column} of a batch for a plugin must stay below 4 GiB")]
    TooManyBytes {
        /// Which column.
        column: &'static str,
    },
}

/// One batch as columns.
#[derive(Default, Debug)]
pub struct Columns {
    needs: Needs,
    batch: abi::Batch,
}

impl Columns {
    /// No records, asking for nothing.
    #[must_use]
    pub fn new() -> Columns {
        Columns::default()
    }

    /// Forgets the records, keeps the memory, and from now on takes what `needs` names.
    pub fn clear(&mut self, needs: Needs) {
        self.needs = needs;
        let b = &mut self.batch;
        b.count = 0;
        b.timestamps.clear();
        for bytes in [&mut b.keys, &mut b.values, &mut b.headers, &mut b.nulls] {
            bytes.clear();
        }
        for ends in [&mut b.key_ends, &mut b.value_ends, &mut b.header_ends] {
            ends.clear();
        }
    }

    /// The parts that are taken.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.batch.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.count == 0
    }

    /// Adds a record; what the plugin does not need is left out.
    ///
    /// # Errors
    /// If the batch is full. It is then to be cleared: the record may be half in it.
    pub fn push<'a>(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), PushError> {
        if self.needs.contains(Needs::HEADERS) {
            let column = &mut self.batch.headers;
            for (name, value) in headers {
                write_header(column, name, value)?;
            }
        }
        self.push_parts(timestamp, key, value)
    }

    /// Adds a record whose headers are already in the form of the headers column.
    ///
    /// # Errors
    /// As [`Columns::push`].
    pub fn push_packed(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[u8],
    ) -> Result<(), PushError> {
        if self.needs.contains(Needs::HEADERS) {
            self.batch.headers.extend_from_slice(headers);
        }
        self.push_parts(timestamp, key, value)
    }

    #[inline]
    fn push_parts(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), PushError> {
        let needs = self.needs;
        let b = &mut self.batch;
        if b.count >= MAX_BATCH_RECORDS {
            return Err(PushError::TooManyRecords);
        }
        b.count += 1;
        let mut nulls = 0;
        if needs.contains(Needs::TIMESTAMPS) {
            b.timestamps.push(timestamp.millis());
        }
        if needs.contains(Needs::KEYS) {
            match key {
                Some(key) => b.keys.extend_from_slice(key),
                None => nulls |= NULL_KEY,
            }
            b.key_ends.push(end(&b.keys, "keys")?);
        }
        if needs.contains(Needs::VALUES) {
            match value {
                Some(value) => b.values.extend_from_slice(value),
                None => nulls |= NULL_VALUE,
            }
            b.value_ends.push(end(&b.values, "values")?);
        }
        if needs.contains(Needs::HEADERS) {
            b.header_ends.push(end(&b.headers, "headers")?);
        }
        if needs.any(Needs(Needs::KEYS.0 | Needs::VALUES.0)) {
            b.nulls.push(nulls);
        }
        Ok(())
    }

    /// Lends the columns out for a call; [`Columns::give_back`] returns their memory.
    pub(crate) fn take(&mut self) -> abi::Batch {
        mem::take(&mut self.batch)
    }

    /// Takes back what [`Columns::take`] lent.
    pub(crate) fn give_back(&mut self, batch: abi::Batch) {
        self.batch = batch;
    }
}

#[inline]
fn end(bytes: &[u8], column: &'static str) -> Result<u32, PushError> {
    u32::try_from(bytes.len()).map_err(|_| PushError::TooManyBytes { column })
}

fn write_header(column: &mut Vec<u8>, name: &[u8], value: Option<&[u8]>) -> Result<(), PushError> {
    let too_long = PushError::TooManyBytes { column: "headers" };
    let name_len = u32::try_from(name.len()).map_err(|_| too_long)?;
    let value_len = match value {
        Some(value) => match u32::try_from(value.len()) {
            Ok(len) if len != NULL_HEADER => len,
            _ => return Err(too_long),
        },
        None => NULL_HEADER,
    };
    let lengths = u64::from(name_len) | u64::from(value_len) << 32;
    column.extend_from_slice(&lengths.to_le_bytes());
    column.extend_from_slice(name);
    column.extend_from_slice(value.unwrap_or_default());
    Ok(())
}

/// The headers of one item of a headers column; ends early at an item that is cut short.
#[derive(Clone, Copy, Debug)]
pub struct PackedHeaders<'a> {
    rest: &'a [u8],
}

impl<'a> PackedHeaders<'a> {
    /// Reads `item`, one item of a headers column.
    #[must_use]
    pub fn new(item: &'a [u8]) -> PackedHeaders<'a> {
        PackedHeaders { rest: item }
    }

    /// How many headers there are, or `None` if the item is not well formed.
    #[must_use]
    pub fn validate(mut self) -> Option<usize> {
        let mut count = 0;
        while !self.rest.is_empty() {
            self.read()?;
            count += 1;
        }
        Some(count)
    }

    fn read(&mut self) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        let (name_len, rest) = self.rest.split_first_chunk::<4>()?;
        let (value_len, rest) = rest.split_first_chunk::<4>()?;
        let (name, rest) = rest.split_at_checked(u32::from_le_bytes(*name_len) as usize)?;
        let value_len = u32::from_le_bytes(*value_len);
        let (value, rest) = if value_len == NULL_HEADER {
            (None, rest)
        } else {
            let (value, rest) = rest.split_at_checked(value_len as usize)?;
            (Some(value), rest)
        };
        self.rest = rest;
        Some((name, value))
    }
}

impl<'a> Iterator for PackedHeaders<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_is_needed_is_taken() {
        let mut columns = Columns::new();
        columns.clear(Needs::VALUES);
        let header: (&[u8], Option<&[u8]>) = (b"h", Some(b"x"));
        columns.push(Timestamp(7), Some(b"k"), Some(b"abc"), [header]).unwrap();
        columns.push(Timestamp(8), Some(b"k"), None, [header]).unwrap();
        let batch = columns.take();
        assert_eq!(batch.count, 2);
        assert_eq!(
            (batch.values.as_slice(), batch.value_ends.as_slice()),
            (&b"abc"[..], &[3, 3][..])
        );
        assert_eq!(batch.nulls, [0, NULL_VALUE]);
        assert!(batch.timestamps.is_empty() && batch.keys.is_empty() && batch.key_ends.is_empty());
        assert!(batch.headers.is_empty() && batch.header_ends.is_empty());
    }

    #[test]
    fn a_batch_takes_no_more_records_than_a_batch_may_have() {
        let mut columns = Columns::new();
        for _ in 0..MAX_BATCH_RECORDS {
            columns.push(Timestamp(0), None, None, []).unwrap();
        }
        assert_eq!(columns.push(Timestamp(0), None, None, []), Err(PushError::TooManyRecords));
    }

    type OwnedHeader = (Vec<u8>, Option<Vec<u8>>);

    proptest! {
        #[test]
        fn headers_round_trip(headers: Vec<OwnedHeader>) {
            let mut packed = Vec::new();
            for (name, value) in &headers {
                write_header(&mut packed, name, value.as_deref()).unwrap();
            }
            prop_assert_eq!(PackedHeaders::new(&packed).validate(), Some(headers.len()));
            let back: Vec<OwnedHeader> = PackedHeaders::new(&packed)
                .map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec)))
                .collect();
            prop_assert_eq!(back, headers);
        }

        #[test]
        fn arbitrary_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let read: usize = PackedHeaders::new(&bytes)
                .map(|(name, value)| 8 + name.len() + value.map_or(0, <[u8]>::len))
                .sum();
            let valid = PackedHeaders::new(&bytes).validate().is_some();
            prop_assert_eq!(valid, read == bytes.len());
        }
    }
}
