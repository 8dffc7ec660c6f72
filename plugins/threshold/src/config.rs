//! The configuration, as written and as checked.

use serde::Deserialize;
use tidegate_plugin_sdk::json::Path;
use tidegate_plugin_sdk::number::{Format, Setting, Source};
use tidegate_plugin_sdk::prelude::*;

/// The configuration as written; see the crate's page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    format: Format,
    field: Option<Path>,
    column: Option<u32>,
    delimiter: Option<char>,
    low: Option<f64>,
    high: Option<f64>,
    #[serde(default)]
    per_key: HashMap<String, Limits>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    low: Option<f64>,
    high: Option<f64>,
}

/// From low to high, both inside.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Band {
    low: f64,
    high: f64,
}

impl Band {
    /// `None` where neither end is set.
    fn new(low: Option<f64>, high: Option<f64>, of: &str) -> Result<Option<Band>, String> {
        match (low, high) {
            (None, None) => Ok(None),
            (Some(low), Some(high)) if low > high => {
                Err(format!("low {low} lies above high {high}{of}"))
            }
            (low, high) => Ok(Some(Band {
                low: low.unwrap_or(f64::NEG_INFINITY),
                high: high.unwrap_or(f64::INFINITY),
            })),
        }
    }

    pub(crate) fn is_outside(self, number: f64) -> bool {
        number < self.low || number > self.high
    }
}

impl Config {
    /// Where the number is to be found.
    pub(crate) fn source(&self) -> Result<Source, String> {
        let Config { format, column, delimiter, .. } = *self;
        Setting { format, field: self.field.clone(), column, delimiter }.source()
    }

    /// The band of most records, and those of single keys.
    pub(crate) fn bands(self) -> Result<(Option<Band>, HashMap<String, Band>), String> {
        let band = Band::new(self.low, self.high, "")?;
        let mut per_key = HashMap::default();
        for (key, limits) in self.per_key {
            let band = Band::new(limits.low, limits.high, &format!(" for key `{key}`"))?
                .ok_or_else(|| format!("`per_key` needs `low` or `high` for key `{key}`"))?;
            per_key.insert(key, band);
        }
        if band.is_none() && per_key.is_empty() {
            return Err("no band is set: give `low`, `high` or `per_key`".into());
        }
        Ok((band, per_key))
    }
}
