//! `plugin.toml`: how a project is built, and what it is tested with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use tidegate_types::{ByteSize, PluginKind, PluginName};

/// Why a manifest was refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not what it should be.
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    /// A step that runs nothing.
    #[error("a step of [[build.step]] has an empty `run`")]
    EmptyStep,
}

/// A project's `plugin.toml`. Paths are relative to its folder.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The plugin's name; its component is `build/NAME.wasm`.
    pub name: PluginName,
    /// What it does.
    pub kind: PluginKind,
    /// How it is built.
    pub build: BuildPlan,
    /// What it is tested with.
    #[serde(default)]
    pub test: TestPlan,
}

/// `[build]`.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct BuildPlan {
    /// What is run, in order.
    pub step: Vec<Step>,
    /// What the steps make: a component, or a core module of which one is made.
    pub output: PathBuf,
}

/// `[[build.step]]`.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The program and its arguments; a program with a slash lies in the project.
    pub run: Vec<String>,
    /// The step is left out where this file or folder is.
    #[serde(default)]
    pub unless: Option<PathBuf>,
    /// Variables of its environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// `[test]`: what `plugin test` and `plugin bench` use where nothing else is said.
#[derive(Deserialize, Clone, Default, Debug)]
#[serde(deny_unknown_fields)]
pub struct TestPlan {
    /// The file of the configuration.
    #[serde(default)]
    pub config: Option<PathBuf>,
    /// The files of records.
    #[serde(default)]
    pub input: Vec<PathBuf>,
    /// The files of records that `plugin bench` runs instead.
    #[serde(default)]
    pub bench: Vec<PathBuf>,
    /// The file of what is expected.
    #[serde(default)]
    pub expected: Option<PathBuf>,
    /// How many partitions the topic has.
    #[serde(default)]
    pub partitions: Option<u32>,
    /// Whether the plugin has a state, as at the hook derive.
    #[serde(default)]
    pub state: bool,
    /// The memory that it may use; attach it with as much.
    #[serde(default, deserialize_with = "size")]
    pub memory_limit: Option<ByteSize>,
}

/// A size with its unit, as people write it.
fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ByteSize>, D::Error> {
    String::deserialize(from)?.parse().map(Some).map_err(D::Error::custom)
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// Says what is wrong, with its place.
    pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
        let manifest: Manifest = toml::from_str(text)?;
        if manifest.build.step.iter().any(|step| step.run.is_empty()) {
            return Err(ManifestError::EmptyStep);
        }
        Ok(manifest)
    }

    /// Where the component lies, below the project's folder.
    #[must_use]
    pub fn component(&self) -> PathBuf {
        Path::new("build").join(format!("{}.wasm", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name = 'hot'\nkind = 'filter'\n[build]\noutput = 'x.wasm'\n\
                        [[build.step]]\nrun = ['make']\nunless = 'x.wasm'\n\
                        [test]\nmemory_limit = '128MiB'\n";

    #[test]
    fn a_manifest_is_read() {
        let manifest = Manifest::parse(GOOD).unwrap();
        assert_eq!(manifest.component(), Path::new("build/hot.wasm"));
        assert_eq!(manifest.kind, PluginKind::Filter);
        assert_eq!(manifest.build.step[0].run, ["make"]);
        assert_eq!(manifest.test.memory_limit, Some(ByteSize::mib(128)));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, told) in [
            (GOOD.replace("filter", "sieve"), "sieve"),
            (GOOD.replace("['make']", "[]"), "empty `run`"),
            (GOOD.replace("unless", "when"), "unknown field `when`"),
        ] {
            let error = Manifest::parse(&text).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
