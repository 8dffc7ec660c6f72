//! Reads a settings file: which keys it sets, in which line, and what is wrong with it.
//!
//! All problems are told at once. It does not judge values beyond their TOML type, and it reads no
//! more than [`MAX_FILE`].

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use tidegate_types::ByteSize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Key, Kind, SETTINGS, nearest};
use super::{Problem, Source};

/// Largest settings file: far above what one can hold, so that a wrong path is noticed cheaply.
pub const MAX_FILE: ByteSize = ByteSize::kib(256);

/// Why a settings file could not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ReadFileError {
    /// Opening or reading failed.
    #[error("cannot read the settings file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Over the limit.
    #[error("{} is larger than {max}: is it a settings file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        max: ByteSize,
    },
}

/// One value as a file, a variable or a flag gives it: one text, or several for a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawValue {
    /// What was written.
    pub items: Vec<String>,
    /// Where.
    pub source: Source,
}

/// What a file says.
#[derive(Debug, Default)]
pub struct RawFile {
    /// Its settings.
    pub values: Vec<(Key, RawValue)>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

/// Reads the text of a settings file.
///
/// # Errors
/// If it cannot be read, or is too large. Bytes that are not UTF-8 are told as a problem later.
pub fn read(path: &Path) -> Result<String, ReadFileError> {
    let unreadable = |source| ReadFileError::Unreadable { path: path.to_owned(), source };
    let mut text = String::new();
    File::open(path)
        .map_err(unreadable)?
        .take(MAX_FILE.get() + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE.get() {
        return Err(ReadFileError::TooLarge { path: path.to_owned(), max: MAX_FILE });
    }
    Ok(text)
}

/// Takes the settings out of a file's text.
#[must_use]
pub fn parse(path: &Path, text: &str) -> RawFile {
    let mut file = RawFile::default();
    let at = |offset: usize| Source::File { path: path.to_owned(), line: line_of(text, offset) };
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let offset = error.span().map_or(0, |span| span.start);
        file.problems.push(Problem {
            source: at(offset),
            key: None,
            message: format!("not valid TOML: {}", error.message()),
        });
    }
    if !file.problems.is_empty() {
        return file;
    }
    for (section, value) in root.get_ref() {
        let name = section.get_ref().as_ref();
        let source = at(section.span().start);
        if !SETTINGS.iter().any(|setting| setting.section == name) {
            file.problems.push(unknown_section(source, name));
            continue;
        }
        let DeValue::Table(table) = value.get_ref() else {
            file.problems.push(Problem {
                source,
                key: Some(name.to_owned()),
                message: format!("`{name}` is a table: write [{name}] and its keys below"),
            });
            continue;
        };
        for (key, value) in table {
            let source = at(key.span().start);
            match setting(name, key.get_ref(), value, source) {
                Ok(pair) => file.values.push(pair),
                Err(problem) => file.problems.push(problem),
            }
        }
    }
    file
}

fn setting(
    section: &str,
    name: &str,
    value: &Spanned<DeValue<'_>>,
    source: Source,
) -> Result<(Key, RawValue), Problem> {
    let Some(row) = SETTINGS.iter().find(|row| row.section == section && row.name == name) else {
        return Err(unknown_key(source, section, name));
    };
    let wrong_type = |wanted: &str| Problem {
        source: source.clone(),
        key: Some(row.to_string()),
        message: format!("`{row}` must be {wanted}, not {}", article(value.get_ref().type_str())),
    };
    let items = match (row.kind, value.get_ref()) {
        (Kind::Text, DeValue::String(text)) => vec![text.to_string()],
        (Kind::Text, _) => return Err(wrong_type("a string in quotes")),
        (Kind::Integer, DeValue::Integer(number)) => vec![
            i64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| wrong_type("a whole number of 64 bits"))?
                .to_string(),
        ],
        (Kind::Integer, _) => return Err(wrong_type("a whole number")),
        (Kind::Boolean, DeValue::Boolean(value)) => vec![value.to_string()],
        (Kind::Boolean, _) => return Err(wrong_type("true or false")),
        (Kind::List, DeValue::Array(array)) => array
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) => Ok(text.to_string()),
                _ => Err(wrong_type("an array of strings")),
            })
            .collect::<Result<_, _>>()?,
        (Kind::List, _) => return Err(wrong_type("an array of strings")),
    };
    Ok((row.key, RawValue { items, source }))
}

fn unknown_section(source: Source, name: &str) -> Problem {
    // A key without its table is the likelier slip: say where it belongs.
    let meant = SETTINGS
        .iter()
        .find(|setting| setting.name == name)
        .map(|setting| setting.to_string())
        .or_else(|| nearest(name, SETTINGS.iter().map(|s| s.section)).map(|s| format!("[{s}]")))
        .or_else(|| {
            nearest(name, SETTINGS.iter().map(|s| s.name))
                .and_then(|near| SETTINGS.iter().find(|setting| setting.name == near))
                .map(|setting| setting.to_string())
        });
    Problem {
        source,
        key: Some(name.to_owned()),
        message: format!("unknown key `{name}`{}", did_you_mean(meant)),
    }
}

fn unknown_key(source: Source, section: &str, name: &str) -> Problem {
    let here = SETTINGS.iter().filter(|setting| setting.section == section);
    let meant = nearest(name, here.map(|setting| setting.name))
        .map(|near| format!("{section}.{near}"))
        .or_else(|| {
            let elsewhere = SETTINGS.iter().find(|setting| setting.name == name);
            elsewhere.map(|setting| setting.to_string())
        });
    Problem {
        source,
        key: Some(format!("{section}.{name}")),
        message: format!("unknown key `{section}.{name}`{}", did_you_mean(meant)),
    }
}

fn did_you_mean(meant: Option<String>) -> String {
    match meant {
        Some(meant) => format!("; did you mean `{meant}`?"),
        None => "; `tidegate config show` lists every key".to_owned(),
    }
}

fn article(type_name: &str) -> String {
    let vowel = type_name.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {type_name}", if vowel { "an" } else { "a" })
}

/// Line of a byte offset, from 1.
fn line_of(text: &str, offset: usize) -> usize {
    let end = offset.min(text.len());
    text.as_bytes()[..end].iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        parse(Path::new("t.toml"), text).problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn values_come_with_their_lines() {
        let text =
            "# comment\n[node]\nsite = \"edge\"\nid = 0x10\n\n[listener]\nnames = [\"a\", \"b\"]\n";
        let file = parse(Path::new("t.toml"), text);
        assert!(file.problems.is_empty(), "{:?}", file.problems);
        let lines: Vec<_> = file
            .values
            .iter()
            .map(|(key, value)| (*key, value.items.join("+"), value.source.to_string()))
            .collect();
        assert_eq!(
            lines,
            [
                (Key::Site, "edge".to_owned(), "t.toml:3".to_owned()),
                (Key::Node, "16".to_owned(), "t.toml:4".to_owned()),
                (Key::Names, "a+b".to_owned(), "t.toml:7".to_owned()),
            ]
        );
    }

    #[test]
    fn unknown_keys_are_named_with_line_and_nearest_key() {
        assert_eq!(
            problems("[node]\nsit = \"x\"\n[listner]\nnative = \"x\"\n"),
            [
                "t.toml:2: unknown key `node.sit`; did you mean `node.site`?",
                "t.toml:3: unknown key `listner`; did you mean `[listener]`?",
            ]
        );
        assert_eq!(
            problems("site = \"x\"\n[log]\nserver = 1\n"),
            [
                "t.toml:1: unknown key `site`; did you mean `node.site`?",
                "t.toml:3: unknown key `log.server`; did you mean `client.server`?",
            ]
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named() {
        assert_eq!(
            problems("[node]\nid = \"one\"\nsite = 1\n[listener]\nnames = [1]\n"),
            [
                "t.toml:2: `node.id` must be a whole number, not a string",
                "t.toml:3: `node.site` must be a string in quotes, not an integer",
                "t.toml:5: `listener.names` must be an array of strings, not an array",
            ]
        );
        assert_eq!(
            problems("node = 3\n"),
            ["t.toml:1: `node` is a table: write [node] and its keys below"]
        );
    }

    #[test]
    fn a_syntax_error_is_told_with_its_line() {
        let found = problems("[node]\nsite = \"edge\nid = 1\n");
        assert!(found[0].starts_with("t.toml:2: not valid TOML: "), "{found:?}");
        let twice = problems("[node]\nid = 1\nid = 2\n");
        assert!(twice[0].starts_with("t.toml:3: "), "{twice:?}");
    }

    #[test]
    fn a_file_that_is_too_large_is_refused_before_it_is_parsed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("big.toml");
        std::fs::write(&path, vec![b'#'; MAX_FILE.as_usize() + 1]).unwrap();
        assert!(matches!(read(&path), Err(ReadFileError::TooLarge { .. })));
    }
}
