//! Loads against a broker of the test's own: what arrives there, what the report makes of it, and
//! what is told when the broker misbehaves.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod broker;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use broker::{Broker, Fault};
use tidegate_bench::{
    Acks, BatchSize, BenchError, ByteSize, Compression, End, ErrorKind, Fetch, Latency, Load,
    Produce, Rate, Records, Stop, Target, Work, admin,
};
use tidegate_kafka_proto::ErrorCode;

const TEN: Records = Records {
    record_size: ByteSize::bytes(100),
    batch_size: BatchSize::Records(10),
    compression: Compression::None,
};

/// Far longer than anything here takes.
const SOON: Duration = Duration::from_secs(20);

/// A load of so many records, ten a request, on a topic that stays.
fn produce(broker: &Broker, records: u64) -> Produce {
    let load =
        Load { topic: Some("t".parse().unwrap()), end: End::Records(records), ..broker.load() };
    Produce { load, records: TEN, ..Produce::new(broker.target()) }
}

async fn fails(produce: Produce) -> BenchError {
    produce.run(&Stop::new()).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_reported_is_what_arrived() {
    let broker = Broker::start(Fault::None).await;
    let mut produce = produce(&broker, 995);
    produce.load.partitions = 3;
    produce.load.topic_settings = vec![("flush".to_owned(), "os".to_owned())];
    let report = produce.run(&Stop::new()).await.unwrap();
    assert_eq!((report.work, report.records, report.requests), (Work::Produce, 1_000, 100));
    assert_eq!((report.partitions, report.connections, report.unsent), (3, 1, 0));
    assert_eq!(broker.records("t"), [340, 330, 330], "partitions take turns");
    let stored = broker.state.lock().unwrap();
    let bytes: usize =
        stored.topics["t"].iter().flat_map(|log| &log.batches).map(|b| b.1.len()).sum();
    assert_eq!(report.bytes, bytes as u64);
    assert_eq!(stored.settings, [("flush".to_owned(), "os".to_owned())]);
    assert!(stored.deleted.is_empty(), "a named topic stays");
    let latency = report.latency.unwrap();
    assert_eq!(latency.count, 100);
    assert!(0.0 < latency.p50 && latency.p50 <= latency.p99 && latency.p99 <= latency.max);
    assert!(report.late.is_none() && report.errors.is_empty());
    let rate = report.records as f64 / report.seconds;
    assert!((report.records_per_second - rate).abs() < 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_its_own_is_made_and_deleted() {
    let broker = Broker::start(Fault::None).await;
    let mut produce = produce(&broker, 10);
    produce.load.topic = None;
    let report = produce.run(&Stop::new()).await.unwrap();
    let stored = broker.state.lock().unwrap();
    assert!(report.topic.starts_with("bench-"));
    assert_eq!((&stored.made, &stored.deleted), (&stored.deleted, &vec![report.topic]));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_share_the_load_and_the_partitions() {
    let broker = Broker::start(Fault::None).await;
    let mut produce = produce(&broker, 4_000);
    (produce.load.connections, produce.load.partitions) = (4, 2);
    let report = produce.run(&Stop::new()).await.unwrap();
    assert_eq!((report.records, report.requests), (4_000, 400));
    let records = broker.records("t");
    assert_eq!(records.iter().sum::<i64>(), 4_000);
    assert!(records.iter().all(|records| *records > 1_500), "{records:?}");
    assert_eq!(broker.state.lock().unwrap().connections, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_batches_in_every_codec_arrive_whole() {
    let broker = Broker::start(Fault::None).await;
    for compression in Compression::ALL {
        let mut produce = produce(&broker, 20_000);
        let batch_size = BatchSize::Bytes(ByteSize::kib(800));
        produce.records = Records { compression, batch_size, ..Records::default() };
        let report = produce.run(&Stop::new()).await.unwrap();
        assert!(report.records >= 20_000, "{compression}: {}", report.records);
        assert!(report.errors.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_rate_requests_arrive_when_they_are_due() {
    let broker = Broker::start(Fault::None).await;
    let load = Load { connections: 2, end: End::Time(Duration::from_secs(1)), ..broker.load() };
    let latency = Latency { load, rate: Rate::Requests(100.0), ..Latency::new(broker.target()) };
    let report = latency.run(&Stop::new()).await.unwrap();
    assert_eq!((report.work, report.requests, report.records), (Work::Latency, 100, 1_000));
    assert_eq!(report.unsent, 0);
    assert_eq!(report.histogram.iter().map(|bucket| bucket.count).sum::<u64>(), 100);
    assert_eq!(report.late.unwrap().count, 100);
    let arrived = broker.state.lock().unwrap().arrived.clone();
    // None goes out before it is due, but the first one itself may have been late.
    for (n, at) in arrived.iter().enumerate() {
        let due = Duration::from_millis(10 * n as u64);
        assert!(*at - arrived[0] + Duration::from_millis(200) > due, "{n}");
    }
    assert!(arrived[99] - arrived[0] > Duration::from_millis(790));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_shows_in_all_that_fell_due_meanwhile() {
    let stall = Duration::from_millis(500);
    let broker = Broker::start(Fault::Stall(20, stall)).await;
    let load = Load { end: End::Time(Duration::from_secs(2)), ..broker.load() };
    let load = Load { in_flight: 5, ..load };
    let latency = Latency { load, rate: Rate::Requests(100.0), ..Latency::new(broker.target()) };
    let report = latency.run(&Stop::new()).await.unwrap();
    assert_eq!(report.requests, 200);
    let times = report.latency.unwrap();
    assert!(times.max >= 495_000.0, "{times:?}");
    // Fifty of the two hundred fell due in the stall; sent politely, five would have been late.
    let late: u64 = report.histogram.iter().filter(|b| b.up_to > 20_000.0).map(|b| b.count).sum();
    assert!(late >= 40, "{late} late: {:?}", report.histogram);
    assert!(report.late.unwrap().max > 300_000.0, "{:?}", report.late);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_window_bounds_what_is_sent() {
    let broker = Broker::start(Fault::Slow(Duration::from_millis(20))).await;
    let mut produce = produce(&broker, 200);
    produce.load.in_flight = 4;
    let report = produce.run(&Stop::new()).await.unwrap();
    // One after the other there, four waiting here: each waits for three before it.
    let p50 = report.latency.unwrap().p50;
    assert!(p50 >= 75_000.0, "{p50}");
    // All at once, half of them would have waited for half of the time.
    assert!(p50 / 1e6 < 0.35 * report.seconds, "{p50} us of {} s", report.seconds);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_warm_up_does_not_count() {
    let broker = Broker::start(Fault::Stall(0, Duration::from_millis(200))).await;
    let mut produce = produce(&broker, 100);
    produce.load.warmup = Duration::from_millis(300);
    let report = produce.run(&Stop::new()).await.unwrap();
    assert_eq!(report.records, 100);
    assert!(broker.records("t")[0] > 100, "the warm-up sends too");
    assert!(report.latency.unwrap().max < 190_000.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_acks_everything_has_arrived_once_it_is_told() {
    let broker = Broker::start(Fault::None).await;
    let mut produce = produce(&broker, 5_000);
    (produce.acks, produce.load.connections) = (Acks::None, 2);
    let report = produce.run(&Stop::new()).await.unwrap();
    assert_eq!((report.records, report.latency), (5_000, None));
    assert_eq!(broker.records("t"), [5_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_refusals_are_counted_by_name() {
    let broker = Broker::start(Fault::Refuse(4, ErrorCode::NotEnoughReplicas)).await;
    let report = produce(&broker, 1_000).run(&Stop::new()).await.unwrap();
    assert_eq!((report.requests, report.records), (75, 750));
    assert_eq!(report.errors, BTreeMap::from([("NOT_ENOUGH_REPLICAS".to_owned(), 25)]));
    let refused = ("refused: NOT_ENOUGH_REPLICAS".to_owned(), "25".to_owned());
    assert!(report.rows().contains(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_refusals_is_a_failure_with_its_name() {
    let broker = Broker::start(Fault::Refuse(1, ErrorCode::MessageTooLarge)).await;
    let mut produce = produce(&broker, 1);
    produce.load.end = End::Time(Duration::from_secs(60));
    let began = Instant::now();
    let error = fails(produce).await;
    assert!(began.elapsed() < Duration::from_secs(20), "given up early");
    assert_eq!(error.kind(), ErrorKind::Refused);
    let told = format!(
        "127.0.0.1:{} was asked to store records, and refused: MESSAGE_TOO_LARGE",
        broker.port
    );
    assert_eq!(error.to_string(), told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_cannot_be_made_is_told_with_the_brokers_reason() {
    let broker = Broker::start(Fault::NoTopics).await;
    let error = fails(produce(&broker, 10)).await;
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().ends_with("refused: POLICY_VIOLATION: not here"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_closes_midway_is_told_with_what_was_answered() {
    let broker = Broker::start(Fault::CloseAt(7)).await;
    let mut produce = produce(&broker, 1_000);
    (produce.load.connections, produce.load.in_flight) = (2, 1);
    let error = fails(produce).await;
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    // The kernel may tell it as an end or as a reset.
    let (BenchError::Closed { answered, waiting, .. }
    | BenchError::Broken { answered, waiting, .. }) = error
    else {
        panic!("{error:?}");
    };
    assert_eq!((answered, waiting), (7, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_never_answers_is_told_in_time() {
    let broker = Broker::start(Fault::Silent).await;
    let mut produce = produce(&broker, 1_000);
    produce.load.timeout = Duration::from_millis(300);
    let began = Instant::now();
    let error = fails(produce).await;
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(matches!(error, BenchError::TimedOut { .. }), "{error:?}");
    assert!(error.to_string().ends_with("gave no answer within 300 ms"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_in_another_order_are_told() {
    let broker = Broker::start(Fault::Swap).await;
    let error = fails(produce(&broker, 1_000)).await;
    assert_eq!(error.kind(), ErrorKind::Failed);
    let told = "it answers request 1 when 0 is the oldest that waits";
    assert!(error.to_string().ends_with(told), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_is_told() {
    let broker = Broker::start(Fault::Garbage).await;
    let error = fails(produce(&broker, 1_000)).await;
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("1213486160 bytes"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_told_with_the_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = fails(Produce::new(Target::Kafka { address: address.clone() })).await;
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(error.to_string(), format!("{address} cannot be reached"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_the_load_and_tells_what_there_was() {
    let broker = Broker::start(Fault::None).await;
    let mut produce = produce(&broker, 1);
    produce.load.end = End::Time(Duration::from_secs(600));
    produce.load.topic = None;
    let stop = Stop::new();
    let asked = stop.clone();
    let state = broker.state.clone();
    tokio::spawn(async move {
        while state.lock().unwrap().arrived.len() < 100 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        asked.stop();
    });
    let report = produce.run(&stop).await.unwrap();
    assert!(report.requests >= 100);
    assert_eq!(broker.state.lock().unwrap().deleted, [report.topic], "and cleans up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_nobody_waits_for_ends() {
    let broker = Broker::start(Fault::None).await;
    let mut produce = produce(&broker, 1);
    produce.load.end = End::Time(Duration::from_secs(600));
    let stop = Stop::new();
    let waited = tokio::time::timeout(Duration::from_millis(300), produce.run(&stop)).await;
    assert!(waited.is_err());
    assert!(!stop.is_stopped(), "the caller's own was not asked for");
    let arrived = || broker.state.lock().unwrap().arrived.len();
    let mut last = arrived();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        match arrived() {
            now if now == last => return,
            now => last = now,
        }
    }
    panic!("it goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_was_filled_in_is_read_again_and_again() {
    let broker = Broker::start(Fault::None).await;
    let load = Load {
        connections: 2,
        partitions: 3,
        end: End::Records(10_000),
        in_flight: 1,
        ..broker.load()
    };
    let fetch =
        Fetch { load, max_bytes: ByteSize::kib(10), records: TEN, fill: Some(ByteSize::kib(300)) };
    let report = fetch.run(&Stop::new()).await.unwrap();
    assert_eq!((report.work, report.partitions), (Work::Fetch, 3));
    let filled: i64 = broker.records(&report.topic).iter().sum();
    assert!((2_000..4_000).contains(&filled), "{filled}");
    assert!(report.records >= 10_000 && report.records < 11_000, "{}", report.records);
    assert_eq!(report.latency.unwrap().count, report.requests);
    assert!(report.errors.is_empty());
    assert_eq!(broker.state.lock().unwrap().deleted, [report.topic]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_larger_than_a_fetch_is_read_all_the_same() {
    let broker = Broker::start(Fault::None).await;
    let load = Load { end: End::Records(3_000), in_flight: 1, ..broker.load() };
    let fill = Some(ByteSize::kib(500));
    let fetch = Fetch { load, max_bytes: ByteSize::bytes(1), fill, ..Fetch::new(broker.target()) };
    let report = fetch.run(&Stop::new()).await.unwrap();
    assert!(report.records >= 3_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_topic_is_not_read_for_ever() {
    let broker = Broker::start(Fault::None).await;
    let load = Load { topic: Some("empty".parse().unwrap()), ..broker.load() };
    let fetch = Fetch { load, ..Fetch::new(broker.target()) };
    let error = fetch.run(&Stop::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("topic empty at 127.0.0.1"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_made_and_deleted_between_loads() {
    let broker = Broker::start(Fault::None).await;
    let load = Load { partitions: 7, ..broker.load() };
    let topic = "between".parse().unwrap();
    admin::make_topic(&load, &topic).await.unwrap();
    assert_eq!(broker.records("between"), [0; 7]);
    admin::make_topic(&load, &topic).await.unwrap();
    assert_eq!(broker.state.lock().unwrap().made, ["between"], "it is there");
    admin::delete_topic(&load, &topic).await.unwrap();
    assert_eq!(broker.state.lock().unwrap().deleted, ["between"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_tells_who_is_there() {
    let broker = Broker::start(Fault::None).await;
    let address = broker.target().address().to_owned();
    let probe = tokio::task::spawn_blocking(move || admin::probe(&address, SOON));
    probe.await.unwrap().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    let probe =
        tokio::task::spawn_blocking(move || admin::probe(&silent, Duration::from_millis(100)));
    let error = probe.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("asked for its versions"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_has_rows_for_a_table() {
    let broker = Broker::start(Fault::None).await;
    let report = produce(&broker, 100).run(&Stop::new()).await.unwrap();
    let what: Vec<_> = report.rows().into_iter().map(|(what, _)| what).collect();
    for row in ["records/s", "MB/s", "latency p50", "latency p99.9", "latency max"] {
        assert!(what.iter().any(|what| what == row), "{what:?}");
    }
    assert!(!report.histogram_rows().is_empty());
}
