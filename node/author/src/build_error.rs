//! Why a project was not built.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use tidegate_types::PluginKind;

use crate::component::ComponentizeError;
use crate::host::BenchError;
use crate::manifest::ManifestError;
use crate::project::MANIFEST;

/// Why a project was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The folder is no project.
    #[error(
        "{} has no {MANIFEST}: make a project with `tidegate plugin new`, or name its folder",
        dir.display()
    )]
    NoProject {
        /// The folder.
        dir: PathBuf,
    },
    /// Its manifest is wrong.
    #[error("{}", file.display())]
    Manifest {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: ManifestError,
    },
    /// A file could not be read or written.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A tool is not there.
    #[error("{tool} is not installed{}", how.map(|how| format!("; {how}")).unwrap_or_default())]
    ToolMissing {
        /// The tool.
        tool: String,
        /// Where it comes from.
        how: Option<&'static str>,
    },
    /// A tool failed; what it said went to standard error.
    #[error("`{command}` failed ({status}){}", hint.map(|hint| format!("; {hint}")).unwrap_or_default())]
    StepFailed {
        /// What was run.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What can be done.
        hint: Option<&'static str>,
    },
    /// The tools succeeded and made nothing.
    #[error("the steps made no {}: see `output` of [build] in {MANIFEST}", path.display())]
    NoOutput {
        /// What they should have made.
        path: PathBuf,
    },
    /// What they made is no plugin's module.
    #[error("{}", path.display())]
    Componentize {
        /// The module.
        path: PathBuf,
        /// What is wrong with it.
        source: ComponentizeError,
    },
    /// What they made is no plugin.
    #[error("{} is not a Tidegate plugin", path.display())]
    NotAPlugin {
        /// The component.
        path: PathBuf,
        /// What is wrong with it.
        source: BenchError,
    },
    /// It is a plugin of another kind than the manifest says.
    #[error("{MANIFEST} says kind {said}, and the component is a {found}")]
    OtherKind {
        /// What the manifest says.
        said: PluginKind,
        /// What was built.
        found: PluginKind,
    },
}
