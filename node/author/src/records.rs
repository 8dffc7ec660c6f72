//! Records to run a plugin over, read from files.
//!
//! A file holds a record a line: an object in the form of `tidegate consume --output json`, or plain
//! text that is the value of a record. Which of them is told by the file's first line, since a value
//! may be JSON too: an object is a record only if all its keys are those of one, its value is text
//! or null, and it has another key besides.

use std::io::{self, BufRead};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A record to run a plugin over.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TestRecord {
    /// The topic that it was read from, where that is known.
    pub topic: Option<String>,
    /// Its partition.
    pub partition: u32,
    /// Milliseconds since 1970; -1 where it has none.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// The form of a file of records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// An object a line.
    Json,
    /// A value a line.
    Lines,
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadRecordsError {
    /// It could not be read.
    #[error("cannot read line {line}")]
    Io {
        /// The line, from 1.
        line: usize,
        /// Why.
        source: io::Error,
    },
    /// A line that is no record.
    #[error("line {line} is no record: {reason}")]
    Record {
        /// The line, from 1.
        line: usize,
        /// Why.
        reason: String,
    },
}

/// Reads records to the end; without a form, the first line tells it.
///
/// # Errors
/// If the input fails or a line is no record.
pub fn read_records(
    input: &mut dyn BufRead,
    form: Option<Form>,
) -> Result<Vec<TestRecord>, ReadRecordsError> {
    let mut form = form;
    let mut records = Vec::new();
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let read = input.read_until(b'\n', &mut text);
        if read.map_err(|source| ReadRecordsError::Io { line, source })? == 0 {
            break;
        }
        if text.last() == Some(&b'\n') {
            text.pop();
        }
        let form = *form.get_or_insert_with(|| form_of(&text));
        records.push(match form {
            Form::Lines => {
                TestRecord { timestamp: -1, value: Some(text.clone()), ..TestRecord::default() }
            }
            Form::Json => {
                parse(&text).map_err(|reason| ReadRecordsError::Record { line, reason })?
            }
        });
    }
    Ok(records)
}

const KEYS: [&str; 9] = [
    "topic",
    "partition",
    "offset",
    "timestamp",
    "key",
    "key_base64",
    "value",
    "value_base64",
    "headers",
];

fn form_of(line: &[u8]) -> Form {
    let Ok(object) = serde_json::from_slice::<Map<String, Value>>(line) else {
        return Form::Lines;
    };
    let known = object.keys().all(|key| KEYS.contains(&key.as_str()));
    let text = matches!(object.get("value"), None | Some(Value::String(_) | Value::Null));
    let valued = object.contains_key("value") || object.contains_key("value_base64");
    if known && text && valued && object.len() > 1 { Form::Json } else { Form::Lines }
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Line {
    topic: Option<String>,
    partition: u32,
    #[serde(rename = "offset")]
    _offset: Option<i64>,
    timestamp: Option<i64>,
    key: Option<String>,
    key_base64: Option<String>,
    value: Option<String>,
    value_base64: Option<String>,
    headers: Vec<HeaderLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    name: Option<String>,
    name_base64: Option<String>,
    value: Option<String>,
    value_base64: Option<String>,
}

fn parse(line: &[u8]) -> Result<TestRecord, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let headers = line.headers.into_iter().map(|header| {
        let name = bytes("name", header.name, header.name_base64)?;
        let name = name.ok_or("a header has no name")?;
        Ok((name, bytes("value", header.value, header.value_base64)?))
    });
    Ok(TestRecord {
        topic: line.topic,
        partition: line.partition,
        timestamp: line.timestamp.unwrap_or(-1),
        key: bytes("key", line.key, line.key_base64)?,
        value: bytes("value", line.value, line.value_base64)?,
        headers: headers.collect::<Result<_, String>>()?,
    })
}

fn bytes(
    what: &str,
    text: Option<String>,
    base64: Option<String>,
) -> Result<Option<Vec<u8>>, String> {
    match (text, base64) {
        (Some(_), Some(_)) => Err(format!("it has both {what} and {what}_base64")),
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (None, Some(text)) => BASE64
            .decode(text)
            .map(Some)
            .map_err(|error| format!("{what}_base64 is not base64: {error}")),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<TestRecord>, String> {
        read_records(&mut text.as_bytes(), None).map_err(|error| error.to_string())
    }

    #[test]
    fn what_consume_prints_is_read_back() {
        let records = read(concat!(
            r#"{"topic":"t","partition":3,"offset":42,"timestamp":17,"key":"k","#,
            r#""value_base64":"dv8=","headers":[{"name":"a","value":"1"},{"name":"a","value":null}]}"#,
            "\n",
            r#"{"topic":"t","partition":3,"offset":43,"timestamp":null,"key":null,"value":null,"headers":[]}"#,
            "\n",
        ))
        .unwrap();
        let header = |value: Option<&str>| (b"a".to_vec(), value.map(|text| text.into()));
        let first = TestRecord {
            topic: Some("t".into()),
            partition: 3,
            timestamp: 17,
            key: Some(b"k".to_vec()),
            value: Some(b"v\xff".to_vec()),
            headers: vec![header(Some("1")), header(None)],
        };
        assert_eq!(records[0], first);
        assert_eq!((records[1].timestamp, &records[1].value), (-1, &None));
    }

    #[test]
    fn json_values_a_line_are_values() {
        for text in [r#"{"value": 60}"#, r#"{"value": "x"}"#, r#"{"value":"x","unit":"C"}"#, "x"] {
            let records = read(text).unwrap();
            assert_eq!(records[0].value.as_deref(), Some(text.as_bytes()), "{text}");
        }
        assert!(read("").unwrap().is_empty());
        assert_eq!(read("a\n\nb").unwrap().len(), 3);
    }

    #[test]
    fn a_line_that_is_no_record_is_told_with_its_number() {
        let error = read("{\"key\":\"k\",\"value\":\"v\"}\nplain\n").unwrap_err();
        assert!(error.starts_with("line 2 is no record: "), "{error}");
        let error = read(r#"{"key":"k","key_base64":"eA==","value":"v"}"#).unwrap_err();
        assert_eq!(error, "line 1 is no record: it has both key and key_base64");
    }
}
