//! A project in a folder: read, and built with the tools of its language.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use tidegate_plugin::hash_of;
use tidegate_types::{ByteSize, PluginHash, PluginKind};

use crate::build_error::BuildError;
use crate::component::{componentize, is_core_module};
use crate::host::Bench;
use crate::manifest::{Manifest, Step};
use crate::tools;

/// The file that makes a folder a project.
pub const MANIFEST: &str = "plugin.toml";

/// What was built.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Built {
    /// The component.
    pub path: PathBuf,
    /// What it does.
    pub kind: PluginKind,
    /// Its size.
    pub size: ByteSize,
    /// Its hash, as a node will name it.
    pub hash: PluginHash,
}

/// A folder with a manifest.
#[derive(Clone, Debug)]
pub struct Project {
    dir: PathBuf,
    manifest: Manifest,
}

impl Project {
    /// Reads the project in `dir`.
    ///
    /// # Errors
    /// If there is none, or its manifest is wrong.
    pub fn open(dir: &Path) -> Result<Project, BuildError> {
        let file = dir.join(MANIFEST);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BuildError::NoProject { dir: dir.to_owned() });
            }
            Err(source) => return Err(BuildError::Io { doing: "read", path: file, source }),
        };
        let manifest =
            Manifest::parse(&text).map_err(|source| BuildError::Manifest { file, source })?;
        Ok(Project { dir: dir.to_owned(), manifest })
    }

    /// Its manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// A path of the manifest, from where this process is.
    #[must_use]
    pub fn path(&self, path: &Path) -> PathBuf {
        self.dir.join(path)
    }

    /// Where its component lies once it is built.
    #[must_use]
    pub fn component(&self) -> PathBuf {
        self.path(&self.manifest.component())
    }

    /// Where the code of its components is kept, so that they are compiled once.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.path(Path::new("build/compiled"))
    }

    /// Runs the steps, makes a component of a core module, and sees whether a node would take it.
    ///
    /// # Errors
    /// Says which step failed, which tool is missing, or what the plugin lacks.
    pub fn build(&self, before_step: &mut dyn FnMut(&str)) -> Result<Built, BuildError> {
        for step in &self.manifest.build.step {
            if step.unless.as_ref().is_none_or(|path| !self.path(path).exists()) {
                before_step(&step.run.join(" "));
                self.run_step(step)?;
            }
        }
        let output = self.path(&self.manifest.build.output);
        let made = match fs::read(&output) {
            Ok(made) => made,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BuildError::NoOutput { path: output });
            }
            Err(source) => return Err(BuildError::Io { doing: "read", path: output, source }),
        };
        let component = if is_core_module(&made) {
            let path = output;
            componentize(&made).map_err(|source| BuildError::Componentize { path, source })?
        } else {
            made
        };
        let path = self.component();
        let unusable = |source| BuildError::NotAPlugin { path: path.clone(), source };
        let bench = Bench::new(Some(&self.cache())).map_err(unusable)?;
        let plugin = bench.load(&component).map_err(unusable)?;
        let (said, found) = (self.manifest.kind, plugin.kind());
        if said != found {
            return Err(BuildError::OtherKind { said, found });
        }
        write(&path, &component)?;
        bench.keep_only(&plugin.hash());
        let size = ByteSize::bytes(component.len() as u64);
        Ok(Built { kind: found, size, hash: hash_of(&component), path })
    }

    fn run_step(&self, step: &Step) -> Result<(), BuildError> {
        let Some((program, arguments)) = step.run.split_first() else { return Ok(()) };
        let mut command = Command::new(self.program(program));
        command
            .args(arguments)
            .current_dir(&self.dir)
            .envs(&step.env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = command.output().map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                let how = tools::how_to_install(program);
                BuildError::ToolMissing { tool: program.clone(), how }
            } else {
                BuildError::Io { doing: "run", path: program.into(), source }
            }
        })?;
        if output.status.success() {
            return Ok(());
        }
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        // The tool's own words are what the author needs.
        let _ = io::Write::write_all(&mut io::stderr(), said.as_bytes());
        Err(BuildError::StepFailed {
            command: step.run.join(" "),
            status: output.status,
            hint: tools::hint(&said),
        })
    }

    /// A program of the project's own where its name has a slash, else one of the path's.
    fn program(&self, name: &str) -> PathBuf {
        if !name.contains('/') {
            return name.into();
        }
        let here = env::current_dir().unwrap_or_default();
        here.join(&self.dir).join(name)
    }
}

/// Writes a file whole or not at all, with the folder that it lies in.
fn write(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let failed = |source| BuildError::Io { doing: "write", path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let new = path.with_extension("wasm.new");
    fs::write(&new, bytes).and_then(|()| fs::rename(&new, path)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(step: &str) -> (tempfile::TempDir, Project) {
        let dir = tempfile::tempdir().unwrap();
        let manifest = format!(
            "name = 'p'\nkind = 'filter'\n[build]\noutput = 'out.wasm'\n[[build.step]]\n{step}\n"
        );
        fs::write(dir.path().join(MANIFEST), manifest).unwrap();
        let project = Project::open(dir.path()).unwrap();
        (dir, project)
    }

    fn error(step: &str) -> String {
        project(step).1.build(&mut |_| {}).unwrap_err().to_string()
    }

    #[test]
    fn what_keeps_a_project_from_being_built_is_told() {
        assert_eq!(error("run = ['no-such-tool']"), "no-such-tool is not installed");
        assert_eq!(error("run = ['false', 'x']"), "`false x` failed (exit status: 1)");
        assert!(error("run = ['true']").ends_with("see `output` of [build] in plugin.toml"));
        let step = "run = ['sh', '-c', 'echo text > out.wasm']";
        assert!(error(step).ends_with("p.wasm is not a Tidegate plugin"), "{}", error(step));
    }

    #[test]
    fn a_step_is_left_out_where_what_it_makes_is_there() {
        let (dir, project) = project("run = ['false']\nunless = 'there'");
        fs::write(dir.path().join("there"), "").unwrap();
        let mut steps = 0;
        let error = project.build(&mut |_| steps += 1).unwrap_err();
        assert!(matches!(error, BuildError::NoOutput { .. }), "{error}");
        assert_eq!(steps, 0);
    }

    #[test]
    fn a_core_module_becomes_a_component_and_another_kind_is_told() {
        let (dir, project) = project("run = ['true']");
        let identity = include_bytes!(concat!(env!("OUT_DIR"), "/identity.wasm"));
        fs::write(dir.path().join("out.wasm"), identity).unwrap();
        let built = project.build(&mut |_| {}).unwrap();
        assert_eq!(built.path, dir.path().join("build/p.wasm"));
        let component = fs::read(&built.path).unwrap();
        assert_eq!((built.kind, built.hash), (PluginKind::Filter, hash_of(&component)));

        let text = fs::read_to_string(dir.path().join(MANIFEST)).unwrap();
        fs::write(dir.path().join(MANIFEST), text.replace("filter", "transform")).unwrap();
        let error = Project::open(dir.path()).unwrap().build(&mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("kind transform"), "{error}");
    }

    #[test]
    fn a_folder_without_a_manifest_is_no_project() {
        let dir = tempfile::tempdir().unwrap();
        let error = Project::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains("tidegate plugin new"), "{error}");
    }
}
