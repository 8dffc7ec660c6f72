//! The configuration, as written and as checked.

use std::time::Duration;

use serde::Deserialize;
use tidegate_plugin_sdk::json::Path;
use tidegate_plugin_sdk::number::{Format, Setting};
use tidegate_plugin_sdk::prelude::*;
use tidegate_plugin_sdk::window::{Kind, KindError, Windows};

use crate::Aggregate;
use crate::gathered::Stat;

/// The configuration as written; see the crate's page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    format: Format,
    field: Option<Path>,
    column: Option<u32>,
    delimiter: Option<char>,
    #[serde(default)]
    by: By,
    window: WindowConfig,
    grace: Option<Span>,
    #[serde(default)]
    late: Late,
    values: Option<Vec<Stat>>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum WindowConfig {
    Tumbling(Span),
    Hopping(Hopping),
    Session(Span),
}

#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
struct Hopping {
    size: Span,
    every: Span,
}

/// What becomes of a record whose windows are closed.
#[derive(Deserialize, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Late {
    #[default]
    Drop,
    Fail,
}

impl WindowConfig {
    fn kind(self) -> Result<Kind, KindError> {
        match self {
            WindowConfig::Tumbling(size) => Kind::tumbling(size.0),
            WindowConfig::Hopping(Hopping { size, every }) => Kind::hopping(size.0, every.0),
            WindowConfig::Session(gap) => Kind::session(gap.0),
        }
    }
}

impl Config {
    pub(crate) fn aggregate(self) -> Result<Aggregate, String> {
        let Config { format, field, column, delimiter, by, window, late, .. } = self;
        let source = Setting { format, field, column, delimiter }.source()?;
        if by == By::Value {
            return Err("`by` is `key` or a field".into());
        }
        let stats =
            self.values.unwrap_or_else(|| vec![Stat::Count, Stat::Average, Stat::Min, Stat::Max]);
        if stats.is_empty() {
            return Err("`values` is empty: nothing would be put out".into());
        }
        if let Some(i) = (0..stats.len()).find(|i| stats[..*i].contains(&stats[*i])) {
            return Err(format!("`values` names `{}` twice", stats[i].name()));
        }
        let kind = window.kind().map_err(|e| format!("`window`: {e}"))?;
        let grace = self.grace.map_or(Duration::ZERO, |span| span.0);
        let windows = Windows::new(kind).with_grace(grace);
        Ok(Aggregate { source, by, windows, late, stats, value: Vec::new() })
    }
}
