//! Who signs plugins.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::PluginHash;

/// An Ed25519 public key (RFC 8032); as text 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Hashes are written the same way.
        PluginHash(self.0).fmt(f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// A text that is no public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a public key: 64 hexadecimal digits are")]
pub struct ParseKeyError {
    text: String,
}

impl FromStr for PublicKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<PublicKey, ParseKeyError> {
        let bytes = text.parse::<PluginHash>();
        bytes
            .map(|hash| PublicKey(hash.0))
            .map_err(|_| ParseKeyError { text: text.chars().take(80).collect() })
    }
}

/// Somebody whose signature on plugins counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publisher {
    /// What the operator calls them.
    pub name: String,
    /// Their key.
    pub key: PublicKey,
}

/// Longest name of a publisher.
const MAX_NAME: usize = 64;

impl FromStr for Publisher {
    type Err = String;

    fn from_str(text: &str) -> Result<Publisher, String> {
        let Some((name, key)) = text.split_once('=') else {
            return Err(format!(
                "{text:?} names no key: write NAME=KEY, with 64 hexadecimal digits"
            ));
        };
        if name.is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
            return Err(format!(
                "{name:?} is no name for a publisher: write 1 to {MAX_NAME} bytes"
            ));
        }
        let key = key.parse().map_err(|e: ParseKeyError| e.to_string())?;
        Ok(Publisher { name: name.to_owned(), key })
    }
}

impl fmt::Display for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishers_are_names_with_keys() {
        let text = format!("acme={}", "ab".repeat(32));
        let publisher: Publisher = text.parse().unwrap();
        assert_eq!((publisher.name.as_str(), publisher.key), ("acme", PublicKey([0xab; 32])));
        assert_eq!(publisher.to_string(), text);
        for wrong in ["", "acme", "acme=", "=00", "acme=xyz", "a\n=00"] {
            assert!(wrong.parse::<Publisher>().is_err(), "{wrong:?} was taken");
        }
    }
}
