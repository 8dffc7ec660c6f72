//! How `produce` reads records: one a line, from any reader, in bounded memory.
//!
//! A line ends with a line feed; the last one may lack it. Bytes are taken as they are. A carriage
//! return before the line feed belongs to the record unless the input is said to be CRLF.

use std::io::{self, BufRead, BufReader, Read};

use bytes::Bytes;
use tidegate_types::{ByteSize, limits};

/// Longest line: what is longer fits in no batch.
pub const MAX_LINE: ByteSize = limits::MAX_BATCH;

/// How lines become records.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LineOptions {
    /// The key of every record.
    pub key: Option<Bytes>,
    /// Splits each line into key and value, at its first occurrence.
    pub key_delimiter: Option<Bytes>,
    /// Whether keys and values that are empty become null.
    pub empty_as_null: bool,
    /// Whether lines end with carriage return and line feed.
    pub crlf: bool,
}

/// Key and value of one record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyValue {
    /// The key.
    pub key: Option<Bytes>,
    /// The value.
    pub value: Option<Bytes>,
}

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReadLineError {
    /// The input failed.
    #[error("cannot read line {line}")]
    Io {
        /// Its number, from 1.
        line: u64,
        /// Why.
        source: io::Error,
    },
    /// A line over the limit.
    #[error("line {line} is longer than {max}, the largest record")]
    TooLong {
        /// Its number, from 1.
        line: u64,
        /// The limit.
        max: ByteSize,
    },
    /// A line without the delimiter that was asked for.
    #[error("line {line} has no {delimiter:?} between key and value")]
    NoDelimiter {
        /// Its number, from 1.
        line: u64,
        /// The delimiter.
        delimiter: String,
    },
}

/// Reads records line by line.
#[derive(Debug)]
pub struct LineReader<R> {
    input: BufReader<R>,
    options: LineOptions,
    line: u64,
    buffer: Vec<u8>,
}

impl<R: Read> LineReader<R> {
    /// Reads from `input`.
    pub fn new(input: BufReader<R>, options: LineOptions) -> LineReader<R> {
        LineReader { input, options, line: 0, buffer: Vec::new() }
    }

    /// Whether another record can be had without asking the input, which may wait.
    pub fn has_next(&self) -> bool {
        memchr::memchr(b'\n', self.input.buffer()).is_some()
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// If the input fails, or a line is too long or lacks its delimiter. Nothing can be read after.
    pub fn next_record(&mut self) -> Result<Option<KeyValue>, ReadLineError> {
        self.line += 1;
        let line = self.line;
        self.buffer.clear();
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(ReadLineError::Io { line, source }),
            };
            if chunk.is_empty() {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                break;
            }
            let end = memchr::memchr(b'\n', chunk);
            let part = &chunk[..end.unwrap_or(chunk.len())];
            if self.buffer.len() + part.len() > MAX_LINE.as_usize() {
                return Err(ReadLineError::TooLong { line, max: MAX_LINE });
            }
            self.buffer.extend_from_slice(part);
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                break;
            }
        }
        if self.options.crlf && self.buffer.last() == Some(&b'\r') {
            self.buffer.pop();
        }
        self.split(Bytes::copy_from_slice(&self.buffer)).map(Some)
    }

    fn split(&self, line: Bytes) -> Result<KeyValue, ReadLineError> {
        let (key, value) = match &self.options.key_delimiter {
            None => (self.options.key.clone(), line),
            Some(delimiter) => match memchr::memmem::find(&line, delimiter) {
                Some(at) => (Some(line.slice(..at)), line.slice(at + delimiter.len()..)),
                None => {
                    return Err(ReadLineError::NoDelimiter {
                        line: self.line,
                        delimiter: String::from_utf8_lossy(delimiter).into_owned(),
                    });
                }
            },
        };
        let filled = |bytes: &Bytes| !(self.options.empty_as_null && bytes.is_empty());
        Ok(KeyValue { key: key.filter(filled), value: Some(value).filter(filled) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8], options: LineOptions) -> Result<Vec<KeyValue>, ReadLineError> {
        // A tiny buffer, so that lines lie across its end.
        let mut reader = LineReader::new(BufReader::with_capacity(3, input), options);
        let mut records = Vec::new();
        while let Some(record) = reader.next_record()? {
            records.push(record);
        }
        Ok(records)
    }

    fn values(input: &[u8], options: LineOptions) -> Vec<Option<Vec<u8>>> {
        let records = read(input, options).unwrap();
        records.into_iter().map(|record| record.value.map(|value| value.to_vec())).collect()
    }

    fn some(values: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        values.iter().map(|value| Some(value.to_vec())).collect()
    }

    #[test]
    fn the_last_line_may_lack_its_line_feed_and_empty_lines_count() {
        let options = LineOptions::default;
        assert_eq!(
            values(b"one\n\ntwo\xff\nlast", options()),
            some(&[b"one", b"", b"two\xff", b"last"])
        );
        assert_eq!(values(b"one\n", options()), some(&[b"one"]));
        assert_eq!(values(b"", options()), some(&[]));
    }

    #[test]
    fn carriage_returns_stay_unless_the_input_is_crlf() {
        assert_eq!(values(b"a\r\nb\r\n", LineOptions::default()), some(&[b"a\r", b"b\r"]));
        let crlf = LineOptions { crlf: true, ..LineOptions::default() };
        assert_eq!(values(b"a\r\nb\n", crlf), some(&[b"a", b"b"]));
    }

    #[test]
    fn the_delimiter_splits_at_its_first_occurrence() {
        let delimiter = |text: &'static [u8]| LineOptions {
            key_delimiter: Some(Bytes::from_static(text)),
            ..LineOptions::default()
        };
        let record = read(b"k::v::w\n", delimiter(b"::")).unwrap().remove(0);
        assert_eq!(record.key.as_deref(), Some(b"k".as_slice()));
        assert_eq!(record.value.as_deref(), Some(b"v::w".as_slice()));
        let error = read(b"k:v\nplain\n", delimiter(b":")).unwrap_err();
        assert_eq!(error.to_string(), "line 2 has no \":\" between key and value");
    }

    #[test]
    fn empty_becomes_null_only_when_asked() {
        let options = LineOptions {
            key_delimiter: Some(Bytes::from_static(b":")),
            empty_as_null: true,
            ..LineOptions::default()
        };
        let record = read(b":\n", options).unwrap().remove(0);
        assert_eq!(record, KeyValue { key: None, value: None });
        let fixed = LineOptions { key: Some(Bytes::from_static(b"k")), ..LineOptions::default() };
        let record = read(b"\n", fixed).unwrap().remove(0);
        assert_eq!(record.value.as_deref(), Some(b"".as_slice()));
        assert_eq!(record.key.as_deref(), Some(b"k".as_slice()));
    }

    #[test]
    fn an_endless_line_is_refused_before_it_fills_the_memory() {
        let endless = io::repeat(b'x').take(1 << 40);
        let mut reader = LineReader::new(BufReader::new(endless), LineOptions::default());
        assert!(matches!(reader.next_record(), Err(ReadLineError::TooLong { line: 1, .. })));
    }
}
