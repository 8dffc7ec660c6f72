//! Why a record, or a whole batch, was not handled.

use std::fmt;

/// What a plugin says of a record that it cannot handle.
///
/// Strings and the common parse errors convert into it, so that `?` works.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub(crate) scope: Scope,
    pub(crate) reason: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    Record,
    Batch,
}

impl Failure {
    /// This record alone fails; the attachment's policy decides what becomes of it.
    pub fn record(reason: impl Into<String>) -> Failure {
        Failure { scope: Scope::Record, reason: reason.into() }
    }

    /// The whole batch is refused, and its producer is told why.
    pub fn reject_batch(reason: impl Into<String>) -> Failure {
        Failure { scope: Scope::Batch, reason: reason.into() }
    }

    /// The reason as given.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl From<String> for Failure {
    fn from(reason: String) -> Failure {
        Failure::record(reason)
    }
}

impl From<&str> for Failure {
    fn from(reason: &str) -> Failure {
        Failure::record(reason)
    }
}

macro_rules! from_errors {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                Failure::record(error.to_string())
            }
        }
    )*};
}

from_errors!(
    serde_json::Error,
    crate::json::JsonError,
    std::str::Utf8Error,
    std::string::FromUtf8Error,
    std::num::ParseIntError,
    std::num::ParseFloatError,
    std::num::TryFromIntError,
);
