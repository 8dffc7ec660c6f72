//! Bytes that no client should send. A broker answers or closes, and stays up.

use serde_json::json;
use tidegate_kafka_tests::Conn;

use crate::run::Run;

const METADATA: i16 = 3;
const OLD: (&str, i16) = ("Metadata", 1);
const COMPACT: (&str, i16) = ("Metadata", 9);

/// Lengths of frames.
pub fn frames(run: &mut Run<'_>) {
    for (step, bytes) in [
        ("negative", &[0xff, 0xff, 0xff, 0xff][..]),
        ("zero", &[0, 0, 0, 0]),
        ("one-byte", &[0, 0, 0, 1, 0]),
        ("largest", &[0x7f, 0xff, 0xff, 0xff]),
        ("over-the-limit", &(100 * 1024 * 1024 + 1_i32).to_be_bytes()),
        ("http", b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n"),
        ("tls", &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
    ] {
        run.raw(step, &[bytes], OLD, false);
    }
    let whole = Conn::framed(&[Conn::header(METADATA, 1, 7, false), vec![0, 0, 0, 0]].concat());
    for (step, cut) in [("half-a-length", 2), ("half-a-frame", whole.len() / 2)] {
        run.raw(step, &[&whole[..cut]], OLD, true);
    }
    run.raw("nothing", &[], OLD, true);
    run.raw("whole-then-end", &[&whole], OLD, true);
    let (length, rest) = whole.split_at(4);
    let (head, tail) = rest.split_at(rest.len() / 2);
    run.raw("in-pieces", &[&length[..1], &length[1..], head, tail], OLD, false);
    let line = run.line();
    run.call_on(line, "still-up", "Metadata", 9, json!({ "Topics": [] }));
}

/// Headers.
pub fn headers(run: &mut Run<'_>) {
    let metadata = [0, 3, 0, 1];
    let id = [0, 0, 0, 7];
    let none = [0, 0, 0, 0];
    for (step, parts) in [
        ("api-only", &[&[0, 3][..]][..]),
        ("no-correlation", &[&metadata]),
        ("no-client", &[&metadata, &id]),
        ("null-client", &[&metadata, &id, &[0xff, 0xff], &none]),
        ("client-of-minus-two", &[&metadata, &id, &[0xff, 0xfe], &none]),
        ("client-too-long", &[&metadata, &id, &[0x7f, 0xff], b"abc"]),
        ("client-no-utf8", &[&metadata, &id, &[0, 1, 0xff], &none]),
        ("empty-client", &[&metadata, &id, &[0, 0], &none]),
        // Flexible headers end with tags: one of 5 bytes, one that reaches over the end, more
        // than there are.
        ("tag", &[&[0, 3, 0, 9], &id, &[0, 0, 1, 9, 5], b"12345", &[1, 0, 0, 0, 0]]),
        ("tag-too-long", &[&[0, 3, 0, 9], &id, &[0, 0, 1, 9, 0x7f]]),
        ("too-many-tags", &[&[0, 3, 0, 9], &id, &[0, 0, 0xff, 0xff, 0xff, 0xff, 0xf]]),
        ("varint-without-end", &[&[0, 3, 0, 9], &id, &[0, 0], &[0xff; 12]]),
    ] {
        let like = if parts[0].ends_with(&[9]) { COMPACT } else { OLD };
        run.raw(step, &[&Conn::framed(&parts.concat())], like, false);
    }
}

/// Lengths and counts inside bodies.
pub fn lengths(run: &mut Run<'_>) {
    let old = |body: &[u8]| Conn::framed(&[&Conn::header(METADATA, 1, 7, false), body].concat());
    for (step, body) in [
        ("count-minus-two", &[0xff, 0xff, 0xff, 0xfe][..]),
        ("count-largest", &[0x7f, 0xff, 0xff, 0xff]),
        ("count-over-the-end", &[0, 0, 1, 0, 0, 1, b'a']),
        ("name-over-the-end", &[0, 0, 0, 1, 0, 9, b'a']),
        ("name-null", &[0, 0, 0, 1, 0xff, 0xff]),
        ("name-of-minus-two", &[0, 0, 0, 1, 0xff, 0xfe]),
    ] {
        // A negative count is null here, and asks for all topics.
        if step == "count-minus-two" {
            run.raw_outcome(step, &old(body));
        } else {
            run.raw(step, &[&old(body)], OLD, false);
        }
    }
    run.raw("bytes-left-over", &[&old(b"\0\0\0\0left over")], OLD, false);
    let compact = |body: &[u8]| Conn::framed(&[&Conn::header(METADATA, 9, 7, true), body].concat());
    for (step, body) in [
        ("compact-count-largest", &[0xff, 0xff, 0xff, 0xff, 0xf][..]),
        ("compact-count-over-the-end", &[0x7f, 2, b'a', 0]),
        ("compact-name-over-the-end", &[2, 0x7f, b'a', 0]),
        ("compact-name-null", &[2, 0, 0, 1, 0, 0, 0]),
        ("varint-of-six-bytes", &[0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ("unknown-tag", &[1, 1, 0, 0, 1, 9, 3, b'a', b'b', b'c']),
        ("tags-over-the-end", &[1, 1, 0, 0, 1, 9, 0x7f]),
        ("bool-of-two", &[1, 2, 3, 4, 0]),
    ] {
        run.raw(step, &[&compact(body)], COMPACT, false);
    }
    // Record sets that reach over the request, or none at all.
    let produce = |records: &[u8]| {
        let mut body = Conn::header(0, 3, 7, false);
        body.extend_from_slice(&[0xff, 0xff, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1]);
        body.extend_from_slice(b"\0\x0dno-such-topic");
        body.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0]);
        body.extend_from_slice(records);
        Conn::framed(&body)
    };
    run.raw(
        "records-over-the-end",
        &[&produce(&[0x7f, 0xff, 0xff, 0xff, 0, 0])],
        ("Produce", 3),
        false,
    );
    run.raw("records-of-minus-two", &[&produce(&[0xff, 0xff, 0xff, 0xfe])], ("Produce", 3), false);
}

/// Whole requests of many kinds, cut at every place: nothing but an answer or a close may follow.
pub fn truncated(run: &mut Run<'_>) {
    let topic = super::log_topic(run, "t", 1);
    let group = run.name("g");
    for (api, version, body) in [
        ("Metadata", 12, json!({ "Topics": [{ "Name": topic.name }] })),
        ("Produce", 9, super::produce(&topic, 0, -1, super::batch(&[("k", "v")]).hex().into())),
        ("Fetch", 11, super::fetch(&topic, 0)),
        ("OffsetFetch", 8, json!({ "Groups": [{ "GroupId": group, "Topics": null }] })),
        (
            "JoinGroup",
            5,
            json!({ "GroupId": group, "Protocols": [{ "Name": "p", "Metadata": "00" }] }),
        ),
    ] {
        run.cut(api, version, &body);
    }
    super::read(run, "still-empty", &topic);
}
