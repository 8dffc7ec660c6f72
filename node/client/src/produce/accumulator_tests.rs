//! How records become batches.

use std::time::Duration;

use tidegate_types::{ByteSize, ProducerEpoch, ProducerId, Sequence};

use super::*;

fn gather(config: ProducerConfig, partitions: u32) -> Arc<Accumulator> {
    Arc::new(Accumulator::new(config, partitions))
}

fn small() -> ProducerConfig {
    ProducerConfig {
        batch_bytes: ByteSize::bytes(1_000),
        linger: Duration::from_secs(3_600),
        ..ProducerConfig::default()
    }
}

fn value(len: usize) -> ProducerRecord {
    ProducerRecord::new(vec![7; len])
}

fn sealed(accumulator: &Accumulator) -> Vec<Sealed> {
    accumulator.take_sealed(Instant::now()).0.into()
}

#[tokio::test]
async fn a_full_batch_is_sealed_and_an_open_one_lingers() {
    let accumulator = gather(small(), 1);
    for _ in 0..4 {
        accumulator.send(value(300)).await.unwrap();
    }
    let batches = sealed(&accumulator);
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].records, 2);
    let (none, due) = accumulator.take_sealed(Instant::now());
    assert!(none.is_empty());
    let due = due.unwrap();
    let (late, next) = accumulator.take_sealed(due);
    assert_eq!((late.len(), late[0].records, next), (1, 2, None));
}

#[tokio::test]
async fn records_go_where_they_are_told_by_key_or_in_turn() {
    let accumulator = gather(small(), 4);
    let keyed = accumulator.send(value(1).with_key("k")).await.unwrap();
    assert_eq!(keyed.partition(), key_partition(b"k", 4));
    let told = accumulator.send(value(1).with_partition(PartitionId(3))).await.unwrap();
    assert_eq!(told.partition(), PartitionId(3));
    let error = accumulator.send(value(1).with_partition(PartitionId(4))).await.unwrap_err();
    assert_eq!(error.to_string(), "partition 4 does not exist: the topic has 4");
    let mut seen = Vec::new();
    for _ in 0..4 {
        let partition = accumulator.send(value(1)).await.unwrap().partition();
        assert_eq!(accumulator.send(value(1)).await.unwrap().partition(), partition);
        seen.push(partition);
        accumulator.lock().seal(partition);
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3].map(PartitionId));
}

#[tokio::test]
async fn what_no_batch_can_hold_is_refused_and_takes_no_room() {
    let accumulator = gather(ProducerConfig::default(), 1);
    let room = accumulator.budget.available_permits();
    let large = accumulator.send(value(limits::MAX_BATCH.as_usize())).await;
    assert!(matches!(large, Err(SendError::TooLarge { .. })));
    let mut many = value(1);
    many.headers = vec![(Bytes::new(), None); limits::MAX_RECORD_HEADERS as usize + 1];
    assert!(matches!(accumulator.send(many).await, Err(SendError::TooManyHeaders { .. })));
    assert_eq!(accumulator.budget.available_permits(), room);
    // The largest that is taken does fit.
    let most = limits::MAX_BATCH.as_usize() - HEADER_LEN - 64;
    accumulator.send(value(most)).await.unwrap();
    let mut batch = sealed(&accumulator).pop().unwrap();
    assert!(batch.stamped(None).unwrap().len() <= limits::MAX_BATCH.as_usize());
}

#[tokio::test]
async fn a_full_buffer_holds_senders_back_until_something_is_settled() {
    let config = ProducerConfig { buffer_bytes: ByteSize::bytes(1_000), ..small() };
    let accumulator = gather(config, 1);
    accumulator.send(value(700)).await.unwrap();
    let waiting = tokio::spawn({
        let accumulator = accumulator.clone();
        async move { accumulator.send(value(700)).await.map(|_| ()) }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!waiting.is_finished());
    // Waiting sealed what was open: it would have lingered for an hour.
    let batch = sealed(&accumulator).pop().unwrap();
    accumulator.settle(&batch, Ok(None));
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn closing_lets_out_who_waits_and_takes_nothing_more() {
    let config = ProducerConfig { buffer_bytes: ByteSize::bytes(1_000), ..small() };
    let accumulator = gather(config, 1);
    let delivery = accumulator.send(value(700)).await.unwrap();
    let waiting = tokio::spawn({
        let accumulator = accumulator.clone();
        async move { accumulator.send(value(700)).await.map(|_| ()) }
    });
    tokio::task::yield_now().await;
    accumulator.close();
    assert_eq!(waiting.await.unwrap(), Err(SendError::Closed));
    assert!(!accumulator.is_over());
    accumulator.abandon();
    assert_eq!(delivery.await, Err(DeliveryError::Ended));
    assert!(accumulator.is_over());
}

#[tokio::test]
async fn a_batch_is_built_once_per_stamp_and_keeps_its_records() {
    for compression in [Compression::None, Compression::Lz4] {
        let accumulator = gather(ProducerConfig { compression, ..small() }, 1);
        for i in 0..3 {
            let record = value(50)
                .with_key(format!("k{i}"))
                .with_header("h", "1")
                .with_header("h", "2")
                .with_timestamp(Timestamp(5 + i));
            accumulator.send(record).await.unwrap();
        }
        accumulator.flush();
        let mut batch = sealed(&accumulator).pop().unwrap();
        let stamp = |epoch, sequence| {
            Some(ProducerStamp {
                id: ProducerId(9),
                epoch: ProducerEpoch(epoch),
                base_sequence: Sequence(sequence),
            })
        };
        let first = batch.stamped(stamp(0, 70)).unwrap();
        let again = batch.stamped(stamp(0, 70)).unwrap();
        assert_eq!(first.as_ptr(), again.as_ptr());
        let anew = batch.stamped(stamp(1, 0)).unwrap();
        let (first, _) = Batch::parse(&first).unwrap();
        let (anew, _) = Batch::parse(&anew).unwrap();
        assert_eq!(first.header().stamp(), stamp(0, 70));
        assert_eq!(anew.header().stamp(), stamp(1, 0));
        assert_eq!(anew.header().compression, compression);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let a: Vec<_> = first.body(&mut a).unwrap().map(Result::unwrap).collect();
        let b: Vec<_> = anew.body(&mut b).unwrap().map(Result::unwrap).collect();
        assert_eq!(a, b);
        assert_eq!(a.len(), 3);
        assert_eq!(anew.header().base_timestamp, Timestamp(5));
    }
}
