//! `check-schema`, a filter: checks JSON values against a JSON Schema.
//!
//! What is wrong at its source is best told to its source: at the hook `ingest` a failed record is
//! refused, or set aside, with the place and the reason.
//!
//! # Hook
//! Any.
//!
//! # Configuration
//!
//! ```json
//! {"schema": {
//!    "type": "object",
//!    "required": ["id", "temp"],
//!    "properties": {"id": {"type": "string"}, "temp": {"type": "number", "maximum": 100}}
//!  },
//!  "on_mismatch": "fail"}
//! ```
//!
//! `{"id": "a", "temp": 120}` fails with `at /temp: 120 is above the maximum 100`.
//!
//! | setting | meaning | default |
//! | --- | --- | --- |
//! | `schema` | the schema: an object, true or false | required |
//! | `on_mismatch` | a value that does not fit: `fail` it, or `drop` it | `fail` |
//! | `nulls` | a null value, as in a tombstone: `fail`, `keep` or `drop` | `fail` |
//!
//! # What a schema may say
//! Of draft 2020-12, and the older forms of the same:
//! - any value: `type`, `enum`, `const`, `allOf`, `anyOf`, `oneOf`, `not`, `if`/`then`/`else`;
//! - numbers: `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, `multipleOf`;
//! - text: `minLength`, `maxLength`, `pattern`;
//! - arrays: `items`, `prefixItems`, `additionalItems`, `minItems`, `maxItems`, `uniqueItems`,
//!   `contains`, `minContains`, `maxContains`;
//! - objects: `properties`, `patternProperties`, `additionalProperties`, `propertyNames`,
//!   `required`, `dependentRequired`, `dependentSchemas`, `minProperties`, `maxProperties`;
//! - `$ref` to a place in the same schema (`#/$defs/point`), `$defs`, `definitions`.
//!
//! Titles, descriptions, examples, defaults and `format` are read past. **Any other keyword is
//! refused** when the plugin is configured: what is not checked should not look as if it were.
//! Patterns have no look-around, no back references and no `\p{..}` classes; `\d`, `\s` and `\w` are
//! those of Unicode; they take time linear in the text. Numbers are compared as 64-bit floats where one of them has a point.
//!
//! # Bad input
//! A value that is no JSON is one that does not fit. The reason names the first place that is wrong.

mod check;
mod compile;
mod equal;
mod node;
mod pattern;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use tidegate_plugin_sdk::prelude::*;
use tidegate_plugin_sdk::serde_json::Value;

use node::Schema;

/// The configuration; see the crate's page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    schema: Value,
    #[serde(default)]
    on_mismatch: OnMismatch,
    #[serde(default)]
    nulls: Nulls,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "lowercase")]
enum OnMismatch {
    #[default]
    Fail,
    Drop,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "lowercase")]
enum Nulls {
    #[default]
    Fail,
    Keep,
    Drop,
}

/// The plugin.
pub struct CheckSchema {
    schema: Schema,
    on_mismatch: OnMismatch,
    nulls: Nulls,
}

impl Filter for CheckSchema {
    type Config = Config;

    fn configure(config: Config) -> Result<CheckSchema, String> {
        let schema = compile::compile(&config.schema)?;
        Ok(CheckSchema { schema, on_mismatch: config.on_mismatch, nulls: config.nulls })
    }

    fn keep(&mut self, record: &Record<'_>) -> Result<bool, Failure> {
        if record.value().is_none() && self.nulls != Nulls::Fail {
            return Ok(self.nulls == Nulls::Keep);
        }
        record.bytes()?;
        let checked = record.json::<Value>().and_then(|value| Ok(self.schema.check(&value)?));
        match checked {
            Ok(()) => Ok(true),
            Err(_) if self.on_mismatch == OnMismatch::Drop => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

export_filter!(CheckSchema);
