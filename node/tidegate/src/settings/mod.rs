//! Settings: from a file, the environment and flags, in rising priority, to one immutable value.
//!
//! [`load`] collects raw values ([`keys`] is the table of them, [`file`](mod@file) reads files), checks each,
//! and tells every problem at once, with the place where it was written. What comes out is valid
//! and does not change. Each part of the program gets its own part of it.

pub mod file;
pub mod keys;
mod sample;
mod validate;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate_broker::NodeConfig;
use tidegate_kafka::GatewayConfig;

use file::RawValue;
pub use file::ReadFileError;
pub use keys::{CONFIG_VARIABLE, Key, SETTINGS, Setting};
pub use sample::sample;
pub use validate::host_and_port;

/// Name of the settings file that is read when none is named, if it exists.
pub const DEFAULT_FILE: &str = "tidegate.toml";

/// Where a value was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// Nowhere: it is the default.
    Default,
    /// In a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// In an environment variable.
    Variable(&'static str),
    /// On the command line.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File { path, line } => write!(f, "{}:{line}", path.display()),
            Source::Variable(name) => f.write_str(name),
            Source::Flag(flag) => f.write_str(flag),
        }
    }
}

/// One thing that is wrong with the settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Where it was written.
    pub source: Source,
    /// The key, as in the file, where one is to blame.
    pub key: Option<String>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.message)
    }
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file could not be read.
    #[error(transparent)]
    File(#[from] ReadFileError),
    /// Values or keys are wrong.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// How the node's log is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The node's own log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogSettings {
    /// How it is written.
    pub format: LogFormat,
    /// What is written, as `tracing-subscriber` filters.
    pub level: String,
}

/// How commands reach a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientSettings {
    /// The node, as `host:port`.
    pub server: String,
    /// Folder with the client's certificate.
    pub tls: PathBuf,
    /// How long to wait for it.
    pub timeout: Duration,
}

/// All settings, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the node needs.
    pub node: NodeConfig,
    /// What its log needs.
    pub log: LogSettings,
    /// What the Kafka listener needs; `None` where there is none.
    pub kafka: Option<GatewayConfig>,
    /// What commands need.
    pub client: ClientSettings,
    /// The value of each setting as text, and where it was written.
    pub effective: BTreeMap<Key, (String, Source)>,
}

/// Where settings come from.
pub struct Origins<'a> {
    /// The file named on the command line.
    pub file: Option<&'a Path>,
    /// Values of environment variables.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Values of flags.
    pub flags: Vec<(Key, Vec<String>)>,
}

impl Origins<'_> {
    /// The file to read: the one named by flag or variable, else [`DEFAULT_FILE`] if it exists.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        self.file
            .map(Path::to_owned)
            .or_else(|| {
                (self.variable)(CONFIG_VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from)
            })
            .or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()))
    }
}

/// Collects and checks all settings.
///
/// # Errors
/// If the file cannot be read, or with everything that is wrong.
pub fn load(origins: &Origins<'_>) -> Result<Settings, SettingsError> {
    let mut raw = BTreeMap::new();
    let mut problems = Vec::new();
    if let Some(path) = origins.file() {
        let parsed = file::parse(&path, &file::read(&path)?);
        raw.extend(parsed.values);
        problems.extend(parsed.problems);
    }
    for setting in SETTINGS {
        if let Some(text) = (origins.variable)(setting.variable).filter(|text| !text.is_empty()) {
            let items = match setting.kind {
                keys::Kind::List => text.split(',').map(|item| item.trim().to_owned()).collect(),
                _ => vec![text],
            };
            let source = Source::Variable(setting.variable);
            raw.insert(setting.key, RawValue { items, source });
        }
    }
    for (key, items) in &origins.flags {
        let source = Source::Flag(key.setting().flag);
        raw.insert(*key, RawValue { items: items.clone(), source });
    }
    validate::settings(&raw, problems).map_err(SettingsError::Invalid)
}

/// Variables that look like settings but are none: `(name, the one probably meant)`.
#[must_use]
pub fn misspelt_variables(names: impl IntoIterator<Item = String>) -> Vec<(String, &'static str)> {
    let known = || SETTINGS.iter().map(|setting| setting.variable).chain([CONFIG_VARIABLE]);
    names
        .into_iter()
        .filter(|name| name.starts_with("TIDEGATE_") && !known().any(|known| known == name))
        .filter_map(|name| {
            // Only the part after the prefix counts, or everything would be near to everything.
            let rest = known().map(|known| &known["TIDEGATE_".len()..]);
            let meant = keys::nearest(&name["TIDEGATE_".len()..], rest)?;
            let meant = known().find(|known| known.ends_with(meant))?;
            Some((name, meant))
        })
        .collect()
}

#[cfg(test)]
mod tests;
