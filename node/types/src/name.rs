//! Names that users give, checked once where they enter.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_NAME, MAX_TOPIC_NAME};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a {what} name must not be empty")]
    Empty {
        /// What the name is for.
        what: &'static str,
    },
    /// Longer than the limit.
    #[error("{what} name is {len} bytes long, at most {max} are allowed")]
    TooLong {
        /// What the name is for.
        what: &'static str,
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// A character outside `a-z A-Z 0-9 . _ -`.
    #[error("{what} name {name:?} has {found:?}: use letters, digits, '.', '_' and '-'")]
    Character {
        /// What the name is for.
        what: &'static str,
        /// The name.
        name: String,
        /// The first character that is not allowed.
        found: char,
    },
    /// `.` and `..` would be folders.
    #[error("{what} name must not be {name:?}")]
    Dots {
        /// What the name is for.
        what: &'static str,
        /// The name.
        name: String,
    },
}

fn check(what: &'static str, name: &str, max: usize) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { what });
    }
    if name.len() > max {
        return Err(NameError::TooLong { what, len: name.len(), max });
    }
    if let Some(found) =
        name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-'))
    {
        return Err(NameError::Character { what, name: name.to_owned(), found });
    }
    if name == "." || name == ".." {
        return Err(NameError::Dots { what, name: name.to_owned() });
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `name` and takes it.
            ///
            /// # Errors
            /// Names what is wrong with it.
            pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
                let name = name.into();
                let check: fn(&str) -> Result<(), NameError> = $check;
                check(&name)?;
                Ok(Self(name))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(s: &str) -> Result<Self, NameError> {
                Self::new(s)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(s: String) -> Result<Self, NameError> {
                Self::new(s)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// A topic's name: Kafka's rules, or `<site>/<topic>` for a mirror.
    TopicName, |name| match name.split_once('/') {
        Some((site, topic)) => {
            check("site", site, MAX_NAME)?;
            check("topic", topic, MAX_TOPIC_NAME)
        }
        None => check("topic", name, MAX_TOPIC_NAME),
    }
}
name! {
    /// One cluster in one place.
    SiteName, |name| check("site", name, MAX_NAME)
}
name! {
    /// An installed plugin.
    PluginName, |name| check("plugin", name, MAX_NAME)
}
name! {
    /// A configured connection to another site.
    LinkName, |name| check("link", name, MAX_NAME)
}

impl TopicName {
    /// The name that a mirror of this topic, coming from `site`, has at the destination.
    ///
    /// # Errors
    /// If this is itself a mirror: names do not nest.
    pub fn mirrored_from(&self, site: &SiteName) -> Result<TopicName, NameError> {
        TopicName::new(format!("{site}/{self}"))
    }

    /// The site that this mirror comes from; `None` for a topic of this site.
    #[must_use]
    pub fn site(&self) -> Option<&str> {
        self.0.split_once('/').map(|(site, _)| site)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_where_they_enter() {
        assert!(TopicName::new("sensors.temp_1-a").is_ok());
        assert!(TopicName::new("edge/sensors").is_ok());
        for bad in ["", ".", "..", "a b", "a/b/c", "/a", "a/", "ä", "a/.."] {
            assert!(TopicName::new(bad).is_err(), "{bad:?} was taken");
        }
        assert!(TopicName::new("x".repeat(250)).is_err());
        assert!(SiteName::new("a/b").is_err());
    }

    #[test]
    fn a_mirror_is_named_after_its_site_and_does_not_nest() {
        let site = SiteName::new("edge1").unwrap();
        let mirror = TopicName::new("temp").unwrap().mirrored_from(&site).unwrap();
        assert_eq!(mirror.as_str(), "edge1/temp");
        assert_eq!(mirror.site(), Some("edge1"));
        assert!(mirror.mirrored_from(&site).is_err());
    }
}
