//! Stock plugins as nodes run them: what goes in, and what comes out.

use crate::support::{Attach, TestNode, texts};

/// A whole minute.
const T0: i64 = 1_700_000_040_000;

struct Case {
    plugin: &'static str,
    config: &'static str,
    /// What its table holds, by key.
    table: &'static [(&'static str, &'static str)],
    /// Values, and how many seconds after `T0` they were made.
    input: &'static [(i64, &'static str)],
    output: &'static [&'static str],
}

const fn case(
    plugin: &'static str,
    config: &'static str,
    input: &'static [(i64, &'static str)],
    output: &'static [&'static str],
) -> Case {
    Case { plugin, config, table: &[], input, output }
}

const CASES: [Case; 10] = [
    case(
        "aggregate",
        r#"{"field": "v", "window": {"tumbling": "1m"}, "values": ["count", "average"]}"#,
        &[(0, r#"{"v":1}"#), (59, r#"{"v":3}"#), (60, r#"{"v":9}"#)],
        &[r#"{"start":1700000040000,"end":1700000100000,"count":2,"average":2}"#],
    ),
    case("cbor-to-json", "{}", &[(0, "aa"), (1, "\u{5}")], &[r#""a""#, "5"]),
    case("cbor-to-json", r#"{"direction": "json-to-cbor"}"#, &[(0, r#""a""#)], &["aa"]),
    case(
        "check-schema",
        r#"{"schema": {"type": "object", "required": ["id"]}, "on_mismatch": "drop"}"#,
        &[(0, r#"{"id":1}"#), (1, r#"{"x":1}"#), (2, "no JSON")],
        &[r#"{"id":1}"#],
    ),
    case(
        "convert-units",
        r#"{"fields": [{"field": "temp", "from": "F", "to": "C", "decimals": 1}]}"#,
        &[(0, r#"{"temp":98.6,"at":"hall"}"#)],
        &[r#"{"temp":37,"at":"hall"}"#],
    ),
    case(
        "deadband",
        r#"{"format": "text", "absolute": 0.5, "max_silence": "10m"}"#,
        &[(0, "1"), (1, "1.4"), (2, "1.6"), (3, "1.7"), (700, "1.7")],
        &["1", "1.6", "1.7"],
    ),
    case(
        "deduplicate",
        r#"{"by": "value", "within": "1h"}"#,
        &[(0, "a"), (1, "a"), (2, "b"), (4_000, "a")],
        &["a", "b", "a"],
    ),
    Case {
        plugin: "enrich",
        config: r#"{"by": {"field": "device.id"}, "into": "place", "fields": ["hall"]}"#,
        table: &[("17", r#"{"hall":2,"line":"B"}"#)],
        input: &[(0, r#"{"device":{"id":17}}"#), (1, r#"{"device":{"id":18}}"#)],
        output: &[r#"{"device":{"id":17},"place":{"hall":2}}"#, r#"{"device":{"id":18}}"#],
    },
    case(
        "parse-log",
        r#"{"message": false}"#,
        &[(0, r#"10.1.2.3 - eve [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.1" 200 2326"#)],
        &[
            r#"{"timestamp":"2000-10-10T13:55:36-07:00","ip":"10.1.2.3","user":"eve","method":"GET","path":"/a","protocol":"HTTP/1.1","status":200,"bytes":2326}"#,
        ],
    ),
    case(
        "sample",
        r#"{"fraction": 0.5, "by": "value"}"#,
        // One value shares its fate with itself, whatever that is.
        &[(0, "a"), (1, "b"), (2, "c"), (3, "d"), (4, "a"), (5, "b"), (6, "c"), (7, "d")],
        &["SAME"],
    ),
];

#[tokio::test]
async fn each_does_in_a_node_what_its_page_says() {
    let node = TestNode::start().await;
    for plugin in tidegate_stock_plugins::all() {
        // Compiled once for all of this: it takes seconds where nothing is optimised.
        node.install_stock(plugin.name).await;
    }
    take_examples(&node).await;
    for (number, case) in CASES.iter().enumerate() {
        let Case { plugin, config, table, input, output } = case;
        let [from, to, looked_up] = ["in", "out", "table"].map(|role| format!("{role}-{number}"));
        node.create(&from, 1).await;
        let mut attach = Attach::new(&from, plugin, config);
        let derives = tidegate_stock_plugins::find(plugin).unwrap().needs_state;
        if derives {
            node.create(&to, 1).await;
            attach = attach.derive_to(&to);
        }
        if !table.is_empty() {
            node.create(&looked_up, 1).await;
            let rows: Vec<_> = table.iter().map(|(key, value)| (*key, Some(*value))).collect();
            node.produce_keyed(&looked_up, &rows).await;
            attach.table = Some(&looked_up);
        }
        node.attach(attach).await;
        let records: Vec<_> = input.iter().map(|(s, value)| (T0 + s * 1_000, *value)).collect();
        node.produce_at(&from, &records).await;
        let got = match derives {
            true => texts(&node.wait_for(&to, output.len()).await),
            false => node.values(&from).await,
        };
        if *output == ["SAME"] {
            assert!(got.len().is_multiple_of(2) && got[..got.len() / 2] == got[got.len() / 2..]);
        } else {
            assert_eq!(got, *output, "{plugin} {config}");
        }
        let shown = node.client.show_plugin(plugin.parse().unwrap()).await.unwrap();
        for status in shown.attachments {
            assert_eq!((status.stats.failed, status.stats.traps), (0, 0), "{status:?}");
        }
    }
}

/// The configuration that each plugin is listed with is one that it takes.
async fn take_examples(node: &TestNode) {
    node.create("t", 1).await;
    node.create("out", 1).await;
    for plugin in tidegate_stock_plugins::all() {
        let attach = Attach::new("t", plugin.name, plugin.example);
        let attach = if plugin.needs_state { attach.derive_to("out") } else { attach };
        let attached = node.try_attach(attach).await;
        attached.unwrap_or_else(|error| panic!("{}: {error}", plugin.name));
    }
}
