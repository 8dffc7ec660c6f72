//! Before anything is asked: versions, addresses, lengths.

use std::net::Ipv4Addr;
use std::time::Duration;

use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_proto::messages::{
    ApiVersionsRequest, FindCoordinatorRequest, InitProducerIdRequest, MetadataRequest,
};
use tidegate_kafka_tests::{BatchSpec, Conn, Received, Tidegate, Typed, error, name};

use crate::{T0, start};

const WAIT: Duration = Duration::from_secs(60);

const API_VERSIONS: i16 = 18;

/// Key, first and last version of what Kafka 4.3 advertises and is served here.
const KAFKA: [(i16, i16, i16); 34] = [
    (0, 0, 13),
    (1, 4, 18),
    (2, 1, 11),
    (3, 0, 13),
    (8, 2, 10),
    (9, 1, 10),
    (10, 0, 6),
    (11, 0, 9),
    (12, 0, 4),
    (13, 0, 5),
    (14, 0, 5),
    (15, 0, 6),
    (16, 0, 5),
    (18, 0, 4),
    (19, 2, 7),
    (20, 1, 6),
    (21, 0, 2),
    (22, 0, 6),
    (23, 2, 4),
    (32, 1, 4),
    (33, 0, 2),
    (35, 1, 5),
    (37, 0, 3),
    (42, 0, 2),
    (43, 0, 2),
    (44, 0, 1),
    (46, 0, 0),
    (47, 0, 0),
    (60, 0, 2),
    (61, 0, 0),
    (68, 0, 1),
    (69, 0, 1),
    (74, 0, 1),
    (75, 0, 0),
];

/// Where the range ends earlier here, and with which version.
const EARLIER: [(i16, i16); 4] = [(8, 9), (9, 9), (22, 5), (35, 4)];

fn ranges(client: &mut Typed) -> Vec<(i16, i16, i16)> {
    let answer = client.ask(0, &ApiVersionsRequest::default());
    assert_eq!(answer.error_code, 0, "{answer:?}");
    answer.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect()
}

/// Sends a body without looking at it; the frame that comes back.
fn answered(conn: &mut Conn, api: i16, version: i16, flexible: bool, body: &[u8]) -> Vec<u8> {
    let id = conn.send(api, version, flexible, body);
    match conn.receive(WAIT) {
        Received::Frame(frame) => {
            assert_eq!(frame[..4], id.to_be_bytes(), "the answer to this request");
            frame
        }
        other => panic!("{api} version {version}: {other:?}"),
    }
}

/// "Advertise Kafka 4.3's ranges."
#[test]
fn the_ranges_of_kafka_are_advertised() {
    let (_node, mut client) = start();
    let told = ranges(&mut client);
    for (key, min, max) in KAFKA {
        let earlier = EARLIER.iter().find(|(api, _)| *api == key).map(|(_, last)| *last);
        let expected = (key, min, earlier.unwrap_or(max));
        assert!(told.contains(&expected), "{expected:?} is not among {told:?}");
    }
}

/// "librdkafka up to 2.10 also tests that these exact versions are in range."
#[test]
fn versions_by_which_librdkafka_tells_what_a_broker_can_are_in_range() {
    let (_node, mut client) = start();
    let told = ranges(&mut client);
    for (api, version) in [
        (1, 4),
        (1, 10),
        (0, 3),
        (0, 7),
        (10, 0),
        (11, 0),
        (12, 0),
        (13, 0),
        (14, 0),
        (15, 0),
        (16, 0),
        (2, 1),
        (22, 0),
        // For the consumer protocol it needs exactly these.
        (68, 1),
        (8, 9),
        (9, 9),
    ] {
        let within =
            |(key, min, max): &(i16, i16, i16)| *key == api && (*min..=*max).contains(&version);
        assert!(told.iter().any(within), "version {version} of {api} is not in {told:?}");
    }
}

/// "Do not advertise 71 and 72 (telemetry)": clients would begin to push it.
#[test]
fn telemetry_is_not_advertised() {
    let (_node, mut client) = start();
    assert!(ranges(&mut client).iter().all(|(key, ..)| !matches!(key, 71 | 72)));
}

/// "Produce advertises min 0 (else librdkafka 2.0.2 silently sends uncompressed), yet v0 to v2 are
/// refused."
#[test]
fn produce_is_advertised_from_0_and_refused_below_3() {
    let (node, mut client) = start();
    assert!(ranges(&mut client).contains(&(0, 0, 13)));
    for version in 0..3 {
        let mut conn = Conn::open(node.broker());
        conn.send(0, version, false, &[0xff, 0xff, 0, 0, 0, 10, 0, 0, 0, 0]);
        assert_eq!(conn.receive(WAIT), Received::Closed, "version {version}");
    }
}

/// "ApiVersions: an unsupported request version gets error 35 in a v0 body with key 18's range."
#[test]
fn an_unknown_version_of_api_versions_is_told_in_version_0_which_are_known() {
    let (node, _) = start();
    let mut conn = Conn::open(node.broker());
    for version in [5, 99, i16::MAX] {
        let frame = answered(&mut conn, API_VERSIONS, version, true, &[1, 1, 0]);
        let number = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
        assert_eq!(error(number(4)), ErrorCode::UnsupportedVersion);
        let count = i32::from_be_bytes(frame[6..10].try_into().unwrap());
        let ranges: Vec<_> = (0..count as usize)
            .map(|at| 10 + at * 6)
            .map(|at| (number(at), number(at + 2), number(at + 4)))
            .collect();
        assert!(ranges.contains(&(API_VERSIONS, 0, 4)), "{ranges:?}");
        assert_eq!(frame.len(), 10 + ranges.len() * 6, "a whole body of version 0");
    }
    // The connection goes on with a version that both know.
    let frame = answered(&mut conn, API_VERSIONS, 0, false, &[]);
    assert_eq!(frame[4..6], [0, 0]);
}

/// "ApiVersions: the response header is always v0", without tagged fields: a client that does not
/// know the broker yet must find the error at its place.
#[test]
fn the_header_of_an_answer_to_api_versions_has_no_tagged_fields() {
    let (node, mut client) = start();
    let count = ranges(&mut client).len();
    for version in [3, 4] {
        let mut conn = Conn::open(node.broker());
        let body = [5, b't', b'e', b's', b't', 2, b'1', 0];
        let frame = answered(&mut conn, API_VERSIONS, version, true, &body);
        // The error, and how many ranges follow, as the newer layout writes it.
        assert_eq!(frame[4..6], [0, 0], "version {version}");
        assert_eq!(usize::from(frame[6]), count + 1, "version {version}");
    }
}

/// "The advertised listener is reachable over IPv4": clients leave the address that they were given
/// for the one that they are told.
#[test]
fn the_address_that_clients_are_told_is_reached_over_ipv4() {
    let (node, mut client) = start();
    let metadata = client.ask(12, &MetadataRequest::default().with_topics(None));
    let broker = &metadata.brokers[0];
    let request = FindCoordinatorRequest::default()
        .with_key_type(0)
        .with_coordinator_keys(vec![name("group")]);
    let found = client.ask(4, &request).coordinators.remove(0);
    assert_eq!(found.error_code, 0);
    for (host, port) in [(&broker.host, broker.port), (&found.host, found.port)] {
        let address: Ipv4Addr = host.parse().unwrap();
        assert_eq!(i32::from(node.broker().address.port()), port);
        let told = tidegate_kafka_tests::Broker { address: (address, port as u16).into() };
        let there = Typed::open(told).ask(12, &MetadataRequest::default().with_topics(None));
        assert_eq!(there.cluster_id, metadata.cluster_id);
    }
}

/// Address space that the node has taken at most so far, in bytes. What is reserved shows in it
/// before it is touched.
fn peak(node: &Tidegate) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.process_id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmPeak:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// "Lengths are bounded before allocating": a 76-byte batch asked for 8.4 GB, a 4-byte Metadata
/// body for 13.7 GB.
#[test]
fn lengths_that_lie_reserve_no_memory() {
    let (node, mut client) = start();
    client.create("lies", 1, &[]);
    let before = peak(&node);
    let mut metadata = Conn::open(node.broker());
    metadata.send(3, 1, false, &i32::MAX.to_be_bytes());
    assert_eq!(metadata.receive(WAIT), Received::Closed);
    let mut batch = BatchSpec::of(&[("k", "v")], T0);
    batch.count = Some(i32::MAX);
    batch.last_offset_delta = Some(i32::MAX - 1);
    assert!(batch.bytes().len() <= 76);
    let refused = error(client.produce("lies", batch.bytes()).error_code);
    assert!(matches!(refused, ErrorCode::InvalidRecord | ErrorCode::CorruptMessage), "{refused}");
    let grown = peak(&node) - before;
    assert!(grown < 2 << 30, "{} MiB for what was only claimed", grown >> 20);
}

/// "Java producers are idempotent by default, so InitProducerId is needed from the first day."
#[test]
fn every_version_of_init_producer_id_gives_an_identity_of_its_own() {
    let (_node, mut client) = start();
    let mut given = Vec::new();
    for version in 0..=5 {
        let request = InitProducerIdRequest::default().with_transactional_id(None);
        let answer = client.ask(version, &request);
        assert_eq!((answer.error_code, answer.producer_epoch), (0, 0), "version {version}");
        assert!(!given.contains(&answer.producer_id), "{} twice", answer.producer_id.0);
        given.push(answer.producer_id);
    }
}
