//! A plain, owned picture of a batch, to compare what was written with what is read.

use tidegate_record::{Batch, BatchBuilder, BatchError, BuildOptions, Records};
use tidegate_types::Timestamp;

pub type OwnedHeader = (Vec<u8>, Option<Vec<u8>>);

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OwnedRecord {
    pub offset_delta: i32,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<OwnedHeader>,
}

impl OwnedRecord {
    pub fn borrowed_headers(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref()))
    }
}

pub fn build(options: BuildOptions, records: &[OwnedRecord], last_offset_delta: i32) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    push_all(&mut builder, records);
    builder.set_last_offset_delta(last_offset_delta);
    builder.build().unwrap()
}

pub fn push_all(builder: &mut BatchBuilder, records: &[OwnedRecord]) {
    for r in records {
        builder
            .push_at(
                r.offset_delta,
                Timestamp(r.timestamp),
                r.key.as_deref(),
                r.value.as_deref(),
                r.borrowed_headers(),
            )
            .unwrap();
    }
}

/// The one batch in `bytes`, with nothing after it.
pub fn only(bytes: &[u8]) -> Batch<'_> {
    let (batch, rest) = Batch::parse(bytes).unwrap();
    assert!(rest.is_empty(), "{} bytes follow the batch", rest.len());
    batch
}

pub fn read(batch: &Batch<'_>) -> Result<Vec<OwnedRecord>, BatchError> {
    let mut scratch = Vec::new();
    let records: Records<'_> = batch.body(&mut scratch)?;
    records
        .map(|record| {
            let record = record?;
            Ok(OwnedRecord {
                offset_delta: record.offset_delta,
                timestamp: batch.header().timestamp_of(&record).0,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record
                    .headers
                    .iter()
                    .map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec)))
                    .collect(),
            })
        })
        .collect()
}
