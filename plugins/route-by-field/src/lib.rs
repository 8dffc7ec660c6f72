//! `route-by-field`, a transform: chooses partition or topic by a field of a JSON value.
//!
//! Producers that know nothing of sites or tenants write into one topic; this plugin sorts.
//!
//! # Hook
//! Any; records can leave their topic where outputs may.
//!
//! # Configuration
//!
//! ```json
//! {"field": "device.site", "to": "topic",
//!  "topics": {"berlin": "sensors-berlin", "oslo": "sensors-oslo"}, "default": "sensors-other"}
//! ```
//! ```json
//! {"field": "level", "to": "topic", "default": "logs",
//!  "rules": [{"from": 500, "topic": "logs-errors"}, {"from": 400, "below": 500, "topic": "logs-warnings"},
//!            {"prefix": "audit.", "topic": "audit"}]}
//! ```
//! ```json
//! {"field": "device.id", "to": "partition"}
//! ```
//!
//! | setting | meaning | default |
//! | --- | --- | --- |
//! | `field` | dotted path to the field (`a\.b` for a name with a dot) | required |
//! | `to` | `partition`: chosen by the field's text as Kafka's clients choose it by a key; `topic`: looked up in `topics` | required |
//! | `topics` | topic: from the field's text to the topic | this, `rules`, or both, for `topic` |
//! | `rules` | topic: tried in order where `topics` does not list the text; the first that fits counts | |
//! | `rules[].prefix` | the text begins so | |
//! | `rules[].from`, `below` | the field is a number in this range; `from` lies inside, `below` outside, one may be left out | |
//! | `rules[].topic` | where it goes | required |
//! | `default` | topic: where records go that nothing fits | they stay |
//! | `missing` | a record without the field, or with null in it: `fail` it, `keep` it where it is, or send it to the `default` | `fail` |
//!
//! The text of a string is what it says; of a number, true or false, what is written. A number in
//! quotes is text. Key, value, headers and timestamp stay as they are.
//!
//! # Bad input
//! An object or array in that place fails the record, as does a value that is no JSON.

mod config;
#[cfg(test)]
mod tests;

use tidegate_plugin_sdk::json::{self, Path};
use tidegate_plugin_sdk::prelude::*;

use config::{Config, Missing, Route, Topics};

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
            (_, Missing::Default) => {
                if let Route::Topic(Topics { default, .. }) = &self.route {
                    send(record, default.as_deref(), out);
                }
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
            Route::Topic(topics) => send(record, topics.find(raw, &text), out),
        }
        Ok(())
    }
}

/// To the topic, if it is another one.
fn send(record: &Record<'_>, topic: Option<&str>, out: &mut Output<'_>) {
    match topic {
        Some(topic) if topic != record.topic() => out.emit(Emit::input().topic(topic)),
        _ => out.keep(),
    }
}

export_transform!(RouteByField);
