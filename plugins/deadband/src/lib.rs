//! `deadband`, a transform: passes a record only if its number has moved since the last one that
//! passed of its key.
//!
//! Most readings say what the one before said. This plugin keeps the changes, and a sign of life.
//!
//! # Hook
//! `derive`: it needs a state. At other hooks its batches fail.
//!
//! # Configuration
//!
//! ```json
//! {"field": "sensor.value", "absolute": 0.5, "max_silence": "10m"}
//! ```
//! ```json
//! {"format": "csv", "column": 1, "percent": 2, "by": {"field": "device.id"}}
//! ```
//!
//! | setting | meaning | default |
//! | --- | --- | --- |
//! | `format` | what a value is: `json`, `csv`, or `text` that is nothing but the number | `json` |
//! | `field` | json: dotted path to the number (`a\.b` for a name with a dot) | the whole value |
//! | `column` | csv: which column, from 0 | required |
//! | `delimiter` | csv: one ASCII character | `,` |
//! | `by` | what a series is: `"key"`, or `{"field": "device.id"}`; a null key is a series too | `"key"` |
//! | `absolute` | passes what moved by more than this; 0 passes every change | |
//! | `percent` | passes what moved by more than this much of the last passed number | |
//! | `max_silence` | passes a record that comes so long after the last passed one, moved or not | never |
//! | `forget` | a series of which nothing passed for so long begins anew: its next record passes | `7d` |
//!
//! One of `absolute` and `percent` must be set; with both, either is enough. Every move is measured
//! from the last number that **passed**, so that a slow drift is not lost.
//!
//! # Bad input
//! A record without a finite number in that place fails, with the reason, as does one without the
//! field of `by`, or without a timestamp where `max_silence` is set. A failed record changes nothing.

mod config;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_plugin_sdk::number::Source;
use tidegate_plugin_sdk::prelude::*;

use config::{Band, Config};

/// The plugin.
pub struct Deadband {
    source: Source,
    by: By,
    band: Band,
    max_silence: Option<Duration>,
    forget: Duration,
}

/// What passed last of a series.
#[derive(Serialize, Deserialize)]
struct Passed {
    number: f64,
    at: Option<i64>,
}

impl Deadband {
    fn was_silent(&self, last: &Passed, now: Option<i64>) -> Result<bool, Failure> {
        let Some(max_silence) = self.max_silence else { return Ok(false) };
        let now = now.ok_or("a record without a timestamp, and `max_silence` is set")?;
        // What comes late is no sign of silence.
        let silence = last.at.and_then(|last| u64::try_from(now.saturating_sub(last)).ok());
        Ok(silence.is_some_and(|silence| Duration::from_millis(silence) >= max_silence))
    }
}

impl Transform for Deadband {
    type Config = Config;

    fn configure(config: Config) -> Result<Deadband, String> {
        config.deadband()
    }

    fn needs(&self) -> Columns {
        let time = if self.max_silence.is_some() { Columns::TIMESTAMPS } else { Columns::empty() };
        Columns::VALUES | self.by.needs() | time
    }

    fn apply(&mut self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        let number = self.source.number(record)?;
        let series = self.by.identity(record)?;
        let last: Option<Passed> = state::get_as(&series)?;
        let passes = match &last {
            None => true,
            Some(last) => {
                self.was_silent(last, record.timestamp())? || self.band.is_left(last.number, number)
            }
        };
        if passes {
            let passed = Passed { number, at: record.timestamp() };
            state::put_as_for(&series, &passed, self.forget)?;
            out.keep();
        }
        Ok(())
    }
}

export_transform!(Deadband);
