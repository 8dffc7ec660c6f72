//! Lines of the user's own file as records: CSV through `threshold`, anything else through `redact`
//! and `parse-log`.
//!
//! - A file named `.csv` or `.tsv` is a table. Each line is a record, as it is; the number is in the
//!   last column that holds nothing else, the band is its mean and one standard deviation to both
//!   sides. Lines outside the band must arrive byte for byte, the others must not; a line without a
//!   number there fails in the plugin and is skipped.
//! - Anything else is a log. Each line must arrive as a JSON object, under its own key, whose
//!   `message` is the end of the line, with any text where a mask stands. What the plugins take out
//!   of the line beyond that is not checked, for that would be the plugins written twice.
//!
//! Blank lines are left out. The key is the number of the line and of the pass through the file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_types::{ByteSize, PoisonPolicy};

use super::expect::{Fate, Identity, MASK, Made, Order};
use super::stream::{PluginUse, Stream};
use super::table::{Table, TableError};

/// The file is held in memory while it is replayed.
const MAX_FILE: ByteSize = ByteSize::mib(256);

/// A record must fit into a batch with room to spare.
const MAX_LINE: ByteSize = ByteSize::mib(1);

/// Why a file cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is too large.
    #[error("{} is larger than {MAX_FILE}: use a part of it", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// One line is too long.
    #[error("line {line} of {} has more than {MAX_LINE}", .path.display())]
    LongLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// There is nothing in it.
    #[error("{} has no lines to send", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It is no table with numbers.
    #[error("{} cannot be used as a table", .path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TableError,
    },
}

#[derive(Debug)]
enum Kind {
    Table(Table),
    Log,
}

/// A file, an endless source of records: it starts over when it ends.
#[derive(Debug)]
pub struct FileSource {
    name: String,
    kind: Kind,
    lines: Vec<Arc<[u8]>>,
    next: u64,
}

impl FileSource {
    /// Reads a file and finds out what it is.
    ///
    /// # Errors
    /// If it cannot be read, is too large, or has nothing to send.
    pub fn open(path: &Path) -> Result<FileSource, FileError> {
        let failed = |source| FileError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(MAX_FILE.get() + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_FILE.get() {
            return Err(FileError::TooLarge { path: path.to_owned() });
        }
        FileSource::parse(path, &bytes)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<FileSource, FileError> {
        let path = || path.to_owned();
        let mut lines = Vec::new();
        for (i, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() as u64 > MAX_LINE.get() {
                return Err(FileError::LongLine { path: path(), line: i + 1 });
            }
            if !line.trim_ascii().is_empty() {
                lines.push(Arc::<[u8]>::from(line));
            }
        }
        let extension = path().extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        let kind = if matches!(extension.as_deref(), Some("csv" | "tsv")) {
            let table =
                Table::of(&lines).map_err(|source| FileError::Table { path: path(), source })?;
            if table.has_heading {
                lines.remove(0);
            }
            Kind::Table(table)
        } else {
            Kind::Log
        };
        if lines.is_empty() {
            return Err(FileError::Empty { path: path() });
        }
        let name = path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(FileSource { name, kind, lines, next: 0 })
    }

    /// How many lines it has to send.
    pub fn len(&self) -> u64 {
        self.lines.len() as u64
    }

    /// What its records go to.
    pub fn stream(&self) -> Stream {
        let (topic, plugins) = match &self.kind {
            Kind::Table(table) => {
                let policy = PoisonPolicy::Skip;
                let config = table.threshold_config();
                ("readings", vec![PluginUse { name: "threshold", config, policy }])
            }
            Kind::Log => {
                let redact = format!("{{\"mask\":\"{MASK}\"}}");
                let parse = "{\"on_mismatch\":\"keep\"}".to_owned();
                let plugins = vec![
                    PluginUse::strict("redact", redact),
                    PluginUse::strict("parse-log", parse),
                ];
                ("lines", plugins)
            }
        };
        let identity = Identity::Key { lines: self.len() };
        Stream { topic, partitions: 4, plugins, identity, order: Order::PerPartition }
    }

    /// The next record.
    pub fn next(&mut self) -> Made {
        let id = self.next;
        self.next += 1;
        let line = &self.lines[(id % self.len()) as usize];
        let fate = match &self.kind {
            Kind::Table(table) if table.is_outside(line) => Fate::Kept,
            Kind::Table(_) => Fate::Dropped,
            Kind::Log => Fate::Parsed(String::from_utf8_lossy(line).into()),
        };
        Made { stream: 0, key: Identity::key(id, self.len()), value: line.to_vec(), fate }
    }

    /// What it is, for the report.
    pub fn told(&self) -> String {
        match &self.kind {
            Kind::Table(table) => format!("{}, a table: {}", self.name, table.told()),
            Kind::Log => format!("{}, a log", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> FileSource {
        FileSource::parse(Path::new("t.csv"), text.as_bytes()).unwrap()
    }

    #[test]
    fn a_table_is_sent_without_its_heading_and_starts_over() {
        let mut file = table("time,value\n1,10\n\n2,11\r\n3,10\n4,99\n");
        assert_eq!(file.len(), 4);
        let made: Vec<_> = (0..5).map(|_| file.next()).collect();
        let keys: Vec<_> = made.iter().map(|made| made.key.as_str()).collect();
        assert_eq!(keys, ["1.1", "2.1", "3.1", "4.1", "1.2"]);
        assert_eq!(made[1].value, b"2,11");
        let kept: Vec<_> = made.iter().map(|made| made.fate == Fate::Kept).collect();
        assert_eq!(kept, [false, false, false, true, false]);
    }

    #[test]
    fn a_log_goes_through_both_plugins() {
        let path = Path::new("auth.log");
        let mut file = FileSource::parse(path, b"a line\nanother\n").unwrap();
        let stream = file.stream();
        let names: Vec<_> = stream.plugins.iter().map(|plugin| plugin.name).collect();
        assert_eq!((stream.topic, names), ("lines", vec!["redact", "parse-log"]));
        assert_eq!(file.next().fate, Fate::Parsed("a line".into()));
    }

    #[test]
    fn what_cannot_be_sent_is_told() {
        let parse = |name: &str, text: &[u8]| {
            FileSource::parse(Path::new(name), text).unwrap_err().to_string()
        };
        assert_eq!(parse("a.log", b"\n \n"), "a.log has no lines to send");
        assert_eq!(parse("a.csv", b"name\nbob\n"), "a.csv cannot be used as a table");
        let long = vec![b'x'; MAX_LINE.as_usize() + 1];
        assert_eq!(parse("a.log", &long), "line 1 of a.log has more than 1 MiB");
    }
}
