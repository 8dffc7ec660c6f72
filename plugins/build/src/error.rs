//! Why guests could not be built.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::{error, fmt, io};

use crate::TARGET;

/// Why guests could not be built.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// There is no `OUT_DIR`: not called from a build script.
    NoOutDir,
    /// The compiler could not be asked for its libraries.
    Compiler {
        /// What came of it.
        reason: String,
    },
    /// The compiler cannot make components.
    TargetMissing {
        /// Why rustup did not add it.
        reason: String,
    },
    /// Cargo did not start.
    Start {
        /// Why.
        source: io::Error,
    },
    /// Cargo failed; its messages are on standard error.
    Failed {
        /// What was to be built.
        packages: String,
        /// How cargo ended.
        status: ExitStatus,
    },
    /// Cargo succeeded without making a component.
    NoComponent {
        /// The package.
        package: String,
        /// Where its component should lie.
        file: PathBuf,
    },
    /// The list of a guest's sources could not be read.
    Sources {
        /// The list.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::NoOutDir => {
                f.write_str("OUT_DIR is not set; guests are built from build scripts only")
            }
            BuildError::Compiler { reason } => {
                write!(f, "cannot tell whether the target {TARGET} is installed: {reason}")
            }
            BuildError::TargetMissing { reason } => write!(
                f,
                "plugins need the target {TARGET}; add it with `rustup target add {TARGET}` \
                 (tried: {reason})"
            ),
            BuildError::Start { source } => write!(f, "cannot start cargo for guests: {source}"),
            BuildError::Failed { packages, status } => {
                write!(f, "building {packages} for {TARGET} failed ({status})")
            }
            BuildError::NoComponent { package, file } => write!(
                f,
                "{package} made no component at {}; is its crate-type cdylib?",
                file.display()
            ),
            BuildError::Sources { file, source } => {
                write!(f, "cannot read the list of sources {}: {source}", file.display())
            }
        }
    }
}

impl error::Error for BuildError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            BuildError::Start { source } | BuildError::Sources { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_target_is_one_line_that_says_how_to_add_it() {
        let error = BuildError::TargetMissing { reason: "no network".into() };
        let line = error.to_string();
        assert!(line.contains("rustup target add wasm32-wasip2"), "{line}");
        assert!(line.contains("no network") && !line.contains('\n'), "{line}");
    }
}
