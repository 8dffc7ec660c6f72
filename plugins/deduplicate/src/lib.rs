//! `deduplicate`, a transform: drops records that were seen before, within a time.
//!
//! Devices that send again when they are in doubt, and gateways that are joined by two ways, bring
//! the same record twice. The first passes.
//!
//! # Hook
//! `derive`: it needs a state. At other hooks its batches fail. Records are compared within their
//! partition: what may come twice must come to the same one, as it does by its key.
//!
//! # Configuration
//!
//! ```json
//! {"by": {"field": "message_id"}, "within": "1h"}
//! ```
//!
//! | setting | meaning | default |
//! | --- | --- | --- |
//! | `by` | what makes two records the same: `"key"`, `"value"` (byte by byte), or `{"field": "message_id"}` | `"key"` |
//! | `within` | and their timestamps lie less than this apart | required |
//! | `missing` | a record without the field: `fail`, or `keep` it unchecked | `fail` |
//!
//! Time is that of the records. What is dropped does not prolong the time: of a steady stream of
//! repeats one passes each `within`. A record that comes further than `within` behind the stream
//! may pass twice. Counted as `dropped_repeats`.
//!
//! A value, and an identity above 64 bytes, is remembered by its 128-bit hash.
//!
//! # Bad input
//! A record without a timestamp fails; so does one without the field, unless it is to be kept, and
//! one whose value is no JSON where a field is asked for.

#[cfg(test)]
mod tests;

use serde::Deserialize;
use tidegate_plugin_sdk::dedup::Dedup;
use tidegate_plugin_sdk::murmur3;
use tidegate_plugin_sdk::prelude::*;

/// Longest identity that is remembered as it is.
const LONGEST: usize = 64;

/// The configuration; see the crate's page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    by: By,
    within: Span,
    #[serde(default)]
    missing: Missing,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "lowercase")]
enum Missing {
    #[default]
    Fail,
    Keep,
}

/// The plugin.
pub struct Deduplicate {
    by: By,
    missing: Missing,
    seen: Dedup,
}

impl Transform for Deduplicate {
    type Config = Config;

    fn configure(config: Config) -> Result<Deduplicate, String> {
        let seen = Dedup::within(config.within.0).ok_or("`within` must be longer than 0")?;
        if config.missing == Missing::Keep && !matches!(config.by, By::Field(_)) {
            return Err("`missing` is for `by` a field only".into());
        }
        Ok(Deduplicate { by: config.by, missing: config.missing, seen })
    }

    fn needs(&self) -> Columns {
        self.by.needs() | Columns::TIMESTAMPS
    }

    fn apply(&mut self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        if self.missing == Missing::Keep && self.by.of(record)?.is_none() {
            out.keep();
            return Ok(());
        }
        let at = record.timestamp().ok_or("a record without a timestamp")?;
        let identity = self.by.identity(record)?;
        let is_new = if identity.len() > LONGEST || self.by == By::Value {
            // No plain identity begins with a 2.
            let hash = [&[2][..], &murmur3(&identity).to_be_bytes()].concat();
            self.seen.is_new(&hash, at)?
        } else {
            self.seen.is_new(&identity, at)?
        };
        if is_new {
            out.keep();
        } else {
            count("dropped_repeats", 1);
        }
        Ok(())
    }
}

export_transform!(Deduplicate);
