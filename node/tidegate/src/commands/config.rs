//! `config`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::{Context, origins};
use crate::cli::Global;
use crate::exit::{Exit, Failure};
use crate::output::{Output, table, tell};
use crate::settings::{
    self, CONFIG_VARIABLE, Key, Origins, Problem, SETTINGS, SettingsError, Source,
};

#[derive(Serialize)]
struct CheckView {
    file: Option<String>,
    ok: bool,
    problems: Vec<ProblemView>,
}

#[derive(Serialize)]
struct ProblemView {
    /// Where it was written: a file with its line, a variable or a flag.
    source: String,
    line: Option<usize>,
    key: Option<String>,
    message: String,
}

impl From<&Problem> for ProblemView {
    fn from(problem: &Problem) -> ProblemView {
        ProblemView {
            source: problem.source.to_string(),
            line: match &problem.source {
                Source::File { line, .. } => Some(*line),
                _ => None,
            },
            key: problem.key.clone(),
            message: problem.message.clone(),
        }
    }
}

/// Checks a named file by itself, or else all that `serve` would read.
pub fn check(output: Output, global: &Global, file: Option<&Path>) -> Result<(), Failure> {
    let (name, checked) = match file {
        Some(path) => {
            let alone = Origins { file: Some(path), variable: &|_| None, flags: Vec::new() };
            (Some(path.display().to_string()), settings::load(&alone))
        }
        None => {
            let all = origins(global, None, Vec::new());
            (all.file().map(|path| path.display().to_string()), settings::load(&all))
        }
    };
    let problems = match checked {
        Ok(_) => Vec::new(),
        Err(SettingsError::Invalid(problems)) => problems,
        Err(error @ SettingsError::File(_)) => return Err(error.into()),
    };
    let view = CheckView {
        file: name,
        ok: problems.is_empty(),
        problems: problems.iter().map(ProblemView::from).collect(),
    };
    let told = match (&view.file, problems.is_empty()) {
        (Some(file), true) => format!("{file}: ok"),
        (None, true) => format!(
            "ok: there is no tidegate.toml here and no {CONFIG_VARIABLE}; the defaults hold"
        ),
        (_, false) => String::new(),
    };
    output.print(&view, || told)?;
    match problems.len() {
        0 => Ok(()),
        n => {
            for problem in &problems {
                tell(&problem.to_string());
            }
            let s = if n == 1 { "" } else { "s" };
            Err(Failure::new(Exit::Failed, format!("{n} problem{s} in the settings")))
        }
    }
}

#[derive(Serialize)]
struct SettingView<'a> {
    key: String,
    value: &'a str,
    source: String,
    default: &'static str,
    variable: &'static str,
    flag: &'static str,
    doc: String,
}

/// Shows each setting, its value and where it was set.
pub fn show(context: &Context) -> Result<(), Failure> {
    let effective: &BTreeMap<Key, (String, Source)> = &context.settings.effective;
    let views: Vec<_> = SETTINGS
        .iter()
        .filter_map(|setting| {
            let (value, source) = effective.get(&setting.key)?;
            Some(SettingView {
                key: setting.to_string(),
                value,
                source: source.to_string(),
                default: setting.default,
                variable: setting.variable,
                flag: setting.flag,
                doc: setting.doc.replace('\n', " "),
            })
        })
        .collect();
    context.output.print(&views, || {
        let rows = views.iter().map(|view| {
            [
                view.key.clone(),
                view.value.to_owned(),
                view.source.clone(),
                view.variable.to_owned(),
                view.flag.to_owned(),
            ]
        });
        table(["setting", "value", "set by", "variable", "flag"], &[], rows)
    })
}
