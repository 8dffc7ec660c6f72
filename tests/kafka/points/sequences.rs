//! Producers whose batches bear sequences: each batch once, in order, whatever is sent again.

use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_proto::messages::InitProducerIdRequest;
use tidegate_kafka_tests::{BatchSpec, PRODUCE, Typed, batches, error, produce};

use crate::{T0, start};

/// An identity of its own.
fn identity(client: &mut Typed) -> i64 {
    let request = InitProducerIdRequest::default().with_transactional_id(None);
    let answer = client.ask(4, &request);
    assert_eq!(answer.error_code, 0, "{answer:?}");
    answer.producer_id.0
}

/// The batch of one record that has this sequence.
fn batch(id: i64, sequence: i32) -> BatchSpec {
    let mut batch = BatchSpec::of(&[("k", "v")], T0);
    batch.producer = (id, 0, sequence);
    batch
}

/// The sequences in the log, in its order.
fn sequences(client: &mut Typed, topic: &str) -> Vec<i64> {
    let stored = batches(&client.read(topic, 0));
    let all = stored.as_array().unwrap().iter();
    all.map(|batch| batch["FirstSequence"].as_i64().unwrap()).collect()
}

/// "Duplicates of the last 5 batches per producer are acked, not appended", with the offsets that
/// they had.
#[test]
fn repeats_of_the_last_five_batches_are_acknowledged_and_not_appended() {
    let (_node, mut client) = start();
    client.create("repeats", 1, &[]);
    let id = identity(&mut client);
    for sequence in 0..7 {
        assert_eq!(client.append("repeats", &batch(id, sequence)), i64::from(sequence));
    }
    for sequence in (2..7).rev() {
        assert_eq!(client.append("repeats", &batch(id, sequence)), i64::from(sequence));
    }
    assert_eq!(sequences(&mut client, "repeats"), [0, 1, 2, 3, 4, 5, 6]);
    // Another producer's are its own.
    let other = identity(&mut client);
    assert_eq!(client.append("repeats", &batch(other, 0)), 7);
}

/// "Out of order is refused without causing duplicates": with five requests in flight, what comes
/// after a lost one is refused, and all of it is sent again.
#[test]
fn what_is_out_of_order_is_refused_and_stored_once_when_it_is_sent_again() {
    let (_node, mut client) = start();
    client.create("gaps", 1, &[]);
    let id = identity(&mut client);
    client.append("gaps", &batch(id, 0));
    // The second is missing.
    let request = |sequence| produce("gaps", 0, -1, batch(id, sequence).bytes());
    let sent: Vec<_> = (2..6).map(|sequence| client.send(PRODUCE, &request(sequence))).collect();
    for answer in sent {
        let refused = client.produced(answer).unwrap();
        assert_eq!(error(refused.error_code), ErrorCode::OutOfOrderSequenceNumber);
    }
    let sent: Vec<_> = (1..6).map(|sequence| client.send(PRODUCE, &request(sequence))).collect();
    for (answer, offset) in sent.into_iter().zip(1..) {
        let stored = client.produced(answer).unwrap();
        assert_eq!((stored.error_code, stored.base_offset), (0, offset));
    }
    assert_eq!(sequences(&mut client, "gaps"), [0, 1, 2, 3, 4, 5]);
}
