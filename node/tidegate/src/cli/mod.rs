//! The command line: its shape, and nothing of what it does.
//!
//! Values are checked here where their own type can tell (exit code 2); what settings can also say
//! in a file or the environment is left as text for [`crate::settings`].

mod author;
mod bench;
mod group;
mod link;
mod log;
mod plugin;
mod records;
mod topic;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub use author::{PluginBench, PluginBuild, PluginNew, PluginRun, PluginTest};
pub use bench::{BenchCommand, BenchLoad};
pub use group::{GroupCommand, GroupSeek};
pub use link::{LinkAdd, LinkCommand, LinkInvite};
pub use log::{LogCheck, LogCommand};
pub use plugin::{PluginAttach, PluginCommand, PluginDryRun};
pub use records::{Consume, Header, Produce};
pub use topic::{TopicCommand, TopicCreate, TopicSet, TopicTrim};

use crate::output::Output;
use crate::settings::Key;

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not allowed, \
                          5 node unreachable or timed out.";

/// Heading of the options that every command has.
const GLOBAL: &str = "Global options";

/// An edge log appliance: partitioned logs, plugins in WebAssembly, copies between sites.
#[derive(Parser, Debug)]
#[command(name = "tidegate", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Debug, Default)]
pub struct Global {
    /// How results are printed
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, default_value_t, value_name = "table|json", hide_possible_values = true)]
    pub output: Output,
    /// Node to talk to [env: TIDEGATE_SERVER] [default: 127.0.0.1:9640]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "HOST:PORT")]
    pub server: Option<String>,
    /// Folder with ca.pem, client.pem and client.key [env: TIDEGATE_TLS] [default: DATA/tls]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "DIR")]
    pub tls: Option<String>,
    /// Folder of the node's data [env: TIDEGATE_DATA] [default: tidegate-data]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "DIR")]
    pub data: Option<String>,
    /// How long to wait for the node [env: TIDEGATE_TIMEOUT] [default: 10s]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "TIME")]
    pub timeout: Option<String>,
}

impl Global {
    /// The settings that were given.
    #[must_use]
    pub fn flags(&self) -> Vec<(Key, Vec<String>)> {
        given([
            (Key::Server, &self.server),
            (Key::Tls, &self.tls),
            (Key::Data, &self.data),
            (Key::Timeout, &self.timeout),
        ])
    }
}

fn given<const N: usize>(flags: [(Key, &Option<String>); N]) -> Vec<(Key, Vec<String>)> {
    flags
        .into_iter()
        .filter_map(|(key, value)| value.as_ref().map(|value| (key, vec![value.clone()])))
        .collect()
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run a node
    Serve(Serve),
    /// Make the data folder, its certificates and a settings file; what exists is kept
    Init(Init),
    /// Make, list, describe, change, trim and delete topics
    #[command(subcommand)]
    Topic(TopicCommand),
    /// Send records to a topic, one a line
    Produce(Produce),
    /// Print the records of a topic
    Consume(Consume),
    /// Write, build and test plugins; install them and attach them to topics
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Copy topics to other sites
    #[command(subcommand)]
    Link(LinkCommand),
    /// List, describe, move and delete consumer groups
    #[command(subcommand)]
    Group(GroupCommand),
    /// Check and repair the logs of a node that is stopped, in its --data folder
    #[command(subcommand)]
    Log(LogCommand),
    /// Load a broker, this one or any that speaks Kafka's protocol, and tell what it did
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Tell how the node is doing
    Status,
    /// Check or show the settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Run everything once on this machine: two sites, a plugin, a cut line
    Demo(Demo),
    /// Print the completions of a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// Options of `serve`.
#[derive(Args, Debug, Default)]
pub struct Serve {
    /// The node's identity and address.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Form of the node's own log, on standard error [env: TIDEGATE_LOG_FORMAT] [default: text]
    #[arg(long, value_name = "text|json")]
    pub log_format: Option<String>,
    /// What it logs, as info or "warn,tidegate_link=debug" [env: TIDEGATE_LOG_LEVEL]
    #[arg(long, value_name = "FILTER")]
    pub log_level: Option<String>,
}

impl Serve {
    /// The settings that were given.
    #[must_use]
    pub fn flags(&self) -> Vec<(Key, Vec<String>)> {
        let mut flags = self.node.flags();
        flags.extend(given([(Key::LogFormat, &self.log_format), (Key::LogLevel, &self.log_level)]));
        flags
    }
}

/// Options of `init`.
#[derive(Args, Debug, Default)]
pub struct Init {
    /// The node's identity and address.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// A node's identity and address.
#[derive(Args, Debug, Default)]
pub struct NodeArgs {
    /// Settings file [env: TIDEGATE_CONFIG] [default: tidegate.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Disk space kept from the logs for metadata and deletes [env: TIDEGATE_RESERVE]
    /// [default: 32 MiB]
    #[arg(long, value_name = "SIZE")]
    pub reserve: Option<String>,
    /// UDP address to listen on; port 0 takes a free one [env: TIDEGATE_LISTEN]
    /// [default: 127.0.0.1:9640]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// TCP address for Kafka's clients, or off [env: TIDEGATE_KAFKA] [default: 127.0.0.1:9092]
    #[arg(long, value_name = "ADDR")]
    pub kafka: Option<String>,
    /// Host and port that Kafka's clients are told to use [env: TIDEGATE_KAFKA_ADVERTISED]
    /// [default: the listener's address]
    #[arg(long, value_name = "HOST:PORT")]
    pub kafka_advertised: Option<String>,
    /// Name of the site; fixed at the first start [env: TIDEGATE_SITE] [default: local]
    #[arg(long, value_name = "NAME")]
    pub site: Option<String>,
    /// Number of the node in its site; fixed at the first start [env: TIDEGATE_NODE] [default: 1]
    #[arg(long, value_name = "N")]
    pub node: Option<String>,
    /// Name or address, beside loopback, for the certificate; repeatable [env: TIDEGATE_NAMES]
    #[arg(long, value_name = "NAME")]
    pub name: Vec<String>,
}

impl NodeArgs {
    /// The settings that were given.
    #[must_use]
    pub fn flags(&self) -> Vec<(Key, Vec<String>)> {
        let mut flags = given([
            (Key::Listen, &self.listen),
            (Key::KafkaListen, &self.kafka),
            (Key::KafkaAdvertised, &self.kafka_advertised),
            (Key::Site, &self.site),
            (Key::Node, &self.node),
            (Key::Reserve, &self.reserve),
        ]);
        if !self.name.is_empty() {
            flags.push((Key::Names, self.name.clone()));
        }
        flags
    }
}

/// What to do with the settings.
#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// Check a settings file: name each wrong key with its line
    Check {
        /// The file [default: what `serve` would read]
        file: Option<PathBuf>,
    },
    /// Show each setting, its value and where that was set
    Show {
        /// Settings file [env: TIDEGATE_CONFIG] [default: tidegate.toml, if it exists]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// Options of `demo`.
#[derive(Args, Debug)]
pub struct Demo {
    /// Records to send, telemetry among them [default: 200000, or a file's lines]
    #[arg(long, value_name = "N")]
    pub records: Option<u64>,
    /// Send the lines of this CSV or log file instead of a made-up fleet's records; with --records
    /// again and again
    #[arg(long, value_name = "CSV_OR_LOG")]
    pub file: Option<PathBuf>,
    /// Keep both nodes up, with their data in ./tidegate-demo, until Ctrl-C
    #[arg(long)]
    pub keep: bool,
    /// How long the line between the sites is cut; 0 leaves it whole
    #[arg(long, value_name = "SECONDS", default_value_t = 4)]
    pub cut: u64,
    /// Seed of the made-up records: the same seed makes the same records
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

#[cfg(test)]
mod tests;
