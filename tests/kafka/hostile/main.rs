//! Clients that nobody wants: each costs itself, and nobody else.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::time::{Duration, Instant};

use tidegate_kafka_proto::messages::{ApiVersionsRequest, FetchRequest, MetadataRequest};
use tidegate_kafka_tests::{
    BatchSpec, Broker, Conn, FETCH, PRODUCE, Received, Typed, fetch, name, produce,
};
use tidegate_tests::Node;

fn api_versions() -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name(name("test"))
        .with_client_software_version(name("1"))
}

/// A batch of about a megabyte.
fn large_batch() -> BatchSpec {
    let value = "x".repeat(10_000);
    let records = vec![("k", &*value); 100];
    BatchSpec::of(&records, 1_700_000_000_000)
}

async fn start() -> (Node, Broker) {
    let mut node = Node::new("edge").with_kafka();
    node.restart().await;
    let broker = Broker { address: node.kafka() };
    (node, broker)
}

/// Resident memory of the node's process, in bytes.
fn resident(node: &Node) -> u64 {
    let id = node.process_id().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// That others are served, and soon.
fn serves(broker: Broker) {
    let begun = Instant::now();
    let answer = Typed::open(broker).ask(3, &api_versions());
    assert_eq!(answer.error_code, 0);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(20), "others waited for {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_a_byte_at_a_time_is_served() {
    let (_node, broker) = start().await;
    let mut client = Typed::open(broker);
    client.create("slow", 1, &[]);
    let (id, frame) = client.frame(3, &api_versions());
    for byte in frame {
        client.raw().send_raw(&[byte]);
    }
    assert_eq!(client.receive::<ApiVersionsRequest>(3, id).unwrap().error_code, 0);
    let batch = BatchSpec::of(&[("key", "value")], 1_700_000_000_000).bytes();
    let (id, frame) = client.frame(PRODUCE, &produce("slow", 0, -1, batch));
    for byte in frame {
        client.raw().send_raw(&[byte]);
    }
    let answer = client.produced(id).unwrap();
    assert_eq!(answer.error_code, 0, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_ends_its_connection_and_no_other() {
    let (mut node, broker) = start().await;
    let mut bystander = Typed::open(broker);
    let frame = |payload: &[u8]| Conn::framed(payload);
    let header = |api: i16, version: i16| Conn::header(api, version, 7, true);
    let huge_array = [header(3, 12), vec![0xff, 0xff, 0xff, 0xff, 0x0f]].concat();
    let bad: [(&str, Vec<u8>); 9] = [
        ("a negative length", (-1_i32).to_be_bytes().to_vec()),
        ("a length beyond the limit", i32::MAX.to_be_bytes().to_vec()),
        ("an empty frame", frame(&[])),
        ("half a header", frame(&[0, 3, 0])),
        ("an API that nobody knows", frame(&header(9_999, 0))),
        ("a version that nobody serves", frame(&header(3, 99))),
        ("a body cut short", frame(&header(3, 12))),
        ("an array of four billion topics", frame(&huge_array)),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
    ];
    for (what, bytes) in bad {
        let mut conn = Conn::open(broker);
        conn.send_raw(&bytes);
        assert_eq!(conn.receive(Duration::from_secs(30)), Received::Closed, "{what}");
    }
    // Those who leave in the middle of a request.
    for cut in [1, 3, 4, 9, 20] {
        let (_, bytes) = bystander.frame(3, &api_versions());
        Conn::open(broker).send_raw(&bytes[..cut.min(bytes.len() - 1)]);
    }
    assert_eq!(bystander.ask(3, &api_versions()).error_code, 0, "the bystander is served on");
    let (status, _) = node.stop().await;
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_cost_little_and_hold_up_nobody() {
    let (node, broker) = start().await;
    let mut client = Typed::open(broker);
    client.create("large", 1, &[]);
    for _ in 0..40 {
        client.append("large", &large_batch());
    }
    let before = resident(&node);
    let mut deaf: Vec<Typed> = (0..30).map(|_| Typed::open(broker)).collect();
    for client in &mut deaf {
        // Forty megabytes each, and none of it taken.
        for _ in 0..20 {
            client.send(FETCH, &fetch("large", 0, 0).with_max_bytes(40 << 20));
        }
    }
    std::thread::sleep(Duration::from_secs(2));
    serves(broker);
    let grown = resident(&node).saturating_sub(before);
    assert!(grown < 64 << 20, "{} MiB for clients that read nothing", grown >> 20);
    // Whoever begins to read after all gets everything.
    let first = &mut deaf[0];
    let answer = first.receive::<FetchRequest>(FETCH, 1).unwrap();
    let records = answer.responses[0].partitions[0].records.as_ref().unwrap();
    assert!(records.len() > 35 << 20, "{} bytes", records.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_requests_of_many_clients_wait_for_each_other() {
    let (node, broker) = start().await;
    let before = resident(&node);
    // Each promises a request of ninety megabytes and sends a little of it.
    let mut stalled: Vec<Conn> = (0..20).map(|_| Conn::open(broker)).collect();
    for conn in &mut stalled {
        conn.send_raw(&(90_i32 << 20).to_be_bytes());
        conn.send_raw(&vec![0; 64 << 10]);
    }
    std::thread::sleep(Duration::from_secs(1));
    serves(broker);
    let grown = resident(&node).saturating_sub(before);
    assert!(grown < 64 << 20, "{} MiB for what was only promised", grown >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_idle_connections_fit_into_150_mb() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const CLIENTS: u64 = 5_000;
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|most| most < CLIENTS + 500) {
        eprintln!("skipped: this system allows {:?} open files", limit.maximum);
        return;
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let (node, broker) = start().await;
    let mut idle = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = Typed::open(broker);
        // Each has been served before it falls silent.
        assert_eq!(client.ask(3, &api_versions()).error_code, 0);
        idle.push(client.into_line());
    }
    let resident = resident(&node);
    assert!(resident < 150_000_000, "{resident} B with {CLIENTS} idle connections");
    println!("{CLIENTS} idle connections: {} MB in all", resident / 1_000_000);
    let answer = Typed::open(broker).ask(12, &MetadataRequest::default().with_topics(None));
    assert_eq!(answer.brokers.len(), 1);
}
