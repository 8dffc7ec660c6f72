//! What identifies a plugin version.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// SHA-256 of a component's bytes: the name of a plugin version that cannot come to mean another.
///
/// As text, and in formats for people, 64 hexadecimal digits; in binary formats 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginHash(pub [u8; 32]);

impl PluginHash {
    /// The hash itself.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first twelve hexadecimal digits, enough to tell versions apart for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
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

impl Serialize for PluginHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for PluginHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PluginHash, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 32]>::deserialize(deserializer).map(PluginHash)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_round_trip_as_text() {
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let hash: PluginHash = text.parse().unwrap();
        assert_eq!(hash.to_string(), text);
        assert_eq!(hash.short(), "ba7816bf8f01");
        assert_eq!(text.to_uppercase().parse::<PluginHash>().unwrap(), hash);
        for bad in ["", "ba78", &text[1..], &text.replace('a', "g"), &"ä".repeat(32)] {
            assert!(bad.parse::<PluginHash>().is_err(), "{bad:?} was taken");
        }
    }
}
