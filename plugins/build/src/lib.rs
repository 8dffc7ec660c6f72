//! Builds guest components from build scripts.
//!
//! A crate that embeds plugins, or tests that run them, call [`build_components`] from `build.rs`:
//! a nested cargo compiles the named packages for `wasm32-wasip2`, in a target directory of its own
//! under `OUT_DIR`, so that it never waits for the lock of the outer build. Nothing of the outer
//! build's flags reaches it: a sanitizer, a coverage tool or clippy's wrapper would break guests.
//!
//! It does not install anything but the compilation target, and that only where rustup is at hand.

mod env;
mod error;
mod sources;
mod target;

pub use error::BuildError;

use std::path::{Path, PathBuf};
use std::process::Command;

/// What guests are compiled for.
pub const TARGET: &str = "wasm32-wasip2";

/// Guests are loaded by small devices and compiled again there: size counts, so does speed.
const PROFILE: [(&str, &str); 7] = [
    ("OPT_LEVEL", "3"),
    ("LTO", "fat"),
    ("CODEGEN_UNITS", "1"),
    ("PANIC", "abort"),
    ("STRIP", "symbols"),
    ("DEBUG", "false"),
    ("INCREMENTAL", "false"),
];

/// Builds the components of several packages of this workspace, with one cargo, and returns their
/// files in the same order. Cargo starts a build script in its package's folder, and so does this.
///
/// For build scripts only: it tells cargo when to run the script again, and where the build fails
/// it ends the process with one line that says why.
pub fn build_components(packages: &[&str]) -> Vec<PathBuf> {
    match try_build_components(packages) {
        Ok(files) => files,
        Err(error) => {
            println!("cargo::error={error}");
            std::process::exit(1);
        }
    }
}

/// As [`build_components`], for those who handle the error.
pub fn try_build_components(packages: &[&str]) -> Result<Vec<PathBuf>, BuildError> {
    let out_dir = std::env::var_os("OUT_DIR").ok_or(BuildError::NoOutDir)?;
    let target_dir = Path::new(&out_dir).join("guests");
    target::ensure_installed()?;

    let mut cargo = Command::new(env::tool("CARGO", "cargo"));
    cargo.args(["build", "--release", "--target", TARGET]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    cargo.arg("--target-dir").arg(&target_dir);
    env::clear(&mut cargo);
    for (key, value) in PROFILE {
        cargo.env(format!("CARGO_PROFILE_RELEASE_{key}"), value);
    }
    let output = cargo.output().map_err(|source| BuildError::Start { source })?;
    if !output.status.success() {
        // The compiler's own words are what the developer needs; cargo shows them on failure.
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        return Err(BuildError::Failed { packages: packages.join(", "), status: output.status });
    }

    let release = target_dir.join(TARGET).join("release");
    let mut files = Vec::with_capacity(packages.len());
    for package in packages {
        let file = release.join(package.replace('-', "_")).with_extension("wasm");
        if !file.is_file() {
            return Err(BuildError::NoComponent { package: (*package).to_owned(), file });
        }
        sources::watch(&file.with_extension("d"))?;
        files.push(file);
    }
    Ok(files)
}
