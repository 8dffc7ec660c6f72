//! One definition: which fields a message has, in which versions, of which type.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde_json::Value;

/// A range of versions, as definitions write it: `2+`, `0-5`, `3`, `none`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Versions {
    first: i16,
    last: i16,
}

impl Versions {
    /// No version at all.
    pub const NONE: Versions = Versions { first: 0, last: -1 };

    /// Whether a version lies in the range.
    #[must_use]
    pub fn contains(self, version: i16) -> bool {
        self.range().contains(&version)
    }

    /// The range itself.
    #[must_use]
    pub fn range(self) -> RangeInclusive<i16> {
        self.first..=self.last
    }

    fn parse(text: &str) -> Result<Versions, String> {
        let number = |text: &str| text.parse().map_err(|_| format!("no version: {text}"));
        if text == "none" {
            return Ok(Versions::NONE);
        }
        if let Some(first) = text.strip_suffix('+') {
            return Ok(Versions { first: number(first)?, last: i16::MAX });
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Ok(Versions { first: number(first)?, last: number(last)? })
    }

    fn of(definition: &Value, key: &str) -> Result<Option<Versions>, String> {
        definition[key].as_str().map(Versions::parse).transpose()
    }
}

/// The type of a field.
#[derive(Clone, Debug)]
pub enum Kind {
    /// One byte, 0 or 1.
    Bool,
    /// A signed number of so many bytes.
    Int(usize),
    /// An unsigned number of so many bytes.
    UInt(usize),
    /// A 64-bit floating point number.
    Float,
    /// Text.
    Text,
    /// An id of 16 bytes.
    Uuid,
    /// Bytes that the broker does not look into.
    Bytes,
    /// Record batches.
    Records,
    /// Many of one type.
    Array(Box<Kind>),
    /// Fields.
    Struct(Arc<Vec<Field>>),
}

impl Kind {
    /// Whether null has a length of its own, so that no byte marks it.
    pub(super) fn has_length(&self) -> bool {
        matches!(self, Kind::Text | Kind::Bytes | Kind::Records | Kind::Array(_))
    }
}

/// One field.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// The versions that have it.
    pub versions: Versions,
    /// Its value where nothing is said.
    pub default: Value,
    pub(super) nullable: Versions,
    pub(super) tag: Option<(u32, Versions)>,
    /// The versions with compact lengths, where they differ from the message's.
    pub(super) flexible: Option<Versions>,
}

/// A request or an answer.
#[derive(Debug)]
pub struct Message {
    /// Its name, such as `MetadataRequest`.
    pub name: String,
    /// The request's key; -1 for data that is no request.
    pub key: i16,
    /// The versions that this Kafka knows.
    pub valid: Versions,
    /// Its fields.
    pub fields: Arc<Vec<Field>>,
    flexible: Versions,
}

impl Message {
    /// Whether a version has tagged fields and compact lengths.
    #[must_use]
    pub fn is_flexible(&self, version: i16) -> bool {
        self.flexible.contains(version)
    }

    pub(super) fn parse(text: &str) -> Result<Message, String> {
        let definition: Value =
            serde_json::from_str(&without_comments(text)).map_err(|error| error.to_string())?;
        let commons = commons(&definition["commonStructs"])?;
        // A request that was taken out of the protocol has nothing but its name.
        let none = Value::Array(Vec::new());
        let list = definition.get("fields").unwrap_or(&none);
        Ok(Message {
            name: text_of(&definition, "name")?.to_owned(),
            key: definition["apiKey"].as_i64().and_then(|key| key.try_into().ok()).unwrap_or(-1),
            valid: Versions::of(&definition, "validVersions")?.unwrap_or(Versions::NONE),
            flexible: Versions::of(&definition, "flexibleVersions")?.unwrap_or(Versions::NONE),
            fields: fields(list, &commons)?,
        })
    }
}

type Commons = HashMap<String, Arc<Vec<Field>>>;

/// The structs that fields name. They may name one another, in any order.
fn commons(list: &Value) -> Result<Commons, String> {
    let mut commons = Commons::new();
    let mut waiting: Vec<_> = list.as_array().into_iter().flatten().collect();
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut reason = String::new();
        waiting.retain(|common| {
            let parsed = text_of(common, "name")
                .and_then(|name| Ok((name.to_owned(), fields(&common["fields"], &commons)?)));
            match parsed {
                Ok((name, fields)) => {
                    commons.insert(name, fields);
                    false
                }
                Err(error) => {
                    reason = error;
                    true
                }
            }
        });
        if waiting.len() == before {
            return Err(reason);
        }
    }
    Ok(commons)
}

fn fields(list: &Value, commons: &Commons) -> Result<Arc<Vec<Field>>, String> {
    let list = list.as_array().ok_or("no list of fields")?;
    list.iter().map(|field| parse_field(field, commons)).collect::<Result<_, _>>().map(Arc::new)
}

fn parse_field(definition: &Value, commons: &Commons) -> Result<Field, String> {
    let kind = kind(text_of(definition, "type")?, definition, commons)?;
    let tag = match definition["tag"].as_u64() {
        Some(tag) => {
            let versions = Versions::of(definition, "taggedVersions")?.unwrap_or(Versions::NONE);
            Some((tag as u32, versions))
        }
        None => None,
    };
    Ok(Field {
        name: text_of(definition, "name")?.to_owned(),
        default: default(&kind, &definition["default"])?,
        versions: Versions::of(definition, "versions")?.ok_or("a field without versions")?,
        nullable: Versions::of(definition, "nullableVersions")?.unwrap_or(Versions::NONE),
        flexible: Versions::of(definition, "flexibleVersions")?,
        kind,
        tag,
    })
}

fn kind(name: &str, definition: &Value, commons: &Commons) -> Result<Kind, String> {
    Ok(match name {
        "bool" => Kind::Bool,
        "int8" => Kind::Int(1),
        "int16" => Kind::Int(2),
        "int32" => Kind::Int(4),
        "int64" => Kind::Int(8),
        "uint16" => Kind::UInt(2),
        "uint32" => Kind::UInt(4),
        "float64" => Kind::Float,
        "string" => Kind::Text,
        "uuid" => Kind::Uuid,
        "bytes" => Kind::Bytes,
        "records" => Kind::Records,
        _ => match name.strip_prefix("[]") {
            Some(element) => Kind::Array(Box::new(kind(element, definition, commons)?)),
            None if definition["fields"].is_array() => {
                Kind::Struct(fields(&definition["fields"], commons)?)
            }
            None => Kind::Struct(
                commons.get(name).ok_or_else(|| format!("unknown type {name}"))?.clone(),
            ),
        },
    })
}

fn default(kind: &Kind, said: &Value) -> Result<Value, String> {
    let text = match said {
        Value::String(text) => text.as_str(),
        Value::Null => "",
        other => return Ok(other.clone()),
    };
    if text == "null" {
        return Ok(Value::Null);
    }
    Ok(match kind {
        Kind::Bool => Value::Bool(text == "true"),
        Kind::Int(_) | Kind::UInt(_) => Value::from(if text.is_empty() {
            0
        } else {
            number(text).ok_or_else(|| format!("no number: {text}"))?
        }),
        Kind::Float => Value::from(text.parse::<f64>().unwrap_or(0.0)),
        Kind::Text | Kind::Bytes | Kind::Records => Value::from(text),
        Kind::Uuid => Value::from(uuid::Uuid::nil().to_string()),
        Kind::Array(_) => Value::Array(Vec::new()),
        Kind::Struct(_) => Value::Object(serde_json::Map::new()),
    })
}

fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn text_of<'a>(definition: &'a Value, key: &str) -> Result<&'a str, String> {
    definition[key].as_str().ok_or_else(|| format!("no {key}"))
}

/// JSON has no comments; the definitions do, from `//` to the end of the line.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut in_text, mut escaped) = (false, false);
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        if !in_text && char == '/' && chars.peek() == Some(&'/') {
            out.push('\n');
            while chars.next_if(|next| *next != '\n').is_some() {}
            continue;
        }
        if char == '"' && !escaped {
            in_text = !in_text;
        }
        escaped = in_text && char == '\\' && !escaped;
        out.push(char);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_end_with_their_line_and_text_is_no_comment() {
        let text = "// one\n{\"a\": \"x // y \\\" // z\" // two\n}";
        let value: Value = serde_json::from_str(&without_comments(text)).expect("JSON");
        assert_eq!(value["a"], "x // y \" // z");
    }

    #[test]
    fn versions_are_ranges_open_closed_single_or_none() {
        let contains =
            |text: &str, version| Versions::parse(text).expect("versions").contains(version);
        assert!(contains("2+", 99) && !contains("2+", 1));
        assert!(contains("0-5", 5) && !contains("0-5", 6));
        assert!(contains("3", 3) && !contains("3", 4));
        assert!(!contains("none", 0));
        Versions::parse("x+").expect_err("no number");
    }
}
