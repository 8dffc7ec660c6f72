//! From a value to its number.

use tidegate_plugin_sdk::json::{self, Path};
use tidegate_plugin_sdk::prelude::*;

/// How much of a wrong value a reason quotes.
const QUOTED: usize = 40;

/// Where the number is.
pub(crate) enum Source {
    /// The JSON value itself.
    Json,
    /// A field of the JSON value.
    Field(Path),
    /// A column of a CSV line.
    Csv { column: u32, delimiter: u8 },
    /// The whole text.
    Text,
}

impl Source {
    pub(crate) fn number(&self, record: &Record<'_>) -> Result<f64, Failure> {
        match self {
            Source::Json => {
                let raw = record.bytes()?.trim_ascii();
                json::number(raw).ok_or_else(|| wrong("value", raw))
            }
            Source::Field(path) => {
                let raw = record
                    .json_field(path)?
                    .ok_or_else(|| Failure::record(format!("field `{path}` is missing")))?;
                json::number(raw).ok_or_else(|| wrong(&format!("field `{path}`"), raw))
            }
            Source::Csv { column, delimiter } => {
                let cell = cell(record.bytes()?, *column, *delimiter)
                    .ok_or_else(|| Failure::record(format!("column {column} is missing")))?;
                finite(cell).ok_or_else(|| wrong(&format!("column {column}"), cell))
            }
            Source::Text => {
                let text = record.bytes()?;
                finite(text).ok_or_else(|| wrong("value", text))
            }
        }
    }
}

fn wrong(place: &str, raw: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(&raw[..raw.len().min(QUOTED)]);
    let more = if raw.len() > QUOTED { "..." } else { "" };
    Failure::record(format!("{place} is no finite number: {text}{more}"))
}

fn finite(text: &[u8]) -> Option<f64> {
    let text = str::from_utf8(text).ok()?.trim();
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A cell of a CSV line; in quotes, a delimiter is text.
fn cell(line: &[u8], column: u32, delimiter: u8) -> Option<&[u8]> {
    let mut quoted = false;
    let mut cells = line.split(|byte| {
        quoted ^= *byte == b'"';
        *byte == delimiter && !quoted
    });
    let cell = cells.nth(column as usize)?.trim_ascii();
    Some(cell.strip_prefix(b"\"").and_then(|c| c.strip_suffix(b"\"")).unwrap_or(cell))
}
