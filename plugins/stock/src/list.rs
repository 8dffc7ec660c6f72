//! What there is, by name.

use crate::{StockKind, StockPlugin};

pub(crate) static ALL: [StockPlugin; 12] = [
    StockPlugin {
        name: "aggregate",
        summary: "averages, counts and sums a number over windows of time, per key",
        kind: StockKind::Transform,
        needs_state: true,
        example: r#"{"field": "value", "window": {"tumbling": "1m"}, "values": ["average", "max"]}"#,
    },
    StockPlugin {
        name: "cbor-to-json",
        summary: "turns CBOR values into JSON, or back",
        kind: StockKind::Transform,
        needs_state: false,
        example: r#"{"direction": "cbor-to-json", "bytes": "base64"}"#,
    },
    StockPlugin {
        name: "check-schema",
        summary: "checks JSON values against a JSON Schema",
        kind: StockKind::Filter,
        needs_state: false,
        example: r#"{"schema": {"type": "object", "required": ["id"]}, "on_mismatch": "fail"}"#,
    },
    StockPlugin {
        name: "convert-units",
        summary: "converts number fields of a JSON value to other units",
        kind: StockKind::Transform,
        needs_state: false,
        example: r#"{"fields": [{"field": "temp", "from": "F", "to": "C", "decimals": 1}]}"#,
    },
    StockPlugin {
        name: "deadband",
        summary: "passes a record only if its number moved since the last one of its key",
        kind: StockKind::Transform,
        needs_state: true,
        example: r#"{"field": "value", "absolute": 0.5, "max_silence": "10m"}"#,
    },
    StockPlugin {
        name: "deduplicate",
        summary: "drops records that were seen before, by key, field or value, within a time",
        kind: StockKind::Transform,
        needs_state: true,
        example: r#"{"by": {"field": "message_id"}, "within": "1h"}"#,
    },
    StockPlugin {
        name: "enrich",
        summary: "adds to a JSON value what a table topic says of its key or of a field",
        kind: StockKind::Transform,
        needs_state: true,
        example: r#"{"by": {"field": "device.id"}, "into": "place", "missing": "keep"}"#,
    },
    StockPlugin {
        name: "parse-log",
        summary: "turns syslog, sshd and access log lines into JSON fields",
        kind: StockKind::Transform,
        needs_state: false,
        example: r#"{"on_mismatch": "keep"}"#,
    },
    StockPlugin {
        name: "redact",
        summary: "masks secrets, IP addresses and mail addresses in text",
        kind: StockKind::Transform,
        needs_state: false,
        example: r#"{"kinds": ["secrets", "email"], "mask": "***"}"#,
    },
    StockPlugin {
        name: "route-by-field",
        summary: "chooses partition or topic by a JSON field",
        kind: StockKind::Transform,
        needs_state: false,
        example: r#"{"field": "device.site", "to": "partition"}"#,
    },
    StockPlugin {
        name: "sample",
        summary: "keeps every nth record, or a fraction of them",
        kind: StockKind::Filter,
        needs_state: false,
        example: r#"{"fraction": 0.1, "by": "key"}"#,
    },
    StockPlugin {
        name: "threshold",
        summary: "keeps records whose number lies outside a band, with bands per key",
        kind: StockKind::Filter,
        needs_state: false,
        example: r#"{"field": "value", "low": 10, "high": 90}"#,
    },
];
