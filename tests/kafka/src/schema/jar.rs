//! The definitions inside the jar of Kafka's clients. A jar is a zip archive; this reads what
//! Kafka's build writes: no encryption, no archive over 4 GB, deflated or stored entries.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::DeflateDecoder;

use super::SchemaError;

/// The folder of the definitions in the jar.
const FOLDER: &str = "common/message/";
/// A definition is some 10 KB.
const MAX_DEFINITION: u64 = 1 << 20;

const END: [u8; 4] = *b"PK\x05\x06";
const END_LEN: usize = 22;
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const ENTRY_LEN: usize = 46;
const LOCAL_LEN: usize = 30;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Name and text of every definition in the clients' jar of `folder`.
pub(super) fn definitions(folder: &Path) -> Result<Vec<(String, String)>, SchemaError> {
    let jar = read_jar(folder).map_err(SchemaError::Jar)?;
    let end = (0..=jar.len().saturating_sub(END_LEN))
        .rev()
        .find(|at| jar[*at..].starts_with(&END))
        .ok_or(SchemaError::Archive("it has no directory"))?;
    let count = u16_at(&jar, end + 10)?;
    let mut at = u32_at(&jar, end + 16)? as usize;
    let mut found = Vec::new();
    for _ in 0..count {
        if !jar.get(at..).is_some_and(|rest| rest.starts_with(&ENTRY)) {
            return Err(SchemaError::Archive("an entry of its directory is missing"));
        }
        let method = u16_at(&jar, at + 10)?;
        let size = u32_at(&jar, at + 20)? as usize;
        let name_len = usize::from(u16_at(&jar, at + 28)?);
        let more = usize::from(u16_at(&jar, at + 30)?) + usize::from(u16_at(&jar, at + 32)?);
        let local = u32_at(&jar, at + 42)? as usize;
        let name = String::from_utf8_lossy(slice(&jar, at + ENTRY_LEN, name_len)?).into_owned();
        if name.starts_with(FOLDER) && name.ends_with(".json") {
            let start = local
                + LOCAL_LEN
                + usize::from(u16_at(&jar, local + 26)?)
                + usize::from(u16_at(&jar, local + 28)?);
            found.push((name, text(method, slice(&jar, start, size)?)?));
        }
        at += ENTRY_LEN + name_len + more;
    }
    Ok(found)
}

fn read_jar(folder: &Path) -> io::Result<Vec<u8>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("kafka-clients-") && name.ends_with(".jar") {
            return fs::read(entry.path());
        }
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("no kafka-clients jar in {}", folder.display()),
    ))
}

fn text(method: u16, bytes: &[u8]) -> Result<String, SchemaError> {
    let mut text = String::new();
    match method {
        STORED => (&mut &*bytes).take(MAX_DEFINITION).read_to_string(&mut text),
        DEFLATED => DeflateDecoder::new(bytes).take(MAX_DEFINITION).read_to_string(&mut text),
        _ => return Err(SchemaError::Archive("a definition is packed in an unknown way")),
    }
    .map_err(SchemaError::Jar)?;
    Ok(text)
}

fn slice(jar: &[u8], at: usize, len: usize) -> Result<&[u8], SchemaError> {
    at.checked_add(len)
        .and_then(|end| jar.get(at..end))
        .ok_or(SchemaError::Archive("an entry reaches over its end"))
}

fn u16_at(jar: &[u8], at: usize) -> Result<u16, SchemaError> {
    let bytes = slice(jar, at, 2)?;
    Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn u32_at(jar: &[u8], at: usize) -> Result<u32, SchemaError> {
    let bytes = slice(jar, at, 4)?;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}
