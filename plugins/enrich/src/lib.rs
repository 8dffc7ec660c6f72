//! `enrich`, a transform: adds to a JSON value what a table topic says of it.
//!
//! Devices send numbers; that device 17 stands in hall 2 and belongs to line B is in a table: a
//! topic whose latest record of each key counts.
//!
//! # Hook
//! `derive`, with a table named at the attachment. Without a table, and at other hooks, its batches
//! fail.
//!
//! # Configuration
//!
//! ```json
//! {"by": {"field": "device.id"}, "into": "place", "fields": ["hall", "line"], "missing": "keep"}
//! ```
//!
//! `{"device":{"id":17},"t":21.5}` becomes
//! `{"device":{"id":17},"t":21.5,"place":{"hall":2,"line":"B"}}`.
//!
//! | setting | meaning | default |
//! | --- | --- | --- |
//! | `by` | the table's key: the record's `"key"`, or the text of `{"field": "device.id"}` | `"key"` |
//! | `into` | dotted path to where the table's value is put; what stands there is replaced | `table` |
//! | `fields` | which fields of the table's value, each under its last name; what it lacks is left out | the whole value |
//! | `missing` | a key that the table has none of, or none in the record: `keep` the record as it is, `drop` it, or `fail` it | `keep` |
//!
//! Every other byte of the value stays. Counted as `missing`.
//!
//! # Bad input
//! A value that is no JSON object, or that has no object to put `into`, fails; so does a record
//! whose table value is no JSON.

#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde::de::IgnoredAny;
use tidegate_plugin_sdk::json::{self, Path};
use tidegate_plugin_sdk::prelude::*;
use tidegate_plugin_sdk::serde_json;

/// The configuration; see the crate's page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    by: By,
    into: Option<Path>,
    fields: Option<Vec<Path>>,
    #[serde(default)]
    missing: Missing,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "lowercase")]
enum Missing {
    #[default]
    Keep,
    Drop,
    Fail,
}

/// The plugin.
pub struct Enrich {
    by: By,
    into: Path,
    fields: Option<Vec<Path>>,
    missing: Missing,
}

impl Enrich {
    fn handle_missing(&self, what: String, out: &mut Output<'_>) -> Result<(), Failure> {
        count("missing", 1);
        match self.missing {
            Missing::Keep => out.keep(),
            Missing::Drop => out.drop(),
            Missing::Fail => return Err(what.into()),
        }
        Ok(())
    }

    /// What of the table's value is put in: JSON text.
    fn addition(&self, row: Vec<u8>) -> Result<Vec<u8>, Failure> {
        // It is put between the bytes of the value, which must stay JSON.
        serde_json::from_slice::<IgnoredAny>(&row)
            .map_err(|e| Failure::record(format!("the table's value is not JSON: {e}")))?;
        let Some(fields) = &self.fields else { return Ok(row) };
        let mut object = b"{".to_vec();
        for path in fields {
            if let Some(raw) = json::field(&row, path)? {
                if object.len() > 1 {
                    object.push(b',');
                }
                json::write_string(&mut object, path.last());
                object.push(b':');
                object.extend_from_slice(raw);
            }
        }
        object.push(b'}');
        Ok(object)
    }
}

impl Transform for Enrich {
    type Config = Config;

    fn configure(config: Config) -> Result<Enrich, String> {
        let Config { by, into, fields, missing } = config;
        if by == By::Value {
            return Err("`by` is `key` or a field".into());
        }
        if fields.as_ref().is_some_and(Vec::is_empty) {
            return Err("`fields` is empty: nothing would be added".into());
        }
        let last =
            |paths: &[Path], i: usize| paths[..i].iter().any(|p| p.last() == paths[i].last());
        let twice = fields.as_ref().and_then(|fields| (0..fields.len()).find(|i| last(fields, *i)));
        if let (Some(fields), Some(twice)) = (&fields, twice) {
            return Err(format!("`fields` names `{}` twice", fields[twice].last()));
        }
        let into = match into {
            Some(into) => into,
            None => "table".parse().map_err(|e| format!("`into`: {e}"))?,
        };
        Ok(Enrich { by, into, fields, missing })
    }

    fn needs(&self) -> Columns {
        Columns::VALUES | self.by.needs()
    }

    fn apply(&mut self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        let value = record.bytes()?;
        let Some(key) = self.by.of(record)? else {
            return self.handle_missing(format!("{} is missing", self.by), out);
        };
        let Some(row) = state::lookup(&key) else {
            let key = String::from_utf8_lossy(&key);
            return self.handle_missing(format!("the table has no key `{key}`"), out);
        };
        let addition = self.addition(row)?;
        let enriched = json::splice_field(value, &self.into, &addition)
            .map_err(|e| Failure::record(format!("`{}` cannot be put in: {e}", self.into)))?;
        out.replace_value(&enriched);
        Ok(())
    }
}

export_transform!(Enrich);
