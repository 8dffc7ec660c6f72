//! What identifies a plugin: the hash of its bytes, and its kind.

use std::fmt;
use std::str::FromStr;

use ring::digest;
use serde::{Deserialize, Serialize};

/// SHA-256 of a component's bytes: the name of an installed plugin that cannot come to mean another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PluginHash([u8; 32]);

impl PluginHash {
    /// The hash of `component`.
    #[must_use]
    pub fn of(component: &[u8]) -> PluginHash {
        PluginHash(sha256(component))
    }

    /// The hash itself.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

impl fmt::Display for PluginHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PluginHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PluginHash({self})")
    }
}

/// A text that is no plugin hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a plugin hash: 64 hexadecimal digits are")]
pub struct ParseHashError {
    text: String,
}

impl FromStr for PluginHash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<PluginHash, ParseHashError> {
        let error = || ParseHashError { text: text.chars().take(80).collect() };
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(error());
        }
        let mut hash = [0; 32];
        for (i, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| error())?;
        }
        Ok(PluginHash(hash))
    }
}

impl TryFrom<String> for PluginHash {
    type Error = ParseHashError;
    fn try_from(text: String) -> Result<PluginHash, ParseHashError> {
        text.parse()
    }
}

impl From<PluginHash> for String {
    fn from(hash: PluginHash) -> String {
        hash.to_string()
    }
}

/// What a plugin does with records: the world that it was built for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PluginKind {
    /// Keeps or drops them.
    Filter,
    /// Chooses their partition.
    Partition,
    /// Drops, rewrites, splits and routes them.
    Transform,
}

impl PluginKind {
    /// All there are.
    pub const EACH: [PluginKind; 3] =
        [PluginKind::Filter, PluginKind::Partition, PluginKind::Transform];

    /// The function that a plugin of this kind exports.
    pub(crate) const fn export(self) -> &'static str {
        match self {
            PluginKind::Filter => "filter",
            PluginKind::Partition => "partition",
            PluginKind::Transform => "transform",
        }
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.export())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_round_trip_as_text() {
        let hash = PluginHash::of(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.parse::<PluginHash>().unwrap(), hash);
        assert_eq!(text.to_uppercase().parse::<PluginHash>().unwrap(), hash);
        for bad in ["", "ba78", &text[1..], &text.replace('a', "g"), &"ä".repeat(32)] {
            assert!(bad.parse::<PluginHash>().is_err(), "{bad:?} was taken");
        }
    }
}
