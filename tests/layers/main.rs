//! A crate may depend on lower rows only, and what hosts WASM stays apart.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

/// What `cargo metadata` says, as far as it is asked here. Read by hand: the crate for it turns on
/// features of its dependencies, with which the whole program would be built a second time.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `None` for what is linked; `dev` and `build` for the others.
    kind: Option<String>,
}

/// From the bottom up; crates in one row do not know each other.
const ROWS: &[&[&str]] = &[
    &["types"],
    &["record"],
    &["env"],
    &["log"],
    &["wire", "kafka-proto"],
    &["group", "txn"],
    &["replica"],
    &["link"],
    &["metadata"],
    &["plugin"],
    &["transport", "author"],
    &["broker"],
    &["kafka", "mqtt", "http"],
    &["client"],
    &["bench"],
    &["tidegate"],
];

fn row_of(package: &str) -> Option<usize> {
    let name = package.strip_prefix("tidegate-").unwrap_or(package);
    ROWS.iter().position(|row| row.contains(&name))
}

fn workspace() -> BTreeMap<String, Package> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let ran = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .output()
        .expect("cargo can be run");
    let metadata: Metadata = serde_json::from_slice(&ran.stdout).expect("cargo metadata");
    metadata.packages.into_iter().map(|package| (package.name.clone(), package)).collect()
}

/// What a package links to outside its own tests.
fn needs(package: &Package) -> BTreeSet<String> {
    let linked = package.dependencies.iter().filter(|dependency| dependency.kind.is_none());
    linked.map(|dependency| dependency.name.clone()).collect()
}

fn folder(package: &Package) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let root = std::fs::canonicalize(root).expect("the workspace root");
    let folder = package.manifest_path.parent().expect("a folder");
    folder.strip_prefix(&root).expect("inside the workspace").display().to_string()
}

#[test]
fn crates_depend_on_lower_rows_only() {
    for (name, package) in workspace() {
        if !folder(&package).starts_with("node/") {
            continue;
        }
        let own = row_of(&name).unwrap_or_else(|| panic!("{name} is in no row"));
        for need in needs(&package) {
            if let Some(row) = row_of(&need) {
                assert!(row < own, "{name} must not depend on {need}");
            }
        }
    }
}

#[test]
fn the_client_never_depends_on_the_broker() {
    let packages = workspace();
    let mut open = vec!["tidegate-client".to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(name) = open.pop() {
        let Some(package) = packages.get(&name) else { continue };
        open.extend(needs(package).into_iter().filter(|n| seen.insert(n.clone())));
    }
    for forbidden in ["tidegate-broker", "tidegate-plugin", "tidegate-log", "tidegate-metadata"] {
        assert!(!seen.contains(forbidden), "the client pulls in {forbidden}");
    }
}

#[test]
fn wasmtime_is_built_only_by_the_host_crate() {
    for (name, package) in workspace() {
        let direct = needs(&package).contains("wasmtime");
        assert_eq!(direct, name == "tidegate-plugin", "{name} and wasmtime");
    }
}

#[test]
fn plugins_depend_on_nothing_of_the_node() {
    for (name, package) in workspace() {
        if !folder(&package).starts_with("plugins/") {
            continue;
        }
        for need in needs(&package) {
            assert!(row_of(&need).is_none(), "{name} must not depend on {need}");
        }
    }
}

#[test]
fn every_crate_inherits_the_workspace_lints() {
    for (name, package) in workspace() {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("a manifest");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name} has lints of its own");
    }
}

#[test]
fn the_top_level_is_as_designed() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let known = [
        "Cargo.toml",
        "Cargo.lock",
        "node",
        "plugins",
        "wit",
        "examples",
        "benches",
        "tests",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "rust-toolchain.toml",
        "rustfmt.toml",
        "clippy.toml",
        "deny.toml",
        "target",
    ];
    let listed = Command::new("git").args(["ls-files"]).current_dir(root).output();
    let Ok(listed) = listed else {
        println!("skipped: git is not at hand");
        return;
    };
    for path in String::from_utf8_lossy(&listed.stdout).lines() {
        let top = path.split('/').next().unwrap_or(path);
        assert!(top.starts_with('.') || known.contains(&top), "{top} is at the top level");
    }
}
