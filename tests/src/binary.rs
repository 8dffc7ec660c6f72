//! The program under test: found by `TIDEGATE_BIN`, or built once with the tests' own profile.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The program's path. Builds it at the first call in a process.
///
/// # Panics
/// If it cannot be built.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var_os("TIDEGATE_BIN") {
        Some(path) => path.into(),
        None => build(),
    })
}

/// Runs cargo as the tests were run: same target folder, same profile. Cargo's own lock keeps
/// several test processes apart.
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    // <target>/<profile>/deps/<test>
    let profile = test.ancestors().nth(2).expect("a test lies in its profile's folder");
    let target = profile.parent().expect("a profile's folder lies in the target folder");
    let name = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "-p", "tidegate", "--bin", "tidegate", "--profile", name])
        .arg("--target-dir")
        .arg(target)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status()
        .expect("cargo can be run");
    assert!(status.success(), "the program under test does not build");
    profile.join("tidegate")
}
