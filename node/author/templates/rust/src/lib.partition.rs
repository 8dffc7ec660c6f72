//! Sends the records whose JSON field `value` is above a limit to the last partition, all others to
//! the first.
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

impl Partition for Above {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, String> {
        Ok(Above(config))
    }

    fn partition(&mut self, record: &Record<'_>, partitions: u32) -> Result<u32, Failure> {
        Ok(if self.is_hot(record)? { partitions - 1 } else { 0 })
    }
}

export_partition!(Above);
