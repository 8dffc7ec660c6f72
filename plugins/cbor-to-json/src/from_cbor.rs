//! CBOR read and written as JSON.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ciborium::Value;
use tidegate_plugin_sdk::json;
use tidegate_plugin_sdk::prelude::*;

use crate::{Bytes, Names};

/// Appends the value as JSON.
pub(crate) fn to_json(
    value: &[u8],
    depth: usize,
    bytes: Bytes,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let mut input = Cursor::new(value);
    let parsed: Value = ciborium::de::from_reader_with_recursion_limit(&mut input, depth)
        .map_err(|e| Failure::record(format!("value is not CBOR: {}", reason(&e))))?;
    let end = input.position();
    if end < value.len() as u64 {
        return Err(format!("value is not CBOR: it ends at byte {end}, and more follows").into());
    }
    write(&parsed, bytes, out)
}

fn reason(error: &ciborium::de::Error<std::io::Error>) -> String {
    use ciborium::de::Error;
    match error {
        Error::Io(_) => "it ends early".into(),
        Error::Syntax(at) => format!("broken at byte {at}"),
        Error::Semantic(_, what) => what.clone(),
        Error::RecursionLimitExceeded => "nested deeper than `max_depth`".into(),
    }
}

/// The depth was bounded when the value was read.
fn write(value: &Value, bytes: Bytes, out: &mut Vec<u8>) -> Result<(), Failure> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Integer(number) => {
            out.extend_from_slice(i128::from(*number).to_string().as_bytes());
        }
        Value::Float(number) => json::write_number(out, *number),
        Value::Text(text) => json::write_string(out, text),
        Value::Bytes(raw) => json::write_string(out, &text_of(raw, bytes)?),
        Value::Tag(2 | 3, inner) if inner.is_bytes() => {
            return Err("a whole number of more than 64 bits".into());
        }
        Value::Tag(_, inner) => write(inner, bytes, out)?,
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, bytes, out)?;
            }
            out.push(b']');
        }
        Value::Map(entries) => {
            let mut names = Names::default();
            out.push(b'{');
            for (i, (name, value)) in entries.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                let name = name_of(name)?;
                json::write_string(out, &name);
                out.push(b':');
                write(value, bytes, out)?;
                if let Some(twice) = names.replace(name) {
                    return Err(format!("a map has the key `{twice}` twice").into());
                }
            }
            out.push(b'}');
        }
        _ => return Err("a kind of value that JSON has nothing for".into()),
    }
    Ok(())
}

fn name_of(key: &Value) -> Result<String, Failure> {
    Ok(match key {
        Value::Text(text) => text.clone(),
        Value::Integer(number) => i128::from(*number).to_string(),
        Value::Bool(is) => is.to_string(),
        _ => return Err("a map has a key that is neither text, integer nor boolean".into()),
    })
}

fn text_of(raw: &[u8], bytes: Bytes) -> Result<String, Failure> {
    Ok(match bytes {
        Bytes::Base64 => STANDARD.encode(raw),
        Bytes::Hex => raw.iter().map(|byte| format!("{byte:02x}")).collect(),
        Bytes::Fail => return Err("a byte string, for which JSON has nothing".into()),
    })
}
