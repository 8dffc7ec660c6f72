//! `cbor-to-json`, a transform: turns CBOR values into JSON, or JSON into CBOR.
//!
//! Small devices send CBOR to save bytes; what reads their topics mostly wants JSON.
//!
//! # Hook
//! Any.
//!
//! # Configuration
//!
//! ```json
//! {"direction": "cbor-to-json", "bytes": "base64"}
//! ```
//!
//! | setting | meaning | default |
//! | --- | --- | --- |
//! | `direction` | `cbor-to-json` or `json-to-cbor` | `cbor-to-json` |
//! | `bytes` | to JSON: byte strings as text in `base64` or `hex`, or `fail` | `base64` |
//! | `max_depth` | deepest nesting that is read, 1 to 128 | 32 |
//! | `max_size` | largest value that is read and written, in bytes | 1048576 |
//!
//! # From CBOR to JSON
//! - Whole numbers of up to 64 bits stay exact; larger ones (tags 2 and 3) fail. What is a float
//!   stays the same number; NaN and the infinities, for which JSON has nothing, become null, as
//!   does `undefined`.
//! - Keys of maps become text: numbers as they are written, true and false by name. Other keys, and
//!   a key that occurs twice, fail.
//! - A tag is left out and its content taken, so that tagged times stay numbers or text.
//!
//! # From JSON to CBOR
//! - Whole numbers of up to 64 bits become integers, others floats of the smallest size that holds
//!   them. Maps keep the order of the text. A name that occurs twice fails.
//!
//! A null value stays null.
//!
//! # Bad input
//! What is no CBOR (or no JSON), has bytes behind its end, or goes beyond the bounds fails, with the
//! reason.

mod from_cbor;
mod from_json;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, DefaultHasher};

use serde::Deserialize;
use tidegate_plugin_sdk::prelude::*;

const MAX_DEPTH: usize = 128;
const DEFAULT_DEPTH: usize = 32;
const DEFAULT_SIZE: usize = 1024 * 1024;

/// The configuration; see the crate's page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    direction: Direction,
    bytes: Option<Bytes>,
    max_depth: Option<usize>,
    max_size: Option<usize>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "kebab-case")]
enum Direction {
    #[default]
    CborToJson,
    JsonToCbor,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "lowercase")]
enum Bytes {
    #[default]
    Base64,
    Hex,
    Fail,
}

/// The names that a map has so far.
type Names = HashSet<String, BuildHasherDefault<DefaultHasher>>;

/// What is not gone beyond, in reading and writing.
#[derive(Clone, Copy)]
struct Bounds {
    depth: usize,
    size: usize,
}

/// The plugin.
pub struct CborToJson {
    direction: Direction,
    bytes: Bytes,
    bounds: Bounds,
    /// The value at hand, kept so that it is allocated once.
    written: Vec<u8>,
}

impl Transform for CborToJson {
    type Config = Config;

    fn configure(config: Config) -> Result<CborToJson, String> {
        let depth = config.max_depth.unwrap_or(DEFAULT_DEPTH);
        if !(1..=MAX_DEPTH).contains(&depth) {
            return Err(format!("`max_depth` is between 1 and {MAX_DEPTH}"));
        }
        let size = config.max_size.unwrap_or(DEFAULT_SIZE);
        if size == 0 {
            return Err("`max_size` is at least 1".into());
        }
        if config.bytes.is_some() && config.direction == Direction::JsonToCbor {
            return Err("`bytes` is for `direction`: `cbor-to-json` only".into());
        }
        Ok(CborToJson {
            direction: config.direction,
            bytes: config.bytes.unwrap_or_default(),
            bounds: Bounds { depth, size },
            written: Vec::new(),
        })
    }

    fn apply(&mut self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        let Some(value) = record.value() else {
            out.keep();
            return Ok(());
        };
        let Bounds { depth, size } = self.bounds;
        if value.len() > size {
            return Err(format!("value has {} bytes, and `max_size` is {size}", value.len()).into());
        }
        self.written.clear();
        match self.direction {
            Direction::CborToJson => {
                from_cbor::to_json(value, depth, self.bytes, &mut self.written)?
            }
            Direction::JsonToCbor => from_json::to_cbor(value, depth, &mut self.written)?,
        }
        if self.written.len() > size {
            let written = self.written.len();
            return Err(format!("result has {written} bytes, and `max_size` is {size}").into());
        }
        out.replace_value(&self.written);
        Ok(())
    }
}

export_transform!(CborToJson);
