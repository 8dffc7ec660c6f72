//! Both ways between this crate and kafka-protocol, whose codecs are other libraries.
//!
//! Its decoder collapses header names that repeat and refuses those that are not UTF-8, so the
//! records here have neither.

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression as TheirCompression, Record as TheirRecord, RecordBatchDecoder, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType as TheirTimestampType,
};
use tidegate_record::{BuildOptions, Compression};
use tidegate_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, ProducerStamp, Sequence};

use crate::model::{OwnedRecord, build, only, read};

/// One batch that both sides can say.
pub struct Expected {
    pub records: Vec<OwnedRecord>,
    base_offset: i64,
    stamp: ProducerStamp,
    epoch: LeaderEpoch,
}

impl Expected {
    pub fn options(&self, compression: Compression) -> BuildOptions {
        BuildOptions {
            compression,
            leader_epoch: self.epoch,
            stamp: Some(self.stamp),
            base_offset: Offset(self.base_offset),
            ..BuildOptions::default()
        }
    }
}

/// 300 records, a few of them large: more than one block of any codec's.
pub fn expected() -> Expected {
    let records = (0..300u32)
        .map(|i| OwnedRecord {
            offset_delta: i as i32,
            timestamp: 1_700_000_000_000 + i64::from(i * i * 50),
            key: (i % 3 != 0).then(|| format!("sensor-{}", i % 17).into_bytes()),
            value: match i % 5 {
                0 => None,
                1 => Some(Vec::new()),
                // Some noise, so that blocks hold literals as well as matches.
                2 => Some((0..i % 60).map(|j| (j.wrapping_mul(i) ^ (j >> 3)) as u8).collect()),
                _ if i % 71 == 3 => Some(format!("reading {i} ").repeat(3_000).into_bytes()),
                _ => Some(format!("reading {i}").into_bytes()),
            },
            headers: (0..i % 4)
                .map(|h| (format!("h{h}").into_bytes(), (h != 2).then(|| vec![h as u8; 3])))
                .collect(),
        })
        .collect();
    Expected {
        records,
        base_offset: 5_000_000_000,
        stamp: ProducerStamp {
            id: ProducerId(77),
            epoch: ProducerEpoch(3),
            base_sequence: Sequence(1_000),
        },
        epoch: LeaderEpoch(12),
    }
}

fn theirs(codec: Compression) -> TheirCompression {
    match codec {
        Compression::None => TheirCompression::None,
        Compression::Gzip => TheirCompression::Gzip,
        Compression::Snappy => TheirCompression::Snappy,
        Compression::Lz4 => TheirCompression::Lz4,
        Compression::Zstd => TheirCompression::Zstd,
    }
}

fn their_records(expected: &Expected) -> Vec<TheirRecord> {
    let bytes = |b: &Option<Vec<u8>>| b.clone().map(Bytes::from);
    expected
        .records
        .iter()
        .map(|r| TheirRecord {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: expected.epoch.0,
            producer_id: expected.stamp.id.0,
            producer_epoch: expected.stamp.epoch.0,
            timestamp_type: TheirTimestampType::Creation,
            offset: expected.base_offset + i64::from(r.offset_delta),
            sequence: expected.stamp.base_sequence.0 + r.offset_delta,
            timestamp: r.timestamp,
            key: bytes(&r.key),
            value: bytes(&r.value),
            headers: r
                .headers
                .iter()
                .map(|(name, value)| {
                    let name = String::from_utf8(name.clone()).unwrap();
                    (StrBytes::from_string(name), bytes(value))
                })
                .collect::<IndexMap<_, _>>(),
        })
        .collect()
}

/// The batch as their encoder writes it.
pub fn encode(codec: Compression, expected: &Expected) -> Vec<u8> {
    let mut out = BytesMut::new();
    let records = their_records(expected);
    let options = RecordEncodeOptions { version: 2, compression: theirs(codec) };
    RecordBatchEncoder::encode(&mut out, &records, &options).unwrap();
    out.to_vec()
}

#[test]
fn we_read_what_they_write() {
    let expected = expected();
    for codec in Compression::ALL {
        let bytes = encode(codec, &expected);
        let batch = only(&bytes);
        let header = batch.header();
        assert_eq!(header.compression, codec);
        assert_eq!(header.stamp(), Some(expected.stamp));
        assert_eq!(header.leader_epoch, expected.epoch);
        assert_eq!(header.base_offset, Offset(expected.base_offset));
        assert_eq!(read(&batch).unwrap(), expected.records, "{codec}");
        tidegate_record::validate_produced(&batch).unwrap();
    }
}

#[test]
fn they_read_what_we_write() {
    let expected = expected();
    for codec in Compression::ALL {
        let bytes = build(expected.options(codec), &expected.records, 0);
        let mut buf = Bytes::from(bytes);
        let set = RecordBatchDecoder::decode(&mut buf).unwrap();
        assert_eq!(set.compression, theirs(codec));
        assert_eq!(set.records, their_records(&expected), "{codec}");
        assert!(buf.is_empty());
    }
}

#[test]
fn uncompressed_batches_are_the_same_bytes() {
    let expected = expected();
    let ours = build(expected.options(Compression::None), &expected.records, 0);
    assert!(ours == encode(Compression::None, &expected));
}
