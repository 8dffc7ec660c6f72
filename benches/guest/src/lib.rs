//! A JSON transform: parses each reading with serde, converts a field, adds one, prints it.

use serde::{Deserialize, Serialize};
use tidegate_plugin_sdk::prelude::*;
use tidegate_plugin_sdk::serde_json;

/// A reading as the load generator makes them.
#[derive(Serialize, Deserialize)]
struct Reading<'a> {
    device: &'a str,
    sequence: u64,
    temperature: f64,
    humidity: f64,
    pressure: f64,
    status: &'a str,
    firmware: &'a str,
    site: &'a str,
    note: &'a str,
    #[serde(default)]
    fahrenheit: f64,
}

/// What the plugin does to one value.
///
/// # Errors
/// If it is no reading.
pub fn convert(value: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let mut reading: Reading<'_> = serde_json::from_slice(value)?;
    reading.fahrenheit = reading.temperature * 1.8 + 32.0;
    serde_json::to_vec(&reading)
}

struct Convert;

impl Transform for Convert {
    type Config = NoConfig;

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Convert)
    }

    fn apply(&mut self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        let value = convert(record.bytes()?).map_err(|e| Failure::record(e.to_string()))?;
        out.replace_value(&value);
        Ok(())
    }
}

export_transform!(Convert);
