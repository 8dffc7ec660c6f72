//! Requests and answers of every version, as trees.
//!
//! Kafka's client jar carries the definitions that its own classes are generated from. Read at run
//! time, they give a codec for exactly the Kafka that answers: a request is written as a JSON
//! object with Kafka's field names, fields that a version lacks are left out of its bytes, and an
//! answer becomes such an object again.
//!
//! Text stays text, ids are hyphenated, other bytes are hexadecimal text, record sets are lists of
//! batches (see [`crate::batches`]).

mod decode;
mod define;
mod encode;
mod jar;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

pub use define::{Field, Kind, Message, Versions};

/// Why there are no definitions.
#[derive(Debug)]
pub enum SchemaError {
    /// There is no jar of Kafka's clients in the folder, or it cannot be read.
    Jar(std::io::Error),
    /// The jar is not laid out as a jar.
    Archive(&'static str),
    /// A definition is not what it should be.
    Definition {
        /// The file in the jar.
        file: String,
        /// What is wrong.
        reason: String,
    },
}

impl std::fmt::Display for SchemaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SchemaError::Jar(error) => write!(f, "cannot read the jar of Kafka's clients: {error}"),
            SchemaError::Archive(reason) => write!(f, "the jar is damaged: {reason}"),
            SchemaError::Definition { file, reason } => write!(f, "{file}: {reason}"),
        }
    }
}

impl std::error::Error for SchemaError {}

/// An answer that was decoded.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// The correlation id of its header.
    pub correlation: i32,
    /// Its body.
    pub body: Value,
}

/// All requests and answers by the request's name (`Metadata`, not `MetadataRequest`).
pub struct Schemas {
    requests: HashMap<String, Arc<Message>>,
    answers: HashMap<String, Arc<Message>>,
}

impl Schemas {
    /// Reads the definitions out of the jars in `folder`.
    ///
    /// # Errors
    /// If they are not there or not understood.
    pub fn from_jars(folder: &Path) -> Result<Schemas, SchemaError> {
        let mut schemas = Schemas { requests: HashMap::new(), answers: HashMap::new() };
        for (file, text) in jar::definitions(folder)? {
            let message = Message::parse(&text)
                .map_err(|reason| SchemaError::Definition { file: file.clone(), reason })?;
            if let Some(name) = message.name.strip_suffix("Request") {
                schemas.requests.insert(name.to_owned(), Arc::new(message));
            } else if let Some(name) = message.name.strip_suffix("Response") {
                schemas.answers.insert(name.to_owned(), Arc::new(message));
            }
        }
        if schemas.requests.is_empty() {
            return Err(SchemaError::Archive("it holds no request"));
        }
        Ok(schemas)
    }

    /// A request's definition.
    ///
    /// # Panics
    /// If Kafka has no such request.
    #[must_use]
    pub fn request(&self, api: &str) -> &Message {
        self.requests.get(api).unwrap_or_else(|| panic!("Kafka has no request {api}"))
    }

    /// An answer's definition.
    ///
    /// # Panics
    /// If Kafka has no such answer.
    #[must_use]
    pub fn answer(&self, api: &str) -> &Message {
        self.answers.get(api).unwrap_or_else(|| panic!("Kafka has no answer {api}"))
    }

    /// The name of the request with this key.
    #[must_use]
    pub fn name(&self, key: i16) -> Option<&str> {
        self.requests.iter().find(|(_, message)| message.key == key).map(|(name, _)| name.as_str())
    }

    /// A request's body.
    ///
    /// # Panics
    /// If the tree names a field that no version has, or holds a value of another type.
    #[must_use]
    pub fn encode(&self, api: &str, version: i16, body: &Value) -> Vec<u8> {
        encode::body(self.request(api), version, body)
    }

    /// Decodes an answer's frame, header and all.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn decode(&self, api: &str, version: i16, frame: &[u8]) -> Result<Answer, String> {
        decode::answer(self.answer(api), version, frame)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DEFINITION: &str = r#"{
        "apiKey": 3, "type": "response", "name": "ThingResponse",
        "validVersions": "0-2", "flexibleVersions": "1+",
        "commonStructs": [
            { "name": "Outer", "versions": "0+", "fields": [
                { "name": "Inner", "type": "Inner", "versions": "0+", "nullableVersions": "0+" }
            ]},
            { "name": "Inner", "versions": "0+", "fields": [
                { "name": "Flag", "type": "bool", "versions": "0+" }
            ]}
        ],
        "fields": [
            { "name": "Number", "type": "int16", "versions": "0+", "default": "-1" },
            { "name": "Names", "type": "[]string", "versions": "0+", "nullableVersions": "0+" },
            { "name": "Later", "type": "int64", "versions": "2+", "default": "0x7fffffffffffffff" },
            { "name": "Id", "type": "uuid", "versions": "0+" },
            { "name": "Raw", "type": "bytes", "versions": "0+", "nullableVersions": "0+" },
            { "name": "Outers", "type": "[]Outer", "versions": "0+" },
            { "name": "Tagged", "type": "string", "versions": "1+", "nullableVersions": "1+",
              "taggedVersions": "1+", "tag": 4, "default": "null" }
        ]
    }"#;

    fn frame(message: &Message, version: i16, body: &Value) -> Vec<u8> {
        let mut frame = 7_i32.to_be_bytes().to_vec();
        if message.is_flexible(version) {
            frame.push(0);
        }
        frame.extend_from_slice(&encode::body(message, version, body));
        frame
    }

    #[test]
    fn trees_come_back_in_every_version_and_cut_ones_are_refused() {
        let message = Message::parse(DEFINITION).expect("a definition");
        for version in 0..=2 {
            let mut body = json!({
                "Number": -300, "Names": ["a", ""],
                "Id": "0a000000-0000-4000-8000-00000000000b", "Raw": null,
                "Outers": [{ "Inner": null }, { "Inner": { "Flag": true } }],
            });
            if version >= 1 {
                body["Tagged"] = json!("aside");
            }
            if version >= 2 {
                body["Later"] = json!(5);
            }
            let whole = frame(&message, version, &body);
            let answer = decode::answer(&message, version, &whole).expect("an answer");
            assert_eq!(answer, Answer { correlation: 7, body });
            for cut in 0..whole.len() {
                decode::answer(&message, version, &whole[..cut]).expect_err("it is cut");
            }
        }
    }

    #[test]
    fn what_is_left_over_and_unknown_tags_are_told() {
        let message = Message::parse(DEFINITION).expect("a definition");
        let mut long = frame(&message, 0, &json!({ "Outers": [] }));
        long.extend_from_slice(&[1, 2]);
        let answer = decode::answer(&message, 0, &long).expect("an answer");
        assert_eq!(answer.body["_left"], "0102");
        assert_eq!(answer.body["Number"], -1);
        let mut tagged = frame(&message, 1, &json!({ "Names": null }));
        *tagged.last_mut().expect("a count of tags") = 1;
        tagged.extend_from_slice(&[9, 1, 0xab]);
        let answer = decode::answer(&message, 1, &tagged).expect("an answer");
        assert_eq!(answer.body["_tag9"], "ab");
        assert_eq!(answer.body["Names"], Value::Null);
    }
}
