use bytes::Bytes;
use tidegate_types::Timestamp;
use uuid::Uuid;

use super::*;

fn stamp() -> Stamp {
    Stamp { wall: Timestamp(1_000), uptime: Duration::from_millis(2_500) }
}

fn topic() -> TopicId {
    TopicId(Uuid::from_bytes([7; 16]))
}

fn member(id: &str) -> ClassicMemberValue {
    ClassicMemberValue {
        member_id: id.to_owned(),
        instance_id: Some(format!("i-{id}")),
        client_id: "c".to_owned(),
        client_host: "/h".to_owned(),
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(60),
        protocols: vec![("range".to_owned(), Bytes::from_static(b"meta"))],
        assignment: Bytes::from_static(b"given"),
    }
}

fn classic() -> ClassicValue {
    ClassicValue {
        phase: StoredPhase::Stable,
        generation: 3,
        protocol_type: Some("consumer".to_owned()),
        protocol: Some("range".to_owned()),
        leader: Some("m".to_owned()),
        since: stamp(),
        members: vec![member("m")],
    }
}

fn offset() -> OffsetValue {
    OffsetValue {
        offset: Offset(300),
        leader_epoch: LeaderEpoch(-1),
        metadata: "x".to_owned(),
        topic: Some(topic()),
        committed: stamp(),
        retention: None,
    }
}

/// One record of each kind, and its bytes as they are for ever.
fn golden() -> Vec<(Entry, Bytes, Bytes, &'static str, &'static str)> {
    let g = || "g".to_owned();
    let id = || "m".to_owned();
    let consumer = ConsumerValue { epoch: 5, since: stamp() };
    let member = ConsumerMemberValue {
        instance_id: None,
        client_id: "c".to_owned(),
        client_host: "/h".to_owned(),
        rebalance_timeout: Duration::from_secs(60),
        topics: vec!["t".to_owned()],
        regex: "r.*".to_owned(),
        assignor: Some("range".to_owned()),
    };
    let assignment = ConsumerAssignmentValue {
        epoch: 5,
        previous_epoch: 4,
        state: StoredMemberState::UnrevokedPartitions,
        assigned: vec![(topic(), vec![(PartitionId(0), 4)])],
        revoking: vec![],
    };
    let uptime = UptimeValue { uptime: Duration::from_secs(1) };
    let key = |key: Key| encode(&key);
    vec![
        (
            Entry::Classic { group: g(), value: Some(classic()) },
            key(Key::Classic { group: g() }),
            encode(&classic()),
            "01000167",
            "01020601 08636f6e73756d65720105 72616e6765 01016d d00f 02 80cab5ee01 01016d0103692d6d\
             0163022f680a003c00010572616e6765046d657461056769 76656e",
        ),
        (
            Entry::Consumer { group: g(), value: Some(consumer.clone()) },
            key(Key::Consumer { group: g() }),
            encode(&consumer),
            "01010167",
            "010ad00f0280cab5ee01",
        ),
        (
            Entry::ConsumerMember { group: g(), member: id(), value: Some(member.clone()) },
            key(Key::ConsumerMember { group: g(), member: id() }),
            encode(&member),
            "01020167016d",
            "01000163022f683c0001017403722e2a010572616e6765",
        ),
        (
            Entry::ConsumerAssignment { group: g(), member: id(), value: Some(assignment.clone()) },
            key(Key::ConsumerAssignment { group: g(), member: id() }),
            encode(&assignment),
            "01030167016d",
            "010a08010110070707070707070707070707070707070100 0800",
        ),
        (
            Entry::Offset {
                group: g(),
                topic: "t".to_owned(),
                partition: PartitionId(300),
                value: Some(offset()),
            },
            key(Key::Offset { group: g(), topic: "t".to_owned(), partition: PartitionId(300) }),
            encode(&offset()),
            "010401670174ac02",
            "01d8040101780110 07070707070707070707070707070707 d00f0280cab5ee0100",
        ),
        (
            Entry::Uptime { value: Some(uptime.clone()) },
            key(Key::Uptime),
            encode(&uptime),
            "0105",
            "010100",
        ),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn records_are_these_bytes_for_ever() {
    for (entry, key, value, golden_key, golden_value) in golden() {
        assert_eq!(hex(&key), golden_key, "{entry:?}");
        assert_eq!(hex(&value), golden_value.replace(' ', ""), "{entry:?}");
    }
}

#[test]
fn records_round_trip_and_tombstones_too() {
    for (entry, key, value, _, _) in golden() {
        assert_eq!(decode_record(&key, Some(&value)), Ok(entry));
        let tombstone = decode_record(&key, None).unwrap();
        assert!(format!("{tombstone:?}").contains("value: None"));
    }
}

#[test]
fn another_version_is_named() {
    let (_, key, value, _, _) = golden().remove(4);
    let newer = |bytes: &Bytes| [&[2], &bytes[1..]].concat();
    let error = Err(FormatError::Version { found: 2 });
    assert_eq!(decode_record(&newer(&key), Some(&value)), error);
    assert_eq!(decode_record(&key, Some(&newer(&value))), error);
    assert_eq!(decode_record(&[], None), Err(FormatError::Damaged { what: "key" }));
}

#[test]
fn a_group_that_cannot_be_is_refused() {
    let two = vec![member("a"), member("b")];
    let mut same_instance = two.clone();
    same_instance[1].instance_id = same_instance[0].instance_id.clone();
    let mut other_protocol = two.clone();
    other_protocol[1].protocols[0].0 = "sticky".to_owned();
    let of = |members: Vec<ClassicMemberValue>| ClassicValue {
        leader: Some("a".to_owned()),
        members,
        ..classic()
    };
    let cases = [
        ClassicValue { members: vec![], ..classic() },
        ClassicValue { phase: StoredPhase::Empty, ..classic() },
        ClassicValue { leader: Some("x".to_owned()), ..classic() },
        ClassicValue { leader: None, ..classic() },
        ClassicValue { protocol: None, ..classic() },
        ClassicValue { protocol_type: None, ..classic() },
        of(vec![member("a"), member("a")]),
        of(same_instance),
        of(other_protocol),
    ];
    for value in cases {
        let key = encode(&Key::Classic { group: "g".to_owned() });
        let read = decode_record(&key, Some(&encode(&value)));
        assert!(matches!(read, Err(FormatError::Contradiction { .. })), "{value:?}");
    }
    assert!(of(two).check().is_ok());
}

#[test]
fn lengths_that_lie_allocate_nothing() {
    // A classic group that claims four billion members.
    let mut value = encode(&ClassicValue {
        phase: StoredPhase::Empty,
        members: vec![],
        leader: None,
        ..classic()
    })
    .to_vec();
    value.pop();
    value.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
    let key = encode(&Key::Classic { group: "g".to_owned() });
    assert_eq!(decode_record(&key, Some(&value)), Err(FormatError::Damaged { what: "value" }));
}
