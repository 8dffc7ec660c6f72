//! Layouts against the body codec, and hostile bodies against both.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::*;
use crate::allocations::peak;
use crate::api::{ADVERTISED, Api, PRODUCE_SERVED_FROM};
use crate::client;
use crate::layouts;
use crate::limits::MAX_ELEMENTS;
use crate::request::{ParsedRequest, Request, RequestError, decode, parse};
use crate::testing::{Rng, Writer};

/// Every API with every version that is served.
fn served() -> impl Iterator<Item = (Api, i16)> {
    ADVERTISED.iter().flat_map(|range| {
        (range.min..=range.max).map(|version| (range.api, version)).filter(|(a, v)| a.serves(*v))
    })
}

/// A payload: header, then a body.
fn payload(api: Api, version: i16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(api.key().to_be_bytes());
    out.extend(version.to_be_bytes());
    out.extend(77_i32.to_be_bytes());
    out.extend([0, 2, b'm', b'e']);
    if version >= layouts::of(api).flexible {
        out.push(0);
    }
    out.extend(body);
    out
}

/// What the codec makes of a body that it has read.
fn encode_again(request: &Request, version: i16) -> Bytes {
    let frame = client::encode(version, 77, Some("me"), request).unwrap();
    let api = request.api();
    let header = payload(api, version, &[]);
    assert_eq!(frame[4..4 + header.len()], header);
    frame.slice(4 + header.len()..)
}

fn fault(result: Result<ParsedRequest, RequestError>) -> Malformed {
    match result {
        Err(RequestError::Malformed { source, .. }) => source,
        other => panic!("not malformed: {other:?}"),
    }
}

#[test]
fn every_layout_is_the_codecs_own() {
    for seed in 0..40 {
        let mut rng = Rng(seed);
        for (api, version) in served() {
            let layout = layouts::of(api);
            let (body, _) = Writer::new(&mut rng, layout, version).body(layout);
            let payload = payload(api, version, &body);
            let parsed = parse(Bytes::from(payload)).unwrap_or_else(|error| {
                panic!("seed {seed}: {error}: {body:02x?}");
            });
            assert_eq!(parsed.request.api(), api);
            assert_eq!((parsed.header.api, parsed.header.version), (api, version));
            assert_eq!(parsed.header.correlation_id, 77);
            assert_eq!(parsed.header.client_id.as_deref(), Some("me"));
            // What was understood is what was said, to the last bit.
            assert_eq!(
                encode_again(&parsed.request, version),
                body,
                "seed {seed}: {api} {version}"
            );
        }
    }
}

/// The fields of a version that could be written as null and must not be.
fn never_null(fields: &'static [Field], version: i16, out: &mut BTreeSet<&'static str>) {
    for field in fields.iter().filter(|field| field.tag.is_none() && field.is_in(version)) {
        if let Kind::Structs(inner) | Kind::Struct(inner) = field.kind {
            never_null(inner, version, out);
        }
        let has_null = field.kind.fixed_size().is_none() && !matches!(field.kind, Kind::Struct(_));
        if has_null && !field.may_be_null(version) {
            out.insert(field.name);
        }
    }
}

#[test]
fn every_field_that_must_have_a_value_is_refused_without() {
    let mut taken_by_codec = BTreeSet::new();
    for (api, version) in served() {
        let layout = layouts::of(api);
        let mut wanted = BTreeSet::new();
        never_null(layout.fields, version, &mut wanted);
        for (seed, wrong) in (0..100).flat_map(|seed| (0..16).map(move |wrong| (seed, wrong))) {
            if wanted.is_empty() {
                break;
            }
            let mut rng = Rng(seed);
            let mut writer = Writer::new(&mut rng, layout, version);
            writer.wrong_null = Some(wrong);
            let (body, writer) = writer.body(layout);
            let Some(field) = writer.wrong_field else { continue };
            let found = fault(parse(Bytes::from(payload(api, version, &body))));
            assert_eq!((found.field, found.fault), (field, Fault::Null), "{api} {version}");
            wanted.remove(field);
            if decode(api, version, &mut Bytes::from(body)).is_ok() {
                taken_by_codec.insert((api, field, version));
            }
        }
        assert!(wanted.is_empty(), "{api} {version}: not tried: {wanted:?}");
    }
    // The codec refuses the same, but for fields that may be null later on.
    let mut later: BTreeSet<_> = (0..10).map(|version| (Api::Metadata, "name", version)).collect();
    later.extend([(Api::Metadata, "topics", 0), (Api::OffsetFetch, "topics", 1)]);
    assert_eq!(taken_by_codec, later);
}

#[test]
fn no_part_of_a_request_is_a_request() {
    let mut rng = Rng(5);
    for (api, version) in served() {
        let layout = layouts::of(api);
        let (body, _) = Writer::new(&mut rng, layout, version).body(layout);
        let whole = Bytes::from(payload(api, version, &body));
        for len in 0..whole.len() {
            let error = parse(whole.slice(..len)).expect_err("a part was taken for a whole");
            match error {
                RequestError::NoHeader { .. } => assert!(len < 8),
                RequestError::Malformed { source, .. } => {
                    assert!(
                        matches!(
                            source.fault,
                            Fault::Truncated { .. } | Fault::TooManyForInput { .. }
                        ),
                        "{api} {version} at {len}: {source}"
                    );
                    assert!(source.at <= len);
                }
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn what_follows_a_request_is_left_alone() {
    let mut rng = Rng(6);
    for (api, version) in served() {
        let layout = layouts::of(api);
        let (body, _) = Writer::new(&mut rng, layout, version).body(layout);
        let whole = payload(api, version, &body);
        let longer = [&whole[..], &[0, 1, 2]].concat();
        assert_eq!(parse(longer.into()), parse(whole.into()), "{api} {version}");
    }
}

/// Most bytes held while a request of so many bytes is read. A string costs 32 bytes for one on the
/// wire, and a structure of strings not much more; tagged fields are bounded by their number.
fn bound(len: usize) -> usize {
    64 * len + 512 * MAX_UNKNOWN_TAGS
}

fn read_within_bound(bytes: Vec<u8>) -> bool {
    let len = bytes.len();
    let bytes = Bytes::from(bytes);
    let shown = bytes.clone();
    let (parsed, held) = peak(|| parse(bytes));
    assert!(held <= bound(len), "{held} bytes held for {len}: {:02x?}", &shown[..len.min(200)]);
    if let Err(RequestError::Malformed { source: Malformed { fault, .. }, .. }) = &parsed {
        // The codec never finds what the walk did not.
        assert!(!matches!(fault, Fault::Codec { .. }), "{fault}: {shown:02x?}");
    }
    parsed.is_ok()
}

#[test]
fn mutated_requests_are_read_or_refused_within_their_bound() {
    let (mut read, mut refused) = (0, 0);
    for seed in 0..60 {
        let mut rng = Rng(seed);
        for (api, version) in served() {
            let layout = layouts::of(api);
            let (body, writer) = Writer::new(&mut rng, layout, version).body(layout);
            let rng = writer.rng;
            let mut bytes = payload(api, version, &body);
            for _ in 0..1 + rng.below(4) {
                // Behind the version, so that the layout stays the one that is meant.
                let at = 4 + rng.below(bytes.len() as u64 - 4) as usize;
                match rng.below(6) {
                    0 => bytes[at] = rng.next() as u8,
                    1 => bytes[at] ^= 1 << rng.below(8),
                    2 => bytes[at] = 0xff,
                    3 => bytes.insert(at, rng.next() as u8),
                    4 => drop(bytes.remove(at)),
                    // A length out of the blue.
                    _ => {
                        let end = bytes.len().min(at + 4);
                        let len = (rng.next() as u32 >> rng.below(32)).to_be_bytes();
                        bytes[at..end].copy_from_slice(&len[..end - at]);
                    }
                }
                if bytes.len() < 12 {
                    break;
                }
            }
            if read_within_bound(bytes) { read += 1 } else { refused += 1 }
        }
    }
    assert!(read > 1_000 && refused > 1_000, "{read} read, {refused} refused");
}

#[test]
fn noise_is_read_or_refused_within_its_bound() {
    for seed in 0..300 {
        let mut rng = Rng(seed);
        for (api, version) in served() {
            let len = rng.below(120) as usize;
            // Small numbers, so that some of it makes sense.
            let top = [3, 16, 256][rng.below(3) as usize];
            let body: Vec<u8> = (0..len).map(|_| rng.below(top) as u8).collect();
            read_within_bound(payload(api, version, &body));
        }
    }
}

/// The smallest element on the wire, as often as it is let through: what costs most for its size.
#[test]
fn the_dearest_elements_stay_within_the_bound() {
    for (api, version) in served() {
        let layout = layouts::of(api);
        for kind in ["strings", "structures", "tags"] {
            let mut body = Vec::new();
            dearest(layout.fields, version, version >= layout.flexible, kind, &mut body);
            read_within_bound(payload(api, version, &body));
        }
    }
    // And that something of the kind is let through at all.
    let mut topics = vec![0x00, 0x01, 0x86, 0xa0];
    topics.extend(std::iter::repeat_n([0, 0], MAX_ELEMENTS).flatten());
    assert!(read_within_bound(payload(Api::Metadata, 0, &topics)));
    topics.splice(..4, [0x00, 0x01, 0x86, 0xa1]);
    topics.extend([0, 0]);
    let found = fault(parse(Bytes::from(payload(Api::Metadata, 0, &topics))));
    assert_eq!(found.fault, Fault::TooManyElements { max: MAX_ELEMENTS });
}

/// All arrays with a thousand elements of nothing but zeros, or one in which every element has an
/// unknown tagged field.
fn dearest(fields: &'static [Field], version: i16, flexible: bool, kind: &str, out: &mut Vec<u8>) {
    for field in fields.iter().filter(|field| field.tag.is_none() && field.is_in(version)) {
        let count: u16 = 300;
        let put_count = |out: &mut Vec<u8>, count: u16| {
            if flexible {
                let one_more = count + 1;
                out.extend([one_more as u8 | 0x80, (one_more >> 7) as u8]);
            } else {
                out.extend(u32::from(count).to_be_bytes());
            }
        };
        match field.kind {
            Kind::List(Kind::String) if kind == "strings" => {
                put_count(out, count);
                for _ in 0..count {
                    out.extend(if flexible { &[1][..] } else { &[0, 0] });
                }
            }
            Kind::Structs(inner) if kind != "strings" => {
                put_count(out, count);
                for _ in 0..count {
                    // Arrays within are empty.
                    let mut element = Vec::new();
                    for field in inner.iter().filter(|f| f.tag.is_none() && f.is_in(version)) {
                        smallest(field, flexible, version, &mut element);
                    }
                    if flexible {
                        element.extend(if kind == "tags" { &[1, 100, 0][..] } else { &[0] });
                    }
                    out.extend(element);
                }
            }
            _ => smallest(field, flexible, version, out),
        }
    }
    if flexible {
        out.push(0);
    }
}

fn smallest(field: &Field, flexible: bool, version: i16, out: &mut Vec<u8>) {
    match field.kind {
        Kind::Struct(_) if field.may_be_null(version) => out.push(0xff),
        kind if kind.fixed_size().is_some() => out.extend(vec![0; kind.fixed_size().unwrap()]),
        _ if flexible => out.push(1),
        Kind::String => out.extend([0; 2]),
        _ => out.extend([0; 4]),
    }
}

#[test]
fn counts_that_nothing_backs_are_refused_before_they_cost_anything() {
    // A Metadata body that asks for two thousand million topics.
    let mut bytes = payload(Api::Metadata, 0, &[0x7f, 0xff, 0xff, 0xff]);
    let (found, held) = peak(|| parse(Bytes::from(std::mem::take(&mut bytes))));
    assert_eq!(
        fault(found),
        Malformed {
            field: "topics",
            at: 16,
            fault: Fault::TooManyForInput { count: i32::MAX as usize, left: 0 }
        }
    );
    assert!(held < 1_000, "{held}");
    // The same in the compact encoding, 2^32 - 2 elements, and as many tagged fields.
    let huge = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let found = fault(parse(Bytes::from(payload(Api::Metadata, 12, &huge))));
    let count = u32::MAX as usize - 1;
    assert_eq!(found.fault, Fault::TooManyForInput { count, left: 0 });
    let body = [&[1, 0, 0][..], &huge].concat();
    let found = fault(parse(Bytes::from(payload(Api::Metadata, 12, &body))));
    assert_eq!(
        (found.field, found.fault),
        ("tagged_fields", Fault::Truncated { needed: 1, left: 0 })
    );
}

#[test]
fn what_is_wrong_is_said() {
    let of = |api, version, body: &[u8]| fault(parse(Bytes::from(payload(api, version, body))));
    // DescribeGroups v0: one group whose name is not UTF-8, negative, then too long for its array.
    let found = of(Api::DescribeGroups, 0, &[0, 0, 0, 1, 0, 2, 0xc3, 0x28]);
    assert_eq!(found, Malformed { field: "groups", at: 18, fault: Fault::NotUtf8 });
    let found = of(Api::DescribeGroups, 0, &[0, 0, 0, 1, 0xff, 0xfe]);
    assert_eq!(found.fault, Fault::NegativeLength { len: -2 });
    let found = of(Api::DescribeGroups, 0, &[0xff, 0xff, 0xff, 0xff]);
    assert_eq!(found.fault, Fault::Null);
    let found = of(Api::DescribeGroups, 0, &[0xff, 0xff, 0xff, 0xf0]);
    assert_eq!(found.fault, Fault::NegativeLength { len: -16 });
    // A compact string may claim more than any string may have.
    let mut body = vec![2, 0x81, 0x80, 0x02];
    body.extend([b'a'; 32_768]);
    body.extend([0, 0]);
    let found = of(Api::DescribeGroups, 5, &body);
    assert_eq!(found.fault, Fault::StringTooLong { len: 32_768, max: MAX_STRING });
    // A number of more than 32 bits, with and without an end.
    for last in [0x10, 0xff] {
        let found = of(Api::DescribeGroups, 5, &[0xff, 0xff, 0xff, 0xff, last, 0, 0]);
        assert_eq!(found.fault, Fault::VarintTooLong);
    }
    // A cursor that is neither there nor not.
    let found = of(Api::DescribeTopicPartitions, 0, &[1, 0, 0, 0, 9, 5, 0]);
    assert_eq!((found.field, found.fault), ("cursor", Fault::BadMarker { marker: 5 }));
    let text = format!("{}", of(Api::DescribeTopicPartitions, 0, &[0]));
    assert_eq!(text, "field topics at byte 13: is null, which this version does not allow");
}

#[test]
fn tagged_fields_keep_to_their_size_and_version() {
    // Fetch v12 without topics, up to its tagged fields.
    let fetch = |version: i16, tags: &[u8]| {
        let mut body = Vec::new();
        if version <= 14 {
            body.extend((-1_i32).to_be_bytes());
        }
        body.extend([0; 4 + 4 + 4 + 1 + 4 + 4]);
        body.extend([1, 1, 1]);
        body.extend(tags);
        parse(Bytes::from(payload(Api::Fetch, version, &body)))
    };
    assert!(fetch(12, &[0]).is_ok());
    // The cluster id, "ab": its size is 3; it may be null.
    let Request::Fetch(body) = fetch(12, &[1, 0, 3, 3, b'a', b'b']).unwrap().request else {
        panic!("not a fetch")
    };
    assert_eq!(body.cluster_id.as_deref(), Some("ab"));
    assert!(fetch(12, &[1, 0, 1, 0]).is_ok());
    // A size beyond the value, and a value beyond its size although bytes follow.
    let found = fault(fetch(12, &[1, 0, 4, 3, b'a', b'b', b'c']));
    assert_eq!((found.field, found.fault), ("cluster_id", Fault::TagSize { tag: 0, left: 1 }));
    let found = fault(fetch(12, &[1, 0, 2, 3, b'a', b'b']));
    assert_eq!(found.fault, Fault::Truncated { needed: 2, left: 1 });
    // The replica state came with version 15.
    let found = fault(fetch(12, &[1, 1, 0]));
    assert_eq!(found.fault, Fault::TagNotInVersion { tag: 1 });
    let state = [&[1, 1, 13][..], &[0; 13]].concat();
    assert!(fetch(15, &state).is_ok());
    // A number that is negative where numbers are signed.
    let found = fault(fetch(12, &[1, 0x80, 0x80, 0x80, 0x80, 0x08, 0]));
    assert_eq!(found.fault, Fault::TagNotInVersion { tag: 1 << 31 });
    // Many that nobody knows.
    let many = |count: usize| {
        let mut tags = vec![count as u8 | 0x80, (count >> 7) as u8];
        (0..count).for_each(|n| tags.extend([n as u8 | 0x80, (n >> 7) as u8 + 8, 0]));
        fetch(12, &tags)
    };
    assert!(many(MAX_UNKNOWN_TAGS).is_ok());
    let found = fault(many(MAX_UNKNOWN_TAGS + 1));
    assert_eq!(found.fault, Fault::TooManyTags { max: MAX_UNKNOWN_TAGS });
}

#[test]
fn headers_are_read_in_both_versions_and_refused_when_broken() {
    let heartbeat = |header: &[u8]| {
        let mut bytes = vec![0, 18, 0, 0, 0, 0, 0, 9];
        bytes.extend(header);
        parse(Bytes::from(bytes))
    };
    assert_eq!(heartbeat(&[0xff, 0xff]).unwrap().header.client_id, None);
    assert_eq!(heartbeat(&[0, 0]).unwrap().header.client_id.as_deref(), Some(""));
    assert_eq!(fault(heartbeat(&[0xff, 0xf0])).fault, Fault::NegativeLength { len: -16 });
    assert_eq!(fault(heartbeat(&[0])).fault, Fault::Truncated { needed: 2, left: 1 });
    assert_eq!(fault(heartbeat(&[0, 5, b'a'])).fault, Fault::Truncated { needed: 5, left: 1 });
    // A name in another encoding is told as far as it goes, unless that makes it too long.
    let latin = heartbeat(&[0, 2, b'a', 0xff]).unwrap();
    assert_eq!(latin.header.client_id.as_deref(), Some("a\u{fffd}"));
    let long = [&i16::MAX.to_be_bytes()[..], &[0xff; i16::MAX as usize]].concat();
    assert_eq!(fault(heartbeat(&long)).fault, Fault::NotUtf8);
    // Version 3 has tagged fields in its header, the body two strings and tagged fields.
    let flexible = [0, 18, 0, 3, 0, 0, 0, 9, 0xff, 0xff, 1, 7, 2, 1, 2, 2, b'x', 2, b'1', 0];
    let parsed = parse(Bytes::copy_from_slice(&flexible)).unwrap();
    let Request::ApiVersions(body) = parsed.request else { panic!("not ApiVersions") };
    assert_eq!(&*body.client_software_name, "x");
}

#[test]
fn what_is_not_served_says_how_it_began() {
    let begin = |key: i16, version: i16| {
        let mut bytes = key.to_be_bytes().to_vec();
        bytes.extend(version.to_be_bytes());
        bytes.extend([0, 0, 1, 0]);
        parse(Bytes::from(bytes)).unwrap_err()
    };
    let unknown = begin(24, 0);
    assert!(matches!(unknown, RequestError::UnknownApi(p) if p.api_key == 24));
    assert_eq!(unknown.preamble().unwrap().correlation_id, 256);
    assert_eq!(unknown.unsupported_api_versions(), None);
    for version in [-1, 5, i16::MAX, i16::MIN] {
        assert_eq!(begin(18, version).unsupported_api_versions(), Some(256));
    }
    for version in [0, PRODUCE_SERVED_FROM - 1, 14] {
        let refused = begin(0, version);
        assert!(matches!(refused, RequestError::UnsupportedVersion { api: Api::Produce, .. }));
        assert_eq!(refused.unsupported_api_versions(), None);
    }
    assert_eq!(parse(Bytes::from_static(&[0; 7])), Err(RequestError::NoHeader { len: 7 }));
}

#[test]
fn records_are_slices_of_the_frame() {
    let mut rng = Rng(3);
    let layout = layouts::of(Api::Produce);
    let mut seen = 0;
    for version in PRODUCE_SERVED_FROM..=13 {
        let (body, _) = Writer::new(&mut rng, layout, version).body(layout);
        let frame = Bytes::from(payload(Api::Produce, version, &body));
        let range = frame.as_ptr_range();
        let Request::Produce(produce) = parse(frame.clone()).unwrap().request else {
            panic!("not a produce")
        };
        for partition in produce.topic_data.iter().flat_map(|topic| &topic.partition_data) {
            if let Some(records) = partition.records.as_ref().filter(|records| !records.is_empty())
            {
                assert!(range.contains(&records.as_ptr()));
                seen += 1;
            }
        }
    }
    assert!(seen > 5);
}
