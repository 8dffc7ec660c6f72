//! JSON read and written as CBOR.

use std::fmt;

use ciborium::Value;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use tidegate_plugin_sdk::prelude::*;
use tidegate_plugin_sdk::serde_json;

use crate::Names;

/// Appends the value as CBOR.
pub(crate) fn to_cbor(value: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
    let mut json = serde_json::Deserializer::from_slice(value);
    let parsed = Read { depth }
        .deserialize(&mut json)
        .and_then(|parsed| json.end().map(|()| parsed))
        .map_err(|e| Failure::record(format!("value is not JSON: {e}")))?;
    ciborium::into_writer(&parsed, out)
        .map_err(|e| Failure::record(format!("value cannot be written as CBOR: {e}")))
}

/// Reads a value whose arrays and objects are nested at most this deep, in the order of the text.
#[derive(Clone, Copy)]
struct Read {
    depth: usize,
}

impl Read {
    fn inner<E: Error>(self) -> Result<Read, E> {
        let depth = self.depth.checked_sub(1);
        depth.map(|depth| Read { depth }).ok_or_else(|| E::custom("nested deeper than `max_depth`"))
    }
}

impl<'de> DeserializeSeed<'de> for Read {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Read {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<Value, E> {
        Ok(Value::Bool(is))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut read = vec![];
        while let Some(item) = items.next_element_seed(inner)? {
            read.push(item);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut names = Names::default();
        let mut read = vec![];
        while let Some(Name(name)) = entries.next_key()? {
            let value = entries.next_value_seed(inner)?;
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!("an object has the name `{name}` twice")));
            }
            read.push((Value::Text(name), value));
        }
        Ok(Value::Map(read))
    }
}

struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Name, D::Error> {
        String::deserialize(json).map(Name)
    }
}
