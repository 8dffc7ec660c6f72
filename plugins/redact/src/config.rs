//! The configuration, as written and as checked.

use serde::Deserialize;

use crate::secret;

const MAX_MASK: usize = 64;
const MAX_NAMES: usize = 256;

/// The configuration as written; see the crate's page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    kinds: Vec<Kind>,
    mask: String,
    keep_last_octet: bool,
    names: Vec<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Secrets,
    Ipv4,
    Ipv6,
    Email,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            kinds: vec![Kind::Secrets, Kind::Ipv4, Kind::Ipv6, Kind::Email],
            mask: "***".into(),
            keep_last_octet: false,
            names: vec![],
        }
    }
}

/// What is masked, and with what.
pub(crate) struct Rules {
    pub(crate) secrets: bool,
    pub(crate) ipv4: bool,
    pub(crate) ipv6: bool,
    pub(crate) email: bool,
    pub(crate) keep_last_octet: bool,
    pub(crate) mask: String,
    /// In the form of [`secret::plain`].
    pub(crate) names: Vec<Vec<u8>>,
}

impl Config {
    pub(crate) fn rules(self) -> Result<Rules, String> {
        if self.kinds.is_empty() {
            return Err("`kinds` is empty: nothing would be masked".into());
        }
        let unfit = |c: char| c.is_control() || c == '"' || c == '\\';
        if self.mask.len() > MAX_MASK || self.mask.contains(unfit) {
            return Err(format!(
                "`mask` has at most {MAX_MASK} bytes, all printable, and neither quote nor backslash"
            ));
        }
        if self.names.len() > MAX_NAMES {
            return Err(format!("`names` has at most {MAX_NAMES} items"));
        }
        let has = |kind| self.kinds.contains(&kind);
        if !has(Kind::Secrets) && !self.names.is_empty() {
            return Err("`names` is for kind `secrets`, which is not among `kinds`".into());
        }
        let mut names = vec![];
        for name in &self.names {
            let plain = secret::plain(name.as_bytes());
            if plain.is_empty() || !name.bytes().all(secret::is_name_byte) {
                return Err(format!(
                    "`{name}` in `names` must be of letters, digits, `-` and `_` alone"
                ));
            }
            names.push(plain);
        }
        Ok(Rules {
            secrets: has(Kind::Secrets),
            ipv4: has(Kind::Ipv4),
            ipv6: has(Kind::Ipv6),
            email: has(Kind::Email),
            keep_last_octet: self.keep_last_octet,
            mask: self.mask,
            names,
        })
    }
}
