//! What `plugin new` writes.
//!
//! The templates lie in `templates/`: a folder for each language, and `common`. `NAME.KIND.EXT` is
//! written as `NAME.EXT` for that kind only; `gitignore` becomes `.gitignore`. In the text `{{name}}`
//! stands for the plugin's name, `{{ident}}` for the same with underscores, `{{kind}}` for its kind,
//! `{{sdk}}` for the path of the Rust SDK.

use std::path::{Component, Path, PathBuf};
use std::{fmt, fs, io};

use tidegate_types::{PluginKind, PluginName};

use crate::files;

/// A language that there is a template for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// Rust, with the SDK.
    Rust,
    /// JavaScript, in an engine of its own.
    JavaScript,
    /// Python, in an interpreter of its own.
    Python,
    /// C.
    C,
    /// AssemblyScript: TypeScript's syntax, compiled ahead.
    AssemblyScript,
    /// Go, by its standard compiler.
    Go,
}

impl Language {
    /// All of them.
    pub const ALL: &[Language] = &[
        Language::Rust,
        Language::JavaScript,
        Language::Python,
        Language::C,
        Language::AssemblyScript,
        Language::Go,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::JavaScript => "js",
            Language::Python => "python",
            Language::C => "c",
            Language::AssemblyScript => "assemblyscript",
            Language::Go => "go",
        }
    }

    /// The folder of its templates.
    const fn folder(self) -> &'static str {
        match self {
            Language::JavaScript => "javascript/",
            Language::Rust => "rust/",
            Language::Python => "python/",
            Language::C => "c/",
            Language::AssemblyScript => "assemblyscript/",
            Language::Go => "go/",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why no project was written.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The name does not suit a package.
    #[error(
        "{name} cannot name a project: it becomes the name of a package, so write a letter and \
         then a-z 0-9 - _"
    )]
    Name {
        /// The name.
        name: PluginName,
    },
    /// The folder has something in it.
    #[error("{} is there already and not empty: name another folder with --dir", dir.display())]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
    },
    /// That is not the SDK.
    #[error("{} is not the SDK: it has no Cargo.toml", path.display())]
    NoSdk {
        /// The path.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A project to write.
#[derive(Clone, Debug)]
pub struct Template {
    /// The plugin's name.
    pub name: PluginName,
    /// Its language.
    pub language: Language,
    /// What it does.
    pub kind: PluginKind,
    /// A checkout of the Rust SDK to use instead of the copy that is written.
    pub sdk: Option<PathBuf>,
}

const SDK: &str = "vendor/tidegate-plugin-sdk";

impl Template {
    /// Writes the project into `dir`, which is made, and tells which files it has.
    ///
    /// # Errors
    /// If the folder is not empty, or a file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<Vec<PathBuf>, NewError> {
        let name = self.name.as_str();
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(word) {
            return Err(NewError::Name { name: self.name.clone() });
        }
        if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(NewError::NotEmpty { dir: dir.to_owned() });
        }
        let sdk = match &self.sdk {
            None => SDK.to_owned(),
            Some(path) => {
                let no_sdk = || NewError::NoSdk { path: path.clone() };
                let path = fs::canonicalize(path).map_err(|_| no_sdk())?;
                if !path.join("Cargo.toml").is_file() {
                    return Err(no_sdk());
                }
                path.display().to_string()
            }
        };
        let mut written = Vec::new();
        for (path, text) in self.files() {
            let path = dir.join(path);
            let text = text
                .replace("{{name}}", name)
                .replace("{{ident}}", &name.replace('-', "_"))
                .replace("{{kind}}", self.kind.as_str())
                .replace("{{sdk}}", &sdk);
            let folder = path.parent().unwrap_or(dir);
            fs::create_dir_all(folder)
                .and_then(|()| fs::write(&path, text))
                .map_err(|source| NewError::Write { path: path.clone(), source })?;
            written.push(path);
        }
        Ok(written)
    }

    /// The files of this project, by path.
    fn files(&self) -> Vec<(PathBuf, String)> {
        files::all()
            .into_iter()
            .filter_map(|(path, text)| {
                let path = path
                    .strip_prefix("common/")
                    .or_else(|| path.strip_prefix(self.language.folder()))?;
                if self.sdk.is_some() && path.starts_with(SDK) {
                    return None;
                }
                Some((name_for(path, self.kind)?, text))
            })
            .collect()
    }
}

/// The name under which a template is written for a kind, if it is.
fn name_for(path: &str, kind: PluginKind) -> Option<PathBuf> {
    let path = Path::new(path);
    let name = path.file_name()?.to_str()?;
    let mut parts: Vec<_> = name.split('.').collect();
    if let Some(at) =
        parts.iter().position(|part| PluginKind::ALL.iter().any(|k| k.as_str() == *part))
        && at > 0
    {
        if parts[at] != kind.as_str() {
            return None;
        }
        parts.remove(at);
    }
    let name = if name == "gitignore" { ".gitignore".to_owned() } else { parts.join(".") };
    debug_assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
    Some(path.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    fn template(language: Language, kind: PluginKind) -> Template {
        Template { name: "hot-only".parse().unwrap(), language, kind, sdk: None }
    }

    #[test]
    fn every_language_has_every_kind_and_nothing_is_left_to_fill_in() {
        for language in Language::ALL {
            for kind in PluginKind::ALL {
                let dir = tempfile::tempdir().unwrap();
                let written = template(*language, *kind).write(dir.path()).unwrap();
                for path in &written {
                    let text = fs::read_to_string(path).unwrap();
                    assert!(!text.contains("{{"), "{language} {kind}: {}", path.display());
                }
                let manifest = fs::read_to_string(dir.path().join("plugin.toml")).unwrap();
                let manifest = Manifest::parse(&manifest).unwrap();
                assert_eq!((manifest.name.as_str(), manifest.kind), ("hot-only", *kind));
                let test = &manifest.test;
                let needed = test.input.iter().chain(&test.config).chain(&test.expected);
                for file in needed.map(PathBuf::as_path).chain([
                    Path::new("README.md"),
                    Path::new(".gitignore"),
                    Path::new("wit/plugin.wit"),
                ]) {
                    assert!(written.contains(&dir.path().join(file)), "{language}: {file:?}");
                }
                assert!(test.expected.is_some() && test.config.is_some());
            }
        }
    }

    #[test]
    fn files_of_other_kinds_are_left_out() {
        let kind = PluginKind::Filter;
        let name = |path| name_for(path, kind).map(|path| path.display().to_string());
        assert_eq!(name("src/lib.filter.rs").as_deref(), Some("src/lib.rs"));
        assert_eq!(name("src/lib.transform.rs"), None);
        assert_eq!(name("gitignore").as_deref(), Some(".gitignore"));
        assert_eq!(name("filter.rs").as_deref(), Some("filter.rs"));
    }

    #[test]
    fn what_cannot_be_written_is_refused_before_anything_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mine"), "x").unwrap();
        let mut template = template(Language::Rust, PluginKind::Filter);
        let error = template.write(dir.path()).unwrap_err();
        assert!(matches!(error, NewError::NotEmpty { .. }), "{error}");
        let fresh = dir.path().join("fresh");
        template.sdk = Some(dir.path().to_owned());
        assert!(matches!(template.write(&fresh), Err(NewError::NoSdk { .. })));
        template.sdk = None;
        template.name = "9.x".parse().unwrap();
        assert!(matches!(template.write(&fresh), Err(NewError::Name { .. })));
        assert!(!fresh.exists());
    }

    /// The SDK's copy is built by itself, with the versions that the SDK is tested with.
    #[test]
    fn the_copy_of_the_sdk_needs_what_the_sdk_needs() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let read = |path: &str| -> toml::Table {
            fs::read_to_string(root.join(path)).unwrap().parse().unwrap()
        };
        let copy = read("node/author/templates/rust/vendor/tidegate-plugin-sdk/Cargo.toml");
        let (sdk, workspace) = (read("plugins/sdk/Cargo.toml"), read("Cargo.toml"));
        let names = |table: &toml::Table| -> Vec<String> {
            table["dependencies"].as_table().unwrap().keys().cloned().collect()
        };
        assert_eq!(names(&copy), names(&sdk));
        for name in names(&sdk) {
            let own = &sdk["dependencies"][&name];
            let version = own
                .get("version")
                .unwrap_or_else(|| &workspace["workspace"]["dependencies"][&name]["version"]);
            assert_eq!(&copy["dependencies"][&name]["version"], version, "{name}");
        }
    }
}
