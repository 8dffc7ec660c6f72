//! `plugin build`.

use serde_json::json;
use tidegate_author::{BuildError, Project};

use crate::cli::PluginBuild;
use crate::exit::{Exit, Failure};
use crate::output::{Output, grouped, note};

pub fn run(output: Output, args: &PluginBuild) -> Result<(), Failure> {
    let project = Project::open(&args.dir).map_err(failure)?;
    let built = project.build(&mut |step| note(&format!("running {step}"))).map_err(failure)?;
    let view = json!({
        "path": built.path,
        "kind": built.kind.as_str(),
        "bytes": built.size.get(),
        "hash": built.hash.to_string(),
    });
    output.print(&view, || {
        format!(
            "{}: a {} of {} bytes, hash {}",
            built.path.display(),
            built.kind,
            grouped(built.size.get()),
            built.hash
        )
    })
}

pub fn failure(error: BuildError) -> Failure {
    let exit = match &error {
        BuildError::NoProject { .. } => Exit::NotFound,
        _ => Exit::Failed,
    };
    Failure::of(exit, &error)
}
