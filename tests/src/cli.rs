//! The program's commands, run to their end as a user would run them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::{PATIENCE, program};

/// Runs commands in one folder, with no settings but those given.
#[derive(Clone, Debug)]
pub struct Cli {
    folder: PathBuf,
    variables: Vec<(String, String)>,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What was run.
    pub line: String,
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Cli {
    /// Commands in `folder`.
    pub fn new(folder: impl AsRef<Path>) -> Cli {
        Cli { folder: folder.as_ref().to_owned(), variables: Vec::new() }
    }

    /// With an environment variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Cli {
        self.variables.push((name.to_owned(), value.to_string()));
        self
    }

    /// Runs a command with nothing on its standard input.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        self.feed(arguments, b"").await
    }

    /// Runs a command with `input` on its standard input.
    ///
    /// # Panics
    /// If it does not start, or does not end in time.
    pub async fn feed(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let line = format!("tidegate {}", arguments.join(" "));
        let mut child = self.command(arguments).spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe was asked for");
        let feed = async {
            // A command that does not read its input to the end closes the pipe.
            _ = stdin.write_all(input).await;
            drop(stdin);
        };
        let ended = tokio::time::timeout(PATIENCE, async {
            tokio::join!(feed, child.wait_with_output()).1
        });
        let output = ended
            .await
            .unwrap_or_else(|_| panic!("{line} did not end within {PATIENCE:?}"))
            .expect("its end can be waited for");
        Ran {
            line,
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TIDEGATE_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .current_dir(&self.folder)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

impl Ran {
    /// The exit code was this one; gives the run back.
    ///
    /// # Panics
    /// If it was another one, with all that the command said.
    pub fn exits(self, code: i32) -> Ran {
        let Ran { line, out, err, .. } = &self;
        assert_eq!(self.code, Some(code), "{line}\n--- out\n{out}\n--- err\n{err}");
        self
    }

    /// It failed with `code`, said why on standard error with all of `parts`, and printed nothing.
    ///
    /// # Panics
    /// If not.
    pub fn fails(self, code: i32, parts: &[&str]) -> Ran {
        let ran = self.exits(code);
        let Ran { line, out, err, .. } = &ran;
        assert_eq!(out, "", "{line} failed and printed");
        for part in parts {
            assert!(err.contains(part), "{line}: {part:?} is missing in\n{err}");
        }
        ran
    }

    /// Its output as one JSON value.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{}: {error} in\n{}", self.line, self.out))
    }
}
