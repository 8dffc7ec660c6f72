//! What tells records apart: their key, a field of their JSON value, or the whole value.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;

use crate::json::{self, Path};
use crate::{Columns, Failure, Record};

/// A choice in a configuration: `"key"`, `"value"`, or `{"field": "device.id"}`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The record's key.
    #[default]
    Key,
    /// The whole value, byte by byte.
    Value,
    /// The text of a field of the JSON value: of a string what it says, of a number, true or false
    /// what is written.
    Field(Path),
}

impl By {
    /// The columns that are read for it.
    pub fn needs(&self) -> Columns {
        if *self == By::Key { Columns::KEYS } else { Columns::VALUES }
    }

    /// What it is in this record; `None` where the key or value is null, or the field is missing or
    /// null.
    ///
    /// # Errors
    /// If the value is no JSON, or the field is an object, an array or no valid text.
    pub fn of<'a>(&self, record: &Record<'a>) -> Result<Option<Cow<'a, [u8]>>, Failure> {
        let path = match self {
            By::Key => return Ok(record.key().map(Cow::Borrowed)),
            By::Value => return Ok(record.value().map(Cow::Borrowed)),
            By::Field(path) => path,
        };
        match record.json_field(path)? {
            None | Some(b"null") => Ok(None),
            Some([b'{' | b'[', ..]) => {
                Err(Failure::record(format!("field `{path}` is an object or array")))
            }
            Some(raw) => match json::text(raw) {
                Some(Cow::Borrowed(text)) => Ok(Some(Cow::Borrowed(text.as_bytes()))),
                Some(Cow::Owned(text)) => Ok(Some(Cow::Owned(text.into_bytes()))),
                None => Err(Failure::record(format!("field `{path}` is no valid text"))),
            },
        }
    }

    /// The same as bytes for a state: no two are alike, and a null key or value is one like any
    /// other. [`from_identity`](By::from_identity) is the way back.
    ///
    /// # Errors
    /// As [`of`](By::of), and where the field is missing.
    pub fn identity(&self, record: &Record<'_>) -> Result<Vec<u8>, Failure> {
        let part = match self {
            By::Field(_) => Some(self.required(record)?),
            By::Key | By::Value => self.of(record)?,
        };
        Ok(part.map_or_else(Vec::new, |part| [&[1], &*part].concat()))
    }

    /// What an [`identity`](By::identity) stands for; `None` for null.
    pub fn from_identity(identity: &[u8]) -> Option<&[u8]> {
        identity.get(1..)
    }

    /// The same, where a record without it is a failure.
    ///
    /// # Errors
    /// As [`of`](By::of), and where there is none.
    pub fn required<'a>(&self, record: &Record<'a>) -> Result<Cow<'a, [u8]>, Failure> {
        self.of(record)?.ok_or_else(|| match self {
            By::Key => Failure::record("key is null"),
            By::Value => Failure::record("value is null"),
            By::Field(path) => Failure::record(format!("field `{path}` is missing")),
        })
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            By::Key => f.write_str("key"),
            By::Value => f.write_str("value"),
            By::Field(path) => write!(f, "field `{path}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;
    use crate::testing::{Input, Tester};

    /// Puts out what it is, or `-` where there is none.
    struct Show(By);

    impl Transform for Show {
        type Config = By;

        fn configure(by: By) -> Result<Show, String> {
            Ok(Show(by))
        }

        fn needs(&self) -> Columns {
            self.0.needs()
        }

        fn apply(&mut self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
            let found = self.0.of(record)?;
            assert_eq!(self.0.required(record).ok(), found);
            let identity = self.0.identity(record);
            match found.is_none() && matches!(self.0, By::Field(_)) {
                true => assert!(identity.is_err()),
                false => assert_eq!(By::from_identity(&identity?), found.as_deref()),
            }
            out.replace_value(found.as_deref().unwrap_or(b"-"));
            Ok(())
        }
    }

    fn show(by: &str, record: &Input) -> Result<String, String> {
        let puts = Tester::<Show>::transform(by)?.apply_one(record)?;
        Ok(puts[0].text().to_owned())
    }

    #[test]
    fn each_way_finds_its_part_and_says_what_is_wrong() {
        let record = Input::value(r#"{"a":{"b":"x\u0021"},"n":1.50,"z":null}"#).with_key("k");
        assert_eq!(show(r#""key""#, &record).unwrap(), "k");
        assert_eq!(show(r#""value""#, &Input::value("v")).unwrap(), "v");
        assert_eq!(show(r#""key""#, &Input::value("v")).unwrap(), "-");
        assert_eq!(show(r#"{"field":"a.b"}"#, &record).unwrap(), "x!");
        assert_eq!(show(r#"{"field":"n"}"#, &record).unwrap(), "1.50");
        assert_eq!(show(r#"{"field":"z"}"#, &record).unwrap(), "-");
        assert_eq!(show(r#"{"field":"y"}"#, &record).unwrap(), "-");
        let wrong = show(r#"{"field":"a"}"#, &record).unwrap_err();
        assert_eq!(wrong, "field `a` is an object or array");
        assert!(show(r#"{"field":"a"}"#, &Input::value("{")).unwrap_err().contains("not JSON"));
        assert!(show(r#""kye""#, &record).unwrap_err().contains("unknown variant `kye`"));
        assert!(show(r#"{"field":"a..b"}"#, &record).unwrap_err().contains("empty name"));
    }
}
