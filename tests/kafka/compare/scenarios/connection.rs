//! What a connection takes before any topic is named.

use serde_json::json;
use tidegate_kafka_tests::Conn;

use crate::run::Run;

/// The table of versions, and how a client is told that it asked in a newer one.
pub fn api_versions(run: &mut Run<'_>) {
    for version in 0..=4 {
        let body = json!({
            "ClientSoftwareName": "compare", "ClientSoftwareVersion": "1.0",
        });
        run.call("table", "ApiVersions", version, body);
    }
    for version in 3..=4 {
        for (step, name, software) in [
            ("no-name", "", "1"),
            ("no-version", "compare", ""),
            ("name-with-space", "com pare", "1"),
            ("name-with-dash-last", "compare-", "1"),
            ("version-with-slash", "compare", "1/2"),
            ("one-letter", "a", "b"),
            ("dots-and-dashes", "a.b-c", "1.2-3"),
        ] {
            let body = json!({
                "ClientSoftwareName": name, "ClientSoftwareVersion": software,
            });
            let line = run.line();
            run.call_on(line, step, "ApiVersions", version, body);
            run.call_on(
                line,
                &format!("{step}-then-{version}"),
                "Metadata",
                9,
                json!({ "Topics": [] }),
            );
        }
    }
    for (step, version, flexible) in
        [("newer", 5, true), ("much-newer", 99, true), ("negative", -1, false)]
    {
        // The answer comes in version 0, whatever was asked.
        let header = Conn::header(18, version, 7, flexible);
        run.raw(step, &[&Conn::framed(&header)], ("ApiVersions", 0), false);
    }
}

/// Requests that the broker does not know.
pub fn unknown(run: &mut Run<'_>) {
    for (step, api, version) in [
        ("no-such-api", 999, 0),
        ("negative-api", -1, 0),
        ("old-api", 4, 0),
        ("controller-api", 52, 0),
        ("telemetry", 71, 0),
        ("metadata-newer", 3, 14),
        ("metadata-negative", 3, -1),
        ("fetch-old", 1, 3),
        ("fetch-newer", 1, 99),
        ("produce-0", 0, 0),
        ("produce-2", 0, 2),
        ("produce-newer", 0, 14),
        ("list-offsets-0", 2, 0),
        ("create-topics-1", 19, 1),
        ("describe-configs-0", 32, 0),
    ] {
        let mut frame = Conn::header(api, version, 7, false);
        frame.extend_from_slice(&[0; 16]);
        run.raw(step, &[&Conn::framed(&frame)], ("ApiVersions", 0), false);
    }
}

/// Answers come in the order of the requests, whatever each takes.
pub fn pipelining(run: &mut Run<'_>) {
    let topic = run.topic("t", 1, &[]);
    let line = run.line();
    let wait = super::with(
        super::fetch(&topic, 0),
        &[("/MaxWaitMs", json!(300)), ("/MinBytes", json!(1))],
    );
    run.send_on(line, "slow", "Fetch", 11, wait);
    run.send_on(line, "quick", "Metadata", 9, json!({ "Topics": [{ "Name": topic.name }] }));
    run.send_on(line, "versions", "ApiVersions", 0, json!({}));
    for _ in 0..2 {
        run.answer(line);
    }
    run.answer(line);
    // Requests with acks 0 have no answer and hold up nothing.
    let batch = super::batch(&[("k", "v")]);
    for index in 0..3 {
        let name = format!("silent-{index}");
        let body = super::produce(&topic, 0, 0, batch.hex().into());
        run.send_without_answer(line, &name, "Produce", 9, body);
    }
    run.call_on(line, "after-silent", "Metadata", 9, json!({ "Topics": [{ "Name": topic.name }] }));
    let all = super::waiting(super::fetch(&topic, 0), 3 * batch.bytes().len());
    run.call_on(line, "appended", "Fetch", 11, all);
}
