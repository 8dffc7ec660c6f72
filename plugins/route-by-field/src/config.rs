//! The configuration, as written and as checked.

use serde::Deserialize;
use tidegate_plugin_sdk::HashMap;
use tidegate_plugin_sdk::json::Path;

/// Kafka's longest topic name.
const MAX_TOPIC_NAME: usize = 249;

/// The configuration as written; see the crate's page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub(crate) field: Path,
    to: To,
    topics: Option<HashMap<String, String>>,
    default: Option<String>,
    #[serde(default)]
    pub(crate) missing: Missing,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum To {
    Partition,
    Topic,
}

/// What becomes of a record without the field.
#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Missing {
    #[default]
    Fail,
    Keep,
}

/// Where the field's text leads.
pub(crate) enum Route {
    Partition,
    Topic { topics: HashMap<String, String>, default: Option<String> },
}

impl Config {
    pub(crate) fn route(self) -> Result<Route, String> {
        if self.to == To::Partition {
            if self.topics.is_some() || self.default.is_some() {
                return Err("`topics` and `default` are for `to`: `topic` only".into());
            }
            return Ok(Route::Partition);
        }
        let topics = self.topics.filter(|topics| !topics.is_empty());
        let topics = topics.ok_or("`to`: `topic` needs `topics`, from a text to a topic's name")?;
        topics.values().chain(&self.default).try_for_each(|name| check_topic(name))?;
        Ok(Route::Topic { topics, default: self.default })
    }
}

fn check_topic(name: &str) -> Result<(), String> {
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let valid = (1..=MAX_TOPIC_NAME).contains(&name.len())
        && name.bytes().all(letter)
        && !matches!(name, "." | "..");
    match valid {
        true => Ok(()),
        false => Err(format!(
            "`{name}` is no topic name: 1 to {MAX_TOPIC_NAME} letters, digits, dots, dashes and \
             underscores"
        )),
    }
}
