use super::*;
use proptest::prelude::*;
use tidegate_record::{BatchBuilder, BuildOptions};
use tidegate_types::Timestamp;

fn header(id: i64, epoch: i16, sequence: i32, records: usize, base: i64) -> BatchHeader {
    let stamp = ProducerStamp {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
        base_sequence: Sequence(sequence),
    };
    let options =
        BuildOptions { stamp: Some(stamp), base_offset: Offset(base), ..BuildOptions::default() };
    let mut builder = BatchBuilder::new(options);
    for _ in 0..records {
        builder.push(Timestamp(1), None, None, []).unwrap();
    }
    BatchHeader::parse(&builder.build().unwrap()).unwrap()
}

/// Takes a batch as a log would: judged, and noted if it is new.
fn take(producers: &mut Producers, header: &BatchHeader) -> Result<Verdict, AppendError> {
    let verdict = producers.check(header)?;
    if verdict == Verdict::Append {
        producers.note(header);
    }
    Ok(verdict)
}

#[test]
fn batches_follow_each_other_and_retries_are_recognised() {
    let mut producers = Producers::default();
    // Unknown producers may begin anywhere.
    assert_eq!(take(&mut producers, &header(1, 0, 7, 3, 0)).unwrap(), Verdict::Append);
    assert_eq!(take(&mut producers, &header(1, 0, 10, 2, 3)).unwrap(), Verdict::Append);
    let again = take(&mut producers, &header(1, 0, 7, 3, 99)).unwrap();
    assert_eq!(again, Verdict::Duplicate(Some((Offset(0), Offset(3)))));
    let gap = take(&mut producers, &header(1, 0, 13, 1, 5)).unwrap_err();
    assert!(
        matches!(gap, AppendError::OutOfOrderSequence { expected: Sequence(12), .. }),
        "{gap:?}"
    );
    // Before the unbroken run nothing is known to be in the log.
    assert!(take(&mut producers, &header(1, 0, 6, 1, 5)).is_err());
}

#[test]
fn old_retries_are_duplicates_at_unknown_offsets() {
    let mut producers = Producers::default();
    for n in 0..8 {
        take(&mut producers, &header(1, 0, n * 2, 2, i64::from(n) * 2)).unwrap();
    }
    assert_eq!(take(&mut producers, &header(1, 0, 0, 2, 50)).unwrap(), Verdict::Duplicate(None));
    let known = take(&mut producers, &header(1, 0, 6, 2, 50)).unwrap();
    assert_eq!(known, Verdict::Duplicate(Some((Offset(6), Offset(8)))));
    // It reaches beyond what was written: no retry of anything.
    assert!(take(&mut producers, &header(1, 0, 14, 3, 50)).is_err());
}

#[test]
fn epochs_fence_and_begin_anew() {
    let mut producers = Producers::default();
    take(&mut producers, &header(1, 4, 0, 1, 0)).unwrap();
    let fenced = take(&mut producers, &header(1, 3, 1, 1, 1)).unwrap_err();
    assert!(matches!(fenced, AppendError::InvalidProducerEpoch { current: ProducerEpoch(4), .. }));
    assert!(take(&mut producers, &header(1, 5, 1, 1, 1)).is_err(), "a new epoch begins at 0");
    assert_eq!(take(&mut producers, &header(1, 5, 0, 1, 1)).unwrap(), Verdict::Append);
    assert!(take(&mut producers, &header(1, 4, 0, 1, 2)).is_err());
}

#[test]
fn derived_ids_only_need_to_rise() {
    let id = ProducerId::FIRST_DERIVED + 3;
    let mut producers = Producers::default();
    for sequence in [5, 9, 200] {
        let verdict = take(&mut producers, &header(id, 0, sequence, 2, i64::from(sequence)));
        assert_eq!(verdict.unwrap(), Verdict::Append);
    }
    let verdict = take(&mut producers, &header(id, 0, 9, 7, 300)).unwrap();
    assert_eq!(verdict, Verdict::Duplicate(Some((Offset(9), Offset(11)))));
    assert_eq!(take(&mut producers, &header(id, 0, 8, 2, 300)).unwrap(), Verdict::Duplicate(None));
}

#[test]
fn the_producer_silent_for_longest_is_forgotten() {
    let mut producers = Producers::default();
    let count = i64::try_from(MAX_PRODUCERS_PER_PARTITION).unwrap();
    for id in 0..count {
        take(&mut producers, &header(id, 0, 0, 1, id)).unwrap();
    }
    take(&mut producers, &header(0, 0, 1, 1, count)).unwrap();
    take(&mut producers, &header(count, 0, 0, 1, count + 1)).unwrap();
    assert_eq!(producers.known.len(), MAX_PRODUCERS_PER_PARTITION);
    assert!(producers.known.contains_key(&ProducerId(0)), "it had just written");
    assert!(!producers.known.contains_key(&ProducerId(1)));
}

#[test]
fn a_snapshot_that_cannot_have_been_taken_is_refused() {
    let mut producers = Producers::default();
    take(&mut producers, &header(1, 0, 0, 1, 0)).unwrap();
    let Snapshot(mut entries) = producers.snapshot();
    entries.push((ProducerId(2), entries[0].1.clone()));
    assert!(Snapshot(entries.clone()).restore().is_none(), "two newest batches at one offset");
    entries[0].1.recent.clear();
    entries.pop();
    assert!(Snapshot(entries).restore().is_none(), "a producer without a batch");
}

proptest! {
    /// Sequences wrap; every retry of the last five is told its offsets; nothing is taken twice.
    #[test]
    fn a_session_is_taken_once(
        start in prop_oneof![Just(0), i32::MAX - 30..=i32::MAX],
        sizes in prop::collection::vec(1_usize..6, 1..20),
        retries in prop::collection::vec((0_usize..20, any::<bool>()), 0..20),
    ) {
        let mut producers = Producers::default();
        let (mut sequence, mut offset, mut sent) = (Sequence(start), 0, Vec::new());
        let mut retries = retries.into_iter();
        for size in sizes {
            let batch = header(1, 0, sequence.0, size, offset);
            prop_assert_eq!(take(&mut producers, &batch).unwrap(), Verdict::Append);
            sent.push(batch);
            sequence = sequence.advance(i32::try_from(size).unwrap());
            offset += i64::try_from(size).unwrap();
            if let Some((back, restore)) = retries.next() {
                let at = sent.len() - 1 - back.min(sent.len() - 1);
                let batch: &BatchHeader = &sent[at];
                let offsets = (batch.base_offset, batch.next_offset());
                let verdict = take(&mut producers, batch).unwrap();
                if sent.len() - at <= PRODUCER_BATCHES_REMEMBERED {
                    prop_assert_eq!(verdict, Verdict::Duplicate(Some(offsets)));
                } else {
                    prop_assert_eq!(verdict, Verdict::Duplicate(None));
                }
                if restore {
                    let bytes = postcard::to_stdvec(&producers.snapshot()).unwrap();
                    let snapshot: Snapshot = postcard::from_bytes(&bytes).unwrap();
                    let restored = snapshot.restore().unwrap();
                    prop_assert_eq!(&restored, &producers);
                    producers = restored;
                }
            }
        }
    }

    /// What was noted can be taken back to the last bit.
    #[test]
    fn undo_restores(batches in prop::collection::vec((0_i64..4, 0_i16..2, 0_i32..50), 1..30), split in 0_usize..30) {
        let mut producers = Producers::default();
        let split = split.min(batches.len());
        let note = |producers: &mut Producers, at: usize| {
            let (id, epoch, sequence) = batches[at];
            producers.note(&header(id, epoch, sequence, 1, at as i64))
        };
        for at in 0..split {
            note(&mut producers, at);
        }
        let before = producers.clone();
        let noted: Vec<Undo> = (split..batches.len()).filter_map(|at| note(&mut producers, at)).collect();
        producers.undo(noted.into_iter());
        prop_assert_eq!(producers, before);
    }
}
