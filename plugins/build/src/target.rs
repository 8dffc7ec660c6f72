//! Sees to it that the compiler can make components.

use std::process::Command;

use crate::{BuildError, TARGET, env};

/// Adds the target where it is missing and rustup can.
pub(crate) fn ensure_installed() -> Result<(), BuildError> {
    if is_installed()? {
        return Ok(());
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]);
    let reason = match rustup.output() {
        Err(error) => format!("rustup did not start: {error}"),
        Ok(output) if !output.status.success() => {
            let text = String::from_utf8_lossy(&output.stderr);
            last_line(&text).to_owned()
        }
        Ok(_) if is_installed()? => return Ok(()),
        Ok(_) => "rustup added it to another toolchain".to_owned(),
    };
    Err(BuildError::TargetMissing { reason })
}

/// Whether the compiler has a core library for the target.
fn is_installed() -> Result<bool, BuildError> {
    let mut rustc = Command::new(env::tool("RUSTC", "rustc"));
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    let output = rustc.output().map_err(|e| BuildError::Compiler { reason: e.to_string() })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(BuildError::Compiler { reason: last_line(&text).to_owned() });
    }
    let folder = String::from_utf8_lossy(&output.stdout);
    let Ok(files) = std::fs::read_dir(folder.trim()) else { return Ok(false) };
    Ok(files
        .filter_map(Result::ok)
        .any(|file| file.file_name().to_string_lossy().starts_with("libcore-")))
}

fn last_line(text: &str) -> &str {
    text.trim().lines().last().unwrap_or("no reason given")
}
