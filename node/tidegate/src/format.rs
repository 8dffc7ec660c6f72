//! How `consume` prints a record: a format as in kcat, or a JSON object a line.
//!
//! The format is read once and then written record by record into a buffer of the caller's; bytes
//! go out as they are, whatever their encoding.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// A record as this module needs it.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, in milliseconds since 1970.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its headers, in order.
    pub headers: &'a [(bytes::Bytes, Option<bytes::Bytes>)],
}

/// Why a format was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseFormatError {
    /// An unknown `%` letter.
    #[error(
        "unknown token %{token} at character {at} of the format: use %t %p %o %k %K %s %S %T %h or %%"
    )]
    Token {
        /// The letter.
        token: char,
        /// Position, from 1.
        at: usize,
    },
    /// An unknown escape.
    #[error(
        "unknown escape \\{escape} at character {at} of the format: use \\n \\r \\t \\0 \\\\ or \\xHH"
    )]
    Escape {
        /// What follows the backslash.
        escape: String,
        /// Position, from 1.
        at: usize,
    },
    /// It ends in the middle of a token or escape.
    #[error("the format ends after a single {0:?}: double it to mean itself")]
    Unfinished(char),
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Key,
    KeyLength,
    Value,
    ValueLength,
    Timestamp,
    Headers,
}

/// A format that was read.
///
/// `%t` topic, `%p` partition, `%o` offset, `%k` key, `%K` its length, `%s` value, `%S` its length,
/// `%T` timestamp in ms, `%h` headers as `name=value,...`, `%%` a percent sign. Escapes are `\n`,
/// `\r`, `\t`, `\0`, `\\` and `\xHH`. The length of a key or value that is null is -1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Format(Vec<Part>);

impl Default for Format {
    /// The value and a line feed.
    fn default() -> Format {
        Format(vec![Part::Value, Part::Text(b"\n".to_vec())])
    }
}

impl std::str::FromStr for Format {
    type Err = ParseFormatError;

    fn from_str(text: &str) -> Result<Format, ParseFormatError> {
        let mut parts = Vec::new();
        let mut plain = Vec::new();
        let mut chars = text.chars().enumerate();
        while let Some((index, c)) = chars.next() {
            match c {
                '%' => {
                    let (_, token) = chars.next().ok_or(ParseFormatError::Unfinished('%'))?;
                    let part = match token {
                        '%' => {
                            plain.push(b'%');
                            continue;
                        }
                        't' => Part::Topic,
                        'p' => Part::Partition,
                        'o' => Part::Offset,
                        'k' => Part::Key,
                        'K' => Part::KeyLength,
                        's' => Part::Value,
                        'S' => Part::ValueLength,
                        'T' => Part::Timestamp,
                        'h' => Part::Headers,
                        token => return Err(ParseFormatError::Token { token, at: index + 1 }),
                    };
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(part);
                }
                '\\' => plain.push(escape(index, &mut chars)?),
                c => plain.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Format(parts))
    }
}

/// The byte that an escape stands for; the backslash at `index` was read.
fn escape(
    index: usize,
    chars: &mut impl Iterator<Item = (usize, char)>,
) -> Result<u8, ParseFormatError> {
    let (_, c) = chars.next().ok_or(ParseFormatError::Unfinished('\\'))?;
    Ok(match c {
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        '0' => 0,
        '\\' => b'\\',
        'x' => {
            let digits: String = chars.take(2).map(|(_, c)| c).collect();
            let hex = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit());
            let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| hex);
            byte.ok_or_else(|| ParseFormatError::Escape {
                escape: format!("x{digits}"),
                at: index + 1,
            })?
        }
        c => return Err(ParseFormatError::Escape { escape: c.to_string(), at: index + 1 }),
    })
}

impl Format {
    /// Appends the record to `out`.
    pub fn write(&self, record: &RecordView<'_>, out: &mut Vec<u8>) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Topic => out.extend_from_slice(record.topic.as_bytes()),
                Part::Partition => number(out, i64::from(record.partition)),
                Part::Offset => number(out, record.offset),
                Part::Key => out.extend_from_slice(record.key.unwrap_or_default()),
                Part::KeyLength => number(out, length(record.key)),
                Part::Value => out.extend_from_slice(record.value.unwrap_or_default()),
                Part::ValueLength => number(out, length(record.value)),
                Part::Timestamp => number(out, record.timestamp),
                Part::Headers => headers(record, out),
            }
        }
    }
}

fn length(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len() as i64)
}

fn number(out: &mut Vec<u8>, n: i64) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{n}");
}

fn headers(record: &RecordView<'_>, out: &mut Vec<u8>) {
    for (index, (name, value)) in record.headers.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value.as_deref().unwrap_or_default());
    }
}

/// Appends the record as one line of JSON.
///
/// Keys: `topic`, `partition`, `offset`, `timestamp` (ms, null if there is none), `key`, `value`,
/// `headers` (an array of `name` and `value`, in order). What is not UTF-8 stands, in base64, under
/// `key_base64`, `value_base64` or `name_base64` instead.
pub fn write_json(record: &RecordView<'_>, out: &mut Vec<u8>) {
    // Neither serializing plain data nor writing to a vector can fail.
    let _ = serde_json::to_writer(&mut *out, record);
    out.push(b'\n');
}

impl Serialize for RecordView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("topic", self.topic)?;
        map.serialize_entry("partition", &self.partition)?;
        map.serialize_entry("offset", &self.offset)?;
        map.serialize_entry("timestamp", &Some(self.timestamp).filter(|at| *at >= 0))?;
        entry(&mut map, "key", "key_base64", self.key)?;
        entry(&mut map, "value", "value_base64", self.value)?;
        map.serialize_entry("headers", &Headers(self.headers))?;
        map.end()
    }
}

struct Headers<'a>(&'a [(bytes::Bytes, Option<bytes::Bytes>)]);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for (name, value) in self.0 {
            seq.serialize_element(&Header { name, value: value.as_deref() })?;
        }
        seq.end()
    }
}

struct Header<'a> {
    name: &'a [u8],
    value: Option<&'a [u8]>,
}

impl Serialize for Header<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        entry(&mut map, "name", "name_base64", Some(self.name))?;
        entry(&mut map, "value", "value_base64", self.value)?;
        map.end()
    }
}

/// Bytes as text where they are UTF-8, else as base64 under the other name.
fn entry<M: SerializeMap>(
    map: &mut M,
    name: &'static str,
    name_base64: &'static str,
    bytes: Option<&[u8]>,
) -> Result<(), M::Error> {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => map.serialize_entry(name, &None::<&str>),
        Some((_, Ok(text))) => map.serialize_entry(name, text),
        Some((bytes, Err(_))) => map.serialize_entry(name_base64, &BASE64.encode(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn with_record<T>(f: impl FnOnce(&RecordView<'_>) -> T) -> T {
        let headers = [
            (Bytes::from_static(b"a"), Some(Bytes::from_static(b"1"))),
            (Bytes::from_static(b"a"), None),
        ];
        f(&RecordView {
            topic: "orders",
            partition: 3,
            offset: 42,
            timestamp: 1_700_000_000_000,
            key: Some(b"k"),
            value: Some(b"v\xff"),
            headers: &headers,
        })
    }

    fn formatted(format: &str) -> Vec<u8> {
        let format: Format = format.parse().unwrap();
        let mut out = Vec::new();
        with_record(|record| format.write(record, &mut out));
        out
    }

    #[test]
    fn every_token_prints_its_field() {
        assert_eq!(
            formatted(r"%t/%p@%o %T %K:%k %S:%s [%h] 100%%\n"),
            b"orders/3@42 1700000000000 1:k 2:v\xff [a=1,a=] 100%\n"
        );
    }

    #[test]
    fn escapes_print_their_bytes() {
        assert_eq!(formatted(r"\t\r\0\\\x41\xff"), b"\t\r\0\\A\xff");
    }

    #[test]
    fn the_default_is_the_value_and_a_line_feed() {
        let mut out = Vec::new();
        with_record(|record| Format::default().write(record, &mut out));
        assert_eq!(out, b"v\xff\n");
    }

    #[test]
    fn null_differs_from_empty_by_its_length() {
        let format: Format = "%K,%S,%k%s.".parse().unwrap();
        let mut out = Vec::new();
        with_record(|record| {
            let null = RecordView { key: None, value: None, ..*record };
            format.write(&null, &mut out);
            format.write(&RecordView { key: Some(b""), value: Some(b""), ..*record }, &mut out);
        });
        assert_eq!(out, b"-1,-1,.0,0,.");
    }

    #[test]
    fn what_is_no_format_is_refused_with_its_place() {
        for (text, error) in [
            ("a%q", ParseFormatError::Token { token: 'q', at: 2 }),
            ("\u{e4}\\q", ParseFormatError::Escape { escape: "q".into(), at: 2 }),
            (r"\x4", ParseFormatError::Escape { escape: "x4".into(), at: 1 }),
            (r"\x+1", ParseFormatError::Escape { escape: "x+1".into(), at: 1 }),
            ("100%", ParseFormatError::Unfinished('%')),
            ("a\\", ParseFormatError::Unfinished('\\')),
        ] {
            assert_eq!(text.parse::<Format>(), Err(error), "{text}");
        }
    }

    #[test]
    fn json_keeps_header_order_and_puts_binary_aside() {
        let mut out = Vec::new();
        with_record(|record| write_json(record, &mut out));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"topic":"orders","partition":3,"offset":42,"timestamp":1700000000000,"#,
                r#""key":"k","value_base64":"dv8=","#,
                r#""headers":[{"name":"a","value":"1"},{"name":"a","value":null}]}"#,
                "\n"
            )
        );
    }
}
