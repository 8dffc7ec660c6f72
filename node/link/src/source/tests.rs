use tidegate_record::{BatchBuilder, BuildOptions};
use tidegate_types::{Incarnation, PartitionId, Timestamp, TopicConfig, TopicId, TopicName};
use tidegate_wire::{
    ErrorBody, ErrorCode, MirrorAnswer, MirrorPartition, MirrorProgress, MirrorVerdict,
};

use super::*;

const ZERO: Duration = Duration::ZERO;

fn at(partition: u32) -> TopicPartition {
    TopicPartition { topic: TopicId(uuid::Uuid::from_u128(1)), partition: PartitionId(partition) }
}

fn topic(partitions: u32, end: i64) -> MirrorTopic {
    let partition = |n| MirrorPartition {
        partition: PartitionId(n),
        incarnation: Incarnation(7),
        start: Offset(5),
        end: Offset(end),
        last_epoch: LeaderEpoch(2),
    };
    MirrorTopic {
        name: TopicName::new("readings").unwrap(),
        id: at(0).topic,
        config: TopicConfig { partitions, ..TopicConfig::default() },
        partitions: (0..partitions).map(partition).collect(),
    }
}

fn batch(base: i64, records: i64) -> Bytes {
    let mut builder = BatchBuilder::new(BuildOptions {
        base_offset: Offset(base),
        leader_epoch: LeaderEpoch(2),
        ..Default::default()
    });
    for n in 0..records {
        builder.push(Timestamp(n), None, Some(b"value"), []).unwrap();
    }
    builder.build().unwrap().into()
}

fn source(partitions: u32, end: i64) -> Source {
    let config =
        SourceConfig::new(LinkName::new("hub").unwrap(), SiteName::new("edge").unwrap(), 1);
    Source::new(config, vec![topic(partitions, end)], ZERO)
}

fn effects(source: &mut Source, now: Duration) -> Vec<SourceEffect> {
    std::iter::from_fn(|| source.poll_effect(now)).collect()
}

fn resume(n: u32, from: i64) -> MirrorAnswer {
    MirrorAnswer { at: at(n), verdict: MirrorVerdict::Resume { from: Offset(from) } }
}

/// Dials and connects; the session has sent its offer.
fn connect(source: &mut Source, now: Duration) -> Session {
    let dialled = effects(source, now);
    let Some(SourceEffect::Dial { session }) = dialled.last() else { panic!("{dialled:?}") };
    source.handle_connected(*session, now);
    assert!(matches!(effects(source, now)[..], [SourceEffect::Open { .. }]));
    *session
}

/// Connected, and told to go on from offset 10 everywhere.
fn copying(partitions: u32, end: i64) -> (Source, Session) {
    let mut source = source(partitions, end);
    let session = connect(&mut source, ZERO);
    let answers = (0..partitions).map(|n| resume(n, 10)).collect();
    source.handle_reply(session, MirrorReply::Ready(answers), ZERO);
    (source, session)
}

fn problems(source: &Source) -> Vec<Option<String>> {
    source.status().partitions.into_iter().map(|partition| partition.problem).collect()
}

#[test]
fn partitions_read_in_turn_and_send_what_they_read() {
    let (mut source, session) = copying(2, 14);
    let reads: Vec<_> = effects(&mut source, ZERO)
        .into_iter()
        .filter_map(|effect| match effect {
            SourceEffect::Read { at, from, end, .. } => Some((at, from, end)),
            _ => None,
        })
        .collect();
    assert_eq!(reads, [(at(0), Offset(10), Offset(14)), (at(1), Offset(10), Offset(14))]);
    source.handle_read(session, at(0), Offset(10), Ok(batch(10, 4)), ZERO);
    let sent = effects(&mut source, ZERO);
    let [SourceEffect::Send { header, batches, .. }] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((header.at, header.source_end), (at(0), Offset(14)));
    assert_eq!(*batches, batch(10, 4));

    assert_eq!(source.status().partitions[0].copied, Some(Offset(10)));
    let progress = MirrorProgress { at: at(0), durable: Offset(14) };
    source.handle_reply(session, MirrorReply::Progress(vec![progress]), ZERO);
    assert_eq!(source.status().partitions[0].copied, Some(Offset(14)));
}

#[test]
fn no_more_is_under_way_than_the_windows_allow() {
    let mut source = source(3, 1_000_000);
    let chunk = batch(0, 100).len() as u64;
    source.config.chunk = ByteSize::bytes(chunk);
    source.config.partition_window = ByteSize::bytes(chunk * 2);
    source.config.total_window = ByteSize::bytes(chunk * 4);
    let session = connect(&mut source, ZERO);
    let answers = (0..3).map(|n| resume(n, 10)).collect();
    source.handle_reply(session, MirrorReply::Ready(answers), ZERO);
    let mut sent = [0; 3];
    loop {
        let effects = effects(&mut source, ZERO);
        if effects.is_empty() {
            break;
        }
        for effect in effects {
            if let SourceEffect::Read { at, from, .. } = effect {
                let read = batch(from.0, 100);
                source.handle_read(session, at, from, Ok(read), ZERO);
                sent[at.partition.0 as usize] += 1;
            }
        }
    }
    assert_eq!(sent.iter().sum::<u64>(), 4, "{sent:?}");
    assert!(sent.iter().all(|sent| (1..=2).contains(sent)), "one had no turn: {sent:?}");
}

#[test]
fn failures_wait_longer_each_time_and_a_stale_session_is_ignored() {
    let mut source = source(1, 10);
    let (mut now, mut last) = (ZERO, Duration::ZERO);
    for _ in 0..5 {
        let dialled = effects(&mut source, now);
        let Some(SourceEffect::Dial { session }) = dialled.last() else { panic!("{dialled:?}") };
        source.handle_disconnected(*session, "nobody answered", now);
        source.handle_connected(*session, now);
        let due = source.poll_timeout().unwrap();
        assert!(due - now >= last / 2 && due > now, "waited {:?} after {last:?}", due - now);
        assert!(!effects(&mut source, now).iter().any(|e| matches!(e, SourceEffect::Dial { .. })));
        (last, now) = (due - now, due);
    }
    assert!(last > Duration::from_secs(1), "{last:?}");
    assert_eq!(source.status().last_error.as_deref(), Some("nobody answered"));
}

#[test]
fn an_answer_that_never_comes_ends_the_session() {
    let mut source = source(1, 10);
    let session = connect(&mut source, ZERO);
    let due = source.poll_timeout().unwrap();
    assert_eq!(due, source.config.open_timeout);
    let closed = effects(&mut source, due);
    assert!(
        closed.iter().any(|e| matches!(e, SourceEffect::Close { session: s, .. } if *s == session))
    );
    assert_eq!(source.session(), None);
}

#[test]
fn each_verdict_but_resume_stops_its_partition_with_a_reason() {
    for (verdict, part) in [
        (MirrorVerdict::Resume { from: Offset(21) }, "it has lost records"),
        (MirrorVerdict::Resume { from: Offset(4) }, "deleted before"),
        (MirrorVerdict::Gap { copy_end: Offset(4), source_start: Offset(5) }, "deleted before"),
        (
            MirrorVerdict::Diverged { copy_end: Offset(21), copy_epoch: LeaderEpoch(3) },
            "records that the source has not",
        ),
        (MirrorVerdict::OtherIncarnation { copied: Incarnation(6) }, "another life"),
        (MirrorVerdict::Refused(ErrorBody::new(ErrorCode::ReadOnly, "no room")), "no room"),
    ] {
        let mut source = source(2, 20);
        let session = connect(&mut source, ZERO);
        let answers = vec![MirrorAnswer { at: at(0), verdict }, resume(1, 10)];
        source.handle_reply(session, MirrorReply::Ready(answers), ZERO);
        let problems = problems(&source);
        assert!(problems[0].as_ref().is_some_and(|p| p.contains(part)), "{problems:?}");
        assert_eq!(problems[1], None);
        let effects = effects(&mut source, ZERO);
        let reads = effects.iter().filter(|e| matches!(e, SourceEffect::Read { .. })).count();
        assert_eq!(reads, 1, "{effects:?}");
        assert!(effects.iter().any(|e| matches!(e, SourceEffect::Report(Report::Problem { .. }))));
    }
}

#[test]
fn a_partition_that_failed_is_offered_again_and_reported_once() {
    let (mut source, session) = copying(1, 20);
    effects(&mut source, ZERO);
    let failure = ReadFailure { reason: "damaged".to_owned(), retriable: true };
    source.handle_read(session, at(0), Offset(10), Err(failure.clone()), ZERO);
    assert_eq!(problems(&source), [Some("damaged".to_owned())]);
    let reported = |effects: &[SourceEffect]| {
        effects.iter().any(|e| matches!(e, SourceEffect::Report(Report::Problem { .. })))
    };
    assert!(reported(&effects(&mut source, ZERO)));
    let due = source.poll_timeout().unwrap();
    assert_eq!(due, source.config.retry_soon);
    let session = connect(&mut source, due);
    assert_eq!(problems(&source), [Some("damaged".to_owned())], "it is told until it has passed");
    source.handle_reply(session, MirrorReply::Ready(vec![resume(0, 10)]), due);
    assert_eq!(problems(&source), [None]);
}

#[test]
fn progress_beyond_what_was_sent_ends_the_session() {
    let (mut source, session) = copying(1, 20);
    let progress = MirrorProgress { at: at(0), durable: Offset(11) };
    source.handle_reply(session, MirrorReply::Progress(vec![progress]), ZERO);
    assert_eq!(source.session(), None);
    let error = source.status().last_error.unwrap();
    assert!(error.contains("only those below 10 were sent"), "{error}");
    assert_eq!(source.status().partitions[0].copied, Some(Offset(10)));
}

#[test]
fn what_the_log_returns_out_of_place_is_not_sent() {
    for (what, read) in [
        ("a batch that begins before", batch(9, 2)),
        ("a batch above the high watermark", batch(10, 11)),
        ("nothing", Bytes::new()),
        ("half a batch", batch(10, 2).slice(..40)),
    ] {
        let (mut source, session) = copying(1, 20);
        effects(&mut source, ZERO);
        source.handle_read(session, at(0), Offset(10), Ok(read), ZERO);
        let effects = effects(&mut source, ZERO);
        assert!(!effects.iter().any(|e| matches!(e, SourceEffect::Send { .. })), "{what}");
        assert!(problems(&source)[0].is_some(), "{what}");
    }
}

#[test]
fn changed_topics_are_offered_once_what_is_under_way_has_arrived() {
    let (mut source, session) = copying(1, 14);
    effects(&mut source, ZERO);
    source.handle_read(session, at(0), Offset(10), Ok(batch(10, 4)), ZERO);
    effects(&mut source, ZERO);
    source.handle_topics(vec![topic(2, 14)]);
    assert_eq!(effects(&mut source, ZERO), [], "it waits for the progress");
    let progress = MirrorProgress { at: at(0), durable: Offset(14) };
    source.handle_reply(session, MirrorReply::Progress(vec![progress]), ZERO);
    let effects = effects(&mut source, ZERO);
    assert!(matches!(effects[..], [SourceEffect::Close { .. }, SourceEffect::Dial { .. }]));
    assert_eq!(source.status().partitions[0].copied, Some(Offset(14)));
    assert_eq!(source.status().partitions[1].copied, None);
}

#[test]
fn topics_that_are_taken_away_free_their_share_of_the_window() {
    let (mut source, session) = copying(1, 14);
    effects(&mut source, ZERO);
    source.handle_read(session, at(0), Offset(10), Ok(batch(10, 4)), ZERO);
    source.handle_topics(Vec::new());
    let effects = effects(&mut source, ZERO);
    assert!(effects.iter().any(|e| matches!(e, SourceEffect::Dial { .. })), "{effects:?}");
}

#[test]
fn a_stopped_link_closes_and_never_dials_again() {
    let (mut source, session) = copying(1, 14);
    effects(&mut source, ZERO);
    source.stop(ZERO);
    let closed = effects(&mut source, Duration::from_secs(3_600));
    assert!(matches!(&closed[..], [SourceEffect::Close { session: s, .. }] if *s == session));
    assert_eq!(source.poll_timeout(), None);
}

#[test]
fn more_partitions_than_a_stream_takes_are_told() {
    let mut source = source(MAX_MIRROR_PARTITIONS as u32 + 1, 14);
    let dialled = effects(&mut source, ZERO);
    let [SourceEffect::Dial { session }] = dialled[..] else { panic!("{dialled:?}") };
    source.handle_connected(session, ZERO);
    let opened = effects(&mut source, ZERO);
    assert!(matches!(&opened[..], [SourceEffect::Open { open, .. }] if open.topics.is_empty()));
    assert!(problems(&source).iter().all(|p| p.as_ref().unwrap().contains("another link")));
}
