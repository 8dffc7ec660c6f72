//! Bytes to trees. Everything that an answer says is kept, unknown tags and bytes left over too,
//! so that a difference cannot hide.

use serde_json::{Map, Value};

use super::Answer;
use super::define::{Field, Kind, Message};
use super::encode::is_compact;
use crate::batch::batches;
use crate::conn::hex;

/// The key of `ApiVersions`, whose answers always have the oldest header: a client reads them
/// before it knows what the broker speaks.
const API_VERSIONS: i16 = 18;

pub(super) fn answer(message: &Message, version: i16, frame: &[u8]) -> Result<Answer, String> {
    let mut reader = Reader { message, version, frame, at: 0 };
    let correlation = i32::from_be_bytes(reader.array()?);
    if message.is_flexible(version)
        && message.key != API_VERSIONS
        && let Some((tag, bytes)) = reader.tags()?.first()
    {
        return Err(format!("tag {tag} in the header: {}", hex(bytes)));
    }
    let mut body = reader.fields(&message.fields)?;
    let left = &frame[reader.at..];
    if !left.is_empty() {
        body.insert("_left".to_owned(), Value::from(hex(left)));
    }
    Ok(Answer { correlation, body: Value::Object(body) })
}

struct Reader<'a> {
    message: &'a Message,
    version: i16,
    frame: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn fields(&mut self, fields: &[Field]) -> Result<Map<String, Value>, String> {
        let mut tree = Map::new();
        let flexible = self.message.is_flexible(self.version);
        let is_tagged = |field: &Field| {
            flexible && field.tag.is_some_and(|(_, versions)| versions.contains(self.version))
        };
        let here = |field: &&Field| field.versions.contains(self.version);
        let (tagged, plain): (Vec<_>, Vec<_>) =
            fields.iter().filter(here).partition(|field| is_tagged(field));
        for field in plain {
            let value = self.field(field).map_err(|reason| format!("{}: {reason}", field.name))?;
            tree.insert(field.name.clone(), value);
        }
        if flexible {
            for (tag, bytes) in self.tags()? {
                let known = tagged.iter().find(|field| field.tag.is_some_and(|(t, _)| t == tag));
                let Some(field) = known else {
                    tree.insert(format!("_tag{tag}"), Value::from(hex(bytes)));
                    continue;
                };
                let mut inner = Reader { frame: bytes, at: 0, ..*self };
                let value = inner.field(field)?;
                if inner.at != bytes.len() {
                    return Err(format!("{}: tag {tag} is longer than its value", field.name));
                }
                tree.insert(field.name.clone(), value);
            }
        }
        Ok(tree)
    }

    fn tags(&mut self) -> Result<Vec<(u32, &'a [u8])>, String> {
        let count = self.varint()?;
        let mut tags = Vec::new();
        for _ in 0..count {
            let tag = self.varint()?;
            if tags.last().is_some_and(|(last, _)| *last >= tag) {
                return Err(format!("tag {tag} is out of order"));
            }
            let size = self.varint()? as usize;
            tags.push((tag, self.take(size)?));
        }
        Ok(tags)
    }

    fn field(&mut self, field: &Field) -> Result<Value, String> {
        if field.nullable.contains(self.version) && !field.kind.has_length() {
            match self.array::<1>()?[0] as i8 {
                -1 => return Ok(Value::Null),
                1 => {}
                other => return Err(format!("{other} is no mark of null")),
            }
        }
        self.value(field, &field.kind)
    }

    fn value(&mut self, field: &Field, kind: &Kind) -> Result<Value, String> {
        Ok(match kind {
            Kind::Bool => match self.array::<1>()?[0] {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                other => return Err(format!("{other} is no bool")),
            },
            Kind::Int(size) => {
                let bytes = self.take(*size)?;
                let sign = if bytes[0] & 0x80 == 0 { 0 } else { 0xff };
                let mut wide = [sign; 8];
                wide[8 - size..].copy_from_slice(bytes);
                Value::from(i64::from_be_bytes(wide))
            }
            Kind::UInt(size) => {
                let mut wide = [0; 8];
                wide[8 - size..].copy_from_slice(self.take(*size)?);
                Value::from(i64::from_be_bytes(wide))
            }
            Kind::Float => Value::from(f64::from_be_bytes(self.array()?)),
            Kind::Uuid => Value::from(uuid::Uuid::from_bytes(self.array()?).to_string()),
            Kind::Text => match self.bytes(field, 2)? {
                None => Value::Null,
                Some(bytes) => Value::from(
                    std::str::from_utf8(bytes).map_err(|_| format!("no UTF-8: {}", hex(bytes)))?,
                ),
            },
            Kind::Bytes => self.bytes(field, 4)?.map_or(Value::Null, |b| Value::from(hex(b))),
            Kind::Records => self.bytes(field, 4)?.map_or(Value::Null, batches),
            Kind::Array(element) => match self.length(field, 4)? {
                None => Value::Null,
                Some(count) => {
                    let mut list = Vec::new();
                    for index in 0..count {
                        let value = self.value(field, element);
                        list.push(value.map_err(|reason| format!("[{index}]: {reason}"))?);
                    }
                    Value::Array(list)
                }
            },
            Kind::Struct(fields) => Value::Object(self.fields(fields)?),
        })
    }

    fn bytes(&mut self, field: &Field, width: usize) -> Result<Option<&'a [u8]>, String> {
        self.length(field, width)?.map(|length| self.take(length)).transpose()
    }

    fn length(&mut self, field: &Field, width: usize) -> Result<Option<usize>, String> {
        let length = if is_compact(self.message, field, self.version) {
            i64::from(self.varint()?) - 1
        } else {
            let bytes = self.take(width)?;
            let mut wide = [if bytes[0] & 0x80 == 0 { 0 } else { 0xff }; 8];
            wide[8 - width..].copy_from_slice(bytes);
            i64::from_be_bytes(wide)
        };
        match length {
            -1 if field.nullable.contains(self.version) => Ok(None),
            length => match usize::try_from(length) {
                Ok(length) => Ok(Some(length)),
                Err(_) => Err(format!("length {length} at byte {}", self.at)),
            },
        }
    }

    fn varint(&mut self) -> Result<u32, String> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.array::<1>()?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(number).map_err(|_| "a varint over 32 bits".to_owned());
            }
        }
        Err("a varint over 5 bytes".to_owned())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("so many were taken"))
    }

    fn take(&mut self, size: usize) -> Result<&'a [u8], String> {
        let left = &self.frame[self.at..];
        let taken = left.get(..size).ok_or_else(|| {
            format!("{size} bytes are wanted at byte {}, {} are left", self.at, left.len())
        })?;
        self.at += size;
        Ok(taken)
    }
}
