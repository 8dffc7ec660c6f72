//! `plugin`.

mod bench;
mod build;
mod dry_run;
mod new;
mod runs;
mod test;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use tidegate_client::Client;
use tidegate_stock_plugins as stock;
use tidegate_types::{
    ByteSize, DeriveSpec, Hook, PartitionId, PluginHash, PluginLimits, PluginName, limits,
};
use tidegate_wire::AttachRequest;

use super::{Context, INSTALL_TIMEOUT, signing};
use crate::cli::{PluginAttach, PluginCommand};
use crate::exit::{Exit, Failure};
use crate::views::{
    AttachedView, AttachmentView, InstalledView, PluginView, StockView, attached_sentence, done,
    log_lines, plugin_detail, plugin_logs, plugin_table,
};

pub async fn run(context: &Context, command: &PluginCommand) -> Result<(), Failure> {
    match command {
        PluginCommand::New(args) => new::run(context.output, args),
        PluginCommand::Build(args) => build::run(context.output, args),
        PluginCommand::Test(args) => test::run(context, args).await,
        PluginCommand::Bench(args) => bench::run(context.output, args),
        PluginCommand::DryRun(args) => dry_run::run(context, args).await,
        PluginCommand::Install { name, file } => {
            let component = component(name, file.as_deref())?;
            let client = context.connect_for(INSTALL_TIMEOUT).await?;
            let report = client.install_plugin(name.clone(), component).await?;
            let installed = InstalledView::from(report);
            context.output.print(&installed, || installed.sentence())
        }
        PluginCommand::List { stock } => list(context, *stock).await,
        PluginCommand::Show { name } => {
            let client = context.connect().await?;
            let plugin = PluginView::from(client.show_plugin(name.clone()).await?);
            context.output.print(&plugin, || plugin_detail(&plugin))
        }
        PluginCommand::Attach(args) => attach(context, args).await,
        PluginCommand::Rollback { topic, plugin, hook } => {
            let client = context.connect().await?;
            let now = client.rollback_plugin(topic.clone(), *hook, plugin.clone()).await?;
            context.output.print(&AttachmentView::from(&now), || {
                let version = now.hash.short();
                format!("plugin {plugin} runs version {version} on topic {topic} ({hook})")
            })
        }
        PluginCommand::Remove { name, version: prefix } => {
            let client = context.connect().await?;
            let hash = match prefix {
                Some(prefix) => Some(version(client, name, prefix).await?),
                None => None,
            };
            client.remove_plugin(name.clone(), hash).await?;
            context.output.print(&done("removed", name), || match hash {
                Some(hash) => format!("removed version {} of plugin {name}", hash.short()),
                None => format!("removed plugin {name}"),
            })
        }
        PluginCommand::Log { name } => {
            let client = context.connect().await?;
            let plugin = client.show_plugin(name.clone()).await?;
            let attached: Vec<_> = plugin.attachments.into_iter().map(AttachedView::from).collect();
            let logs = plugin_logs(&attached);
            context.output.print(&logs, || log_lines(&logs))
        }
        PluginCommand::Sign { file, key, new_key, out } => {
            signing::sign(context, file, key, *new_key, out.as_deref())
        }
        PluginCommand::Verify { file, publisher } => signing::verify(context, file, publisher),
        PluginCommand::Stats { name } => stats(context, name.as_ref()).await,
        PluginCommand::Detach { topic, plugin, hook } => {
            let client = context.connect().await?;
            client.detach_plugin(topic.clone(), *hook, plugin.clone()).await?;
            context.output.print(&done("detached", plugin), || {
                format!("detached plugin {plugin} from topic {topic} ({hook})")
            })
        }
    }
}

/// The component to install: from the file, standard input, or the stock.
fn component(name: &PluginName, file: Option<&Path>) -> Result<Bytes, Failure> {
    match file {
        None => stock::find(name.as_str())
            .map(|plugin| Bytes::from(plugin.component()))
            .ok_or_else(|| {
                let names: Vec<_> = stock::all().iter().map(|plugin| plugin.name).collect();
                Failure::new(
                    Exit::NotFound,
                    format!(
                        "no stock plugin is called {name}: name the component's file, or one of {}",
                        names.join(", ")
                    ),
                )
            }),
        Some(path) => read_bounded(path, limits::MAX_PLUGIN).map(Bytes::from),
    }
}

/// The bytes of a file, or of standard input for `-`.
pub(super) fn read_bounded(path: &Path, max: ByteSize) -> Result<Vec<u8>, Failure> {
    let unreadable = |error: io::Error| {
        Failure::of(Exit::Failed, &error).while_doing(format!("cannot read {}", path.display()))
    };
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(unreadable)?)
    };
    let mut bytes = Vec::new();
    input.take(max.get() + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > max.get() {
        let message = format!("{} is larger than {max}", path.display());
        return Err(Failure::new(Exit::Failed, message));
    }
    Ok(bytes)
}

async fn list(context: &Context, with_stock: bool) -> Result<(), Failure> {
    let installed = context.connect().await?.list_plugins().await?;
    let stock: Vec<_> = stock::all()
        .iter()
        .filter(|_| with_stock)
        .filter(|plugin| installed.iter().all(|known| known.name.as_str() != plugin.name))
        .map(|plugin| StockView {
            name: plugin.name,
            kind: plugin.kind.to_string(),
            bytes: plugin.size(),
            summary: plugin.summary,
            example_config: plugin.example,
        })
        .collect();
    let plugins: Vec<_> = installed.into_iter().map(PluginView::from).collect();
    if with_stock {
        let json = serde_json::json!({ "installed": plugins, "stock": stock });
        context.output.print(&json, || plugin_table(&plugins, &stock))
    } else {
        context.output.print(&plugins, || plugin_table(&plugins, &stock))
    }
}

async fn stats(context: &Context, name: Option<&PluginName>) -> Result<(), Failure> {
    let client = context.connect().await?;
    let plugins = match name {
        Some(name) => vec![client.show_plugin(name.clone()).await?],
        None => client.list_plugins().await?,
    };
    let attached = plugins.into_iter().flat_map(|plugin| plugin.attachments);
    let attached: Vec<_> = attached.map(AttachedView::from).collect();
    context.output.print(&attached, || AttachedView::table(&attached))
}

async fn attach(context: &Context, args: &PluginAttach) -> Result<(), Failure> {
    let config = config_text(&args.config)?;
    let client = context.connect().await?;
    let hash = match &args.version {
        Some(prefix) => Some(version(client, &args.plugin, prefix).await?),
        None => None,
    };
    let defaults = PluginLimits::default();
    let request = AttachRequest {
        topic: args.topic.clone(),
        hook: args.hook.unwrap_or(if args.to.is_some() { Hook::Derive } else { Hook::Ingest }),
        plugin: args.plugin.clone(),
        hash,
        config,
        policy: args.on_error,
        limits: PluginLimits {
            batch_time: args.time_limit.unwrap_or(defaults.batch_time),
            memory: args.memory_limit.unwrap_or(defaults.memory),
            output: args.output_limit.unwrap_or(defaults.output),
            record_time: args.record_time_limit,
            fan_out: args.fan_out_limit.unwrap_or(defaults.fan_out),
            log_lines: args.log_limit.unwrap_or(defaults.log_lines),
            state: args.state_limit.unwrap_or(defaults.state),
            failures: args.max_failures.unwrap_or(defaults.failures),
        },
        derive: args.to.clone().map(|to| DeriveSpec {
            to,
            table: args.table.clone(),
            from_end: args.from_end,
            life: 0,
        }),
        canary: args.canary.iter().copied().map(PartitionId).collect(),
    };
    let attachment = client.attach_plugin(request).await?;
    context.output.print(&AttachmentView::from(&attachment), || attached_sentence(&attachment))
}

/// The configuration's text, checked to be JSON, so that a slip is told with its place.
fn config_text(given: &str) -> Result<String, Failure> {
    let text = match given.strip_prefix('@') {
        None => given.to_owned(),
        Some(path) => {
            let path = Path::new(path);
            String::from_utf8(read_bounded(path, limits::MAX_PLUGIN_CONFIG)?).map_err(|_| {
                Failure::new(Exit::Failed, format!("{} is not UTF-8 text", path.display()))
            })?
        }
    };
    if text.len() as u64 > limits::MAX_PLUGIN_CONFIG.get() {
        let max = limits::MAX_PLUGIN_CONFIG;
        return Err(Failure::usage(format!("--config is larger than {max}")));
    }
    serde_json::from_str::<serde::de::IgnoredAny>(&text).map_err(|error| {
        Failure::usage(format!("--config is not valid JSON: {error}; write @FILE to read a file"))
    })?;
    Ok(text)
}

async fn version(client: &Client, name: &PluginName, prefix: &str) -> Result<PluginHash, Failure> {
    let plugin = client.show_plugin(name.clone()).await?;
    let hashes: Vec<_> = plugin.versions.iter().map(|version| version.hash).collect();
    one_version(&hashes, prefix).map_err(|found| {
        let what = match found {
            0 => format!("plugin {name} has no version whose hash begins with {prefix}"),
            n => format!("{n} versions of plugin {name} begin with {prefix}: write more digits"),
        };
        Failure::new(Exit::NotFound, what)
    })
}

/// The one hash with that prefix, or how many there are.
fn one_version(hashes: &[PluginHash], prefix: &str) -> Result<PluginHash, usize> {
    let matching: Vec<_> =
        hashes.iter().filter(|hash| hash.to_string().starts_with(prefix)).collect();
    match matching.as_slice() {
        [one] => Ok(**one),
        more => Err(more.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_json_inline_or_from_a_file() {
        assert_eq!(config_text("{\"low\": 1}").unwrap(), "{\"low\": 1}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.json");
        std::fs::write(&path, "{\"high\": 2}").unwrap();
        let text = config_text(&format!("@{}", path.display())).unwrap();
        assert_eq!(text, "{\"high\": 2}");
        let error = config_text("{low: 1}").unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        assert!(error.to_string().contains("line 1 column 2"), "{error}");
        assert_eq!(config_text("@/no/such/file").unwrap_err().exit(), Exit::Failed);
    }

    #[test]
    fn a_version_is_found_by_a_prefix_that_only_it_has() {
        let hashes = [PluginHash([0xab; 32]), PluginHash([0xac; 32])];
        assert_eq!(one_version(&hashes, "abab"), Ok(hashes[0]));
        assert_eq!(one_version(&hashes, "a"), Err(2));
        assert_eq!(one_version(&hashes, "ff"), Err(0));
    }

    #[test]
    fn files_over_the_limit_are_not_read_to_their_end() {
        let error = read_bounded(Path::new("/dev/zero"), ByteSize::kib(1)).unwrap_err();
        assert_eq!(error.to_string(), "/dev/zero is larger than 1 KiB");
    }

    #[test]
    fn an_unknown_stock_plugin_names_those_there_are() {
        let error = component(&"nothing".parse().unwrap(), None).unwrap_err();
        assert_eq!(error.exit(), Exit::NotFound);
        assert!(error.to_string().contains("threshold"), "{error}");
    }
}
