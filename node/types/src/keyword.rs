//! Settings that are one word out of a few.

/// Defines an enum whose values are read and printed as words.
macro_rules! keyword {
    ($(#[$doc:meta])* $name:ident($what:literal) { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in the order in which they are told to users.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The word that users write.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::ParseKeywordError;
            fn from_str(text: &str) -> Result<Self, $crate::ParseKeywordError> {
                match text {
                    $($text => Ok($name::$variant),)+
                    _ => Err($crate::ParseKeywordError {
                        what: $what,
                        text: text.to_owned(),
                        known: [$($text),+].join(", "),
                    }),
                }
            }
        }
    };
}

pub(crate) use keyword;

/// A word that is none of those known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: use one of {known}")]
pub struct ParseKeywordError {
    pub(crate) what: &'static str,
    pub(crate) text: String,
    pub(crate) known: String,
}
