//! What a producer may rely on: acknowledgements, retries, and refusals that write nothing.

use bytes::Bytes;
use tidegate_client::Identity;
use tidegate_transport::{ClientTls, ConnectOptions, Connector};
use tidegate_types::{Acks, Offset, PartitionId, ProducerEpoch, limits};
use tidegate_wire::{
    BatchAck, ErrorCode, Open, OpenProduce, ProduceBatch, ProduceReply, ProducerIdentity,
};

use crate::support::{Session, TestNode, batch, garbage, stamped, texts, topic};

/// A session on topic `t` for batches without a producer.
fn anonymous() -> OpenProduce {
    OpenProduce { topic: topic("t"), acks: Acks::All, producer: None }
}

#[tokio::test]
async fn every_acks_level_stores_and_only_those_asked_for_are_answered() {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    let open = |acks| Session::try_open(&node.client, "t", acks, None);

    let mut all = open(Acks::All).await.unwrap();
    assert_eq!(all.put(batch(&["a", "b"])).await.unwrap().base_offset, Some(Offset(0)));
    assert_eq!(node.values("t").await, ["a", "b"], "durable at once");

    let mut leader = open(Acks::Leader).await.unwrap();
    assert_eq!(leader.put(batch(&["c"])).await.unwrap().base_offset, Some(Offset(2)));

    let mut none = open(Acks::None).await.unwrap();
    none.send_to(0, batch(&["d"])).await;
    assert_eq!(none.finish().await, [], "nobody asked");
    assert_eq!(texts(&node.wait_for("t", 4).await), ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn batches_in_flight_are_acknowledged_in_order() {
    let node = TestNode::start().await;
    node.create("t", 2).await;
    let identity = node.identity().await;
    let mut session = Session::open(&node.client, "t", Some(identity)).await;
    // More than may wait for their acknowledgement, so that the session holds them back.
    let count = 2 * limits::MAX_IN_FLIGHT as u64 + 20;
    for number in 0..count {
        let value = number.to_string();
        let (partition, sequence) = ((number % 2) as u32, (number / 2) as i32);
        session.send_to(partition, stamped(&[&value], identity, sequence)).await;
    }
    let acks: Vec<BatchAck> = session
        .finish()
        .await
        .into_iter()
        .flat_map(|reply| match reply {
            ProduceReply::Acked(acks) => acks,
            other => panic!("{other:?}"),
        })
        .collect();
    let expected: Vec<BatchAck> = (0..count)
        .map(|number| BatchAck {
            number,
            base_offset: Some(Offset(number as i64 / 2)),
            duplicate: false,
        })
        .collect();
    assert_eq!(acks, expected);
}

#[tokio::test]
async fn a_retried_batch_is_acknowledged_with_its_first_offset_and_stored_once() {
    let mut node = TestNode::start().await;
    node.create("t", 1).await;
    let identity = node.identity().await;
    let mut session = Session::open(&node.client, "t", Some(identity)).await;
    session.put(stamped(&["a", "b"], identity, 0)).await.unwrap();
    let first = session.put(stamped(&["c"], identity, 2)).await.unwrap();
    assert_eq!((first.base_offset, first.duplicate), (Some(Offset(2)), false));

    // The acknowledgement was lost with the connection.
    let other = node.another_client().await;
    let mut session = Session::open(&other, "t", Some(identity)).await;
    let again = session.put(stamped(&["c"], identity, 2)).await.unwrap();
    assert_eq!((again.base_offset, again.duplicate), (Some(Offset(2)), true));
    session.put(stamped(&["d"], identity, 3)).await.unwrap();

    node.restart().await;
    let mut session = Session::open(&node.client, "t", Some(identity)).await;
    for (value, sequence, offset) in [("c", 2, 2), ("d", 3, 3)] {
        let again = session.put(stamped(&[value], identity, sequence)).await.unwrap();
        assert_eq!((again.base_offset, again.duplicate), (Some(Offset(offset)), true));
    }
    let next = session.put(stamped(&["e"], identity, 4)).await.unwrap();
    assert_eq!((next.base_offset, next.duplicate), (Some(Offset(4)), false));
    assert_eq!(node.values("t").await, ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn a_gap_in_the_sequence_is_refused_and_the_session_goes_on() {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    let identity = node.identity().await;
    let mut session = Session::open(&node.client, "t", Some(identity)).await;
    session.put(stamped(&["a"], identity, 0)).await.unwrap();
    let gap = session.put(stamped(&["c"], identity, 2)).await.unwrap_err();
    assert_eq!(gap.code, ErrorCode::OutOfOrderSequence);
    assert!(!gap.written, "{gap:?}");
    session.put(stamped(&["b"], identity, 1)).await.unwrap();
    session.put(stamped(&["c"], identity, 2)).await.unwrap();
    assert_eq!(node.values("t").await, ["a", "b", "c"]);
}

#[tokio::test]
async fn an_older_generation_of_a_producer_is_fenced() {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    let old = node.identity().await;
    let mut stale = Session::open(&node.client, "t", Some(old)).await;
    stale.put(stamped(&["a"], old, 0)).await.unwrap();

    let new = node.client.init_producer(Some(old)).await.unwrap();
    let mut fresh = Session::open(&node.client, "t", Some(new)).await;
    fresh.put(stamped(&["b"], new, 0)).await.unwrap();

    let fenced = stale.put(stamped(&["c"], old, 1)).await.unwrap_err();
    assert_eq!(fenced.code, ErrorCode::ProducerFenced);
    assert!(!fenced.retriable && !fenced.written, "{fenced:?}");
    assert_eq!(node.values("t").await, ["a", "b"]);
}

#[tokio::test]
async fn a_batch_of_another_producer_than_the_sessions_is_refused() {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    let (mine, other) = (node.identity().await, node.identity().await);
    let later = ProducerIdentity { epoch: ProducerEpoch(mine.epoch.0 + 1), ..mine };
    let mut session = Session::open(&node.client, "t", Some(mine)).await;
    for wrong in [stamped(&["x"], other, 0), stamped(&["x"], later, 0), batch(&["x"])] {
        let refused = session.put(wrong).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidRecord, "{refused:?}");
    }
    let mut anonymous = Session::open(&node.client, "t", None).await;
    let refused = anonymous.put(stamped(&["x"], mine, 0)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidRecord, "{refused:?}");
    assert_eq!(node.read("t").await, []);
    session.put(stamped(&["mine"], mine, 0)).await.unwrap();
}

#[tokio::test]
async fn damaged_and_misplaced_batches_write_nothing_and_the_session_goes_on() {
    let node = TestNode::start().await;
    node.create("t", 2).await;
    let mut session = Session::open(&node.client, "t", None).await;
    let good = batch(&["a"]);
    let mut flipped = good.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let two = [&good[..], &good[..]].concat();
    let longer = [&good[..], b"x"].concat();
    let shorter = good.slice(..good.len() - 1);
    let bad: [Bytes; 6] =
        [flipped.into(), garbage(), two.into(), longer.into(), shorter, Bytes::new()];
    for (index, bad) in bad.into_iter().enumerate() {
        let refused = session.put(bad).await.unwrap_err();
        let code = if index == 0 { ErrorCode::CorruptBatch } else { ErrorCode::InvalidRecord };
        assert_eq!(refused.code, code, "batch {index}: {refused:?}");
        assert!(!refused.retriable && !refused.written, "batch {index}: {refused:?}");
    }
    let nowhere = session.put_to(2, good.clone()).await.unwrap_err();
    assert_eq!(nowhere.code, ErrorCode::UnknownPartition);
    assert_eq!(session.put_to(1, good).await.unwrap().base_offset, Some(Offset(0)));
    assert_eq!(node.values("t").await, ["a"]);
}

#[tokio::test]
async fn a_session_on_an_unknown_topic_is_refused() {
    let node = TestNode::start().await;
    let refused = Session::try_open(&node.client, "t", Acks::All, None).await.err().unwrap();
    let refused = refused.refusal().unwrap();
    assert_eq!(refused.code, ErrorCode::UnknownTopic);
    assert!(refused.message.contains("topic create t"), "{refused}");
}

#[tokio::test]
async fn a_session_ends_when_its_topic_is_deleted() {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    let mut session = Session::open(&node.client, "t", None).await;
    session.put(batch(&["a"])).await.unwrap();
    node.client.delete_topic(topic("t")).await.unwrap();
    node.create("t", 1).await;
    session.send_to(0, batch(&["b"])).await;
    let Some(ProduceReply::Refused { number: 1, error }) = session.reply().await else {
        panic!("the batch was taken");
    };
    assert_eq!(error.code, ErrorCode::UnknownTopic);
    assert!(matches!(session.reply().await, Some(ProduceReply::Failed(_))));
    assert_eq!(session.reply().await, None);
    assert_eq!(node.read("t").await, [], "the new topic is not the old one's session's");
}

#[tokio::test]
async fn a_stopping_node_says_so_and_keeps_what_it_acknowledged() {
    let mut node = TestNode::start().await;
    node.create("t", 1).await;
    let mut session = Session::open(&node.client, "t", None).await;
    session.put(batch(&["a"])).await.unwrap();
    node.stop().await;
    let Some(ProduceReply::Failed(error)) = session.reply().await else {
        panic!("it did not say goodbye");
    };
    assert_eq!(error.code, ErrorCode::ShuttingDown);
    assert!(error.retriable, "{error:?}");
    node.start_again().await;
    assert_eq!(node.values("t").await, ["a"]);
}

#[tokio::test]
async fn a_batch_out_of_turn_ends_the_session_and_what_came_before_is_acknowledged() {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    let identity = Identity::client_from_dir(&node.tls()).unwrap();
    let connector = Connector::new(ClientTls::new(&identity).unwrap());
    let address = node.address.to_string();
    let (connection, _) = connector.connect(&address, &ConnectOptions::default()).await.unwrap();
    let (mut sender, mut receiver) =
        connection.open(&Open::Produce(anonymous()), &[]).await.unwrap();
    for number in [0, 2] {
        let header = ProduceBatch { number, partition: PartitionId(0) };
        sender.send(&header, &[batch(&["a"])]).await.unwrap();
    }
    let mut replies = Vec::new();
    while let Some((reply, _)) = receiver.recv::<ProduceReply>().await.unwrap() {
        replies.push(reply);
    }
    let [ProduceReply::Ready { .. }, ProduceReply::Acked(acks), ProduceReply::Failed(error)] =
        &replies[..]
    else {
        panic!("{replies:?}");
    };
    assert_eq!((acks.len(), acks[0].number), (1, 0));
    assert_eq!(error.code, ErrorCode::BadFrame, "{error:?}");
    assert_eq!(node.values("t").await, ["a"]);
}
