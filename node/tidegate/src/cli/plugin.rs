//! Shape of `plugin`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use tidegate_types::{ByteSize, Hook, PluginName, PoisonPolicy, TopicName, parse_duration};

use super::author::{PluginBench, PluginBuild, PluginNew, PluginTest};

/// What to do with plugins.
#[derive(Subcommand, Debug)]
pub enum PluginCommand {
    /// Write the project of a plugin, with an example in it
    New(PluginNew),
    /// Build a project into a component that a node would take
    Build(PluginBuild),
    /// Run a plugin over records on this machine and compare what comes out
    Test(Box<PluginTest>),
    /// Measure what a plugin costs a record, beside one that does nothing
    Bench(Box<PluginBench>),
    /// Install a plugin, or a new version of it
    Install {
        /// Its name
        name: PluginName,
        /// The component; - reads standard input [default: the stock plugin of that name]
        file: Option<PathBuf>,
    },
    /// List installed plugins
    List {
        /// List the stock plugins that are not installed, too
        #[arg(long)]
        stock: bool,
    },
    /// Show a plugin's versions, where it runs, what it did and its last log lines
    Show {
        /// The plugin
        name: PluginName,
    },
    /// Attach a plugin to a topic, or change how it is attached there
    Attach(PluginAttach),
    /// Detach a plugin from a topic
    Detach {
        /// The topic
        topic: TopicName,
        /// The plugin
        plugin: PluginName,
        /// The hook
        #[arg(long, default_value_t = Hook::Ingest)]
        hook: Hook,
    },
}

/// Options of `plugin attach`.
#[derive(Args, Debug)]
pub struct PluginAttach {
    /// The topic
    pub topic: TopicName,
    /// The plugin
    pub plugin: PluginName,
    /// Where it runs
    #[arg(long, default_value_t = Hook::Ingest)]
    pub hook: Hook,
    /// Its configuration, or @FILE to read it from a file
    #[arg(long, value_name = "JSON|@FILE", default_value = "{}")]
    pub config: String,
    /// What becomes of records on which it fails: skip (dropped), dead-letter (kept in
    /// TOPIC.dead), halt (the batch is refused)
    #[arg(long, value_name = "POLICY", default_value_t = PoisonPolicy::DeadLetter)]
    pub on_error: PoisonPolicy,
    /// First digits of the version's hash [default: the newest]
    #[arg(long, value_name = "HASHPREFIX", value_parser = hash_prefix)]
    pub version: Option<String>,
    /// Longest run on one batch [default: 500ms]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub time_limit: Option<Duration>,
    /// Most memory [default: 64 MiB]
    #[arg(long, value_name = "SIZE")]
    pub memory_limit: Option<ByteSize>,
    /// Most bytes returned for one batch [default: 16 MiB]
    #[arg(long, value_name = "SIZE")]
    pub output_limit: Option<ByteSize>,
}

fn hash_prefix(text: &str) -> Result<String, &'static str> {
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex && (4..=64).contains(&text.len()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("write 4 to 64 hexadecimal digits, as `tidegate plugin show` prints them")
    }
}
