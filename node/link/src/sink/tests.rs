use tidegate_record::{BatchBuilder, BuildOptions};
use tidegate_types::{Incarnation, LinkName, PartitionId, Timestamp, TopicConfig};

use super::*;

fn id(n: u128) -> TopicId {
    TopicId(uuid::Uuid::from_u128(n))
}

fn at(partition: u32) -> TopicPartition {
    TopicPartition { topic: id(1), partition: PartitionId(partition) }
}

fn batch(base: i64, records: i64, epoch: i32) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BuildOptions {
        base_offset: Offset(base),
        leader_epoch: LeaderEpoch(epoch),
        ..Default::default()
    });
    for n in 0..records {
        builder.push(Timestamp(n), None, Some(b"value"), []).unwrap();
    }
    builder.build().unwrap()
}

fn open() -> OpenMirror {
    let partition = |n| MirrorPartition {
        partition: PartitionId(n),
        incarnation: Incarnation(7),
        start: Offset(0),
        end: Offset(20),
        last_epoch: LeaderEpoch(2),
    };
    OpenMirror {
        link: LinkName::new("hub").unwrap(),
        site: SiteName::new("edge").unwrap(),
        topics: vec![MirrorTopic {
            name: TopicName::new("readings").unwrap(),
            id: id(1),
            config: TopicConfig { partitions: 2, ..TopicConfig::default() },
            partitions: vec![partition(0), partition(1)],
        }],
    }
}

fn sink() -> Sink {
    Sink::new(SinkConfig {
        site: SiteName::new("hub").unwrap(),
        peer: SiteName::new("edge").unwrap(),
        backlog: ByteSize::kib(1),
    })
}

fn copy(durable: i64, end: i64) -> LocalCopy {
    LocalCopy {
        incarnation: Incarnation(7),
        durable: Offset(durable),
        end: Offset(end),
        last_epoch: LeaderEpoch(1),
    }
}

fn effects(sink: &mut Sink) -> Vec<SinkEffect> {
    std::iter::from_fn(|| sink.poll_effect()).collect()
}

/// A sink that copies both partitions from offset 10.
fn copying() -> Sink {
    let mut sink = sink();
    sink.handle_open(open());
    sink.handle_prepared(
        id(1),
        Ok(vec![(PartitionId(0), copy(10, 10)), (PartitionId(1), copy(10, 10))]),
    );
    let told = effects(&mut sink);
    assert!(
        matches!(&told[0], SinkEffect::Prepare { name, .. } if name.as_str() == "edge/readings")
    );
    let resume =
        |n| MirrorAnswer { at: at(n), verdict: MirrorVerdict::Resume { from: Offset(10) } };
    assert_eq!(told[1..], [SinkEffect::Reply(MirrorReply::Ready(vec![resume(0), resume(1)]))]);
    sink
}

fn send(sink: &mut Sink, partition: u32, end: i64, batches: &[u8]) -> Vec<SinkEffect> {
    let from = match sink.partitions.get(&at(partition)) {
        Some(Partition::Copying(copying)) => copying.next,
        _ => Offset::ZERO,
    };
    let header = MirrorBatches { at: at(partition), from, source_end: Offset(end) };
    sink.handle_batches(header, Bytes::copy_from_slice(batches));
    effects(sink)
}

fn failure(effects: &[SinkEffect]) -> &ErrorBody {
    match effects {
        [SinkEffect::Reply(MirrorReply::PartitionFailed { error, .. })] => error,
        [SinkEffect::Reply(MirrorReply::Failed(error)), SinkEffect::Close] => error,
        other => panic!("no failure: {other:?}"),
    }
}

#[test]
fn an_offer_that_is_not_the_callers_to_make_is_refused() {
    let refused = |change: fn(&mut OpenMirror)| {
        let (mut sink, mut open) = (sink(), open());
        change(&mut open);
        sink.handle_open(open);
        let effects = effects(&mut sink);
        failure(&effects).code
    };
    let invalid = ErrorCode::InvalidRequest;
    assert_eq!(
        refused(|open| open.site = SiteName::new("other").unwrap()),
        ErrorCode::NotAuthorized
    );
    assert_eq!(refused(|open| open.topics.push(open.topics[0].clone())), invalid);
    assert_eq!(refused(|open| open.topics[0].partitions[1].partition = PartitionId(0)), invalid);
    assert_eq!(refused(|open| open.topics[0].partitions[1].partition = PartitionId(2)), invalid);
    assert_eq!(refused(|open| open.topics[0].partitions[0].start = Offset(21)), invalid);
    assert_eq!(refused(|open| open.topics[0].partitions[0].start = Offset(-1)), invalid);
    assert_eq!(
        refused(|open| {
            let one = open.topics[0].partitions[0];
            open.topics[0].partitions = vec![one; MAX_MIRROR_PARTITIONS + 1];
        }),
        invalid
    );
}

#[test]
fn a_mirror_is_not_mirrored_again() {
    let (mut sink, mut open) = (sink(), open());
    open.topics[0].name = TopicName::new("far/readings").unwrap();
    sink.handle_open(open);
    let effects = effects(&mut sink);
    let [SinkEffect::Reply(MirrorReply::Ready(answers))] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(answers.len(), 2);
    for answer in answers {
        assert!(matches!(&answer.verdict, MirrorVerdict::Refused(e) if e.message.contains("far")));
    }
}

#[test]
fn the_answer_waits_until_the_copy_is_durable() {
    let mut sink = sink();
    sink.handle_open(open());
    let copies = vec![(PartitionId(0), copy(8, 10)), (PartitionId(1), copy(10, 10))];
    sink.handle_prepared(id(1), Ok(copies));
    assert!(matches!(effects(&mut sink)[..], [SinkEffect::Prepare { .. }]));
    sink.handle_appended(at(0), Offset(9));
    assert_eq!(effects(&mut sink), []);
    sink.handle_appended(at(0), Offset(10));
    assert!(matches!(effects(&mut sink)[..], [SinkEffect::Reply(MirrorReply::Ready(_))]));
}

#[test]
fn a_topic_that_cannot_be_made_is_refused_with_a_reason_that_fits() {
    let mut sink = sink();
    sink.handle_open(open());
    let message = "é".repeat(1_000);
    sink.handle_prepared(id(1), Err(ErrorBody::retriable(ErrorCode::Internal, message)));
    let effects = effects(&mut sink);
    let SinkEffect::Reply(MirrorReply::Ready(answers)) = &effects[1] else { panic!() };
    for answer in answers {
        let MirrorVerdict::Refused(error) = &answer.verdict else { panic!() };
        assert!(error.message.len() <= MAX_REASON && error.retriable, "{error}");
    }
}

#[test]
fn progress_is_told_once_for_many_appends_and_only_of_what_is_durable() {
    let mut sink = copying();
    for base in [10, 12] {
        let effects = send(&mut sink, 0, 20, &batch(base, 2, 2));
        assert!(matches!(&effects[..], [SinkEffect::Append { .. }]), "{effects:?}");
    }
    let effects_of_hole = send(&mut sink, 1, 20, &batch(15, 1, 2));
    assert!(
        matches!(&effects_of_hole[..], [SinkEffect::Append { run, .. }] if run.next == Offset(16))
    );
    sink.handle_appended(at(0), Offset(12));
    sink.handle_appended(at(0), Offset(14));
    sink.handle_appended(at(1), Offset(16));
    let told = |n, durable| MirrorProgress { at: at(n), durable: Offset(durable) };
    assert_eq!(
        effects(&mut sink),
        [SinkEffect::Reply(MirrorReply::Progress(vec![told(0, 14), told(1, 16)]))]
    );
    sink.handle_appended(at(0), Offset(14));
    assert_eq!(effects(&mut sink), []);
}

#[test]
fn a_run_that_does_not_continue_the_copy_stops_its_partition_alone() {
    let good = batch(10, 2, 2);
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for (what, end, run) in [
        ("a rewind", 20, batch(9, 1, 2)),
        ("an overlap", 20, batch(8, 4, 2)),
        ("above the source's end", 11, good.clone()),
        ("an earlier epoch", 20, batch(10, 1, 0)),
        ("damage", 20, damaged),
        ("nothing", 20, Vec::new()),
    ] {
        let mut sink = copying();
        let effects = send(&mut sink, 0, end, &run);
        assert_eq!(failure(&effects).code, ErrorCode::InvalidRecord, "{what}");
        assert_eq!(send(&mut sink, 0, 20, &good), [], "{what}: the partition went on");
        assert_eq!(send(&mut sink, 1, 20, &good).len(), 1, "{what}: the other one stopped");
    }
}

#[test]
fn a_failed_append_is_told_and_frees_its_share_of_the_backlog() {
    let mut sink = copying();
    let large = batch(10, 200, 2);
    send(&mut sink, 0, 500, &large);
    assert!(!sink.wants_input(), "{} bytes are under way", large.len());
    sink.handle_append_failed(at(0), ErrorBody::new(ErrorCode::LogSealed, "sealed"));
    assert_eq!(failure(&effects(&mut sink)).code, ErrorCode::LogSealed);
    assert!(sink.wants_input());
}

#[test]
fn batches_out_of_place_end_the_stream() {
    let mut early = sink();
    early.handle_open(open());
    effects(&mut early);
    assert_eq!(failure(&send(&mut early, 0, 20, &batch(10, 1, 2))).code, ErrorCode::BadFrame);
    assert!(!early.wants_input());
    let mut stranger = copying();
    let effects = send(&mut stranger, 2, 20, &batch(10, 1, 2));
    assert_eq!(failure(&effects).code, ErrorCode::UnknownPartition);
}

#[test]
fn a_run_that_was_lost_on_the_way_is_seen_by_the_next_one() {
    let mut sink = copying();
    let header = MirrorBatches { at: at(0), from: Offset(12), source_end: Offset(20) };
    sink.handle_batches(header, Bytes::from(batch(12, 2, 2)));
    let told = effects(&mut sink);
    assert!(
        matches!(&told[..], [SinkEffect::Reply(MirrorReply::PartitionFailed { error, .. })]
            if error.retriable && error.message.contains("but 10 comes next")),
        "{told:?}"
    );
}
