//! Trees to bytes.
//!
//! A mistake of the test panics: an unknown field, a value of another type. Null is not one, since
//! it stands in trees built from an answer that did not come: where no null may be, it is the
//! default.

use serde_json::Value;

use super::define::{Field, Kind, Message, Versions};
use crate::conn::unhex;

pub(super) fn body(message: &Message, version: i16, body: &Value) -> Vec<u8> {
    let mut writer = Writer { message, version, out: Vec::new() };
    writer.fields(&message.fields, body);
    writer.out
}

struct Writer<'a> {
    message: &'a Message,
    version: i16,
    out: Vec<u8>,
}

impl Writer<'_> {
    fn fields(&mut self, fields: &[Field], tree: &Value) {
        for name in tree.as_object().into_iter().flat_map(|object| object.keys()) {
            assert!(
                fields.iter().any(|field| field.name == *name),
                "{} has no field {name} there",
                self.message.name
            );
        }
        let flexible = self.message.is_flexible(self.version);
        let mut tagged = Vec::new();
        let version = self.version;
        for field in fields.iter().filter(|field| field.versions.contains(version)) {
            let said = tree.get(&field.name).unwrap_or(&field.default);
            match field.tag {
                Some((tag, versions)) if flexible && versions.contains(version) => {
                    if *said != field.default {
                        tagged.push((tag, self.aside(field, said)));
                    }
                }
                _ => self.field(field, said),
            }
        }
        if flexible {
            tagged.sort_by_key(|(tag, _)| *tag);
            self.varint(tagged.len() as u32);
            for (tag, bytes) in tagged {
                self.varint(tag);
                self.varint(bytes.len() as u32);
                self.out.extend_from_slice(&bytes);
            }
        }
    }

    /// The field's bytes, written apart from the others.
    fn aside(&mut self, field: &Field, said: &Value) -> Vec<u8> {
        let before = std::mem::take(&mut self.out);
        self.field(field, said);
        std::mem::replace(&mut self.out, before)
    }

    fn field(&mut self, field: &Field, said: &Value) {
        let nullable = field.nullable.contains(self.version);
        if nullable && !field.kind.has_length() {
            self.out.push(if said.is_null() { 0xff } else { 1 });
            if said.is_null() {
                return;
            }
        }
        let said = if said.is_null() && !nullable { &field.default } else { said };
        self.value(field, &field.kind, said);
    }

    fn value(&mut self, field: &Field, kind: &Kind, said: &Value) {
        let wrong = || -> ! { panic!("{}: {said} is no {kind:?}", field.name) };
        match kind {
            Kind::Bool => self.out.push(u8::from(said.as_bool().unwrap_or_else(|| wrong()))),
            Kind::Int(size) | Kind::UInt(size) => {
                let number = said.as_i64().unwrap_or_else(|| wrong());
                self.out.extend_from_slice(&number.to_be_bytes()[8 - size..]);
            }
            Kind::Float => {
                let number = said.as_f64().unwrap_or_else(|| wrong());
                self.out.extend_from_slice(&number.to_be_bytes());
            }
            Kind::Uuid => {
                let text = said.as_str().unwrap_or_default();
                let id = uuid::Uuid::parse_str(text).unwrap_or_default();
                self.out.extend_from_slice(id.as_bytes());
            }
            Kind::Text => self.bytes(field, said.as_str().map(str::as_bytes), 2),
            Kind::Bytes | Kind::Records => {
                let bytes = said.as_str().map(|text| unhex(text).unwrap_or_else(|| wrong()));
                self.bytes(field, bytes.as_deref(), 4);
            }
            Kind::Array(element) => {
                let list = said.as_array();
                self.length(field, list.map(Vec::len), 4);
                for said in list.into_iter().flatten() {
                    self.value(field, element, said);
                }
            }
            Kind::Struct(fields) => self.fields(fields, said),
        }
    }

    fn bytes(&mut self, field: &Field, bytes: Option<&[u8]>, width: usize) {
        self.length(field, bytes.map(<[u8]>::len), width);
        self.out.extend_from_slice(bytes.unwrap_or_default());
    }

    fn length(&mut self, field: &Field, length: Option<usize>, width: usize) {
        if is_compact(self.message, field, self.version) {
            self.varint(length.map_or(0, |length| length as u32 + 1));
        } else {
            let length = length.map_or(-1, |length| length as i64);
            self.out.extend_from_slice(&length.to_be_bytes()[8 - width..]);
        }
    }

    fn varint(&mut self, mut number: u32) {
        while number > 0x7f {
            self.out.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
    }
}

/// Whether lengths are varints: in flexible versions, unless the field keeps the old ones.
pub(super) fn is_compact(message: &Message, field: &Field, version: i16) -> bool {
    message.is_flexible(version)
        && field.flexible.is_none_or(|versions: Versions| versions.contains(version))
}
