//! The stock plugins, compiled to components and embedded.
//!
//! Each is documented in its own crate, configuration included: `threshold`, `route-by-field`,
//! `redact`, `parse-log`. This crate holds their bytes; it runs nothing.

use std::fmt;

/// A plugin that comes with every node.
#[derive(Clone, Copy, Debug)]
pub struct StockPlugin {
    /// The name under which it is installed.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What kind of plugin it is.
    pub kind: StockKind,
    /// A small configuration that works, as JSON.
    pub example: &'static str,
    /// The component.
    pub component: &'static [u8],
}

/// What a plugin may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StockKind {
    /// Keeps or drops records.
    Filter,
    /// Drops, rewrites, splits and routes records.
    Transform,
}

impl fmt::Display for StockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StockKind::Filter => "filter",
            StockKind::Transform => "transform",
        })
    }
}

static ALL: [StockPlugin; 4] = [
    StockPlugin {
        name: "parse-log",
        summary: "turns syslog and sshd lines into JSON fields",
        kind: StockKind::Transform,
        example: r#"{"on_mismatch": "keep"}"#,
        component: include_bytes!(env!("PARSE_LOG")),
    },
    StockPlugin {
        name: "redact",
        summary: "masks secrets, IP addresses and mail addresses in text",
        kind: StockKind::Transform,
        example: r#"{"kinds": ["secrets", "email"], "mask": "***"}"#,
        component: include_bytes!(env!("REDACT")),
    },
    StockPlugin {
        name: "route-by-field",
        summary: "chooses partition or topic by a JSON field",
        kind: StockKind::Transform,
        example: r#"{"field": "device.site", "to": "partition"}"#,
        component: include_bytes!(env!("ROUTE_BY_FIELD")),
    },
    StockPlugin {
        name: "threshold",
        summary: "keeps records whose number lies outside a band, with bands per key",
        kind: StockKind::Filter,
        example: r#"{"field": "value", "low": 10, "high": 90}"#,
        component: include_bytes!(env!("THRESHOLD")),
    },
];

/// Every stock plugin, by name.
pub fn all() -> &'static [StockPlugin] {
    &ALL
}

/// The stock plugin of that name.
pub fn find(name: &str) -> Option<&'static StockPlugin> {
    ALL.iter().find(|plugin| plugin.name == name)
}

#[cfg(test)]
mod tests {
    use tidegate_plugin_parse_log::ParseLog;
    use tidegate_plugin_redact::Redact;
    use tidegate_plugin_route_by_field::RouteByField;
    use tidegate_plugin_sdk::testing::Tester;
    use tidegate_plugin_threshold::Threshold;

    use super::*;

    /// The first bytes of every component: the magic number, and the component layer.
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    const MOST: usize = 300 * 1024;

    #[test]
    fn each_is_a_small_component() {
        for plugin in all() {
            let size = plugin.component.len();
            assert!(plugin.component.starts_with(COMPONENT), "{}", plugin.name);
            assert!(size < MOST, "{} has {size} bytes", plugin.name);
        }
    }

    #[test]
    fn examples_are_accepted() {
        let names = [
            example("parse-log", Tester::<ParseLog>::transform),
            example("redact", Tester::<Redact>::transform),
            example("route-by-field", Tester::<RouteByField>::transform),
            example("threshold", Tester::<Threshold>::filter),
        ];
        assert_eq!(names.as_slice(), all().iter().map(|plugin| plugin.name).collect::<Vec<_>>());
    }

    fn example<P>(name: &'static str, configure: fn(&str) -> Result<P, String>) -> &'static str {
        let example = find(name).unwrap().example;
        if let Err(reason) = configure(example) {
            panic!("{name}: {example}: {reason}");
        }
        name
    }

    #[test]
    fn names_are_found_and_sorted() {
        assert!(all().is_sorted_by_key(|plugin| plugin.name));
        for plugin in all() {
            assert_eq!(find(plugin.name).map(|found| found.summary), Some(plugin.summary));
        }
        assert!(find("none").is_none());
    }
}
