//! Dotted paths: `device.site`, `readings.0.value`, `a\.b` for a name that holds a dot.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::MAX_DEPTH;

/// Where a field lies: names from the outside in. In an array a name is an index from 0.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Path {
    // Never empty.
    names: Vec<String>,
}

/// Why a text is no path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PathError {
    /// The text is empty.
    Empty,
    /// Two dots in a row, or one at an end.
    EmptyName,
    /// A backslash that is followed by neither a dot nor a backslash.
    Escape,
    /// More names than JSON is read deep.
    TooDeep,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathError::Empty => f.write_str("a field path must not be empty"),
            PathError::EmptyName => f.write_str("a field path must not hold an empty name"),
            PathError::Escape => f.write_str(r"in a field path, `\` stands only before `.` or `\`"),
            PathError::TooDeep => write!(f, "a field path has at most {MAX_DEPTH} names"),
        }
    }
}

impl std::error::Error for PathError {}

impl Path {
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The innermost name.
    pub fn last(&self) -> &str {
        self.names.last().map_or("", String::as_str)
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Path, PathError> {
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        let mut names = vec![];
        let mut name = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '.' => names.push(std::mem::take(&mut name)),
                '\\' => match chars.next() {
                    Some(c @ ('.' | '\\')) => name.push(c),
                    _ => return Err(PathError::Escape),
                },
                c => name.push(c),
            }
        }
        names.push(name);
        if names.iter().any(String::is_empty) {
            return Err(PathError::EmptyName);
        }
        if names.len() > MAX_DEPTH {
            return Err(PathError::TooDeep);
        }
        Ok(Path { names })
    }
}

impl TryFrom<String> for Path {
    type Error = PathError;

    fn try_from(text: String) -> Result<Path, PathError> {
        text.parse()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.names.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            f.write_str(&name.replace('\\', r"\\").replace('.', r"\."))?;
        }
        Ok(())
    }
}
