//! The configuration, as written and as checked.

use serde::Deserialize;
use tidegate_plugin_sdk::HashMap;
use tidegate_plugin_sdk::json::{self, Path};

/// Kafka's longest topic name.
const MAX_TOPIC_NAME: usize = 249;
/// Rules are tried one after the other.
const MAX_RULES: usize = 256;

/// The configuration as written; see the crate's page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub(crate) field: Path,
    to: To,
    topics: Option<HashMap<String, String>>,
    rules: Option<Vec<RuleConfig>>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleConfig {
    prefix: Option<String>,
    from: Option<f64>,
    below: Option<f64>,
    topic: String,
}

/// What becomes of a record without the field.
#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Missing {
    #[default]
    Fail,
    Keep,
    Default,
}

/// Where the field's text leads.
pub(crate) enum Route {
    Partition,
    Topic(Topics),
}

/// The first that fits: a text of `exact`, a rule, the default.
pub(crate) struct Topics {
    exact: HashMap<String, String>,
    rules: Vec<(Test, String)>,
    pub(crate) default: Option<String>,
}

enum Test {
    Prefix(String),
    Range { from: f64, below: f64 },
}

impl Topics {
    /// `raw` is the field as it stands in the value, `text` what it says.
    pub(crate) fn find(&self, raw: &[u8], text: &str) -> Option<&str> {
        let exact = self.exact.get(text);
        let by_rule = || self.rules.iter().find(|(test, _)| test.fits(raw, text));
        exact
            .or_else(|| by_rule().map(|(_, topic)| topic))
            .or(self.default.as_ref())
            .map(String::as_str)
    }
}

impl Test {
    fn fits(&self, raw: &[u8], text: &str) -> bool {
        match self {
            Test::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Test::Range { from, below } => {
                json::number(raw).is_some_and(|number| *from <= number && number < *below)
            }
        }
    }
}

impl Config {
    pub(crate) fn route(self) -> Result<Route, String> {
        if self.to == To::Partition {
            if self.topics.is_some() || self.rules.is_some() || self.default.is_some() {
                return Err("`topics`, `rules` and `default` are for `to`: `topic` only".into());
            }
            if matches!(self.missing, Missing::Default) {
                return Err("`missing`: `default` is for `to`: `topic` only".into());
            }
            return Ok(Route::Partition);
        }
        let exact = self.topics.unwrap_or_default();
        let rules = self.rules.unwrap_or_default();
        if exact.is_empty() && rules.is_empty() {
            return Err(
                "`to`: `topic` needs `topics`, from a text to a topic's name, or `rules`".into()
            );
        }
        if rules.len() > MAX_RULES {
            return Err(format!("`rules` has at most {MAX_RULES} items"));
        }
        if matches!(self.missing, Missing::Default) && self.default.is_none() {
            return Err("`missing`: `default` needs `default`".into());
        }
        let rules = rules.into_iter().map(RuleConfig::rule).collect::<Result<Vec<_>, _>>()?;
        let named = exact.values().chain(rules.iter().map(|(_, topic)| topic));
        named.chain(&self.default).try_for_each(|name| check_topic(name))?;
        Ok(Route::Topic(Topics { exact, rules, default: self.default }))
    }
}

impl RuleConfig {
    fn rule(self) -> Result<(Test, String), String> {
        let test = match (self.prefix, self.from, self.below) {
            (Some(prefix), None, None) => Test::Prefix(prefix),
            (None, None, None) => {
                return Err(format!(
                    "the rule for `{}` needs `prefix`, `from` or `below`",
                    self.topic
                ));
            }
            (None, from, below) => {
                let from = from.unwrap_or(f64::NEG_INFINITY);
                let below = below.unwrap_or(f64::INFINITY);
                if from >= below {
                    return Err(format!("no number is from {from} on and below {below}"));
                }
                Test::Range { from, below }
            }
            (Some(_), _, _) => {
                return Err(format!(
                    "the rule for `{}` has `prefix` and a range: give one",
                    self.topic
                ));
            }
        };
        Ok((test, self.topic))
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
