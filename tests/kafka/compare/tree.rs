//! What of an answer can be compared: names without the run's tag, an alias for each value that a
//! broker chooses, lists in one order.
//!
//! An alias names the step in which the value first appeared, and counts up inside it. So two
//! answers that name the same topic id still must both name the same one, and one step that goes
//! otherwise does not change the aliases of those after it.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use tidegate_kafka_tests::Broker;

/// Fields that tell the elements of a list apart, in the order in which a label names them.
const KEYS: [&str; 22] = [
    "Name",
    "Topic",
    "TopicName",
    "TopicId",
    "PartitionIndex",
    "Partition",
    "PartitionId",
    "Index",
    "GroupId",
    "Key",
    "ResourceType",
    "ResourceName",
    "ApiKey",
    "BatchIndex",
    "MemberId",
    "GroupInstanceId",
    "BrokerId",
    "NodeId",
    "ProducerId",
    "LogDir",
    "Source",
    "Host",
];

/// Numbers that a broker chooses, by the kind of value. Negative ones mean that there is none.
const CHOSEN: [(&str, &[&str]); 4] = [
    (
        "broker",
        &[
            "NodeId",
            "BrokerId",
            "LeaderId",
            "ControllerId",
            "ReplicaNodes",
            "IsrNodes",
            "OfflineReplicas",
            "EligibleLeaderReplicas",
            "LastKnownElr",
            "PreferredReadReplica",
        ],
    ),
    ("port", &["Port"]),
    ("producer", &["ProducerId"]),
    ("session", &["SessionId"]),
];

/// Numbers that change as they like, so long as there is one.
const FREE: [&str; 3] = ["FinalizedFeaturesEpoch", "TotalBytes", "UsableBytes"];

/// Text that a broker words as it likes, so long as it says something.
const WORDED: [&str; 4] =
    ["ErrorMessage", "BatchIndexErrorMessage", "Documentation", "TopicConfigErrorMessage"];

/// Text that a broker chooses.
const CHOSEN_TEXT: [(&str, &str); 2] = [("ClusterId", "cluster"), ("LogDir", "folder")];

/// Times this near to the present come from the broker's clock; the scenarios' own lie years back.
const NEAR_MS: i64 = 24 * 60 * 60 * 1000;

/// What one scenario has seen of a broker's choices.
pub struct Aliases {
    prefix: String,
    host: String,
    texts: bool,
    now: i64,
    seen: HashMap<(&'static str, String), String>,
}

impl Aliases {
    /// None yet. `COMPARE_TEXTS` in the environment compares messages word for word.
    pub fn new(prefix: String, broker: Broker) -> Aliases {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        Aliases {
            prefix,
            host: format!("{}:", broker.address.ip()),
            texts: std::env::var_os("COMPARE_TEXTS").is_some(),
            now: now.as_millis() as i64,
            seen: HashMap::new(),
        }
    }

    /// The answer of a step as it is compared.
    pub fn comparable(&mut self, step: &str, tree: &Value) -> Value {
        let sorted = self.sorted(tree);
        self.masked(step, &sorted)
    }

    /// Lists of objects in the order of their labels, then of what else they say.
    fn sorted(&self, tree: &Value) -> Value {
        match tree {
            Value::Object(fields) => Value::Object(
                fields.iter().map(|(name, value)| (name.clone(), self.sorted(value))).collect(),
            ),
            Value::Array(list) if list.iter().any(Value::is_object) && !is_log(list) => {
                let mut list: Vec<_> = list
                    .iter()
                    .map(|element| {
                        let element = self.sorted(element);
                        let order = (self.order(&element), self.blank("", &element).to_string());
                        (order, element)
                    })
                    .collect();
                list.sort_by(|(left, _), (right, _)| left.cmp(right));
                Value::Array(list.into_iter().map(|(_, element)| element).collect())
            }
            other => other.clone(),
        }
    }

    /// Numbers sort as numbers; ids that have an alias sort by it.
    fn order(&self, element: &Value) -> Vec<(i64, String)> {
        keys(element)
            .map(|(name, value)| match value.as_i64() {
                Some(number) if !is_chosen(name) => (number, String::new()),
                _ => (0, self.blank(name, value).to_string()),
            })
            .collect()
    }

    /// The value with aliases only where they are known, so that nothing depends on the order in
    /// which it is asked for.
    fn blank(&self, name: &str, value: &Value) -> Value {
        let mut known = |kind, text| match self.seen.get(&(kind, text)) {
            Some(alias) => alias.clone(),
            None => format!("{kind}@?"),
        };
        walk(name, value, &mut known, self)
    }

    fn masked(&mut self, step: &str, value: &Value) -> Value {
        let mut seen = std::mem::take(&mut self.seen);
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let mut alias = |kind: &'static str, text: String| {
            let new = || {
                let count = counts.entry(kind).or_default();
                *count += 1;
                format!("{kind}@{step}#{count}")
            };
            seen.entry((kind, text)).or_insert_with(new).clone()
        };
        let masked = walk("", value, &mut alias, self);
        self.seen = seen;
        masked
    }
}

/// The label of a list's element, from the fields that tell it apart; `None` if it has none.
pub fn label(element: &Value) -> Option<String> {
    if is_batch(element) {
        return None;
    }
    let parts: Vec<_> = keys(element)
        .map(|(_, value)| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        .collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}

fn keys(element: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    KEYS.into_iter().filter_map(|key| Some((key, element.get(key)?)))
}

/// Whether it is a batch, whose place in its list says something.
fn is_batch(element: &Value) -> bool {
    element.get("Magic").is_some()
}

fn is_log(list: &[Value]) -> bool {
    list.iter().any(is_batch)
}

fn is_chosen(name: &str) -> bool {
    CHOSEN.iter().any(|(_, names)| names.contains(&name))
}

type Alias<'a> = dyn FnMut(&'static str, String) -> String + 'a;

fn walk(name: &str, value: &Value, alias: &mut Alias<'_>, context: &Aliases) -> Value {
    match value {
        Value::Object(fields) => {
            let mut out = Map::new();
            for (name, value) in fields {
                out.insert(name.clone(), walk(name, value, alias, context));
            }
            Value::Object(out)
        }
        Value::Array(list) => {
            Value::Array(list.iter().map(|value| walk(name, value, alias, context)).collect())
        }
        Value::Number(number) => match number.as_i64() {
            Some(number) => self::number(name, number, alias, context),
            None => value.clone(),
        },
        Value::String(text) => Value::from(self::text(name, text, alias, context)),
        Value::Null | Value::Bool(_) => value.clone(),
    }
}

fn number(name: &str, number: i64, alias: &mut Alias<'_>, context: &Aliases) -> Value {
    let chosen = CHOSEN.iter().find(|(_, names)| names.contains(&name));
    match chosen {
        Some((kind, _)) if number >= 0 && !(*kind == "session" && number == 0) => {
            Value::from(alias(kind, number.to_string()))
        }
        None if FREE.contains(&name) && number >= 0 => Value::from("some number"),
        _ if (number - context.now).abs() < NEAR_MS => Value::from("now"),
        _ => Value::from(number),
    }
}

fn text(name: &str, text: &str, alias: &mut Alias<'_>, context: &Aliases) -> String {
    if WORDED.contains(&name) && !context.texts && !text.is_empty() {
        return "some text".to_owned();
    }
    if let Some((_, kind)) = CHOSEN_TEXT.iter().find(|(field, _)| *field == name)
        && !text.is_empty()
    {
        return alias(kind, text.to_owned());
    }
    let text = text.replace(&context.prefix, "");
    let text = without_port(&text, &context.host);
    // Kafka's own ids of members: a uuid in base64 without padding.
    if matches!(name, "MemberId" | "Leader") && text.len() == 22 && !text.contains('.') {
        return alias("id", text);
    }
    with_ids(&text, alias)
}

/// The text without the ports after the broker's host, which are this run's.
fn without_port(text: &str, host: &str) -> String {
    let mut parts = text.split(host);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(host);
        out.push_str(part.trim_start_matches(|char: char| char.is_ascii_digit()));
    }
    out
}

/// The text with an alias for each id in it. The nil id means that there is none.
fn with_ids(text: &str, alias: &mut Alias<'_>) -> String {
    const LEN: usize = 36;
    let mut out = String::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let id = rest.get(..LEN).filter(|id| id.as_bytes()[8] == b'-');
        match id.and_then(|id| uuid::Uuid::try_parse(id).ok()) {
            Some(id) if !id.is_nil() => {
                out.push_str(&alias("id", id.to_string()));
                rest = &rest[LEN..];
            }
            _ => {
                out.push(char);
                rest = &rest[char.len_utf8()..];
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn aliases() -> Aliases {
        Aliases::new("tag-scenario.".to_owned(), Broker::on(9092))
    }

    #[test]
    fn ids_keep_their_identity_and_lose_their_value() {
        let a = "0a000000-0000-4000-8000-000000000001";
        let b = "0b000000-0000-4000-8000-000000000001";
        let mut aliases = aliases();
        let first = aliases.comparable("a", &json!({ "Leader": format!("c-{b}"), "TopicId": a }));
        assert_eq!(first, json!({ "Leader": "c-id@a#1", "TopicId": "id@a#2" }));
        let second =
            aliases.comparable("b", &json!([a, b, "00000000-0000-0000-0000-000000000000"]));
        assert_eq!(second, json!(["id@a#2", "id@a#1", "00000000-0000-0000-0000-000000000000"]));
    }

    #[test]
    fn lists_of_objects_are_sorted_and_others_are_not() {
        let tree = json!({ "Topics": [
            { "Name": "tag-scenario.b", "Partitions": [{ "Index": 10 }, { "Index": 9 }] },
            { "Name": "tag-scenario.a", "Numbers": [3, 1] },
        ]});
        let expected = json!({ "Topics": [
            { "Name": "a", "Numbers": [3, 1] },
            { "Name": "b", "Partitions": [{ "Index": 9 }, { "Index": 10 }] },
        ]});
        assert_eq!(aliases().comparable("a", &tree), expected);
    }

    #[test]
    fn none_and_some_stay_apart() {
        let mut aliases = aliases();
        let now = aliases.now + 5;
        let tree = json!({ "ErrorMessage": null, "LeaderId": -1, "LogAppendTimeMs": now });
        let expected = json!({ "ErrorMessage": null, "LeaderId": -1, "LogAppendTimeMs": "now" });
        assert_eq!(aliases.comparable("a", &tree), expected);
        let tree = json!({ "ErrorMessage": "why", "LeaderId": 1, "LogAppendTimeMs": -1 });
        let expected =
            json!({ "ErrorMessage": "some text", "LeaderId": "broker@a#1", "LogAppendTimeMs": -1 });
        assert_eq!(aliases.comparable("a", &tree), expected);
    }
}
