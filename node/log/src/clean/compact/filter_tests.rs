use super::*;
use tidegate_record::{Compression, set_base_offset, set_leader_epoch};
use tidegate_types::{LeaderEpoch, ProducerEpoch, ProducerStamp, Sequence, Timestamp};

const END: Offset = Offset(1_000);

fn stamp(id: i64) -> ProducerStamp {
    ProducerStamp { id: ProducerId(id), epoch: ProducerEpoch(3), base_sequence: Sequence(70) }
}

/// Records `key=value` at offsets from `base` on; without a value a tombstone.
fn batch(base: i64, options: BuildOptions, records: &[(&str, Option<&str>)]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for (n, (key, value)) in records.iter().enumerate() {
        let time = Timestamp(5_000 - n as i64);
        let headers = [(&b"name"[..], None), (&b"name"[..], Some(&b"again"[..]))];
        builder.push(time, Some(key.as_bytes()), value.map(str::as_bytes), headers).unwrap();
    }
    let mut bytes = builder.build().unwrap();
    set_base_offset(&mut bytes, Offset(base));
    set_leader_epoch(&mut bytes, LeaderEpoch(9));
    bytes
}

fn map(latest: &[(&str, i64)]) -> KeyMap {
    let mut map = KeyMap::new(100, 1 << 20);
    for (key, offset) in latest {
        assert!(map.note(key.as_bytes(), Offset(*offset)));
    }
    map
}

struct Given {
    map: KeyMap,
    expired: i64,
    last: Option<(i64, i64)>,
    ends_file: bool,
}

impl Given {
    fn latest(latest: &[(&str, i64)]) -> Given {
        Given { map: map(latest), expired: 0, last: None, ends_file: false }
    }

    fn judge(&self, bytes: &[u8]) -> Outcome {
        let transactions = Transactions::default();
        let is_last = |id: ProducerId, base: Offset| self.last == Some((id.0, base.0));
        let mut filter = Filter::new(&self.map, &transactions, END, Offset(self.expired), &is_last);
        filter.judge(&Batch::parse(bytes).unwrap().0, self.ends_file)
    }
}

fn rewritten(outcome: Outcome) -> Vec<u8> {
    match outcome {
        Outcome::Rewritten(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_stays_of_a_batch_keeps_all_that_was_said_of_it() {
    for codec in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Zstd] {
        let options = BuildOptions {
            compression: codec,
            stamp: Some(stamp(5)),
            transactional: true,
            ..BuildOptions::default()
        };
        let records = [("a", Some("1")), ("b", Some("2")), ("c", None), ("d", Some("4"))];
        let bytes = batch(40, options, &records);
        let given = Given::latest(&[("a", 90), ("b", 41), ("d", 99)]);
        let new = rewritten(given.judge(&bytes));
        let (batch, rest) = Batch::parse(&new).unwrap();
        assert!(rest.is_empty());
        let header = batch.header();
        assert_eq!((header.base_offset, header.next_offset()), (Offset(40), Offset(44)));
        assert_eq!((header.leader_epoch, header.stamp()), (LeaderEpoch(9), Some(stamp(5))));
        assert_eq!((header.compression, header.record_count), (codec, 2));
        assert!(header.attributes.is_transactional() && !header.attributes.is_control());
        assert_eq!(header.max_timestamp, Timestamp(4_999), "of the records that stay");
        let mut scratch = Vec::new();
        let kept: Vec<_> = batch
            .body(&mut scratch)
            .unwrap()
            .map(|record| {
                let record = record.unwrap();
                assert_eq!(record.headers.len(), 2);
                (header.offset_of(&record).0, header.timestamp_of(&record).0, record.value)
            })
            .collect();
        assert_eq!(kept, [(41, 4_999, Some(&b"2"[..])), (42, 4_998, None)]);
    }
}

#[test]
fn the_broker_s_own_times_stay_the_broker_s() {
    let mut bytes = batch(0, BuildOptions::default(), &[("a", Some("1")), ("b", Some("2"))]);
    set_append_time(&mut bytes, Timestamp(77_000));
    let new = rewritten(Given::latest(&[("a", 10)]).judge(&bytes));
    let (batch, _) = Batch::parse(&new).unwrap();
    let header = batch.header();
    assert_eq!(header.attributes.timestamp_type(), TimestampType::LogAppendTime);
    let mut scratch = Vec::new();
    let record = batch.body(&mut scratch).unwrap().next().unwrap().unwrap();
    assert_eq!(header.timestamp_of(&record), Timestamp(77_000));
}

#[test]
fn a_batch_goes_unless_it_is_the_last_of_its_producer_or_file() {
    let options = BuildOptions { stamp: Some(stamp(5)), ..BuildOptions::default() };
    let bytes = batch(40, options, &[("a", Some("1")), ("a", Some("2"))]);
    let mut given = Given::latest(&[("a", 90)]);
    assert_eq!(given.judge(&bytes), Outcome::Dropped);
    given.last = Some((5, 38));
    assert_eq!(given.judge(&bytes), Outcome::Dropped);
    let (mut ends_file, mut last) = (Given::latest(&[("a", 90)]), Given::latest(&[("a", 90)]));
    ends_file.ends_file = true;
    last.last = Some((5, 40));
    for given in [ends_file, last] {
        let new = rewritten(given.judge(&bytes));
        let (empty, _) = Batch::parse(&new).unwrap();
        let header = empty.header();
        assert_eq!((header.record_count, header.stamp()), (0, Some(stamp(5))));
        assert_eq!((header.base_offset, header.next_offset()), (Offset(40), Offset(42)));
        // Without records already, it stays for the same reasons, and goes without them.
        assert_eq!(given.judge(&new), Outcome::Kept);
        assert_eq!(Given::latest(&[]).judge(&new), Outcome::Dropped);
    }
}

#[test]
fn tombstones_go_when_they_have_expired_and_not_before() {
    let bytes = batch(40, BuildOptions::default(), &[("a", Some("1")), ("b", None)]);
    for (expired, goes) in [(0, false), (41, false), (42, true), (900, true)] {
        let given = Given { expired, ..Given::latest(&[]) };
        assert_eq!(given.judge(&bytes) != Outcome::Kept, goes, "expired before {expired}");
    }
}

#[test]
fn nothing_before_the_end_of_what_was_noted_is_taken_from_behind_it() {
    let bytes = batch(END.0, BuildOptions::default(), &[("a", Some("1"))]);
    assert_eq!(Given::latest(&[("a", END.0 + 5)]).judge(&bytes), Outcome::Kept);
    let control = BuildOptions { control: true, stamp: Some(stamp(1)), ..BuildOptions::default() };
    let marker = batch(40, control, &[("a", Some("1"))]);
    assert_eq!(Given::latest(&[("a", 90)]).judge(&marker), Outcome::Kept);
}

/// What cannot be read may hold an older value of any key.
#[test]
fn behind_a_batch_that_cannot_be_read_tombstones_stay() {
    let options = BuildOptions { compression: Compression::Lz4, ..BuildOptions::default() };
    let mut opaque = batch(10, options, &[("a", Some("1")), ("b", Some("2"))]);
    // Its checksum is right, its body is none.
    opaque[tidegate_record::HEADER_LEN..].fill(0xff);
    set_append_time(&mut opaque, Timestamp(1));
    let tombstone = batch(40, BuildOptions::default(), &[("a", None), ("c", Some("3"))]);
    let (map, transactions) = (map(&[("a", 40)]), Transactions::default());
    let never = |_, _| false;
    let judge = |batches: &[&Vec<u8>]| {
        let mut filter = Filter::new(&map, &transactions, END, END, &never);
        let judged = batches.iter().map(|b| filter.judge(&Batch::parse(b).unwrap().0, false));
        judged.collect::<Vec<_>>()
    };
    assert_eq!(judge(&[&opaque, &tombstone]), [Outcome::Kept, Outcome::Kept]);
    assert!(matches!(&judge(&[&tombstone])[..], [Outcome::Rewritten(_)]));
}
