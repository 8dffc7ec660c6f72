//! From a value to its number: in JSON, in a CSV line, or as text.

use serde::Deserialize;

use crate::json::{self, Path};
use crate::{Failure, Record};

/// How much of a wrong value a reason quotes.
const QUOTED: usize = 40;

/// What a value is.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON text.
    #[default]
    Json,
    /// A line of cells.
    Csv,
    /// Nothing but the number.
    Text,
}

/// Where the number is, as users set it; part of a configuration.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Setting {
    /// `format`.
    pub format: Format,
    /// `field`, for JSON; without it the whole value is the number.
    pub field: Option<Path>,
    /// `column`, for CSV, from 0.
    pub column: Option<u32>,
    /// `delimiter`, for CSV: one ASCII character, a comma where it is not set.
    pub delimiter: Option<char>,
}

impl Setting {
    /// Checks that the settings fit together.
    ///
    /// # Errors
    /// A line for the user where they do not.
    pub fn source(self) -> Result<Source, String> {
        let only = |set: bool, name: &str, format: &str| match set {
            true => Err(format!("`{name}` is for format {format} only")),
            false => Ok(()),
        };
        only(self.format != Format::Json && self.field.is_some(), "field", "json")?;
        only(self.format != Format::Csv && self.column.is_some(), "column", "csv")?;
        only(self.format != Format::Csv && self.delimiter.is_some(), "delimiter", "csv")?;
        Ok(match self.format {
            Format::Json => self.field.map_or(Source::Json, Source::Field),
            Format::Text => Source::Text,
            Format::Csv => {
                let delimiter = u8::try_from(self.delimiter.unwrap_or(','))
                    .ok()
                    .filter(|d| d.is_ascii() && *d != b'"')
                    .ok_or("`delimiter` must be one ASCII character, and no quote")?;
                let column = self.column.ok_or("format csv needs `column`, counted from 0")?;
                Source::Csv { column, delimiter }
            }
        })
    }
}

/// Where the number is.
#[derive(Clone, PartialEq, Debug)]
pub enum Source {
    /// The JSON value itself.
    Json,
    /// A field of the JSON value.
    Field(Path),
    /// A column of a CSV line.
    Csv {
        /// Which, from 0.
        column: u32,
        /// What stands between them.
        delimiter: u8,
    },
    /// The whole text.
    Text,
}

impl Source {
    /// The record's number.
    ///
    /// # Errors
    /// Where there is none that is finite, with what stands there.
    pub fn number(&self, record: &Record<'_>) -> Result<f64, Failure> {
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
