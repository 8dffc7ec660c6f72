//! What holds for every batch.

use proptest::prelude::*;
use proptest::sample::Index;
use tidegate_record::{Batch, BatchBuilder, Batches, BuildOptions, Compression, HEADER_LEN};
use tidegate_types::{
    LeaderEpoch, Offset, ProducerEpoch, ProducerId, ProducerStamp, Sequence, Timestamp,
};

use crate::model::{OwnedRecord, build, only, push_all, read};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 0usize..10_000).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

/// Few names, so that they repeat; some are no UTF-8.
fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"trace".to_vec()),
        Just(b"\xff\xfe".to_vec()),
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..5),
    ]
}

fn record() -> impl Strategy<Value = OwnedRecord> {
    let timestamp = prop_oneof![8 => 0i64..2_000_000_000_000, 1 => any::<i64>()];
    let headers = prop::collection::vec((name(), prop::option::of(bytes())), 0..5);
    // The distance from the record before it.
    let gap = prop_oneof![4 => Just(1i32), 1 => 1i32..100_000];
    (gap, timestamp, prop::option::of(bytes()), prop::option::of(bytes()), headers).prop_map(
        |(offset_delta, timestamp, key, value, headers)| OwnedRecord {
            offset_delta,
            timestamp,
            key,
            value,
            headers,
        },
    )
}

fn records() -> impl Strategy<Value = Vec<OwnedRecord>> {
    prop::collection::vec(record(), 1..30).prop_map(|mut records| {
        let mut delta = -1;
        for record in &mut records {
            delta += record.offset_delta;
            record.offset_delta = delta;
        }
        records
    })
}

fn stamp() -> impl Strategy<Value = ProducerStamp> {
    (0..=i64::MAX, 0..=i16::MAX, 0..=i32::MAX).prop_map(|(id, epoch, sequence)| ProducerStamp {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
        base_sequence: Sequence(sequence),
    })
}

prop_compose! {
    fn options()(
        compression in prop::sample::select(&Compression::ALL[..]),
        leader_epoch: i32,
        stamp in prop::option::of(stamp()),
        base_offset in 0..1i64 << 62,
        transactional: bool,
        control: bool,
    ) -> BuildOptions {
        BuildOptions {
            compression,
            leader_epoch: LeaderEpoch(leader_epoch),
            stamp,
            base_offset: Offset(base_offset),
            transactional,
            control,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn batches_round_trip(options in options(), records in records(), extra in 0i32..1_000) {
        let last = records.last().map_or(0, |r| r.offset_delta) + extra;
        let bytes = build(options, &records, last);
        let batch = only(&bytes);
        let header = batch.header();
        prop_assert_eq!(header.compression, options.compression);
        prop_assert_eq!(header.leader_epoch, options.leader_epoch);
        prop_assert_eq!(header.stamp(), options.stamp);
        prop_assert_eq!(header.base_offset, options.base_offset);
        prop_assert_eq!(header.attributes.is_transactional(), options.transactional);
        prop_assert_eq!(header.attributes.is_control(), options.control);
        prop_assert_eq!(header.last_offset_delta, last);
        prop_assert_eq!(header.next_offset().since(header.base_offset), i64::from(last) + 1);
        prop_assert_eq!(header.record_count as usize, records.len());
        prop_assert_eq!(header.base_timestamp, Timestamp(records[0].timestamp));
        let max = records.iter().map(|r| r.timestamp).max();
        prop_assert_eq!(Some(header.max_timestamp.0), max);
        prop_assert_eq!(read(&batch).unwrap(), records);
    }

    #[test]
    fn copied_records_give_the_same_bytes(options in options(), records in records()) {
        let bytes = build(options, &records, 0);
        let batch = only(&bytes);
        let mut scratch = Vec::new();
        let mut builder = BatchBuilder::new(options);
        for record in batch.body(&mut scratch).unwrap() {
            let r = record.unwrap();
            let timestamp = batch.header().timestamp_of(&r);
            builder.push_record(r.offset_delta, timestamp, r.key, r.value, r.headers).unwrap();
        }
        prop_assert!(builder.build().unwrap() == bytes);
    }

    #[test]
    fn a_builder_forgets_the_batch_it_gave_away(
        first in records(), second in records(), options in options(),
    ) {
        let mut builder = BatchBuilder::new(options);
        push_all(&mut builder, &first);
        prop_assert_eq!(&builder.build().unwrap(), &build(options, &first, 0));
        prop_assert!(builder.is_empty());
        push_all(&mut builder, &second);
        prop_assert_eq!(&builder.build().unwrap(), &build(options, &second, 0));
        push_all(&mut builder, &second);
        builder.clear();
        push_all(&mut builder, &first);
        prop_assert_eq!(&builder.build().unwrap(), &build(options, &first, 0));
    }

    /// The size told while building is the size of the batch.
    #[test]
    fn size_is_exact_before_packing(records in records()) {
        let mut builder = BatchBuilder::new(BuildOptions::default());
        prop_assert_eq!(builder.size(), HEADER_LEN);
        push_all(&mut builder, &records);
        prop_assert_eq!(builder.len(), records.len());
        let size = builder.size();
        prop_assert_eq!(builder.build().unwrap().len(), size);
    }

    /// Whatever is changed in a batch is noticed, but for the fields that brokers patch.
    #[test]
    fn changed_batches_are_refused(
        options in options(),
        records in records(),
        at: Index,
        change in 1u8..,
    ) {
        let good = build(options, &records, 0);
        let mut bad = good.clone();
        let at = at.index(bad.len());
        bad[at] ^= change;
        if let Ok((batch, _)) = Batch::parse(&bad) {
            prop_assert!(matches!(at, 0..8 | 12..16), "a change at {} was not noticed", at);
            prop_assert_eq!(batch.bytes().len(), good.len());
            prop_assert_eq!(&batch.bytes()[16..], &good[16..]);
            prop_assert_eq!(read(&batch).unwrap(), records);
        }
    }

    /// Changes that a sender covers with a right CRC read to the end or to an error.
    #[test]
    fn changed_bodies_never_panic(
        options in options(),
        records in records(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = build(options, &records, 0);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok((batch, _)) = Batch::parse_trusted(&bytes) {
            let count = batch.header().record_count as usize;
            if let Ok(read) = read(&batch) {
                prop_assert_eq!(read.len(), count);
                prop_assert!(read.windows(2).all(|w| w[0].offset_delta < w[1].offset_delta));
            }
        }
    }

    #[test]
    fn cut_off_batches_ask_for_more(options in options(), records in records(), at: Index) {
        let bytes = build(options, &records, 0);
        let cut = &bytes[..at.index(bytes.len())];
        let error = Batch::parse(cut).unwrap_err();
        prop_assert!(error.is_truncated(), "{}", error);
        let known = tidegate_record::peek_len(cut).unwrap();
        prop_assert_eq!(known, (cut.len() >= 12).then_some(bytes.len()));
    }

    #[test]
    fn runs_are_taken_apart_where_they_were_joined(
        batches in prop::collection::vec((options(), records()), 0..5), at: Index,
    ) {
        let parts: Vec<Vec<u8>> = batches.iter().map(|(o, r)| build(*o, r, 0)).collect();
        let run = parts.concat();
        let found: Vec<&[u8]> = Batches::new(&run).map(|b| b.unwrap().bytes()).collect();
        prop_assert_eq!(&found, &parts);

        let cut = at.index(run.len() + 1);
        let mut cut_run = Batches::trusted(&run[..cut]);
        let whole = cut_run.by_ref().take_while(Result::is_ok).count();
        let used: usize = parts[..whole].iter().map(Vec::len).sum();
        prop_assert_eq!(cut_run.rest(), &run[used..cut]);
        prop_assert!(cut_run.next().is_none(), "it ends after the first error");
        prop_assert!(whole == parts.len() || cut - used < parts[whole].len());
    }

    #[test]
    fn noise_is_refused(noise in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Batch::parse(&noise).is_err());
    }
}
