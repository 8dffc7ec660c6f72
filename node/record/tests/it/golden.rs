//! Bytes that may never change: one batch written out by hand, and one per codec as another
//! implementation's encoder (kafka-protocol, over the C libraries) wrote it, in
//! `tests/golden/record`. `TIDEGATE_WRITE_GOLDEN=1` writes those files anew.

use std::path::PathBuf;

use tidegate_record::{Batch, BuildOptions, Compression, TimestampType, set_base_offset};
use tidegate_record::{set_append_time, set_leader_epoch, set_max_timestamp};
use tidegate_types::{
    LeaderEpoch, Offset, ProducerEpoch, ProducerId, ProducerStamp, Sequence, Timestamp,
};

use crate::interop::{encode, expected};
use crate::model::{OwnedRecord, build, only, read};

/// Two records: `k` = `v1` with the headers a=1, a=null, 0xff=""; then null = null 3 ms earlier.
#[rustfmt::skip]
const BY_HAND: &[u8] = &[
    0, 0, 0, 0, 0, 0, 0x03, 0xe8,       // base offset 1000
    0, 0, 0, 76,                        // 76 bytes follow
    0, 0, 0, 5,                         // leader epoch 5
    2,                                  // magic
    0x2b, 0x22, 0x34, 0x26,             // CRC-32C of what follows
    0, 0b0001_0000,                     // transactional, not packed
    0, 0, 0, 4,                         // last offset delta 4: three offsets have no record
    0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0,  // base timestamp 1_700_000_000_000
    0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0,  // max timestamp
    0, 0, 0, 0, 0, 0, 0, 42,            // producer id
    0, 7,                               // producer epoch
    0, 0, 0, 9,                         // base sequence
    0, 0, 0, 2,                         // two records
    // the first
    19 << 1,                            // 19 bytes follow
    0,                                  // attributes
    0,                                  // timestamp delta 0
    0,                                  // offset delta 0
    1 << 1, b'k',                       // key
    2 << 1, b'v', b'1',                 // value
    3 << 1,                             // three headers
    1 << 1, b'a', 1 << 1, b'1',         // a = 1
    1 << 1, b'a', 1,                    // a = null
    1 << 1, 0xff, 0,                    // 0xff = ""
    // the second
    6 << 1,                             // 6 bytes follow
    0,                                  // attributes
    5,                                  // timestamp delta -3
    2 << 1,                             // offset delta 2
    1,                                  // null key
    1,                                  // null value
    0,                                  // no headers
];

fn by_hand() -> (BuildOptions, Vec<OwnedRecord>) {
    let options = BuildOptions {
        leader_epoch: LeaderEpoch(5),
        stamp: Some(ProducerStamp {
            id: ProducerId(42),
            epoch: ProducerEpoch(7),
            base_sequence: Sequence(9),
        }),
        base_offset: Offset(1000),
        transactional: true,
        ..BuildOptions::default()
    };
    let first = OwnedRecord {
        offset_delta: 0,
        timestamp: 1_700_000_000_000,
        key: Some(b"k".to_vec()),
        value: Some(b"v1".to_vec()),
        headers: vec![
            (b"a".to_vec(), Some(b"1".to_vec())),
            (b"a".to_vec(), None),
            (b"\xff".to_vec(), Some(Vec::new())),
        ],
    };
    let second =
        OwnedRecord { offset_delta: 2, timestamp: 1_699_999_999_997, ..OwnedRecord::default() };
    (options, vec![first, second])
}

#[test]
fn the_batch_written_by_hand_is_built() {
    let (options, records) = by_hand();
    assert_eq!(build(options, &records, 4), BY_HAND);
}

#[test]
fn the_batch_written_by_hand_is_read() {
    let (options, records) = by_hand();
    let batch = only(BY_HAND);
    assert_eq!(read(&batch).unwrap(), records);
    let header = batch.header();
    assert_eq!(header.base_offset, Offset(1000));
    assert_eq!(header.last_offset(), Offset(1004));
    assert_eq!(header.next_offset(), Offset(1005));
    assert_eq!(header.batch_len, BY_HAND.len());
    assert_eq!(header.leader_epoch, LeaderEpoch(5));
    assert_eq!(header.compression, Compression::None);
    assert_eq!(header.record_count, 2);
    assert_eq!(header.stamp(), options.stamp);
    assert_eq!(header.last_sequence(), Some(Sequence(13)));
    assert_eq!(header.base_timestamp, Timestamp(1_700_000_000_000));
    assert_eq!(header.max_timestamp, Timestamp(1_700_000_000_000));
    assert_eq!(header.delete_horizon(), None);
    assert!(header.attributes.is_transactional());
    assert!(!header.attributes.is_control());

    let mut scratch = Vec::new();
    let first = batch.body(&mut scratch).unwrap().next().unwrap().unwrap();
    assert_eq!(first.headers.len(), 3);
    assert_eq!(first.headers.last(b"a"), Some(None));
    assert_eq!(first.headers.last(b"b"), None);
    assert_eq!(first.headers.raw(), &BY_HAND[BY_HAND.len() - 17..BY_HAND.len() - 7]);
    assert_eq!(scratch.capacity(), 0, "an uncompressed body is not copied");
}

#[test]
fn offset_and_epoch_are_patched_without_touching_the_rest() {
    let mut bytes = BY_HAND.to_vec();
    set_base_offset(&mut bytes, Offset(i64::MAX - 5));
    set_leader_epoch(&mut bytes, LeaderEpoch(i32::MAX));
    assert_eq!(bytes[16..], BY_HAND[16..]);
    assert_eq!(bytes[8..12], BY_HAND[8..12]);
    let batch = only(&bytes);
    assert_eq!(batch.header().next_offset(), Offset(i64::MAX));
    assert_eq!(batch.header().leader_epoch, LeaderEpoch(i32::MAX));
}

#[test]
fn append_time_goes_to_every_record_under_a_new_crc() {
    let mut bytes = BY_HAND.to_vec();
    set_append_time(&mut bytes, Timestamp(77));
    let batch = only(&bytes);
    let header = batch.header();
    assert_eq!(header.attributes.timestamp_type(), TimestampType::LogAppendTime);
    assert!(header.attributes.is_transactional(), "the other bits stay");
    assert_eq!(header.max_timestamp, Timestamp(77));
    assert!(read(&batch).unwrap().iter().all(|record| record.timestamp == 77));
}

#[test]
fn the_latest_time_is_the_records_whatever_the_header_says() {
    let mut bytes = BY_HAND.to_vec();
    let latest = only(&bytes).header().max_timestamp;
    set_max_timestamp(&mut bytes, Timestamp(77));
    let batch = only(&bytes);
    assert_eq!(batch.header().max_timestamp, Timestamp(77), "under a right checksum");
    assert_eq!(batch.header().attributes, only(BY_HAND).header().attributes);
    assert_eq!(batch.check_times(&mut Vec::new()).unwrap(), Some(latest));
    set_max_timestamp(&mut bytes, latest);
    assert_eq!(bytes, BY_HAND);
}

fn path(codec: Compression) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/golden/record")
        .join(format!("{codec}.bin"))
}

#[test]
fn golden_files_are_read() {
    let expected = expected();
    for codec in Compression::ALL {
        let path = path(codec);
        if std::env::var_os("TIDEGATE_WRITE_GOLDEN").is_some() {
            std::fs::write(&path, encode(codec, &expected)).unwrap();
        }
        let bytes = std::fs::read(&path).unwrap();
        let batch = only(&bytes);
        assert_eq!(batch.header().compression, codec);
        assert_eq!(read(&batch).unwrap(), expected.records, "{codec}");
    }
}

#[test]
fn the_uncompressed_golden_file_is_built_byte_for_byte() {
    let bytes = std::fs::read(path(Compression::None)).unwrap();
    let expected = expected();
    assert!(build(expected.options(Compression::None), &expected.records, 0) == bytes);
}

#[test]
fn golden_files_end_to_end_are_one_run() {
    let run: Vec<u8> =
        Compression::ALL.iter().flat_map(|codec| std::fs::read(path(*codec)).unwrap()).collect();
    let codecs: Vec<Compression> = tidegate_record::Batches::new(&run)
        .map(|batch| batch.map(|batch: Batch<'_>| batch.header().compression).unwrap())
        .collect();
    assert_eq!(codecs, Compression::ALL);
}
