//! Plugins and their versions.

use serde::Serialize;
use tidegate_types::{ByteSize, PluginVersion};
use tidegate_wire::{InstallReport, PluginDescription};

use super::AttachedView;
use crate::output::table;

#[derive(Serialize, Debug)]
struct VersionView {
    hash: String,
    kind: String,
    contract: String,
    bytes: u64,
}

impl From<PluginVersion> for VersionView {
    fn from(version: PluginVersion) -> VersionView {
        VersionView {
            hash: version.hash.to_string(),
            kind: version.kind.to_string(),
            contract: version.contract,
            bytes: version.size.get(),
        }
    }
}

/// A plugin.
#[derive(Serialize, Debug)]
pub struct PluginView {
    name: String,
    versions: Vec<VersionView>,
    attachments: Vec<AttachedView>,
}

impl From<PluginDescription> for PluginView {
    fn from(plugin: PluginDescription) -> PluginView {
        PluginView {
            name: plugin.name.to_string(),
            versions: plugin.versions.into_iter().map(VersionView::from).collect(),
            attachments: plugin.attachments.into_iter().map(AttachedView::from).collect(),
        }
    }
}

/// A stock plugin that is not installed.
#[derive(Serialize, Debug)]
pub struct StockView {
    /// Its name.
    pub name: &'static str,
    /// The world that it implements.
    pub kind: String,
    /// Size of its component.
    pub bytes: usize,
    /// What it does.
    pub summary: &'static str,
    /// A small configuration that works, JSON text.
    pub example_config: &'static str,
}

/// What an install did.
#[derive(Serialize, Debug)]
pub struct InstalledView {
    name: String,
    hash: String,
    kind: String,
    contract: String,
    bytes: u64,
    compile_ms: u64,
    already: bool,
    signed_by: Option<String>,
}

impl From<InstallReport> for InstalledView {
    fn from(report: InstallReport) -> InstalledView {
        InstalledView {
            name: report.version.name.to_string(),
            hash: report.version.hash.to_string(),
            kind: report.version.kind.to_string(),
            contract: report.version.contract,
            bytes: report.version.size.get(),
            compile_ms: report.compile_ms,
            already: report.already,
            signed_by: report.signed_by,
        }
    }
}

impl InstalledView {
    /// One sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let InstalledView { name, hash, kind, bytes, compile_ms, .. } = self;
        let short = &hash[..hash.len().min(12)];
        if self.already {
            return format!("plugin {name} has version {short} already\n");
        }
        let size = ByteSize::bytes(*bytes);
        let signed = self.signed_by.iter().map(|who| format!(", signed by {who}"));
        let signed: String = signed.collect();
        format!(
            "installed plugin {name}, a {kind}: version {short}, {size}, compiled in {compile_ms} ms\
             {signed}\n"
        )
    }
}

/// All plugins, one a line; then the stock plugins that are not installed.
#[must_use]
pub fn plugin_table(plugins: &[PluginView], stock: &[StockView]) -> String {
    let mut text = if plugins.is_empty() {
        "no plugins installed: see `tidegate plugin list --stock` for those that come along\n"
            .to_owned()
    } else {
        let rows = plugins.iter().map(|plugin| {
            let newest = plugin.versions.first();
            let topics = plugin.attachments.iter().map(|a| a.attachment.topic.as_str());
            [
                plugin.name.clone(),
                newest.map(|version| version.kind.clone()).unwrap_or_default(),
                newest.map(|v| v.hash.chars().take(12).collect()).unwrap_or_default(),
                newest.map(|v| ByteSize::bytes(v.bytes).to_string()).unwrap_or_default(),
                plugin.versions.len().to_string(),
                topics.collect::<Vec<_>>().join(", "),
            ]
        });
        table(["plugin", "kind", "newest", "size", "versions", "attached to"], &[3, 4], rows)
    };
    if !stock.is_empty() {
        let rows = stock.iter().map(|plugin| {
            let size = ByteSize::bytes(plugin.bytes as u64).to_string();
            [plugin.name.to_owned(), plugin.kind.clone(), size, plugin.summary.to_owned()]
        });
        text.push_str("\n\n");
        text.push_str(&table(["stock plugin", "kind", "size", "summary"], &[2], rows));
    }
    text
}

/// One plugin with all there is to know.
#[must_use]
pub fn plugin_detail(plugin: &PluginView) -> String {
    let rows = plugin.versions.iter().map(|version| {
        let size = ByteSize::bytes(version.bytes).to_string();
        [
            version.hash.chars().take(12).collect(),
            version.kind.clone(),
            version.contract.clone(),
            size,
        ]
    });
    let mut text = format!("plugin  {}\n\n", plugin.name);
    text.push_str(&table(["version", "kind", "contract", "size"], &[3], rows));
    text.push('\n');
    if plugin.attachments.is_empty() {
        let name = &plugin.name;
        text.push_str(&format!("\nattached nowhere: `tidegate plugin attach TOPIC {name}`\n"));
    }
    for attached in &plugin.attachments {
        text.push('\n');
        text.push_str(&attached.detail());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::attachment::tests::sample_status;
    use tidegate_types::{PluginHash, PluginKind};

    fn sample() -> PluginView {
        PluginView::from(PluginDescription {
            name: "threshold".parse().unwrap(),
            versions: vec![PluginVersion {
                name: "threshold".parse().unwrap(),
                hash: PluginHash([0xab; 32]),
                kind: PluginKind::Filter,
                contract: "tidegate:plugin@0.1.0".into(),
                size: ByteSize::kib(100),
            }],
            attachments: vec![sample_status()],
        })
    }

    #[test]
    fn json_tells_the_cost_of_a_record() {
        let json = serde_json::to_value(sample()).unwrap();
        let attached = &json["attachments"][0];
        assert_eq!(attached["topic"], "orders");
        assert_eq!(attached["config"], "{}");
        assert_eq!(attached["time_limit_ms"], 500);
        assert_eq!(attached["stats"]["ns_per_record"], 33.3);
        assert_eq!(json["versions"][0]["hash"], "ab".repeat(32));
    }

    #[test]
    fn details_tell_limits_errors_and_log_lines() {
        let text = plugin_detail(&sample());
        for part in
            ["abababababab", "33 ns a record", "not a number", "log  started", "64 MiB of memory"]
        {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn stock_plugins_are_listed_apart() {
        let stock = [StockView {
            name: "redact",
            kind: "transform".into(),
            bytes: 2_048,
            summary: "masks secrets",
            example_config: "{}",
        }];
        let text = plugin_table(&[sample()], &stock);
        assert!(text.contains("threshold") && text.contains("masks secrets"), "{text}");
    }
}
