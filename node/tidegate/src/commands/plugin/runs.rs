//! What `plugin test` and `plugin bench` have in common: what is run, with what, under which limits.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_author::{Bench, BenchError, Project, Table, TestPlan, TestRecord, read_records};
use tidegate_plugin::{Instance, Limits};
use tidegate_stock_plugins::{self as stock, StockPlugin};
use tidegate_types::{PluginLimits, limits};

use super::{build, config_text, read_bounded};
use crate::cli::PluginRun;
use crate::exit::{Exit, Failure};

/// A component that is ready to run, and what its project says of tests.
pub struct Subject {
    pub bench: Bench,
    pub instance: Instance,
    pub project: Option<Project>,
    stock: Option<&'static StockPlugin>,
}

impl Subject {
    /// Loads a built project or a component, and configures it.
    pub fn open(args: &PluginRun) -> Result<Subject, Failure> {
        let project = match args.what.is_dir() {
            true => Some(Project::open(&args.what).map_err(build::failure)?),
            false => None,
        };
        let path = project.as_ref().map_or_else(|| args.what.clone(), Project::component);
        let stock = args.what.to_str().and_then(stock::find).filter(|_| !path.exists());
        if project.is_some() && !path.exists() {
            let message = format!("{} is not there yet: `tidegate plugin build`", path.display());
            return Err(Failure::new(Exit::NotFound, message));
        }
        let component = match stock {
            Some(stock) => stock.component(),
            None => read_bounded(&path, limits::MAX_PLUGIN)?,
        };
        let cache = project.as_ref().map(Project::cache);
        let bench = Bench::new(cache.as_deref()).map_err(|error| failure(&error))?;
        let plan = project.as_ref().map(|project| project.manifest().test.clone());
        let plan = plan.unwrap_or_default();
        let config = match (&args.config, &plan.config) {
            (Some(given), _) => config_text(given)?,
            (None, Some(file)) => {
                let file = args.what.join(file);
                config_text(&format!("@{}", file.display()))?
            }
            (None, None) => stock.map_or("{}", |stock| stock.example).to_owned(),
        };
        let instance = bench
            .instance(&component, &config, plugin_limits(args, &plan))
            .map_err(|error| failure(&error))?;
        Ok(Subject { bench, instance, project, stock })
    }

    /// What the project says of tests.
    pub fn plan(&self) -> TestPlan {
        self.project.as_ref().map(|project| project.manifest().test.clone()).unwrap_or_default()
    }

    /// Whether it is given a state.
    pub fn has_state(&self, args: &PluginRun) -> bool {
        let needs = self.stock.is_some_and(|stock| stock.needs_state);
        needs || args.state || args.table.is_some() || self.plan().state
    }

    /// The records of the files that were named, else of those of the project.
    pub fn records(&self, args: &PluginRun, own: &[PathBuf]) -> Result<Vec<TestRecord>, Failure> {
        let files = match (&self.project, args.input.as_slice()) {
            (Some(project), []) => own.iter().map(|file| project.path(file)).collect(),
            (_, given) => given.to_vec(),
        };
        if files.is_empty() {
            return Err(Failure::usage("there are no records to run: name a file with --input"));
        }
        let mut records = Vec::new();
        for file in &files {
            records.extend(read_file(file)?);
        }
        Ok(records)
    }
}

/// The table of the state, if one is named.
pub fn table(args: &PluginRun) -> Result<Option<Table>, Failure> {
    let Some(file) = &args.table else { return Ok(None) };
    let mut table = BTreeMap::new();
    for record in read_file(file)? {
        match (record.key, record.value) {
            (Some(key), Some(value)) => {
                table.insert(key, value);
            }
            (Some(key), None) => {
                table.remove(&key);
            }
            (None, _) => {}
        }
    }
    Ok(Some(Arc::new(table)))
}

fn read_file(file: &Path) -> Result<Vec<TestRecord>, Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::of(Exit::Failed, error).while_doing(format!("cannot read {}", file.display()))
    };
    let input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(|error| failed(&error))?)
    };
    read_records(&mut BufReader::new(input), None).map_err(|error| failed(&error))
}

/// As an attachment has them, unless something else is said.
fn plugin_limits(args: &PluginRun, plan: &TestPlan) -> Limits {
    let granted = PluginLimits::default();
    Limits {
        batch_time: args.time_limit.unwrap_or(granted.batch_time),
        memory: args.memory_limit.or(plan.memory_limit).unwrap_or(granted.memory),
        output: args.output_limit.unwrap_or(granted.output),
        ..Limits::from(&granted)
    }
}

pub fn failure(error: &BenchError) -> Failure {
    Failure::of(Exit::Failed, error)
}

/// Writes a file that was asked for.
pub fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| {
        Failure::of(Exit::Failed, &error).while_doing(format!("cannot write {}", path.display()))
    })
}
