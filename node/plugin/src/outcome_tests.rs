//! What the contract forbids is refused, and whatever is taken can be read to its end.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn emitted(count: usize) -> abi::Emitted {
    abi::Emitted {
        inputs: (0..count as u32).collect(),
        flags: vec![KEY_INPUT | VALUE_INPUT | HEADERS_INPUT; count],
        ..abi::Emitted::default()
    }
}

fn transform(emitted: abi::Emitted) -> Result<Outcome, Malformed> {
    Outcome::of_transform(abi::TransformVerdict::Emitted(emitted), 3, 2)
}

#[test]
fn a_bitmap_has_a_bit_for_each_record() {
    let filter = |bitmap: Vec<u8>, count| {
        let kept = abi::Kept { bitmap, failed: Vec::new() };
        match Outcome::of_filter(abi::FilterVerdict::Kept(kept), count)?.verdict {
            Verdict::Filter(kept) => Ok(kept),
            other => panic!("a filter gave {other:?}"),
        }
    };
    assert_eq!(
        filter(vec![0xff], 9),
        Err(Malformed::Length { column: "bitmap", len: 1, expected: 2 })
    );
    let kept = filter(vec![0xff, 0b10], 10).unwrap();
    assert!(kept.contains(7) && !kept.contains(8) && kept.contains(9));
    assert!(!kept.contains(10) && !kept.contains(u32::MAX));
    assert!(!kept.all());
    assert!(filter(vec![0xff, 0b11], 10).unwrap().all());
    assert!(filter(vec![0xff, 0xff], 16).unwrap().all());
    assert!(!filter(vec![0xfe, 0xff], 16).unwrap().all());
}

#[test]
fn a_failed_record_needs_no_partition() {
    let chosen = |partitions: Vec<u32>, failed: Vec<u32>| {
        let failed = failed
            .into_iter()
            .map(|record| abi::Failure { record, reason: String::new() })
            .collect();
        let verdict = abi::PartitionVerdict::Chosen(abi::Chosen { partitions, failed });
        Outcome::of_partition(verdict, 3, 4)
    };
    assert!(chosen(vec![0, 3, 2], vec![]).is_ok());
    assert!(chosen(vec![0, 4, 2], vec![1]).is_ok());
    assert!(matches!(chosen(vec![0, 4, 2], vec![0]), Err(Malformed::Index { item: 1, .. })));
    assert!(matches!(chosen(vec![0, 1], vec![]), Err(Malformed::Length { .. })));
    assert!(matches!(chosen(vec![0, 0, 0], vec![3]), Err(Malformed::Index { .. })));
    assert!(matches!(chosen(vec![0, 0, 0], vec![1, 1]), Err(Malformed::Order { .. })));
    assert!(matches!(chosen(vec![0, 0, 0], vec![2, 1]), Err(Malformed::Order { .. })));
}

#[test]
fn emitted_columns_must_fit_together() {
    assert!(transform(emitted(3)).is_ok());
    let bad = [
        abi::Emitted { inputs: vec![0, 1, 3], ..emitted(3) },
        abi::Emitted { inputs: vec![0, 2, 1], ..emitted(3) },
        abi::Emitted { flags: vec![28, 28], ..emitted(3) },
        abi::Emitted { flags: vec![28, 28, 32], ..emitted(3) },
        abi::Emitted { flags: vec![28, 28, KEY_NULL | KEY_INPUT], ..emitted(3) },
        abi::Emitted { flags: vec![28, 28, VALUE_NULL | VALUE_INPUT], ..emitted(3) },
        // The key of the first is its input's, and there are bytes for it.
        abi::Emitted { keys: vec![1], key_ends: vec![1, 1, 1], ..emitted(3) },
        abi::Emitted { keys: vec![1], key_ends: vec![], ..emitted(3) },
        abi::Emitted { values: vec![], value_ends: vec![0, 0], ..emitted(3) },
        abi::Emitted { timestamps: vec![1], ..emitted(3) },
        abi::Emitted { topic_of: vec![NONE, NONE, 0], ..emitted(3) },
        abi::Emitted { topic_of: vec![NONE], ..emitted(3) },
        abi::Emitted { topics: vec!["a".into(), "a".into()], ..emitted(3) },
        abi::Emitted { topics: vec!["a b".into()], ..emitted(3) },
        abi::Emitted { partition_of: vec![NONE, 1, 2], ..emitted(3) },
        abi::Emitted { partition_of: vec![NONE], ..emitted(3) },
        abi::Emitted {
            failed: vec![abi::Failure { record: 1, reason: String::new() }],
            ..emitted(3)
        },
    ];
    for answer in bad {
        assert!(transform(answer.clone()).is_err(), "taken: {answer:?}");
    }
}

#[test]
fn a_partition_of_another_topic_is_for_the_broker_to_check() {
    let answer = abi::Emitted {
        topics: vec!["other".into()],
        topic_of: vec![0, NONE, 0],
        partition_of: vec![7, 1, NONE],
        ..emitted(3)
    };
    let Verdict::Emitted(emitted) = transform(answer).unwrap().verdict else {
        panic!("not emitted")
    };
    let other = TopicName::new("other").unwrap();
    let places: Vec<_> = emitted.iter().map(|out| (out.topic.cloned(), out.partition)).collect();
    assert_eq!(places, [(Some(other.clone()), Some(7)), (None, Some(1)), (Some(other), None)]);
}

#[test]
fn reasons_are_short_and_on_one_line() {
    let reason = "because\n".repeat(1_000);
    let failed = failures(vec![abi::Failure { record: 0, reason }], 1).unwrap();
    assert!(failed[0].reason.len() <= MAX_REASON);
    assert!(!failed[0].reason.contains('\n'));
}

fn small() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0u32..5, 1 => Just(NONE), 1 => any::<u32>()]
}

fn failed() -> impl Strategy<Value = Vec<abi::Failure>> {
    vec(small().prop_map(|record| abi::Failure { record, reason: "r".into() }), 0..3)
}

prop_compose! {
    fn any_emitted()(
        inputs in vec(small(), 0..4),
        flags in vec(0u8..33, 0..4),
        keys in vec(any::<u8>(), 0..4),
        key_ends in vec(small(), 0..4),
        values in vec(any::<u8>(), 0..4),
        value_ends in vec(small(), 0..4),
        headers in vec(0u8..2, 0..20),
        header_ends in vec(0u32..20, 0..4),
        timestamps in vec(any::<i64>(), 0..4),
        topics in vec("[a-c]", 0..3),
        topic_of in vec(small(), 0..4),
        (partition_of, failed) in (vec(small(), 0..4), failed()),
    ) -> abi::Emitted {
        abi::Emitted {
            inputs, flags, keys, key_ends, values, value_ends, headers, header_ends, timestamps,
            topics, topic_of, partition_of, failed,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn whatever_is_taken_can_be_read(mut answer in any_emitted(), sorted: bool, count in 1u32..5) {
        if sorted {
            for column in [
                &mut answer.inputs, &mut answer.key_ends, &mut answer.value_ends, &mut answer.header_ends,
            ] {
                column.sort_unstable();
            }
        }
        if let Ok(Outcome { verdict: Verdict::Emitted(emitted), failed }) =
            Outcome::of_transform(abi::TransformVerdict::Emitted(answer), count, 3)
        {
            let outputs: Vec<Output<'_>> = emitted.iter().collect();
            prop_assert!(outputs.is_sorted_by_key(|output| output.input));
            for output in outputs {
                prop_assert!(output.input < count);
                prop_assert!(failed.iter().all(|failed| failed.record != output.input));
                if let Part::Own(headers) = output.headers {
                    prop_assert!(PackedHeaders::new(headers).validate().is_some());
                }
            }
        }
    }

    #[test]
    fn tags_are_taken_only_with_a_value_for_each_replacement(
        codes in vec(0u8..5, 0..5),
        values in vec(any::<u8>(), 0..6),
        value_ends in vec(small(), 0..4),
        failed in failed(),
        count in 0u32..5,
    ) {
        let tagged = abi::Tagged {
            tags: codes.clone(), values: values.clone(), value_ends: value_ends.clone(), failed,
        };
        let answer = Outcome::of_transform(abi::TransformVerdict::Tagged(tagged), count, 1);
        let replaced = codes.iter().filter(|code| **code == 2).count();
        if let Ok(Outcome { verdict: Verdict::Tags(tags), .. }) = answer {
            prop_assert_eq!(tags.tags.len(), count as usize);
            prop_assert_eq!(tags.values.len(), replaced);
            let joined: Vec<u8> =
                (0..replaced).flat_map(|i| tags.values.get(i).to_vec()).collect();
            prop_assert_eq!(joined, values);
        }
    }
}
