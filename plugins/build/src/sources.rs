//! Tells the outer cargo which files a component was made of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::BuildError;

/// Has the build script run again when one of the sources, or one of their manifests, changes.
pub(crate) fn watch(dep_info: &Path) -> Result<(), BuildError> {
    let list = std::fs::read_to_string(dep_info)
        .map_err(|source| BuildError::Sources { file: dep_info.to_owned(), source })?;
    let sources = prerequisites(&list);
    let manifests: BTreeSet<PathBuf> = sources.iter().flat_map(|file| manifests(file)).collect();
    for file in sources.iter().chain(&manifests) {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    Ok(())
}

/// The files behind the colon of a make rule, in which a backslash keeps a space.
fn prerequisites(list: &str) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for line in list.lines() {
        let Some((_, names)) = line.split_once(": ") else { continue };
        let mut name = String::new();
        let mut chars = names.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' if chars.peek() == Some(&' ') => name.extend(chars.next()),
                ' ' if name.is_empty() => {}
                ' ' => {
                    files.insert(std::mem::take(&mut name).into());
                }
                c => name.push(c),
            }
        }
        if !name.is_empty() {
            files.insert(name.into());
        }
    }
    files
}

/// The manifests and the lock file above a source: a changed feature or version changes the guest.
fn manifests(source: &Path) -> Vec<PathBuf> {
    source
        .ancestors()
        .skip(1)
        .flat_map(|folder| [folder.join("Cargo.toml"), folder.join("Cargo.lock")])
        .filter(|file| file.is_file())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_in_names_survive() {
        let files = prerequisites("/o/a.wasm: /s/lib.rs /my\\ src/a.rs  /s/b.rs\n\n/s/lib.rs:\n");
        let files: Vec<_> = files.iter().map(|f| f.to_string_lossy()).collect();
        assert_eq!(files, ["/my src/a.rs", "/s/b.rs", "/s/lib.rs"]);
    }

    #[test]
    fn a_source_brings_its_manifest_and_the_workspaces() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
        let found = manifests(&here);
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert!(found.contains(&own), "{found:?}");
        assert!(found.iter().any(|file| file.ends_with("Cargo.lock")), "{found:?}");
    }
}
