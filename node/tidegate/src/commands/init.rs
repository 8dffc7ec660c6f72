//! `init`.
//!
//! Makes what `serve` would make at its first start, so that it can be looked at and copied before:
//! the data folder with its certificates, and a settings file. What exists is kept.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;
use tidegate_transport::init_tls_dir;

use super::Context;
use crate::cli::Init;
use crate::exit::{Exit, Failure};
use crate::settings::{DEFAULT_FILE, Key, SETTINGS, Source, sample};

#[derive(Serialize)]
struct InitView {
    data: String,
    tls: String,
    settings: String,
    settings_written: bool,
    site: String,
    node: u32,
}

pub fn run(context: &Context, args: &Init) -> Result<(), Failure> {
    let node = &context.settings.node;
    std::fs::create_dir_all(&node.data).map_err(|error| {
        let what = format!("cannot make the data folder {}", node.data.display());
        Failure::of(Exit::Failed, &error).while_doing(what)
    })?;
    let tls = node.data.join("tls");
    init_tls_dir(&tls, &node.site, node.node, &node.names)
        .map_err(|error| Failure::of(Exit::Failed, &error))?;

    let path = args.node.config.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    let written = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut file) => file.write_all(sample(&given(context)).as_bytes()).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
    .map_err(|error| {
        Failure::of(Exit::Failed, &error).while_doing(format!("cannot write {}", path.display()))
    })?;

    let view = InitView {
        data: node.data.display().to_string(),
        tls: tls.display().to_string(),
        settings: path.display().to_string(),
        settings_written: written,
        site: node.site.to_string(),
        node: node.node.get(),
    };
    context.output.print(&view, || {
        let kept = if written { "" } else { " (kept as it was)" };
        format!(
            "site {}, node {}\ndata      {}\ntls       {}\nsettings  {}{kept}\n\
             start it with `tidegate serve`",
            view.site, view.node, view.data, view.tls, view.settings
        )
    })
}

/// The settings given by flag or variable, as TOML: those are to last. What concerns this one
/// command, or the clients, does not belong into the node's file.
fn given(context: &Context) -> BTreeMap<Key, String> {
    let node = &context.settings.node;
    SETTINGS
        .iter()
        .filter(|setting| matches!(setting.section, "node" | "listener"))
        .filter_map(|setting| {
            let (value, source) = context.settings.effective.get(&setting.key)?;
            if !matches!(source, Source::Flag(_) | Source::Variable(_)) {
                return None;
            }
            let toml = match setting.key {
                Key::Node => node.node.get().to_string(),
                Key::Names => toml::Value::from(node.names.clone()).to_string(),
                _ => toml::Value::from(value.as_str()).to_string(),
            };
            Some((setting.key, toml))
        })
        .collect()
}
