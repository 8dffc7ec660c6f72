//! Finds a place in a JSON text without building anything.

use std::ops::Range;

use super::JsonError;
use super::path::Path;
use super::text::same_string;

/// Deepest nesting that is read.
pub const MAX_DEPTH: usize = 128;

/// Where a path leads.
pub(super) enum Place {
    /// To the value that lies there.
    Found(Range<usize>),
    /// To nothing.
    Absent {
        /// Where a field could be put in: before the closing brace of the innermost object, if all
        /// but the last name exists.
        insert_at: Option<usize>,
        /// That object is empty.
        first: bool,
    },
}

pub(super) struct Scanner<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(json: &'a [u8]) -> Scanner<'a> {
        Scanner { json, at: 0 }
    }

    pub(super) fn find(&mut self, path: &Path) -> Result<Place, JsonError> {
        let names = path.names();
        self.space();
        for (i, name) in names.iter().enumerate() {
            let found = match self.peek() {
                Some(b'{') => self.enter_field(name)?,
                Some(b'[') => self.enter_item(name)?,
                Some(_) => return Ok(Place::Absent { insert_at: None, first: false }),
                None => return Err(self.error("text ends where a value is expected")),
            };
            if let Some(Place::Absent { insert_at, first }) = found {
                let insert_at = insert_at.filter(|_| i + 1 == names.len());
                return Ok(Place::Absent { insert_at, first });
            }
        }
        let start = self.at;
        self.skip_value()?;
        Ok(Place::Found(start..self.at))
    }

    /// Stops at the value of field `name`, or says that it is absent, having read to the brace.
    fn enter_field(&mut self, name: &str) -> Result<Option<Place>, JsonError> {
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            return Ok(Some(Place::Absent { insert_at: Some(self.at), first: true }));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.error("a field name is expected"));
            }
            let start = self.at;
            self.skip_string()?;
            let found = same_string(&self.json[start + 1..self.at - 1], name);
            self.space();
            self.expect(b':', "a colon is expected")?;
            self.space();
            if found {
                return Ok(None);
            }
            self.skip_value()?;
            let end = self.at;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    return Ok(Some(Place::Absent { insert_at: Some(end), first: false }));
                }
                _ => return Err(self.error("a comma or brace is expected")),
            }
        }
    }

    /// Stops at the item whose index `name` is.
    fn enter_item(&mut self, name: &str) -> Result<Option<Place>, JsonError> {
        let absent = Ok(Some(Place::Absent { insert_at: None, first: false }));
        let Ok(mut left) = name.parse::<usize>() else { return absent };
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            return absent;
        }
        loop {
            self.space();
            if left == 0 {
                return Ok(None);
            }
            left -= 1;
            self.skip_value()?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => return absent,
                _ => return Err(self.error("a comma or bracket is expected")),
            }
        }
    }

    fn skip_value(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') => self.skip_string(),
            Some(b'{' | b'[') => self.skip_nested(),
            Some(b't') => self.skip_word(b"true"),
            Some(b'f') => self.skip_word(b"false"),
            Some(b'n') => self.skip_word(b"null"),
            Some(b'-' | b'0'..=b'9') => {
                let number = |b: &u8| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                self.at += self.json[self.at..].iter().take_while(|b| number(b)).count();
                Ok(())
            }
            Some(_) => Err(self.error("no value starts with this byte")),
            None => Err(self.error("text ends where a value is expected")),
        }
    }

    /// Skips to the bracket that closes the one here. One bit a level tells brace from bracket.
    fn skip_nested(&mut self) -> Result<(), JsonError> {
        let mut braces = 0_u128;
        let mut depth = 0;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.skip_string()?;
                    continue;
                }
                Some(open @ (b'{' | b'[')) => {
                    if depth == MAX_DEPTH {
                        return Err(self.error("nested too deep"));
                    }
                    depth += 1;
                    braces = braces << 1 | u128::from(open == b'{');
                }
                Some(close @ (b'}' | b']')) => {
                    if (close == b'}') != (braces & 1 == 1) {
                        return Err(self.error("brackets do not match"));
                    }
                    depth -= 1;
                    braces >>= 1;
                }
                Some(_) => {}
                None => return Err(self.error("text ends within brackets")),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Skips a string, both quotes included.
    fn skip_string(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') if self.at + 1 < self.json.len() => self.at += 2,
                Some(b'\\') | None => return Err(self.error("text ends within a string")),
                Some(_) => self.at += 1,
            }
        }
    }

    fn skip_word(&mut self, word: &[u8]) -> Result<(), JsonError> {
        if !self.json[self.at..].starts_with(word) {
            return Err(self.error("no value starts with this byte"));
        }
        self.at += word.len();
        Ok(())
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), JsonError> {
        if self.peek() != Some(byte) {
            return Err(self.error(what));
        }
        self.at += 1;
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.json.get(self.at).copied()
    }

    fn error(&self, what: &'static str) -> JsonError {
        JsonError { what, at: self.at }
    }
}
