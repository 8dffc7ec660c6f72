//! What frames hold true: golden bytes, round trips, and that no input is trusted.

use proptest::prelude::*;
use tidegate_types::{
    Acks, Offset, PartitionId, ProducerEpoch, ProducerId, StartPosition, Timestamp, TopicId,
    TopicName,
};

use super::*;
use crate::{
    BatchAck, ErrorBody, ErrorCode, GroupDescription, GroupKind, GroupMember, GroupOffset,
    GroupSummary, Hello, MAGIC, MemberTopic, Open, OpenProduce, OpenSubscribe, ProduceBatch,
    ProduceReply, ProducerIdentity, Request, Response, SubscribeReply, VERSION,
};

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn whole(header: &Bytes, payload: &[u8]) -> Vec<u8> {
    [header, payload].concat()
}

fn decode_all(bytes: &[u8], cut: usize) -> Result<Vec<Frame>, FrameError> {
    let mut decoder = FrameDecoder::new();
    let mut frames = Vec::new();
    for chunk in bytes.chunks(cut.max(1)) {
        decoder.handle_bytes(Bytes::copy_from_slice(chunk));
        while let Some(frame) = decoder.poll_frame()? {
            frames.push(frame);
        }
    }
    Ok(frames)
}

/// The bytes of one message in a frame with `payload`, and that they read back.
fn assert_golden<T>(message: &T, payload: &[u8], golden: &[u8])
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let header = encode_header(message, payload.len()).unwrap();
    assert_eq!(whole(&header, payload), golden, "{message:?}");
    let frames = decode_all(golden, 3).unwrap();
    assert_eq!(frames.len(), 1);
    assert_eq!(&decode_header::<T>(&frames[0].header).unwrap(), message);
    assert_eq!(frames[0].payload, payload);
}

#[test]
fn golden_hello() {
    let hello =
        Open::Hello(Hello { magic: MAGIC, version: VERSION, features: 0, software: "tg/1".into() });
    #[rustfmt::skip]
    let golden = [
        0, 0, 0, 17,                        // length: what follows
        0, 0, 0, 13,                        // header length
        0,                                  // Open::Hello
        0xc7, 0x88, 0xa5, 0xa2, 0x05,       // magic "TIDG" as a varint
        1,                                  // version
        0,                                  // features
        4, b't', b'g', b'/', b'1',          // software
    ];
    assert_golden(&hello, b"", &golden);
}

#[test]
fn golden_produce_session() {
    let open = Open::Produce(OpenProduce {
        topic: topic("temp"),
        acks: Acks::All,
        producer: Some(ProducerIdentity { id: ProducerId(5), epoch: ProducerEpoch(1) }),
    });
    #[rustfmt::skip]
    let golden = [
        0, 0, 0, 14,
        0, 0, 0, 10,
        1,                                  // Open::Produce
        4, b't', b'e', b'm', b'p',          // topic
        2,                                  // Acks::All
        1,                                  // Some
        10,                                 // producer id 5, zigzag
        2,                                  // epoch 1, zigzag
    ];
    assert_golden(&open, b"", &golden);

    let batch = ProduceBatch { number: 300, partition: PartitionId(2) };
    #[rustfmt::skip]
    let golden = [
        0, 0, 0, 11,
        0, 0, 0, 3,
        0xac, 0x02,                         // number 300
        2,                                  // partition
        b'r', b'a', b'w', b'!',             // the batch
    ];
    assert_golden(&batch, b"raw!", &golden);

    let reply = ProduceReply::Acked(vec![
        BatchAck { number: 0, base_offset: Some(Offset(7)), duplicate: false },
        BatchAck { number: 1, base_offset: None, duplicate: true },
    ]);
    #[rustfmt::skip]
    let golden = [
        0, 0, 0, 13,
        0, 0, 0, 9,
        1,                                  // ProduceReply::Acked
        2,                                  // two of them
        0, 1, 14, 0,                        // number, Some, offset 7 zigzag, duplicate
        1, 0, 1,                            // number, None, duplicate
    ];
    assert_golden(&reply, b"", &golden);
}

#[test]
fn golden_subscription() {
    let open = Open::Subscribe(OpenSubscribe {
        topic: topic("a/t"),
        from: StartPosition::End,
        partitions: vec![(PartitionId(1), StartPosition::Offset(Offset(64)))],
        until_end: true,
        plugin: None,
    });
    #[rustfmt::skip]
    let golden = [
        0, 0, 0, 17,
        0, 0, 0, 13,
        2,                                  // Open::Subscribe
        3, b'a', b'/', b't',                // topic
        1,                                  // StartPosition::End
        1,                                  // one partition
        1,                                  // its number
        2, 0x80, 0x01,                      // StartPosition::Offset(64), zigzag
        1,                                  // until_end
        0,                                  // no plugin
    ];
    assert_golden(&open, b"", &golden);

    let reply = SubscribeReply::Records {
        partition: PartitionId(0),
        next: Offset(10),
        high_watermark: Offset(12),
    };
    assert_golden(&reply, b"..", &[0, 0, 0, 10, 0, 0, 0, 4, 1, 0, 20, 24, b'.', b'.']);
}

#[test]
fn golden_request_and_refusal() {
    assert_golden(&Open::Request(Request::Status), b"", &[0, 0, 0, 6, 0, 0, 0, 2, 3, 0]);
    let refused = Response::Failed(ErrorBody::retriable(ErrorCode::Overloaded, "wait"));
    #[rustfmt::skip]
    let golden = [
        0, 0, 0, 13,
        0, 0, 0, 9,
        12,                                 // Response::Failed
        15,                                 // ErrorCode::Overloaded
        4, b'w', b'a', b'i', b't',          // message
        1,                                  // retriable
        0,                                  // written
    ];
    assert_golden(&refused, b"", &golden);
}

#[test]
fn golden_groups() {
    let delete = Open::Request(Request::DeleteGroup("g".to_owned()));
    assert_golden(&delete, b"", &[0, 0, 0, 8, 0, 0, 0, 4, 3, 21, 1, b'g']);
    let seek = Request::SeekGroup {
        group: "g".to_owned(),
        topic: topic("t"),
        partition: Some(PartitionId(2)),
        to: StartPosition::Offset(Offset(7)),
    };
    #[rustfmt::skip]
    let golden = [
        0, 0, 0, 14,
        0, 0, 0, 10,
        3, 20,                              // Open::Request, Request::SeekGroup
        1, b'g',                            // group
        1, b't',                            // topic
        1, 2,                               // partition
        2, 14,                              // StartPosition::Offset, zigzagged
    ];
    assert_golden(&Open::Request(seek), b"", &golden);

    let summary = GroupSummary {
        group: "g".to_owned(),
        kind: GroupKind::Consumer,
        state: "Stable".to_owned(),
        protocol_type: "c".to_owned(),
    };
    let assigned = MemberTopic { topic: "t".to_owned(), partitions: vec![PartitionId(2)] };
    let member = GroupMember {
        member: "m".to_owned(),
        instance: None,
        client: "x".to_owned(),
        host: "/h".to_owned(),
        assigned: Some(vec![assigned]),
    };
    let offset = GroupOffset {
        topic: "t".to_owned(),
        partition: PartitionId(2),
        committed: Some(Offset(7)),
        committed_at: Some(Timestamp(1)),
        high_watermark: None,
        member: Some("m".to_owned()),
    };
    let group = Response::Group(GroupDescription {
        summary,
        generation: 3,
        assignor: "u".to_owned(),
        members: vec![member],
        members_left_out: 0,
        offsets: vec![offset],
        offsets_left_out: 4,
    });
    #[rustfmt::skip]
    let golden = [
        0, 0, 0, 49,
        0, 0, 0, 45,
        14,                                 // Response::Group
        1, b'g', 1,                         // group, GroupKind::Consumer
        6, b'S', b't', b'a', b'b', b'l', b'e',
        1, b'c',                            // protocol type
        6,                                  // generation, zigzagged
        1, b'u',                            // assignor
        1,                                  // one member
        1, b'm', 0, 1, b'x', 2, b'/', b'h', // id, no instance, client, host
        1, 1, 1, b't', 1, 2,                // assigned: one topic, one partition
        0,                                  // members left out
        1,                                  // one offset
        1, b't', 2, 1, 14, 1, 2, 0,         // topic, partition, committed, when, no end
        1, 1, b'm',                         // member
        4,                                  // offsets left out
    ];
    assert_golden(&group, b"", &golden);
}

#[test]
fn lengths_are_checked_before_anything_is_reserved() {
    let head = |len: u32, header: u32| {
        let mut prefix = [0; PREFIX_LEN];
        prefix[..4].copy_from_slice(&len.to_be_bytes());
        prefix[4..].copy_from_slice(&header.to_be_bytes());
        FrameHead::parse(prefix)
    };
    let max = limits::MAX_FRAME.get() as u32;
    let max_header = limits::MAX_FRAME_HEADER.get() as u32;
    assert_eq!(head(3, 0), Err(FrameError::TooShort { len: 3 }));
    assert_eq!(head(max + 1, 0), Err(FrameError::TooLong { len: max + 1 }));
    assert_eq!(head(u32::MAX, u32::MAX), Err(FrameError::TooLong { len: u32::MAX }));
    let len = max_header + 1;
    assert_eq!(head(max, len), Err(FrameError::HeaderTooLong { len }));
    assert_eq!(head(9, 6), Err(FrameError::HeaderBeyondFrame { header: 6, frame: 9 }));
    let largest = head(max, max_header).unwrap();
    assert_eq!(largest.body_len(), max as usize - 4);
    assert_eq!(head(4, 0).unwrap().body_len(), 0);
}

#[test]
fn a_promised_length_reserves_little_until_bytes_come() {
    let mut decoder = FrameDecoder::new();
    let max = limits::MAX_FRAME.get() as u32;
    decoder.handle_bytes(Bytes::copy_from_slice(&max.to_be_bytes()));
    decoder.handle_bytes(Bytes::copy_from_slice(&[0, 0, 0, 1, 9]));
    assert_eq!(decoder.poll_frame(), Ok(None));
    let (_, body) = decoder.body.as_ref().unwrap();
    assert!(body.capacity() <= FIRST_RESERVE, "{}", body.capacity());
}

#[test]
fn a_frame_over_the_limit_is_not_written() {
    let message = ProduceBatch { number: 0, partition: PartitionId(0) };
    let limit = limits::MAX_FRAME.as_usize();
    assert!(encode_header(&message, limit - 4 - 2).is_ok());
    assert!(matches!(
        encode_header(&message, limit - 4 - 1),
        Err(EncodeError::TooLong { len }) if len == limit + 1
    ));
    assert!(matches!(encode_header(&message, usize::MAX), Err(EncodeError::TooLong { .. })));
    let long = ErrorBody::new(ErrorCode::Internal, "x".repeat(limits::MAX_FRAME_HEADER.as_usize()));
    assert!(matches!(encode_header(&long, 0), Err(EncodeError::HeaderTooLong { .. })));
}

#[test]
fn bytes_after_the_message_are_refused() {
    let header = encode_header(&Open::Request(Request::Status), 0).unwrap();
    let mut message = header[PREFIX_LEN..].to_vec();
    assert!(decode_header::<Open>(&message).is_ok());
    message.push(0);
    assert_eq!(decode_header::<Open>(&message), Err(FrameError::Trailing { left: 1 }));
    assert!(matches!(decode_header::<Open>(&message[..1]), Err(FrameError::Header { .. })));
}

#[test]
fn a_name_that_breaks_the_rules_does_not_decode() {
    // Request::DescribeTopic with the name "a b".
    let header = [3, 4, 3, b'a', b' ', b'b'];
    assert!(matches!(decode_header::<Open>(&header), Err(FrameError::Header { .. })));
}

#[test]
fn an_error_is_given_again_and_the_rest_is_dropped() {
    let mut decoder = FrameDecoder::new();
    decoder.handle_bytes(Bytes::from_static(&[0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3]));
    let error = Err(FrameError::TooShort { len: 1 });
    assert_eq!(decoder.poll_frame(), error);
    decoder.handle_bytes(Bytes::from(whole(&encode_header(&Request::Status, 0).unwrap(), b"")));
    assert_eq!(decoder.poll_frame(), error);
}

fn arbitrary_message() -> impl Strategy<Value = ProduceReply> {
    let ack = (any::<u64>(), proptest::option::of(any::<i64>()), any::<bool>()).prop_map(
        |(number, offset, duplicate)| BatchAck {
            number,
            base_offset: offset.map(Offset),
            duplicate,
        },
    );
    prop_oneof![
        (any::<u128>(), any::<u32>()).prop_map(|(id, partitions)| ProduceReply::Ready {
            topic: serde_topic_id(id),
            partitions,
        }),
        proptest::collection::vec(ack, 0..20).prop_map(ProduceReply::Acked),
        (any::<u64>(), ".{0,40}", any::<bool>()).prop_map(|(number, message, written)| {
            let error = ErrorBody { written, ..ErrorBody::new(ErrorCode::InvalidRecord, message) };
            ProduceReply::Refused { number, error }
        }),
    ]
}

/// A topic id of given bytes: postcard writes a UUID as its 16 bytes after their count.
fn serde_topic_id(id: u128) -> TopicId {
    let mut bytes = vec![16];
    bytes.extend_from_slice(&id.to_be_bytes());
    postcard::from_bytes(&bytes).unwrap()
}

proptest! {
    #[test]
    fn frames_round_trip_however_they_are_cut(
        messages in proptest::collection::vec(
            (arbitrary_message(), proptest::collection::vec(any::<u8>(), 0..600)),
            1..6,
        ),
        cut in 1..700usize,
    ) {
        let mut bytes = Vec::new();
        for (message, payload) in &messages {
            bytes.extend(whole(&encode_header(message, payload.len()).unwrap(), payload));
        }
        let frames = decode_all(&bytes, cut).unwrap();
        prop_assert_eq!(frames.len(), messages.len());
        for (frame, (message, payload)) in frames.iter().zip(&messages) {
            prop_assert_eq!(&decode_header::<ProduceReply>(&frame.header).unwrap(), message);
            prop_assert_eq!(&frame.payload[..], &payload[..]);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_never_give_more_than_came(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        small in any::<bool>(),
        cut in 1..50usize,
    ) {
        let mut bytes = bytes;
        if small && bytes.len() >= PREFIX_LEN {
            // Plausible lengths, so that the rest is looked at too.
            bytes[..3].fill(0);
            bytes[4..7].fill(0);
        }
        if let Ok(frames) = decode_all(&bytes, cut) {
            let taken: usize =
                frames.iter().map(|f| PREFIX_LEN + f.header.len() + f.payload.len()).sum();
            prop_assert!(taken <= bytes.len());
            for frame in frames {
                // What is accepted can be said again.
                if let Ok(open) = decode_header::<Open>(&frame.header) {
                    let again = encode_header(&open, 0).unwrap();
                    prop_assert_eq!(decode_header::<Open>(&again[PREFIX_LEN..]).unwrap(), open);
                }
                let _ = decode_header::<Response>(&frame.header);
                let _ = decode_header::<SubscribeReply>(&frame.header);
                let _ = decode_header::<ProduceReply>(&frame.header);
            }
        }
    }

    #[test]
    fn arbitrary_headers_never_panic(header in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_header::<Open>(&header);
        let _ = decode_header::<Response>(&header);
        let _ = decode_header::<crate::HelloReply>(&header);
        let _ = decode_header::<crate::MirrorReply>(&header);
        let _ = decode_header::<SubscribeReply>(&header);
    }
}
