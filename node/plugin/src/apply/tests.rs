//! Chains of made-up plugins, against a model that knows nothing of columns, spans or holes.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

use proptest::collection::vec;
use proptest::prelude::*;
use tidegate_record::{Batch, BatchBuilder, BuildOptions, Compression};
use tidegate_types::limits::MAX_BATCH;
use tidegate_types::{
    Offset, PluginName, ProducerEpoch, ProducerId, ProducerStamp, Sequence, Timestamp,
};

mod derive;
mod fake;
mod model;

use super::*;
use crate::abi;
use crate::hash::hash_of;
use crate::outcome::Outcome;

use fake::{Act, Fake};
use model::model;

type OwnedHeaders = Vec<(Vec<u8>, Option<Vec<u8>>)>;

#[derive(Clone, PartialEq, Eq, Debug)]
struct Rec {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: OwnedHeaders,
}

fn build(records: &[Rec], stamp: Option<ProducerStamp>, compression: Compression) -> Vec<u8> {
    let mut builder =
        BatchBuilder::new(BuildOptions { stamp, compression, ..BuildOptions::default() });
    for rec in records {
        let headers = rec.headers.iter().map(|(n, v)| (n.as_slice(), v.as_deref()));
        builder
            .push(Timestamp(rec.timestamp), rec.key.as_deref(), rec.value.as_deref(), headers)
            .unwrap();
    }
    builder.build().unwrap()
}

/// The records of a batch, with their offset deltas.
fn records(bytes: &[u8]) -> Vec<(i32, Rec)> {
    let (batch, rest) = Batch::parse(bytes).unwrap();
    assert!(rest.is_empty());
    let mut scratch = Vec::new();
    let body = batch.body(&mut scratch).unwrap();
    body.map(|record| {
        let record = record.unwrap();
        let headers = record.headers.iter();
        let rec = Rec {
            timestamp: batch.header().timestamp_of(&record).millis(),
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers.map(|(n, v)| (n.to_vec(), v.map(<[u8]>::to_vec))).collect(),
        };
        (record.offset_delta, rec)
    })
    .collect()
}

fn stamp_of(bytes: &[u8]) -> Option<ProducerStamp> {
    Batch::parse(bytes).unwrap().0.header().stamp()
}

const STAMP: ProducerStamp =
    ProducerStamp { id: ProducerId(7), epoch: ProducerEpoch(2), base_sequence: Sequence(100) };

const PARTITIONS: u32 = 3;
const HERE: u32 = 1;

/// Topics by name: `wide` has 5 partitions, `narrow` one, `missing` none.
fn partitions_of(topic: &TopicName) -> Option<u32> {
    match topic.as_str() {
        "wide" => Some(5),
        "narrow" => Some(1),
        _ => None,
    }
}

fn apply(bytes: &[u8], stages: &mut [Fake], keep_offsets: bool) -> Result<Applied, ApplyError> {
    let topic = TopicName::new("input").unwrap();
    let origin = Origin {
        topic: &topic,
        topic_id: TopicId(uuid()),
        partition: PartitionId(HERE),
        partitions: PARTITIONS,
        purpose: "test",
        keep_offsets,
        derive: None,
        partitions_of: &partitions_of,
    };
    let (batch, _) = Batch::parse(bytes).unwrap();
    Applier::new().run(&batch, stages, &origin)
}

fn uuid() -> uuid::Uuid {
    uuid::Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0)
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..6)
}

fn recs() -> impl Strategy<Value = Vec<Rec>> {
    let rec = (
        proptest::option::of(bytes()),
        proptest::option::of(bytes()),
        vec((bytes(), proptest::option::of(bytes())), 0..3),
    );
    vec(rec, 1..12).prop_map(|recs| {
        (0..)
            .zip(recs)
            .map(|(timestamp, (key, value, headers))| Rec { timestamp, key, value, headers })
            .collect()
    })
}

fn tag_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => Just(Act::Keep),
        2 => Just(Act::Drop),
        1 => Just(Act::Fail),
        1 => Just(Act::Trap),
        2 => proptest::option::of(bytes()).prop_map(Act::Value),
    ]
}

fn emit_act() -> impl Strategy<Value = Act> {
    let topic = prop_oneof![
        3 => Just(None),
        3 => Just(Some("wide")),
        2 => Just(Some("narrow")),
        1 => Just(Some("missing")),
    ];
    let output = (topic, proptest::option::of(0..PARTITIONS), proptest::option::of(bytes()));
    prop_oneof![
        1 => tag_act(),
        1 => vec(output, 0..4).prop_map(Act::Emit),
    ]
}

fn stage(records: usize) -> impl Strategy<Value = Fake> {
    let acts = |acts: Vec<Act>| (0..).zip(acts).collect::<HashMap<_, _>>();
    prop_oneof![
        vec(tag_act(), records).prop_map(move |a| Fake { acts: acts(a), emits: false }),
        vec(emit_act(), records).prop_map(move |a| Fake { acts: acts(a), emits: true }),
    ]
}

fn case() -> impl Strategy<Value = (Vec<Rec>, Vec<Fake>, bool, Compression)> {
    let codec =
        prop_oneof![Just(Compression::None), Just(Compression::Lz4), Just(Compression::Zstd)];
    (recs(), any::<bool>(), codec).prop_flat_map(|(recs, stamped, codec)| {
        let stages = vec(stage(recs.len()), 0..4);
        (Just(recs), stages, Just(stamped), Just(codec))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn chains_give_what_the_model_gives((recs, mut stages, stamped, codec) in case()) {
        let stamp = stamped.then_some(STAMP);
        let input = build(&recs, stamp, codec);
        let mut expected = model(&recs, &stages);
        let applied = apply(&input, &mut stages, false).unwrap();

        let failed: Vec<_> = applied.failed.iter().map(|f| (f.record, f.stage)).collect();
        prop_assert_eq!(&failed, &expected.failed);

        let outputs: usize = expected.places.values().map(Vec::len).sum();
        let counts = applied.counts;
        prop_assert_eq!(counts.records as usize, recs.len());
        prop_assert_eq!((counts.kept + counts.rewritten + counts.moved) as usize, outputs);
        prop_assert_eq!(counts.failed as usize, failed.len());
        let mut origins: Vec<usize> = expected.places.values().flatten().map(|(i, _)| *i).collect();
        origins.sort_unstable();
        origins.dedup();
        prop_assert_eq!(counts.dropped as usize, recs.len() - failed.len() - origins.len());

        // Taken before the outputs are compared: what stays, and whether it fits in its place.
        let here = (None, HERE);
        let staying = expected.places.remove(&here).unwrap_or_default();
        let split = staying.windows(2).any(|pair| pair[0].0 == pair[1].0);
        let (in_place, mut outputs) = match applied.change {
            Change::Unchanged => {
                prop_assert!(expected.places.is_empty());
                let kept: Vec<Rec> = staying.into_iter().map(|(_, rec)| rec).collect();
                prop_assert_eq!(kept, recs);
                return Ok(());
            }
            Change::InPlace { batch } => (batch, Vec::new()),
            Change::Scattered { in_place, outputs } => (in_place, outputs),
        };
        let mut beside = Vec::new();
        match (stamp, in_place) {
            (Some(_), None) => prop_assert!(false, "the input's sequence is lost"),
            (None, None) => prop_assert!(staying.is_empty()),
            (None, Some(batch)) => {
                prop_assert_eq!(stamp_of(&batch), None);
                let got: Vec<_> = records(&batch);
                let want: Vec<_> = (0..).zip(staying.into_iter().map(|(_, rec)| rec)).collect();
                prop_assert_eq!(got, want);
            }
            (Some(stamp), Some(batch)) => {
                prop_assert_eq!(stamp_of(&batch), Some(stamp));
                let header = *Batch::parse(&batch).unwrap().0.header();
                prop_assert_eq!(header.last_offset_delta as usize, recs.len() - 1);
                if split {
                    prop_assert_eq!(header.record_count, 0);
                    beside = staying;
                } else {
                    let want: Vec<_> = staying.into_iter().map(|(i, rec)| (i as i32, rec)).collect();
                    prop_assert_eq!(records(&batch), want);
                }
            }
        }
        if !beside.is_empty() {
            expected.places.insert(here, beside);
        }
        let derived = derived_producer(STAMP.id, TopicId(uuid()), PartitionId(HERE), "test");
        for (place, want) in expected.places {
            let at = outputs.iter().position(|output| {
                output.partition.get() == place.1
                    && output.topic.as_ref().map(TopicName::as_str) == place.0.as_deref()
            });
            let output = outputs.swap_remove(at.expect("a batch for each place"));
            let want: Vec<_> = (0..).zip(want.into_iter().map(|(_, rec)| rec)).collect();
            prop_assert_eq!(records(&output.batch), want);
            let want = stamp.map(|stamp| ProducerStamp { id: derived, ..stamp });
            prop_assert_eq!(stamp_of(&output.batch), want);
        }
        prop_assert!(outputs.is_empty(), "batches that nobody asked for: {outputs:?}");
    }

    #[test]
    fn a_retry_gives_the_same_bytes((recs, stages, stamped, codec) in case()) {
        let input = build(&recs, stamped.then_some(STAMP), codec);
        let run = || {
            let applied = apply(&input, &mut stages.clone(), false).unwrap();
            format!("{:?} {:?}", applied.change, applied.failed)
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn where_offsets_are_kept_nothing_moves((recs, mut stages, stamped, codec) in case()) {
        let input = build(&recs, stamped.then_some(STAMP), codec);
        let expected = model(&recs, &stages);
        let applied = apply(&input, &mut stages, true);
        let staying = expected.places.get(&(None, HERE)).cloned().unwrap_or_default();
        let split = staying.windows(2).any(|pair| pair[0].0 == pair[1].0);
        let moves = expected.places.keys().any(|place| *place != (None, HERE));
        match applied.map(|applied| applied.change) {
            Err(ApplyError::CannotMove) => prop_assert!(split || moves),
            Ok(Change::Unchanged) => prop_assert_eq!(staying.len(), recs.len()),
            Ok(Change::InPlace { batch: Some(batch) }) => {
                prop_assert!(!split && !moves);
                let header = *Batch::parse(&batch).unwrap().0.header();
                prop_assert_eq!(header.last_offset_delta as usize, recs.len() - 1);
                let want: Vec<_> = staying.into_iter().map(|(i, rec)| (i as i32, rec)).collect();
                prop_assert_eq!(records(&batch), want);
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn dead_letters_keep_the_record_and_tell_why((recs, mut stages, stamped, codec) in case()) {
        let input = build(&recs, stamped.then_some(STAMP), codec);
        let failed = apply(&input, &mut stages, false).unwrap().failed;
        let names: Vec<PluginName> =
            (0..stages.len()).map(|i| PluginName::new(format!("p{i}")).unwrap()).collect();
        let letters = dead_letters(&input, &failed, &names);
        let mut got = Vec::new();
        let mut ids = HashMap::new();
        for batch in &letters {
            let stamp = stamp_of(batch);
            prop_assert_eq!(stamp.is_some(), stamped);
            for (_, letter) in records(batch) {
                let original = &recs[letter.timestamp as usize];
                let (kept, added) = letter.headers.split_at(original.headers.len());
                prop_assert_eq!(kept, original.headers.as_slice());
                prop_assert_eq!((&letter.key, &letter.value), (&original.key, &original.value));
                let added: HashMap<String, String> = added
                    .iter()
                    .map(|(n, v)| (text(n), text(v.as_deref().unwrap_or_default())))
                    .collect();
                let plugin: usize = added["tidegate.dead.plugin"][1..].parse().unwrap();
                prop_assert_eq!(&added["tidegate.dead.topic"], "input");
                prop_assert_eq!(&added["tidegate.dead.partition"], "1");
                prop_assert_eq!(&added["tidegate.dead.stage"], "ingest");
                prop_assert_eq!(added["tidegate.dead.offset"].parse(), Ok(1_000 + letter.timestamp));
                prop_assert!(!added["tidegate.dead.reason"].is_empty());
                if let Some(stamp) = stamp {
                    prop_assert!(stamp.id.is_derived());
                    prop_assert_eq!(*ids.entry(plugin).or_insert(stamp.id), stamp.id);
                }
                got.push((letter.timestamp as u32, plugin));
            }
        }
        got.sort_unstable();
        let want: Vec<_> = failed.iter().map(|f| (f.record, f.stage)).collect();
        prop_assert_eq!(got, want);
        let mut distinct: Vec<_> = ids.values().collect();
        distinct.sort_unstable();
        distinct.dedup();
        prop_assert_eq!(distinct.len(), ids.len(), "two steps share an id");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn dead_letters(input: &[u8], failed: &[Failed], names: &[PluginName]) -> Vec<Bytes> {
    let topic = TopicName::new("input").unwrap();
    let origin = Origin {
        topic: &topic,
        topic_id: TopicId(uuid()),
        partition: PartitionId(HERE),
        partitions: PARTITIONS,
        purpose: "ingest",
        keep_offsets: false,
        derive: None,
        partitions_of: &partitions_of,
    };
    let hash = hash_of(b"plugin");
    let plugins: Vec<_> = names.iter().map(|name| DeadPlugin { name, hash }).collect();
    let about = DeadLetters {
        origin: &origin,
        plugins: &plugins,
        stage: "ingest",
        base_offset: Some(Offset(1_000)),
    };
    let (batch, _) = Batch::parse(input).unwrap();
    dead_letter_batches(&batch, failed, &about).unwrap()
}

fn rec(timestamp: i64, value: &[u8]) -> Rec {
    Rec { timestamp, key: None, value: Some(value.to_vec()), headers: Vec::new() }
}

fn acts<const N: usize>(acts: [Act; N], emits: bool) -> Fake {
    Fake { acts: (0..).zip(acts).collect(), emits }
}

#[test]
fn a_dead_letter_that_no_batch_could_hold_is_cut() {
    let big = vec![b'x'; (2 << 20) - 200];
    let input = build(&[rec(0, &big), rec(1, b"small")], None, Compression::Zstd);
    let failed = [0, 1].map(|record| Failed { record, stage: 0, reason: "too big".to_owned() });
    let letters = dead_letters(&input, &failed, &[PluginName::new("p0").unwrap()]);
    let all: Vec<_> = letters.iter().flat_map(|batch| records(batch)).collect();
    assert_eq!(all.len(), 2);
    let (_, cut) = &all[0];
    assert!(
        big.starts_with(cut.value.as_ref().unwrap()) && cut.value.as_ref().unwrap().len() > 1 << 18
    );
    let (name, len) = cut.headers.last().unwrap();
    assert_eq!(name, b"tidegate.dead.cut");
    assert_eq!(len.as_deref(), Some(big.len().to_string().as_bytes()));
    assert_eq!(all[1].1.value.as_deref(), Some(&b"small"[..]));
}

#[test]
fn a_record_too_large_for_any_batch_fails_alone() {
    let input = build(&[rec(0, b"a"), rec(1, b"b")], Some(STAMP), Compression::None);
    let grown = vec![0; MAX_BATCH.as_usize() + 1];
    for emits in [false, true] {
        let stage = acts([Act::Keep, Act::Value(Some(grown.clone()))], emits);
        let applied = apply(&input, &mut [stage], false).unwrap();
        assert_eq!(applied.failed.len(), 1);
        let told = format!("{} bytes", grown.len());
        assert!(applied.failed[0].reason.contains(&told), "{:?}", applied.failed);
        let Change::InPlace { batch: Some(batch) } = applied.change else { panic!("not in place") };
        assert_eq!(records(&batch), [(0, rec(0, b"a"))]);
    }
}

#[test]
fn what_outgrows_its_place_goes_beside_it_in_several_batches() {
    let recs: Vec<_> = (0..4).map(|i| rec(i, b"x")).collect();
    let grown = || Act::Value(Some(vec![7; MAX_BATCH.as_usize() / 2]));
    for stamp in [Some(STAMP), None] {
        let input = build(&recs, stamp, Compression::None);
        let stage = acts([grown(), grown(), grown(), grown()], false);
        let applied = apply(&input, &mut [stage], false).unwrap();
        let Change::Scattered { in_place, outputs } = applied.change else {
            panic!("not scattered")
        };
        let in_place = in_place.unwrap();
        let mut all = records(&in_place);
        assert_eq!(all.is_empty(), stamp.is_some());
        let derived = derived_producer(STAMP.id, TopicId(uuid()), PartitionId(HERE), "test");
        for (i, output) in (0..).zip(&outputs) {
            assert_eq!((output.topic.as_ref(), output.partition), (None, PartitionId(HERE)));
            let want = stamp.map(|stamp| ProducerStamp {
                id: derived,
                base_sequence: stamp.base_sequence.advance(i),
                ..stamp
            });
            assert_eq!(stamp_of(&output.batch), want);
            all.extend(records(&output.batch));
        }
        let order: Vec<_> = all.iter().map(|(_, rec)| rec.timestamp).collect();
        assert_eq!(order, [0, 1, 2, 3]);
    }
}

#[test]
fn a_split_that_cannot_be_told_from_the_next_batch_is_refused() {
    let half = vec![1; MAX_BATCH.as_usize() / 2];
    let input = build(&[rec(0, &half)], Some(STAMP), Compression::None);
    let outputs = vec![(Some("narrow"), None, None); 3];
    let error = apply(&input, &mut [acts([Act::Emit(outputs)], true)], false).unwrap_err();
    assert!(matches!(error, ApplyError::TooMuch { .. }), "{error}");
}

#[test]
fn records_of_a_transaction_stay_where_they_are() {
    let options =
        BuildOptions { stamp: Some(STAMP), transactional: true, ..BuildOptions::default() };
    let mut builder = BatchBuilder::new(options);
    builder.push(Timestamp(0), None, Some(b"a"), []).unwrap();
    let input = builder.build().unwrap();
    let route = || acts([Act::Emit(vec![(Some("narrow"), None, None)])], true);
    assert!(matches!(apply(&input, &mut [route()], false), Err(ApplyError::Transactional)));
    let drop = acts([Act::Drop], false);
    let Change::InPlace { batch: Some(batch) } = apply(&input, &mut [drop], false).unwrap().change
    else {
        panic!("not in place")
    };
    assert!(Batch::parse(&batch).unwrap().0.header().attributes.is_transactional());
}

#[test]
fn a_rejection_refuses_the_whole_batch() {
    struct Reject;
    impl Stage for Reject {
        fn needs(&self) -> Needs {
            Needs::NONE
        }
        fn batch_time(&self) -> Duration {
            Duration::from_secs(1)
        }
        fn run(&mut self, _: &mut Columns, _: &RunContext) -> Result<Outcome, RunError> {
            let verdict = abi::FilterVerdict::Reject("no".to_owned());
            Ok(Outcome::of_filter(verdict, 1).unwrap())
        }
    }
    let input = build(&[rec(0, b"a")], None, Compression::None);
    let topic = TopicName::new("input").unwrap();
    let origin = Origin {
        topic: &topic,
        topic_id: TopicId(uuid()),
        partition: PartitionId(0),
        partitions: 1,
        purpose: "ingest",
        keep_offsets: false,
        derive: None,
        partitions_of: &partitions_of,
    };
    let (batch, _) = Batch::parse(&input).unwrap();
    let error = Applier::new().run(&batch, &mut [Reject], &origin).unwrap_err();
    assert_eq!(error.to_string(), "refused by plugin: no");
}

#[test]
fn a_plugin_that_only_loops_does_not_hold_a_batch_for_ever() {
    struct Slow(Cell<u32>);
    impl Stage for Slow {
        fn needs(&self) -> Needs {
            Needs::NONE
        }
        fn batch_time(&self) -> Duration {
            Duration::from_millis(5)
        }
        fn run(&mut self, _: &mut Columns, _: &RunContext) -> Result<Outcome, RunError> {
            self.0.set(self.0.get() + 1);
            std::thread::sleep(self.batch_time());
            Err(RunError::TimedOut { limit: self.batch_time() })
        }
    }
    let recs: Vec<_> = (0..1_000).map(|i| rec(i, b"x")).collect();
    let input = build(&recs, Some(STAMP), Compression::None);
    let topic = TopicName::new("input").unwrap();
    let origin = Origin {
        topic: &topic,
        topic_id: TopicId(uuid()),
        partition: PartitionId(0),
        partitions: 1,
        purpose: "ingest",
        keep_offsets: false,
        derive: None,
        partitions_of: &partitions_of,
    };
    let (batch, _) = Batch::parse(&input).unwrap();
    let mut slow = [Slow(Cell::new(0))];
    let applied = Applier::new().run(&batch, &mut slow, &origin).unwrap();
    assert!(slow[0].0.get() <= 5, "asked {} times", slow[0].0.get());
    assert_eq!(applied.failed.len(), 1_000);
    assert!(applied.failed[0].reason.starts_with("took longer"));
    assert!(applied.failed[999].reason.starts_with("not tried: the plugin took longer"));
}
