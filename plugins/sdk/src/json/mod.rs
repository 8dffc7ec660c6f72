//! One field of a JSON text, read or replaced without parsing the rest.
//!
//! Reading a field this way costs a fraction of parsing the whole, and replacing one keeps every
//! other byte as it was. What lies beside the path is skipped, not validated: only its strings and
//! brackets must match. Where an object names a field twice, the first counts. Nothing recurses;
//! nesting deeper than [`MAX_DEPTH`] is refused.

mod path;
mod scan;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;

pub use path::{Path, PathError};
pub use scan::MAX_DEPTH;
pub use text::{number, text, write_number, write_string};

use scan::{Place, Scanner};

/// Why a text could not be read as JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JsonError {
    pub(crate) what: &'static str,
    pub(crate) at: usize,
}

impl JsonError {
    /// The byte at which reading stopped.
    pub fn at(&self) -> usize {
        self.at
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

impl std::error::Error for JsonError {}

/// The raw text of the value at `path`, or `None` where there is no such field.
pub fn field<'a>(json: &'a [u8], path: &Path) -> Result<Option<&'a [u8]>, JsonError> {
    let mut scanner = Scanner::new(json);
    Ok(match scanner.find(path)? {
        Place::Found(range) => Some(&json[range]),
        Place::Absent { .. } => None,
    })
}

/// The text with `raw` as the value at `path`: in place of the value there, or as a new last field
/// of its object where that object exists.
///
/// `raw` is JSON text and is taken as it is. Every other byte stays. A path whose parent is absent
/// or no object is an error, as is an array item that is not there.
pub fn splice_field(json: &[u8], path: &Path, raw: &[u8]) -> Result<Vec<u8>, JsonError> {
    let mut out = Vec::with_capacity(json.len() + raw.len() + path.last().len() + 8);
    match Scanner::new(json).find(path)? {
        Place::Found(range) => {
            out.extend_from_slice(&json[..range.start]);
            out.extend_from_slice(raw);
            out.extend_from_slice(&json[range.end..]);
        }
        Place::Absent { insert_at: Some(at), first } => {
            out.extend_from_slice(&json[..at]);
            if !first {
                out.push(b',');
            }
            write_string(&mut out, path.last());
            out.push(b':');
            out.extend_from_slice(raw);
            out.extend_from_slice(&json[at..]);
        }
        Place::Absent { insert_at: None, .. } => {
            return Err(JsonError { what: "no object to put the field into", at: 0 });
        }
    }
    Ok(out)
}
