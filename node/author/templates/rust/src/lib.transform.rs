//! Marks the records whose JSON field `value` is above a limit with `"alarm":true`.
//!
//! A record without a number in that field fails; how a plugin is attached decides what becomes of
//! those.

use serde::Deserialize;
use tidegate_plugin_sdk::prelude::*;

/// The configuration, as it is given to `plugin attach --config`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    above: f64,
}

/// What is read of a value; other fields are skipped.
#[derive(Deserialize)]
struct Reading {
    value: f64,
}

struct Above(Config);

impl Above {
    fn is_hot(&self, record: &Record<'_>) -> Result<bool, Failure> {
        match record.json::<Reading>() {
            Ok(reading) => Ok(reading.value > self.0.above),
            Err(_) => Err("no number in the field value".into()),
        }
    }
}

impl Transform for Above {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, String> {
        Ok(Above(config))
    }

    fn apply(&mut self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        let hot = self.is_hot(record)?;
        let value = record.bytes()?;
        match value.iter().rposition(|byte| *byte == b'}') {
            Some(end) if hot => out.write_value(|new| {
                new.put(&value[..end]);
                new.put(b",\"alarm\":true}");
            }),
            _ => out.keep(),
        }
        Ok(())
    }
}

export_transform!(Above);
