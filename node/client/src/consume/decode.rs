//! Pushed batches, taken apart into records that own their bytes.
//!
//! An uncompressed batch's records share the frame that they came in; a compressed one's share
//! what it was unpacked to. Nothing is copied twice.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use tidegate_record::{Batch, BatchError, Batches, Compression};
use tidegate_types::{Offset, PartitionId, Timestamp};

/// Name and value of a header.
pub type Header = (Bytes, Option<Bytes>);

/// A record as it was consumed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumedRecord {
    /// Its partition.
    pub partition: PartitionId,
    /// Its offset there.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Its headers, in order, repeated names kept.
    pub headers: Vec<Header>,
}

/// Appends the records of `payload` with offsets in `wanted` to `out`.
///
/// # Errors
/// If a batch is damaged; the records before it have been appended.
pub(super) fn records(
    partition: PartitionId,
    payload: &Bytes,
    wanted: Range<Offset>,
    out: &mut VecDeque<ConsumedRecord>,
) -> Result<(), BatchError> {
    for batch in Batches::new(payload) {
        let batch = batch?;
        let header = batch.header();
        if header.attributes.is_control()
            || header.next_offset() <= wanted.start
            || header.base_offset >= wanted.end
        {
            continue;
        }
        let mut unpacked = Vec::new();
        let (places, failed) = places(&batch, &mut unpacked, &wanted);
        let shared = match header.compression {
            Compression::None => payload.clone(),
            _ => Bytes::from(unpacked),
        };
        out.extend(places.into_iter().map(|place| place.cut(partition, &shared)));
        if let Some(error) = failed {
            return Err(error);
        }
    }
    Ok(())
}

/// Address and length of a part: what it lies in can only be shared once it is whole, and by then
/// no slice of it may be held.
#[derive(Clone, Copy)]
struct Part {
    address: usize,
    len: usize,
}

impl Part {
    fn of(bytes: &[u8]) -> Part {
        Part { address: bytes.as_ptr().addr(), len: bytes.len() }
    }

    fn cut(self, shared: &Bytes) -> Bytes {
        // Empty parts need not lie anywhere.
        if self.len == 0 {
            return Bytes::new();
        }
        let start = self.address - shared.as_ptr().addr();
        shared.slice(start..start + self.len)
    }
}

struct Place {
    offset: Offset,
    timestamp: Timestamp,
    key: Option<Part>,
    value: Option<Part>,
    headers: Vec<(Part, Option<Part>)>,
}

impl Place {
    fn cut(self, partition: PartitionId, shared: &Bytes) -> ConsumedRecord {
        ConsumedRecord {
            partition,
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.map(|part| part.cut(shared)),
            value: self.value.map(|part| part.cut(shared)),
            headers: self
                .headers
                .into_iter()
                .map(|(name, value)| (name.cut(shared), value.map(|part| part.cut(shared))))
                .collect(),
        }
    }
}

/// Where the wanted records lie, up to the first damaged one.
fn places(
    batch: &Batch<'_>,
    unpacked: &mut Vec<u8>,
    wanted: &Range<Offset>,
) -> (Vec<Place>, Option<BatchError>) {
    let header = batch.header();
    let mut places = Vec::with_capacity(header.record_count as usize);
    let records = match batch.body(unpacked) {
        Ok(records) => records,
        Err(error) => return (places, Some(error)),
    };
    for record in records {
        let record = match record {
            Ok(record) => record,
            Err(error) => return (places, Some(error)),
        };
        let offset = header.offset_of(&record);
        if wanted.contains(&offset) {
            places.push(Place {
                offset,
                timestamp: header.timestamp_of(&record),
                key: record.key.map(Part::of),
                value: record.value.map(Part::of),
                headers: record
                    .headers
                    .iter()
                    .map(|(name, value)| (Part::of(name), value.map(Part::of)))
                    .collect(),
            });
        }
    }
    (places, None)
}

#[cfg(test)]
mod tests {
    use tidegate_record::{BatchBuilder, BuildOptions};

    use super::*;

    fn batch(compression: Compression, base: i64, values: &[&str]) -> Vec<u8> {
        let options =
            BuildOptions { compression, base_offset: Offset(base), ..BuildOptions::default() };
        let mut builder = BatchBuilder::new(options);
        for (i, value) in values.iter().enumerate() {
            let headers = [(&b"h"[..], Some(&b"1"[..])), (b"h", None), (b"", Some(b""))];
            let key = (i % 2 == 0).then_some(&b"key"[..]);
            let value = (!value.is_empty()).then_some(value.as_bytes());
            builder.push(Timestamp(1_000 + i as i64), key, value, headers).unwrap();
        }
        builder.build().unwrap()
    }

    #[test]
    fn records_of_every_codec_come_out_as_they_went_in() {
        for compression in [
            Compression::None,
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ] {
            let mut run = batch(compression, 10, &["a", "", "ccc"]);
            run.extend(batch(compression, 20, &["d"]));
            let mut out = VecDeque::new();
            let wanted = Offset(0)..Offset(i64::MAX);
            records(PartitionId(3), &Bytes::from(run), wanted, &mut out).unwrap();
            let offsets: Vec<_> = out.iter().map(|r| r.offset.get()).collect();
            assert_eq!(offsets, [10, 11, 12, 20], "{compression}");
            assert_eq!(out[0].key.as_deref(), Some(&b"key"[..]));
            assert_eq!(out[1].key, None);
            assert_eq!(out[1].value, None);
            assert_eq!(out[2].value.as_deref(), Some(&b"ccc"[..]));
            assert_eq!(out[2].timestamp, Timestamp(1_002));
            assert_eq!(out[3].partition, PartitionId(3));
            let h = Bytes::from_static(b"h");
            let headers = [
                (h.clone(), Some(Bytes::from_static(b"1"))),
                (h, None),
                (Bytes::new(), Some(Bytes::new())),
            ];
            assert_eq!(out[3].headers, headers);
        }
    }

    #[test]
    fn only_wanted_offsets_come_out() {
        let mut run = batch(Compression::Lz4, 10, &["a", "b", "c"]);
        run.extend(batch(Compression::None, 13, &["d", "e"]));
        let mut out = VecDeque::new();
        records(PartitionId(0), &Bytes::from(run), Offset(12)..Offset(14), &mut out).unwrap();
        let offsets: Vec<_> = out.iter().map(|r| r.offset.get()).collect();
        assert_eq!(offsets, [12, 13]);
    }

    #[test]
    fn damage_is_told_after_what_came_before_it() {
        let mut run = batch(Compression::None, 0, &["a"]);
        let good = run.len();
        run.extend(batch(Compression::None, 1, &["b"]));
        run[good + 70] ^= 1;
        let mut out = VecDeque::new();
        let wanted = Offset(0)..Offset(9);
        assert!(records(PartitionId(0), &Bytes::from(run), wanted, &mut out).is_err());
        assert_eq!(out.len(), 1);
    }
}
