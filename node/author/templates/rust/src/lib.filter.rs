//! Keeps the records whose JSON field `value` is above a limit.
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

impl Filter for Above {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, String> {
        Ok(Above(config))
    }

    fn keep(&mut self, record: &Record<'_>) -> Result<bool, Failure> {
        self.is_hot(record)
    }
}

export_filter!(Above);

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_plugin_sdk::testing::{Input, Tester};

    #[test]
    fn only_what_is_above_the_limit_is_kept() {
        let mut tester = Tester::<Above>::filter(r#"{"above": 50}"#).unwrap();
        assert_eq!(tester.keep_one(&Input::value(r#"{"value": 50}"#)), Ok(false));
        assert_eq!(tester.keep_one(&Input::value(r#"{"value": 50.1}"#)), Ok(true));
        assert!(tester.keep_one(&Input::value("{}")).is_err());
    }
}
