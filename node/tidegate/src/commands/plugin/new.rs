//! `plugin new`.

use std::path::PathBuf;

use serde_json::json;
use tidegate_author::{NewError, Template};

use crate::cli::PluginNew;
use crate::exit::{Exit, Failure};
use crate::output::Output;

pub fn run(output: Output, args: &PluginNew) -> Result<(), Failure> {
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(args.name.as_str()));
    let template = Template {
        name: args.name.clone(),
        language: args.lang,
        kind: args.kind,
        sdk: args.sdk.clone(),
    };
    let files = template.write(&dir).map_err(|error| {
        let exit = match &error {
            NewError::Name { .. } | NewError::NoSdk { .. } => Exit::Usage,
            NewError::NotEmpty { .. } | NewError::Write { .. } => Exit::Failed,
        };
        Failure::of(exit, &error)
    })?;
    let view = json!({
        "dir": dir,
        "language": args.lang.as_str(),
        "kind": args.kind.as_str(),
        "files": files.len(),
    });
    output.print(&view, || {
        let place = dir.display();
        format!(
            "wrote a {} in {} to {place}; next: cd {place} && tidegate plugin build && tidegate \
             plugin test",
            args.kind, args.lang
        )
    })
}
