//! The configuration, as written and as checked.

use std::time::Duration;

use serde::Deserialize;
use tidegate_plugin_sdk::json::Path;
use tidegate_plugin_sdk::number::{Format, Setting};
use tidegate_plugin_sdk::prelude::*;

use crate::Deadband;

const FORGET: Duration = Duration::from_secs(7 * 24 * 3_600);

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
    absolute: Option<f64>,
    percent: Option<f64>,
    max_silence: Option<Span>,
    forget: Option<Span>,
}

/// How far a number may move unseen.
#[derive(Clone, Copy)]
pub(crate) struct Band {
    absolute: f64,
    percent: f64,
}

impl Band {
    /// Whether `number` lies outside the band around `last`.
    pub(crate) fn is_left(self, last: f64, number: f64) -> bool {
        let moved = (number - last).abs();
        moved > self.absolute || moved > last.abs() / 100.0 * self.percent
    }
}

impl Config {
    pub(crate) fn deadband(self) -> Result<Deadband, String> {
        let Config { format, field, column, delimiter, by, absolute, percent, .. } = self;
        let source = Setting { format, field, column, delimiter }.source()?;
        if by == By::Value {
            return Err("`by`: `value` would make each number a series of its own".into());
        }
        if absolute.is_none() && percent.is_none() {
            return Err("no band is set: give `absolute` or `percent`".into());
        }
        for (name, limit) in [("absolute", absolute), ("percent", percent)] {
            if limit.is_some_and(|limit| limit < 0.0) {
                return Err(format!("`{name}` must not be negative"));
            }
        }
        let max_silence = self.max_silence.map(|span| span.0);
        let forget = self.forget.map_or(FORGET.max(max_silence.unwrap_or_default()), |span| span.0);
        if forget.is_zero() || max_silence.is_some_and(|silence| silence.is_zero()) {
            return Err("`max_silence` and `forget` must be longer than 0".into());
        }
        if max_silence.is_some_and(|silence| silence > forget) {
            return Err("`forget` must not be shorter than `max_silence`".into());
        }
        // What is not set is never enough.
        let band = Band {
            absolute: absolute.unwrap_or(f64::INFINITY),
            percent: percent.unwrap_or(f64::INFINITY),
        };
        Ok(Deadband { source, by, band, max_silence, forget })
    }
}
