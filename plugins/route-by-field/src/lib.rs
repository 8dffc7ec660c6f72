//! `route-by-field`, a transform: chooses partition or topic by a field of a JSON value.
//!
//! Producers that know nothing of sites or tenants write into one topic; this plugin sorts.
//!
//! # Configuration
//!
//! ```json
//! {"field": "device.site", "to": "topic",
//!  "topics": {"berlin": "sensors-berlin", "oslo": "sensors-oslo"}, "default": "sensors-other"}
//! ```
//! ```json
//! {"field": "device.id", "to": "partition"}
//! ```
//!
//! | setting | meaning | default |
//! | --- | --- | --- |
//! | `field` | dotted path to the field (`a\.b` for a name with a dot) | required |
//! | `to` | `partition`: chosen by the field's text as Kafka's clients choose it by a key; `topic`: looked up in `topics` | required |
//! | `topics` | topic: from the field's text to the topic | required for `topic` |
//! | `default` | topic: where records go whose text is not listed | they stay |
//! | `missing` | a record without the field, or with null in it: `fail`, or `keep` it where it is | `fail` |
//!
//! The text of a string is what it says; of a number, true or false, what is written. An object or
//! array in that place fails the record. Key, value, headers and timestamp stay as they are.

mod config;
#[cfg(test)]
mod tests;

use tidegate_plugin_sdk::json::{self, Path};
use tidegate_plugin_sdk::prelude::*;

use config::{Config, Missing, Route};

/// The plugin.
pub struct RouteByField {
    field: Path,
    missing: Missing,
    route: Route,
}

impl Transform for RouteByField {
    type Config = Config;

    fn configure(config: Config) -> Result<RouteByField, String> {
        let (field, missing) = (config.field.clone(), config.missing);
        Ok(RouteByField { field, missing, route: config.route()? })
    }

    fn apply(&mut self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        let raw = match (record.json_field(&self.field)?, self.missing) {
            (Some(raw), _) if raw != b"null" => raw,
            (_, Missing::Keep) => {
                out.keep();
                return Ok(());
            }
            (_, Missing::Fail) => return Err(format!("field `{}` is missing", self.field).into()),
        };
        if let [b'{' | b'[', ..] = raw {
            return Err(format!("field `{}` is an object or array", self.field).into());
        }
        let text = json::text(raw)
            .ok_or_else(|| Failure::record(format!("field `{}` is no valid text", self.field)))?;
        match &self.route {
            Route::Partition => {
                let partition = partition_for_key(text.as_bytes(), record.partitions());
                if partition == record.partition() {
                    out.keep();
                } else {
                    out.emit(Emit::input().partition(partition));
                }
            }
            Route::Topic { topics, default } => {
                match topics.get(text.as_ref()).or(default.as_ref()) {
                    Some(topic) if topic != record.topic() => out.emit(Emit::input().topic(topic)),
                    _ => out.keep(),
                }
            }
        }
        Ok(())
    }
}

export_transform!(RouteByField);
