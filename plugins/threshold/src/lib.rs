//! `threshold`, a filter: keeps the records whose number lies **outside** a band.
//!
//! An edge site measures all the time and cares for what is out of the ordinary: on a link this
//! plugin sends the alarms and leaves the rest at home.
//!
//! # Configuration
//!
//! ```json
//! {
//!   "field": "sensor.value",
//!   "low": 10, "high": 90,
//!   "per_key": {"boiler-1": {"high": 120}, "freezer": {"low": -25, "high": -15}}
//! }
//! ```
//!
//! | setting | meaning | default |
//! | --- | --- | --- |
//! | `format` | what a value is: `json`, `csv`, or `text` that is nothing but the number | `json` |
//! | `field` | json: dotted path to the number (`a\.b` for a name with a dot) | the whole value |
//! | `column` | csv: which column, from 0 | required |
//! | `delimiter` | csv: one ASCII character | `,` |
//! | `low`, `high` | the band; a number on its edge lies inside. One of them may be left out | |
//! | `per_key` | a band of its own, in place of the other, for records of that key | |
//!
//! A record for which no band is set is kept. A record without a finite number in that place fails,
//! with the reason; the attachment's policy decides what becomes of it.

mod config;
#[cfg(test)]
mod tests;

use std::str;

use tidegate_plugin_sdk::number::Source;
use tidegate_plugin_sdk::prelude::*;

use config::{Band, Config};

/// The plugin.
pub struct Threshold {
    source: Source,
    band: Option<Band>,
    per_key: HashMap<String, Band>,
}

impl Threshold {
    fn band(&self, record: &Record<'_>) -> Option<Band> {
        if self.per_key.is_empty() {
            return self.band;
        }
        let own = record
            .key()
            .and_then(|key| str::from_utf8(key).ok())
            .and_then(|key| self.per_key.get(key));
        own.copied().or(self.band)
    }
}

impl Filter for Threshold {
    type Config = Config;

    fn configure(config: Config) -> Result<Threshold, String> {
        let source = config.source()?;
        let (band, per_key) = config.bands()?;
        Ok(Threshold { source, band, per_key })
    }

    fn needs(&self) -> Columns {
        if self.per_key.is_empty() { Columns::VALUES } else { Columns::VALUES | Columns::KEYS }
    }

    fn keep(&mut self, record: &Record<'_>) -> Result<bool, Failure> {
        let number = self.source.number(record)?;
        Ok(self.band(record).is_none_or(|band| band.is_outside(number)))
    }
}

export_filter!(Threshold);
