//! Batches that claim what is not so, under a right CRC, and batches at the limits.

use tidegate_record::{
    Batch, BatchBuilder, BatchError, BatchHeader, BuildError, BuildOptions, Compression,
    DecompressError, HEADER_LEN, ProducedError, PushError, RecordError, peek_len, set_append_time,
    validate_produced,
};
use tidegate_types::limits::{
    MAX_BATCH, MAX_BATCH_RECORDS, MAX_BATCH_UNCOMPRESSED, MAX_RECORD_HEADERS,
};
use tidegate_types::{Offset, ProducerEpoch, ProducerId, ProducerStamp, Sequence, Timestamp};

use crate::model::{OwnedRecord, build, only, read};

const LENGTH: usize = 8;
const MAGIC: usize = 16;
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const PRODUCER_ID: usize = 43;
const PRODUCER_EPOCH: usize = 51;
const BASE_SEQUENCE: usize = 53;
const RECORD_COUNT: usize = 57;

fn small() -> Vec<u8> {
    let record = OwnedRecord { value: Some(b"v".to_vec()), ..OwnedRecord::default() };
    build(BuildOptions::default(), &[record], 0)
}

fn patched<const N: usize>(mut batch: Vec<u8>, at: usize, value: [u8; N]) -> Vec<u8> {
    batch[at..at + N].copy_from_slice(&value);
    sealed(batch)
}

/// Length and CRC made right.
fn sealed(mut batch: Vec<u8>) -> Vec<u8> {
    let len = i32::try_from(batch.len() - 12).unwrap();
    batch[LENGTH..LENGTH + 4].copy_from_slice(&len.to_be_bytes());
    let crc = crc_fast::crc32_iscsi(&batch[ATTRIBUTES..]);
    batch[CRC..CRC + 4].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// A batch of `count` records with this body.
fn with_body(count: i32, body: &[u8]) -> Vec<u8> {
    let mut batch = small();
    batch.truncate(HEADER_LEN);
    batch.extend_from_slice(body);
    let last = (count - 1).max(0);
    patched(
        patched(batch, RECORD_COUNT, count.to_be_bytes()),
        LAST_OFFSET_DELTA,
        last.to_be_bytes(),
    )
}

fn record_error(body: &[u8]) -> RecordError {
    let batch = with_body(1, body);
    match read(&only(&batch)) {
        Err(BatchError::Record { index: 0, count: 1, source }) => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn lengths_outside_the_limits_are_refused_at_once() {
    let with_length = |len: i32| {
        let mut prefix = vec![0; 12];
        prefix[LENGTH..].copy_from_slice(&len.to_be_bytes());
        prefix
    };
    let max = MAX_BATCH.as_usize() as i32 - 12;
    for bad in [i32::MIN, -1, 0, 48, max + 1, i32::MAX] {
        let error = peek_len(&with_length(bad)).unwrap_err();
        assert!(matches!(error, BatchError::Length { .. }), "{bad}: {error}");
    }
    assert_eq!(peek_len(&with_length(49)).unwrap(), Some(HEADER_LEN));
    assert_eq!(peek_len(&with_length(max)).unwrap(), Some(MAX_BATCH.as_usize()));
    assert_eq!(peek_len(&[0xff; 11]).unwrap(), None);
}

#[test]
fn other_formats_are_named_even_when_they_are_short() {
    let mut old = small();
    old[MAGIC] = 1;
    for len in [MAGIC + 1, old.len()] {
        let error = BatchHeader::parse(&old[..len]).unwrap_err();
        assert!(matches!(error, BatchError::Magic { found: 1 }), "{error}");
    }
    assert!(BatchHeader::parse(&old[..MAGIC]).unwrap_err().is_truncated());
}

#[test]
fn counts_that_cannot_be_are_refused() {
    for count in [-1, i32::MIN, 2, i32::MAX, MAX_BATCH_RECORDS as i32 + 1] {
        let batch = patched(small(), RECORD_COUNT, count.to_be_bytes());
        let roomy = patched(batch, LAST_OFFSET_DELTA, i32::MAX.to_be_bytes());
        let error = Batch::parse(&roomy).unwrap_err();
        assert!(matches!(error, BatchError::RecordCount { .. }), "{count}: {error}");
    }
    // More records than offsets.
    let two = [12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 2, 1, 1, 0];
    let crowded = patched(with_body(2, &two), LAST_OFFSET_DELTA, 0i32.to_be_bytes());
    let error = Batch::parse(&crowded).unwrap_err();
    assert!(matches!(error, BatchError::RecordCount { count: 2, .. }), "{error}");
    assert_eq!(read(&only(&with_body(2, &two))).unwrap().len(), 2);
}

#[test]
fn offsets_that_cannot_be_are_refused() {
    let negative = patched(small(), LAST_OFFSET_DELTA, (-1i32).to_be_bytes());
    assert!(matches!(Batch::parse(&negative).unwrap_err(), BatchError::Offsets { .. }));
    for base in [-1, i64::MIN, i64::MAX] {
        let batch = patched(small(), 0, base.to_be_bytes());
        let error = Batch::parse(&batch).unwrap_err();
        assert!(matches!(error, BatchError::Offsets { .. }), "{base}: {error}");
    }
    assert!(Batch::parse(&patched(small(), 0, (i64::MAX - 1).to_be_bytes())).is_ok());
}

#[test]
fn unknown_compression_is_refused() {
    for id in 5..=7 {
        let batch = patched(small(), ATTRIBUTES, [0, id]);
        let error = Batch::parse(&batch).unwrap_err();
        assert!(matches!(error, BatchError::Compression { id: found } if found == id), "{error}");
    }
}

#[test]
fn malformed_records_are_named() {
    use RecordError::{HeaderCount, Leftover, Length, Number, OffsetDelta};
    let cases: &[(&[u8], RecordError)] = &[
        (&[0xff; 9], Number { field: "body" }),
        (&[1, 0, 0, 0, 1, 1, 0], Length { field: "body", len: -1, left: 6 }),
        (&[14, 0, 0, 0, 1, 1, 0], Length { field: "body", len: 7, left: 6 }),
        (&[0, 0, 0, 0, 1, 1, 0], Number { field: "attributes" }),
        (&[12, 0, 0x80, 0x80, 0x80, 0x80, 0x80], Number { field: "timestamp delta" }),
        (&[12, 0, 0, 0xff, 0xff, 0xff, 0xff], Number { field: "offset delta" }),
        (&[12, 0, 0, 1, 1, 1, 0], OffsetDelta { delta: -1, min: 0, max: 0 }),
        (&[12, 0, 0, 2, 1, 1, 0], OffsetDelta { delta: 1, min: 0, max: 0 }),
        (&[12, 0, 0, 0, 3, 1, 0], Length { field: "key", len: -2, left: 2 }),
        (&[12, 0, 0, 0, 6, 1, 0], Length { field: "key", len: 3, left: 2 }),
        (&[12, 0, 0, 0, 1, 4, 0], Length { field: "value", len: 2, left: 1 }),
        (&[12, 0, 0, 0, 1, 2, 0], Number { field: "header count" }),
        (&[12, 0, 0, 0, 1, 1, 1], HeaderCount { count: -1, left: 0, max: MAX_RECORD_HEADERS }),
        (&[12, 0, 0, 0, 1, 1, 2], HeaderCount { count: 1, left: 0, max: MAX_RECORD_HEADERS }),
        (&[16, 0, 0, 0, 1, 1, 2, 1, 0], Length { field: "header name", len: -1, left: 1 }),
        (&[16, 0, 0, 0, 1, 1, 2, 0, 3], Length { field: "header value", len: -2, left: 0 }),
        (&[14, 0, 0, 0, 1, 1, 0, 0], Leftover { bytes: 1 }),
    ];
    for (body, error) in cases {
        assert_eq!(record_error(body), *error, "{body:?}");
    }
}

#[test]
fn too_many_headers_are_refused_although_they_are_there() {
    let count = MAX_RECORD_HEADERS as i32 + 1;
    let mut record = vec![0, 0, 0, 1, 1];
    let varint = |n: i32| [(n << 1) as u8 | 0x80, (n >> 6) as u8];
    record.extend(varint(count));
    record.resize(record.len() + 2 * count as usize, 0);
    let mut body = varint(record.len() as i32).to_vec();
    body.extend(record);
    let error = record_error(&body);
    assert!(matches!(error, RecordError::HeaderCount { .. }), "{error}");
}

#[test]
fn records_must_use_up_the_body_and_their_number() {
    let one = [12, 0, 0, 0, 1, 1, 0];
    let batch = with_body(1, &[&one[..], b"more"].concat());
    let mut scratch = Vec::new();
    let mut records = only(&batch).body(&mut scratch).unwrap();
    assert!(records.next().unwrap().is_ok());
    let error = records.next().unwrap().unwrap_err();
    assert!(matches!(error, BatchError::Leftover { bytes: 4, count: 1 }), "{error}");
    assert!(records.next().is_none(), "it ends after an error");

    // The second record repeats the first one's offset.
    let batch = with_body(2, &[one, one].concat());
    let mut records = only(&batch).body(&mut scratch).unwrap();
    assert_eq!(records.size_hint(), (1, Some(3)));
    assert!(records.next().unwrap().is_ok());
    assert!(records.next().unwrap().is_err());
    assert!(records.next().is_none(), "it ends after an error");
    assert!(only(&batch).check_records(&mut scratch).is_err());
}

#[test]
fn bombs_are_refused() {
    let zeros = vec![0; MAX_BATCH_UNCOMPRESSED.as_usize() + 1];
    let mut encoder =
        flate2::write::GzEncoder::new(small()[..HEADER_LEN].to_vec(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, &zeros).unwrap();
    let bomb = patched(encoder.finish().unwrap(), ATTRIBUTES, [0, Compression::Gzip.id()]);
    assert!(bomb.len() < 50_000);
    let error = read(&only(&bomb)).unwrap_err();
    assert!(
        matches!(
            error,
            BatchError::Decompress {
                codec: Compression::Gzip,
                source: DecompressError::TooLarge { .. }
            }
        ),
        "{error}"
    );
}

#[test]
fn a_batch_without_records_keeps_its_offsets() {
    let stamp = ProducerStamp {
        id: ProducerId(1),
        epoch: ProducerEpoch(0),
        base_sequence: Sequence(i32::MAX),
    };
    for compression in Compression::ALL {
        let options = BuildOptions { compression, stamp: Some(stamp), ..BuildOptions::default() };
        let bytes = build(options, &[], 9);
        assert_eq!(bytes.len(), HEADER_LEN);
        let batch = only(&bytes);
        assert_eq!(read(&batch).unwrap(), []);
        let header = batch.header();
        assert_eq!(header.next_offset(), Offset(10));
        assert_eq!(header.last_sequence(), Some(Sequence(8)), "sequences wrap");
        assert_eq!(header.base_timestamp, Timestamp::NONE);
        assert_eq!(validate_produced(&batch), Err(ProducedError::Empty));
    }
    // As others may leave them: the codec stays although there is nothing to unpack.
    let bytes = build(BuildOptions::default(), &[], 9);
    let bytes = patched(bytes, ATTRIBUTES, [0, Compression::Zstd.id()]);
    assert_eq!(read(&only(&bytes)).unwrap(), []);
}

#[test]
fn the_builder_stops_at_the_limits() {
    let mut builder = BatchBuilder::new(BuildOptions::default());
    assert!(matches!(builder.build(), Err(BuildError::Empty)));
    for _ in 0..MAX_BATCH_RECORDS {
        builder.push(Timestamp(0), None, None, []).unwrap();
    }
    let error = builder.push(Timestamp(0), None, None, []).unwrap_err();
    assert!(error.is_full(), "{error}");
    assert_eq!(only(&builder.build().unwrap()).header().record_count, MAX_BATCH_RECORDS);

    let value = vec![7; MAX_BATCH.as_usize() - HEADER_LEN - 13];
    builder.push(Timestamp(0), None, Some(&value), []).unwrap();
    let used = builder.size();
    assert_eq!(used, MAX_BATCH.as_usize());
    let error = builder.push(Timestamp(0), None, None, []).unwrap_err();
    assert_eq!(error, PushError::Full { record: 7, used, max: used });
    assert!(error.is_full());
    assert_eq!(builder.build().unwrap().len(), MAX_BATCH.as_usize());

    let value = vec![7; MAX_BATCH.as_usize()];
    let error = builder.push(Timestamp(0), None, Some(&value), []).unwrap_err();
    assert!(matches!(error, PushError::Full { .. }) && !error.is_full(), "{error}");
    let header: (&[u8], Option<&[u8]>) = (b"name", Some(&value));
    let error = builder.push(Timestamp(0), None, None, [header]).unwrap_err();
    assert!(matches!(error, PushError::Full { .. }) && !error.is_full(), "{error}");

    let header: (&[u8], Option<&[u8]>) = (b"", None);
    let many = std::iter::repeat_n(header, MAX_RECORD_HEADERS as usize);
    builder.push(Timestamp(0), None, None, many.clone()).unwrap();
    let error = builder.push(Timestamp(0), None, None, many.chain([header])).unwrap_err();
    assert!(matches!(error, PushError::TooManyHeaders { .. }) && !error.is_full(), "{error}");
    assert_eq!(builder.len(), 1, "a refused record leaves nothing behind");
    assert_eq!(read(&only(&builder.build().unwrap())).unwrap().len(), 1);
}

#[test]
fn a_body_that_does_not_pack_is_refused_and_kept() {
    let mut noise = 1u32;
    let value: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 24) as u8
    })
    .take(MAX_BATCH.as_usize() + 100_000)
    .collect();
    for compression in &Compression::ALL[1..] {
        let options = BuildOptions { compression: *compression, ..BuildOptions::default() };
        let mut builder = BatchBuilder::new(options);
        builder.push(Timestamp(0), None, Some(&value), []).unwrap();
        let error = builder.build().unwrap_err();
        assert!(matches!(error, BuildError::TooLarge { .. }), "{error}");
        assert_eq!(builder.len(), 1);
        // Nor does it fit without packing, and nothing can be added then.
        builder.set_options(BuildOptions::default());
        assert!(matches!(builder.build(), Err(BuildError::TooLarge { .. })));
        assert!(builder.push(Timestamp(0), None, None, []).unwrap_err().is_full());
    }
}

#[test]
fn offsets_in_the_builder_only_rise() {
    let mut builder = BatchBuilder::new(BuildOptions::default());
    builder.push_at(5, Timestamp(0), None, None, []).unwrap();
    let error = builder.push_at(5, Timestamp(0), None, None, []).unwrap_err();
    assert_eq!(error, PushError::OffsetDelta { delta: 5, min: 6 });
    builder.set_last_offset_delta(2);
    builder.push(Timestamp(0), None, None, []).unwrap();
    builder.set_last_offset_delta(i32::MAX);
    builder.push_at(i32::MAX, Timestamp(0), None, None, []).unwrap();
    let error = builder.push(Timestamp(0), None, None, []).unwrap_err();
    assert!(matches!(error, PushError::OffsetDelta { .. }), "{error}");
    builder.set_options(BuildOptions { base_offset: Offset(i64::MAX), ..*builder.options() });
    assert!(matches!(builder.build(), Err(BuildError::Offsets { .. })));
    builder.set_options(BuildOptions::default());
    let bytes = builder.build().unwrap();
    let deltas: Vec<i32> =
        read(&only(&bytes)).unwrap().iter().map(|record| record.offset_delta).collect();
    assert_eq!(deltas, [5, 6, i32::MAX]);
    assert_eq!(
        validate_produced(&only(&bytes)),
        Err(ProducedError::Holes { count: 3, last_offset_delta: i32::MAX })
    );
}

#[test]
fn producers_may_not_write_what_only_a_broker_may() {
    let validate = |bytes: &[u8]| validate_produced(&only(bytes));
    assert_eq!(validate(&small()), Ok(()));
    assert_eq!(validate(&patched(small(), ATTRIBUTES, [0, 1 << 5])), Err(ProducedError::Control));
    assert_eq!(
        validate(&patched(small(), ATTRIBUTES, [0, 1 << 6])),
        Err(ProducedError::DeleteHorizon)
    );
    assert_eq!(
        validate(&patched(small(), ATTRIBUTES, [0, 1 << 4])),
        Err(ProducedError::NoProducer)
    );
    let mut appended = small();
    set_append_time(&mut appended, Timestamp(1));
    assert_eq!(validate(&appended), Err(ProducedError::AppendTime));

    let stamped = patched(small(), PRODUCER_ID, 3i64.to_be_bytes());
    assert!(matches!(validate(&stamped), Err(ProducedError::Stamp { .. })));
    let stamped = patched(stamped, PRODUCER_EPOCH, 0i16.to_be_bytes());
    assert!(matches!(validate(&stamped), Err(ProducedError::Stamp { .. })));
    let stamped = patched(stamped, BASE_SEQUENCE, 0i32.to_be_bytes());
    assert_eq!(validate(&stamped), Ok(()));
    assert_eq!(validate(&patched(stamped, ATTRIBUTES, [0, 1 << 4])), Ok(()));
}
